"""Published measurements go in through the client and can be found, filtered and opened."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pilothouse.clock import to_millis
from pilothouse.runtime import runtime
from pilothouse_client import Client

DATA = Path(__file__).parents[2].parent / "shared" / "data"
RUNS = DATA / "wfinstances" / "executions.csv"
CALLS = DATA / "azure-llm-2023" / "AzureLLMInferenceTrace_code.csv"
SPELLINGS = ("%m-%d-%yT%H:%M:%SZ", "%Y%m%dT%H%M%S%z", "%Y-%m-%dT%H:%M:%S%z")
SOME_CALLS = 2_000

pytestmark = pytest.mark.skipif(not RUNS.exists(), reason="../shared/data is not there")


def moment(text: str) -> datetime:
    """Read one of the four spellings in which the runs' times are written."""
    for spelling in SPELLINGS:
        try:
            found = datetime.strptime(text, spelling)
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise ValueError(text)


@pytest.fixture
def program(address, make_token, tmp_path):
    client = Client(address, make_token("ingest"), spool=tmp_path / "spool")
    yield client
    client.close()


def test_workflow_runs_are_found_filtered_and_opened(program, api, as_role):
    rows = list(csv.DictReader(RUNS.read_text(encoding="utf-8").splitlines()))
    for row in rows:
        begun = moment(row["executed_at"])
        run = program.execution(
            row["workflow"], id=row["instance"], agent=row["system"], started_at=to_millis(begun), environment="published",
            attributes={"tasks": int(row["tasks"]), "machines": row["machines"]},
        )  # fmt: skip
        with run:
            run.set_output({"makespan_seconds": float(row["makespan_seconds"])})
    assert program.flush(60)
    found = api.get("/api/executions?limit=500&environment=published").json["data"]
    assert {run["id"] for run in found} == {row["instance"] for row in rows}
    nextflow = [row["instance"] for row in rows if row["system"] == rows[0]["system"]]
    filtered = api.get(f"/api/executions?limit=500&agent={rows[0]['system']}").json["data"]
    assert {run["id"] for run in filtered} == set(nextflow)
    page = as_role("viewer").get(f"/executions/{rows[0]['instance']}")
    assert (page.status_code, rows[0]["workflow"] in page.text) == (200, True)


def test_model_calls_add_up_to_the_published_tokens(program, api):
    rows = list(csv.DictReader(CALLS.read_text(encoding="utf-8").splitlines()))[:SOME_CALLS]
    with program.execution("code-assistant", id="azure", agent="coder") as run:
        for row in rows:
            at = to_millis(datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=UTC))
            run.record_tokens(
                model="gpt-4o", prompt_tokens=int(row["ContextTokens"]), completion_tokens=int(row["GeneratedTokens"]), at=at
            )
    assert program.flush(60)
    runtime().reporter.flush()
    totals = api.get("/api/executions/azure").json["token_usage"]
    assert totals["prompt_tokens"] == sum(int(row["ContextTokens"]) for row in rows)
    assert totals["completion_tokens"] == sum(int(row["GeneratedTokens"]) for row in rows)
    assert totals["calls"] == len(rows)
