"""Budgets: what is spent of them in their own calendar period, where that leads, warnings, and hard limits that hold.

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
    MINUTE,
    Ask,
    BudgetUsedUp,
    NotFound,
    Period,
    Principal,
    Spend,
    after_commit,
    audit,
    db,
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
SCOPES = ("workflow", "agent", "user", "model", "key_id")
HELD = 15 * MINUTE  # how long money stays aside for a call of which nothing is heard; longer than any call
SETTLED = 10 * MINUTE  # how long a settled call waits for its usage, which a worker may record later
TOPIC = "tokens"

_WARNINGS: Table = BudgetWarning.__table__


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget with its running period, and what is spent in it and would be by its end; nano-dollars."""

    budget: Budget
    period: Period
    spent: int
    forecast: int

    @property
    def percent(self) -> int:
        """How much of the budget is spent, in whole percent."""
        return self.spent * 100 // self.budget.amount_nano


def states(found: Sequence[Budget]) -> list[BudgetState]:
    """Return budgets with their spend, all of them from one read.

    The forecast goes on as the period went so far: spend by elapsed time, over the budget's own period.
    """
    at = now()
    periods = [_period(budget, at) for budget in found]
    answers = read_all([_ask(budget, period) for budget, period in zip(found, periods, strict=True)]) if found else []
    states_ = []
    for budget, period, answer in zip(found, periods, answers, strict=True):
        spent = sum(entry.total for entry in answer[0].values())
        forecast = spent * period.length // max(at - period.since, 1)
        states_.append(BudgetState(budget, period, spent, max(spent, forecast)))
    return states_


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
    budget = Budget(id=new_id(), created_at=now(), created_by=principal.name or principal.id, **fields)
    db.session().add(budget)
    audit("budget.created", f"budget:{budget.id}", detail={"name": budget.name, "amount_usd": to_usd(budget.amount_nano)})
    _changed()
    return budget


def change(budget_id: str, fields: dict[str, Any]) -> Budget:
    """Change a budget, in the caller's unit of work. People are told again of levels that it is below from now on."""
    budget = get(budget_id)
    for name, value in fields.items():
        setattr(budget, name, value)
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
    for state in states(list(session.scalars(select(Budget)))):
        reached = [level for level in LEVELS if state.percent >= level]
        known = _known_levels(session.connection(), state) if reached else set()
        for level in reached:
            if level not in known:
                _warn(session.connection(), state, level)
                told += 1
    return told


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


def _ask(budget: Budget, period: Period) -> Ask:
    if budget.scope is None:
        return Ask(counting.COST, (period.since, period.until), ())
    dimension = "key" if budget.scope == "key_id" else budget.scope
    measure = f"{counting.scope_of(dimension)}.cost_usd"
    return Ask(measure, (period.since, period.until), (), {dimension: budget.scope_key})


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
            period_start=since, hard=budget.hard,
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
