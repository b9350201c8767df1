"""Finding ways to spend less, each with the arithmetic and the executions that prove it; nothing where nothing is found.

Looks at the newest calls of the last week, in one bounded statement a kind. Every recommendation is about one workflow and
model, so that somebody can act on it, and says what it would have saved in that week.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, select, text, update

from pilothouse.sdk import DAY, NANO, NotFound, audit, db, now, runtime, unit_of_work
from pilothouse_tokens.book import find_price
from pilothouse_tokens.models import Recommendation
from pilothouse_tokens.pricing import PRICES_FILE
from pilothouse_tokens.rates import Compiled, compile_rates

WINDOW = 7 * DAY
MOST_ROWS = 100_000  # calls that are looked at: a statement reads them in some 50 ms
LEAST_EXECUTIONS = 20  # fewer may be chance
LEAST_FAILED = 5  # executions; each of them is a fact and no statistic
LEAST_SAVING = NANO // 100  # a cent a week; less is not worth reading
PROOF = 100  # executions that a recommendation names, the newest
CACHEABLE = 1_024  # prompt tokens from which providers cache (OpenAI, Anthropic: prompt caching guides)
SHORT_PROMPT, SHORT_ANSWER = 1_000, 150  # tokens of a call that a smaller model does as well
LONG_PROMPT, SMALL_ANSWER = 8_000, 100  # tokens of a call that asks much and gets little
MOST_TRIES = 10  # more calls with equal prompts are a batch, not retries

SMALLER = (
    (r"gpt-4o(?!-mini)", "gpt-4o-mini"), (r"gpt-4\.1(?!-(mini|nano))", "gpt-4.1-mini"), (r"gpt-4(-|$)", "gpt-4o-mini"),
    (r"gpt-5(?!.*(mini|nano))", "gpt-5-mini"), (r"o[13](?!-mini)", "o4-mini"),
    (r"claude-(.*-)?(opus|sonnet)", "claude-haiku-4-5"),
    (r"gemini-[\d.]+-pro", "gemini-2.5-flash"), (r"mistral-large", "mistral-small-latest"),
)  # fmt: skip
GROUP = ("workflow", "model", "provider")

Group = dict[Any, Any]

_TABLE: Table = Recommendation.__table__
_RECENT = "token_usage u WHERE u.seq > :low AND u.at >= :since AND u.counted AND u.execution_id IS NOT NULL"
_SUMS = (
    "COUNT(*) AS calls, COUNT(DISTINCT u.execution_id) AS executions, SUM(u.prompt_tokens) AS prompt_tokens, "
    "SUM(u.completion_tokens) AS completion_tokens, SUM(u.cached_tokens) AS cached_tokens, "
    "MIN(u.prompt_tokens) AS least_prompt, COALESCE(SUM(u.cost_nano), 0) AS cost"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A way to spend less; `condition` is the SQL of the calls behind it."""

    kind: str
    subject: Mapping[str, str | None]
    title: str
    detail: str
    saving: int
    calls: int
    condition: str


def refresh() -> int:
    """Look again, keep what is found and let go of what is not any more; returns how many hold.

    Looking takes seconds where there are many calls, so it is done before the unit of work: nobody waits to write meanwhile.
    """
    connection = db.session().connection()
    at = now()
    newest = connection.scalar(text("SELECT MAX(seq) FROM token_usage")) or 0
    bounds = {"low": newest - MOST_ROWS, "since": at - WINDOW}
    found = [
        (finding, proof)
        for kind in (_short_calls, _uncached_prompts, _retries, _long_prompts, _failures)
        for finding in kind(connection, bounds)
        if finding.saving >= LEAST_SAVING and (proof := _proof(connection, finding, bounds))
    ]
    with unit_of_work() as session:
        connection = session.connection()
        connection.execute(update(_TABLE).values(current=False))
        for finding, proof in found:
            _keep(connection, finding, proof, at)
    return len(found)


def current() -> list[Recommendation]:
    """Return the recommendations that hold and that nobody dismissed, the greatest saving first."""
    holding = select(Recommendation).where(Recommendation.current, Recommendation.dismissed_at.is_(None))
    return list(db.session().scalars(holding.order_by(Recommendation.saving_nano.desc(), Recommendation.id)))


def dismiss(recommendation_id: str) -> Recommendation:
    """Hide a recommendation for good, in the caller's unit of work. Raises NotFound."""
    found = db.session().get(Recommendation, recommendation_id)
    if found is None:
        raise NotFound(f"There is no recommendation {recommendation_id}.")
    found.dismissed_at = found.dismissed_at or now()
    audit("recommendation.dismissed", f"recommendation:{found.id}", detail={"title": found.title})
    return found


def _groups(connection: Connection, condition: str, bounds: Mapping[str, int], having: str) -> list[Group]:
    keys = ", ".join(f"u.{name}" for name in GROUP)
    statement = f"SELECT {keys}, {_SUMS} FROM {_RECENT} AND {condition} GROUP BY {keys} HAVING {having}"  # noqa: S608 - our own words only
    return [dict(row) for row in connection.execute(text(statement), dict(bounds)).mappings()]


def _short_calls(connection: Connection, bounds: Mapping[str, int]) -> Iterator[Finding]:
    """Find short calls of a large model that a smaller one of its family does as well."""
    condition = (
        f"u.prompt_tokens <= {SHORT_PROMPT} AND u.completion_tokens <= {SHORT_ANSWER} AND u.reasoning_tokens = 0 "
        "AND u.cost_nano IS NOT NULL"
    )
    for group in _groups(connection, condition, bounds, f"COUNT(DISTINCT u.execution_id) >= {LEAST_EXECUTIONS}"):
        smaller = next((name for pattern, name in SMALLER if re.match(pattern, group["model"].lower())), None)
        price = _rates(smaller, group["provider"]) if smaller else None
        if price is None:
            continue
        cost = _at(price, group)
        detail = (
            f"{group['calls']:,} calls with at most {SHORT_PROMPT:,} prompt and {SHORT_ANSWER} completion tokens cost "
            f"{_usd(group['cost'])} in 7 days; at the prices of {smaller} they would have cost {_usd(cost)}."
        )
        title = f"Move short calls of {_whose(group)} from {group['model']} to {smaller}"
        yield Finding("cheaper_model", _subject(group), title, detail, int(group["cost"]) - cost, group["calls"], condition)


def _uncached_prompts(connection: Connection, bounds: Mapping[str, int]) -> Iterator[Finding]:
    """Find long prompts of much the same length of which the provider's cache never read a token."""
    condition = (
        f"u.split_known AND u.prompt_tokens >= {CACHEABLE} AND u.cached_tokens = 0 AND u.cache_write_tokens = 0 "
        "AND u.cost_nano IS NOT NULL"
    )
    alike = "2 * MIN(u.prompt_tokens) >= AVG(u.prompt_tokens)"
    for group in _groups(connection, condition, bounds, f"COUNT(DISTINCT u.execution_id) >= {LEAST_EXECUTIONS} AND {alike}"):
        price = _rates(group["model"], group["provider"])
        if price is None:
            continue
        prefix, calls = int(group["least_prompt"]), group["calls"]
        read = _call(prompt_tokens=prefix, cached_tokens=prefix)
        written = _call(prompt_tokens=prefix, cache_write_tokens=prefix)
        plain = _call(prompt_tokens=prefix)
        full, once, again = (price.cost(call) or 0 for call in (plain, written, read))
        detail = (
            f"{calls:,} calls in 7 days sent at least {prefix:,} prompt tokens each and read none of them from the "
            f"provider's cache. As a cached prefix these tokens cost {_usd(again)} a call in place of {_usd(full)}."
        )
        title = f"Let {_whose(group)} cache the start of its prompts to {group['model']}"
        saving = (full - again) * (calls - 1) - (once - full)
        yield Finding("prompt_caching", _subject(group), title, detail, saving, calls, condition)


def _long_prompts(connection: Connection, bounds: Mapping[str, int]) -> Iterator[Finding]:
    """Find very long prompts for a few words of answer."""
    condition = (
        f"u.prompt_tokens >= {LONG_PROMPT} AND u.completion_tokens <= {SMALL_ANSWER} AND 2 * u.cached_tokens < u.prompt_tokens "
        "AND u.cost_nano IS NOT NULL"
    )
    for group in _groups(connection, condition, bounds, f"COUNT(DISTINCT u.execution_id) >= {LEAST_EXECUTIONS}"):
        calls, average = group["calls"], int(group["prompt_tokens"]) // group["calls"]
        detail = (
            f"{calls:,} calls in 7 days sent {average:,} prompt tokens on average for answers of at most {SMALL_ANSWER} "
            f"tokens and cost {_usd(group['cost'])}. Half the context would have saved half of that."
        )
        title = f"Send less context with calls of {_whose(group)} to {group['model']}"
        yield Finding("oversized_context", _subject(group), title, detail, int(group["cost"]) // 2, calls, condition)


def _retries(connection: Connection, bounds: Mapping[str, int]) -> Iterator[Finding]:
    """Find calls with equal prompts to one model within an execution: all but one of them were for nothing."""
    repeated = (
        f"SELECT u.workflow, u.model, u.provider, u.execution_id, COUNT(*) AS tries, "  # noqa: S608 - our own words only
        f"SUM(u.cost_nano) - MAX(u.cost_nano) AS waste FROM {_RECENT} AND u.cost_nano IS NOT NULL AND u.prompt_tokens > 0 "
        "GROUP BY u.workflow, u.model, u.provider, u.execution_id, u.prompt_tokens "
        f"HAVING COUNT(*) BETWEEN 2 AND {MOST_TRIES}"
    )
    statement = (
        f"SELECT workflow, model, provider, SUM(tries) AS calls, COUNT(DISTINCT execution_id) AS executions, "  # noqa: S608
        f"SUM(waste) AS waste FROM ({repeated}) AS repeated GROUP BY workflow, model, provider "
        f"HAVING COUNT(DISTINCT execution_id) >= {LEAST_EXECUTIONS}"
    )
    condition = (
        "u.prompt_tokens > 0 AND u.cost_nano IS NOT NULL AND (SELECT COUNT(*) FROM token_usage o "  # noqa: S608 - our own words only
        "WHERE o.execution_id = u.execution_id AND o.model = u.model AND o.prompt_tokens = u.prompt_tokens AND o.counted "
        "AND o.provider IS NOT DISTINCT FROM u.provider AND o.workflow IS NOT DISTINCT FROM u.workflow "
        f"AND o.cost_nano IS NOT NULL) BETWEEN 2 AND {MOST_TRIES}"
    )
    for row in connection.execute(text(statement), dict(bounds)).mappings():
        group = dict(row)
        detail = (
            f"In {group['executions']:,} executions of the last 7 days calls with the very same prompt length were made "
            f"again, {int(group['calls']):,} in all; the repetitions cost {_usd(group['waste'])}."
        )
        title = f"Find out why {_whose(group)} repeats its calls to {group['model']}"
        waste = int(group["waste"])
        yield Finding("retry_waste", _subject(group), title, detail, waste, int(group["calls"]), condition)


def _failures(connection: Connection, bounds: Mapping[str, int]) -> Iterator[Finding]:
    """Find calls of executions that failed: they were paid for and brought nothing."""
    condition = "EXISTS (SELECT 1 FROM token_failed_executions f WHERE f.execution_id = u.execution_id)"
    for group in _groups(connection, condition, bounds, f"COUNT(DISTINCT u.execution_id) >= {LEAST_FAILED}"):
        detail = (
            f"{group['executions']:,} executions of the last 7 days failed after {group['calls']:,} calls to "
            f"{group['model']}, which cost {_usd(group['cost'])}."
        )
        title = f"Keep {_whose(group)} from failing after it has paid for {group['model']}"
        yield Finding("failed_calls", _subject(group), title, detail, int(group["cost"]), group["calls"], condition)


def _proof(connection: Connection, finding: Finding, bounds: Mapping[str, int]) -> list[str]:
    """Return the newest executions behind a finding."""
    names = [f"u.{name} = :{name}" if value is not None else f"u.{name} IS NULL" for name, value in finding.subject.items()]
    statement = (
        f"SELECT u.execution_id FROM {_RECENT} AND {finding.condition} AND {' AND '.join(names)} "  # noqa: S608 - our own words only
        f"GROUP BY u.execution_id ORDER BY MAX(u.at) DESC, u.execution_id LIMIT {PROOF}"
    )
    return list(connection.scalars(text(statement), {**bounds, **finding.subject}))


def _keep(connection: Connection, finding: Finding, proof: Sequence[str], at: int) -> None:
    name = msgspec.json.encode([finding.kind, *finding.subject.values()])
    key = hashlib.sha256(name).hexdigest()[:32]
    values = {
        "kind": finding.kind, "title": finding.title, "detail": finding.detail, "saving_nano": finding.saving,
        "executions": msgspec.json.encode(list(proof)).decode(), "calls": finding.calls, "found_at": at, "current": True,
    }  # fmt: skip
    if connection.execute(update(_TABLE).where(_TABLE.c.id == key).values(values)).rowcount == 0:
        connection.execute(_TABLE.insert().values(id=key, dismissed_at=None, **values))


def _rates(model: str, provider: str | None) -> Compiled | None:
    """Return the rates of the shortest prompts of a model: sums over many calls belong to no tier."""
    found = find_price(model, now(), provider=provider, file=runtime().settings[PRICES_FILE])
    return None if found is None else compile_rates(msgspec.structs.replace(found.rates, tiers=found.rates.tiers[:1]))


def _at(price: Compiled, group: Group) -> int:
    sums = {name: int(group[name]) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")}
    return price.cost(_call(**sums)) or 0


def _call(**counts: int) -> SimpleNamespace:
    parts = ("completion_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens")
    return SimpleNamespace(**{**dict.fromkeys(parts, 0), "latency_ms": None, **counts})


def _subject(group: Group) -> dict[str, str | None]:
    return {name: group[name] for name in GROUP}


def _whose(group: Group) -> str:
    return str(group["workflow"] or "executions without a workflow")


def _usd(nano: Any) -> str:
    return f"${int(nano) / NANO:,.4f}" if int(nano) < NANO // 10 else f"${int(nano) / NANO:,.2f}"
