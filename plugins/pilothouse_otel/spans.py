"""What both encodings are read into: spans, log records and the resource they come from. Times are Unix ms.

Attributes are plain values: text, whole and broken numbers, true and false, lists and maps of those. NaN and the
infinities are text, bytes are base64 text, and all of it is within the limits.
"""

from __future__ import annotations

from typing import Any

import msgspec

Attributes = dict[str, Any]

ERROR = 2  # STATUS_CODE_ERROR
SERVER, CONSUMER = 2, 5  # kinds of spans whose parent lives in another process
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
REMOTE_KNOWN, REMOTE = 0x100, 0x200  # bits of `flags` that say whether the parent is known to be remote, and that it is
SAMPLED = 0x01  # the bit of `flags` that says that the trace is exported too

NO_STATUS = 0


class SpanEvent(msgspec.Struct, gc=False):
    """One thing that happened during a span."""

    name: str
    at: int | None
    attributes: Attributes


class Span(msgspec.Struct, kw_only=True, gc=False):
    """One span. `end` is None while it runs; `place` is its place in the request.

    `shape` (a `shapes.Shape`) is what the names of its attributes tell, once they are clean.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: int
    start: int | None
    end: int | None
    status: int
    message: str
    flags: int
    attributes: Attributes
    events: list[SpanEvent]
    scope: str
    resource: Attributes
    place: int
    shape: Any = None


class LogRecord(msgspec.Struct, kw_only=True, gc=False):
    """One log record; `severity` is OpenTelemetry's number, 1 to 24, 0 where it is not told."""

    trace_id: str | None
    span_id: str | None
    flags: int
    at: int | None
    severity: int
    severity_text: str
    event_name: str
    body: Any
    attributes: Attributes
    scope: str
    resource: Attributes
    place: int


class Refused(msgspec.Struct):
    """How many items of a request could not be taken, and why the first one could not."""

    count: int = 0
    reason: str = ""

    def add(self, reason: str) -> None:
        """Count one more."""
        self.count += 1
        self.reason = self.reason or reason
