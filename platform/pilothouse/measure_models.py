"""The tables of measures: what is waiting, the roll-ups, and the names that both go by."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.db import Millis, Model, Name

Number = BigInteger().with_variant(Integer, "sqlite")


class MeasureName(Model):
    """A measure, interned: roll-ups name it by number."""

    __tablename__ = "measure_names"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)


class MeasureCut(Model):
    """One way to break measures down: the names of some dimensions, within one scope.

    The scope is what stands before the first dot of a measure's name: measures of one scope share their rows.
    """

    __tablename__ = "measure_cuts"
    __table_args__ = (UniqueConstraint("scope", "names"),)

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    scope: Mapped[str] = mapped_column(Name)
    names: Mapped[str] = mapped_column(Name)  # JSON list, in the order of the measure's declaration


class MeasureSeries(Model):
    """One set of values of a cut's dimensions, interned."""

    __tablename__ = "measure_series"
    __table_args__ = (UniqueConstraint("cut_id", "digest"),)

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    cut_id: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(32))  # of `members`, whose length an index of PostgreSQL cannot take
    members: Mapped[str] = mapped_column(Text)  # JSON list of text or null, in the order of the cut's names


class MeasureDelta(Model):
    """What one transaction added to all measures, not yet in the roll-ups. `at` is when it was written (ms)."""

    __tablename__ = "measure_deltas"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    at: Mapped[int] = mapped_column(Millis)
    body: Mapped[bytes] = mapped_column(LargeBinary)  # MessagePack, a list of `measures.Added`


class MeasureRollup(Model):
    """The sums of one series in one minute, quarter of an hour, hour, day or week (UTC), for every measure of its scope."""

    __tablename__ = "measure_rollups"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - rows lie in the order of the key, as they are read

    cut_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    resolution: Mapped[int] = mapped_column(primary_key=True)  # 0 minute, 1 quarter, 2 hour, 3 day, 4 week
    at: Mapped[int] = mapped_column(Millis, primary_key=True)
    series_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)  # MessagePack, measure's number -> (count, total, sketch)


MODELS = (MeasureName, MeasureCut, MeasureSeries, MeasureDelta, MeasureRollup)
