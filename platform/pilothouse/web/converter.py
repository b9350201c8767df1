"""From columns to form fields, for SQLAlchemy 2.1 and without a script.

Flask-Admin 2.2 passes over columns whose type it does not know, silently: Uuid and Interval always, Float and Double under
SQLAlchemy 2.1. Here they have converters, and a column without one is an error when the page is made, not a lost field.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from flask_admin.contrib.sqla.fields import QuerySelectField, QuerySelectMultipleField
from flask_admin.contrib.sqla.form import AdminModelConverter
from flask_admin.form import fields as admin_fields
from flask_admin.form.widgets import DatePickerWidget
from flask_admin.model.form import converts
from wtforms import Field, fields, widgets
from wtforms.fields.choices import Choice, SelectChoice
from wtforms.fields.core import UnboundField

from pilothouse.errors import PluginError

DATETIME_FORMATS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]
_SPAN = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+(?:\.\d+)?)s)?")


class UuidField(fields.StringField):
    """A UUID as text; the data is a `uuid.UUID` or None."""

    def _value(self) -> str:
        return str(self.raw_data[0]) if self.raw_data else str(self.data or "")

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Read the text. Raises ValueError with a sentence."""
        text = valuelist[0].strip() if valuelist else ""
        try:
            self.data = uuid.UUID(text) if text else None
        except ValueError:
            raise ValueError("Not a UUID, such as 01890a5d-ac96-774b-bcce-b302099a8057.") from None


class IntervalField(fields.StringField):
    """A span of time as text such as `1d 2h 30m` or `90s`; the data is a `timedelta` or None."""

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return write_span(self.data) if isinstance(self.data, timedelta) else ""

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Read the text. Raises ValueError with a sentence."""
        text = valuelist[0].strip() if valuelist else ""
        match = _SPAN.fullmatch(text)
        if match is None:
            raise ValueError("Not a span of time, such as 1d 2h 30m or 90s.")
        days, hours, minutes = (int(part or 0) for part in match.groups()[:3])
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=float(match[4] or 0))
        self.data = span if text else None


def write_span(span: timedelta) -> str:
    """Write a span of time as `1d 2h 30m 4s`, `0s` for none."""
    seconds = span.seconds + span.microseconds / 1_000_000
    parts = [(span.days, "d"), (int(seconds // 3600), "h"), (int(seconds % 3600 // 60), "m"), (seconds % 60, "s")]
    return " ".join(f"{number:g}{unit}" for number, unit in parts if number) or "0s"


class _Choice(admin_fields.Select2Field):
    """A native select; `Select2Field` needs jQuery to be seen."""

    widget = widgets.Select()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("blank_text", "None")  # stock shows the text "__None"
        # WTForms 3.4 takes no tuples any more
        kwargs["choices"] = [SelectChoice(value, label) for value, label in kwargs.pop("choices", ())]
        super().__init__(*args, **kwargs)

    def iter_choices(self) -> Iterator[Any]:
        """Yield the choices as WTForms' own field does, with a blank one first where that is allowed."""
        if self.allow_blank:
            yield Choice("__None", self.blank_text, self.data is None, {})
        yield from fields.SelectField.iter_choices(self)


class _Relation(QuerySelectField):
    """A native select of the records on the other side of a relation."""

    widget = widgets.Select()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("blank_text", "None")
        super().__init__(*args, **kwargs)

    def iter_choices(self) -> Iterator[Any]:
        """Yield the choices in the form that WTForms 4 takes."""
        return (Choice(*choice) for choice in super().iter_choices())


class _Relations(QuerySelectMultipleField):
    """The same, for several records."""

    widget = widgets.Select(multiple=True)

    def iter_choices(self) -> Iterator[Any]:
        """Yield the choices in the form that WTForms 4 takes."""
        return (Choice(*choice) for choice in super().iter_choices())


# What Flask-Admin makes -> the widget that works without a script.
WIDGETS: dict[type[Field], Any] = {
    admin_fields.DateTimeField: widgets.DateTimeLocalInput(),
    admin_fields.TimeField: widgets.TimeInput(),
    fields.DateField: widgets.DateInput(),
    fields.IntegerField: widgets.NumberInput(step="1"),
    fields.DecimalField: widgets.NumberInput(step="any"),
    fields.FloatField: widgets.NumberInput(step="any"),
}


class ConsoleConverter(AdminModelConverter):
    """Flask-Admin's converter with native widgets, and without silent gaps."""

    def convert(self, *args: Any, **kwargs: Any) -> Any:
        """Return the field of one property, or None for keys and relations that the form leaves out on purpose."""
        made = super().convert(*args, **kwargs)
        return native(made) if isinstance(made, UnboundField) else made

    def get_converter(self, column: Any) -> Any:
        """Return what makes the field of a column. Raises PluginError for a type that nobody knows."""
        found = super().get_converter(column)
        if found is None:
            raise PluginError(
                getattr(self.view, "plugin", "core"),
                f"no form field for {column.table.name}.{column.name} ({column.type!r}); add it to form_overrides or "
                "leave it out of form_columns",
            )
        return found

    @converts("Float", "Double")
    def convert_float(self, field_args: dict[str, Any], **_extra: Any) -> Any:
        """Make the field of a floating point number."""
        return fields.FloatField(**field_args)

    @converts("Uuid", "UUID")
    def convert_uuid(self, field_args: dict[str, Any], **_extra: Any) -> Any:
        """Make the field of a UUID."""
        return UuidField(**field_args)

    @converts("Interval")
    def convert_interval(self, field_args: dict[str, Any], **_extra: Any) -> Any:
        """Make the field of a span of time."""
        return IntervalField(**field_args)

    @converts("JSON")
    def convert_json(self, field_args: dict[str, Any], **_extra: Any) -> Any:
        """Make the field of a JSON value, a text area that is checked."""
        field_args.setdefault("render_kw", {})["class"] = "mono"
        return admin_fields.JSONField(**field_args)


REPLACED: dict[type[Field], type[Field]] = {
    admin_fields.Select2Field: _Choice,
    QuerySelectField: _Relation,
    QuerySelectMultipleField: _Relations,
}


def native(made: Any) -> Any:
    """Give a field that was not made yet the widget that works without a script."""
    kind, kwargs = made.field_class, dict(made.kwargs)
    if isinstance(kwargs.get("widget"), DatePickerWidget):
        del kwargs["widget"]
    if kind in WIDGETS:
        kwargs.setdefault("widget", WIDGETS[kind])
    if kind is admin_fields.DateTimeField:
        kwargs.setdefault("format", DATETIME_FORMATS)
    return UnboundField(REPLACED.get(kind, kind), *made.args, **kwargs)
