"""The operations that the gateway takes, and who watches the answers of each."""

from __future__ import annotations

from dataclasses import dataclass

from pilothouse_gateway.watching import ChatWatcher, MessagesWatcher, PlainWatcher, ResponsesWatcher, Watcher


@dataclass(frozen=True, slots=True)
class Door:
    """One operation of one provider: its path below the provider's address, and what watches its answers."""

    service: str
    operation: str
    path: str
    watcher: type[Watcher]


CHAT = Door("openai", "chat", "/v1/chat/completions", ChatWatcher)
RESPONSES = Door("openai", "responses", "/v1/responses", ResponsesWatcher)
EMBEDDINGS = Door("openai", "embeddings", "/v1/embeddings", Watcher)
OPENAI_MODELS = Door("openai", "models", "/v1/models", PlainWatcher)
MESSAGES = Door("anthropic", "messages", "/v1/messages", MessagesWatcher)
COUNT_TOKENS = Door("anthropic", "count_tokens", "/v1/messages/count_tokens", PlainWatcher)
ANTHROPIC_MODELS = Door("anthropic", "models", "/v1/models", PlainWatcher)
