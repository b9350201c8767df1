"""The card on an execution's page: what its gateway calls sent and got, where that is kept."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import render_template
from markupsafe import Markup

from pilothouse_gateway import queries


def of_execution(execution_id: str) -> Markup | None:
    """Return the card of one execution; None where nothing of it is kept."""
    contents = queries.contents_of(execution_id)
    if not contents:
        return None
    calls = [{"id": one.id, "input": _value(one.input), "output": _value(one.output)} for one in contents]
    return Markup(render_template("gateway/_contents.html", calls=calls))  # noqa: S704 - the template escapes what it shows


def _value(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
