"""Answers' texts, put together from the pieces of a stream; only where the operator keeps prompts and answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pilothouse.sdk import clean

MOST_CHARS = 262_144  # of one prompt or answer: a model's window of 64,000 tokens
ANSWERS = ("choices", "output", "content", "data")  # where whole answers hold what the model said


class Collected:
    """What a streamed answer says so far. `value` is set where the provider says it all at the end."""

    def __init__(self) -> None:
        """Start empty."""
        self.value: Any = None
        self._parts: dict[tuple[Any, ...], list[str]] = {}
        self._size = 0

    def chunk(self, told: dict[str, Any]) -> None:
        """Add a chunk of a chat."""
        for choice in _objects(told.get("choices")):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                self._add((choice.get("index"), "content"), delta.get("content"))
                self._add((choice.get("index"), "refusal"), delta.get("refusal"))
                for call in _objects(delta.get("tool_calls")):
                    function = call.get("function")
                    if isinstance(function, dict):
                        place = (choice.get("index"), "tool_calls", call.get("index"))
                        self._add((*place, "name"), function.get("name"))
                        self._add((*place, "arguments"), function.get("arguments"))

    def event(self, told: dict[str, Any]) -> None:
        """Add an event of a message."""
        delta, block = told.get("delta"), told.get("content_block")
        if told.get("type") == "content_block_delta" and isinstance(delta, dict):
            for name in ("text", "thinking", "partial_json"):
                self._add((told.get("index"), name), delta.get(name))
        elif told.get("type") == "content_block_start" and isinstance(block, dict):
            self._add((told.get("index"), "name"), block.get("name"))

    def _add(self, place: tuple[Any, ...], text: Any) -> None:
        if isinstance(text, str) and text and self._size < MOST_CHARS:
            self._parts.setdefault(place, []).append(text)
            self._size += len(text)

    def whole(self) -> Any:
        """Return all of it: objects by the index of choice or block; None where nothing was said."""
        if self.value is not None:
            return self.value
        found: dict[str, Any] = {}
        for (*places, name), texts in self._parts.items():
            inside = found
            for place in places:
                inside = inside.setdefault(str(place), {})
            inside[str(name)] = "".join(texts)
        return found or None


def json_of(value: Any) -> str | None:
    """Return JSON text to keep, without secrets; None for nothing. What is too long is kept as the start of its text."""
    if value is None:
        return None
    text = msgspec.json.encode(clean(value)).decode()
    return text if len(text) <= MOST_CHARS else msgspec.json.encode({"cut_off": text[: MOST_CHARS // 2]}).decode()


def of_body(body: bytes, names: Iterable[str] = ()) -> str | None:
    """Return a body's JSON, or those of its fields, as text to keep."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
    if names and isinstance(found, dict):
        found = next((found[name] for name in names if name in found), None)
    return json_of(found)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
