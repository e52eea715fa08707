"""`from pgmd import psycopg`: every name, and whose it is."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from types import ModuleType
from typing import Any

import psycopg as original
import psycopg_pool as original_pool
import pytest

from pgmd import psycopg, psycopg_pool

OURS = {
    "connect",
    "Connection",
    "Cursor",
    "ClientCursor",
    "RawCursor",
    "ServerCursor",
    "RawServerCursor",
    "AsyncConnection",
    "AsyncCursor",
    "AsyncClientCursor",
    "AsyncRawCursor",
    "AsyncServerCursor",
    "AsyncRawServerCursor",
}
OURS_OF_POOL = {
    "ConnectionPool",
    "NullConnectionPool",
    "AsyncConnectionPool",
    "AsyncNullConnectionPool",
}
CASES = [(original, psycopg, OURS), (original_pool, psycopg_pool, OURS_OF_POOL)]


def public(module: ModuleType) -> set[str]:
    return {name for name in dir(module) if not name.startswith("_")} | {"__version__"}


@pytest.mark.parametrize(("theirs", "ours", "replaced"), CASES)
def test_every_public_name_is_there(theirs: Any, ours: Any, replaced: set[str]) -> None:
    assert public(theirs) <= public(ours)
    differing = {
        name for name in public(theirs) if getattr(ours, name) is not getattr(theirs, name)
    }
    assert differing == replaced
    # What * brings is what it brings from psycopg.
    assert set(theirs.__all__) <= set(ours.__all__)


@pytest.mark.parametrize(("theirs", "ours", "replaced"), CASES)
def test_what_is_replaced_is_a_subclass(theirs: Any, ours: Any, replaced: set[str]) -> None:
    for name in replaced - {"connect"}:
        mine, base = getattr(ours, name), getattr(theirs, name)
        assert issubclass(mine, base)
        assert mine.__module__ == ours.__name__, name
        assert mine.__name__ == name
        assert mine.__doc__
    assert psycopg.connect == psycopg.Connection.connect


def test_cursors_are_of_one_family() -> None:
    for name in ("ClientCursor", "RawCursor"):
        assert issubclass(getattr(psycopg, name), psycopg.Cursor)
        assert issubclass(getattr(psycopg, f"Async{name}"), psycopg.AsyncCursor)


@pytest.mark.parametrize(("theirs", "ours", "replaced"), CASES)
def test_submodules_are_psycopgs(theirs: Any, ours: Any, replaced: set[str]) -> None:
    for module in pkgutil.iter_modules(theirs.__path__):
        if not module.name.startswith("_"):
            found = importlib.import_module(f"{ours.__name__}.{module.name}")
            assert found is importlib.import_module(f"{theirs.__name__}.{module.name}")
    assert importlib.import_module("pgmd.psycopg.types.json") is original.types.json
    # With psycopg's path its modules would be imported twice.
    assert not hasattr(ours, "__path__")


def test_exceptions_are_psycopgs() -> None:
    for name in ("Error", "DatabaseError", "OperationalError", "NotSupportedError"):
        assert getattr(psycopg, name) is getattr(original, name)
    assert psycopg.errors is original.errors


def test_psycopg_itself_is_left_alone() -> None:
    code = (
        "import psycopg, psycopg_pool\n"
        "before = dict(vars(psycopg)), dict(vars(psycopg_pool))\n"
        "import pgmd.psycopg, pgmd.psycopg_pool\n"
        "for module, names in zip((psycopg, psycopg_pool), before):\n"
        "    assert {name: vars(module)[name] for name in names} == names\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)
