"""Streams that go wrong or are left: what the caller gets, and that the usage is known wherever the provider tells it."""

from __future__ import annotations

import http.client
import json
import time

import anthropic
import httpx2
import openai
import pytest


def ask(words):
    return [{"role": "user", "content": f"Hello [[{words}]]"}]


def chat(client, words, **more):
    return client.chat.completions.create(model="gpt-4o-mini", messages=ask(words), stream=True, **more)


def test_an_abandoned_stream_is_read_to_its_end(gate, provider, told, ended):
    with gate.openai() as client:
        stream = chat(client, "in=11 out=40 pause=10")
        next(stream)
        stream.close()
    assert gate.eventually(lambda: told() == provider.tokens() == (11, 40))
    [step] = ended()
    assert (step["status"], step["attributes"]["abandoned"]) == ("succeeded", True)


def test_a_stream_asks_proxies_in_front_to_pass_it_on_as_it_comes(gate):
    with gate.openai() as client:
        asked = {"model": "gpt-4o-mini", "messages": ask("in=1 out=1")}
        streamed = client.chat.completions.with_raw_response.create(**asked, stream=True)
        whole = client.chat.completions.with_raw_response.create(**asked)
    assert [answer.headers.get("x-accel-buffering") for answer in (streamed, whole)] == ["no", None]


def test_an_abandoned_message_is_read_to_its_end(gate, provider, told):
    with gate.anthropic() as client:
        stream = client.messages.create(
            model="claude-haiku-4-5", max_tokens=9, messages=ask("in=12 out=41 pause=10"), stream=True
        )
        next(iter(stream))
        stream.close()
    assert gate.eventually(lambda: told() == provider.tokens() == (12, 41))


def test_a_stream_that_the_provider_cuts_is_cut_for_the_caller(gate, provider, told, ended):
    with gate.openai() as client, pytest.raises(openai.APIConnectionError):
        list(chat(client, "cut=5"))
    [step] = ended()
    assert (step["status"], step["attributes"]["usage"]) == ("failed", "not told")
    assert told() == (0, 0)
    [error] = gate.execution(step["execution_id"])["errors"]
    assert error["error_type"] == "cut_off"


def test_a_cut_message_keeps_what_was_told_before(gate, provider, told, ended):
    with gate.anthropic() as client, pytest.raises(httpx2.RemoteProtocolError):
        list(client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=ask("in=33 out=41 cut=6"), stream=True))
    [step] = ended()
    assert step["attributes"]["usage"] == "partly told"
    assert told() == (33, 1)
    assert gate.calls()[-1]["usage_source"] == "gateway_partial"


@pytest.mark.parametrize("service", ["openai", "anthropic"])
def test_an_error_inside_of_a_stream_reaches_the_caller_and_the_records(gate, provider, ended, service):
    if service == "openai":
        with gate.openai() as client, pytest.raises(openai.APIError, match="overloaded"):
            list(chat(client, "error=3"))
    else:
        with gate.anthropic() as client, pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            list(client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=ask("error=5"), stream=True))
    [step] = ended()
    assert step["status"] == "failed"
    [error] = gate.execution(step["execution_id"])["errors"]
    assert error["error_type"] == ("server_error" if service == "openai" else "overloaded_error")


def test_a_failed_response_is_counted_and_failed(gate, provider, told, ended):
    with gate.openai() as client:
        events = list(client.responses.create(model="gpt-5-mini", input="[[error=1 in=5 out=3]]", stream=True))
    assert events[-1].type == "response.failed"
    [step] = ended()
    assert step["status"] == "failed"
    assert told() == (5, 3)


def test_where_no_usage_is_told_there_is_no_figure(gate, provider, told, ended):
    with gate.openai() as client:
        list(chat(client, "silent"))
        client.chat.completions.create(model="gpt-4o-mini", messages=ask("silent"))
    for step in ended(2):
        assert (step["status"], step["attributes"]["usage"]) == ("succeeded", "not told")
        assert step["attributes"].keys().isdisjoint({"prompt_tokens", "completion_tokens", "cost_usd"})
    assert told() == (0, 0)


def test_a_server_that_knows_no_stream_options_is_asked_again_without(gate, provider, ended):
    provider.with_include_usage = False
    with gate.openai() as client:
        assert len(list(chat(client, "in=3"))) > 5
    assert ["stream_options" in one["body"] for one in provider.requests] == [True, False]
    [step] = ended()
    assert step["attributes"]["usage"] == "not told"


def test_events_come_as_the_provider_sends_them(gate, provider, ended):
    """The stand-in holds the second half back until the caller has the first."""
    provider.hold.clear()
    body = json.dumps({"model": "gpt-4o-mini", "stream": True, "messages": ask("hold chunks=20")})
    connection = http.client.HTTPConnection(gate.url.removeprefix("http://"), timeout=15)
    connection.request("POST", "/gateway/openai/v1/chat/completions", body, {"Authorization": f"Bearer {gate.token}"})
    answer = connection.getresponse()
    told = b""
    while told.count(b"data: ") < 11:
        told += answer.read1(65_536)
    provider.hold.set()
    assert answer.read().endswith(b"[DONE]\n\n")
    connection.close()
    ended()


def test_a_reader_who_stands_still_holds_the_provider_back(gate, provider, ended):
    """36 MB are on offer; what may lie between is what the server buffers (16 MiB) and the sockets hold."""
    body = json.dumps({"model": "gpt-4o-mini", "stream": True, "messages": ask("chunks=1800 size=20000")})
    connection = http.client.HTTPConnection(gate.url.removeprefix("http://"), timeout=15)
    connection.request("POST", "/gateway/openai/v1/chat/completions", body, {"Authorization": f"Bearer {gate.token}"})
    answer = connection.getresponse()
    sent = -1
    while sent != provider.sent_bytes:
        sent = provider.sent_bytes
        time.sleep(0.7)
    assert 0 < sent < 30_000_000
    answer.close()
    connection.close()
    [step] = ended()
    assert step["attributes"]["abandoned"]


def test_a_long_call_is_seen_while_it_runs(gate, provider):
    provider.hold.clear()
    with gate.openai() as client:
        stream = chat(client, "hold", extra_headers={"X-Pilothouse-Execution": "long-1", "X-Pilothouse-Workflow": "nightly"})
        next(stream)
        [step] = gate.eventually(lambda: gate.execution("long-1").get("steps"), 8)
        assert (step["status"], step["name"]) == ("running", "chat gpt-4o-mini")
        provider.hold.set()
        list(stream)
    assert gate.eventually(lambda: gate.step("long-1")["status"] == "succeeded")
    assert gate.execution("long-1")["workflow"] == "nightly"


def test_a_stream_where_none_is_expected_passes_as_it_comes(gate, provider):
    headers = {"Authorization": f"Bearer {gate.token}"}
    asked = {"model": "text-embedding-3-small", "input": ["a", "b"], "stream": True}
    answer = httpx2.post(f"{gate.url}/gateway/openai/v1/embeddings", json=asked, headers=headers)
    assert (answer.status_code, answer.text.count("data: ")) == (200, 2)
