"""Acting on second factors: adding, proving and removing them, inside the caller's unit of work."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any

import msgspec
import pyotp
from sqlalchemy import delete, func, select, update

from pilothouse.sdk import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Place,
    User,
    audit,
    begin_session,
    count_changed,
    db,
    insert_ignore,
    new_id,
    now,
    proving,
    runtime,
)
from pilothouse_factors import ceremonies
from pilothouse_factors.models import Authenticator, Passkey, RecoveryCode

CONFIRM = "/factors/confirm"
TABLE, FIELD = "authenticators", "sealed"
STEP_S = 30
DRIFT = (-1, 0, 1)  # steps that a phone's clock may be off
CODES = 10
MOST_PASSKEYS = 20
NAME_CHARS = 100


# ---- passkeys


def passkeys(user_id: str) -> list[Passkey]:
    """Return a person's passkeys, the oldest first."""
    return list(db.session().scalars(select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.id)))


def add_passkey(user: User, name: str, answer: str) -> Passkey:
    """Keep the passkey that the browser has made. Raises Forbidden, Invalid, Conflict for too many."""
    challenge = ceremonies.spend("make")
    if len(passkeys(user.id)) >= MOST_PASSKEYS:
        raise Conflict(f"{MOST_PASSKEYS} passkeys are enough: remove one first.")
    made = ceremonies.made(answer, challenge)
    if db.session().scalar(select(Passkey.id).where(Passkey.credential_id == made.credential_id)) is not None:
        raise Conflict("This passkey is known already.")
    key = Passkey(
        id=new_id(), user_id=user.id, name=name.strip()[:NAME_CHARS] or "Passkey", credential_id=made.credential_id,
        public_key=made.public_key, sign_count=made.sign_count, created_at=now(),
    )  # fmt: skip
    db.session().add(key)
    audit("factors.passkey_added", user.id, detail={"name": key.name})
    return key


def remove_passkey(key_id: str, user_id: str) -> None:
    """Forget one of a person's passkeys. Raises NotFound for another's as for one that is not there."""
    key = db.session().get(Passkey, key_id)
    if key is None or key.user_id != user_id:
        raise NotFound("There is no such passkey.")
    audit("factors.passkey_removed", user_id, detail={"name": key.name})
    db.session().delete(key)


def enter_by_passkey(answer: str) -> str:
    """Sign in whoever's passkey answered the browser's challenge; return the session's token. Raises Forbidden."""
    challenge = ceremonies.spend("use")
    told = _decoded(answer)
    named = str(told.get("id", "")).replace("\0", "")  # PostgreSQL takes no question with NUL
    key = db.session().scalar(select(Passkey).where(Passkey.credential_id == named).with_for_update())
    user = db.session().get(User, key.user_id) if key is not None else None
    if key is None or user is None or user.status != "active":
        raise Forbidden("This passkey belongs to nobody here.")
    key.sign_count, key.last_used_at = ceremonies.used(told, key, challenge), now()
    return begin_session(user, proven=True)


def _decoded(answer: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer[: ceremonies.LONGEST], type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise Forbidden("The browser's answer cannot be read.") from None


# ---- codes of an authenticator


def authenticator(user_id: str) -> Authenticator | None:
    """Return a person's authenticator, confirmed or not."""
    return db.session().get(Authenticator, user_id)


def begin_codes(user: User) -> str:
    """Make a secret for an authenticator and return its `otpauth:` address; it counts once a code was given."""
    session, secret = db.session(), pyotp.random_base32()
    sealed = runtime().keyring.seal(secret, Place(TABLE, user.id, FIELD))
    row = {"user_id": user.id, "sealed": sealed, "last_step": 0, "created_at": now()}
    insert_ignore(session.connection(), Authenticator.__table__, [row])
    kept = session.get_one(Authenticator, user.id, populate_existing=True, with_for_update=True)
    if kept.confirmed_at is not None:
        raise Conflict("Codes are on already.")
    kept.sealed, kept.last_step = sealed, 0
    return _address(user, secret)


def waiting_address(user: User) -> str:
    """Return the `otpauth:` address of the secret of which no code was given yet. Raises Conflict."""
    kept = authenticator(user.id)
    if kept is None or kept.confirmed_at is not None:
        raise Conflict("There is nothing to confirm: begin anew.")
    return _address(user, runtime().keyring.unseal(kept.sealed, Place(TABLE, user.id, FIELD)))


def _address(user: User, secret: str) -> str:
    return pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name="Pilothouse")


def confirm_codes(user: User, code: str) -> list[str]:
    """Switch codes on after a first right one: from now on signing in asks for one. Returns recovery codes, shown once."""
    kept = authenticator(user.id)
    if kept is None or kept.confirmed_at is not None:
        raise Conflict("There is nothing to confirm: begin anew.")
    if not _takes(kept, code):
        raise Invalid.field("code", "does not fit: look at the clock of your phone, and type the newest code")
    kept.confirmed_at = now()
    proving.demand(user.id, CONFIRM)
    audit("factors.codes_on", user.id)
    return new_recovery_codes(user.id)


def codes_off(user_id: str) -> None:
    """Switch codes off; recovery codes go with them."""
    session = db.session()
    session.execute(delete(Authenticator).where(Authenticator.user_id == user_id))
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    proving.demand(user_id, None)
    audit("factors.codes_off", user_id)


def new_recovery_codes(user_id: str) -> list[str]:
    """Make ten new recovery codes, which end the old ones; they are shown once."""
    session = db.session()
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = [_code() for _ in range(CODES)]
    session.add_all([RecoveryCode(id=new_id(), user_id=user_id, code_hash=_hash(code, user_id)) for code in codes])
    audit("factors.recovery_codes_made", user_id)
    return codes


def recovery_left(user_id: str) -> int:
    """Return how many recovery codes a person has left."""
    left = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    return int(db.session().scalar(left) or 0)


def prove(user_id: str, session_id: str, code: str) -> None:
    """Open a session by a code of the authenticator or a recovery code; each works once. Raises Invalid."""
    kept = db.session().get(Authenticator, user_id, with_for_update=True)
    if kept is not None and kept.confirmed_at is not None and _takes(kept, code):
        proving.prove(session_id, "code")
    elif _spend_recovery(user_id, code):
        proving.prove(session_id, "recovery code")
    else:
        raise Invalid.field("code", "is wrong, or was used before")


def reset(user: User) -> None:
    """Take every second factor from a person who has lost them."""
    db.session().execute(delete(Passkey).where(Passkey.user_id == user.id))
    codes_off(user.id)
    audit("factors.reset", user.id)


def rewrap_all() -> int:
    """Wrap every authenticator's data key with the newest master key; return how many moved."""
    keyring, moved = runtime().keyring, 0
    for kept in db.session().scalars(select(Authenticator).with_for_update()):
        if keyring.wrapped_by(kept.sealed) != keyring.newest:
            kept.sealed, moved = keyring.rewrap(kept.sealed), moved + 1
    return moved


def shown_secret(address: str) -> str:
    """Return the secret of an `otpauth:` address in groups of four, for typing."""
    secret = pyotp.parse_uri(address).secret
    return " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))


def _takes(kept: Authenticator, code: str) -> bool:
    """Say whether a code is right now, and note it: a code that was seen over a shoulder is worth nothing."""
    secret = runtime().keyring.unseal(kept.sealed, Place(TABLE, kept.user_id, FIELD))
    typed, now_step = "".join(code.split()), now() // (STEP_S * 1000)
    for step in (now_step + drift for drift in DRIFT):
        if step > kept.last_step and hmac.compare_digest(pyotp.TOTP(secret).at(step * STEP_S).encode(), typed.encode()):
            kept.last_step = step
            return True
    return False


def _spend_recovery(user_id: str, code: str) -> bool:
    mine = (RecoveryCode.user_id == user_id, RecoveryCode.code_hash == _hash(code, user_id), RecoveryCode.used_at.is_(None))
    return bool(count_changed(update(RecoveryCode).where(*mine).values(used_at=now())))


def _code() -> str:
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()  # 80 bits
    return "-".join((text[:4], text[4:8], text[8:12], text[12:]))


def _hash(code: str, user_id: str) -> str:
    typed = "".join(code.split()).replace("-", "").lower()
    key = runtime().settings.secret_key.encode()[:64]
    return hashlib.blake2b(f"{user_id}:{typed}".encode(), key=key, digest_size=32).hexdigest()
