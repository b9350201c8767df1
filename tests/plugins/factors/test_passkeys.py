"""Passkeys in Chromium, with its virtual authenticator: made on the account's page, then the way in."""

from __future__ import annotations

import shutil
import socket
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
DEVICE = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True,
    "automaticPresenceSimulation": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def console(migrated: Path, broker_url: str, tmp_path_factory: Any) -> Iterator[tuple[Flask, str]]:
    """Serve a console at a name: browsers offer passkeys at no mere address."""
    folder = tmp_path_factory.mktemp("factors")
    shutil.copy(migrated, folder / "pilothouse.db")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = f"http://localhost:{port}"
    app = make_app(environment(folder, PILOTHOUSE_REDIS_URL=broker_url, PILOTHOUSE_BASE_URL=home))
    with app.app_context(), unit_of_work():
        add_user("ada@example.com", "owner", name="Ada Moreau")
    with serving(app, port):
        yield app, home
    let_go(app)


@pytest.fixture
def page(console: tuple[Flask, str], chromium: Browser) -> Iterator[Page]:
    """Open a page as somebody who is signed in, in a browser with a device that keeps passkeys."""
    app, home = console
    with app.app_context(), unit_of_work() as session:
        user = session.query(User).one()
        token = open_session(user, device="Chromium", address="127.0.0.1", proven=True)
        db.session.execute(db.text("DELETE FROM passkeys"))
    context = chromium.new_context()
    context.add_cookies([{"name": "pilothouse_session", "value": token, "url": home}])
    page = context.new_page()
    page.set_default_timeout(10_000)
    device = context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    page.device = device  # type: ignore[attr-defined]
    page.key = device.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})["authenticatorId"]  # type: ignore[attr-defined]
    complaints = Complaints()
    watch(page, home, complaints)
    page.goto(f"{home}/team/sessions/")
    yield page
    context.close()
    complaints.allow("403")
    assert complaints == []


def add(page: Page, name: str = "Laptop") -> None:
    page.goto(page.url.split("/", 3)[0] + "//" + page.url.split("/", 3)[2] + "/factors/")
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Go on").click()
    page.locator("#content").get_by_text("The passkey is kept").wait_for()


def sign_out(page: Page, home: str) -> None:
    page.goto("about:blank")  # an open page would find out by itself, and go where it wants
    page.context.clear_cookies(name="pilothouse_session")
    page.goto(f"{home}/login?next=/errors/")


def test_a_passkey_is_made_and_signs_in(page: Page, console: tuple[Flask, str]) -> None:
    add(page)
    page.get_by_role("row", name="Laptop").wait_for()
    for _ in range(2):
        sign_out(page, console[1])
        page.get_by_role("link", name="Passkey").click()
        page.get_by_role("button", name="Use your passkey").click()
        page.wait_for_url(f"{console[1]}/errors/")
    page.locator(".me").get_by_text("Ada Moreau").wait_for()
    with console[0].app_context():
        key = db.session.execute(db.text("SELECT sign_count, last_used_at FROM passkeys")).one()
        actions = db.session.execute(db.text("SELECT action FROM audit_log")).scalars().all()
        db.session.remove()
    assert key.sign_count > 1
    assert key.last_used_at is not None
    assert {"factors.passkey_added", "identity.signed_in"} <= set(actions)


def test_a_passkey_that_was_removed_opens_nothing(page: Page, console: tuple[Flask, str]) -> None:
    add(page)
    page.get_by_role("button", name="Remove").click()
    page.locator("#confirm").get_by_role("button", name="Remove").click()
    page.get_by_text("No passkey yet").wait_for()
    sign_out(page, console[1])
    page.get_by_role("link", name="Passkey").click()
    page.get_by_role("button", name="Use your passkey").click()
    page.get_by_text("belongs to nobody here").wait_for()


def test_a_person_who_is_not_verified_does_not_come_in(page: Page, console: tuple[Flask, str]) -> None:
    add(page)
    sign_out(page, console[1])
    page.device.send("WebAuthn.setUserVerified", {"authenticatorId": page.key, "isUserVerified": False})  # type: ignore[attr-defined]
    page.get_by_role("link", name="Passkey").click()
    page.get_by_role("button", name="Use your passkey").click()
    page.get_by_text("did not go through with it").wait_for()
    assert "/factors/passkey" in page.url


def test_what_the_browser_refused_is_tried_again_at_once(page: Page, console: tuple[Flask, str]) -> None:
    add(page)
    sign_out(page, console[1])
    page.device.send("WebAuthn.setUserVerified", {"authenticatorId": page.key, "isUserVerified": False})  # type: ignore[attr-defined]
    page.get_by_role("link", name="Passkey").click()
    button = page.get_by_role("button", name="Use your passkey")
    button.click()
    page.get_by_text("did not go through with it").wait_for()
    assert button.get_attribute("aria-busy") is None
    assert page.evaluate("document.activeElement.textContent") == "Use your passkey"
    page.device.send("WebAuthn.setUserVerified", {"authenticatorId": page.key, "isUserVerified": True})  # type: ignore[attr-defined]
    button.click()
    page.wait_for_url(f"{console[1]}/errors/")


def test_an_answer_is_worth_nothing_a_second_time(page: Page, console: tuple[Flask, str]) -> None:
    add(page)
    sign_out(page, console[1])
    page.get_by_role("link", name="Passkey").click()
    sent: list[Any] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.get_by_role("button", name="Use your passkey").click()
    page.wait_for_url(f"{console[1]}/errors/")
    headers = {name: value for name, value in sent[0].all_headers().items() if name in {"cookie", "content-type", "origin"}}
    again = console[0].test_client(use_cookies=False).post("/factors/passkey", data=sent[0].post_data, headers=headers)
    assert (again.status_code, "given before" in again.text) == (409, True)


@pytest.mark.parametrize("answer", ["", "{}", "[]", '{"id": "AAAA"}', '{"id": 5, "response": null}', "[" * 9_000])
def test_nonsense_is_refused(console: tuple[Flask, str], answer: str) -> None:
    client = console[0].test_client()
    client.get("/factors/passkey")
    assert client.post("/factors/passkey", data={"answer": answer}).status_code == 403


@pytest.mark.parametrize(
    "path", ["/factors/", "/factors/passkeys/new", "/factors/confirm", "/factors/passkey", "/login?again=1"]
)
def test_a_page_has_no_violation_and_does_not_scroll_sideways(
    console: tuple[Flask, str], chromium: Browser, path: str
) -> None:
    app, home = console
    with app.app_context(), unit_of_work() as session:
        token = open_session(session.query(User).one(), device="Chromium", address="127.0.0.1", proven=True)
    context = chromium.new_context(bypass_csp=True, color_scheme="light", reduced_motion="reduce")
    context.add_cookies([{"name": "pilothouse_session", "value": token, "url": home}])
    page = context.new_page()
    page.goto(home + path)
    assert violations_in_both_schemes(page) == []
    for width in (320, 390, 1100):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
