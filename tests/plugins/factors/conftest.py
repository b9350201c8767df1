"""Members with codes and passkeys: browsers that go through the pages as people do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from flask import Flask

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.identity.magic_links import print_link
from pilothouse.identity.models import User
from pilothouse.identity.sessions import open_session
from pilothouse.identity.users import add_user


@pytest.fixture
def app(restored_app: Flask) -> Flask:
    """Return the module's application without what other tests stored."""
    return restored_app


class Browser:
    """A browser: gets pages, sends their forms with the CSRF token that stands in them."""

    def __init__(self, app: Flask) -> None:
        self.client: Any = app.test_client()

    def get(self, path: str) -> Any:
        return self.client.get(path)

    def post(self, path: str, **fields: Any) -> Any:
        page = self.client.get("/factors/").text
        found = re.search(r'name="csrf-token" content="([^"]*)"', page)
        token = {"X-CSRF-Token": found.group(1)} if found else {}
        return self.client.post(path, data=fields, headers={**token, "Referer": "http://localhost/factors/"})


class Person:
    """A member, their phone, and browsers that come in by a link of the command line."""

    def __init__(self, app: Flask, email: str = "ada@example.com", role: Any = "admin") -> None:
        self.app = app
        with unit_of_work():
            self.id = add_user(email, role, name="Ada").id
        self.secret = ""

    def browser(self) -> Browser:
        """Return a browser with an open session."""
        browser = Browser(self.app)
        with unit_of_work():
            token = open_session(db.session.get_one(User, self.id), device="Firefox", address="127.0.0.1", proven=True)
        browser.client.set_cookie("pilothouse_session", token)
        return browser

    def by_mail(self) -> Browser:
        """Return a browser that has used a link."""
        browser = Browser(self.app)
        with unit_of_work():
            link = print_link(db.session.get_one(User, self.id))
        assert browser.client.post(link.removeprefix("http://localhost")).status_code == 303
        return browser

    def code(self, ahead: int = 0) -> str:
        """Return what the phone shows, so many steps of 30 seconds later."""
        return str(pyotp.TOTP(self.secret).at(clock.now() // 1000 + 30 * ahead))

    def switch_on(self, browser: Browser) -> list[str]:
        """Set codes up; returns the recovery codes."""
        page = browser.post("/factors/codes").text
        self.secret = "".join(re.search(r'id="secret">([A-Z2-7 ]+)<', page).group(1).split())  # type: ignore[union-attr]
        answer = browser.post("/factors/codes/confirm", code=self.code(-1))
        if answer.status_code == 422:  # the 30 seconds ended between the two clocks
            answer = browser.post("/factors/codes/confirm", code=self.code(-1))
        assert answer.status_code == 200, answer.text
        return re.findall(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b", answer.text)[:10]


@pytest.fixture
def person(app: Flask) -> Person:
    """Return a member."""
    return Person(app)


@pytest.fixture
def make_person(app: Flask) -> Callable[..., Person]:
    """Return what makes members."""
    return lambda *about: Person(app, *about)
