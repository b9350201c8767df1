"""The recorded cases: what clients sent, replayed, and what an independent reader finds in it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "cases"  # a few small ones, so that a clone has some
SHARED = Path(__file__).parents[4] / "shared" / "corpus"
DIALECTS = (
    "genai-", "google-adk", "langchain-", "langfuse-", "langgraph-", "litellm", "logfire", "mlflow", "openai-agents",
    "openinference-", "otel-openai", "otlp-", "pydantic-ai", "strands", "traceloop-", "vercel-ai",
)  # fmt: skip
FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "authorization"})
Recorded = dict[str, Any]


@cache
def folders() -> dict[str, Path]:
    """Return the folders of all cases of our dialects, by name."""
    found = {}
    for root in (HERE, SHARED):
        for file in sorted(root.glob("*/*/case.json")):
            name = f"{file.parent.parent.name}/{file.parent.name}"
            if name.startswith(DIALECTS):
                found.setdefault(name, file.parent)
    return found


@cache
def facts() -> dict[str, Any]:
    """Return what the independent reader found, by case."""
    known: dict[str, Any] = {}
    for root in (SHARED, HERE):
        file = root / "facts.json"
        known |= json.loads(file.read_text()) if file.exists() else {}
    return known


def delivered(name: str) -> list[Recorded]:
    """Return the requests of a case that its server took, with their bodies as they were on the wire."""
    folder = folders()[name]
    requests = json.loads((folder / "case.json").read_text())["requests"]
    return [
        {**request, "data": (folder / request["body_file"]).read_bytes() if request.get("body_file") else b""}
        for request in requests
        if 200 <= (request["reply"].get("status") or 0) < 300
    ]


def headers_of(request: Recorded, authorization: str) -> list[tuple[str, str]]:
    """Return the recorded headers, all but those of the connection, with our token."""
    kept = [(name, value) for name, value in request["headers"] if name.lower() not in FRAMING]
    return [*kept, ("Authorization", authorization)]
