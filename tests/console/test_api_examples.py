"""The OpenAPI document as people read it."""

from pilothouse.web.api_examples import curl, documented_groups, example, field_rows, kind_of

DOCUMENT = {
    "servers": [{"url": "http://server"}],
    "tags": [{"name": "thing_one", "description": "Thing One"}],
    "components": {"schemas": {
        "Step": {"type": "object", "required": ["name"],
                 "properties": {"name": {"type": "string"}, "next": {"$ref": "#/components/schemas/Step"}}},
        "Level": {"enum": ["low", "high"]},
    }},
    "paths": {"/api/x/{id}": {"post": {"summary": "Do it", "tags": ["thing_one"], "security": [{"token": []}],
              "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 9}}],
              "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Step"}}}},
              "responses": {"201": {"content": {"application/json": {
                  "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Step"}}}}}}}}},
}


def test_operations_stand_in_groups_with_all_that_a_reader_needs():
    group = documented_groups(DOCUMENT)[0]
    operation = group.operations[0]
    assert (group.title, operation.method, operation.status, operation.id) == ("Thing One", "POST", "201", "post-api-x-id")
    assert operation.parameters[0].kind == "string, at most 9 characters"


def test_a_schema_that_holds_itself_ends():
    rows = field_rows(DOCUMENT, {"$ref": "#/components/schemas/Step"})
    assert [(row.name, row.depth) for row in rows] == [(name, depth) for depth in range(3) for name in ("name", "next")]
    assert rows[0].required


def test_kinds_are_said_in_words():
    kinds = [kind_of(DOCUMENT, schema) for schema in (
        {"type": "integer", "minimum": 1, "maximum": 500}, {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "array", "items": {"$ref": "#/components/schemas/Step"}}, {"$ref": "#/components/schemas/Level"}, {},
    )]
    assert kinds == ["integer, 1 to 500", "string or null", "list of Step", "low | high", "any"]


def test_the_example_is_a_call_that_can_be_pasted():
    line = curl(DOCUMENT, "/api/x/{id}", "post", DOCUMENT["paths"]["/api/x/{id}"]["post"])
    assert line.startswith("curl -X POST http://server/api/x/{id} \\\n")
    assert "-d '{\"name\": \"...\"}'" in line


def test_the_least_valid_value_has_required_fields_only():
    assert example(DOCUMENT, {"$ref": "#/components/schemas/Step"}) == {"name": "..."}
    assert example(DOCUMENT, {"anyOf": [{"type": "integer"}, {"type": "null"}]}) == 1
    assert example(DOCUMENT, {"$ref": "#/components/schemas/Level"}) == "low"
