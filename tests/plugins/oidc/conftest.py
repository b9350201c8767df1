"""A provider in a process of its own, an application that signs in with it, and browsers."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from pilothouse.audit import AuditEntry
from pilothouse.db import db, unit_of_work
from pilothouse.identity.users import add_user
from pilothouse.testing import environment, let_go, make_app

PROGRAM = Path(__file__).parent / "provider_process.py"
CLIENT, SECRET = "pilothouse", "s3cret:/with%signs"
ANN = {"sub": "s-1", "email": "ann@example.com", "email_verified": True, "name": "Ann"}


class Provider:
    """The provider's address, and what it is told to do."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def tell(self, **told: Any) -> None:
        """Change who signs in (`person`), how it lies (`fault`), or its key (`rotate`)."""
        urlopen(Request(f"{self.issuer}/control", json.dumps(told).encode())).close()

    def asked(self) -> list[str]:
        """Return the paths that were asked for so far."""
        with urlopen(f"{self.issuer}/asked") as answer:
            return list(json.load(answer)["asked"])


@pytest.fixture(scope="module")
def running_provider() -> Iterator[Provider]:
    """Start a provider for the module."""
    process = subprocess.Popen([sys.executable, str(PROGRAM)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield Provider(process.stdout.readline().strip())
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
def provider(running_provider: Provider) -> Provider:
    """Return the provider, honest, with Ann before it."""
    running_provider.tell(person=ANN)
    return running_provider


def settings(issuer: str, **more: str) -> dict[str, str]:
    return {
        "PILOTHOUSE_OIDC_ISSUER": issuer, "PILOTHOUSE_OIDC_CLIENT_ID": CLIENT, "PILOTHOUSE_OIDC_CLIENT_SECRET": SECRET,
        "PILOTHOUSE_ALLOW_PRIVATE_TARGETS": "on", **more,
    }  # fmt: skip


@pytest.fixture
def app(migrated: Path, tmp_path: Path, provider: Provider, request: pytest.FixtureRequest) -> Iterator[Flask]:
    """Build an application that signs in with the provider; a parameter has further settings."""
    shutil.copy(migrated, tmp_path / "pilothouse.db")
    made = make_app(environment(tmp_path, **settings(provider.issuer, **getattr(request, "param", {}))))
    with made.app_context():
        yield made
    let_go(made)


@pytest.fixture
def member(app: Flask) -> Callable[..., str]:
    """Make a person and return their id."""

    def make(email: str = "ann@example.com", role: Any = "member", **fields: Any) -> str:
        with unit_of_work():
            return str(add_user(email, role, **fields).id)

    return make


def answer_of(client: FlaskClient, path: str = "/oidc/start") -> str:
    """Go to the provider, continue there, and return the path that it leads back to."""
    there = client.get(path)
    assert there.status_code == 303, there.text
    with urlopen(there.headers["Location"]) as page:
        found = re.search(r'href="http://localhost([^"]+)"', page.read().decode())
    assert found is not None
    return html.unescape(found[1])


@pytest.fixture
def come_in(client: FlaskClient) -> Callable[..., Any]:
    """Return what signs in with the provider, and returns the last answer."""
    return lambda path="/oidc/start": client.get(answer_of(client, path))


@pytest.fixture
def entries() -> Callable[[str], list[AuditEntry]]:
    """Return the audit entries of an action."""
    return lambda action: list(db.session.scalars(select(AuditEntry).where(AuditEntry.action == action)))
