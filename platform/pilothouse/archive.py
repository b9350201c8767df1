"""Backups: one zip file with the database as it was at one moment; made while everything runs.

A backup holds no key unless it is asked for: whoever has the file alone can read no secret of the vault and forge no
cookie. It is written beside its target and renamed at the end, so a file with its name is always whole.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, cast

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, inspect, select, text
from sqlalchemy.engine import make_url

from pilothouse import clock
from pilothouse.crypto import MASTER_FILE
from pilothouse.errors import Conflict, NotFound, PilothouseError
from pilothouse.home import SECRET_FILE
from pilothouse.settings import Settings

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "database.sqlite3"
TABLES = "tables/"
KEYS = (SECRET_FILE, MASTER_FILE)
PRIVATE = 0o600
CHUNK = 1024 * 1024
VERSION_TABLES = "alembic_version_"
SIGNS_OF_USE = ("users", "audit_entries")  # tables that only a used database has rows in


def write(settings: Settings, target: Path, *, with_keys: bool = False) -> int:
    """Write a backup and return its size in bytes.

    Works while others write: SQLite's backup and PostgreSQL's repeatable read both see one moment. Raises NotFound where
    there is no database or folder, Conflict where the target exists.
    """
    if target.exists():
        raise Conflict(f"{target} is there already; choose another name")
    if not target.parent.is_dir():
        raise NotFound(f"there is no folder {target.parent}")
    part = target.with_name(f".{target.name}.part")
    try:
        os.close(_descriptor(part))  # readable by its owner only from the first byte on
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            revisions = _write_sqlite(settings, archive) if _is_sqlite(settings) else _write_postgres(settings, archive)
            keys = _write_keys(settings, archive) if with_keys else []
            archive.writestr(MANIFEST, json.dumps(_manifest(settings, revisions, keys), indent=2))
        _sync(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def read_manifest(source: Path) -> dict[str, Any]:
    """Return what a backup says of itself. Raises NotFound, or Conflict where the file is no whole backup."""
    if not source.exists():
        raise NotFound(f"there is no file {source}")
    try:
        with zipfile.ZipFile(source) as archive:
            manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
            broken = archive.testzip()
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as fault:
        raise Conflict(f"{source} is not a whole backup of Pilothouse") from fault
    if broken is not None or manifest.get("format") != FORMAT:
        raise Conflict(f"{source} is damaged or of a format that this version does not read")
    return manifest


def restore_sqlite(settings: Settings, source: Path) -> None:
    """Put a SQLite backup into an empty data folder. Raises Conflict where there is a database already.

    The database appears whole or not at all: it is checked beside its place and renamed.
    """
    place = _sqlite_file(settings)
    if place.exists() and place.stat().st_size > 0:
        raise Conflict(f"{place} is there already: restore into an empty place")
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.part")
    try:
        unpacked = os.fdopen(_descriptor(part), "wb")
        with zipfile.ZipFile(source) as archive, archive.open(DATABASE) as packed, unpacked:
            shutil.copyfileobj(packed, unpacked, CHUNK)
        _check_sqlite(part)
        _sync(part)
        for leftover in ("-wal", "-shm"):
            place.with_name(place.name + leftover).unlink(missing_ok=True)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def restore_postgres(engine: Engine, source: Path, manifest: dict[str, Any]) -> None:
    """Fill a PostgreSQL database, whose tables are made and at the backup's revisions, in one transaction.

    Raises Conflict where it holds users or audit entries, or stands at other revisions than the backup.
    """
    with engine.begin() as connection:
        if _revisions(connection) != manifest["revisions"]:
            raise Conflict("this backup is of other revisions: restore it with the version that made it, then upgrade")
        tables = _tables(connection)
        if any(connection.execute(select(table).limit(1)).first() for table in tables if table.name in SIGNS_OF_USE):
            raise Conflict("the database is not empty: restore into an empty place")
        connection.execute(text(f"TRUNCATE {', '.join(_quoted(table.name) for table in tables)} CASCADE"))
        with zipfile.ZipFile(source) as archive:
            for table in tables:
                _fill(connection, table, archive)


def restore_keys(settings: Settings, source: Path) -> list[str]:
    """Put back the keys that the backup holds and the data folder lacks; return their files' names."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    restored = []
    with zipfile.ZipFile(source) as archive:
        for name in KEYS:
            if f"keys/{name}" in archive.namelist() and not (settings.data_dir / name).exists():
                with os.fdopen(_descriptor(settings.data_dir / name), "wb") as file:
                    file.write(archive.read(f"keys/{name}"))
                restored.append(name)
    return restored


def _is_sqlite(settings: Settings) -> bool:
    return settings.database_url.startswith("sqlite")


def _sqlite_file(settings: Settings) -> Path:
    return Path(make_url(settings.database_url).database or "")


def _manifest(settings: Settings, revisions: dict[str, str], keys: list[str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "pilothouse": version("pilothouse"),
        "made_at": clock.to_rfc3339(clock.now()),
        "database": "sqlite" if _is_sqlite(settings) else "postgresql",
        "revisions": revisions,
        "keys": keys,
    }


def _write_sqlite(settings: Settings, archive: zipfile.ZipFile) -> dict[str, str]:
    place = _sqlite_file(settings)
    if not place.exists() or place.stat().st_size == 0:
        raise NotFound(f"there is no database at {place}")
    with tempfile.TemporaryDirectory(dir=Path(str(archive.filename)).parent, prefix=".pilothouse-") as folder:
        copy = Path(folder) / DATABASE
        with _sqlite(place) as live, _sqlite(copy) as snapshot:
            live.backup(snapshot)  # all pages in one step: with WAL, writers go on meanwhile
        _check_sqlite(copy)
        archive.write(copy, DATABASE)
        engine = create_engine(f"sqlite:///{copy}")
        try:
            with engine.connect() as connection:
                return _revisions(connection)
        finally:
            engine.dispose()


def _write_postgres(settings: Settings, archive: zipfile.ZipFile) -> dict[str, str]:
    engine = create_engine(settings.database_url, isolation_level="REPEATABLE READ")
    try:
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            for table in _tables(connection):
                with archive.open(f"{TABLES}{table.name}", "w", force_zip64=True) as member:
                    _copy_out(connection, table, member)
            return _revisions(connection)
    finally:
        engine.dispose()


def _write_keys(settings: Settings, archive: zipfile.ZipFile) -> list[str]:
    found = [name for name in KEYS if (settings.data_dir / name).exists()]
    for name in found:
        archive.write(settings.data_dir / name, f"keys/{name}")
    return found


def _tables(connection: Connection) -> list[Table]:
    """Return all tables but those of the revisions, each after those that it points at."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if not table.name.startswith(VERSION_TABLES)]


def _revisions(connection: Connection) -> dict[str, str]:
    names = [name for name in inspect(connection).get_table_names() if name.startswith(VERSION_TABLES)]
    found = {name: connection.execute(text(f'SELECT version_num FROM "{name}"')).scalar() for name in sorted(names)}  # noqa: S608 - names of tables
    return {name.removeprefix(VERSION_TABLES): str(revision) for name, revision in found.items() if revision}


def _copy_out(connection: Connection, table: Table, member: IO[bytes]) -> None:
    columns = ", ".join(_quoted(column.name) for column in table.columns)
    member.write(json.dumps([column.name for column in table.columns]).encode() + b"\n")
    cursor = cast("Any", connection.connection.driver_connection).cursor()
    with cursor.copy(f"COPY {_quoted(table.name)} ({columns}) TO STDOUT") as copy:
        for block in copy:
            member.write(block)


def _fill(connection: Connection, table: Table, archive: zipfile.ZipFile) -> None:
    name = f"{TABLES}{table.name}"
    if name not in archive.namelist():
        return
    cursor = cast("Any", connection.connection.driver_connection).cursor()
    with archive.open(name) as member:
        columns = ", ".join(_quoted(column) for column in json.loads(member.readline()))
        with cursor.copy(f"COPY {_quoted(table.name)} ({columns}) FROM STDIN") as copy:
            while block := member.read(CHUNK):
                copy.write(block)
    for column in table.primary_key.columns:
        cursor.execute(
            f"SELECT setval(s, (SELECT max({_quoted(column.name)}) FROM {_quoted(table.name)})::bigint) "  # noqa: S608 - names of tables
            "FROM pg_get_serial_sequence(%s, %s) AS s WHERE s IS NOT NULL",
            (_quoted(table.name), column.name),
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def _check_sqlite(path: Path) -> None:
    with _sqlite(path) as connection:
        verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
    if verdict != "ok":
        raise PilothouseError(f"the copy of the database is damaged: {verdict}")


def _descriptor(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, PRIVATE)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
