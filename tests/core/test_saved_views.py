"""Saved views where two of one person's requests come at once; what a reader sees of them is tested with the console's pages."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from pilothouse.access import Principal
from pilothouse.db import db, unit_of_work
from pilothouse.errors import Conflict
from pilothouse.identity.users import add_user
from pilothouse.web.models import SavedView
from pilothouse.web.saved_views import MOST, save

pytestmark = pytest.mark.postgres


@pytest.fixture
def ada(postgres_app):
    with unit_of_work() as session:
        user = add_user("ada@example.com", "member")
        session.flush()
        return Principal(user.id, "member", user.name, user.email, user_id=user.id)


def test_a_view_that_is_saved_twice_at_once_is_one(ada, beside):
    with unit_of_work() as session:
        save(ada, "executions", "Failures", "status=failed", shared=False)
        session.flush()
        second = beside(lambda: saved(ada, "Failures", "status=lost"))
    second.end()
    assert list(db.session.scalars(select(SavedView.query))) == ["status=lost"]


def test_two_at_once_do_not_exceed_what_one_may_keep(ada, beside):
    for number in range(MOST - 1):
        saved(ada, f"View {number}", "")
    with unit_of_work() as session:
        save(ada, "executions", "The last", "", shared=False)
        session.flush()
        second = beside(lambda: saved(ada, "One more", ""))
    with pytest.raises(Conflict):
        second.end()


def saved(principal, name, query):
    with unit_of_work():
        save(principal, "executions", name, query, shared=False)
