"""The vocabulary: ids, moments, what types alone do not say, and JSON that passes through as it came."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse import clock
from pilothouse.signals import (
    CORE_SIGNALS,
    ID_RULE,
    LATEST,
    NOTHING,
    Error,
    Event,
    Execution,
    Millis,
    Signal,
    TokenUsage,
    check_usage,
    decode_hook,
    json_text,
    parse_id,
    parse_time,
    raw,
    tag_of,
)

NOON = 1_700_135_000_000


def usage(**fields):
    return TokenUsage(id="u", model="m", **{"prompt_tokens": 10, "completion_tokens": 5, **fields})


# --- ids ---


@pytest.mark.parametrize("value", ["a", "x" * 128, "run-1/2:3", "Ä", "\N{SNOWMAN}", "\U0001f680", "01a21a30-fd37-770b"])
def test_an_id_is_any_printable_text_without_spaces(value):
    assert parse_id(value) == value


@pytest.mark.parametrize(
    "value",
    ["", "x" * 129, "a b", "a\n", "\t", "a\0", "a\x7f", "\xa0", "\xad", "\u2003", "\u200b", "\u202e", "\ufeff", "\ud800", 5,
     None, ["a"]],
)  # fmt: skip
def test_anything_else_is_no_id(value):
    with pytest.raises(ValueError, match=ID_RULE):
        parse_id(value)


@given(st.text(max_size=140))
def test_the_decoder_and_the_function_agree_on_ids(text):
    body = msgspec.json.encode({"type": "event", "id": text, "name": "n"})
    try:
        decoded = msgspec.json.decode(body, type=Event, dec_hook=decode_hook).id
    except msgspec.ValidationError:
        decoded = None
    try:
        parsed = parse_id(text)
    except ValueError:
        parsed = None
    assert decoded == parsed


# --- moments ---


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (0, 0), (NOON, NOON), ("1970-01-01T00:00:00Z", 0), ("2023-11-16T00:00:00+02:00", 1_700_085_600_000),
        ("2023-11-16t00:00:00z", 1_700_092_800_000), ("2023-11-16 00:00:00Z", 1_700_092_800_000),
        ("2023-11-16T00:00:00.1239Z", 1_700_092_800_123), ("2023-11-16T00:00:00.123456789Z", 1_700_092_800_123),
        ("2016-12-31T23:59:60Z", 1_483_228_799_000), ("2017-01-01T01:59:60.5+02:00", 1_483_228_799_500),
    ],
)  # fmt: skip
def test_a_moment_is_rfc_3339_or_milliseconds(value, at):
    assert parse_time(value) == at


@pytest.mark.parametrize("value", ["", "yesterday", "12:00Z", "1700000000000", "2023-13-01T00:00:00Z", 1.5, True, None, [], {}])
def test_what_is_no_moment_is_refused(value):
    with pytest.raises(ValueError, match="must be RFC 3339 text with an offset or an integer of Unix milliseconds"):
        parse_time(value)


@pytest.mark.parametrize("value", ["2023-11-16T00:00:00", "2023-11-16"])
def test_a_moment_without_an_offset_is_ambiguous(value):
    with pytest.raises(ValueError, match="must carry an offset"):
        parse_time(value)


@pytest.mark.parametrize("value", [-1, LATEST + 1, 2**70, -(2**70), "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_moments_lie_between_1970_and_9999(value):
    with pytest.raises(ValueError, match="between the years 1970 and 9999"):
        parse_time(value)


def test_a_moment_may_lie_a_day_ahead_and_no_further():
    with clock.replaced(lambda: NOON):
        assert parse_time(NOON + clock.DAY) == NOON + clock.DAY
        with pytest.raises(ValueError, match="24 hours in the future"):
            parse_time(NOON + clock.DAY + 1)


def test_only_moments_are_decoded_by_the_hook():
    assert decode_hook(Millis, 5) == 5
    with pytest.raises(NotImplementedError):
        decode_hook(dict, {})


def test_a_moment_is_a_plain_number_at_run_time():
    signal = Event(id="e", name="n", at=Millis(5))
    assert type(signal.at) is int
    assert isinstance(5, Millis)


# --- usage ---


def test_a_sound_usage_has_no_faults():
    split = {"cached_tokens": 4, "cache_write_tokens": 6, "cache_write_1h_tokens": 6, "reasoning_tokens": 5}
    assert check_usage(usage(**split, cost_usd="0.1")) == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"cached_tokens": 11}, "cached_tokens"), ({"cached_tokens": 5, "cache_write_tokens": 6}, "cached_tokens"),
        ({"reasoning_tokens": 6}, "reasoning_tokens"), ({"cache_write_1h_tokens": 1}, "cache_write_1h_tokens"),
        ({"cost_usd": "-1"}, "cost_usd"), ({"cost_usd": "free"}, "cost_usd"), ({"cost_usd": 1e12}, "cost_usd"),
    ],
)  # fmt: skip
def test_parts_cannot_exceed_the_whole(fields, wrong):
    assert [name for name, _ in check_usage(usage(**fields))] == [wrong]


# --- JSON as it came ---


@pytest.mark.parametrize("value", [{"a": [1, None]}, "text", 0, False, [], {}])
def test_json_is_kept_as_text(value):
    assert json_text(raw(value)) == msgspec.json.encode(value).decode()


def test_nothing_and_null_are_the_same_absence():
    assert json_text(NOTHING) is json_text(raw(None)) is None


def test_a_payload_is_kept_byte_by_byte():
    body = b'{"type":"execution","id":"a","workflow":"w","status":"running","input":{"b" : 1e999, "a":1.0, "a":2}}'
    signal = msgspec.json.decode(body, type=Execution, dec_hook=decode_hook)
    assert json_text(signal.input) == '{"b" : 1e999, "a":1.0, "a":2}'


# --- types ---


def test_each_signal_has_a_tag_of_its_own():
    assert [tag_of(kind) for kind in CORE_SIGNALS] == ["execution", "step", "error", "token_usage", "event"]


def test_a_plugin_adds_a_type_by_a_tag():
    class Report(Signal, frozen=True, kw_only=True, tag="weather_report"):
        station: str

    assert tag_of(Report) == "weather_report"
    assert msgspec.json.decode(b'{"type":"weather_report","id":"w","station":"EDDB"}', type=Report).station == "EDDB"


def test_signals_cannot_be_changed():
    with pytest.raises(AttributeError):
        Error(id="e", error_type="E", message="m").message = "x"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (TokenUsage, {"model": "m", "prompt_tokens": -1, "completion_tokens": 0}),
        (TokenUsage, {"model": "m", "prompt_tokens": 2**53, "completion_tokens": 0}),
        (TokenUsage, {"model": "", "prompt_tokens": 1, "completion_tokens": 0}),
        (TokenUsage, {"model": "m", "prompt_tokens": 1, "completion_tokens": 0, "latency_ms": 1e300}),
        (TokenUsage, {"model": "m", "prompt_tokens": True, "completion_tokens": 0}),
        (Event, {"name": "n", "duration_ms": -0.1}),
        (Event, {"name": "n" * 256}),
        (Execution, {"workflow": "w", "status": "lost"}),
        (Execution, {"workflow": "", "status": "running"}),
        (Error, {"error_type": "E", "message": "m" * 65_537}),
        (Error, {"error_type": "E", "message": "m", "frames": [{}] * 1_001}),
    ],
)
def test_bounds_hold_to_the_unit(kind, fields):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": tag_of(kind), "id": "x", **fields}, kind, dec_hook=decode_hook)
