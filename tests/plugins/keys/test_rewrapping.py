"""Rotating the master key with the real command, killed at random moments: no secret is ever out of reach."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select
from tests.conftest import Beside, token_of

from pilothouse import clock
from pilothouse.access import Principal
from pilothouse.commands.keys import rewrapping
from pilothouse.crypto import MASTER_FILE, Place, add_master_key
from pilothouse.db import db, unit_of_work
from pilothouse.errors import Conflict
from pilothouse.identity.users import add_user
from pilothouse.runtime import runtime
from pilothouse.testing import Api, environment, let_go, make_app
from pilothouse_factors.service import begin_codes
from pilothouse_keys import service
from pilothouse_keys.models import ProviderKey
from pilothouse_keys.service import FIELD, TABLE
from pilothouse_notifications import channels
from pilothouse_notifications.models import Channel

START_S = 1.0  # until the command has read its settings; what is killed before that has done nothing
ENDS_S = 60
Start = Callable[[Callable[[], object]], Beside]


@pytest.fixture
def file_app(migrated: Path, tmp_path: Path) -> Iterator[Flask]:
    """Keep the master keys in a file, where they can be rotated."""
    shutil.copy(migrated, tmp_path / "pilothouse.db")
    add_master_key(tmp_path / MASTER_FILE)
    environ = {name: value for name, value in environment(tmp_path).items() if name != "PILOTHOUSE_MASTER_KEYS"}
    app = make_app(environ)
    with app.app_context():
        yield app
    let_go(app)


def secret_of(number: int) -> str:
    return f"sk-rewrapped-{number:06}"


def add_keys(count: int) -> None:
    keyring, at = runtime().keyring, clock.now()
    with unit_of_work() as session:
        for number in range(count):
            key = ProviderKey(
                id=f"key-{number:06}", user_id=None, name="n", service="openai", base_url=None, version=2, sealed="", previous=None,
                previous_until=None, last4="0000", fingerprint="f", usage_count=0, created_at=at,
            )  # fmt: skip
            key.sealed = keyring.seal(secret_of(number), Place(TABLE, key.id, FIELD, 2))
            key.previous = keyring.seal(secret_of(number) + "-old", Place(TABLE, key.id, FIELD, 1))
            session.add(key)


def rotate(folder: Path) -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in environment(folder).items() if name != "PILOTHOUSE_MASTER_KEYS"}
    command = [sys.executable, "-m", "pilothouse", "keys", "rotate-master"]
    return subprocess.Popen(command, env={**os.environ, **environ}, stdout=subprocess.DEVNULL)


def opened() -> list[tuple[str, str]]:
    db.session.rollback()
    keyring = runtime().keyring
    rows = db.session.execute(select(ProviderKey.id, ProviderKey.sealed, ProviderKey.previous).order_by(ProviderKey.id))
    return [
        (keyring.unseal(sealed, Place(TABLE, key, FIELD, 2)), keyring.unseal(previous, Place(TABLE, key, FIELD, 1)))
        for key, sealed, previous in rows
    ]  # fmt: skip


def newest_only() -> bool:
    db.session.rollback()
    keyring = runtime().keyring
    keyring.reload()
    rows = db.session.execute(select(ProviderKey.sealed, ProviderKey.previous))
    return {keyring.wrapped_by(text) for row in rows for text in row} == {keyring.newest}


def test_a_rotation_wraps_what_every_plugin_has_sealed(file_app: Flask) -> None:
    api = Api(file_app.test_client(), token_of(file_app))
    api.post("/api/keys", json={"name": "main", "service": "openai", "secret": secret_of(0)})
    made = api.post("/api/notifications/channels", json={"name": "hook", "kind": "email", "url": "ops@example.com"})
    assert made.status_code == 201, made.text
    with unit_of_work():
        user = add_user("ada@example.com", "owner")
        db.session.flush()
        begin_codes(user)
    add_master_key(runtime().settings.data_dir / MASTER_FILE)
    runtime().keyring.reload()
    for _, task in rewrapping(runtime().registry.all("tasks")):
        task.run({})
    db.session.rollback()
    tables = (("provider_keys", "sealed"), ("notification_channels", "target"), ("authenticators", "sealed"))
    found = [row[0] for table, column in tables for row in db.session.execute(db.text(f"SELECT {column} FROM {table}"))]
    assert len(found) == 3
    assert {runtime().keyring.wrapped_by(text) for text in found} == {runtime().keyring.newest}


@pytest.mark.parametrize(("kills", "keys"), [(4, 1_500), pytest.param(50, 10_000, marks=[pytest.mark.kill, pytest.mark.slow])])
def test_a_rotation_that_is_killed_leaves_every_secret_readable(file_app: Flask, tmp_path: Path, kills: int, keys: int) -> None:
    add_keys(keys)
    wanted = [(secret_of(number), f"{secret_of(number)}-old") for number in range(keys)]
    for _ in range(kills):
        process = rotate(tmp_path)
        time.sleep(random.uniform(START_S, START_S + 2))
        process.kill()
        process.wait(ENDS_S)
        assert opened() == wanted
    assert rotate(tmp_path).wait(ENDS_S) == 0
    assert newest_only()
    assert opened() == wanted


@pytest.fixture
def postgres_app(postgres_url: str, tmp_path: Path) -> Iterator[Flask]:
    """Keep the master keys in a file, and the secrets on PostgreSQL, where writers run at the same time."""
    add_master_key(tmp_path / MASTER_FILE)
    environ = environment(tmp_path, PILOTHOUSE_DATABASE_URL=postgres_url)
    app = make_app({name: value for name, value in environ.items() if name != "PILOTHOUSE_MASTER_KEYS"})
    with app.app_context():
        yield app
    let_go(app)


@pytest.mark.postgres
def test_a_secret_that_is_rotated_while_all_are_wrapped_anew_stays_readable(beside: Start) -> None:
    owner = Principal("token:test", "owner", "test")
    with unit_of_work():
        key = service.add("main", "openai", "sk-the-old-secret", owner)
    add_master_key(runtime().settings.data_dir / MASTER_FILE)
    runtime().keyring.reload()
    with unit_of_work():
        service.rotate(key.id, "sk-the-new-secret", 60, owner)
        db.session.flush()
        wrapping = beside(service.rewrap_all)
    wrapping.end()
    found = service.open_newest("openai", None)
    assert found is not None
    assert found.secret == "sk-the-new-secret"


@pytest.mark.postgres
def test_a_channel_that_moves_while_all_are_wrapped_anew_stays_where_it_went(beside: Start) -> None:
    with unit_of_work():
        channel = channels.create("ops", "email", "old@example.com", [])[0]
    add_master_key(runtime().settings.data_dir / MASTER_FILE)
    runtime().keyring.reload()

    def wrap() -> None:
        with unit_of_work():
            channels.rewrap_all()

    with unit_of_work():
        channels.change(channel.id, {"url": "new@example.com"})
        db.session.flush()
        wrapping = beside(wrap)
    wrapping.end()
    with unit_of_work() as session:
        assert channels.target_of(session.get_one(Channel, channel.id, populate_existing=True)) == "new@example.com"


@pytest.mark.postgres
def test_a_key_that_is_revoked_while_it_is_rotated_keeps_no_secret(beside: Start) -> None:
    owner = Principal("token:test", "owner", "test")
    with unit_of_work():
        key = service.add("main", "openai", "sk-the-old-secret", owner)

    def rotate_it() -> None:
        with suppress(Conflict), unit_of_work():
            service.rotate(key.id, "sk-the-new-secret", 0, owner)

    with unit_of_work():
        service.revoke(key.id, owner)
        db.session.flush()
        rotating = beside(rotate_it)
    rotating.end()
    row = db.session.execute(select(ProviderKey.sealed, ProviderKey.revoked_at)).one()
    assert (row.sealed, row.revoked_at is None) == ("", False)
