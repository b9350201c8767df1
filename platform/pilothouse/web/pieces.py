"""What every template gets without an import: `ui`, the inventory of components, and the address builders."""

from __future__ import annotations

from datetime import UTC, tzinfo
from types import SimpleNamespace

from flask import Flask
from wtforms import Field
from wtforms.validators import DataRequired, InputRequired

from pilothouse.web import charts, formats, marks, saved_views, tags, urls
from pilothouse.web.icons import icon
from pilothouse.web.json_tree import json_tree
from pilothouse.web.panels import panels


def init_pieces(app: Flask) -> None:
    """Give the templates their globals and filters; whitespace between tags is cut."""
    environment = app.jinja_env
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(count=formats.count, word=formats.word)
    environment.globals.update(
        qs=urls.qs, toggled=urls.toggled, kept=urls.kept, pieces=_pieces(), formats=formats
    )
    environment.globals["ui"] = environment.get_template("ph/ui.html").module


def _pieces() -> SimpleNamespace:
    return SimpleNamespace(
        icon=icon, status=tags.status, severity=tags.severity, pill=tags.pill, time=tags.time, duration=tags.duration,
        delta=tags.delta, avatar=tags.avatar, kind_icon=tags.kind_icon, since=formats.since, money=formats.money,
        count=formats.count, compact=formats.compact, percent=formats.percent, size=formats.size,
        spark=marks.spark, bars=marks.bars, meter=marks.meter, lane=marks.lane, histogram=marks.histogram,
        chart=charts.chart, moment=moment, formatted=formatted, json_tree=json_tree, panels=panels, required=required,
        views_of=saved_views.views_of, query_string=query_string, words=tags.words,
    )


def moment(at: int, zone: tzinfo | None) -> str:
    """Write a bucket's start for the table below a chart."""
    return formats.moment(at, zone or UTC)


def formatted(value: float | None, fmt: str) -> str:
    """Write a figure in one of `formats.FORMATS`."""
    return formats.FORMATS[fmt](value)


def query_string() -> str:
    """Return the page's query string, without what belongs to this moment only."""
    return urls.qs().partition("?")[2]


def required(field: Field) -> bool:
    """Say whether a form's field must be filled in."""
    return any(isinstance(validator, (DataRequired, InputRequired)) for validator in field.validators)
