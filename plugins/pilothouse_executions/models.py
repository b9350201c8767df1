"""Tables of workflows, executions and steps, with the index that serves each list and lookup."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Json, Millis, Model, Name, Nanodollars


class Workflow(Model):
    """A named kind of work; made when its first execution is reported."""

    __tablename__ = "workflows"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    created_at: Mapped[int] = mapped_column(Millis)


class Execution(Model):
    """One run. `sorted_at` is `started_at`, else `created_at`: what lists go by.

    `levels` says for each merged field what rank the report had that it comes from (see `merging`). `reported` is false
    for a placeholder: only children of the execution were heard of.
    """

    __tablename__ = "executions"
    __table_args__ = (
        Index("ix_executions_sorted", "sorted_at", "id"),
        Index("ix_executions_workflow", "workflow_id", "sorted_at", "id"),
        Index("ix_executions_status", "status", "sorted_at", "id"),
        Index("ix_executions_agent", "agent", "sorted_at", "id", sqlite_where=text("agent IS NOT NULL"),
              postgresql_where=text("agent IS NOT NULL")),
        Index("ix_executions_environment", "environment", "sorted_at", "id",
              sqlite_where=text("environment IS NOT NULL"), postgresql_where=text("environment IS NOT NULL")),
        Index("ix_executions_session", "session", "sorted_at", "id", sqlite_where=text("session IS NOT NULL"),
              postgresql_where=text("session IS NOT NULL")),
        Index("ix_executions_parent", "parent_id", sqlite_where=text("parent_id IS NOT NULL"),
              postgresql_where=text("parent_id IS NOT NULL")),
        Index("ix_executions_silent", "heard_at", sqlite_where=text("status IN ('queued', 'running')"),
              postgresql_where=text("status IN ('queued', 'running')")),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    workflow_id: Mapped[str | None] = mapped_column(Id, ForeignKey("workflows.id"))
    status: Mapped[str] = mapped_column(Name)
    trigger: Mapped[str | None] = mapped_column(Name)
    agent: Mapped[str | None] = mapped_column(Name)
    user: Mapped[str | None] = mapped_column(Name)
    session: Mapped[str | None] = mapped_column(Name)
    environment: Mapped[str | None] = mapped_column(Name)
    release: Mapped[str | None] = mapped_column(Name)
    parent_id: Mapped[str | None] = mapped_column(Id)
    started_at: Mapped[int | None] = mapped_column(Millis)
    finished_at: Mapped[int | None] = mapped_column(Millis)
    sorted_at: Mapped[int] = mapped_column(Millis)
    created_at: Mapped[int] = mapped_column(Millis)
    heard_at: Mapped[int] = mapped_column(Millis)
    reported: Mapped[bool]
    levels: Mapped[str | None] = mapped_column(Json)
    token_id: Mapped[str | None] = mapped_column(Id)
    error_count: Mapped[int] = mapped_column(default=0)
    total_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cost_nano: Mapped[int | None] = mapped_column(Nanodollars)
    attributes: Mapped[str | None] = mapped_column(Json)
    input: Mapped[str | None] = mapped_column(Json)
    output: Mapped[str | None] = mapped_column(Json)


class Step(Model):
    """One step of an execution; steps form a tree by `parent_id`."""

    __tablename__ = "steps"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - rows lie in the order of the key: a run's steps together

    execution_id: Mapped[str] = mapped_column(Id, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    parent_id: Mapped[str | None] = mapped_column(Id)
    name: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(Name)
    status: Mapped[str] = mapped_column(Name)
    started_at: Mapped[int | None] = mapped_column(Millis)
    finished_at: Mapped[int | None] = mapped_column(Millis)
    created_at: Mapped[int] = mapped_column(Millis)
    levels: Mapped[str | None] = mapped_column(Json)
    attributes: Mapped[str | None] = mapped_column(Json)
    input: Mapped[str | None] = mapped_column(Json)
    output: Mapped[str | None] = mapped_column(Json)


class ExecutionError(Model):
    """An error of an execution, as its own page shows it; the errors plugin keeps the whole."""

    __tablename__ = "execution_errors"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - see Step

    execution_id: Mapped[str] = mapped_column(Id, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    error_type: Mapped[str] = mapped_column(Name)
    message: Mapped[str] = mapped_column(Json)
    at: Mapped[int] = mapped_column(Millis)


class ExecutionUsage(Model):
    """The sum of an execution's token usage."""

    __tablename__ = "execution_usage"

    execution_id: Mapped[str] = mapped_column(Id, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)
    calls: Mapped[int]
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger)
    reasoning_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_nano: Mapped[int] = mapped_column(Nanodollars)
    unpriced_records: Mapped[int]


class ExecutionLabel(Model):
    """An agent, environment or trigger that was ever reported: short lists for filters and for search by substring."""

    __tablename__ = "execution_labels"

    kind: Mapped[str] = mapped_column(Name, primary_key=True)
    name: Mapped[str] = mapped_column(Name, primary_key=True)


class ExecutionCommand(Model):
    """What a person wants of a running program; handed to the client that reported the execution."""

    __tablename__ = "execution_commands"
    __table_args__ = (
        Index("ix_execution_commands_waiting", "token_id", sqlite_where=text("delivered_at IS NULL"),
              postgresql_where=text("delivered_at IS NULL")),
        Index("ix_execution_commands_execution", "execution_id"),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    execution_id: Mapped[str] = mapped_column(Id, ForeignKey("executions.id", ondelete="CASCADE"))
    token_id: Mapped[str | None] = mapped_column(Id)
    command: Mapped[str] = mapped_column(Name)
    reason: Mapped[str] = mapped_column(Json)
    actor: Mapped[str] = mapped_column(Name)
    created_at: Mapped[int] = mapped_column(Millis)
    delivered_at: Mapped[int | None] = mapped_column(Millis)


MODELS = (Workflow, Execution, Step, ExecutionError, ExecutionUsage, ExecutionLabel, ExecutionCommand)
