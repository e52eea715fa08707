"""The drop-in in place of psycopg; checked by mypy --strict and pyright, not run."""

from __future__ import annotations

from typing import Any, assert_type

import psycopg as original

from pgmd import Decision, Engine, psycopg, psycopg_pool
from pgmd.psycopg import sql
from pgmd.psycopg.rows import dict_row
from pgmd.psycopg.types.json import Jsonb


def connections(engine: Engine) -> None:
    with psycopg.connect("dbname=app", engine=engine, autocommit=True) as connection:
        assert_type(connection, psycopg.Connection[tuple[Any, ...]])
        theirs: original.Connection[tuple[Any, ...]] = connection
        theirs.execute("SELECT 1")
        cursor = connection.execute("SELECT %s", [Jsonb({})])
        assert_type(cursor.fetchall(), list[tuple[Any, ...]])
        assert_type(connection.pgmd.explain("SELECT 1"), Decision)
        with connection.cursor(row_factory=dict_row) as named:
            named.execute(sql.SQL("SELECT {}").format(1))
            assert_type(named.fetchone(), dict[str, Any] | None)
    with psycopg.connect(row_factory=dict_row) as named_ones:
        assert_type(named_ones.execute("SELECT 1").fetchone(), dict[str, Any] | None)
    psycopg.attach(engine)
    psycopg.detach()


async def the_same_with_await() -> None:
    async with await psycopg.AsyncConnection.connect("dbname=app") as connection:
        cursor = await connection.execute("SELECT 1")
        assert_type(await cursor.fetchone(), tuple[Any, ...] | None)
        assert_type(connection.pgmd.explain("SELECT 1"), Decision)


def pools(engine: Engine) -> None:
    with psycopg_pool.ConnectionPool(kwargs={"engine": engine}, min_size=1) as pool:
        with pool.connection() as connection:
            connection.execute("SELECT 1").fetchall()


def errors() -> None:
    try:
        psycopg.connect()
    except psycopg.errors.UniqueViolation as error:
        assert_type(error.sqlstate, str | None)
    except psycopg.OperationalError:
        pass
