"""Cards on other plugins' pages: what an execution used and cost, by model."""

from __future__ import annotations

from flask import render_template
from markupsafe import Markup

from pilothouse.sdk import StepFigures
from pilothouse_tokens import queries


def of_execution(execution_id: str) -> Markup | None:
    """Return the card of one execution; None where it called no model."""
    lines = queries.calls_of(execution_id)
    if not lines:
        return None
    return Markup(render_template("tokens/_execution.html", lines=lines))  # noqa: S704 - the template escapes what it shows


def wasted(execution_ids: str) -> int | None:
    """Return what those of some executions (ids with spaces between) that failed had spent, in nano-dollars.

    None where none of them had a priced call.
    """
    return queries.spent_by_failed(execution_ids.split())


def of_steps(execution_id: str) -> dict[str, StepFigures]:
    """Return what each step of an execution used, by step, for the execution's timeline."""
    return queries.figures_of_steps(execution_id)
