"""The pages of errors: which groups are listed, what one group shows, and that each button does what it says."""

from __future__ import annotations

import re

import pytest

from pilothouse.clock import now
from pilothouse.db import db
from pilothouse_errors.models import ErrorGroup

HOSTILE = '<img src=x onerror="alert(1)">'
TRACE = """Traceback (most recent call last):
  File "/app/billing/invoices.py", line 42, in total
    return sum(amounts) / len(amounts)
ZeroDivisionError: division by zero"""


@pytest.fixture
def groups(api):
    """Send two faults, one of them three times; returns the ids of their groups by type."""
    at = now() - 60_000
    api.send(
        {"type": "execution", "id": "run-1", "workflow": "billing", "status": "failed", "started_at": at},
        *(
            {"type": "error", "id": f"z{n}", "error_type": "ZeroDivisionError", "message": "division by zero", "at": at + n,
             "execution_id": "run-1", "stack_trace": TRACE, "release": f"2026.{n}", "environment": "production"}
            for n in range(3)
        ),
        {"type": "error", "id": "h", "error_type": "KeyError", "message": HOSTILE, "at": at - 5, "severity": "low"},
    )  # fmt: skip
    return {group["error_type"]: group["id"] for group in api.get("/api/errors/groups").json["data"]}


def shown(browser, path="/errors/"):
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_an_empty_console_says_how_errors_come(as_role):
    page = shown(as_role("viewer"))
    assert 'class="empty' in page
    assert "data-k=" not in page.split("<tbody")[-1]


def test_a_filter_that_matches_nothing_is_no_first_use(groups, as_role):
    assert "No group matches these filters" in as_role("viewer").get("/errors/?severity=low&workflow=nothing").text


def test_unresolved_groups_are_listed_newest_first_as_text(groups, as_role):
    page = shown(as_role("viewer"))
    assert page.index(groups["ZeroDivisionError"]) < page.index(groups["KeyError"])
    assert "&lt;img src=x" in page
    assert HOSTILE not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?severity=low", {"KeyError"}),
        ("?q=division", {"ZeroDivisionError"}),
        ("?workflow=billing", {"ZeroDivisionError"}),
        ("?workflow=nobody", set()),
        ("?status=resolved", set()),
        ("?status=all", {"KeyError", "ZeroDivisionError"}),
        ("?since=2000&until=1000", {"KeyError", "ZeroDivisionError"}),
        ("?status=nonsense&severity=worse&since=soon", {"KeyError", "ZeroDivisionError"}),
    ],
)
def test_filters_are_kept_in_the_address(groups, as_role, query, found):
    page = shown(as_role("viewer"), f"/errors/{query}")
    assert {name for name, key in groups.items() if f'data-k="{key}"' in page} == found


def test_a_group_shows_frames_story_and_the_other_events(groups, as_role):
    page = shown(as_role("viewer"), f"/errors/{groups['ZeroDivisionError']}")
    assert "/app/billing/invoices.py" in page
    assert "return sum(amounts) / len(amounts)" in page
    assert 'href="/executions/run-1"' in page
    older = shown(as_role("viewer"), f"/errors/{groups['ZeroDivisionError']}?error=z0")
    assert 'rel="next"' in older
    assert 'rel="prev"' not in older
    assert "2026.0" in older


def test_a_group_lists_the_executions_that_met_it_with_where_they_ran(groups, as_role):
    page = shown(as_role("viewer"), f"/errors/{groups['ZeroDivisionError']}")
    row = page.split("Latest executions with this error")[1].split("</tbody>")[0]
    assert "/executions/run-1" in row
    assert "2026.2" in row
    assert "production" in row


def test_a_long_run_of_others_frames_is_folded_and_the_whole_can_be_copied(api, as_role):
    foreign = [{"file": f"/venv/lib/python3.12/site-packages/celery/app/trace{n}.py", "function": f"call_{n}", "line": n + 1} for n in range(5)]
    frames = [*foreign, {"file": "/srv/jobs/report.py", "function": "write", "line": 7}, *foreign[:3]]
    api.send({"type": "error", "id": "deep", "error_type": "OSError", "message": "disk is full", "frames": frames})
    [group] = api.get("/api/errors/groups").json["data"]
    page = shown(as_role("viewer"), f"/errors/{group['id']}")
    assert page.count("5 frames in <b>celery</b>") == 1
    assert page.count("<b>call_0</b>") == 2  # within the fold, and alone beside it
    copied = next(part for part in re.findall('data-copy="([^"]*)"', page) if "report.py" in part)
    assert copied.endswith("OSError: disk is full")


def test_what_was_sent_without_a_trace_says_so(groups, as_role):
    assert "No stack trace was sent" in shown(as_role("viewer"), f"/errors/{groups['KeyError']}")


def test_an_unknown_group_is_not_found(groups, as_role):
    assert as_role("owner").get("/errors/nobody").status_code == 404


def post(browser, path, **form):
    return browser.post(path, data=form, follow_redirects=True)


@pytest.mark.parametrize(
    ("form", "name", "value", "words"),
    [
        ({"status": "resolved", "notes": "Fixed in 1.2"}, "status", "resolved", "is resolved"),
        ({"status": "ignored"}, "status", "ignored", "is ignored"),
        ({"severity": "critical"}, "severity", "critical", "is rated critical"),
        ({"assignee_id": ""}, "assignee_id", None, "nobody’s now"),
    ],
)
def test_one_group_is_changed_and_the_change_is_told(groups, as_role, form, name, value, words):
    key = groups["ZeroDivisionError"]
    answer = post(as_role("member"), f"/errors/{key}/change", **form)
    assert answer.status_code == 200
    assert words in answer.text
    assert form.get("notes", "") in answer.text
    assert getattr(db.session.get(ErrorGroup, key), name) == value


def test_a_resolved_group_leaves_the_list_and_can_be_taken_back(groups, as_role, api):
    member, key = as_role("member"), groups["KeyError"]
    post(member, f"/errors/{key}/change", status="resolved")
    assert f'data-k="{key}"' not in shown(member)
    post(member, f"/errors/{key}/change", status="open")
    assert f'data-k="{key}"' in shown(member)


def test_an_open_page_of_a_group_follows_what_is_done_to_it(groups, as_role):
    member, page = as_role("member"), f"/errors/{groups['KeyError']}"
    answer = member.post(f"{page}/change", data={"status": "resolved"}, headers={"X-Ph-Async": "1"})
    assert answer.json["toast"]["undo"]["fields"] == {"status": "open"}
    followed = member.get(page, headers={"X-Ph-Fragment": "rows"}).text
    state = followed.split('data-replace="#group-state"')[1].split("</template>")[0]
    assert "Resolved by" in state
    assert "</b> resolved" in followed.split('data-replace="#group-activity"')[1]


@pytest.mark.parametrize(("form", "path"), [({"status": "gone"}, "status"), ({"severity": "worse"}, "severity")])
def test_a_value_that_does_not_exist_is_named(groups, as_role, form, path):
    answer = as_role("member").post(f"/errors/{groups['KeyError']}/change", data=form, headers={"Accept": "application/json"})
    assert answer.status_code == 422
    assert path in answer.text


def test_a_group_is_resolved_with_a_note(groups, as_role):
    member, key = as_role("member"), groups["KeyError"]
    assert f'formaction="/errors/{key}/change" name="status" value="resolved"' in member.get(f"/errors/{key}").text
    page = post(member, f"/errors/{key}/change", notes=HOSTILE, status="resolved").text
    assert "Resolved by" in page
    assert "&lt;img src=x" in page.partition('id="group-state"')[2][:600]
    assert "formaction" not in page


def test_a_comment_joins_the_story_as_text(groups, as_role):
    member, key = as_role("member"), groups["KeyError"]
    page = post(member, f"/errors/{key}/comment", notes=HOSTILE).text
    assert "The comment is added" in page
    assert HOSTILE not in page
    assert page.count("&lt;img src=x") >= 2  # the message and the comment


def test_the_selected_groups_are_changed_alike(groups, as_role):
    member = as_role("member")
    answer = member.post("/errors/bulk", data={"id": [*groups.values(), "nobody"], "status": "ignored"}, follow_redirects=True)
    assert "2 groups are ignored" in answer.text
    assert not any(f'data-k="{key}"' in shown(member) for key in groups.values())


def test_the_selected_groups_are_rated_and_given_to_somebody_and_found_by_whom(groups, as_role):
    member = as_role("member")
    key = groups["KeyError"]
    ada = re.findall(r'name="assignee_id" value="([^"]+)"', shown(member))[0]
    for field in ({"severity": "critical"}, {"assignee_id": ada}):
        member.post("/errors/bulk", data={"id": [key], **field})
    page = shown(member, f"/errors/?assignee_id={ada}")
    assert (f'data-k="{key}"' in page, f'data-k="{groups["ZeroDivisionError"]}"' in page) == (True, False)
    assert "Critical" in page.partition(f'data-k="{key}"')[2].partition("</tr>")[0]
    assert "Remove the filter Assignee" in page


def test_the_groups_of_a_release_are_chosen_from_the_list_and_from_a_group(groups, as_role):
    viewer, key = as_role("viewer"), groups["ZeroDivisionError"]
    assert 'href="/errors/?release=2026.1"' in shown(viewer)
    assert re.findall(r'href="([^"]*)">2026.1<', shown(viewer, f"/errors/{key}")) == ["/errors/?release=2026.1&amp;status=all"]
    page = shown(viewer, "/errors/?release=2026.1&status=all")
    assert (f'data-k="{key}"' in page, f'data-k="{groups["KeyError"]}"' in page) == (True, False)
    assert "Remove the filter Release" in page


@pytest.mark.parametrize("path", ["/errors/{key}/change", "/errors/{key}/comment", "/errors/bulk"])
def test_a_viewer_changes_nothing(groups, as_role, path):
    key = groups["KeyError"]
    answer = as_role("viewer").post(path.format(key=key), data={"status": "resolved", "notes": "x", "id": key})
    assert answer.status_code == 403


def test_a_poll_gets_the_rows_and_nothing_when_nothing_changed(groups, as_role):
    viewer = as_role("viewer")
    first = viewer.get("/errors/", headers={"X-Ph-Fragment": "rows"})
    assert "<html" not in first.text
    assert groups["KeyError"] in first.text
    again = viewer.get("/errors/", headers={"X-Ph-Fragment": "rows", "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")
