"""The page of the sources, and an error with all that Sentry tells, in a real browser: in both themes and on small screens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page
from tests.browser.conftest import Complaints, watch
from tests.browser.test_accessibility import violations_in_both_schemes
from tests.plugins.sources.conftest import event

from pilothouse.testing import Api, open_browser_session, serving

pytestmark = pytest.mark.browser


class Console:
    """A served console and the browser before it."""

    def __init__(self, url: str, chromium: Browser, token: str) -> None:
        self.url, self.chromium, self.token, self.complaints = url, chromium, token, Complaints()

    def open(self, path: str, **options: Any) -> Page:
        context = self.chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce", **options)
        context.add_cookies([{"name": "pilothouse_session", "value": self.token, "url": self.url}])
        page = context.new_page()
        watch(page, self.url, self.complaints)
        page.goto(self.url + path)
        return page


@pytest.fixture
def console(app: Flask, chromium: Browser) -> Iterator[Console]:
    """Serve the application; afterwards the browser must not have complained."""
    with serving(app) as address:
        console = Console(address, chromium, open_browser_session("owner"))
        yield console
        for context in chromium.contexts:
            context.close()
    assert console.complaints == []


@pytest.fixture
def paths(api: Api) -> list[str]:
    """Send what the pages show; return where they are."""
    refused = {"type": "error", "id": "e", "error_type": "E", "message": "m", "frames": [{"line": "x" * 9}]}
    for agent in ("curl/8.5.0", "a-client-whose-name-has-no-end-" * 3 + "/1.2.3"):
        api.post("/api/ingest", json={"signals": [event("e1"), refused]}, headers={"User-Agent": agent})
    crumbs = [{"category": "http", "message": "GET /" + "y" * 300, "level": "warning", "timestamp": 1, "data": {"status": 404}}] * 12
    attributes = {
        "exceptions": [{"type": "Cause", "message": "x" * 300}, {"type": "Outer", "message": "m"}], "breadcrumbs": crumbs,
        "request": {"method": "GET", "url": "http://shop/" + "z" * 300, "headers": {"host": "shop"}, "body": {"a": [1, 2]}},
        "tags": {"region": "eu", "w" * 80: "v" * 200}, "user": {"email": "ada@example.com"}, "extra": {"deep": {"er": 1}},
        "contexts": {"runtime": {"name": "CPython"}}, "own": 1,
    }  # fmt: skip
    api.send({"type": "error", "id": "told", "error_type": "Outer", "message": "m", "attributes": attributes})
    return ["/sources/", f"/errors/{api.get('/api/errors/told').json['group_id']}"]


def test_the_pages_have_no_violation(console: Console, paths: list[str]) -> None:
    for path in paths:
        page = console.open(path, color_scheme="light", bypass_csp=True)
        page.evaluate("document.querySelectorAll('main details').forEach(details => { details.open = true; })")
        assert violations_in_both_schemes(page) == [], path


def test_no_page_scrolls_sideways(console: Console, paths: list[str]) -> None:
    for path in paths:
        page = console.open(path)
        for width in (320, 390, 760, 1100):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)


def test_a_source_that_arrives_shows_by_itself(console: Console, api: Api) -> None:
    api.post("/api/ingest", json={"signals": [event("e1")]}, headers={"User-Agent": "first/1"})
    page = console.open("/sources/")
    api.post("/api/ingest", json={"signals": [event("e2"), {"type": "event"}]}, headers={"User-Agent": "second/2"})
    page.keyboard.press("r")
    page.get_by_text("second", exact=True).first.wait_for()
    page.get_by_text("is required").first.wait_for()


def test_a_token_is_made_and_put_into_the_snippets(console: Console, paths: list[str]) -> None:
    page = console.open("/sources/")
    page.get_by_role("button", name="Make a token").click()
    page.get_by_text("shown once").wait_for()
    page.get_by_text("Sentry, Python").click()
    assert "://ph_access_" in page.locator("details[open] code").last.inner_text()
