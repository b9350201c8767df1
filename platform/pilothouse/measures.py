"""Measures: deltas in the transaction of the rows they count, compaction into roll-ups, exact reads at every moment.

A recorder adds to measures through `Deltas`; the sums of one ingest become a few rows of `measure_deltas`, appended in the
same commit. `compact` moves deltas into minute, hour and day roll-ups and deletes them in one transaction, so that a read
of roll-ups plus what is left in deltas is exact, however often a compaction is killed. A negative count takes back what was
added before (an execution that changed its status), so sums always equal a recount of the rows.

Distributions keep a sketch: counts in logarithmic buckets, 2 % wide, so a percentile is within 1 % of the true value and
two sketches merge by addition (the idea of DDSketch, Masson et al., VLDB 2019).

Values are whole numbers of the measure's smallest unit (`Measure.scale` of them make one unit: nano-dollars, microseconds),
so sums of money are exact. Logarithmic buckets do not mind the scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from sqlalchemy import BigInteger, Connection, Integer, Text, UniqueConstraint, bindparam, delete, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse import clock
from pilothouse.db import Bulk, Millis, Model, Name, db

Resolution = Literal["minute", "hour", "day"]
SIZES: Mapping[Resolution, int] = {"minute": clock.MINUTE, "hour": clock.HOUR, "day": clock.DAY}
CODES: Mapping[Resolution, int] = {"minute": 0, "hour": 1, "day": 2}

GAMMA = 1.02  # a bucket is 2 % wide: its middle is within 1 % of every value in it
LOG_GAMMA = math.log(GAMMA)
ZERO = -1  # the bucket of zero; whole values from 1 up have buckets from 0 up
COMPACT_ROWS = 20_000  # deltas a compaction takes in one transaction: about 0.2 s of work


class MeasureSeries(Model):
    """One measure with one set of dimension values, interned: roll-ups name it by number."""

    __tablename__ = "measure_series"
    __table_args__ = (UniqueConstraint("measure", "dimensions"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    measure: Mapped[str] = mapped_column(Name)
    dimensions: Mapped[str] = mapped_column(Text)  # JSON list in the order of the measure's declaration


class MeasureDelta(Model):
    """What one ingest added to one series in one minute; not yet in the roll-ups."""

    __tablename__ = "measure_deltas"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    measure: Mapped[str] = mapped_column(Name)
    dimensions: Mapped[str] = mapped_column(Text)
    at: Mapped[int] = mapped_column(Millis)  # start of the minute
    count: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int] = mapped_column(BigInteger)
    sketch: Mapped[str | None] = mapped_column(Text)  # JSON object: bucket -> count


class MeasureRollup(Model):
    """The sum of all deltas of one series in one minute, hour or day (UTC)."""

    __tablename__ = "measure_rollups"

    series_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    resolution: Mapped[int] = mapped_column(primary_key=True)  # 0 minute, 1 hour, 2 day
    at: Mapped[int] = mapped_column(Millis, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int] = mapped_column(BigInteger)
    sketch: Mapped[str | None] = mapped_column(Text)


def bucket_of(value: int) -> int:
    """Return the sketch's bucket of a value; all values of a bucket lie within 2 %."""
    return ZERO if value <= 0 else math.ceil(math.log(value) / LOG_GAMMA)


def middle_of(bucket: int) -> float:
    """Return the value that stands for a bucket: at most 1 % from every value in it."""
    return 0.0 if bucket == ZERO else 2 * math.exp(bucket * LOG_GAMMA) / (GAMMA + 1)


def percentile(sketch: Mapping[int, int], fraction: float) -> float | None:
    """Return the value below which `fraction` (0 to 1) of the observations lie; None of an empty sketch."""
    size = sum(sketch.values())
    if size <= 0:
        return None
    rank = fraction * (size - 1)
    seen = 0
    for bucket in sorted(sketch):
        seen += sketch[bucket]
        if seen > rank:
            return middle_of(bucket)
    return middle_of(max(sketch))


@dataclass(slots=True)
class Sum:
    """Count, total and sketch of observations; sums add up."""

    count: int = 0
    total: int = 0
    sketch: dict[int, int] = field(default_factory=dict)

    def add(self, count: int, total: int, sketch: Mapping[int, int]) -> None:
        """Add another sum."""
        self.count += count
        self.total += total
        for bucket, number in sketch.items():
            self.sketch[bucket] = self.sketch.get(bucket, 0) + number


_DELTAS = Bulk(MeasureDelta.__table__, ("measure", "dimensions", "at", "count", "total", "sketch"))  # type: ignore[arg-type]


@dataclass(slots=True)
class Deltas:
    """Collects what one transaction adds to measures; `write` appends it. The recorders' `MeasureSink`."""

    _sums: dict[tuple[str, int, tuple[str | None, ...]], Sum] = field(default_factory=dict)

    def add(
        self, measure: str, at: int, dimensions: tuple[str | None, ...], *, count: int = 1, value: int | None = None
    ) -> None:
        """Add `count` observations of `value` at `at` (ms); a negative count takes them back."""
        key = (measure, at - at % clock.MINUTE, dimensions)
        entry = self._sums.get(key)
        if entry is None:
            entry = self._sums[key] = Sum()
        entry.count += count
        if value is not None:
            entry.total += count * value
            bucket = bucket_of(value)
            entry.sketch[bucket] = entry.sketch.get(bucket, 0) + count

    def merge(self, other: Deltas) -> None:
        """Take over what another one collected."""
        for key, entry in other._sums.items():
            self._sums.setdefault(key, Sum()).add(entry.count, entry.total, entry.sketch)

    def write(self, connection: Connection) -> None:
        """Append the collected sums; those that cancelled out leave no row."""
        rows = []
        for (measure, at, dimensions), entry in self._sums.items():
            sketch = {bucket: number for bucket, number in entry.sketch.items() if number}
            if entry.count or entry.total or sketch:
                text = msgspec.json.encode(dimensions).decode()
                rows.append((measure, text, at, entry.count, entry.total, _write_sketch(sketch)))
        _DELTAS.insert(connection, rows)


def compact(_payload: object = None) -> None:
    """Move deltas into the roll-ups: the task `core.compact_measures`, inside its unit of work."""
    connection = db.session().connection()
    table = MeasureDelta.__table__
    rows = connection.execute(select(MeasureDelta.__table__).order_by(table.c.id).limit(COMPACT_ROWS)).all()
    if not rows:
        return
    series = _series_ids(connection, {(row.measure, row.dimensions) for row in rows})
    sums: dict[tuple[int, int, int], Sum] = {}
    for row in rows:
        sketch = _read_sketch(row.sketch)
        for resolution, size in SIZES.items():
            key = (series[row.measure, row.dimensions], CODES[resolution], row.at - row.at % size)
            sums.setdefault(key, Sum()).add(row.count, row.total, sketch)
    _merge_rollups(connection, sums)
    connection.execute(delete(MeasureDelta).where(table.c.id.between(rows[0].id, rows[-1].id)))


def _series_ids(connection: Connection, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    table = MeasureSeries.__table__
    known: dict[tuple[str, str], int] = {}
    for measure in sorted({measure for measure, _ in wanted}):
        texts = [text for name, text in sorted(wanted) if name == measure]
        for start in range(0, len(texts), 500):
            chunk = texts[start : start + 500]
            rows = connection.execute(select(table).where(table.c.measure == measure, table.c.dimensions.in_(chunk)))
            known |= {(row.measure, row.dimensions): row.id for row in rows}
    for measure, text in sorted(wanted - set(known)):
        result = connection.execute(table.insert().values(measure=measure, dimensions=text))  # type: ignore[attr-defined]
        known[measure, text] = result.inserted_primary_key[0]
    return known


def _merge_rollups(connection: Connection, sums: Mapping[tuple[int, int, int], Sum]) -> None:
    table = MeasureRollup.__table__
    fresh, changed = [], []
    for (series, resolution, at), entry in sorted(sums.items()):
        where = (table.c.series_id == series, table.c.resolution == resolution, table.c.at == at)
        row = connection.execute(select(table.c["count", "total", "sketch"]).where(*where)).first()
        if row is not None:
            entry.add(row.count, row.total, _read_sketch(row.sketch))
        values = {"s": series, "r": resolution, "a": at, "count": entry.count, "total": entry.total}
        values["sketch"] = _write_sketch({bucket: number for bucket, number in entry.sketch.items() if number})
        (fresh if row is None else changed).append(values)
    if fresh:
        names = {"s": "series_id", "r": "resolution", "a": "at"}
        connection.execute(table.insert(), [{names.get(k, k): v for k, v in row.items()} for row in fresh])  # type: ignore[attr-defined]
    if changed:
        statement = update(MeasureRollup).where(
            table.c.series_id == bindparam("s"), table.c.resolution == bindparam("r"), table.c.at == bindparam("a")
        )
        connection.execute(statement, changed)


def read(
    measure: str,
    since: int,
    until: int,
    *,
    resolution: Resolution,
    connection: Connection | None = None,
) -> dict[tuple[int, tuple[str | None, ...]], Sum]:
    """Return the sums of a measure by bucket start (ms) and dimension values, for buckets that start in the period.

    Exact at every moment: roll-ups and what no compaction has taken yet, read in one transaction.
    """
    connection = connection or db.session().connection()
    size = SIZES[resolution]
    sums: dict[tuple[int, tuple[str | None, ...]], Sum] = {}
    for at, text, count, total, sketch in _rows(connection, measure, (since, until), resolution):
        key = (at - at % size, msgspec.json.decode(text, type=tuple[str | None, ...]))
        sums.setdefault(key, Sum()).add(count, total, _read_sketch(sketch))
    return sums


def read_totals(measure: str, since: int, until: int) -> dict[tuple[str | None, ...], Sum]:
    """Return the sums of a measure over a whole period by dimension values, exact to the minute at both ends.

    Days in the middle, hours and minutes at the ends: the cost grows with the logarithm of the period, not with the rows.
    """
    totals: dict[tuple[str | None, ...], Sum] = {}
    for resolution, start, end in _pieces(since - since % clock.MINUTE, until):
        for (_, dimensions), entry in read(measure, start, end, resolution=resolution).items():
            totals.setdefault(dimensions, Sum()).add(entry.count, entry.total, entry.sketch)
    return totals


def _pieces(since: int, until: int) -> Iterable[tuple[Resolution, int, int]]:
    """Cut a period into whole days, then whole hours around them, then minutes at the ends."""

    def cut(start: int, end: int, sizes: Sequence[Resolution]) -> Iterable[tuple[Resolution, int, int]]:
        if start >= end:
            return
        size = SIZES[sizes[0]]
        first, last = -(-start // size) * size, end // size * size
        if len(sizes) == 1:
            yield sizes[0], start, end
        elif first >= last:
            yield from cut(start, end, sizes[1:])
        else:
            yield from cut(start, first, sizes[1:])
            yield sizes[0], first, last
            yield from cut(last, end, sizes[1:])

    return cut(since, until, ("day", "hour", "minute"))


def _rows(
    connection: Connection, measure: str, period: tuple[int, int], resolution: Resolution
) -> Iterable[Sequence[Any]]:
    since, until = period
    rollup, series, delta = MeasureRollup.__table__, MeasureSeries.__table__, MeasureDelta.__table__
    since -= since % SIZES[resolution]
    yield from connection.execute(
        select(rollup.c.at, series.c.dimensions, rollup.c.count, rollup.c.total, rollup.c.sketch)
        .join(series, series.c.id == rollup.c.series_id)
        .where(series.c.measure == measure, rollup.c.resolution == CODES[resolution])
        .where(rollup.c.at >= since, rollup.c.at < until)
    )
    yield from connection.execute(
        select(delta.c.at, delta.c.dimensions, delta.c.count, delta.c.total, delta.c.sketch).where(
            delta.c.measure == measure, delta.c.at >= since, delta.c.at < until
        )
    )


def lag() -> int:
    """Return how many deltas wait for compaction."""
    return int(db.session().scalar(select(func.count()).select_from(MeasureDelta)) or 0)


def _write_sketch(sketch: Mapping[int, int]) -> str | None:
    return msgspec.json.encode({str(bucket): number for bucket, number in sketch.items()}).decode() if sketch else None


def _read_sketch(text: str | None) -> dict[int, int]:
    return msgspec.json.decode(text, type=dict[int, int], strict=False) if text else {}
