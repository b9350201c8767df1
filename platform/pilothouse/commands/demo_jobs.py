"""The jobs of `pilothouse demo`: small real computations on published measurements, some of which really fail.

They fail because of what the data are: some minutes have no request to divide by, some rows spell their times in an
unusual way, one file is not there. Nothing is staged, so the errors have real stack traces.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from statistics import fmean, quantiles

from pilothouse_client import Client

AZURE = "azure-llm-2023/AzureLLMInferenceTrace_code.csv"
RUNS = "wfinstances/executions.csv"
WINDOWS = 14  # minutes looked at, one execution each; the trace has gaps of some minutes
REPLAYED = 20  # requests of each minute whose token counts are recorded
MODEL = "azure-code-2023"  # the trace names no model; this one has no price, and shows as unpriced

Job = Callable[[], object]


def jobs(client: Client) -> Iterator[Job]:
    """Yield the jobs, each one execution; a job that fails raises what it met."""
    for minute in range(WINDOWS):
        yield partial(measure_window, client, minute)
    for system in ("Pegasus", "Makeflow", "Nextflow"):
        yield partial(report_makespans, client, system)
    for name in ("bacass-dirt02-001.json", "sarek-dirt02-001.json"):
        yield partial(find_critical_path, client, name)


def measure_window(client: Client, minute: int) -> None:
    """Measure the requests of one minute of the trace; raises ZeroDivisionError for a minute without any."""
    with client.execution("request-window", agent="window-analyst", trigger="demo", input={"minute": minute}) as run:
        with run.step("load", kind="retrieval") as step:
            rows = _azure_rows()
            step.set_output({"rows": len(rows)})
        with run.step("select", kind="task") as step:
            start = rows[0][0]
            window = [row for row in rows if int((row[0] - start).total_seconds() // 60) == minute]
            step.set_output({"requests": len(window)})
        with run.step("measure", kind="agent") as step:
            context, generated = sum(row[1] for row in window), sum(row[2] for row in window)
            result = {"requests": len(window), "mean_context": context / len(window), "share": generated / context}
            step.set_output(result)
        for _, prompt_tokens, completion_tokens in window[:REPLAYED]:
            run.record_tokens(model=MODEL, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        run.set_output(result)


def report_makespans(client: Client, system: str) -> None:
    """Summarise how long the runs of one workflow system took; raises ValueError at a time that is not ISO 8601."""
    with client.execution("makespan-report", agent="reporter", user="demo", input={"system": system}) as run:
        with run.step("read", kind="retrieval") as step:
            rows = [row for row in csv.DictReader(_lines(RUNS)) if row["system"] == system]
            step.set_output({"rows": len(rows)})
        with run.step("parse", kind="task"):
            moments = [datetime.fromisoformat(row["executed_at"]).astimezone(UTC) for row in rows]
        with run.step("summarise", kind="task") as step:
            seconds = [float(row["makespan_seconds"]) for row in rows]
            median, p95 = quantiles(seconds, n=20)[9], quantiles(seconds, n=20)[18]
            result = {"runs": len(rows), "first": min(moments).isoformat(), "mean_s": fmean(seconds),
                      "median_s": median, "p95_s": p95}  # fmt: skip
            step.set_output(result)
        run.set_output(result)


def find_critical_path(client: Client, name: str) -> None:
    """Find the longest chain of tasks of a workflow's run; raises FileNotFoundError where it was not shipped."""
    with client.execution("critical-path", agent="planner", input={"instance": name}) as run:
        with run.step("load", kind="retrieval"):
            workflow = json.loads(_data(f"wfinstances/{name}").read_text(encoding="utf-8"))["workflow"]
        with run.step("walk", kind="tool") as step:
            seconds = {task["id"]: task["runtimeInSeconds"] for task in workflow["execution"]["tasks"]}
            parents = {task["id"]: task["parents"] for task in workflow["specification"]["tasks"]}
            length, last = longest_chain(seconds, parents)
            step.set_output({"tasks": len(parents), "seconds": length})
        makespan = workflow["execution"]["makespanInSeconds"]
        run.set_output({"critical_path_s": length, "ends_in": last, "makespan_s": makespan})


def longest_chain(seconds: dict[str, float], parents: dict[str, list[str]]) -> tuple[float, str]:
    """Return the length in seconds of the longest chain of tasks and the task in which it ends."""
    children: dict[str, list[str]] = defaultdict(list)
    waiting = {task: len(before) for task, before in parents.items()}
    for task, before in parents.items():
        for parent in before:
            children[parent].append(task)
    ready = [task for task, count in waiting.items() if count == 0]
    ends = {task: seconds.get(task, 0.0) for task in ready}
    while ready:
        task = ready.pop()
        for child in children[task]:
            ends[child] = max(ends.get(child, 0.0), ends[task] + seconds.get(child, 0.0))
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    last = max(ends, key=lambda task: ends[task])
    return ends[last], last


def _azure_rows() -> list[tuple[datetime, int, int]]:
    rows = csv.DictReader(_lines(AZURE))
    # Seven decimals: one more than datetime reads.
    moments = ((datetime.fromisoformat(row["TIMESTAMP"][:26]), row) for row in rows)
    return [(moment, int(row["ContextTokens"]), int(row["GeneratedTokens"])) for moment, row in moments]


def _lines(name: str) -> list[str]:
    return _data(name).read_text(encoding="utf-8").splitlines()


def _data(name: str) -> Traversable:
    return files("pilothouse").joinpath("demo_data", *name.split("/"))
