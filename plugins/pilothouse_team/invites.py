"""Invitations: sent with a role that stays as it was sent, bound to an address, good for seven days and one use.

The database holds the hash of the newest token only. With an SMTP server the worker makes the token and mails it;
without one it is made here, shown once to who invites, and the mail goes to the outbox.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal, cast

from sqlalchemy import delete, select, update

from pilothouse.sdk import (
    ROLES,
    Conflict,
    Invalid,
    NotFound,
    Principal,
    Role,
    User,
    add_user,
    after_commit,
    audit,
    begin_session,
    check_may_manage,
    checked_name,
    checksum_ok,
    count_changed,
    db,
    enqueue,
    find_user,
    hash_token,
    identity_changed,
    make_token,
    new_id,
    normalise_email,
    now,
    proving,
    publish,
    send_mail,
    unit_of_work,
)
from pilothouse_team.events import MemberInvited, MemberJoined
from pilothouse_team.mails import LIFETIME, address_of, compose, has_server
from pilothouse_team.models import Invite

MANAGERS = frozenset({"owner", "admin"})  # inviting one of these is asked for again
KIND = "invite"
SEND = "team.send_invite"

State = Literal["open", "unknown", "used", "expired"]


@dataclass(frozen=True, slots=True)
class Sent:
    """An invitation and its link, which is None where the link goes by mail only."""

    invite: Invite
    link: str | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """How an acceptance ended; with `open` it went well and `token` is the new session's."""

    state: State
    email: str = ""
    token: str = ""


def invite(email: str, role: str, by: Principal) -> Sent:
    """Invite an address in the open unit of work; an open invitation of the same address is replaced.

    Raises Invalid, Forbidden where the role reaches above `by`, Conflict where a member has the address.
    """
    email, wanted = normalise_email(email), checked_role(role)
    check_may_manage(by, wanted)
    if wanted in MANAGERS:
        proving.require_proof()
    user = _locked(find_user(email))
    if user is None:
        user = add_user(email, wanted, status="invited", invited_by=by)
    elif user.status != "invited":
        raise Conflict(f"{email} is a member already.")
    else:
        check_may_manage(by, cast("Role", user.role))
        db.session.execute(delete(Invite).where(Invite.user_id == user.id))
        user.role, user.invited_by = wanted, by.user_id
        identity_changed()
    row = Invite(
        id=new_id(), user_id=user.id, email=email, role=wanted, invited_by=by.id, inviter=by.name or by.email,
        expires_at=now() + LIFETIME, created_at=now(),
    )  # fmt: skip
    db.session.add(row)
    audit("team.invite_sent", row.id, principal=by, detail={"email": email, "role": wanted})
    publish(MemberInvited(invite_id=row.id, email=email, role=wanted, actor_id=by.id, actor=by.name or by.email))
    return Sent(row, _deliver(row))


def checked_role(role: str) -> Role:
    """Return the role. Raises Invalid where there is none of this name."""
    if role not in ROLES:
        raise Invalid.field("role", f"must be one of {', '.join(ROLES)}")
    return role


def resend(invite_id: str, by: Principal) -> Sent:
    """Send an invitation again with a new link, which ends the old one. Raises NotFound, Forbidden, Conflict."""
    row = _open(invite_id, by)
    row.expires_at = now() + LIFETIME
    audit("team.invite_resent", row.id, principal=by, detail={"email": row.email})
    return Sent(row, _deliver(row))


def revoke(invite_id: str, by: Principal) -> None:
    """Take an invitation back; its link ends at once. Raises NotFound, Forbidden, Conflict."""
    _discard(_open(invite_id, by), by)


def revoke_for(user: User, by: Principal) -> None:
    """Take back the invitation of somebody who has not joined yet. Raises Forbidden."""
    check_may_manage(by, cast("Role", user.role))
    row = db.session.scalar(select(Invite).where(Invite.user_id == user.id))
    if row is not None:
        _discard(row, by)


def revoke_of(inviter_id: str, by: Principal) -> None:
    """Take back what somebody who may act no longer had sent: nobody comes in on their word any more."""
    for row in db.session.scalars(select(Invite).where(Invite.invited_by == inviter_id, Invite.accepted_at.is_(None))):
        _discard(row, by)


def _open(invite_id: str, by: Principal) -> Invite:
    row = db.session.get(Invite, invite_id, populate_existing=True)
    if row is None:
        raise NotFound("There is no such invitation, or it was taken back.")
    check_may_manage(by, cast("Role", row.role))
    _locked(db.session.get(User, row.user_id))
    db.session.refresh(row)
    if row.accepted_at is not None:
        raise Conflict(f"{row.email} has accepted this invitation.")
    return row


def _locked(user: User | None) -> User | None:
    """Lock an invited person, so that accepting, replacing and taking back an invitation happen one after the other."""
    if user is None:
        return None
    return db.session.get(User, user.id, populate_existing=True, with_for_update=True)


def _discard(row: Invite, by: Principal) -> None:
    user = _locked(db.session.get(User, row.user_id))
    if user is not None and user.status == "invited":
        db.session.delete(user)
    audit("team.invite_revoked", row.id, principal=by, detail={"email": row.email, "role": row.role})
    db.session.delete(row)
    db.session.flush()
    identity_changed()


def _deliver(row: Invite) -> str | None:
    """Let a mail go out with a fresh token; returns the link where there is no server that would carry it."""
    row.token_hash = None
    if has_server():
        db.session.flush()
        enqueue(SEND, {"invite_id": row.id})
        return None
    token = make_token(KIND)
    row.token_hash = hash_token(token)
    mail = compose(row, token)
    after_commit(lambda: _leave(mail))
    return address_of(token)


def _leave(mail: EmailMessage) -> None:
    with suppress(OSError):  # no room for the copy in the outbox: the link is in the answer
        send_mail(mail)


def send(invite_id: str) -> None:
    """Give an invitation its token and mail it; nothing is sent once it was accepted, taken back or is over.

    A repeated run makes a new token, which ends the one before: the token is in no database and on no queue.
    """
    token = make_token(KIND)
    with unit_of_work() as session:
        row = session.get(Invite, invite_id, populate_existing=True)
        if row is None or state_of(row) != "open":
            return
        row.token_hash = hash_token(token)
    send_mail(compose(row, token))


def look(token: str) -> tuple[State, Invite | None]:
    """Say what an invitation's page shows; changes nothing, however often a scanner of mails asks."""
    row = _find(token)
    return ("unknown", None) if row is None else (state_of(row), row)


def accept(token: str, name: str) -> Accepted:
    """Join the team and sign in, once. Opens its own unit of work. Raises Invalid for a name that is none.

    The one UPDATE that sets `accepted_at` decides between any number of tries at the same time.
    """
    name = checked_name(name)
    with unit_of_work():
        row = _find(token)
        if row is None or (user := _locked(db.session.get(User, row.user_id))) is None:
            return Accepted("unknown")
        state = "used" if user.status != "invited" else state_of(row)
        if state != "open" or not _win(row):
            return Accepted("used" if state == "open" else state, row.email)
        _join(row, user, name)
        return Accepted("open", row.email, begin_session(user))


def accept_for(user_id: str) -> bool | None:
    """Let somebody join who proved the invited address by another login method, in the open unit of work.

    None where it is no invitation of this plugin's, False where it is over.
    """
    user = _locked(db.session.get(User, user_id))
    row = db.session.scalar(select(Invite).where(Invite.user_id == user_id).execution_options(populate_existing=True))
    if user is None or row is None:
        return None
    if user.status != "invited" or not _win(row):
        return False
    _join(row, user, "")
    return True


def _join(row: Invite, user: User, name: str) -> None:
    user.status, user.role, user.name = "active", row.role, name or user.name
    acting = Principal(user.id, cast("Role", user.role), user.name, user.email, user_id=user.id)
    audit("team.invite_accepted", row.id, principal=acting, detail={"email": row.email, "role": row.role})
    publish(MemberJoined(member_id=user.id, email=row.email, role=row.role, invited_by=row.invited_by))
    identity_changed()


def _win(row: Invite) -> bool:
    statement = update(Invite).where(
        Invite.id == row.id, Invite.token_hash.is_not_distinct_from(row.token_hash), Invite.accepted_at.is_(None),
        Invite.expires_at > now(),
    )  # fmt: skip
    return bool(count_changed(statement.values(accepted_at=now()).execution_options(synchronize_session=False)))


def _find(token: str) -> Invite | None:
    if not checksum_ok(token):
        return None
    statement = select(Invite).where(Invite.token_hash == hash_token(token))
    return db.session.scalar(statement.execution_options(populate_existing=True))


def state_of(row: Invite) -> State:
    """Say how an invitation stands."""
    if row.accepted_at is not None:
        return "used"
    return "expired" if row.expires_at <= now() else "open"
