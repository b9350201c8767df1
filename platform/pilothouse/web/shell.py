"""What the frame around every page shows: who reads, where they may go, what they chose, what was just done."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import structlog
from flask import get_flashed_messages, has_request_context
from werkzeug.utils import cached_property  # that of functools holds one lock for all requests before Python 3.12

from pilothouse import clock
from pilothouse.access import Principal
from pilothouse.identity.principal import current_principal
from pilothouse.web.csrf import csrf_token
from pilothouse.web.navigation import Navigation, Section
from pilothouse.web.prefs import Prefs, current_prefs
from pilothouse.web.problems import came_from

BELL_ENDPOINT = "notifications.index"  # the bell is there where a plugin brings this page
TONES = {"success": "ok", "error": "bad", "danger": "bad", "warning": "warn"}
SHORTCUTS = (
    (("Ctrl", "K"), "Search or jump to"), (("/",), "Search this page"), (("?",), "This list"),
    (("j",), "Next row"), (("k",), "Previous row"), (("↵",), "Open the row"), (("x",), "Select the row"),
    (("p",), "Peek at the row"), (("l",), "Live on or off"), (("r",), "Refresh now"), (("t",), "Time range"),
    (("[",), "Newer page"), (("]",), "Older page"), (("c",), "Copy link to this view"), (("e",), "Resolve"),
    (("n",), "Notifications"), (("Esc",), "Close, clear selection"),
)


@dataclass(frozen=True, slots=True)
class Link:
    """A link with its icon."""

    title: str
    url: str
    icon: str


@dataclass(frozen=True, slots=True)
class Bell:
    """Where notifications are, and how many are unread."""

    url: str
    unread: int


class Shell:
    """Made once a request; each part is worked out only where a template asks for it."""

    palette_url = "/-/palette"
    logout_url = "/logout"
    shortcuts = SHORTCUTS

    def __init__(self, navigation: Navigation) -> None:
        """Take the application's navigation."""
        self._navigation = navigation
        self.now = clock.now()

    @cached_property
    def prefs(self) -> Prefs:
        """The reader's choices."""
        return current_prefs()

    @cached_property
    def principal(self) -> Principal | None:
        """Who reads; None for nobody, and where the database is away."""
        try:
            return current_principal()
        except Exception as fault:  # noqa: BLE001 - the error page asks this when anything may be broken
            structlog.get_logger("pilothouse.web").warning("nobody could be looked up", reason=str(fault)[:200])
            return None

    @cached_property
    def csrf_token(self) -> str:
        """The session's CSRF token, masked for this answer."""
        return csrf_token() if self.principal is not None else ""

    @cached_property
    def sections(self) -> list[Section]:
        """The sidebar."""
        return self._navigation.sections(self.principal)

    @cached_property
    def usable(self) -> bool:
        """Whether the shell can be shown: somebody is signed in, and their sidebar could be worked out."""
        try:
            return self.principal is not None and self.principal.session_id is not None and self.sections is not None
        except Exception as fault:  # noqa: BLE001 - the same: the frame must never hide what went wrong inside
            structlog.get_logger("pilothouse.web").warning("no shell", reason=str(fault)[:200])
            return False

    @property
    def flashes(self) -> list[tuple[str, str]]:
        """What was done on the page before, as tone and text."""
        messages = get_flashed_messages(with_categories=True) if has_request_context() else []
        return [(TONES.get(message[0], "run"), message[1]) for message in messages]

    @property
    def login_url(self) -> str:
        """The sign-in page, which leads back here, or to the page whose form was sent."""
        return f"/login?next={quote(self.back, safe='/')}"

    @property
    def back(self) -> str:
        """This page, or the page whose form was sent: there is nothing to see at the address that takes a form."""
        return came_from()

    @cached_property
    def account_links(self) -> list[Link]:
        """The pages about the reader."""
        return [Link(entry.title, entry.url, entry.icon) for entry in self._navigation.account(self.principal)]

    @cached_property
    def bell(self) -> Bell | None:
        """The bell, where a plugin brings notifications that the reader may open."""
        for section in self.sections:
            for entry in section.items:
                if entry.endpoint == BELL_ENDPOINT:
                    return Bell(entry.url, entry.badge or 0)
        return None
