"""Endpoints."""

from __future__ import annotations

import msgspec

from pilothouse.sdk import DEFAULT_LIMIT, ApiBlueprint, Limit, Page, page_of, read_cursor, to_rfc3339
from pilothouse_deploys import queries

VIEW = "deploys.list.view"


class DeployQuery(msgspec.Struct, frozen=True):
    """Which page of the list."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class DeployRecord(msgspec.Struct, frozen=True):
    """A deployment."""

    id: str
    service: str
    version: str
    environment: str | None
    by: str | None
    at: str


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("deploys")
    bp.get("/deploys", permission=VIEW, topics=("deploys",))(list_deploys)
    return bp


def list_deploys(query: DeployQuery) -> Page[DeployRecord]:
    """List the deployments, the newest first."""
    after = read_cursor(query.cursor) if query.cursor else None
    rows, cursor = page_of(queries.newest(query.limit + 1, after), query.limit, lambda row: (row.at, row.id))
    return Page([DeployRecord(r.id, r.service, r.version, r.environment, r.by, to_rfc3339(r.at)) for r in rows], cursor)
