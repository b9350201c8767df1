"""Grouping: which errors are one and the same fault. Pure; the same error gives the same group on every machine.

The first rule that applies decides:

1. A `fingerprint` that the client sent. In a list, `{{ default }}` stands for what the rules below would say.
2. The type and the frames of the user's own code, outermost first: module (else directory and file) and function, never line
   numbers, so that an edit above does not tear a group apart. Every frame counts once, so that it does not matter how deep a
   recursion went. Frames come as `frames` or are read from the text of `stack_trace`. Whose code a frame is, the client
   says, else its path does.
3. The type and all frames, where none is the user's own.
4. The type and the normalised message, where there are no frames at all: numbers, ids, addresses, paths, times and quoted
   texts do not count. So also for type `Message`, a logged sentence: its frames only tell where the logging was done.

With frames the message does not count: the same fault with another number or name in its message is the same group.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pilothouse.sdk import Frame
from pilothouse_errors.frame_names import frame_name, is_in_app
from pilothouse_errors.message_patterns import normalise
from pilothouse_errors.stack_parsing import parse

MESSAGE = "Message"  # the type of what was logged without an exception
VERSION = "1"  # part of every fingerprint: a change of the rules must not mix old and new groups
SHOWN = 200  # characters of a sent fingerprint that a reason repeats
LONGEST_REASON = 400  # characters
KEPT = 512  # traces whose frames are remembered, since reading one takes 100 microseconds;
LONGEST_KEPT = 16_384  # of at most so many characters, which bounds the memory to some megabytes

_DEFAULT = re.compile(r"\{\{\s*default\s*\}\}")


@dataclass(frozen=True, slots=True)
class Grouping:
    """The group's key and, for people, why the error is in it."""

    fingerprint: str
    reason: str


def group(signal: Any) -> Grouping:
    """Return the group of an error signal."""
    sent = signal.fingerprint
    parts = [sent] if isinstance(sent, str) else list(sent or ())
    explicit = [part for part in parts if part.strip()]
    if not explicit or all(_DEFAULT.fullmatch(part.strip()) for part in explicit):
        return _by_rule(signal)
    if not any(_DEFAULT.fullmatch(part.strip()) for part in explicit):
        return _make(("sent", *explicit), f"by the fingerprint that was sent: {', '.join(explicit)[:SHOWN]}")
    default = _by_rule(signal)
    words = ", ".join(part for part in explicit if not _DEFAULT.fullmatch(part.strip()))
    key = ("mixed", *(default.fingerprint if _DEFAULT.fullmatch(part.strip()) else part for part in explicit))
    return _make(key, f"by the fingerprint that was sent ({words[:SHOWN]}) and {default.reason.removeprefix('by ')}")


def frames_of(signal: Any) -> Sequence[Frame]:
    """Return the frames that a signal or row brings, else those in the text of its stack trace."""
    return signal.frames or (parse(signal.stack_trace) if signal.stack_trace else ())


def _by_rule(signal: Any) -> Grouping:
    kind = signal.error_type
    names, own = ((), False) if kind == MESSAGE else _names(signal)
    if not names:
        message = normalise(signal.message)
        return _make(("message", kind, message), f"by type and message, without what varies in it: {message or '(empty)'}")
    number = "1 frame" if len(names) == 1 else f"{len(names)} frames"
    whose = " of your own code" if own else ", none of them in your own code"
    return _make(("frames", kind, *names), f"by type and {number}{whose}; the innermost is {names[-1]}")


def _names(signal: Any) -> tuple[tuple[str, ...], bool]:
    """Return the names of the frames that count, and whether they are the user's own code."""
    if signal.frames:
        return _names_of(signal.frames)
    trace = signal.stack_trace
    if not trace:
        return (), False
    return _names_in(trace) if len(trace) <= LONGEST_KEPT else _names_of(parse(trace))


@functools.lru_cache(maxsize=KEPT)
def _names_in(trace: str) -> tuple[tuple[str, ...], bool]:
    return _names_of(parse(trace))


def _names_of(frames: Sequence[Frame]) -> tuple[tuple[str, ...], bool]:
    own = [frame for frame in frames if is_in_app(frame)]
    return tuple(dict.fromkeys(frame_name(frame) for frame in own or frames)), bool(own)


def _make(parts: Sequence[str], reason: str) -> Grouping:
    text = "\0".join((VERSION, *parts))
    fingerprint = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:40]
    return Grouping(fingerprint, reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…")
