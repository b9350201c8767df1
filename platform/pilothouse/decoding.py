"""Decoding: the bytes of a report to typed signals, with every fault of every bad one.

The common body is decoded in one go. Where that fails, each signal is decoded by itself, so that a bad one never takes a
good one with it, and all its wrong fields are named.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from pilothouse import clock
from pilothouse.errors import FieldError, Malformed, TooLarge
from pilothouse.outcomes import Outcome, Rejection
from pilothouse.scrubbing import clean_signal, needs_cleaning
from pilothouse.signals import (
    CORE_SIGNALS,
    FUTURE_LIMIT,
    NOTHING,
    Execution,
    Millis,
    Signal,
    TokenUsage,
    check_usage,
    decode_hook,
    tag_of,
)
from pilothouse.web.parsing import find_errors, located

MOST_SIGNALS = 5_000
MOST_BYTES = 10 * 1024 * 1024
OBJECTS = ("attributes", "properties")

Item = tuple[int, Signal]


class _Envelope(msgspec.Struct):
    signals: list[msgspec.Raw]


class SignalReader:
    """Reads reports of the given signal types; built once an application."""

    def __init__(self, types: Sequence[type[Signal]] = CORE_SIGNALS) -> None:
        """Compile the decoders for the types."""
        union: Any = types[0]
        for kind in types[1:]:
            union = union | kind
        self._by_tag = {tag_of(kind): kind for kind in types}
        self._latest = 0
        self._envelope = msgspec.json.Decoder(_Envelope)
        report: Any = msgspec.defstruct("Report", [("signals", list[union])])
        self._whole = msgspec.json.Decoder(report, dec_hook=self._hook)
        self._one = msgspec.json.Decoder(union, dec_hook=self._hook)

    def read_json(self, body: bytes) -> tuple[list[Item], Outcome]:
        """Read `{"signals": [...]}`. Raises Malformed or TooLarge for the whole; bad signals are in the outcome."""
        self._latest = clock.now() + FUTURE_LIMIT
        dirty = needs_cleaning(body)
        if not dirty:
            items = self._read_whole(body)
            if items is not None:
                return items, Outcome()
        try:
            body.decode()
            parts = [bytes(part) for part in self._envelope.decode(body).signals]
        except msgspec.ValidationError as fault:
            raise Malformed(f'The body must be {{"signals": [...]}}: {fault}') from None
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            if not dirty:
                raise Malformed(f"The body is not valid JSON: {fault}") from None
            parts = _split_leniently(body)
        except RecursionError:
            raise Malformed("The body is nested too deep.") from None
        return self._read_parts(parts, dirty=dirty)

    def read_lines(self, body: bytes) -> tuple[list[Item], Outcome]:
        """Read one signal a line (NDJSON); a line that is no JSON is one rejected signal."""
        self._latest = clock.now() + FUTURE_LIMIT
        return self._read_parts([line for line in body.split(b"\n") if line.strip()], dirty=needs_cleaning(body))

    def _hook(self, kind: type, value: Any) -> Any:
        # called for every time of every signal: the plain case first, against a limit worked out once a report
        if type(value) is int and 0 <= value <= self._latest and kind is Millis:
            return value
        return decode_hook(kind, value)

    def _read_whole(self, body: bytes) -> list[Item] | None:
        try:
            body.decode()  # msgspec does not look inside of what it passes on raw
            signals = self._whole.decode(body).signals
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
            return None  # msgspec.ValidationError is a DecodeError: the slow way names every fault
        _check_number(len(signals))
        if any(check_signal(signal) for signal in signals):
            return None
        return list(enumerate(signals))

    def _read_parts(self, parts: list[bytes], *, dirty: bool) -> tuple[list[Item], Outcome]:
        _check_number(len(parts))
        items, outcome = [], Outcome()
        for index, part in enumerate(parts):
            signal, errors, name = self._read_one(part, dirty=dirty and needs_cleaning(part))
            if signal is not None and not errors:
                items.append((index, signal))
            else:
                outcome.rejected.append(Rejection(index, name, errors))
        return items, outcome

    def _read_one(self, part: bytes, *, dirty: bool) -> tuple[Signal | None, list[FieldError], str | None]:
        try:
            if dirty:
                part = clean_signal(part)
            part.decode()
            signal = self._one.decode(part)
            return signal, check_signal(signal), signal.id
        except msgspec.ValidationError as fault:
            return None, *self._refuse(part, str(fault))
        except (msgspec.DecodeError, Malformed, UnicodeDecodeError) as fault:
            return None, [FieldError("signal", f"is not valid JSON: {fault}")], None
        except (RecursionError, OverflowError):
            return None, [FieldError("signal", "is nested too deep or holds a number out of range")], None

    def _refuse(self, part: bytes, first: str) -> tuple[list[FieldError], str | None]:
        """Say all that is wrong with a signal of which `first` is known, and its id where it has one."""
        try:
            value = msgspec.json.decode(part)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
            # what follows the first fault cannot be read either: no JSON, too deep, or a number beyond any
            return [located(first, "")], None
        name = value.get("id") if isinstance(value, dict) else None
        return self._explain(value, first), name if isinstance(name, str) else None

    def _explain(self, value: Any, first: str) -> list[FieldError]:
        if not isinstance(value, dict):
            return [FieldError("signal", "must be an object")]
        tag = value.get("type")
        kind = self._by_tag.get(tag) if isinstance(tag, str) else None
        if kind is None:
            return [FieldError("type", f"must be one of {', '.join(sorted(self._by_tag))}")]
        errors = find_errors(value, kind, "")
        loose = [name for name in OBJECTS if not isinstance(value.get(name), (dict, type(None)))]
        return [*errors, *(FieldError(name, "must be an object") for name in loose)] or [located(first, "")]


def check_signal(signal: Any) -> list[FieldError]:
    """Check what types alone do not say: free objects are objects, parts of a usage fit its whole."""
    kind: type[Signal] = type(signal)
    if kind is TokenUsage:
        return [FieldError(name, message) for name, message in check_usage(signal)]
    errors = [
        FieldError(name, "must be an object") for name in _objects_of(kind) if not _is_object(getattr(signal, name))
    ]
    if kind is Execution and signal.error is not None and not _is_object(signal.error.attributes):
        errors.append(FieldError("error.attributes", "must be an object"))
    return errors


@functools.cache
def _objects_of(kind: type[Signal]) -> tuple[str, ...]:
    return tuple(name for name in kind.__struct_fields__ if name in OBJECTS)


def _is_object(value: msgspec.Raw) -> bool:
    return value is NOTHING or bytes(value)[:1] in {b"{", b"n"}


def _check_number(count: int) -> None:
    if count > MOST_SIGNALS:
        raise TooLarge(f"{count} signals; one request takes {MOST_SIGNALS}.")


def _split_leniently(body: bytes) -> list[bytes]:
    """Split a body that only the lenient reader takes: some clients write lone surrogates as escapes."""
    try:
        value = json.loads(body.decode())  # bytes would be taken for UTF-16 or UTF-32 too
        signals = value["signals"]
        if not isinstance(signals, list):
            raise Malformed('The body must be {"signals": [...]}: signals is no list')
        return [json.dumps(signal).encode() for signal in signals]
    except (ValueError, KeyError, TypeError) as fault:
        raise Malformed(f'The body must be {{"signals": [...]}}: {fault}') from None
    except RecursionError:
        raise Malformed("The body is nested too deep.") from None
