"""Checking what the provider says of a person: the ID token's signature and claims (OpenID Connect Core, 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pilothouse.sdk import SECOND, Forbidden, now
from pilothouse_oidc import provider
from pilothouse_oidc.options import Options

# Signatures with a key pair only: `none` proves nothing, and with HS256 whoever knows the client secret could sign.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
LEEWAY_S = 60  # how far clocks may be apart
SUBJECT_CHARS = 255  # Core, section 2


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed in: the subject at the issuer, and the address with whether the provider has verified it."""

    issuer: str
    subject: str
    email: str
    verified: bool
    name: str


def person_of(description: Mapping[str, Any], wanted: Options, tokens: Mapping[str, Any], nonce: str) -> Person:
    """Return the person of a token answer. Raises Forbidden for a token that proves nothing, ProviderFault."""
    claims = _checked(description, wanted, tokens, nonce)
    access_token = tokens.get("access_token")
    told: Mapping[str, Any] = claims
    if not claims.get("email") and description.get("userinfo_endpoint") and isinstance(access_token, str):
        told = provider.about_user(description, access_token)
        if told.get("sub") != claims["sub"]:  # Core, 5.3.2: else it may speak of somebody else
            raise Forbidden("The provider's answer speaks of somebody else.")
    name = "".join(character for character in str(told.get("name") or "") if character.isprintable())
    said = told.get("email_verified")
    verified = said is True or said == "true"  # some providers write it as a text
    issuer = str(description["issuer"])
    return Person(issuer, str(claims["sub"]), str(told.get("email") or ""), verified, name[:SUBJECT_CHARS])


def _checked(description: Mapping[str, Any], wanted: Options, tokens: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
    from authlib.oidc.core import CodeIDToken
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        key_set = KeySet.import_key_set(provider.keys(description))  # type: ignore[arg-type]  # it checks what it is given
        token = jwt.decode(str(tokens.get("id_token") or ""), key_set, algorithms=ALGORITHMS)
        demanded = {"iss": description["issuer"], "aud": wanted.client_id}
        options = {name: {"essential": True, "value": value} for name, value in demanded.items()}
        params = {"nonce": nonce, "client_id": wanted.client_id, "access_token": tokens.get("access_token")}
        claims = CodeIDToken(token.claims, token.header, options, params)
        claims.validate(now=now() // SECOND, leeway=LEEWAY_S)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as fault:  # it proves nothing
        raise Forbidden(f"The provider's ID token is not accepted ({type(fault).__name__}).") from fault
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_CHARS or "\0" in subject:
        raise Forbidden("The provider's ID token names nobody.")
    return dict(claims)
