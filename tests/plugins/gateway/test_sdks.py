"""The official SDKs with address and key changed and nothing else: what they ask, get and cost."""

from __future__ import annotations

import json

import openai
import pytest
from tests.plugins.gateway.provider import SAID

ASK = [{"role": "user", "content": "Hello [[in=16 out=25 cached=4 reasoning=3]]"}]


def ask(words):
    return [{"role": "user", "content": f"Hello [[{words}]]"}]


def test_a_chat_completion_is_answered_and_counted(gate, provider, told):
    with gate.openai() as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=ASK, user="ada")
    assert answer.choices[0].message.content == SAID
    assert answer._request_id.startswith("req_")
    assert told() == provider.tokens() == (16, 25)
    [record] = [one for one in gate.calls() if one["response_id"] == answer.id]
    assert (record["model"], record["cached_tokens"], record["reasoning_tokens"]) == ("gpt-4o-mini-2026-01-01", 4, 3)
    assert (record["usage_source"], record["split_known"]) == ("gateway", True)


def test_the_request_goes_up_as_it_came_with_the_vault_s_key(gate, provider):
    with gate.openai(organization="org-1", project="p-1") as client:
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=ASK,
            seed=7,
            extra_headers={"X-Trace": "ex-1", "Cookie": "a=b", "X-Forwarded-For": "10.1.1.1"},
        )
    [seen] = provider.requests
    assert seen["body"] == {"messages": ASK, "model": "gpt-4o-mini", "seed": 7}
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["authorization"] == f"Bearer {seen['key']}"
    assert (headers["x-trace"], headers["openai-organization"], headers["openai-project"]) == ("ex-1", "org-1", "p-1")
    assert headers["user-agent"].startswith("OpenAI/Python")
    assert headers.keys().isdisjoint({"cookie", "x-forwarded-for", "x-pilothouse-workflow"})
    assert gate.token not in str(seen)


@pytest.mark.parametrize("address", [{"base_url": "/gateway/openai/v1"}, {"azure_endpoint": "/gateway"}])
def test_azure_s_client_is_led_to_the_same_operations(gate, provider, told, address):
    [(name, path)] = address.items()
    options = {name: gate.url + path, "api_key": gate.token, "api_version": "2024-10-21", "max_retries": 0}
    with openai.AzureOpenAI(**options) as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=ask("in=16 out=25"))
        list(client.chat.completions.create(model="gpt-4o-mini", messages=ask("in=7 out=5"), stream=True))
        client.embeddings.create(model="text-embedding-3-small", input="a")
        client.responses.create(model="gpt-4o-mini", input="Hello [[in=4 out=2]]")
    assert [one["path"] for one in provider.requests] == [
        "/v1/chat/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/responses",
    ]  # fmt: skip
    assert gate.eventually(lambda: told() == (16 + 7 + 3 + 4, 25 + 5 + 2))


def test_a_stream_with_usage_tells_it_to_the_caller_too(gate, provider, told):
    with gate.openai() as client:
        chunks = list(client.chat.completions.create(
            model="gpt-4o-mini", messages=ask("in=7 out=25"), stream=True, stream_options={"include_usage": True}))  # fmt: skip
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 25
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]).strip() == SAID
    assert gate.eventually(lambda: told() == (7, 25))


def test_a_stream_without_usage_is_the_one_that_the_provider_sends_then_and_yet_counted(gate, provider, told):
    body = {"model": "gpt-4o-mini", "messages": ask("in=9 out=30"), "stream": True}
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="sk-direct-000000000") as direct:
        plain = direct.chat.completions.with_raw_response.create(**body).http_response.read()
    provider.clear()
    with gate.openai() as client:
        through = client.chat.completions.with_raw_response.create(**body).http_response.read()

    def ids_out(text):
        return [{**json.loads(line[6:]), "id": ""} for line in text.decode().split("\n\n") if line.startswith("data: {")]

    assert ids_out(through) == ids_out(plain)
    assert through.endswith(b"data: [DONE]\n\n")
    assert provider.requests[0]["body"]["stream_options"] == {"include_usage": True}
    assert gate.eventually(lambda: told() == (9, 30))


def test_responses_plain_and_streamed(gate, provider, told):
    with gate.openai() as client:
        answer = client.responses.create(model="gpt-5-mini", input="Hello [[in=13 out=89 reasoning=64]]")
        assert (answer.output_text, answer.usage.output_tokens) == (SAID, 89)
        events = list(client.responses.create(model="gpt-5-mini", input="Hello [[in=5 out=6]]", stream=True))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert gate.eventually(lambda: told() == provider.tokens() == (18, 95))


def test_embeddings_in_the_encoding_that_the_sdk_asks_for(gate, provider, told):
    with gate.openai() as client:
        answer = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert [len(one.embedding) for one in answer.data] == [4, 4]
    assert told() == provider.tokens() == (6, 0)


def test_lists_of_models(gate, provider, told):
    with gate.openai() as client:
        assert [one.id for one in client.models.list()] == ["gpt-4o-mini"]
        assert client.models.retrieve("org/gpt-4o").id == "org%2Fgpt-4o"
    with gate.anthropic() as client:
        assert [one.id for one in client.models.list(limit=5)] == ["claude-haiku-4-5"]
    assert [one["path"] for one in provider.requests][-1] == "/v1/models?limit=5"
    assert told() == (0, 0)


def test_a_message_counts_what_its_cache_read_and_wrote(gate, provider, told):
    with gate.anthropic() as client:
        answer = client.messages.create(
            model="claude-haiku-4-5",
            max_tokens=100,
            messages=ask("in=4698 out=70 cached=4096 write=512"),
            metadata={"user_id": "ada"},
        )
    assert (answer.usage.input_tokens, answer.content[0].text) == (90, SAID)
    assert answer._request_id.startswith("req_")
    assert told() == provider.tokens() == (4698, 70)
    [record] = [one for one in gate.calls() if one["response_id"] == answer.id]
    assert (record["cached_tokens"], record["cache_write_tokens"], record["user"]) == (4096, 512, "ada")


def test_a_streamed_message_by_events_and_by_the_helper(gate, provider, told):
    with gate.anthropic() as client:
        kinds = [one.type for one in client.messages.create(
            model="claude-haiku-4-5", max_tokens=100, messages=ask("in=11 out=89"), stream=True)]  # fmt: skip
        with client.messages.stream(model="claude-haiku-4-5", max_tokens=100, messages=ask("in=7 out=25")) as stream:
            assert stream.get_final_message().usage.output_tokens == 25
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert gate.eventually(lambda: told() == provider.tokens() == (18, 114))


def test_counting_tokens_uses_none(gate, provider, told):
    with gate.anthropic() as client:
        assert client.messages.count_tokens(model="claude-haiku-4-5", messages=ask("in=42")).input_tokens == 42
    assert told() == (0, 0)


@pytest.mark.parametrize("header", ["X-Api-Key", "Api-Key"])
def test_the_token_may_stand_in_a_key_header(gate, provider, header):
    with gate.app.test_client() as client:
        answer = client.post(
            "/gateway/anthropic/v1/messages", headers={header: gate.token, "anthropic-version": "2023-06-01"},
            json={"model": "claude-haiku-4-5", "max_tokens": 5, "messages": ask("in=1")},
        )  # fmt: skip
    assert answer.status_code == 200
    seen = {name.lower() for name in provider.requests[0]["headers"]}
    assert "x-api-key" in seen
    assert "authorization" not in seen


def test_a_stranger_is_told_so_as_the_provider_would(gate, provider):
    with gate.openai() as client, pytest.raises(openai.AuthenticationError, match="access token of Pilothouse"):
        client.with_options(api_key="sk-wrong").models.list()
    assert provider.requests == []
