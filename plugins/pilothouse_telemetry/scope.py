"""What an analytics page looks at: a period in buckets, an earlier one beside it, filters; and the one read for all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from pilothouse.sdk import DAY, HOUR, Ask, Period, Sum, Values, declared, read_all
from pilothouse_telemetry.intervals import Buckets, Interval, buckets, earlier, read_interval

# Interval up to a length: some thirty to ninety points a chart, and whole multiples of the roll-ups everywhere.
STEPS = ((HOUR, "minute"), (6 * HOUR, "5m"), (DAY, "30m"), (3 * DAY, "2h"), (8 * DAY, "6h"), (100 * DAY, "day"))

FILTERS = ("workflow", "agent")

Answer = Sequence[Mapping[Values, Sum]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What the page looks at: buckets of a period, those to compare with, and filters by workflow and agent.

    `back` is how many ms earlier the comparison lies, None without one.
    """

    current: Buckets
    before: Buckets | None
    back: int | None
    interval: Interval
    zone: ZoneInfo
    filters: Mapping[str, str] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[int, int]:
        """From when until when (ms)."""
        return self.current.bounds[0], self.current.bounds[-1]

    @property
    def ends_before(self) -> tuple[int, int] | None:
        """The same of the earlier period."""
        return None if self.before is None else (self.before.bounds[0], self.before.bounds[-1])


def scope_of(period: Period, zone: ZoneInfo, *, back: int | None, filters: Mapping[str, str]) -> Scope:
    """Return the scope of a period, exactly: the sums are those of the API and of other pages for the same period."""
    interval = _interval(period.length)
    current = buckets(period, interval, zone)
    before = None if back is None else earlier(current, back, zone)
    return Scope(current, before, back, interval, zone, filters)


def _interval(length: int) -> Interval:
    name = next((name for longest, name in STEPS if length <= longest), "week")
    return read_interval(name, Period(0, length))


class Reading:
    """Collects asks by name and answers them from one read. What nobody declares, or cannot be filtered so, is absent."""

    def __init__(self, scope: Scope) -> None:
        """Take what the page looks at."""
        self._scope = scope
        self._asks: dict[str, Ask] = {}
        self._answers: dict[str, Answer] = {}

    def ask(
        self, name: str, measure: str, bounds: Sequence[int] | None, by: Sequence[str] = (), *, filtered: bool = True
    ) -> None:
        """Ask for a measure within bounds, under the page's filters."""
        found, where = declared(measure), self._scope.filters if filtered else {}
        if found is not None and bounds is not None and {*by, *where} <= set(found.dimensions):
            self._asks[name] = Ask(measure, bounds, by, where, joined=bounds[-1] == self._scope.ends[0])

    def run(self) -> None:
        """Read."""
        self._answers = dict(zip(self._asks, read_all(list(self._asks.values())), strict=True)) if self._asks else {}

    def get(self, name: str) -> Answer | None:
        """Return an answer; None where it was not asked for."""
        return self._answers.get(name)


def with_query(path: str, pairs: Iterable[tuple[str, object]]) -> str:
    """Return an address with a query string, or with more of one."""
    query = urlencode([(name, value) for name, value in pairs if value is not None])
    return f"{path}{'&' if '?' in path else '?'}{query}" if query else path
