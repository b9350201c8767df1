"""The code that the asking browser shows, for people who open the mail in another one."""

from __future__ import annotations

import hashlib
import hmac
import secrets

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # without 0 O, 1 I L and U: nothing that is mistaken or spells a word
LENGTH = 8  # 30**8 = 6.6e11 codes against 5 tries
TRIES = 5


def new_code() -> str:
    """Make a code."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def hash_code(code: str, link_id: str, secret_key: str) -> str:
    """Return what is stored of a code: 39 bits are few, so the hash is keyed and no copy of the database betrays it."""
    return hmac.new(secret_key.encode(), f"code:{link_id}:{typed(code)}".encode(), hashlib.sha256).hexdigest()


def typed(code: str) -> str:
    """Return a code as people mean it: capitals, without what they put between the characters."""
    return "".join(character for character in code.upper() if character.isalnum())[: LENGTH * 2]
