"""Envelopes are read by length and by line, and what cannot be read costs itself only."""

from __future__ import annotations

import json

import pytest

from pilothouse.errors import Malformed
from pilothouse_sentry.envelope import header_of, items_of, scope_of
from pilothouse_sentry.limits import MOST_ITEMS
from pilothouse_sentry.values import decode, identifier, moment, tags_of, whole

NOW = 1_795_500_000_000


def read(*lines: bytes) -> list[tuple[str, bytes]]:
    return [(item.kind, item.payload) for item in items_of(b"\n".join((b"{}", *lines)))]


def test_a_payload_with_a_length_may_hold_lines() -> None:
    assert read(b'{"type":"attachment","length":7}', b"a\nb\n\nc\n", b'{"type":"event"}', b"{}") == [
        ("attachment", b"a\nb\n\nc\n"), ("event", b"{}"),
    ]  # fmt: skip


def test_a_payload_without_a_length_ends_with_its_line() -> None:
    assert read(b'{"type":"session"}', b'{"sid":"1"}', b"", b'{"type":"event"}', b"{}") == [
        ("session", b'{"sid":"1"}'), ("event", b"{}"),
    ]  # fmt: skip


@pytest.mark.parametrize("length", [b"-1", b"99999", b"true", b'"2"', b"null", b"1e300"])
def test_a_length_that_cannot_be_is_none(length: bytes) -> None:
    assert read(b'{"type":"event","length":%s}' % length, b"{}") == [("event", b"{}")]


def test_an_empty_payload_is_one() -> None:
    assert read(b'{"type":"event","length":0}', b"", b'{"type":"log"}', b"1") == [("event", b""), ("log", b"1")]
    assert read(b'{"type":"event"}') == [("event", b"")]


def test_unreadable_headers_are_passed_over() -> None:
    assert read(b"garbage", b'{"no":"type"}', b'{"type":"event"}', b"{}") == [("", b""), ("", b""), ("event", b"{}")]


def test_an_envelope_has_a_bound_of_items() -> None:
    assert len(read(*[b'{"type":"event","length":0}'] * (MOST_ITEMS + 5))) == MOST_ITEMS


def test_windows_line_ends_are_line_ends() -> None:
    assert read(b'{"type":"event"}\r', b'{"a":1}\r', b"") == [("event", b'{"a":1}')]


def test_the_header_says_when_and_of_which_release() -> None:
    header = header_of(b'{"sent_at":"2026-11-23T09:16:07Z","trace":{"sampled":"true","release":"shop@1"}}\n')
    scope = scope_of(header, NOW)
    assert (scope.at, scope.sampled, scope.release) == (1_795_425_367_000, True, "shop@1")


@pytest.mark.parametrize("trace", [None, 5, "text", []])
def test_a_header_may_say_nothing(trace: object) -> None:
    scope = scope_of({"trace": trace, "sent_at": "never"}, NOW)
    assert (scope.at, scope.sampled, scope.release) == (NOW, None, None)


def test_json_of_every_quality_is_read() -> None:
    body = b'{"a": NaN, "b": Infinity, "c": "x\\u0000y\\ud83d", "d": 123456789012345678901234567890, "e": 1e999}'
    assert decode(body) == {"a": "nan", "b": "inf", "c": "xy?", "d": "123456789012345678901234567890", "e": "inf"}


def test_json_has_a_depth() -> None:
    value = decode(b"[" * 60 + b"]" * 60)
    for _ in range(32):
        value = value[0]
    assert value == "[nested too deep]"
    with pytest.raises(Malformed):
        decode(b"[" * 200_000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-23T09:16:07.5Z", 1_795_425_367_500), ("2026-11-23T09:16:07.500000", 1_795_425_367_500),
        (1795425367.5, 1_795_425_367_500), (0, 0), (-1, None), (True, None), (None, None), ("soon", None), ({}, None),
        (9e12, NOW), ("9999-12-31T23:59:59Z", NOW), ("0001-01-01T00:00:00+14:00", None),
    ],
)  # fmt: skip
def test_moments_are_seconds_or_text(value: object, expected: int | None) -> None:
    assert moment(value, NOW) == expected


def test_ids_have_one_spelling() -> None:
    assert identifier("9E45426A-7933-49f4-a1ff-d5be6b358a09") == "9e45426a793349f4a1ffd5be6b358a09"
    assert identifier("ex-000123") == "ex-000123"
    assert [identifier(value) for value in ("", "0" * 32, "0000000000000000", "a b", "x" * 129, 5, None)] == [None] * 7


def test_tags_come_as_a_map_or_as_pairs() -> None:
    assert tags_of([["a", "1"], ["b"], 5, [None, 1]]) == {"a": "1"}
    assert (tags_of({"a": 1}), tags_of("text")) == ({"a": 1}, {})


def test_counts_come_in_every_spelling() -> None:
    assert [whole(value) for value in (5, 5.0, "5", 5.5)] == [5] * 4
    assert [whole(value) for value in (2**53, -1, True, "five", None)] == [None] * 5


def test_long_texts_are_cut() -> None:
    assert len(decode(json.dumps("x" * 300_000).encode())) == 262_144
