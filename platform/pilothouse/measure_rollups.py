"""Compaction: deltas become roll-ups, in small transactions that are each exact; and roll-ups that are too fine go by age.

Deltas are read, summed and merged with the roll-ups that they touch without a lock, since nothing else writes roll-ups; then
one short transaction checks that the deltas are all still there, writes the roll-ups and deletes the deltas: recorders wait for
that alone. A killed compaction leaves everything as it was, but for names that it interned. All of it is a few statements for
thousands of rows: keys travel as one JSON parameter, rows are upserted in the order of their key.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, func, select, text

from pilothouse import clock
from pilothouse.db import Bulk, db, unit_of_work
from pilothouse.measure_models import MeasureCut, MeasureDelta, MeasureName, MeasureRollup, MeasureSeries
from pilothouse.measure_sums import (
    ADDED,
    CODES,
    KEPT,
    OTHER,
    QUARTER,
    ROLLED,
    Added,
    Resolution,
    Rolled,
    Sum,
    Values,
    digest_of,
    start_of,
    written,
)
from pilothouse.measures import cuts_of, declared, horizon, scope_of, write_names

STEP_ENTRIES = 10_000  # sums that a transaction takes: it holds the writers' lock for a few hundredths of a second
STEP_DELTAS = 1_000  # and rows that it reads to find them
LIMIT_S = 20  # how long a run goes on while more keeps coming; the next one is due in 5 s
MOST_SERIES = 5_000  # of a cut in a day; the rest counts as OTHER, so that one runaway label cannot fill the disk
PURGE_SPAN = 6 * clock.HOUR  # of roll-ups that one transaction deletes
COMPACTOR = 0x636F6D70616374  # the advisory lock of PostgreSQL; SQLite has one writer anyway

NAMES: Table = MeasureName.__table__
CUTS: Table = MeasureCut.__table__
SERIES: Table = MeasureSeries.__table__
DELTAS: Table = MeasureDelta.__table__
ROLLUPS: Table = MeasureRollup.__table__

Cut = tuple[str, str]  # scope, names as `measure_cuts` holds them
Rows = dict[tuple[int, Values], dict[str, "_Cell"]]  # by start (ms) and dimension values: sums by measure
Key = tuple[int, int, int, int]  # cut, resolution, start (ms), series
_LARGEST = 1 << 63  # what MessagePack writes as a number
_ENCODER = msgspec.msgpack.Encoder()
_NEW_NAMES = Bulk(NAMES, ("name",), ignore_conflicts=True)
_NEW_CUTS = Bulk(CUTS, ("scope", "names"), ignore_conflicts=True)
_NEW_SERIES = Bulk(SERIES, ("cut_id", "digest", "members"), ignore_conflicts=True)


def compact(_payload: object = None) -> None:
    """Move all deltas into the roll-ups: the task `core.compact_measures`, outside of a unit of work."""
    end = time.monotonic() + LIMIT_S
    while compact_step() and time.monotonic() < end:
        pass


def compact_step() -> int:
    """Move the oldest deltas, at most `STEP_ENTRIES` sums of them, in one transaction; returns how many deltas."""
    with _alone() as alone:
        ids, added = _oldest() if alone else ([], [])
        if not ids:
            return 0
        cuts = _summed(added)
        with db.engine.connect() as reading:  # not the session's: its transaction may be a writer's
            rows = _merged(reading, cuts)
        with unit_of_work() as session:
            connection = session.connection()
            if _still_there(connection, ids) != len(ids):
                return 0
            connection.exec_driver_sql(_UPSERT.format("?" if connection.dialect.name == "sqlite" else "%s"), rows)
            connection.execute(delete(DELTAS).where(DELTAS.c.id.in_(ids)))
    return len(ids)


@contextmanager
def _alone() -> Iterator[bool]:
    """Say whether no other compaction runs, and let none begin before the block ends.

    On SQLite another one may run: both take the oldest deltas, and who comes second finds them gone.
    """
    if db.engine.dialect.name == "sqlite":
        yield True
        return
    with db.engine.connect() as connection:
        yield bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": COMPACTOR}))


def _oldest() -> tuple[list[int], list[Added]]:
    ids: list[int] = []
    added: list[Added] = []
    with db.engine.connect() as connection:
        rows = connection.execute(select(DELTAS.c.id, DELTAS.c.body).order_by(DELTAS.c.id).limit(STEP_DELTAS)).all()
    for key, body in rows:
        ids.append(key)
        added += ADDED.decode(body)
        if len(added) >= STEP_ENTRIES:
            break
    return ids, added


def _still_there(connection: Connection, ids: Sequence[int]) -> int:
    return int(connection.scalar(select(func.count()).select_from(DELTAS).where(DELTAS.c.id.in_(ids))) or 0)


class _Cell:
    """The sum of one measure in one row. Until a second one is merged into it, it is another row's: most are never copied."""

    __slots__ = ("found", "own")

    def __init__(self, found: Sum) -> None:
        self.found, self.own = found, False

    def merge(self, found: Sum) -> None:
        if not self.own:
            self.found, self.own = self.found.copy(), True
        self.found.merge(found)


@dataclass(slots=True)
class _CutSums:
    """What a compaction adds to one cut: by hour, and by quarter and minute what has just its dimensions."""

    hours: Rows = field(default_factory=dict)
    quarters: Rows = field(default_factory=dict)
    minutes: Rows = field(default_factory=dict)


_Flat = dict[tuple[str, int, Values], Sum]  # by measure, start (ms) and values of all dimensions


def _summed(added: Iterable[Added]) -> dict[Cut, _CutSums]:
    """Sum what was added, for every cut that has roll-ups."""
    minutes: _Flat = defaultdict(Sum)
    for entry in added:
        minutes[entry.measure, entry.at, entry.dimensions].add_rolled(entry)
    quarters = _coarser(minutes, QUARTER)
    hours = _coarser(quarters, clock.HOUR)
    plans = {(measure, len(values)): _plan(measure, len(values)) for measure, _, values in hours}
    cuts: dict[Cut, _CutSums] = defaultdict(_CutSums)
    for (measure, at, values), found in hours.items():
        for cut, places in plans[measure, len(values)]:
            _add(cuts[cut].hours, (at, _picked(values, places)), measure, found)
    for flat, name in ((minutes, "minutes"), (quarters, "quarters")):
        for (measure, at, values), found in flat.items():
            whole, places = plans[measure, len(values)][-1]
            _add(getattr(cuts[whole], name), (at, _picked(values, places)), measure, found)
    return cuts


def _coarser(finer: _Flat, size: int) -> _Flat:
    cells: dict[tuple[str, int, Values], _Cell] = {}
    for (measure, at, values), found in finer.items():
        key = (measure, at - at % size, values)
        if key in cells:
            cells[key].merge(found)
        else:
            cells[key] = _Cell(found)
    return {key: cell.found for key, cell in cells.items()}


def _picked(values: Values, places: Sequence[int]) -> Values:
    return tuple([values[place] for place in places])


def _add(rows: Rows, key: tuple[int, Values], measure: str, found: Sum) -> None:
    row = rows.get(key)
    if row is None:
        rows[key] = {measure: _Cell(found)}
    elif measure in row:
        row[measure].merge(found)
    else:
        row[measure] = _Cell(found)


def _plan(measure: str, size: int) -> list[tuple[Cut, tuple[int, ...]]]:
    """Return the cuts of a measure with the places of their dimensions, the one with all of them last.

    Only the whole, where the dimensions are not as declared.
    """
    known = declared(measure)
    if known is None or len(known.dimensions) != size:
        return [((scope_of(measure), write_names(())), ())]
    scope = scope_of(measure)
    return [((scope, write_names(cut)), tuple(known.dimensions.index(name) for name in cut)) for cut in cuts_of(known)]


def _merged(connection: Connection, cuts: Mapping[Cut, _CutSums]) -> list[tuple[Any, ...]]:
    """Return the roll-ups that sums touch as they are to be written."""
    names = _intern_names(connection, {measure for sums in cuts.values() for row in sums.hours.values() for measure in row})
    numbers = _intern_cuts(connection, cuts)
    numbered = {numbers[cut]: sums for cut, sums in sorted(cuts.items())}
    for cut_id, sums in numbered.items():
        _bound(connection, cut_id, sums)
    series = _intern_series(connection, {key: {values for _, values in sums.hours} for key, sums in numbered.items()})
    rolled: dict[Key, dict[str, _Cell]] = {}
    for cut_id, sums in numbered.items():
        for resolution, rows in _levels(sums):
            code, since = CODES[resolution], horizon(resolution)
            for (at, values), row in rows.items():
                if at >= since:
                    rolled[cut_id, code, at, series[cut_id, values]] = row
    return _rows(connection, rolled, names)


def _levels(sums: _CutSums) -> Iterable[tuple[Resolution, Rows]]:
    """Yield the sums by minute, quarter, hour, day and week."""
    yield "minute", sums.minutes
    yield "quarter", sums.quarters
    yield "hour", sums.hours
    finer = sums.hours
    for resolution in ("day", "week"):
        coarser: Rows = {}
        for (at, values), row in finer.items():
            key = (start_of(at, resolution), values)
            for measure, cell in row.items():
                _add(coarser, key, measure, cell.found)
        yield resolution, coarser
        finer = coarser


def _bound(connection: Connection, cut_id: int, sums: _CutSums) -> None:
    """Put what is beyond `MOST_SERIES` a day into the series OTHER; who was there first on a day stays."""
    fresh = {values for _, values in sums.hours}
    known = connection.scalar(select(func.count()).select_from(SERIES).where(SERIES.c.cut_id == cut_id)) or 0
    if known + len(fresh) <= MOST_SERIES:
        return
    days: dict[int, set[Values]] = {}
    for at, values in sums.hours:
        days.setdefault(at - at % clock.DAY, set()).add(values)
    out = {(day, values) for day, wanted in days.items() for values in _beyond(connection, cut_id, day, wanted)}
    sums.hours, sums.quarters, sums.minutes = (_moved(rows, out) for rows in (sums.hours, sums.quarters, sums.minutes))


def _moved(rows: Rows, out: set[tuple[int, Values]]) -> Rows:
    bounded: Rows = {}
    for (at, values), row in rows.items():
        kept = tuple(OTHER for _ in values) if (at - at % clock.DAY, values) in out else values
        for measure, cell in row.items():
            _add(bounded, (at, kept), measure, cell.found)
    return bounded


def _beyond(connection: Connection, cut_id: int, day: int, wanted: set[Values]) -> list[Values]:
    there = select(SERIES.c.members).join(ROLLUPS, ROLLUPS.c.series_id == SERIES.c.id)
    where = (ROLLUPS.c.cut_id == cut_id, ROLLUPS.c.resolution == CODES["day"], ROLLUPS.c.at == day)
    known = {msgspec.json.decode(members, type=Values) for members in connection.scalars(there.where(*where))}
    room = max(0, MOST_SERIES - len(known))
    fresh = sorted(wanted - known, key=lambda values: [value or "" for value in values])
    return [values for values in fresh[room:] if any(value != OTHER for value in values)]


def _intern_names(connection: Connection, wanted: set[str]) -> dict[str, int]:
    known = _known_names(connection)
    missing = sorted(wanted - known.keys())
    if missing:
        with unit_of_work() as session:
            _NEW_NAMES.insert(session.connection(), [(name,) for name in missing])
            known = _known_names(session.connection())
    return known


def _known_names(connection: Connection) -> dict[str, int]:
    return {name: key for key, name in connection.execute(select(NAMES.c.id, NAMES.c.name))}


def _intern_cuts(connection: Connection, wanted: Iterable[Cut]) -> dict[Cut, int]:
    known = _known_cuts(connection)
    missing = sorted(set(wanted) - known.keys())
    if missing:
        with unit_of_work() as session:
            _NEW_CUTS.insert(session.connection(), missing)
            known = _known_cuts(session.connection())
    return known


def _known_cuts(connection: Connection) -> dict[Cut, int]:
    return {(scope, names): key for key, scope, names in connection.execute(select(CUTS.c.id, CUTS.c.scope, CUTS.c.names))}


def _intern_series(connection: Connection, wanted: Mapping[int, set[Values]]) -> dict[tuple[int, Values], int]:
    """Return the numbers of series by cut and values; those that are new are written in one transaction."""
    known: dict[tuple[int, Values], int] = {}
    missing: dict[int, dict[str, Values]] = {}
    for cut_id, found in wanted.items():
        digests = {digest_of(written(values)): values for values in found}
        ids = _series_ids(connection, cut_id, list(digests))
        known |= {(cut_id, digests[digest]): key for digest, key in ids.items()}
        missing[cut_id] = {digest: values for digest, values in digests.items() if digest not in ids}
    rows = [(key, digest, written(values)) for key, ours in missing.items() for digest, values in sorted(ours.items())]
    if rows:
        with unit_of_work() as session:
            _NEW_SERIES.insert(session.connection(), rows)
            for cut_id, digests in missing.items():
                ids = _series_ids(session.connection(), cut_id, list(digests)) if digests else {}
                known |= {(cut_id, digests[digest]): key for digest, key in ids.items()}
    return known


def _series_ids(connection: Connection, cut_id: int, digests: list[str]) -> dict[str, int]:
    if connection.dialect.name == "sqlite":
        statement = "SELECT digest, id FROM measure_series WHERE cut_id = ? AND digest IN (SELECT value FROM json_each(?))"
        rows = connection.exec_driver_sql(statement, (cut_id, msgspec.json.encode(digests).decode()))
    else:
        statement = "SELECT digest, id FROM measure_series WHERE cut_id = %s AND digest = ANY(%s::text[])"
        rows = connection.exec_driver_sql(statement, (cut_id, digests))
    return {row[0]: row[1] for row in rows}


_TOUCHED_SQLITE = """
SELECT r.cut_id, r.resolution, r.at, r.series_id, r.body FROM json_each(?) k CROSS JOIN measure_rollups r
ON r.cut_id = k.value ->> 0 AND r.resolution = k.value ->> 1 AND r.at = k.value ->> 2 AND r.series_id = k.value ->> 3"""
_TOUCHED_POSTGRESQL = """
SELECT r.cut_id, r.resolution, r.at, r.series_id, r.body
FROM unnest(%s::bigint[], %s::int[], %s::bigint[], %s::bigint[]) AS k(cut_id, resolution, at, series_id)
JOIN measure_rollups r USING (cut_id, resolution, at, series_id)"""
_UPSERT = """
INSERT INTO measure_rollups (cut_id, resolution, at, series_id, body) VALUES ({0}, {0}, {0}, {0}, {0})
ON CONFLICT (cut_id, resolution, at, series_id) DO UPDATE SET body = excluded.body"""


def _rows(connection: Connection, rolled: Mapping[Key, Mapping[str, _Cell]], names: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """Merge sums with the roll-ups that are there, and return the rows of all in the order of their keys."""
    keys = sorted(rolled)
    there = _touched(connection, keys)
    written: dict[int, Rolled] = {}  # by the sum's identity: many rows hold the same one
    rows = []
    for key in keys:
        known = there.get(key)
        body = ROLLED.decode(known) if known is not None else {}
        for measure, cell in rolled[key].items():
            added = written.get(id(cell.found))
            if added is None:
                added = written[id(cell.found)] = cell.found.rolled()
            name = names[measure]
            body[name] = _joined(body[name], added) if name in body else added
        rows.append((*key, _ENCODER.encode(body)))
    return rows


def _touched(connection: Connection, keys: Sequence[Key]) -> dict[Key, bytes]:
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql(_TOUCHED_SQLITE, (msgspec.json.encode(keys).decode(),))
    else:
        found = connection.exec_driver_sql(_TOUCHED_POSTGRESQL, tuple(list(column) for column in zip(*keys, strict=True)))
    return {(cut_id, code, at, series): body for cut_id, code, at, series, body in found.all()}


def _joined(first: Rolled, second: Rolled) -> Rolled:
    """Add two written sums."""
    count, total, sketch = first
    if sketch is None and second[2] is None and isinstance(total, int) and isinstance(second[1], int):
        total += second[1]
        if -_LARGEST <= total < _LARGEST:
            return count + second[0], total, None
    both = Sum()
    both.add_rolled(first)
    both.add_rolled(second)
    return both.rolled()


def purge(_payload: object = None) -> None:
    """Delete minutes, quarters and hours that are older than `KEPT`: the task `core.purge_measures`."""
    for resolution in KEPT:
        while purge_step(resolution):
            pass


def purge_step(resolution: Resolution) -> bool:
    """Delete the oldest roll-ups of a resolution, a few hours of one cut, in one transaction; says whether any was there."""
    before = horizon(resolution) - clock.DAY  # a read that began yesterday still finds what it was promised
    code = CODES[resolution]
    with unit_of_work() as session:
        for cut_id in session.scalars(select(CUTS.c.id)).all():
            mine = (ROLLUPS.c.cut_id == cut_id, ROLLUPS.c.resolution == code)
            oldest = session.scalar(select(func.min(ROLLUPS.c.at)).where(*mine))
            if oldest is not None and oldest < before:
                session.execute(delete(ROLLUPS).where(*mine, ROLLUPS.c.at < min(oldest + PURGE_SPAN, before)))
                return True
    return False
