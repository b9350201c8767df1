"""Envelopes: a line of headers, then items, each a line of headers and a payload.

https://develop.sentry.dev/sdk/data-model/envelopes/: a payload is as long as its header says, else it ends with its line.
What cannot be read costs itself only: the rest of an envelope is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pilothouse.sdk import Malformed
from pilothouse_sentry.limits import MOST_ITEMS
from pilothouse_sentry.values import Json, decode, moment, text_of

LONGEST_TYPE = 64


class Item(msgspec.Struct, frozen=True):
    """One item; `kind` is empty where its header could not be read."""

    kind: str
    header: Json
    payload: bytes
    place: int


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What an envelope says of all that is in it. `now` and `sent_at` are Unix ms, `sampled` whether the trace is sent."""

    now: int
    event_id: str | None = None
    sent_at: int | None = None
    release: str | None = None
    environment: str | None = None
    sampled: bool | None = None

    @property
    def at(self) -> int:
        """The moment of what names none."""
        return self.now if self.sent_at is None else self.sent_at


def header_of(body: bytes) -> Json:
    """Return an envelope's header. Raises Malformed where there is none."""
    line = body.split(b"\n", 1)[0]
    try:
        header = decode(line)
    except Malformed as fault:
        raise Malformed(f"invalid envelope header: {fault.detail}") from None
    if not isinstance(header, dict):
        raise Malformed("invalid envelope header: it is no object")
    return header


def scope_of(header: Json, now: int) -> Scope:
    """Return what the header says of the whole."""
    trace = header.get("trace")
    trace = trace if isinstance(trace, dict) else {}
    sampled = str(trace["sampled"]).lower() == "true" if trace.get("sampled") is not None else None
    return Scope(
        now=now,
        event_id=text_of(header.get("event_id")),
        sent_at=moment(header.get("sent_at"), now),
        release=text_of(trace.get("release")),
        environment=text_of(trace.get("environment")),
        sampled=sampled,
    )


def items_of(body: bytes) -> Iterator[Item]:
    """Return the items of an envelope, without copying more than each one's payload."""
    position = _after_line(body, 0)
    place = 0
    while position < len(body) and place < MOST_ITEMS:
        end = _after_line(body, position)
        line = body[position:end].strip()
        position = end
        if not line:
            continue
        header = _item_header(line)
        if header is None:
            yield Item("", {}, b"", place)  # its payload cannot be told from what follows: the next line may be a header
        else:
            payload, position = _payload(body, position, header.get("length"))
            yield Item(str(header.get("type") or "")[:LONGEST_TYPE], header, payload, place)
        place += 1


def _item_header(line: bytes) -> Json | None:
    try:
        header = decode(line)
    except Malformed:
        return None
    return header if isinstance(header, dict) and isinstance(header.get("type"), str) else None


def _payload(body: bytes, start: int, length: object) -> tuple[bytes, int]:
    """Return a payload and where it ends: by its length, else by its line."""
    if isinstance(length, int) and not isinstance(length, bool) and 0 <= length <= len(body) - start:
        end = start + length
        return body[start:end], end + 1 if body[end : end + 1] == b"\n" else end
    end = _after_line(body, start)
    return body[start:end].rstrip(b"\r\n"), end


def _after_line(body: bytes, start: int) -> int:
    found = body.find(b"\n", start)
    return len(body) if found < 0 else found + 1
