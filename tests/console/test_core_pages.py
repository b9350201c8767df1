"""The core's own pages: plugins, system, documentation, first steps, saved views, palette."""

import re
from html import unescape

import pytest

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.plugins.discovery import Candidate
from pilothouse.plugins.switches import is_enabled
from pilothouse.testing import open_browser_session
from pilothouse.web.queries import token_used_since
from pilothouse.work.models import DEAD, Job, JobAttempt


def test_the_plugins_page_says_what_each_adds(owner):
    page = owner.get("/settings/plugins").text
    assert "Tries the console." in page
    assert "<dd>2 pages, " in page
    assert "trial-dist" in page
    assert "built in" in page


def test_a_plugin_that_failed_is_shown_with_its_reason_and_the_rest_works(app_with, sign_in):
    reason = "import failed: ModuleNotFoundError: No module named 'gone'"
    broken = Candidate("broken", None, "broken-dist", "0.1", failure=reason)
    with app_with(broken) as app:
        page = sign_in(app, "owner").get("/settings/plugins").text
    assert "A plugin failed to load" in page
    assert "No module named &#39;gone&#39;" in page


def test_a_plugin_is_switched_off_and_on(owner):
    owner.submit("/settings/plugins/trial", enabled="0")
    assert not is_enabled("trial")
    owner.submit("/settings/plugins/trial", enabled="1")
    assert is_enabled("trial")


@pytest.mark.parametrize(("path", "status"), [("/settings/plugins/nothing", 404), ("/settings/plugins/core", 409)])
def test_what_cannot_be_switched_off_is_refused(owner, path, status):
    assert owner.submit(path, enabled="0").status_code == status


def test_only_admins_switch_plugins(as_role):
    assert as_role("member").submit("/settings/plugins/trial", enabled="0").status_code == 403


@pytest.mark.parametrize(("role", "path"), [("owner", "/settings/plugins"), ("viewer", "/settings/system")])
def test_settings_open_on_what_the_role_may_see(as_role, role, path):
    assert as_role(role).get("/settings/").headers["Location"] == path


def test_the_system_page_tells_the_remedy(owner):
    page = owner.get("/settings/system").text
    assert "Start Valkey or Redis" in page
    assert "checks need a look" in page


def test_no_setting_that_is_secret_is_shown(owner):
    page = owner.get("/settings/system").text
    assert "RETENTION_DAYS" in page
    assert "s" * 32 not in page
    assert "DATABASE_URL" not in page.replace("PILOTHOUSE_DATABASE_URL", "")


@pytest.fixture
def dead_letter(app):
    with unit_of_work() as session:
        session.add(Job(id="job-1", task="trial.fetch", payload='{"id": "x<y"}', created_at=1, due_at=1, state=DEAD, starts=3,
                        finished_at=clock.now(), error="ValueError: no\nsecond line"))
    return "job-1"


def test_a_dead_letter_is_shown_and_runs_again(owner, dead_letter):
    assert "ValueError: no" in owner.get("/settings/system").text
    owner.submit(f"/settings/system/dead-letters/{dead_letter}/replay")
    db.session.expire_all()
    assert db.session.get(Job, dead_letter).state == "waiting"


def test_many_dead_letters_run_again_at_once(app, owner, dead_letter):
    with unit_of_work() as session:
        session.add(Job(id="job-2", task="trial.fetch", payload="{}", created_at=1, due_at=1, state="waiting"))
    owner.submit("/settings/system/dead-letters/replay", id=[dead_letter, "job-2", "nobody"])
    assert "1 task runs again" in owner.get("/settings/system").text
    db.session.expire_all()
    assert db.session.get(Job, dead_letter).state == "waiting"


def test_more_dead_letters_than_a_page_holds_are_reached(app, owner):
    with unit_of_work() as session:
        session.add_all([
            Job(id=f"job-{n:03}", task=f"trial.number_{n}", payload="{}", created_at=1, due_at=1, state=DEAD, finished_at=n)
            for n in range(60)
        ])  # fmt: skip
    first = owner.get("/settings/system").text
    assert ("20</span> shown of 60" in first, "trial.number_59" in first, "trial.number_39" in first) == (True, True, False)
    older = re.search(r'rel="next" href="([^"]+)"', first)[1]
    assert "trial.number_39" in owner.get(unescape(older)).text


def test_a_dead_letter_tells_each_of_its_starts(app, owner, dead_letter):
    with unit_of_work() as session:
        attempt = {"job_id": dead_letter, "started_at": 1, "finished_at": 5_001, "outcome": "lost", "worker": "host-7:42"}
        session.add(JobAttempt(id="try-1", **attempt))
    page = owner.get("/settings/system").text
    assert "its worker died after" in page
    assert "host-7:42" in page


def test_dead_letters_are_for_admins(as_role, dead_letter):
    member = as_role("member")
    assert "ValueError" not in member.get("/settings/system").text
    assert member.submit(f"/settings/system/dead-letters/{dead_letter}/replay").status_code == 403
    assert member.submit("/settings/system/dead-letters/replay", id=dead_letter).status_code == 403


def test_the_documentation_shows_every_operation_of_its_part(owner):
    document = owner.get("/api/openapi.json").json
    paths = [path for path, item in document["paths"].items() for operation in item.values() if operation["tags"] == ["auth"]]
    page = owner.get("/api/docs?tag=auth").text
    assert paths
    assert all(f"<h3>{path}</h3>" in page for path in paths)


def test_the_examples_carry_this_servers_address(owner):
    assert "curl -X POST http://localhost/api/ingest" in owner.get("/api/docs?tag=ingest").text


def test_a_part_that_is_not_there_is_404(owner):
    assert owner.get("/api/docs?tag=nothing").status_code == 404
    assert owner.get("/api/").headers["Location"] == "/api/docs"


def test_the_first_steps_carry_this_servers_address(as_role):
    page = as_role("viewer").get("/welcome/").text
    assert "http://localhost/api/ingest" in page
    assert "Ask an owner or admin" in page


def test_a_token_is_shown_once(owner):
    answer = owner.submit("/welcome/token")
    token = re.search(r"ph_access_\w+", answer.text)[0]
    assert answer.headers["Cache-Control"] == "no-store"
    assert token not in owner.get("/welcome/").text


def test_only_admins_make_tokens(as_role):
    assert as_role("member").submit("/welcome/token").status_code == 403


def test_the_page_goes_on_when_the_first_signal_came_in(owner):
    before = clock.now()
    token = re.search(r"ph_access_\w+", owner.submit("/welcome/token").text)[0]
    assert owner.get(f"/welcome/arrived?since={before}").json == {"url": None}
    owner.application.test_client().post("/api/ingest", json={"signals": []}, headers={"Authorization": f"Bearer {token}"})
    assert owner.get(f"/welcome/arrived?since={before}").json == {"url": "/runs/"}
    page = owner.get("/welcome/").text
    assert "data-wait-for" not in page
    assert page.count('<li class="done">') == 4
    assert not token_used_since(clock.now() + 1000)


def test_the_palette_finds_what_plugins_offer(owner, make_runs):
    make_runs(1, name="Extract invoices")
    groups = owner.get("/-/palette?q=inv").json
    assert [(group["title"], group["hits"][0]["title"]) for group in groups] == [("Runs", "Extract invoices")]


@pytest.mark.parametrize("query", ["", "x", " y "])
def test_the_palette_asks_nobody_below_two_characters(owner, query):
    assert owner.get("/-/palette", query_string={"q": query}).json == []


def test_the_palette_is_for_those_who_may_read(app):
    assert app.test_client().get("/-/palette?q=inv").status_code == 401


def test_a_view_is_saved_and_offered(owner):
    owner.submit("/-/views", page="runs", name="Failures", query="status=failed")
    page = owner.get("/runs/").text
    assert 'href="/runs/?status=failed"' in page
    assert "Failures" in page


def test_the_same_name_replaces_a_view(owner):
    for query in ("status=failed", "status=lost"):
        owner.submit("/-/views", page="runs", name="Mine", query=query)
    page = owner.get("/runs/").text
    assert "/runs/?status=lost" in page
    assert page.count(">Mine<") == 2


def test_views_of_others_are_seen_only_where_they_are_shared(owner, as_role):
    owner.submit("/-/views", page="runs", name="Private", query="a=1")
    owner.submit("/-/views", page="runs", name="Shared", query="b=1", shared="1")
    page = as_role("member").get("/runs/").text
    assert "Shared" in page
    assert "Private" not in page


def test_nobody_deletes_another_persons_view(owner, as_role):
    owner.submit("/-/views", page="runs", name="Shared", query="b=1", shared="1")
    number = re.search(r"/-/views/([^/]+)/delete", owner.get("/runs/").text)[1]
    assert as_role("member").submit(f"/-/views/{number}/delete").status_code == 404
    assert owner.submit(f"/-/views/{number}/delete").status_code == 303
    assert number not in owner.get("/runs/").text


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": "x" * 81}, {"name": "a\nb"}, {"query": "x" * 2_001}, {"page": ""}])
def test_a_view_that_is_none_is_refused(owner, fields):
    assert owner.submit("/-/views", **{"page": "runs", "name": "ok", "query": "", **fields}).status_code == 422


def test_a_person_keeps_fifty_views_of_a_page(owner):
    statuses = [owner.submit("/-/views", page="runs", name=f"View {number}", query="").status_code for number in range(51)]
    assert statuses == [303] * 50 + [409]


def test_a_violation_of_the_policy_is_taken(app):
    assert app.test_client().post("/-/csp", data=b"\xff" * 5_000).status_code == 204


def test_a_browser_that_is_signed_in_reports_where_the_policy_says(app):
    browser = app.test_client()
    browser.set_cookie("pilothouse_session", open_browser_session("viewer"))
    policy = browser.get("/login").headers["Content-Security-Policy"]
    address = policy.partition("report-uri ")[2].partition(";")[0]
    report = {"data": "{}", "content_type": "application/csp-report", "headers": {"Sec-Fetch-Site": "same-origin"}}
    assert browser.post(address, **report).status_code == 204


def test_nobody_fills_the_log_with_reports(app):
    stranger = app.test_client()
    assert [stranger.post("/-/csp", data="{}").status_code for _ in range(61)] == [204] * 60 + [429]
