"""What a third party's own tests are told: each rule of the house that its plugin breaks, and nothing where it keeps them."""

from __future__ import annotations

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.conformance import faults
from pilothouse.errors import NotFound
from pilothouse.plugins.discovery import discover
from pilothouse.sdk import ApiBlueprint, Id, Model
from pilothouse.web.api import PUBLIC


class Ours(Model):
    """A table whose key to the core has no index."""

    __tablename__ = "trial_ours"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id"))


class Theirs(Model):
    """A table that points at another plugin's."""

    __tablename__ = "trial_theirs"

    id: Mapped[str] = mapped_column(Id, ForeignKey("trial_ours.id"), primary_key=True)


def silent() -> list[str]:
    return []


@pytest.fixture
def found(build_app, make_plugin, tmp_path):
    """Return what finds the faults of a plugin named trial, made of a source file and what its hooks return."""

    def find(source: str = "", **hooks):
        made = make_plugin("trial", **hooks)
        (tmp_path / "plugin.py").write_text(source)
        made.module.__file__, made.module.__name__ = str(tmp_path / "plugin.py"), "trial_package.plugin"
        ours = make_plugin("ours", models=[Ours])
        with build_app([*discover(), ours, made]).app_context():
            return faults("trial")

    return find


def test_a_plugin_that_keeps_the_rules_has_no_faults(found):
    source = "import json\nfrom pilothouse import sdk\nfrom pilothouse.sdk import db\nfrom trial_package import api\n"
    assert found(source, requires=("ours",)) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [("import pilothouse.db", "plugin.py imports pilothouse.db"),
     ("def late():\n    from pilothouse.web import api", "plugin.py imports pilothouse.web.api"),
     ("from pilothouse_errors import service", "plugin.py imports pilothouse_errors.service"),
     ("from pilothouse_errors.events import Regressed", "plugin.py imports pilothouse_errors.events.Regressed"),
     ("def write(session):\n    session.commit()", "plugin.py calls session.commit")],
)  # fmt: skip
def test_a_source_that_breaks_a_rule_is_named(found, source, fault):
    assert found(source) == [fault]


def test_events_of_a_required_plugin_may_be_imported(found):
    assert found("from pilothouse_errors.events import Regressed\nfrom pilothouse_errors import events", requires=("errors",)) == []


def test_keys_without_an_index_or_into_foreign_tables_are_named(found):
    assert found(models=[Theirs]) == [
        "trial_theirs.id points at trial_ours, which is neither its own nor the core's nor of a plugin that it requires",
        "it has tables and no migrations",
    ]


def test_an_endpoint_without_documentation_is_named(found):
    blueprint = ApiBlueprint("trial")
    blueprint.get("/trial/things", permission=PUBLIC)(silent)
    assert found(api_blueprints=[blueprint]) == ["the endpoint /api/trial/things has no docstring"]


def test_a_plugin_that_failed_has_its_reason(found):
    assert found(models=[5]) == ["pilothouse_models: 5 is no Model"]


def test_other_plugins_are_asked_by_name(build_app, make_plugin):
    with build_app([*discover(), make_plugin("ours", models=[Ours])]).app_context():
        assert faults("ours")[0] == "trial_ours.user_id is a foreign key without an index"
        with pytest.raises(NotFound, match="no plugin named nobody"):
            faults("nobody")
