"""Backups while others write, and restoring them into an empty place."""

from __future__ import annotations

import sqlite3
import stat
import threading
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.conftest import token_of

from pilothouse.db import db
from pilothouse.testing import Api, environment, let_go, make_app


def write_until(stop: threading.Event, path: Path) -> None:
    """Insert pairs of rows, each pair in one transaction, as quickly as the database takes them."""
    connection = sqlite3.connect(path, timeout=10, isolation_level=None)
    number = 0
    while not stop.is_set():
        number += 1
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO pairs VALUES (?, 'left')", (number,))
        connection.execute("INSERT INTO pairs VALUES (?, 'right')", (number,))
        connection.execute("COMMIT")
    connection.close()


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_a_backup_while_writing_holds_one_moment(run, place: Path, tmp_path: Path, monkeypatch) -> None:
    database = place / "pilothouse.db"
    connection = sqlite3.connect(database)
    connection.executescript("PRAGMA journal_mode=WAL; CREATE TABLE pairs (number INTEGER, side TEXT);")
    connection.close()
    stop = threading.Event()
    writer = threading.Thread(target=write_until, args=(stop, database))
    writer.start()
    try:
        told = [run("backup", str(tmp_path / f"backup-{number}")) for number in range(3)]
    finally:
        stop.set()
        writer.join()
    assert [line.code for line in told] == [0, 0, 0]
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path / "new"))
    assert run("restore", str(tmp_path / "backup-2")).code == 0
    restored = tmp_path / "new" / "pilothouse.db"
    assert query(restored, "SELECT count(*) % 2, count(*) > 0 FROM pairs") == [(0, 1)]
    assert query(restored, "PRAGMA integrity_check") == [("ok",)]


def test_a_backup_holds_no_key_unless_asked(run, place: Path, tmp_path: Path) -> None:
    (place / "secret.key").write_text("very secret")
    run("backup", str(tmp_path / "plain"))
    run("backup", str(tmp_path / "full"), "--with-keys")
    with zipfile.ZipFile(tmp_path / "plain") as plain, zipfile.ZipFile(tmp_path / "full") as full:
        assert plain.namelist() == ["database.sqlite3", "manifest.json"]
        assert full.read("keys/secret.key") == b"very secret"
    assert stat.S_IMODE((tmp_path / "full").stat().st_mode) == 0o600


def test_keys_come_back_with_a_full_backup(run, place: Path, tmp_path: Path, monkeypatch) -> None:
    (place / "secret.key").write_text("very secret")
    run("backup", str(tmp_path / "full"), "--with-keys")
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path / "new"))
    assert "with secret.key" in run("restore", str(tmp_path / "full")).out
    restored = tmp_path / "new" / "secret.key"
    assert (restored.read_text(), stat.S_IMODE(restored.stat().st_mode)) == ("very secret", 0o600)


def test_nothing_is_overwritten(run, place: Path, tmp_path: Path) -> None:
    assert run("backup", str(tmp_path / "backup")).code == 0
    before = (place / "pilothouse.db").read_bytes()
    again, over = run("backup", str(tmp_path / "backup")), run("restore", str(tmp_path / "backup"))
    assert "is there already" in again.err
    assert "restore into an empty place" in over.err
    assert (place / "pilothouse.db").read_bytes() == before


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_cut_backup_restores_nothing(run, place: Path, tmp_path: Path, monkeypatch, share: float) -> None:
    run("backup", str(tmp_path / "backup"))
    whole = (tmp_path / "backup").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(len(whole) * share)])
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path / "new"))
    told = run("restore", str(tmp_path / "cut"))
    assert "is not a whole backup" in told.err
    assert not (tmp_path / "new").exists()


def test_a_backup_needs_a_database(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("PILOTHOUSE_SECRET_KEY", "0" * 32)
    told = run("backup", str(tmp_path / "backup"))
    assert "there is no database" in told.err
    assert list(tmp_path.iterdir()) == []


def test_a_restored_database_works(run, place: Path, tmp_path: Path, monkeypatch) -> None:
    assert run("owner", "ada@example.org").code == 0
    run("backup", str(tmp_path / "backup"))
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path / "new"))
    run("restore", str(tmp_path / "backup"))
    assert run("db", "check").code == 0
    assert "/login/" in run("owner", "ada@example.org").out
    assert run("audit", "verify").code == 0


def write_runs_until(stop: threading.Event, api, ids: list[str]) -> None:
    """Send an execution and an event in one request, over and over; notes what was acknowledged."""
    while not stop.is_set():
        key = f"during-{len(ids)}"
        answer = api.send({"type": "execution", "id": key, "workflow": "w", "status": "running"}, {"type": "event", "id": key, "name": "n"})
        assert answer["accepted"] == 2
        ids.append(key)


@pytest.mark.postgres
def test_a_postgres_backup_while_writing_fills_an_empty_database(run, postgres, postgres_url, tmp_path, monkeypatch) -> None:
    for name, value in environment(tmp_path, PILOTHOUSE_DATABASE_URL=postgres_url).items():
        monkeypatch.setenv(name, value)
    assert run("owner", "ada@example.org").code == 0
    app = make_app(environment(tmp_path, PILOTHOUSE_DATABASE_URL=postgres_url))
    with app.app_context():
        api = Api(app.test_client(), token_of(app))
    texts = {"type": "event", "id": "odd", "name": "tab\tline\nback\\slash \\N 雪", "properties": {"a": [1, None]}}
    broken = {"type": "error", "id": "before", "error_type": "E", "message": "m"}
    assert api.send(texts, broken)["accepted"] == 2
    stop, during = threading.Event(), []
    writer = threading.Thread(target=write_runs_until, args=(stop, api, during))
    writer.start()
    try:
        told = run("backup", str(tmp_path / "backup"))
    finally:
        stop.set()
        writer.join()
    let_go(app)
    assert (told.code, len(during) > 0) == (0, True)

    target = postgres.database()
    monkeypatch.setenv("PILOTHOUSE_DATABASE_URL", postgres.url(target))
    restored = run("restore", str(tmp_path / "backup"))
    assert restored.code == 0, restored.err
    assert run("restore", str(tmp_path / "backup")).code != 0  # it is not empty any more
    assert run("db", "check").code == 0
    assert run("audit", "verify").code == 0
    app = make_app(environment(tmp_path, PILOTHOUSE_DATABASE_URL=postgres.url(target)))
    with app.app_context():
        runs = set(db.session.scalars(text("SELECT id FROM executions WHERE id LIKE 'during-%'")))
        events = set(db.session.scalars(text("SELECT id FROM events WHERE id LIKE 'during-%'")))
        assert runs == events  # one moment: never one half of a request
        assert db.session.scalar(text("SELECT name FROM events WHERE id = 'odd'")) == texts["name"]
        api = Api(app.test_client(), token_of(app))
        assert api.send({**broken, "id": "after"}, {**texts, "id": "new"})["accepted"] == 2  # numbers are given on from where they were
    let_go(app)
