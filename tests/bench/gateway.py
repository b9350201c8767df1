"""P9: what the gateway adds to a streamed call, beside the same call to the provider's stand-in itself; 16 at a time."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench import servers
from tests.bench.figures import Figure, at_most, percentile

CLIENTS = 16
ROUNDS = 8  # of one stream a client straight and one through the gateway, in turns: the machine is the same for both
CHUNKS, PAUSE_MS = 40, 20  # as a model writes: 50 tokens a second
MOST_MS = 5.0
SECRET = "sk-bench-0123456789"
STAND_IN = """
import sys, threading
from tests.plugins.gateway.provider import Provider, serve
serve(Provider(port=int(sys.argv[1]), salt="bench"))
threading.Event().wait()
"""


@contextmanager
def provider() -> Iterator[str]:
    """Run the providers' stand-in in a process of its own; yields its address."""
    port = servers.free_port()
    process = subprocess.Popen([sys.executable, "-c", STAND_IN, str(port)], cwd=Path(__file__).parents[2])
    try:
        servers.wait_for(f"http://127.0.0.1:{port}/v1/models", process, key=SECRET)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def streams(url: str, key: str) -> list[tuple[float, float, float]]:
    """Make one call a client; returns what each took in ms: to the first byte, to the last event, to the connection's end."""
    found: list[tuple[float, float, float]] = []

    def client(number: int) -> None:
        time.sleep(number * CHUNKS * PAUSE_MS / 1000 / CLIENTS)  # programs do not call in step
        found.append(call(url, key))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def call(url: str, key: str) -> tuple[float, float, float]:
    """Make one streamed call as an SDK does, and read it to its end."""
    parts = urlsplit(url)
    body = {
        "model": "gpt-4o-mini",
        "stream": True,
        "stream_options": {"include_usage": True},  # the gateway would ask for it, and the stand-in then sends an event more
        "messages": [{"role": "user", "content": f"[[chunks={CHUNKS} pause={PAUSE_MS}]]"}],
    }
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    begun = time.perf_counter()
    connection.request("POST", f"{parts.path}/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    told = b""
    first = last = 0.0
    while piece := answer.read1(65_536):
        first = first or time.perf_counter()
        told = told[-32:] + piece
        last = last or (time.perf_counter() if b"[DONE]" in told else 0.0)
    connection.close()
    return tuple(round((moment - begun) * 1000, 3) for moment in (first, last, time.perf_counter()))  # type: ignore[return-value]


def overhead(_rows: int) -> list[Figure]:
    """P9: medians of 16 concurrent streams, through the gateway and straight to the stand-in, in the same run."""
    with (
        provider() as upstream,
        servers.console(PILOTHOUSE_UPSTREAM_OPENAI=upstream, PILOTHOUSE_ALLOW_PRIVATE_TARGETS="on") as console,
    ):
        token = servers.made_token(console.folder, "gateway", "admin")
        add_key(console.port, token)
        url = f"http://127.0.0.1:{console.port}/gateway/openai"
        streams(url, token)  # the first calls open connections on both sides
        straight: list[tuple[float, float, float]] = []
        through: list[tuple[float, float, float]] = []
        for _ in range(ROUNDS):
            straight += streams(upstream, SECRET)
            through += streams(url, token)
    figures = []
    for place, name in enumerate(("to the first byte", "to the last event", "to the end of the connection")):
        before, after = (percentile([one[place] for one in calls], 0.5) for calls in (straight, through))
        what = f"gateway, {CLIENTS} streams: added {name}, p50 (straight {before:,.1f} ms)"
        figures.append(at_most("P9", what, after - before, MOST_MS, unit="ms", digits=2))
    return figures


def add_key(port: int, token: str) -> None:
    """Put the stand-in's key into the console's vault."""
    body = json.dumps({"name": "bench", "service": "openai", "secret": SECRET}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/keys", body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201
