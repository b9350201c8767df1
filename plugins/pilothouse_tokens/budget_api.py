"""The HTTP endpoints of budgets."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    ApiBlueprint,
    FieldError,
    Invalid,
    Limit,
    Page,
    declared,
    page_of,
    parse_usd,
    read_cursor,
    read_zone,
    require,
    to_rfc3339,
    to_usd,
)
from pilothouse_tokens import budgets, counting
from pilothouse_tokens.budgets import SCOPES, BudgetState
from pilothouse_tokens.models import Budget
from pilothouse_tokens.periods import BudgetPeriod
from pilothouse_tokens.permissions import BUDGETS, VIEW

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Amount = Annotated[str, msgspec.Meta(max_length=40)] | float | int


class BudgetsQuery(msgspec.Struct, frozen=True):
    """The page."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class BudgetBody(msgspec.Struct, frozen=True, kw_only=True):
    """A budget for one workflow, agent, user, model or key, or for the whole team; `tz` is the zone of its calendar.

    A hard budget also stops calls that ask before they are made, such as those through the gateway. `measure` may be any that
    counts or sums, of any plugin: amounts are in its unit then, whatever their fields are called.
    """

    name: Name
    amount_usd: Amount
    period: BudgetPeriod = "month"
    tz: Annotated[str, msgspec.Meta(max_length=255)] = "UTC"
    hard: bool = False
    measure: Name = counting.COST
    workflow: Name | None = None
    agent: Name | None = None
    user: Name | None = None
    model: Name | None = None
    key_id: Name | None = None


class BudgetChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a budget; a field that is left out stays."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    amount_usd: Amount | msgspec.UnsetType = msgspec.UNSET
    period: BudgetPeriod | msgspec.UnsetType = msgspec.UNSET
    tz: Annotated[str, msgspec.Meta(max_length=255)] | msgspec.UnsetType = msgspec.UNSET
    hard: bool | msgspec.UnsetType = msgspec.UNSET
    measure: Name | msgspec.UnsetType = msgspec.UNSET
    workflow: Name | msgspec.UnsetType | None = msgspec.UNSET
    agent: Name | msgspec.UnsetType | None = msgspec.UNSET
    user: Name | msgspec.UnsetType | None = msgspec.UNSET
    model: Name | msgspec.UnsetType | None = msgspec.UNSET
    key_id: Name | msgspec.UnsetType | None = msgspec.UNSET


class BudgetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A budget with what is spent in its running period, and what would be by the period's end at this pace.

    Amounts are in `unit`: USD, but for budgets of other measures than spend.
    """

    id: str
    name: str
    amount_usd: str
    period: str
    tz: str
    hard: bool
    measure: str
    unit: str
    workflow: str | None
    agent: str | None
    user: str | None
    model: str | None
    key_id: str | None
    spent_usd: str
    forecast_usd: str
    period_start: str
    period_end: str
    created_at: str
    created_by: str | None


def add_routes(bp: ApiBlueprint) -> None:
    """Add the routes of budgets to the plugin's blueprint."""
    bp.get("/tokens/budgets", permission=VIEW)(list_budgets)
    bp.post("/tokens/budgets", permission=BUDGETS, status=201)(create_budget)
    bp.patch("/tokens/budgets/<budget_id>", permission=BUDGETS)(change_budget)
    bp.delete("/tokens/budgets/<budget_id>", permission=BUDGETS)(delete_budget)


def list_budgets(query: BudgetsQuery) -> Page[BudgetRecord]:
    """List the budgets, newest first, with their spend."""
    after = read_cursor(query.cursor) if query.cursor else None
    rows, cursor = page_of(budgets.page(query.limit, after), query.limit, lambda r: (r.created_at, r.id))
    return Page([budget_record(state) for state in budgets.states(rows)], cursor)


def create_budget(body: BudgetBody) -> BudgetRecord:
    """Make a budget. People are told when 50, 80 and 100 percent of it are spent, once each in a period."""
    [state] = budgets.states([budgets.create(read_budget(msgspec.structs.asdict(body)), require(BUDGETS))])
    return budget_record(state)


def change_budget(budget_id: str, body: BudgetChange) -> BudgetRecord:
    """Change the fields that are given; returns the budget with what is spent. 404 where there is none, 422 names a field."""
    given = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not msgspec.UNSET}
    [state] = budgets.states([budgets.change(budget_id, read_budget(given, budget_id))])
    return budget_record(state)


def delete_budget(budget_id: str) -> None:
    """Delete a budget, and with it the limit that it set; what was spent stays recorded. 404 where there is none."""
    budgets.remove(budget_id)


def read_budget(given: dict[str, Any], budget_id: str | None = None) -> dict[str, Any]:
    """Turn the fields of a body into those of the model; what is not given is left out. Raises Invalid, NotFound."""
    fields: dict[str, Any] = {name: given[name] for name in ("name", "period", "hard", "measure") if name in given}
    faults: list[FieldError] = []
    if "amount_usd" in given:
        try:
            fields["amount_nano"] = parse_usd(given["amount_usd"])
        except ValueError as fault:
            faults.append(FieldError("amount_usd", str(fault)))
        if fields.get("amount_nano") == 0:
            faults.append(FieldError("amount_usd", "must be more than 0"))
    if "tz" in given:
        fields["tz"] = read_zone(given["tz"]).key
    scopes = _scopes(given, budget_id)
    if len(scopes) > 1:
        faults.append(FieldError(scopes[1][0], f"a budget is for one of {', '.join(SCOPES)}, or for none of them"))
    else:
        faults += _measure_faults(given, scopes, budgets.get(budget_id) if budget_id is not None else None)
    if faults:
        raise Invalid("; ".join(f"{fault.path}: {fault.message}" for fault in faults), faults)
    if any(name in given for name in SCOPES):
        fields["scope"], fields["scope_key"] = scopes[0] if scopes else (None, None)
    return fields


def budget_record(state: BudgetState) -> BudgetRecord:
    """Return the record of a budget."""
    budget = state.budget
    return BudgetRecord(
        id=budget.id,
        name=budget.name,
        amount_usd=to_usd(budget.amount_nano),
        period=budget.period,
        tz=budget.tz,
        hard=budget.hard,
        measure=budget.measure,
        unit=state.unit,
        **{name: budget.scope_key if budget.scope == name else None for name in SCOPES},
        spent_usd=to_usd(state.spent),
        forecast_usd=to_usd(state.forecast),
        period_start=to_rfc3339(state.period.since),
        period_end=to_rfc3339(state.period.until),
        created_at=to_rfc3339(budget.created_at),
        created_by=budget.created_by,
    )


def _scopes(given: dict[str, Any], budget_id: str | None) -> list[tuple[str, str]]:
    """Return the scopes that a budget has with these fields: those that stay and those that are given."""
    wanted = {name: given[name] for name in SCOPES if name in given}
    if budget_id is not None:
        budget = budgets.get(budget_id)
        if budget.scope is not None:
            wanted = {budget.scope: budget.scope_key, **wanted}
    return [(name, value) for name, value in wanted.items() if value is not None]


def _measure_faults(given: dict[str, Any], scopes: list[tuple[str, str]], budget: Budget | None) -> list[FieldError]:
    """Return what is wrong about the measure that a budget has with these fields."""
    name = given.get("measure", counting.COST if budget is None else budget.measure)
    hard = given.get("hard", budget is not None and budget.hard)
    if hard and name != counting.COST:
        return [FieldError("hard" if "hard" in given else "measure", "only a budget of spend can stop calls")]
    scope = scopes[0][0] if scopes else None
    dimension = budgets.dimension_of(scope)
    measure = declared(budgets.measure_for(name, dimension))
    if measure is None or (name != counting.COST and not budgets.may_have_budget(measure)):
        return [FieldError("measure", "must be a measure of /api/analytics/measures that counts or sums")]
    if scope is not None and dimension not in measure.dimensions:
        return [FieldError(scope, f"{name} is not kept apart by {scope}")]
    return []
