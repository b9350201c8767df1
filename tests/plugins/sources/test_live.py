"""Each snippet of the page and of docs/clients as it stands there, in an environment with what its hint says, at a running server.

What the stand-in for the model providers billed is what Pilothouse shows. Those of the gateway are tried in its own tests.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser
from tests.conftest import token_of
from tests.environments import module_beside, node_with, python_with
from tests.plugins.gateway.provider import GOOD, Provider, serve

from pilothouse.contract.pages import Snippet
from pilothouse.runtime import runtime
from pilothouse.testing import Api, serving

pytestmark = pytest.mark.slow

ASK = """
import os, openai
client = openai.OpenAI(base_url=os.environ["PROVIDER"], max_retries=0)
client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "[[in=120 out=30 cached=64]]"}])
asked = [{"role": "user", "content": "[[in=40 out=25]]"}]
for _ in client.chat.completions.create(model="gpt-4o-mini", messages=asked, stream=True, stream_options={"include_usage": True}): pass
"""


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Run the providers' stand-in."""
    provider = Provider()
    server = serve(provider)
    yield provider
    server.shutdown()
    server.server_close()


@dataclass(frozen=True, slots=True)
class Shown:
    """The snippets as they are shown, with the address of a running server and a token in their places."""

    known: dict[str, Snippet]
    address: str
    token: str

    def text(self, name: str) -> str:
        """Return the lines to copy."""
        return self.known[name].write(self.address, self.token)

    def packages(self, name: str) -> list[str]:
        """Return what the hint says is to be installed first."""
        return self.known[name].hint.partition(" install ")[2].split()

    def python(self, name: str, *more: str) -> str:
        """Return the Python of an environment with that, and with what the program itself needs."""
        return str(python_with(*self.packages(name), *more))


@pytest.fixture
def shown(app: Flask) -> Iterator[Shown]:
    """Serve the application; return its snippets."""
    known = {snippet.name: snippet for _, snippet in runtime().registry.all("snippets")}
    with serving(app) as address:
        yield Shown(known, address, token_of(app, "ingest"))


def execute(command: list[str], provider: Provider, **environ: str) -> None:
    """Run a program to its end, which must be a good one."""
    told = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PROVIDER": f"{provider.url}/v1", "OPENAI_API_KEY": GOOD,
            "TRACELOOP_TELEMETRY": "false", "OPENAI_AGENTS_DISABLE_TRACING": "false", **environ}  # fmt: skip
    done = subprocess.run(command, env=told, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Failed to export" not in done.stderr


def exports(text: str) -> dict[str, str]:
    """Read the variables that lines of a shell set."""
    return dict(line.removeprefix("export ").split("=", 1) for line in map(" ".join, map(shlex.split, text.splitlines())))


def executions(api: Api) -> list[Any]:
    found = api.get("/api/executions?limit=500&since=0").json["data"]
    return [api.get(f"/api/executions/{run['id']}").json for run in found if run["environment"] != "pilothouse"]


def check_ledger(api: Api, provider: Provider) -> None:
    """Compare calls and tokens of all executions with what was billed."""
    assert provider.billed
    used = [run["token_usage"] for run in executions(api) if run["token_usage"]]
    assert sum(one["calls"] for one in used) == len(provider.billed)
    assert (sum(one["prompt_tokens"] for one in used), sum(one["completion_tokens"] for one in used)) == provider.tokens()


def test_curl(api: Api, shown: Shown, provider: Provider) -> None:
    execute(["sh", "-ec", shown.text("core.curl").replace("curl ", "curl --fail --silent ")], provider)
    assert [run["workflow"] for run in executions(api)] == ["first-run"]


def test_the_python_client(api: Api, shown: Shown, provider: Provider) -> None:
    program = shown.text("core.python").replace("time.sleep(2)", "time.sleep(0.1)")
    execute([sys.executable, "-c", f"{program}\nclient.flush()"], provider)
    [run] = executions(api)
    assert (run["workflow"], run["status"], [step["name"] for step in run["steps"]]) == ("first-run", "succeeded", ["fetch"])


def test_the_variables_of_opentelemetry(api: Api, shown: Shown, provider: Provider) -> None:
    program = Path(__file__).parents[1] / "otel" / "live" / "otel_sdk.py"
    execute([shown.python("otel.python"), str(program)], provider, **exports(shown.text("otel.exporters")))
    [run] = executions(api)
    assert (run["workflow"], run["status"], run["token_usage"]["prompt_tokens"]) == ("order-intake", "succeeded", 100)


def test_opentelemetry_for_python(api: Api, shown: Shown, provider: Provider) -> None:
    work = """
with trace.get_tracer("desk").start_as_current_span("order-intake"), trace.get_tracer("desk").start_as_current_span("fetch"):
    pass
provider.shutdown()
"""
    execute([shown.python("otel.python"), "-c", shown.text("otel.python") + work], provider)
    [run] = executions(api)
    assert (run["workflow"], run["status"]) == ("order-intake", "succeeded")
    assert "fetch" in {step["name"] for step in run["steps"]}


END = {"otel.traceloop": "from opentelemetry import trace; trace.get_tracer_provider().shutdown()"}


@pytest.mark.parametrize("name", ["otel.openai", "otel.openinference_openai", "otel.traceloop"])
def test_instrumented_clients(api: Api, shown: Shown, provider: Provider, name: str) -> None:
    program = f"{shown.text(name)}\n{ASK}\n{END.get(name, 'provider.shutdown()')}"
    execute([shown.python(name, "openai"), "-c", program], provider)
    check_ledger(api, provider)


ASK_CLAUDE = """
import os, anthropic
client = anthropic.Anthropic(base_url=os.environ["PROVIDER"].removesuffix("/v1"), api_key=os.environ["OPENAI_API_KEY"], max_retries=0)
told = {"model": "claude-haiku-4-5", "max_tokens": 90}
client.messages.create(**told, messages=[{"role": "user", "content": "[[in=120 out=30 cached=64]]"}])
for _ in client.messages.create(**told, messages=[{"role": "user", "content": "[[in=40 out=25]]"}], stream=True): pass
try:
    client.messages.create(**told, messages=[{"role": "user", "content": "[[status=429]]"}])
except anthropic.RateLimitError:
    pass
"""
TOO_MANY = {"otel.anthropic": 1}  # of a stream OpenLLMetry adds what `message_start` tells to the end's sum


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("name", ["otel.anthropic", "otel.openinference_anthropic"])
def test_anthropic(api: Api, shown: Shown, provider: Provider, name: str, *, everywhere: bool) -> None:
    """With a tracer provider for the whole program Anthropic's client tells of each call by itself too: that counts once."""
    program = shown.text(name)
    if everywhere:
        program += "\nfrom opentelemetry import trace\ntrace.set_tracer_provider(provider)"
    execute([shown.python(name, "anthropic"), "-c", f"{program}\n{ASK_CLAUDE}\nprovider.shutdown()"], provider)
    told = [run["token_usage"] for run in executions(api) if run["token_usage"]]
    prompt, completion = provider.tokens()
    assert sum(one["prompt_tokens"] for one in told) == prompt
    assert sum(one["completion_tokens"] for one in told) == completion + TOO_MANY.get(name, 0)
    kinds = sorted(error["error_type"].rpartition(".")[2] for error in api.get("/api/errors?since=0").json["data"])
    # OpenLLMetry's span is not above the client's own: a failed call, which has no response id, is two traces that failed
    assert kinds == ["RateLimitError", *(["tokens"] if everywhere and name in TOO_MANY else [])]


def test_celery(api: Api, shown: Shown, provider: Provider) -> None:
    """The tasks of a worker, each an execution: one that went well and one that failed."""
    program = """
import celery
from celery.contrib.testing.worker import start_worker
app = celery.Celery("desk", broker="memory://", backend="cache+memory://")

@app.task(name="desk.intake")
def intake(order):
    return {"A-7": 3}[order]
"""
    ask = """
with start_worker(app, perform_ping_check=False, pool="solo"):
    results = [intake.delay("A-7"), intake.delay("Z-9")]
    for result in results:
        result.get(timeout=30, propagate=False)
"""
    source = Path(__file__).parents[3] / "client" / "src"  # as it is now; an installed one would be kept between runs
    command = [str(python_with("celery")), "-c", "\n".join([program, shown.text("core.celery"), ask])]
    execute(command, provider, PYTHONPATH=str(source))
    found = sorted((run["workflow"], run["status"]) for run in executions(api))
    assert found == [("desk.intake", "failed"), ("desk.intake", "succeeded")]
    assert [error["error_type"] for error in api.get("/api/errors?since=0").json["data"]] == ["KeyError"]


def test_pydantic_ai(api: Api, shown: Shown, provider: Provider) -> None:
    ask = """
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(base_url=os.environ["PROVIDER"]))
Agent(model, name="triage").run_sync("[[in=70 out=20]]")
logfire.force_flush()
"""
    execute([shown.python("otel.pydantic_ai"), "-c", shown.text("otel.pydantic_ai") + ask], provider)
    check_ledger(api, provider)
    assert executions(api)[0]["agent"] == "triage"


def test_langfuse(api: Api, shown: Shown, provider: Provider) -> None:
    program = Path(__file__).parents[1] / "otel" / "live" / "langfuse_5.py"
    execute([shown.python("otel.langfuse"), str(program)], provider, **exports(shown.text("otel.langfuse")))
    [run] = executions(api)
    assert (run["workflow"], run["session"], run["token_usage"]["prompt_tokens"]) == ("order-intake", "s-1", 100)


def test_the_openai_agents_sdk(api: Api, shown: Shown, provider: Provider) -> None:
    ask = """
import os
from agents import Agent, OpenAIResponsesModel, Runner, trace
from agents.tracing import get_trace_provider
from openai import AsyncOpenAI
model = OpenAIResponsesModel("gpt-4o-mini", AsyncOpenAI(base_url=os.environ["PROVIDER"]))
with trace("order-intake", group_id="s-1"):
    Runner.run_sync(Agent(name="triage", model=model), "[[in=50 out=20]]")
get_trace_provider().shutdown()
"""
    execute([shown.python("otel.agents"), "-c", shown.text("otel.agents") + ask], provider)
    check_ledger(api, provider)


def test_sentry_for_python_with_a_model_call_and_a_failure(api: Api, shown: Shown, provider: Provider) -> None:
    ask = f"""
with sentry_sdk.start_transaction(name="order-intake", op="task"):
    {ASK.strip().replace(chr(10), chr(10) + "    ")}
    try:
        {{}}["Z-9"]
    except KeyError:
        sentry_sdk.capture_exception()
sentry_sdk.flush()
"""
    execute([shown.python("sentry.python", "openai"), "-c", shown.text("sentry.python") + "\n" + ask], provider)
    check_ledger(api, provider)
    [error] = api.get("/api/errors?since=0").json["data"]
    assert (error["error_type"], error["message"]) == ("KeyError", "'Z-9'")


def test_sentry_for_scheduled_jobs(app: Flask, api: Api, shown: Shown, provider: Provider) -> None:
    from sqlalchemy import text

    from pilothouse.db import db

    program = shown.text("sentry.monitor") + "\n\nnightly_report()\nsentry_sdk.flush()"
    execute([shown.python("sentry.monitor", "openai"), "-c", program], provider)
    [run] = executions(api)
    assert (run["workflow"], run["status"], run["trigger"]) == ("nightly-report", "succeeded", "schedule")
    db.session.rollback()
    assert db.session.scalar(text("SELECT slug FROM sentry_monitors WHERE due_at IS NOT NULL")) == "nightly-report"


def test_opentelemetry_for_node(api: Api, shown: Shown, provider: Provider, tmp_path: Path) -> None:
    work = """
import { trace } from "@opentelemetry/api";
trace.getTracer("desk").startActiveSpan("order-intake", (span) => span.end());
await sdk.shutdown();
"""
    run_node(node_with(*shown.packages("otel.node")), tmp_path, shown.text("otel.node") + work, provider)
    assert [(run["workflow"], run["status"]) for run in executions(api)] == [("order-intake", "succeeded")]


def test_the_vercel_ai_sdk(api: Api, shown: Shown, provider: Provider, tmp_path: Path) -> None:
    folder = node_with(*shown.packages("otel.vercel"), "ai", "@ai-sdk/openai")
    ask = """
import { generateText } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
const openai = createOpenAI({ baseURL: process.env.PROVIDER });
await generateText({ model: openai.chat("gpt-4o-mini"), prompt: "[[in=80 out=25]]", maxRetries: 0, experimental_telemetry });
await sdk.shutdown();
"""
    run_node(folder, tmp_path, shown.text("otel.vercel") + ask, provider)
    check_ledger(api, provider)
    assert executions(api)[0]["workflow"] == "answer"


def test_sentry_for_node(api: Api, shown: Shown, provider: Provider, tmp_path: Path) -> None:
    ask = """
Sentry.startSpan({ name: "order-intake", op: "task" }, () => {
  try { JSON.parse("{bad"); } catch (error) { Sentry.captureException(error); }
});
await Sentry.flush(5000);
"""
    run_node(node_with(*shown.packages("sentry.node")), tmp_path, shown.text("sentry.node") + ask, provider)
    [error] = api.get("/api/errors?since=0").json["data"]
    assert error["error_type"] == "SyntaxError"
    assert "order-intake" in {run["workflow"] for run in executions(api)}


def import_map(folder: Path) -> dict[str, str]:
    """Return where a browser finds the modules that the packages export, as a bundler would work it out."""
    found = {}
    for file in [*folder.glob("node_modules/*/package.json"), *folder.glob("node_modules/@*/*/package.json")]:
        package = json.loads(file.read_text())
        for key, target in package.get("exports", {}).items():
            while isinstance(target, dict):
                names = ("import", "browser", "production", "default")
                target = next((target[name] for name in names if name in target), None)  # noqa: PLW2901 - conditions are nested
            if target is not None and "*" not in key:
                name = package["name"] + key.removeprefix(".")
                found[name] = f"/node_modules/{package['name']}/{target.removeprefix('./')}"
    return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder as another site; returns its address and the folder."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}", tmp_path
    server.shutdown()
    server.server_close()


@pytest.mark.browser
def test_sentry_for_browsers(api: Api, shown: Shown, site: tuple[str, Path], chromium: Browser) -> None:
    address, place = site
    folder = node_with(*shown.packages("sentry.browser"))
    (place / "node_modules").symlink_to(folder / "node_modules")
    work = """
try { JSON.parse("{bad"); } catch (error) { Sentry.captureException(error); }
document.title = await Sentry.flush(5000) ? "sent" : "lost";
"""
    (place / "shop.mjs").write_text(shown.text("sentry.browser") + work)
    imports = json.dumps({"imports": import_map(folder)})
    page_text = f'<script type="importmap">{imports}</script><script type="module" src="/shop.mjs"></script>'
    (place / "index.html").write_text(page_text)
    page = chromium.new_page()
    page.goto(address)
    page.wait_for_function("document.title === 'sent'", timeout=20_000)
    page.close()
    [error] = api.get("/api/errors?since=0").json["data"]
    assert error["error_type"] == "SyntaxError"
    told = api.get(f"/api/errors/{error['id']}").json["attributes"]
    assert told["sdk"].startswith("sentry.javascript.browser")
    assert told["request"]["url"].startswith(address)


def run_node(folder: Path, place: Path, program: str, provider: Provider) -> None:
    """Run a module beside the packages that it imports."""
    execute(["node", str(module_beside(folder, place, program))], provider)
