"""How SDKs of model providers are pointed at the gateway: address and key changed, nothing else.

The token on those pages may only send signals; the gateway's needs a scope of its own, so its place is marked.
"""

from __future__ import annotations

from pilothouse.sdk import Snippet

TOKEN = "GATEWAY_TOKEN"  # noqa: S105 - what people replace
WHAT = f"{TOKEN}: an access token with the scope gateway (API keys), beside a provider key"


def _openai(address: str, _token: str) -> str:
    return f'from openai import OpenAI\n\n# {WHAT}\nclient = OpenAI(base_url="{address}/gateway/openai/v1", api_key="{TOKEN}")'


def _openai_node(address: str, _token: str) -> str:
    return (
        'import OpenAI from "openai";\n\n'
        f"// {WHAT}\n"
        f'const client = new OpenAI({{ baseURL: "{address}/gateway/openai/v1", apiKey: "{TOKEN}" }});'
    )


def _openai_curl(address: str, _token: str) -> str:
    return (
        f"curl {address}/gateway/openai/v1/chat/completions \\\n"
        f'  -H "Authorization: Bearer {TOKEN}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        '  -d \'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}\''
    )


def _anthropic(address: str, _token: str) -> str:
    return (
        "from anthropic import Anthropic\n\n"
        f"# {WHAT}\n"
        f'client = Anthropic(base_url="{address}/gateway/anthropic", api_key="{TOKEN}")'
    )


def _anthropic_node(address: str, _token: str) -> str:
    return (
        'import Anthropic from "@anthropic-ai/sdk";\n\n'
        f"// {WHAT}\n"
        f'const client = new Anthropic({{ baseURL: "{address}/gateway/anthropic", apiKey: "{TOKEN}" }});'
    )


def _anthropic_curl(address: str, _token: str) -> str:
    return (
        f"curl {address}/gateway/anthropic/v1/messages \\\n"
        f'  -H "x-api-key: {TOKEN}" \\\n'
        '  -H "anthropic-version: 2023-06-01" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        '  -d \'{"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}\''
    )


def _environment(address: str, _token: str) -> str:
    return (
        f"export OPENAI_BASE_URL={address}/gateway/openai/v1\n"
        f"export OPENAI_API_KEY={TOKEN}\n"
        f"export ANTHROPIC_BASE_URL={address}/gateway/anthropic\n"
        f"export ANTHROPIC_API_KEY={TOKEN}"
    )


SNIPPETS = (
    Snippet("gateway.openai", "OpenAI SDK, Python (gateway)", _openai, "python", "pip install openai", 300),
    Snippet("gateway.openai_node", "OpenAI SDK, Node (gateway)", _openai_node, "javascript", "npm install openai", 301),
    Snippet("gateway.openai_curl", "OpenAI by curl (gateway)", _openai_curl, hint=WHAT, order=302),
    Snippet("gateway.anthropic", "Anthropic SDK, Python (gateway)", _anthropic, "python", "pip install anthropic", 310),
    Snippet(
        "gateway.anthropic_node",
        "Anthropic SDK, Node (gateway)",
        _anthropic_node,
        "javascript",
        "npm install @anthropic-ai/sdk",
        311,
    ),
    Snippet("gateway.anthropic_curl", "Anthropic by curl (gateway)", _anthropic_curl, hint=WHAT, order=312),
    Snippet("gateway.environment", "LangChain and others by environment (gateway)", _environment, hint=WHAT, order=320),
)  # fmt: skip
