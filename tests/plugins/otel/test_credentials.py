"""Access tokens where other services' clients put their keys."""

from __future__ import annotations

import base64

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from pilothouse_otel.credentials import tokens_of


def basic(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


FORMS = [
    lambda token: {"Authorization": f"Bearer {token}"},
    lambda token: {"Authorization": f"bearer {token}"},
    lambda token: {"Authorization": f"Bearer%20{token}"},
    lambda token: {"Authorization": token},
    lambda token: {"Authorization": basic("pk-lf-1", token)},
    lambda token: {"Authorization": basic("pk-lf-1", token).rstrip("=")},
    lambda token: {"Authorization": basic(token, "")},
    lambda token: {"X-Api-Key": token},
    lambda token: {"Api-Key": f" {token} "},
    lambda token: {"X-Pilothouse-Token": token},
    lambda token: {"Authorization": "Basic nonsense", "X-Api-Key": token},
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", ["/v1/traces", "/v1/traces/ingest", "/api/public/ingestion"])
def test_a_token_is_found_in_every_form(shared_door, form, path):
    api, body = shared_door.api, {"data": [], "batch": []}
    assert api.client.post(path, json=body, headers=form(api.token)).status_code in {200, 207}


@pytest.mark.parametrize("header", [
    "Basic", "Basic ", "Basic ====", "Basic w6TDtg==", "Bearer", "nonsense", "ph_access_nonsense", "Basic " + "A" * 5_000,
])  # fmt: skip
def test_what_is_no_token_is_401(shared_door, header):
    assert shared_door.api.client.post("/v1/traces", json={}, headers={"Authorization": header}).status_code == 401


def test_a_wrong_bearer_is_not_mended_by_another_header(client, make_token):
    headers = {"Authorization": "Bearer wrong", "X-Api-Key": make_token("ingest")}
    assert client.post("/v1/traces", json={}, headers=headers).status_code == 401


def test_only_the_doors_read_these_headers(client, make_token):
    headers = {"Authorization": basic("pk", make_token("read", "ingest"))}
    assert client.get("/api/executions", headers=headers).status_code == 401
    assert client.get("/api/public/projects", headers=headers).status_code == 200


def test_the_likeliest_place_comes_first():
    builder = EnvironBuilder(headers={"Authorization": basic("a", "b"), "X-Api-Key": "c"})
    assert tokens_of(Request(builder.get_environ())) == ["b", "c"]


def test_a_token_that_was_used_here_was_used(app, client, make_token):
    from pilothouse.identity.access_tokens import tokens

    client.get("/api/public/projects", headers={"Authorization": basic("pk", make_token("ingest"))})
    assert tokens()[0].last_used_at is not None
