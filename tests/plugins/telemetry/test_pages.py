"""The analytics page: the same sums as the API, comparison, tables that sort and lead on, and a page for every state."""

from __future__ import annotations

import csv
import html
import io
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from telemetry_parts import NOON, build, count_runs, event, telemetry_plugin

from pilothouse import clock, measure_rollups
from pilothouse.clock import DAY, HOUR, MINUTE
from pilothouse.db import unit_of_work
from pilothouse.testing import Api, count_queries, open_browser_session
from pilothouse_telemetry import service
from pilothouse_telemetry.models import ChartMark

MIDNIGHT = NOON // DAY * DAY


@pytest.fixture
def api(app, make_token):
    return Api(app.test_client(), make_token("ingest", "read"))


def page(browser, path="/analytics/", **query):
    response = browser.get(path, **({"query_string": query} if query else {}))
    assert response.status_code == 200
    return html.unescape(response.text)


def figures(text):
    """Return the figures of the strip by their labels."""
    cells = re.findall(r'<span class="label">(.*?)</span><span class="value">(.*?)</span>', text)
    return {label: re.sub(r"<.*?>", "", value).replace("\u00a0", " ") for label, value in cells}


def numbers(text, title):
    """Return the rows of the table below a chart."""
    figure = next(part for part in text.split("<figure")[1:] if f"<h2>{title}</h2>" in part)
    rows = re.findall(r"<tr><td>(.*?)</tr>", figure, re.DOTALL)
    return [[re.sub(r"<.*?>", "", cell).strip() for cell in row.split('<td class="num">')] for row in rows]


def links(text, start):
    return [link for link in re.findall(r'href="([^"]*)"', text) if link.startswith(start)]


def test_the_strip_and_the_charts_say_what_was_counted(browser):
    count_runs(*((NOON - n * HOUR, "nightly", "failed" if n % 4 == 0 else "succeeded") for n in range(40)), ms=1_500, cost=250_000_000)
    text = page(browser)
    assert figures(text) == {
        "Executions": "40", "Failure rate": "25 %", "p95 duration": "1.4 s", "Spend": "$10.00",
    } | {"p95 duration": figures(text)["p95 duration"]}  # fmt: skip
    assert figures(text)["p95 duration"] in {"1.4 s", "1.5 s"}
    assert sum(int(row[1]) for row in numbers(text, "Executions")) == 40


def test_a_chart_of_executions_says_when_there_were_most(browser):
    count_runs((NOON - DAY, "nightly", "succeeded"), (NOON - DAY, "nightly", "failed"), (NOON - 3 * DAY, "nightly", "failed"))
    assert "3 executions, at most 2 in 6 hours" in browser.get("/analytics/?range=7d").text
    assert "3 executions, at most 2 in a day" in browser.get("/analytics/?range=4w").text


def read_csv(answer):
    return list(csv.reader(io.StringIO(answer.text)))


@pytest.mark.parametrize("range_", ["7d", "4w"])
def test_charts_csv_and_api_show_the_same_sums(browser, api, range_):
    count_runs(*((NOON - n * 5 * HOUR, "nightly", "succeeded") for n in range(250)), cost=1_000_000_000)
    measure_rollups.compact()
    text = page(browser, range=range_)
    interval = {"7d": "6h", "4w": "day"}[range_]
    asked = {"measure": "executions.count", "range": range_, "interval": interval}
    [series] = api.get("/api/analytics/trends", query_string=asked).json["series"]
    [link] = links(text, "/analytics/chart.csv?chart=executions&")
    heading, *rows = read_csv(browser.get(link))
    assert heading == ["at", "Executions", "Before"]
    assert [int(row[1]) for row in rows] == [point["value"] for point in series["points"]]
    assert [row[1] for row in numbers(text, "Executions")] == [row[1] for row in rows]
    [spend] = links(text, "/analytics/chart.csv?chart=spend&")
    assert sum(float(row[1]) for row in read_csv(browser.get(spend))[1:]) == series["total"]


def test_the_csv_of_a_chart_holds_what_the_chart_shows(browser):
    count_runs(*((NOON - n * HOUR, "nightly" if n % 2 else "weekly", "failed" if n % 4 == 0 else "succeeded") for n in range(40)))
    text = page(browser, workflow="weekly", compare="off")
    [link] = links(text, "/analytics/chart.csv?chart=failure-rate&")
    heading, *rows = read_csv(browser.get(link))
    assert heading == ["at", "Failure rate"]
    assert [row[1] for row in rows[-3:]] == ["0.6666666666666666", "0.3333333333333333", "1.0"]
    assert browser.get("/analytics/chart.csv?chart=nothing").status_code == 404


def test_a_page_counts_from_the_very_start_of_its_range_and_compares_like_with_like(browser):
    count_runs(*((NOON - n * HOUR, "nightly", "succeeded") for n in range(2 * 24 * 7)))
    text = page(browser, range="165h")
    assert figures(text)["Executions"] == "166"  # the running minute counts whole
    rows = numbers(text, "Executions")
    assert rows[0][0] == "2026-09-14 12:00:00 in part"
    assert rows[0][1] == rows[0][2] == "3"
    assert rows[-1][0].startswith("2026-09-21 12:00:00")
    assert "so far" in rows[-1][0]
    assert rows[-1][1] == rows[-1][2] == "1"


@pytest.mark.parametrize(("compare", "shown"), [("previous", True), ("week", True), ("off", False)])
def test_the_comparison_can_be_chosen(browser, compare, shown):
    count_runs((NOON - HOUR, "w", "succeeded"), (NOON - 7 * DAY - HOUR, "w", "succeeded"))
    text = page(browser, range="24h" if compare == "week" else "7d", compare=compare)
    assert ('<i class="dash">' in text) is shown
    assert ("from 1</span>" in text) is shown


def test_days_are_those_of_the_readers_zone(browser):
    browser.set_cookie("ph_zone", "Asia/Kolkata")
    count_runs((MIDNIGHT - 329 * MINUTE, "w", "succeeded"), (MIDNIGHT - 331 * MINUTE, "w", "succeeded"))
    rows = numbers(page(browser, range="4w"), "Executions")
    assert [(row[0][:10], row[1]) for row in rows[-2:]] == [("2026-09-20", "1"), ("2026-09-21", "1")]


def test_a_workflow_can_be_picked_out(browser):
    count_runs((NOON, "nightly", "succeeded"), (NOON, "weekly", "failed"), (NOON, "weekly", "failed"))
    text = page(browser, workflow="weekly")
    assert figures(text)["Executions"] == "2"
    assert "Remove the filter Workflow weekly" in text
    assert any("workflow=nightly" in link for link in links(text, "/analytics/?"))


def test_every_line_leads_to_its_executions(browser):
    count_runs((NOON, "nightly & more", "succeeded"))
    [link] = [link for link in links(page(browser), "/executions/?") if "workflow=" in link]
    query = parse_qs(urlsplit(link).query)
    assert query["workflow"] == ["nightly & more"]
    assert int(query["since"][0]) < NOON < int(query["until"][0])


def test_every_bucket_leads_to_its_executions(browser):
    count_runs((NOON, "nightly", "succeeded"))
    found = links(page(browser, workflow="nightly"), "/executions/?workflow=nightly&since=")
    assert f"/executions/?workflow=nightly&since={NOON}&until={NOON + 6 * HOUR}" in found


def test_a_table_sorts_by_any_column_either_way(browser):
    count_runs((NOON, "b", "failed"), (NOON, "b", "succeeded"), (NOON, "a", "failed"), cost=5)
    count_runs((NOON, "c", "succeeded"), (NOON, "c", "succeeded"), (NOON, "c", "succeeded"), cost=1)
    orders = {sort: re.findall(r'<tr data-k="(.)">', page(browser, sort=sort)) for sort in (
        "", "-executions", "name", "-name", "failure_rate", "spend_usd", "nonsense")}  # fmt: skip
    assert orders == {
        "": ["c", "b", "a"], "-executions": ["a", "b", "c"], "name": ["a", "b", "c"], "-name": ["c", "b", "a"],
        "failure_rate": ["a", "b", "c"], "spend_usd": ["b", "a", "c"], "nonsense": ["c", "b", "a"],
    }  # fmt: skip
    assert 'aria-sort="ascending"' in page(browser, sort="-spend_usd")


def test_spend_that_nobody_knows_is_no_zero(browser):
    from pilothouse.measures import Deltas

    count_runs((NOON, "w", "succeeded"))
    with unit_of_work() as session:
        deltas = Deltas()
        deltas.add("tokens.prompt", NOON, ("mystery", "w", "robot"), total=10)
        deltas.write(session.connection())
    assert re.search(r">Spend</span><span class=\"value\">\u2013<", page(browser))
    assert "No price is known for 1 model calls" in page(browser, tab="models")


def test_models_show_what_they_cost_and_what_has_no_price(browser):
    count_runs((NOON, "w", "succeeded"), cost=3_000_000_000)
    with unit_of_work() as session:
        from pilothouse.measures import Deltas

        deltas = Deltas()
        deltas.add("tokens.prompt", NOON, ("mystery", "w", "robot"), total=10)
        deltas.write(session.connection())
    text = page(browser, tab="models")
    assert "1 unpriced" in text
    assert "$3.00 for 1 model calls; 1 more have no price" in text
    assert re.search(r"mystery.*?\u2013</td>", text, re.DOTALL)


def test_the_table_has_a_csv_of_all_its_lines(browser):
    count_runs(*((NOON, f"w{n}", "succeeded") for n in range(300)), ms=10, cost=1_500_000_000)
    text = page(browser)
    assert "240 more are not shown" in text
    [link] = links(text, "/analytics/table.csv")
    header, *rows = csv.reader(io.StringIO(browser.get(link).text))
    assert header == ["workflow", "executions", "failure_rate", "p95_ms", "calls", "tokens", "spend_usd"]
    assert len(rows) == 300
    assert (rows[0][1], rows[0][2], rows[0][6]) == ("1", "0.0", "1.500000000")


def test_changes_are_marked_on_the_charts_and_listed(browser):
    count_runs((NOON, "w", "succeeded"))
    with unit_of_work() as session:
        session.add_all([ChartMark(id="a", at=NOON - DAY, text="Release <2.0>"), ChartMark(id="b", at=NOON - 90 * DAY, text="Release 0.1")])
    response = browser.get("/analytics/")
    assert response.text.count('<path class="mark"') == 4
    assert "Release &lt;2.0&gt;" in response.text
    assert "Release 0.1" not in response.text


def test_facts_of_other_plugins_are_kept_where_they_say_something(app):
    from pilothouse.contract.events import Event

    class Priced(Event, frozen=True, kw_only=True):
        model: str

        def mark(self):
            return f"Price of {self.model} changed" if self.model else None

    class Silent(Event, frozen=True, kw_only=True):
        pass

    assert (service.says_something(Priced), service.says_something(Silent)) == (True, False)
    with unit_of_work() as session:
        told = Priced(model="gpt-5")
        service.keep_marks([told, told, Priced(model="")])
        assert [mark.text for mark in session.query(ChartMark)] == ["Price of gpt-5 changed"]


def test_components_lead_to_their_events(browser, api):
    api.send(event(component="search", user="ada", ok=False, duration_ms=30), event(component="search", ok=True))
    text = page(browser, tab="components")
    [link] = [link for link in links(text, "/analytics/events") if "component=search" in link]
    listed = page(browser, link)
    assert listed.count('<tr data-k="') == 2
    assert page(browser, f"{link}&failed=true").count('<tr data-k="') == 1


def test_events_are_paged_and_a_page_without_any_says_so(browser, api):
    api.send(*(event(NOON - n * MINUTE, properties={"n": n}) for n in range(60)))
    text = page(browser, "/analytics/events")
    assert text.count('<tr data-k="') == 50
    [older] = [link for link in links(text, "/analytics/events?") if "cursor=" in link]
    assert page(browser, older).count('<tr data-k="') == 10
    assert "No event matches these filters" in page(browser, "/analytics/events", component="nobody")


def test_people_show_activity_and_retention(browser, api):
    api.send(*(event(NOON - 7 * week * DAY, user=f"u{n}") for week in range(4) for n in range(4 - week)))
    text = page(browser, tab="people")
    assert figures(text)["Active in the last 7 days"] == "4"
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>(.*?)</tr>', text)
    assert [(week, size) for week, size, _ in rows][-4:] == [
        ("2026-08-31", "1"), ("2026-09-07", "1"), ("2026-09-14", "1"), ("2026-09-21", "1"),
    ]  # fmt: skip
    assert rows[-2][2].count("100") == 2


def test_any_measure_can_be_explored_by_any_dimension(browser, api):
    api.send(*(event(component=f"c{n}") for n in range(7) for _ in range(n + 1)))
    text = page(browser, tab="measures", measure="events.count", by="component")
    assert re.findall(r'<tr data-k="(.*?)">', text) == ["c6", "c5", "c4", "c3", "(other)"]
    [link] = [link for link in links(text, "/api/analytics/export.csv") if "events.count" in link and "top=4" in link]
    rows = list(csv.reader(io.StringIO(api.get(link).text)))[1:]
    assert sum(int(row[2]) for row in rows) == 28
    one = page(browser, tab="measures", measure="events.count", filter="component:c6")
    assert re.findall(r'<td class="num" data-a="meta">(.*?)</td>', one) == ["7"]


@pytest.mark.parametrize("measure", ["events.duration_ms", "events.users", "tokens.cost_usd", "executions.duration_ms", "nobody's"])
@pytest.mark.parametrize("query", [{}, {"by": "component"}, {"workflow": "w"}, {"stat": "mean"}, {"filter": "x"}])
def test_every_measure_has_a_chart(browser, api, measure, query):
    api.send(event(component="search", user="ada", duration_ms=5))
    count_runs((NOON, "w", "succeeded"), ms=5, cost=7)
    assert "<figure" in page(browser, tab="measures", measure=measure, **query)


def test_a_console_without_any_execution_shows_the_first_step(browser):
    text = page(browser)
    assert "Nothing to trend yet" in text
    assert "client.execution(" in text
    assert 'class="card kpis"' not in text


def test_what_pilothouse_does_itself_is_no_use_yet(browser):
    count_runs((NOON, "pilothouse core.purge_jobs", "succeeded"))
    assert "Nothing to trend yet" in page(browser)


def test_an_empty_period_of_a_used_console_says_so(browser):
    count_runs((NOON - 60 * DAY, "w", "succeeded"))
    text = page(browser)
    assert "Nothing to trend yet" not in text
    assert figures(text)["Executions"] == "0"
    assert "No workflow matches these filters" in text


@pytest.mark.parametrize("tab", ["models", "agents", "components", "people", "measures"])
def test_every_tab_opens_on_an_empty_console(browser, tab):
    assert "Analytics" in page(browser, tab=tab)


@pytest.mark.parametrize("query", [
    {"range": "nonsense"}, {"since": "x"}, {"since": "9", "until": "3"}, {"tab": "x"}, {"compare": "x"}, {"stat": "x"},
    {"range": "400d"}, {"range": "1m"}, {"since": str(NOON - HOUR)}, {"sort": "\u202ex"},
])
def test_an_old_or_broken_address_still_opens(browser, query):
    count_runs((NOON, "w", "succeeded"))
    assert "Executions" in figures(page(browser, **query))


def test_the_page_runs_few_statements(browser):
    count_runs((NOON, "w", "succeeded"), ms=5, cost=7)
    measure_rollups.compact()
    page(browser)
    for tab in ("workflows", "models", "components", "people", "measures"):
        with count_queries() as statements:
            page(browser, tab=tab)
        assert len(statements) <= 10


def test_the_page_needs_its_permission(app):
    stranger = app.test_client()
    assert stranger.get("/analytics/").status_code == 303
    for path in ("/api/telemetry/summary", "/api/analytics/measures", "/api/analytics/export.csv?measure=events.count"):
        assert stranger.get(path).status_code == 401
    viewer = app.test_client()
    viewer.set_cookie("pilothouse_session", open_browser_session("viewer"))
    assert [viewer.get(path).status_code for path in ("/analytics/", "/analytics/events", "/api/telemetry/summary")] == [200] * 3


def test_without_anybody_who_counts_executions_events_stand_in(tmp_path, migrated, now):
    import shutil

    from pilothouse.testing import let_go

    shutil.copy(migrated, tmp_path / "pilothouse.db")
    app = build(tmp_path, f"sqlite:///{tmp_path}/pilothouse.db", [telemetry_plugin()])
    with app.app_context():
        client = app.test_client()
        client.set_cookie("pilothouse_session", open_browser_session("owner"))
        text = page(client)
        performance = client.get("/api/analytics/performance").json
    let_go(app)
    assert list(figures(text)) == ["Events"]
    assert performance == {"components": [], "workflows": []}
    assert clock.now() == now.at
