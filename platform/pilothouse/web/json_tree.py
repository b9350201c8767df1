"""A decoded JSON value as a tree of nested lists and `details`, shown as text; bounded in depth and in length."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

DEPTH = 40  # deeper values are shown as their text: no page needs more levels, and no page may hang on one
ITEMS = 200  # of one list or object; the rest is counted
OPEN_DEPTH = 2  # levels that start open
OPEN_ITEMS = 20  # longer ones start closed
TEXT = 20_000  # characters of one string


def json_tree(value: Any, depth: int = 0) -> Markup:
    """Return the tree of a value; nothing in it is ever taken for markup."""
    if isinstance(value, Mapping) and value and depth < DEPTH:
        return _branch(((_key(name), item) for name, item in value.items()), len(value), "{}", depth)
    if isinstance(value, list) and value and depth < DEPTH:
        return _branch(((Markup(""), item) for item in value), len(value), "[]", depth)
    return _leaf(value)


def _key(name: str) -> Markup:
    return Markup('<span class="k">{}</span>: ').format(name)


def _branch(items: Iterable[tuple[Markup, Any]], total: int, brackets: str, depth: int) -> Markup:
    shown = [
        Markup("<li>{}{}</li>").format(key, json_tree(item, depth + 1))
        for (key, item), _ in zip(items, range(ITEMS), strict=False)
    ]
    if total > ITEMS:
        shown.append(Markup('<li class="k">and {:,} more</li>').format(total - ITEMS))
    opened = Markup(" open") if depth < OPEN_DEPTH and total <= OPEN_ITEMS else Markup("")
    what = "entry" if total == 1 else "entries"
    return Markup("<details{}><summary>{} {:,} {}</summary><ul>{}</ul></details>").format(
        opened, brackets, total, what, Markup("").join(shown)
    )


def _leaf(value: Any) -> Markup:
    if isinstance(value, str):
        cut = value if len(value) <= TEXT else f"{value[:TEXT]}\u2026 ({len(value):,} characters)"
        return Markup('<span class="s">{}</span>').format(cut)
    return Markup('<span class="v">{}</span>').format(json.dumps(value, default=str))
