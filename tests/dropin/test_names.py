"""`from pgmd import psycopg`: every name, and whose it is."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
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


def modules(package: ModuleType) -> list[str]:
    """The public ones of a package, by their names in it."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    names = [module.name.removeprefix(f"{package.__name__}.") for module in found]
    return [name for name in names if not any(part.startswith("_") for part in name.split("."))]


@pytest.mark.parametrize(("theirs", "ours"), [(original, psycopg), (original_pool, psycopg_pool)])
def test_submodules_are_psycopgs(theirs: Any, ours: Any) -> None:
    assert len(modules(theirs)) >= 11
    for name in modules(theirs):
        if name != "types.shapely":  # needs shapely
            found = importlib.import_module(f"{ours.__name__}.{name}")
            assert found is importlib.import_module(f"{theirs.__name__}.{name}"), name


def test_a_module_that_psycopg_has_not_imported_is_imported_once() -> None:
    code = (
        "import sys\n"
        "from pgmd.psycopg.types.hstore import register_hstore\n"
        "import psycopg.types.hstore\n"
        "assert psycopg.types.hstore.register_hstore is register_hstore\n"
        "assert psycopg.types.hstore.__spec__.name == 'psycopg.types.hstore'\n"
        "names = {id(m): m.__name__ for m in sys.modules.values() if 'hstore' in m.__name__}\n"
        "assert set(names.values()) == {'psycopg.types.hstore'}, names\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)


def test_what_psycopg_has_not_is_not_found() -> None:
    for name in ("pgmd.psycopg.nope", "pgmd.psycopg.types.nope", "pgmd.psycopg_pool.nope"):
        with pytest.raises(ModuleNotFoundError, match=name):
            importlib.import_module(name)


@pytest.mark.parametrize(("theirs", "ours"), [(original, psycopg), (original_pool, psycopg_pool)])
def test_type_checkers_find_each_submodule(theirs: Any, ours: Any) -> None:
    (folder,) = ours.__path__
    found = {}
    for path in sorted(Path(folder).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts).removesuffix("__init__").removesuffix(".")
        if name:
            found[name] = path.read_text()
    # The newest psycopg's; what only 3.2 has is found when it is imported.
    wanted = set(modules(theirs)) - {"server_cursor"}
    assert found == {n: f"from {theirs.__name__}.{n} import *\n" for n in wanted}


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
