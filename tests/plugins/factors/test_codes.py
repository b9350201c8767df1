"""Codes of an authenticator: a second step of signing in, each code once, recovery codes for the lost phone."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.identity.users import add_user
from pilothouse.runtime import runtime
from pilothouse_factors import commands, service


@pytest.fixture
def later():
    """Let the clock jump ahead by so many ms."""
    ahead, real = [0], clock._system_now
    with clock.replaced(lambda: real() + ahead[0]):
        yield lambda ms: ahead.__setitem__(0, ahead[0] + ms)


def confirm(browser, code):
    return browser.client.post("/factors/confirm", data={"code": code, "next": "/executions/"})


def test_a_link_alone_opens_nothing_once_codes_are_on(person):
    assert len(person.switch_on(person.browser())) == 10
    browser = person.by_mail()
    assert browser.get("/executions/").location == "/login?next=/executions/"
    assert browser.get("/api/auth/me").status_code == 401
    assert browser.get("/login?next=/executions/").location == "/factors/confirm?next=/executions/"
    assert "authenticator app" in browser.get("/factors/confirm?next=/executions/").text


def test_the_code_opens_the_session_and_leads_on(person):
    person.switch_on(person.browser())
    browser = person.by_mail()
    answer = confirm(browser, person.code())
    assert (answer.status_code, answer.location) == (303, "/executions/")
    assert browser.get("/executions/").status_code == 200


def test_a_code_works_once(person):
    person.switch_on(person.browser())
    code = person.code()
    assert confirm(person.by_mail(), code).status_code == 303
    assert confirm(person.by_mail(), code).status_code == 422


@pytest.mark.parametrize("code", ["000000", "", "abc", "１２３４５６", "x" * 500])
def test_a_wrong_code_opens_nothing(person, code):
    person.switch_on(person.browser())
    browser = person.by_mail()
    assert confirm(browser, code).status_code == 422
    assert browser.get("/executions/").status_code == 303


def test_guessing_is_stopped(person):
    person.switch_on(person.browser())
    browser = person.by_mail()
    assert [confirm(browser, "000000").status_code for _ in range(11)] == [422] * 10 + [429]


def test_a_half_open_session_ends_after_ten_minutes(person, later):
    person.switch_on(person.browser())
    browser = person.by_mail()
    later(10 * clock.MINUTE)
    assert confirm(browser, person.code()).location == "/login?next=/executions/"


def test_a_recovery_code_works_once_in_place_of_a_code(person):
    codes = person.switch_on(person.browser())
    assert confirm(person.by_mail(), f" {codes[0].upper()} ").status_code == 303
    assert confirm(person.by_mail(), codes[0]).status_code == 422
    assert "9 of 10 recovery codes" in person.browser().get("/factors/").text


def test_new_recovery_codes_end_the_old_ones(person):
    browser = person.browser()
    codes = person.switch_on(browser)
    assert browser.post("/factors/recovery").status_code == 200
    assert confirm(person.by_mail(), codes[0]).status_code == 422


def test_codes_do_not_count_before_one_was_given(person):
    browser = person.browser()
    browser.post("/factors/codes")
    assert person.by_mail().get("/executions/").status_code == 200
    wrong = browser.post("/factors/codes/confirm", code="000000")
    assert wrong.status_code == 422
    assert person.by_mail().get("/executions/").status_code == 200


def test_switched_off_the_link_is_enough_again(person):
    browser = person.browser()
    person.switch_on(browser)
    assert browser.post("/factors/codes/off").status_code == 303
    assert person.by_mail().get("/executions/").status_code == 200


def test_the_secret_is_sealed_and_codes_are_hashes(person):
    codes = person.switch_on(person.browser())
    folder = runtime().settings.data_dir
    db.session.rollback()
    stored = b"".join(path.read_bytes() for path in folder.glob("pilothouse.db*"))
    assert [code for code in (person.secret, *codes, codes[0].replace("-", "")) if code.encode() in stored] == []


def test_a_secret_of_another_does_not_open(person, make_person):
    person.switch_on(person.browser())
    other = make_person("bob@example.com", "member")
    other.switch_on(other.browser())
    with unit_of_work() as session:
        session.execute(
            text(
                "UPDATE authenticators SET sealed = (SELECT sealed FROM authenticators WHERE user_id = :a) WHERE user_id = :b"
            ),
            {"a": other.id, "b": person.id},
        )
    assert confirm(person.by_mail(), other.code()).status_code == 500  # damage, and no way in


def test_the_command_line_takes_factors_from_who_lost_them(person):
    person.switch_on(person.browser())
    told = CliRunner().invoke(commands.factors, ["reset", "Ada@Example.com"])
    assert (told.exit_code, "without a second factor" in told.output) == (0, True)
    assert person.by_mail().get("/executions/").status_code == 200
    assert CliRunner().invoke(commands.factors, ["reset", "nobody@example.com"]).exit_code != 0


def test_it_is_in_the_audit_log(person, api):
    person.switch_on(person.browser())
    confirm(person.by_mail(), "000000")
    confirm(person.by_mail(), person.code())
    actions = [entry["action"] for entry in api.get("/api/team/audit").json["data"]]
    assert {"factors.codes_on", "factors.code_refused", "identity.proved"} <= set(actions)


@pytest.mark.postgres
def test_codes_that_two_windows_set_up_at_once_have_one_secret(beside):
    with unit_of_work():
        user = add_user("ada@example.com", "member")

    def set_up():
        with unit_of_work():
            service.begin_codes(user)

    with unit_of_work() as session:
        service.begin_codes(user)
        session.flush()
        second = beside(set_up)
    second.end()
    assert "secret=" in service.waiting_address(user)
