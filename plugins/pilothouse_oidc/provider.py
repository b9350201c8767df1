"""Talking to the provider: its description, the exchange of a code, its keys; every call is guarded as outgoing ones are.

Only the description is kept, for ten minutes. Keys are asked for at each sign-in: so a rotation is followed at once.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from pilothouse.sdk import MINUTE, NotReached, PilothouseError, UrlNotAllowed, now, outgoing, runtime
from pilothouse_oidc.options import Options

WELL_KNOWN = "/.well-known/openid-configuration"  # OpenID Connect Discovery 1.0, section 4
KEPT = 10 * MINUTE
ANSWER_BYTES = 512 * 1024  # a large provider's keys with certificates are 30 KB
DONE = 200


class ProviderFault(PilothouseError):
    """The provider cannot be used now, or does not say what the standards ask for."""

    status, code, title = 503, "provider_fault", "The sign-in provider cannot be used"


def describe(issuer: str) -> Mapping[str, Any]:
    """Return the provider's description. Raises ProviderFault."""
    return _describe(issuer, now() // KEPT)


@lru_cache(maxsize=4)
def _describe(issuer: str, _period: int) -> Mapping[str, Any]:
    found = _ask("GET", f"{issuer}{WELL_KNOWN}")
    if str(found.get("issuer", "")).rstrip("/") != issuer:  # section 4.3: it must be the very one that was asked for
        raise ProviderFault("The provider calls itself by another name than PILOTHOUSE_OIDC_ISSUER.")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if urlsplit(str(found.get(name, ""))).scheme not in {"https", "http"}:
            raise ProviderFault(f"The provider's description lacks its {name}.")
    return found


def keys(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provider's keys as they are now. Raises ProviderFault."""
    return _ask("GET", str(description["jwks_uri"]))


def exchange(description: Mapping[str, Any], wanted: Options, fields: Mapping[str, str]) -> dict[str, Any]:
    """Exchange a code for tokens. Raises ProviderFault."""
    form = {"grant_type": "authorization_code", **fields}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    known = description.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    if wanted.client_secret and "client_secret_basic" in known:  # RFC 6749, section 2.3.1: encoded before they are joined
        pair = f"{quote(wanted.client_id, safe='')}:{quote(wanted.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        form["client_id"] = wanted.client_id
        if wanted.client_secret:
            form["client_secret"] = wanted.client_secret
    return _ask("POST", str(description["token_endpoint"]), urlencode(form).encode(), headers)


def about_user(description: Mapping[str, Any], access_token: str) -> dict[str, Any]:
    """Return what the provider tells of the person beside the ID token. Raises ProviderFault."""
    return _ask("GET", str(description["userinfo_endpoint"]), headers={"Authorization": f"Bearer {access_token}"})


def _ask(method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    _refuse_plain(url)
    sent = {"Accept": "application/json", "User-Agent": "Pilothouse-OIDC/1", **(headers or {})}
    try:
        if method == "POST":
            answer = outgoing.post(url, body, sent, limit=ANSWER_BYTES)
        else:
            answer = outgoing.get(url, sent, limit=ANSWER_BYTES)
    except (NotReached, UrlNotAllowed) as fault:
        raise ProviderFault(fault.detail) from fault
    try:
        found = json.loads(answer.text) if answer.status == DONE else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):  # its words stay out: they may repeat the code or the secret
        raise ProviderFault(f"{urlsplit(url).hostname} answered {answer.status}, or not with a JSON object.")
    return found


def _refuse_plain(url: str) -> None:
    """Refuse to send codes and secrets in the clear, but to providers of one's own network."""
    if urlsplit(url).scheme != "https" and not runtime().settings["PILOTHOUSE_ALLOW_PRIVATE_TARGETS"]:
        raise ProviderFault("The provider's addresses must start with https://.")
