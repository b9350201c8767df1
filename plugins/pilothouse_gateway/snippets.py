"""How SDKs of model providers are pointed at the gateway: address and key changed, nothing else.

The token on those pages may only send signals; the gateway's needs a scope of its own, so its place is marked.
"""

from __future__ import annotations

from pilothouse.sdk import Snippet

TOKEN = "GATEWAY_TOKEN"  # noqa: S105 - what people replace
HINT = f"{TOKEN} is an access token with the scope gateway (API keys), beside a provider key."


def _python(address: str, _token: str) -> str:
    return (
        "from anthropic import Anthropic\n"
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{address}/gateway/openai/v1", api_key="{TOKEN}")\n'
        f'claude = Anthropic(base_url="{address}/gateway/anthropic", api_key="{TOKEN}")'
    )


def _node(address: str, _token: str) -> str:
    return (
        'import Anthropic from "@anthropic-ai/sdk";\n'
        'import OpenAI from "openai";\n\n'
        f'const client = new OpenAI({{ baseURL: "{address}/gateway/openai/v1", apiKey: "{TOKEN}" }});\n'
        f'const claude = new Anthropic({{ baseURL: "{address}/gateway/anthropic", apiKey: "{TOKEN}" }});'
    )


def _environment(address: str, _token: str) -> str:
    return (
        f"export OPENAI_BASE_URL={address}/gateway/openai/v1\n"
        f"export OPENAI_API_KEY={TOKEN}\n"
        f"export ANTHROPIC_BASE_URL={address}/gateway/anthropic\n"
        f"export ANTHROPIC_API_KEY={TOKEN}"
    )


SNIPPETS = (
    Snippet("gateway.python", "OpenAI and Anthropic SDKs (gateway)", _python, "python", HINT, order=300),
    Snippet("gateway.node", "OpenAI and Anthropic SDKs for Node (gateway)", _node, "javascript", HINT, order=310),
    Snippet("gateway.environment", "LangChain and others by environment (gateway)", _environment, "shell", HINT, order=320),
)
