"""Bodies with something wrong: bytes, values, keys, structure, framing. Everything follows from the dice, so from a seed."""

from __future__ import annotations

import dataclasses
import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.fuzz.bodies import ENVELOPE, Body

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 0.5, -0.0, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64, 10**40, 1e308, -1e308, float("nan"),
    float("inf"), 1_763_000_000, 1_763_000_000_000, 1_763_000_000_000_000_000, "1763000000000000000", "", " ", "0", "-1", "1e400",
    "NaN", "true", "null", "\0", "a\0b", "\ud83d", "\udc00x", "\u202e<script>alert(1)</script>", "{{7*7}}", "%s%n", "' OR 1=1 --",
    "../../etc/passwd", "é" * 300, "x" * 70_000, "2026-02-30T25:61:00Z", "2026-11-27T08:00:00+99:00", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "a" * 32, "0" * 32, "f" * 33, "ab" * 8, "4111111111111111", "sk-ant-api03-aaaaaaaaaaaaaaaaaaaa",
    [], {}, [None], [[]], {"": ""}, {"a": {"b": {"c": [1, {"d": None}]}}}, [1] * 500, {str(n): n for n in range(300)},
    "running", "failed", "execution", "error", "event", "$ne", "__proto__", "execution_id", "=cmd|' /C calc'!A0",
)  # fmt: skip
DEPTHS = (20, 100, 1_000, 6_000)
ENCODINGS = ("gzip", "deflate", "br", "zstd", "identity", "x-gzip", "snappy", "GZIP", "gzip, gzip")
TYPES = (
    "application/json", "application/x-protobuf", "application/x-ndjson", ENVELOPE, "text/plain", "", "application/json; charset=utf-7",
)  # fmt: skip
REQUESTS = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest, "metrics": ExportMetricsServiceRequest}
Mutator = Callable[[Random, Body, Sequence[Body]], Body]


def mutated(dice: Random, body: Body, others: Sequence[Body]) -> Body:
    """Return a body with something wrong; `others` are bodies of the same door, to take parts of."""
    mutators: list[Mutator] = [scrambled, scrambled, spliced]
    if _is_envelope(body):
        mutators += [in_envelope] * 5
    elif "protobuf" in body.content_type:
        mutators += [in_message] * 5
    else:
        mutators += [in_json] * 5
    made = dice.choice(mutators)(dice, body, others)
    return framed(dice, made) if dice.random() < 0.06 else made


def scrambled(dice: Random, body: Body, _others: Sequence[Body]) -> Body:
    """Change, cut out, double or move a few bytes."""
    octets = bytearray(body.data)
    for _ in range(dice.randint(1, 6)):
        if not octets:
            break
        place, length = dice.randrange(len(octets)), dice.randint(1, 30)
        action = dice.randrange(6)
        if action == 0:
            octets[place] = dice.randrange(256)
        elif action == 1:
            octets[place] ^= 1 << dice.randrange(8)
        elif action == 2:
            del octets[place : place + length]
        elif action == 3:
            octets[place:place] = octets[place : place + length] * dice.choice((1, 1, 50))
        elif action == 4:
            octets[place : place + length] = dice.randbytes(len(octets[place : place + length]))
        else:
            del octets[place:]
    return dataclasses.replace(body, data=bytes(octets))


def spliced(dice: Random, body: Body, others: Sequence[Body]) -> Body:
    """Put the end of another body to the beginning of this one."""
    other = dice.choice(others).data
    data = body.data[: dice.randint(0, len(body.data))] + other[dice.randint(0, len(other)) :]
    return dataclasses.replace(body, data=data)


def in_json(dice: Random, body: Body, _others: Sequence[Body]) -> Body:
    """Change values, keys and structure of JSON, or of one line of it."""
    lines = body.data.split(b"\n") if "ndjson" in body.content_type else [body.data]
    place = dice.randrange(len(lines))
    lines[place] = _json_mutated(dice, lines[place])
    return dataclasses.replace(body, data=b"\n".join(lines))


def in_envelope(dice: Random, body: Body, _others: Sequence[Body]) -> Body:
    """Change a header or a payload of an envelope; most get their new length, as an SDK would write it."""
    lines = body.data.split(b"\n")
    place = dice.randrange(len(lines))
    lines[place] = _json_mutated(dice, lines[place])
    if place >= 2 and dice.random() < 0.8 and (header := _decoded(lines[place - 1])) and isinstance(header, dict):
        header["length"] = len(lines[place])
        lines[place - 1] = _encoded(header)
    if dice.random() < 0.1:
        dice.shuffle(lines)
    return dataclasses.replace(body, data=b"\n".join(lines))


def in_message(dice: Random, body: Body, _others: Sequence[Body]) -> Body:
    """Change fields of an OTLP message, which stays one."""
    kind = REQUESTS.get(body.path.rstrip("/").rpartition("/")[2])
    if kind is None:
        return body
    message = kind()
    try:
        message.ParseFromString(body.data)
    except DecodeError:
        return body
    for _ in range(dice.randint(1, 4)):
        _change_field(dice, message)
    return dataclasses.replace(body, data=message.SerializeToString())


def framed(dice: Random, body: Body) -> Body:
    """Compress a body, well or badly, or say something else of it than what it is."""
    action = dice.randrange(5)
    if action == 0:
        return dataclasses.replace(body, content_type=dice.choice(TYPES))
    if action == 1:
        return dataclasses.replace(body, encoding=dice.choice(ENCODINGS))
    encoding = dice.choice(("gzip", "deflate"))
    data = bytearray(gzip.compress(body.data, 1) if encoding == "gzip" else zlib.compress(body.data, 1))
    if action == 2:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif action == 3:
        del data[dice.randrange(len(data)) :]
    return dataclasses.replace(body, data=bytes(data), encoding=encoding)


def _is_envelope(body: Body) -> bool:
    return body.door == "sentry" and body.path.endswith("/envelope/")


def _json_mutated(dice: Random, data: bytes) -> bytes:
    value = _decoded(data)
    if value is None:
        return data
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        value = _changed(dice, value)
    written = _encoded(value)
    if dice.random() < 0.03:
        opened, closed = dice.choice(((b"[", b"]"), (b'{"a":', b"}")))
        depth = dice.choice(DEPTHS)
        written = written.replace(b"null", opened * depth + b"1" + closed * depth, 1)
    return written


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def _changed(dice: Random, value: Any) -> Any:
    """Return a copy of a value, one thing in it changed: the way there is drawn step by step."""
    if isinstance(value, dict) and value and dice.random() < 0.93:
        copy = dict(value)
        key = dice.choice(list(copy))
        action = dice.random()
        if action < 0.04:
            del copy[key]
        elif action < 0.08:
            copy[str(dice.choice(ODD))[:300]] = copy.pop(key)
        elif action < 0.11:
            copy[key] = copy[dice.choice(list(copy))]
        else:
            copy[key] = _changed(dice, copy[key])
        return copy
    if isinstance(value, list) and value and dice.random() < 0.95:
        items = list(value)
        place = dice.randrange(len(items))
        action = dice.random()
        if action < 0.05:
            items[place : place + 1] = [items[place]] * dice.choice((0, 2, 40))
        elif action < 0.08:
            items.append(dice.choice(ODD))
        else:
            items[place] = _changed(dice, items[place])
        return items
    return [value] if dice.random() < 0.05 else dice.choice(ODD)


def _change_field(dice: Random, message: Message) -> None:
    while True:
        present = message.ListFields()
        inner = [(field, value) for field, value in present if field.type == FieldDescriptor.TYPE_MESSAGE]
        if not inner or dice.random() < 0.12:
            break
        field, value = dice.choice(inner)
        if field.is_repeated:
            if dice.random() < 0.04:
                del value[dice.randrange(len(value))]
                return
            if dice.random() < 0.04:
                value.add().CopyFrom(value[dice.randrange(len(value))])
                return
            message = value[dice.randrange(len(value))]
        else:
            message = value
    fields = [field for field in message.DESCRIPTOR.fields if field.type != FieldDescriptor.TYPE_MESSAGE]
    if not fields:
        message.Clear()
        return
    field = dice.choice(fields)
    try:
        if field.is_repeated:
            getattr(message, field.name).extend([_plain(dice, field)] * dice.choice((1, 3, 200)))
        else:
            setattr(message, field.name, _plain(dice, field))
    except (TypeError, ValueError, OverflowError):
        message.ClearField(field.name)  # it holds no such value: then it is left out


def _plain(dice: Random, field: FieldDescriptor) -> Any:
    value = dice.choice(ODD)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return dice.choice((b"", b"\0" * 16, b"\xff" * 16, b"\xab" * 8, dice.randbytes(16), dice.randbytes(300)))
    if field.type == FieldDescriptor.TYPE_STRING:
        return str(value)[:70_000].encode("utf-8", "replace").decode()
    return value
