"""From a request's bytes to what it says, in either encoding: told by its Content-Type, else by its first byte."""

from __future__ import annotations

from typing import Literal

from pilothouse_otel import reading_json, reading_protobuf
from pilothouse_otel.points import Point
from pilothouse_otel.spans import LogRecord, Refused, Span

Encoding = Literal["json", "protobuf"]


def encoding_of(content_type: str, body: bytes) -> Encoding:
    """Say how a body is encoded: many spellings mean protobuf, and some clients send none at all.

    No request in protobuf starts with `{`, which would be a group's tag.
    """
    media = content_type.partition(";")[0].strip().lower()
    if "json" in media:
        return "json"
    if "protobuf" in media or media == "application/octet-stream":
        return "protobuf"
    return "json" if body.lstrip()[:1] == b"{" else "protobuf"


def read_spans(body: bytes, encoding: Encoding, refused: Refused) -> list[Span]:
    """Read a trace request. Raises Malformed and TooLarge."""
    read = reading_json.read_spans if encoding == "json" else reading_protobuf.read_spans
    return read(body, refused)


def read_logs(body: bytes, encoding: Encoding, refused: Refused) -> list[LogRecord]:
    """Read a logs request. Raises Malformed and TooLarge."""
    return reading_json.read_logs(body, refused) if encoding == "json" else reading_protobuf.read_logs(body)


def read_points(body: bytes, encoding: Encoding, refused: Refused) -> list[Point]:
    """Read the data points of a metrics request. Raises Malformed and TooLarge."""
    return reading_json.read_points(body, refused) if encoding == "json" else reading_protobuf.read_points(body)
