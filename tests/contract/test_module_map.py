"""docs/architecture.md: its map of the core is made of the modules' own first lines; `make docs` writes it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "platform" / "pilothouse"
PAGE = ROOT / "docs" / "architecture.md"
START = "## The modules of the core\n"
_FILE = re.compile(r"`((?:web|work|plugins|tests)/[\w/]+\.py|\w+\.py)`|\| (tests/contract/\w+\.py) \|")


def page() -> str:
    """Return the page with the map as the modules have it."""
    text = PAGE.read_text(encoding="utf-8")
    return f"{text[: text.index(START)]}{START}\n| module | one line |\n| --- | --- |\n" + "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    """Yield a row for each module and package of the core's top level."""
    for path in sorted(CORE.iterdir()):
        source = path / "__init__.py" if path.is_dir() else path
        if source.suffix == ".py" and source.exists() and path.name != "__init__.py":
            words = (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").partition("\n")[0]
            yield f"| `{path.stem}{'/' if path.is_dir() else ''}` | {words} |"


def test_the_map_says_what_the_modules_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_files_that_the_page_names_are_there():
    named = {first or second for first, second in _FILE.findall(PAGE.read_text(encoding="utf-8"))}
    everywhere = {path.name for folder in ("platform", "plugins") for path in (ROOT / folder).rglob("*.py")} | {"wsgi.py", "celery_worker.py"}
    lost = [name for name in named if name not in everywhere and not (ROOT / name).exists() and not (CORE / name).exists()]
    assert lost == []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
