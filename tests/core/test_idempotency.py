"""`Idempotency-Key`: one key, one effect, one answer; secrets in answers are kept sealed."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest
from flask import Response
from sqlalchemy import text

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.errors import Conflict
from pilothouse.plugins.models import PluginSwitch
from pilothouse.runtime import runtime
from pilothouse.testing import Api, environment, let_go, make_app
from pilothouse.web import idempotency
from pilothouse.web.idempotency import IdempotentAnswer, remembered

KEY = {"Idempotency-Key": "k-1"}
RUN = {"workflow": "w", "status": "running"}


def kept():
    db.session.rollback()
    return list(db.session.scalars(db.select(IdempotentAnswer)))


def number(table):
    db.session.rollback()
    return db.session.scalar(text(f"SELECT count(*) FROM {table}"))


def request_with(app, work, *, key="k", body=b"{}", address="10.0.0.1"):
    """Run `work` as a request of somebody at an address would."""
    headers = {"Idempotency-Key": key} if key is not None else {}
    with app.test_request_context("/made", method="POST", data=body, headers=headers, environ_base={"REMOTE_ADDR": address}):
        return remembered(work)


def put(name, answer=b'{"n":1}', status=201):
    def work():
        with unit_of_work() as session:
            session.add(PluginSwitch(name=name, switched_off_at=1, switched_off_by="me"))
        return Response(answer, status, content_type="application/json")

    return work


def test_each_access_token_of_a_person_is_a_caller_of_its_own(app, as_role):
    owner = as_role("owner")
    made = [owner.post("/api/access-tokens", json={"name": "t", "scopes": ["read", "write"]}).json for _ in range(2)]
    tokens = [one["token"] for one in made]
    ids = {Api(app.test_client(), token).post("/api/executions", json=RUN, headers=KEY).json["id"] for token in tokens}
    assert len(ids) == 2


def test_a_repeated_post_makes_one_record_and_gets_the_same_answer(either_app, either_api):
    first = either_api.post("/api/executions", json=RUN, headers=KEY)
    again = either_api.post("/api/executions", json=RUN, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.data == again.data
    assert again.content_type == "application/json"
    assert number("executions") == 1


def test_the_same_key_with_another_body_is_a_conflict(either_app, either_api):
    either_api.post("/api/executions", json=RUN, headers=KEY)
    response = either_api.post("/api/executions", json={**RUN, "workflow": "other"}, headers=KEY)
    assert response.status_code == 409
    assert number("executions") == 1


def test_a_key_belongs_to_its_caller_and_route(app, api, as_role):
    answers = [caller.post("/api/executions", json=RUN, headers=KEY) for caller in (api, as_role("member"), as_role("owner"))]
    assert len({answer.json["id"] for answer in answers}) == 3
    cancelled = api.post(f"/api/executions/{answers[0].json['id']}/cancel", json={}, headers=KEY)
    assert cancelled.json["status"] == "cancelled"


def test_a_refused_request_keeps_nothing(app, api):
    assert api.post("/api/executions", json={"workflow": "w"}, headers=KEY).status_code == 422
    assert kept() == []
    assert api.post("/api/executions", json=RUN, headers=KEY).status_code == 201


def test_only_posts_are_remembered(app, api):
    made = api.post("/api/executions", json={**RUN, "id": "a"})
    api.patch("/api/executions/a", json={"agent": "x"}, headers=KEY)
    api.get("/api/executions/a", headers=KEY)
    assert made.status_code == 201
    assert kept() == []


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_a_bounded_length(app, api, key):
    response = api.post("/api/executions", json=RUN, headers={"Idempotency-Key": key})
    assert response.status_code == 422
    assert response.json["errors"][0]["path"] == "Idempotency-Key"


def test_without_a_key_the_work_is_done_each_time(app):
    assert request_with(app, put("a"), key=None).status_code == 201
    assert request_with(app, put("b"), key=None).status_code == 201
    assert number("plugin_switches") == 2


def test_people_at_other_addresses_have_other_keys(app):
    request_with(app, put("a"), address="10.0.0.1")
    request_with(app, put("b"), address="10.0.0.2")
    request_with(app, put("c"), address="10.0.0.1")
    assert number("plugin_switches") == 2


def test_after_a_day_a_key_is_as_good_as_new(app, time_of_day):
    request_with(app, put("a", b'{"n":1}'))
    time_of_day.pass_by(clock.DAY - 1)
    assert request_with(app, put("b")).data == b'{"n":1}'
    time_of_day.pass_by(1)
    assert request_with(app, put("c", b'{"n":2}'), body=b"other").data == b'{"n":2}'
    assert len(kept()) == 1


def test_old_answers_are_purged(app, time_of_day):
    request_with(app, put("a"), key="old")
    time_of_day.pass_by(clock.DAY + 1)
    request_with(app, put("b"), key="young")
    with unit_of_work():
        idempotency.purge()
    assert len(kept()) == 1


def test_an_answer_of_4xx_leaves_no_trace(app):
    assert request_with(app, put("a", status=409)).status_code == 409
    assert kept() == []


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_of_many_at_once_one_does_the_work(request, build_app, database):
    settings = {"PILOTHOUSE_DATABASE_URL": request.getfixturevalue("postgres_url")} if database == "postgres" else {}
    app = build_app(**settings)
    start, answers = threading.Barrier(6), []

    def ask(caller):
        start.wait()
        with app.app_context():
            answers.append(request_with(app, put(f"p{caller}", f'{{"n":{caller}}}'.encode())).data)

    threads = [threading.Thread(target=ask, args=(caller,)) for caller in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1
    with app.app_context():
        assert number("plugin_switches") == 1


def test_a_fault_in_the_work_frees_the_key(app):
    def fall():
        raise Conflict

    with pytest.raises(Conflict):
        request_with(app, fall)
    assert request_with(app, put("a")).status_code == 201


@pytest.mark.parametrize("body", [b'{"token":"ph_access_abc"}', b'{"id":"k","secret": "whsec_abc"}',
b'{"signing_secret":"abc"}'])
def test_an_answer_with_a_secret_is_stored_sealed_and_given_again(app, tmp_path, body):
    assert request_with(app, put("a", body)).data == body
    assert request_with(app, put("b", body)).data == body
    with closing(sqlite3.connect(tmp_path / "pilothouse.db")) as file:
        assert "abc" not in "\n".join(file.iterdump())
    assert kept()[0].body.startswith(b"ph1.")


@pytest.mark.parametrize("body", [b'{"token":null}', b'{"prompt_tokens":5}', b'{"name":"my token"}', b""])
def test_an_answer_without_one_is_stored_as_it_is(app, body):
    request_with(app, put("a", body))
    assert kept()[0].body == body


def test_where_the_vault_is_sealed_no_secret_is_kept(tmp_path, migrated):
    settings = {**environment(tmp_path, PILOTHOUSE_DATABASE_URL=f"sqlite:///{tmp_path}/x.db"), "PILOTHOUSE_MASTER_KEYS": ""}
    app = make_app(settings, plugins=[])
    with app.app_context():
        db.create_all()
        assert runtime().keyring.sealed
        assert request_with(app, put("a", b'{"token":"t"}')).status_code == 201
        assert kept() == []
    let_go(app)
