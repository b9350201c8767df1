"""The web server on a plain application: limits that it holds itself, slow clients, streams and a stop in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from work_parts import end_group, eventually

from pilothouse.errors import SettingsError
from pilothouse.web.server import BODY_LIMIT, Channel, port_message

PROGRAM = """
import sys, time
from flask import Flask, Response, request
from pilothouse import logs
from pilothouse.web.server import make_server, serve

app = Flask("served")

@app.post("/size")
def size():
    return {"size": len(request.get_data())}

@app.get("/slow")
def slow():
    time.sleep(1)
    return "done"

@app.get("/stream")
def stream():
    def lines():
        for number in range(3):
            yield f"line {number}\\n"
            time.sleep(0.4)
    return Response(lines(), content_type="text/plain")

logs.configure("web", readable=False)
serve(make_server(app, "127.0.0.1", int(sys.argv[1])))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """The server's process and the port that it listens on."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.port)], start_new_session=True, stderr=subprocess.DEVNULL
        )
        assert eventually(self.answers, 20)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def answers(self) -> bool:
        try:
            return self.ask(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0] == 404
        except OSError:
            return False

    def ask(self, request: bytes) -> tuple[int, str, bytes]:
        with self.connect() as connection:
            connection.sendall(request)
            return read_answer(connection)


def read_answer(connection: socket.socket) -> tuple[int, str, bytes]:
    """Read an answer until the server closes; return status, headers and body."""
    blocks = []
    while block := connection.recv(65536):
        blocks.append(block)
    head, _, body = b"".join(blocks).partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body


def post(headers: str, body: bytes) -> bytes:
    return f"POST /size HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    found = Served()
    yield found
    end_group(found.process)


def test_a_chunked_body_arrives_whole(served: Served) -> None:
    chunk = b"x" * 1_000_000
    body = b"".join([b"%x\r\n%s\r\n" % (len(chunk), chunk)] * 5) + b"0\r\n\r\n"
    status, _, answer = served.ask(post("Transfer-Encoding: chunked", body))
    assert (status, json.loads(answer)) == (200, {"size": 5_000_000})


def test_a_body_over_the_limit_is_a_problem_document(served: Served) -> None:
    status, head, answer = served.ask(post(f"Content-Length: {BODY_LIMIT + 1}", b"x" * (BODY_LIMIT + 1)))
    assert status == 413
    assert "application/problem+json" in head
    assert json.loads(answer)["type"].endswith("/too_large")


def test_a_chunked_body_over_the_limit_is_refused_too(served: Served) -> None:
    chunk = b"x" * 1_000_000
    body = b"".join([b"%x\r\n%s\r\n" % (len(chunk), chunk)] * 40) + b"0\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(post("Transfer-Encoding: chunked", body))
        status, _, answer = read_answer(connection)
    assert (status, json.loads(answer)["status"]) == (413, 413)


@pytest.mark.parametrize("request_", [b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n"])
def test_broken_http_is_a_problem_document(served: Served, request_: bytes) -> None:
    status, head, answer = served.ask(request_)
    assert status == 400
    assert json.loads(answer)["request_id"] in head


def test_500_slow_clients_do_not_stop_the_others(served: Served) -> None:
    slow = [served.connect() for _ in range(500)]
    for connection in slow:
        connection.sendall(b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
    spent = []
    for _ in range(20):
        begun = time.monotonic()
        assert served.answers()
        spent.append(time.monotonic() - begun)
    for connection in slow:
        connection.close()
    assert sorted(spent)[10] < 3  # they would wait for the slow ones, who never end


def test_a_stream_passes_through_as_it_comes(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while b"line 0" not in received:
            received += connection.recv(65536)
        assert b"line 2" not in received


def test_an_answer_and_its_headers_go_out_together(served: Served) -> None:
    body = b"x" * 1_000
    request = b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + body
    with served.connect() as connection:
        for _ in range(20):  # in two pieces, the first would come alone more often than not
            connection.sendall(request)
            head, _, rest = connection.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert json.loads(rest) == {"size": 1_000}


def test_the_loop_leaves_alone_what_a_thread_is_sending() -> None:
    channel = Channel.__new__(Channel)
    channel.will_close = channel.close_when_flushed = False
    channel.outbuf_lock, channel.total_outbufs_len = threading.Condition(), 5
    assert channel.writable()
    sending, sent = threading.Event(), threading.Event()

    def send() -> None:
        with channel.outbuf_lock:
            sending.set()
            sent.wait(10)

    thread = threading.Thread(target=send)
    thread.start()
    assert sending.wait(10)
    assert not channel.writable()
    channel.will_close = True
    assert channel.writable()
    channel.will_close = False
    sent.set()
    thread.join()
    assert channel.writable()
    channel.total_outbufs_len = 0
    assert not channel.writable()


def test_what_is_under_way_ends_when_the_server_stops() -> None:
    own = Served()
    with own.connect() as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(0.3)
        own.process.send_signal(signal.SIGTERM)
        status, _, body = read_answer(connection)
    assert (status, body) == (200, b"done")
    assert own.process.wait(10) == 0


def test_a_taken_port_is_told_plainly(served: Served) -> None:
    from flask import Flask

    from pilothouse.web.server import make_server

    with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{served.port}: address already in use"):
        make_server(Flask("other"), "127.0.0.1", served.port)
    assert "permission denied" in port_message("127.0.0.1", 80, PermissionError(13, os.strerror(13)))
