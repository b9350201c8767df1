"""Saved views: reading and changing them. Everybody sees their own and the shared ones, and changes only their own."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request
from sqlalchemy import func, or_, select

from pilothouse import audit, clock
from pilothouse.access import Principal
from pilothouse.db import db
from pilothouse.errors import Conflict, Invalid, NotFound
from pilothouse.identity.models import User
from pilothouse.identity.principal import current_principal
from pilothouse.web.models import SavedView
from pilothouse.web.urls import qs

MOST = 50  # of one person on one page: a menu, not an archive
LONGEST_NAME = 80
LONGEST_QUERY = 2_000


@dataclass(frozen=True, slots=True)
class View:
    """A saved view as its page's menu shows it."""

    id: str
    name: str
    url: str
    shared: bool
    own: bool
    current: bool


def views_of(page: str) -> list[View]:
    """Return the views of a page that the reader may use, by name."""
    principal = current_principal()
    if principal is None or principal.user_id is None:
        return []
    statement = select(SavedView).where(
        SavedView.page == page, or_(SavedView.user_id == principal.user_id, SavedView.shared.is_(True))
    )
    here = qs().partition("?")[2]
    return [
        View(row.id, row.name, f"{request.path}?{row.query}" if row.query else request.path, row.shared,
             own=row.user_id == principal.user_id, current=row.query == here)
        for row in db.session.scalars(statement.order_by(func.lower(SavedView.name)).limit(2 * MOST))
    ]


def save(principal: Principal, page: str, name: str, query: str, *, shared: bool) -> SavedView:
    """Save a view in the open unit of work; the same name on the same page is replaced.

    Raises Invalid for a wrong field, Conflict where the person has too many.
    """
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise Invalid.field("name", f"must be 1 to {LONGEST_NAME} printable characters")
    if not 1 <= len(page) <= LONGEST_NAME or len(query) > LONGEST_QUERY or not query.isprintable():
        raise Invalid.field("query", "is no page's query string")
    # One of a person's requests at a time, else two would both find no such name, or room for one more.
    db.session.execute(select(User.id).where(User.id == principal.user_id).with_for_update(key_share=True))
    mine = SavedView.user_id == principal.user_id, SavedView.page == page
    row = db.session.scalar(select(SavedView).where(*mine, SavedView.name == name))
    if row is None:
        if (db.session.scalar(select(func.count()).select_from(SavedView).where(*mine)) or 0) >= MOST:
            raise Conflict(f"There are {MOST} views of this page already; delete one first.")
        row = SavedView(id=clock.new_id(), user_id=principal.user_id, page=page, name=name, created_at=clock.now())
        db.session.add(row)
    row.query, row.shared = query, shared
    audit.record("core.view_saved", f"view:{row.id}", principal=principal, detail={"page": page, "name": name})
    return row


def delete(principal: Principal, view_id: str) -> SavedView:
    """Delete one of the person's own views in the open unit of work. Raises NotFound for anybody else's."""
    row = db.session.get(SavedView, view_id)
    if row is None or row.user_id != principal.user_id:
        raise NotFound("There is no such view of yours.")
    db.session.delete(row)
    audit.record("core.view_deleted", f"view:{row.id}", principal=principal, detail={"name": row.name})
    return row
