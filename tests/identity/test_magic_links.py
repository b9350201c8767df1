"""Magic links: one sign-in, in the asking browser, for ten minutes, and nothing betrays who has an account."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import threading
import time
from urllib.request import Request, urlopen

import pytest

from pilothouse import clock
from pilothouse.db import unit_of_work
from pilothouse.identity.magic_links import purge_links
from pilothouse.identity.owner import make_owner
from pilothouse.identity.tasks import purge
from pilothouse.testing import environment, let_go, make_app, serving


def ask(browser, email="member@example.com"):
    return browser.post("/api/auth/magic-link", json={"email": email})


def link_in(mail) -> str:
    return re.search(r"http://localhost(/login/\S+)", mail.get_body(("plain",)).get_content())[1]


def signed_in(browser) -> bool:
    return browser.get("/api/auth/me").status_code == 200


@pytest.fixture
def asked(client, people, mails):
    """Ask for a link; return the browser, the code it shows, and the link out of the mail."""
    people.add()
    code = ask(client).json["code"]
    return client, code, link_in(mails()[-1])


def test_the_asking_browser_signs_in_with_one_click(asked):
    browser, _, link = asked
    answer = browser.post(link)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/"
    assert browser.get("/api/auth/me").json["user"]["email"] == "member@example.com"


def test_a_get_shows_a_button_and_never_spends_the_link(asked):
    browser, _, link = asked
    pages = [browser.get(link) for _ in range(5)]
    assert all(page.status_code == 200 and b"m***@example.com" in page.data for page in pages)
    assert not any(page.headers.getlist("Set-Cookie") for page in pages)
    assert browser.post(link).status_code == 303


def test_a_link_works_once(asked):
    browser, _, link = asked
    browser.post(link)
    again = browser.post(link)
    assert again.status_code == 410
    assert b"used" in again.data


def test_a_link_ends_after_ten_minutes(asked, time_of_day):
    browser, _, link = asked
    time_of_day.pass_by(10 * clock.MINUTE)
    answer = browser.post(link)
    assert answer.status_code == 410
    assert b"expired" in answer.data


def test_another_browser_is_asked_for_the_code(asked, app):
    _, code, link = asked
    other = app.test_client()
    assert b'name="code"' in other.get(link).data
    assert other.post(link).status_code == 403
    assert not signed_in(other)
    assert other.post(link, data={"code": code}).status_code == 303
    assert signed_in(other)


def test_a_code_may_be_typed_in_small_letters_and_groups(asked, app):
    _, code, link = asked
    typed = f" {code[:4].lower()}-{code[4:].lower()} "
    assert app.test_client().post(link, json={"code": typed}).status_code == 303


def test_five_wrong_codes_end_the_link_for_everybody(asked, app):
    browser, code, link = asked
    other = app.test_client()
    for _ in range(5):
        assert other.post(link, data={"code": "22222222"}).status_code == 403
    assert other.post(link, data={"code": code}).status_code == 410
    assert browser.post(link).status_code == 410


def test_the_fifth_code_may_still_be_right(asked, app):
    _, code, link = asked
    other = app.test_client()
    for _ in range(4):
        other.post(link, data={"code": "22222222"})
    assert other.post(link, data={"code": code}).status_code == 303


def test_parallel_guesses_get_no_sixth_try(asked, app, rows):
    _, _, link = asked
    guess = {"code": "22222222"}
    answers = in_parallel(20, lambda _: app.test_client().post(link, data=guess).status_code)
    assert sorted(set(answers)) == [403, 410]
    assert rows("SELECT code_tries FROM magic_links") == [(5,)]


def test_fifty_parallel_uses_make_one_session(asked, app, rows):
    _, code, link = asked
    answers = in_parallel(50, lambda _: app.test_client().post(link, data={"code": code}).status_code)
    assert answers.count(303) == 1
    assert set(answers) == {303, 410}
    assert rows("SELECT count(*) FROM sessions") == [(1,)]


def in_parallel(times, work):
    results, start = [], threading.Barrier(times)

    def run(number):
        start.wait()
        results.append(work(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_known_and_unknown_addresses_get_the_same_answer(client, people, mails):
    people.add()
    known, unknown = ask(client), ask(client, "nobody@example.com")
    assert known.status_code == unknown.status_code == 202
    assert known.json.keys() == unknown.json.keys()
    assert {n for n, _ in known.headers} == {n for n, _ in unknown.headers}
    assert [mail["To"] for mail in mails()] == ["member@example.com"]


def test_known_and_unknown_addresses_do_the_same_work(app, people, client, rows):
    people.add()
    ask(client)
    ask(client, "nobody@example.com")
    assert rows("SELECT count(*), count(token_hash) FROM magic_links") == [(2, 0)]
    assert rows("SELECT count(*) FROM jobs WHERE task = 'core.send_magic_link'") == [(2,)]


def test_known_and_unknown_addresses_take_the_same_time(app, people):
    spent = {"member": [], "nobody": []}
    for number in range(20):
        people.add(email=f"member{number}@example.com")
        for who, times in spent.items():
            browser = app.test_client()
            started = time.perf_counter()
            ask(browser, f"{who}{number}@example.com")
            times.append(time.perf_counter() - started)
    known, unknown = (statistics.median(times) for times in spent.values())
    assert abs(known - unknown) < max(0.01, unknown / 4)  # a share of it, for a slow machine


def test_five_requests_an_address_and_no_sixth_known_or_not(client, people):
    people.add()
    for email in ("member@example.com", "nobody@example.com"):
        answers = [ask(client, email) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [202] * 5 + [429]
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 600


def test_sixty_requests_a_network_address(client):
    codes = [ask(client, f"p{number}@example.com").status_code for number in range(61)]
    assert codes == [202] * 60 + [429]


@pytest.mark.parametrize(("proxies", "left"), [("0", [59, 58, 57]), ("1", [59, 59, 58]), ("2", [59, 58, 59])])
def test_people_behind_proxies_are_told_apart_where_the_setting_says_how_many_there_are(tmp_path, schema, proxies, left):
    shutil.copy(schema, tmp_path / "pilothouse.db")
    app = make_app(environment(tmp_path, PILOTHOUSE_PROXIES=proxies), plugins=[])
    ways = ["203.0.113.7, 192.0.2.1", "203.0.113.7, 198.51.100.9", "9.9.9.9, 198.51.100.9"]  # the first may be anybody's invention
    found = []
    with serving(app, proxies=int(proxies)) as address:
        for number, way in enumerate(ways):
            body = json.dumps({"email": f"p{number}@example.com"}).encode()
            headers = {"Content-Type": "application/json", "X-Forwarded-For": way}
            with urlopen(Request(f"{address}/api/auth/magic-link", body, headers)) as answer:
                found.append(int(answer.headers["RateLimit"].split(";r=")[1].split(";")[0]))
    let_go(app)
    assert found == left


def test_the_limits_are_told_in_headers(client):
    answer = ask(client)
    assert answer.headers["RateLimit-Policy"] == '"sign-in-network";q=60;w=600, "sign-in-address";q=5;w=600'
    assert answer.headers["RateLimit"].startswith('"sign-in-network";r=59;t=600, "sign-in-address";r=4;t=')


NO_ADDRESSES = ["", "no-address", "a@b@c", "a b@c.de", "a@b\r\nBcc: x@y.z", "x" * 250 + "@ab.de", "\0@a.b"]


@pytest.mark.parametrize("email", NO_ADDRESSES)
def test_what_is_no_address_is_refused(client, email):
    assert ask(client, email).status_code == 422


def test_the_code_is_eight_unambiguous_characters(client):
    assert re.fullmatch("[2-9A-HJKMNP-TV-Z]{8}", ask(client).json["code"])


def test_the_database_and_the_queue_hold_no_secret(app, asked, rows):
    _, code, link = asked
    dump = rows.dump()
    assert link.rpartition("/")[2] not in dump
    assert code not in dump


def test_the_link_comes_from_the_configured_address_only(client, people, mails):
    people.add()
    client.post("/api/auth/magic-link", json={"email": "member@example.com"}, headers={"Host": "evil.example"})
    text = mails()[0].get_body(("plain",)).get_content() + mails()[0].get_body(("html",)).get_content()
    assert "http://localhost/login/ph_login_" in text
    assert "evil.example" not in text


def test_suspended_and_invited_people_get_no_mail(client, people, mails):
    people.add(status="suspended", email="gone@example.com")
    people.add(status="invited", email="new@example.com")
    assert ask(client, "gone@example.com").status_code == ask(client, "new@example.com").status_code == 202
    assert mails() == []


def test_a_link_asked_for_before_the_suspension_is_refused(asked, app, rows):
    browser, _, link = asked
    rows("UPDATE users SET status = 'suspended'")
    assert browser.post(link).status_code == 404
    assert not signed_in(browser)


def test_a_second_link_of_the_same_browser_works_too(client, people, mails):
    people.add()
    ask(client)
    ask(client)
    first, second = (link_in(mail) for mail in mails())
    assert client.post(second).status_code == client.post(first).status_code == 303


def test_a_mail_that_is_sent_again_carries_a_new_link_and_ends_the_old_one(client, people, mails, app, rows):
    people.add()
    ask(client)
    first = link_in(mails()[0])
    rows("UPDATE jobs SET state = 'waiting', due_at = 0")
    second = link_in(next(mail for mail in mails() if link_in(mail) != first))
    assert client.post(first).status_code == 404
    assert client.post(second).status_code == 303


def test_links_of_the_command_line_need_no_cookie_and_no_code(app, context):
    link = make_owner("ada@example.com")
    browser = app.test_client()
    assert browser.post(link.removeprefix("http://localhost")).status_code == 303
    assert browser.get("/api/auth/me").json["role"] == "owner"


@pytest.mark.parametrize("token", ["x", "ph_login_" + "0" * 49, "%00", "a" * 5_000])
def test_unknown_links_are_not_found_and_touch_no_database(client, token):
    assert client.get(f"/login/{token}").status_code == 404
    assert client.post(f"/login/{token}").status_code == 404


def test_another_site_cannot_post_a_link(asked):
    browser, _, link = asked
    assert browser.post(link, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert browser.post(link, headers={"Origin": "https://evil.example"}).status_code == 403
    assert browser.post(link, headers={"Origin": "null"}).status_code == 403
    assert browser.post(link, headers={"Origin": "http://localhost"}).status_code == 303


def test_signing_in_again_ends_the_session_that_the_browser_had(asked, people, app):
    browser, _, link = asked
    old = people.sign_in(people.add(email="other@example.com")).get_cookie("pilothouse_session").value
    browser.set_cookie("pilothouse_session", old)
    browser.post(link)
    forgotten = app.test_client()
    forgotten.set_cookie("pilothouse_session", old)
    assert signed_in(browser)
    assert not signed_in(forgotten)


def test_old_links_and_sessions_are_removed(asked, app, people, time_of_day, rows):
    people.sign_in(people.add(email="other@example.com"))
    time_of_day.pass_by(31 * clock.DAY)
    with app.app_context(), unit_of_work():
        purge({})
    assert rows("SELECT (SELECT count(*) FROM magic_links), (SELECT count(*) FROM sessions)") == [(0, 0)]


def test_a_link_stays_known_for_a_day_after_its_end(asked, app, time_of_day):
    browser, _, link = asked
    time_of_day.pass_by(clock.HOUR)
    with app.app_context(), unit_of_work():
        purge_links()
    assert browser.get(link).status_code == 410
