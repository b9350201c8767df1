"""What the command palette finds: executions by the start of their id, workflows by a part of their name."""

from __future__ import annotations

from urllib.parse import quote

from pilothouse_executions import queries

HITS = 8


def find(text: str) -> list[dict[str, str]]:
    """Return hits for what was typed."""
    runs = [
        {"title": row.workflow or row.id, "detail": f"{row.status} {row.id}", "url": f"/executions/{quote(row.id, safe='')}"}
        for row in queries.starting_with(text, HITS)
    ]
    names = [name for row in queries.workflows() if text.lower() in (name := str(row.name)).lower()]
    flows = [{"title": name, "detail": "Workflow", "url": f"/executions/?workflow={quote(name)}"} for name in names[:HITS]]
    return (runs + flows)[:HITS]
