"""Measures: deltas in the transaction of the rows they count, and the ways in which they are summed.

A recorder adds to measures through `Deltas`; the sums of one transaction become one row of `measure_deltas` in the same
commit. `measure_rollups.compact` moves them into roll-ups and deletes them in one transaction, so that roll-ups plus what is
left is exact, however often a compaction is killed. A negative count takes back what was added before (an execution that
changed its status), so sums always equal a recount of the rows.

Roll-ups by hour, day and week exist for the whole of a measure, for each of its dimensions alone, for the combinations that it
declares as `cuts` and for all dimensions together; by minute and quarter of an hour, which serve the ends of periods, time
zones off the full hour and short charts, for the last only. `measure_reads` takes the smallest of them that answers.

Values are whole numbers of the measure's smallest unit (`Measure.scale` of them make one unit: nano-dollars, microseconds),
so sums of money are exact. The logarithmic buckets of percentiles do not mind the scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, func, select

from pilothouse import clock
from pilothouse.contract.recording import Measure
from pilothouse.db import Bulk, db
from pilothouse.measure_models import MeasureDelta
from pilothouse.measure_sums import KEPT, Added, Resolution, Sum, Values
from pilothouse.runtime import runtime
from pilothouse.sketches import Distinct, Histogram, hash_of

_DELTAS = Bulk(MeasureDelta.__table__, ("at", "body"))


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


def write_names(cut: Sequence[str]) -> str:
    """Write the names of a cut as `measure_cuts` holds them."""
    return msgspec.json.encode(cut).decode()


def horizon(resolution: Resolution) -> int:
    """Return from when on (ms) roll-ups of a resolution are kept."""
    if resolution not in KEPT:
        return 0
    now = clock.now()
    return now - now % clock.DAY - KEPT[resolution]


def lag() -> int:
    """Return how many transactions' deltas wait for compaction."""
    return int(db.session().scalar(select(func.count()).select_from(MeasureDelta)) or 0)
