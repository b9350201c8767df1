"""Reading token usage: sums over periods from the roll-ups, prices, and the single calls behind a figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, tuple_

from pilothouse.sdk import DAY, HOUR, MINUTE, OTHER, Ask, Period, StepFigures, Sum, db, now, read_all, read_totals
from pilothouse_tokens import counting
from pilothouse_tokens.models import FailedExecution, Repricing, TokenPrice, TokenUsageRow, UnpricedModel
from pilothouse_tokens.periods import Interval, bucket_starts, local_date
from pilothouse_tokens.pricing import OWN

DIMENSIONS = (*counting.DIMENSIONS[counting.WORK], *counting.DIMENSIONS[counting.CALLERS])
COLUMNS: Mapping[str, str] = {**{name: name for name in DIMENSIONS}, "key": "key_id"}
FINE = 31 * DAY  # up to this length calls are looked for hour by hour, beyond it day by day
RANK = ("cost_usd", "prompt", "completion")  # what says which values are the largest
EXPORT_DAYS = 31  # that one step of an export reads


@dataclass(slots=True)
class Totals:
    """What calls add up to; `cost_nano` is what the priced ones cost, `unpriced_records` how many have no price."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano: int = 0
    unpriced_records: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens; their parts are inside of them."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost(self) -> int | None:
        """The cost in nano-dollars, None where there are calls and none of them is priced: unknown is not free."""
        return None if self.calls and self.unpriced_records == self.calls else self.cost_nano

    def add(self, other: Totals) -> None:
        """Add other totals."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


Key = tuple[str | None, ...]


def sums(
    bounds: Sequence[int], by: Sequence[str] = (), where: Mapping[str, str | None] | None = None
) -> list[dict[Key, Totals]]:
    """Return the totals in each bucket between bounds (ms, ascending) by the values of some dimensions.

    From roll-ups and what waits for them, in one snapshot; exact to the minute.
    """
    scope = counting.scope_of(next(iter((*by, *(where or ()))), "model"))
    return _read([Asked(bounds, scope, by, where or {})])[0]


def totals(period: Period, where: Mapping[str, str | None] | None = None) -> Totals:
    """Return the totals of a period."""
    return sums((period.since, period.until), (), where)[0].get((), Totals())


@dataclass(frozen=True, slots=True)
class Usage:
    """A period with the one before it, and its series as (start of the bucket in ms, totals)."""

    totals: Totals
    previous: Totals
    series: list[tuple[int, Totals]]


def usage(period: Period, interval: Interval, zone: ZoneInfo, where: Mapping[str, str | None] | None = None) -> Usage:
    """Return a period's totals and series; the series adds up to the totals, its first bucket begins with the period."""
    starts, wanted = bucket_starts(period, interval, zone), where or {}
    bounds, edges = (period.since, *starts[1:], period.until), _both_periods(period)
    scope = counting.scope_of(next(iter(wanted), "model"))
    series, parts = _read([Asked(bounds, scope, (), wanted), Asked(edges, scope, (), wanted)])
    buckets = [bucket.get((), Totals()) for bucket in series]
    past, _ = _past_and_present(parts)
    return Usage(_added(buckets), past.get((), Totals()), list(zip(starts, buckets, strict=True)))


def _both_periods(period: Period) -> tuple[int, ...]:
    """Return the bounds of the period before and of this one, the minute that both have apart.

    Of a period that ends now the last minute counts whole though it still runs. So does then the last minute of the period
    before, which is the first of this one: like is compared with like, as everywhere.
    """
    before, minute = period.before().since, period.since - period.since % MINUTE
    if period.until <= now() - MINUTE or minute == period.since or minute + MINUTE > period.until:
        return before, period.since, period.until
    return before, minute, minute + MINUTE, period.until


def _past_and_present(parts: Sequence[dict[Key, Totals]]) -> tuple[dict[Key, Totals], dict[Key, Totals]]:
    """Return the totals of the period before and of this one, from those between the bounds of `_both_periods`."""
    return _together(parts[:-1]), _together(parts[1:])


def _together(parts: Sequence[dict[Key, Totals]]) -> dict[Key, Totals]:
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: _added(part[key] for part in parts if key in part) for key in keys}


def breakdown(period: Period, by: str, top: int) -> list[tuple[str | None, Totals]]:
    """Return the totals of a period by one dimension, the dearest first; None is what is unattributed.

    More than `top` values are not told apart: the dearest are, and the rest is one line whose key is OTHER.
    """
    bounds = (period.since, period.until)
    [whole], [found] = _read([Asked(bounds, counting.WORK), Asked(bounds, counting.scope_of(by), (by,), top=top)])
    return _lines(whole.get((), Totals()), found)


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows of a period: totals and those before, the cost of each model by bucket, a breakdown with its past.

    `executions` is the number of executions that started in the period.
    """

    usage: Usage
    by_model: list[tuple[int, dict[str | None, Totals]]]
    lines: list[tuple[str | None, Totals, Totals]]
    executions: int


def overview(period: Period, interval: Interval, zone: ZoneInfo, by: str, top: int) -> Overview:
    """Return what the page shows, all of it from one snapshot."""
    starts = bucket_starts(period, interval, zone)
    edges, bounds = _both_periods(period), (period.since, *starts[1:], period.until)
    asked = [
        Asked(edges, counting.WORK),
        Asked(bounds, counting.WORK, ("model",)),
        Asked(edges, counting.scope_of(by), (by,), top=top),
    ]
    whole, models, lined = _read(asked)
    past, present = _past_and_present(lined)
    previous, now_ = (totals.get((), Totals()) for totals in _past_and_present(whole))
    series = [(at, _added(bucket.values())) for at, bucket in zip(starts, models, strict=True)]
    earlier = dict(_lines(previous, past))
    lines = [(key, line, earlier.get(key, Totals())) for key, line in _lines(now_, present)]
    by_model = [(at, {key[0]: line for key, line in bucket.items()}) for at, bucket in zip(starts, models, strict=True)]
    executions = read_totals("executions.count", period.since, period.until, by=()).get((), Sum()).count
    return Overview(Usage(now_, previous, series), by_model, lines, executions)


def by_day(period: Period, zone: ZoneInfo) -> list[tuple[str, Totals]]:
    """Return the totals of a period by local date (ISO 8601), the newest first, days without calls left out."""
    days = usage(period, "day", zone).series
    return [(local_date(max(at, period.since), zone).isoformat(), line) for at, line in reversed(days) if line.calls]


def export(period: Period, zone: ZoneInfo) -> Iterator[tuple[str, str | None, str | None, Totals]]:
    """Yield local date, model, workflow and totals of a period, the oldest first; some days a read."""
    starts = [*bucket_starts(period, "day", zone), period.until]
    starts[0] = period.since
    for first in range(0, len(starts) - 1, EXPORT_DAYS):
        bounds = starts[first : first + EXPORT_DAYS + 1]
        read = sums(bounds, ("model", "workflow"))
        db.session().rollback()  # no transaction stays open while the client reads
        for at, bucket in zip(bounds, read, strict=False):
            day = local_date(at, zone).isoformat()
            for (model, workflow), line in sorted(bucket.items(), key=lambda item: [part or "" for part in item[0]]):
                if line.calls:
                    yield day, model, workflow, line


def calls(
    period: Period, where: Mapping[str, str | None], limit: int, after: tuple[int, str] | None = None
) -> list[TokenUsageRow]:
    """Return up to `limit + 1` counted calls, newest first: the rows behind a figure.

    The roll-ups say in which hours or days there are any, so that rare ones are found without reading all the others.
    """
    found: list[TokenUsageRow] = []
    for stretch in _stretches(period, where):
        found += _calls(stretch, where, limit + 1 - len(found), after)
        if len(found) > limit:
            break
    return found


def calls_of(execution_id: str) -> list[tuple[str, str | None, Totals]]:
    """Return the totals of one execution by model and provider, the dearest first."""
    row = TokenUsageRow
    sums_ = (
        func.count(), func.sum(row.prompt_tokens), func.sum(row.completion_tokens), func.sum(row.cached_tokens),
        func.sum(row.cache_write_tokens), func.sum(row.reasoning_tokens), func.coalesce(func.sum(row.cost_nano), 0),
        func.count() - func.count(row.cost_nano),
    )  # fmt: skip
    statement = select(row.model, row.provider, *sums_).where(row.execution_id == execution_id, row.counted)
    rows = db.session().execute(statement.group_by(row.model, row.provider)).all()
    lines = [(model, provider, Totals(*map(int, values))) for model, provider, *values in rows]
    return sorted(lines, key=lambda line: (-line[2].cost_nano, -line[2].total_tokens, line[0]))


def spent_by_failed(execution_ids: Sequence[str]) -> int | None:
    """Return the priced spend of those of the executions that failed or timed out; None where there is none."""
    row = TokenUsageRow
    statement = select(func.sum(row.cost_nano)).join(FailedExecution, FailedExecution.execution_id == row.execution_id)
    spent = db.session().scalar(statement.where(row.execution_id.in_(execution_ids), row.counted))
    return None if spent is None else int(spent)


def figures_of_steps(execution_id: str) -> dict[str, StepFigures]:
    """Return what each step of an execution used; of sums whose parts are known only the parts."""
    row = TokenUsageRow
    sums_ = (
        func.sum(row.prompt_tokens + row.completion_tokens), func.sum(row.cost_nano), func.count(), func.count(row.cost_nano),
    )  # fmt: skip
    statement = select(row.step_id, func.min(row.model), func.max(row.model), *sums_)
    statement = statement.where(row.execution_id == execution_id, row.step_id.is_not(None), row.counted).group_by(row.step_id)
    return {
        str(step): StepFigures(int(used), None if cost is None else int(cost), least if least == most else "", calls - priced)
        for step, least, most, used, cost, calls, priced in db.session().execute(statement)
    }


def own_prices(limit: int, after: tuple[int, str] | None = None) -> list[TokenPrice]:
    """Return up to `limit` prices that persons set and that hold, newest first."""
    statement = select(TokenPrice).where(TokenPrice.source == OWN, TokenPrice.ended_at.is_(None))
    if after is not None:
        statement = statement.where(tuple_(TokenPrice.created_at, TokenPrice.id) < after)
    return list(db.session().scalars(statement.order_by(TokenPrice.created_at.desc(), TokenPrice.id.desc()).limit(limit)))


def prices_by_id(ids: Sequence[str]) -> dict[str, TokenPrice]:
    """Return prices by id, also those that were replaced."""
    return {price.id: price for price in db.session().scalars(select(TokenPrice).where(TokenPrice.id.in_(ids)))}


def unpriced_models() -> list[UnpricedModel]:
    """Return the models of which usage came that nothing prices, the newest first."""
    return list(db.session().scalars(select(UnpricedModel).order_by(UnpricedModel.first_at.desc(), UnpricedModel.model)))


def repricings(limit: int) -> list[Repricing]:
    """Return the newest runs of pricing the past again."""
    return list(db.session().scalars(select(Repricing).order_by(Repricing.created_at.desc()).limit(limit)))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of all measures of a scope; `top` as in `Ask`, the dearest first."""

    bounds: Sequence[int]
    scope: str
    by: Sequence[str] = ()
    where: Mapping[str, str | None] = field(default_factory=dict)
    top: int | None = None

    def asks(self) -> list[Ask]:
        """Return an ask for each measure."""
        rank = [f"{self.scope}.{part}" for part in RANK]
        return [Ask(f"{self.scope}.{part}", self.bounds, self.by, self.where, self.top, rank) for part in counting.PARTS]


def _read(asked: Sequence[Asked]) -> list[list[dict[Key, Totals]]]:
    """Answer several asks, all from one snapshot: for each, the totals in its buckets."""
    answers = read_all([ask for one in asked for ask in one.asks()])
    size = len(counting.PARTS)
    found = []
    for first in range(0, len(answers), size):
        parts = dict(zip(counting.PARTS, answers[first : first + size], strict=True))
        buckets = range(len(parts["prompt"]))
        found.append([_totals({part: answer[place] for part, answer in parts.items()}) for place in buckets])
    return found


def _lines(whole: Totals, found: Mapping[Key, Totals]) -> list[tuple[str | None, Totals]]:
    """Return the lines of a breakdown, the dearest first, with what no line has as None."""
    lines: list[tuple[str | None, Totals]]
    lines = [(key[0], line) for key, line in found.items() if line.calls and key[0] is not None]
    rest = _rest(whole, [line for _, line in lines])
    lines += [(None, rest)] if rest.calls else []
    return sorted(lines, key=_dearest_first)


def _dearest_first(item: tuple[str | None, Totals]) -> tuple[Any, ...]:
    """Order lines: those of one value first, the dearest of them, then what is of many or of none."""
    key, line = item
    return key == OTHER, -line.cost_nano, -line.total_tokens, key is None, key or ""


def _added(lines: Iterable[Totals]) -> Totals:
    whole = Totals()
    for line in lines:
        whole.add(line)
    return whole


def _totals(parts: Mapping[str, dict[Key, Sum]]) -> dict[Key, Totals]:
    found: dict[Key, Totals] = {}
    for key, prompt in parts["prompt"].items():
        priced, completion = parts["cost_usd"].get(key, Sum()), parts["completion"].get(key, Sum())
        rest = {f"{part}_tokens": parts[part].get(key, Sum()).total for part in ("cached", "cache_write", "reasoning")}
        found[key] = Totals(
            calls=prompt.count, prompt_tokens=prompt.total, completion_tokens=completion.total, cost_nano=priced.total,
            unpriced_records=prompt.count - priced.count, **rest,
        )  # fmt: skip
    return found


def _rest(whole: Totals, lines: Sequence[Totals]) -> Totals:
    """Return what no line has: calls that name no value are not summed by themselves."""
    rest = _added([whole])
    for one in fields(Totals):
        setattr(rest, one.name, getattr(rest, one.name) - sum([getattr(line, one.name) for line in lines]))
    return rest


def _stretches(period: Period, where: Mapping[str, str | None]) -> Iterator[Period]:
    """Yield the hours or days of a period that hold wanted calls, newest first."""
    size = HOUR if period.length <= FINE else DAY
    bounds = (period.since, *range((period.since // size + 1) * size, period.until, size), period.until)
    scope, known = _known(where)
    [answer] = read_all([Ask(f"{scope}.prompt", bounds, (), known)])
    for place in range(len(answer) - 1, -1, -1):
        if any(found.count for found in answer[place].values()):
            yield Period(bounds[place], bounds[place + 1])


def _known(where: Mapping[str, str | None]) -> tuple[str, dict[str, str | None]]:
    """Return the scope that narrows a search most, and what it knows of the wanted values."""
    callers: dict[str, str | None]
    callers = {name: value for name, value in where.items() if counting.scope_of(name) == counting.CALLERS and value}
    if callers:
        return counting.CALLERS, callers
    return counting.WORK, {name: value for name, value in where.items() if counting.scope_of(name) == counting.WORK}


def _calls(
    period: Period, where: Mapping[str, str | None], limit: int, after: tuple[int, str] | None
) -> list[TokenUsageRow]:
    row = TokenUsageRow
    statement = select(row).where(row.at >= period.since, row.at < period.until, row.counted)
    for name, value in where.items():
        statement = statement.where(getattr(row, COLUMNS[name]) == value)
    if after is not None:
        statement = statement.where(tuple_(row.at, row.seq) < (after[0], int(after[1])))
    return list(db.session().scalars(statement.order_by(row.at.desc(), row.seq.desc()).limit(limit)))


