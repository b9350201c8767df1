"""Acting on executions: cancel, rerun, commands for clients, marking silent ones lost, deleting old ones.

Everything happens inside of the caller's unit of work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from pilothouse.sdk import (
    FINAL,
    MINUTE,
    Command,
    Conflict,
    Deltas,
    NotFound,
    Principal,
    after_commit,
    audit,
    count_changed,
    db,
    lock_writers,
    new_id,
    now,
    publish,
    runtime,
    unit_of_work,
)
from pilothouse_executions import counting
from pilothouse_executions.events import CommandGiven, Finished, Lost
from pilothouse_executions.merging import FIELDS, merge
from pilothouse_executions.models import Execution, ExecutionCommand, Workflow

MOST_LOST = 500  # executions that one sweep marks: bounds its transaction
REPEATED_FOR = 10 * MINUTE  # longer, and a program that did not heed a cancel never will
TOPIC = "executions"
COMMANDS = "executions.commands"
LATE_S = 1.0  # how late a command may be seen by another process than the one that took it
MOST_IDLE = 10_000  # tokens for which it is remembered that nothing waits
_WAITING_COMMANDS = (  # built once: every report asks for it, and building it costs more than running it
    select(ExecutionCommand.id, ExecutionCommand.execution_id, ExecutionCommand.command)
    .where(
        ExecutionCommand.token_id == bindparam("token_id"),
        ExecutionCommand.delivered_at.is_(None),
        ExecutionCommand.created_at > bindparam("since"),
    )
    .order_by(ExecutionCommand.created_at)
)
_idle: dict[str, str] = {}  # tokens for which nothing waits, with the revision of COMMANDS at which that was so


def cancel(execution_id: str, reason: str, principal: Principal) -> Execution:
    """Cancel an execution at once and tell its client. Raises NotFound, or Conflict where it is finished."""
    execution = _locked(execution_id)
    if execution.status in FINAL:
        raise Conflict(f"The execution is finished already: {execution.status}.")
    _change_status(execution, "cancelled", finished_at=max(now(), execution.started_at or 0))
    command = _command(execution, "cancel", reason, principal)
    audit("execution.cancelled", f"execution:{execution_id}", detail={"reason": reason})
    name = _workflow_name(execution)
    publish(Finished(execution_id=execution_id, workflow=name, status="cancelled"))
    _announce(execution, command, name)
    return execution


def rerun(execution_id: str, reason: str, principal: Principal) -> ExecutionCommand:
    """Ask the client that reported an execution to run it again. Raises NotFound."""
    execution = _locked(execution_id)
    command = _command(execution, "rerun", reason, principal)
    audit("execution.rerun_requested", f"execution:{execution_id}", detail={"reason": reason})
    _announce(execution, command, _workflow_name(execution))
    return command


def deliver_commands(token_id: str) -> Sequence[Command] | None:
    """Return the commands that wait for a token's executions; None where none waits.

    Several processes may share a token, and an answer may get lost: a cancel is repeated until its execution reports an
    end, for ten minutes at most. A rerun, which any of them can carry out, is handed over once.
    """
    revision = runtime().changes.recent(COMMANDS, within_s=LATE_S)
    if revision is not None and _idle.get(token_id) == revision:
        return None
    given = {"token_id": token_id, "since": now() - REPEATED_FOR}
    found = db.session().connection().execute(_WAITING_COMMANDS, given)
    commands = found.all()
    if revision is not None and not commands:
        if len(_idle) >= MOST_IDLE:
            _idle.clear()
        _idle[token_id] = revision
    reruns = [row.id for row in commands if row.command == "rerun"]
    if reruns:
        commands = [row for row in commands if row.command != "rerun" or _take(row.id)]
    return [Command(row.execution_id, row.command) for row in commands] or None


def _take(command_id: str) -> bool:
    """Claim a rerun for this answer; says whether nobody else had it."""
    with unit_of_work():
        statement = update(ExecutionCommand).where(ExecutionCommand.id == command_id, ExecutionCommand.delivered_at.is_(None))
        return bool(count_changed(statement.values(delivered_at=now())))


def mark_lost(silence: int) -> int:
    """Mark running executions lost of which nothing was heard for `silence` ms; returns how many."""
    session = db.session()
    lock_writers(session.connection())
    unfinished = Execution.status.in_(("queued", "running"))  # as the partial index has it; who only waits is not lost
    statement = select(Execution).where(unfinished, Execution.status == "running", Execution.heard_at < now() - silence)
    silent = session.scalars(statement.order_by(Execution.heard_at).limit(MOST_LOST)).all()
    for execution in silent:
        _change_status(execution, "lost")
        publish(Lost(execution_id=execution.id, workflow=_workflow_name(execution)))
    if silent:
        after_commit(lambda: runtime().changes.bump(TOPIC))
    return len(silent)


def expired(before: int, most: int) -> list[str]:
    """Return up to `most` of the oldest executions that are from before a moment (ms) and silent since.

    A look without the writers' lock: what was imported from long ago a short while ago is passed over, and may be much.
    """
    old = select(Execution.id).where(Execution.sorted_at < before, Execution.heard_at < before)
    return list(db.session().scalars(old.order_by(Execution.sorted_at).limit(most)))


def expire(ids: Sequence[str], before: int) -> None:
    """Delete executions that are still silent since before a moment (ms).

    Their steps, and what other plugins keep of them by a key, go along; what the measures hold stays.
    """
    session = db.session()
    lock_writers(session.connection())
    silent = delete(Execution).where(Execution.id.in_(ids), Execution.heard_at < before)
    session.execute(silent.execution_options(synchronize_session=False))
    after_commit(lambda: runtime().changes.bump(TOPIC))


def _locked(execution_id: str) -> Execution:
    session = db.session()
    lock_writers(session.connection())
    execution = session.get(Execution, execution_id, populate_existing=True)
    if execution is None:
        raise NotFound(f"There is no execution {execution_id}.")
    return execution


def _change_status(execution: Execution, status: str, finished_at: int | None = None) -> None:
    """Change the status, a final one as if it had been reported, and move what the measures hold along with it."""
    deltas = Deltas()
    name = _workflow_name(execution) or None
    counting.take_back(deltas, _row(execution), name)
    if status in FINAL:
        row = {field: getattr(execution, field) for field in (*FIELDS, "levels", "status")}
        merge(row, {**dict.fromkeys(FIELDS), "status": status, "finished_at": finished_at}, FIELDS)
        execution.levels, execution.status, execution.finished_at = row["levels"], row["status"], row["finished_at"]
    else:
        execution.status = status
    db.session().flush()
    counting.add(deltas, _row(execution), name)
    deltas.write(db.session().connection())


def _row(execution: Execution) -> dict[str, Any]:
    return {name: getattr(execution, name) for name in counting.NEEDED}


def _workflow_name(execution: Execution) -> str:
    if execution.workflow_id is None:
        return ""
    return db.session().scalar(select(Workflow.name).where(Workflow.id == execution.workflow_id)) or ""


def _command(execution: Execution, name: str, reason: str, principal: Principal) -> ExecutionCommand:
    command = ExecutionCommand(
        id=new_id(), execution_id=execution.id, token_id=execution.token_id, command=name, reason=reason,
        actor=principal.called, created_at=now(),
    )  # fmt: skip
    db.session().add(command)
    return command


def _announce(execution: Execution, command: ExecutionCommand, workflow: str) -> None:
    publish(
        CommandGiven(
            execution_id=execution.id, workflow=workflow, command=command.command, reason=command.reason,
            actor=command.actor,
        )
    )  # fmt: skip
    after_commit(lambda: runtime().changes.bump(TOPIC, COMMANDS))
