"""The database: one commit, outages told apart from defects, bulk statements that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pilothouse.db import (
    Bulk,
    after_commit,
    before_commit,
    db,
    engine_options,
    explain,
    in_list,
    in_list_sql,
    in_unit_of_work,
    insert_ignore,
    known_ids,
    lock_writers,
    prepare_engine,
    unit_of_work,
)
from pilothouse.errors import StorageFull, StoreAway
from pilothouse.plugins.models import PluginSwitch

SWITCHES = PluginSwitch.__table__
COLUMNS = ("name", "switched_off_at", "switched_off_by")


def names():
    db.session.rollback()
    return sorted(db.session.scalars(db.select(PluginSwitch.name)))


def put(session, name):
    session.add(PluginSwitch(name=name, switched_off_at=1, switched_off_by="me"))


def pragma(name):
    return db.session.scalar(text(f"PRAGMA {name}"))


def outage_of(function, kind=DBAPIError):
    with pytest.raises(kind) as caught:
        function()
    return explain(caught.value)


def put_and_fall(*names):
    """Write in a unit of work that fails."""
    with unit_of_work() as session:
        for name in names:
            put(session, name)
        session.flush()
        raise KeyError


@pytest.fixture
def locked(app, tmp_path):
    """Hold the writers' lock of the application's file from outside."""
    with closing(sqlite3.connect(tmp_path / "pilothouse.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


# --- the unit of work ---


def test_what_is_done_in_a_unit_of_work_is_committed_at_its_end(either_app):
    with unit_of_work() as session:
        assert in_unit_of_work()
        put(session, "a")
    assert not in_unit_of_work()
    assert names() == ["a"]


def test_a_fault_undoes_the_whole_unit_of_work(either_app):
    with pytest.raises(KeyError):
        put_and_fall("a")
    assert names() == []
    assert not in_unit_of_work()


def test_an_inner_unit_of_work_joins_the_outer_one(either_app):
    with pytest.raises(KeyError), unit_of_work() as session:
        with unit_of_work() as inner:
            put(inner, "a")
        assert inner is session
        assert in_unit_of_work()
        raise KeyError
    assert names() == []


@pytest.mark.parametrize("act", ["commit", "rollback", "close"])
def test_nobody_inside_of_a_unit_of_work_can_end_it(either_app, act):
    with unit_of_work() as session:
        put(session, "a")
        for holder in (session, session.connection()):
            with pytest.raises(RuntimeError, match="the transaction is the open unit of work's"):
                getattr(holder, act)()
        put(session, "b")
    assert names() == ["a", "b"]
    getattr(session, act)()  # outside of one it is the session's own again


def test_callbacks_run_at_the_end_and_after_the_commit(app):
    seen = []
    with unit_of_work() as session:
        after_commit(lambda: seen.append(("after", in_unit_of_work())))
        before_commit(lambda: (put(session, "b"), seen.append(("before", in_unit_of_work()))))
        assert seen == []
    assert seen == [("before", True), ("after", False)]
    assert names() == ["b"]


def test_no_callback_runs_after_a_rollback(app):
    seen = []

    def fall():
        with unit_of_work():
            before_commit(lambda: seen.append("before"))
            after_commit(lambda: seen.append("after"))
            put_and_fall("a")

    with pytest.raises(KeyError):
        fall()
    assert seen == []


def test_a_callback_may_open_a_unit_of_work_of_its_own(app):
    def more():
        with unit_of_work() as session:
            put(session, "later")

    with unit_of_work():
        after_commit(more)
    assert names() == ["later"]


def test_reading_before_writing_does_not_get_in_the_way(app):
    assert names() == []
    db.session.execute(text("SELECT 1"))  # opens a reading transaction, of which SQLite makes no writer
    with unit_of_work() as session:
        put(session, "a")
    assert names() == ["a"]


def test_one_writer_waits_for_the_other(app):
    def add_ten(prefix):
        with app.app_context():
            for number in range(10):
                with unit_of_work() as session:
                    put(session, f"{prefix}{number}")

    threads = [threading.Thread(target=add_ten, args=(prefix,)) for prefix in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names()) == 40


# --- SQLite's own settings ---


def test_sqlite_keeps_what_was_acknowledged(app):
    found = {name: pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")}
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 8_000}


def test_a_short_wait_holds_for_one_unit_of_work_only(app):
    with unit_of_work(wait_ms=20) as session:
        assert session.scalar(text("PRAGMA busy_timeout")) == 20
    with unit_of_work() as session:
        assert session.scalar(text("PRAGMA busy_timeout")) == 8_000


@pytest.mark.postgres
def test_a_short_wait_holds_on_postgresql_too(postgres_url, build_app):
    app = build_app(PILOTHOUSE_DATABASE_URL=postgres_url)
    with app.app_context():
        with unit_of_work(wait_ms=20) as session:
            assert session.scalar(text("SHOW lock_timeout")) == "20ms"
        with unit_of_work() as session:
            assert session.scalar(text("SHOW lock_timeout")) == "8s"


def test_parameters_stand_in_no_error(app):
    assert engine_options("sqlite:///x")["hide_parameters"]
    assert engine_options("postgresql+psycopg://x")["hide_parameters"]
    with pytest.raises(DBAPIError) as caught:
        db.session.execute(text("SELECT * FROM nowhere WHERE x = :x"), {"x": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_only_sqlite_is_prepared():
    engine = create_engine("postgresql+psycopg://nobody@/none")
    prepare_engine(engine)
    assert not engine.dispatch.begin


# --- outages ---


@pytest.mark.usefixtures("locked")
def test_a_locked_database_is_away_for_a_while():
    begun = time.monotonic()
    with pytest.raises(StoreAway) as caught, unit_of_work(wait_ms=50):
        pass
    assert time.monotonic() - begun < 6  # 8 s if left out
    assert caught.value.retry_after == 5
    assert not in_unit_of_work()


def test_a_full_disk_is_told_as_such(app, full_disk):
    full_disk()
    with pytest.raises(StorageFull):
        put_and_fall(*(f"{number:0200d}" for number in range(2_000)))
    assert names() == []


def test_a_file_that_cannot_be_opened_is_an_outage(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/none/x.db")
    assert isinstance(outage_of(engine.connect), StoreAway)


def test_a_file_that_may_not_be_written_is_an_outage(tmp_path):
    sqlite3.connect(tmp_path / "x.db").close()
    engine = create_engine(f"sqlite:///file:{tmp_path}/x.db?mode=ro&uri=true")
    with engine.connect() as connection:
        assert isinstance(outage_of(lambda: connection.exec_driver_sql("CREATE TABLE t (x)")), StoreAway)
    engine.dispose()


def test_waiting_too_long_for_a_connection_is_an_outage(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/x.db", pool_size=1, max_overflow=0, pool_timeout=0.05)
    with engine.connect():
        assert isinstance(outage_of(engine.connect, PoolTimeoutError), StoreAway)
    engine.dispose()


def test_defects_are_no_outages(app):
    assert outage_of(lambda: db.session.execute(text("SELECT * FROM nowhere"))) is None
    assert explain(KeyError("x")) is None
    db.session.rollback()
    with pytest.raises(IntegrityError), unit_of_work() as session:
        session.execute(SWITCHES.insert(), [{"name": "a", "switched_off_at": 1, "switched_off_by": "x"}] * 2)


@pytest.mark.postgres
def test_a_server_that_is_not_there_is_an_outage(tmp_path):
    engine = create_engine(f"postgresql+psycopg://ph@/none?host={tmp_path}")
    assert isinstance(outage_of(engine.connect, OperationalError), StoreAway)


@pytest.mark.postgres
def test_a_server_that_goes_away_in_the_middle_is_an_outage(postgres_url, build_app):
    with build_app(PILOTHOUSE_DATABASE_URL=postgres_url).app_context():
        with pytest.raises(StoreAway), unit_of_work() as session:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        with unit_of_work() as session:
            assert session.scalar(text("SELECT 1")) == 1


@pytest.mark.postgres
def test_a_lock_that_somebody_else_keeps_is_an_outage_on_postgresql(postgres_url, build_app):
    app = build_app(PILOTHOUSE_DATABASE_URL=postgres_url)
    with app.app_context(), unit_of_work() as session:
        lock_writers(session.connection())

        def wait():
            with app.app_context(), pytest.raises(StoreAway), unit_of_work(wait_ms=50) as other:
                lock_writers(other.connection())
            done.append("refused")

        done = []
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert done == ["refused"]


# --- bulk statements ---


def test_many_rows_are_inserted_and_updated_at_once(either_app):
    bulk = Bulk(SWITCHES, COLUMNS)
    with unit_of_work() as session:
        bulk.insert(session.connection(), ((f"p{number}", number, "me") for number in range(300)))
        Bulk(SWITCHES, ("switched_off_at", "name")).update(session.connection(), [(-1, "p7"), (-2, "p8")])
    rows = db.session.execute(db.select(PluginSwitch.name).where(PluginSwitch.switched_off_at < 0))
    assert sorted(rows.scalars()) == ["p7", "p8"]
    assert len(names()) == 300


def test_no_rows_cost_no_statement(either_app):
    with unit_of_work() as session:
        Bulk(SWITCHES, COLUMNS).insert(session.connection(), [])
        insert_ignore(session.connection(), SWITCHES, [])
        assert known_ids(session.connection(), SWITCHES, [], column="name") == set()


def test_conflicting_rows_are_passed_over_where_asked(either_app):
    ignoring = Bulk(SWITCHES, COLUMNS, ignore_conflicts=True)
    with unit_of_work() as session:
        ignoring.insert(session.connection(), [("a", 1, "first"), ("a", 2, "second")])
        insert_ignore(session.connection(), SWITCHES, [dict(zip(COLUMNS, ("a", 3, "third"), strict=True))])
        insert_ignore(session.connection(), SWITCHES, [dict(zip(COLUMNS, ("b", 4, "fourth"), strict=True))])
    rows = db.session.execute(db.select(PluginSwitch.name, PluginSwitch.switched_off_by).order_by(PluginSwitch.name))
    assert [tuple(row) for row in rows] == [("a", "first"), ("b", "fourth")]


def test_conflicts_are_faults_where_nothing_else_is_said(either_app):
    with pytest.raises(IntegrityError), unit_of_work() as session:
        Bulk(SWITCHES, COLUMNS).insert(session.connection(), [("a", 1, "x"), ("a", 1, "y")])


@pytest.mark.parametrize("odd", ["'", '"', "a,b", "{}", "\\", "\N{SNOWMAN}", "1", "null", "x" * 128])
def test_a_list_is_one_parameter_whatever_it_holds(either_app, odd):
    with unit_of_work() as session:
        put(session, odd)
        session.flush()
        assert known_ids(session.connection(), SWITCHES, [odd, "other"], column="name") == {odd}


def test_a_list_of_many_thousands_is_still_one_parameter(either_app):
    wanted = [f"p{number}" for number in range(20_000)]
    with unit_of_work() as session:
        put(session, "p19999")
        session.flush()
        connection = session.connection()
        sql = in_list_sql(connection, SWITCHES, ("name", "switched_off_by"), "name")
        assert connection.exec_driver_sql(sql, (in_list(connection, wanted),)).fetchall() == [("p19999", "me")]
