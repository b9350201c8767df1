"""Snippets, older SDKs and those for Node, each in an environment of its own: what they use is what is recorded."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from tests.environments import module_beside, node_with, python_with

from pilothouse_gateway.snippets import SNIPPETS, TOKEN

pytestmark = pytest.mark.slow

PROGRAMS = Path(__file__).parent / "live"
TOLD = (10 * 5 + 3, 5 * 5)  # five calls of 10 and 5 tokens, and one embedding of 3
SAID = '[{ "role": "user", "content": "[[in=10 out=5]]" }]'
PYTHON = {
    "gateway.openai": f'client.chat.completions.create(model="gpt-4o-mini", messages={SAID})',
    "gateway.anthropic": f'client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages={SAID})',
}
NODE = {
    "gateway.openai_node": f'await client.chat.completions.create({{ model: "gpt-4o-mini", messages: {SAID} }})',
    "gateway.anthropic_node": f'await client.messages.create({{ model: "claude-haiku-4-5", max_tokens: 9, messages: {SAID} }})',
}
LANGCHAIN = """
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
ChatOpenAI(model="gpt-4o-mini").invoke("[[in=10 out=5]]")
ChatAnthropic(model="claude-haiku-4-5", max_tokens=9).invoke("[[in=10 out=5]]")
"""


def run(*command, **pointed):
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **pointed}
    done = subprocess.run([*map(str, command)], env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def shown(gate, name):
    """Return a snippet's lines, with the gateway's address and token in them, and what its hint says is to be installed."""
    [snippet] = [one for one in SNIPPETS if one.name == name]
    return snippet.write(gate.url, "").replace(TOKEN, gate.token), snippet.hint.partition(" install ")[2].split()


def environment(gate):
    words = shlex.split(shown(gate, "gateway.environment")[0])
    return dict(word.split("=", 1) for word in words if word != "export")


@pytest.mark.parametrize("name", PYTHON)
def test_the_snippets_for_python(gate, provider, told, name):
    text, packages = shown(gate, name)
    run(python_with(*packages), "-c", f"{text}\n{PYTHON[name]}")
    assert gate.eventually(lambda: told() == provider.tokens() == (10, 5))


@pytest.mark.parametrize("name", NODE)
def test_the_snippets_for_node(gate, provider, told, name, tmp_path):
    text, packages = shown(gate, name)
    run("node", module_beside(node_with(*packages), tmp_path, f"{text}\n{NODE[name]};"))
    assert gate.eventually(lambda: told() == provider.tokens() == (10, 5))


@pytest.mark.parametrize("name", ["gateway.openai_curl", "gateway.anthropic_curl"])
def test_the_snippets_for_curl(gate, provider, told, name):
    run("sh", "-ec", shown(gate, name)[0].replace("curl ", "curl --fail --silent "))
    assert gate.eventually(lambda: told() == provider.tokens() != (0, 0))


def test_langchain_by_environment(gate, provider, told):
    run(python_with("langchain-openai", "langchain-anthropic"), "-c", LANGCHAIN, **environment(gate))
    assert gate.eventually(lambda: told() == provider.tokens() == (20, 10))


def test_older_python_sdks(gate, provider, told):
    run(python_with("openai==1.109.1", "anthropic==0.69.0"), PROGRAMS / "old_python.py", **environment(gate))
    assert gate.eventually(lambda: told() == provider.tokens() == TOLD)


def test_the_sdks_for_node(gate, provider, told, tmp_path):
    program = (PROGRAMS / "node.mjs").read_text(encoding="utf-8")
    run("node", module_beside(node_with("openai@6", "@anthropic-ai/sdk"), tmp_path, program), **environment(gate))
    assert gate.eventually(lambda: told() == provider.tokens() == TOLD)
