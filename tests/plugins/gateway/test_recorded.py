"""Recorded requests of the providers' own clients, led through the gateway: answers as they came, usage as it was billed."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import token_of
from tests.plugins.gateway.conftest import SETTINGS, Gate, add_key
from tests.plugins.gateway.provider import GOOD

from pilothouse.testing import Api, environment, let_go, make_app

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"
DIALECTS = ("openai-python", "openai-python-1.109", "anthropic-python", "anthropic-python-0.69", "clients-node")
PASSED_ON = ("content-type", "x-request-id", "request-id", "retry-after-ms", "retry-after", "x-should-retry")
OWN = frozenset({"host", "content-length", "transfer-encoding", "connection", "authorization", "x-api-key", "accept-encoding"})
# Of long streams the recording keeps the beginning: the usage, which comes last, is not in it
CUT_OFF = {"openai-python/chat_stream": (0, 0), "openai-python/responses": (13, 89), "clients-node/errors": (16, 22)}
NO_KEY, UNREACHED = 424, 502  # what the gateway says where the provider refuses the key, and where it hangs up


def cases() -> list[Any]:
    if not CORPUS.is_dir():
        return [pytest.param(CORPUS, marks=pytest.mark.skip(reason=f"the shared recordings are not at {CORPUS}"))]
    found = [path for dialect in DIALECTS for path in sorted((CORPUS / dialect).glob("*/"))]
    return [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in found]


@dataclass(slots=True)
class Replies:
    """A provider that says again what it said when the case was recorded."""

    port: int = 0
    left: list[dict[str, Any]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    replies: Replies

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply = self.replies.left.pop(0)
        if reply.get("dropped"):
            self.close_connection = True
            return
        body = (reply.get("body") or "").encode()
        self.send_response(reply["status"])
        for name, value in reply["headers"].items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - as the base class calls it

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def replies() -> Iterator[Replies]:
    told = Replies()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"replies": told}))
    told.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def through(migrated: Path, tmp_path_factory: pytest.TempPathFactory, replies: Replies) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("recorded")
    shutil.copy(migrated, folder / "pilothouse.db")
    url = f"http://127.0.0.1:{replies.port}"
    upstreams = {"PILOTHOUSE_UPSTREAM_OPENAI": url, "PILOTHOUSE_UPSTREAM_ANTHROPIC": f"{url}/v1"}
    app = make_app(environment(folder, **{**SETTINGS, **upstreams}))
    gate = Gate(app, "", token_of(app, "gateway"), Api(app.test_client(), token_of(app)))
    for service in ("openai", "anthropic"):
        add_key(gate, service, GOOD)
    yield gate
    with app.app_context():
        let_go(app)


def billed(case: dict[str, Any]) -> tuple[int, int]:
    """Return what the provider counted, cached input included."""
    used = [call["usage"] for call in case.get("provider_calls") or [] if call.get("usage")]
    prompt = sum(
        one.get("prompt_tokens", 0) + one.get("input_tokens", 0) + one.get("cache_read_input_tokens", 0)
        + one.get("cache_creation_input_tokens", 0) for one in used
    )  # fmt: skip
    return prompt, sum(one.get("completion_tokens", 0) + one.get("output_tokens", 0) for one in used)


def calls_of(gate: Gate) -> dict[str, Any]:
    return {one["id"]: one for one in gate.calls()}


def recorded(gate: Gate, before: dict[str, Any]) -> tuple[int, int]:
    made = [one for key, one in calls_of(gate).items() if key not in before]
    return sum(one["prompt_tokens"] for one in made), sum(one["completion_tokens"] for one in made)


@pytest.mark.parametrize("folder", cases())
def test_a_recording_passes_as_it_was(through: Gate, replies: Replies, folder: Path) -> None:
    case = json.loads((folder / "case.json").read_text())
    before = calls_of(through)
    client = through.app.test_client()
    for request in case["requests"]:
        replies.left[:] = [request["reply"]] * 4
        headers = {name: value for name, value in request["headers"] if name.lower() not in OWN}
        service = "anthropic" if "anthropic-version" in {name.lower() for name in headers} else "openai"
        headers["x-api-key" if service == "anthropic" else "Authorization"] = (
            through.token if service == "anthropic" else f"Bearer {through.token}"
        )
        body = (folder / request["body_file"]).read_bytes() if request.get("body_file") else None
        path, told = f"/gateway/{service}{request['path']}", {"data": body, "query_string": request.get("query") or ""}
        answer = client.open(path, method=request["method"], headers=headers, **told)
        check(answer, request["reply"])
    expected = CUT_OFF.get(f"{folder.parent.name}/{folder.name}", billed(case))
    through.eventually(lambda: recorded(through, before) == expected)
    assert recorded(through, before) == expected


def check(answer: Any, reply: dict[str, Any]) -> None:
    status = UNREACHED if reply.get("dropped") else reply["status"]
    if status in {401, 403}:
        assert answer.status_code in {status, NO_KEY}
        return
    assert answer.status_code == status, answer.text
    if not reply.get("dropped"):
        assert answer.text == (reply.get("body") or "")
        told = {name.lower(): value for name, value in reply["headers"].items() if name.lower() in PASSED_ON}
        assert {name: answer.headers.get(name) for name in told} == told


def test_every_recorded_case_is_tried_at_some_door() -> None:
    """The other dialects are those of tests/plugins/otel/test_recordings.py and tests/plugins/sentry/test_recorded.py."""
    if not CORPUS.is_dir():
        pytest.skip(f"the shared recordings are not at {CORPUS}")
    from tests.plugins.otel.recordings import folders
    from tests.plugins.sentry.test_recorded import DIALECTS as SENTRY

    tried = {*folders(), *(f"{path.parent.name}/{path.name}" for one in (*DIALECTS, *SENTRY) for path in (CORPUS / one).glob("*/"))}
    assert tried >= json.loads((CORPUS / "facts.json").read_text()).keys()
