"""Nothing secret, unstorable or boundless reaches the store."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import inspect, text
from tests.plugins.sentry.conftest import Sentry

from pilothouse.db import db
from pilothouse.testing import Api

CARD = "4111111111111111"
KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz012345"


def dump() -> str:
    """Return every text of every table but the access tokens' own."""
    rows = []
    for table in inspect(db.engine).get_table_names():
        rows += [str(tuple(row)) for row in db.session.execute(text(f'SELECT * FROM "{table}"'))]
    return "\n".join(rows)


def event(**more: Any) -> dict[str, Any]:
    return {"event_id": "a" * 32, "level": "error", **more}


def test_secrets_leave_every_corner_of_an_event(sentry: Sentry) -> None:
    frame = {"function": "pay", "vars": {"card": f"'{CARD}'", "password": "hunter22"}, "context_line": f"key = '{KEY}'",
             "pre_context": [f"# {CARD}"], "post_context": [KEY]}  # fmt: skip
    values = [{"type": "E", "value": f"no money on {CARD}", "stacktrace": {"frames": [frame]}}]
    sentry.send(
        ("event", event(
            exception={"values": values}, extra={"note": KEY, "api_key": "short"}, tags={"card": CARD},
            breadcrumbs=[{"message": f"paid with {CARD}", "data": {"token": "tok_1234"}}],
            request={"query_string": "token=abc&x=1", "headers": {"Cookie": "session=1234"}, "data": {"cvv": "999"}},
            contexts={"shop": {"secret": "hush-hush"}},
        ))
    )  # fmt: skip
    stored = dump()
    for secret in (CARD, KEY, "hunter22", "tok_1234", "token=abc", "hush-hush", "session=1234", "'short'"):
        assert secret not in stored


def test_secrets_leave_spans_logs_and_check_ins(sentry: Sentry) -> None:
    ids = {"trace_id": "b" * 32, "span_id": "c" * 16}
    said = {"gen_ai.request.messages": {"value": f'["{KEY}"]', "type": "string"}, "card": {"value": CARD, "type": "string"}}
    sentry.send(
        ("span", {"items": [{**ids, "name": f"pay {CARD}", "attributes": said, "end_timestamp": 1795425545}]}),
        ("log", {"items": [{"timestamp": 1795425545, "level": "info", "body": f"key {KEY}", "attributes": {}}]}),
        ("check_in", {"monitor_slug": f"pay-{KEY}", "status": "missed"}),
        ("transaction", {"transaction": "t", "contexts": {"trace": ids}, "extra": {"card": CARD}}),
    )
    assert CARD not in dump()
    assert KEY not in dump()


def test_ids_are_never_masked(sentry: Sentry, api: Api) -> None:
    ids = {"trace_id": CARD * 2, "span_id": CARD}
    sentry.send(("transaction", {"transaction": "t", "contexts": {"trace": ids}, "extra": {"password": "hunter22"}}))
    assert [step["id"] for step in api.get(f"/api/executions/{CARD * 2}").json["steps"]] == [CARD]


def test_what_no_store_can_hold_is_removed(sentry: Sentry, api: Api) -> None:
    body = json.dumps(event(message="a\0b\ud83dc\u202e<script>", extra={"x\0": float("nan"), "y": [float("inf")]}))
    assert sentry.send(("event", body.encode())).status_code == 200
    error = api.get(f"/api/errors/{'a' * 32}").json
    assert error["message"] == "ab?c\u202e<script>"
    assert error["attributes"]["extra"] == {"x": "nan", "y": ["inf"]}


def test_999_frames_and_a_long_extra_are_stored(sentry: Sentry, api: Api) -> None:
    frames = [{"function": f"f{place}", "in_app": True, "vars": {"n": str(place), "text": "x" * 300}} for place in range(999)]
    values = [{"type": "RecursionError", "value": "deep", "stacktrace": {"frames": frames}}]
    sentry.send(("event", event(exception={"values": values}, extra={"big": "y" * 200_000})))
    error = api.get(f"/api/errors/{'a' * 32}").json
    assert (len(error["frames"]), error["frames"][-1]["function"]) == (999, "f998")
    assert len(error["attributes"]["extra"]["big"]) == 200_000


def test_depth_has_an_end(sentry: Sentry, api: Api) -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = {"a": deep}
    assert sentry.send(("event", event(extra=deep))).status_code == 200
    assert "[nested too deep]" in json.dumps(api.get(f"/api/errors/{'a' * 32}").json)


def test_texts_of_any_length_fit_their_columns(sentry: Sentry, api: Api) -> None:
    long = "z" * 5_000
    sentry.send(
        ("event", event(message=long * 20, transaction=long, release=long, environment=long, user={"id": long})),
        ("transaction", {"transaction": long, "contexts": {"trace": {"trace_id": "b" * 32, "span_id": "c" * 16, "op": long}}}),
        ("session", {"sid": "s-1", "status": long, "did": long}),
    )
    error = api.get(f"/api/errors/{'a' * 32}").json
    assert (len(error["message"]), len(error["release"]), len(error["user"])) == (65_536, 255, 255)
    assert len(api.get(f"/api/executions/{'b' * 32}").json["workflow"]) == 255
