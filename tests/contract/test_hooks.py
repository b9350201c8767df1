"""Each hook at work: a tiny plugin, and what it changes for the people and programs that use Pilothouse."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from flask import Blueprint
from sqlalchemy import text

from pilothouse import bus, migrate
from pilothouse.access import Permission, Principal, roles_from
from pilothouse.contract import hookspecs
from pilothouse.contract.answers import Command, Credential, Price, Spend
from pilothouse.contract.arrivals import ArrivalSink
from pilothouse.contract.events import Event, EventSink, Reaction
from pilothouse.contract.notices import Notice, NotificationCategory
from pilothouse.contract.pages import AdminView, LoginMethod, NavItem, PaletteSource, Panel, Snippet
from pilothouse.contract.recording import Enricher, Measure, Recorder
from pilothouse.contract.work import BeatEntry, HealthCheck, Task
from pilothouse.db import db, unit_of_work
from pilothouse.health import run_checks
from pilothouse.identity.entering import admit
from pilothouse.identity.models import User
from pilothouse.identity.users import add_user
from pilothouse.measure_reads import read_totals
from pilothouse.plugins.discovery import discover
from pilothouse.plugins.models import PluginSwitch
from pilothouse.runtime import runtime
from pilothouse.settings import Setting, duration
from pilothouse.signals import Signal, TokenUsage
from pilothouse.testing import Api
from pilothouse.web.api import ApiBlueprint
from pilothouse.web.console import ConsoleView, expose
from pilothouse.work.runner import drain

VIEW = Permission("weather.reports.view", "See the weather", roles_from("member"), "read")


class StormSeen(Event, frozen=True, kw_only=True):
    """A storm was seen."""

    station: str = "EDDB"

    @classmethod
    def name(cls):
        return "weather.storm_seen"


class WeatherReport(Signal, frozen=True, kw_only=True, tag="weather_report"):
    """The weather at a station."""

    station: str


class WeatherView(ConsoleView):
    title = "Weather"
    path = "/weather"

    @expose("/")
    def index(self) -> Any:
        return "sunny"


@pytest.fixture
def weather(build_app, make_plugin):
    """Return what builds the console with all its plugins and one more, and opens its context."""
    contexts = []

    def build(**hooks):
        environ = hooks.pop("environ", {})
        app = build_app([*discover(), make_plugin("weather", requires=("executions",), permissions=[VIEW], **hooks)], **environ)
        contexts.append(app.app_context())
        contexts[-1].push()
        state = runtime().registry.get("weather")
        assert state.state == "loaded", state.reason
        return app

    yield build
    for context in reversed(contexts):
        context.pop()


def program(app, *scopes):
    from pilothouse.identity.access_tokens import create_token

    with unit_of_work():
        return Api(app.test_client(), create_token("t", scopes or ("ingest", "read", "write", "admin"))[1])


def browser(app, role="owner"):
    from pilothouse.testing import open_browser_session

    client = app.test_client()
    client.set_cookie("pilothouse_session", open_browser_session(role))
    return client


def seen(batch):
    """Record weather reports where switches are kept: a table that is there."""
    for signal in batch.signals:
        batch.connection.execute(text("INSERT INTO plugin_switches VALUES (:id, 0, :s)"), {"id": signal.id,
        "s": signal.station})
        batch.measures.add("weather.reports", batch.received_at, (signal.station,))


def rows():
    db.session.rollback()
    return [tuple(row) for row in db.session.execute(text("SELECT name, switched_off_by FROM plugin_switches ORDER BY name"))]


def put(name):
    db.session().add(PluginSwitch(name=name, switched_off_at=0, switched_off_by="weather"))


def nothing(*_: Any) -> None:
    """Do nothing."""


REPORTS = {
    "signals": [WeatherReport], "recorders": [Recorder(WeatherReport, seen, owner=True)],
    "measures": [Measure("weather.reports", "Weather reports", "1", "count", ("station",))],
}  # fmt: skip


def test_every_hook_is_tried_here():
    hooks = {name.removeprefix("pilothouse_") for name in dir(hookspecs) if name.startswith("pilothouse_")}
    assert hooks <= {name.removeprefix("test_hook_") for name in globals()}


def test_hook_manifest(weather):
    app = weather()
    found = next(one for one in program(app).get("/api/plugins").json["data"] if one["name"] == "weather")
    assert (found["title"], found["requires"], found["state"]) == ("Weather", ["executions"], "enabled")


def test_hook_settings(weather):
    weather(settings=[Setting("PILOTHOUSE_WEATHER_PAUSE", duration, 5_000, "How long to wait")],
            environ={"PILOTHOUSE_WEATHER_PAUSE": "2m"})  # fmt: skip
    assert runtime().settings["PILOTHOUSE_WEATHER_PAUSE"] == 120_000


def test_hook_models(weather):
    app = weather(models=[PluginSwitch], migrations=Path("none"))
    assert app.extensions["pilothouse"].registry.get("weather").contributions["models"] == (PluginSwitch,)


def test_hook_migrations(weather, tmp_path):
    (tmp_path / "w1.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\nrevision, down_revision = 'w1', None\n"
        "def upgrade():\n    op.create_table('weather_reports', sa.Column('id', sa.Integer, primary_key=True))\n"
    )
    weather(migrations=tmp_path)
    assert migrate.upgrade() == ["weather"]
    assert db.session.scalar(text("SELECT count(*) FROM weather_reports")) == 0


def test_hook_signals(weather):
    api = program(weather(**REPORTS))
    answer = api.send({"type": "weather_report", "id": "w1", "station": "EDDB"}, {"type": "weather_report", "id": "w2"})
    assert answer["accepted"] == 1
    assert answer["rejected"][0]["errors"] == [{"path": "signals[1].station", "message": "is required"}]


def test_hook_recorders(weather):
    program(weather(**REPORTS)).send({"type": "weather_report", "id": "w1", "station": "EDDB"})
    assert rows() == [("w1", "EDDB")]


def test_hook_measures(weather):
    api = program(weather(**REPORTS))
    api.send({"type": "weather_report", "id": "w1", "station": "EDDB"})
    assert read_totals("weather.reports", 0, 2**42, by=("station",))[("EDDB",)].count == 1
    named = [one["name"] for one in api.get("/api/analytics/measures").json["data"]]
    assert "weather.reports" in named
    assert api.get("/api/analytics/trends?measure=weather.reports&range=24h").json["series"][0]["total"] == 1


def test_hook_permissions(weather):
    app = weather()
    assert VIEW.name in browser(app, "member").get("/api/auth/me").json["permissions"]
    assert VIEW.name not in browser(app, "viewer").get("/api/auth/me").json["permissions"]


def test_hook_admin_views(weather):
    app = weather(admin_views=[AdminView("weather", lambda: WeatherView("weather"), VIEW.name)])
    assert browser(app, "member").get("/weather/").text == "sunny"
    assert browser(app, "viewer").get("/weather/").status_code == 403
    assert app.test_client().get("/weather/").status_code in {302, 303, 401}


def test_hook_navigation(weather):
    app = weather(
        admin_views=[AdminView("weather", lambda: WeatherView("weather"), VIEW.name)],
        navigation=[NavItem("Weather <map>", "weather.index", VIEW.name, badge=lambda: 7), NavItem("Gone",
        "weather.none", VIEW.name)],
    )
    assert "Weather &lt;map&gt;" in browser(app, "member").get("/executions/").text
    assert "Weather" not in browser(app, "viewer").get("/executions/").text


def test_hook_panels(weather):
    app = weather(panels=[Panel("weather.card", "executions.detail", VIEW.name, lambda run: f"<b>rain at {run}"),
                          Panel("weather.broken", "executions.detail", VIEW.name, lambda _: 1 / 0),
                          Panel("weather.odd", "executions.steps", VIEW.name, lambda _: {"step-1": 7})])  # fmt: skip
    program(app).send({"type": "execution", "id": "run-1", "workflow": "w", "status": "running"},
                      {"type": "step", "id": "step-1", "execution_id": "run-1", "name": "fetch"})  # fmt: skip
    page = browser(app, "member").get("/executions/run-1").text
    assert "&lt;b&gt;rain at run-1" in page
    assert "Could not load broken." in page


def test_hook_palette(weather):
    def find(words):
        return [{"title": f"Station {words}", "detail": "", "url": "/weather/"}]

    app = weather(palette=[PaletteSource("weather", "Stations", VIEW.name, find)])
    assert "Station EDDB" in browser(app, "member").get("/-/palette?q=EDDB").text
    assert "Station" not in browser(app, "viewer").get("/-/palette?q=EDDB").text


def test_hook_api_blueprints(weather):
    def stations() -> list[str]:
        """List the stations."""
        return ["EDDB"]

    bp = ApiBlueprint("weather")
    bp.get("/weather/stations", permission=VIEW.name)(stations)
    app = weather(api_blueprints=[bp])
    assert program(app).get("/api/weather/stations").json == ["EDDB"]
    assert "/api/weather/stations" in app.test_client().get("/api/openapi.json").json["paths"]


def test_hook_tasks(weather):
    from pilothouse.work.jobs import enqueue

    done = []
    app = weather(tasks=[Task("weather.fetch", done.append)])
    enqueue("weather.fetch", {"station": "EDDB"})
    assert (drain(app), done) == (1, [{"station": "EDDB"}])


def test_hook_beat_schedule(weather):
    app = weather(tasks=[Task("weather.fetch", nothing)], beat_schedule=[BeatEntry("weather.hourly", "weather.fetch",
    every_s=3600)])
    assert "weather.hourly" in json.dumps(app.extensions["celery"].conf.beat_schedule, default=str)


def test_hook_events(weather):
    heard = []
    weather(events=[StormSeen], reactions=[Reaction("weather.note", StormSeen, heard.append, when="now")])
    with unit_of_work():
        bus.publish(StormSeen())
    assert [event.station for event in heard] == ["EDDB"]


def test_hook_reactions(weather):
    app = weather(events=[StormSeen], reactions=[Reaction("weather.later", StormSeen, lambda event: put(event.station))])
    with unit_of_work():
        bus.publish(StormSeen(station="EDDF"))
    assert rows() == []
    drain(app)
    assert rows() == [("EDDF", "weather")]


def test_hook_event_sinks(weather):
    taken = []
    sink = EventSink("weather.diary", lambda event: event is StormSeen, taken.append)
    weather(events=[StormSeen], event_sinks=[sink])
    with unit_of_work():
        bus.publish(StormSeen(station="a"))
        bus.publish(StormSeen(station="b"))
    assert [[event.station for event in events] for events in taken] == [["a", "b"]]


def test_hook_arrival_sinks(weather):
    told = []
    app = weather(arrival_sinks=[ArrivalSink("weather.stations", lambda _, arrivals: told.extend(arrivals))])
    program(app).send({"type": "event", "id": "e", "name": "n"}, {"type": "event", "id": "f"})
    program(app).post("/api/ingest", data=b"{")
    assert [(one.accepted, one.rejected, one.refusals[0].field) for one in told] == [(1, 1, "name"), (0, 1, "")]


def test_hook_snippets(weather):
    snippets = [Snippet("weather.vane", "Weather <vane>", lambda url, token: f"vane --to {url} --key {token}"),
                Snippet("weather.broken", "Broken", lambda *_: 1 / 0), Snippet("weather.odd", "Odd one", nothing)]  # fmt: skip
    page = browser(weather(snippets=snippets)).get("/welcome/").text
    assert "Odd one" not in page
    assert "Weather &lt;vane&gt;" in page
    assert "vane --to http://localhost --key $PILOTHOUSE_TOKEN" in page


def test_hook_notification_categories(weather):
    category = NotificationCategory("weather.storm", "Storms", "weather", StormSeen, lambda event: Notice("A storm",
    event.station))
    app = weather(events=[StormSeen], notification_categories=[category])
    reader = browser(app, "member")
    reader.get("/api/auth/me")
    with unit_of_work():
        bus.publish(StormSeen())
    drain(app)
    notices = reader.get("/api/notifications").json["data"]
    assert [(one["title"], one["message"], one["category"]) for one in notices] == [("A storm", "EDDB", "weather")]


BAD_NOTICES = {
    "raises": lambda _: 1 / 0, "no_notice": lambda event: event.station, "type": lambda _: Notice("t", "m", type="danger"),
    "recipients": lambda _: Notice("t", "m", recipients="ada"), "fold_key": lambda _: Notice("t", "m", fold_key=7),
}  # fmt: skip


def test_categories_that_fail_cost_no_other_its_notices(weather):
    bad = [NotificationCategory(f"weather.{name}", name, "weather", StormSeen, compose) for name, compose in BAD_NOTICES.items()]
    good = NotificationCategory("weather.storm", "Storms", "weather", StormSeen, lambda event: Notice("A\ud800storm\0", event.station))
    app = weather(events=[StormSeen], notification_categories=[*bad, good])
    reader = browser(app, "member")
    reader.get("/api/auth/me")
    for number in range(7):  # more often than what fails is tried before it rests
        with unit_of_work():
            bus.publish(StormSeen(station=str(number)))
    drain(app)
    assert sorted((one["title"], one["message"]) for one in reader.get("/api/notifications").json["data"]) == [
        ("A?storm", str(number)) for number in range(7)
    ]
    assert set(runtime().registry.guard.failures) == {("weather", category.name) for category in bad}


def test_hook_login_methods(weather):
    pages = Blueprint("weather_login", __name__)

    def start():
        return "elsewhere"

    start.permission = "public"
    pages.add_url_rule("/weather/login", "start", start)
    app = weather(api_blueprints=[pages], login_methods=[
        LoginMethod("weather", "By <barometer>", "weather_login.start"), LoginMethod("lost", "Lost",
        "weather.nowhere"), LoginMethod("rain", "By rain", "weather_login.start", lambda: False)])  # fmt: skip
    page = app.test_client().get("/login").text
    assert "By &lt;barometer&gt;" in page
    assert "/weather/login" in page
    assert "Lost" not in page
    assert "By rain" not in page


def test_hook_cli(weather):
    @click.command("weather")
    def command() -> None:
        """Tell the weather."""
        click.echo("sunny")

    weather(cli=[command])
    assert ("weather", command) in runtime().registry.all("cli")


def test_hook_health_checks(weather):
    checks = [HealthCheck("weather.station", lambda: "It is silent.", "Set PILOTHOUSE_WEATHER_STATION"),
              HealthCheck("weather.broken", lambda: str(1 / 0), "Repair it")]  # fmt: skip
    weather(health_checks=checks)
    found = {finding.name: finding for finding in run_checks(critical_only=False)}
    assert (found["weather.station"].fault, found["weather.station"].remedy) == ("It is silent.",
    "Set PILOTHOUSE_WEATHER_STATION")
    assert not found["weather.broken"].ok


def test_hook_enrichers(weather):
    import msgspec

    def fill_in(signals):
        return [msgspec.structs.replace(one, station="EDDF") for one in signals]

    program(weather(**REPORTS, enrichers=[Enricher(WeatherReport, fill_in)])).send({"type": "weather_report", "id": "w",
    "station": "?"})
    assert rows() == [("w", "EDDF")]


def test_hook_authenticate(weather):
    def known(request):
        return Principal("ada", "viewer", "Ada") if request.headers.get("X-Weather-Pass") == "open" else None

    client = weather(authenticate=known).test_client()
    assert client.get("/api/executions", headers={"X-Weather-Pass": "open"}).status_code == 200
    assert client.get("/api/executions", headers={"X-Weather-Pass": "shut"}).status_code == 401


def test_hook_join(weather):
    def join(user_id):
        db.session.get(User, user_id).status = "active"
        return True

    weather(join=join)
    with unit_of_work():
        add_user("ada@example.com", "viewer", status="invited")
        assert admit("Ada@example.com").status == "active"


def test_hook_credential(weather):
    weather(credential=lambda service, principal: Credential("k1", "secret") if service == "weather" else None)
    wanted = {"label": None, "principal": Principal("ada", "member"), "passed_over": frozenset()}
    assert runtime().registry.first("credential", service="weather", **wanted).key_id == "k1"


def test_hook_price(weather):
    weather(price=lambda usage: Price(12_000, "price-1") if usage.model == "station-model" else None)
    usage = TokenUsage(id="u", model="station-model", prompt_tokens=1, completion_tokens=1)
    assert runtime().registry.first("price", usage=usage) == Price(12_000, "price-1")


def test_hook_reserve(weather):
    held = SimpleNamespace(id="r1", settle=nothing, release=nothing)
    weather(reserve=lambda spend: held if spend.workflow == "weather" else None)
    assert runtime().registry.first("reserve", spend=Spend(5, workflow="weather")) is held


def test_hook_commands(weather):
    app = weather(commands=lambda token_id: [Command("run-1", "cancel")] if token_id else None)
    answer = program(app).send({"type": "event", "id": "e", "name": "n"})
    assert answer["commands"] == [{"execution_id": "run-1", "command": "cancel"}]


def test_hook_records(weather):
    weather(records=lambda kind, ids: {key: {"id": key} for key in ids} if kind == "weather" else None)
    assert runtime().registry.first("records", kind="weather", ids=["w-1"]) == {"w-1": {"id": "w-1"}}
    assert runtime().registry.first("records", kind="errors", ids=["w-1"]) == {}
