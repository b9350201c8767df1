"""Magic links: asked for in a browser, mailed by a worker, good for ten minutes and one sign-in, in that browser.

Another browser must give the code that the asking one shows. The database holds hashes only. Links that the command
line prints are bound to no browser: whoever may run it could read the mail as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, or_, select, update

from pilothouse import clock
from pilothouse.crypto import checksum_ok, hash_token, make_token
from pilothouse.db import count_changed, db, unit_of_work
from pilothouse.identity.codes import TRIES, hash_code, new_code
from pilothouse.identity.models import MagicLink, User
from pilothouse.identity.sessions import open_session
from pilothouse.identity.users import find_user
from pilothouse.runtime import runtime
from pilothouse.work.jobs import enqueue

LIFETIME = 10 * clock.MINUTE
KEPT = clock.DAY  # how long a link stays known after its end, to say "used" or "expired" and not "unknown"
SEND = "core.send_magic_link"
KIND = "login"

State = Literal["open", "unknown", "used", "expired", "ended"]
Outcome = Literal["signed_in", "code_wanted", "code_wrong", "unknown", "used", "expired", "ended"]


@dataclass(frozen=True, slots=True)
class LinkView:
    """What a link's page shows: its state, the address, and whether this browser must give the code."""

    state: State
    email: str = ""
    needs_code: bool = False


@dataclass(frozen=True, slots=True)
class Visitor:
    """The browser that uses a link: the value of its binding cookie, its name and its network address."""

    browser: str = ""
    device: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """How the use of a link ended; with `signed_in` come the new session's token and where to go."""

    outcome: Outcome
    token: str = ""
    email: str = ""
    next_path: str = ""


def ask(email: str, browser: str, next_path: str = "") -> str:
    """Make a link for a normalised address in the open unit of work and return the code for the asking browser.

    The same rows are written whether or not anybody has the address; the worker sends no mail to nobody.
    """
    user = find_user(email)
    link = _add(user, email)
    code = new_code()
    link.browser_hash, link.next_path = hash_token(browser), next_path
    link.code_hash = hash_code(code, link.id, runtime().settings.secret_key)
    db.session.flush()
    enqueue(SEND, {"link_id": link.id})
    return code


def print_link(user: User) -> str:
    """Make a link that any browser may use, in the open unit of work, and return its address."""
    token = make_token(KIND)
    _add(user, user.email).token_hash = hash_token(token)
    return address_of(token)


def address_of(token: str) -> str:
    """Return a link's address; it starts with the configured one, whatever the request said."""
    return f"{runtime().settings.base_url}/login/{token}"


def _add(user: User | None, email: str) -> MagicLink:
    at = clock.now()
    link = MagicLink(
        id=clock.new_id(),
        user_id=user.id if user else None,
        email=email,
        expires_at=at + LIFETIME,
        created_at=at,
        code_tries=0,
    )
    db.session.add(link)
    return link


def arm(link_id: str) -> tuple[str, str] | None:
    """Give a link its token and return the address to mail to and the token; None where no mail is to be sent.

    A repeated delivery gives it a new one, which ends the one before: the token is in no database and on no queue.
    """
    token = make_token(KIND)
    with unit_of_work() as session:
        row = session.execute(
            select(MagicLink, User).join(User, User.id == MagicLink.user_id).where(MagicLink.id == link_id)
        ).one_or_none()
        if row is None or row.User.status != "active" or _state(row.MagicLink) != "open":
            return None
        row.MagicLink.token_hash = hash_token(token)
        return row.User.email, token


def look(token: str, browser: str) -> LinkView:
    """Say what a link's page shows; changes nothing, however often a scanner of mails asks."""
    link = _find(token)
    if link is None:
        return LinkView("unknown")
    return LinkView(_state(link), link.email, _needs_code(link, browser))


def redeem(token: str, visitor: Visitor, code: str = "") -> Redeemed:
    """Use a link: sign in once, or say why not. Opens its own unit of work, so that a wrong code stays counted.

    The one UPDATE that sets `used_at` decides between any number of tries at the same time.
    """
    with unit_of_work():
        link = _find(token)
        if link is None:
            return Redeemed("unknown")
        state = _state(link)
        if state != "open":
            return Redeemed(state, email=link.email)
        if _needs_code(link, visitor.browser):
            if not code:
                return Redeemed("code_wanted", email=link.email)
            if not _code_is_right(link, code):
                return Redeemed("code_wrong", email=link.email)
        return _sign_in(link, visitor)


def _sign_in(link: MagicLink, visitor: Visitor) -> Redeemed:
    at = clock.now()
    won = count_changed(
        update(MagicLink)
        .where(MagicLink.id == link.id, MagicLink.used_at.is_(None), MagicLink.expires_at > at)
        .values(used_at=at)
        .execution_options(synchronize_session=False)
    )
    if not won:
        return Redeemed("used", email=link.email)
    user = db.session.get(User, link.user_id, populate_existing=True) if link.user_id else None
    if user is None or user.status != "active":
        return Redeemed("unknown", email=link.email)
    token = open_session(user, device=visitor.device, address=visitor.address)
    return Redeemed("signed_in", token, user.email, link.next_path)


def _code_is_right(link: MagicLink, code: str) -> bool:
    # the try is counted before the code is compared, in one statement: parallel guesses get no sixth one
    counted = count_changed(
        update(MagicLink)
        .where(MagicLink.id == link.id, MagicLink.code_tries < TRIES)
        .values(code_tries=MagicLink.code_tries + 1)
        .execution_options(synchronize_session=False)
    )
    return bool(counted) and link.code_hash == hash_code(code, link.id, runtime().settings.secret_key)


def _find(token: str) -> MagicLink | None:
    if not checksum_ok(token):
        return None
    statement = select(MagicLink).where(MagicLink.token_hash == hash_token(token))
    return db.session.scalar(statement.execution_options(populate_existing=True))


def _state(link: MagicLink) -> State:
    if link.used_at is not None:
        return "used"
    if link.expires_at <= clock.now():
        return "expired"
    return "ended" if link.code_tries >= TRIES else "open"


def _needs_code(link: MagicLink, browser: str) -> bool:
    return link.browser_hash is not None and (not browser or hash_token(browser) != link.browser_hash)


def purge_links() -> None:
    """Delete links a day after their end."""
    old = clock.now() - KEPT
    db.session.execute(delete(MagicLink).where(or_(MagicLink.expires_at <= old, MagicLink.used_at <= old)))
