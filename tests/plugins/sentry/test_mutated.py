"""Whatever is done to a body, it is answered, and never with a fault of ours."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.plugins.sentry.conftest import OWN, Sentry, enveloped, requests_of

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("b" * 32) | st.just("\ud83d\0"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
KINDS = ("event", "transaction", "span", "log", "trace_metric", "check_in", "session", "sessions", "client_report", "feedback")


def bodies() -> list[bytes]:
    return [one.plain() for folder in sorted(OWN.glob("*/*/")) for one in requests_of(folder, "key")]


def payloads() -> list[tuple[str, Any]]:
    """Return one payload of each type that was recorded."""
    found: dict[str, Any] = {}
    for body in bodies():
        lines = body.split(b"\n")
        for header, payload in pairwise(lines):
            if header.startswith(b'{"') and b'"type"' in header and payload.startswith(b"{"):
                found.setdefault(json.loads(header)["type"], json.loads(payload))
    return [(kind, value) for kind, value in found.items() if kind in KINDS]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside of a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(way for key, part in inner for way in places(part, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@pytest.fixture(scope="module")
def recorded() -> list[tuple[str, Any]]:
    return payloads()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_may_be_any_other(sentry: Sentry, recorded: list[tuple[str, Any]], data: st.DataObject) -> None:
    kind, payload = data.draw(st.sampled_from(recorded))
    mutated = replaced(payload, data.draw(st.sampled_from(places(payload))), data.draw(ODD))
    assert sentry.send((kind, mutated)).status_code == 200


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), payload=ODD, header=ODD)
@example("transaction", {"contexts": {"trace": {"trace_id": "a" * 32, "span_id": "b"}}, "timestamp": 1e308}, None)
@example("session", {"sid": "a", "duration": 1e300, "attrs": {"release": "@"}}, {"sent_at": 1e300})
@example("event", {"exception": {"values": [{"type": {"a": 1}, "value": [1]}]}, "timestamp": -1e308}, {"event_id": {}})
def test_any_item_may_hold_anything(sentry: Sentry, kind: str, payload: Any, header: Any) -> None:
    header = header if isinstance(header, dict) else None
    assert sentry.send((kind, payload), header=header).status_code == 200


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(auth=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_any_header_is_answered(sentry: Sentry, auth: str) -> None:
    headers = {"X-Sentry-Auth": auth, "Content-Type": auth.strip() or "x"}
    answer = sentry.client.post("/api/1/envelope/", data=enveloped(("event", {})), headers=headers)
    assert answer.status_code in {401, 403}
