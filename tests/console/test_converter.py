"""No column is lost on its way into a form."""

import uuid
from datetime import timedelta

import pytest
from flask_admin.contrib.sqla.form import get_form
from sqlalchemy import (
    JSON,
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    ForeignKey,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Text,
    Time,
    Uuid,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import UserDefinedType
from werkzeug.datastructures import MultiDict
from wtforms import Form

from pilothouse.errors import PluginError
from pilothouse.web.converter import ConsoleConverter, IntervalField, UuidField, write_span


class Base(DeclarativeBase):
    pass


class Parent(Base):
    __tablename__ = "parents"

    id: Mapped[int] = mapped_column(primary_key=True)


class Everything(Base):
    __tablename__ = "everything"

    id: Mapped[int] = mapped_column(primary_key=True)
    string = mapped_column(String(20))
    text = mapped_column(Text)
    integer = mapped_column(Integer)
    numeric = mapped_column(Numeric)
    floating = mapped_column(Float)
    double = mapped_column(Double)
    unique_id = mapped_column(Uuid)
    interval = mapped_column(Interval)
    date = mapped_column(Date)
    moment = mapped_column(DateTime)
    time = mapped_column(Time)
    choice = mapped_column(Enum("a", "b", name="choices"), nullable=True)
    json = mapped_column(JSON)
    binary = mapped_column(LargeBinary)
    flag: Mapped[bool]
    parent_id = mapped_column(ForeignKey("parents.id"))
    parent = relationship(Parent)


class Strange(UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **_):
        return "STRANGE"


class Odd(Base):
    __tablename__ = "odd"

    id: Mapped[int] = mapped_column(primary_key=True)
    odd = mapped_column(Strange)


class View:
    plugin = "trial"
    form_columns = None
    column_labels = column_descriptions = form_choices = form_overrides = None

    def __init__(self, model):
        self.model = model

    def prettify_name(self, name):
        return name.title()


class NoRows:
    """The query of a relation's choices."""

    def query(self, _model):
        return []


def form_of(model, **options):
    return get_form(model, ConsoleConverter(NoRows(), View(model)), base_class=Form, **options)


def test_every_column_is_in_the_form_or_left_out_on_purpose():
    columns = {column.key for column in Everything.__table__.columns}
    fields = set(form_of(Everything)()._fields)
    assert columns - fields == {"id", "parent_id"}
    assert fields - columns == {"parent"}


def test_a_column_that_nobody_knows_is_an_error_and_no_gap():
    with pytest.raises(PluginError, match=r"odd\.odd"):
        form_of(Odd)
    assert "odd" not in form_of(Odd, exclude=["odd"])()._fields


def test_no_widget_needs_a_script():
    drawn = "".join(str(field()) for field in form_of(Everything)())
    assert "data-role" not in drawn
    assert "__None" not in drawn.replace('value="__None"', "")


@pytest.mark.parametrize(("name", "kind"), [
    ("date", 'type="date"'), ("moment", 'type="datetime-local"'), ("time", 'type="time"'), ("integer", 'type="number"'),
    ("double", 'step="any"'), ("choice", "<select"), ("text", "<textarea"), ("json", "<textarea"), ("string", 'type="text"'),
    ("flag", 'type="checkbox"'), ("parent", "<select"),
])
def test_each_kind_has_its_native_widget(name, kind):
    assert kind in str(form_of(Everything)()[name]())


def test_a_date_and_time_reads_what_browsers_send():
    form = form_of(Everything)(MultiDict({"moment": "2026-11-24T09:05"}))
    assert form.moment.data.isoformat() == "2026-11-24T09:05:00"


class Small(Form):
    key = UuidField()
    every = IntervalField()


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1d 2h 30m", 95_400), ("1.5s", 1.5), ("2h", 7_200), ("0s", 0)])
def test_spans_of_time_are_read_and_written(text, seconds):
    form = Small(MultiDict({"every": text}))
    assert form.validate()
    assert form.every.data == timedelta(seconds=seconds)
    assert write_span(form.every.data) == text


def test_empty_fields_are_nothing():
    form = Small(MultiDict({"key": "", "every": " "}))
    assert form.validate()
    assert (form.key.data, form.every.data) == (None, None)


def test_wrong_ones_keep_what_was_typed():
    form = Small(MultiDict({"key": "x", "every": "soon"}))
    assert not form.validate()
    assert (form.key._value(), form.every._value()) == ("x", "soon")


def test_stored_values_are_shown():
    form = Small(data={"key": uuid.UUID(int=1), "every": timedelta(minutes=5)})
    assert form.key._value() == "00000000-0000-0000-0000-000000000001"
    assert form.every._value() == "5m"
