"""A stack trace as a group's page shows it: frames with their source, long runs of others' code folded, and as text to copy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec

from pilothouse.sdk import Frame
from pilothouse_errors import circumstances
from pilothouse_errors.frame_names import is_in_app, package_of
from pilothouse_errors.stack_parsing import parse

FOLD_LEAST = 4  # frames of others' code in a row from which on they are one entry
NAMED = 2  # packages that such an entry names; of more it says that they are libraries


def frames_of(error: Any) -> list[dict[str, Any]]:
    """Return an error's frames as the page shows them."""
    sent = msgspec.json.decode(error.frames, type=list[Frame]) if error.frames is not None else None
    return shown(sent if sent is not None else parse(error.stack_trace) if error.stack_trace else [])


def shown(frames: Sequence[Frame]) -> list[dict[str, Any]]:
    """Return frames as the page shows them, the most recent call first; the first one of the program's own is open."""
    listed = [_frame(frame) for frame in reversed(frames)]
    opened = next((frame for frame in listed if frame["in_app"]), listed[0] if listed else None)
    if opened is not None:
        opened["open"] = True
    return _folded(listed)


def _folded(listed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the frames with each long run of others' code as one entry, `folded`, that says whose it is."""
    found: list[dict[str, Any]] = []
    for foreign, run in groupby(listed, lambda frame: not frame["in_app"] and not frame["open"]):
        frames = list(run)
        if not foreign or len(frames) < FOLD_LEAST:
            found += frames
            continue
        whose = sorted({frame["package"] for frame in frames})
        told = " and ".join(whose) if len(whose) <= NAMED and all(whose) else "libraries"
        found.append({"folded": frames, "of": told})
    return found


def text_of(error: Any) -> str:
    """Return an error's stack as text to copy: as it was sent, else made of its frames, the most recent call last."""
    if error.stack_trace or error.frames is None:
        return error.stack_trace or ""
    frames = msgspec.json.decode(error.frames, type=list[Frame])
    return "\n".join([*map(_line, frames), f"{error.error_type}: {error.message}"])


def _line(frame: Frame) -> str:
    return f'  File "{frame.file or frame.module or "?"}", line {frame.line or "?"}, in {frame.function or "?"}'


def _frame(frame: Frame) -> dict[str, Any]:
    before = list(frame.pre_context)
    line = frame.line or len(before) + 1
    source = [(line - len(before) + place, text, False) for place, text in enumerate(before)]
    if frame.context_line is not None:
        source.append((line, frame.context_line, True))
        source += [(line + 1 + place, text, False) for place, text in enumerate(frame.post_context)]
    vars_ = (frame.vars or {}).items()
    return {
        "file": frame.file or frame.module or "?", "line": frame.line, "function": frame.function, "source": source,
        "in_app": is_in_app(frame), "package": package_of(frame), "open": False,
        "vars": [(name, circumstances.plain(value)) for name, value in vars_],
    }  # fmt: skip
