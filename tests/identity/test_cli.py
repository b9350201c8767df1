"""The commands of identity: what they print is all there is to copy."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pilothouse.db import db
from pilothouse.errors import Conflict, NotFound
from pilothouse.identity.cli import audit_group, owner_command, token_group


@pytest.fixture
def run(app):
    """Return the function that runs a command inside the application."""

    def run(command, *arguments):
        with app.app_context():
            result = CliRunner().invoke(command, arguments)
            db.session.remove()
        return result

    return run


def test_owner_prints_a_link_that_signs_in_and_nothing_else(run, client):
    result = run(owner_command, "ada@example.com")
    assert result.exit_code == 0
    assert client.post(result.stdout.strip().removeprefix("http://localhost")).status_code == 303
    assert result.stdout.count("\n") == 1


def test_owner_prints_a_fresh_link_each_time(run):
    assert run(owner_command, "ada@example.com").stdout != run(owner_command, "ada@example.com").stdout


def test_owner_fails_where_somebody_else_is_it(run):
    run(owner_command, "ada@example.com")
    assert isinstance(run(owner_command, "mallory@example.com").exception, Conflict)


def test_token_create_prints_the_token_alone(run, client):
    result = run(token_group, "create", "ci", "--scope", "read", "--scope", "write")
    headers = {"Authorization": f"Bearer {result.stdout.strip()}"}
    assert client.get("/api/auth/me", headers=headers).json["role"] == "owner"


@pytest.mark.parametrize("arguments", [
    ("create", "ci"), ("create", "ci", "--scope", "all"), ("create", "ci", "--scope", "read", "--expires", "soon"),
])
def test_wrong_arguments_are_refused(run, arguments):
    result = run(token_group, *arguments)
    assert result.exit_code == 2
    assert "Error" in result.stderr


def test_tokens_are_listed_without_the_secret(run):
    token = run(token_group, "create", "ci", "--scope", "read", "--expires", "30d").stdout.strip()
    run(token_group, "create", "forever", "--scope", "ingest")
    listed = run(token_group, "list").stdout
    assert token[:16] in listed
    assert token not in listed
    assert listed.count("never expires") == 1


def test_a_token_can_be_revoked(run, client):
    token = run(token_group, "create", "ci", "--scope", "read").stdout.strip()
    token_id = run(token_group, "list").stdout.split()[0]
    assert run(token_group, "revoke", token_id).exit_code == 0
    assert client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert isinstance(run(token_group, "revoke", token_id).exception, NotFound)


def test_audit_verify_tells_a_whole_log_from_a_broken_one(run, rows):
    run(owner_command, "ada@example.com")
    run(token_group, "create", "ci", "--scope", "read")
    whole = run(audit_group, "verify")
    assert (whole.exit_code, whole.stdout.startswith("2 entries, whole. Head ")) == (0, True)
    rows("UPDATE audit_log SET actor = 'mallory' WHERE seq = 1")
    broken = run(audit_group, "verify")
    assert broken.exit_code == 1
    assert "entry 1" in broken.stderr
