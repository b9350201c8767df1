"""Migrations: one command for all parts, each with a table of its own, whole or not at all, on either database."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from pilothouse import migrate
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.db import db
from pilothouse.errors import Conflict, NotFound
from pilothouse.plugins.discovery import Candidate, discover
from pilothouse.runtime import runtime
from pilothouse.testing import environment, let_go, make_app

REVISION = '''"""a step"""
import os
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = {name!r}, {after!r}, None, None


def upgrade():
    op.create_table("trial_{name}", sa.Column("id", sa.Integer(), primary_key=True))
    {more}


def downgrade():
    op.drop_table("trial_{name}")
'''


def write(folder, name, after=None, more="pass"):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(REVISION.format(name=name, after=after, more=more))
    return folder


def tables():
    with db.engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def state(name="trial"):
    return runtime().registry.get(name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request, tmp_path):
    """Return the address of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    server = request.getfixturevalue("postgres")
    return server.url(server.database())


@pytest.fixture
def on(empty_url, tmp_path):
    """Return what opens an application with plugins on the empty database."""
    opened = []

    def build(*plugins):
        app = make_app(environment(tmp_path, PILOTHOUSE_DATABASE_URL=empty_url), list(plugins))
        context = app.app_context()
        context.push()
        opened.append((app, context))
        return app

    yield build
    for app, context in reversed(opened):
        db.session.remove()
        context.pop()
        let_go(app)


@pytest.fixture
def trial(make_plugin, tmp_path):
    """Return what makes a plugin with a folder of revisions."""

    def make(name="trial", requires=(), folder=None):
        path = folder or tmp_path / name
        return make_plugin(name, requires=requires, migrations=path)

    return make


# --- up ---


def test_one_command_brings_every_installed_part_up(on):
    on(*discover())
    assert set(migrate.pending()) == {plugin.name for plugin in migrate._parts()}
    moved = migrate.upgrade()
    assert moved[0] == "core"
    assert {"executions", "errors", "tokens", "telemetry"} <= set(moved)
    assert (migrate.pending(), migrate.check(), migrate.upgrade()) == ([], [], [])


def test_each_part_has_a_version_table_of_its_own(on, trial, tmp_path):
    write(tmp_path / "trial", "t1")
    on(trial())
    migrate.upgrade()
    assert {"alembic_version_core", "alembic_version_trial", "trial_t1", "users"} <= tables()
    assert migrate.current()["trial"] == "t1"


def test_an_uninstalled_plugin_stands_in_nobody_s_way(on, trial, tmp_path):
    write(tmp_path / "trial", "t1")
    on(trial())
    migrate.upgrade()
    on()
    assert migrate.upgrade() == []
    assert "trial_t1" in tables()


def test_later_revisions_follow(on, trial, tmp_path):
    write(tmp_path / "trial", "t1")
    on(trial())
    migrate.upgrade()
    write(tmp_path / "trial", "t2", after="t1")
    assert migrate.pending() == ["trial"]
    assert migrate.upgrade() == ["trial"]
    assert {"trial_t1", "trial_t2"} <= tables()


def test_a_plugin_that_fails_is_undone_and_taken_out_alone(on, trial, tmp_path):
    write(tmp_path / "bad", "b1", more="op.execute('SELECT * FROM nowhere_at_all')")
    write(tmp_path / "good", "g1")
    on(trial("bad"), trial("good"))
    assert migrate.upgrade() == ["core", "good"]
    assert "trial_b1" not in tables()
    assert (state("bad").state, state("good").state) == ("failed", "loaded")
    assert state("bad").reason.startswith("its migration failed: ")
    assert "nowhere_at_all" in state("bad").reason
    assert "SELECT" not in state("bad").reason


def test_those_that_require_it_are_taken_out_too(on, trial, make_plugin, tmp_path):
    write(tmp_path / "bad", "b1", more="raise RuntimeError('no')")
    write(tmp_path / "needs", "n1")
    on(trial("bad"), trial("needs", ("bad",)), make_plugin("pages", requires=("needs",)))
    assert migrate.upgrade() == ["core"]
    assert state("needs").reason == "requires bad, which failed"
    assert state("pages").reason == "requires needs, which failed"
    assert "trial_n1" not in tables()


@pytest.mark.parametrize("content", ["this is no python", "revision = 'x'\ndown_revision = 'gone'\n",
"raise SystemError('no')"])
def test_a_revision_that_cannot_be_read_is_its_plugin_s_fault(on, trial, tmp_path, content):
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "bad.py").write_text(content)
    on(trial())
    assert "trial" in migrate.pending()
    assert migrate.upgrade() == ["core"]
    assert state().state == "failed"


def test_two_newest_revisions_are_none(on, trial, tmp_path):
    write(write(tmp_path / "trial", "t1"), "t2")
    on(trial())
    assert migrate.upgrade() == ["core"]
    assert "failed" in state().reason


def test_a_failing_core_raises_and_leaves_nothing(on, tmp_path, monkeypatch):
    folder = tmp_path / "versions"
    shutil.copytree(Path(migrate.ENVIRONMENT) / "versions", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (last,) = [path for path in folder.glob("*.py") if path.stem.startswith("core_")][-1:]
    last.write_text(last.read_text().replace("def downgrade", "    raise RuntimeError('power cut')\n\n\ndef downgrade"))
    on()
    runtime().registry.get("core").contributions["migrations"] = (folder,)
    with pytest.raises(RuntimeError, match="power cut"):
        migrate.upgrade()
    assert tables() == set()


def test_a_kill_in_the_middle_leaves_the_database_as_it_was(on, empty_url, trial, tmp_path):
    write(tmp_path / "trial", "t1")
    on(trial())
    migrate.upgrade()
    write(tmp_path / "trial", "t2", after="t1", more="os._exit(9)")
    program = tmp_path / "program.py"
    program.write_text(KILLED.format(folder=str(tmp_path), url=empty_url))
    assert subprocess.run([sys.executable, str(program)], check=False).returncode == 9
    assert migrate.current()["trial"] == "t1"
    assert "trial_t2" not in tables()
    write(tmp_path / "trial", "t2", after="t1")
    assert migrate.upgrade() == ["trial"]


KILLED = """
from pathlib import Path
from types import ModuleType
from pilothouse import migrate
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.plugins.discovery import Candidate
from pilothouse.testing import environment, make_app
module = ModuleType("trial")
module.pilothouse_manifest = hookimpl(lambda: Manifest("trial", "Trial", "A test."))
module.pilothouse_migrations = hookimpl(lambda: Path({folder!r}) / "trial")
app = make_app(environment(Path({folder!r}), PILOTHOUSE_DATABASE_URL={url!r}), [Candidate("trial", module)])
with app.app_context():
    migrate.upgrade()
"""


BY_ALEMBIC = """
import sys
from alembic import command
from alembic.config import Config
config = Config()
config.set_main_option("script_location", sys.argv[1])
command.upgrade(config, "head")
"""


# --- down ---


def test_one_step_back_is_taken_from_the_last_part(on, trial, tmp_path):
    write(write(tmp_path / "trial", "t1"), "t2", after="t1")
    on(trial())
    migrate.upgrade()
    assert migrate.downgrade() == "trial@t1"
    assert migrate.downgrade() == "trial@base"
    assert not {"trial_t1", "trial_t2"} & tables()
    assert migrate.upgrade() == ["trial"]


def test_a_part_may_be_named(on, trial, tmp_path):
    write(write(tmp_path / "trial", "t1"), "t2", after="t1")
    on(trial())
    migrate.upgrade()
    assert migrate.downgrade("trial@t1") == "trial@t1"
    assert migrate.downgrade("trial@base") == "trial@base"


def test_everything_goes_back_down_step_by_step(on):
    on(*discover())
    migrate.upgrade()
    for _ in range(30):
        if set(migrate.current().values()) == {None}:
            break
        migrate.downgrade()
    assert {table for table in tables() if not table.startswith("alembic_version_")} == set()
    with pytest.raises(Conflict, match="Nothing is left"):
        migrate.downgrade()


def test_what_is_not_there_cannot_be_gone_back_to(on):
    on()
    migrate.upgrade()
    with pytest.raises(NotFound, match="No plugin named nobody"):
        migrate.downgrade("nobody@base")
    with pytest.raises(NotFound, match="Can't locate revision"):
        migrate.downgrade("core@none")
    assert "users" in tables()


# --- differences and new revisions ---


def test_a_difference_between_models_and_tables_is_told(on):
    on(*discover())
    assert all("not at its newest revision" in sentence for sentence in migrate.check())
    migrate.upgrade()
    with db.engine.begin() as connection:
        connection.execute(text("DROP TABLE plugin_switches"))
    assert migrate.check() == ["core: add_table plugin_switches"]


def test_a_new_revision_is_written_from_the_difference(on, tmp_path):
    from pilothouse.plugins.models import PluginSwitch

    module = type(sys)("trial")
    module.__dict__.update({
        "pilothouse_manifest": hookimpl(lambda: __import__("pilothouse.sdk").sdk.Manifest("trial", "Trial", "A test.")),
        "pilothouse_migrations": hookimpl(lambda: tmp_path / "fresh"), "pilothouse_models": hookimpl(lambda: [PluginSwitch]),
    })  # fmt: skip
    on(Candidate("trial", module))
    path = migrate.revision("trial", "first")
    assert path.name.startswith("trial_0001")
    assert "op.create_table('plugin_switches'" in path.read_text()
    with pytest.raises(NotFound, match="No plugin named nobody"):
        migrate.revision("nobody", "x")


def test_a_migration_run_by_alembic_itself_says_what_to_do(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", BY_ALEMBIC, str(migrate.ENVIRONMENT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "pilothouse db upgrade" in told.stderr
    assert told.returncode != 0


def test_foreign_keys_hold_again_after_an_upgrade(tmp_path, migrated):
    app = make_app(environment(tmp_path))
    with app.app_context():
        migrate.upgrade()
        assert db.session.scalar(text("PRAGMA foreign_keys")) == 1
    let_go(app)
