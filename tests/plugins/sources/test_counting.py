"""What arrives is counted by client and token, in the transaction that stores it."""

from __future__ import annotations

import json
import threading
import time

import pytest
from tests.conftest import token_of
from tests.plugins.sources.conftest import event

from pilothouse.clock import DAY
from pilothouse.db import unit_of_work
from pilothouse.runtime import runtime
from pilothouse.testing import Api, count_queries
from pilothouse.turned_away import PAUSE_S, TurnedAway
from pilothouse_sources import queries, recorder
from pilothouse_sources.clients import client_of
from pilothouse_sources.models import SourceDay, SourceRefusal


def sources(api, query=""):
    return {line["client"]: line for line in api.get(f"/api/sources{query}").json["data"]}


def send(api, *signals, agent="curl/8.5.0"):
    return api.post("/api/ingest", json={"signals": list(signals)}, headers={"User-Agent": agent})


@pytest.mark.parametrize(
    ("told", "client"),
    [
        ("OTel-OTLP-Exporter-Python/1.45.0", ("OTel-OTLP-Exporter-Python", "1.45.0")),
        ("sentry.python/2.75.0", ("sentry.python", "2.75.0")),
        ("langfuse-python 5.0.1", ("langfuse-python", "5.0.1")),
        ("python-requests/2.31.0 Python/3.11", ("python-requests", "2.31.0")),
        ("Mozilla/5.0 (X11; Linux) Firefox/140", ("Mozilla", "5.0")),
        ("OpenTelemetry Collector Contrib/v0.96.0 (linux/amd64)", ("OpenTelemetry Collector Contrib", "0.96.0")),
        ("my agent", ("my agent", "")),
        ("", ("(unnamed)", "")),
        ("\0\u202e é", ("(unnamed)", "")),
        ("x" * 300, ("x" * 80, "")),
        ("/" * 90, ("(unnamed)", "")),
    ],
)
def test_clients_have_a_name_and_a_version(told, client):
    assert client_of(told) == client


def test_what_is_new_known_and_refused_is_counted_by_client(api):
    send(api, event("e1"), event("e2"), {"type": "event", "id": "e3"})
    send(api, event("e1"), agent="pilothouse-client/0.1.0")
    found = sources(api)
    curl, client = found["curl"], found["pilothouse-client"]
    assert [curl[name] for name in ("version", "requests", "accepted", "duplicates", "rejected")] == ["8.5.0", 1, 2, 0, 1]
    assert [client[name] for name in ("version", "requests", "accepted", "duplicates", "rejected")] == ["0.1.0", 1, 0, 1, 0]
    assert curl["token"] == "test"


def test_refusals_have_their_reason_and_the_newest_signal(api):
    bad = {"type": "error", "id": "x1", "error_type": "E", "message": "m", "frames": [{"line": "seven"}]}
    send(api, bad, {**bad, "id": "x2", "frames": [{}, {"line": "eight"}]})
    [reason] = sources(api)["curl"]["rejections"]
    assert (reason["field"], reason["count"], reason["last_signal"]) == ("frames[].line", 2, "x2")


@pytest.mark.parametrize("refused", ["x\0y", "z" * 9_000, "a b"])
def test_a_signal_that_is_refused_for_its_id_is_counted_too(either_app, either_api, refused):
    send(either_api, {"type": "event", "id": refused, "name": "n"})
    [line] = sources(either_api).values()
    assert (line["rejected"], [one["field"] for one in line["rejections"]]) == (1, ["id"])


def test_a_report_of_nothing_but_refused_signals_counts(api):
    answer = send(api, {"type": "event", "id": "e"}).json
    assert (answer["accepted"], len(answer["rejected"])) == (0, 1)
    assert sources(api)["curl"]["rejected"] == 1


@pytest.mark.parametrize(
    ("body", "kind", "words"), [(b"{", "application/json", "JSON"), (b"{}", "text/plain", "Content-Type 'text/plain'")]
)
def test_a_request_that_is_refused_as_a_whole_counts_as_one(api, body, kind, words):
    answer = api.post("/api/ingest", data=body, content_type=kind, headers={"User-Agent": "curl/8"})
    assert answer.status_code in {400, 415}
    line = sources(api)["curl"]
    assert (line["rejected"], line["accepted"]) == (1, 0)
    assert words in line["rejections"][0]["message"]


def test_the_doors_count_too(api):
    api.post("/v1/traces", data=b"{", content_type="application/json", headers={"User-Agent": "OTel-OTLP-Exporter-Go/1.2"})
    span = {"traceId": "1" * 32, "spanId": "2" * 16, "name": "root", "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span, {"traceId": "z"}]}]}]}
    api.post("/v1/traces", json=body, headers={"User-Agent": "OTel-OTLP-Exporter-Go/1.2"})
    line = sources(api)["OTel-OTLP-Exporter-Go"]
    assert (line["requests"], line["rejected"]) == (2, 2)
    assert line["accepted"] >= 1


def test_sentry_s_sdks_are_known_by_the_name_in_their_header(app, api):
    header = f"Sentry sentry_key={api.token}, sentry_version=7, sentry_client=sentry.python/2.75.0"
    body = json.dumps({}).encode() + b'\n{"type":"event"}\n' + json.dumps({"event_id": "a" * 32, "message": "m"}).encode()
    assert app.test_client().post("/api/1/envelope/", data=body, headers={"X-Sentry-Auth": header}).status_code == 200
    assert sources(api)["sentry.python"]["accepted"] == 1


def test_secrets_in_a_reason_are_not_kept(api):
    leaked = "sk-proj-" + "a1B2c3D4" * 6
    api.post("/api/ingest", data=b"{}", content_type=leaked)
    assert leaked[:30] not in json.dumps(api.get("/api/sources").json)


def test_what_pilothouse_reports_of_itself_is_no_arrival(api):
    runtime().reporter.flush()
    api.patch("/api/executions/none", json={"status": "failed"})
    assert sources(api) == {}


def test_edits_of_people_are_no_arrival(api):
    send(api, {"type": "execution", "id": "run", "workflow": "w", "status": "running"})
    assert api.patch("/api/executions/run", json={"status": "succeeded"}).status_code == 200
    assert sources(api).keys() == {"curl"}


def test_days_add_up_within_the_period(api, time_of_day):
    for number in range(4):
        send(api, event(f"e{number}"))
        time_of_day.pass_by(DAY)
    assert sources(api, "?range=30d")["curl"]["accepted"] == 4
    assert sources(api, "?range=2d")["curl"]["accepted"] == 2
    assert api.get("/api/sources?range=often").status_code == 422


def test_names_without_end_are_counted_as_others(api, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_CLIENTS", 3)
    for number in range(6):
        send(api, event(f"e{number}"), agent=f"bot{number}/1")
    found = sources(api)
    assert (len(found), found["(others)"]["accepted"]) == (4, 3)


def test_reasons_without_end_are_counted_as_others(api, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_REASONS", 2)
    send(api, {"type": "odd"}, {"type": "event"}, {"type": "step", "id": "s"})
    reasons = sources(api)["curl"]["rejections"]
    assert "(other reasons)" in {reason["message"] for reason in reasons}
    assert len(reasons) == 3


def test_the_newest_thousand_reasons_are_told(app, api):
    send(api, event("e1"))
    number = queries.MOST_REASONS + 1
    with unit_of_work() as session:
        day = session.query(SourceDay).one()
        who = {"day": day.day, "token_id": day.token_id, "client": day.client, "version": day.version}
        day.rejected = number
        session.add_all(
            SourceRefusal(**who, field="f", message=f"m{n}", count=1, last_at=day.last_at + n, last_signal=None) for n in range(number)
        )
    told = [reason["message"] for reason in sources(api)["curl"]["rejections"]]
    assert (len(told), told[0], "m0" in told) == (queries.MOST_REASONS, f"m{number - 1}", False)


def test_a_report_costs_one_more_statement(app, api):
    send(api, event("e1"))
    with count_queries() as statements:
        send(api, event("e2"))
    assert len([statement for statement in statements if "source_" in statement]) == 1


def test_a_report_of_many_reasons_costs_a_bounded_number_of_statements(api, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_REASONS", 5)
    with count_queries() as statements:
        send(api, *({"type": f"t{number}", "id": "x"} for number in range(100)))
    assert len([statement for statement in statements if "source_refusals" in statement]) <= 7


def test_what_is_older_than_the_retention_time_is_forgotten(api, time_of_day, drain):
    from pilothouse.db import unit_of_work
    from pilothouse_sources import tasks

    send(api, event("e1"), {"type": "event"})
    time_of_day.pass_by(100 * DAY)
    with unit_of_work():
        tasks.forget({})
    assert sources(api, "?range=200d") == {}


def test_counts_are_exact_on_either_database_with_many_at_once(either_app, either_api):
    either_api.client.get("/healthz")

    def report(part):
        with either_app.app_context():
            mine = Api(either_app.test_client(), either_api.token)
            for number in range(5):
                assert send(mine, event(f"{part}-{number}"), event("same"), {"type": "event"}).status_code == 200

    threads = [threading.Thread(target=report, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    line = sources(either_api)["curl"]
    assert [line[name] for name in ("requests", "accepted", "duplicates", "rejected")] == [20, 21, 19, 20]
    assert sum(reason["count"] for reason in line["rejections"]) >= 20


def test_a_token_for_sending_alone_may_not_read_them(app):
    assert Api(app.test_client(), token_of(app, "ingest")).get("/api/sources").status_code == 403


DOORS = ("/api/ingest", "/v1/traces", "/v1/traces/ingest", "/api/public/ingestion", "/api/1/envelope/?sentry_key=ph_access_wrong")


@pytest.fixture(autouse=True)
def nobody_turned_away(app):
    runtime().ingest._turned_away = TurnedAway()  # the application is the module's: it has told of others a moment ago


def turned_away(api, path, agent, token=None):
    headers = {"User-Agent": agent, **({"Authorization": f"Bearer {token}"} if token else {})}
    return api.client.post(path, data=b"{}", content_type="application/json", headers=headers)


@pytest.mark.parametrize("path", DOORS)
def test_who_has_no_known_token_is_seen_with_the_reason(api, path):
    assert turned_away(api, path, "lost/1.0", "ph_access_wrong").status_code in {401, 403}
    line = sources(api)["lost"]
    assert (line["token_id"], line["token"], line["requests"], line["accepted"], line["rejected"]) == (None, None, 1, 0, 1)
    assert line["rejections"][0]["message"].startswith("401: ")


def test_who_lacks_the_scope_is_seen_with_the_name_of_the_token(api, make_token):
    assert turned_away(api, "/api/ingest", "reader/2", make_token("read")).status_code == 403
    line = sources(api)["reader"]
    assert (line["token"], line["rejections"][0]["message"][:5]) == ("test", "403: ")


def test_who_is_over_the_limit_is_seen(build_app):
    app = build_app(PILOTHOUSE_INGEST_RATE="1")
    api = Api(app.test_client(), token_of(app))
    with app.app_context():
        statuses = [send(api, event(f"e{n}"), agent="eager/3").status_code for n in range(4)]
        runtime().ingest._turned_away._told_at = 0  # a second later
        turned_away(api, "/api/ingest", "other")
    assert statuses.count(429) > 0
    line = sources(api)["eager"]
    assert (line["rejected"], line["accepted"]) == (statuses.count(429), statuses.count(200))
    assert line["rejections"][0]["message"].startswith("429: ")


def test_turning_many_away_costs_one_write_and_a_bounded_number_of_rows(api):
    turned_away(api, "/api/ingest", "first")
    begun = time.monotonic()
    with count_queries() as statements:
        for number in range(400):
            turned_away(api, "/api/ingest", f"agent-{number}")
    writes = [statement for statement in statements if statement.startswith('INSERT INTO "source_days"')]
    assert len(writes) <= (time.monotonic() - begun) / PAUSE_S
    send(api, event("e1"))
    lines = sources(api)
    assert len(lines) <= recorder.MOST_CLIENTS + 2
    assert sum(line["rejected"] for line in lines.values()) == 401
