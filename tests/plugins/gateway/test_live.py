"""Older SDKs and those for Node, each in an environment of its own, pointed here by their environment alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAMS = Path(__file__).parent / "live"
TOLD = (10 * 5 + 3, 5 * 5)  # five calls of 10 and 5 tokens, and one embedding of 3


def install(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{command} failed: {done.stderr[-300:]}")


def run(gate, *command):
    pointed = {
        "OPENAI_BASE_URL": f"{gate.url}/gateway/openai/v1", "OPENAI_API_KEY": gate.token,
        "ANTHROPIC_BASE_URL": f"{gate.url}/gateway/anthropic", "ANTHROPIC_API_KEY": gate.token,
    }  # fmt: skip
    done = subprocess.run(
        [*map(str, command)],
        env={"PATH": os.environ["PATH"], **pointed},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_older_python_sdks(gate, provider, told, tmp_path):
    install(sys.executable, "-m", "venv", str(tmp_path))
    python = tmp_path / "bin/python"
    install(str(python), "-m", "pip", "install", "--quiet", "openai==1.109.1", "anthropic==0.69.0")
    run(gate, python, PROGRAMS / "old_python.py")
    assert gate.eventually(lambda: told() == provider.tokens() == TOLD)


def test_the_sdks_for_node(gate, provider, told, tmp_path):
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no Node here")
    install(npm, "install", "--silent", "--prefix", str(tmp_path), "openai@6", "@anthropic-ai/sdk")
    shutil.copy(PROGRAMS / "node.mjs", tmp_path)
    run(gate, node, tmp_path / "node.mjs")
    assert gate.eventually(lambda: told() == provider.tokens() == TOLD)
