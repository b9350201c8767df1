"""The live list of executions: filters in the address, pages to and fro, polls, and what can be done to a selection."""

from __future__ import annotations

import re

import pytest

from pilothouse.clock import now

HOSTILE = '"><script>alert(1)</script>'
FORGED = "/executions/?status=nonsense&range=forever&since=soon&limit=9999"


@pytest.fixture
def runs(api):
    """Send four executions of different kinds."""
    at = now() - 60_000
    api.send(
        {"type": "execution", "id": "ok", "workflow": "intake", "status": "succeeded", "started_at": at, "finished_at": at + 900,
         "agent": "triage", "environment": "production"},
        {"type": "execution", "id": "bad", "workflow": "intake", "status": "failed", "started_at": at + 1, "finished_at": at + 2,
         "environment": "staging", "error": {"error_type": "ValueError", "message": HOSTILE}},
        {"type": "execution", "id": "on", "workflow": HOSTILE, "status": "running", "started_at": at + 2, "agent": "writer"},
        {"type": "execution", "id": "old", "workflow": "archive", "status": "succeeded", "started_at": at - 40 * 86_400_000,
         "finished_at": at - 40 * 86_400_000 + 5},
    )  # fmt: skip
    return {"ok", "bad", "on", "old"}


def listed(browser, path="/executions/"):
    """Return the ids in the order of the page."""
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return re.findall(r'<tr data-k="([^"]+)"', answer.text)


def test_an_empty_console_shows_how_to_send_a_first_one(as_role):
    page = as_role("viewer").get("/executions/").text
    assert 'href="/welcome/"' in page.split('<main class="page"')[1]


def test_the_first_steps_lead_to_the_list_whichever_client_sent_something(api, as_role):
    api.post("/api/ingest", json={"signals": []})
    assert as_role("viewer").get("/welcome/arrived?since=0").json == {"url": "/executions/"}


def test_the_newest_come_first_and_names_are_text(runs, as_role):
    assert listed(as_role("viewer")) == ["on", "bad", "ok", "old"]
    page = as_role("viewer").get("/executions/").text
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(("role", "boxes"), [("viewer", False), ("member", True)])
def test_a_row_has_as_many_cells_as_the_head_has_columns(runs, as_role, role, boxes):
    page = as_role(role).get("/executions/").text
    head, row = page.split("<thead>")[1].split("</thead>")[0], page.split("<tbody")[1].split("<tr ")[1].split("</tr>")[0]
    assert row.count("<td") == head.count("<th ")
    assert ("data-sel" in row) is boxes


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=failed", ["bad"]),
        ("status=failed&status=running", ["on", "bad"]),
        ("workflow=intake", ["bad", "ok"]),
        ("agent=writer", ["on"]),
        ("environment=staging", ["bad"]),
        ("range=24h", ["on", "bad", "ok"]),
        ("q=arch", ["old"]),
        ("workflow=intake&status=succeeded&agent=triage", ["ok"]),
        ("workflow=nobody", []),
        ("since=2000&until=1000", []),  # the start is passed over, and all is later than that end
        (FORGED.partition("?")[2], ["on", "bad", "ok", "old"]),
    ],
)
def test_filters_are_kept_in_the_address(runs, as_role, query, found):
    assert listed(as_role("viewer"), f"/executions/?{query}") == found


def test_pages_lead_to_the_older_and_back(api, as_role):
    at = now() - 600_000
    keys = [f"run-{n:03}" for n in range(120)]
    api.send(*({"type": "execution", "id": key, "workflow": "w", "status": "failed", "started_at": at + n} for n, key in enumerate(keys)))
    viewer, newest = as_role("viewer"), list(reversed(keys))
    pages, address = [], "/executions/"
    for _ in range(3):
        page = viewer.get(address).text
        pages.append(re.findall(r'<tr data-k="([^"]+)"', page))
        older = re.search(r'rel="next" href="([^"]+)"', page)
        address = f"/executions/{older[1].replace('&amp;', '&').removeprefix('/executions/')}" if older else ""
    assert [key for page in pages for key in page] == newest
    assert address == ""
    newer = re.search(r'rel="prev" href="([^"]+)"', page)
    assert newer is not None
    back = f"/executions/{newer[1].replace('&amp;', '&').removeprefix('/executions/')}"
    assert listed(viewer, back) == pages[1]


def test_a_poll_gets_rows_and_counts_and_nothing_when_nothing_changed(runs, as_role):
    viewer = as_role("viewer")
    first = viewer.get("/executions/?status=failed", headers={"X-Ph-Fragment": "rows"})
    assert "<html" not in first.text
    assert 'data-k="bad"' in first.text
    headers = {"X-Ph-Fragment": "rows", "If-None-Match": first.headers["ETag"]}
    assert viewer.get("/executions/?status=failed", headers=headers).status_code == 304


def test_a_detail_page_shows_what_went_in_out_and_wrong_as_text(runs, api, as_role):
    api.send({"type": "execution", "id": "ok", "workflow": "intake", "status": "succeeded", "input": {"q": HOSTILE},
              "output": "done & dusted", "attributes": {"region": "eu"}})  # fmt: skip
    viewer = as_role("viewer")
    page = viewer.get("/executions/ok?tab=io").text
    assert "done &amp; dusted" in page
    assert HOSTILE not in page
    failed = viewer.get("/executions/bad?tab=errors").text
    assert "ValueError" in failed
    assert HOSTILE not in failed
    assert viewer.get("/executions/bad?tab=nonsense").status_code == 200
    assert viewer.get("/executions/nobody").status_code == 404


def test_a_cancel_is_written_down_with_its_reason(runs, api, as_role):
    answer = as_role("member").post("/executions/on/cancel", data={"reason": "wrong input"}, follow_redirects=True)
    assert "The execution is cancelled" in answer.text
    assert api.get("/api/executions/on").json["status"] == "cancelled"
    shown = as_role("viewer").get("/executions/on").text
    assert "wrong input" in shown
    assert "Cancelled by Member" in shown
    told = [entry for entry in api.get("/api/team/audit").json["data"] if entry["action"] == "execution.cancelled"]
    assert "wrong input" in str(told)


def test_a_finished_execution_cannot_be_cancelled(runs, api, as_role):
    assert as_role("member").post("/executions/ok/cancel", data={}).status_code == 409
    assert api.get("/api/executions/ok").json["status"] == "succeeded"


def test_a_rerun_is_asked_for(runs, as_role):
    answer = as_role("member").post("/executions/bad/rerun", data={}, follow_redirects=True)
    assert "asked to run it again" in answer.text


def test_of_a_selection_those_that_run_are_cancelled(runs, api, as_role):
    answer = as_role("member").post("/executions/bulk/cancel", data={"id": ["on", "ok", "nobody"]}, follow_redirects=True)
    assert "Cancelled 1 execution" in answer.text
    assert api.get("/api/executions/on").json["status"] == "cancelled"


def test_of_a_selection_those_that_ended_are_run_again(runs, as_role):
    answer = as_role("member").post("/executions/bulk/rerun", data={"id": ["ok", "bad", "nobody"]}, follow_redirects=True)
    assert "another run of 2 executions" in answer.text


@pytest.mark.parametrize("path", ["on/cancel", "bad/rerun", "bulk/cancel", "bulk/rerun"])
def test_a_viewer_changes_nothing(runs, api, as_role, path):
    assert as_role("viewer").post(f"/executions/{path}", data={"id": "on"}).status_code == 403
    assert api.get("/api/executions/on").json["status"] == "running"
