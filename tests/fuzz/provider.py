"""A model provider that takes whatever JSON object it is sent, as a real one would refuse the rest: never with a 5xx."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24, "input_tokens": 20, "output_tokens": 4}


class Provider(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            self._answer(400, "application/json", json.dumps({"error": {"message": "no JSON object", "type": "x"}}).encode())
            return
        answer = {"id": "a-1", "model": "gpt-4o-mini", "type": "message", "usage": USAGE, "choices": [], "content": []}
        if asked.get("stream") is True:
            self._answer(200, "text/event-stream", b"".join(_events(answer)))
        else:
            self._answer(200, "application/json", json.dumps(answer).encode())

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def _events(answer: dict[str, Any]) -> Iterator[bytes]:
    """Write the end of a stream in the words of both providers; each reader passes over the other's."""
    for event in ({"type": "message_start", "message": answer}, answer, {"type": "message_stop"}):
        yield f"data: {json.dumps(event)}\n\n".encode()
    yield b"data: [DONE]\n\n"


@contextmanager
def provider() -> Iterator[str]:
    """Run the provider until the block ends; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
