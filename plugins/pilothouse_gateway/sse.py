"""Server-sent events as bytes: where one ends, and what it holds (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import re

MOST_BYTES = 32 * 1024 * 1024  # of one event: a picture in base64 is a fraction of it
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE = re.compile(rb"\r\n|\n|\r")


class Splitter:
    """Cuts a stream into its events, each with the blank line that ends it."""

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self.rest = b""
        self._looked = 0  # how much of the rest is known to hold no end

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the events that end in this piece. Raises ValueError where one has no end."""
        self.rest = self.rest + piece if self.rest else piece
        events, begin = [], 0
        for end in _END.finditer(self.rest, max(0, self._looked - 3)):
            events.append(self.rest[begin : end.end()])
            begin = end.end()
        if begin:
            self.rest = self.rest[begin:]
        self._looked = len(self.rest)
        if self._looked > MOST_BYTES:
            raise ValueError("an event without an end")
        return events


def data_of(event: bytes) -> bytes:
    """Return an event's data: what stands in its `data` lines."""
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")]
    return lines[0] if len(lines) == 1 else b"\n".join(lines)
