"""The reference of the hooks in docs/plugins.md, written out of their own docstrings: `make docs` brings it up to date."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from pilothouse.contract import hookspecs

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
START = "## The hooks\n"
_SECTION = re.compile(r"^# --- (.+) ---$", re.MULTILINE)


def page() -> str:
    """Return the page with the reference as the hooks' docstrings have it."""
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index(START)] + reference()


def reference() -> str:
    """Return the part of the page that tells of hooks: what holds for all, then each of them under its section."""
    source = Path(hookspecs.__file__).read_text(encoding="utf-8")
    _, *common = (inspect.getdoc(hookspecs) or "").split("\n\n")
    parts = [START, *common]
    titles = {source.count("\n", 0, found.start()): found[1] for found in _SECTION.finditer(source)}
    for hook in (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)):
        above = [line for line in titles if line < hook.lineno]
        if above:
            parts.append(f"## {titles.pop(above[0]).capitalize()}")
        parts += [f"### `{hook.name}({ast.unparse(hook.args)}) -> {ast.unparse(hook.returns)}`", ast.get_docstring(hook) or ""]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def test_the_page_tells_of_hooks_what_they_tell_themselves():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
