"""Imports go one way, launchpad -> workflows -> ccdcgan_al, and heavy packages are imported where they are needed only."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pymongo.collection import Collection

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ccdcgan_al", "workflows", "launchpad")
FILES = [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
HEAVY = {"tensorflow", "keras", "torch", "sevenn", "chgnet"}
KERAS_CLASSES = {
    Path("ccdcgan_al/models/ccdcgan.py"),
    Path("ccdcgan_al/models/callbacks.py"),
}  # they inherit from Keras


class Import(NamedTuple):
    """One import: the module's full name, and whether importing the file runs it."""

    module: str
    at_import: bool
    line: int


def find_imports(tree: ast.Module, package: str = "") -> Iterator[Import]:
    """Imports of a file in `package` (its dotted name, for relative imports); what only type checkers see is left out."""

    def walk(node: ast.AST, at_import: bool) -> Iterator[Import]:
        for name in imported(node, package):
            yield Import(name, at_import, getattr(node, "lineno", 0))
        at_import &= not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        for child in node.orelse if typing_only and isinstance(node, ast.If) else ast.iter_child_nodes(node):
            yield from walk(child, at_import)

    yield from walk(tree, at_import=True)


def imported(node: ast.AST, package: str) -> list[str]:
    """Full names that this node itself imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        parents = package.split(".")
        base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
        return [".".join(part for part in (base, node.module, alias.name) if part) for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {"import_module", "importlib.import_module"}:
        return [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
    return []


@functools.cache
def imports_of(path: Path) -> list[Import]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))
    return list(find_imports(tree, ".".join(path.parent.parts)))


def offences(path: Path, roots: set[str], *, at_import_only: bool = False) -> list[str]:
    return [
        f"{path}:{found.line} imports {found.module}"
        for found in imports_of(path)
        if found.module.split(".")[0] in roots and (found.at_import or not at_import_only)
    ]


EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=str)


def test_there_are_files() -> None:
    assert {path.parts[0] for path in FILES} == set(PACKAGES)


@EVERY_FILE
def test_imports_go_one_way(path: Path) -> None:
    forbidden = {"ccdcgan_al": {"workflows", "launchpad"}, "workflows": {"launchpad"}, "launchpad": set()}
    assert offences(path, forbidden[path.parts[0]] | {"tests"}) == []


@EVERY_FILE
def test_mongo_lives_in_launchpad(path: Path) -> None:
    if path.parts[0] != "launchpad":
        stores = set() if path == Path("workflows/vasp_stage.py") else {"maggma"}  # it has jobflow's store in memory
        assert offences(path, {"pymongo", "gridfs", "bson", "fireworks", *stores}) == []


@EVERY_FILE
def test_atomate2_lives_in_workflows(path: Path) -> None:
    if path.parts[0] != "workflows":
        assert offences(path, {"atomate2"}) == []


@EVERY_FILE
def test_heavy_packages_stand_in_functions(path: Path) -> None:
    assert (
        offences(path, HEAVY - {"keras", "tensorflow"} if path in KERAS_CLASSES else HEAVY, at_import_only=True) == []
    )


@EVERY_FILE
def test_keras_lives_in_models(path: Path) -> None:
    if path.parent not in {Path("ccdcgan_al/models"), Path("ccdcgan_al/benchmarks")}:  # which measure the networks
        assert offences(path, {"tensorflow", "keras"}) == []


# a campaign's collections in the one, the server itself and FireWorks' collections in the other
DATABASE_ROOMS = {Path("launchpad/database"), Path("launchpad/service")}
FIREWORKS_OWN = {"launchpad.fireworks", "launchpad.workflows", "launchpad.launches"}
DATABASE_EXCEPTIONS = {
    Path("launchpad/batches.py"): FIREWORKS_OWN,  # workflows on the LaunchPad are its subject
    # it times pymongo's `insert_many` against `insert_new`
    Path("launchpad/benchmarks/database.py"): {"bare", "structures", "where.store", "pymongo.UpdateOne"},
}
COLLECTION_METHODS = {
    name for name in dir(Collection) if not name.startswith("_") and callable(getattr(Collection, name))
} - {"drop", "options", "rename", "watch", "with_options"}  # names that pandas, Path and others have too


def database_access(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and owner of whatever asks a collection, takes a database from a store, or imports more of pymongo than its errors.

    Asked is a collection where a method of pymongo's `Collection` is called, `find` with a filter and not with a text alone.
    """
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Attribute) and node.attr in {"database", "db"}:
            yield line, ast.unparse(node.value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in COLLECTION_METHODS:
            text_alone = node.func.attr == "find" and isinstance(node.args[0] if node.args else None, ast.Constant)
            if not text_alone:
                yield line, ast.unparse(node.func.value)
        for name in imported(node, ""):
            if name.split(".")[0] in {"pymongo", "gridfs", "bson"} and not name.startswith("pymongo.errors"):
                yield line, name


@EVERY_FILE
def test_a_campaigns_collections_are_asked_in_the_database_room_alone(path: Path) -> None:
    if path.parts[0] != "launchpad" or path.parent in DATABASE_ROOMS:
        return
    allowed = DATABASE_EXCEPTIONS.get(path, set())
    found = database_access(ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path)))
    assert [f"{path}:{line} {owner}" for line, owner in found if owner not in allowed] == []


def test_the_finder_of_accesses_finds() -> None:
    source = """
from pymongo import UpdateOne
from pymongo.errors import PyMongoError
def f(store, name):
    store.database["jobflow_outputs"].aggregate([])
    store.structures.find({"a": 1})
    store.rounds.update_one({}, {})
    client.db.hulls.distinct("round")
    name.find("x")
    Path("x").rename("y")
    store.documents("c", round=1)
    store.campaign("c")
"""
    found = list(database_access(ast.parse(source)))
    assert sorted(found) == [
        (2, "pymongo.UpdateOne"),
        (5, "store"),
        (5, "store.database['jobflow_outputs']"),
        (6, "store.structures"),
        (7, "store.rounds"),
        (8, "client"),
        (8, "client.db.hulls"),
    ]


def test_the_exceptions_are_needed() -> None:
    for path, owners in DATABASE_EXCEPTIONS.items():
        found = {owner for _, owner in database_access(ast.parse((ROOT / path).read_text(encoding="utf-8")))}
        assert owners <= found, path


def test_the_finder_finds() -> None:
    source = """
from __future__ import annotations
from typing import TYPE_CHECKING
import a.b
try:
    import c
except ImportError:
    pass
if TYPE_CHECKING:
    import hidden
class C:
    from d import e
def f():
    import torch
    g = lambda: importlib.import_module("h")
from . import i
from ..j import k
"""
    found = {(item.module, item.at_import) for item in find_imports(ast.parse(source), "launchpad.cli")}
    assert found == {
        ("__future__.annotations", True),
        ("typing.TYPE_CHECKING", True),
        ("a.b", True),
        ("c", True),
        ("d.e", True),
        ("torch", False),
        ("h", False),
        ("launchpad.cli.i", True),
        ("launchpad.j.k", True),
    }


def test_the_architecture_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    modules = {
        path.stem for package in ("ccdcgan_al", "workflows", "launchpad") for path in (ROOT / package).glob("*.py")
    }
    assert sorted(name for name in modules - {"__init__"} if f"`{name}`" not in text) == []
