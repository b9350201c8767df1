"""The database: engine, `Model`, column types, naming convention and the unit of work, which holds the only commit.

SQLite runs with WAL, `synchronous=FULL` and `BEGIN IMMEDIATE` for writers, PostgreSQL as it is. Times are Unix
milliseconds, money is whole nano-dollars, JSON is text: both databases store and sort the same values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import BigInteger, Connection, CursorResult, Delete, Engine, MetaData, String, Table, Text, Update, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError, TimeoutError  # noqa: A004 - the pool's own
from sqlalchemy.orm import DeclarativeBase, Session

from pilothouse.errors import PilothouseError, StorageFull, StoreAway

LOCK_WAIT_S = 8  # a writer waits out a lock of 4 s with room; after that the caller gets 503
RETRY_S = 5  # when callers are told to try again after an outage
# SQLite cannot always say why a page was not written, and then undoes the whole transaction with all its savepoints
FULL = ("disk is full", "no space left", "disk i/o error", "no such savepoint")
AWAY = ("unable to open", "readonly database")  # SQLite's file or its folder is gone, or may not be written
WRITE = "pilothouse_write"  # execution option of transactions that write
WAIT = "pilothouse_wait_ms"  # execution option: how long such a transaction waits for another writer
BINARY = "pilothouse_binary"  # execution option: PostgreSQL sends bytes as they are, and not as text of twice their size
WHOSE = "the transaction is the open unit of work's, which commits at its end; raise to roll it back"
WRITER_LOCK = 0x70696C6F74  # the advisory lock that makes ingest one writer at a time on PostgreSQL

Id = String(128)  # the column of an id, ours or a client's
Name = String(255)  # the column of a name
Millis = BigInteger  # the column of a moment, in Unix milliseconds
Nanodollars = BigInteger  # the column of an amount of money, in 1e-9 dollars
Json = Text  # the column of JSON as it came

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class _Base(DeclarativeBase):
    """The declarative base; every table's metadata carries the naming convention."""

    metadata = MetaData(naming_convention=NAMING)
    if TYPE_CHECKING:
        __table__: ClassVar[Table]  # SQLAlchemy says FromClause, as models may be mapped to joins; ours are tables


def _refuse_commit() -> None:
    raise RuntimeError(f"no commit here: {WHOSE}")


def _refuse_rollback() -> None:
    raise RuntimeError(f"no rollback here: {WHOSE}")


def _refuse_close() -> None:
    raise RuntimeError(f"the connection is not to be closed here: {WHOSE}")


class _Session(FlaskSession):
    """A session whose transaction belongs to the unit of work that is open: nobody inside of it can end it.

    A plugin's `db.session.commit()` would store half of what somebody else reported, and leave the rest without a transaction.
    """

    def commit(self) -> None:
        """Commit. Raises RuntimeError inside a unit of work."""
        if "after_commit" in self.info:
            _refuse_commit()
        super().commit()

    def rollback(self) -> None:
        """Roll back. Raises RuntimeError inside a unit of work."""
        if "after_commit" in self.info:
            _refuse_rollback()
        super().rollback()

    def close(self) -> None:
        """Give the connection back. Raises RuntimeError inside a unit of work."""
        if "after_commit" in self.info:
            _refuse_close()
        super().close()

    def end(self, *, keep: bool) -> None:
        """Commit or roll back the unit of work itself."""
        if keep:
            super().commit()
        else:
            super().rollback()


# `db.session` reads, `unit_of_work` writes
db = SQLAlchemy(model_class=_Base, session_options={"class_": _Session, "expire_on_commit": False})

if TYPE_CHECKING:
    Model = _Base  # mypy takes no variable as a base class
else:
    Model = db.Model


def take_out_broken_models() -> dict[type, str]:
    """Configure what is mapped; return the classes whose mapping is broken, with the reason, and forget that they are mapped.

    One relationship to a class that is not there would else fail every query of everybody.
    """
    broken: dict[type, str] = {}
    while True:
        try:
            Model.registry.configure()
        except SQLAlchemyError as fault:
            failed = next((mapper for mapper in Model.registry.mappers if getattr(mapper, "_configure_failed", False)), None)
            if failed is None:
                raise
            broken[failed.class_] = str(fault)
            # what registry.dispose() does with each of them
            Model.registry._managers.pop(failed.class_manager, None)  # noqa: SLF001
            Model.registry._dispose_manager_and_mapper(failed.class_manager)  # noqa: SLF001
        else:
            return broken


def engine_options(url: str) -> dict[str, Any]:
    """Return the engine options that fit the database's URL."""
    if url.startswith("sqlite"):
        return {"hide_parameters": True, "connect_args": {"timeout": LOCK_WAIT_S}, "pool_size": 40, "max_overflow": 40}
    return {
        "hide_parameters": True,  # they are anybody's data, and would stand in logs and reasons
        "pool_size": 10,
        "max_overflow": 20,
        "pool_pre_ping": True,
        "connect_args": {"connect_timeout": 5, "options": f"-c lock_timeout={LOCK_WAIT_S}s"},
    }


def init_db(app: Flask, url: str) -> None:
    """Bind the application to the database and teach SQLite's connections their pragmas and transactions."""
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url)
    db.init_app(app)
    with app.app_context():
        prepare_engine(db.engine)


def prepare_engine(engine: Engine) -> None:
    """Attach the listeners that its database needs to an engine."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
    else:
        event.listen(engine, "before_cursor_execute", _set_format)


def _set_format(
    _connection: Connection, cursor: Any, _statement: str, _parameters: Any, context: Any, _executemany: bool
) -> None:
    if context is not None and context.execution_options.get(BINARY):
        cursor.format = 1  # psycopg.pq.Format.BINARY; the driver is not there where nobody uses PostgreSQL


def _set_pragmas(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late for IMMEDIATE
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # NORMAL may lose acknowledged commits when the power fails
        "foreign_keys=ON",
        "cache_size=-65536",  # 64 MB
        "mmap_size=1073741824",
        "temp_store=MEMORY",
        "journal_size_limit=67108864",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    immediate = options.get(WRITE, False)
    wait_ms = options.get(WAIT, LOCK_WAIT_S * 1_000)
    if connection.info.get(WAIT, LOCK_WAIT_S * 1_000) != wait_ms:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {wait_ms:d}")
        connection.info[WAIT] = wait_ms
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def unit_of_work(*, wait_ms: int = LOCK_WAIT_S * 1_000) -> Iterator[Session]:
    """Run the block in one writing transaction and commit it at the end: the only commit of Pilothouse.

    Joins the unit of work that is already open. What was given to `before_commit` runs at its end, what was given to
    `after_commit` once the commit is durable. `wait_ms` is how long to wait for another writer: short for what is worth
    no wait. Raises StoreAway or StorageFull for the database's outages.
    """
    session = cast("_Session", db.session())
    if in_unit_of_work():
        yield session
        return
    session.rollback()  # ends a reading transaction: SQLite cannot make a writer of one
    callbacks: list[Callable[[], None]] = []
    last: list[Callable[[], None]] = []
    session.info.update(before_commit=last, after_commit=callbacks)
    try:
        connection = session.connection(execution_options={WRITE: True, WAIT: wait_ms})
        if connection.dialect.name == "postgresql" and wait_ms != LOCK_WAIT_S * 1_000:
            connection.execute(text(f"SET LOCAL lock_timeout = {wait_ms:d}"))
        with _lent(connection):
            yield session
            for callback in last:
                callback()
        session.end(keep=True)
    except BaseException as fault:  # whatever ends it, nothing of it may stay; all goes up again
        session.end(keep=False)
        outage = explain(fault)
        if outage is not None:
            raise outage from fault
        raise
    finally:
        del session.info["before_commit"], session.info["after_commit"]
    for callback in callbacks:
        callback()


@contextmanager
def _lent(connection: Connection) -> Iterator[None]:
    """Let nobody in the block who was handed the connection end its transaction."""
    refusals = {"commit": _refuse_commit, "rollback": _refuse_rollback, "close": _refuse_close}
    vars(connection).update(refusals)
    try:
        yield
    finally:
        for act in refusals:
            del vars(connection)[act]


def in_unit_of_work() -> bool:
    """Say whether a unit of work is open: what is written now commits with it."""
    return "after_commit" in db.session().info


def before_commit(callback: Callable[[], None]) -> None:
    """Run the callback at the end of the open unit of work, inside of its transaction.

    For what takes a lock that all writers share: taken last, it is held shortly and can be part of no deadlock.
    """
    db.session().info["before_commit"].append(callback)


def after_commit(callback: Callable[[], None]) -> None:
    """Run the callback when the open unit of work has committed; not at all when it rolls back."""
    db.session().info["after_commit"].append(callback)


def explain(fault: BaseException) -> PilothouseError | None:
    """Translate the database's outages into ours; None for everything else."""
    if isinstance(fault, TimeoutError):
        return StoreAway("Too many requests wait for the database; nothing was stored. Send it again.", retry_after=RETRY_S)
    if not isinstance(fault, DBAPIError):
        return None
    words = str(fault.orig).lower()
    if any(sign in words for sign in FULL):
        return StorageFull("The disk under the database is full; nothing was stored. Free some space and send it again.")
    if "lock timeout" in words or "locked" in words:
        return StoreAway("The database is busy; nothing was stored. Send it again.", retry_after=RETRY_S)
    sqlite = isinstance(fault.orig, sqlite3.Error)
    if any(sign in words for sign in AWAY) if sqlite else isinstance(fault, (OperationalError, InterfaceError)):
        return StoreAway("The database does not answer; nothing was stored. Send it again.", retry_after=RETRY_S)
    return None


def count_changed(statement: Update | Delete) -> int:
    """Run an UPDATE or DELETE in the open unit of work and return how many rows it met."""
    return cast("CursorResult[Any]", db.session().execute(statement)).rowcount


def fetch_all(connection: Connection, statement: str, parameters: tuple[Any, ...]) -> Sequence[tuple[Any, ...]]:
    """Return a statement's rows as the driver makes them: a third of the time where there are thousands."""
    result = connection.exec_driver_sql(statement, parameters, execution_options={BINARY: True})
    rows: Sequence[tuple[Any, ...]] = result.cursor.fetchall()
    result.close()
    return rows


def lock_writers(connection: Connection) -> None:
    """Let one recording transaction run at a time, as SQLite does by itself.

    Merging reports is read, decide, write: with one writer it is exact on both databases, and never deadlocks.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK})


class Bulk:
    """One compiled INSERT or UPDATE for many rows of plain tuples, without the ORM and without a compile a call.

    SQLAlchemy's executemany builds a dict a row and processes each value; here the driver gets the tuples as they are,
    which is three times faster for 500 rows.
    """

    def __init__(self, table: Table, columns: Sequence[str], *, ignore_conflicts: bool = False, on_conflict: str = "") -> None:
        """Take the table and the columns in the order in which the tuples hold them.

        `on_conflict` is what follows ON CONFLICT, in SQL that both databases read: `(name) DO UPDATE SET ...`.
        """
        self._table = table
        self._columns = tuple(columns)
        self._conflict = "DO NOTHING" if ignore_conflicts else on_conflict
        self._statements: dict[str, str] = {}

    def insert(self, connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert all rows; for conflicting ones happens what the bulk was made for."""
        self._run(connection, self._insert_sql, rows)

    def update(self, connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Update rows by their last column, which is the key; the others are set."""
        self._run(connection, self._update_sql, rows)

    def _run(self, connection: Connection, build: Callable[[str], str], rows: Iterable[tuple[Any, ...]]) -> None:
        rows = list(rows)
        if not rows:
            return
        dialect = connection.dialect.name
        statement = self._statements.get(dialect + build.__name__)
        if statement is None:
            statement = self._statements[dialect + build.__name__] = build(dialect)
        connection.exec_driver_sql(statement, rows)

    def _insert_sql(self, dialect: str) -> str:
        mark = "?" if dialect == "sqlite" else "%s"
        tail = f" ON CONFLICT {self._conflict}" if self._conflict else ""
        names = ", ".join(f'"{name}"' for name in self._columns)
        marks = ", ".join([mark] * len(self._columns))
        return f'INSERT INTO "{self._table.name}" ({names}) VALUES ({marks}){tail}'  # noqa: S608 - our own names only

    def _update_sql(self, dialect: str) -> str:
        mark = "?" if dialect == "sqlite" else "%s"
        *columns, key = self._columns
        sets = ", ".join(f'"{name}" = {mark}' for name in columns)
        return f'UPDATE "{self._table.name}" SET {sets} WHERE "{key}" = {mark}'  # noqa: S608 - our own names only


def insert_ignore(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, which all name the same columns, and pass over those whose key is there already."""
    if rows:
        columns = tuple(rows[0])
        Bulk(table, columns, ignore_conflicts=True).insert(connection, [tuple(row[c] for c in columns) for row in rows])


def run_many(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Run one statement, its parameters written as `?`, for many tuples; both databases get it as they want it."""
    rows = list(rows)
    if rows:
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        connection.exec_driver_sql(statement.replace("?", mark), rows)


def known_ids(connection: Connection, table: Table, ids: Sequence[str], *, column: str = "id") -> set[str]:
    """Return those of the ids that the table holds already: one statement for any number of them."""
    if not ids:
        return set()
    rows = connection.exec_driver_sql(in_list_sql(connection, table, (column,), column), (in_list(connection, ids),))
    return {row[0] for row in rows}


def in_list_sql(connection: Connection, table: Table, columns: Sequence[str], key: str) -> str:
    """Write a SELECT of rows whose key is in a list that is bound as one parameter (see `in_list`).

    One parameter for the whole list: the statement is the same for 1 and for 5,000 ids, so the driver prepares it once,
    and SQLite's limit on parameters is never met.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    source = "(SELECT value FROM json_each(?))" if connection.dialect.name == "sqlite" else "(SELECT unnest(%s::text[]))"
    return f'SELECT {names} FROM "{table.name}" WHERE "{key}" IN {source}'  # noqa: S608 - our own names only


def in_list(connection: Connection, values: Sequence[str]) -> Any:
    """Bind a list as the one parameter of `in_list_sql`."""
    if connection.dialect.name == "sqlite":
        return msgspec.json.encode(list(values)).decode()
    return list(values)
