"""Signatures of webhooks as Standard Webhooks describes them (standardwebhooks.com, spec 1.0): HMAC-SHA256, `v1`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32  # the specification takes 24 to 64


def new_secret() -> str:
    """Make a secret, `whsec_` and base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(message_id: str, at_s: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message sent at a second of Unix time; it is signed with each of the secrets."""
    signed = f"{message_id}.{at_s}.".encode() + body
    marks = (hmac.new(base64.b64decode(key.removeprefix(PREFIX)), signed, hashlib.sha256).digest() for key in keys)
    signatures = " ".join(f"v1,{base64.b64encode(mark).decode()}" for mark in marks)
    return {"webhook-id": message_id, "webhook-timestamp": str(at_s), "webhook-signature": signatures}
