"""Reading stack traces that come as text: Python, JavaScript (V8, Firefox, Safari) and Java, into frames.

Frames run from the outermost call to the innermost, as in signals. Of a chain of exceptions the frames of the one that was
reported are read: Python prints it last, Java and Node first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pilothouse.sdk import Frame

LONGEST_TEXT = 262_144  # characters that are read; a trace beyond that repeats itself
LONGEST_LINE = 2_000  # a longer line is data, not a frame; it also bounds what the patterns below may cost
MOST_FRAMES = 1_000  # as many as a signal may carry

_PYTHON_START = "Traceback (most recent call last)"
_PYTHON_CHAIN = re.compile(
    r"^[ |+\-]*(?:The above exception was the direct cause|During handling of the above exception).*$", re.MULTILINE
)
_PYTHON_FRAME = re.compile(r'[\s|+\-]*File "(?P<file>[^"]+)", line (?P<line>\d{1,9})(?:, in (?P<function>\S.*))?$')
_MARGIN = re.compile(r"^[ |+\-]*")
_JAVA_FRAME = re.compile(
    r"\s*at (?:[\w.@\-]*/)*(?P<module>[\w.$]+)(?:/0x[0-9a-fA-F]+)?\.(?P<function>[\w$<>]+)\((?P<where>[^()]*)\)$"
)
_V8_FRAME = re.compile(r"\s*at (?:(?P<function>.+?) \()?(?P<file>[^()]+?):(?P<line>\d{1,9})(?::\d{1,9})?\)?$")
_V8_PLACELESS = re.compile(r"\s*at (?P<function>.+?) \((?P<file><anonymous>|native)\)$")
_GECKO_FRAME = re.compile(r"(?P<function>[^@\s]*)@(?P<file>\S+?):(?P<line>\d{1,9})(?::\d{1,9})?$")


def parse(stack_trace: str) -> list[Frame]:
    """Return the frames of a stack trace, the outermost call first; an empty list where none is recognised."""
    text = stack_trace[:LONGEST_TEXT]
    if 'File "' in text:
        frames = _python(text)
        if frames:
            return frames
    lines = [line.rstrip(" \t{") for line in text.splitlines() if len(line) <= LONGEST_LINE]
    for read in (_java, _v8, _gecko):
        frames = _read(lines, read)
        if frames:
            return frames[::-1]
    return []


def _python(text: str) -> list[Frame]:
    """Read the last exception of the chain; of an exception group its own trace, which stands before its members'."""
    part = _PYTHON_CHAIN.split(text)[-1]
    _, start, body = part.partition(_PYTHON_START)
    lines = (body if start else part).splitlines()
    frames: list[Frame] = []
    for place, line in enumerate(lines):
        if _PYTHON_START in line:
            break
        match = _PYTHON_FRAME.match(line) if len(line) <= LONGEST_LINE else None
        if match is None:
            continue
        source = _source(lines, place)
        frames.append(
            Frame(file=match["file"], function=match["function"] or "", line=int(match["line"]), context_line=source)
        )
        if len(frames) == MOST_FRAMES:
            break
    return frames


def _source(lines: Sequence[str], place: int) -> str | None:
    """Return the source line below a Python frame; None where the next line is something else."""
    below = lines[place + 1] if place + 1 < len(lines) else ""
    source = _MARGIN.sub("", below)
    indented = len(below) - len(source) > len(lines[place]) - len(_MARGIN.sub("", lines[place]))
    if not source or not indented or len(below) > LONGEST_LINE or source.startswith(('File "', "[Previous line")):
        return None
    return source


def _read(lines: Sequence[str], read: Callable[[str], Frame | None]) -> list[Frame]:
    """Read frames, the innermost first, up to the cause that is told after them."""
    frames: list[Frame] = []
    for line in lines:
        frame = read(line)
        if frame is not None:
            frames.append(frame)
        elif frames and line.lstrip().startswith(("Caused by:", "[cause]", "[errors]", "Suppressed:")):
            break
        if len(frames) == MOST_FRAMES:
            break
    return frames


def _java(line: str) -> Frame | None:
    match = _JAVA_FRAME.match(line)
    if match is None:
        return None
    file, _, number = match["where"].partition(":")
    return Frame(
        file="" if " " in file else file,  # "Native Method", "Unknown Source"
        function=match["function"],
        module=match["module"],
        line=int(number) if number.isdecimal() and len(number) < 10 else None,  # noqa: PLR2004 - as in the patterns
    )


def _v8(line: str) -> Frame | None:
    match = _V8_FRAME.match(line)
    if match is not None:
        file = match["file"].removeprefix("async ").removeprefix("file://")
        return Frame(file=file, function=match["function"] or "", line=int(match["line"]))
    match = _V8_PLACELESS.match(line)
    return None if match is None else Frame(file=match["file"], function=match["function"])


def _gecko(line: str) -> Frame | None:
    match = _GECKO_FRAME.match(line)
    return None if match is None else Frame(file=match["file"], function=match["function"], line=int(match["line"]))
