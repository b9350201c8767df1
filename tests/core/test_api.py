"""The API layer: typed routes that state their permission, one transaction a request, answers by the contract."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from flask import Response
from sqlalchemy import text

from pilothouse.access import PUBLIC, Permission, roles_from
from pilothouse.db import db, in_unit_of_work, unit_of_work
from pilothouse.errors import Conflict
from pilothouse.plugins.models import PluginSwitch
from pilothouse.testing import Api
from pilothouse.web.api import ApiBlueprint, serialise
from pilothouse.web.bodies import API_LIMIT
from pilothouse.web.paging import Page

VIEW = Permission("trial.things.view", "See things", roles_from("viewer"), "read")
CHANGE = Permission("trial.things.change", "Change things", roles_from("member"), "write")


class Wanted(msgspec.Struct, frozen=True):
    """What to look for."""

    name: str | None = None
    tags: list[str] = []
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class Thing(msgspec.Struct, frozen=True):
    """A thing."""

    name: Annotated[str, msgspec.Meta(max_length=20)]
    size: int = 0


def find(query: Wanted) -> Page[dict[str, Any]]:
    """Find things.

    By their names.
    """
    return Page([{"name": query.name, "tags": query.tags, "limit": query.limit, "unit_of_work": in_unit_of_work()}])


def show(name: str) -> Thing:
    """Show a thing."""
    return Thing(name)


def make(body: Thing) -> Thing:
    """Make a thing."""
    put(body.name)
    return body


def put(name):
    db.session().add(PluginSwitch(name=name, switched_off_at=1, switched_off_by="me"))


def fall(body: Thing) -> Thing:
    """Make a thing and fall."""
    put(body.name)
    db.session().flush()
    raise Conflict("taken")


def replace(name: str, body: Thing) -> Thing:
    """Replace a thing."""
    return Thing(name, body.size)


def change(name: str, body: Thing) -> Thing:
    """Change a thing."""
    return replace(name, body)


def remove(name: str) -> None:
    """Remove a thing."""
    put(name)


def free() -> Response:
    """Answer freely."""
    return Response("free", 200, content_type="text/plain")


def outside(body: Thing) -> dict[str, bool]:
    """Work without a transaction."""
    return {"unit_of_work": in_unit_of_work(), "big": len(body.name) > 5}


def blueprint():
    bp = ApiBlueprint("trial")
    bp.get("/things", permission=VIEW.name)(find)
    bp.get("/things/<path:name>", permission=VIEW.name)(show)
    bp.post("/things", permission=CHANGE.name, status=201)(make)
    bp.post("/fallen", permission=CHANGE.name)(fall)
    bp.put("/things/<name>", permission=CHANGE.name)(replace)
    bp.patch("/things/<name>", permission=CHANGE.name)(change)
    bp.delete("/things/<name>", permission=CHANGE.name)(remove)
    bp.get("/free", permission=PUBLIC)(free)
    bp.post("/outside", permission=CHANGE.name, transaction=False, limit=100)(outside)
    return bp


@pytest.fixture
def trial(build_app, make_plugin):
    """Return an application with these routes, in its context, and a program that may do all."""
    app = build_app(plugins=[make_plugin("trial", permissions=[VIEW, CHANGE], api_blueprints=[blueprint()])])
    with app.app_context():
        yield program(app, "read", "write")


def program(app, *scopes):
    from pilothouse.identity.access_tokens import create_token

    with unit_of_work():
        return Api(app.test_client(), create_token("t", scopes)[1])


def names():
    db.session.rollback()
    return sorted(db.session.scalars(text("SELECT name FROM plugin_switches")))


def test_a_question_is_read_and_its_answer_written(trial):
    found = trial.get("/api/things?name=a&tags=x&tags=y&limit=3&other=1").json
    assert found == {"data": [{"name": "a", "tags": ["x", "y"], "limit": 3, "unit_of_work": False}], "next_cursor": None}
    assert trial.get("/api/things?limit=0").status_code == 422


def test_parts_of_the_path_are_given_by_name(trial):
    assert trial.get("/api/things/a%20b/c").json == {"name": "a b/c", "size": 0}
    assert trial.get("/api/things/a%00").status_code == 404


def test_a_change_is_committed_with_its_answer(trial):
    response = trial.post("/api/things", json={"name": "a"})
    assert (response.status_code, response.json, names()) == (201, {"name": "a", "size": 0}, ["a"])


def test_a_refusal_undoes_everything(trial):
    assert trial.post("/api/fallen", json={"name": "a"}).status_code == 409
    assert names() == []


def test_replacing_changing_and_removing_answer_by_the_contract(trial):
    assert trial.put("/api/things/a", json={"name": "x", "size": 2}).json == {"name": "a", "size": 2}
    assert trial.patch("/api/things/a", json={"name": "x"}).status_code == 200
    gone = trial.delete("/api/things/a")
    assert (gone.status_code, gone.data, names()) == (204, b"", ["a"])


def test_a_handler_may_answer_freely(trial):
    assert trial.client.get("/api/free").text == "free"
    assert serialise(Response("x", 418)).status_code == 418
    assert serialise(None, 204).data == b""


def test_a_route_may_go_without_a_transaction_and_have_a_limit(trial):
    assert trial.post("/api/outside", json={"name": "a"}).json == {"unit_of_work": False, "big": False}
    assert trial.post("/api/outside", json={"name": "a", "more": "x" * 100}).status_code == 413


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_slash_at_the_end_makes_no_difference(trial, slash):
    assert trial.get(f"/api/things{slash}").status_code == 200


def test_asking_for_the_head_answers_without_a_body(trial):
    response = trial.head("/api/things")
    assert (response.status_code, response.data) == (200, b"")


def test_other_methods_are_405_with_what_is_allowed(trial):
    response = trial.post("/api/free", json={})
    assert (response.status_code, response.json["type"].rsplit("/", 1)[1]) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS"


# --- who may ---


def test_nobody_is_401_and_told_how(trial):
    response = trial.client.get("/api/things")
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="Pilothouse"')


@pytest.mark.parametrize("token", ["", "nonsense", "ph_access_" + "a" * 49])
def test_a_token_that_is_none_is_401(trial, token):
    assert Api(trial.client, token).get("/api/things").status_code == 401


def test_a_scope_that_is_missing_is_403(trial):
    from flask import current_app

    reader = program(current_app._get_current_object(), "read")
    assert reader.get("/api/things").status_code == 200
    response = reader.post("/api/things", json={"name": "a"})
    assert (response.status_code, "token without the scope write" in response.json["detail"]) == (403, True)


def test_whether_one_may_is_asked_before_the_body_is_read(trial):
    response = trial.client.post("/api/things", data=b"{", headers={"Content-Type": "application/json"})
    assert response.status_code == 401


# --- bodies ---


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [(b'{"name":"a"}', "application/json", 201), (b'{"name":"a"}', "application/json; charset=utf-8", 201), (b'{"name":"a"}',
     None, 201),
     (b"", "application/json", 422), (b"{}", "application/json", 422), (b"[]", "application/json", 422), (b"null",
     "application/json", 422),
     (b"{", "application/json", 400), (b'{"name":"\\ud800"}', "application/json", 400), (b'{"name":NaN}', "application/json",
     400),
     (b"\xff", "application/json", 400), (b"[" * 5_000, "application/json", 400), (b"name=a",
     "application/x-www-form-urlencoded", 415),
     (b'{"name":"a"}', "text/plain", 415), (b'{"name":"a","size":99999999999999999999}', "application/json", 422),
     (b'{"name":"' + b"x" * 21 + b'"}', "application/json", 422), (b" " * (API_LIMIT + 1), "application/json", 413)],
)  # fmt: skip
def test_a_body_is_read_or_refused_by_the_contract(trial, data, kind, status):
    headers = {} if kind is None else {"Content-Type": kind}
    assert trial.post("/api/things", data=data, headers=headers).status_code == status


def test_a_body_may_be_compressed(trial):
    import gzip

    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert trial.post("/api/things", data=gzip.compress(b'{"name":"a"}'), headers=headers).status_code == 201
    assert trial.post("/api/things", data=b"not packed", headers=headers).status_code == 400
    assert trial.post("/api/things", data=b"{}", headers={**headers, "Content-Encoding": "lzma"}).status_code == 415


def test_a_million_keys_are_read_within_reason(trial):
    body = b'{"name":"a",' + b",".join(b'"k%d":0' % n for n in range(90_000)) + b"}"
    assert trial.post("/api/things", data=body, headers={"Content-Type": "application/json"}).status_code == 201


def test_names_of_things_that_are_described(trial):
    from flask import current_app

    operation = current_app.view_functions["trial_api.find"].operation
    assert (operation.summary, operation.description) == ("Find things.", "By their names.")
    assert (operation.query, operation.body, operation.returns, operation.permission) == (Wanted, None, Page[dict[str, Any]],
    VIEW.name)
