"""Reading prompts and answers that are kept."""

from __future__ import annotations

from sqlalchemy import select

from pilothouse.sdk import db, now
from pilothouse_gateway.models import GatewayContent

MOST = 100  # calls of one execution that are shown


def contents_of(execution_id: str, limit: int = MOST) -> list[GatewayContent]:
    """Return what an execution's calls sent and got, the first call first; what is past its time is not there."""
    mine = (GatewayContent.execution_id == execution_id, GatewayContent.expires_at > now())
    statement = select(GatewayContent).where(*mine).order_by(GatewayContent.at, GatewayContent.id).limit(limit)
    return list(db.session().scalars(statement))
