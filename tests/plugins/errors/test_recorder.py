"""Recording errors: what comes in late, twice or out of order, links to executions, measures, events."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, text

from pilothouse.clock import HOUR, now
from pilothouse.contract.events import Reaction
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.recording import Source
from pilothouse.db import db, unit_of_work
from pilothouse.identity.access_tokens import create_token
from pilothouse.measure_reads import read_totals
from pilothouse.plugins.discovery import Candidate, discover
from pilothouse.runtime import runtime
from pilothouse.testing import Api
from pilothouse_errors.events import GroupOpened, GroupResolved, Regressed
from pilothouse_errors.models import (
    ErrorGroup,
    ErrorGroupActivity,
    ErrorGroupHour,
    ErrorGroupRelease,
    ErrorGroupUser,
    ErrorRecord,
    ErrorWorkflow,
)

START = 1_780_000_000_000
EVENTS = (GroupOpened, GroupResolved, Regressed)


def error(key: str, **fields: Any) -> dict[str, Any]:
    return {"type": "error", "id": key, "error_type": "ValueError", "message": "bad value 7", "at": START, **fields}


def run(key: str, **fields: Any) -> dict[str, Any]:
    return {"type": "execution", "id": key, "workflow": "nightly", "status": "failed", "started_at": START, **fields}


def groups() -> list[ErrorGroup]:
    db.session.rollback()
    db.session.expire_all()
    return list(db.session.scalars(select(ErrorGroup).order_by(ErrorGroup.title)))


def counted() -> dict[tuple[str | None, ...], int]:
    totals = read_totals("errors.count", START - HOUR, now() + HOUR)
    return {dimensions: entry.count for dimensions, entry in totals.items() if entry.count}


def test_the_first_report_of_an_id_counts_also_within_one_request(either_api):
    answer = either_api.send(error("e1"), error("e1", message="other"), error("e2"))
    assert (answer["accepted"], answer["duplicates"]) == (2, 1)
    again = either_api.send(error("e1", error_type="KeyError"))
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    assert either_api.get("/api/errors/e1").json["message"] == "bad value 7"
    assert [group.count for group in groups()] == [2]


def test_people_and_executions_are_counted_once_a_group(either_api):
    either_api.send(error("e1", user="ada", execution_id="r1"), error("e2", user="ada", execution_id="r1"))
    either_api.send(error("e3", user="bob", execution_id="r1"), error("e4", execution_id="r2"), error("e5"))
    (group,) = groups()
    assert (group.count, group.users, group.executions) == (5, 2, 2)


def test_late_errors_move_first_seen_and_the_first_release(either_api):
    either_api.send(error("e1", at=START + 10, release="2.0"))
    either_api.send(error("e2", at=START, release="1.0"), error("e3", at=START + 5))
    (group,) = groups()
    assert (group.first_seen_at, group.last_seen_at, group.last_error_id) == (START, START + 10, "e1")
    assert (group.first_release, group.last_release) == ("1.0", "2.0")


def test_the_newest_error_gives_the_group_its_words(either_api):
    frames = [{"file": "x/y.py", "function": "f"}]
    either_api.send(error("e2", at=START + 9, message="newest", frames=frames))
    either_api.send(error("e1", message="older", frames=frames, workflow="nightly"))
    (group,) = groups()
    assert (group.title, group.message, group.workflow) == ("ValueError: newest", "newest", None)


def test_an_error_of_an_execution_carries_its_workflow(either_api):
    either_api.send(run("r1"), error("e1", execution_id="r1"))
    found = either_api.get("/api/errors/e1").json
    assert found["execution_id"] == "r1"
    assert found["workflow_id"] == either_api.get("/api/executions/r1").json["workflow_id"]
    assert counted() == {("nightly", "medium", "ValueError", None): 1}


def test_an_error_before_its_execution_gets_the_workflow_later(either_api):
    either_api.send(error("e1", execution_id="r1"))
    assert counted() == {(None, "medium", "ValueError", None): 1}
    either_api.send(run("r1"))
    assert either_api.get("/api/errors/e1").json["workflow_id"] is not None
    assert [e["id"] for e in either_api.get("/api/errors?workflow=nightly").json["data"]] == ["e1"]
    assert counted() == {("nightly", "medium", "ValueError", None): 1}
    assert [group.workflow for group in groups()] == ["nightly"]


def test_the_workflow_that_an_error_names_itself_stays(either_api):
    either_api.send(error("e1", execution_id="r1", workflow="own"))
    either_api.send(run("r1"))
    assert counted() == {("own", "medium", "ValueError", None): 1}


def test_a_workflow_that_only_another_error_named_gives_way_to_the_executions(either_api):
    either_api.send(error("e1", execution_id="r1", workflow="guess"))
    either_api.send(error("e2", execution_id="r1"))
    either_api.send(run("r1"))
    assert [e["id"] for e in either_api.get("/api/errors?workflow=nightly").json["data"]] == ["e2"]
    assert counted() == {("guess", "medium", "ValueError", None): 1, ("nightly", "medium", "ValueError", None): 1}


def test_the_error_inside_an_executions_report_is_recorded_once(either_api):
    failed = run("r1", error={"error_type": "StockError", "message": "no stock", "handled": False})
    either_api.send(failed)
    either_api.send(failed)
    (found,) = either_api.get("/api/errors").json["data"]
    assert (found["error_type"], found["severity"], found["execution_id"]) == ("StockError", "high", "r1")


def test_the_executions_page_and_the_errors_agree(either_api):
    either_api.send(run("r1"), error("e1", execution_id="r1"), error("e2", execution_id="r1"), error("e2", execution_id="r1"))
    assert either_api.get("/api/executions/r1").json["error_count"] == 2
    assert len(either_api.get("/api/errors").json["data"]) == 2


def test_without_at_an_error_happened_when_it_arrived(either_api):
    before = now()
    either_api.send(error("e1", at=None), error("e0", at=0))
    newest, oldest = db.session.scalars(select(ErrorRecord.created_at).order_by(ErrorRecord.created_at.desc()))
    assert before <= newest <= now()
    assert oldest == 0


def test_a_late_error_of_a_resolved_group_is_resolved_with_it(either_api):
    either_api.send(error("e1"))
    key = groups()[0].id
    either_api.patch(f"/api/errors/groups/{key}", json={"status": "resolved", "resolution_notes": "done"})
    either_api.send(error("e2", at=START + 1))
    late = either_api.get("/api/errors/e2").json
    assert (late["resolved"], late["resolution_notes"]) == (True, "done")
    assert (groups()[0].status, groups()[0].count) == ("resolved", 2)


def test_an_ignored_group_stays_ignored(either_api):
    either_api.send(error("e1"))
    either_api.patch(f"/api/errors/groups/{groups()[0].id}", json={"status": "ignored"})
    either_api.send(error("e2", at=now()))
    assert (groups()[0].status, groups()[0].regressed, groups()[0].count) == ("ignored", False, 2)


def listener(heard: list[Any]) -> Any:
    """Make a plugin that keeps what errors publish."""

    def manifest() -> Manifest:
        return Manifest("listener", "Listener", "Listens.", requires=("errors",))

    def reactions() -> list[Reaction]:
        return [Reaction(f"listener.{kind.__name__}", kind, heard.append, when="now") for kind in EVENTS]

    module = ModuleType("listener")
    module.pilothouse_manifest = hookimpl(manifest, specname="pilothouse_manifest")  # type: ignore[attr-defined]
    module.pilothouse_reactions = hookimpl(reactions, specname="pilothouse_reactions")  # type: ignore[attr-defined]
    return module


@pytest.fixture
def listening(build_app):
    """Return a caller of an application with a plugin that listens, and what was heard."""
    heard: list[Any] = []
    app = build_app([*discover(), Candidate("listener", listener(heard))])
    with app.app_context():
        yield Api(app.test_client(), token_of()), heard


def token_of() -> str:
    with unit_of_work():
        return create_token("test", ("ingest", "read", "write"))[1]


def test_a_regression_is_told_once_and_noted(listening):
    api, heard = listening
    api.send(error("e1"))
    api.patch(f"/api/errors/groups/{groups()[0].id}", json={"status": "resolved"})
    later = now() + 1_000
    api.send(error("e3", at=later + 1), error("e2", at=later))
    api.send(error("e4", at=later + 2))
    assert [event.name() for event in heard] == ["errors.group_opened", "errors.group_resolved", "errors.regressed"]
    assert heard[-1].error_id == "e2"
    actions = db.session.scalars(select(ErrorGroupActivity.action).order_by(ErrorGroupActivity.id)).all()
    assert actions == ["resolved", "regressed"]


def test_a_new_group_is_told_once(listening):
    api, heard = listening
    api.send(error("e1"), error("e2"), error("k1", error_type="KeyError", workflow="nightly"))
    api.send(error("e3"))
    assert sorted((event.error_type, event.workflow) for event in heard) == [("KeyError", "nightly"), ("ValueError", "")]


def submit(signals: list[dict[str, Any]]) -> None:
    for start in range(0, len(signals), 3):
        items, outcome = runtime().reader.read_json(msgspec.json.encode({"signals": signals[start : start + 3]}))
        outcome = runtime().ingest.submit(items, Source(None, "test"), outcome)
        assert not outcome.rejected


def clear() -> None:
    with unit_of_work() as session:
        for table in (ErrorGroupActivity, ErrorGroupHour, ErrorGroupRelease, ErrorGroupUser, ErrorRecord, ErrorGroup, ErrorWorkflow):
            session.execute(delete(table))
        for name in ("execution_errors", "executions", "workflows", "measure_deltas"):
            session.execute(text(f"DELETE FROM {name}"))


def state() -> Any:
    names = (
        "fingerprint", "reason", "title", "error_type", "message", "workflow", "environment", "status", "severity", "count",
        "users", "executions", "first_seen_at", "last_seen_at", "last_error_id", "first_release", "first_release_at",
        "last_release", "last_release_at",
    )  # fmt: skip
    rows = sorted(tuple(getattr(group, name) for name in names) for group in groups())
    hours = db.session.execute(
        select(ErrorGroup.fingerprint, ErrorGroupHour.at, ErrorGroupHour.count).join(
            ErrorGroupHour, ErrorGroupHour.group_id == ErrorGroup.id
        )
    )
    releases = db.session.execute(
        select(ErrorGroup.fingerprint, ErrorGroupRelease.release, ErrorGroupRelease.count).join(
            ErrorGroupRelease, ErrorGroupRelease.group_id == ErrorGroup.id
        )
    )
    links = db.session.execute(
        select(ErrorRecord.id, ErrorGroup.fingerprint, ErrorWorkflow.name)
        .join(ErrorGroup, ErrorGroup.id == ErrorRecord.group_id)
        .outerjoin(ErrorWorkflow, ErrorWorkflow.id == ErrorRecord.workflow_id)
    )
    return rows, sorted(map(tuple, hours)), sorted(map(tuple, releases)), sorted(map(str, links)), counted()


signals = st.lists(
    st.builds(
        lambda n, fields: error(f"e{n}", **{k: v for k, v in fields.items() if v is not None}),
        st.integers(0, 8),
        st.fixed_dictionaries(
            {
                "at": st.integers(START, START + 3 * HOUR),
                "message": st.sampled_from(["bad 1", "bad 2", "worse"]),
                "severity": st.sampled_from([None, "low", "critical"]),
                "release": st.sampled_from([None, "1.0", "2.0"]),
                "user": st.sampled_from([None, "ada", "bob"]),
                "execution_id": st.sampled_from([None, "r1", "r2"]),
                "workflow": st.sampled_from([None, "weekly"]),
            }
        ),
    ),
    max_size=14,
    unique_by=lambda signal: signal["id"],
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(errors=signals, seed=st.integers(0, 2**32))
def test_shuffled_and_repeated_reports_end_the_same(app, errors, seed):
    clear()
    runs = [run("r1"), run("r2", workflow="hourly")]
    submit([*runs, *errors])
    expected = state()
    clear()
    mixed = [*runs, *errors, *errors, *runs]
    random.Random(seed).shuffle(mixed)
    submit(mixed)
    assert state() == expected


def test_counts_equal_a_recount_of_the_rows(api):
    chance = random.Random(7)
    for _ in range(10):
        api.send(
            *(
                error(
                    f"e{chance.randrange(400)}", at=START + chance.randrange(5 * HOUR), user=f"u{chance.randrange(9)}",
                    error_type=f"Type{chance.randrange(5)}x", execution_id=f"r{chance.randrange(20)}",
                )
                for _ in range(60)
            )
        )  # fmt: skip
    for group in groups():
        rows = list(db.session.scalars(select(ErrorRecord).where(ErrorRecord.group_id == group.id)))
        assert (group.count, group.users) == (len(rows), len({row.user for row in rows}))
        assert group.executions == len({row.execution_id for row in rows})
        assert sum(db.session.scalars(select(ErrorGroupHour.count).where(ErrorGroupHour.group_id == group.id))) == len(rows)
    assert sum(counted().values()) == sum(group.count for group in groups())
