"""Measures: deltas in the transaction of the rows they count, and reads that are exact at every moment.

A recorder adds to measures through `Deltas`; the sums of one transaction become one row of `measure_deltas` in the same
commit. `rollups.compact` moves them into roll-ups and deletes them in one transaction, so that roll-ups plus what is left is
exact, however often a compaction is killed. A negative count takes back what was added before (an execution that changed
its status), so sums always equal a recount of the rows.

Roll-ups exist for the whole of a measure, for each of its dimensions alone, for the combinations that it declares as `cuts`
and for all dimensions together. A read takes the smallest of them that answers it: a trend by model costs as many rows as it
has points, however many records, workflows and users there are.

Values are whole numbers of the measure's smallest unit (`Measure.scale` of them make one unit: nano-dollars, microseconds),
so sums of money are exact. The logarithmic buckets of percentiles do not mind the scale.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, func, select

from pilothouse import clock
from pilothouse.contract.contributions import Measure
from pilothouse.db import Bulk, db
from pilothouse.measure_models import MeasureDelta
from pilothouse.runtime import runtime
from pilothouse.sketches import Distinct, Histogram, hash_of

Resolution = Literal["minute", "quarter", "hour", "day"]
QUARTER = 15 * clock.MINUTE  # every time zone's offset of today is a multiple of it
SIZES: Mapping[Resolution, int] = {"minute": clock.MINUTE, "quarter": QUARTER, "hour": clock.HOUR, "day": clock.DAY}
CODES: Mapping[Resolution, int] = {"minute": 0, "quarter": 1, "hour": 2, "day": 3}
KEPT: Mapping[Resolution, int] = {"minute": 14 * clock.DAY, "quarter": 100 * clock.DAY, "hour": 400 * clock.DAY}
COARSEST_FIRST: tuple[Resolution, ...] = ("day", "hour", "quarter", "minute")

Values = tuple[str | None, ...]
Period = tuple[int, int]


class Added(msgspec.Struct, array_like=True):
    """What a transaction added to one measure in one minute, for one set of dimension values."""

    measure: str
    at: int
    dimensions: Values
    count: int
    total: int | str  # as text where it needs more than 64 bits
    counts: dict[int, int] | None
    hashes: list[int] | None


_ENCODER = msgspec.msgpack.Encoder()
_ADDED = msgspec.msgpack.Decoder(list[Added])
ROLLED = msgspec.msgpack.Decoder(dict[int, tuple[int, int | str, bytes | None]])
_DELTAS = Bulk(MeasureDelta.__table__, ("at", "body"))  # type: ignore[arg-type]


@dataclass(slots=True)
class Sum:
    """Observations of a measure: how many, the sum of their values, their distribution, how many different things."""

    count: int = 0
    total: int = 0
    sketch: Histogram | None = None
    things: Distinct | None = None

    @property
    def distinct(self) -> int:
        """The number of different things."""
        return self.things.count() if self.things is not None else 0

    def add(self, count: int, total: int, sketch: Histogram | None = None, things: Distinct | None = None) -> None:
        """Add other observations."""
        self.count += count
        self.total += total
        if sketch is not None:
            if self.sketch is None:
                self.sketch = Histogram()
            self.sketch.merge(sketch)
        if things is not None:
            if self.things is None:
                self.things = Distinct()
            self.things.merge(things)

    def merge(self, other: Sum) -> None:
        """Add another sum."""
        self.add(other.count, other.total, other.sketch, other.things)


def percentile(sketch: Histogram | None, fraction: float) -> float | None:
    """Return the value below which `fraction` (0 to 1) of the observations lie; None where there are none."""
    return None if sketch is None else sketch.percentiles(fraction)[0]


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
        """Take over what another one collected."""
        for key, entry in other._sums.items():
            self._sums.setdefault(key, Sum()).merge(entry)

    def write(self, connection: Connection) -> None:
        """Append the collected sums; those that cancelled out leave nothing."""
        added = [entry for key, total in self._sums.items() for entry in _added(key, total)]
        if added:
            _DELTAS.insert(connection, [(clock.now(), _ENCODER.encode(added))])

    def _entry(self, measure: str, at: int, dimensions: Values) -> Sum:
        key = (measure, at - at % clock.MINUTE, dimensions)
        entry = self._sums.get(key)
        if entry is None:
            entry = self._sums[key] = Sum()
        return entry


def _added(key: tuple[str, int, Values], total: Sum) -> Iterator[Added]:
    counts = total.sketch.counts() if total.sketch is not None else None
    if total.count or total.total or counts or total.things:
        measure, at, dimensions = key
        parts = total.things.parts() if total.things is not None else [None]
        for place, hashes in enumerate(parts):
            first = place == 0
            yield Added(measure, at, dimensions, total.count if first else 0, pack(total.total) if first else 0,
                        (counts or None) if first else None, hashes)  # fmt: skip


def pack(number: int) -> int | str:
    """Return a number as MessagePack can write it: as text where it needs more than 64 bits."""
    return number if -(1 << 63) <= number < 1 << 63 else str(number)
