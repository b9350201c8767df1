"""Access tokens over HTTP: shown once, never above their maker, revoked at once."""

from __future__ import annotations

import re
from html import unescape

from pilothouse.testing import Api


def make(api, **more):
    return api.post("/api/access-tokens", json={"name": "ci", "scopes": ["read"], **more})


def test_a_token_is_shown_once_and_works(app, api):
    made = make(api).json
    assert made["token"].startswith("ph_")
    assert Api(app.test_client(), made["token"]).get("/api/executions").status_code == 200
    assert made["token"] not in api.get("/api/access-tokens").text


def test_a_token_has_the_fields_of_the_contract(api):
    made = make(api).json
    assert made.keys() >= {"id", "name", "prefix", "scopes", "last_used_at", "expires_at", "created_by", "created_at"}
    assert made["scopes"] == ["read"]


def test_a_revoked_token_is_refused_on_its_next_request(app, api):
    made = make(api).json
    program = Api(app.test_client(), made["token"])
    assert api.delete(f"/api/access-tokens/{made['id']}").status_code == 204
    assert program.get("/api/executions").status_code == 401


def test_a_token_makes_none_with_more_scopes_than_its_own(app, make_token):
    program = Api(app.test_client(), make_token("admin"))
    assert make(program, scopes=["write"]).status_code == 403


def test_unknown_scopes_and_past_expiry_are_named(api):
    assert "scopes" in make(api, scopes=["everything"]).text
    assert make(api, expires_at=1).status_code == 422


def test_a_leaked_token_is_revoked_by_whoever_found_it(app, api, client):
    made = make(api).json
    answers = [client.post("/api/access-tokens/revoke-leaked", json={"token": t}) for t in (made["token"], "ph_x_nothing")]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json == answers[1].json
    assert Api(app.test_client(), made["token"]).get("/api/executions").status_code == 401


def test_members_manage_no_tokens(as_role):
    member = as_role("member")
    assert member.get("/api/access-tokens").status_code == 403
    assert "Access tokens" not in member.get("/keys/").text


def test_the_page_shows_a_new_token_once(as_role):
    admin = as_role("admin")
    made = admin.post("/keys/tokens", data={"name": "ci", "scope": ["ingest"], "expires": "30"})
    assert (made.status_code, "ph_access_" in made.text) == (201, True)
    assert made.headers["Cache-Control"] == "no-store"
    listed = admin.get("/keys/?tab=tokens").text
    assert "ci" in listed


def test_the_list_goes_on_by_cursor(api):
    made = {api.post("/api/access-tokens", json={"name": f"t{n}", "scopes": ["read"]}).json["id"] for n in range(3)}
    first = api.get("/api/access-tokens?limit=2").json
    rest = api.get(f"/api/access-tokens?limit=500&cursor={first['next_cursor']}").json
    found = [row["id"] for row in (*first["data"], *rest["data"])]
    assert (len(first["data"]), rest["next_cursor"]) == (2, None)
    assert made < set(found)
    assert len(found) == len(set(found))


def test_the_page_goes_on_to_the_older_tokens(api, as_role):
    for number in range(51):
        make(api, name=f"token-{number}.")
    admin = as_role("admin")
    first = admin.get("/keys/?tab=tokens").text
    assert "token-50." in first
    assert "token-0." not in first
    older = admin.get(older_page(first)).text
    assert "token-0." in older
    assert "token-50." not in older


def test_the_page_after_a_new_token_goes_on_at_the_list(api, as_role):
    for number in range(50):
        make(api, name=f"token-{number}.")
    admin = as_role("admin")
    made = admin.post("/keys/tokens", data={"name": "ci", "scope": ["ingest"], "expires": "30"})
    assert "token-0." in admin.get(older_page(made.text)).text


def older_page(page):
    return unescape(re.search(r'rel="next" href="([^"]+)"', page)[1])
