"""Bell, toast, list and preferences in Chromium, with real events told by the real fan-out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from tests.browser.conftest import Complaints, watch
from tests.browser.test_accessibility import violations_in_both_schemes
from tests.conftest import token_of

from pilothouse.clock import new_id
from pilothouse.db import db, unit_of_work
from pilothouse.identity.sessions import open_session
from pilothouse.identity.users import add_user
from pilothouse.testing import Api, environment, let_go, make_app, serving
from pilothouse.work.runner import drain

pytestmark = pytest.mark.browser
PATHS = ("/notifications/", "/notifications/preferences", "/notifications/channels", "/notifications/deliveries")


class Console:
    """A served console with one owner, to whom failed runs are told."""

    def __init__(self, app: Flask, url: str) -> None:
        self.app, self.url, self.complaints = app, url, Complaints()
        with app.app_context():
            with unit_of_work():
                user = add_user("ada@example.com", "owner", name="Ada Moreau")
                db.session.flush()
                self.token = open_session(user, device="Chromium", address="127.0.0.1")
            self.api = Api(app.test_client(), token_of(app))
            db.session.remove()

    def fail(self, workflow: str) -> None:
        """Report a failed run and let the worker's jobs be done."""
        self.api.send({"type": "execution", "id": new_id(), "workflow": workflow, "status": "failed"})
        drain(self.app)


@pytest.fixture(scope="module")
def console(migrated: Path, broker_url: str, tmp_path_factory: Any) -> Iterator[Console]:
    """Serve a console on a free port."""
    folder = tmp_path_factory.mktemp("notices")
    shutil.copy(migrated, folder / "pilothouse.db")
    app = make_app(environment(folder, PILOTHOUSE_REDIS_URL=broker_url))
    with serving(app) as address:
        yield Console(app, address)
    let_go(app)


@pytest.fixture
def page(console: Console, chromium: Browser) -> Iterator[Page]:
    """Open a page as the owner, to whom nothing is told yet; afterwards the browser must not have complained."""
    with console.app.app_context(), unit_of_work() as session:
        for table in ("notifications", "notification_deliveries", "notices", "notification_preferences"):
            session.execute(db.text(f"DELETE FROM {table}"))
    context = chromium.new_context(bypass_csp=True, reduced_motion="reduce")
    context.add_cookies([{"name": "pilothouse_session", "value": console.token, "url": console.url}])
    page, console.complaints = context.new_page(), Complaints()
    page.set_default_timeout(10_000)
    watch(page, console.url, console.complaints)
    yield page
    context.close()
    assert console.complaints == []


def test_an_open_console_shows_a_toast_and_counts(page: Page, console: Console) -> None:
    page.goto(f"{console.url}/executions/")
    console.fail("nightly")
    page.locator(".toast").get_by_text("nightly failed").wait_for()
    expect(page.locator("[data-unread]").first).to_have_text("1")
    assert page.title().startswith("(1) ")
    console.fail("hourly")
    page.locator(".toast").get_by_text("hourly failed").wait_for()
    expect(page.locator("[data-unread]").first).to_have_text("2")


def test_a_toast_is_not_shown_again_after_a_reload(page: Page, console: Console) -> None:
    page.goto(f"{console.url}/executions/")
    console.fail("once")
    page.locator(".toast").get_by_text("once failed").wait_for()
    page.reload()
    page.wait_for_timeout(1_600)  # two questions of the bell
    assert page.locator(".toast").count() == 0


def test_the_bell_opens_on_what_is_new_and_leads_to_it(page: Page, console: Console) -> None:
    console.fail("nightly")
    page.goto(f"{console.url}/errors/")
    page.get_by_label("Notifications, 1 unread").click()
    page.locator("#bell").get_by_role("link", name="nightly failed").click()
    page.wait_for_url(f"{console.url}/executions/**")
    page.goto(f"{console.url}/notifications/")
    expect(page.locator("[data-unread]").first).to_be_hidden()


def test_reading_all_empties_the_bell(page: Page, console: Console) -> None:
    console.fail("a")
    console.fail("b")
    page.goto(f"{console.url}/notifications/")
    page.get_by_role("button", name="Mark all read").click()
    expect(page.locator("[data-unread]").first).to_be_hidden()
    expect(page.get_by_role("button", name="Mark unread")).to_have_count(2)


def test_a_choice_that_was_not_stored_does_not_look_as_if_it_were(page: Page, console: Console) -> None:
    page.goto(f"{console.url}/notifications/preferences")
    page.route("**/preferences", lambda route: route.fulfill(status=503))
    choice = page.get_by_label("Workflows that failed by E-mail")
    choice.press("Space")
    page.locator(".toast.t-bad").wait_for()
    expect(choice).to_be_checked()
    console.complaints.allow("503")


def test_what_is_switched_off_is_not_told(page: Page, console: Console) -> None:
    page.goto(f"{console.url}/notifications/preferences")
    page.locator('input[value="workflow:in_app"]').uncheck()
    page.get_by_text("Saved").first.wait_for()
    console.fail("quiet")
    page.goto(f"{console.url}/notifications/")
    page.get_by_text("Nothing to tell yet").wait_for()


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_no_violation_and_does_not_scroll_sideways(page: Page, console: Console, path: str) -> None:
    console.fail("a workflow with a name that has no end " * 4)
    page.emulate_media(color_scheme="light")
    page.goto(console.url + path)
    assert violations_in_both_schemes(page) == []
    for width in (320, 390, 1100):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
