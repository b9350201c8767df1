"""The timeline of an execution: its steps as a tree on one time axis, ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pilothouse.sdk import FINAL, Lane, StepFigures, formats, now
from pilothouse_executions.models import Step

MANY = 300  # beyond so many steps, runs of equal siblings are shown as one row
RUN_LEAST = 4  # a shorter run of equal siblings is shown one by one
TICKS = 4  # labels of the axis at most
PREVIEW = 65_536  # characters of an input or output that the page shows
KIND_TONES = {"agent": "c5", "llm": "c1", "tool": "c3", "retrieval": "c2", "task": "c4", "other": "c5"}
STATE_TONES = {
    "failed": "c-bad", "timed_out": "c-bad", "running": "c-run", "queued": "c-wait", "cancelled": "c-neutral",
    "lost": "c-neutral",
}  # fmt: skip


def build(
    steps: Sequence[Step],
    started_at: int | None,
    finished_at: int | None,
    figures: Mapping[str, StepFigures] | None = None,
    opened: str | None = None,
) -> dict[str, Any]:
    """Return the rows in tree order and the axis' ticks; a step whose parent never came stands at the top.

    `figures` are what steps used by themselves; each row shows them together with those of the steps below it. `opened` is
    the id of a step whose details are shown. A step whose end was not reported when its execution ended is shown as lost.
    """
    start, end = _span(steps, started_at, finished_at)
    length = max(end - start, 1)
    tree = _tree(steps)
    sums = _sums(tree, figures or {})
    rows = [_row(item, depth, start, length, finished_at) for item, depth in tree]
    for row, (item, _), used in zip(rows, tree, sums, strict=True):
        row |= {"used": used, "told": any(step.id == opened for step in item), "rev": f"{row['rev']}{used or ''}"}
    return {"steps": rows, "ticks": _ticks(length)}


def _span(steps: Sequence[Step], started_at: int | None, finished_at: int | None) -> tuple[int, int]:
    starts = [step.started_at or step.created_at for step in steps] + ([started_at] if started_at else [])
    running = finished_at is None or any(step.finished_at is None for step in steps)
    ends = [step.finished_at or step.started_at or step.created_at for step in steps] + ([finished_at] if finished_at else [])
    if running and finished_at is None:
        ends.append(now())
    return min(starts, default=0), max(ends, default=1)


def _ticks(length: int) -> list[tuple[float, str]]:
    """Return labels and where they stand in percent; durations are whole milliseconds, so a shorter axis has fewer."""
    marks = min(TICKS, length)
    return [(round(100 * mark / marks, 2), formats.axis_duration(length * mark / marks)) for mark in range(marks)]


def _tree(steps: Sequence[Step]) -> list[tuple[list[Step], int]]:
    """Return groups of steps with their depth, parents before children; a group has several steps only if there are many."""
    ids = {step.id for step in steps}
    children: dict[str | None, list[Step]] = {}
    for step in steps:
        parent = step.parent_id if step.parent_id in ids and step.parent_id != step.id else None
        children.setdefault(parent, []).append(step)
    ordered: list[tuple[list[Step], int]] = []
    seen: set[str] = set()
    stack = [(group, 0) for group in reversed(_groups(children.get(None, []), children, len(steps)))]
    while stack:
        group, depth = stack.pop()
        ordered.append((group, depth))
        seen.update(step.id for step in group)
        inner = children.get(group[0].id, []) if len(group) == 1 else []
        stack += [(below, depth + 1) for below in reversed(_groups(inner, children, len(steps)))]
    # steps that are each other's parents hang under nobody: shown all the same
    return ordered + [([step], 0) for step in steps if step.id not in seen]


def _groups(siblings: Sequence[Step], children: Mapping[str | None, list[Step]], total: int) -> list[list[Step]]:
    if total <= MANY:
        return [[step] for step in siblings]
    runs: list[list[Step]] = []
    for step in siblings:
        leaf = step.id not in children
        if runs and leaf and runs[-1][0].name == step.name and runs[-1][0].id not in children:
            runs[-1].append(step)
        else:
            runs.append([step])
    return [part for run in runs for part in ([run] if len(run) >= RUN_LEAST else [[step] for step in run])]


def _sums(tree: Sequence[tuple[list[Step], int]], figures: Mapping[str, StepFigures]) -> list[StepFigures | None]:
    """Return what each row and the rows below it used, None where nothing was: rows run parents before children."""
    found: list[StepFigures | None] = []
    below: list[tuple[int, StepFigures]] = []  # sums of finished rows that no row above has taken yet
    for group, depth in reversed(tree):
        used = [figures[step.id] for step in group if step.id in figures]
        while below and below[-1][0] > depth:
            used.append(below.pop()[1])
        found.append(StepFigures.together(used) if used else None)
        if used:
            below.append((depth, found[-1] or used[0]))
    return found[::-1]


def _row(group: Sequence[Step], depth: int, start: int, length: int, over_at: int | None) -> dict[str, Any]:
    step = group[0]
    begun = min(one.started_at or one.created_at for one in group)
    open_end = now() if over_at is None else max(over_at, begun)
    ended = max((one.finished_at or (open_end if one.status not in FINAL else begun)) for one in group)
    status = _worst(group)
    ticks = status not in FINAL and over_at is None
    if status not in FINAL and over_at is not None:
        status = "lost"
    failed = sum(one.status in {"failed", "timed_out"} for one in group)
    name = step.name if len(group) == 1 else f"{step.name} ×{len(group)}{f', {failed} failed' if failed else ''}"
    single = len(group) == 1
    return {
        "id": step.id,
        "rev": f"{status}{'' if ticks else ended}{len(group)}",
        "name": name,
        "kind": step.kind,
        "kind_tone": KIND_TONES.get(step.kind, "c5"),
        "depth": depth,
        "status": status,
        "lane": Lane((begun - start) / length * 100, (ended - begun) / length * 100, _tone(step.kind, status)),
        "duration_ms": ended - begun if all(one.finished_at for one in group) else None,
        "started_at": begun if ticks else None,
        "offset": formats.duration(begun - start),
        "open": single and status in {"failed", "timed_out"},
        "more": _more(step) if single else [("Steps", len(group)), ("Failed", failed)],
        "input": shown_json(step.input) if single else None,
        "output": shown_json(step.output) if single else None,
    }


def _tone(kind: str, status: str) -> str:
    return STATE_TONES.get(status) or KIND_TONES.get(kind, "c5")


def _worst(group: Sequence[Step]) -> str:
    order = ("failed", "timed_out", "running", "queued", "cancelled", "succeeded")
    return min((step.status for step in group), key=lambda status: order.index(status) if status in order else 0)


def _more(step: Step) -> list[tuple[str, Any]]:
    return [("Id", step.id), *shown_attributes(step.attributes)]


def shown_attributes(text: str | None) -> list[tuple[str, str]]:
    """Return stored attributes as names and values in one line each; as one text where they are longer than a page holds."""
    found = shown_json(text) or {}
    return [(str(name), plain(value)) for name, value in (found if isinstance(found, dict) else {"all": found}).items()]


def plain(value: Any) -> str:
    """Write an attribute's value in one line."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def shown_json(text: str | None) -> Any:
    """Decode stored JSON for showing; what is longer than a page can hold is cut and shown as text."""
    if text is None:
        return None
    if len(text) > PREVIEW:
        return f"{text[:PREVIEW]}… ({len(text):,} characters; the API has the whole)"
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        return text
