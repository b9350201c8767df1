"""Recorded requests of Sentry's SDKs, sent again with a token of ours in place of the recorded key."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from pilothouse.runtime import runtime
from pilothouse.testing import Api

OWN = Path(__file__).parent / "cases"
CORPUS = Path(__file__).parents[4] / "shared" / "corpus"
RECORDED_KEY = "pk0123456789abcdef0123456789abcdef"
LEFT_OUT = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded request."""

    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    delivered: bool

    def plain(self) -> bytes:
        """Return the body decompressed."""
        encoding = {name.lower(): value for name, value in self.headers.items()}.get("content-encoding")
        return gzip.decompress(self.body) if encoding == "gzip" else self.body


def requests_of(folder: Path, token: str) -> list[Recorded]:
    """Read a case with the token in place of the recorded key."""
    found = []
    for request in json.loads((folder / "case.json").read_text())["requests"]:
        headers = {name: value.replace(RECORDED_KEY, token) for name, value in request["headers"]}
        found.append(
            Recorded(
                path=request["path"],
                query=(request.get("query") or "").replace(RECORDED_KEY, token),
                headers={name: value for name, value in headers.items() if name.lower() not in LEFT_OUT},
                body=(folder / request["body_file"]).read_bytes(),
                delivered=request["reply"].get("status") == 200,
            )
        )
    return found


def replay(client: FlaskClient, folder: Path, token: str) -> list[Any]:
    """Send what a case's server took, in order of arrival; returns the answers."""
    return [
        client.post(f"{one.path}?{one.query}", data=one.body, headers=one.headers)
        for one in requests_of(folder, token)
        if one.delivered
    ]


@dataclass(slots=True)
class Sentry:
    """An SDK without a program: envelopes of given items, sent to the application."""

    client: FlaskClient
    token: str

    def send(self, *items: tuple[str, Any], header: dict[str, Any] | None = None, **options: Any) -> Any:
        """Send items, each a type and a payload, as Python's SDK does; returns the answer."""
        headers = {"X-Sentry-Auth": f"Sentry sentry_key={self.token}, sentry_version=7", **options.pop("headers", {})}
        body = enveloped(*items, header=header)
        return self.client.post("/api/7/envelope/", data=body, headers=headers, **options)


def enveloped(*items: tuple[str, Any], header: dict[str, Any] | None = None) -> bytes:
    """Write an envelope with the length of each item."""
    parts = [json.dumps(header or {}).encode()]
    for kind, payload in items:
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        parts += [json.dumps({"type": kind, "length": len(content)}).encode(), content]
    return b"\n".join(parts) + b"\n"


@pytest.fixture
def app(restored_app: Flask) -> Flask:
    """Return the module's application without what other tests stored."""
    return restored_app


@pytest.fixture
def sentry(app: Flask, make_token: Callable[..., str]) -> Iterator[Sentry]:
    """Return an SDK whose DSN has a token with the scope ingest; what it sends must make nobody behind the door fail."""
    yield Sentry(app.test_client(), make_token("ingest"))
    assert runtime().registry.guard.failures == {}


def everything(api: Api, path: str) -> list[Any]:
    """Return all pages of a list."""
    found: list[Any] = []
    cursor = ""
    while True:
        page = api.get(f"{path}{'&' if '?' in path else '?'}limit=500{cursor}").json
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"
