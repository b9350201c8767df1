"""Reading measures: sums in buckets of time, exact at every moment, from the smallest roll-ups that answer.

A trend by model costs as many rows as it has points, however many records, workflows and users there are. What is asked for
one value is found by the key of its roll-ups; of thousands of values the largest are told apart and the rest is one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any

import msgspec
from sqlalchemy import Connection

from pilothouse import clock
from pilothouse.contract.recording import Measure
from pilothouse.db import db, fetch_all
from pilothouse.errors import Invalid
from pilothouse.measure_pieces import Part, pieces_about, pieces_of
from pilothouse.measure_sums import (
    ADDED,
    CODES,
    OTHER,
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
from pilothouse.measures import cuts_of, declared, horizon, scope_of, write_names

APART = (None, OTHER)  # values that are never among the largest: what is not given, and what was folded before


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a measure: its sums in the buckets between `bounds` (ms, ascending, exact to the minute).

    `by` names the dimensions that the answer is broken down by, all of them if left out; `where` keeps only what has
    these values. With `top`, only the largest values of the one dimension in `by` are told apart, and the rest is summed as
    OTHER; what has no value stays apart. The largest have the greatest totals of the measures in `rank`, which are of the
    same scope and are compared in their order (the measure itself if left out), in the last bucket and then in all of them.

    With `joined` another period begins where this one ends, and what lies across that bound is always that one's.
    """

    measure: str
    bounds: Sequence[int]
    by: Sequence[str] | None = None
    where: Mapping[str, str | None] = field(default_factory=dict)
    top: int | None = None
    rank: Sequence[str] = ()
    joined: bool = False


Answer = list[dict[Values, Sum]]


def read(
    measure: str,
    since: int,
    until: int,
    *,
    resolution: Resolution,
    by: Sequence[str] | None = None,
    where: Mapping[str, str | None] | None = None,
) -> dict[tuple[int, Values], Sum]:
    """Return the sums of a measure by bucket start (ms) and dimension values, for whole buckets that a period touches."""
    if since >= until:
        return {}
    size = SIZES[resolution]
    bounds = range(start_of(since, resolution), start_of(until - 1, resolution) + size + 1, size)
    answer = read_all([Ask(measure, bounds, by, where or {})])[0]
    return {(at, values): found for at, bucket in zip(bounds, answer, strict=False) for values, found in bucket.items()}


def read_totals(
    measure: str, since: int, until: int, *, by: Sequence[str] | None = None, where: Mapping[str, str | None] | None = None
) -> dict[Values, Sum]:
    """Return the sums of a measure over a whole period by dimension values, exact to the minute at both ends.

    Weeks in the middle, days, hours, quarters and minutes at the ends: the cost does not grow with the rows.
    """
    return read_all([Ask(measure, (since, until), by, where or {})])[0][0]


def read_all(asks: Sequence[Ask]) -> list[Answer]:
    """Answer several asks with two statements: for each, one dict of sums by dimension values a bucket.

    Exact at every moment: roll-ups and what waits for compaction come from one snapshot. Minutes are kept 14 days,
    quarters of an hour 100, hours 400 (`KEPT`): older bounds move to the start of what is kept. Raises Invalid for a
    dimension that the measure does not have.
    """
    connection = db.session().connection()
    readers: dict[_Likeness, _Reader] = {}
    mine = [_reader_of(ask, readers) for ask in asks]
    groups: dict[_Group, list[_Pile]] = {}
    for reader in readers.values():
        for pile in reader.piles:
            groups.setdefault((reader.scope, pile.cut, reader.bounds, reader.over, pile.part, pile.only), []).append(pile)
    rolled, waiting = _rows(connection, _pieces(groups))
    numbers, members = _labels(connection, {row[2] for row in rolled})
    for reader in readers.values():
        reader.number(numbers)
    for piles, rows in zip(groups.values(), _by_group(rolled, len(groups)), strict=True):
        for pile in piles:
            pile.take(rows)
    for reader in readers.values():
        reader.finish(members, waiting)
    return [reader.answers[ask.measure] for reader, ask in zip(mine, asks, strict=True)]


def _reader_of(ask: Ask, readers: dict[_Likeness, _Reader]) -> _Reader:
    """Return what reads an ask together with those that differ in the measure only: their sums lie in the same rows."""
    measure = declared(ask.measure)
    dimensions = measure.dimensions if measure is not None else ()
    by = dimensions if ask.by is None else tuple(ask.by)
    needed = {*by, *ask.where}
    if not needed <= set(dimensions):
        raise Invalid.field("by", f"{ask.measure} has the dimensions {', '.join(dimensions) or 'none'}")
    cut = next(cut for cut in cuts_of(measure) if needed <= set(cut))
    rank = tuple(ask.rank) or (ask.measure,) if ask.top is not None else ()
    over = len(ask.bounds) == 2 and all(map(_can_be_taken_back, (ask.measure, *rank)))  # noqa: PLR2004 - one bucket
    key = (scope_of(ask.measure), dimensions, cut, tuple(ask.bounds), over, by, tuple(ask.where.items()), ask.top, rank)
    reader = readers.get(key)
    if reader is None:
        reader = readers[key] = _Reader(ask, measure, cut, by, rank, over=over)
    reader.answers.setdefault(ask.measure, [{} for _ in reader.bounds[1:]])
    return reader


def _can_be_taken_back(name: str) -> bool:
    """Say whether sums of a measure can be subtracted: not those of different things, which may be in both."""
    measure = declared(name)
    return measure is not None and measure.kind != "distinct"


# Scope, dimensions, cut, bounds, whether more may be read and taken back, by, where, top, rank.
_Likeness = tuple[
    str, tuple[str, ...], tuple[str, ...], tuple[int, ...], bool, tuple[str, ...], tuple[tuple[str, str | None], ...],
    int | None, tuple[str, ...],
]  # fmt: skip
# Scope, cut, bounds, whether more may be read and taken back, part, the digest of the only series that is asked for.
_Group = tuple[str, tuple[str, ...], tuple[int, ...], bool, Part, str | None]
_Piece = tuple[int, str, str, int, int, int, str | None, int]
_Row = tuple[int, int, int, bytes]  # number of the group, start (ms), series, written sums
_Cell = dict[int, "Rolled | Sum"]  # by the measure's number
_Bucket = dict[str, _Cell]  # by the values of `by`, as `measure_series` writes them


def _pieces(groups: Iterable[_Group]) -> list[_Piece]:
    """Return what to read: number of the group, scope, names of the cut, resolution, from, until, the only series, step."""
    now = clock.now()
    return [
        (number, scope, write_names(cut), CODES[resolution], start, end, only, SIZES[resolution])
        for number, (scope, cut, bounds, over, part, only) in enumerate(groups)
        for found, resolution, start, end in (pieces_about(bounds[0], bounds[1], now) if over else pieces_of(bounds))
        if found == part
    ]


def _by_group(rolled: Iterable[_Row], count: int) -> list[list[_Row]]:
    found: list[list[_Row]] = [[] for _ in range(count)]
    for row in rolled:
        found[row[0]].append(row)
    return found


class _Pile:
    """Roll-ups of one cut on their way to an answer, summed by bucket and series. They come by the thousand."""

    def __init__(self, reader: _Reader, cut: tuple[str, ...], part: Part) -> None:
        self.cut, self.part = cut, part
        self.only = reader.only(cut)
        self.picks = _Picks(cut, reader.by, reader.where)
        self.buckets: list[dict[int, _Cell]] = [{} for _ in reader.bounds[1:]]
        self._reader = reader

    def take(self, rows: Iterable[_Row]) -> None:
        """Add roll-ups, decoded one by one: many small things at a time are a collector's work."""
        bounds, wanted, decode = self._reader.bounds, self._reader.numbers.keys(), ROLLED.decode
        last, cells = -1, self.buckets[0]
        for _, at, series, body in rows:
            if at != last:
                last, cells = at, self.buckets[bisect_right(bounds, at, 1, len(bounds) - 1) - 1]  # a bucket may have too much
            sums: _Cell = decode(body)  # type: ignore[assignment]  # sums that are written are such
            cell = cells.get(series)
            if cell is None:
                cells[series] = sums if sums.keys() <= wanted else {n: sums[n] for n in sums if n in wanted}
                continue
            for number, rolled in sums.items():
                if number in wanted:
                    known = cell.get(number)
                    cell[number] = rolled if known is None else _added(known, rolled)

    def into(self, buckets: Sequence[_Bucket], members: Mapping[int, str]) -> None:
        """Add what was summed to buckets by what is asked for."""
        keys: dict[int, str | None] = {}
        for mine, bucket in zip(self.buckets, buckets, strict=True):
            for series, cell in mine.items():
                key = keys.get(series, "")
                if key == "":
                    key = keys[series] = self.picks.written(members[series])
                if key is not None:
                    _put(bucket, key, _taken_back(cell) if self.part == "over" else cell)


class _Reader:
    """Asks that differ in their measure only, on their way to their answers."""

    def __init__(
        self, ask: Ask, measure: Measure | None, cut: tuple[str, ...], by: tuple[str, ...], rank: tuple[str, ...], *, over: bool
    ) -> None:
        self.dimensions = measure.dimensions if measure is not None else ()
        self.scope = scope_of(ask.measure)
        self.by, self.where, self.cut, self.over = by, ask.where, cut, over
        self.bounds = tuple(_aligned(ask.bounds, joined=ask.joined))
        self.answers: dict[str, Answer] = {}
        self.numbers: dict[int, str] = {}  # of the measures that matter
        self._top, self._rank = ask.top, rank
        self.piles = [_Pile(self, self.dimensions, "fine"), _Pile(self, cut, "coarse")]
        if over:
            self.piles.append(_Pile(self, cut, "over"))

    def number(self, known: Mapping[str, int]) -> None:
        """Take the numbers of measures; one that no compaction has met gets one of its own."""
        for place, name in enumerate(dict.fromkeys((*self.answers, *self._rank)), 1):
            self.numbers[known.get(name, -place)] = name

    def only(self, cut: Sequence[str]) -> str | None:
        """Return the digest of the one series of a cut that is asked for, where each of its dimensions has a value.

        The database then picks its rows: those of one person among thousands need not be read to be passed over.
        """
        if not cut or not set(cut) <= self.where.keys():
            return None
        return digest_of(written(tuple(self.where[name] for name in cut)))

    def finish(self, members: Mapping[int, str], waiting: Iterable[Added]) -> None:
        """Answer, with what no compaction has taken yet."""
        buckets: list[_Bucket] = [{} for _ in self.bounds[1:]]
        for pile in self.piles:
            pile.into(buckets, members)
        numbers = {name: number for number, name in self.numbers.items()}
        for added in waiting:
            if added.measure in numbers:
                self._take_waiting(numbers[added.measure], added, buckets)
        if self._top is not None:
            _fold(buckets, self._largest(buckets, self._top, [numbers[name] for name in self._rank]))
        for place, bucket in enumerate(buckets):
            for key, cell in bucket.items():
                values = _values(key)
                for number, found in cell.items():
                    answer = self.answers.get(self.numbers[number])
                    if answer is not None and not _is_empty(found):
                        answer[place][values] = _sum(found)

    def _take_waiting(self, number: int, added: Added, buckets: Sequence[_Bucket]) -> None:
        """Add a sum; where its dimensions are not as declared it counts for the whole only."""
        if not self.bounds[0] <= added.at < self.bounds[-1]:
            return
        key: str | None = "[]"
        if len(added.dimensions) == len(self.dimensions):
            key = self.piles[0].picks.of(added.dimensions)
        elif self.cut:
            key = None
        if key is not None:
            rolled = (added.count, added.total, added.sketch)
            _put(buckets[bisect_right(self.bounds, added.at) - 1], key, {number: rolled})

    def _largest(self, buckets: Sequence[_Bucket], top: int, rank: Sequence[int]) -> set[str]:
        """Return the keys of the largest values, and of what is never among them."""
        count = len(rank)
        sizes: dict[str, list[int]] = {}
        for at, bucket in enumerate(buckets):
            for key, cell in bucket.items():
                size = sizes.get(key)
                if size is None:
                    size = sizes[key] = [0] * (2 * count)
                for place, number in enumerate(rank):
                    found = cell.get(number)
                    if found is not None:
                        size[count + place] -= _size(found)
                        if at == len(buckets) - 1:
                            size[place] -= _size(found)
        apart = [written((value,)) for value in APART]
        kept = {key for key in apart if key in sizes}
        for key in kept:
            del sizes[key]
        return {*kept, *(key for key, _ in nsmallest(top, sizes.items(), key=lambda item: (item[1], item[0])))}


def _put(bucket: _Bucket, key: str, cell: _Cell) -> None:
    known = bucket.get(key)
    if known is None:
        bucket[key] = cell
        return
    for name, found in cell.items():
        mine = known.get(name)
        known[name] = found if mine is None else _added(mine, found)


def _fold(buckets: Sequence[_Bucket], kept: set[str]) -> None:
    """Sum what is not kept as OTHER."""
    other = written((OTHER,))
    for bucket in buckets:
        rest: _Cell = {}
        for key in [key for key in bucket if key not in kept or key == other]:
            _put({other: rest}, other, bucket.pop(key))
        if rest:
            bucket[other] = rest


def _added(first: Rolled | Sum, second: Rolled | Sum) -> Rolled | Sum:
    """Add two sums; plain numbers stay plain, which is most of what is read."""
    if first.__class__ is tuple and second.__class__ is tuple:
        count, total, sketch = first
        more, value, another = second
        if sketch is None and another is None and total.__class__ is int and value.__class__ is int:
            return count + more, total + value, None
    both = _sum(first)
    both.merge(second) if isinstance(second, Sum) else both.add_rolled(second)
    return both


def _taken_back(cell: _Cell) -> _Cell:
    back: _Cell = {}
    for number, found in cell.items():
        if isinstance(found, tuple) and found[2] is None and isinstance(found[1], int):
            back[number] = (-found[0], -found[1], None)
        else:
            back[number] = -_sum(found)
    return back


def _is_empty(found: Rolled | Sum) -> bool:
    """Say whether everything that was added was taken back."""
    return found.empty if isinstance(found, Sum) else not any(found)


def _sum(found: Rolled | Sum) -> Sum:
    if isinstance(found, Sum):
        return found
    both = Sum()
    both.add_rolled(found)
    return both


def _size(found: Rolled | Sum) -> int:
    """Return how large a sum is: what it adds up to, else how many different things or observations it has."""
    if found.__class__ is tuple and found[2] is None and found[1].__class__ is int:
        return found[1] or found[0]
    read = _sum(found)
    return read.total or read.distinct or read.count


class _Picks:
    """Takes the wanted dimensions out of a cut's values."""

    def __init__(self, cut: Sequence[str], by: Sequence[str], where: Mapping[str, str | None]) -> None:
        self._places = tuple(cut.index(name) for name in by)
        self._wanted = tuple((cut.index(name), value) for name, value in where.items())
        self._same = tuple(cut) == tuple(by) and not where

    def written(self, members: str) -> str | None:
        """Return the values that the answer is broken down by, written; None where they are not what was asked for."""
        return members if self._same else self.of(_values(members))

    def of(self, values: Values) -> str | None:
        """Do the same for values that are read."""
        for place, value in self._wanted:
            if values[place] != value:
                return None
        return written(tuple([values[place] for place in self._places]))


def _values(members: str) -> Values:
    return _VALUES.decode(members)


_VALUES = msgspec.json.Decoder(Values)


def _aligned(bounds: Sequence[int], *, joined: bool) -> list[int]:
    """Move each bound down to where roll-ups of its age begin; the minute that still runs counts whole.

    So does the last bucket of an old period, and one that would have no time: what happened within one day of long ago, or
    within one minute, is not lost between two bounds.
    """
    minutes, quarters, hours = horizon("minute"), horizon("quarter"), horizon("hour")
    sizes = ((minutes, clock.MINUTE), (quarters, QUARTER), (hours, clock.HOUR), (-(1 << 62), clock.DAY))
    steps = [next(size for since, size in sizes if at >= since) for at in bounds]
    floored = [at - at % size for at, size in zip(bounds, steps, strict=True)]
    whole = steps[-1] > QUARTER or bounds[-1] > clock.now() - clock.MINUTE or floored[-1] == floored[-2]
    if bounds[-1] > floored[-1] and whole and not joined:
        floored[-1] += steps[-1]
    return floored


# Pieces whose rows are all wanted lie together in the key; one series is looked up at each start.
PIECES_SQLITE = """
WITH RECURSIVE singles AS MATERIALIZED (
  SELECT p.value ->> 0 AS number, c.id AS cut_id, p.value ->> 3 AS resolution, p.value ->> 4 AS at, p.value ->> 5 AS until,
    s.id AS series_id, p.value ->> 7 AS step FROM json_each(?) p
  CROSS JOIN measure_cuts c ON c.scope = p.value ->> 1 AND c.names = p.value ->> 2
  CROSS JOIN measure_series s ON s.cut_id = c.id AND s.digest = p.value ->> 6
), moments AS (
  SELECT * FROM singles
  UNION ALL SELECT number, cut_id, resolution, at + step, until, series_id, step FROM moments WHERE at + step < until
)
SELECT p.value ->> 0, r.at, r.series_id, r.body FROM json_each(?) p
CROSS JOIN measure_cuts c ON c.scope = p.value ->> 1 AND c.names = p.value ->> 2
CROSS JOIN measure_rollups r ON r.cut_id = c.id AND r.resolution = p.value ->> 3
  AND r.at >= p.value ->> 4 AND r.at < p.value ->> 5
UNION ALL SELECT t.number, r.at, r.series_id, r.body FROM moments t
CROSS JOIN measure_rollups r ON r.cut_id = t.cut_id AND r.resolution = t.resolution AND r.at = t.at
  AND r.series_id = t.series_id
UNION ALL SELECT -1, 0, 0, body FROM measure_deltas"""
PIECES_POSTGRESQL = """
SELECT p.number, r.at, r.series_id, r.body
FROM unnest(%s::int[], %s::text[], %s::text[], %s::int[], %s::bigint[], %s::bigint[])
  AS p(number, scope, names, resolution, since, until)
JOIN measure_cuts c ON c.scope = p.scope AND c.names = p.names
CROSS JOIN LATERAL (SELECT at, series_id, body FROM measure_rollups
  WHERE cut_id = c.id AND resolution = p.resolution AND at >= p.since AND at < p.until OFFSET 0) r
UNION ALL SELECT p.number, r.at, r.series_id, r.body
FROM unnest(%s::int[], %s::text[], %s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[])
  AS p(number, scope, names, resolution, since, until, digest, step)
JOIN measure_cuts c ON c.scope = p.scope AND c.names = p.names
JOIN measure_series s ON s.cut_id = c.id AND s.digest = p.digest
CROSS JOIN LATERAL generate_series(p.since, p.until - 1, p.step) AS t(at)
CROSS JOIN LATERAL (SELECT at, series_id, body FROM measure_rollups
  WHERE cut_id = c.id AND resolution = p.resolution AND at = t.at AND series_id = s.id OFFSET 0) r
UNION ALL SELECT -1, 0, 0, body FROM measure_deltas"""


def _rows(connection: Connection, pieces: Sequence[_Piece]) -> tuple[list[Any], list[Added]]:
    """Return (number of the group, at, series, body) of the roll-ups in the pieces, and what waits, in one snapshot."""
    whole = [piece[:6] for piece in pieces if piece[6] is None]
    single = [piece for piece in pieces if piece[6] is not None]
    if connection.dialect.name == "sqlite":
        rows = fetch_all(connection, PIECES_SQLITE, tuple(msgspec.json.encode(one).decode() for one in (single, whole)))
    else:
        rows = fetch_all(connection, PIECES_POSTGRESQL, (*_columns(whole, 6), *_columns(single, 8)))
    waiting = [added for row in rows if row[0] < 0 for added in ADDED.decode(row[3])]
    return [row for row in rows if row[0] >= 0], waiting


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(count)]


_LABELS_SQLITE = """
SELECT 0, id, name FROM measure_names
UNION ALL SELECT 1, id, members FROM measure_series WHERE id IN (SELECT value FROM json_each(?))"""
_LABELS_POSTGRESQL = """
SELECT 0, id, name FROM measure_names
UNION ALL SELECT 1, id, members FROM measure_series WHERE id = ANY(%s::bigint[])"""


def _labels(connection: Connection, series: set[int]) -> tuple[dict[str, int], dict[int, str]]:
    """Return the numbers of measures by name, and the written values of series by number; both only ever grow."""
    if connection.dialect.name == "sqlite":
        rows = fetch_all(connection, _LABELS_SQLITE, (msgspec.json.encode(sorted(series)).decode(),))
    else:
        rows = fetch_all(connection, _LABELS_POSTGRESQL, (sorted(series),))
    numbers = {name: key for kind, key, name in rows if kind == 0}
    return numbers, {key: members for kind, key, members in rows if kind == 1}
