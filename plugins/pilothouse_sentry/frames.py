"""Stack traces: Sentry's frames become ours, and the whole chain of exceptions a text that people can read and copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pilothouse.sdk import Frame
from pilothouse_sentry.limits import LONGEST_LINE, LONGEST_STACK, MOST_EXCEPTIONS, MOST_FRAMES
from pilothouse_sentry.values import Json, an_object, cut, first_text, objects, text_of

BIGGEST_LINE = 2**31 - 1


def exceptions_of(event: Json) -> list[Json]:
    """Return an event's exceptions, the outermost last; very old SDKs send the list or the exception bare."""
    found = event.get("exception")
    chain = objects(found)
    if not chain and isinstance(found, dict) and "values" not in found and found:
        chain = [found]
    return chain[-MOST_EXCEPTIONS:]


def stack_of(event: Json, exception: Json) -> Json:
    """Return the stack trace of an exception; of a message that of the thread which logged it."""
    own = an_object(exception.get("stacktrace"))
    if own or exception:
        return own
    threads = objects(event.get("threads"))
    thread = next((one for one in threads if one.get("crashed") or one.get("current")), threads[0] if threads else {})
    return an_object(thread.get("stacktrace")) or an_object(event.get("stacktrace"))


def frames_of(stack: Json) -> list[Frame]:
    """Return the frames of a stack trace, the innermost last; of too many those in the middle are left out."""
    return [_frame(frame) for frame in _ends(objects(stack.get("frames")))]


def _ends(frames: list[Json]) -> list[Json]:
    half = MOST_FRAMES // 2
    return frames if len(frames) <= MOST_FRAMES else frames[: MOST_FRAMES - half] + frames[-half:]


def _frame(frame: Json) -> Frame:
    line = frame.get("lineno")
    in_app = frame.get("in_app")
    variables = frame.get("vars")
    return Frame(
        file=first_text(frame, ("filename", "abs_path"), LONGEST_LINE) or "",
        function=first_text(frame, ("function", "raw_function"), LONGEST_LINE) or "",
        module=first_text(frame, ("module", "package"), LONGEST_LINE) or "",
        line=line if type(line) is int and 0 < line <= BIGGEST_LINE else None,
        in_app=in_app if isinstance(in_app, bool) else None,
        context_line=_line(frame.get("context_line")),
        pre_context=_lines(frame.get("pre_context")),
        post_context=_lines(frame.get("post_context")),
        vars=variables if isinstance(variables, dict) and variables else None,
    )


def _line(value: Any) -> str | None:
    return cut(value, LONGEST_LINE) if isinstance(value, str) else None


def _lines(value: Any) -> list[str]:
    return [cut(line, LONGEST_LINE) for line in value[:20] if isinstance(line, str)] if isinstance(value, list) else []


def written(exceptions: Sequence[Json], platform: str) -> str | None:
    """Return the chain as text, in the manner of Python or of JavaScript; None where there are no frames at all."""
    parts = [
        _python(exception) if platform == "python" else _javascript(exception)
        for exception in exceptions
        if objects(an_object(exception.get("stacktrace")).get("frames")) or len(exceptions) > 1
    ]
    if not any(objects(an_object(exception.get("stacktrace")).get("frames")) for exception in exceptions):
        return None
    return cut("\n\n".join(parts), LONGEST_STACK)


def title_of(exception: Json) -> str:
    """Return an exception as its last line would be: type and message."""
    kind, message = text_of(exception.get("type")), text_of(exception.get("value"), LONGEST_LINE)
    return ": ".join(part for part in (kind, message) if part) or "Error"


def _python(exception: Json) -> str:
    lines = ["Traceback (most recent call last):"]
    for frame in _plain(exception):
        lines.append(f'  File "{frame.file or "?"}", line {frame.line or "?"}, in {frame.function or "?"}')
        if frame.context_line and frame.context_line.strip():
            lines.append(f"    {frame.context_line.strip()}")
    return "\n".join([*lines, title_of(exception)])


def _javascript(exception: Json) -> str:
    frames = [f"    at {frame.function or '?'} ({frame.file or '?'}:{frame.line or '?'})" for frame in _plain(exception)]
    return "\n".join([title_of(exception), *reversed(frames)])


def _plain(exception: Json) -> Iterator[Frame]:
    yield from (_frame(frame) for frame in _ends(objects(an_object(exception.get("stacktrace")).get("frames"))))
