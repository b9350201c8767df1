"""Letting somebody in whom the provider vouches for: bound by subject, found by verified address the first time."""

from __future__ import annotations

from sqlalchemy import select

from pilothouse.sdk import (
    Forbidden,
    Invalid,
    NotFound,
    User,
    add_user,
    admit,
    audit,
    begin_session,
    db,
    identity_changed,
    lock_writers,
    normalise_email,
    now,
    unit_of_work,
)
from pilothouse_oidc.checking import Person
from pilothouse_oidc.models import OidcIdentity
from pilothouse_oidc.options import Options


def sign_in(person: Person, wanted: Options) -> str:
    """Return the token of a new session. Opens its own unit of work. Raises Forbidden with the reason."""
    with unit_of_work() as session:
        lock_writers(session.connection())  # two first sign-ins of one person at once must not both bind
        bound = session.get(OidcIdentity, (person.issuer, person.subject), populate_existing=True)
        user = _first(person, wanted) if bound is None else session.get(User, bound.user_id, populate_existing=True)
        if user is None or user.status != "active":
            raise Forbidden("The membership is suspended.")
        if bound is not None:
            bound.last_used_at = now()
        return begin_session(user)


def _first(person: Person, wanted: Options) -> User:
    """Bind a subject to the member with its address."""
    user = _by_address(person, wanted)
    session = db.session()
    taken = select(OidcIdentity.subject).where(OidcIdentity.issuer == person.issuer, OidcIdentity.user_id == user.id)
    if session.scalar(taken) is not None:  # an address that the provider gave to somebody else since
        raise Forbidden("The member with this address signs in as somebody else of this provider.")
    at = now()
    session.add(OidcIdentity(issuer=person.issuer, subject=person.subject, user_id=user.id, created_at=at, last_used_at=at))
    detail = {"issuer": person.issuer, "subject": person.subject, "email": user.email}
    audit("oidc.identity_bound", user.id, detail=detail)
    return user


def _by_address(person: Person, wanted: Options) -> User:
    if not person.verified:
        raise Forbidden("The provider has not verified the e-mail address.")
    try:
        email = normalise_email(person.email)
        return admit(email)
    except Invalid:
        raise Forbidden("The provider gives no e-mail address.") from None
    except NotFound:
        if email.rpartition("@")[2] not in wanted.domains:
            raise Forbidden("Nobody here has this address; ask an admin for an invitation.") from None
    user = add_user(email, wanted.role, name=person.name)
    identity_changed()
    return user
