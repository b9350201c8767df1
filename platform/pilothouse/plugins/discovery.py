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

    Ours come first, before anybody can take a name or a table from them; of two with the same name whoever comes first has it.
    """
    found = [(point, *_distribution(point)) for point in entry_points(group=GROUP) if point.name not in disabled]
    found.sort(key=lambda one: (one[1] != OURS, one[0].name, one[1]))
    return [_load(*one) for one in found]


def _distribution(point: EntryPoint) -> tuple[str, str]:
    """Return the name and version of the distribution that offers a plugin."""
    if point.dist is None:
        return "", ""
    metadata = point.dist.metadata  # read once: it parses a file
    return metadata["Name"], metadata["Version"]


def _load(point: EntryPoint, distribution: str = "", version: str = "") -> Candidate:
    try:
        return Candidate(point.name, point.load(), distribution, version)
    except (Exception, SystemExit) as fault:  # noqa: BLE001 - an import may raise anything; it must stay the plugin's own failure
        return Candidate(point.name, None, distribution, version, f"import failed: {type(fault).__name__}: {fault}")
