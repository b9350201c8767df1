"""A stand-in for OpenAI and Anthropic: their wire formats over a socket, and a ledger of what they would bill.

What it does is asked for by words in the last user text, such as `[[in=200 out=40 cached=64 status=500 cut=3]]`.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

GOOD = "sk-canary-4f1d9c27a8e65b03d1"  # what must be found nowhere but here and in requests to this server
SAID = "Here is a short summary of the ticket: the customer cannot sign in after changing the phone number."
_DIRECTIVE = re.compile(r"\[\[(.*?)\]\]")
HTTP_ERRORS = {
    400: ("invalid_request_error", "context_length_exceeded"), 401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None), 404: ("invalid_request_error", "model_not_found"), 429: ("tokens", "rate_limit_exceeded"),
    500: ("server_error", None), 503: ("server_error", None), 529: ("overloaded_error", None),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Billed:
    """What one call used. `told` is whether the provider said so, to whom it answered."""

    service: str
    model: str
    prompt: int
    completion: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    told: bool = True


@dataclass(slots=True)
class Provider:
    """The running stand-in: where it is, what it billed, what it was asked."""

    port: int = 0
    billed: list[Billed] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)  # secret -> the status that it is refused with
    connections: int = 0
    open_streams: int = 0
    most_streams: int = 0
    sent_bytes: int = 0
    hold: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=count)
    salt: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    with_include_usage: bool = True

    @property
    def url(self) -> str:
        """The address, as the settings want it."""
        return f"http://127.0.0.1:{self.port}"

    def tokens(self, *, told: bool = True) -> tuple[int, int]:
        """Return the prompt and completion tokens of all calls whose usage was told."""
        mine = [one for one in self.billed if one.told or not told]
        return sum(one.prompt for one in mine), sum(one.completion for one in mine)

    def make_id(self, prefix: str) -> str:
        """Return an answer's id, long and never the same."""
        return prefix + hashlib.sha256(f"{self.salt}{next(self.numbers)}".encode()).hexdigest()[:32]

    def clear(self) -> None:
        """Forget what was."""
        self.billed.clear()
        self.requests.clear()
        self.keys.clear()
        self.sent_bytes = 0
        self.with_include_usage = True


@dataclass(frozen=True, slots=True)
class Order:
    """What the last user text asks of the stand-in."""

    words: dict[str, str]

    def number(self, name: str, default: int) -> int:
        return int(self.words.get(name, default))

    def has(self, name: str) -> bool:
        return name in self.words


def order_of(body: dict[str, Any]) -> Order:
    said = json.dumps(body.get("messages") or body.get("input") or "")
    found = _DIRECTIVE.findall(said)
    pairs = (pair.partition("=") for pair in (found[-1].split() if found else ()))
    return Order({name: value for name, _, value in pairs})


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    provider: Provider
    disable_nagle_algorithm = True
    wbufsize = 0

    def setup(self) -> None:
        super().setup()
        with self.provider.lock:
            self.provider.connections += 1

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        if self._noted({}) is None:
            return
        path = self.path.partition("?")[0]
        if path.startswith("/v1/models/"):
            self._json(200, {"id": path.rpartition("/")[2], "object": "model", "type": "model", "owned_by": "x", "created": 1,
                             "display_name": "x", "created_at": "2026-01-01T00:00:00Z"})  # fmt: skip
        elif self._anthropic():
            model = {"id": "claude-haiku-4-5", "type": "model", "display_name": "Haiku", "created_at": "2026-01-01T00:00:00Z"}
            self._json(200, {"data": [model], "has_more": False, "first_id": model["id"], "last_id": model["id"]})
        else:
            self._json(
                200, {"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model", "created": 1, "owned_by": "x"}]}
            )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        noted = self._noted(body)
        if noted is None:
            return
        order = order_of(body)
        order.words.update({name: noted["key"] for name, value in order.words.items() if value == "KEY"})
        if order.has("slow"):
            time.sleep(order.number("slow", 0) / 1000)
        if order.has("drop"):
            self._cut()
        elif order.has("redirect"):
            self._json(307, {}, Location="http://127.0.0.1:1/elsewhere")
        elif order.has("status"):
            self._refuse(order.number("status", 500), order)
        else:
            path = self.path.partition("?")[0]
            {
                "/v1/chat/completions": self._chat, "/v1/responses": self._responses, "/v1/embeddings": self._embeddings,
                "/v1/messages": self._messages, "/v1/messages/count_tokens": self._count_tokens,
            }[path](body, order)  # fmt: skip

    def _anthropic(self) -> bool:
        return "anthropic-version" in self.headers

    def _noted(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Note the request; None where its key was refused."""
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        secret = self.headers.get("x-api-key") or bearer
        noted = {"path": self.path, "headers": dict(self.headers.items()), "body": body, "key": secret}
        self.provider.requests.append(noted)
        status = self.provider.keys.get(secret, 200 if secret.startswith("sk-") else 401)
        if status != 200:
            self._refuse(status, Order({"echo": secret}))
            return None
        return noted

    # --- answers ---

    def _json(self, status: int, value: Any, **headers: str) -> None:
        told = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **self._usual(), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def _usual(self) -> dict[str, str]:
        name = "request-id" if self._anthropic() else "x-request-id"
        return {
            name: self.provider.make_id("req_")[:28], "openai-organization": "org-demo", "set-cookie": "__cf_bm=secret; path=/",
            "x-ratelimit-remaining-requests": "9999", "strict-transport-security": "max-age=1", "cf-ray": "1",
        }  # fmt: skip

    def _refuse(self, status: int, order: Order) -> None:
        kind, code = HTTP_ERRORS[status]
        message = f"Refused with {status}. {order.words.get('echo', '')}"
        error = {"message": message, "type": kind, "param": None, "code": code}
        if self._anthropic():
            error = {"type": kind, "message": message}
        headers = {"retry-after-ms": "10"} if status in {429, 500, 503} else {}
        self._json(status, {"type": "error", "error": error, "request_id": "req_1"}, **headers)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _stream(self, events: list[str], order: Order) -> bool:
        """Send events in chunks; says whether all of them went. `cut=N` ends the connection after N of them."""
        self.send_response(200)
        for name, value in {"Content-Type": "text/event-stream; charset=utf-8", **self._usual()}.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        provider = self.provider
        with provider.lock:
            provider.open_streams += 1
            provider.most_streams = max(provider.most_streams, provider.open_streams)
        pause, begun = order.number("pause", 0) / 1000, time.monotonic()
        cut = order.number("cut", -1)
        try:
            for number, event in enumerate(events):
                if number == cut:
                    self._cut()
                    return False
                if order.has("hold") and number == len(events) // 2:
                    provider.hold.wait(20)
                data = event.encode()
                self.wfile.write(f"{len(data):X}\r\n".encode() + data + b"\r\n")
                provider.sent_bytes += len(data)
                if pause:  # by the clock: who reads late does not make a model think later
                    time.sleep(max(0.0, begun + (number + 1) * pause - time.monotonic()))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            return False
        finally:
            with provider.lock:
                provider.open_streams -= 1
        return True

    def _bill(self, service: str, body: dict[str, Any], order: Order, *, told: bool = True, model: str | None = None) -> Billed:
        billed = Billed(
            service, model or f"{body['model']}-2026-01-01", order.number("in", 7), order.number("out", 25),
            order.number("cached", 0), order.number("write", 0), order.number("reasoning", 0), told,
        )  # fmt: skip
        with self.provider.lock:
            self.provider.billed.append(billed)
        return billed

    def _words(self, order: Order) -> list[str]:
        words = [f"{word} " for word in SAID.split()]
        if order.has("chunks"):
            words = [f"{'x' * order.number('size', 4)} "] * order.number("chunks", 10)
        return words

    def _chat(self, body: dict[str, Any], order: Order) -> None:
        if not self.provider.with_include_usage and "stream_options" in body:
            self._json(400, {"error": {"message": "Unknown parameter: 'stream_options'.", "type": "invalid_request_error"}})
            return
        asked = (body.get("stream_options") or {}).get("include_usage") is True
        streams = body.get("stream") is True
        whole = not order.has("cut") and not order.has("error") and (asked or not streams) and not order.has("silent")
        billed = self._bill("openai", body, order, told=whole)
        usage = {
            "prompt_tokens": billed.prompt, "completion_tokens": billed.completion, "total_tokens": billed.prompt + billed.completion,
            "prompt_tokens_details": {"cached_tokens": billed.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": billed.reasoning},
        }  # fmt: skip
        base = {"id": self.provider.make_id("chatcmpl-"), "created": 1, "model": billed.model, "service_tier": "default"}
        if not streams:
            message = {"role": "assistant", "content": order.words.get("say", "".join(self._words(order)).strip())}
            answer = {
                **base,
                "object": "chat.completion",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            }
            self._json(200, answer if order.has("silent") else {**answer, "usage": usage})
            return
        extra = {"usage": None} if asked else {}
        chunks = [
            {**base, "object": "chat.completion.chunk",
             "choices": [{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}], **extra}
            for word in self._words(order)
        ]  # fmt: skip
        events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        if order.has("error"):
            events = events[: order.number("error", 3)]
            events.append('data: {"error": {"message": "The server is overloaded.", "type": "server_error", "code": null}}\n\n')
        else:
            last = {
                **base,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                **extra,
            }
            events.append(f"data: {json.dumps(last)}\n\n")
            if asked and not order.has("silent"):
                events.append(
                    f"data: {json.dumps({**base, 'object': 'chat.completion.chunk', 'choices': [], 'usage': usage})}\n\n"
                )
            events.append("data: [DONE]\n\n")
        self._stream(events, order)

    def _responses(self, body: dict[str, Any], order: Order) -> None:
        billed = self._bill("openai", body, order, told=not order.has("cut"))
        usage = {
            "input_tokens": billed.prompt, "input_tokens_details": {"cached_tokens": billed.cached},
            "output_tokens": billed.completion, "output_tokens_details": {"reasoning_tokens": billed.reasoning},
            "total_tokens": billed.prompt + billed.completion,
        }  # fmt: skip
        text = "".join(self._words(order)).strip()
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}]}  # fmt: skip
        begun = {
            "id": self.provider.make_id("resp_"), "object": "response", "created_at": 1, "model": billed.model, "output": [],
            "status": "in_progress", "usage": None, "error": None, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
            "service_tier": "default",
        }  # fmt: skip
        done = {**begun, "status": "completed", "output": [item], "usage": usage}
        if body.get("stream") is not True:
            self._json(200, done)
            return
        told: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        told.append(
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": [], "status": "in_progress"}}
        )
        told.append({"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0,
                     "part": {"type": "output_text", "text": "", "annotations": []}})  # fmt: skip
        told += [
            {
                "type": "response.output_text.delta",
                "item_id": "msg_1",
                "output_index": 0,
                "content_index": 0,
                "delta": word,
                "logprobs": [],
            }
            for word in self._words(order)
        ]
        if order.has("error"):
            failed = {**begun, "status": "failed", "error": {"code": "server_error", "message": "It failed."}, "usage": usage}
            told.append({"type": "response.failed", "response": failed})
        else:
            told.append({"type": "response.completed", "response": done})
        events = [f"event: {one['type']}\ndata: {json.dumps({**one, 'sequence_number': n})}\n\n" for n, one in enumerate(told)]
        self._stream(events, order)

    def _embeddings(self, body: dict[str, Any], order: Order) -> None:
        given = body["input"] if isinstance(body["input"], list) else [body["input"]]
        billed = self._bill("openai", body, Order({"in": str(3 * len(given)), "out": "0"}), model=body["model"])
        vector: Any = "AACgvQAAgL0AAEC9AAAAvQ==" if body.get("encoding_format") == "base64" else [0.1, 0.2]
        data = [{"object": "embedding", "index": n, "embedding": vector} for n in range(len(given))]
        usage = {"prompt_tokens": billed.prompt, "total_tokens": billed.prompt}
        if body.get("stream") is True:  # no provider documents it; some server may well do what it is asked
            self._stream([f"data: {json.dumps(one)}\n\n" for one in data], order)
            return
        self._json(200, {"object": "list", "data": data, "model": billed.model, "usage": usage})

    def _messages(self, body: dict[str, Any], order: Order) -> None:
        billed = self._bill("anthropic", body, order, told=not order.has("cut") and not order.has("error"), model=body["model"])
        fresh = billed.prompt - billed.cached - billed.cache_write
        usage = {
            "input_tokens": fresh, "cache_read_input_tokens": billed.cached, "cache_creation_input_tokens": billed.cache_write,
            "cache_creation": {"ephemeral_5m_input_tokens": billed.cache_write, "ephemeral_1h_input_tokens": 0},
            "output_tokens": billed.completion, "service_tier": "standard",
        }  # fmt: skip
        text = "".join(self._words(order)).strip()
        message = {
            "id": self.provider.make_id("msg_"), "type": "message", "role": "assistant", "model": billed.model, "stop_sequence": None,
        }  # fmt: skip
        if body.get("stream") is not True:
            self._json(200, {**message, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage})
            return
        start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
        told: list[dict[str, Any]] = [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
                for word in self._words(order)
            ),
        ]
        if order.has("error"):
            told = [
                *told[: order.number("error", 5)],
                {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            ]
        else:
            delta = {"stop_reason": "end_turn", "stop_sequence": None}
            told += [
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": delta, "usage": {"output_tokens": billed.completion}},
                {"type": "message_stop"},
            ]
        self._stream([f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in told], order)

    def _count_tokens(self, body: dict[str, Any], order: Order) -> None:
        del body
        self._json(200, {"input_tokens": order.number("in", 7)})


class Server(ThreadingHTTPServer):
    """Many callers at once."""

    daemon_threads = True
    request_queue_size = 512


def serve(provider: Provider) -> Server:
    """Start the stand-in on a port of its own."""
    handler = type("Bound", (Handler,), {"provider": provider})
    server = Server(("127.0.0.1", provider.port), handler)
    provider.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
