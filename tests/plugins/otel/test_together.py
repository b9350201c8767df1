"""Many exporters at once, both databases, the real server: the same result as one after the other."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import threading

import pytest
from tests.plugins.otel import recordings
from tests.plugins.otel.conftest import Door, llm, request_of, span, trace_id
from tests.plugins.otel.test_recordings import expected, found, replay

LOCAL = sorted(f"{file.parent.parent.name}/{file.parent.name}" for file in recordings.HERE.glob("*/*/case.json"))


@pytest.mark.parametrize("name", LOCAL)
def test_recordings_give_their_facts_on_either_database(either_door, name):
    replay(either_door, name, f"Bearer {either_door.api.token}")
    assert found(either_door) == expected(name)


def runs(count):
    """Return spans of some runs, in one shuffled list, and the ids of their traces."""
    dice = random.Random(3)
    traces = [trace_id() for _ in range(count)]
    spans = []
    for trace in traces:
        spans.append(span("root", trace, took=90, attributes={"gen_ai.workflow.name": "intake", "session.id": trace[-4:]}))
        agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "triage", "gen_ai.usage.input_tokens": 300}
        spans.append(span("agent", trace, parent="root", attributes=agent))
        told = [llm((100, 10), **{"gen_ai.response.id": f"{trace}-{n}"}) for n in range(3)]
        spans += [span(f"call-{n}", trace, parent="agent", start=n, attributes=one) for n, one in enumerate(told)]
        spans += [span(f"call-{n}", trace, parent="agent", start=n, attributes=one) for n, one in enumerate(told[:1])]
    dice.shuffle(spans)
    return spans, traces


def in_threads(work, parts):
    faults = []

    def guarded(part):
        try:
            work(part)
        except Exception as fault:  # noqa: BLE001 - told by the thread that waits
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def check_runs(door, traces):
    for trace in traces:
        run = door.execution(trace)
        assert (run["workflow"], run["status"], run["agent"], run["session"]) == ("intake", "succeeded", "triage", trace[-4:])
        assert (len(run["steps"]), door.tokens(trace)) == (5, (3, 300, 30))
    totals = door.api.get("/api/tokens/usage?range=24h").json["totals"]
    assert (totals["calls"], totals["prompt_tokens"]) == (3 * len(traces), 300 * len(traces))


def test_pieces_of_many_traces_from_many_exporters_at_once(either_app, either_door):
    spans, traces = runs(8)

    def send(part):
        with either_app.app_context():
            door = Door(either_app.test_client(), either_door.api.token)
            for one in part:
                assert door.export(one).status_code == 200

    in_threads(send, [spans[number::6] for number in range(6)])
    check_runs(either_door, traces)


@pytest.fixture
def port(address):
    """Return the port of a server that runs the application as `pilothouse up` does."""
    return int(address.rpartition(":")[2])


def post(port, body, **headers):
    """Send one request over a connection of its own; returns status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/v1/traces", body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    told = answer.status, answer.read()
    connection.close()
    return told


def test_the_real_server_takes_chunks_without_a_length(door, port, trace):
    body = json.dumps(request_of([span("root", trace, attributes={"x": "y" * 100_000})])).encode()
    chunks = (body[start : start + 1_000] for start in range(0, len(body), 1_000))
    status, told = post(port, chunks, Authorization=f"Bearer {door.api.token}", Content_Type="application/json")
    assert (status, told) == (200, b"{}")
    assert door.execution(trace)["status"] == "succeeded"


def test_the_real_server_takes_compressed_chunks(door, port, trace):
    body = gzip.compress(json.dumps(request_of([span("root", trace)])).encode())
    headers = {"Authorization": f"Bearer {door.api.token}", "Content_Encoding": "gzip", "Content_Type": "application/json"}
    assert post(port, iter([body[:20], body[20:]]), **headers) == (200, b"{}")


def test_the_real_server_refuses_what_is_too_large_in_chunks(door, port):
    chunks = (b" " * 65_536 for _ in range(170))  # 10.6 MiB
    status, told = post(port, chunks, Authorization=f"Bearer {door.api.token}", Content_Type="application/json")
    assert (status, json.loads(told)["code"]) == (413, 8)


def test_the_real_server_takes_many_exporters_at_once(door, port):
    spans, traces = runs(6)

    def send(part):
        for one in part:
            body = json.dumps(request_of([one])).encode()
            while post(port, body, Authorization=f"Bearer {door.api.token}", Content_Type="application/json")[0] == 503:
                pass  # as exporters do

    in_threads(send, [spans[number::12] for number in range(12)])
    check_runs(door, traces)
