"""What a measure's observations add up to, and how sums are written in deltas and roll-ups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import msgspec

from pilothouse import clock
from pilothouse.sketches import Distinct, Histogram

Resolution = Literal["minute", "quarter", "hour", "day", "week"]
QUARTER = 15 * clock.MINUTE  # every time zone's offset of today is a multiple of it
WEEK = 7 * clock.DAY
MONDAY = 4 * clock.DAY  # 1970-01-05, the first Monday of Unix time: weeks count from it
SIZES: Mapping[Resolution, int] = {
    "minute": clock.MINUTE, "quarter": QUARTER, "hour": clock.HOUR, "day": clock.DAY, "week": WEEK,
}  # fmt: skip
CODES: Mapping[Resolution, int] = {"minute": 0, "quarter": 1, "hour": 2, "day": 3, "week": 4}
KEPT: Mapping[Resolution, int] = {"minute": 14 * clock.DAY, "quarter": 100 * clock.DAY, "hour": 400 * clock.DAY}
OTHER = "(other)"  # the value of all that is not told apart
COARSEST_FIRST: tuple[Resolution, ...] = ("week", "day", "hour", "quarter", "minute")

Values = tuple[str | None, ...]
Rolled = tuple[int, int | str, bytes | None]  # count, total, written sketch


def written(values: Values) -> str:
    """Write the values of a series as `measure_series` holds them."""
    return msgspec.json.encode(values).decode()


def digest_of(members: str) -> str:
    """Return what a series is found by: its values may be longer than an index takes."""
    return blake2b(members.encode(), digest_size=16).hexdigest()


def start_of(at: int, resolution: Resolution) -> int:
    """Return the start (ms) of the minute, quarter of an hour, hour, day or week (UTC, from Monday) of a moment."""
    return at - (at - MONDAY) % SIZES[resolution]  # Monday is at a whole number of each of the others


class Added(msgspec.Struct, array_like=True):
    """What a transaction added to one measure in one minute, for one set of dimension values."""

    measure: str
    at: int
    dimensions: Values
    count: int
    total: int | str  # as text where it needs more than 64 bits
    sketch: bytes | None


ADDED = msgspec.msgpack.Decoder(list[Added])
ROLLED = msgspec.msgpack.Decoder(dict[int, Rolled])


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

    @property
    def empty(self) -> bool:
        """Whether everything that was added was taken back."""
        return not (self.count or self.total or self.sketch or self.things)

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

    def __neg__(self) -> Sum:
        """Return what takes the observations back. Which of different things are left cannot be told: not of a `Distinct`."""
        if self.things is not None:
            raise TypeError("Different things cannot be taken back.")
        return Sum(-self.count, -self.total, None if self.sketch is None else -self.sketch)

    def copy(self) -> Sum:
        """Return another sum of the same observations."""
        other = Sum()
        other.merge(self)
        return other

    def add_rolled(self, rolled: Rolled | Added) -> None:
        """Add a sum as it is written. Raises Malformed."""
        count, total, sketch = rolled if isinstance(rolled, tuple) else (rolled.count, rolled.total, rolled.sketch)
        self.count += count
        self.total += total if isinstance(total, int) else int(total)
        if sketch:
            self._add_sketch(sketch)

    def _add_sketch(self, sketch: bytes) -> None:
        if Distinct.wrote(sketch):
            things = Distinct.read(sketch)
            if self.things is None:
                self.things = things
            else:
                self.things.merge(things)
            return
        histogram = Histogram.read(sketch)
        if self.sketch is None:
            self.sketch = histogram
        else:
            self.sketch.merge(histogram)

    def rolled(self) -> Rolled:
        """Write the sum; a measure has a distribution or different things, never both."""
        sketch = self.things or self.sketch
        return self.count, _packed(self.total), (sketch.write() or None) if sketch else None


def percentile(sketch: Histogram | None, fraction: float) -> float | None:
    """Return the value below which `fraction` (0 to 1) of the observations lie; None where there are none."""
    return None if sketch is None else sketch.percentiles(fraction)[0]


def _packed(number: int) -> int | str:
    """Return a number as MessagePack can write it: as text where it needs more than 64 bits."""
    return number if -(1 << 63) <= number < 1 << 63 else str(number)
