"""Every signal that the client sends is decoded by the server's own types."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Union

import pytest

from pilothouse_client import fields as client_fields

msgspec = pytest.importorskip("msgspec")
server_signals = pytest.importorskip("pilothouse.signals")


@pytest.fixture
def decoded(client, ledger):
    """Return what decodes, as the server does, all signals that were sent of one type."""
    vocabulary = Union[server_signals.CORE_SIGNALS]  # noqa: UP007 - made of a tuple, which `|` cannot
    decoder = msgspec.json.Decoder(vocabulary, dec_hook=server_signals.decode_hook)

    def decode(kind):
        assert client.flush()
        return [decoder.decode(msgspec.json.encode(signal)) for signal in ledger.of(kind)]

    return decode


def test_executions_are_understood(client, decoded):
    given = {"agent": "a", "user": "u", "session": "s", "environment": "e", "release": "r", "trigger": "t"}
    with client.execution("w", input=[1], attributes={"a": 1}, **given) as run:
        run.set_output({"b": 2})
    start, end = decoded("execution")
    assert {name: getattr(start, name) for name in given} == given
    assert (start.id, start.status, end.status) == (run.id, "running", "succeeded")
    assert start.started_at == end.started_at <= end.finished_at


def test_the_error_of_an_execution_is_understood(client, decoded):
    with pytest.raises(ValueError, match="bad"), client.execution("w"):
        raise ValueError("bad")
    error = decoded("execution")[-1].error
    assert (error.error_type, error.message, error.handled) == ("ValueError", "bad", False)
    assert error.frames[-1].context_line == '        raise ValueError("bad")'
    assert error.frames[-1].in_app


def test_steps_are_understood(client, decoded):
    with client.execution("w") as run, run.step("outer", kind="agent") as outer, run.step("s", kind="llm", input="q"):
        pass
    ended = decoded("step")[-1]
    inner = next(step for step in decoded("step") if step.name == "s")
    assert (inner.execution_id, inner.parent_id, inner.kind) == (run.id, outer.id, "llm")
    assert ended.status == "succeeded"


def test_errors_are_understood(client, decoded):
    error_id = client.capture_exception(KeyError("k"), severity="high", user="u", fingerprint="f", attributes={"a": 1})
    [error] = decoded("error")
    assert (error.id, error.error_type, error.severity) == (error_id, "KeyError", "high")
    assert (error.handled, error.user, error.fingerprint) == (True, "u", "f")


def test_token_usage_is_understood(client, decoded):
    counts = {"cached_tokens": 1, "cache_write_tokens": 2, "reasoning_tokens": 3, "latency_ms": 1.5}
    client.record_tokens(model="m", prompt_tokens=9, completion_tokens=8, cost_usd=Decimal("0.1"), **counts)
    [usage] = decoded("token_usage")
    assert {name: getattr(usage, name) for name in counts} == counts
    assert (usage.prompt_tokens, usage.completion_tokens, Decimal(str(usage.cost_usd))) == (9, 8, Decimal("0.1"))


def test_events_are_understood(client, decoded):
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    client.track("n", component="c", user="u", session="s", duration_ms=2, ok=False, at=moment, properties={"p": 1})
    [event] = decoded("event")
    assert (event.name, event.component, event.user, event.session) == ("n", "c", "u", "s")
    assert (event.duration_ms, event.ok, event.at) == (2, False, int(moment.timestamp() * 1000))


@pytest.mark.parametrize("length", [255, 256, 65_000, 65_001, 200_000])
def test_texts_of_any_length_are_understood(client, decoded, length):
    long = "x" * length
    with client.execution(long, user=long, agent=long, input=long) as run, run.step(long):
        client.capture_exception(ValueError(long))
    client.track(long, component=long)
    assert all(decoded(kind) for kind in ("execution", "step", "error", "event"))


@pytest.mark.parametrize("text", ["\0", "\ud800", "\u202e", "😀", "\x7f\x1b", ""])
def test_texts_of_any_kind_are_understood(client, decoded, text):
    with client.execution(text, user=text, input=text, attributes={text: text}) as run, run.step(text):
        client.capture_exception(ValueError(text))
    assert all(decoded(kind) for kind in ("execution", "step", "error"))


@pytest.mark.parametrize(
    ("kind", "signal"),
    [
        (client_fields.ExecutionFields, "Execution"),
        (client_fields.StepFields, "Step"),
        (client_fields.TokenFields, "TokenUsage"),
        (client_fields.ErrorFields, "Error"),
        (client_fields.EventFields, "Event"),
    ],
)
def test_the_client_offers_no_field_that_the_server_has_not(kind, signal):
    assert set(kind.__annotations__) <= set(getattr(server_signals, signal).__struct_fields__)
