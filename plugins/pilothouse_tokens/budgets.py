"""Budgets: what is spent of them in their own calendar period, where that leads, warnings, and hard limits that hold.

A budget is one of spend, or of any other measure that counts or sums: its amounts are billionths of the measure's unit then.
Spend is read from the roll-ups, so it is exact to the call at every moment. A hard budget is asked before each call:
`reserve` sets the call's estimate aside under the writers' lock, so that callers at the same time see each other. When the
call's usage is recorded under the reservation's id, it takes the reservation's place in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Table, delete, func, select, text, tuple_, update

from pilothouse.sdk import (
    HOUR,
    MINUTE,
    NANO,
    Ask,
    BudgetUsedUp,
    Measure,
    NotFound,
    Period,
    Principal,
    Spend,
    Sum,
    after_commit,
    audit,
    db,
    declared,
    insert_ignore,
    lock_writers,
    new_id,
    now,
    publish,
    read_all,
    read_zone,
    runtime,
    to_usd,
    unit_of_work,
)
from pilothouse_tokens import counting
from pilothouse_tokens.events import BudgetCrossed
from pilothouse_tokens.models import Budget, BudgetReservation, BudgetWarning
from pilothouse_tokens.periods import BudgetPeriod, calendar_period

LEVELS = (50, 80, 100)  # percent at which people are told
CALLERS = counting.DIMENSIONS[counting.CALLERS]
SCOPES = ("workflow", "agent", "user", "model", "key_id")
HELD = 15 * MINUTE  # how long money stays aside for a call of which nothing is heard; longer than any call
TOLD_LATE = HOUR  # how long after its end a period is still told about: for what was spent in its last moments, or told late
SETTLED = 10 * MINUTE  # how long a settled call waits for its usage, which a worker may record later
TOPIC = "tokens"

_WARNINGS: Table = BudgetWarning.__table__


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget with its running period, and what is spent in it and would be by its end; nano-dollars, of spend."""

    budget: Budget
    period: Period
    spent: int
    forecast: int

    @property
    def unit(self) -> str:
        """The unit of the amounts: USD of spend, else that of the measure; empty where nobody declares it any more."""
        measure = declared(self.budget.measure)
        return "" if measure is None else measure.unit

    @property
    def percent(self) -> int:
        """How much of the budget is spent, in whole percent."""
        return self.spent * 100 // self.budget.amount_nano


def states(found: Sequence[Budget]) -> list[BudgetState]:
    """Return budgets with their spend, all of them from one read.

    The forecast goes on as the period went so far: spend by elapsed time, over the budget's own period.
    """
    at = now()
    return _states(found, [_period(budget, at) for budget in found], at)


def _states(found: Sequence[Budget], periods: Sequence[Period], at: int) -> list[BudgetState]:
    asks = [_ask(budget, period) for budget, period in zip(found, periods, strict=True)]
    answers = iter(read_all(known)) if (known := [ask for ask in asks if ask is not None]) else iter(())
    states_ = []
    for budget, period, ask in zip(found, periods, asks, strict=True):
        measure = declared(budget.measure)
        answer = next(answers)[0] if ask is not None else {}
        spent = sum(_amount(measure, entry) for entry in answer.values()) if measure is not None else 0
        forecast = spent * period.length // max(min(at, period.until) - period.since, 1)
        states_.append(BudgetState(budget, period, spent, max(spent, forecast)))
    return states_


def may_have_budget(measure: Measure) -> bool:
    """Say whether amounts of a measure add up to something that can be used up; spend by caller is spend."""
    return measure.kind in {"count", "sum"} and not measure.name.startswith(f"{counting.CALLERS}.")


def dimension_of(scope: str | None) -> str | None:
    """Return the dimension of measures that a scope of budgets is."""
    return "key" if scope == "key_id" else scope


def measure_for(measure: str, dimension: str | None) -> str:
    """Return the measure that knows a dimension: that of spend is kept apart by caller."""
    return f"{counting.CALLERS}.cost_usd" if measure == counting.COST and dimension in CALLERS else measure


def page(limit: int, after: tuple[int, str] | None = None) -> list[Budget]:
    """Return up to `limit + 1` budgets, newest first."""
    statement = select(Budget).order_by(Budget.created_at.desc(), Budget.id.desc()).limit(limit + 1)
    if after is not None:
        statement = statement.where(tuple_(Budget.created_at, Budget.id) < after)
    return list(db.session().scalars(statement))


def get(budget_id: str) -> Budget:
    """Return a budget. Raises NotFound."""
    budget = db.session().get(Budget, budget_id)
    if budget is None:
        raise NotFound(f"There is no budget {budget_id}.")
    return budget


def create(fields: dict[str, Any], principal: Principal) -> Budget:
    """Make a budget out of the fields of the model, in the caller's unit of work."""
    at = now()
    budget = Budget(id=new_id(), created_at=at, created_by=principal.called, changed_at=at, **fields)
    db.session().add(budget)
    audit("budget.created", f"budget:{budget.id}", detail={"name": budget.name, "amount_usd": to_usd(budget.amount_nano)})
    _changed()
    return budget


def change(budget_id: str, fields: dict[str, Any]) -> Budget:
    """Change a budget, in the caller's unit of work. People are told again of levels that it is below from now on."""
    budget = get(budget_id)
    for name, value in fields.items():
        setattr(budget, name, value)
    budget.changed_at = now()
    db.session().flush()
    [state] = states([budget])
    not_reached = (BudgetWarning.budget_id == budget.id, BudgetWarning.level > state.percent)
    db.session().execute(delete(BudgetWarning).where(*not_reached))
    audit("budget.changed", f"budget:{budget.id}", detail={"fields": sorted(fields)})
    _changed()
    return budget


def remove(budget_id: str) -> None:
    """Delete a budget, in the caller's unit of work. Raises NotFound."""
    budget = get(budget_id)
    audit("budget.deleted", f"budget:{budget.id}", detail={"name": budget.name})
    db.session().delete(budget)
    _changed()


def check() -> int:
    """Tell of every level that a budget has reached and nobody was told of; returns how many. In a unit of work."""
    session = db.session()
    told = 0
    found = list(session.scalars(select(Budget)))
    for state in states(found) + _just_ended(found):
        reached = [level for level in LEVELS if state.percent >= level]
        known = _known_levels(session.connection(), state) if reached else set()
        for level in reached:
            if level not in known:
                _warn(session.connection(), state, level)
                told += 1
    return told


def _just_ended(found: Sequence[Budget]) -> list[BudgetState]:
    """Return the states in the period before, where it ended a short while ago and the budget was what it is by then."""
    at = now()
    before = [(budget, _period(budget, _period(budget, at).since - 1)) for budget in found]
    ended = [(b, period) for b, period in before if at - period.until < TOLD_LATE and b.changed_at < period.until]
    return _states([budget for budget, _ in ended], [period for _, period in ended], at)


def reserve(spend: Spend) -> Reservation | None:
    """Set a call's estimate aside in every hard budget that it belongs to; None where there is none.

    Raises BudgetUsedUp where one of them has nothing left: spend, and what is set aside, reach its amount. So callers at the
    same time never exceed it by more than one call's estimate.
    """
    if not _hard_budgets(spend):
        return None
    with unit_of_work() as session:
        lock_writers(session.connection())
        session.execute(delete(BudgetReservation).where(BudgetReservation.expires_at <= now()))
        reservation = Reservation(new_id())
        for state in states(_hard_budgets(spend)):
            if state.spent + _aside(state.budget) >= state.budget.amount_nano:
                raise _used_up(state)
            session.add(
                BudgetReservation(
                    id=reservation.id, budget_id=state.budget.id, amount_nano=spend.estimate_nano, created_at=now(),
                    expires_at=now() + HELD,
                )
            )  # fmt: skip
    return reservation


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money set aside for a call; its usage is to be recorded under the same id."""

    id: str

    def settle(self, cost_nano: int) -> None:
        """Replace the estimate by what the call cost, until its usage is recorded; that may have happened already."""
        kept = update(BudgetReservation).where(BudgetReservation.id == self.id)
        with unit_of_work() as session:
            session.execute(kept.values(amount_nano=cost_nano, expires_at=now() + SETTLED))

    def release(self) -> None:
        """Give the money back: the call was not made."""
        with unit_of_work() as session:
            session.execute(delete(BudgetReservation).where(BudgetReservation.id == self.id))


def _period(budget: Budget, at: int) -> Period:
    return calendar_period(cast("BudgetPeriod", budget.period), at, read_zone(budget.tz))


def _ask(budget: Budget, period: Period) -> Ask | None:
    """Return what a budget asks for; None where its plugin is gone, or counts by the budget's scope no more."""
    dimension = dimension_of(budget.scope)
    measure = declared(measure_for(budget.measure, dimension))
    if measure is None or not {dimension} <= {None, *measure.dimensions}:
        return None
    where = {} if dimension is None else {dimension: budget.scope_key}
    return Ask(measure.name, (period.since, period.until), (), where)


def _amount(measure: Measure, found: Sum) -> int:
    """Return a sum in billionths of the measure's unit."""
    return found.count * NANO if measure.kind == "count" else found.total * NANO // measure.scale


def _known_levels(connection: Connection, state: BudgetState) -> set[int]:
    mine = (_WARNINGS.c.budget_id == state.budget.id, _WARNINGS.c.period_start == state.period.since)
    return set(connection.scalars(select(_WARNINGS.c.level).where(*mine)))


def _warn(connection: Connection, state: BudgetState, level: int) -> None:
    budget, since = state.budget, state.period.since
    row = {"budget_id": budget.id, "period_start": since, "level": level, "at": now()}
    insert_ignore(connection, _WARNINGS, [row])
    publish(
        BudgetCrossed(
            budget_id=budget.id, budget=budget.name, level=level, spent_nano=state.spent, amount_nano=budget.amount_nano,
            period_start=since, hard=budget.hard, ended=state.period.until <= now(), unit=state.unit,
        )
    )  # fmt: skip


def _hard_budgets(spend: Spend) -> list[Budget]:
    # asked before every call, and most places have no hard budget: plain SQL takes a fifth of what objects would
    if db.session().execute(text("SELECT 1 FROM token_budgets WHERE hard LIMIT 1")).first() is None:
        return []
    hard = db.session().scalars(select(Budget).where(Budget.hard).order_by(Budget.id))
    return [budget for budget in hard if budget.scope is None or getattr(spend, budget.scope) == budget.scope_key]


def _aside(budget: Budget) -> int:
    mine = select(func.sum(BudgetReservation.amount_nano)).where(BudgetReservation.budget_id == budget.id)
    return int(db.session().scalar(mine) or 0)


def _used_up(state: BudgetState) -> BudgetUsedUp:
    words = f"The budget {state.budget.name} of ${state.budget.amount_nano / 10**9:,.2f} a {state.budget.period} is used up."
    return BudgetUsedUp(words, retry_after=max(1, (state.period.until - now()) // 1000))


def _changed() -> None:
    after_commit(lambda: runtime().changes.bump(TOPIC))
