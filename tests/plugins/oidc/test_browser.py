"""The whole way in a real browser, over two sites: button, provider, and back into the console."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.browser.conftest import Complaints, watch
from tests.plugins.oidc.conftest import Provider, settings

from pilothouse.db import unit_of_work
from pilothouse.identity.users import add_user
from pilothouse.testing import environment, let_go, make_app, serving

pytestmark = pytest.mark.browser


def test_a_member_comes_in_with_two_clicks(chromium: Browser, migrated: Path, tmp_path: Path, provider: Provider) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = f"http://localhost:{port}"  # the provider is at 127.0.0.1, which is another site to the browser
    shutil.copy(migrated, tmp_path / "pilothouse.db")
    app = make_app(environment(tmp_path, **settings(provider.issuer, PILOTHOUSE_BASE_URL=home)))
    with app.app_context(), unit_of_work():
        add_user("ann@example.com", "owner", name="Ann")
    complaints = Complaints()
    with serving(app, port):
        page = chromium.new_page()
        watch(page, home, complaints)
        page.goto(f"{home}/errors/?status=resolved")
        page.get_by_role("link", name="Single sign-on").click()
        page.get_by_role("link", name="Continue").click()
        page.wait_for_url(f"{home}/errors/?status=resolved")
        assert page.locator(".me").inner_text().startswith("A")
        provider.tell(fault="unsigned")
        page.context.clear_cookies()
        page.goto(f"{home}/oidc/start")
        page.get_by_role("link", name="Continue").click()
        assert page.get_by_role("heading", name="This did not sign you in").is_visible()
        page.close()
    let_go(app)
    complaints.allow("request to another host: " + provider.issuer)
    complaints.allow("403")
    complaints.allow("favicon")
    assert complaints == []
