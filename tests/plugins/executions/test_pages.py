"""An execution's page: its agents as a tree with what each used, the step that a link names, the other runs of its session."""

from __future__ import annotations

import json
import re

import pytest

from pilothouse.clock import now
from pilothouse.contract.pages import StepFigures
from pilothouse_executions.models import Step
from pilothouse_executions.timeline import build


def step(key, parent=None):
    return Step(id=key, execution_id="run", parent_id=parent, name=key, kind="agent", status="succeeded", started_at=1,
                finished_at=2, created_at=1)  # fmt: skip


def used(figures, *steps):
    rows = build(steps, 0, 10, figures)["steps"]
    return {row["id"]: row["used"] for row in rows}


def test_what_steps_used_adds_up_on_the_agents_above():
    steps = step("root"), step("agent", "root"), step("call-1", "agent"), step("call-2", "agent"), step("tool", "root")
    found = used({"call-1": StepFigures(10, 5, "m"), "call-2": StepFigures(20, 7, "m")}, *steps)
    assert found["agent"] == found["root"] == StepFigures(30, 12, "m")
    assert found["call-2"] == StepFigures(20, 7, "m")
    assert found["tool"] is None


def test_siblings_keep_their_own_figures():
    steps = step("a"), step("a1", "a"), step("b"), step("b1", "b")
    found = used({"a1": StepFigures(1, None, "x", 1), "b1": StepFigures(2, 3, "y")}, *steps)
    assert (found["a"], found["b"]) == (StepFigures(1, None, "x", 1), StepFigures(2, 3, "y"))


def test_a_deep_chain_is_summed_in_one_go():
    steps = [step("s0"), *(step(f"s{n}", f"s{n - 1}") for n in range(1, 3_000))]
    assert used({"s2999": StepFigures(4, 1, "m")}, *steps)["s0"] == StepFigures(4, 1, "m")


def test_a_new_console_leads_to_the_first_steps_until_something_of_ones_own_arrives(api, as_role):
    owner = as_role("owner")
    assert "No execution yet" in owner.get("/executions/").text
    api.send({"type": "execution", "id": "own", "workflow": "pilothouse core.purge_jobs", "status": "succeeded"})
    page = owner.get("/executions/").text
    assert "No execution of yours yet" in page
    assert 'data-k="own"' in page
    api.send({"type": "execution", "id": "e1", "workflow": "intake", "status": "succeeded"})
    assert "No execution of yours yet" not in owner.get("/executions/").text
    assert '<template data-replace="#first-steps">' in owner.get("/executions/", headers={"X-Ph-Fragment": "rows"}).text


def test_an_open_page_follows_its_run_to_the_end(api, as_role):
    at = 1_700_000_000_000
    api.send({"type": "execution", "id": "e1", "workflow": "intake", "status": "running", "started_at": at})
    viewer, polled = as_role("viewer"), {"X-Ph-Fragment": "rows"}
    assert '<div id="run-notes" class="stackv"></div>' in viewer.get("/executions/e1").text
    api.send({"type": "execution", "id": "e1", "workflow": "intake", "status": "failed", "finished_at": at + 2_000,
              "error": {"error_type": "KeyError", "message": "total"}})  # fmt: skip
    answer = viewer.get("/executions/e1?tab=errors", headers=polled)
    meta = json.loads(answer.headers["X-Ph-Meta"])
    assert (meta["counts"], meta["stop"]) == ({"tab-timeline": 0, "tab-errors": 1}, True)
    parts = {name: answer.text.split(f'data-replace="#run-{name}"')[1].split("</template>")[0] for name in ("notes", "details", "told")}
    assert "KeyError" in parts["notes"]
    assert "KeyError" in parts["told"]
    assert "2.0" in parts["details"]
    assert "data-run" not in parts["details"]


def test_a_step_that_was_open_when_its_run_ended_neither_ticks_nor_grows():
    open_step = Step(id="a", execution_id="run", name="a", kind="tool", status="running", started_at=3, created_at=3)
    [ended] = build([open_step], 1, 11)["steps"]
    assert (ended["status"], ended["started_at"], ended["duration_ms"]) == ("lost", None, None)
    assert (ended["lane"].start, ended["lane"].width) == (20, 80)
    [running] = build([open_step], 1, None)["steps"]
    assert (running["status"], running["started_at"]) == ("running", 3)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 1_000, 90_000])
def test_no_label_of_the_time_axis_stands_twice(length):
    places, labels = zip(*build([step("a")], 1, 1 + length)["ticks"], strict=True)
    assert len(set(labels)) == len(labels) == min(length, 4)
    assert places[0] == 0
    assert list(places) == sorted(places)


def agents(api):
    moment = {"started_at": 1_700_000_000_000, "finished_at": 1_700_000_001_000, "status": "succeeded"}
    api.send(
        {"type": "execution", "id": "run-1", "workflow": "intake", "session": "s & 1", **moment},
        {"type": "step", "id": "agent", "execution_id": "run-1", "name": "triage", "kind": "agent", **moment},
        {"type": "step", "id": "call", "execution_id": "run-1", "name": "chat", "kind": "llm", "parent_id": "agent", **moment},
        {"type": "token_usage", "id": "u1", "model": "nobody-1", "prompt_tokens": 1_200, "completion_tokens": 34, "execution_id": "run-1",
         "step_id": "call", "parent_id": "agent", "cost_usd": "0.25"},
        {"type": "token_usage", "id": "u2", "model": "nobody-1", "prompt_tokens": 1_200, "completion_tokens": 34, "execution_id": "run-1",
         "step_id": "agent", "provisional": True, "cost_usd": "0.25"},
    )  # fmt: skip


def test_the_page_shows_tokens_and_cost_of_each_step_once(api, as_role):
    agents(api)
    page = as_role("viewer").get("/executions/run-1").text
    assert page.count('class="used desk"') == 2
    assert page.count("$0.25") >= 4  # beside the names of the agent and of its call, and in their details
    assert "$0.50" not in page


def test_a_link_opens_its_step(api, as_role):
    agents(api)
    page = as_role("viewer").get("/executions/run-1?step=call").text
    assert 'id="step-call"' in page
    assert page.split('id="step-call"')[1].split(">")[0].endswith(" open")
    assert not page.split('id="step-agent"')[1].split(">")[0].endswith(" open")


def test_a_session_s_executions_are_one_click_away(api, as_role):
    agents(api)
    api.send({"type": "execution", "id": "run-2", "workflow": "intake", "session": "s & 1", "status": "failed"},
             {"type": "execution", "id": "run-3", "workflow": "intake", "session": "another", "status": "failed"})  # fmt: skip
    viewer = as_role("viewer")
    assert "/executions/?session=s+%26+1" in viewer.get("/executions/run-1").text
    page = viewer.get("/executions/?session=s+%26+1").text
    assert 'data-k="run-1"' in page
    assert 'data-k="run-2"' in page
    assert 'data-k="run-3"' not in page
    assert "s &amp; 1" in page
    assert '<span class="n" data-count="all">2</span>' in page


def test_the_api_lists_a_session(api):
    agents(api)
    assert [one["id"] for one in api.get("/api/executions?session=s+%26+1").json["data"]] == ["run-1"]
    assert api.get("/api/executions?session=nobody").json["data"] == []


@pytest.mark.parametrize("attributes", [{"region": "eu", "deep": {"a": [1, None]}}, {"all": "x" * 300_000}, None])
def test_attributes_of_any_size_are_shown(api, as_role, attributes):
    step = {"type": "step", "id": "s1", "execution_id": "r1", "name": "fetch", "attributes": attributes}
    api.send({"type": "execution", "id": "r1", "workflow": "w", "status": "running", "attributes": attributes}, step)
    page = as_role("viewer").get("/executions/r1?step=s1")
    assert page.status_code == 200
    assert ("Attributes" in page.text) == (attributes is not None)
    assert len(page.text) < 200_000


def test_a_day_s_strip_has_a_bar_for_each_half_hour_that_something_started_in(api, as_role):
    half = 1_800_000
    last = now() - now() % half - half
    api.send(*({"type": "execution", "id": f"q{n}", "workflow": "intake", "status": "succeeded", "started_at": last - n * half}
               for n in range(8)))  # fmt: skip
    strip = as_role("viewer").get("/executions/?range=24h&workflow=intake").text.split('class="hist"')[1].split("</svg>")[0]
    assert strip.count(": 1 execution</title>") == 8


def test_a_run_is_measured_by_the_median_of_several(api, as_role):
    api.send(*({"type": "execution", "id": f"m{n}", "workflow": "intake", "status": "succeeded", "started_at": now() - 60_000,
                "finished_at": now() - 58_000} for n in range(4)))  # fmt: skip
    viewer = as_role("viewer")
    assert "Against median" not in viewer.get("/executions/m0").text
    api.send({"type": "execution", "id": "m4", "workflow": "intake", "status": "succeeded", "started_at": now() - 60_000,
              "finished_at": now() - 56_000})  # fmt: skip
    assert "from 2.0" in viewer.get("/executions/m4").text.split("Against median")[1]


def test_a_failed_run_leads_to_its_error(api, as_role):
    api.send({"type": "execution", "id": "e1", "workflow": "intake", "status": "failed",
              "error": {"error_type": "KeyError", "message": "total"}})  # fmt: skip
    viewer = as_role("viewer")
    [link] = set(re.findall(r'href="(/errors/event/[^"]+)"', viewer.get("/executions/e1").text))
    page = viewer.get(link, follow_redirects=True)
    assert page.status_code == 200
    assert '<h1 class="anyw">KeyError</h1>' in page.text
    assert viewer.get("/errors/event/nothing").status_code == 404


def test_a_search_shows_no_figures_that_it_does_not_narrow(api, as_role):
    api.send(*({"type": "execution", "id": f"x{n}", "workflow": "intake", "status": "failed"} for n in range(3)))
    viewer = as_role("viewer")
    assert 'data-count="failed">3<' in viewer.get("/executions/").text
    searched = viewer.get("/executions/?q=x1").text
    assert searched.count("<tr data-k=") == 1
    assert 'data-count="failed"' not in searched
    assert 'class="hist"' not in searched
