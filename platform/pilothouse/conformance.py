"""The rules of the house for one plugin: `assert faults("weather") == []` in its own tests, and in ours for each of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import PrimaryKeyConstraint, Table, UniqueConstraint

from pilothouse import migrate
from pilothouse.db import Model
from pilothouse.errors import NotFound
from pilothouse.plugins.registry import CORE, PluginState
from pilothouse.runtime import application, runtime

SDK = "pilothouse.sdk"


def faults(name: str) -> list[str]:
    """Return a sentence for each rule that a loaded plugin breaks, none where all is well.

    Call it inside an application context, on an upgraded database. Raises NotFound for an unknown plugin.
    """
    plugin = runtime().registry.get(name)
    if plugin is None:
        raise NotFound(f"There is no plugin named {name}.")
    if plugin.state == "failed":
        return [plugin.reason]
    of_tables = [fault for table in _tables(plugin) for fault in _of_keys(plugin, table)]
    of_sources = [fault for path in _sources(plugin) for fault in _of_source(plugin, path)]
    return [*of_tables, *_undocumented(plugin), *_unmigrated(plugin), *of_sources]


def _tables(plugin: PluginState) -> list[Table]:
    return [Model.metadata.tables[model.__tablename__] for model in plugin.contributions.get("models", ())]


def _of_keys(plugin: PluginState, table: Table) -> Iterator[str]:
    """Foreign keys lead to tables that are there whenever the plugin is, and what is looked up by them is found by an index."""
    needed = {CORE, plugin.name, *(plugin.manifest.requires if plugin.manifest else ())}
    known = {found.name for name in needed if (other := runtime().registry.get(name)) for found in _tables(other)}
    unique = [one.columns for one in table.constraints if isinstance(one, (PrimaryKeyConstraint, UniqueConstraint))]
    indexed = {next(iter(columns)).name for columns in (*unique, *(index.columns for index in table.indexes))}
    for key in table.foreign_keys:
        where, target = f"{table.name}.{key.parent.name}", key.column.table.name
        if target not in known:
            yield f"{where} points at {target}, which is neither its own nor the core's nor of a plugin that it requires"
        if key.parent.name not in indexed:
            yield f"{where} is a foreign key without an index"


def _undocumented(plugin: PluginState) -> Iterator[str]:
    """Every endpoint says in its docstring what it does: that is its documentation."""
    blueprints = {blueprint.name for blueprint in plugin.contributions.get("api_blueprints", ())}
    for rule in application().url_map.iter_rules():
        operation: Any = getattr(application().view_functions[rule.endpoint], "operation", None)
        if operation is not None and not operation.summary and rule.endpoint.partition(".")[0] in blueprints:
            yield f"the endpoint {rule.rule} has no docstring"


def _unmigrated(plugin: PluginState) -> list[str]:
    """Models and migrations say the same; tables need migrations at all."""
    if _tables(plugin) and not plugin.contributions.get("migrations"):
        return ["it has tables and no migrations"]
    return [sentence for sentence in migrate.check() if sentence.startswith(f"{plugin.name}: ")]


def _sources(plugin: PluginState) -> list[Path]:
    place = getattr(plugin.module, "__file__", None)
    return sorted(Path(place).parent.rglob("*.py")) if place and plugin.name != CORE else []


def _of_source(plugin: PluginState, path: Path) -> Iterator[str]:
    """Of the core the SDK is imported, of other plugins the events of required ones; only the unit of work commits."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        yield from (f"{path.name} imports {name}" for name in _imported(node) if _is_foreign(plugin, name))
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called.endswith(".commit") and "savepoint" not in called:
            yield f"{path.name} calls {called}"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _is_foreign(plugin: PluginState, imported: str) -> bool:
    """Say whether a name is the core's beyond the SDK, or another plugin's beyond the events of a required one."""
    if imported.startswith("pilothouse."):
        return not f"{imported}.".startswith(f"{SDK}.")
    owner = next((other for other in runtime().registry.loaded if imported.startswith(f"{_package(other)}.")), None)
    if owner is None or owner.name in {plugin.name, CORE}:
        return False
    required = plugin.manifest is not None and owner.name in plugin.manifest.requires
    return not (required and f"{imported}.".startswith(f"{_package(owner)}.events."))


def _package(plugin: PluginState) -> str:
    return str(getattr(plugin.module, "__name__", "")).partition(".")[0]
