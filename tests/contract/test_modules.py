"""What can be read off the modules themselves: no circle of imports, nothing called on import, SQL in its rooms only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from pilothouse import sdk

ROOT = Path(__file__).parents[2]
EDGES = ("plugin", "api", "views", "tasks", "reactions", "notices", "palette", "events")
WORDS_OF_SQL = {"select", "insert", "update", "delete", "text", "func", "exists", "tuple_"}
CALLS_OF_SQL = {"execute", "scalars", "scalar", "exec_driver_sql"}
PINNED = Path(__file__).with_name("sdk_1_0.txt")


def modules() -> dict[str, ast.Module]:
    """Return every module of the core and of our plugins, parsed."""
    found = {}
    for base in ("platform", "plugins"):
        for path in sorted((ROOT / base).rglob("*.py")):
            if "migrations" not in path.parts:
                name = ".".join(path.relative_to(ROOT / base).with_suffix("").parts).removesuffix(".__init__")
                found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module", name="modules")
def modules_fixture():
    return modules()


def on_import(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported."""
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from on_import(node.orelse)
        elif isinstance(node, (ast.ClassDef, ast.If, ast.Try, ast.With)):
            yield from on_import([*node.body, *getattr(node, "orelse", [])])
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def imported(tree: ast.Module, known: dict[str, ast.Module]) -> set[str]:
    """Return the modules of ours that a module needs to be imported."""
    found = set()
    for node in on_import(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known.keys()


def test_no_module_needs_itself_to_be_imported(modules):
    graph = {name: imported(tree, modules) - {name} for name, tree in modules.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises a CycleError that names the circle
    assert order.index("pilothouse.errors") < order.index("pilothouse.app")
    assert len(order) > 200


def test_nothing_is_called_for_its_effect_on_import(modules):
    calls = [
        f"{name}:{node.lineno} {ast.unparse(node)[:80]}"
        for name, tree in modules.items()
        if not name.endswith("__main__")
        for node in tree.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    assert calls == []


def test_the_edges_of_a_plugin_hold_no_sql(modules):
    edges = {name: tree for name, tree in modules.items() if name.startswith("pilothouse_") and name.rpartition(".")[2] in EDGES}
    assert [f"{name}: {found}" for name, tree in edges.items() for found in sql_in(tree)] == []


def sql_in(tree: ast.Module) -> Iterator[str]:
    """Yield what a module has to do with SQL."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sqlalchemy"):
            yield from (alias.name for alias in node.names if alias.name in WORDS_OF_SQL)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in CALLS_OF_SQL:
            yield f"line {node.lineno} {ast.unparse(node.func)}"


def test_no_module_is_a_drawer_for_everything(modules):
    drawers = {"utils", "util", "helpers", "common", "misc", "tools"}
    assert [name for name in modules if drawers & set(name.split("."))] == []


def test_files_are_about_one_thing_and_functions_end(modules):
    functions = (
        (name, node)
        for name, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    long = [f"{name}.{node.name}" for name, node in functions if node.end_lineno - node.lineno >= 70]
    assert long == []


def test_what_the_sdk_promised_is_kept():
    promised = PINNED.read_text(encoding="utf-8").split()
    assert sorted(set(promised)) == promised
    assert [name for name in promised if name not in sdk.__all__] == []
    assert [name for name in sdk.__all__ if not hasattr(sdk, name)] == []


def test_what_the_sdk_offers_is_pinned():
    new = sorted(set(sdk.__all__) - set(PINNED.read_text(encoding="utf-8").split()))
    assert new == [], f"names are a promise: add them to {PINNED.name} once they are meant to stay"
