"""Asking for a magic link: the limits, the link, and the cookie that binds it, for the form and the API alike."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request

from pilothouse.db import unit_of_work
from pilothouse.identity.cookies import bind_browser, browser_cookie
from pilothouse.identity.devices import describe_device
from pilothouse.identity.magic_links import Visitor, ask
from pilothouse.identity.users import normalise_email
from pilothouse.runtime import runtime
from pilothouse.web.csrf import check_origin
from pilothouse.web.limits import Limit, network_of

PER_ADDRESS = Limit(5, 600)
PER_NETWORK = Limit(60, 600)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the asking browser is told: the address, the code to show, and the value of its binding cookie."""

    email: str
    code: str
    browser: str


def ask_for_link(email: str, next_path: str = "") -> Asked:
    """Make a link for the address, known or not, with the same work, answer and limits.

    Raises Invalid where it is no address, TooManyRequests over the limits, CsrfFailed for another site's page.
    """
    check_origin()
    email = normalise_email(email)
    limiter = runtime().limiter
    limiter.hit("sign-in-network", network_of(request.remote_addr or ""), PER_NETWORK)
    limiter.hit("sign-in-address", email, PER_ADDRESS)
    browser = bind_browser(request)
    with unit_of_work():
        return Asked(email, ask(email, browser, next_path), browser)


def visitor() -> Visitor:
    """Return the browser of the running request."""
    device = describe_device(request.headers.get("User-Agent", ""))
    return Visitor(browser_cookie(request), device, request.remote_addr or "")
