"""The severity of an error whose client named none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse_errors.severity import RANKS, classify

CASES = [
    # type, message, handled, severity, part of the reason
    ("MemoryError", "", None, "critical", "in danger"),
    ("OSError", "[Errno 28] No space left on device", None, "critical", "in danger"),
    ("sqlite3.DatabaseError", "database disk image is malformed", False, "critical", "in danger"),
    ("java.lang.OutOfMemoryError", "Java heap space", None, "critical", "in danger"),
    ("Message", "FATAL: bill run stopped", None, "critical", "says FATAL"),
    ("RuntimeError", "[CRITICAL] pump", None, "critical", "says CRITICAL"),
    ("MemoryError", "", True, "high", "handled"),
    ("DeprecationWarning", "use load()", None, "low", "warning"),
    ("asyncio.CancelledError", "", False, "low", "on purpose"),
    ("KeyboardInterrupt", "", False, "low", "on purpose"),
    ("Message", "queue depth is high", None, "low", "logged"),
    ("Message", "ERROR: queue", None, "medium", "says ERROR"),
    ("ValueError", "WARN - slow", False, "low", "says WARN"),
    ("TimeoutError", "", None, "medium", "network"),
    ("requests.exceptions.ConnectionError", "", False, "high", "nothing handled it"),
    ("openai.RateLimitError", "", True, "low", "it was handled"),
    ("Exception", "connect ECONNREFUSED 127.0.0.1:80", None, "medium", "network"),
    ("pydantic.ValidationError", "", None, "medium", "input"),
    ("NotFoundError", "", True, "low", "input"),
    ("PermissionError", "", False, "medium", "input"),
    ("ZeroDivisionError", "division by zero", False, "high", "nothing handled it"),
    ("ZeroDivisionError", "division by zero", True, "medium", "handled by"),
    ("ZeroDivisionError", "division by zero", None, "medium", "nothing speaks"),
    ("ValueError", "information is missing", None, "medium", "nothing speaks"),
    ("ValueError", "error in line 3", None, "medium", "nothing speaks"),
]


@pytest.mark.parametrize(("error_type", "message", "handled", "severity", "reason"), CASES)
def test_the_rule(error_type, message, handled, severity, reason):
    found = classify(error_type, message, handled)
    assert found.severity == severity
    assert reason in found.reason


@given(st.text(max_size=80), st.text(max_size=200), st.sampled_from([None, True, False]))
def test_every_error_has_a_severity_and_a_reason(error_type, message, handled):
    found = classify(error_type, message, handled)
    assert found.severity in RANKS
    assert found.reason


@given(st.text(max_size=80), st.text(max_size=200))
def test_a_handled_error_is_never_graver_than_an_unhandled_one(error_type, message):
    handled, unhandled = (classify(error_type, message, state).severity for state in (True, False))
    assert RANKS[handled] <= RANKS[unhandled]
