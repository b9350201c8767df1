"""Secrets go through their whole life on a running `pilothouse up`; then everything that it wrote is searched for them."""

from __future__ import annotations

import base64
import json
import re
import socket
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, Request, build_opener

import psutil
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from tests.plugins.gateway.provider import Provider, serve
from up_parts import Up, free_port, pilothouse
from work_parts import eventually

FIRST, SECOND, REFUSED = "sk-canary-1-4f1d9c27a8e6", "sk-canary-2-5b03d1c7e9a2", "sk-canary-3-77e0b1a2d4c6"
MAIL_PASSWORD = "canary-mail-8c1f0d7b35e2"
CHAT_TOKEN = "cAnAryChAt1d5a9f20c3b7ab"


class Sink:
    """Takes mails after a sign-in, webhooks and chat messages, and keeps all of them."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.posts: list[bytes] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                credential = self.headers["Authorization"] or ""  # which has to be there, for this receiver
                sink.posts.append(str(self.headers).replace(credential or "\0", "").encode() + body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.web.serve_forever, daemon=True)
        self.thread.start()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.mail_port = probe.getsockname()[1]
        self.post = Controller(
            self, hostname="127.0.0.1", port=self.mail_port, auth_require_tls=False, auth_required=True,
            authenticator=lambda *asked: AuthResult(success=asked[-1].password == MAIL_PASSWORD.encode()),
        )  # fmt: skip
        self.post.start()

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.web.server_port}"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope.content)
        return "250 taken"

    def close(self) -> None:
        self.post.stop()
        self.web.shutdown()
        self.web.server_close()
        self.thread.join()


@pytest.fixture
def sink() -> Iterator[Sink]:
    found = Sink()
    yield found
    found.close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider(salt="canary")
    server = serve(found)
    found.keys[REFUSED] = 401
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def up(sink: Sink, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    settings = {
        "PILOTHOUSE_SMTP_URL": f"smtp://canary:{MAIL_PASSWORD}@127.0.0.1:{sink.mail_port}", "PILOTHOUSE_UPSTREAM_OPENAI": provider.url,
        "PILOTHOUSE_ALLOW_PRIVATE_TARGETS": "on", "PILOTHOUSE_GATEWAY_KEEP_CONTENT": "1d",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with tempfile.TemporaryDirectory(prefix="ph", ignore_cleanup_errors=True) as name:
        found = Up(Path(name) / "data", free_port())
        yield found
        found.stop()


class Person:
    """Acts over HTTP, and keeps each answer but those that show a secret once."""

    def __init__(self, up: Up) -> None:
        self.up = up
        scopes = [word for scope in ("read", "write", "admin", "gateway") for word in ("--scope", scope)]
        self.token = pilothouse(up.folder, "token", "create", "canary", *scopes).stdout.strip()
        self.heard: list[str] = []

    def ask(self, method: str, path: str, body: Any = None, *, token: str = "", once: bool = False, **headers: str) -> Any:
        """Return an answer's body, of a refusal too; `once` says that it shows a secret."""
        sent = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json", **headers}
        content = None if body is None else json.dumps(body).encode()
        try:
            with build_opener().open(Request(self.up.url + path, content, sent, method=method), timeout=30) as answer:
                text = answer.read().decode()
        except HTTPError as refusal:
            text = f"{refusal.headers}{refusal.read().decode()}"
        if not once:
            self.heard.append(text)
        return json.loads(text) if text.startswith(("{", "[")) else text


def live(person: Person, provider: Provider, sink: Sink) -> list[str]:
    """Lead every kind of secret through its life; return those that were made on the way."""
    ask = person.ask
    key = ask("POST", "/api/keys", {"name": "main", "service": "openai", "secret": FIRST, "base_url": provider.url})["id"]
    ask("POST", f"/api/keys/{key}/validate", {})
    ask("POST", "/api/keys", {"name": "bad", "service": "other", "secret": FIRST})
    ask("PATCH", f"/api/keys/{key}", {"base_url": "https://elsewhere.example"})
    once = {"once": True, "Idempotency-Key": "canary"}
    caller = ask("POST", "/api/access-tokens", {"name": "caller", "scopes": ["gateway"]}, **once)["token"]
    assert ask("POST", "/api/access-tokens", {"name": "caller", "scopes": ["gateway"]}, **once)["token"] == caller
    call_models(ask, caller)
    ask("POST", f"/api/keys/{key}/rotate", {"secret": SECOND, "grace_seconds": 3600})
    bad = ask("POST", "/api/keys", {"name": "refused", "service": "openai", "secret": REFUSED})["id"]
    ask("POST", f"/api/keys/{bad}/validate", {})
    call_models(ask, caller)
    hook = ask(
        "POST", "/api/notifications/channels", {"name": "hook", "kind": "webhook", "url": f"http://{sink.url}/"}, once=True
    )
    chat = {"name": "chat", "kind": "apprise", "url": f"slack://T1JJ3T3L2/A1BRTD4JD/{CHAT_TOKEN}/#ops"}
    chat_id = ask("POST", "/api/notifications/channels", chat)["id"]
    ask("PATCH", f"/api/notifications/channels/{chat_id}", {"enabled": False})  # it would call a server that is not ours
    ask("POST", f"/api/notifications/channels/{hook['id']}/test", {})
    fresh = ask("POST", f"/api/notifications/channels/{hook['id']}/rotate", {}, once=True)
    ask("POST", "/api/executions", {"workflow": "canary", "status": "failed"})
    assert eventually(lambda: any(b"canary failed" in post for post in sink.posts) and sink.mails, 60)
    pilothouse(person.up.folder, "keys", "rotate-master")
    ask("PATCH", f"/api/keys/{bad}", {"status": "revoked"})
    ask("DELETE", f"/api/keys/{bad}")
    ask("POST", "/api/access-tokens/revoke-leaked", {"token": caller})
    ask("GET", "/gateway/openai/v1/models", token=caller)
    return [caller, person.token, hook["secret"], fresh["secret"], session_of(person)]


def call_models(ask: Callable[..., Any], token: str) -> None:
    """Call through the gateway: an answer, a stream, a refusal that repeats the key, an answer that does."""
    for words in ("in=5 out=5", "say=KEY", "status=401 echo=KEY", "status=500 echo=KEY"):
        for stream in (False, True):
            body = {"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": f"[[{words}]]"}]}
            ask("POST", "/gateway/openai/v1/chat/completions", body, token=token)


def session_of(person: Person) -> str:
    """Sign in as the owner in a browser, look at pages and exports; return the session's token."""
    link = re.search(r"http://\S+/login/\S+", person.up.said())
    assert link is not None
    jar = HTTPCookieProcessor()
    browser = build_opener(jar)
    browser.open(Request(link.group(), b"", method="POST"), timeout=30)
    for path in (
        "/keys/", "/keys/?tab=tokens", "/notifications/channels", "/notifications/deliveries", "/team/?tab=audit", "/executions/",
        "/settings/system", "/settings/plugins", "/api/executions/export.csv", "/team/audit.csv", "/api/errors", "/no/such/page",
    ):  # fmt: skip
        try:
            with browser.open(person.up.url + path, timeout=30) as answer:
                person.heard.append(answer.read().decode())
        except HTTPError as refusal:
            person.heard.append(refusal.read().decode())
    return next(str(cookie.value) for cookie in jar.cookiejar if cookie.name == "pilothouse_session")


def spellings(secret: str) -> Iterator[bytes]:
    """Yield a secret as it stands, in hex, and in base64 wherever in a longer text it begins."""
    plain = secret.encode()
    yield plain
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            written = encode(b"\0" * before + plain).rstrip(b"=")
            yield written[4 if before else 0 : -1]  # without the characters that its neighbours change


def written(up: Up) -> dict[str, bytes]:
    """Return all that was written: the data folder's files, the log, a backup with what is packed in it."""
    pilothouse(up.folder, "backup", str(up.folder / "canary.zip"))
    found = {str(path.relative_to(up.folder)): path.read_bytes() for path in up.folder.rglob("*") if path.is_file()}
    with zipfile.ZipFile(up.folder / "canary.zip") as archive:
        found |= {f"backup: {name}": archive.read(name) for name in archive.namelist()}
    said = re.sub(r"ph_access_\w+|/login/\S+", "", up.said())  # the first start shows these, once and on purpose
    return {**found, "log": said.encode()}


def processes(up: Up) -> dict[str, bytes]:
    """Return each process's command line and environment, without the setting that holds the mail password."""
    found = {}
    for process in (up.process.pid, *up.all_pids()):
        about = Path(f"/proc/{process}")
        held = [one for one in (about / "environ").read_bytes().split(b"\0") if not one.startswith(b"PILOTHOUSE_SMTP_URL=")]
        found[f"process {psutil.Process(process).name()} {process}"] = (about / "cmdline").read_bytes() + b"\0".join(held)
    return found


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # without TLS, which a test's mail server has no certificate for
def test_no_secret_is_found_where_it_does_not_belong(up: Up, provider: Provider, sink: Sink) -> None:
    person = Person(up)
    made = live(person, provider, sink)
    masters = (up.folder / "master.keys").read_text().split()
    signing = (up.folder / "secret.key").read_text().strip()
    assert eventually(lambda: up.status("/readyz") == 200, 30)
    places = {**written(up), **processes(up)}
    places |= {f"answer {number}": text.encode() for number, text in enumerate(person.heard)}
    places |= {f"mail {number}": mail for number, mail in enumerate(sink.mails)}
    places |= {f"post {number}": post for number, post in enumerate(sink.posts)}
    for own in ("master.keys", "secret.key"):
        del places[own]
    secrets = [FIRST, SECOND, REFUSED, MAIL_PASSWORD, CHAT_TOKEN, *made, *masters, signing]
    wanted = {spelling: secret for secret in secrets for spelling in spellings(secret)}
    found = [(place, secret) for place, content in places.items() for spelling, secret in wanted.items() if spelling in content]
    assert found == []
    assert {"pilothouse.db", "backup: database.sqlite3", "log"} < places.keys()
    assert any(b"canary failed" in content for content in places.values())  # the search does find what is there
    assert {request["key"] for request in provider.requests} >= {FIRST, SECOND, REFUSED}
