"""The providers' own paths below /gateway: requests and answers in the providers' formats, which `doors` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from flask import Response
from werkzeug.exceptions import HTTPException

from pilothouse.sdk import ApiBlueprint, PilothouseError
from pilothouse_gateway import answers, doors
from pilothouse_gateway.doors import Door
from pilothouse_gateway.relaying import Gateway, relay

CALL = "gateway.models.call"
OPENAI, ANTHROPIC = "/gateway/openai", "/gateway/anthropic"
POSTS = (
    (OPENAI, doors.CHAT, "chat_completions", "Create a chat completion (OpenAI's format)."),
    (OPENAI, doors.RESPONSES, "responses", "Create a response (OpenAI's format)."),
    (OPENAI, doors.EMBEDDINGS, "embeddings", "Create embeddings (OpenAI's format)."),
    (ANTHROPIC, doors.MESSAGES, "messages", "Create a message (Anthropic's format)."),
    (ANTHROPIC, doors.COUNT_TOKENS, "count_tokens", "Count the tokens of a message (Anthropic's format)."),
)
# Azure's client has the model in the path too, and `/v1` only where it stands in the address that it was given
AZURE = (
    ("/v1/deployments/<deployment>/chat/completions", doors.CHAT, "deployment_chat_completions", POSTS[0][3]),
    ("/v1/deployments/<deployment>/embeddings", doors.EMBEDDINGS, "deployment_embeddings", POSTS[2][3]),
    ("/deployments/<deployment>/chat/completions", doors.CHAT, "azure_chat_completions", POSTS[0][3]),
    ("/deployments/<deployment>/embeddings", doors.EMBEDDINGS, "azure_embeddings", POSTS[2][3]),
    ("/responses", doors.RESPONSES, "azure_responses", POSTS[1][3]),
)
LISTS = (
    (OPENAI, doors.OPENAI_MODELS, "openai_model", "OpenAI's format"),
    (ANTHROPIC, doors.ANTHROPIC_MODELS, "anthropic_model", "Anthropic's format"),
)
WORDS = """Body and answer as the provider documents them, streams included; at most 32 MiB. `X-Pilothouse-Execution`,
`-Workflow` and `-Agent` say what the call belongs to, `X-Pilothouse-Key` names a key of the vault. In the provider's error
shape: 429 with `x-should-retry: false` where a hard budget is used up, 424 where no key is usable, 502 and 504 where the
provider does not answer, 503 with `Retry-After` where too many calls are under way."""


def blueprint(gateway: Gateway) -> ApiBlueprint:
    """Make the blueprint; its faults are answered in the shape of the provider that was asked for."""
    bp = ApiBlueprint("gateway", prefix="", title="AI gateway")
    for prefix, door, name, title in POSTS:
        words = f"{title}\n\n{WORDS}"
        handler = _handler(gateway, door, name, words)
        bp.post(prefix + door.path, permission=CALL, transaction=False, documents=dict[str, Any])(handler)
    for path, door, name, title in AZURE:
        handler = _handler(gateway, door, name, f"{title}\n\nAt the path that Azure's client adds to its address. {WORDS}")
        bp.post(OPENAI + path, permission=CALL, transaction=False, documents=dict[str, Any])(handler)
    for prefix, door, name, title in LISTS:
        bp.get(prefix + door.path, permission=CALL)(_handler(gateway, door, f"list_{name}s", f"List the models ({title})."))
        one = _handler_of_one(gateway, door, f"get_{name}", f"Get a model ({title}).")
        bp.get(f"{prefix}{door.path}/<path:model>", permission=CALL)(one)
    bp.register_error_handler(PilothouseError, answers.fault)
    bp.register_error_handler(HTTPException, answers.fault)
    return bp


def _handler(gateway: Gateway, door: Door, name: str, words: str) -> Callable[..., Response]:
    def handle(deployment: str = "") -> Response:
        del deployment  # the body names the model, too
        return relay(gateway, door)

    handle.__name__, handle.__doc__ = name, words
    return handle


def _handler_of_one(gateway: Gateway, door: Door, name: str, words: str) -> Callable[[str], Response]:
    def handle(model: str) -> Response:
        return relay(gateway, door, below=f"/{quote(model, safe='')}")

    handle.__name__, handle.__doc__ = name, words
    return handle
