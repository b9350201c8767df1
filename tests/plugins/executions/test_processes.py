"""Two processes that record the same runs at the same time, on either database: every row once, every sum exact."""

from __future__ import annotations

import json
import subprocess
import sys

from pilothouse import measure_rollups
from pilothouse.runtime import runtime

NOON = 1_700_135_000_000
BATCHES, RUNS = 12, 40
PROGRAM = """
import json, sys
from pathlib import Path
from pilothouse.contract.recording import Source
from pilothouse.runtime import runtime
from pilothouse.testing import environment, let_go, make_app

folder, url, me = sys.argv[1:]
app = make_app(environment(Path(folder), PILOTHOUSE_DATABASE_URL=url))
told = [0, 0]
print("ready", flush=True)
sys.stdin.readline()
with app.app_context():
    for batch in range({batches}):
        signals = []
        for number in range({runs}):
            run = f"r{{(batch * 7 + number) % {runs}}}"
            status = ("running", "succeeded", "failed")[(batch + int(me)) % 3]
            end = {{"finished_at": {noon} + batch * 10 + int(me)}} if status != "running" else {{}}
            signals.append({{"type": "execution", "id": run, "workflow": f"w{{number % 3}}", "status": status,
                             "started_at": {noon} + number, "agent": f"a{{batch % 2}}", **end}})
            signals.append({{"type": "token_usage", "id": f"{{run}}-{{batch}}", "execution_id": run, "model": "m",
                             "prompt_tokens": 3, "completion_tokens": 2, "cost_usd": "0.001", "at": {noon}}})
            signals.append({{"type": "error", "id": f"{{run}}-{{batch}}-{{me}}", "execution_id": run, "error_type": "E",
                             "message": "m", "at": {noon}}})
        items, outcome = runtime().reader.read_json(json.dumps({{"signals": signals}}).encode())
        outcome = runtime().ingest.submit(items, Source(), outcome)
        assert not outcome.rejected, outcome.rejected[:3]
        told = [told[0] + outcome.accepted, told[1] + outcome.duplicates]
let_go(app)
print(json.dumps(told))
"""


def run_both(folder, url):
    """Let two processes record at the same time; return what each was told (accepted, duplicates)."""
    program = folder / "recording.py"
    program.write_text(PROGRAM.format(batches=BATCHES, runs=RUNS, noon=NOON))
    command = [sys.executable, str(program), str(folder), url]
    processes = [
        subprocess.Popen([*command, str(me)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for me in range(2)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return [json.loads(line) for line in told]


def test_what_two_processes_record_is_exact(either_store, tmp_path):
    told = run_both(tmp_path, runtime().settings.database_url)
    sent = BATCHES * RUNS
    assert [sum(one) for one in told] == [3 * sent] * 2
    assert len(either_store.rows("SELECT id FROM executions")) == RUNS
    assert either_store.rows("SELECT count(*) AS n FROM token_usage") == [{"n": sent}]
    sums = either_store.rows("SELECT sum(total_tokens) AS tokens, sum(error_count) AS errors, sum(cost_nano) AS cost FROM executions")[0]
    assert {name: int(value) for name, value in sums.items()} == {"tokens": 5 * sent, "errors": 2 * sent,
    "cost": sent * 1_000_000}
    assert {row["status"] for row in either_store.rows("SELECT status FROM executions")} <= {"succeeded", "failed"}
    either_store.check()
    measure_rollups.compact()
    either_store.check()
