"""Live pages: a poll fetches only the rows, and costs nothing while nothing changed."""

import json

import pytest

from pilothouse import clock
from pilothouse.runtime import runtime
from pilothouse.web.urls import kept, qs, toggled

POLL = {"X-Ph-Fragment": "rows"}


@pytest.fixture
def app(live_app):
    return live_app


def poll(browser, etag=None, path="/runs/"):
    return browser.get(path, headers={**POLL, **({"If-None-Match": etag} if etag else {})})


def test_a_poll_gets_rows_and_no_page(owner, make_runs):
    make_runs(3)
    answer = poll(owner)
    assert answer.text.count("<tr data-k=") == 3
    assert "<html" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_answer_differs_by_reader_and_fragment(owner):
    assert {"Cookie", "X-Ph-Fragment"} <= set(poll(owner).vary)
    assert {"Cookie", "X-Ph-Fragment"} <= set(owner.get("/runs/").vary)


def test_counts_come_in_a_header_that_any_server_can_send(owner, make_runs):
    make_runs(2, status="failed", name="\u041d\u043e\u0447\u043d\u043e\u0439")
    meta = poll(owner).headers["X-Ph-Meta"]
    assert meta.isascii()
    assert json.loads(meta)["counts"] == {"all": 2, "failed": 2}


def test_a_poll_brings_the_counts_of_the_sidebar(owner, make_runs):
    moment = clock.now()
    with clock.replaced(lambda: moment):
        assert 'data-badge="trial_runs.index" hidden>0<' in owner.get("/runs/").text
    make_runs(3)
    with clock.replaced(lambda: moment + 2_000):  # they are kept so long
        assert json.loads(poll(owner).headers["X-Ph-Meta"])["badges"]["trial_runs.index"] == 3


def test_counts_that_were_kept_are_followed_by_new_ones(owner, make_runs):
    moment = clock.now()
    with clock.replaced(lambda: moment):
        owner.get("/runs/")
        make_runs(3)
        first = poll(owner)
    with clock.replaced(lambda: moment + 2_000):
        second = poll(owner, first.headers["ETag"])
        third = poll(owner, second.headers["ETag"])
    told = [json.loads(answer.headers["X-Ph-Meta"])["badges"]["trial_runs.index"] for answer in (first, second)]
    assert (told, third.status_code) == ([0, 3], 304)


def test_an_unchanged_poll_costs_no_query(app, owner, make_runs, count_queries):
    make_runs(3)
    etag = poll(owner).headers["ETag"]
    poll(owner, etag)
    with count_queries(app) as statements:
        answer = poll(owner, etag)
    assert (answer.status_code, answer.data) == (304, b"")
    assert statements == []


def test_a_change_of_the_topic_is_seen_by_the_next_poll(owner, make_runs):
    etag = poll(owner).headers["ETag"]
    make_runs(1)
    runtime().changes.bump("trial")
    answer = poll(owner, etag)
    assert answer.status_code == 200
    assert answer.headers["ETag"] != etag


def test_a_relative_range_moves_within_half_a_minute(owner):
    moment = clock.now()
    with clock.replaced(lambda: moment):
        etag = poll(owner).headers["ETag"]
    with clock.replaced(lambda: moment + 30_000):
        assert poll(owner, etag).status_code == 200


def test_the_etag_differs_by_person_and_by_choice(owner, as_role):
    first = poll(owner).headers["ETag"]
    other = poll(as_role("member")).headers["ETag"]
    owner.set_cookie("ph_times", "absolute")
    assert len({first, other, poll(owner).headers["ETag"]}) == 3


def test_without_a_broker_the_rows_themselves_make_the_etag(app, owner, make_runs, monkeypatch):
    make_runs(1)
    moment = clock.now()
    with clock.replaced(lambda: moment):
        monkeypatch.setattr(runtime().changes, "_client", None)
        answer = poll(owner)
        assert poll(owner, answer.headers["ETag"]).status_code == 304


def test_a_peek_is_the_body_of_the_detail_page(owner, make_runs):
    answer = owner.get(f"/runs/{make_runs(1)[0]}", headers={"X-Ph-Fragment": "peek"})
    assert "<h1>Run 0</h1>" in answer.text
    assert "<html" not in answer.text


def test_an_act_of_the_script_is_answered_with_a_toast(owner, make_runs):
    answer = owner.submit("/runs/cancel", id=make_runs(2), headers={"X-Ph-Async": "1"})
    assert answer.json["toast"]["title"] == "Cancelled 2 runs"
    assert answer.json["toast"]["undo"] == {"url": "/runs/cancel", "fields": {"id": "none"}, "label": "Undo"}


def test_without_the_script_the_same_act_says_so_on_the_next_page(owner, make_runs):
    answer = owner.submit("/runs/cancel", id=make_runs(2))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/runs/")
    assert "Cancelled 2 runs" in owner.get("/runs/").text


@pytest.mark.parametrize(("changes", "address"), [
    ({"status": None}, "/runs/?q=a"), ({"status": ["lost", "queued"]}, "/runs/?q=a&status=lost&status=queued"),
    ({"q": ""}, "/runs/?status=failed&status=running"), ({"from_": 1}, "/runs/?status=failed&status=running&q=a&from=1"),
])
def test_addresses_change_one_thing_and_go_to_the_first_page(app, changes, address):
    with app.test_request_context("/runs/?status=failed&status=running&q=a&cursor=x&peek=1"):
        assert qs(**changes) == address


def test_a_filter_that_repeats_is_switched_on_and_off(app):
    with app.test_request_context("/runs/?status=failed"):
        assert toggled("status", "failed") == "/runs/"
        assert toggled("status", "lost") == "/runs/?status=failed&status=lost"
        assert kept("q") == [("status", "failed")]
