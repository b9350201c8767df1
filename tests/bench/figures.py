"""A figure beside its limit, as a ratio."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; `ratio` is to the limit of the same run, `reach` says what it should be."""

    name: str
    what: str
    value: str
    limit: str
    ratio: float | None
    reach: str
    reached: bool


def at_least(name: str, what: str, value: float, limit: float, *, unit: str, share: float, peer: str) -> Figure:
    """Make a figure that should be at least a share of its limit."""
    ratio = value / limit
    return Figure(name, what, f"{value:,.0f} {unit}", f"{peer} {limit:,.0f} {unit}", ratio, f"≥ {share}", ratio >= share)


def at_most(name: str, what: str, value: float, limit: float, *, unit: str, digits: int = 0) -> Figure:
    """Make a figure that should not be over a fixed limit."""
    return Figure(
        name, what, f"{value:,.{digits}f} {unit}", f"{limit:,.{digits}f} {unit}", value / limit, "≤ 1", value <= limit
    )


def print_table(figures: list[Figure]) -> None:
    """Print figures as a Markdown table, as docs/benchmarks.md holds them."""
    print("\n| # | what | measured | limit | ratio | reach | reached |\n| --- | --- | --- | --- | --- | --- | --- |")
    for f in figures:
        ratio = "" if f.ratio is None else f"{f.ratio:.2f}"
        print(f"| {f.name} | {f.what} | {f.value} | {f.limit} | {ratio} | {f.reach} | {'yes' if f.reached else 'no'} |")
    print(flush=True)


def percentile(values: list[float], fraction: float) -> float:
    """Return a percentile of measured values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]
