"""Stores of ten million model calls, on SQLite and PostgreSQL: rows in bulk, and the roll-ups that compaction makes of them.

Calls have the sizes of the Azure LLM inference traces of 2023 (Patel et al., "Splitwise", ISCA 2024; CC BY 4.0): their
prompt and completion tokens at every twentieth, for the chat and the code service. Four calls make a run of one of 20
workflows for one of 5,000 people; each tenth call is an event of a component. What happened lies evenly over 90 days.

To send that through ingest would take hours. Rows are written by the database itself, roll-ups are summed by SQL and encoded
here; tests/core/test_large_stores.py holds them equal to what the recorders and compaction make of the same rows.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from flask import Flask
from tests.conftest import Postgres

from pilothouse import clock, migrate
from pilothouse.db import db
from pilothouse.measure_sums import CODES, SIZES, Resolution, Rolled, digest_of, start_of, written
from pilothouse.measures import cuts_of, declared, horizon, scope_of, write_names
from pilothouse.sketches import Distinct, Histogram, bucket_of, hash_of
from pilothouse.testing import environment, make_app

SPAN = 90 * clock.DAY
CHUNK = 100_000
CALLS_A_RUN = 4
# What every twentieth of the requests needs, from the least to the most: prompt and completion tokens.
CHAT = (
    (2, 181, 207, 372, 387, 396, 403, 414, 703, 984, 1020, 1045, 1071, 1097, 1130, 1189, 1315, 1876, 2734, 4083, 14050),
    (7, 41, 54, 67, 77, 85, 91, 96, 103, 113, 129, 151, 177, 217, 384, 395, 400, 411, 424, 451, 1000),
)
CODE = (
    (3, 75, 147, 232, 386, 578, 770, 938, 1075, 1261, 1469, 1690, 1909, 2164, 2433, 2745, 3192, 3919, 5186, 7302, 7437),
    (6, 6, 7, 7, 8, 9, 9, 10, 11, 12, 13, 14, 16, 18, 20, 24, 29, 39, 55, 90, 1899),
)
# Model, provider, nano-dollars a prompt and a completion token; none where nobody knows its price.
MODELS = (
    ("gpt-5", "openai", 1_250, 10_000), ("gpt-5-mini", "openai", 250, 2_000), ("claude-sonnet-4-5", "anthropic", 3_000, 15_000),
    ("claude-haiku-4-5", "anthropic", 1_000, 5_000), ("our-own", None, None, None),
)  # fmt: skip
WORKFLOWS = tuple(f"workflow-{number}" for number in range(20))  # each has one agent, and calls two of the models
AGENTS = tuple(f"agent-{number}" for number in range(8))
PEOPLE = 5_000
STATUSES, OFTEN = ("succeeded", "failed", "timed_out", "cancelled"), (94, 4, 1, 1)
COMPONENTS = tuple(f"component-{number}" for number in range(12))
EVENTS = ("opened", "saved", "searched")
KEYS = 10
FIRST = 1_000_000_000_000  # ids are this and the row's number: all of one length

STAGED = {
    "calls": ("n", "at", "run", "model", "workflow", "agent", "person", "prompt", "completion", "cached", "cost"),
    "runs": ("n", "at", "workflow", "agent", "person", "status", "ms", "bucket"),
    "events": ("n", "at", "component", "name", "person", "ok", "ms", "bucket"),
}
NUMBERS = (("model", [name for name, *_ in MODELS]), ("provider", [provider for _, provider, *_ in MODELS]),
           ("workflow", WORKFLOWS), ("agent", AGENTS), ("status", STATUSES), ("component", COMPONENTS), ("event", EVENTS))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Store:
    """An application on a large store; its folder and settings are what a server opens it by."""

    app: Flask
    folder: Path
    settings: dict[str, str]


_made: dict[tuple[int, str], Store] = {}
_staged: dict[int, Path] = {}


@contextmanager
def store(records: int, database: str) -> Iterator[Store]:
    """Yield a store of so many calls on "sqlite" or "postgresql", inside of its application's context.

    Stores are made once a process, in `PILOTHOUSE_BENCH_DIR` where that is set: ten million calls take some 10 GB.
    """
    found = _made.get((records, database))
    if found is None:
        if records not in _staged:
            _staged[records] = stage(_folder() / "staged.db", records)
        folder = _folder()
        url, other = (_server(folder), _made.get((records, "sqlite"))) if database == "postgresql" else ("", None)
        rolled = None if other is None else other.folder / "pilothouse.db"
        found = _made[records, database] = make(folder, _staged[records], url, rolled=rolled)
    with found.app.app_context():
        yield found
        db.session.remove()


def make(folder: Path, staged: Path, url: str = "", *, rolled: Path | None = None) -> Store:
    """Make a store of what is staged in an empty PostgreSQL database, or in a SQLite file in a folder.

    `rolled` is the SQLite file of such a store, whose roll-ups are the same and need not be summed again.
    """
    settings = {"PILOTHOUSE_DATABASE_URL": url} if url else {}
    app = make_app(environment(folder, **settings))
    with app.app_context():
        migrate.upgrade()
        db.engine.dispose()
        with closing(sqlite3.connect(staged)) as source:
            if url:
                _fill_postgresql(url, source, _rolled(source) if rolled is None else _copied(rolled))
            else:
                _fill_sqlite(folder / "pilothouse.db", staged, source)
    return Store(app, folder, settings)


def _server(folder: Path) -> str:
    folder.chmod(0o755)  # the server runs as another user
    (folder / "postgres").mkdir()
    server = Postgres(folder / "postgres")
    atexit.register(server.stop)
    return server.url(server.database())


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ph-large-", dir=os.environ.get("PILOTHOUSE_BENCH_DIR")))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def stage(path: Path, records: int) -> Path:
    """Write what happened as numbers into a SQLite file, and return its path."""
    chance, begun = random.Random(1), clock.now() // clock.MINUTE * clock.MINUTE - SPAN
    with closing(sqlite3.connect(path, isolation_level=None)) as staged:
        staged.execute("PRAGMA journal_mode=OFF")
        staged.execute("PRAGMA synchronous=OFF")
        for name, columns in STAGED.items():
            staged.execute(f"CREATE TABLE {name} ({columns[0]} INTEGER PRIMARY KEY, {', '.join(columns[1:])})")
        for name, values in NUMBERS:
            staged.execute(f"CREATE TABLE {name}_names (number INTEGER PRIMARY KEY, name)")
            staged.executemany(f"INSERT INTO {name}_names VALUES (?, ?)", enumerate(values))
        staged.execute("BEGIN")
        for first in range(0, records, CHUNK):
            _stage_chunk(staged, chance, begun, range(first, min(first + CHUNK, records)), records)
        staged.execute("COMMIT")
    return path


def _stage_chunk(staged: sqlite3.Connection, chance: random.Random, begun: int, numbers: range, records: int) -> None:
    sizes = _sizes(chance, 4_096)
    runs = [
        _run(chance, n, begun + n * CALLS_A_RUN * SPAN // records)
        for n in range(numbers[0] // CALLS_A_RUN, -(-numbers.stop // CALLS_A_RUN))
    ]
    calls, events = [], []
    for n in numbers:
        run, at, workflow, agent, person, *_ = runs[n // CALLS_A_RUN - numbers[0] // CALLS_A_RUN]
        model = (workflow + int(chance.random() < 0.3)) % len(MODELS)
        prompt, completion = chance.choice(sizes)
        _, _, price, price_out = MODELS[model]
        cost = None if price is None or price_out is None else prompt * price + completion * price_out
        calls.append((n, at + n % CALLS_A_RUN * 2_000, run, model, workflow, agent, person, prompt, completion,
                      prompt // 2 if workflow % 3 == 0 else 0, cost))  # fmt: skip
        if n % 10 == 0:
            ms = round(chance.lognormvariate(4, 1), 3)
            events.append((n // 10, at, chance.randrange(len(COMPONENTS)), chance.randrange(len(EVENTS)), person,
                           int(chance.random() < 0.98), ms, bucket_of(round(ms * 1_000))))  # fmt: skip
    for name, rows in (("calls", calls), ("runs", runs), ("events", events)):
        staged.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(STAGED[name]))})", rows)


def _run(chance: random.Random, n: int, at: int) -> tuple[int, ...]:
    workflow, ms = chance.randrange(len(WORKFLOWS)), int(chance.lognormvariate(9, 1))
    person = int(PEOPLE * chance.random() ** 2)  # some are three times as busy as the middle
    status = chance.choices(range(len(STATUSES)), OFTEN)[0]
    return n, at, workflow, workflow % len(AGENTS), person, status, ms, bucket_of(ms * 1_000)


def _sizes(chance: random.Random, count: int) -> list[tuple[int, int]]:
    found = []
    for _ in range(count):
        prompt, completion = chance.choice((CHAT, CODE))
        found.append((_between(chance, prompt), _between(chance, completion)))
    return found


def _between(chance: random.Random, steps: tuple[int, ...]) -> int:
    place = chance.random() * (len(steps) - 1)
    low, high = steps[int(place)], steps[int(place) + 1]
    return round(low + (place % 1) * (high - low))


# Rows, as both databases read it; what is not named is null.
ROWS = (
    f"""INSERT INTO workflows (id, name, created_at)
    SELECT 'workflow-' || (CAST({FIRST} AS BIGINT) + number), name, 0 FROM staged.workflow_names""",
    f"""INSERT INTO executions (id, workflow_id, status, "trigger", agent, "user", environment, "release", started_at, finished_at,
      sorted_at, created_at, heard_at, reported, error_count, total_tokens, cost_nano, input, output)
    SELECT 'run-' || ({FIRST} + r.n), 'workflow-' || ({FIRST} + r.workflow), s.name, 'schedule', a.name, 'user-' || r.person,
      'production', '2026.11.3', r.at, r.at + r.ms, r.at, r.at, r.at, TRUE, 0, c.tokens, c.cost,
      '{{"question":"Which orders are late?"}}', '{{"answer":"Three."}}'
    FROM staged.runs r JOIN staged.status_names s ON s.number = r.status JOIN staged.agent_names a ON a.number = r.agent
    JOIN (SELECT run, SUM(prompt + completion) AS tokens, SUM(cost) AS cost FROM staged.calls GROUP BY run) c ON c.run = r.n
    ORDER BY r.n""",
    f"""INSERT INTO token_usage (seq, id, execution_id, workflow_id, workflow, agent, inherits, "user", key_id, provider, model, at,
      prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, split_known,
      usage_source, provisional, counted, cost_nano)
    SELECT c.n + 1, 'call-' || ({FIRST} + c.n), 'run-' || ({FIRST} + c.run), 'workflow-' || ({FIRST} + c.workflow), w.name, a.name,
      0, 'user-' || c.person, 'key-' || (c.person % {KEYS}), p.name, m.name, c.at, c.prompt, c.completion, c.cached, 0, 0, 0, TRUE,
      'reported', FALSE, TRUE, c.cost
    FROM staged.calls c JOIN staged.workflow_names w ON w.number = c.workflow JOIN staged.agent_names a ON a.number = c.agent
    JOIN staged.model_names m ON m.number = c.model JOIN staged.provider_names p ON p.number = c.model ORDER BY c.n""",
    f"""INSERT INTO events (id, name, component, "user", session, duration_ms, ok, at)
    SELECT 'event-' || ({FIRST} + e.n), n.name, c.name, 'user-' || e.person, 'session-' || (e.n / 5), e.ms, e.ok = 1, e.at
    FROM staged.events e JOIN staged.event_names n ON n.number = e.name JOIN staged.component_names c ON c.number = e.component
    ORDER BY e.n""",
    """INSERT INTO event_users (name, first_at, last_at)
    SELECT 'user-' || person, MIN(at), MAX(at) FROM staged.events GROUP BY person""",
    f"""INSERT INTO event_user_weeks (week, name)
    SELECT DISTINCT at - (at - {4 * clock.DAY}) % {7 * clock.DAY}, 'user-' || person FROM staged.events ORDER BY 1, 2""",
)  # fmt: skip


def _fill_sqlite(path: Path, staged: Path, source: sqlite3.Connection) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as target:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000", "foreign_keys=OFF"):
            target.execute(f"PRAGMA {pragma}")
        target.execute("ATTACH ? AS staged", (str(staged),))
        target.execute("BEGIN")
        for statement in ROWS:
            target.execute(statement)
        for table, columns, rows in _rolled(source):
            marks = ", ".join("?" * len(columns))
            target.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
        target.execute("COMMIT")
        target.execute("DETACH staged")
        target.execute("ANALYZE")
        target.execute("PRAGMA journal_mode=WAL")


def _fill_postgresql(url: str, source: sqlite3.Connection, tables: Iterable[Table]) -> None:
    with psycopg.connect(url) as target:
        target.execute("CREATE SCHEMA staged")
        for name, columns in STAGED.items():
            typed = ", ".join(f"{column} {'double precision' if column == 'ms' else 'bigint'}" for column in columns)
            target.execute(f"CREATE TABLE staged.{name} ({typed})")
            _copy(target, f"staged.{name}", columns, source.execute(f"SELECT * FROM {name}"))
        for name, values in NUMBERS:
            target.execute(f"CREATE TABLE staged.{name}_names (number bigint, name text)")
            _copy(target, f"staged.{name}_names", ("number", "name"), enumerate(values))
        target.execute("SET LOCAL session_replication_role = replica")  # foreign keys hold by the way that rows are made
        target.execute("SET LOCAL work_mem = '1GB'")
        for statement in ROWS:
            target.execute(statement)
        for table, columns, rows in tables:
            _copy(target, table, columns, rows)
        target.execute("DROP SCHEMA staged CASCADE")
    with psycopg.connect(url, autocommit=True) as target:
        target.execute("VACUUM ANALYZE")


def _copy(target: psycopg.Connection[Any], table: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with target.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


# ---- roll-ups

Values = tuple[str | None, ...]
Body = dict[str, Rolled]  # by measure
Part = Iterator[tuple[int, Values, Body]]  # start (ms), values of the cut's dimensions, sums
Table = tuple[str, tuple[str, ...], Iterable[tuple[Any, ...]]]

# How to read a dimension out of what is staged, and how its numbers are named.
NAMED: dict[str, Callable[[int], str | None]] = {
    "model": lambda n: MODELS[n][0], "provider": lambda n: MODELS[n][1], "agent": AGENTS.__getitem__,
    "workflow": WORKFLOWS.__getitem__, "user": lambda n: f"user-{n}", "key": lambda n: f"key-{n}", "status": STATUSES.__getitem__,
    "environment": lambda _: "production", "component": COMPONENTS.__getitem__, "name": EVENTS.__getitem__,
    "ok": lambda n: "true" if n else "false",
}  # fmt: skip
READ = {"user": "person", "key": f"person % {KEYS}", "environment": "0",
        "provider": "CASE WHEN model < 2 THEN 0 WHEN model < 4 THEN 2 ELSE 4 END"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summing:
    """How the measures of a scope that have the same dimensions are summed: columns and table of a query, and their meaning."""

    measures: tuple[str, ...]
    table: str
    columns: tuple[str, ...]  # what is grouped beside time and dimensions, then what is summed
    fold: Callable[[tuple[str, ...], Sequence[tuple[Any, ...]]], Body]
    grouped: int = 0  # how many of the columns are grouped by


def _tokens(measures: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> Body:
    [(calls, prompt, completion, cached, cost, priced)] = rows
    body: Body = {measures[0]: (calls, prompt, None), measures[1]: (calls, completion, None)}
    if priced:
        body[measures[2]] = (priced, cost, None)
    if cached:
        body[measures[3]] = (0, cached, None)
    return body


def _timed(measures: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> Body:
    count, total = sum(row[1] for row in rows), sum(row[2] for row in rows)
    sketch = Histogram({bucket: number for bucket, number, _ in rows}).write()
    return {measures[0]: (count, 0, None), measures[1]: (count, total, sketch)}


def _seen(measures: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> Body:
    kind = "user" if measures[0].endswith("users") else "session"
    return {measures[0]: (0, 0, Distinct([_hashed(f"{kind}-{number}") for (number,) in rows]).write())}


_hashes: dict[str, int] = {}


def _hashed(thing: str) -> int:
    found = _hashes.get(thing)
    if found is None:
        found = _hashes[thing] = hash_of(thing)
    return found


_PARTS = ("prompt", "completion", "cost_usd", "cached")
_SUMS = ("COUNT(*)", "SUM(prompt)", "SUM(completion)", "SUM(cached)", "COALESCE(SUM(cost), 0)", "COUNT(cost)")
_TIMES = ("bucket", "COUNT(*)", "SUM(CAST(round(ms * 1000) AS INTEGER))")
SUMMED = (
    Summing(tuple(f"tokens.{part}" for part in _PARTS), "calls", _SUMS, _tokens),
    Summing(tuple(f"token_callers.{part}" for part in _PARTS), "calls", _SUMS, _tokens),
    Summing(("executions.count", "executions.duration_ms"), "runs", _TIMES, _timed, 1),
    Summing(("events.count", "events.duration_ms"), "events", _TIMES, _timed, 1),
    Summing(("events.users",), "events", ("person",), _seen, 1),
    Summing(("events.sessions",), "events", ("n / 5",), _seen, 1),
)


def _rolled(source: sqlite3.Connection) -> Iterator[Table]:
    """Yield the rows of the measures' tables, names and series after the roll-ups that mention them."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(m for one in SUMMED for m in one.measures), 1)}
    yield "measure_names", ("id", "name"), [(number, name) for name, number in numbers.items()]
    wanted: dict[tuple[str, tuple[str, ...], Resolution], list[Summing]] = {}
    for one in SUMMED:
        measure = declared(one.measures[0])
        assert measure is not None
        for cut in cuts_of(measure):
            for resolution in CODES:
                if resolution not in {"minute", "quarter"} or cut == measure.dimensions:
                    wanted.setdefault((scope_of(measure.name), cut, resolution), []).append(one)
    cuts = {cut: number for number, cut in enumerate(dict.fromkeys((scope, cut) for scope, cut, _ in wanted), 1)}
    yield "measure_cuts", ("id", "scope", "names"), [(number, scope, write_names(cut)) for (scope, cut), number in cuts.items()]
    series: dict[tuple[int, Values], int] = {}
    encoder = msgspec.msgpack.Encoder()

    def rows(cut_id: int, cut: tuple[str, ...], resolution: Resolution, found: list[Summing]) -> Iterator[tuple[Any, ...]]:
        having = {name: numbers[name] for one in found for name in one.measures if cut in cuts_of(declared(name))}
        for at, values, body in _joined([_summed(source, one, cut, resolution) for one in found]):
            key = series.setdefault((cut_id, values), len(series) + 1)
            sums = {having[name]: rolled for name, rolled in body.items() if name in having}
            yield cut_id, CODES[resolution], at, key, encoder.encode(sums)

    columns = ("cut_id", "resolution", "at", "series_id", "body")
    for (scope, cut, resolution), found in wanted.items():
        yield "measure_rollups", columns, rows(cuts[scope, cut], cut, resolution, found)
    members = [(number, cut_id, written(values)) for (cut_id, values), number in series.items()]
    yield "measure_series", ("id", "cut_id", "digest", "members"), [(n, cut, digest_of(text), text) for n, cut, text in members]


def _copied(path: Path) -> Iterator[Table]:
    with closing(sqlite3.connect(path)) as made:
        for table in ("measure_names", "measure_cuts", "measure_series", "measure_rollups"):
            rows = made.execute(f"SELECT * FROM {table}")
            yield table, tuple(column[0] for column in rows.description), rows


def _summed(source: sqlite3.Connection, one: Summing, cut: tuple[str, ...], resolution: Resolution) -> Part:
    size, since = SIZES[resolution], horizon(resolution)
    keys = [READ.get(name, name) for name in cut]
    names = [NAMED[name] for name in cut]
    places = ", ".join(str(place) for place in range(1, 2 + len(cut) + one.grouped))
    at = f"at - (at - {4 * clock.DAY}) % {size}"
    rows = source.execute(
        f"SELECT {', '.join((at, *keys, *one.columns))} FROM {one.table} WHERE at >= ? GROUP BY {places} ORDER BY {places}",
        (start_of(since + size - 1, resolution) if since else 0,),
    )
    first = len(cut) + 1
    known: dict[tuple[int, ...], Values] = {}
    for key, group in _groups(rows, first, grouped=one.grouped > 0):
        values = known.get(key[1:])
        if values is None:
            values = known[key[1:]] = tuple([named(number) for named, number in zip(names, key[1:], strict=True)])
        yield key[0], values, one.fold(one.measures, group)


def _groups(
    rows: Iterable[tuple[Any, ...]], size: int, *, grouped: bool
) -> Iterator[tuple[tuple[int, ...], list[tuple[Any, ...]]]]:
    """Yield the first columns of rows with the others of those that have them in common."""
    if not grouped:
        for row in rows:
            yield row[:size], [row[size:]]
        return
    for key, group in groupby(rows, lambda row: row[:size]):
        yield key, [row[size:] for row in group]


def _joined(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    whole: dict[tuple[int, Values], Body] = {}
    for part in parts:
        for at, values, body in part:
            whole.setdefault((at, values), {}).update(body)
    return ((at, values, body) for (at, values), body in whole.items())
