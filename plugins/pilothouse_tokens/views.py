"""The page of tokens: spend and who spends it, the calls behind it, budgets and prices."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
from flask import Response, request, url_for
from werkzeug.datastructures import MultiDict

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    MINUTE,
    OTHER,
    Chart,
    ConsoleView,
    FieldError,
    Invalid,
    Period,
    Series,
    current_prefs,
    done,
    expose,
    needs,
    now,
    page_of,
    read_cursor,
    read_period,
    read_query,
    require,
    runtime,
    unit_of_work,
)
from pilothouse_tokens import api, budget_api, budgets, counting, price_api, queries, recommending, service
from pilothouse_tokens.api import BreakdownQuery, RecordsQuery
from pilothouse_tokens.periods import Interval, interval_for
from pilothouse_tokens.permissions import BUDGETS, PRICES, VIEW
from pilothouse_tokens.queries import Overview, Totals
from pilothouse_tokens.rates import Rates

RANGE = "7d"  # whole weeks compare like with like
TABS = ("overview", "calls", "budgets", "prices")
DIMENSIONS = (
    ("model", "Model"), ("agent", "Agent"), ("workflow", "Workflow"), ("user", "User"), ("key", "Key"),
    ("provider", "Provider"),
)  # fmt: skip
LARGEST = 4  # models with a colour of their own; the rest is one series
MOST_LINKS = 60  # buckets that lead to their calls; of more, one zooms in first: hundreds of links would weigh on the page
LINES = 50  # of a breakdown that the page shows; the rest is one line
TONES = ("c1", "c2", "c3", "c4")
KINDS = {
    "cheaper_model": "Smaller model", "prompt_caching": "Prompt caching", "retry_waste": "Retries",
    "oversized_context": "Long context", "failed_calls": "Failed runs",
}  # fmt: skip


class TokensView(ConsoleView):
    """What AI calls used and cost."""

    title = "Tokens"
    path = "/tokens"
    permission = VIEW

    @expose("/")
    def index(self) -> Any:
        """Show one of the page's tabs."""
        return self._page()

    @expose("/prices", methods=("POST",))
    @needs(PRICES)
    def set_price(self) -> Any:
        """Set a price; usage since then is priced anew in the background."""
        form = request.form
        given = {name: form[name].strip() for name in _price_fields() if form.get(name, "").strip()}
        model = form.get("model", "").strip()
        try:
            body = _convert(given, price_api.PriceBody)
            rates = _read_rates(model, body)
            with unit_of_work():
                service.set_price(model, rates, require(PRICES), valid_from=_start(body, form), provider=body.provider)
        except Invalid as fault:
            return self._page("prices", form, fault)
        return done(f"The price of {model} is set; its past is being priced", url_for(".index", tab="prices"))

    @expose("/prices/remove", methods=("POST",))
    @needs(PRICES)
    def remove_price(self) -> Response:
        """Remove one's own prices of a model."""
        model = request.form.get("model", "")
        with unit_of_work():
            service.remove_price(model, require(PRICES))
        return done(f"Your prices of {model} are removed", url_for(".index", tab="prices"))

    @expose("/budgets", methods=("POST",))
    @needs(BUDGETS)
    def create_budget(self) -> Any:
        """Make a budget."""
        try:
            fields = budget_api.read_budget(msgspec.structs.asdict(_convert(_budget(request.form), budget_api.BudgetBody)))
            with unit_of_work():
                budgets.create(fields, require(BUDGETS))
        except Invalid as fault:
            return self._page("budgets", request.form, _in_form(fault))
        return done(f"The budget {fields['name']} is set", url_for(".index", tab="budgets"))

    @expose("/budgets/<budget_id>/delete", methods=("POST",))
    @needs(BUDGETS)
    def delete_budget(self, budget_id: str) -> Response:
        """Delete a budget."""
        with unit_of_work():
            budgets.remove(budget_id)
        return done("The budget is deleted", url_for(".index", tab="budgets"))

    @expose("/recommendations/<recommendation_id>/dismiss", methods=("POST",))
    @needs(PRICES)
    def dismiss(self, recommendation_id: str) -> Response:
        """Hide a recommendation."""
        with unit_of_work():
            recommending.dismiss(recommendation_id)
        return done("The recommendation is hidden", url_for(".index"))

    def _page(self, tab: str = "", form: Mapping[str, str] | None = None, fault: Invalid | None = None) -> Any:
        tab = tab or request.args.get("tab", "")
        tab = tab if tab in TABS else TABS[0]
        shown = {"overview": _overview, "calls": _calls, "budgets": _budgets, "prices": _prices}[tab]()
        page = self.render(
            "tokens/index.html", tab=tab, form=form or request.args, faults=_faults(fault), dimensions=DIMENSIONS,
            may_price=self.may(PRICES), may_budget=self.may(BUDGETS), zone=_zone(), **shown,
        )  # fmt: skip
        return Response(page, fault.status if fault is not None else 200)


def _overview() -> dict[str, Any]:
    query, period, range_ = _read_period()
    by = query.by if query.by != "day" else "model"
    zone, interval = _zone(), interval_for(period)
    found = queries.overview(period, interval, zone, by, LINES)
    unpriced = queries.unpriced_models()
    return {
        "range": range_, "by": by, "found": found, "chart": _chart(found, interval, zone, (period.since, period.until)),
        "lines": list(_lines(found)), "other": OTHER, "unpriced": unpriced,
        "previous": found.usage.previous, "totals": found.usage.totals, "spark": functools.partial(_spark, found),
        "each": _per(found.usage.totals.cost, found.executions), "tightest": _tightest(),
        "recommendations": [(KINDS[r.kind], api.recommendation_record(r), r.saving_nano) for r in recommending.current()],
        "first_use": not found.usage.totals.calls and not found.usage.previous.calls and range_ == RANGE,
    }  # fmt: skip


def _calls() -> dict[str, Any]:
    """Show the calls behind a figure, newest first; what is no filter is passed over, so that an old link still opens."""
    arguments = request.args.to_dict(flat=False)
    try:
        query = read_query(arguments, RecordsQuery)
        period = read_period(query.range or (None if query.since else RANGE), query.since, query.until)
    except Invalid as fault:
        wrong = {error.path.partition("[")[0] for error in fault.errors}
        query = read_query({name: values for name, values in arguments.items() if name not in wrong}, RecordsQuery)
        period = read_period(RANGE)
    after = read_cursor(query.cursor) if query.cursor else None
    rows = queries.calls(period, query.where(), DEFAULT_LIMIT, after)
    rows, cursor = page_of(rows, DEFAULT_LIMIT, lambda r: (r.at, str(r.seq)))
    sources = queries.prices_by_id([row.price_id for row in rows if row.price_id])
    return {"range": _range_name(query), "rows": rows, "older": cursor, "where": query.where(), "sources": sources}


def _budgets() -> dict[str, Any]:
    measures = [(m.name, m.title, m.unit) for _, m in runtime().registry.all("measures") if budgets.may_have_budget(m)]
    measures.sort(key=lambda measure: (measure[0] != counting.COST, measure[1]))
    return {"range": None, "states": budgets.states(budgets.page(500)), "measures": measures}


def _prices() -> dict[str, Any]:
    try:
        listed = price_api.list_prices(read_query(request.args.to_dict(flat=False), price_api.PricesQuery))
    except Invalid:
        listed = price_api.list_prices(price_api.PricesQuery())
    return {
        "range": None, "prices": listed.data, "older": listed.next_cursor, "q": request.args.get("q", ""),
        "unpriced": queries.unpriced_models(), "repricings": queries.repricings(5),
    }  # fmt: skip


def _read_period() -> tuple[BreakdownQuery, Period, str]:
    """Read the page's period; what cannot be read is passed over, so that an old link still opens."""
    arguments = request.args.to_dict(flat=False)
    try:
        query = read_query(arguments, BreakdownQuery)
        return query, read_period(query.range, query.since, query.until, default=RANGE), _range_name(query)
    except Invalid:
        return BreakdownQuery(), read_period(RANGE), RANGE


def _range_name(query: BreakdownQuery | RecordsQuery) -> str:
    return "custom" if query.since is not None or query.until is not None else query.range or RANGE


def _chart(found: Overview, interval: Interval, zone: ZoneInfo, ends: tuple[int, int]) -> Chart:
    """Return spend by model as stacked bars: the dearest four, then the rest together."""
    spend: dict[str | None, int] = {}
    for _, models in found.by_model:
        for model, line in models.items():
            spend[model] = spend.get(model, 0) + line.cost_nano
    order = sorted((model for model, cost in spend.items() if cost), key=lambda model: (-spend[model], model or ""))
    named, rest = order[:LARGEST], order[LARGEST:]
    stacks = [(model or "unnamed", [_cost(models, (model,)) for _, models in found.by_model]) for model in named]
    if rest:
        stacks.append((f"{len(rest)} more", [_cost(models, rest) for _, models in found.by_model]))
    base = [0] * len(found.by_model)
    series = []
    for (name, values), tone in zip(stacks, (*TONES, "c5"), strict=False):
        series.append(Series(name, values, "bar", tone, tuple(base)))
        base = [floor + value for floor, value in zip(base, values, strict=True)]
    at = [at for at, _ in found.by_model]
    title = f"Spend by {interval}"
    rows = url_for(".index", tab="calls") if len(at) <= MOST_LINKS else ""
    return Chart(
        title, series or [Series("Spend", base, "bar")], at, "money", zone, open_end=ends[1] > now() - MINUTE,
        zoom=request.path, rows=rows, ends=ends,
    )  # fmt: skip


def _cost(models: Mapping[str | None, Totals], names: Sequence[str | None]) -> int:
    return sum(models[name].cost_nano for name in names if name in models)


def _lines(found: Overview) -> Any:
    """Yield key, totals, those before, and the share of each line of the breakdown."""
    past = {key: before for key, _, before in found.lines}
    shown = [(key, line) for key, line, _ in found.lines]
    for key, line, share in api.shares(shown):
        yield key, line, past[key], share


def _spark(found: Overview, figure: str) -> list[int]:
    """Return a figure of each bucket but the last, which is not over: it would always fall."""
    return [getattr(line, figure) for _, line in found.usage.series[:-1]]


def _per(cost: int | None, number: int) -> float | None:
    return cost / number if number and cost is not None else None


def _tightest() -> Any:
    """Return the budget of spend of which the greatest part is spent."""
    found = [budget for budget in budgets.page(500) if budget.measure == counting.COST]
    return max(budgets.states(found), key=lambda state: state.percent, default=None)


def _zone() -> ZoneInfo:
    return cast("ZoneInfo", current_prefs().zone)


def _price_fields() -> list[str]:
    return [name for name in price_api.PriceBody.__struct_fields__ if name not in {"tiers", "valid_from"}]


def _start(body: price_api.PriceBody, form: Mapping[str, str]) -> int | None:
    """Return from when a price holds: what was chosen, else what fits the model."""
    return {"always": 0, "now": now()}.get(form.get("from", ""), body.valid_from)


def _budget(form: MultiDict[str, str]) -> dict[str, str]:
    given = {name: form[name].strip() for name in ("name", "amount_usd", "period", "tz", "measure") if form.get(name)}
    given["hard"] = "true" if form.get("hard") else "false"
    if form.get("scope") in budgets.SCOPES:
        given[form["scope"]] = form.get("scope_key", "").strip()
        if not given[form["scope"]]:
            raise Invalid.field("scope_key", "is required for a budget that is not for the whole team")
    return given


def _in_form(fault: Invalid) -> Invalid:
    """Name the form's field where the scope of a budget is wrong."""
    errors = [FieldError("scope_key" if error.path in budgets.SCOPES else error.path, error.message) for error in fault.errors]
    return Invalid(fault.detail, errors)


def _read_rates(model: str, body: price_api.PriceBody) -> Rates:
    """Read rates out of a form. Raises Invalid with every wrong field, the model's name among them."""
    missing = [] if model else [FieldError("model", "is required")]
    try:
        rates = price_api.read_price(body)
    except Invalid as fault:
        raise Invalid(fault.detail, [*missing, *fault.errors]) from None
    if missing:
        raise Invalid("model: is required", missing)
    return rates


def _convert(given: Mapping[str, str], kind: Any) -> Any:
    """Turn a form into a body. Raises Invalid with every wrong field."""
    return read_query({name: [value] for name, value in given.items()}, kind)


def _faults(fault: Invalid | None) -> dict[str, str]:
    return {error.path: error.message for error in fault.errors} if fault is not None else {}
