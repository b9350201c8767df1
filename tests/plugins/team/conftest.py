"""People of the team, and browsers that are signed in as them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from flask import Flask

from pilothouse.access import Principal
from pilothouse.db import unit_of_work
from pilothouse.identity.access_tokens import create_token
from pilothouse.identity.models import User
from pilothouse.identity.sessions import open_session
from pilothouse.identity.users import add_user
from pilothouse.testing import Api
from pilothouse.work.runner import drain

LOCAL = "http://localhost"


def principal(user: User) -> Principal:
    return Principal(user.id, user.role, user.name, user.email, user_id=user.id)  # type: ignore[arg-type]


class Team:
    """Makes members, and what they act with."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def add(self, role: Any = "member", email: str = "", **fields: Any) -> User:
        with unit_of_work():
            return add_user(email or f"{role}@example.com", role, **{"name": f"{role.title()} Person", **fields})

    def browser(self, user: User, device: str = "Firefox on Linux") -> Any:
        """Return a browser that is signed in as the user; unsafe requests carry its CSRF token."""
        with unit_of_work():
            token = open_session(user, device=device, address="127.0.0.1")
        client: Any = self.app.test_client()
        client.set_cookie("pilothouse_session", token)
        client.environ_base["HTTP_X_CSRF_TOKEN"] = client.get("/api/auth/me").json["csrf_token"]
        return client

    def program(self, user: User, *scopes: str) -> Api:
        """Return a program with a token of the user's."""
        with unit_of_work():
            token = create_token("theirs", scopes or ("read", "write", "admin"), maker=principal(user))[1]
        return Api(self.app.test_client(), token)


@pytest.fixture
def app(restored_app: Flask) -> Flask:
    """Return the module's application without what other tests stored."""
    return restored_app


@pytest.fixture
def team(app: Flask) -> Team:
    """Return what makes members."""
    return Team(app)


@pytest.fixture
def owner(team: Team) -> Any:
    """Return the browser of an owner."""
    return team.browser(team.add("owner"))


@pytest.fixture
def admin(team: Team, owner: Any) -> Any:
    """Return the browser of an admin; there is an owner beside."""
    return team.browser(team.add("admin"))


@pytest.fixture
def invited(owner: Any) -> Callable[..., str]:
    """Return a function that invites an address and returns the path of its link."""

    def invite(email: str = "new@example.com", role: str = "member") -> str:
        answer = owner.post("/api/team/invites", json={"email": email, "role": role})
        assert answer.status_code == 201, answer.text
        return str(answer.json["link"]).removeprefix(LOCAL)

    return invite


@pytest.fixture
def received() -> Iterator[Callable[[], list[Any]]]:
    """Run an SMTP server; return a function that returns the mails that it took."""
    taken: list[Any] = []

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            taken.append(message_from_bytes(envelope.content, policy=policy.default))
            return "250 OK"

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Controller(Handler(), hostname="127.0.0.1", port=port)
    server.start()

    def read() -> list[Any]:
        return [mail for mail in taken if mail["To"] == "new@example.com"]  # not what members are told of the same

    read.port = port  # type: ignore[attr-defined]
    yield read
    server.stop()


@pytest.fixture
def mailing_app(received: Any, build_app: Callable[..., Flask]) -> Iterator[Flask]:
    """Build an application with a mail server."""
    app = build_app(PILOTHOUSE_SMTP_URL=f"smtp://127.0.0.1:{received.port}")
    with app.app_context():
        yield app
    app.extensions["pilothouse"].mailer.close()


@pytest.fixture
def work(mailing_app: Flask) -> Callable[[], int]:
    """Return a function that runs the jobs that are due."""
    return lambda: drain(mailing_app)
