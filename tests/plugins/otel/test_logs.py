"""Log records become events, and exceptions among them errors."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from tests.plugins.otel.conftest import attributes, value_of

from pilothouse.clock import now
from pilothouse.db import db
from pilothouse_otel.logs import translate
from pilothouse_otel.reading_protobuf import read_logs
from pilothouse_otel.spans import Refused


def record(body="order taken", severity=9, at=None, **more):
    told = {"timeUnixNano": str((now() if at is None else at) * 1_000_000), "severityNumber": severity, "body": value_of(body)}
    return told | more


def export(door, *records, **resource):
    scoped = {"scope": {"name": "shop.orders"}, "logRecords": list(records)}
    told = attributes({"service.name": "desk"} | resource)
    return door.api.post("/v1/logs", json={"resourceLogs": [{"resource": {"attributes": told}, "scopeLogs": [scoped]}]})


def events():
    rows = db.session.execute(db.text("SELECT name, component, ok, properties FROM events ORDER BY at, name")).all()
    return [tuple(row) for row in rows]


def test_a_record_is_an_event_with_its_level_and_text(door):
    at = now()
    assert export(door, record(at=at), record("slow", 13, at=at + 1), record("gone", 21, at=at + 2)).json == {}
    assert [(name, component, bool(ok)) for name, component, ok, _ in events()] == [
        ("log.info", "desk", True), ("log.warn", "desk", True), ("log.fatal", "desk", False),
    ]  # fmt: skip
    assert '"message":"order taken"' in events()[0][3]


@pytest.mark.parametrize(("severity", "name"), [
    (1, "log.trace"), (5, "log.debug"), (17, "log.error"), (0, "log"), ("SEVERITY_NUMBER_ERROR", "log.error"),
])  # fmt: skip
def test_levels_have_names(door, severity, name):
    export(door, record(severity=severity))
    assert events()[0][0] == name


@pytest.mark.parametrize("named", [{"eventName": "cart.filled"}, {"attributes": attributes({"event.name": "cart.filled"})}])
def test_a_named_record_is_an_event_of_that_name(door, named):
    export(door, record({"items": 3}, **named))
    assert events()[0][0] == "cart.filled"
    assert '"items":3' in events()[0][3]


def test_the_same_records_twice_are_there_once(door):
    told = [record(at=now()), record("other", at=now())]
    export(door, *told)
    assert export(door, *told).json == {}
    assert len(events()) == 2


def test_records_that_differ_in_anything_are_two(door):
    at = now()
    export(door, record(at=at), record(at=at, severity=13), record(at=at, attributes=attributes({"n": 1})))
    assert len(events()) == 3


def test_an_exception_that_comes_as_a_record_is_an_error_of_its_trace(door, trace):
    told = {"exception.type": "ValueError", "exception.message": "no lines", "exception.stacktrace": "at x"}
    more = {"traceId": trace, "spanId": "ab" * 8, "eventName": "exception", "attributes": attributes(told)}
    export(door, record(severity=17, **more), **{"service.version": "1.2"})
    [error] = door.errors()
    assert (error["error_type"], error["message"], error["execution_id"]) == ("ValueError", "no lines", trace)
    assert door.api.get(f"/api/errors/{error['id']}").json["release"] == "1.2"


def test_a_logged_exception_stays_an_event_that_is_not_ok(door):
    export(door, record("failed", 17, attributes=attributes({"exception.type": "ValueError"})))
    assert door.errors() == []
    assert not events()[0][2]


def test_what_cannot_be_read_or_lies_ahead_is_counted(door):
    answer = export(door, 7, record(at=now() + 3 * 86_400_000), record())
    assert answer.json["partialSuccess"]["rejectedLogRecords"] == "2"
    assert len(events()) == 1


def test_protobuf_records_are_read_alike(door):
    request = ExportLogsServiceRequest()
    made = request.resource_logs.add().scope_logs.add().log_records.add()
    made.observed_time_unix_nano, made.severity_number = now() * 1_000_000, 9
    made.body.string_value = "hello"
    answer = door.post(request.SerializeToString(), path="/v1/logs")
    assert ExportLogsServiceResponse.FromString(answer.data).partial_success.rejected_log_records == 0
    assert [row[0] for row in events()] == ["log.info"]


def test_a_record_without_any_time_is_of_now():
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add()
    [(place, event)] = translate(read_logs(request.SerializeToString()), now(), Refused())
    assert (place, event.at, event.name) == (0, None, "log")
