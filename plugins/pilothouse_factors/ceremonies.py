"""WebAuthn: challenges that only the browser that got them can answer, once, and what their answers prove.

A challenge lies in a signed cookie of the browser that asked; the relying party is the host of PILOTHOUSE_BASE_URL.
"""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import Response, request
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from pilothouse.sdk import DAY, MINUTE, Conflict, Forbidden, User, db, now, runtime
from pilothouse_factors.models import Passkey, SpentChallenge

LIFETIME = 5 * MINUTE
NAME = "Pilothouse"
LONGEST = 20_000  # characters of an answer


@dataclass(frozen=True, slots=True)
class Made:
    """A passkey that was just made."""

    credential_id: str
    public_key: str
    sign_count: int


def possible() -> bool:
    """Say whether browsers offer passkeys at the console's address: it needs a name, and HTTPS unless it is localhost."""
    parts = urlsplit(runtime().settings.base_url)
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return parts.scheme == "https" or host == "localhost" or host.endswith(".localhost")
    return False


def to_make(user: User, known: list[Passkey]) -> tuple[str, bytes]:
    """Return what the browser is asked for to make a passkey, and the challenge."""
    _check_possible()
    webauthn = _library()
    structs = webauthn.helpers.structs
    options = webauthn.generate_registration_options(
        rp_id=_host(), rp_name=NAME, user_id=user.id.encode(), user_name=user.email, user_display_name=user.name or user.email,
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(_bytes(key.credential_id)) for key in known],
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED, user_verification=structs.UserVerificationRequirement.REQUIRED
        ),
    )  # fmt: skip
    return webauthn.options_to_json(options), options.challenge


def to_use() -> tuple[str, bytes]:
    """Return what the browser is asked for to use a passkey, whosever, and the challenge."""
    _check_possible()
    webauthn = _library()
    required = webauthn.helpers.structs.UserVerificationRequirement.REQUIRED
    options = webauthn.generate_authentication_options(rp_id=_host(), user_verification=required)
    return webauthn.options_to_json(options), options.challenge


def made(answer: str, challenge: bytes) -> Made:
    """Check the answer of a browser that made a passkey. Raises Forbidden."""
    webauthn = _library()
    try:
        found = webauthn.verify_registration_response(
            credential=answer[:LONGEST], expected_challenge=challenge, expected_rp_id=_host(), expected_origin=_origin(),
            require_user_verification=True,
        )  # fmt: skip
    except (webauthn.helpers.exceptions.WebAuthnException, ValueError):  # the second for what is no Base64
        raise Forbidden("The browser's answer does not fit what it was asked for.") from None
    return Made(_text(found.credential_id), _text(found.credential_public_key), found.sign_count)


def used(answer: dict[str, Any], key: Passkey, challenge: bytes) -> int:
    """Check the answer of a browser that used a passkey; return its new count of uses. Raises Forbidden."""
    webauthn = _library()
    try:
        found = webauthn.verify_authentication_response(
            credential=answer, expected_challenge=challenge, expected_rp_id=_host(), expected_origin=_origin(),
            credential_public_key=_bytes(key.public_key), credential_current_sign_count=key.sign_count,
            require_user_verification=True,
        )  # fmt: skip
    except (webauthn.helpers.exceptions.WebAuthnException, ValueError):  # the second for what is no Base64
        raise Forbidden("The passkey's answer does not fit what it was asked for.") from None
    return int(found.new_sign_count)


def keep(response: Response, challenge: bytes, kind: str) -> None:
    """Leave a challenge with the browser."""
    value = _serializer().dumps({"challenge": _text(challenge), "kind": kind, "at": now()})
    response.set_cookie(_cookie(), value, max_age=LIFETIME // 1000, secure=_secure(), httponly=True, samesite="Lax")


def spend(kind: str) -> bytes:
    """Take the challenge that this browser was given, in the open unit of work. Raises Conflict: it is over, or was used."""
    try:
        held: dict[str, Any] = _serializer().loads(request.cookies.get(_cookie(), ""))
    except BadSignature:
        raise Conflict("This browser was asked nothing, or long ago: try again.") from None
    if held["kind"] != kind or held["at"] < now() - LIFETIME:
        raise Conflict("This browser was asked nothing, or long ago: try again.")
    session = db.session()
    session.add(SpentChallenge(challenge=held["challenge"], at=now()))
    try:
        session.flush()
    except IntegrityError:
        raise Conflict("This answer was given before: try again.") from None
    return _bytes(held["challenge"])


def forget_spent() -> None:
    """Forget challenges that are long over."""
    db.session().execute(delete(SpentChallenge).where(SpentChallenge.at < now() - DAY))


def _library() -> Any:
    """Return the library; who uses no passkey does not pay for it."""
    import webauthn

    return webauthn


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _check_possible() -> None:
    if not possible():
        raise Conflict("Passkeys need PILOTHOUSE_BASE_URL to be an https address with a name, or http://localhost.")


def _host() -> str:
    return urlsplit(runtime().settings.base_url).hostname or ""


def _origin() -> str:
    parts = urlsplit(runtime().settings.base_url)
    return f"{parts.scheme}://{parts.netloc}"


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(runtime().settings.secret_key, salt="factors.challenge")


def _secure() -> bool:
    return bool(runtime().settings.base_url.startswith("https://"))


def _cookie() -> str:
    return "__Host-pilothouse_factors" if _secure() else "pilothouse_factors"
