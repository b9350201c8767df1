"""The frame around every page: navigation by role, preferences by cookie, no inline script or style, errors contained."""

import re

import pytest

from pilothouse.db import db
from pilothouse.plugins.switches import switch
from pilothouse.web.mounting import permission_of
from pilothouse.web.navigation import Navigation

PAGES = (
    "/runs/", "/runs/charts", "/prices/", "/prices/new/", "/settings/plugins", "/settings/system", "/api/docs", "/welcome/",
)
INLINE = re.compile(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|javascript:", re.IGNORECASE)


def titles(page):
    return re.findall(r'data-nav="([^"]+)"', page.text)


def active(page):
    return re.findall(r'aria-current="page" data-nav="([^"]+)"', page.text)


@pytest.mark.parametrize(("role", "seen"), [
    ("owner", ["Runs", "Charts", "Model prices", "Plugins", "System", "API", "Price desk"]),
    ("viewer", ["Runs", "Charts", "Model prices", "System", "API"]),
])
def test_the_sidebar_shows_what_the_role_may_open(as_role, role, seen):
    assert titles(as_role(role).get("/runs/")) == seen


def test_sections_stand_in_their_fixed_order_and_plugins_own_follow(owner):
    page = owner.get("/runs/").text
    assert re.findall(r"<h2>(\w+)</h2>", page)[:4] == ["Monitor", "Insights", "Workspace", "Trial"]


@pytest.mark.parametrize(("path", "title"), [
    ("/runs/", "Runs"), ("/runs/charts", "Charts"), ("/prices/new/", "Price desk"), ("/settings/system", "System"),
])
def test_the_entry_of_the_page_is_marked_alone(owner, path, title):
    assert active(owner.get(path)) == [title]


def test_badges_are_counted_once_in_two_seconds(app, owner, make_runs, count_queries):
    make_runs(3)
    assert 'data-badge="trial_runs.index">3<' in owner.get("/welcome/").text
    with count_queries(app) as statements:
        owner.get("/welcome/")
    assert not [one for one in statements if "trial_runs" in one]


def test_theme_density_and_times_come_from_cookies(owner, make_runs):
    make_runs(1)
    for name, value in (("theme", "dark"), ("density", "compact"), ("times", "absolute"), ("zone", "Europe/Berlin")):
        owner.set_cookie(f"ph_{name}", value)
    page = owner.get("/runs/").text
    assert 'data-theme="dark" data-density="compact" data-times="absolute"' in page
    assert ">2026-11-18 12:06:40</time>" in page


def test_unknown_choices_are_ignored(owner):
    for name, value in (("theme", "<b>"), ("zone", "../../etc/passwd")):
        owner.set_cookie(f"ph_{name}", value)
    page = owner.get("/runs/").text
    assert 'data-theme="system"' in page
    assert "Times in UTC" in page


def test_a_preference_is_set_without_a_script(owner):
    answer = owner.submit("/-/preferences", theme="dark", headers={"Referer": "http://localhost/runs/?status=failed"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/runs/?status=failed")
    assert "ph_theme=dark" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("referrer", ["http://evil.example/x", "http://localhost//evil.example", "http://localhost.evil.example/"])
def test_going_back_never_leaves_the_host(owner, referrer):
    assert owner.submit("/-/preferences", theme="dark", headers={"Referer": referrer}).headers["Location"] == "/"


def test_an_unknown_preference_is_refused(owner):
    assert owner.submit("/-/preferences", theme="pink").status_code == 422


@pytest.mark.parametrize("path", PAGES)
def test_no_page_holds_an_inline_script_style_or_handler(owner, make_runs, make_price, path):
    make_runs(3)
    make_price("gpt-5")
    page = owner.get(path)
    assert page.status_code == 200
    assert INLINE.findall(page.text) == []
    assert "unsafe" not in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", PAGES)
def test_nobody_is_sent_to_sign_in_and_back(app, path):
    answer = app.test_client().get(path)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/login?next={path}"


def test_a_poll_of_an_ended_session_gets_401(app):
    assert app.test_client().get("/runs/", headers={"X-Ph-Fragment": "rows"}).status_code == 401


def test_a_forbidden_page_says_the_role(as_role):
    page = as_role("viewer").get("/settings/plugins")
    assert page.status_code == 403
    assert "Your role is Viewer" in page.text


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("member", 303)])
def test_an_act_needs_its_own_permission(as_role, role, status):
    assert as_role(role).submit("/runs/cancel", id="none").status_code == status


def test_every_route_of_the_console_states_its_permission(app):
    stated = {rule.endpoint: permission_of(app, rule.endpoint) for rule in app.url_map.iter_rules()}
    assert [endpoint for endpoint, permission in stated.items() if not permission] == []
    assert stated["trial_runs.cancel"] == "trial.runs.write"
    assert stated["trial_prices.delete_view"] == "trial.prices.manage"


@pytest.mark.parametrize("path", ["/runs/boom", "/runs/undefined"])
def test_a_failing_page_is_only_itself_a_gap(app, owner, path):
    page = owner.get(path)
    assert page.status_code == 500
    assert "Runs could not be shown" in page.text
    assert "SELECT secret" not in page.text
    assert owner.get("/prices/").status_code == 200


def test_a_type_error_inside_a_handler_is_not_run_twice(app, owner):
    owner.get("/runs/boom")
    failures = app.extensions["pilothouse"].registry.guard.of("trial")
    assert failures["page boom"].count == 1
    assert "the page's own fault" in failures["page boom"].last_reason


def test_a_failing_panel_names_the_gap_and_the_rest_is_there(owner, make_runs):
    page = owner.get(f"/runs/{make_runs(1)[0]}").text
    assert "Could not load broken card." in page
    assert "About" in page
    assert "&lt;b&gt;" in page


def test_the_pages_of_a_switched_off_plugin_are_gone(app, owner):
    switch("trial", enabled=False, by="test")
    assert owner.get("/runs/").status_code == 404
    assert "Runs" not in titles(owner.get("/welcome/"))


def test_the_home_address_leads_to_the_first_page(owner):
    assert owner.get("/").headers["Location"] == "/runs/"


def test_nobody_has_a_sidebar(app):
    with app.test_request_context("/"):
        assert Navigation().sections(None) == []


def test_the_error_page_stands_while_the_database_is_away(app, owner):
    owner.get("/welcome/")
    db.session.remove()
    with db.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE sessions RENAME TO hidden_sessions")
    page = owner.get("/runs/")
    assert page.status_code in {500, 503}
    assert "<!doctype html>" in page.text
    assert "sessions" not in page.text.partition("<main")[2]
