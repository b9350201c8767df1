"""Tables of token usage, prices, budgets and recommendations, with the index that serves each lookup."""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, ForeignKey, Index, Integer, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Json, Millis, Model, Name, Nanodollars

Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself in INTEGER keys only


class TokenUsageRow(Model):
    """What one model call used and cost.

    `seq` numbers the rows in the order of their commits. `counted` is false for a sum whose parts are known too (see
    `leaves`). `inherits` says what follows the execution: 1 its workflow, 2 its agent. `cost_nano` is null while the model
    is unpriced; `price_id` is null where the source reported the cost.
    """

    __tablename__ = "token_usage"
    __table_args__ = (
        Index("ix_token_usage_at", "at", "seq"),
        Index("ix_token_usage_response", "response_id", unique=True, sqlite_where=text("response_id IS NOT NULL"),
              postgresql_where=text("response_id IS NOT NULL")),
        Index("ix_token_usage_execution", "execution_id", sqlite_where=text("execution_id IS NOT NULL"),
              postgresql_where=text("execution_id IS NOT NULL")),
        Index("ix_token_usage_step", "step_id", sqlite_where=text("step_id IS NOT NULL"),
              postgresql_where=text("step_id IS NOT NULL")),
        Index("ix_token_usage_provisional", "execution_id", "seq", sqlite_where=text("provisional"),
              postgresql_where=text("provisional")),
        Index("ix_token_usage_unpriced", "model", "seq", sqlite_where=text("cost_nano IS NULL"),
              postgresql_where=text("cost_nano IS NULL")),
    )  # fmt: skip

    seq: Mapped[int] = mapped_column(Serial, primary_key=True)
    id: Mapped[str] = mapped_column(Id, unique=True)
    execution_id: Mapped[str | None] = mapped_column(Id, ForeignKey("executions.id", ondelete="CASCADE"))
    workflow_id: Mapped[str | None] = mapped_column(Id)
    workflow: Mapped[str | None] = mapped_column(Name)
    agent: Mapped[str | None] = mapped_column(Name)
    inherits: Mapped[int] = mapped_column(SmallInteger)
    user: Mapped[str | None] = mapped_column(Name)
    key_id: Mapped[str | None] = mapped_column(Name)
    provider: Mapped[str | None] = mapped_column(Name)
    model: Mapped[str] = mapped_column(Name)
    request_model: Mapped[str | None] = mapped_column(Name)
    service_tier: Mapped[str | None] = mapped_column(Name)
    response_id: Mapped[str | None] = mapped_column(Name)
    step_id: Mapped[str | None] = mapped_column(Id)
    parent_id: Mapped[str | None] = mapped_column(Id)
    at: Mapped[int] = mapped_column(Millis)
    latency_ms: Mapped[float | None] = mapped_column(Double)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_write_1h_tokens: Mapped[int] = mapped_column(BigInteger)
    reasoning_tokens: Mapped[int] = mapped_column(BigInteger)
    split_known: Mapped[bool]
    usage_source: Mapped[str] = mapped_column(Name)
    provisional: Mapped[bool]
    counted: Mapped[bool]
    cost_nano: Mapped[int | None] = mapped_column(Nanodollars)
    cost_reported: Mapped[int | None] = mapped_column(Nanodollars)
    price_id: Mapped[str | None] = mapped_column(Id)


class TokenSum(Model):
    """A step that has usage anywhere below it: usage that is found on it is a sum, and does not count."""

    __tablename__ = "token_sums"
    __table_args__ = (Index("ix_token_sums_execution", "execution_id"), {"sqlite_with_rowid": False})

    step_id: Mapped[str] = mapped_column(Id, primary_key=True)
    execution_id: Mapped[str] = mapped_column(Id, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)


class TokenPrice(Model):
    """A price that a person set, or one of the price book that some usage was priced by. `rates` is JSON (see `rates`).

    `lookup` is the model in lower case, by which usage finds a person's price. Rows are never changed: another price for the
    same start replaces this one, which then has `ended_at`.
    """

    __tablename__ = "token_prices"
    __table_args__ = (
        Index("ix_token_prices_lookup", "lookup", "valid_from"),
        Index("ix_token_prices_own", "created_at", "id", sqlite_where=text("source = 'own'"),
              postgresql_where=text("source = 'own'")),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    provider: Mapped[str | None] = mapped_column(Name)
    model: Mapped[str] = mapped_column(Name)
    lookup: Mapped[str] = mapped_column(Name)
    source: Mapped[str] = mapped_column(Name)
    valid_from: Mapped[int] = mapped_column(Millis)
    rates: Mapped[str] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(Millis)
    created_by: Mapped[str | None] = mapped_column(Name)
    ended_at: Mapped[int | None] = mapped_column(Millis)


class UnpricedModel(Model):
    """A model of which usage came that nothing prices: told about once, until it has a price."""

    __tablename__ = "token_unpriced_models"
    __table_args__ = (Index("ix_token_unpriced_models_lookup", "lookup"),)

    model: Mapped[str] = mapped_column(Name, primary_key=True)
    lookup: Mapped[str] = mapped_column(Name)
    provider: Mapped[str | None] = mapped_column(Name)
    first_at: Mapped[int] = mapped_column(Millis)


class Repricing(Model):
    """One run of pricing the past again: what it looked at and what it changed."""

    __tablename__ = "token_repricings"
    __table_args__ = (Index("ix_token_repricings_created", "created_at"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    model: Mapped[str | None] = mapped_column(Name)
    since: Mapped[int] = mapped_column(Millis)
    created_at: Mapped[int] = mapped_column(Millis)
    created_by: Mapped[str | None] = mapped_column(Name)
    position: Mapped[int] = mapped_column(BigInteger)
    until: Mapped[int] = mapped_column(BigInteger)
    examined: Mapped[int] = mapped_column(BigInteger)
    changed: Mapped[int] = mapped_column(BigInteger)
    difference_nano: Mapped[int] = mapped_column(Nanodollars)
    finished_at: Mapped[int | None] = mapped_column(Millis)


class Budget(Model):
    """A limit on what is spent in each calendar day, week or month of a time zone, for all usage or one value of one scope.

    `measure` says of what: dollars of spend, else billionths of the unit of the measure.
    """

    __tablename__ = "token_budgets"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    measure: Mapped[str] = mapped_column(Name)
    amount_nano: Mapped[int] = mapped_column(Nanodollars)
    period: Mapped[str] = mapped_column(Name)
    tz: Mapped[str] = mapped_column(Name)
    hard: Mapped[bool]
    scope: Mapped[str | None] = mapped_column(Name)
    scope_key: Mapped[str | None] = mapped_column(Name)
    created_at: Mapped[int] = mapped_column(Millis)
    created_by: Mapped[str | None] = mapped_column(Name)
    changed_at: Mapped[int] = mapped_column(Millis)


class BudgetWarning(Model):
    """A budget crossed a level (percent) in a period: written once, so that people are told once."""

    __tablename__ = "token_budget_warnings"

    budget_id: Mapped[str] = mapped_column(Id, ForeignKey("token_budgets.id", ondelete="CASCADE"), primary_key=True)
    period_start: Mapped[int] = mapped_column(Millis, primary_key=True, autoincrement=False)
    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(Millis)


class BudgetReservation(Model):
    """Money set aside in one hard budget for a call; gone when the call's usage is recorded under the reservation's id."""

    __tablename__ = "token_reservations"
    __table_args__ = (Index("ix_token_reservations_budget", "budget_id"), Index("ix_token_reservations_expires", "expires_at"))

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    budget_id: Mapped[str] = mapped_column(Id, ForeignKey("token_budgets.id", ondelete="CASCADE"), primary_key=True)
    amount_nano: Mapped[int] = mapped_column(Nanodollars)
    created_at: Mapped[int] = mapped_column(Millis)
    expires_at: Mapped[int] = mapped_column(Millis)


class FailedExecution(Model):
    """An execution that failed or timed out: its calls were paid for and brought nothing."""

    __tablename__ = "token_failed_executions"

    execution_id: Mapped[str] = mapped_column(Id, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[int] = mapped_column(Millis)


class Recommendation(Model):
    """A way to spend less, with what it would have saved and the executions that prove it (JSON list of ids)."""

    __tablename__ = "token_recommendations"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(Name)
    title: Mapped[str] = mapped_column(Json)
    detail: Mapped[str] = mapped_column(Json)
    saving_nano: Mapped[int] = mapped_column(Nanodollars)
    executions: Mapped[str] = mapped_column(Json)
    calls: Mapped[int]
    found_at: Mapped[int] = mapped_column(Millis)
    dismissed_at: Mapped[int | None] = mapped_column(Millis)
    current: Mapped[bool]


MODELS = (
    TokenUsageRow, TokenSum, TokenPrice, UnpricedModel, Repricing, Budget, BudgetWarning, BudgetReservation, FailedExecution,
    Recommendation,
)  # fmt: skip
