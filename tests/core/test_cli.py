"""The command line: what it prints, and one plain line where it fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from sqlalchemy import create_engine, text

from pilothouse.cli import COMMANDS, cli, explain_fault
from pilothouse.errors import PilothouseError


def test_help_is_quick_and_names_every_command() -> None:
    begun = time.monotonic()
    told = subprocess.run([sys.executable, "-m", "pilothouse", "--help"], capture_output=True, text=True, check=True)
    assert time.monotonic() - begun < 2
    assert all(f"  {name} " in told.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_fits_its_line(name: str, run) -> None:
    told = run(name, "--help")
    assert told.code == 0
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help


@pytest.mark.parametrize("command", ["routes", "up"])
def test_every_wrong_setting_has_its_line(monkeypatch: pytest.MonkeyPatch, run, tmp_path: Path, command: str) -> None:
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PILOTHOUSE_RETENTION_DAYS", "soon")
    monkeypatch.setenv("PILOTHOUSE_SMTP_URL", "mail.example.org")
    monkeypatch.setenv("PILOTHOUSE_MAIL_FROM", "nobody")
    monkeypatch.setenv("PILOTHOUSE_LOST_AFTER", "never")  # of a plugin
    told = run(command)
    assert (told.code, told.out) == (2, "")
    wrong = ["PILOTHOUSE_SMTP_URL", "PILOTHOUSE_MAIL_FROM", "PILOTHOUSE_RETENTION_DAYS", "PILOTHOUSE_LOST_AFTER"]
    required = ["PILOTHOUSE_SECRET_KEY"] if command == "routes" else []  # `up` makes it
    assert [line.split()[1] for line in told.err.splitlines()] == wrong + required


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing-like-it",),
        ("db", "downgrade", "nobody@base"),
        ("owner", "no address"),
        ("plugins", "enable", "nobody"),
        ("plugins", "new", "Not A Name"),
        ("plugins", "disable", "core"),
        ("backup", "/nowhere/at/all"),
        ("restore", "/nowhere/at/all"),
        ("token", "create", "x", "--scope", "everything"),
        ("web", "--port", "99999999"),
        ("keys", "rotate-master"),  # the keys are in the environment here
        ("demo", "--url", "http://127.0.0.1:9", "--token", "x"),
    ],
    ids=" ".join,
)
def test_a_failure_is_one_plain_line(arguments: tuple[str, ...], run, place: Path) -> None:
    told = run(*arguments)
    assert told.code != 0
    assert told.err.startswith("pilothouse: ")
    assert told.err.count("\n") == 1
    assert "Traceback" not in told.err


def test_a_database_that_is_not_set_up_is_told(run, place: Path) -> None:
    (place / "pilothouse.db").unlink()
    assert run("owner", "ada@example.org").err == (
        "pilothouse: the database is not set up; run `pilothouse db upgrade`\n"
    )


def test_whatever_happens_is_one_line() -> None:
    assert explain_fault(RuntimeError("two\nlines")) == (["RuntimeError: two lines"], 1)
    assert explain_fault(PilothouseError("plain")) == (["plain"], 1)
    assert explain_fault(click.exceptions.Abort()) == (["aborted"], 130)


def test_routes_state_their_permissions(run, place: Path) -> None:
    routes = {route["path"]: route for route in json.loads(run("routes", "--json").out)}
    assert routes["/healthz"] == {"path": "/healthz", "methods": ["GET"], "permission": "public"}
    assert routes["/api/dead-letters"]["permission"] == "core.dead_letters.view"
    assert all(route["permission"] for route in routes.values())
    assert "/api/dead-letters" in run("routes").out


def test_openapi_prints_the_document(run, place: Path) -> None:
    document = json.loads(run("openapi").out)
    assert document["openapi"].startswith("3.1")
    assert "/api/ingest" in document["paths"]


def test_doctor_names_each_check_and_its_remedy(run, place: Path) -> None:
    told = run("doctor")
    assert told.code == 1
    assert "ok    database" in told.out
    assert "FAIL  broker: No broker is set" in told.out
    assert "-> Start Valkey or Redis" in told.out
    assert told.err == "pilothouse: Not well: broker.\n"


def test_doctor_says_what_is_wrong_with_the_settings(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PILOTHOUSE_DATA_DIR", str(tmp_path))
    told = run("doctor")
    assert (told.code, told.err) == (1, "pilothouse: The settings are wrong.\n")
    assert "FAIL  settings: PILOTHOUSE_SECRET_KEY is required" in told.out


def test_the_database_goes_up_and_down(run, place: Path) -> None:
    assert run("db", "upgrade").out == "The database was at its newest revision already.\n"
    assert run("db", "check").out == "The database is as the models say.\n"
    down = run("db", "downgrade", "executions@base")
    assert (down.code, down.out) == (0, "Downgraded to executions@base.\n")
    assert "executions (never upgraded)" in run("db", "current").out
    assert run("db", "check").code == 1
    assert "executions" in run("db", "upgrade").out


def test_migrations_are_written_for_plugins_only(run, place: Path) -> None:
    told = run("db", "revision", "nobody", "what changes")
    assert (told.code, told.err) == (1, "pilothouse: No plugin named nobody has migrations.\n")


def test_a_database_that_drifted_is_told(run, place: Path) -> None:
    engine = create_engine(f"sqlite:///{place / 'pilothouse.db'}")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs ADD COLUMN extra INTEGER"))
    engine.dispose()
    told = run("db", "check")
    assert told.code == 1
    assert "extra" in told.out


def test_plugins_are_listed_and_switched(run, place: Path) -> None:
    assert run("plugins", "disable", "executions").code in {0, 1}  # others may require it
    listed = run("plugins", "list").out
    assert any(line.split()[:2] == ["enabled", "core"] for line in listed.splitlines())


def test_the_master_key_is_rotated_in_its_file(run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PILOTHOUSE_MASTER_KEYS")
    for _ in range(2):
        told = run("keys", "rotate-master")
        assert "The newest master key is " in told.out
    assert len((place / "master.keys").read_text().split()) == 2
    assert run("audit", "verify").code == 0


def test_a_new_plugin_is_whole_and_is_not_made_twice(run, place: Path, tmp_path: Path) -> None:
    told = run("plugins", "new", "night_watch", "--folder", str(tmp_path))
    folder = tmp_path / "pilothouse-night-watch"
    assert told.out.startswith(f"Made {folder}")
    for source in folder.rglob("*.py"):
        compile(source.read_text(), source, "exec")
    assert "is there already" in run("plugins", "new", "night_watch", "--folder", str(tmp_path)).err
    assert "is installed already" in run("plugins", "new", "executions", "--folder", str(tmp_path)).err


def test_a_new_plugin_passes_its_own_tests(run, place: Path, tmp_path: Path) -> None:
    run("plugins", "new", "night_watch", "--folder", str(tmp_path))
    folder = tmp_path / "pilothouse-night-watch"
    info = folder / "src" / "pilothouse_night_watch-0.1.0.dist-info"  # what an installer would write beside it
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pilothouse-night-watch\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[pilothouse.plugins]\nnight_watch = pilothouse_night_watch.plugin\n")
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder, capture_output=True, text=True, check=False,
        env={"PATH": "", "PYTHONPATH": str(folder / "src"), "PYTHONWARNINGS": "error"},
    )  # fmt: skip
    assert "5 passed" in told.stdout, told.stdout
