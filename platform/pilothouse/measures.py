"""Measures: deltas in the transaction of the rows they count, and reads that are exact at every moment.

A recorder adds to measures through `Deltas`; the sums of one transaction become one row of `measure_deltas` in the same
commit. `measure_rollups.compact` moves them into roll-ups and deletes them in one transaction, so that roll-ups plus what is
left is exact, however often a compaction is killed. A negative count takes back what was added before (an execution that
changed its status), so sums always equal a recount of the rows.

Roll-ups by hour, day and week exist for the whole of a measure, for each of its dimensions alone, for the combinations that it
declares as `cuts` and for all dimensions together; by minute and quarter of an hour, which serve the ends of periods, time
zones off the full hour and short charts, for the last only. A read takes the smallest of them that answers it: a trend by
model costs as many rows as it has points, however many records, workflows and users there are.

Values are whole numbers of the measure's smallest unit (`Measure.scale` of them make one unit: nano-dollars, microseconds),
so sums of money are exact. The logarithmic buckets of percentiles do not mind the scale.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from pilothouse import clock
from pilothouse.contract.contributions import Measure
from pilothouse.db import Bulk, db, fetch_all
from pilothouse.errors import Invalid
from pilothouse.measure_models import MeasureDelta
from pilothouse.measure_sums import (
    ADDED,
    COARSEST_FIRST,
    CODES,
    KEPT,
    QUARTER,
    ROLLED,
    SIZES,
    Added,
    Resolution,
    Rolled,
    Sum,
    Values,
    digest_of,
    start_of,
    written,
)
from pilothouse.runtime import runtime
from pilothouse.sketches import Distinct, Histogram, hash_of

FINE = ("minute", "quarter")  # resolutions that are kept for all dimensions together only
_DELTAS = Bulk(MeasureDelta.__table__, ("at", "body"))  # type: ignore[arg-type]


@dataclass(slots=True)
class Deltas:
    """Collects what one transaction adds to measures; `write` appends it. The recorders' `MeasureSink`."""

    _sums: dict[tuple[str, int, Values], Sum] = field(default_factory=dict)

    def add(
        self,
        measure: str,
        at: int,
        dimensions: Values,
        *,
        count: int = 1,
        value: int | None = None,
        total: int | None = None,
    ) -> None:
        """Add `count` observations of `value` at `at` (ms); a negative count takes them back.

        `total` in place of `value` adds a ready sum over the observations, without percentiles.
        """
        entry = self._entry(measure, at, dimensions)
        entry.count += count
        if total is not None:
            entry.total += total
        if value is not None:
            entry.total += count * value
            if entry.sketch is None:
                entry.sketch = Histogram()
            entry.sketch.add(value, count)

    def see(self, measure: str, at: int, dimensions: Values, thing: str) -> None:
        """Note that a thing was seen at `at` (ms): for measures of kind "distinct". It cannot be taken back."""
        entry = self._entry(measure, at, dimensions)
        if entry.things is None:
            entry.things = Distinct()
        entry.things.add(hash_of(thing))

    def merge(self, other: Deltas) -> None:
        """Take over what another one collected, which is not to be used any more."""
        for key, entry in other._sums.items():
            known = self._sums.get(key)
            if known is None:
                self._sums[key] = entry
            else:
                known.merge(entry)

    def write(self, connection: Connection) -> None:
        """Append the collected sums; those that cancelled out leave nothing."""
        added = [Added(*key, *entry.rolled()) for key, entry in self._sums.items() if not entry.empty]
        if added:
            _DELTAS.insert(connection, [(clock.now(), msgspec.msgpack.encode(added))])

    def _entry(self, measure: str, at: int, dimensions: Values) -> Sum:
        key = (measure, at - at % clock.MINUTE, dimensions)
        entry = self._sums.get(key)
        if entry is None:
            entry = self._sums[key] = Sum()
        return entry


def declared(measure: str) -> Measure | None:
    """Return a measure as its plugin declares it; None where no loaded plugin does."""
    return next((found for _, found in runtime().registry.all("measures") if found.name == measure), None)


def scope_of(measure: str) -> str:
    """Return the part of a measure's name by which it shares its rows with others."""
    return measure.partition(".")[0]


def cuts_of(measure: Measure | None) -> list[tuple[str, ...]]:
    """Return the sets of dimensions by which roll-ups of a measure exist, the smallest first.

    A measure that nobody declares any more is summed as a whole only: what its dimensions mean is not known.
    """
    if measure is None:
        return [()]
    more = [tuple(name for name in measure.dimensions if name in cut) for cut in measure.cuts]
    wanted = [(), *((name,) for name in measure.dimensions), *more, measure.dimensions]
    return sorted(dict.fromkeys(wanted), key=len)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a measure: its sums in the buckets between `bounds` (ms, ascending, exact to the minute).

    `by` names the dimensions that the answer is broken down by, all of them if left out; `where` keeps only what has
    these values.
    """

    measure: str
    bounds: Sequence[int]
    by: Sequence[str] | None = None
    where: Mapping[str, str | None] = field(default_factory=dict)


Answer = list[dict[Values, Sum]]


def read(
    measure: str, since: int, until: int, *, resolution: Resolution, connection: Connection | None = None
) -> dict[tuple[int, Values], Sum]:
    """Return the sums of a measure by bucket start (ms) and dimension values, for whole buckets that a period touches."""
    if since >= until:
        return {}
    size = SIZES[resolution]
    bounds = range(start_of(since, resolution), start_of(until - 1, resolution) + size + 1, size)
    answer = read_all([Ask(measure, bounds)], connection=connection)[0]
    return {(at, values): found for at, bucket in zip(bounds, answer, strict=False) for values, found in bucket.items()}


def read_totals(
    measure: str, since: int, until: int, *, by: Sequence[str] | None = None, where: Mapping[str, str | None] | None = None
) -> dict[Values, Sum]:
    """Return the sums of a measure over a whole period by dimension values, exact to the minute at both ends.

    Weeks in the middle, days, hours, quarters and minutes at the ends: the cost does not grow with the rows.
    """
    return read_all([Ask(measure, (since, until), by, where or {})])[0][0]


def read_all(asks: Sequence[Ask], *, connection: Connection | None = None) -> list[Answer]:
    """Answer several asks with two statements: for each, one dict of sums by dimension values a bucket.

    Exact at every moment: roll-ups and what waits for compaction come from one snapshot. Minutes are kept 14 days,
    quarters of an hour 100, hours 400 (`KEPT`): older bounds move to the start of what is kept. Raises Invalid for a
    dimension that the measure does not have.
    """
    connection = connection or db.session().connection()
    readers = [_Reader(ask) for ask in asks]
    groups: dict[_Group, list[_Reader]] = {}
    for reader in readers:
        for cut, fine in ((reader.cut, False), (reader.dimensions, True)):
            groups.setdefault((reader.scope, cut, reader.bounds, fine, reader.only(cut)), []).append(reader)
    rolled, waiting = _rows(connection, _pieces(groups))
    names, members = _labels(connection, {row[2] for row in rolled})
    takers = [[_Taker(reader, names, fine=key[3]) for reader in group] for key, group in groups.items()]
    for number, at, series, body in rolled:
        sums = ROLLED.decode(body)
        for taker in takers[number]:
            if taker.name in sums:
                taker.take(at, series, members, sums[taker.name])
    for added in waiting:
        for reader in readers:
            if reader.measure == added.measure:
                reader.take_waiting(added)
    return [reader.answer for reader in readers]


# Scope, cut, bounds, whether it is about minutes and quarters, the digest of the only series that is asked for.
_Group = tuple[str, tuple[str, ...], tuple[int, ...], bool, str | None]


def _pieces(groups: Iterable[_Group]) -> list[tuple[int, str, str, int, int, int, str | None]]:
    """Return what to read: number of the group, scope and names of the cut, resolution, from, until, the only series."""
    return [
        (number, scope, write_names(cut), CODES[resolution], start, end, only)
        for number, (scope, cut, bounds, fine, only) in enumerate(groups)
        for resolution, start, end in pieces_of(bounds)
        if (resolution in FINE) == fine
    ]


class _Reader:
    """One ask on its way to its answer."""

    def __init__(self, ask: Ask) -> None:
        measure = declared(ask.measure)
        self.dimensions = measure.dimensions if measure is not None else ()
        by = self.dimensions if ask.by is None else tuple(ask.by)
        needed = {*by, *ask.where}
        if not needed <= set(self.dimensions):
            raise Invalid.field("by", f"{ask.measure} has the dimensions {', '.join(self.dimensions) or 'none'}")
        self._where = ask.where
        self.measure = ask.measure
        self.scope = scope_of(ask.measure)
        self.cut = next(cut for cut in cuts_of(measure) if needed <= set(cut))
        self.bounds = tuple(_floored(ask.bounds))
        self.answer: Answer = [{} for _ in self.bounds[1:]]
        self.coarse = _Picks(self.cut, by, ask.where)
        self.fine = _Picks(self.dimensions, by, ask.where)

    def only(self, cut: Sequence[str]) -> str | None:
        """Return the digest of the one series of a cut that is asked for, where each of its dimensions has a value.

        The database then picks its rows: those of one person among thousands need not be read to be passed over.
        """
        if not cut or not set(cut) <= self._where.keys():
            return None
        return digest_of(written(tuple(self._where[name] for name in cut)))

    def take_waiting(self, added: Added) -> None:
        """Add what no compaction has taken yet; dimensions that are not as declared count for the whole only."""
        if not self.bounds[0] <= added.at < self.bounds[-1]:
            return
        values: Values | None = ()
        if len(added.dimensions) == len(self.dimensions):
            values = self.fine.of(added.dimensions)
        elif self.cut:
            values = None
        if values is not None:
            self.bucket(added.at).setdefault(values, Sum()).add_rolled(added)

    def bucket(self, at: int) -> dict[Values, Sum]:
        """Return the bucket in which a moment lies."""
        return self.answer[bisect_right(self.bounds, at) - 1]


class _Taker:
    """Adds roll-ups of one cut to an answer. Rows come by the thousand: what repeats is looked up once."""

    def __init__(self, reader: _Reader, names: Mapping[str, int], *, fine: bool) -> None:
        self.name = names.get(reader.measure, 0)
        self._reader = reader
        self._picks = reader.fine if fine else reader.coarse
        self._values: dict[int, Values | None] = {}
        self._at = -1
        self._bucket: dict[Values, Sum] = {}

    def take(self, at: int, series: int, members: Mapping[int, Values], rolled: Rolled) -> None:
        """Add one roll-up."""
        if series in self._values:
            values = self._values[series]
        else:
            values = self._values[series] = self._picks.of(members[series])
        if values is None:
            return
        if at != self._at:
            self._at, self._bucket = at, self._reader.bucket(at)
        entry = self._bucket.get(values)
        if entry is None:
            entry = self._bucket[values] = Sum()
        entry.add_rolled(rolled)


class _Picks:
    """Takes the wanted dimensions out of a cut's values."""

    def __init__(self, cut: Sequence[str], by: Sequence[str], where: Mapping[str, str | None]) -> None:
        self._places = tuple(cut.index(name) for name in by)
        self._wanted = tuple((cut.index(name), value) for name, value in where.items())

    def of(self, values: Values) -> Values | None:
        """Return the values that the answer is broken down by; None where they are not what was asked for."""
        for place, value in self._wanted:
            if values[place] != value:
                return None
        return tuple([values[place] for place in self._places])


def write_names(cut: Sequence[str]) -> str:
    """Write the names of a cut as `measure_cuts` holds them."""
    return msgspec.json.encode(cut).decode()


def horizon(resolution: Resolution) -> int:
    """Return from when on (ms) roll-ups of a resolution are kept."""
    if resolution not in KEPT:
        return 0
    now = clock.now()
    return now - now % clock.DAY - KEPT[resolution]


def _floored(bounds: Sequence[int]) -> list[int]:
    """Move each bound down to where roll-ups of its age begin; the minute that still runs counts whole.

    So does the last bucket of an old period: what happened within one day of long ago is not lost between two bounds.
    """
    minutes, quarters, hours = horizon("minute"), horizon("quarter"), horizon("hour")
    sizes = ((minutes, clock.MINUTE), (quarters, QUARTER), (hours, clock.HOUR), (-(1 << 62), clock.DAY))
    steps = [next(size for since, size in sizes if at >= since) for at in bounds]
    floored = [at - at % size for at, size in zip(bounds, steps, strict=True)]
    if bounds[-1] > floored[-1] and (steps[-1] > clock.MINUTE or bounds[-1] > clock.now() - clock.MINUTE):
        floored[-1] += steps[-1]
    return floored


def pieces_of(bounds: Sequence[int]) -> list[tuple[Resolution, int, int]]:
    """Cut the buckets between bounds into whole weeks, days, hours, quarters and minutes; neighbours are joined."""
    pieces: list[tuple[Resolution, int, int]] = []
    for start, end in pairwise(bounds):
        for piece in _cut(start, end, COARSEST_FIRST):
            if pieces and pieces[-1][0] == piece[0] and pieces[-1][2] == piece[1]:
                pieces[-1] = (piece[0], pieces[-1][1], piece[2])
            else:
                pieces.append(piece)
    return pieces


def _cut(start: int, end: int, sizes: Sequence[Resolution]) -> Iterator[tuple[Resolution, int, int]]:
    if start >= end:
        return
    size = SIZES[sizes[0]]
    first, last = start_of(start + size - 1, sizes[0]), start_of(end, sizes[0])
    if len(sizes) == 1:
        yield sizes[0], start, end
    elif first >= last:
        yield from _cut(start, end, sizes[1:])
    else:
        yield from _cut(start, first, sizes[1:])
        yield sizes[0], first, last
        yield from _cut(last, end, sizes[1:])


_PIECES_SQLITE = """
SELECT p.value ->> 0, r.at, r.series_id, r.body FROM json_each(?) p
CROSS JOIN measure_cuts c ON c.scope = p.value ->> 1 AND c.names = p.value ->> 2
LEFT JOIN measure_series s ON s.cut_id = c.id AND s.digest = p.value ->> 6
CROSS JOIN measure_rollups r ON r.cut_id = c.id AND r.resolution = p.value ->> 3
  AND r.at >= p.value ->> 4 AND r.at < p.value ->> 5 AND (p.value ->> 6 IS NULL OR r.series_id = s.id)
UNION ALL SELECT -1, 0, 0, body FROM measure_deltas"""
_PIECES_POSTGRESQL = """
SELECT p.number, r.at, r.series_id, r.body
FROM unnest(%s::int[], %s::text[], %s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::text[])
  AS p(number, scope, names, resolution, since, until, digest)
JOIN measure_cuts c ON c.scope = p.scope AND c.names = p.names
LEFT JOIN measure_series s ON s.cut_id = c.id AND s.digest = p.digest
CROSS JOIN LATERAL (SELECT at, series_id, body FROM measure_rollups
  WHERE cut_id = c.id AND resolution = p.resolution AND at >= p.since AND at < p.until
    AND (p.digest IS NULL OR series_id = s.id) OFFSET 0) r
UNION ALL SELECT -1, 0, 0, body FROM measure_deltas"""


def _rows(connection: Connection, pieces: Sequence[tuple[Any, ...]]) -> tuple[list[Any], list[Added]]:
    """Return (number of the group, at, series, body) of the roll-ups in the pieces, and what waits, in one snapshot."""
    if connection.dialect.name == "sqlite":
        rows = fetch_all(connection, _PIECES_SQLITE, (msgspec.json.encode(pieces).decode(),))
    else:
        columns = tuple(list(column) for column in zip(*pieces, strict=True)) or ([],) * 7
        rows = fetch_all(connection, _PIECES_POSTGRESQL, columns)
    waiting = [added for row in rows if row[0] < 0 for added in ADDED.decode(row[3])]
    return [row for row in rows if row[0] >= 0], waiting


_LABELS_SQLITE = """
SELECT 0, id, name FROM measure_names
UNION ALL SELECT 1, id, members FROM measure_series WHERE id IN (SELECT value FROM json_each(?))"""
_LABELS_POSTGRESQL = """
SELECT 0, id, name FROM measure_names
UNION ALL SELECT 1, id, members FROM measure_series WHERE id = ANY(%s::bigint[])"""


def _labels(connection: Connection, series: set[int]) -> tuple[dict[str, int], dict[int, Values]]:
    """Return the numbers of measures by name, and the dimension values of series; both only ever grow."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(_LABELS_SQLITE, (msgspec.json.encode(sorted(series)).decode(),))
    else:
        rows = connection.exec_driver_sql(_LABELS_POSTGRESQL, (sorted(series),))
    names: dict[str, int] = {}
    members: dict[int, Values] = {}
    for kind, key, text in rows:
        if kind == 0:
            names[text] = key
        else:
            members[key] = msgspec.json.decode(text, type=Values)
    return names, members


def lag() -> int:
    """Return how many transactions' deltas wait for compaction."""
    return int(db.session().scalar(select(func.count()).select_from(MeasureDelta)) or 0)
