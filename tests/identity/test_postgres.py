"""What must hold on PostgreSQL too, where writers run at the same time: links, codes, owners and the audit chain."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from pilothouse import audit
from pilothouse.access import Principal
from pilothouse.db import db, unit_of_work
from pilothouse.errors import Conflict
from pilothouse.identity.access_tokens import create_token
from pilothouse.identity.magic_links import Visitor, arm, ask, redeem
from pilothouse.identity.models import MagicLink
from pilothouse.identity.owner import make_owner
from pilothouse.identity.users import add_user, change_user
from pilothouse.testing import environment, let_go, make_app

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def app(postgres, tmp_path_factory):
    """Build the application on PostgreSQL, with its tables."""
    url = postgres.url(postgres.database())
    app = make_app(environment(tmp_path_factory.mktemp("data"), PILOTHOUSE_DATABASE_URL=url), plugins=[])
    with app.app_context():
        db.create_all()
    yield app
    let_go(app)


@pytest.fixture(autouse=True)
def empty(app):
    """Start each test with empty tables."""
    with app.app_context(), unit_of_work() as session:
        for table in ("users", "magic_links", "sessions", "access_tokens", "audit_log", "audit_head"):
            session.execute(db.text(f"TRUNCATE {table} CASCADE"))


def number(app, statement):
    with app.app_context():
        return db.session.scalar(db.text(statement))


def in_parallel(app, times, work):
    """Run `work(number)` so many times at once, each in an application context, and return the results."""
    start, results = threading.Barrier(times), []

    def run(number):
        with app.app_context():
            start.wait()
            results.append(work(number))
            db.session.remove()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def link(app):
    """Ask for a link and return its token and code."""
    with app.app_context():
        with unit_of_work():
            add_user("ada@example.com", "member")
            code = ask("ada@example.com", "browser")
        with unit_of_work() as session:
            link_id = session.scalar(db.select(MagicLink.id))
        return arm(link_id)[1], code


def test_many_parallel_uses_make_one_session(app, link):
    outcomes = in_parallel(app, 25, lambda _: redeem(link[0], Visitor("browser")).outcome)
    assert outcomes.count("signed_in") == 1
    assert number(app, "SELECT count(*) FROM sessions") == 1


def test_parallel_guesses_get_no_sixth_try(app, link):
    outcomes = in_parallel(app, 20, lambda _: redeem(link[0], Visitor("other"), "22222222").outcome)
    assert set(outcomes) <= {"code_wrong", "ended"}
    assert number(app, "SELECT code_tries FROM magic_links") == 5
    with app.app_context():
        assert redeem(link[0], Visitor("other"), link[1]).outcome == "ended"


def test_of_two_owners_who_demote_each_other_one_remains(app):
    with app.app_context(), unit_of_work():
        owners = [add_user(f"o{number}@example.com", "owner").id for number in range(2)]

    def demote(number):
        with suppress(Conflict), unit_of_work():
            change_user(owners[number], by=Principal(owners[1 - number], "owner"), role="admin")

    in_parallel(app, 2, demote)
    assert number(app, "SELECT count(*) FROM users WHERE role = 'owner'") == 1


def test_one_address_invited_twice_at_once_makes_one_person(app):
    def invite(_):
        try:
            with unit_of_work():
                add_user("new@example.com", "member")
        except Conflict:
            return "conflict"
        return "added"

    assert sorted(in_parallel(app, 4, invite)) == ["added", "conflict", "conflict", "conflict"]


def test_parallel_writers_make_one_chain(app):
    def write(name):
        for entry in range(10):
            with unit_of_work():
                audit.record("test.done", f"{name} {entry}")

    in_parallel(app, 8, write)
    with app.app_context():
        verdict = audit.examine()
    assert (verdict.entries, verdict.broken_at) == (80, None)


def test_the_chain_can_be_checked_while_it_grows(app):
    def work(number):
        if number == 0:
            return [audit.verify() for _ in range(20)]
        for _ in range(20):
            with unit_of_work():
                audit.record("test.done")
        return [None]

    assert {found for result in in_parallel(app, 4, work) for found in result} == {None}


def test_a_first_start_and_a_token_work(app):
    with app.app_context():
        link = make_owner("ada@example.com")
        with unit_of_work():
            _, token = create_token("ci", ["read"])
    browser = app.test_client()
    assert browser.post(link.removeprefix("http://localhost")).status_code == 303
    assert browser.get("/api/auth/me").json["role"] == "owner"
    assert app.test_client().get("/api/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200
