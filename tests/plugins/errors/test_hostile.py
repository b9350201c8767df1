"""Whatever comes in or is asked for, nothing fails: bad signals are refused by themselves, odd ones are kept."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.testing import Api

ODD = "\\ud83d \u202e <script>alert(1)</script> \\u0000 ; DROP TABLE errors; -- \u0130\u1e9e\ufb01"


def post(api: Api, body: str) -> Any:
    return api.post("/api/ingest", data=body.encode(), content_type="application/json")


def signal(**fields: Any) -> dict[str, Any]:
    return {"type": "error", "id": "e1", "error_type": "ValueError", "message": "bad", **fields}


ODD_FIELDS: tuple[dict[str, Any], ...] = (
    {"frames": [{"line": -1}]}, {"frames": [{"file": "x" * 65_536, "function": "\\\\" * 9}]}, {"frames": []},
    {"frames": [{"function": "f"}] * 1_000}, {"stack_trace": "at " * 300_000}, {"stack_trace": 'File "' * 150_000},
    {"message": "'" * 65_536}, {"message": "1-" * 30_000}, {"message": ""}, {"fingerprint": ["x" * 60_000] * 3},
    {"fingerprint": ["{{ default }}"] * 50}, {"user": "u" * 255}, {"attributes": {"a": [[[]]] * 1_000}}, {"at": 0},
    {"frames": [{"line": 2**70, "vars": {"n": 2**70}}]}, {"error_type": "\u202e" * 255}, {"execution_id": "r/1?"},
)  # fmt: skip
WRONG_FIELDS: tuple[dict[str, Any], ...] = (
    {"frames": "f"}, {"frames": [1]}, {"frames": [{}] * 1_001}, {"severity": "bad"}, {"message": "x" * 65_537},
    {"error_type": ""}, {"error_type": "x" * 256}, {"handled": 1}, {"fingerprint": {}}, {"attributes": []},
    {"at": "yesterday"}, {"at": 2**63}, {"id": "a b"}, {"execution_id": ""}, {"message": None},
)  # fmt: skip


def test_odd_errors_are_kept(either_api):
    for number, fields in enumerate(ODD_FIELDS):
        answer = post(either_api, json.dumps({"signals": [signal(id=f"e{number}", **fields)]}))
        assert (answer.status_code, answer.json["accepted"]) == (200, 1), answer.text
        key = either_api.get(f"/api/errors/e{number}").json["group_id"]
        assert either_api.get(f"/api/errors/groups/{key}").status_code == 200
    assert len(either_api.get("/api/errors").json["data"]) == len(ODD_FIELDS)


def test_wrong_errors_are_refused_and_take_no_good_one_along(api):
    for number, fields in enumerate(WRONG_FIELDS):
        answer = post(api, json.dumps({"signals": [signal(**fields), signal(id=f"good{number}")]}))
        assert (answer.status_code, answer.json["accepted"], len(answer.json["rejected"])) == (200, 1, 1), answer.text
    assert all(e["id"].startswith("good") for e in api.get("/api/errors").json["data"])


def test_text_that_no_store_holds_is_cleaned(either_api):
    body = '{"signals": [{"type": "error", "id": "e1", "error_type": "T%s", "message": "%s", "user": "%s"}]}' % (ODD, ODD, ODD)  # noqa: UP031 - braces
    answer = post(either_api, body)
    assert answer.json["accepted"] == 1, answer.text
    found = either_api.get("/api/errors/e1").json
    assert "\0" not in found["message"]
    assert either_api.get("/api/errors", query_string={"q": "drop table"}).json["data"][0]["id"] == "e1"


def test_secrets_in_messages_are_scrubbed_before_grouping(api):
    for number in (1, 2):
        api.send(signal(id=f"e{number}", message=f"refused key sk-proj-{'abcdefgh' * 3}{number}000"))
    messages = {record["message"] for record in api.get("/api/errors").json["data"]}
    assert not any("abcdefgh" in message for message in messages)
    assert len(api.get("/api/errors/groups").json["data"]) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["severity", "resolved", "workflow", "group", "q", "since", "until", "limit", "cursor", "range"]),
        st.text(max_size=20),
        max_size=4,
    )
)
def test_no_query_is_a_defect(app, make_token, query):
    api = Api(app.test_client(), make_token("read"))
    for path in ("/api/errors", "/api/errors/groups"):
        assert api.get(path, query_string=query).status_code in {200, 422}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["status", "severity", "assignee_id", "resolution_notes"]), inner, max_size=4),
        max_leaves=8,
    )
)
def test_no_body_is_a_defect(app, make_token, body):
    api = Api(app.test_client(), make_token("ingest", "read", "write"))
    api.send(signal())
    key = api.get("/api/errors/e1").json["group_id"]
    assert api.patch(f"/api/errors/groups/{key}", json=body).status_code in {200, 400, 422}
    assert api.post("/api/errors/e1/resolve", json=body).status_code in {200, 400, 422}
