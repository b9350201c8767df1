"""docs/sdk.md: all that a plugin may use, in the words of the code itself; `make docs` writes it."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pilothouse import sdk
from pilothouse.web import pieces

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sdk.md"
COMPONENTS = ROOT / "platform" / "pilothouse" / "web" / "templates" / "ph" / "ui.html"
INTRODUCTION = """\
# The SDK

All that a plugin imports comes out of `pilothouse.sdk` and keeps working within SDK 1.x; [plugins.md](plugins.md) tells of the hooks.
Times are Unix milliseconds and money nano-dollars where nothing else is said. `make docs` writes this page out of the code's own words.
"""
SECTIONS = {  # the title of a section, and the modules of the core whose names it tells of
    "What hooks return": ("contract",),
    "Signals": ("signals", "outcomes", "scrubbing"),
    "Measures": ("measures", "measure_reads", "measure_sums"),
    "The database": ("db",),
    "Time and money": ("clock", "money"),
    "Who may do what": ("access", "identity", "audit"),
    "Events and work": ("bus", "work"),
    "Endpoints": ("web.api", "web.bodies", "web.client_door", "web.conditional", "web.cross_origin", "web.csrf", "web.csv_stream",
                  "web.ingest_api", "web.limits", "web.paging", "web.parsing", "web.ranges", "web.waiting"),
    "Pages": ("web",),
    "Calls to the outside": ("outgoing", "outgoing_pool"),
    "Secrets": ("crypto",),
    "Settings and the running application": ("settings", "runtime", "plugins"),
    "Errors": ("errors",),
}  # fmt: skip
_MACRO = re.compile(r"^(?:\{# (?!---)(?P<words>.+?) #\}\n)?\{% macro (?P<call>\w+\(.*?\)) %\}", re.MULTILINE)


def page() -> str:
    """Return the page as the code has it."""
    entries: dict[str, list[str]] = {title: [] for title in SECTIONS}
    for name, defined, module in _imported():
        words = _words(getattr(sdk, name)) or _comment(defined, module)
        entries[_section(module)].append(f"- `{_shown(name, getattr(sdk, name))}`{': ' if words else ''}{words}")
    parts = [INTRODUCTION, *(f"## {title}\n\n" + "\n".join(sorted(lines, key=str.casefold)) + "\n" for title, lines in entries.items())]
    parts.append("## Components of templates\n\nTemplates extend `ph/base.html` and have these as `ui`:\n\n" + "\n".join(_components()) + "\n")
    return "\n".join(parts)


def _imported() -> Iterator[tuple[str, str, str]]:
    """Yield each name of the SDK, the name that it has in the module it comes from, and that module below `pilothouse`."""
    for node in ast.parse(Path(sdk.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                package = (node.module or "").removeprefix("pilothouse").removeprefix(".")
                yield name, alias.name, f"{package}.{alias.name}".strip(".") if inspect.ismodule(getattr(sdk, name)) else package


def _section(module: str) -> str:
    """Return the section that tells of a module: of those that name a part of its path the one that names most of it."""
    told = [(len(prefix), title) for title, prefixes in SECTIONS.items() for prefix in prefixes if f"{module}.".startswith(f"{prefix}.")]
    assert told, f"no section of docs/sdk.md tells of pilothouse.{module}"
    return max(told)[1]


def _shown(name: str, thing: Any) -> str:
    """Return how a thing is called, or what it is worth."""
    if inspect.isfunction(thing):
        return name + _signature(thing)
    choices = [one for one in getattr(thing, "__args__", ()) if isinstance(one, str)]
    if choices:
        return f"{name} = {' | '.join(choices)}"
    if isinstance(thing, frozenset):
        thing = {*thing}
    return f"{name} = {sorted(thing) if isinstance(thing, set) else thing!r}" if isinstance(thing, (int, str, tuple, set)) else name


def _signature(function: Any) -> str:
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, ast.FunctionDef)
    return f"({ast.unparse(node.args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")


def _words(thing: Any) -> str:
    """Return the first paragraph of a thing's own docstring, on one line; empty for a value."""
    ours = inspect.ismodule(thing) or getattr(thing, "__module__", "").startswith("pilothouse")
    if not ours or not (inspect.isfunction(thing) or inspect.isclass(thing) or inspect.ismodule(thing)):
        return ""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def _comment(name: str, module: str) -> str:
    """Return what the comment behind a value's definition says, or that above it."""
    source = (ROOT / "platform" / "pilothouse" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    found = re.search(rf"(?:^# (.+)\n)?^{name}(?:: [^=]+)? = .*?(?:  # (.+))?$", source, re.MULTILINE)
    return (found[2] or found[1] or "") if found else ""


def _components() -> Iterator[str]:
    text, made = COMPONENTS.read_text(encoding="utf-8"), pieces._pieces()
    for name, piece in re.findall(r"^\{% set (\w+) = pieces\.(\w+) %\}", text, re.MULTILINE):
        function = getattr(made, piece)
        yield f"- `{name}{_signature(function)}`: {_words(function)}"
    for found in _MACRO.finditer(text):
        yield f"- `{found['call']}`" + (f": {found['words']}" if found["words"] else "")


def test_the_page_of_the_sdk_says_what_the_sdk_says():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
