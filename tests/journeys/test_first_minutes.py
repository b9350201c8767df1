"""What a new user does: send a first execution, watch it run, see it fail, find the error, cancel another."""

from __future__ import annotations

import time

import pytest

from pilothouse_client import Cancelled, Client


@pytest.fixture
def program(address, make_token, tmp_path):
    client = Client(address, make_token("ingest"), spool=tmp_path / "spool", heartbeat=0.2)
    yield client
    client.close()


def test_a_run_is_seen_while_it_runs_and_when_it_failed(program, api):
    with pytest.raises(ZeroDivisionError), program.execution("nightly", id="n1", agent="writer") as run:
        with run.step("fetch", kind="tool"):
            pass
        assert program.flush(20)
        assert api.get("/api/executions/n1").json["status"] == "running"
        1 / 0  # noqa: B018 - the failure that the test is about
    assert program.flush(20)
    shown = api.get("/api/executions/n1").json
    assert (shown["status"], shown["steps"][0]["name"], shown["error_count"]) == ("failed", "fetch", 1)
    error = api.get("/api/errors").json["data"][0]
    assert (error["error_type"], error["execution_id"]) == ("ZeroDivisionError", "n1")


def test_a_cancel_reaches_the_program_with_its_next_report(program, api):
    with pytest.raises(Cancelled), program.execution("long", id="l1", on_cancel=lambda *_: None) as run:
        assert program.flush(20)
        assert api.post("/api/executions/l1/cancel", json={"reason": "wrong input"}).status_code == 200
        until = time.monotonic() + 20
        while time.monotonic() < until:
            run.raise_if_cancelled()
            time.sleep(0.05)
    assert program.flush(20)
    assert api.get("/api/executions/l1").json["status"] == "cancelled"


def test_what_a_browser_sends_needs_its_token_and_a_program_needs_none(client, api, as_role):
    assert client.post("/api/executions", json={"workflow": "w", "status": "running"}).status_code == 401
    assert api.post("/api/executions", json={"workflow": "w", "status": "running"}).status_code == 201
    member = as_role("member")
    del member.environ_base["HTTP_X_CSRF_TOKEN"]
    refused = member.post("/api/executions", json={"workflow": "w", "status": "running"})
    assert (refused.status_code, refused.json["type"].rsplit("/", 1)[-1]) == (403, "csrf")


def ticked(browser):
    """Return the steps of Get started, each with whether it is done."""
    steps = browser.get("/welcome/").text.split('<ol class="steps"')[1].split("</ol>")[0].split("<li")[1:]
    return {step.split("<h2>")[1].split("</h2>")[0]: 'class="done"' in step.split(">")[0] for step in steps if "<h2>" in step}


def test_the_steps_of_get_started_are_ticked_as_they_are_done(api, as_role):
    owner = as_role("owner")
    before = ticked(owner)
    assert [name for name, done in before.items() if done] == ["The server answers"]
    assert {"See a failure", "Invite people", "Choose what you are told"} <= before.keys()
    api.send({"type": "execution", "id": "f1", "workflow": "mine", "status": "failed",
              "error": {"error_type": "ValueError", "message": "broke"}})  # fmt: skip
    assert owner.get("/welcome/arrived?since=0").json == {"url": "/executions/"}
    assert {name for name, done in ticked(owner).items() if not done} == {"Invite people", "Choose what you are told"}
    assert "Invite people" not in ticked(as_role("viewer"))
