"""The rules of the house over all installed plugins: who imports whom is lint-imports' part, the rest is here."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from pilothouse import sdk
from pilothouse.conformance import faults
from pilothouse.contract import hookspecs
from pilothouse.plugins.discovery import GROUP
from pilothouse.runtime import runtime
from pilothouse.settings import CORE_SETTINGS

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("platform", "plugins") for path in (ROOT / folder).rglob("*.py"))
OWN_COMMIT = {"db.py"}
HOOKS = sorted(name for name in dir(hookspecs) if name.startswith("pilothouse_"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_installed_plugin_is_loaded(app):
    failed = {plugin.name: plugin.reason for plugin in runtime().registry.plugins if plugin.state == "failed"}
    assert failed == {}
    assert {plugin.name for plugin in runtime().registry.loaded} == {"core", *(point.name for point in entry_points(group=GROUP))}


def test_only_the_unit_of_work_commits():
    wrong = []
    for path in SOURCES:
        if path.name in OWN_COMMIT or "migrations" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "commit":
                owner = ast.unparse(node.func.value)
                if "savepoint" not in owner:
                    wrong.append(f"{relative(path)}:{node.lineno} {owner}.commit()")
    assert wrong == []


def test_only_the_runtime_asks_for_the_current_application():
    users = [relative(path) for path in SOURCES if "current_app" in path.read_text(encoding="utf-8")]
    assert users == ["platform/pilothouse/runtime.py"]


def test_each_plugin_keeps_the_rules_that_third_parties_ask_for(app):
    found = {plugin.name: faults(plugin.name) for plugin in runtime().registry.loaded}
    assert [(name, broken) for name, broken in found.items() if broken] == []


def test_names_carry_their_plugin(app):
    wrong = []
    for kind in ("permissions", "tasks", "reactions", "panels", "beat_schedule"):
        wrong += [f"{plugin}: {item.name}" for plugin, item in runtime().registry.all(kind) if not item.name.startswith(f"{plugin}.")]
    wrong += [f"{p}: {b.name}" for p, b in runtime().registry.all("api_blueprints") if p != "core" and not b.name.startswith(p)]
    wrong += [f"{p}: {v.name}" for p, v in runtime().registry.all("admin_views") if p != "core" and not v.name.startswith(p)]
    assert wrong == []


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_an_example(hook):
    assert "Example: `" in getattr(hookspecs, hook).__doc__
    assert f"### `{hook}" in (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def test_every_setting_is_documented(app):
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    settings = [*CORE_SETTINGS, *(setting for _, setting in runtime().registry.all("settings"))]
    assert [s.name for s in settings if f"`{s.name}`" not in text or s.help not in text] == []


def test_the_index_lists_every_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    folders = dict(line.split(" = ") for line in config["options"]["package_dir"].strip().splitlines() if " = " in line)
    listed = {line for line in config["options"]["packages"].split() if line.startswith("pilothouse")}
    found = set()
    for package, folder in folders.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inner = init.parent.relative_to(ROOT / folder).parts
            if "migrations" not in inner and "versions" not in inner:
                found.add(".".join((package, *inner)))
    assert listed == found


def test_the_sdk_offers_what_it_lists_and_lists_what_it_imports():
    names = {
        alias.asname or alias.name
        for node in ast.parse(Path(sdk.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    assert sorted(sdk.__all__) == sorted(names)
    assert len(set(sdk.__all__)) == len(sdk.__all__)


def first_modules() -> list[str]:
    """Return the modules that others begin with: each plugin's manifest and events, the SDK, the entry points."""
    plugins = [f"{path.parent.name}.{path.stem}" for path in SOURCES if path.name in {"plugin.py", "events.py"} and "plugins" in path.parts]
    return ["pilothouse.sdk", "pilothouse.app", "pilothouse.cli", "pilothouse.testing", *plugins]


def test_modules_that_others_begin_with_import_alone_and_without_a_warning():
    # a fork for each: what it imports is gone with it, and the libraries that all need are loaded once
    code = """
import importlib, os, sys
import celery, flask_admin, msgspec, sqlalchemy.orm, flask_sqlalchemy, cryptography, redis, alembic.config, genai_prices
for name in sys.argv[1:]:
    if os.fork() == 0:
        try:
            importlib.import_module(name)
        except BaseException as fault:  # an import may raise anything, SystemExit too
            print(f"{name}: {type(fault).__name__}: {fault}", flush=True)
        os._exit(0)
    os.wait()
"""
    command = [sys.executable, "-W", "error", "-c", code, *first_modules()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
