"""The team in a real browser: from an invitation to the first sign-in, and changes that open sessions see."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page
from tests.browser.conftest import Complaints, watch
from tests.browser.test_accessibility import violations_in_both_schemes

from pilothouse.db import db, unit_of_work
from pilothouse.identity.models import User
from pilothouse.identity.sessions import open_session
from pilothouse.identity.users import add_user
from pilothouse.testing import environment, let_go, make_app, serving

pytestmark = pytest.mark.browser
PATHS = (
    "/team/", "/team/?tab=invites", "/team/?tab=activity", "/team/?tab=audit", "/team/?tab=roles", "/team/invite",
    "/team/sessions/", "/team/?q=nobody",
)  # fmt: skip


class Served:
    """A served console with an owner; `page_of` opens a page as somebody new."""

    def __init__(self, app: Flask, url: str, chromium: Browser) -> None:
        self.app, self.url, self.chromium = app, url, chromium
        self.complaints = Complaints()
        self.contexts: list[Any] = []
        self.numbers = iter(range(1_000))

    def join(self, role: Any, name: str = "") -> tuple[str, str]:
        """Make a member; return id and session token."""
        with self.app.app_context(), unit_of_work():
            user = add_user(f"{role}{next(self.numbers)}@example.com", role, name=name)
            db.session.flush()
            return user.id, open_session(user, device="Firefox on Linux", address="127.0.0.1")

    def open(self, path: str, token: str = "", *, width: int = 1440, **options: Any) -> Page:
        """Open a page, with a session where one is given."""
        context = self.chromium.new_context(viewport={"width": width, "height": 900}, **options)
        self.contexts.append(context)
        if token:
            context.add_cookies([{"name": "pilothouse_session", "value": token, "url": self.url}])
        page = context.new_page()
        page.set_default_timeout(10_000)
        watch(page, self.url, self.complaints)
        page.goto(self.url + path)
        return page


@pytest.fixture(scope="module")
def console(migrated: Path, broker_url: str, tmp_path_factory: Any) -> Iterator[tuple[Flask, str]]:
    """Serve a console on a free port."""
    folder = tmp_path_factory.mktemp("team")
    shutil.copy(migrated, folder / "pilothouse.db")
    app = make_app(environment(folder, PILOTHOUSE_REDIS_URL=broker_url))
    with serving(app) as address:
        yield app, address
    let_go(app)


@pytest.fixture
def served(console: tuple[Flask, str], chromium: Browser) -> Iterator[Served]:
    """Return the served console; afterwards the browser must not have complained."""
    served = Served(*console, chromium)
    with served.app.app_context(), unit_of_work() as session:
        session.execute(db.text("DELETE FROM users"))
        session.execute(db.text("DELETE FROM team_invites"))
    yield served
    for context in served.contexts:
        context.close()
    assert served.complaints == []


@pytest.fixture
def owner(served: Served) -> str:
    """Return an owner's session token."""
    return served.join("owner", "Ada Moreau")[1]


def row(page: Page, member_id: str) -> Any:
    return page.locator(f'tr[data-k="{member_id}"]')


def test_from_the_invitation_to_the_first_sign_in(served, owner):
    page = served.open("/team/", owner)
    page.get_by_role("button", name="Invite people").click()
    page.get_by_label("E-mail addresses").fill("grace@example.com")
    page.get_by_role("radio", name="Viewer Reads the pages").check()
    page.get_by_role("button", name="Send invitations").click()
    link = page.locator(".code code").inner_text().replace("http://localhost", served.url)
    guest = served.open(link.removeprefix(served.url))
    guest.get_by_label("Your name").fill("Grace Hopper")
    guest.get_by_role("button", name="Join as grace@example.com").click()
    guest.locator(".me").get_by_text("Grace Hopper Viewer").wait_for()
    page.goto(f"{served.url}/team/")
    page.locator("tr", has_text="Grace Hopper").get_by_text("Active").wait_for()


def test_a_new_role_is_seen_by_an_open_session(served, owner):
    member, token = served.join("viewer", "Grace Hopper")
    theirs, ours = served.open("/team/", token), served.open("/team/", owner)
    assert theirs.get_by_role("link", name="Audit log").count() == 0
    ours.get_by_label("Role of Grace Hopper").select_option("admin")
    ours.locator(".toast").get_by_text("Grace Hopper is admin now").wait_for()
    row(theirs, member).get_by_text("Admin").wait_for()
    theirs.reload()
    theirs.get_by_role("link", name="Audit log").click()
    theirs.get_by_text("role: viewer → admin").wait_for()


def test_a_change_is_taken_back_from_its_message(served, owner):
    member, _ = served.join("viewer", "Grace Hopper")
    page = served.open("/team/", owner)
    page.get_by_label("Role of Grace Hopper").select_option("member")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    page.locator(".toast").get_by_text("Grace Hopper is viewer now").wait_for()
    page.wait_for_function("k => document.querySelector(`tr[data-k='${k}'] select`).value === 'viewer'", arg=member)


def test_a_suspended_session_is_led_to_the_sign_in_page(served, owner):
    member, token = served.join("viewer", "Grace Hopper")
    theirs, ours = served.open("/team/", token), served.open("/team/", owner)
    ours.get_by_label("Actions for Grace Hopper").click()
    row(ours, member).get_by_role("button", name="Suspend").click()
    ours.locator("#confirm").get_by_role("button", name="Suspend").click()
    row(ours, member).get_by_text("Suspended").wait_for()
    theirs.wait_for_url("**/login?next=%2Fteam%2F")
    served.complaints.allow("401")


def test_a_change_that_is_refused_puts_the_select_back(served, owner):
    _, token = served.join("admin", "Grace Hopper")
    served.join("viewer", "Linus Ek")
    page = served.open("/team/", token)
    with served.app.app_context(), unit_of_work() as session:
        session.execute(db.text("UPDATE users SET role = 'owner' WHERE name = 'Linus Ek'"))
    select = page.get_by_label("Role of Linus Ek")
    select.select_option("member")
    page.locator(".toast.t-bad").wait_for()
    assert select.input_value() == "viewer"
    served.complaints.allow("403")


def test_an_invitation_is_taken_back_and_the_list_is_empty_then(served, owner):
    page = served.open("/team/invite", owner)
    page.get_by_label("E-mail addresses").fill("grace@example.com")
    page.get_by_role("button", name="Send invitations").click()
    page.get_by_role("link", name="Back to the invitations").click()
    page.get_by_label("Actions for grace@example.com").click()
    page.get_by_role("button", name="Take back").click()
    page.locator("#confirm").get_by_role("button", name="Take back").click()
    page.get_by_text("No open invitation").wait_for()


def test_the_menu_leads_to_ones_sessions_and_ends_the_others(served):
    member, token = served.join("viewer", "Grace Hopper")
    with served.app.app_context(), unit_of_work():
        other = open_session(db.session.get_one(User, member), device="Safari", address="")
    page, theirs = served.open("/team/", token), served.open("/team/", other)
    page.get_by_label("Your menu").click()
    page.get_by_role("link", name="Your account").click()
    page.get_by_role("button", name="Sign out all others").click()
    page.locator("#confirm").get_by_role("button", name="Sign out").click()
    page.locator("#content").get_by_text("Signed out of 1 other browser").wait_for()
    theirs.wait_for_url("**/login**")
    served.complaints.allow("401")


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_no_violation(served, owner, path):
    served.join("viewer", "Grace Hopper")
    page = served.open(path, owner, color_scheme="light", bypass_csp=True, reduced_motion="reduce")
    page.evaluate("document.querySelectorAll('tbody tr:nth-child(n+6)').forEach(row => row.remove())")  # axe reads each one
    assert violations_in_both_schemes(page) == []


@pytest.mark.parametrize("path", PATHS)
def test_no_page_scrolls_sideways(served, owner, path):
    served.join("viewer", "A name without any end " * 8)
    page = served.open(path, owner)
    for width in (320, 390, 760, 1100):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_invitation_works_without_scripts(served, owner):
    page = served.open("/team/invite", owner, java_script_enabled=False)
    page.get_by_label("E-mail addresses").fill("grace@example.com")
    page.get_by_role("button", name="Send invitations").click()
    link = page.locator(".code code").inner_text()
    guest = served.open(link.removeprefix("http://localhost"), java_script_enabled=False)
    guest.get_by_role("button", name="Join as grace@example.com").click()
    assert guest.get_by_label("Your menu").is_visible()
