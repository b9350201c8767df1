"""From an exception to the fields of an error signal: frames with their source lines, never local variables."""

from __future__ import annotations

import linecache
import os
import sysconfig
from typing import TYPE_CHECKING, Any

from pilothouse_client.plain import text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType, TracebackType

CONTEXT_LINES = 5
# The two ends of a runaway recursion tell it all.
MAX_FRAMES = 100
MAX_CAUSES = 10
# A minified line of source is no context.
MAX_LINE = 500


def error_fields(fault: BaseException) -> dict[str, Any]:
    """Return `error_type`, `message`, `frames` (innermost last) and, where there is a chain, `attributes.causes`."""
    described: dict[str, Any] = {**_named(fault), "frames": _frames(fault.__traceback__)}
    causes = [_named(cause) for cause in _chain(fault)]
    parts = [_named(part) for part in getattr(fault, "exceptions", ())[:MAX_CAUSES]]
    attributes = {"causes": causes, "exceptions": parts}
    described["attributes"] = {name: value for name, value in attributes.items() if value} or None
    return described


def type_name(fault: BaseException) -> str:
    """Return the exception's type as one writes it: `ValueError`, `package.module.Name`."""
    kind = type(fault)
    plainly = kind.__module__ in {"builtins", "__main__"}
    return kind.__qualname__ if plainly else f"{kind.__module__}.{kind.__qualname__}"


def _named(fault: BaseException) -> dict[str, str]:
    name = type_name(fault)
    return {"error_type": name, "message": text(fault) or name}


def _chain(fault: BaseException) -> Iterator[BaseException]:
    """Yield what led to `fault`, nearest first: `raise ... from`, else what was being handled."""
    seen = {id(fault)}
    nearest = _cause(fault)
    while nearest is not None and id(nearest) not in seen and len(seen) <= MAX_CAUSES:
        yield nearest
        seen.add(id(nearest))
        nearest = _cause(nearest)


def _cause(fault: BaseException) -> BaseException | None:
    if fault.__cause__ is not None:
        return fault.__cause__
    return None if fault.__suppress_context__ else fault.__context__


def _frames(trace: TracebackType | None) -> list[dict[str, Any]]:
    places = []
    while trace is not None:
        places.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    if len(places) > MAX_FRAMES:
        half = MAX_FRAMES // 2
        places = places[:half] + places[-half:]
    return [_frame(frame, line) for frame, line in places]


def _frame(frame: FrameType, line: int) -> dict[str, Any]:
    code = frame.f_code
    return {
        "file": text(code.co_filename),
        "function": _function(code),
        "line": line,
        "module": text(frame.f_globals.get("__name__", "")),
        "in_app": _in_app(code.co_filename),
        **_context(code.co_filename, line, frame.f_globals),
    }


def _function(code: CodeType) -> str:
    """Return the qualified name where Python has it (3.11 and later), else the plain one."""
    return text(getattr(code, "co_qualname", code.co_name))


def _in_app(file: str) -> bool:
    """Return whether a file is the program's own: not the standard library's, an installed package's or generated."""
    parts = file.replace("\\", "/").split("/")
    if file.startswith("<") or "site-packages" in parts or "dist-packages" in parts:
        return False
    library = sysconfig.get_paths()["stdlib"]
    return not file.startswith(library + os.sep)


def _context(file: str, line: int, names: dict[str, Any]) -> dict[str, Any]:
    """Return the source line with those before and after it; nothing where the source cannot be read."""
    lines = [each.rstrip("\n")[:MAX_LINE] for each in linecache.getlines(file, names)]
    if not 0 < line <= len(lines):
        return {}
    return {
        "pre_context": lines[max(0, line - 1 - CONTEXT_LINES) : line - 1],
        "context_line": lines[line - 1],
        "post_context": lines[line : line + CONTEXT_LINES],
    }
