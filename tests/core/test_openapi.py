"""The OpenAPI document: valid, whole, and made from the routes themselves."""

from __future__ import annotations

import json
import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from pilothouse.access import PUBLIC
from pilothouse.signals import ID_RULE, parse_id
from pilothouse.web.openapi import operations


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """Return the document of all installed plugins, as a client gets it."""
    from pilothouse.db import db
    from pilothouse.testing import environment, let_go, make_app

    app = make_app(environment(tmp_path_factory.mktemp("openapi")))
    with app.app_context():
        db.create_all()
    response = app.test_client().get("/api/openapi.json")
    document = json.loads(response.text)
    document["x-operations"] = list(operations(app))
    let_go(app)
    return document


def described(document):
    return [(path, method, one) for path, item in document["paths"].items() for method, one in item.items()]


def operation(document, method, path):
    return document["paths"][path][method]


def test_it_is_valid(document):
    plain = {name: value for name, value in document.items() if name != "x-operations"}
    assert list(OpenAPIV31SpecValidator(plain).iter_errors()) == []
    assert (document["openapi"], document["info"]["title"]) == ("3.1.0", "Pilothouse")
    assert document["servers"] == [{"url": "http://localhost"}]


def test_every_route_of_the_api_is_in_it(document):
    assert {(path, method.upper()) for path, method, _ in described(document)} == {
        (path, method) for path, method, _, _ in document["x-operations"]
    }  # fmt: skip


def test_operations_have_ids_tags_and_words_of_their_own(document):
    ids = [one["operationId"] for *_, one in described(document)]
    assert len(ids) == len(set(ids))
    assert all(one["summary"].endswith(".") and one["tags"] and len(one["tags"]) == 1 for *_, one in described(document))


def test_who_may_is_told(document):
    for path, method, _, operation_ in document["x-operations"]:
        told = document["paths"][path][method.lower()]
        assert (told["security"] == []) is (operation_.permission == PUBLIC)
        assert ("Open to everyone." in told["description"]) is (operation_.permission == PUBLIC)
    assert "Permission `executions.runs.view`" in operation(document, "get", "/api/executions")["description"]


def test_answers_are_told_by_status_and_shape(document):
    listed = operation(document, "get", "/api/executions")["responses"]
    assert listed["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Page_ExecutionRecord_"}
    assert "304" in listed
    assert operation(document, "post", "/api/executions")["responses"].keys() >= {"201", "401", "403", "409", "413", "422",
    "503", "507"}
    problem = listed["422"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}


def test_parameters_are_told_with_their_bounds(document):
    found = {one["name"]: one for one in operation(document, "get", "/api/executions")["parameters"]}
    assert (found["limit"]["schema"]["minimum"], found["limit"]["schema"]["maximum"]) == (1, 500)
    assert found["status"]["schema"]["type"] == "array"
    assert {one["name"] for one in operation(document, "get",
    "/api/executions/{execution_id}")["parameters"]} == {"execution_id"}


def test_bodies_are_told_also_where_a_route_reads_its_own(document):
    schemas = document["components"]["schemas"]
    body = operation(document, "post", "/api/ingest")["requestBody"]["content"]["application/json"]["schema"]
    signals = schemas[body["$ref"].rsplit("/", 1)[1]]["properties"]["signals"]["items"]["anyOf"]
    assert len(signals) == 5
    report = schemas["ExecutionReport"]["properties"]
    assert {"id", "workflow", "status", "started_at", "attributes", "input"} <= report.keys()


def test_posts_that_remember_say_so(document):
    for path, method, one in described(document):
        keyed = any(parameter["name"] == "Idempotency-Key" for parameter in one["parameters"])
        assert keyed <= (method == "post"), path
    assert any(p["name"] == "Idempotency-Key" for p in operation(document, "post", "/api/executions")["parameters"])


@pytest.mark.parametrize("text", ["a", "x" * 128, "a b", "a\n", "", "x" * 129, "a\u200b"])
def test_the_pattern_of_ids_means_what_the_server_does(document, text):
    pattern = document["components"]["schemas"]["Execution"]["properties"]["id"]["pattern"]
    try:
        right = bool(parse_id(text))
    except ValueError as fault:
        right = str(fault) != ID_RULE
    assert bool(re.search(pattern, text)) is right


def test_the_document_is_open_and_names_no_secret(client):
    response = client.get("/api/openapi.json")
    assert response.status_code == 200
    assert "PILOTHOUSE_SECRET" not in response.text
