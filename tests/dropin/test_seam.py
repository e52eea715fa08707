"""psycopg's private names: each that is used exists, and stands in one module only.

Without conftest.py, so that it also runs against other versions of psycopg.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import psycopg
import pytest
from psycopg import pq

from pgmd.dropin import seam

ROOT = Path(__file__).parents[2] / "pgmd"
SEAM = ROOT / "dropin" / "seam.py"
NAMES = [
    (kind, name)
    for table in (seam.OVERRIDDEN, seam.USED)
    for kind, names in table.items()
    for name in names
]
INSTALLED = tuple(int(part) for part in psycopg.__version__.split(".")[:2])


def listed(table: dict[Any, tuple[str, ...]]) -> set[str]:
    return {name for names in table.values() for name in names}


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


# ---------------------------------------------------------------------------------- they exist


def colours(kind: type) -> list[type]:
    both = [kind, getattr(psycopg, f"Async{kind.__name__}", None)]
    return [colour for colour in both if colour is not None]


def instance(kind: type) -> Any:
    """One that has never connected."""
    pgconn = pq.PGconn.connect_start(b"host=/dev/null")
    if kind is pq.PGconn:
        return pgconn
    name = "AsyncConnection" if kind.__name__.startswith("Async") else "Connection"
    connection = getattr(psycopg, name)(pgconn)
    return connection if kind.__name__ == name else kind(connection)


def mentions(kind: type, name: str) -> bool:
    """Whether a method asks for an attribute that only others set, such as a pool."""
    functions = [m for c in kind.__mro__ for m in vars(c).values() if isinstance(m, FunctionType)]
    return any(name in function.__code__.co_consts for function in functions)


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_each_name_exists(kind: type, name: str) -> None:
    if seam.SINCE.get(name, (0,)) > INSTALLED:
        assert not hasattr(psycopg.Cursor, name), f"{name} is there: say so in SINCE"
        return
    for colour in colours(kind):
        there = hasattr(colour, name) or hasattr(instance(colour), name)
        assert there or mentions(colour, name), (
            f"psycopg {psycopg.__version__}: no {colour.__name__}.{name}"
        )


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in seam.OVERRIDDEN.items() for name in names]
)
def test_psycopg_calls_what_is_overridden(kind: type, name: str) -> None:
    """Else ours would be there in vain."""
    if seam.SINCE.get(name, (0,)) > INSTALLED:
        return
    sources = Path(psycopg.__file__).parent.rglob("*.py")
    assert any(f".{name}" in path.read_text() for path in sources), f"nothing calls {name}"


# ---------------------------------------------------------------- and stand nowhere else


def known_to_psycopg() -> set[str]:
    """The private names of its connections, cursors and transactions."""
    kinds = (psycopg.Connection, psycopg.Cursor, psycopg.Transaction)
    things = [instance(colour) for kind in kinds for colour in colours(kind)]
    return {
        *listed(seam.OVERRIDDEN),
        *listed(seam.USED),
        *(name for thing in things for name in dir(thing) if private(name)),
    }


def own_names() -> set[str]:
    """Those that pgmd's classes define or set for themselves."""
    nodes = [node for path in sources() for node in ast.walk(ast.parse(path.read_text()))]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in nodes if isinstance(node, functions)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names - listed(seam.OVERRIDDEN) - listed(seam.USED)


def sources() -> Iterator[Path]:
    for folder in ("dropin", "_async/dropin", "_sync/dropin"):
        yield from (path for path in (ROOT / folder).glob("*.py") if path != SEAM)


def uses(tree: ast.AST, overridden: str = "") -> Iterator[tuple[int, str]]:
    """Private attributes, but for a method's call of the one that it overrides."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from uses(node, node.name)
            continue
        if isinstance(node, ast.Attribute) and private(node.attr) and node.attr != overridden:
            yield node.lineno, node.attr
        yield from uses(node, overridden)


def test_the_drop_in_uses_them_through_the_seam_only() -> None:
    forbidden = known_to_psycopg() - own_names()
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sources()
        for line, name in uses(ast.parse(path.read_text()))
        if name in forbidden
    ]
    assert found == []


def test_no_other_module_imports_what_is_private() -> None:
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                parts = name.split(".")
                is_private = parts[0] in ("psycopg", "psycopg_pool") and any(
                    private(part) for part in parts
                )
                assert not is_private or path == SEAM, f"{path}: {name}"


def test_the_seam_lists_what_it_uses_and_no_more() -> None:
    functions = [n for n in ast.parse(SEAM.read_text()).body if isinstance(n, ast.FunctionDef)]
    nodes = [node for function in functions for node in ast.walk(function)]
    found = {getattr(node, "attr", getattr(node, "value", None)) for node in nodes}
    used = {name for name in found if isinstance(name, str) and private(name)}
    assert used - listed(seam.OVERRIDDEN) == listed(seam.USED)


def test_each_overridden_name_is_overridden() -> None:
    nodes = [node for path in sources() for node in ast.walk(ast.parse(path.read_text()))]
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name)}
    assert listed(seam.OVERRIDDEN) <= names
