"""The tables of the analytics page: how workflows, agents and models compare, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pilothouse.sdk import Sum, Values, to_usd
from pilothouse_telemetry.cards import CALLS, COMPLETION, DURATION, EXECUTIONS, PROMPT, RUNS, SPEND
from pilothouse_telemetry.queries import ENDED, FAILURES, share, speed_of
from pilothouse_telemetry.scope import Answer, Reading, Scope, with_query

TABLES: Mapping[str, str] = {"workflows": "workflow", "agents": "agent", "models": "model"}  # tab: dimension
MOST_LINES = 60  # on the page; the CSV has all


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name in addresses and CSV, its title, its word on phones, how it reads, and its figure."""

    name: str
    title: str
    short: str
    fmt: str
    value: Callable[[Line], float | None]


@dataclass(slots=True)
class Line:
    """One workflow, agent or model; None is what names none. Durations in ms, money in nano-dollars, `priced` is calls."""

    key: str | None
    runs: int = 0
    before: int | None = None
    ended: int = 0
    failed: int = 0
    p95_ms: float | None = None
    calls: int = 0
    tokens: int = 0
    priced: int = 0
    spend: int = 0
    url: str = ""

    @property
    def cost(self) -> int | None:
        """What its calls cost; None where none of them has a price: unknown is not free."""
        return self.spend if self.priced or not self.calls else None

    @property
    def unpriced(self) -> int:
        """How many calls have no price."""
        return max(self.calls - self.priced, 0)

    @property
    def failure_rate(self) -> float | None:
        """The share of what ended that failed."""
        return share(self.failed, self.ended)


RUN_COLUMNS = (
    Column("executions", "Executions", "runs", "count", lambda line: line.runs),
    Column("failure_rate", "Failure rate", "failed", "percent", lambda line: line.failure_rate),
    Column("p95_ms", "p95", "p95", "duration", lambda line: line.p95_ms),
)
TOKEN_COLUMNS = (
    Column("calls", "Model calls", "calls", "count", lambda line: line.calls),
    Column("tokens", "Tokens", "tokens", "compact", lambda line: line.tokens),
    Column("spend_usd", "Spend", "", "money", lambda line: line.cost),
)


@dataclass(frozen=True, slots=True)
class Table:
    """Lines under columns; `share` says of what each line's meter is the share."""

    dimension: str
    columns: Sequence[Column]
    lines: list[Line]
    share: Column

    @property
    def compared(self) -> bool:
        """Whether the lines know an earlier period."""
        return any(line.before is not None for line in self.lines)

    @property
    def whole(self) -> float:
        """What the shares are shares of."""
        return sum(self.share.value(line) or 0 for line in self.lines)


def ask_for_table(reading: Reading, scope: Scope, dimension: str) -> None:
    """Ask for what a table shows."""
    for suffix, ends in (("", scope.ends), (".before", scope.ends_before)):
        reading.ask(f"table.runs{suffix}", RUNS, ends, (dimension, "status"))
    for name, measure in (("durations", DURATION), ("spend", SPEND), ("prompt", PROMPT), ("completion", COMPLETION)):
        reading.ask(f"table.{name}", measure, scope.ends, (dimension,))


def table(reading: Reading, scope: Scope, dimension: str, sort: str) -> Table:
    """Return a table, sorted by a column's name, largest first; with `-` before it smallest first."""
    lines: dict[str | None, Line] = {}

    def line(key: str | None) -> Line:
        return lines.setdefault(key, Line(key, url=_url(scope, dimension, key)))

    runs = _whole(reading.get("table.runs"))
    for (key, status), found in runs.items():
        one = line(key)
        one.runs += found.count
        one.ended += found.count if status in ENDED else 0
        one.failed += found.count if status in FAILURES else 0
    if reading.get("table.runs.before") is not None:
        for one in lines.values():
            one.before = 0
        for (key, _), found in _whole(reading.get("table.runs.before")).items():
            one = line(key)
            one.before = (one.before or 0) + found.count
    for (key,), found in _whole(reading.get("table.durations")).items():
        line(key).p95_ms = speed_of(found).p95_ms
    _add_tokens(reading, line)
    columns = _columns(reading)
    share_of = columns[-1] if reading.get("table.runs") is None else columns[0]
    shown = [one for one in lines.values() if one.runs or one.before or one.calls or one.spend]
    return Table(dimension, columns, _sorted(shown, columns, sort or share_of.name), share_of)


def _add_tokens(reading: Reading, line: Callable[[str | None], Line]) -> None:
    for (key,), found in _whole(reading.get("table.prompt")).items():
        line(key).calls += found.count
        line(key).tokens += found.total
    for (key,), found in _whole(reading.get("table.completion")).items():
        line(key).tokens += found.total
    for (key,), found in _whole(reading.get("table.spend")).items():
        line(key).spend += found.total
        line(key).priced += found.count


def _columns(reading: Reading) -> list[Column]:
    columns: list[Column] = []
    if reading.get("table.runs") is not None:
        columns += RUN_COLUMNS
    if reading.get("table.prompt") is not None:
        columns += TOKEN_COLUMNS
    return columns or list(RUN_COLUMNS)


def _sorted(lines: list[Line], columns: Sequence[Column], sort: str) -> list[Line]:
    name = sort.removeprefix("-")
    by_name = sorted(lines, key=lambda line: (line.key is None, line.key or ""))
    if name == "name":
        return list(reversed(by_name)) if sort.startswith("-") else by_name
    column = next((column for column in columns if column.name == name), columns[0])
    having = [line for line in by_name if column.value(line) is not None]
    having.sort(key=lambda line: column.value(line) or 0, reverse=not sort.startswith("-"))
    return having + [line for line in by_name if column.value(line) is None]


def _whole(answer: Answer | None) -> Mapping[Values, Sum]:
    return answer[0] if answer else {}


def _url(scope: Scope, dimension: str, key: str | None) -> str:
    """Return where a line leads: its executions, or for a model its calls."""
    since, until = scope.ends
    if key is None:
        return ""
    path = CALLS if dimension == "model" else EXECUTIONS
    return with_query(path, {**scope.filters, dimension: key, "since": since, "until": until}.items())


def csv_lines(found: Table) -> Iterator[list[Any]]:
    """Yield a table's lines for its CSV: the key and each column, money as decimal strings."""
    for line in found.lines:
        yield [line.key, *(_csv_value(column, line) for column in found.columns)]


def _csv_value(column: Column, line: Line) -> Any:
    value = column.value(line)
    return to_usd(int(value)) if column.fmt == "money" and value is not None else value
