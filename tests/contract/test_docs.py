"""The documents: the lines that they tell people to copy are those that the live tests run, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from flask import Flask

from pilothouse.cli import cli
from pilothouse.contract.pages import Snippet
from pilothouse.runtime import runtime

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "docs" / "clients"
PAGES = sorted(page for page in CLIENTS.glob("*.md") if page.name != "README.md")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("client/*.md"), *ROOT.glob("examples/*/*.md")])
ADDRESS, TOKEN = "http://127.0.0.1:8080", "TOKEN"  # what stands on the pages for the reader's own
FENCES = {"sh": "shell", "js": "javascript"}
LIVE = [ROOT / "tests" / "plugins" / name / "test_live.py" for name in ("sources", "gateway")]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ENDPOINT = re.compile(r"`((?:GET|POST|PUT|PATCH|DELETE)(?:, (?:GET|POST|PUT|PATCH|DELETE))*) (/[^\s?`]+)")
_COMMAND = re.compile(r"`pilothouse ([a-z][a-z-]*)(?: ([a-z-]+))?")
_PARAMETER = re.compile(r"\{[^}]*\}|<[^>]*>|\.\.\.")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return a page's blocks of code, each with its language."""
    return [(FENCES.get(name, name), text) for name, text in _BLOCK.findall(page.read_text(encoding="utf-8"))]


@pytest.fixture
def snippets(app: Flask) -> list[Snippet]:
    """Return what the Sources page shows."""
    return [snippet for _, snippet in runtime().registry.all("snippets")]


def test_a_client_s_page_holds_the_snippets_of_the_sources_page_and_no_other_code(snippets):
    known = {(one.language, one.write(ADDRESS, TOKEN)) for one in snippets}
    known |= {("shell", one.hint) for one in snippets if " install " in one.hint}
    assert [(page.name, block) for page in PAGES for block in blocks(page) if block not in known] == []


def test_each_snippet_stands_on_one_page_below_what_has_to_be_installed_for_it(snippets):
    for one in snippets:
        found = [page for page in PAGES if (one.language, one.write(ADDRESS, TOKEN)) in blocks(page)]
        assert len(found) == 1, f"{one.name} must stand on one page in docs/clients:\n{one.write(ADDRESS, TOKEN)}"
        text = found[0].read_text(encoding="utf-8")
        if " install " in one.hint:
            assert 0 < text.find(one.hint) < text.find(one.write(ADDRESS, TOKEN)), one.name


def test_each_snippet_is_run_by_a_live_test(snippets):
    tests = "".join(file.read_text(encoding="utf-8") for file in LIVE)
    assert [one.name for one in snippets if f'"{one.name}"' not in tests] == []


def test_the_index_names_each_page():
    named = set(_LINK.findall((CLIENTS / "README.md").read_text(encoding="utf-8")))
    assert {page.name for page in PAGES} <= named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_what_is_there(document):
    lost = []
    for link in _LINK.findall(document.read_text(encoding="utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_endpoints_that_a_document_names_are_there(document, app):
    adapter = app.url_map.bind("localhost")
    for methods, path in _ENDPOINT.findall(document.read_text(encoding="utf-8")):
        if not path.startswith(("/api/deploys", "/...")):  # an example's, and the rest of one named before
            assert {*methods.split(", ")} <= {*adapter.allowed_methods(_PARAMETER.sub("x", path))}, f"{methods} {path}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_a_document_names_are_there(document, app):
    offered = {command.name: command for _, command in runtime().registry.all("cli")}
    for name, second in _COMMAND.findall(document.read_text(encoding="utf-8")):
        command = offered.get(name) or cli.get_command(click.Context(cli), name)
        assert command is not None, name
        assert not second or not isinstance(command, click.Group) or second in command.commands, f"{name} {second}"


def anchors(document: Path) -> set[str]:
    """Return the names of a document's headings, as GitHub makes them."""
    headings = _HEADING.findall(document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
