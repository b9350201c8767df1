"""An OpenID Connect provider as a process of its own: description, keys, authorize, token, user info, over real HTTP.

It checks what a strict provider checks (client secret, redirect address, PKCE, one use of a code), and lies as told:
`POST /control` with `{"fault": ...}` and `{"person": {...}}`. Prints its address once it listens.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

CLIENT, SECRET = "pilothouse", "s3cret:/with%signs"


class Provider:
    """What the provider knows and how it lies."""

    def __init__(self) -> None:
        self.issuer = ""
        self.fault = ""
        self.person: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.key = self.new_key()
        self.asked: list[str] = []

    def new_key(self) -> RSAKey:
        return RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})

    def description(self) -> dict[str, Any]:
        return {
            "issuer": "https://elsewhere.example" if self.fault == "other_issuer" else self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize", "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks", "userinfo_endpoint": f"{self.issuer}/userinfo",
            "id_token_signing_alg_values_supported": ["RS256"],
        }  # fmt: skip

    def id_token(self, nonce: str) -> str:
        at, fault = int(time.time()), self.fault
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": at, "exp": at + 300, "nonce": nonce, "sub": "s-1", **self.person}
        if fault == "by_user_info":
            claims = {name: claims[name] for name in ("iss", "aud", "iat", "exp", "nonce", "sub")}
        changes: dict[str, Any] = {
            "wrong_nonce": {"nonce": "another"}, "wrong_audience": {"aud": "somebody-else"}, "expired": {"exp": at - 3_600},
            "wrong_issuer": {"iss": "https://elsewhere.example"}, "other_party": {"aud": [CLIENT, "x"], "azp": "x"},
            "from_the_future": {"iat": at + 7_200, "nbf": at + 7_200}, "no_subject": {"sub": None},
        }  # fmt: skip
        claims |= changes.get(fault, {})
        if fault == "no_nonce":
            del claims["nonce"]
        if fault == "unsigned":
            parts = [{"alg": "none"}, claims]
            return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."
        if fault == "signed_with_secret":
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))
        key = self.new_key() if fault == "foreign_key" else self.key
        kid = self.key.kid if fault == "foreign_key" else key.kid
        token = jwt.encode({"alg": "RS256", "kid": kid}, claims, key)
        return token[:-8] + "AAAAAAAA" if fault == "broken_signature" else token


PROVIDER = Provider()


class Handler(BaseHTTPRequestHandler):
    """Answers as a provider does."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        PROVIDER.asked.append(parts.path)
        if PROVIDER.fault == "away":
            self.answer(503, {"error": "away"})
        elif parts.path == "/.well-known/openid-configuration":
            self.answer(200, PROVIDER.description())
        elif parts.path == "/jwks":
            self.answer(200, {"keys": [PROVIDER.key.as_dict(private=False)]})
        elif parts.path == "/authorize":
            self.authorize(query)
        elif parts.path == "/userinfo":
            known = self.headers.get("Authorization", "") == "Bearer access"
            told = {"sub": "s-1", **PROVIDER.person}
            self.answer(200 if known else 401, told if PROVIDER.fault != "other_user_info" else {**told, "sub": "s-2"})
        elif parts.path == "/favicon.ico":
            self.send(200, b"", "image/x-icon")
        elif parts.path == "/asked":
            self.answer(200, {"asked": PROVIDER.asked})
        else:
            self.answer(404, {})

    def authorize(self, query: dict[str, str]) -> None:
        """Show who signs in, with a link back, as a provider that has no doubts."""
        assert query["response_type"] == "code"
        assert "openid" in query["scope"].split()
        assert query["code_challenge_method"] == "S256"
        assert query["client_id"] == CLIENT
        code = secrets.token_urlsafe(16)
        PROVIDER.codes[code] = query
        back = {"state": query["state"], "iss": PROVIDER.issuer, "code": code}
        if PROVIDER.fault == "denied":
            back = {"state": query["state"], "error": "access_denied"}
        page = f'<title>Provider</title><a href="{query["redirect_uri"]}?{urlencode(back).replace("&", "&amp;")}">Continue</a>'
        self.send(200, page.encode(), "text/html")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        PROVIDER.asked.append(self.path)
        if self.path == "/control":
            told = json.loads(body)
            PROVIDER.fault = told.get("fault", "")
            PROVIDER.person = told.get("person", PROVIDER.person)
            if told.get("rotate"):
                PROVIDER.key = PROVIDER.new_key()
            self.answer(200, {})
        else:
            self.token({name: values[0] for name, values in parse_qs(body.decode()).items()})

    def token(self, form: dict[str, str]) -> None:
        """Exchange a code, once, for who knows the verifier and the secret."""
        scheme, _, pair = self.headers.get("Authorization", "").partition(" ")
        name, _, secret = base64.b64decode(pair).decode().partition(":")
        asked = PROVIDER.codes.pop(form.get("code", ""), None)
        sound = (
            asked is not None and scheme == "Basic" and (unquote(name), unquote(secret)) == (CLIENT, SECRET)
            and form["redirect_uri"] == asked["redirect_uri"] and form["grant_type"] == "authorization_code"
            and create_s256_code_challenge(form["code_verifier"]) == asked["code_challenge"]
        )  # fmt: skip
        if not sound:
            self.answer(400, {"error": "invalid_grant"})
        elif PROVIDER.fault == "no_json":
            self.send(200, b"<html>busy</html>", "text/html")
        else:
            id_token = PROVIDER.id_token(asked["nonce"]) if PROVIDER.fault != "no_id_token" else None
            self.answer(200, {"access_token": "access", "token_type": "Bearer", "id_token": id_token})

    def answer(self, status: int, told: dict[str, Any]) -> None:
        self.send(status, json.dumps(told).encode(), "application/json")

    def send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    PROVIDER.issuer = f"http://127.0.0.1:{server.server_port}"
    sys.stdout.write(PROVIDER.issuer + "\n")
    sys.stdout.flush()
    server.serve_forever()
