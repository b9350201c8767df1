"""Many calls at once: the ledger and the records agree, the console stays open, a killed process loses nothing."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
import pytest

from pilothouse.runtime import runtime
from pilothouse_gateway import journal
from pilothouse_gateway.calls import Call, Used
from pilothouse_gateway.records import Recording


def ask(words):
    return [{"role": "user", "content": f"Hello [[{words}]]"}]


def one_call(client, claude, number):
    """Make one of the calls that programs make, also those that go wrong and those whose caller leaves."""
    chance = random.Random(number)
    words = f"in={chance.randrange(1, 5000)} out={chance.randrange(1, 900)}"
    kind = number % 9
    try:
        if kind == 0:
            client.chat.completions.create(model="gpt-4o-mini", messages=ask(f"{words} reasoning=1"))
        elif kind == 1:
            list(client.chat.completions.create(model="gpt-4o-mini", messages=ask(words), stream=True))
        elif kind == 2:
            next(iter(client.chat.completions.create(model="gpt-4o-mini", messages=ask(f"{words} pause=2"), stream=True)))
        elif kind == 3:
            client.responses.create(model="gpt-5-mini", input=f"[[{words}]]")
        elif kind == 4:
            list(client.responses.create(model="gpt-5-mini", input=f"[[{words}]]", stream=True))
        elif kind == 5:
            client.embeddings.create(model="text-embedding-3-small", input=["a"] * chance.randrange(1, 9))
        elif kind == 6:
            claude.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=ask(f"{words} cached=1"))
        elif kind == 7:
            stream = claude.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=ask(words), stream=True)
            next(iter(stream))
            stream.close()
        else:
            client.chat.completions.create(
                model="gpt-4o-mini", messages=ask(chance.choice(["status=429", "status=500", "drop"]))
            )
    except (openai.APIError, anthropic.APIError):
        assert kind == 8


def agree(gate, provider, calls):
    with gate.openai() as client, gate.anthropic() as claude, ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: one_call(client, claude, number), range(calls)))

    def recorded():
        found = gate.api.get("/api/tokens/usage?range=1h").json["totals"]
        return found["prompt_tokens"], found["completion_tokens"], found["calls"]

    wanted = (*provider.tokens(), len(provider.billed))
    gate.eventually(lambda: recorded() == wanted, 30)
    assert recorded() == wanted
    with gate.app.app_context():
        assert runtime().registry.guard.failures == {}


def test_records_and_ledger_agree(gates, provider):
    agree(gates(), provider, 90)


@pytest.mark.slow
def test_records_and_ledger_agree_over_a_thousand_calls(gates, provider):
    agree(gates(), provider, 1_000)


@pytest.mark.postgres
def test_records_and_ledger_agree_on_postgresql(gates, provider, postgres_url):
    agree(gates(PILOTHOUSE_DATABASE_URL=postgres_url), provider, 36)


@pytest.mark.parametrize("number", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_streams_leave_the_console_its_threads(gates, provider, number):
    """Many more streams than the server has threads, all of them waiting, and pages answer."""
    gate = gates()
    provider.hold.clear()

    with gate.openai(timeout=60) as client, ThreadPoolExecutor(number) as pool:

        def stream():
            return len(list(client.chat.completions.create(model="gpt-4o-mini", messages=ask("hold"), stream=True)))

        streams = [pool.submit(stream) for _ in range(number)]
        assert gate.eventually(lambda: provider.open_streams == number, 60)
        for path in ("/healthz", "/login", "/api/openapi.json"):
            begun = time.monotonic()
            with urllib.request.urlopen(gate.url + path, timeout=10) as answer:
                assert answer.status == 200
            assert time.monotonic() - begun < 5
        provider.hold.set()
        assert len({one.result() for one in streams}) == 1
    assert gate.eventually(lambda: len(gate.calls()) == number, 30)


def test_more_than_may_wait_at_once_are_sent_away(gates, provider, monkeypatch):
    monkeypatch.setattr("tests.plugins.gateway.conftest.LONG_REQUESTS", 2)
    gate = gates()
    provider.hold.clear()

    def stream():
        with gate.openai() as client:
            list(client.chat.completions.create(model="gpt-4o-mini", messages=ask("hold"), stream=True))

    threads = [threading.Thread(target=stream) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert gate.eventually(lambda: provider.open_streams == 2, 20)
    with gate.openai() as client, pytest.raises(openai.InternalServerError) as refusal:
        client.models.list()
    assert (refusal.value.status_code, refusal.value.response.headers["Retry-After"]) == (503, "2")
    provider.hold.set()
    for thread in threads:
        thread.join(20)
    with gate.openai() as client:
        assert client.models.list().data


def left_behind(app, *calls):
    """Write the journal of a process that is gone."""
    folder = runtime().settings.data_dir / journal.FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / f"gone{journal.ENDING}"
    path.write_bytes(b"".join(json_line(call) for call in calls) + b'{"id": "cut in the mid')
    return path


def json_line(call):
    import msgspec

    return msgspec.json.encode(call) + b"\n"


def test_what_a_killed_process_left_is_recorded(app, api):
    fields = {"service": "openai", "operation": "chat", "own": True, "workflow": "nightly", "request_model": "gpt-4o-mini"}
    ended = Call(**fields, execution_id="e-ended", usage_id="u1", state="succeeded", used=Used(prompt=7, completion=3))
    under_way = Call(**fields, execution_id="e-running", usage_id="u2")
    path = left_behind(app, ended, under_way)
    journal.recover(Recording().store)
    assert not path.exists()
    assert api.get("/api/executions/e-ended").json["token_usage"]["prompt_tokens"] == 7
    lost = api.get("/api/executions/e-running").json
    assert (lost["status"], lost["errors"][0]["error_type"]) == ("failed", "gateway_stopped")


def test_the_journal_of_a_living_process_is_left_alone(gate, provider, app):
    with gate.openai() as client:
        client.models.list()
    folder = gate.app.extensions["pilothouse"].settings.data_dir / journal.FOLDER
    with gate.app.app_context():
        journal.recover(Recording().store)
    assert len(list(folder.glob(f"*{journal.ENDING}"))) == 1


def test_prompts_and_answers_are_kept_only_where_that_is_switched_on(gates, provider, gate):
    keeping = gates(PILOTHOUSE_GATEWAY_KEEP_CONTENT="7d")
    for one in (keeping, gate):
        with one.openai() as client:
            headers = {"X-Pilothouse-Execution": "kept", "X-Pilothouse-Workflow": "w"}
            client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "password=hunter2 the order"}], extra_headers=headers
            )
    found = {}
    for name, one in (("kept", keeping), ("not", gate)):
        with one.app.app_context():
            from pilothouse_gateway import queries

            found[name] = [(json.loads(row.input), json.loads(row.output)) for row in queries.contents_of("kept")]
    assert found["not"] == []
    [(sent, answered)] = found["kept"]
    assert sent["messages"][0]["content"] == "password=[scrubbed] the order"
    assert answered[0]["message"]["role"] == "assistant"
    with keeping.app.test_request_context():
        from pilothouse_gateway import panels

        card = panels.of_execution("kept")
    assert "password=[scrubbed] the order" in card
    assert "Prompts and answers" in card
