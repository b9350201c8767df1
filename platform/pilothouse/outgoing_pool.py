"""Outgoing calls that are made often and answered in pieces: connections stay open, answers are read as they come.

Every connection is made to an address that `outgoing` checked, as there: no redirects, no second look at the name. An
answer that ends before its end is told apart from one that is whole.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
import weakref
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pilothouse.errors import PilothouseError
from pilothouse.outgoing import PORTS, NotReached, Pinned, check_url, resolve

PIECE = 64 * 1024  # bytes that one read takes at most
MOST_IDLE = 64  # open connections that wait for the next call, by destination
IDLE_S = 20.0  # shorter than what servers keep an idle connection for (60 s and more), so that none is met half closed

Key = tuple[str, str, int]
Header = tuple[str, str]


class TimedOut(NotReached):
    """The other side was silent for longer than it may be."""

    status, code, title = 504, "timed_out", "The address did not answer in time"


class CutOff(PilothouseError):
    """The answer began and ended before its end."""

    status, code, title = 502, "cut_off", "The answer was cut off"


@dataclass(slots=True)
class _Idle:
    connection: Pinned
    since: float


class OutgoingPool:
    """Connections to any destinations; safe to use from any thread. Opens nothing before the first call."""

    def __init__(self) -> None:
        """Start empty."""
        self._idle: dict[Key, deque[_Idle]] = {}
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        weakref.finalize(self, _close_all, self._idle)

    def send(self, method: str, url: str, body: bytes | None, headers: Sequence[Header], *, silence_s: float) -> OutgoingAnswer:
        """Send a request and return the answer once its headers are there.

        `silence_s` is how long the other side may be silent, now and between two pieces. Call it inside of an application
        context. Raises UrlNotAllowed, NotReached and TimedOut; nothing is tried twice.
        """
        parts = check_url(url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        key = (parts.scheme, host, port)
        connection = self._take(key) or self._connect(key)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.sock.settimeout(silence_s)
            _write(connection, method, path, body, headers)
            return OutgoingAnswer(self, key, connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as fault:
            connection.close()
            raise _explained(fault, host) from fault
        except BaseException:  # also a worker's time limit: whatever ends it, a half-used connection is nobody's
            connection.close()
            raise

    def give_back(self, key: Key, connection: Pinned) -> None:
        """Keep a connection whose answer was read to its end."""
        now = time.monotonic()
        with self._lock:
            waiting = self._idle.setdefault(key, deque())
            waiting.append(_Idle(connection, now))
            stale = []
            while waiting and (len(waiting) > MOST_IDLE or waiting[0].since < now - IDLE_S):
                stale.append(waiting.popleft())
        for entry in stale:
            entry.connection.close()

    def _take(self, key: Key) -> Pinned | None:
        """Return the connection that was used last and still stands; the others may rest until they are too old."""
        while True:
            with self._lock:
                waiting = self._idle.get(key)
                entry = waiting.pop() if waiting else None
            if entry is None:
                return None
            if entry.since > time.monotonic() - IDLE_S and not _readable(entry.connection):
                return entry.connection
            entry.connection.close()

    def _connect(self, key: Key) -> Pinned:
        scheme, host, port = key
        connection = Pinned(host, port, resolve(host, port), tls=self._context() if scheme == "https" else None)
        try:
            connection.connect()
        except OSError as fault:
            connection.close()
            raise _explained(fault, host) from fault
        return connection

    def _context(self) -> ssl.SSLContext:
        with self._lock:  # reading the certificates of all authorities takes 20 ms: once is enough
            if self._tls is None:
                self._tls = ssl.create_default_context()
            return self._tls


class OutgoingAnswer:
    """An answer on its way. Read it to its end, or close it: then its connection is not used again."""

    def __init__(self, pool: OutgoingPool, key: Key, connection: Pinned, response: http.client.HTTPResponse) -> None:
        """Take the response whose headers were read."""
        self._pool, self._key, self._connection, self._response = pool, key, connection, response
        self._done = False
        self._inflate: Any = None
        self.status = response.status
        self.framed = bool(response.chunked) or response.length is not None  # else the end of the connection is the end
        self.headers: list[Header] = response.getheaders()
        if self.header("content-encoding").lower() in {"gzip", "x-gzip", "deflate"}:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
            self.headers = [pair for pair in self.headers if pair[0].lower() not in {"content-encoding", "content-length"}]

    def header(self, name: str) -> str:
        """Return a header's value, empty where there is none."""
        return self._response.getheader(name) or ""

    def read1(self) -> bytes:
        """Return what came, waiting for at least one byte; nothing at the end. Raises CutOff and TimedOut."""
        while not self._done:
            try:
                piece = self._response.read1(PIECE)
                if not piece:
                    self._end()
                elif self._inflate is None:
                    return piece
                else:
                    piece = self._inflate.decompress(piece)
                    if piece:
                        return bytes(piece)
            except (OSError, http.client.HTTPException, zlib.error, ValueError) as fault:
                self.close()
                if isinstance(fault, TimeoutError):
                    raise TimedOut(f"{self._key[1]} fell silent.") from fault
                raise CutOff(f"{self._key[1]} broke its answer off.") from fault
        return b""

    def read(self, most: int) -> bytes:
        """Return the rest of the body. Raises CutOff and TimedOut, and NotReached where it has more than `most` bytes."""
        parts, size = [], 0
        while piece := self.read1():
            parts.append(piece)
            size += len(piece)
            if size > most:
                self.close()
                raise NotReached(f"{self._key[1]} answered with more than {most} bytes.")
        return b"".join(parts)

    def close(self) -> None:
        """Let go of the connection; one whose answer was not read to its end is closed."""
        if not self._done:
            self._done = True
            self._connection.close()

    def _end(self) -> None:
        """Note that nothing more comes. Raises CutOff where more was announced."""
        if self._response.length:
            raise http.client.IncompleteRead(b"", self._response.length)
        self._done = True
        reusable = not self._response.will_close
        self._response.close()
        if reusable:
            self._pool.give_back(self._key, self._connection)
        else:
            self._connection.close()


def _close_all(idle: dict[Key, deque[_Idle]]) -> None:
    for waiting in idle.values():
        while waiting:
            waiting.pop().connection.close()


def _write(connection: Pinned, method: str, path: str, body: bytes | None, headers: Sequence[Header]) -> None:
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)


def _readable(connection: Pinned) -> bool:
    """Say whether an idle connection has something to tell, which can only be that it was closed."""
    watch = select.poll()
    watch.register(connection.sock, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(watch.poll(0))


def _explained(fault: Exception, host: str) -> NotReached:
    if isinstance(fault, TimeoutError):
        return TimedOut(f"{host} did not answer in time.")
    if isinstance(fault, socket.gaierror):
        return NotReached(f"The name {host} is not known.")
    return NotReached(f"{host} did not answer: {str(fault) or type(fault).__name__}.")
