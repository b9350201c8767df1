"""Who gets in, at which addresses, with which encodings, and what is answered."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
from flask import Flask
from sqlalchemy import text
from tests.plugins.sentry.conftest import Sentry, enveloped

from pilothouse.db import db
from pilothouse.sdk import Door, TooManyRequests
from pilothouse.testing import Api
from pilothouse_sentry.door import FULL, source

EVENT_ID = "a" * 32
EVENT = {"event_id": EVENT_ID, "message": "the queue is full", "level": "error"}
BODY = enveloped(("event", EVENT), header={"event_id": EVENT_ID})


def errors() -> int:
    return int(db.session.scalar(text("SELECT count(*) FROM errors")) or 0)


@pytest.mark.parametrize("path", ["/api/42/envelope/", "/api/42/envelope", "/api/1/envelope/", "/api/4507123456789/envelope/"])
def test_any_project_number_is_taken_with_and_without_a_slash(sentry: Sentry, path: str) -> None:
    answer = sentry.client.post(f"{path}?sentry_key={sentry.token}", data=BODY)
    assert (answer.status_code, answer.json) == (200, {"id": EVENT_ID})
    assert errors() == 1


def test_a_project_that_is_no_number_is_not_found(sentry: Sentry) -> None:
    assert sentry.client.post(f"/api/shop/envelope/?sentry_key={sentry.token}", data=BODY).status_code == 404
    assert sentry.client.post(f"/api/{'9' * 5000}/store/?sentry_key={sentry.token}", data=BODY).status_code in {404, 414}


def header_of_python(token: str) -> dict[str, Any]:
    return {"headers": {"X-Sentry-Auth": f"Sentry sentry_key={token}, sentry_version=7, sentry_client=sentry.python/2.75.0"}}


def header_of_old_sdks(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Sentry sentry_version=7,sentry_key={token}"}}


def query_of_node(token: str) -> dict[str, Any]:
    return {"query_string": {"sentry_version": "7", "sentry_key": token, "sentry_client": "sentry.javascript.node/11.12.0"}}


def bearer(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


def dsn_in_the_envelope(token: str) -> dict[str, Any]:
    return {"data": enveloped(("event", EVENT), header={"dsn": f"https://{token}@pilothouse.example/1"})}


WAYS = [header_of_python, header_of_old_sdks, query_of_node, bearer, dsn_in_the_envelope]


@pytest.mark.parametrize("way", WAYS)
def test_the_key_comes_in_any_place(sentry: Sentry, way: Callable[[str], dict[str, Any]]) -> None:
    answer = sentry.client.post("/api/1/envelope/", **{"data": BODY, **way(sentry.token)})
    assert answer.json == {"id": EVENT_ID}
    assert errors() == 1


@pytest.mark.parametrize("way", [header_of_python, header_of_old_sdks, query_of_node, dsn_in_the_envelope])
@pytest.mark.parametrize("key", ["pk0123456789abcdef0123456789abcdef", "ph_access_" + "x" * 47, "%00"])
def test_an_unknown_key_is_refused_in_sentrys_words(sentry: Sentry, way: Callable[[str], dict[str, Any]], key: str) -> None:
    answer = sentry.client.post("/api/1/envelope/", **{"data": BODY, **way(key)})
    assert answer.status_code == 403
    assert "unknown sentry_key" in answer.json["detail"]
    assert errors() == 0


@pytest.mark.parametrize("body", [BODY, b"", b"no envelope", b'{"dsn": "http://[broken"}\n', b'{"dsn": 5}\n'])
def test_without_a_key_nothing_is_taken(sentry: Sentry, body: bytes) -> None:
    answer = sentry.client.post("/api/1/envelope/", data=body)
    assert answer.status_code == 401
    assert answer.json["detail"] == "missing authorization information"


def test_a_token_without_the_scope_is_not_allowed(app: Flask, make_token: Callable[..., str]) -> None:
    answer = app.test_client().post(f"/api/1/store/?sentry_key={make_token('read')}", json=EVENT)
    assert answer.status_code == 403
    assert errors() == 0


def test_a_key_opens_no_other_door(sentry: Sentry) -> None:
    headers = {"X-Sentry-Auth": f"Sentry sentry_key={sentry.token}"}
    assert sentry.client.post("/api/ingest", json={"signals": []}, headers=headers).status_code == 401


def test_a_get_is_not_answered_as_a_post(sentry: Sentry) -> None:
    answer = sentry.client.get(f"/api/1/envelope/?sentry_key={sentry.token}")
    assert answer.status_code in {404, 405}


ENCODINGS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "identity": bytes}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bodies_come_in_any_encoding(sentry: Sentry, encoding: str) -> None:
    body = ENCODINGS[encoding](BODY)
    headers = {"Content-Encoding": encoding, "Content-Type": "application/x-sentry-envelope"}
    answer = sentry.client.post(f"/api/1/envelope/?sentry_key={sentry.token}", data=body, headers=headers)
    assert answer.json == {"id": EVENT_ID}


def test_a_chunked_body_without_length_or_type_is_read(sentry: Sentry) -> None:
    environ = {"wsgi.input": io.BytesIO(BODY), "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = sentry.client.post(f"/api/1/envelope/?sentry_key={sentry.token}", environ_overrides=environ)
    assert answer.json == {"id": EVENT_ID}


def test_the_size_counts_after_unpacking(sentry: Sentry) -> None:
    bomb = gzip.compress(b'{"event_id": "1"}\n' + b" " * (21 * 1024 * 1024))
    answer = sentry.client.post(
        f"/api/1/envelope/?sentry_key={sentry.token}", data=bomb, headers={"Content-Encoding": "gzip"}
    )
    assert answer.status_code == 413
    assert answer.json["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"1\n{}"])
def test_what_is_no_envelope_is_malformed(sentry: Sentry, body: bytes) -> None:
    answer = sentry.client.post(f"/api/1/envelope/?sentry_key={sentry.token}", data=body)
    assert answer.status_code == 400
    assert answer.json["detail"].startswith("invalid envelope header")


def test_a_bare_event_is_stored_and_broken_ones_refused(sentry: Sentry) -> None:
    path = f"/api/1/store/?sentry_key={sentry.token}"
    assert sentry.client.post(path, data=json.dumps(EVENT)).json == {"id": EVENT_ID}
    assert errors() == 1
    assert [sentry.client.post(path, data=body).status_code for body in (b"", b"nothing", b"[1]")] == [400, 400, 400]


def test_a_bare_transaction_is_an_execution(sentry: Sentry, api: Api) -> None:
    trace = {"trace_id": "b" * 32, "span_id": "c" * 16}
    body = {"type": "transaction", "transaction": "old", "contexts": {"trace": trace}, "timestamp": 1795425545.5}
    assert sentry.client.post(f"/api/1/store/?sentry_key={sentry.token}", json=body).status_code == 200
    assert api.get(f"/api/executions/{'b' * 32}").json["workflow"] == "old"


def test_over_the_limit_the_answer_names_it_in_sentrys_words(build_app: Callable[..., Flask]) -> None:
    app = build_app(PILOTHOUSE_INGEST_RATE="1")
    from tests.conftest import token_of

    with app.app_context():
        sdk = Sentry(app.test_client(), token_of(app, "ingest"))
        answers = [sdk.send(("event", {"message": "again"})) for _ in range(3)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert refused[0].headers["X-Sentry-Rate-Limits"] == f"{refused[0].headers['Retry-After']}::organization:pilothouse"


def test_one_more_than_there_is_room_for_is_sent_away() -> None:
    door = Door(source, FULL, most=1, wait_s=0.01)
    with door.enter(), pytest.raises(TooManyRequests) as refused, door.enter():
        pass
    assert refused.value.retry_after == 2
    with door.enter():
        pass
