"""The public names, each with one door."""

from __future__ import annotations

import inspect
from typing import Any

import psycopg
import pytest

import pgmd
import pgmd.psycopg


def test_all_is_sorted_and_complete() -> None:
    assert pgmd.__all__ == sorted(pgmd.__all__)
    public = {
        n for n in vars(pgmd) if not n.startswith("_") and not inspect.ismodule(vars(pgmd)[n])
    }
    assert public - {"annotations"} == set(pgmd.__all__) - {"__version__"}


@pytest.mark.parametrize(
    "name", ["Engine", "AsyncEngine", "Session", "AsyncSession", "connect", "connect_async",
             "Endpoint", "Replica", "Query"],
)  # fmt: skip
def test_the_designs_names_are_there(name: str) -> None:
    assert name in pgmd.__all__
    assert inspect.getdoc(getattr(pgmd, name))


def test_one_except_catches_all() -> None:
    errors = [v for v in vars(pgmd).values() if inspect.isclass(v) and issubclass(v, Exception)]
    assert len(errors) >= 10
    for error in errors:
        assert issubclass(error, psycopg.Error)
        assert error.__module__ == "pgmd"


@pytest.mark.parametrize("pair", [("AsyncEngine", "Engine"), ("AsyncSession", "Session")])
def test_both_colours_have_the_same_methods(pair: tuple[str, str]) -> None:
    names = [{n for n in dir(getattr(pgmd, p)) if not n.startswith("_")} - {"cancel"} for p in pair]
    assert names[0] == names[1]


@pytest.mark.parametrize("kind", [pgmd.psycopg.Connection, pgmd.psycopg.AsyncConnection])
def test_what_a_connection_of_the_drop_in_tells(kind: Any) -> None:
    face = kind(psycopg.pq.PGconn.connect_start(b"host=/dev/null")).pgmd
    public = {name for name in dir(face) if not name.startswith("_")}
    assert public == {"decision", "engine", "explain", "profile", "route_reads", "stats"}
    assert all(inspect.getdoc(getattr(type(face), name)) for name in public)
    with pytest.raises(AttributeError):
        face.route_read = "off"
