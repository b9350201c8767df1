"""What `pilothouse plugins new` writes: a complete plugin in the shape that all of ours have.

It keeps notes: a table with its migration, a service, an endpoint, a page, a task on schedule, a permission, and tests.
"""

from __future__ import annotations

from string import Template

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "pilothouse-$dashed"
version = "0.1.0"
description = "$title for Pilothouse"
requires-python = ">=3.11"
dependencies = ["pilothouse"]

[project.optional-dependencies]
test = ["pytest>=8"]

[project.entry-points."pilothouse.plugins"]
$name = "pilothouse_$name.plugin"

[tool.setuptools]
packages = ["pilothouse_$name", "pilothouse_$name.migrations"]
package-dir = {"" = "src"}

[tool.setuptools.package-data]
pilothouse_$name = ["py.typed", "templates/$name/*.html"]

[tool.pytest.ini_options]
testpaths = ["tests"]
"""

README = """\
# pilothouse-$dashed

A plugin of Pilothouse. To work on it:

    pip install -e ".[test]"
    pytest
    pilothouse up               # makes the tables, too; one that runs already takes `pilothouse db upgrade` and a restart

Where the tables change, `pilothouse db revision $name "what changes"` writes the next
migration out of the models.

Each module has one job: `plugin.py` says what the plugin adds, `models.py` its tables, `service.py` writes them,
`queries.py` reads them, `api.py`, `views.py` and `tasks.py` are thin over those.
"""

PLUGIN = '''\
"""The $name plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint
from pilothouse.sdk import AdminView, BeatEntry, Manifest, Model, NavItem, Permission, Task, hookimpl, roles_from

from pilothouse_$name import api, tasks
from pilothouse_$name.models import Note
from pilothouse_$name.views import NotesView


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("$name", "$title", "Keeps notes beside the work.")


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the tables."""
    return [Note]


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the folder of revisions."""
    return Path(__file__).parent / "migrations"


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permissions."""
    return [
        Permission(api.VIEW, "See notes", roles_from("viewer"), "read"),
        Permission(api.WRITE, "Write notes", roles_from("member"), "write"),
    ]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the endpoints."""
    return [api.blueprint()]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the pages."""
    return [AdminView("$name", NotesView, api.VIEW)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the sidebar's entries."""
    return [NavItem("$title", "$name.index", api.VIEW)]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks."""
    return [Task("$name.tidy", tasks.tidy)]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [BeatEntry("$name.tidy", "$name.tidy", every_s=3600)]
'''

MODELS = '''\
"""Tables."""

from __future__ import annotations

from pilothouse.sdk import Id, Millis, Model
from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column


class Note(Model):
    """A note; `created_at` is in Unix milliseconds."""

    __tablename__ = "${name}_notes"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(Millis, index=True)
'''

SERVICE = '''\
"""Writes."""

from __future__ import annotations

from pilothouse.sdk import DAY, db, new_id, now
from sqlalchemy import delete

from pilothouse_$name.models import Note

KEPT = 90 * DAY


def write_note(text: str) -> Note:
    """Keep a note, in the open unit of work."""
    note = Note(id=new_id(), text=text, created_at=now())
    db.session.add(note)
    return note


def forget_old_notes() -> None:
    """Delete notes older than 90 days, in the open unit of work."""
    db.session.execute(delete(Note).where(Note.created_at < now() - KEPT))
'''

QUERIES = '''\
"""Reads."""

from __future__ import annotations

from pilothouse.sdk import db
from sqlalchemy import select, tuple_

from pilothouse_$name.models import Note


def newest_notes(limit: int, after: tuple[int, str] | None = None) -> list[Note]:
    """Return notes, the newest first, after the one with this time and id."""
    found = select(Note).order_by(Note.created_at.desc(), Note.id.desc()).limit(limit)
    if after is not None:
        found = found.where(tuple_(Note.created_at, Note.id) < after)
    return list(db.session.scalars(found))
'''

API = '''\
"""Endpoints."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pilothouse.sdk import DEFAULT_LIMIT, ApiBlueprint, Limit, Page, page_of, read_cursor, to_rfc3339

from pilothouse_$name import queries, service
from pilothouse_$name.models import Note

VIEW, WRITE = "$name.notes.view", "$name.notes.write"


class NotesQuery(msgspec.Struct, frozen=True):
    """Which page of the list."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


class NewNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A note to be kept."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]


class NoteRecord(msgspec.Struct, frozen=True):
    """A note."""

    id: str
    text: str
    created_at: str


def blueprint() -> ApiBlueprint:
    """Make the blueprint."""
    bp = ApiBlueprint("$name")
    bp.get("/$name/notes", permission=VIEW)(list_notes)
    bp.post("/$name/notes", permission=WRITE, status=201)(create_note)
    return bp


def list_notes(query: NotesQuery) -> Page[NoteRecord]:
    """List the notes, the newest first."""
    after = read_cursor(query.cursor) if query.cursor else None
    rows = queries.newest_notes(query.limit + 1, after)
    shown, cursor = page_of(rows, query.limit, lambda note: (note.created_at, note.id))
    return Page([_shown(note) for note in shown], cursor)


def create_note(body: NewNote) -> NoteRecord:
    """Keep a note."""
    return _shown(service.write_note(body.text))


def _shown(note: Note) -> NoteRecord:
    return NoteRecord(note.id, note.text, to_rfc3339(note.created_at))
'''

VIEWS = '''\
"""Pages."""

from __future__ import annotations

from pilothouse.sdk import ConsoleView, expose

from pilothouse_$name import queries

SHOWN = 50


class NotesView(ConsoleView):
    """The newest notes."""

    title = "$title"
    path = "/$name"

    @expose("/")
    def index(self) -> str:
        """Show the newest notes."""
        return self.render("$name/index.html", notes=queries.newest_notes(SHOWN))
'''

PAGE = """\
{% extends "ph/base.html" %}
{% block title %}$title{% endblock %}
{% block content %}
<section class="card"><div class="cbody">
{% for note in notes %}<p>{{ ui.time(note.created_at) }} {{ note.text }}</p>
{% else %}{{ ui.empty("plug", "No notes yet", "Notes that a program sends to /api/$name/notes appear here.") }}
{% endfor %}
</div></section>
{% endblock %}
"""

TASKS = '''\
"""Tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilothouse_$name import service


def tidy(_payload: Mapping[str, Any]) -> None:
    """Delete what is old."""
    service.forget_old_notes()
'''

MIGRATION = '''\
"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "${name}_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "${name}_notes",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_${name}_notes")),
    )
    op.create_index(op.f("ix_${name}_notes_created_at"), "${name}_notes", ["created_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("${name}_notes")
'''

TEST = '''\
"""The plugin on the whole application; the fixtures come with Pilothouse."""

from __future__ import annotations

from pilothouse_$name.service import KEPT, write_note

from pilothouse.conformance import faults
from pilothouse.sdk import now, unit_of_work


def test_the_plugin_keeps_the_rules_of_the_house(app):
    assert faults("$name") == []


def test_a_note_is_kept_and_listed(api):
    assert api.post("/api/$name/notes", json={"text": "hello"}).status_code == 201
    assert [note["text"] for note in api.get("/api/$name/notes").json["data"]] == ["hello"]


def test_an_empty_note_is_refused(api):
    assert api.post("/api/$name/notes", json={"text": ""}).status_code == 422


def test_a_viewer_sees_the_page_and_writes_nothing(as_role):
    viewer = as_role("viewer")
    assert "No notes yet" in viewer.get("/$name/").text
    assert viewer.post("/api/$name/notes", json={"text": "hello"}).status_code == 403


def test_old_notes_are_forgotten(api):
    from pilothouse_$name.tasks import tidy

    with unit_of_work():
        write_note("old").created_at = now() - KEPT - 1
    with unit_of_work():
        tidy({})
    assert api.get("/api/$name/notes").json["data"] == []
'''

FILES = {
    "pyproject.toml": PROJECT,
    "README.md": README,
    "src/pilothouse_$name/__init__.py": '"""The $name plugin of Pilothouse."""\n',
    "src/pilothouse_$name/py.typed": "",
    "src/pilothouse_$name/plugin.py": PLUGIN,
    "src/pilothouse_$name/models.py": MODELS,
    "src/pilothouse_$name/service.py": SERVICE,
    "src/pilothouse_$name/queries.py": QUERIES,
    "src/pilothouse_$name/api.py": API,
    "src/pilothouse_$name/views.py": VIEWS,
    "src/pilothouse_$name/tasks.py": TASKS,
    "src/pilothouse_$name/templates/$name/index.html": PAGE,
    "src/pilothouse_$name/migrations/__init__.py": '"""Revisions."""\n',
    "src/pilothouse_$name/migrations/${name}_0001_initial.py": MIGRATION,
    "tests/test_$name.py": TEST,
}


def files(name: str) -> dict[str, str]:
    """Return the files of a new plugin by their paths."""
    words = {"name": name, "dashed": name.replace("_", "-"), "title": name.replace("_", " ").capitalize()}
    return {Template(path).substitute(words): Template(text).substitute(words) for path, text in FILES.items()}
