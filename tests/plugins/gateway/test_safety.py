"""What must not happen: calls to places that may not be called, keys that get out, headers that tell too much."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

import anthropic
import openai
import pytest
from tests.plugins.gateway.conftest import add_key
from tests.plugins.gateway.provider import GOOD

from pilothouse.errors import SettingsError
from pilothouse.testing import environment, make_app

ASK = [{"role": "user", "content": "Hello"}]
FORBIDDEN = (
    "http://2130706433:{port}", "http://0177.0.0.1:{port}", "http://0x7f.1:{port}", "http://127.1:{port}", "http://[::1]:{port}",
    "http://[::ffff:127.0.0.1]:{port}", "http://[::ffff:7f00:1]:{port}", "http://[64:ff9b::7f00:1]:{port}",
    "http://[2002:7f00:1::]:{port}", "http://localhost:{port}", "http://169.254.169.254:{port}", "http://0.0.0.0:{port}",
    "http://[fe80::1%25lo]:{port}", "http://10.0.0.1:{port}",
)  # fmt: skip


@pytest.fixture
def listener():
    """Listen on every local address; give the port and how many have connected."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        seen = []

        def accept():
            while True:
                try:
                    seen.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in seen:
            connection.close()


def test_no_form_of_a_private_address_is_connected_to(gates, provider, listener):
    port, seen = listener
    for address in FORBIDDEN:
        gate = gates(PILOTHOUSE_ALLOW_PRIVATE_TARGETS="off", PILOTHOUSE_UPSTREAM_OPENAI=address.format(port=port))
        with gate.openai() as client, pytest.raises(openai.APIStatusError) as refusal:
            client.models.list()
        assert refusal.value.status_code in {424, 502}, address
    assert seen == []
    assert provider.requests == []


def test_a_name_that_leads_elsewhere_the_second_time_gains_nothing(gates, provider, listener, monkeypatch):
    """The address that was checked is the one that is connected to: there is no second look at the name."""
    port, seen = listener
    answers = iter([["203.0.113.7"], ["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
    real = socket.getaddrinfo

    def rebinding(host, *rest, **more):
        if host != "rebinding.test":
            return real(host, *rest, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    gate = gates(PILOTHOUSE_ALLOW_PRIVATE_TARGETS="off", PILOTHOUSE_UPSTREAM_OPENAI=f"http://rebinding.test:{port}")
    for _ in range(3):
        with gate.openai() as client, pytest.raises(openai.APIStatusError) as refusal:
            client.models.list()
        assert refusal.value.code == "upstream_not_allowed"
    assert seen == []


@pytest.mark.parametrize(
    "address", ["https://user:pass@api.example.com", "https://user@api.example.com", "ftp://api.example.com", "https://a.example/?x=1",
                "https://a.example/#x", "https://a.example/ b", "https:///v1", "//a.example"],
)  # fmt: skip
def test_a_wrong_upstream_stops_the_start(tmp_path, address):
    with pytest.raises(SettingsError, match="PILOTHOUSE_UPSTREAM_OPENAI"):
        make_app(environment(tmp_path, PILOTHOUSE_UPSTREAM_OPENAI=address))


def test_the_caller_cannot_say_where_to(gate, provider):
    headers = {"X-Forwarded-Host": "evil.test", "X-Pilothouse-Upstream": "http://evil.test", "Forwarded": "host=evil.test"}
    with gate.openai() as client:
        client.models.list(extra_headers=headers, extra_query={"base_url": "http://evil.test"})
    [seen] = provider.requests
    assert seen["headers"]["Host"] == provider.url.removeprefix("http://")
    assert "X-Forwarded-Host" not in seen["headers"]


def test_a_redirect_is_not_followed_and_not_passed_on(gate, provider):
    with gate.openai() as client, pytest.raises(openai.InternalServerError) as refusal:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "[[redirect]]"}])
    assert (refusal.value.status_code, refusal.value.code) == (502, "redirected")
    assert len(provider.requests) == 1


def test_what_a_provider_sets_at_its_callers_stays_behind(gate, provider):
    with gate.openai() as client:
        headers = client.models.with_raw_response.list().headers
    assert headers["x-ratelimit-remaining-requests"] == "9999"
    assert headers["x-request-id"].startswith("req_")
    assert headers.keys().isdisjoint({"set-cookie", "openai-organization", "cf-ray", "strict-transport-security"})
    assert headers["x-content-type-options"] == "nosniff"


def test_the_key_is_found_nowhere(gates, provider, caplog, capfd):
    """A provider that repeats the key in all that it says: answers, headers, errors, streams."""
    caplog.set_level(logging.DEBUG)
    gate = gates(PILOTHOUSE_GATEWAY_KEEP_CONTENT="1d")
    told = []
    with gate.openai() as client:
        for words in ("say=KEY", "status=500 echo=KEY", "status=401 echo=KEY", "status=400 echo=KEY", "drop"):
            for stream in (False, True):
                try:
                    answer = client.chat.completions.with_raw_response.create(
                        model="gpt-4o", messages=[{"role": "user", "content": f"[[{words}]]"}], stream=stream,
                        extra_body={"input": "x"}, extra_headers={"X-Pilothouse-Execution": f"e{len(told)}"})  # fmt: skip
                    told.append(str(answer.headers) + answer.http_response.read().decode())
                except openai.APIError as refusal:
                    told.append(f"{refusal!r} {refusal.body}")
    provider.keys[GOOD] = 401
    with gate.anthropic() as client, pytest.raises(anthropic.APIStatusError) as refusal:
        client.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=ASK)
    told += [str(refusal.value.body), caplog.text, str(capfd.readouterr())]
    ended = [f"e{number}" for number in range(10)]
    assert gate.eventually(lambda: all(gate.execution(key).get("steps", [{}])[0].get("status") != "running" for key in ended))
    for path in (
        "/api/executions?limit=500",
        "/api/errors?limit=500",
        "/api/tokens/records?range=1h",
        "/api/keys",
        "/api/team/audit",
    ):
        told.append(gate.api.get(path).text)
    folder = Path(gate.app.extensions["pilothouse"].settings.data_dir)
    told += [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
    assert len(told) > 15
    assert [text[:200] for text in told if GOOD in text or gate.token in text] == []


def test_a_provider_that_repeats_the_key_is_not_passed_on(gate, provider):
    with gate.app.test_client() as client:
        answer = client.post(
            "/gateway/openai/v1/chat/completions", headers={"Authorization": f"Bearer {gate.token}"},
            json={"model": "m", "messages": [{"role": "user", "content": "[[say=KEY]]"}]},
        )  # fmt: skip
    assert answer.json["choices"][0]["message"]["content"] == "[scrubbed]"


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_the_provider_s_refusals_are_passed_on_as_they_are(gate, provider, status):
    with gate.openai() as client, pytest.raises(openai.APIStatusError) as refusal:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": f"[[status={status}]]"}])
    assert (refusal.value.status_code, refusal.value.message.count(f"Refused with {status}")) == (status, 1)
    step = gate.step()
    assert (step["status"], step["attributes"]["status_code"]) == ("failed", status)


def test_sdks_try_again_as_they_would_without_a_gateway(gate, provider):
    with gate.openai(max_retries=2) as client, pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "[[status=503]]"}])
    assert [one["headers"]["X-Stainless-Retry-Count"] for one in provider.requests] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-Pilothouse-Execution", "with space"), ("X-Pilothouse-Execution", "x" * 129), ("X-Pilothouse-Agent", "x" * 256)],
)
def test_a_name_that_cannot_be_recorded_is_refused(gate, provider, name, value):
    with gate.openai() as client, pytest.raises(openai.BadRequestError, match=name):
        client.models.list(extra_headers={name: value})
    assert provider.requests == []


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"[" * 5_000, b'{"model":5,"stream":"x","stream_options":[]}',
                                  b'{"model":"m","stream":true,"stream_options":"no"}', b'{"\xa9odel":"m"}'])  # fmt: skip
def test_whatever_the_body_is_the_provider_is_who_refuses_it(gate, body):
    with gate.app.test_client() as client:
        answer = client.post(
            "/gateway/openai/v1/chat/completions", data=body, content_type="application/json",
            headers={"Authorization": f"Bearer {gate.token}"},
        )  # fmt: skip
    assert answer.status_code in {200, 502}


def test_a_body_beyond_the_limit_is_refused_in_the_provider_s_shape(gate, provider):
    with gate.app.test_client() as client:
        answer = client.post(
            "/gateway/anthropic/v1/messages", data=b"x" * (32 * 1024 * 1024 + 1), headers={"X-Api-Key": gate.token}
        )
    assert (answer.status_code, answer.json["error"]["type"]) == (413, "request_too_large")
    assert provider.requests == []


def test_a_token_without_the_scope_calls_nobody(gate, provider):
    with gate.openai() as client, pytest.raises(openai.PermissionDeniedError):
        client.with_options(api_key=gate.api.token).models.list()
    assert provider.requests == []


def test_a_key_that_was_revoked_is_used_no_more(gates, provider):
    gate = gates(keys=False)
    key = add_key(gate, "openai", GOOD)
    with gate.openai() as client:
        client.models.list()
        gate.api.patch(f"/api/keys/{key}", json={"status": "revoked"})
        with pytest.raises(openai.APIStatusError) as refusal:
            client.models.list()
    assert refusal.value.status_code == 424
