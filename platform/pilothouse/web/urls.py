"""Addresses of the page that is shown, with some of its query changed: the one way in which filters are linked."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import request

CURSOR = "cursor"


def qs(**changes: Any) -> str:
    """Return the page's own address with `changes` made to its query string.

    A value of None takes the parameter out, a list sets it several times. Changing a filter goes back to the first
    page, so the cursor is dropped unless it is what changes. A trailing underscore frees Python's words: `from_=1`.
    """
    wanted = {name.removesuffix("_"): value for name, value in changes.items()}
    pairs = [
        (name, value)
        for name, value in request.args.items(multi=True)
        if name not in wanted and name not in {CURSOR, "peek"}
    ]
    for name, value in wanted.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        pairs += [(name, str(one)) for one in values if one is not None and one != ""]
    query = urlencode(pairs)
    return f"{request.path}?{query}" if query else request.path


def toggled(name: str, value: str) -> str:
    """Return the page's address with `name=value` added, or taken out where it is there already."""
    values = request.args.getlist(name)
    return qs(**{name: [one for one in values if one != value] if value in values else [*values, value]})


def kept(*without: str) -> list[tuple[str, str]]:
    """Return the query's pairs for hidden fields of a GET form, leaving out what the form itself sets."""
    drop = {*without, CURSOR, "peek"}
    return [(name, value) for name, value in request.args.items(multi=True) if name not in drop]
