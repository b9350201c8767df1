"""Decoding: any bytes become signals or plain refusals, and a bad signal never takes a good one with it."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse import clock
from pilothouse.decoding import MOST_SIGNALS, SignalReader, check_signal
from pilothouse.errors import Malformed, TooLarge
from pilothouse.signals import Error, ErrorDetail, Event, Execution, Signal, Step, TokenUsage, json_text, raw

READER = SignalReader()
GOOD = {"type": "execution", "id": "good", "workflow": "w", "status": "running"}
USAGE = {"type": "token_usage", "id": "t", "model": "m", "prompt_tokens": 1, "completion_tokens": 1}
DEEP = b"[" * 5_000 + b"]" * 5_000


def read(*signals):
    return READER.read_json(json.dumps({"signals": signals}).encode())


def read_beside_a_good_one(bad):
    """Read a bad signal's bytes between two good ones; returns its rejection."""
    good = json.dumps(GOOD).encode()
    items, outcome = READER.read_json(b'{"signals":[' + good + b"," + bad + b"," + good + b"]}")
    assert [index for index, _ in items] == [0, 2]
    return outcome.rejected


def refused(bad):
    """Return what is wrong with one signal as {path: message}."""
    rejected = read_beside_a_good_one(bad if isinstance(bad, bytes) else json.dumps(bad).encode())
    assert [rejection.index for rejection in rejected] == [1]
    return {error.path: error.message for error in rejected[0].errors}


# --- whole bodies ---


def test_a_common_report_is_read_in_one_go():
    items, outcome = read(GOOD, {"type": "event", "id": "e", "name": "n", "at": "2023-11-16T00:00:00Z"})
    assert [type(signal) for _, signal in items] == [Execution, Event]
    assert items[1][1].at == 1_700_092_800_000
    assert not outcome.rejected


def test_an_empty_report_is_nothing():
    assert read() == ([], read()[1])
    assert READER.read_lines(b"\n \n")[0] == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b'"text"', b"5", b"{}", b'{"signals":{}}', b'{"signals":null}', b'{"signals":[{]}',
     b"\xff\xfe", b'{"signals":[]}x', b'{"signals":[NaN]}', b'{"signals":["\xff"]}', b"\xef\xbb\xbf{}", DEEP,
     b'{"x":' + DEEP + b',"signals":[]}',
     '{"signals":[]}'.encode("utf-16"), b'{"password":1,"signals":5}', b'{"password":', b'{"password":1}', b'["password"]',
     b'{"password":"\\ud83d","signals":5}', b'{"password":' + DEEP],
)  # fmt: skip
def test_a_body_that_is_no_report_is_malformed(body):
    with pytest.raises(Malformed, match=r"^The body (must be|is) "):
        READER.read_json(body)


def test_five_thousand_signals_are_taken_and_not_one_more():
    lines = b"\n".join(json.dumps({"type": "event", "id": f"e{n}", "name": "n"}).encode() for n in range(MOST_SIGNALS))
    assert len(READER.read_lines(lines)[0]) == MOST_SIGNALS
    whole = b'{"signals":[' + lines.replace(b"\n", b",") + b"]}"
    assert len(READER.read_json(whole)[0]) == MOST_SIGNALS
    with pytest.raises(TooLarge, match="one request takes 5000"):
        READER.read_json(whole.replace(b"]}", b",{}]}"))
    with pytest.raises(TooLarge):
        READER.read_lines(lines + b"\n{}")


def test_the_limit_counts_bad_signals_too():
    with pytest.raises(TooLarge):
        READER.read_json(b'{"signals":[' + b",".join([b"1"] * (MOST_SIGNALS + 1)) + b"]}")


def test_of_fields_that_come_twice_the_last_one_counts():
    items, _ = READER.read_json(b'{"signals":[],"signals":[{"type":"event","id":"a","id":"b","name":"n"}]}')
    assert [signal.id for _, signal in items] == ["b"]


def test_unknown_fields_are_passed_over():
    items, outcome = read({**GOOD, "future_field": {"a": [1]}})
    assert len(items) == 1
    assert not outcome.rejected


# --- one bad signal ---


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({}, "type"), ({"type": "nothing"}, "type"), ({"type": 5}, "type"), ({"type": ["execution"]}, "type"), (5, "signal"),
        (None, "signal"), ([GOOD], "signal"), ("execution", "signal"), ({**GOOD, "id": ""}, "id"), ({**GOOD, "id": 5}, "id"),
        ({**GOOD, "id": None}, "id"), ({**GOOD, "id": "a b"}, "id"), ({**GOOD, "status": "done"}, "status"),
        ({**GOOD, "status": []}, "status"), ({**GOOD, "workflow": ""}, "workflow"), ({**GOOD, "workflow": "w" * 256},
        "workflow"),
        ({**GOOD, "started_at": "soon"}, "started_at"), ({**GOOD, "started_at": 2**64}, "started_at"),
        ({**GOOD, "started_at": True}, "started_at"), ({**GOOD, "started_at": 1.5}, "started_at"),
        ({**GOOD, "attributes": []}, "attributes"), ({**GOOD, "attributes": "{}"}, "attributes"),
        ({**GOOD, "error": []}, "error"), ({**GOOD, "error": {"error_type": "E"}}, "error.message"),
        ({**GOOD, "error": {"error_type": "E", "message": 5}}, "error.message"),
        ({**GOOD, "error": {"error_type": "E", "message": "m", "attributes": 5}}, "error.attributes"),
        ({"type": "event", "id": "e", "name": "n", "properties": 5}, "properties"),
        ({"type": "event", "id": "e", "name": "n", "duration_ms": "5"}, "duration_ms"),
        ({**USAGE, "completion_tokens": 2**70}, "completion_tokens"), ({**USAGE, "cached_tokens": 2}, "cached_tokens"),
        ({"type": "error", "id": "e", "error_type": "E", "message": "m", "frames": [{"line": "x"}]}, "frames[0].line"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_by_field(bad, path):
    assert list(refused(bad)) == [path]


def test_all_wrong_fields_are_named_at_once():
    wrong = refused({"type": "execution", "id": "a b", "status": "done", "started_at": "soon", "attributes": 5})
    assert list(wrong) == ["id", "workflow", "status", "started_at", "attributes"]
    assert wrong["workflow"] == "is required"
    assert wrong["id"] == "must be 1 to 128 printable characters without spaces"


def test_a_readable_id_is_given_back():
    rejection = read_beside_a_good_one(json.dumps({**GOOD, "id": "mine", "status": "x"}).encode())[0]
    assert (rejection.index, rejection.id) == (1, "mine")
    assert read_beside_a_good_one(json.dumps({**GOOD, "id": 7}).encode())[0].id is None


def test_a_long_wrong_value_is_not_repeated_in_full():
    assert len(refused({**GOOD, "status": "x" * 100_000})["status"]) <= 300


def test_a_moment_too_far_ahead_is_refused_and_a_day_is_not():
    with clock.replaced(lambda: 1_700_000_000_000):
        items, outcome = read({**GOOD, "started_at": 1_700_086_400_000}, {**GOOD, "started_at": 1_700_086_400_001})
    assert len(items) == 1
    assert "24 hours" in outcome.rejected[0].errors[0].message


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type":"execution","id":5, garbage', b'{"type":"execution","id":5,"x":' + DEEP + b"}", b"{", b"\xff",
        b'{"id":"\\ud83d"}', b'{"type":"execution","id":"a","workflow":"w","status":"running","x":' + DEEP + b"}", b"nonsense",
        b'{"type":"execution","id":"\\u0000","workflow":"w","status":"running"}', b'{"password":' + DEEP + b"}", b"NaN",
        b'{"password":', b'{"type":"execution","id":5,"password":NaN}', b'{"type":"execution","id":5,"attributes":{"a":1e999}}',
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_one_refusal(bad):
    good = json.dumps(GOOD).encode()
    items, outcome = READER.read_lines(b"\n".join([good, bad, good]))
    assert [index for index, _ in items] == [0, 2]
    assert [rejection.index for rejection in outcome.rejected] == [1]
    assert outcome.rejected[0].errors


def test_numbers_beyond_any_pass_through_in_payloads():
    body = b'{"signals":[{"type":"execution","id":"a","workflow":"w","status":"running","input":1e999}]}'
    (item,), outcome = READER.read_json(body)
    assert json_text(item[1].input) == "1e999"
    assert not outcome.rejected


def test_numbers_beyond_any_are_taken_beside_a_secret_too():
    body = b'{"signals":[{"type":"execution","id":"a","workflow":"w","status":"running","input":{"password":"p","n":1e999}}]}'
    (item,), outcome = READER.read_json(body)
    assert json_text(item[1].input) == '{"password":"[scrubbed]","n":"1e999"}'
    assert not outcome.rejected


def test_a_signal_with_a_wrong_field_and_a_number_beyond_any_is_refused():
    wrong = refused(b'{"type":"execution","id":"a","workflow":1,"status":"running","attributes":{"x":1e999}}')
    assert "workflow" in wrong


# --- secrets and odd text ---


def test_secrets_are_scrubbed_and_the_rest_is_as_it_was():
    (item,), _ = read({**GOOD, "input": {"headers": {"Authorization": "Bearer abcdefghijkl"}, "n": 1.5}})
    assert json.loads(json_text(item[1].input)) == {"headers": {"Authorization": "[scrubbed]"}, "n": 1.5}


def test_a_secret_in_one_signal_changes_no_other():
    items, _ = read({**GOOD, "input": "plain"}, {**GOOD, "id": "b", "input": "password=hunter22"})
    assert [json_text(signal.input) for _, signal in items] == ['"plain"', '"password=[scrubbed]"']


def test_lone_surrogates_and_nul_are_made_storable():
    body = b'{"signals":[{"type":"error","id":"e","error_type":"E","message":"a\\ud83db\\u0000c"}]}'
    (item,), outcome = READER.read_json(body)
    assert item[1].message == "a?bc"
    assert not outcome.rejected


def test_a_bad_signal_beside_a_lone_surrogate_is_refused_alone():
    good, bad = b'{"type":"error","id":"e","error_type":"E","message":"\\ud83d"}', b'{"type":"error","id":"f","message":NaN}'
    body = b'{"signals":[' + good + b"," + bad + b"]}"
    items, outcome = READER.read_json(body)
    assert [signal.id for _, signal in items] == ["e"]
    assert [rejection.index for rejection in outcome.rejected] == [1]


def test_a_wrong_field_before_bytes_that_are_no_text_is_refused_alone():
    items, outcome = READER.read_lines(b'{"type":"execution","id":5,"workflow":"\xff"}\n' + json.dumps(GOOD).encode())
    assert [index for index, _ in items] == [1]
    assert [rejection.id for rejection in outcome.rejected] == [None]


# --- further types, checks ---


class Report(Signal, frozen=True, kw_only=True, tag="weather_report"):
    """A plugin's signal."""

    station: str


def test_a_plugin_s_type_is_read_beside_the_core_s():
    reader = SignalReader((Execution, Step, Error, TokenUsage, Event, Report))
    lines = b'{"type":"weather_report","id":"w","station":"EDDB"}\n{"type":"weather_report"}'
    items, outcome = reader.read_lines(lines)
    assert [signal.station for _, signal in items] == ["EDDB"]
    assert [error.path for error in outcome.rejected[0].errors] == ["id", "station"]


def test_one_type_alone_makes_a_reader_too():
    assert SignalReader((Event,)).read_lines(b'{"type":"event","id":"e","name":"n"}')[0][0][1].name == "n"


def test_signals_of_other_sources_are_checked_alike():
    detail = ErrorDetail(error_type="E", message="m", attributes=raw([1]))
    wrong = check_signal(Execution(id="a", workflow="w", status="failed", attributes=raw("x"), error=detail))
    assert [error.path for error in wrong] == ["attributes", "error.attributes"]
    assert check_signal(Event(id="e", name="n", properties=raw(None))) == []


JSON_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*Execution.__struct_fields__, "type"]), inner),
    max_leaves=15,
)


@given(st.lists(JSON_TREES, max_size=4))
def test_any_json_is_read_or_refused(signals):
    body = json.dumps({"signals": signals}).encode()
    try:
        items, outcome = READER.read_json(body)
    except Malformed:
        return
    assert len(items) + len(outcome.rejected) == len(signals)
    assert all(rejection.errors for rejection in outcome.rejected)
    msgspec.json.encode([[error.message, error.path] for rejection in outcome.rejected for error in rejection.errors])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body):
    for prefix in (b"", b'{"signals":['):
        try:
            READER.read_json(prefix + body)
        except Malformed as fault:
            assert fault.status == 400  # noqa: PT017 - both ways are right
    READER.read_lines(body)
