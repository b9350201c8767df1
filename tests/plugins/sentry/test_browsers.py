"""Pages of other sites send with the token of their DSN: the doors are open to them, and nothing else is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser
from tests.conftest import token_of

from pilothouse.testing import Api, serving

PAGE = {"Origin": "https://shop.example.com"}
ENVELOPE = b'{}\n{"type":"event"}\n{"event_id":"' + b"a" * 32 + b'","message":"from a page"}\n'
DOORS = ("/api/1/envelope/", "/api/1/store/", "/v1/traces", "/otlp/v1/logs", "/v1/metrics")


@pytest.mark.parametrize("path", DOORS)
def test_a_browser_that_asks_first_is_told_that_it_may_send(app: Flask, path: str) -> None:
    asked = {**PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = app.test_client().options(path, headers=asked)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "POST"
    assert {"authorization", "content-type"} <= set(answer.headers["Access-Control-Allow-Headers"].lower().split(", "))
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_page_may_read_what_it_is_answered_and_when_to_come_again(app: Flask, make_token: Callable[..., str]) -> None:
    path = f"/api/1/envelope/?sentry_key={make_token('ingest')}&sentry_version=7"
    answer = app.test_client().post(path, data=ENVELOPE, headers={**PAGE, "Content-Type": "text/plain;charset=UTF-8"})
    assert answer.json == {"id": "a" * 32}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


def test_a_refusal_can_be_read_too(app: Flask) -> None:
    answer = app.test_client().post("/api/1/envelope/?sentry_key=wrong", data=ENVELOPE, headers=PAGE)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (403, "*")


@pytest.mark.parametrize("path", ["/api/executions", "/api/ingest", "/login", "/api/public/ingestion", "/healthz"])
def test_nothing_else_is_open_to_pages(app: Flask, path: str) -> None:
    for method in ("OPTIONS", "GET", "POST"):
        answer = app.test_client().open(path, method=method, headers=PAGE)
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_only_the_named_sites_may_send_where_some_are_named(build_app: Callable[..., Flask]) -> None:
    app = build_app(PILOTHOUSE_BROWSER_ORIGINS="https://Shop.example.com/, http://localhost:3000")
    answers = {
        origin: app.test_client().options("/api/1/envelope/", headers={"Origin": origin} if origin else {})
        for origin in ("https://shop.example.com", "http://localhost:3000", "https://other.example.com", "null", "")
    }
    told = {origin: answer.headers.get("Access-Control-Allow-Origin") for origin, answer in answers.items()}
    assert told == {
        "https://shop.example.com": "https://shop.example.com", "http://localhost:3000": "http://localhost:3000",
        "https://other.example.com": None, "null": None, "": None,
    }  # fmt: skip
    assert all("Origin" in answer.headers["Vary"] for answer in answers.values())


@pytest.mark.parametrize("wrong", ["shop.example.com", "https://shop.example.com/path", "ftp://x", "https://a@b"])
def test_what_is_no_origin_is_named_at_the_start(wrong: str) -> None:
    from pilothouse.errors import SettingsError
    from pilothouse.settings import read_settings

    with pytest.raises(SettingsError, match="PILOTHOUSE_BROWSER_ORIGINS"):
        read_settings({"PILOTHOUSE_BROWSER_ORIGINS": wrong}, require_secrets=False)


@pytest.fixture
def site() -> Iterator[str]:
    """Serve an empty page of another site."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>shop</title>")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


SEND = """async ([url, headers, body]) => {
  const answer = await fetch(url, {method: "POST", body, headers});
  return [answer.status, await answer.text()];
}"""


@pytest.mark.browser
def test_a_real_browser_sends_from_another_site(app: Flask, api: Api, site: str, chromium: Browser) -> None:
    token = token_of(app, "ingest")
    span = {"traceId": "b" * 32, "spanId": "c" * 16, "name": "click", "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    traces = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    bearer = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with serving(app) as address:
        page = chromium.new_page()
        page.goto(site)
        sent = page.evaluate(SEND, [f"{address}/api/1/envelope/?sentry_key={token}", {}, ENVELOPE.decode()])
        traced = page.evaluate(SEND, [f"{address}/v1/traces", bearer, traces])
        with pytest.raises(Exception, match="Failed to fetch"):
            page.evaluate(SEND, [f"{address}/api/ingest", bearer, '{"signals": []}'])
        page.close()
    assert sent == [200, json.dumps({"id": "a" * 32}, separators=(",", ":"))]
    assert traced == [200, "{}"]
    assert api.get("/api/errors?since=0").json["data"][0]["message"] == "from a page"
    assert api.get(f"/api/executions/{'b' * 32}").json["workflow"] == "click"
