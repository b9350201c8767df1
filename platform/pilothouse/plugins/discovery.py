"""Finding plugins: installed distributions that offer an entry point in the group `pilothouse.plugins`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

GROUP = "pilothouse.plugins"
OURS = "pilothouse"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that was found: its module, or the reason for which it could not be imported."""

    name: str
    module: object | None
    distribution: str = ""
    version: str = ""
    failure: str | None = None


def discover(disabled: Sequence[str] = ()) -> list[Candidate]:
    """Import every installed plugin whose name is not disabled, in the order of names; a failing import is contained.

    Where two distributions offer the same name, ours comes first, and whoever comes first has it.
    """
    found = entry_points(group=GROUP)
    points = sorted(found, key=lambda point: (point.name, _distribution(point) != OURS, _distribution(point)))
    return [_load(point) for point in points if point.name not in disabled]


def installed_names() -> list[str]:
    """Return the names of all installed plugins without importing any."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else ""


def _load(point: EntryPoint) -> Candidate:
    distribution = _distribution(point)
    version = point.dist.version if point.dist else ""
    try:
        return Candidate(point.name, point.load(), distribution, version)
    except (Exception, SystemExit) as fault:  # noqa: BLE001 - an import may raise anything; it must stay the plugin's own failure
        return Candidate(point.name, None, distribution, version, f"import failed: {type(fault).__name__}: {fault}")
