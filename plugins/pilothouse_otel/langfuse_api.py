"""What Langfuse's SDKs ask beside OTLP, and openai-agents' exporter: their own paths and answers."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response

from pilothouse.sdk import ApiBlueprint, Door, Invalid, NotFound, TooLarge, now, read_body
from pilothouse_otel import agents, langfuse, observations
from pilothouse_otel.door import submit
from pilothouse_otel.limits import MOST_BYTES, MOST_ITEMS
from pilothouse_otel.spans import Refused

CREATED = 201  # the verdict on an event that was taken
SEND = "core.signals.send"
PROJECT = "pilothouse"


class Organization(msgspec.Struct, frozen=True):
    """Whose project it is: everybody's who uses this server."""

    id: str = PROJECT
    name: str = "Pilothouse"


class Project(msgspec.Struct, frozen=True, rename="camel"):
    """The one project that there is, in the fields that the SDKs require."""

    organization: Organization
    id: str = PROJECT
    name: str = "Pilothouse"
    metadata: dict[str, str] = {}
    retention_days: int | None = None


class Projects(msgspec.Struct, frozen=True):
    """The projects that the keys belong to."""

    data: list[Project]


class Verdicts(msgspec.Struct, frozen=True):
    """What became of a batch's events, in their order."""

    successes: list[langfuse.Verdict]
    errors: list[langfuse.Verdict]


def blueprint(door: Door) -> ApiBlueprint:
    """Make the blueprint of Langfuse's own paths."""
    bp = ApiBlueprint("otel_langfuse", prefix="/api/public", title="Langfuse")
    bp.get("/projects", permission=SEND)(list_projects)
    bp.get("/v2/prompts", permission=SEND)(list_prompts)
    bp.get("/v2/prompts/<path:name>", permission=SEND)(show_prompt)
    bp.post("/scores", permission=SEND, transaction=False)(add_score)

    def ingest_batch() -> Verdicts:
        with door.serve():
            return take_batch()

    ingest_batch.__doc__ = take_batch.__doc__
    bp.post("/ingestion", permission=SEND, status=207, transaction=False)(ingest_batch)
    return bp


def agents_blueprint(door: Door) -> ApiBlueprint:
    """Make the blueprint of openai-agents' exporter."""
    bp = ApiBlueprint("otel_agents", prefix="", title="OpenAI Agents SDK")

    def ingest_agent_traces() -> Response:
        with door.serve():
            return take_agent_traces()

    ingest_agent_traces.__doc__ = take_agent_traces.__doc__
    bp.post("/v1/traces/ingest", permission=SEND, transaction=False)(ingest_agent_traces)
    return bp


def list_projects() -> Projects:
    """Check the keys (Langfuse).

    Answers the one project that there is, so that `auth_check()` of Langfuse's SDKs succeeds.
    """
    return Projects([Project(Organization())])


def list_prompts() -> None:
    """List prompts (Langfuse): there are none here."""
    raise NotFound("Pilothouse keeps no prompts; give your SDK a fallback.")


def show_prompt(name: str) -> None:
    """Show a prompt (Langfuse): there are none here, so that SDKs use their fallback."""
    raise NotFound(f"Pilothouse keeps no prompts, so there is no {name[:60]!r}; give your SDK a fallback.")


def take_batch() -> Verdicts:
    """Send a batch of events (Langfuse).

    The JSON batches of Langfuse's SDK 2 and the scores of later ones; at most 10 MiB and 5,000 events. Traces become
    executions, observations steps, generations token usage, scores events. Answers 207 with a verdict for each event.
    """
    batch = langfuse.read_batch(langfuse.decode(read_body(MOST_BYTES)), now())
    faults = [verdict for verdict in batch.verdicts if verdict.status != CREATED]
    submit(observations.translate(batch), Refused(len(faults), faults[0].error or faults[0].message) if faults else None)
    return Verdicts([verdict for verdict in batch.verdicts if verdict.status == CREATED], faults)


def add_score() -> Response:
    """Send a score, or a list of them (Langfuse): each becomes an event named `score.<name>`.

    One score answers 200 with its id; a list 202 with their number, or 207 where some of them were refused.
    """
    body: Any = langfuse.decode(read_body(MOST_BYTES))
    if isinstance(body, list):
        return _add_scores(body)
    try:
        score = langfuse.score_of(langfuse.tell(body if isinstance(body, dict) else {}), now())
    except ValueError as fault:
        raise Invalid(str(fault)) from None
    submit([(0, score)])
    return _json({"id": score.id})


def _add_scores(bodies: list[Any]) -> Response:
    if len(bodies) > MOST_ITEMS:
        raise TooLarge(f"{len(bodies)} scores; one request takes {MOST_ITEMS}.")
    scores, faults = [], []
    for place, body in enumerate(bodies):
        try:
            scores.append((place, langfuse.score_of(langfuse.tell(body if isinstance(body, dict) else {}), now())))
        except ValueError as fault:
            faults.append({"index": place, "message": str(fault)})
    submit(scores)
    if not faults:
        return _json({"message": "Accepted", "accepted": len(scores)}, 202)
    return _json({"accepted": len(scores), "rejected": len(faults), "errors": faults}, 207)


def _json(told: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(told), status, content_type="application/json")


def take_agent_traces() -> Response:
    """Send traces of openai-agents.

    What the SDK's own exporter sends to OpenAI: `{"data": [...]}` with traces and their spans; at most 10 MiB and 5,000
    items. What cannot be read is passed over; the exporter does not look at the answer.
    """
    refused = Refused()
    submit(agents.translate(langfuse.decode(read_body(MOST_BYTES)), now(), refused), refused)
    return _json({"rejected": refused.count, "message": refused.reason} if refused.count else {})
