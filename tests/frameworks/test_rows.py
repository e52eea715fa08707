"""Row factories, as programs for psycopg use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

import pgmd
from pgmd import psycopg
from pgmd.psycopg.rows import (
    args_row,
    class_row,
    dict_row,
    kwargs_row,
    namedtuple_row,
    scalar_row,
    tuple_row,
)

from ..fixtures.stands import Stand

QUERY = "SELECT id, name FROM person ORDER BY id"


@dataclass
class Person:
    id: int
    name: str
    city: str = "unknown"


@dataclass(frozen=True)
class Seen:
    """Each row as some factory makes it."""

    factory: Any
    rows: Sequence[Any]


class Upper:
    """A row factory of the program's own."""

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        self.names = [c.name.upper() for c in cursor.description or ()]

    def __call__(self, values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.names, values, strict=True))


FACTORIES = {
    "tuple": Seen(tuple_row, [(1, "Ada"), (2, "Bob")]),
    "dict": Seen(dict_row, [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bob"}]),
    "class": Seen(class_row(Person), [Person(1, "Ada"), Person(2, "Bob")]),
    "args": Seen(args_row(lambda key, name: f"{key}: {name}"), ["1: Ada", "2: Bob"]),
    "kwargs": Seen(kwargs_row(lambda *, id, name: (name, id)), [("Ada", 1), ("Bob", 2)]),
    "scalar": Seen(scalar_row, [1, 2]),
    "own": Seen(Upper, [{"ID": 1, "NAME": "Ada"}, {"ID": 2, "NAME": "Bob"}]),
}


@pytest.fixture
def engine(site: Stand) -> Iterator[pgmd.Engine]:
    with psycopg.connect(site.dsn, autocommit=True) as admin:
        admin.execute("CREATE TABLE person (id integer, name varchar)")
        admin.execute("INSERT INTO person VALUES (1, 'Ada'), (2, 'Bob')")
    with pgmd.Engine(site.endpoint(), site.replicas(1)) as engine:
        engine.wait()
        yield engine


@pytest.fixture
def conn(site: Stand, engine: pgmd.Engine) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(site.dsn, autocommit=True, engine=engine) as conn:
        yield conn


def test_of_a_cursor(conn: psycopg.Connection[Any]) -> None:
    for name, seen in FACTORIES.items():
        with conn.cursor(row_factory=seen.factory) as cursor:
            assert cursor.execute(QUERY).fetchall() == seen.rows, name
            assert list(cursor.execute(QUERY)) == seen.rows, name
            assert cursor.execute(QUERY).fetchone() == seen.rows[0], name
            assert cursor.fetchmany(5) == seen.rows[1:], name
            assert cursor.fetchone() is None, name
    assert conn.pgmd.stats == {"replica: READ": 3 * len(FACTORIES)}


def test_of_a_connection(site: Stand, engine: pgmd.Engine) -> None:
    for name, seen in FACTORIES.items():
        with psycopg.connect(
            site.dsn, autocommit=True, engine=engine, row_factory=seen.factory
        ) as conn:
            assert conn.execute(QUERY).fetchall() == seen.rows, name
            assert conn.pgmd.stats == {"replica: READ": 1}


def test_named_tuples(conn: psycopg.Connection[Any]) -> None:
    cursor = conn.cursor(row_factory=namedtuple_row)
    found: list[Any] = cursor.execute(QUERY).fetchall()
    assert [(row.id, row.name) for row in found] == [(1, "Ada"), (2, "Bob")]
    assert type(found[0])._fields == ("id", "name")
    assert conn.pgmd.stats == {"replica: READ": 1}


def test_changed_between_two_fetches(conn: psycopg.Connection[Any]) -> None:
    cursor = conn.execute(QUERY)
    assert cursor.fetchone() == (1, "Ada")
    cursor.row_factory = dict_row
    assert cursor.fetchone() == {"id": 2, "name": "Bob"}
    conn.row_factory = scalar_row
    assert conn.execute(QUERY).fetchall() == [1, 2]
    assert conn.pgmd.stats == {"replica: READ": 2}


def test_what_a_factory_raises(conn: psycopg.Connection[Any]) -> None:
    with conn.cursor(row_factory=class_row(Person)) as cursor:
        cursor.execute("SELECT id, name, 1 AS height FROM person")
        with pytest.raises(TypeError, match="height"):
            cursor.fetchone()
    with conn.cursor(row_factory=scalar_row) as cursor:
        cursor.execute("INSERT INTO person VALUES (3, 'Cy')")
        with pytest.raises(psycopg.ProgrammingError, match="didn't produce"):
            cursor.fetchone()
    assert conn.pgmd.stats["replica: READ"] == 1


async def test_asynchronous(site: Stand, engine: pgmd.Engine) -> None:
    async with pgmd.AsyncEngine(site.endpoint(), site.replicas(1)) as theirs:
        await theirs.wait()
        async with await psycopg.AsyncConnection.connect(
            site.dsn, autocommit=True, engine=theirs
        ) as conn:
            for name, seen in FACTORIES.items():
                async with conn.cursor(row_factory=seen.factory) as cursor:
                    await cursor.execute(QUERY)
                    assert [row async for row in cursor] == seen.rows, name
            assert conn.pgmd.stats == {"replica: READ": len(FACTORIES)}
