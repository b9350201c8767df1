"""Answers to faults: RFC 9457 for programs, a page for people, and never a trace, a statement or a secret."""

from __future__ import annotations

import pytest
from flask import abort
from flask.signals import got_request_exception
from sqlalchemy import text

from pilothouse.db import db
from pilothouse.errors import (
    Conflict,
    FieldError,
    Invalid,
    PilothouseError,
    PluginError,
    StorageFull,
    StoreAway,
    TooManyRequests,
    VaultIntegrity,
    VaultSealed,
)
from pilothouse.web.problems import TYPE_BASE, is_defect


@pytest.fixture
def falling(app):
    """Return what lets a route raise and asks for it; the faults that were told to the log are kept."""
    told = []

    def note(_app, exception, **_):
        told.append(exception)

    got_request_exception.connect(note, app)
    client = app.test_client()

    def ask(fault, path="/api/openapi.json", endpoint="system_api.openapi", **headers):
        def fall(**_):
            raise fault

        fall.permission = "public"
        app.view_functions[endpoint] = fall
        return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    ask.told = told
    yield ask
    got_request_exception.disconnect(note, app)


KINDS = [kind for kind in PilothouseError.__subclasses__() if kind is not PluginError]


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_of_ours_answers_with_its_status_and_code(falling, kind):
    response = falling(kind("What happened."))
    assert (response.status_code, response.content_type) == (kind.status, "application/problem+json")
    problem = response.json
    assert problem == {**problem, "type": TYPE_BASE + kind.code, "title": kind.title, "status": kind.status,
    "detail": "What happened."}
    assert problem["request_id"] == response.headers["X-Request-Id"]


def test_a_fault_without_words_says_its_title(falling):
    assert falling(Conflict()).json["detail"] == "Conflict"


def test_wrong_fields_are_listed(falling):
    fault = Invalid("two", [FieldError("a", "is wrong"), FieldError("b[0]", "is wrong too")], code="url_not_allowed")
    problem = falling(fault).json
    assert problem["errors"] == [{"path": "a", "message": "is wrong"}, {"path": "b[0]", "message": "is wrong too"}]
    assert problem["type"].endswith("/url_not_allowed")


@pytest.mark.parametrize("fault", [StoreAway("x"), VaultSealed("x"), TooManyRequests("x")])
def test_what_passes_says_when_to_try_again(falling, fault):
    assert int(falling(fault).headers["Retry-After"]) > 0


def test_a_given_time_to_try_again_is_told(falling):
    assert falling(TooManyRequests("x", retry_after=42)).headers["Retry-After"] == "42"
    assert falling(StoreAway("x", retry_after=0)).headers["Retry-After"] == "0"
    assert "Retry-After" not in falling(Conflict("x")).headers


@pytest.mark.parametrize("status", [400, 404, 406, 408, 413, 415, 418, 429, 500, 503])
def test_faults_of_the_framework_look_the_same(falling, app, status):
    def stop():
        abort(status)

    stop.permission = "public"
    app.view_functions["system_api.openapi"] = stop
    response = app.test_client().get("/api/openapi.json")
    assert (response.status_code, response.content_type) == (status, "application/problem+json")
    assert response.json.keys() == {"type", "title", "status", "detail", "request_id"}


def test_an_unknown_path_is_404_everywhere(client):
    assert client.get("/api/nowhere").json["type"].endswith("/not_found")
    page = client.get("/nowhere")
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert page.headers["X-Request-Id"]


def test_a_redirect_stays_a_redirect(app, client):
    def go():
        from werkzeug.exceptions import HTTPException
        from werkzeug.utils import redirect

        raise HTTPException(response=redirect("/elsewhere", 303))

    go.permission = "public"
    app.view_functions["system_api.openapi"] = go
    response = client.get("/api/openapi.json")
    assert (response.status_code, response.headers["Location"]) == (303, "/elsewhere")


# --- defects ---


def test_a_defect_tells_the_caller_nothing_and_the_log_everything(falling):
    fault = RuntimeError("secret hunter2 at /srv/app.py")
    response = falling(fault)
    assert (response.status_code, response.json["type"]) == (500, TYPE_BASE + "internal")
    assert "hunter2" not in response.text
    assert falling.told == [fault]


def test_the_statement_of_a_database_fault_is_not_shown(falling):
    with pytest.raises(Exception) as caught:
        db.session.execute(text("SELECT hidden FROM nowhere"))
    response = falling(caught.value)
    assert response.status_code == 500
    assert "nowhere" not in response.text


@pytest.mark.parametrize(
    ("fault", "defect"),
    [(Conflict("x"), False), (StoreAway("x"), False), (StorageFull("x"), False), (VaultIntegrity("x"), True),
     (PluginError("a", "x"), True),
     (KeyError("x"), True), (PilothouseError("x"), True)],
)  # fmt: skip
def test_only_defects_are_told_to_the_log(falling, fault, defect):
    falling(fault)
    assert is_defect(fault) is defect
    assert falling.told == ([fault] if defect else [])


def test_a_database_that_is_away_is_an_outage_and_no_defect(app, api, tmp_path, falling):
    db.session.remove()
    db.engine.dispose()
    for name in ("pilothouse.db", "pilothouse.db-wal", "pilothouse.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "pilothouse.db").mkdir()
    response = api.get("/api/executions")
    assert (response.status_code, response.json["type"]) == (503, TYPE_BASE + "store_away")
    assert response.headers["Retry-After"] == "5"
    assert falling.told == []


# --- pages ---


def test_people_get_a_page_and_programs_a_document(falling):
    page = falling(Conflict("What <b>happened</b>."), Accept="text/html", path="/login", endpoint="auth.login")
    assert page.mimetype in {"text/html", "application/problem+json"}


@pytest.mark.parametrize(
    ("path", "accept", "json"),
    [("/nowhere", "text/html", False), ("/nowhere", "*/*", False), ("/nowhere", "", False), ("/nowhere", "application/json",
     True),
     ("/nowhere", "application/problem+json", True), ("/api/nowhere", "text/html", True), ("/v1/nowhere", "text/html", True),
     ("/otlp/nowhere", "*/*", True), ("/gateway/nowhere", "*/*", True), ("/nowhere", "text/html,application/json;q=0.9",
     False)],
)  # fmt: skip
def test_who_asks_decides_on_the_form(client, path, accept, json):
    response = client.get(path, headers={"Accept": accept})
    assert response.status_code == 404
    assert (response.mimetype == "application/problem+json") is json


def test_the_page_shows_words_as_words(client):
    page = client.get("/<script>alert(1)</script>")
    assert "<script>alert" not in page.text


def test_an_error_page_that_breaks_is_plain_text(app, client):
    def broken(*_, **__):
        raise RuntimeError("template broke")

    app.jinja_env.globals["request"] = None
    app.jinja_env.overlay  # noqa: B018 - the environment is there
    app.jinja_loader = None
    app.jinja_env.loader = None
    page = client.get("/nowhere")
    assert (page.status_code, page.mimetype) == (404, "text/plain")
    assert page.headers["X-Request-Id"] in page.text


def test_each_request_has_an_id_of_its_own(client):
    assert len({client.get("/healthz").headers["X-Request-Id"] for _ in range(5)}) == 5
