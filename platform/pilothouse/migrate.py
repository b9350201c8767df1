"""Migrations: the core's and every plugin's, each with a version table of its own, all by one command.

One shared version table would break every later upgrade once a plugin is uninstalled; one table a plugin does not. An
upgrade runs in one transaction: killed half way, it leaves the database as it was. A plugin whose migration fails is undone
by itself, taken out with the reason, and the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pilothouse_migrations
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from pilothouse import logs
from pilothouse.db import WRITE, Model, db, explain
from pilothouse.errors import Conflict, NotFound
from pilothouse.faults import describe, where
from pilothouse.plugins.registry import PluginState
from pilothouse.runtime import runtime

ENVIRONMENT = Path(pilothouse_migrations.__path__[0])
LOCK = 0x6D696772617465  # one upgrade at a time on PostgreSQL; SQLite's writer lock does it there


def version_table(plugin: str) -> str:
    """Return the name of a plugin's version table."""
    return f"alembic_version_{plugin}"


def upgrade() -> list[str]:
    """Bring every part to its newest revision and return the names of those that moved.

    A failing plugin is undone and marked failed, and so are those that require it; a failing core raises.
    """
    moved = []
    with _connection() as connection:
        for plugin in _parts():
            if _lost_ground(plugin):
                continue
            before = _current(connection, plugin.name)
            savepoint = connection.begin_nested()
            try:
                _run(connection, plugin, "head", up=True)
            except Exception as fault:  # revisions are code of plugins, which may raise anything
                savepoint.rollback()
                if plugin.name == "core":
                    raise
                _take_out(plugin, fault)
                continue
            savepoint.commit()
            if _current(connection, plugin.name) != before:
                moved.append(plugin.name)
    for plugin in runtime().registry.loaded:
        _lost_ground(plugin)
    return moved


def _lost_ground(plugin: PluginState) -> bool:
    """Mark a plugin failed where one that it requires is, and say so."""
    registry = runtime().registry
    requires = plugin.manifest.requires if plugin.manifest else ()
    lost = [name for name in requires if (found := registry.get(name)) is None or found.state == "failed"]
    if lost:
        plugin.state, plugin.reason = "failed", f"requires {', '.join(lost)}, which failed"
    return bool(lost)


def downgrade(revision: str | None = None) -> str:
    """Go back one step, or to `<plugin>@<revision>`; "base" as a revision empties the part. Returns what moved.

    One step is taken from the last part that has a revision. Raises NotFound for an unknown plugin or revision, Conflict
    at the bottom or where other tables still need what would go.
    """
    with _connection() as connection:
        if revision is None:
            plugin = next((p for p in reversed(_parts()) if _current(connection, p.name)), None)
            if plugin is None:
                raise Conflict("Nothing is left to downgrade.")
            target = "-1"
        else:
            name, _, target = revision.rpartition("@")
            plugin = next((p for p in _parts() if p.name == (name or "core")), None)
            if plugin is None:
                raise NotFound(f"No plugin named {name} has migrations.")
        try:
            _run(connection, plugin, target, up=False)
        except CommandError as fault:
            raise NotFound(f"{plugin.name}: {fault}") from None
        except DBAPIError as fault:
            raise explain(fault) or Conflict(f"{plugin.name}: {describe(fault)}") from fault
        return f"{plugin.name}@{_current(connection, plugin.name) or 'base'}"


def current() -> dict[str, str | None]:
    """Return the revision of each part; None where it was never upgraded."""
    with db.engine.connect() as connection:
        return {plugin.name: _current(connection, plugin.name) for plugin in _parts()}


def pending() -> list[str]:
    """Return the parts that are not at their newest revision."""
    with db.engine.connect() as connection:
        return [p.name for p in _parts() if _current(connection, p.name) != _head(p)]


def check() -> list[str]:
    """Return a sentence for every difference between the database and the models, none if all is well."""
    sentences = []
    with db.engine.connect() as connection:
        for plugin in _parts():
            if _current(connection, plugin.name) != _head(plugin):
                sentences.append(f"{plugin.name}: not at its newest revision; run `pilothouse db upgrade`")
                continue
            context = MigrationContext.configure(connection, opts=_options(plugin))
            sentences += [f"{plugin.name}: {_describe(diff)}" for diff in compare_metadata(context, Model.metadata)]
    return sentences


def revision(name: str, message: str) -> Path:
    """Write a new revision of a plugin's migrations from the difference between its models and the database."""
    plugin = next((p for p in _parts() if p.name == name), None)
    if plugin is None:
        raise NotFound(f"No plugin named {name} has migrations.")
    Path(_folder(plugin)).mkdir(exist_ok=True)
    with _connection() as connection:
        config = _config(plugin)
        config.attributes["options"] = {"connection": connection, **_options(plugin)}
        number = len(list(_scripts(plugin).walk_revisions())) + 1
        script = command.revision(
            config, message, autogenerate=True, version_path=_folder(plugin), rev_id=f"{name}_{number:04d}"
        )
    return Path(script.path)  # type: ignore[union-attr]  # one revision was asked for, so it is no list


@contextmanager
def _connection() -> Iterator[Connection]:
    """One writing transaction, with SQLite's foreign keys off: its table rebuilds drop and rename."""
    with db.engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        raw: Any = connection.connection.driver_connection
        if sqlite:
            raw.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.execution_options(**{WRITE: True}).begin():
                if not sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
                yield connection
        finally:
            if sqlite:
                raw.execute("PRAGMA foreign_keys=ON")


def _parts() -> list[PluginState]:
    return [plugin for plugin in runtime().registry.loaded if plugin.contributions.get("migrations")]


def _folder(plugin: PluginState) -> str:
    return str(plugin.contributions["migrations"][0])


def _config(plugin: PluginState) -> Config:
    config = Config()
    config.set_main_option("script_location", str(ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", _folder(plugin).replace("%", "%%"))
    return config


def _scripts(plugin: PluginState) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(plugin))


def _head(plugin: PluginState) -> str | None:
    """Return the newest revision; where a plugin's folder cannot be read, something that no database is at."""
    try:
        return _scripts(plugin).get_current_head()
    except Exception as fault:  # noqa: BLE001 - revisions are code of plugins; one that cannot be read is its plugin's fault
        return f"unreadable: {describe(fault)}"


def _tables(plugin: PluginState) -> set[str]:
    return {model.__tablename__ for model in plugin.contributions.get("models", ())}


def _options(plugin: PluginState) -> dict[str, Any]:
    tables = _tables(plugin)

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        return name in tables if kind == "table" else parents.get("table_name", next(iter(tables), None)) in tables

    def include_object(item: Any, name: str | None, kind: str, _reflected: bool, _to: Any) -> bool:
        return name in tables if kind == "table" else item.table.name in tables

    return {
        "version_table": version_table(plugin.name),
        "target_metadata": Model.metadata,  # the whole: foreign keys into other parts must resolve
        "include_name": include_name,
        "include_object": include_object,
        "render_as_batch": True,
        "compare_type": True,
        "user_module_prefix": "sa.",
    }


def _run(connection: Connection, plugin: PluginState, target: str, *, up: bool) -> None:
    config = _config(plugin)
    scripts = _scripts(plugin)

    def steps(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs(target, revision) if up else scripts._downgrade_revs(target, revision)  # noqa: SLF001 - what alembic.command calls too

    config.attributes["options"] = {"connection": connection, **_options(plugin)}
    with EnvironmentContext(config, scripts, fn=steps, destination_rev=target):
        scripts.run_env()


def _current(connection: Connection, plugin: str) -> str | None:
    table = version_table(plugin)
    if not inspect(connection).has_table(table):
        return None
    revision: str | None = connection.scalar(text(f'SELECT version_num FROM "{table}"'))  # noqa: S608 - a checked name
    return revision


def _take_out(plugin: PluginState, fault: Exception) -> None:
    logs.get("migrate").error("migration_failed", plugin=plugin.name, error=describe(fault), where=where(fault))
    plugin.reason = f"its migration failed: {describe(fault)}"
    plugin.state = "failed"


def _describe(difference: Any) -> str:
    if isinstance(difference, list):
        return "; ".join(_describe(part) for part in difference)
    kind, *rest = difference
    return f"{kind} {' '.join(str(getattr(part, 'name', part)) for part in rest if part is not None)}"
