"""A call from its beginning to its end: the answer on its way to the caller, the call on its way to the records.

A stream goes to the caller as it comes. What cuts it on the provider's side cuts it for the caller too; a caller who
leaves does not end it: it is read to its end, so that its usage is known.
"""

from __future__ import annotations

import errno
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from flask import Flask, Response, request

from pilothouse.sdk import (
    CutOff,
    Malformed,
    NotReached,
    OutgoingPool,
    PilothouseError,
    Principal,
    RateLimit,
    application,
    current_principal,
    long_lived,
    new_id,
    now,
    parse_id,
    read_body,
    runtime,
)
from pilothouse_gateway import asking, headers, texts
from pilothouse_gateway.calls import Call
from pilothouse_gateway.doors import Door
from pilothouse_gateway.estimating import Estimates
from pilothouse_gateway.journal import Journal
from pilothouse_gateway.reaching import Reach, Reached
from pilothouse_gateway.records import Recording
from pilothouse_gateway.remembering import Remembered
from pilothouse_gateway.settings import KEEP_CONTENT, RATE
from pilothouse_gateway.watching import ChatWatcher, Passing, Watcher, error_of

MOST_BYTES = 32 * 1024 * 1024  # of a request: what Anthropic takes; pictures are in it
MOST_ANSWER = 256 * 1024 * 1024  # of an answer that comes as a whole: 2,048 embeddings of 3,072 numbers are 130 MB of text
MOST_S = 3_600.0  # of one call, whoever still sends
EVENTS = "text/event-stream"
BAD = 400
LONGEST = 255


@dataclass(frozen=True, slots=True)
class Gateway:
    """What all calls of an application share."""

    pool: OutgoingPool = field(default_factory=OutgoingPool)
    estimates: Estimates = field(default_factory=Estimates)
    remembered: Remembered = field(default_factory=Remembered)
    journal: Journal = field(default_factory=lambda: Journal(Recording().store))


def relay(gateway: Gateway, door: Door, *, below: str = "") -> Response:
    """Pass the running request on to its provider and the answer back; `below` is what stands after the door's path."""
    principal = current_principal()
    assert principal is not None  # noqa: S101 - the route asks for a permission, which nobody has who is not known
    _count(principal)
    body = read_body(MOST_BYTES) if request.method == "POST" else None
    asked = asking.read(body or b"")
    call = _begun(principal, door, asked)
    label = headers.text_of(request.headers.get("X-Pilothouse-Key", "")) or None
    path = door.path + below
    with ExitStack() as stack:
        stack.enter_context(long_lived())
        shared = (gateway.pool, gateway.estimates, gateway.remembered)
        reach = Reach(*shared, door, principal, call, path, body, asked, label)
        return _Run(gateway, application(), call, reach).answer(stack)


def _count(principal: Principal) -> None:
    """Count the call against its token. Raises TooManyRequests."""
    most = runtime().settings[RATE]
    if most is not None:
        runtime().limiter.hit("gateway", principal.token_id or principal.id, RateLimit(most, 60))


def _begun(principal: Principal, door: Door, asked: asking.Asked) -> Call:
    execution = headers.text_of(request.headers.get("X-Pilothouse-Execution", ""))
    workflow, agent = _told("X-Pilothouse-Workflow"), _told("X-Pilothouse-Agent")
    if execution:
        try:
            parse_id(execution)
        except ValueError as fault:
            raise Malformed(f"X-Pilothouse-Execution {fault}.") from None
    elif workflow is None:
        workflow = principal.name[:LONGEST] or "gateway"
    key = new_id()
    return Call(
        id=key, service=door.service, operation=door.operation, execution_id=execution or new_id(), own=not execution,
        usage_id=key, workflow=workflow, agent=agent, user=asked.user, token_id=principal.token_id,
        client=request.headers.get("User-Agent", "")[:100], request_model=asked.model, stream=asked.stream,
    )  # fmt: skip


def _told(name: str) -> str | None:
    value = headers.text_of(request.headers.get(name, ""))
    if len(value) > LONGEST or not (value.isprintable() or not value):
        raise Malformed(f"{name} must have at most {LONGEST} printable characters.")
    return value or None


class _Run:
    """One call under way."""

    def __init__(self, gateway: Gateway, app: Flask, call: Call, reach: Reach) -> None:
        self._journal, self._app, self._call, self._reach = gateway.journal, app, call, reach
        self._keep = runtime().settings[KEEP_CONTENT] is not None
        self._begun = time.monotonic()
        if self._keep and reach.body is not None:
            call.input = texts.of_body(reach.body)

    def answer(self, stack: ExitStack) -> Response:
        """Return the provider's answer; a stream takes over what is on the stack."""
        self._journal.write(self._app, self._call)
        try:
            reached = self._reach.go()
            watcher = self._watcher()
            if reached.body is None and reached.answer.header("content-type").lower().startswith(EVENTS):
                stream = Stream(self, reached, watcher, whole_events=self._reach.hidden)
                response = self._response(reached, stream)
                stream.stack.push(stack.pop_all())
                return response
            return self._whole(reached, watcher)
        except PilothouseError as fault:
            self._call.fail(fault.code, fault.detail)
            self._reach.give_back()
            self.end(wait=True)
            raise
        except BaseException:  # whatever ends it, the call must not stay open in the journal; it goes up again
            self._call.fail("internal", "Something failed in the gateway; its log has the reason.")
            self.end()
            raise

    def _watcher(self) -> Watcher:
        kind = self._reach.door.watcher
        if kind is ChatWatcher:
            return ChatWatcher(self._call, keep=self._keep, hide=self._reach.hidden)
        return kind(self._call, keep=self._keep)

    def _whole(self, reached: Reached, watcher: Watcher) -> Response:
        body = reached.answer.read(MOST_ANSWER) if reached.body is None else reached.body
        self._call.first_ms = self.elapsed()
        body = body.replace(reached.secret.encode(), headers.MASK.encode())
        if reached.answer.status >= BAD:
            told = error_of(body)
            watcher.error(told if isinstance(told, dict) else {"type": f"http_{reached.answer.status}", "message": told})
            self._reach.give_back()
        else:
            watcher.body(body)
            if self._keep:
                self._call.output = texts.of_body(body, texts.ANSWERS)
        self.end(wait=True)
        return self._response(reached, body)

    def _response(self, reached: Reached, body: bytes | Stream) -> Response:
        kept = headers.for_caller(reached.answer.headers, reached.secret)
        response = Response(body, reached.answer.status, kept)
        if not any(name.lower() == "content-type" for name, _ in kept):
            response.headers.pop("Content-Type", None)
        response.headers["X-Pilothouse-Execution"] = self._call.execution_id
        if isinstance(body, Stream):
            response.headers["X-Accel-Buffering"] = "no"  # else nginx in front holds it back until kilobytes are there
        return response

    def elapsed(self) -> float:
        """Return the milliseconds since the call began."""
        return round((time.monotonic() - self._begun) * 1000, 3)

    def overdue(self) -> bool:
        """Say whether the call takes longer than any may."""
        return time.monotonic() > self._begun + MOST_S

    def end(self, *, wait: bool = False) -> None:
        """Write the call down as it ended; with `wait` its record is there when this returns."""
        call = self._call
        call.latency_ms, call.finished_at = self.elapsed(), now()
        if call.state == "running":
            call.state = "succeeded"
        if call.used is not None:
            self._reach.learn((call.used.prompt, call.used.completion))
        self._journal.write(self._app, call, wait=wait)

    @property
    def call(self) -> Call:
        """The call."""
        return self._call


class Stream:
    """The body of a streamed answer: read as it comes, watched, passed on; closed it reads on by itself."""

    def __init__(self, run: _Run, reached: Reached, watcher: Watcher, *, whole_events: bool) -> None:
        """Take the answer whose headers have come."""
        self.stack = ExitStack()  # what is to be given back when the stream has ended
        self._run, self._answer, self._watcher = run, reached.answer, watcher
        self._passing = Passing(watcher, whole_events=whole_events)
        self._secret = reached.secret.encode()
        self._ended = False

    def __iter__(self) -> Stream:
        """Return itself: it can be read once."""
        return self

    def __next__(self) -> bytes:
        """Return the next part of the caller's body. Raises ConnectionResetError where the provider cut it."""
        while not self._ended:
            part = self._part()
            if part:
                return part
        raise StopIteration

    def _part(self) -> bytes:
        try:
            piece = self._read()
        except (CutOff, NotReached) as fault:
            self._fail(fault)
            # no other way to tell a server that the body is not whole; it closes the connection without its end
            raise ConnectionResetError(errno.ECONNRESET, fault.detail) from None
        except BaseException:  # whatever ends it, what was used is recorded; it goes up again
            self._end()
            raise
        return piece.replace(self._secret, headers.MASK.encode())

    def _read(self) -> bytes:
        """Return the next part, empty where nothing of a piece is for the caller. Raises CutOff and TimedOut."""
        piece = self._answer.read1()
        if piece:
            if self._run.call.first_ms is None:
                self._run.call.first_ms = self._run.elapsed()
            if self._run.overdue():
                raise CutOff("The call took longer than an hour.")
            return self._passing.feed(piece)
        rest = self._passing.end()
        call = self._run.call
        if not self._watcher.whole and call.state == "running" and (call.used is None or call.used.partial):
            if not self._answer.framed:
                raise CutOff("The provider closed the connection in the middle of its answer.")
            call.fail("ended_early", "The stream ended without its last event.")
        self._end()
        return rest

    def close(self) -> None:
        """Read what the caller did not wait for, so that the usage at the end is known."""
        if self._ended:
            return
        self._run.call.abandoned = True
        try:
            while not self._ended:
                self._read()
        except (CutOff, NotReached) as fault:
            self._fail(fault)
        finally:
            self._end()

    def _fail(self, fault: PilothouseError) -> None:
        self._passing.end()
        self._run.call.fail(fault.code, fault.detail)
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._answer.close()
        try:
            if self._watcher.texts is not None:
                self._run.call.output = texts.json_of(self._watcher.texts.whole())
            self._run.end()
        finally:
            self.stack.close()
