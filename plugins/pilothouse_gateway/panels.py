"""The card on an execution's page: what its gateway calls sent and got, where that is kept."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import render_template
from markupsafe import Markup

from pilothouse_gateway import queries
from pilothouse_gateway import turns as spoken
from pilothouse_gateway.models import GatewayContent


def of_execution(execution_id: str) -> Markup | None:
    """Return the card of one execution; None where nothing of it is kept."""
    contents = queries.contents_of(execution_id)
    if not contents:
        return None
    calls = [_call(one) for one in contents]
    return Markup(render_template("gateway/_contents.html", calls=calls))  # noqa: S704 - the template escapes what it shows


def _call(kept: GatewayContent) -> dict[str, Any]:
    sent, answered = _value(kept.input), _value(kept.output)
    model = sent.get("model") if isinstance(sent, dict) else None
    turns = [*spoken.sent(sent), *spoken.answered(answered)]
    return {"id": kept.id, "model": str(model or kept.id), "turns": turns, "input": sent, "output": answered}


def _value(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
