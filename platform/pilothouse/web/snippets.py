"""How clients are connected: the snippets of all plugins, written with this server's address and a token."""

from __future__ import annotations

from dataclasses import dataclass

from pilothouse.contract.pages import Snippet
from pilothouse.plugins.guard import PluginFailed
from pilothouse.plugins.switches import is_enabled
from pilothouse.runtime import runtime

NO_TOKEN = "$PILOTHOUSE_TOKEN"  # noqa: S105 - stands where a token belongs, as the shell would fill it in
FIRST_WORKFLOW = "first-run"


@dataclass(frozen=True, slots=True)
class Written:
    """A snippet as it is shown."""

    name: str
    title: str
    text: str
    language: str
    hint: str


def written_snippets(token: str = "") -> list[Written]:
    """Write every snippet with this server's address; without a token it has a mark in the token's place."""
    found = sorted(runtime().registry.all("snippets"), key=lambda pair: (pair[1].order, pair[1].title))
    return [written for plugin, snippet in found if (written := _write(plugin, snippet, token or NO_TOKEN)) is not None]


def _write(plugin: str, snippet: Snippet, token: str) -> Written | None:
    if not is_enabled(plugin):
        return None
    address = runtime().settings.base_url
    try:
        text = runtime().registry.guard.call(plugin, snippet.name, _text, snippet, address, token)
    except PluginFailed:
        return None
    return Written(snippet.name, snippet.title, text, snippet.language, snippet.hint)


def _text(snippet: Snippet, address: str, token: str) -> str:
    """Ask a snippet. Raises TypeError where it writes no text."""
    text: object = snippet.write(address, token)
    if not isinstance(text, str):
        raise TypeError(f"{snippet.name} must write a text, not {text!r:.80}")
    return text


def _curl(address: str, token: str) -> str:
    signal = f'{{"type": "execution", "id": "first-1", "workflow": "{FIRST_WORKFLOW}", "status": "running"}}'
    return (
        f"curl {address}/api/ingest \\\n"
        f'  -H "Authorization: Bearer {token}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{{\"signals\": [{signal}]}}'"
    )


def _python(address: str, token: str) -> str:
    return (
        "import time, pilothouse_client\n\n"
        f'client = pilothouse_client.Client("{address}", "{token}")\n\n'
        f'with client.execution("{FIRST_WORKFLOW}") as run:\n'
        '    with run.step("fetch", kind="tool"):\n'
        "        time.sleep(2)"
    )


def _celery(address: str, token: str) -> str:
    return (
        "import pilothouse_client\nfrom pilothouse_client import celery as pilothouse_celery\n\n"
        f'pilothouse_celery.install(app, pilothouse_client.Client("{address}", "{token}"))'
    )


CORE_SNIPPETS = (
    Snippet("core.curl", "curl", _curl, order=10),
    Snippet("core.python", "Python", _python, "python", "pip install pilothouse-client", 20),
    Snippet("core.celery", "Celery", _celery, "python", "pip install pilothouse-client", 30),
)
