"""The two addresses of signing in: where it starts, and where the provider sends the browser back to.

State, nonce and PKCE verifier live in a signed cookie of the browser that started: an answer that is brought to another
browser, or a second time, finds none and is refused.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request
from itsdangerous import BadSignature, URLSafeSerializer

from pilothouse.sdk import (
    MINUTE,
    PUBLIC,
    Forbidden,
    NotFound,
    PilothouseError,
    RateLimit,
    enter,
    local_path,
    needs,
    now,
    refuse,
    runtime,
)
from pilothouse_oidc import checking, provider, service
from pilothouse_oidc.options import Options, offered, options

SCOPES = "openid email profile"
LIFETIME = 10 * MINUTE  # for typing a password and a second factor at the provider
TRIES = RateLimit(60, 600)  # of one network address: each costs up to three calls to the provider
CALLBACK = "/oidc/callback"


def blueprint() -> Blueprint:
    """Make the blueprint: outside of /api, open to everybody."""
    bp = Blueprint("oidc_login", __name__)
    bp.add_url_rule("/oidc/start", "start", _open_to_all(start), methods=["GET"])
    bp.add_url_rule(CALLBACK, "callback", _open_to_all(callback), methods=["GET"])
    return bp


def _open_to_all(handler: Callable[[], Any]) -> Any:
    @needs(PUBLIC)
    def view() -> Any:
        runtime().limiter.hit("oidc", request.remote_addr or "", TRIES)
        response = handler()
        response.headers["Cache-Control"] = "no-store"
        return response

    return view


def start() -> Response:
    """Send the browser to the provider."""
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    wanted = _options()
    attempt = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
    attempt["next"] = local_path(request.args.get("next"))
    try:
        description = provider.describe(wanted.issuer)
    except PilothouseError as fault:
        return _refused(fault)
    address = prepare_grant_uri(
        str(description["authorization_endpoint"]), wanted.client_id, "code", _callback_url(), SCOPES, attempt["state"],
        nonce=attempt["nonce"], code_challenge=create_s256_code_challenge(attempt["verifier"]), code_challenge_method="S256",
    )  # fmt: skip
    response = _see(address)
    _keep(response, _serializer().dumps({**attempt, "at": now()}))
    return response


def callback() -> Response:
    """Take the provider's answer: sign in, or say why not."""
    wanted = _options()
    try:
        attempt = _attempt()
        token = _token(wanted, attempt)
    except PilothouseError as fault:
        response = _refused(fault)
    else:
        response = enter(token, local_path(attempt["next"]))
    _forget(response)
    return response


def _token(wanted: Options, attempt: dict[str, str]) -> str:
    description = provider.describe(wanted.issuer)
    if request.args.get("iss", description["issuer"]) != description["issuer"]:  # RFC 9207: mix-up of providers
        raise Forbidden("The answer comes from another provider.")
    if "code" not in request.args:
        raise Forbidden("The provider did not let you in, or you turned back there.")
    fields = {"code": request.args["code"], "redirect_uri": _callback_url(), "code_verifier": attempt["verifier"]}
    tokens = provider.exchange(description, wanted, fields)
    person = checking.person_of(description, wanted, tokens, attempt["nonce"])
    try:
        return service.sign_in(person, wanted)
    except Forbidden as fault:
        refuse("oidc.sign_in_refused", person.email[:254], reason=fault.detail, subject=person.subject)
        raise


def _attempt() -> dict[str, str]:
    """Return what this browser started. Raises Forbidden where it is over, or the answer is to another start."""
    try:
        attempt: dict[str, Any] = _serializer().loads(request.cookies.get(_cookie(), ""))
    except BadSignature:
        raise Forbidden("This browser has not started to sign in, or did so long ago.") from None
    if not hmac.compare_digest(attempt["state"].encode(), request.args.get("state", "").encode()):
        raise Forbidden("The answer belongs to another try to sign in.")
    if attempt["at"] < now() - LIFETIME:
        raise Forbidden("This browser has not started to sign in, or did so long ago.")
    return attempt


def _options() -> Options:
    wanted = options()
    if wanted is None or not offered():
        raise NotFound("Signing in with a provider is not set up.")
    return wanted


def _refused(fault: PilothouseError) -> Response:
    page = render_template("oidc/refused.html", reason=fault.detail, next_path=local_path(request.args.get("next")))
    return Response(page, fault.status, headers={"Retry-After": "30"} if fault.status == HTTPStatus.SERVICE_UNAVAILABLE else {})


def _see(address: str) -> Response:
    answer = redirect(address, HTTPStatus.SEE_OTHER)
    return Response(answer.get_data(), answer.status_code, headers=list(answer.headers))


def _callback_url() -> str:
    return f"{runtime().settings.base_url}{CALLBACK}"


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(runtime().settings["PILOTHOUSE_SECRET_KEY"], salt="oidc.attempt")


def _secure() -> bool:
    return bool(runtime().settings.base_url.startswith("https://"))


def _cookie() -> str:
    return "__Host-pilothouse_oidc" if _secure() else "pilothouse_oidc"


def _keep(response: Response, value: str) -> None:
    response.set_cookie(_cookie(), value, max_age=LIFETIME // 1000, secure=_secure(), httponly=True, samesite="Lax")


def _forget(response: Response) -> None:
    response.delete_cookie(_cookie(), secure=_secure(), httponly=True, samesite="Lax")
