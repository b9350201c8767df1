"""What was said in a call, turn by turn, out of the JSON of either provider: for people, who read text and not trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

ASSISTANT = "assistant"
TEXTS = ("text", "thinking", "refusal", "content")  # where a part of a message holds its words
DEEPEST = 8  # parts inside of parts; no provider has more than three
CALLS = ("input", "partial_json", "arguments")  # where a part that calls a tool holds what it hands over

Turn = tuple[str, str]  # role and text


def sent(body: Any) -> list[Turn]:
    """Return the turns of a request: chat completions, responses or messages; none where it is something else."""
    if not isinstance(body, dict):
        return []
    told = body.get("messages", body.get("input"))
    turns = [("user", told)] if isinstance(told, str) else list(_items(told, "user"))
    ahead = [("system", _text(body[name])) for name in ("system", "instructions") if body.get(name)]
    return _said([*ahead, *turns])


def answered(value: Any) -> list[Turn]:
    """Return the turns of an answer: choices, output items, blocks, or what a stream said by the index of each."""
    parts = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(parts, list):
        return []
    choices = [part.get("message", part) if isinstance(part, dict) else part for part in parts]
    return _said(_items(choices, ASSISTANT))


def _items(items: Any, role: str) -> Iterator[Turn]:
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict):
            yield str(item.get("role") or role), _text(item)


def _said(turns: Iterable[Turn]) -> list[Turn]:
    return [(role, text) for role, text in turns if text]


def _text(value: Any, depth: int = 0) -> str:
    """Return the words of a message, or of a part of one; what has none is named in brackets."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth < DEEPEST:
        return "\n".join(filter(None, (_text(part, depth + 1) for part in value)))
    if not isinstance(value, dict) or depth >= DEEPEST:
        return ""
    words = [_text(value[name], depth + 1) for name in TEXTS if value.get(name)]
    words += [_call(call) for call in _calls(value)]
    kind = value.get("type")
    return "\n".join(filter(None, words)) or (f"[{kind}]" if isinstance(kind, str) and kind != "message" else "")


def _calls(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inside = value.get("tool_calls")
    calls = inside.values() if isinstance(inside, dict) else inside if isinstance(inside, list) else []
    yield from (call.get("function", call) for call in calls if isinstance(call, dict))
    if value.get("name") and any(name in value for name in CALLS):
        yield value


def _call(call: Any) -> str:
    if not isinstance(call, dict):
        return ""
    handed = next((call[name] for name in CALLS if call.get(name)), "")
    return f"{call.get('name', '')}({handed})"
