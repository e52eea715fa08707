"""A program of psycopg's with pgmd's classes; checked by mypy --strict and pyright, not run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, assert_type

import psycopg as original

import pgmd
import pgmd.psycopg.conninfo
from pgmd import psycopg, psycopg_pool
from pgmd.psycopg import sql
from pgmd.psycopg.rows import TupleRow, class_row, dict_row, namedtuple_row, scalar_row
from pgmd.psycopg.types.json import Jsonb, set_json_dumps
from pgmd.psycopg.types.string import StrDumper
from pgmd.psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout
from pgmd.psycopg_pool.abc import ConnectionCB


@dataclass
class Flight:
    carrier: str


def connections(engine: pgmd.Engine) -> None:
    with psycopg.connect(engine=engine, autocommit=True, route_reads="lazy-begin") as conn:
        assert_type(conn, psycopg.Connection[TupleRow])
        cur = conn.execute("SELECT origin FROM flights WHERE carrier = %s", ["UA"])
        assert_type(cur, psycopg.Cursor[TupleRow])
        assert_type(cur.fetchone(), tuple[Any, ...] | None)
        assert_type(cur.execute("SELECT 1").fetchall(), list[tuple[Any, ...]])
        theirs: original.Connection[TupleRow] = conn
        theirs.commit()
    with psycopg.connect("dbname=x", row_factory=dict_row, lazy=False) as d:
        assert_type(d, psycopg.Connection[dict[str, Any]])
        assert_type(d.execute("SELECT 1").fetchone(), dict[str, Any] | None)
    with psycopg.Connection.connect(row_factory=class_row(Flight)) as c:
        assert_type(c.cursor().execute("SELECT 1").fetchall(), list[Flight])
        c.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    psycopg.attach(engine)
    psycopg.detach()


def cursors(conn: psycopg.Connection[TupleRow]) -> None:
    assert_type(conn.cursor(), psycopg.Cursor[TupleRow])
    with conn.cursor(row_factory=class_row(Flight)) as cur:
        assert_type(cur, psycopg.Cursor[Flight])
        for flight in cur.execute("SELECT carrier FROM flights"):
            assert_type(flight, Flight)
        for flight in cur.stream("SELECT carrier FROM flights"):
            assert_type(flight, Flight)
        cur.executemany("INSERT INTO flights VALUES (%s)", [("UA",)])
    assert_type(conn.cursor("named"), psycopg.ServerCursor[TupleRow])
    assert_type(conn.cursor("named", row_factory=dict_row), psycopg.ServerCursor[dict[str, Any]])
    assert_type(psycopg.ClientCursor(conn).mogrify("SELECT %s", [1]), str)
    conn.cursor(row_factory=namedtuple_row).execute("SELECT 1").fetchone()
    conn.cursor(row_factory=scalar_row).execute("SELECT 1").fetchone()
    with conn.transaction() as tx:
        assert_type(tx, psycopg.Transaction)
    with conn.pipeline() as pipeline:
        assert_type(pipeline, psycopg.Pipeline)
    with conn.cursor().copy("COPY flights TO STDOUT") as copy:
        assert_type(copy, psycopg.Copy)


def what_was_done(conn: psycopg.Connection[TupleRow]) -> None:
    assert_type(conn.pgmd.stats, dict[str, int])
    assert_type(conn.pgmd.decision, pgmd.Decision | None)
    assert_type(conn.pgmd.explain("SELECT 1"), pgmd.Decision)
    assert_type(conn.pgmd.engine, pgmd.Engine | None)
    conn.pgmd.route_reads = "off"
    conn.pgmd.profile.has_savepoints  # noqa: B018


def what_is_psycopgs(conn: psycopg.Connection[TupleRow]) -> None:
    query = sql.SQL("SELECT {} FROM t").format(sql.Identifier("i"))
    assert_type(query, sql.Composed)
    conn.execute(query, [Jsonb({"a": 1})])
    set_json_dumps(str)
    conn.adapters.register_dumper(str, StrDumper)
    assert_type(psycopg.conninfo.make_conninfo(dbname="x"), str)
    assert_type(pgmd.psycopg.conninfo.make_conninfo(dbname="x"), str)
    try:
        conn.execute("SELECT 1")
    except psycopg.errors.UniqueViolation as error:
        assert_type(error.diag, psycopg.errors.Diagnostic)
    except psycopg.OperationalError as error:
        assert_type(error.sqlstate, str | None)
        same: original.Error = error
        raise same from None


def pools(engine: pgmd.Engine) -> None:
    with psycopg_pool.ConnectionPool(kwargs={"engine": engine}, min_size=1) as pool:
        with pool.connection() as conn:
            assert_type(conn, psycopg.Connection[TupleRow])
            assert_type(conn.pgmd.stats, dict[str, int])
    configure: ConnectionCB[psycopg.Connection[dict[str, Any]]] = print
    named = ConnectionPool(
        "dbname=x",
        connection_class=psycopg.Connection[dict[str, Any]],
        kwargs={"row_factory": dict_row},
        configure=configure,
    )
    try:
        assert_type(named.getconn().execute("SELECT 1").fetchone(), dict[str, Any] | None)
    except PoolTimeout:
        named.close()
    psycopg_pool.NullConnectionPool("dbname=x").getconn().pgmd.stats  # noqa: B018


async def the_same_with_await(engine: pgmd.AsyncEngine) -> AsyncIterator[Flight]:
    conn = await psycopg.AsyncConnection.connect(engine=engine, row_factory=dict_row)
    async with conn:
        assert_type(conn, psycopg.AsyncConnection[dict[str, Any]])
        cur = await conn.execute("SELECT 1")
        assert_type(cur, psycopg.AsyncCursor[dict[str, Any]])
        assert_type(await cur.fetchone(), dict[str, Any] | None)
        assert_type(conn.pgmd.engine, pgmd.AsyncEngine | None)
        async with conn.transaction() as tx, conn.pipeline():
            assert_type(tx, psycopg.AsyncTransaction)
        async with conn.cursor(row_factory=class_row(Flight)) as flights:
            async for flight in await flights.execute("SELECT 1"):
                assert_type(flight, Flight)
                yield flight
    async with AsyncConnectionPool(kwargs={"engine": engine}, open=False) as pool:
        async with pool.connection() as lent:
            assert_type(lent, psycopg.AsyncConnection[TupleRow])
            assert_type(lent.pgmd.stats, dict[str, int])
    await psycopg.detach_async()
