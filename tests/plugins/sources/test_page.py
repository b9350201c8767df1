"""The page of the sources: who sends, what was refused, and how to connect the next client."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from tests.plugins.sources.conftest import event

from pilothouse.db import unit_of_work
from pilothouse.identity.models import AccessToken


def test_it_lists_who_sends_and_why_signals_were_refused(api, as_role):
    api.post("/api/ingest", json={"signals": [event("e1"), {"type": "event", "id": "<b>"}]}, headers={"User-Agent": "<i>x</i>/2"})
    page = as_role("viewer").get("/sources/").text
    assert "&lt;i&gt;x&lt;" in page
    assert "1 rejected" in page
    assert "is required" in page


def test_a_poll_gets_the_rows_alone(api, as_role):
    api.post("/api/ingest", json={"signals": [event("e1")]}, headers={"User-Agent": "curl/8"})
    part = as_role("viewer").get("/sources/", headers={"X-Ph-Fragment": "rows"}).text
    assert "curl" in part
    assert "<html" not in part


def test_without_arrivals_it_says_so_and_shows_the_snippets(as_role):
    page = as_role("viewer").get("/sources/?range=nonsense").text
    assert "Nothing arrived in this time" in page
    assert "http://localhost/v1/traces" in page
    assert "http://$PILOTHOUSE_TOKEN@localhost/1" in page


def test_a_token_is_put_into_every_snippet_and_shown_once(app, as_role):
    admin = as_role("admin")
    answer = admin.post("/sources/token", data={"csrf_token": admin.environ_base["HTTP_X_CSRF_TOKEN"]})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    token = answer.text.split("http://ph_")[1].split("@")[0]
    assert answer.text.count(f"ph_{token}") > 8
    assert "$PILOTHOUSE_TOKEN" not in answer.text
    assert f"ph_{token}" not in admin.get("/sources/").text
    sent = app.test_client().post(
        "/api/ingest", json={"signals": [event("e")]}, headers={"Authorization": f"Bearer ph_{token}"}
    )
    assert sent.json["accepted"] == 1


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_who_may_make_no_token_is_told_whom_to_ask(as_role, role):
    someone = as_role(role)
    assert "ask an owner or admin" in someone.get("/sources/").text
    assert someone.post("/sources/token").status_code == 403


def test_a_token_that_is_gone_leaves_its_counts(api, as_role, make_token):
    from pilothouse.testing import Api

    lost = make_token("ingest")
    Api(api.client, lost).post("/api/ingest", json={"signals": [event("e1")]})
    assert api.post("/api/access-tokens/revoke-leaked", json={"token": lost}).status_code == 202
    assert "a token that is gone" in as_role("viewer").get("/sources/").text


def test_an_old_token_is_named_however_many_are_newer(app, api, as_role, make_token):
    api.post("/api/ingest", json={"signals": [event("e1")]})
    with unit_of_work() as session:
        [known] = session.scalars(select(AccessToken))
        known.name = "the-first"
        session.add_all(
            AccessToken(id=f"t{n}", name="newer", token_hash=f"{n}", prefix="p", scopes="read", role="owner",
                        created_by="system", created_at=known.created_at + 1)
            for n in range(500)
        )  # fmt: skip
    assert "the-first" in as_role("viewer").get("/sources/").text
