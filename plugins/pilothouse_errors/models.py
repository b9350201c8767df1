"""Tables of errors and their groups, with the index that serves each list and lookup."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.sdk import Id, Json, Millis, Model, Name

Sequence = BigInteger().with_variant(Integer, "sqlite")  # SQLite's row id, which costs no index


class ErrorGroup(Model):
    """One fault, as often as it happened. Counts are of all errors ever, also of those that retention took away.

    `severity` is the highest of its errors, unless a person set it (`severity_set`). `message`, `title`, `error_type`,
    `workflow` and `environment` are those of the newest error, which `last_error_id` names. `until`, `until_at` and
    `until_release` say for how long it stays resolved or ignored (`holding.Hold`).
    """

    __tablename__ = "error_groups"
    __table_args__ = (
        Index("ix_error_groups_seen", "last_seen_at", "id"),
        Index("ix_error_groups_status", "status", "last_seen_at", "id"),
        Index("ix_error_groups_assignee", "assignee_id", "last_seen_at", "id"),
        Index("ix_error_groups_until", "until_at", sqlite_where=text("until = 'time'"),
              postgresql_where=text("until = 'time'")),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Name, unique=True)
    reason: Mapped[str] = mapped_column(Json)
    title: Mapped[str] = mapped_column(Name)
    error_type: Mapped[str] = mapped_column(Name)
    message: Mapped[str] = mapped_column(Json)
    workflow: Mapped[str | None] = mapped_column(Name)
    environment: Mapped[str | None] = mapped_column(Name)
    status: Mapped[str] = mapped_column(Name)
    severity: Mapped[str] = mapped_column(Name)
    severity_set: Mapped[bool]
    count: Mapped[int] = mapped_column(BigInteger)
    users: Mapped[int] = mapped_column(BigInteger)
    executions: Mapped[int] = mapped_column(BigInteger)
    first_seen_at: Mapped[int] = mapped_column(Millis)
    last_seen_at: Mapped[int] = mapped_column(Millis)
    last_error_id: Mapped[str] = mapped_column(Id)
    first_release: Mapped[str | None] = mapped_column(Name)
    first_release_at: Mapped[int | None] = mapped_column(Millis)
    last_release: Mapped[str | None] = mapped_column(Name)
    last_release_at: Mapped[int | None] = mapped_column(Millis)
    assignee_id: Mapped[str | None] = mapped_column(Id, ForeignKey("users.id", ondelete="SET NULL"))
    regressed: Mapped[bool]
    resolved_at: Mapped[int | None] = mapped_column(Millis)
    resolved_by: Mapped[str | None] = mapped_column(Name)
    resolution_notes: Mapped[str | None] = mapped_column(Json)
    until: Mapped[str | None] = mapped_column(Name)
    until_at: Mapped[int | None] = mapped_column(Millis)
    until_release: Mapped[str | None] = mapped_column(Name)
    created_at: Mapped[int] = mapped_column(Millis)
    updated_at: Mapped[int] = mapped_column(Millis)


class ErrorRecord(Model):
    """One failure. `seq` counts in the order of arrival, without gaps; `created_at` is when it happened, else arrived.

    Lists go by (`created_at`, `seq`): a number instead of the id makes each of the indexes 30 bytes a row smaller.
    `severity_given` says that the client named the severity; otherwise `severity.classify` did. `workflow_given` says that
    it named the workflow; otherwise it is the execution's, and follows that.
    """

    __tablename__ = "errors"
    __table_args__ = (
        Index("ix_errors_created", "created_at", "seq"),
        Index("ix_errors_severity", "severity", "created_at", "seq"),
        Index("ix_errors_resolved", "resolved", "created_at", "seq"),
        Index("ix_errors_workflow", "workflow_id", "created_at", "seq"),
        Index("ix_errors_group", "group_id", "created_at", "seq"),
        Index("ix_errors_execution", "execution_id", "group_id", sqlite_where=text("execution_id IS NOT NULL"),
              postgresql_where=text("execution_id IS NOT NULL")),
    )  # fmt: skip

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(Id, unique=True)
    group_id: Mapped[str] = mapped_column(Id, ForeignKey("error_groups.id"))
    execution_id: Mapped[str | None] = mapped_column(Id, ForeignKey("executions.id", ondelete="SET NULL"))
    workflow_id: Mapped[str | None] = mapped_column(Id, ForeignKey("workflows.id"))
    workflow_given: Mapped[bool]
    created_at: Mapped[int] = mapped_column(Millis)
    severity: Mapped[str] = mapped_column(Name)
    severity_given: Mapped[bool]
    handled: Mapped[bool | None]
    resolved: Mapped[bool]
    resolved_at: Mapped[int | None] = mapped_column(Millis)
    release: Mapped[str | None] = mapped_column(Name)
    environment: Mapped[str | None] = mapped_column(Name)
    user: Mapped[str | None] = mapped_column(Name)
    error_type: Mapped[str] = mapped_column(Name)
    message: Mapped[str] = mapped_column(Json)
    stack_trace: Mapped[str | None] = mapped_column(Json)
    frames: Mapped[str | None] = mapped_column(Json)
    attributes: Mapped[str | None] = mapped_column(Json)
    resolution_notes: Mapped[str | None] = mapped_column(Json)


class ErrorGroupUser(Model):
    """A person whom a group of errors met; each is counted once."""

    __tablename__ = "error_group_users"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - rows lie in the order of the key

    group_id: Mapped[str] = mapped_column(Id, ForeignKey("error_groups.id", ondelete="CASCADE"), primary_key=True)
    user: Mapped[str] = mapped_column(Name, primary_key=True)


class ErrorGroupHour(Model):
    """How many errors of a group happened in one hour (UTC, by its start): histograms read no errors."""

    __tablename__ = "error_group_hours"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - a group's hours lie together

    group_id: Mapped[str] = mapped_column(Id, ForeignKey("error_groups.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[int] = mapped_column(Millis, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class ErrorGroupRelease(Model):
    """How many errors of a group named a version of people's programs: tells which groups a version has."""

    __tablename__ = "error_group_releases"
    __table_args__ = (Index("ix_error_group_releases_release", "release", "group_id"), {"sqlite_with_rowid": False})

    group_id: Mapped[str] = mapped_column(Id, ForeignKey("error_groups.id", ondelete="CASCADE"), primary_key=True)
    release: Mapped[str] = mapped_column(Name, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class ErrorGroupActivity(Model):
    """What people, or a regression, did to a group. `actor_id` is None for Pilothouse itself."""

    __tablename__ = "error_group_activity"
    __table_args__ = (Index("ix_error_group_activity_group", "group_id", "at", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    group_id: Mapped[str] = mapped_column(Id, ForeignKey("error_groups.id", ondelete="CASCADE"))
    at: Mapped[int] = mapped_column(Millis)
    actor_id: Mapped[str | None] = mapped_column(Id)
    actor: Mapped[str] = mapped_column(Name)
    action: Mapped[str] = mapped_column(Name)
    detail: Mapped[str] = mapped_column(Json)


class ErrorWorkflow(Model):
    """A workflow that errors happened in, with its name: for filters and lists, which read no foreign table."""

    __tablename__ = "error_workflows"

    id: Mapped[str] = mapped_column(Id, ForeignKey("workflows.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(Name, index=True)


class ErrorRelease(Model):
    """A version of people's programs, and when an error of it first happened: that orders versions."""

    __tablename__ = "error_releases"
    __table_args__ = (Index("ix_error_releases_seen", "first_seen_at", "release"),)

    release: Mapped[str] = mapped_column(Name, primary_key=True)
    first_seen_at: Mapped[int] = mapped_column(Millis)


class ErrorSlab(Model):
    """2,048 errors in the order of arrival whose texts have signatures, and between which moments (ms) they happened."""

    __tablename__ = "error_slabs"

    slab: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=False)
    oldest_at: Mapped[int] = mapped_column(Millis)
    newest_at: Mapped[int] = mapped_column(Millis)


class ErrorSignature(Model):
    """Some hashes of a slab: for each the blocks that hold a piece of text with that hash; see `signatures`."""

    __tablename__ = "error_signatures"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - a search reads one part of all slabs

    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    slab: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    bits: Mapped[bytes] = mapped_column(LargeBinary)


MODELS = (
    ErrorGroup, ErrorRecord, ErrorGroupUser, ErrorGroupHour, ErrorGroupRelease, ErrorGroupActivity, ErrorWorkflow, ErrorRelease,
    ErrorSlab, ErrorSignature,
)  # fmt: skip
