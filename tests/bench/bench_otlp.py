"""P4: OTLP over HTTP in protobuf, batches of 512 spans, to stored records; beside parsing the same bytes into dicts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.bench import load, servers
from tests.bench.figures import Figure, at_least

from pilothouse.clock import now
from pilothouse_otel import traces
from pilothouse_otel.cleaning import clean_spans
from pilothouse_otel.reading_protobuf import read_spans
from pilothouse_otel.spans import Refused

SPANS = 512
RUN = 8  # spans of one trace: the run, an agent, two tools and four model calls
BATCHES = 60
ROUNDS = 3
PEER_SPANS = 105  # Phoenix, spans/s that can be queried afterwards (bar.md)
MESSAGE = "Where is order A-1001? The customer asked twice this week and the parcel has not moved since Tuesday."


def batch(seed: int) -> bytes:
    """Return one request: whole runs, children first, as an exporter sends them."""
    chance = random.Random(seed)
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    _put(of_resource.resource, {"service.name": "order-desk", "service.version": "2.4.1", "host.name": "worker-7"})
    scope = of_resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.genai.openai"
    for _ in range(SPANS // RUN):
        _add_run(scope.spans, chance)
    return request.SerializeToString()


def _add_run(spans: Any, chance: random.Random) -> None:
    trace, at = chance.randbytes(16), (now() - chance.randrange(3_600_000)) * 1_000_000
    root, agent = chance.randbytes(8), chance.randbytes(8)

    def add(name: str, parent: bytes, told: dict[str, Any], span_id: bytes | None = None) -> None:
        span = spans.add(trace_id=trace, span_id=span_id or chance.randbytes(8), parent_span_id=parent, name=name, kind=3)
        span.start_time_unix_nano, span.end_time_unix_nano = at, at + chance.randrange(1, 3_000) * 1_000_000
        _put(span, told)

    for _ in range(4):
        add("chat gpt-4o-mini", agent, _call(chance))
    for name in ("lookup", "notify"):
        add(f"execute_tool {name}", agent, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "rows": 3})
    add("invoke_agent triage", root, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "triage"}, agent)
    add("order-intake", b"", {"user.id": f"u-{chance.randrange(50)}", "session.id": f"s-{chance.randrange(500)}"}, root)


def _call(chance: random.Random) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "server.address": "api.openai.com", "server.port": 443, "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": f"chatcmpl-{chance.randbytes(12).hex()}", "gen_ai.usage.input_tokens": chance.randrange(4_000),
        "gen_ai.usage.output_tokens": chance.randrange(800),
        "gen_ai.input.messages": f'[{{"role":"user","parts":[{{"type":"text","content":"{MESSAGE} Number {chance.randrange(10**6)}."}}]}}]',
    }  # fmt: skip


def _put(holder: Any, told: dict[str, Any]) -> None:
    for name, value in told.items():
        pair = holder.attributes.add(key=name)
        setattr(pair.value, "int_value" if isinstance(value, int) else "string_value", value)


def parse_to_dict(body: bytes) -> list[dict[str, Any]]:
    """Parse a request and flatten each span into a dict: the limit that the bar names."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        {
            "trace_id": span.trace_id.hex(), "span_id": span.span_id.hex(), "parent_id": span.parent_span_id.hex(),
            "name": span.name, "start": span.start_time_unix_nano, "end": span.end_time_unix_nano, "status": span.status.code,
            "attributes": {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes},
        }
        for of_resource in request.resource_spans for scope in of_resource.scope_spans for span in scope.spans
    ]  # fmt: skip


def translate(body: bytes) -> list[Any]:
    """Read, clean and translate a request into signals, as the door does."""
    spans = read_spans(body, Refused())
    clean_spans(spans)
    return traces.translate(spans, now(), Refused())


def speed(work: Callable[[bytes], object], bodies: list[bytes]) -> float:
    """Return spans a second of processor time, the best of some rounds."""
    best = 0.0
    for _ in range(ROUNDS):
        begun = time.process_time()
        for body in bodies:
            work(body)
        best = max(best, len(bodies) * SPANS / (time.process_time() - begun))
    return best


def run() -> dict[str, float]:
    """Return spans a second of parsing to dicts and of parsing, cleaning and translating, and the ratio of the two."""
    bodies = [batch(seed) for seed in range(20)]
    limit, ours = speed(parse_to_dict, bodies), speed(translate, bodies)
    return {"parse_to_dict": limit, "parse_and_translate": ours, "ratio": ours / limit}


def batches(_rows: int) -> list[Figure]:
    """P4: batches of 512 spans to stored records, beside parsing to dicts in the same run; translation alone beside it."""
    measured = run()
    limit = measured["parse_to_dict"]
    with servers.console() as console:
        best = 0.0
        for number in range(ROUNDS):
            bodies = [batch(1_000 * (number + 1) + seed) for seed in range(BATCHES)]
            prepared = [load.prepare("/v1/traces", body, console.token, "application/x-protobuf") for body in bodies]
            best = max(best, BATCHES * SPANS / load.run(console.port, prepared, 2))
    alone = measured["parse_and_translate"]
    return [
        at_least("P4", "OTLP, 512 spans a request, stored", best, limit, unit="spans/s", share=0.25, peer="parse to dict"),
        at_least("P4", "the same, beside the peer", best, PEER_SPANS, unit="spans/s", share=100, peer="Phoenix"),
        at_least("P4", "read, cleaned, translated alone", alone, limit, unit="spans/s", share=0.25, peer="parse to dict"),
    ]


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name}: {value:,.2f}")
