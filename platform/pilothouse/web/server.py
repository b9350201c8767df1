"""The web server of `pilothouse up`: waitress, one process with threads, which suits SQLite's single writer.

It reads each request to its end before a thread sees it, so slow clients cost a socket and no thread. What it refuses
by itself (a body over the limit, broken HTTP) it says as a problem document, like everything else.
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask, WSGITask

from pilothouse import clock, logs
from pilothouse.errors import SettingsError
from pilothouse.web import waiting

THREADS = 16
CONNECTIONS = 4_000  # 500 slow clients and 2,000 open consoles fit; the limit of open files is raised to suit
OPEN_FILES = CONNECTIONS + 1_000
# The application answers what is over its own limits (10 MiB for signals, 32 MiB for pictures on their way to a model; also
# for compressed and chunked bodies) exactly. This bound is what the server spools to disk for one request before it gives
# up on it.
BODY_LIMIT = 34 * 1024 * 1024
IDLE_S = 60  # a connection on which nothing happens, a slow sender included, is closed after this
LINGER_S = 5.0  # how long the rest of a refused body is read and thrown away
DISCARDED_BYTES = 256 * 1024  # at once
STALLED_S = 60  # a client that reads nothing of an answer that waits for it is given up after this
LONG_REQUESTS = 512  # at once, where no setting says otherwise
DRAIN_S = 5.0  # how long requests under way may take to end when the server stops


class ProblemTask(ErrorTask):  # type: ignore[misc]
    """Says as a problem document what the server itself refuses."""

    def execute(self) -> None:
        """Write the answer and close the connection: what follows on it is the rest of a body."""
        fault = self.request.error
        request_id = clock.new_id()
        codes = {400: "malformed", 413: "too_large", 431: "headers_too_large", 501: "not_implemented"}
        code = codes.get(fault.code, "internal")
        document = {
            "type": f"https://pilothouse.dev/problems/{code}",
            "title": fault.reason,
            "status": fault.code,
            "detail": _detail(fault.code),
            "request_id": request_id,
        }
        body = json.dumps(document).encode()
        self.channel.refused = True
        self.status = f"{fault.code} {fault.reason}"
        self.response_headers.extend([("Content-Type", "application/problem+json"), ("X-Request-Id", request_id)])
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Task(WSGITask):  # type: ignore[misc]
    """A request to the application, which may ask for another thread while it waits."""

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment, with what lends a thread."""
        environ: dict[str, Any] = super().get_environment()
        environ[waiting.KEY] = self.channel.server.lend_thread
        return environ

    def write(self, data: bytes) -> None:
        """Write a part of the answer; the headers go out with the first one. Each sending lets another thread run first."""
        if self.wrote_header:
            super().write(data)
            return
        self.channel.held = bytearray()
        try:
            super().write(data)
        finally:
            first, self.channel.held = bytes(self.channel.held), None
        self.channel.write_soon(first)


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that says its errors as problem documents, and lets the client read them.

    A client that is still sending would see a reset in place of the answer if the connection were closed at once: so what
    it sends is read and thrown away for a while (RFC 9112, section 9.6).
    """

    task_class = Task
    error_task_class = ProblemTask
    refused = False
    lingers_until = 0.0
    held: bytearray | None = None  # the beginning of an answer, which is sent in one piece

    def write_soon(self, data: Any) -> int:
        """Send a part of an answer, or keep it for what is sent with it."""
        if self.held is None:
            return int(super().write_soon(data))
        self.held += data
        return len(data)

    def writable(self) -> bool:
        """Say whether the server's loop is to send something.

        Not what a thread is sending at the moment: the loop could only look again and again until it has, and every look
        takes the interpreter from the threads that answer. A thread that cannot send everything wakes the loop by itself.
        """
        if self.lingers_until:
            return time.monotonic() > self.lingers_until
        if self.will_close or self.close_when_flushed:
            return True
        if not self.total_outbufs_len or not self.outbuf_lock.acquire(blocking=False):
            return False
        self.outbuf_lock.release()
        return True

    def handle_read(self) -> None:
        """Read a request, or throw away what follows a refused one."""
        if not self.lingers_until:
            super().handle_read()
        elif not self.recv(DISCARDED_BYTES):  # at the end of what comes, `recv` closes by itself
            self.handle_close()

    def handle_write(self) -> None:
        """Write an answer, or end the lingering."""
        if self.lingers_until:
            self.handle_close()
        else:
            super().handle_write()

    def handle_close(self) -> None:
        """Close, but linger first where a request was refused."""
        if self.refused and not self.lingers_until and self.connected:
            self.lingers_until = time.monotonic() + LINGER_S
            self.readable = lambda: True  # of this connection alone: the server asks every one of them at each turn of its loop
            self.will_close = self.close_when_flushed = False
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:  # the client went first
                super().handle_close()
            return
        super().handle_close()


def _detail(status: int) -> str:
    """Say in general words what was wrong: waitress's own text repeats what the client sent."""
    words = {413: "The body is larger than this server takes.", 431: "The headers are larger than this server takes."}
    return words.get(status, "The request is not valid HTTP.")


def make_server(
    app: Flask, host: str, port: int, *, base_url: str = "", long_requests: int = LONG_REQUESTS, proxies: int = 0
) -> Any:
    """Bind the port and return the server. Raises SettingsError where the port is taken or not allowed.

    Up to `long_requests` requests that say that they will wait get a thread each beside the usual ones. Without `proxies` in
    front nobody is believed who says in a header where a request came from.
    """
    _raise_file_limit()
    server = create_server(
        app,
        sockets=[_bind(host, port)],
        threads=THREADS,
        connection_limit=CONNECTIONS,
        backlog=1024,
        asyncore_use_poll=True,
        channel_timeout=IDLE_S,
        max_request_body_size=BODY_LIMIT,
        inbuf_overflow=1024 * 1024,  # above this a body goes to a temporary file
        clear_untrusted_proxy_headers=proxies == 0,
        url_scheme=urlsplit(base_url).scheme or "http",
        ident=None,
        expose_tracebacks=False,
        log_socket_errors=False,  # a client that leaves in the middle of an answer is no fault of ours
    )
    server.channel_class = Channel
    server.lend_thread = waiting.Threads(server.task_dispatcher, THREADS, long_requests).lend
    close_idle = server.maintenance

    def maintenance(at: float) -> None:
        close_idle(at)
        _give_up_stalled(server, at)

    server.maintenance = maintenance
    return server


def _give_up_stalled(server: Any, at: float) -> None:
    """Close connections whose client takes nothing of what waits for it: a thread may stand behind each."""
    for channel in list(server.active_channels.values()):
        if channel.requests and channel.total_outbufs_len and channel.last_activity < at - STALLED_S:
            channel.will_close = True


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host.strip("[]"), port))
    except OSError as fault:
        bound.close()
        raise SettingsError(port_message(host, port, fault)) from fault
    return bound


def port_message(host: str, port: int, fault: OSError) -> str:
    """Say in one line why a port cannot be had."""
    return f"cannot listen on {host}:{port}: {(fault.strerror or str(fault)).lower()} (choose another with --port)"


def serve(server: Any) -> None:
    """Serve until SIGTERM or SIGINT, then let the requests under way end. Call it from the main thread."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()
        server.trigger.pull_trigger()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    serve_until(server, stopping)


def serve_until(server: Any, stopping: threading.Event) -> None:
    """Serve in this thread until the event is set, then let the requests under way end and close every connection."""
    while not stopping.is_set():
        _look(server, 1.0)
    server.accepting = False
    server.socket.close()
    server.del_channel()
    deadline = time.monotonic() + DRAIN_S
    while _busy(server) and time.monotonic() < deadline:
        _look(server, 0.05)
    server.task_dispatcher.shutdown(cancel_pending=True, timeout=1)
    logs.get("web").info("stopped", cut_off=_busy(server))
    server.asyncore.close_all(server._map)  # noqa: SLF001 - waitress only lets go of connections that end by themselves


def _look(server: Any, seconds: float) -> None:
    server.asyncore.loop(timeout=seconds, map=server._map, use_poll=True, count=1)  # noqa: SLF001 - its `run` cannot end in order


def _busy(server: Any) -> int:
    return sum(bool(c.requests or c.total_outbufs_len) for c in list(server.active_channels.values()))


def _raise_file_limit() -> None:
    """Each connection is an open file, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
