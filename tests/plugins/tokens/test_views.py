"""The page of tokens: what each tab shows, to whom, and what its forms do."""

from __future__ import annotations

import re

import pytest

from pilothouse.clock import DAY, HOUR, now
from pilothouse.db import unit_of_work
from pilothouse.testing import count_queries
from pilothouse_tokens import tasks


@pytest.fixture
def admin(as_role):
    return as_role("admin")


@pytest.fixture
def post(admin):
    """Send a form as an admin's browser does."""

    def send(path, **fields):
        return admin.post(f"/tokens/{path}", data={"csrf_token": admin.environ_base["HTTP_X_CSRF_TOKEN"], **fields})

    return send


def words(answer):
    """Return what a page says, without its tags."""
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text.partition("<main")[2].partition("</main>")[0]))


def test_nothing_yet_shows_how_to_begin(admin):
    assert "run.record_tokens(" in admin.get("/tokens/").text
    assert "No budget yet" in words(admin.get("/tokens/?tab=budgets"))


def test_the_overview_shows_spend_and_who_spends_it(api, admin, usage):
    api.send(usage("u1", workflow="nightly", cached_tokens=500), usage("u2", model="gpt-4o-mini"))
    api.send(usage("u3", at=now() - 9 * DAY))
    shown = words(admin.get("/tokens/"))
    for part in ("Spend by day", "gpt-4o-mini", "2,200", "$0.0031", "Cost per execution"):
        assert part in shown
    assert "nightly" in words(admin.get("/tokens/?by=workflow"))
    assert "No workflow" in words(admin.get("/tokens/?by=workflow"))


def test_of_many_users_the_page_names_the_dearest_of_its_period(api, admin, usage):
    api.send(*(usage(f"u{n}", user=f"user{n:02}", prompt_tokens=1_000 + n) for n in range(60)))
    api.send(*(usage(f"old{n}", user=f"user{n:02}", prompt_tokens=90_000, at=now() - 9 * DAY) for n in range(10)))
    shown = words(admin.get("/tokens/?by=user"))
    assert "user59" in shown
    assert "user10" in shown
    assert "user09" not in shown
    assert "All others 10 " in shown


def test_what_is_unpriced_is_never_shown_as_free(api, admin, usage):
    run = {"type": "execution", "id": "run-1", "workflow": "nightly", "status": "succeeded", "started_at": now()}
    api.send(run, usage("u1", model="house/llama 3", execution_id="run-1"))
    assert "Cost per execution \u2013 1 execution " in words(admin.get("/tokens/"))
    assert "$0" not in words(admin.get("/tokens/")).partition("Spend by day")[0]


def test_what_is_unpriced_is_said_and_leads_to_the_form(api, admin, as_role, usage):
    api.send(usage("u1", model="house/llama 3"), usage("u2"))
    page = admin.get("/tokens/")
    assert "What 1 model costs is unknown" in words(page)
    assert "1 unpriced" in words(page)
    link = re.search(r'href="(/tokens/\?[^"]*price=[^"#]+)#set-price"', page.text)[1].replace("&amp;", "&")
    assert 'value="house/llama 3"' in admin.get(link).text
    assert "Add a price" not in as_role("viewer").get("/tokens/").text


def test_names_that_come_from_outside_are_shown_as_text(api, admin, usage):
    api.send(usage("u1", model="<script>alert(1)</script>", workflow="<b>w</b>", user="<i>u</i>", execution_id="e1"))
    for path in ("", "?by=workflow", "?by=user", "?tab=calls", "?tab=prices"):
        page = admin.get(f"/tokens/{path}")
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<b>w" not in page.text


def test_a_price_is_set_from_the_page_and_the_past_follows(api, post, usage, drain, totals):
    api.send(usage("u1", model="ours"))
    answer = post("prices", model="ours", input_usd_per_million="1", output_usd_per_million="2.5", **{"from": ""})
    assert (answer.status_code, answer.location) == (303, "/tokens/?tab=prices")
    drain()
    assert totals(api)["cost_usd"] == "0.001250000"


def test_a_price_may_hold_from_the_beginning(api, post, usage, drain, totals):
    api.send(usage("u1", at=now() - DAY))
    post("prices", model="gpt-4o", input_usd_per_million="1", output_usd_per_million="1", **{"from": "always"})
    drain()
    assert totals(api)["cost_usd"] == "0.001100000"


def test_a_price_that_is_none_keeps_what_was_typed(post):
    answer = post("prices", model="", input_usd_per_million="free", output_usd_per_million="2")
    assert answer.status_code == 422
    assert 'value="free"' in answer.text
    assert answer.text.count('aria-invalid="true"') == 2


def test_own_prices_are_marked_and_removed(api, admin, post):
    post("prices", model="ours", input_usd_per_million="1", output_usd_per_million="2")
    assert "yours" in words(admin.get("/tokens/?tab=prices"))
    assert post("prices/remove", model="ours").status_code == 303
    assert "yours" not in words(admin.get("/tokens/?tab=prices"))
    assert post("prices/remove", model="ours").status_code == 404


def test_the_book_is_searched_and_paged(admin):
    page = admin.get("/tokens/?tab=prices&q=google/gemini-2.5-pro")
    assert "other rates above 200,000 prompt tokens" in words(page)
    first = admin.get("/tokens/?tab=prices")
    older = re.search(r'rel="next" href="([^"]+)"', first.text)[1].replace("&amp;", "&")
    assert words(admin.get(older)) != words(first)
    assert admin.get("/tokens/?tab=prices&cursor=nonsense").status_code == 200


def test_a_budget_is_set_shown_and_deleted(api, admin, post, usage):
    api.send(usage("u1", workflow="nightly"))
    fields = {"name": "Nightly", "amount_usd": "0.004", "period": "day", "tz": "UTC", "hard": "1"}
    assert post("budgets", scope="workflow", scope_key="nightly", **fields).status_code == 303
    shown = words(admin.get("/tokens/?tab=budgets"))
    assert all(part in shown for part in ("Nightly", "a day, UTC · hard", "87 %", "workflow nightly"))
    assert "Nightly: $0.0035 of $0.0040" in words(admin.get("/tokens/"))
    key = api.get("/api/tokens/budgets").json["data"][0]["id"]
    assert post(f"budgets/{key}/delete").status_code == 303
    assert "No budget yet" in words(admin.get("/tokens/?tab=budgets"))


def test_a_budget_of_another_measure_is_shown_in_its_unit(api, admin, post, usage):
    api.send(usage("u1"))
    fields = {"name": "Prompts", "amount_usd": "4000", "period": "day", "tz": "UTC", "measure": "tokens.prompt"}
    assert post("budgets", **fields).status_code == 303
    shown = words(admin.get("/tokens/?tab=budgets"))
    assert all(part in shown for part in ("tokens.prompt a day, UTC", "1,000 tokens", "4,000 tokens", "25 %"))
    assert "No budget of spend yet" in words(admin.get("/tokens/"))


@pytest.mark.parametrize(("fields", "field"), [
    ({"amount_usd": "-3"}, "amount_usd"), ({"tz": "Nowhere"}, "tz"), ({"scope": "workflow", "scope_key": " "}, "scope_key"),
    ({"measure": "executions.count", "scope": "model", "scope_key": "gpt-4o"}, "scope_key"),
])  # fmt: skip
def test_a_budget_that_is_none_says_why(post, fields, field):
    answer = post("budgets", **{"name": "b", "amount_usd": "1", "period": "day", "tz": "UTC", **fields})
    assert answer.status_code == 422
    assert f'id="f-{field}-err"' in answer.text


def test_calls_lead_to_their_executions_and_say_their_price(api, admin, usage):
    api.send(usage("u1", execution_id="e1", user="ada"), usage("u2", user="bob", cost_usd="0.5"), usage("u3", model="ours"))
    shown = admin.get("/tokens/?tab=calls")
    assert 'href="/executions/e1"' in shown.text
    for part in ("openai/gpt-4o", "reported", "unpriced"):
        assert part in words(shown)
    assert "unpriced" not in words(admin.get("/tokens/?tab=calls&user=bob"))
    assert "No call matches" in words(admin.get("/tokens/?tab=calls&user=nobody"))


@pytest.mark.parametrize("query", [
    "range=nonsense", "since=tomorrow", "by=colour", "tab=nonsense", "tab=calls&range=x", "tab=calls&limit=0",
])  # fmt: skip
def test_an_old_link_still_opens(api, admin, usage, query):
    api.send(usage("u1"))
    assert "gpt-4o" in words(admin.get(f"/tokens/?{query}"))


def test_recommendations_are_shown_and_dismissed(api, admin, post, usage):
    short = {"prompt_tokens": 800, "completion_tokens": 40, "workflow": "triage"}
    api.send(*(usage(f"u{n}", execution_id=f"e{n}", at=now() - HOUR, **short) for n in range(30)))
    with unit_of_work():
        tasks.recommend({})
    page = admin.get("/tokens/")
    assert "Move short calls of triage from gpt-4o to gpt-4o-mini" in words(page)
    key = re.search(r"/tokens/recommendations/([0-9a-f]+)/dismiss", page.text)[1]
    assert post(f"recommendations/{key}/dismiss").status_code == 303
    assert "Move short calls" not in words(admin.get("/tokens/"))


def test_many_recommendations_wait_behind_the_largest(api, admin, usage):
    for place in range(8):
        short = {"prompt_tokens": 800, "completion_tokens": 40, "workflow": f"triage-{place}"}
        api.send(*(usage(f"u{place}-{n}", execution_id=f"e{place}-{n}", at=now() - HOUR, **short) for n in range(20)))
    with unit_of_work():
        tasks.recommend({})
    page = admin.get("/tokens/").text
    assert "2 more ways to spend less" in page
    assert page.count("Show executions") == 8


def test_an_execution_shows_its_models(api, admin, usage):
    api.send(usage("u1", execution_id="e1"), usage("u2", execution_id="e1", model="ours"), usage("u3", execution_id="e2"))
    shown = words(admin.get("/executions/e1"))
    assert all(part in shown for part in ("Models", "gpt-4o", "ours", "unpriced"))
    api.send({"type": "execution", "id": "e3", "workflow": "w", "status": "running"})
    assert "Models" not in words(admin.get("/executions/e3"))


def test_forms_are_for_those_who_may(as_role):
    viewer = as_role("viewer")
    token = {"csrf_token": viewer.environ_base["HTTP_X_CSRF_TOKEN"]}
    for path in ("prices", "prices/remove", "budgets", "budgets/x/delete", "recommendations/x/dismiss"):
        assert viewer.post(f"/tokens/{path}", data=token).status_code == 403
    for tab in ("budgets", "prices"):
        assert '<form class="form"' not in viewer.get(f"/tokens/?tab={tab}").text


def test_a_form_without_its_csrf_token_is_refused(admin):
    del admin.environ_base["HTTP_X_CSRF_TOKEN"]
    assert admin.post("/tokens/budgets", data={"name": "b", "amount_usd": "1"}).status_code == 403


def test_who_is_not_signed_in_is_led_to_the_login(client):
    assert client.get("/tokens/").location.startswith("/login?next=/tokens/")


def test_the_page_costs_few_statements_however_many_calls_there_are(api, admin, usage):
    api.send(*(usage(f"u{n}", at=now() - n * HOUR, model=f"m{n % 20}") for n in range(100)))
    admin.get("/tokens/")
    with count_queries() as statements:
        assert admin.get("/tokens/").status_code == 200
    assert len(statements) <= 14
    assert not any("FROM token_usage" in statement for statement in statements)
