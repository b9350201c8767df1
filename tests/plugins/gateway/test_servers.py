"""Other ways to run it: the provider behind TLS of a company's own authority, the console under gunicorn."""

from __future__ import annotations

import datetime as dt
import http.client
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask
from tests.conftest import token_of
from tests.plugins.gateway.provider import GOOD, Provider, serve

from pilothouse.db import db
from pilothouse.testing import Api, environment, let_go, make_app

START_S = 60


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1 that no public authority signed; returns the file with it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    at = dt.datetime.now(dt.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(at - dt.timedelta(days=1))
        .not_valid_after(at + dt.timedelta(days=1)).add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def provider(authority: Path) -> Iterator[Provider]:
    """Run the providers' stand-in behind TLS."""
    found = Provider(salt=str(time.time_ns()))
    server = serve(found)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a caller who does not trust it hangs up
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def app(migrated: Path, tmp_path: Path, provider: Provider) -> Iterator[Flask]:
    """Build an application beside the served one, on the same data folder, with a key in the vault."""
    shutil.copy(migrated, tmp_path / "pilothouse.db")
    app = make_app(settings(tmp_path, provider))
    with app.app_context():
        api = Api(app.test_client(), token_of(app))
        assert api.post("/api/keys", json={"name": "main", "service": "openai", "secret": GOOD}).status_code == 201
        db.session.remove()
        yield app
    let_go(app)


def settings(folder: Path, provider: Provider) -> dict[str, str]:
    url = f"https://127.0.0.1:{provider.port}"
    return environment(folder, PILOTHOUSE_ALLOW_PRIVATE_TARGETS="on", PILOTHOUSE_UPSTREAM_OPENAI=url)


@pytest.fixture
def served(app: Flask, tmp_path: Path, provider: Provider, free_port: int) -> Callable[..., object]:
    """Return what serves the console under gunicorn for a while; yields its address."""

    @contextmanager
    def run(**more: str) -> Iterator[str]:
        command = [
            sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "8", "--workers", "1", "--bind",
            f"127.0.0.1:{free_port}", "--no-control-socket", "--log-level", "warning", "wsgi:app",
        ]  # fmt: skip
        root = Path(__file__).parents[3]
        process = subprocess.Popen(command, cwd=root, env={**os.environ, **settings(tmp_path, provider), **more})
        url = f"http://127.0.0.1:{free_port}"
        try:
            wait_for(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(30)

    return run


@pytest.fixture
def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=5):
            return
        time.sleep(0.05)
    raise AssertionError("gunicorn did not start")


def test_streams_pass_under_gunicorn_from_a_provider_behind_tls(app, served, provider, authority):
    """The stand-in holds the second half back until the caller has the first: nothing between them gathers it."""
    token = token_of(app, "gateway")
    with served(SSL_CERT_FILE=str(authority)) as url:
        provider.hold.clear()
        body = json.dumps(
            {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "[[hold chunks=20]]"}]}
        )
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=15)
        connection.request("POST", "/gateway/openai/v1/chat/completions", body, {"Authorization": f"Bearer {token}"})
        answer, told = connection.getresponse(), b""
        while told.count(b"data: ") < 11:
            told += answer.read1(65_536)
        provider.hold.set()
        assert answer.read().endswith(b"[DONE]\n\n")
        connection.close()
        with openai.OpenAI(base_url=f"{url}/gateway/openai/v1", api_key=token, max_retries=0) as client:
            asked = [{"role": "user", "content": "[[in=30 out=20]]"}]
            assert client.chat.completions.create(model="gpt-4o-mini", messages=asked).usage.total_tokens == 50
    api = Api(app.test_client(), token_of(app))
    recorded = api.get("/api/tokens/usage?range=1h").json["totals"]
    assert (recorded["prompt_tokens"], recorded["completion_tokens"]) == provider.tokens()


def test_a_provider_whose_certificate_nobody_vouches_for_is_not_talked_to(app, served, provider):
    token = token_of(app, "gateway")
    with served() as url, openai.OpenAI(base_url=f"{url}/gateway/openai/v1", api_key=token, max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as refusal:
            client.models.list()
        assert refusal.value.status_code == 502
    assert provider.requests == []
