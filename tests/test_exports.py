"""The public names, each with one door."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import psycopg
import pytest

import pgmd
import pgmd.psycopg
from pgmd import _public
from pgmd._async import views as async_views
from pgmd._sync import views


def test_all_is_sorted_and_complete() -> None:
    assert pgmd.__all__ == sorted(pgmd.__all__)
    assert set(_public.__all__) == set(pgmd.__all__) - {"__version__"}
    names = {n for n, v in vars(_public).items() if n[0] != "_" and not inspect.ismodule(v)}
    assert names - {"annotations"} == set(_public.__all__)
    assert set(pgmd.__all__) <= set(dir(pgmd))


def test_no_driver_is_imported_before_the_first_name_is_asked_for() -> None:
    code = "import pgmd, sys; print({'duckdb', 'psycopg'} & {*sys.modules}, pgmd.Engine.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set() Engine\n"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Enigne'"):
        getattr(pgmd, "Enigne")  # noqa: B009


@pytest.mark.parametrize(
    "name", ["Engine", "AsyncEngine", "Session", "AsyncSession", "connect", "connect_async",
             "Endpoint", "Replica", "Query"],
)  # fmt: skip
def test_the_designs_names_are_there(name: str) -> None:
    assert name in pgmd.__all__
    assert inspect.getdoc(getattr(pgmd, name))


def test_one_except_catches_all() -> None:
    public = [getattr(pgmd, name) for name in pgmd.__all__]
    errors = [v for v in public if inspect.isclass(v) and issubclass(v, Exception)]
    assert len(errors) >= 10
    for error in errors:
        assert issubclass(error, psycopg.Error)
        assert error.__module__ == "pgmd"


@pytest.mark.parametrize("pair", [("AsyncEngine", "Engine"), ("AsyncSession", "Session")])
def test_both_colours_have_the_same_methods(pair: tuple[str, str]) -> None:
    names = [{n for n in dir(getattr(pgmd, p)) if not n.startswith("_")} - {"cancel"} for p in pair]
    assert names[0] == names[1]


_ENGINE = {
    "across", "close", "on_statement", "open", "publish", "recycle", "session", "stats", "wait",
}  # fmt: skip
_SESSION = {
    "bookmark", "close", "endpoint", "execute", "explain", "gather", "map", "replica", "snapshot",
    "stream", "transaction",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (pgmd.Engine, _ENGINE),
        (pgmd.AsyncEngine, _ENGINE),
        (pgmd.Session, _SESSION | {"cancel"}),
        # A task is cancelled.
        (pgmd.AsyncSession, _SESSION),
        (views.Transaction, {"execute", "transaction"}),
        (async_views.AsyncTransaction, {"execute", "transaction"}),
        (views.Snapshot, {"execute"}),
        (async_views.AsyncSnapshot, {"execute"}),
        (views.EndpointView, {"execute"}),
        (async_views.AsyncEndpointView, {"execute"}),
        (views.ReplicaView, {"execute"}),
        (async_views.AsyncReplicaView, {"execute"}),
    ],
)
def test_what_programs_see_is_what_is_meant_for_them(kind: type[Any], names: set[str]) -> None:
    public = {name for name in dir(kind) if not name.startswith("_")}
    assert public == names
    assert all(inspect.getdoc(getattr(kind, name)) for name in public)


@pytest.mark.parametrize("kind", [pgmd.psycopg.Connection, pgmd.psycopg.AsyncConnection])
def test_what_a_connection_of_the_drop_in_tells(kind: Any) -> None:
    face = kind(psycopg.pq.PGconn.connect_start(b"host=/dev/null")).pgmd
    public = {name for name in dir(face) if not name.startswith("_")}
    assert public == {"decision", "engine", "explain", "profile", "route_reads", "stats"}
    assert all(inspect.getdoc(getattr(type(face), name)) for name in public)
    with pytest.raises(AttributeError):
        face.route_read = "off"
