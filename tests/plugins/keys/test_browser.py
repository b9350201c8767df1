"""The page of keys in a real browser: what was not kept is typed once, but for its secret; what a key's menu offers is seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser, Locator, Page
from tests.browser.conftest import Complaints, watch

from pilothouse.testing import open_browser_session, serving

pytestmark = pytest.mark.browser
SEEN = """box => [...box.querySelectorAll("button")].every(one => {
  const place = one.getBoundingClientRect();
  return document.elementFromPoint(place.left + place.width / 2, place.top + place.height / 2)?.closest("button") === one;
})"""


@pytest.fixture
def complaints() -> Complaints:
    """Return what the browser complained about."""
    return Complaints()


@pytest.fixture
def keys(app: Flask, chromium: Browser, complaints: Complaints) -> Iterator[Page]:
    """Open the page of keys as an owner; afterwards the browser must not have complained."""
    with serving(app) as address, chromium.new_context() as context:
        context.add_cookies([{"name": "pilothouse_session", "value": open_browser_session("owner"), "url": address}])
        page = context.new_page()
        watch(page, address, complaints)
        page.goto(f"{address}/keys/")
        yield page
    assert complaints == []


def add(page: Page, secret: str) -> Locator:
    """Fill the dialog in and send it."""
    page.get_by_role("button", name="Add a key").first.click()
    dialog = page.locator("#add-key")
    dialog.get_by_label("Name").fill("production")
    dialog.get_by_label("Secret").fill(secret)
    dialog.get_by_role("button", name="Add key").click()
    return dialog


def test_a_key_that_was_not_kept_comes_back_into_its_dialog(keys, complaints):
    dialog = add(keys, "short")
    dialog.get_by_text("must be at least 8 printable").wait_for()
    assert (dialog.get_by_label("Name").input_value(), dialog.get_by_label("Secret").input_value()) == ("production", "")
    assert "short" not in keys.evaluate("JSON.stringify(sessionStorage)")
    complaints.allow("422")


@pytest.mark.parametrize("width", [390, 1440])
def test_the_menu_of_the_only_key_is_seen_whole(keys, width):
    keys.set_viewport_size({"width": width, "height": 844})
    add(keys, "sk-ant-0123456789")
    keys.get_by_label("Actions of production").click()
    menu = keys.locator("tr .pop")
    menu.get_by_role("button", name="Revoke").wait_for()
    assert menu.evaluate(SEEN)


def test_a_key_is_added_rotated_and_revoked_by_keys_alone(keys):
    focused = "document.activeElement.name || document.activeElement.innerText.trim()"
    keys.get_by_role("button", name="Add a key").first.focus()
    keys.keyboard.press("Enter")
    keys.keyboard.type("production")
    keys.get_by_label("Secret").focus()
    keys.keyboard.type("sk-ant-0123456789")
    keys.keyboard.press("Enter")
    keys.locator("#content").get_by_text("The key is added").wait_for()
    keys.keyboard.press("j")
    assert keys.evaluate("document.activeElement.closest('tr').dataset.k")
    keys.get_by_label("Actions of production").focus()
    keys.keyboard.press("Enter")
    keys.keyboard.press("ArrowDown")
    assert keys.evaluate(focused) == "Check with the provider"
    keys.keyboard.press("Tab")
    keys.keyboard.type("sk-ant-9876543210")
    keys.keyboard.press("Tab")
    keys.keyboard.press("ArrowDown")  # a choice within a menu is the field's own
    assert keys.locator("tr select").input_value() == "3600"
    keys.keyboard.press("Tab")
    keys.keyboard.press("Enter")
    keys.locator("#content").get_by_text("The key has its new secret").wait_for()
    keys.get_by_label("Actions of production").focus()
    keys.keyboard.press("Enter")
    keys.keyboard.press("ArrowUp")
    assert keys.evaluate(focused) == "Revoke"
    keys.keyboard.press("Enter")
    assert keys.evaluate(focused) == "Keep it"
    keys.keyboard.press("Escape")
    assert keys.evaluate(focused) == "Revoke"
