"""The page of keys in a real browser: a key that was not kept is typed once, but for its secret."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser
from tests.browser.conftest import Complaints, watch

from pilothouse.testing import open_browser_session, serving

pytestmark = pytest.mark.browser


def test_a_key_that_was_not_kept_comes_back_into_its_dialog(app, chromium: Browser):
    complaints = Complaints()
    with serving(app) as address, chromium.new_context() as context:
        context.add_cookies([{"name": "pilothouse_session", "value": open_browser_session("owner"), "url": address}])
        page = context.new_page()
        watch(page, address, complaints)
        page.goto(f"{address}/keys/")
        page.get_by_role("button", name="Add a key").first.click()
        dialog = page.locator("#add-key")
        dialog.get_by_label("Name").fill("production")
        dialog.get_by_label("Secret").fill("short")
        dialog.get_by_role("button", name="Keep it").click()
        dialog.get_by_text("must be at least 8 printable").wait_for()
        assert (dialog.get_by_label("Name").input_value(), dialog.get_by_label("Secret").input_value()) == ("production", "")
        assert "short" not in page.evaluate("JSON.stringify(sessionStorage)")
    complaints.allow("422")
    assert complaints == []
