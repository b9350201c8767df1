"""A load of prepared requests from a process of its own, over connections that are kept alive."""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from collections.abc import Sequence


def prepare(path: str, body: bytes, token: str = "", content_type: str = "application/json") -> bytes:
    """Return the bytes of one POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{head}\r\n".encode() + body


def run(port: int | Sequence[int], requests: Sequence[bytes], clients: int) -> float:
    """Send all requests from `clients` connections of another process; returns the seconds from first to last answer.

    Raises RuntimeError for an answer that is not 200.
    """
    ports = [port] if isinstance(port, int) else list(port)
    parent, child = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_run, args=(child, ports, requests, clients))
    process.start()
    result = parent.recv()
    process.join()
    if isinstance(result, str):
        raise RuntimeError(result)  # noqa: TRY004 - the other process' own words
    return float(result)


def _run(pipe: object, ports: list[int], requests: Sequence[bytes], clients: int) -> None:
    faults: list[str] = []

    def work(number: int) -> None:
        try:
            _send(ports[number % len(ports)], requests[number::clients])
        except (OSError, RuntimeError) as fault:
            faults.append(str(fault))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(faults[0] if faults else time.perf_counter() - begun)  # type: ignore[attr-defined]


def _send(port: int, requests: Sequence[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            connection.sendall(request)
            _read_answer(connection)


def _read_answer(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.split(b"\r\n")[0].decode())
    length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")).split(b":")[1])
    while len(body) < length:
        body += _more(connection)


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise RuntimeError("the connection was cut")
    return part
