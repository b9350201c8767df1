"""No input is answered with a fault: every operation, every page, every field and parameter, on either database.

The questions are made from the OpenAPI document and from the pages' routes, so a new one is asked them on the day it is there.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from pilothouse.testing import open_browser_session
from pilothouse.web.openapi import operations

pytestmark = pytest.mark.no_cover

WORDS = ["\0", "a\0b", "x" * 70_000, "' OR 1=1 --", "%_\\", "\U0001f680\u202e", "../../etc/passwd", "<script>", "=1+1",
"{{7*7}}", ""]
NUMBERS = [-1, 0, 2**31, 2**63, -(2**63), 2**70, 1e308, 0.1]
OTHERS: list[Any] = [None, True, [], {}, [None], ["\0"], {"\0": "\0"}, [[[[[[]]]]]], {"a": {"b": [1e308]}}]
VALUES = [*WORDS, *NUMBERS, *OTHERS]
RAW = [b"", b"null", b"[]", b"5", b'"x"', b"{", b"\xff", b'{"a":NaN}', b'{"a":"\\ud800"}', b"[" * 5_000, b'{"a":' * 5_000,
b"1e999",
       b'{"a":1,"a":2}', b"{}" + b" " * 2_000_000]  # fmt: skip
TEXTS = ["%00", "%FF", "%F0%9F%98", "-1", "0", "99999999999999999999", "9" * 5_000, "x" * 5_000, "1e309", "nan", "%25",
"%27%22", "null", "[]", "2023-13-01",
         "%F0%9F%9A%80", "_", ""]  # fmt: skip
PATHS = ["a%00", "%FF", "x" * 3_000, "%20", "..", "%2F", "%F0%9F%9A%80", "'", "-1", "99999999999999999999", "null"]


@pytest.fixture
def asked(either_app, either_api):
    """Give all operations of the JSON API, what asks one, and what was answered with a fault; on either database."""
    yield from asking(either_app, either_api)


@pytest.fixture
def asked_once(app, api):
    """Give the same on SQLite alone."""
    yield from asking(app, api)


def asking(app, api):
    found = [one for one in operations(app) if one[0].startswith("/api/") and "{project}" not in one[0]]
    faults, told = [], Counter()

    def ask(method, path, **options):
        headers = {"Authorization": f"Bearer {api.token}", **options.pop("headers", {})}
        response = api.client.open(path, method=method, headers=headers, **options)
        told[response.status_code] += 1
        if response.status_code >= 500:
            faults.append(f"{method} {path[:120]} {str(options)[:200]} -> {response.status_code}")
        return response

    yield found, ask, faults
    assert told[401] == told[429] == 0  # each question reached its endpoint
    assert min(sum(told.values()), len(found)) > 50
    assert len(told) > 2, told


def filled(path, value="none"):
    for part in path.split("{")[1:]:
        path = path.replace("{" + part.partition("}")[0] + "}", value)
    return path


def fields_of(app_document, operation_id):
    """Return the names of a body's fields, those of objects inside of it included."""
    for item in app_document["paths"].values():
        for one in item.values():
            if one["operationId"] == operation_id and "requestBody" in one:
                schema = one["requestBody"]["content"]["application/json"]["schema"]
                name = schema.get("$ref", "").rpartition("/")[2]
                return list(app_document["components"]["schemas"].get(name, {}).get("properties", {}))
    return []


def test_hostile_bodies_are_refused_or_taken(asked, either_app):
    found, ask, faults = asked
    document = json.loads(either_app.test_client().get("/api/openapi.json").text)
    for path, method, endpoint, _ in found:
        if method in {"GET", "DELETE"}:
            continue
        fields = fields_of(document, endpoint.replace("_api.", "."))
        for value in VALUES if fields else ():
            ask(method, filled(path), data=json.dumps(dict.fromkeys(fields, value)), content_type="application/json")
        for body in RAW:
            ask(method, filled(path), data=body, content_type="application/json")
    assert faults == []


def test_one_hostile_field_among_sound_ones_is_refused_or_taken(asked_once, app):
    found, ask, faults = asked_once
    document = json.loads(app.test_client().get("/api/openapi.json").text)
    sound = {"name": "n", "workflow": "w", "status": "running", "email": "a@example.com", "role": "viewer",
    "scopes": ["read"], "kind": "email",
             "service": "openai", "secret": "s" * 20, "url": "mailto:a@example.com", "amount_usd": "1", "period": "day",
             "categories": [],
             "enabled": True, "input_usd_per_million": "1", "output_usd_per_million": "1"}  # fmt: skip
    for path, method, endpoint, _ in found:
        fields = fields_of(document, endpoint.replace("_api.", ".")) if method in {"POST", "PUT", "PATCH"} else []
        for field in fields:
            for value in ("a\0b", "x" * 70_000, 2**70, [], {"a": "\0"}, -1, None):
                ask(method, filled(path), json={**{name: sound[name] for name in fields if name in sound}, field: value})
    assert faults == []


def test_hostile_questions_are_refused_or_answered(asked):
    found, ask, faults = asked
    for path, method, _, operation in found:
        if method != "GET":
            continue
        names = list(getattr(operation.query, "__struct_encode_fields__", ()))
        for text in TEXTS if names else ():
            ask("GET", f"{filled(path)}?" + "&".join(f"{name}={text}" for name in names))
        for name in names:
            for text in ("%00", "99999999999999999999", "-1", "x" * 3_000, "%FF"):
                ask("GET", f"{filled(path)}?{name}={text}")
    assert faults == []


def test_hostile_paths_lead_nowhere(asked):
    found, ask, faults = asked
    for path, method, _, _ in found:
        for value in PATHS if "{" in path else ():
            ask(method, filled(path, value), **({} if method in {"GET", "DELETE"} else {"json": {}}))
    assert faults == []


def test_hostile_headers_change_nothing(asked_once):
    found, ask, faults = asked_once
    odd = {"If-None-Match": '"\xff', "Accept": "\xff;q=nan", "Content-Encoding": "\xff", "X-Request-Id": "\x7f" * 500,
    "Range": "bytes=-1",
           "Idempotency-Key": "\xff" * 300, "Cookie": "pilothouse_session=\xff; a=" + quote("\0"),
           "Accept-Language": "\xff"}  # fmt: skip
    for path, method, _, _ in found:
        for name, value in odd.items():
            ask(method, filled(path), headers={name: value}, **({} if method in {"GET", "DELETE"} else {"json": {}}))
    assert faults == []


# what has no page, and what would end the session
NO_PAGES = ("/api/", "/v1/", "/otlp/", "/gateway/", "/healthz", "/readyz", "/metrics", "/-/csp", "/logout")
ODD = ["\u00b2", "9" * 30, "-1"]  # a digit that is no number, more than any column holds, less than nothing
ENDLESS = "9" * 5_000  # more digits than Python reads
_FIELD = re.compile(r'\bname="(\w+)"')
_PART = re.compile(r"<(?:(?P<kind>[^:<>]+):)?[^<>]+>")


def asking_pages(app):
    """Return what asks a page as an owner does, all pages as (path, method, whether it has a part), and the faults."""
    client, faults = app.test_client(), []
    client.environ_base["HTTP_ACCEPT"] = "text/html"

    def ask(method, path, **options):
        me = client.get("/api/auth/me")
        if me.status_code != 200:  # the last question was an act that ended the session
            client.set_cookie("pilothouse_session", open_browser_session("owner"))
            me = client.get("/api/auth/me")
        response = client.open(path, method=method, headers={"X-CSRF-Token": me.json["csrf_token"]}, **options)
        if response.status_code >= 500:
            faults.append(f"{method} {path[:120]} {str(options)[:200]} -> {response.status_code}")
        return response

    rules = [rule for rule in app.url_map.iter_rules() if not rule.rule.startswith(NO_PAGES) and "static" not in rule.endpoint]
    return ask, [(rule.rule, method) for rule in rules for method in ("GET", "POST") if method in rule.methods], faults


def part(rule, value):
    return _PART.sub(lambda found: "1" if found["kind"] == "int" else value, rule)


def test_nul_asked_of_the_pages_is_refused(either_app):
    ask, pages, faults = asking_pages(either_app)
    for rule, method in pages:
        if "<" in rule:
            ask(method, part(rule, "a%00"))
        if method == "GET":
            ask("GET", f"{part(rule, 'none')}?q=a%00b&tab=%00&cursor=%00&status=%00")
        else:
            ask("POST", part(rule, "none"), data={"id": "a\0b", "rowid": "a\0b", "name": "a\0b"})
    assert len(pages) > 60
    assert faults == []


def test_odd_numbers_in_forms_are_refused_or_taken(app):
    ask, pages, faults = asking_pages(app)
    shown = [ask("GET", rule).text for rule, method in pages if method == "GET" and "<" not in rule]
    fields = sorted({name for page in shown for name in _FIELD.findall(page)} - {"csrf_token"})
    for rule, method in pages:
        if method == "GET":
            ask("GET", part(rule, "none"), query_string=dict.fromkeys(fields, ODD[1]))
            continue
        for value in (*ODD, ENDLESS):
            ask("POST", part(rule, "none"), data=dict.fromkeys(fields, value))
    assert len(fields) > 20
    assert faults == []
