"""Watching answers go by: which model, which id, what usage, what went wrong. What the caller gets stays as it is.

Only the events that tell something are decoded; they are known by a look at their bytes. Inside of JSON texts quotes are
escaped, so what is looked for can stand there in no text.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pilothouse_gateway.calls import Call, Used
from pilothouse_gateway.sse import Splitter, data_of
from pilothouse_gateway.texts import Collected
from pilothouse_gateway.usage import of_anthropic, of_openai, united

LONGEST_NAME, LONGEST_MESSAGE = 255, 4_000
DONE = b"[DONE]"
_CHAT_TELLS = re.compile(rb'"usage"\s*:\s*\{|"error"\s*:\s*\{')
_NO_USAGE = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,\s*')
_RESPONSE_TELLS = re.compile(rb'"type"\s*:\s*"(?:response\.(?:created|completed|failed|incomplete|cancelled)|error)"')
_MESSAGE_TELLS = re.compile(rb'"type"\s*:\s*"(?:message_start|message_delta|message_stop|error)"')


class _Head(msgspec.Struct):
    """What is looked at of an answer that came as a whole; the rest, such as megabytes of embeddings, is passed over."""

    id: Any = None
    model: Any = None
    service_tier: Any = None
    usage: Any = None
    status: Any = None
    error: Any = None


class Watcher:
    """What an answer tells, written into its call as it goes by. `whole` says that a stream came to its own end."""

    def __init__(self, call: Call, *, keep: bool) -> None:
        """Take the call; with `keep` the answer's text is collected too."""
        self.call, self.whole = call, False
        self.texts = Collected() if keep else None

    def body(self, body: bytes) -> None:
        """Look at an answer that came as a whole."""
        found = _head(body)
        self.name(found)
        self.call.used = self.usage_of(found.get("usage"))
        self.whole = True

    def event(self, event: bytes) -> bytes:
        """Look at an event of a stream; returns what the caller gets of it: the event, where none was to be expected."""
        return event

    def usage_of(self, told: Any) -> Used | None:
        """Read the provider's usage."""
        return of_openai(told)

    def name(self, told: Any) -> None:
        """Note model, id and service tier where they are told."""
        if not isinstance(told, dict):
            return
        call = self.call
        call.model = _text(told.get("model")) or call.model
        call.response_id = _text(told.get("id")) or call.response_id
        call.service_tier = _text(told.get("service_tier")) or call.service_tier

    def error(self, told: Any) -> None:
        """Note an error in the provider's own words."""
        found = told if isinstance(told, dict) else {}
        kind = _text(found.get("type")) or _text(found.get("code")) or "error"
        self.call.fail(kind, (_text(found.get("message"), LONGEST_MESSAGE) or "The provider says no more."))


class ChatWatcher(Watcher):
    """Chat completions. With `hide` the usage was asked for on the caller's behalf and is taken out again."""

    def __init__(self, call: Call, *, keep: bool, hide: bool = False) -> None:
        """Take the call."""
        super().__init__(call, keep=keep)
        self.hide, self._named = hide, False

    def event(self, event: bytes) -> bytes:
        """Look at a chunk; the one that has but the usage is left out where nobody asked for it."""
        tells = _CHAT_TELLS.search(event) is not None
        if tells or not self._named or self.texts is not None or len(event) < 40:  # noqa: PLR2004 - `data: [DONE]` and little more
            data = data_of(event)
            if data.strip() == DONE:
                self.whole = True
                return event
            found = _decode(data)
            if isinstance(found, dict) and self._chunk(found):
                return b""
        return _NO_USAGE.sub(b"", event, count=1) if self.hide and not tells else event

    def _chunk(self, found: dict[str, Any]) -> bool:
        """Note what a chunk tells; says whether it has nothing but the usage that was asked for."""
        if not self._named and ("id" in found or "model" in found):
            self.name(found)
            self._named = True
        if isinstance(found.get("error"), dict):
            self.error(found["error"])
        if self.texts is not None:
            self.texts.chunk(found)
        used = self.usage_of(found.get("usage"))
        if used is None:
            return False
        self.call.used = used
        self.name(found)
        return self.hide and found.get("choices") == []


class ResponsesWatcher(Watcher):
    """OpenAI's Responses."""

    def body(self, body: bytes) -> None:
        """Look at a response; one that runs in the background has no usage yet."""
        super().body(body)
        found = _head(body)
        if found.get("status") == "failed":
            self.error(found.get("error"))

    def event(self, event: bytes) -> bytes:
        """Look at an event."""
        if _RESPONSE_TELLS.search(event):
            found = _decode(data_of(event))
            if isinstance(found, dict):
                self._told(found)
        return event

    def _told(self, found: dict[str, Any]) -> None:
        kind, response = found.get("type"), found.get("response")
        if kind == "error":
            self.error(found.get("error") if isinstance(found.get("error"), dict) else found)
            self.whole = True
        elif isinstance(response, dict) and isinstance(kind, str) and kind.startswith("response."):
            self.name(response)
            self.call.used = self.usage_of(response.get("usage")) or self.call.used
            self.whole = self.whole or kind != "response.created"
            if kind == "response.failed":
                self.error(response.get("error"))
            if self.texts is not None and self.whole:
                self.texts.value = response.get("output")


class MessagesWatcher(Watcher):
    """Anthropic's messages: the beginning tells the input, later events what there is of output."""

    def __init__(self, call: Call, *, keep: bool) -> None:
        """Take the call."""
        super().__init__(call, keep=keep)
        self._usage: dict[str, Any] | None = None

    def usage_of(self, told: Any) -> Used | None:
        """Read the provider's usage."""
        return of_anthropic(told)

    def event(self, event: bytes) -> bytes:
        """Look at an event."""
        if self.texts is not None or _MESSAGE_TELLS.search(event):
            found = _decode(data_of(event))
            if isinstance(found, dict):
                self._told(found)
        return event

    def _told(self, found: dict[str, Any]) -> None:
        kind = found.get("type")
        if kind == "message_start" and isinstance(found.get("message"), dict):
            self.name(found["message"])
            self._count(found["message"].get("usage"), partial=True)
        elif kind == "message_delta":
            self._count(found.get("usage"), partial=False)
        elif kind == "message_stop":
            self.whole = True
        elif kind == "error":
            self.error(found.get("error"))
        if self.texts is not None:
            self.texts.event(found)

    def _count(self, told: Any, *, partial: bool) -> None:
        self._usage = united(self._usage, told)
        tier = _text(self._usage.get("service_tier"))
        self.call.service_tier = tier or self.call.service_tier
        self.call.used = of_anthropic(self._usage, partial=partial) or self.call.used

    def name(self, told: Any) -> None:
        """Note model and id; the service tier stands in the usage."""
        super().name(told)
        if isinstance(told, dict) and isinstance(told.get("usage"), dict):
            self.call.service_tier = _text(told["usage"].get("service_tier")) or self.call.service_tier


class PlainWatcher(Watcher):
    """Answers that use nothing: lists of models, counts of tokens."""

    def body(self, body: bytes) -> None:
        """Look at nothing: what stands there is no usage."""
        self.whole = len(body) > 0


class Passing:
    """A stream going by: pieces in, what the caller gets out, at once unless something may have to be taken out."""

    def __init__(self, watcher: Watcher, *, whole_events: bool) -> None:
        """Take the watcher; with `whole_events` the caller gets complete events, so that one can be left out."""
        self._watcher, self._whole_events = watcher, whole_events
        self._splitter: Splitter | None = Splitter()

    def feed(self, piece: bytes) -> bytes:
        """Return what the caller gets of a piece."""
        if self._splitter is None:
            return piece
        try:
            events = self._splitter.feed(piece)
        except ValueError:  # no stream of events that anybody could read: it passes unread
            rest, self._splitter = self._splitter.rest, None
            return rest if self._whole_events else piece
        seen = [self._watcher.event(event) for event in events]
        return b"".join(seen) if self._whole_events else piece

    def end(self) -> bytes:
        """Return what is left at the end: an event that was not finished."""
        if self._splitter is None or not self._splitter.rest:
            return b""
        rest, self._splitter = self._splitter.rest, None
        seen = self._watcher.event(rest)
        return seen if self._whole_events else b""


def error_of(body: bytes) -> Any:
    """Return the error that a refusal tells, in either provider's shape; None where it tells none."""
    return _head(body).get("error")


def _head(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.structs.asdict(msgspec.json.decode(body, type=_Head))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return {}


def _decode(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None


def _text(value: Any, longest: int = LONGEST_NAME) -> str | None:
    if isinstance(value, (int, str)) and not isinstance(value, bool) and value != "":
        return str(value)[:longest]
    return None
