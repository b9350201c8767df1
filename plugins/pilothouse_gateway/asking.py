"""What a request asks for, as far as the gateway has to know; the body itself is passed on as it came.

One thing may be added: a chat stream tells its usage only when asked (`stream_options.include_usage`), so it is asked.
"""

from __future__ import annotations

from typing import Any

import msgspec

CHARS_A_TOKEN = 4  # of English text, by the providers' own rule of thumb; for estimates only
GUESSED_COMPLETION = 1_000  # tokens, where the caller sets no limit
LONGEST_NAME = 255


class _Body(msgspec.Struct):
    """The fields that matter here. Any: whatever else stands there is for the provider to refuse."""

    model: Any = None
    stream: Any = None
    stream_options: Any = None
    user: Any = None
    metadata: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None


class Asked(msgspec.Struct, frozen=True):
    """What a request asks for; `guess` is prompt and completion tokens as far as they can be known before."""

    model: str | None = None
    stream: bool = False
    wants_usage: bool = False
    user: str | None = None
    guess: tuple[int, int] = (0, 0)


def read(body: bytes) -> Asked:
    """Read a request's body; what cannot be read asks for nothing."""
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return Asked()
    options = found.stream_options if isinstance(found.stream_options, dict) else {}
    metadata = found.metadata if isinstance(found.metadata, dict) else {}
    limits = (found.max_completion_tokens, found.max_tokens, found.max_output_tokens)
    completion = next((limit for limit in limits if type(limit) is int and limit > 0), GUESSED_COMPLETION)
    return Asked(
        _name(found.model), found.stream is True, options.get("include_usage") is True,
        _name(found.user) or _name(metadata.get("user_id")), (len(body) // CHARS_A_TOKEN, min(completion, 10**7)),
    )  # fmt: skip


def with_usage(body: bytes) -> bytes | None:
    """Return a chat request that asks for usage too, all else as it stands; None where it cannot be asked for."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        options = msgspec.json.decode(fields.get("stream_options", b"null"), type=dict[str, msgspec.Raw] | None) or {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
    options["include_usage"] = msgspec.Raw(b"true")
    fields["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    return msgspec.json.encode(fields)


def _name(value: Any) -> str | None:
    return value[:LONGEST_NAME] if isinstance(value, str) and value else None
