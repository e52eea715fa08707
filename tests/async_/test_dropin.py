"""The drop-in: psycopg's own connections and cursors, with reads on replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, ClassVar

import psycopg as original
import psycopg_pool as original_pool
import pytest
from psycopg import pq
from psycopg.rows import class_row, dict_row, namedtuple_row, scalar_row
from psycopg.types.numeric import FloatLoader

import pgmd
from pgmd import Reason, Route, psycopg, psycopg_pool
from pgmd.replicas import cursor as duck
from pgmd.runtime import aio as runtime

from ..fixtures.stands import Stand
from .helpers import engine_on, until

MAKE = (
    "CREATE TABLE t (i INTEGER PRIMARY KEY, n NUMERIC(10, 2), s VARCHAR(9), d DATE, b BOOLEAN)",
    "INSERT INTO t SELECT r.i, r.i + 0.5, 's' || r.i, DATE '2024-02-28' + r.i::INTEGER, r.i > 2 "
    "FROM generate_series(1, 5) AS r(i)",
)
READS: list[tuple[str, Any]] = [
    ("SELECT * FROM t ORDER BY i", None),
    ("SELECT i, n, s FROM t WHERE i > %s ORDER BY i DESC", [2]),
    ("SELECT count(*), sum(n), max(s) FROM t WHERE d >= %(day)s", {"day": "2024-03-01"}),
    ("SELECT n AS wide, b FROM t ORDER BY i LIMIT 1", ()),
    ("SELECT i FROM t WHERE i < 0", None),
    ("WITH few AS (SELECT * FROM t WHERE b) SELECT s FROM few ORDER BY s", None),
]


@asynccontextmanager
async def ready(stand: Stand, **settings: Any) -> AsyncIterator[pgmd.AsyncEngine]:
    """An engine with a replica that has the table t."""
    async with await original.AsyncConnection.connect(stand.dsn, autocommit=True) as plain:
        for statement in MAKE:
            await plain.execute(statement)
    async with await engine_on(stand, 1, **settings) as engine:
        if not stand.is_live:
            await engine.publish()
        yield engine


async def connected(
    stand: Stand, engine: pgmd.AsyncEngine | None, **options: Any
) -> psycopg.AsyncConnection[Any]:
    given = {"autocommit": True, "engine": engine, **options}
    return await psycopg.AsyncConnection.connect(stand.dsn, **given)


def told(cursor: Any) -> Any:
    """All that a cursor says of its result."""
    columns = [(*column, column.type_display) for column in cursor.description or ()]
    return columns, cursor.rowcount, cursor.rownumber, cursor.statusmessage, cursor.nextset()


async def detach() -> None:
    if runtime.ASYNC:
        await psycopg.detach_async()
    else:
        psycopg.detach()


# ----------------------------------------------------------------------------- the same answers


@pytest.mark.parametrize("factory", [psycopg.AsyncCursor, psycopg.AsyncClientCursor])
async def test_a_routed_cursor_looks_as_if_psycopg_had_run_it(stand: Stand, factory: Any) -> None:
    async with (
        ready(stand) as engine,
        await original.AsyncConnection.connect(stand.dsn, autocommit=True) as plain,
        await connected(stand, engine, cursor_factory=factory) as ours,
    ):
        for query, params in READS:
            expected = await plain.execute(query, params)
            found = await ours.execute(query, params)
            assert ours.pgmd.decision is not None
            assert ours.pgmd.decision.route is Route.REPLICA, (query, ours.pgmd.decision)
            assert told(found) == told(expected)
            rows = await expected.fetchall()
            assert await found.fetchall() == rows
            assert await found.fetchone() is None
            assert found.rownumber == len(rows)
        assert ours.pgmd.stats == {"replica: READ": len(READS)}


async def test_rows_are_fetched_in_any_order(stand: Stand) -> None:
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        cursor = await connection.execute("SELECT i, s FROM t ORDER BY i")
        assert isinstance(cursor, original.AsyncCursor)
        assert await cursor.fetchone() == (1, "s1")
        assert await cursor.fetchmany(2) == [(2, "s2"), (3, "s3")]
        await cursor.scroll(-2)
        assert await cursor.fetchone() == (2, "s2")
        await cursor.scroll(4, "absolute")
        assert [row async for row in cursor] == [(5, "s5")]
        with pytest.raises(IndexError):
            await cursor.scroll(99, "absolute")
        cursor.row_factory = dict_row
        await cursor.scroll(0, "absolute")
        assert await cursor.fetchone() == {"i": 1, "s": "s1"}
        await cursor.close()
        with pytest.raises(psycopg.InterfaceError, match="cursor is closed"):
            await cursor.fetchone()
        with pytest.raises(psycopg.InterfaceError, match="cursor is closed"):
            await cursor.execute("SELECT i FROM t")


async def test_row_factories(stand: Stand) -> None:
    class Row:
        def __init__(self, i: int, s: str) -> None:
            self.i, self.s = i, s

    query = "SELECT i, s FROM t WHERE i = 4"
    async with ready(stand) as engine, await connected(stand, engine) as connection:

        async def first(factory: Any) -> Any:
            cursor = connection.cursor(row_factory=factory)
            return await (await cursor.execute(query)).fetchone()

        assert await first(dict_row) == {"i": 4, "s": "s4"}
        assert (await first(namedtuple_row)).s == "s4"
        assert await first(scalar_row) == 4
        assert vars(await first(class_row(Row))) == {"i": 4, "s": "s4"}
        assert connection.pgmd.stats == {"replica: READ": 4}


async def test_a_loader_of_ones_own_is_heeded(stand: Stand) -> None:
    query = "SELECT n FROM t WHERE i = 1"
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        cursor = connection.cursor()
        cursor.adapters.register_loader("numeric", FloatLoader)
        assert await (await cursor.execute(query)).fetchall() == [(1.5,)]
        assert type((await (await cursor.execute(query)).fetchall())[0][0]) is float
        assert connection.pgmd.decision is not None
        assert connection.pgmd.decision.reason is Reason.RESULT
        # One that comes when the rows are there already.
        late = connection.cursor()
        await late.execute("SELECT n FROM t ORDER BY i")
        assert connection.pgmd.decision.route is Route.REPLICA
        assert await late.fetchone() == (Decimal("1.50"),)
        late.adapters.register_loader("numeric", FloatLoader)
        heeds = hasattr(late.adapters, "_register_loader_callback")  # since psycopg 3.3
        found = await late.fetchone()
        assert found == (2.5,)
        assert type(found[0]) is (float if heeds else Decimal)
        # The next statement has it from the start, and other cursors have nothing of it.
        assert await (await connection.execute(query)).fetchall() == [(Decimal("1.50"),)]


async def test_a_dumper_of_ones_own_is_heeded(stand: Stand) -> None:
    class Shouted(original.types.string.StrDumper):
        def dump(self, obj: Any) -> Any:
            return super().dump(obj.lower())

    async with ready(stand) as engine, await connected(stand, engine) as connection:
        cursor = connection.cursor()
        cursor.adapters.register_dumper(str, Shouted)
        await cursor.execute("SELECT i FROM t WHERE s = %s", ["S3"])
        assert await cursor.fetchall() == [(3,)]
        assert connection.pgmd.decision is not None
        assert connection.pgmd.decision.reason is Reason.PARAMETERS
        await cursor.execute("SELECT i FROM t WHERE s = ANY(%s)", [["S3"]])
        assert await cursor.fetchall() == [(3,)]


async def test_errors_are_psycopgs(stand: Stand) -> None:
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        for query, params, kind in (
            ("SELECT nope FROM t", None, psycopg.errors.UndefinedColumn),
            ("SELECT * FROM nope", None, psycopg.errors.UndefinedTable),
            ("SELECT %s FROM t", [], psycopg.ProgrammingError),
            ("SELECT i FROM t WHERE i = %s", None, psycopg.errors.SyntaxError),
            ("INSERT INTO t (i) VALUES (1)", None, psycopg.errors.UniqueViolation),
            ("SELECT", ["too", "many"], psycopg.ProgrammingError),
        ):
            with pytest.raises(kind) as caught:
                await connection.execute(query, params)
            assert isinstance(caught.value, psycopg.Error)
        assert await (await connection.execute("SELECT max(i) FROM t")).fetchone() == (5,)


async def test_a_frameworks_cursor_is_routed(stand: Stand) -> None:
    class Theirs(original.AsyncClientCursor[Any]):
        executed: ClassVar[list[Any]] = []

        async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            self.executed.append(query)
            return await super().execute(query, params, **options)

    async with ready(stand) as engine:
        async with await connected(stand, engine, cursor_factory=Theirs) as connection:
            cursor = connection.cursor()
            await cursor.execute("SELECT s FROM t WHERE i = %s", [2])
            assert await cursor.fetchall() == [("s2",)]
            assert isinstance(cursor, Theirs)
            assert Theirs.executed == ["SELECT s FROM t WHERE i = %s"]
            assert connection.pgmd.stats == {"replica: READ": 1}


async def test_a_loader_of_the_program_is_heeded_from_then_on(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loud(original.types.string.TextLoader):
        def load(self, data: Any) -> Any:
            return bytes(data).decode().upper()

    query = "SELECT s FROM t WHERE i = 1"
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        assert await (await connection.execute(query)).fetchall() == [("s1",)]
        adapters = original.adapt.AdaptersMap(original.adapters)
        monkeypatch.setattr(original.adapters, "_loaders", [dict(m) for m in adapters._loaders])
        monkeypatch.setattr(original.adapters, "_own_loaders", [True, True])
        original.adapters.register_loader("varchar", Loud)
        original.adapters.register_loader("text", Loud)
        async with await connected(stand, engine) as later:
            assert await (await later.execute(query)).fetchall() == [("S1",)]


@pytest.mark.only("postgres", reason="of locks in PostgreSQL")
async def test_a_read_that_moved_leaves_nothing_open(stand: Stand) -> None:
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        await connection.execute("CREATE TABLE odd (a daterange[])")
        await connection.execute("INSERT INTO odd VALUES ('{}')")
        assert await (await connection.execute("SELECT * FROM odd")).fetchall() == [([],)]
        await connection.execute("SET lock_timeout = '5s'")
        await connection.execute("DROP TABLE odd")


async def test_errors_of_misuse_are_psycopgs(stand: Stand) -> None:
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        one, other = connection.cursor(), connection.cursor()
        await one.close()
        await other.execute("SELECT i FROM t")
        with pytest.raises(psycopg.InterfaceError, match="cursor is closed"):
            await one.execute("SELECT i FROM t")
        with pytest.raises(psycopg.InterfaceError, match="rows must be"):
            await other.fetchmany(-1)
        client = psycopg.AsyncClientCursor(connection)
        with pytest.raises(psycopg.NotSupportedError, match="binary"):
            await client.execute("SELECT i FROM t", binary=True)
        raw = psycopg.AsyncRawCursor(connection)
        with pytest.raises(TypeError):
            await raw.execute("SELECT i FROM t", {})
        assert other._query.query == b"SELECT i FROM t"  # type: ignore[union-attr]


async def test_code_that_is_not_pgmds_gets_the_real_connection(stand: Stand) -> None:
    async with ready(stand) as engine:
        for use in (
            lambda c: original.AsyncClientCursor(c).mogrify("SELECT %s", [b"x"]),
            lambda c: original.sql.Literal("it's").as_string(c),
            lambda c: original.sql.Identifier('a"b').as_string(c.cursor()),
            lambda c: c.pgconn.server_version,
        ):
            async with await connected(stand, engine) as connection:
                assert connection._is_unopened
                assert use(connection)
        options = {"autocommit": False, "route_reads": "lazy-begin"}
        async with await connected(stand, engine, **options) as connection:
            await connection.execute("SELECT i FROM t")
            cursor = original.AsyncCursor(connection)
            await cursor.execute("INSERT INTO t (i) VALUES (9)")
            await connection.rollback()
            cursor = original.AsyncCursor(connection)
            await cursor.execute("SELECT max(i) FROM t")
            assert await cursor.fetchone() == (5,)


# ------------------------------------------------------------------------------- what is routed


async def test_nothing_of_a_routed_read_reaches_the_endpoint(stand: Stand) -> None:
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        query = "SELECT s FROM t WHERE i = %s"
        await connection.execute(query, [1])
        asked = engine.stats()["endpoint"]["requests_num"]
        for i in range(1, 6):
            cursor = await connection.execute(query, [i])
            assert await cursor.fetchone() == (f"s{i}",)
        assert engine.stats()["endpoint"]["requests_num"] == asked
        # Not even a connection.
        assert connection._is_unopened
        assert connection.info.transaction_status == pq.TransactionStatus.IDLE
        await connection.execute("INSERT INTO t (i) VALUES (6)")
        assert not connection._is_unopened


async def test_lazy_can_be_switched_off(stand: Stand) -> None:
    async with ready(stand) as engine:
        async with await connected(stand, engine, lazy=False) as connection:
            assert isinstance(connection.pgconn, pq.PGconn)
        unread = original.conninfo.make_conninfo(stand.dsn, target_session_attrs="nonsense")
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(unread, engine=engine)


async def test_an_attribute_of_the_server_opens_the_connection(stand: Stand) -> None:
    async with ready(stand) as engine:
        async with await connected(stand, engine) as connection:
            cursor = connection.cursor()
            assert connection._is_unopened
            assert connection.info.server_version > 0
            assert not connection._is_unopened
            # One that was made before.
            await cursor.execute("INSERT INTO t (i) VALUES (6)")
            assert cursor.statusmessage == "INSERT 0 1"
        async with await connected(stand, engine) as connection:
            assert connection.fileno() > 0
        connection = await connected(stand, engine)
        await connection.close()
        assert connection.closed
        assert not connection.broken
        assert connection.info.transaction_status == pq.TransactionStatus.UNKNOWN
        with pytest.raises(psycopg.OperationalError, match="connection is closed"):
            await connection.execute("SELECT i FROM t")
        with pytest.raises(psycopg.OperationalError, match="connection is closed"):
            assert connection.info.host


async def test_what_psycopg_keeps_of_a_connection_does_not_connect(stand: Stand) -> None:
    async def transaction(connection: Any) -> None:
        async with connection.transaction():
            await connection.execute("SELECT i FROM t")

    async with ready(stand) as engine:
        async with await connected(stand, engine, autocommit=False) as connection:
            for look in (
                lambda c: c.set_read_only(True),
                transaction,
                lambda c: c.set_autocommit(True),
                lambda c: c.commit(),
                lambda c: c.rollback(),
                lambda c: c.cancel_safe(),
            ):
                await look(connection)
                assert connection._is_unopened
            cursor = connection.cursor()
            connection.cancel()
            assert "IDLE" in repr(connection) + repr(cursor)
            assert not connection.closed
            assert not connection.broken
            assert connection.info.status == pq.ConnStatus.OK
            assert connection._is_unopened


async def test_to_look_at_a_transaction_that_waits_does_not_begin_it(stand: Stand) -> None:
    async with ready(stand) as engine:
        options = {"autocommit": False, "route_reads": "lazy-begin", "lazy": False}
        async with await connected(stand, engine, **options) as connection:
            await connection.execute("SELECT i FROM t")
            assert "INTRANS" in repr(connection) + repr(connection.cursor())
            assert not connection.closed
            assert not connection.broken
            assert connection.fileno() > 0
            connection.cancel()
            await connection.cancel_safe()
            assert connection._real.transaction_status == pq.TransactionStatus.IDLE
            assert connection.info.transaction_status == pq.TransactionStatus.INTRANS


async def test_reads_in_a_transaction_stay(stand: Stand) -> None:
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        async with connection.transaction():
            await connection.execute("UPDATE t SET s = 'new' WHERE i = 1")
            cursor = await connection.execute("SELECT s FROM t WHERE i = 1")
            assert await cursor.fetchone() == ("new",)
        await connection.execute("BEGIN")
        await connection.execute("SELECT s FROM t WHERE i = 1")
        await connection.execute("ROLLBACK")
        assert connection.pgmd.stats["endpoint: TRANSACTION"] == 2
        await connection.set_autocommit(False)
        await connection.execute("SELECT s FROM t WHERE i = 1")
        assert connection.pgmd.decision is not None
        assert "autocommit" in connection.pgmd.decision.explain()
        assert connection.info.transaction_status == pq.TransactionStatus.INTRANS


async def test_other_connections_of_the_engine_see_a_write(stand: Stand) -> None:
    async with (
        ready(stand) as engine,
        await connected(stand, engine) as one,
        await connected(stand, engine) as other,
    ):

        async def sum_of(connection: Any) -> Any:
            return await (await connection.execute("SELECT sum(i) FROM t")).fetchone()

        assert await sum_of(other) == (15,)
        async with one.cursor() as cursor:
            await cursor.execute("INSERT INTO t (i) VALUES (10)")
        assert await sum_of(other) == (25,)
        assert await sum_of(one) == (25,)
        async with one.cursor() as cursor:
            await cursor.executemany("INSERT INTO t (i) VALUES (%s)", [(20,), (30,)])
        assert await sum_of(other) == (75,)
        async with one.transaction():
            await one.execute("DELETE FROM t WHERE i = 30")
            assert await sum_of(other) == (75,)
        assert await sum_of(other) == (45,)
        await one.set_autocommit(False)
        await one.execute("DELETE FROM t WHERE i = 20")
        assert await sum_of(other) == (45,)
        await one.commit()
        assert await sum_of(other) == (25,)
        if not stand.is_live:
            assert "endpoint: STALE" in other.pgmd.stats
            await engine.publish()
        assert await sum_of(other) == (25,)
        assert other.pgmd.decision is not None
        assert other.pgmd.decision.route is Route.REPLICA


@pytest.mark.only("postgres", reason="the local endpoint has no temporary tables")
async def test_what_a_connection_has_set_ties_its_reads_to_it(stand: Stand) -> None:
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        await connection.execute("CREATE TEMP TABLE mine (i INTEGER)")
        await connection.execute("SELECT i FROM t")
        assert connection.pgmd.decision is not None
        assert connection.pgmd.decision.reason is Reason.PINNED
        async with await connected(stand, engine) as other:
            await other.execute("SELECT i FROM t")
            assert other.pgmd.stats == {"replica: READ": 1}


async def test_lazy_begin(stand: Stand) -> None:
    async with ready(stand) as engine:
        options = {"autocommit": False, "route_reads": "lazy-begin"}
        async with await connected(stand, engine, **options) as connection:
            await connection.execute("SELECT i FROM t")
            # What a program sees of it is a transaction.
            assert connection.info.transaction_status == pq.TransactionStatus.INTRANS
            assert "INTRANS" in repr(connection.cursor())
            with pytest.raises(psycopg.ProgrammingError, match="INTRANS"):
                await connection.set_autocommit(True)
            await connection.commit()
            assert connection.info.transaction_status == pq.TransactionStatus.IDLE
            assert connection._is_unopened
            assert connection.info.dbname
            await connection.execute("SELECT i FROM t")
            assert connection.info.dbname
            # Who takes the connection itself has the transaction on it.
            assert connection.pgconn.transaction_status == pq.TransactionStatus.INTRANS
            await connection.rollback()
            await connection.execute("SELECT i FROM t")
            await connection.execute("UPDATE t SET s = 'new' WHERE i = 1")
            cursor = await connection.execute("SELECT s FROM t WHERE i = 1")
            assert await cursor.fetchone() == ("new",)
            assert connection.pgmd.stats["replica: READ"] == 3
            await connection.rollback()
            cursor = await connection.execute("SELECT s FROM t WHERE i = 1")
            assert await cursor.fetchone() == ("s1",)
            await connection.commit()


@pytest.mark.only("postgres", reason="the local endpoint has no savepoints")
async def test_a_block_after_lazy_reads_is_a_savepoint(stand: Stand) -> None:
    async with ready(stand) as engine:
        options = {"autocommit": False, "route_reads": "lazy-begin"}
        async with await connected(stand, engine, **options) as connection:
            await connection.execute("SELECT i FROM t")
            async with connection.transaction() as block:
                assert block.savepoint_name
                await connection.execute("DELETE FROM t")
            await connection.rollback()
            cursor = await connection.execute("SELECT count(*) FROM t")
            assert await cursor.fetchone() == (5,)


async def test_routing_is_switched_off(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        await connection.execute("/*+ pgmd: endpoint */ SELECT i FROM t")
        assert connection.pgmd.stats == {"endpoint: ASKED": 1}
        await connection.execute("SELECT i FROM t", prepare=True)
        assert "replica: READ" not in connection.pgmd.stats
        connection.pgmd.route_reads = "off"
        await connection.execute("SELECT i FROM t")
        connection.pgmd.route_reads = "autocommit"
        await connection.execute("SELECT i FROM t")
        assert connection.pgmd.stats["replica: READ"] == 1
        assert connection.pgmd.explain("SELECT i FROM t").route is Route.REPLICA
        assert connection.pgmd.explain("DELETE FROM t").reason is Reason.NOT_A_READ
        with pytest.raises(pgmd.ConfigurationError, match="route_reads"):
            connection.pgmd.route_reads = "always"  # type: ignore[assignment]
        monkeypatch.setenv("PGMD_ROUTE_READS", "off")
        async with await connected(stand, engine) as other:
            await other.execute("SELECT i FROM t")
            assert "replica: READ" not in other.pgmd.stats


async def test_a_pipeline_stays_on_the_endpoint(stand: Stand) -> None:
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        if not stand.is_postgres:
            await connection.execute("SELECT i FROM t")
        async with connection.pipeline():
            first = await connection.execute("SELECT i FROM t WHERE i = 1")
            second = await connection.execute("SELECT i FROM t WHERE i = 2")
            assert await second.fetchone() == (2,)
            assert await first.fetchone() == (1,)
        assert connection.pgmd.stats["endpoint: TRANSACTION"] == 2


async def test_streams_and_copies_are_the_endpoints(stand: Stand) -> None:
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        cursor = connection.cursor()
        assert [row async for row in cursor.stream("SELECT i FROM t ORDER BY i")][-1] == (5,)
        if stand.is_postgres:
            async with cursor.copy("COPY t (i) FROM STDIN") as copy:
                await copy.write_row((77,))
            await connection.execute("SELECT max(i) FROM t")
            assert connection.pgmd.decision is not None
            assert connection.pgmd.decision.route is Route.REPLICA


# ------------------------------------------------------------------------ read-only transactions


async def test_a_read_only_transaction_is_a_snapshot(stand: Stand) -> None:
    async with ready(stand) as engine, await connected(stand, engine, autocommit=False) as reader:
        await reader.set_read_only(True)
        async with await connected(stand, engine) as writer:
            await reader.execute("SELECT count(*) FROM t")
            assert reader.info.transaction_status == pq.TransactionStatus.INTRANS
            await writer.execute("DELETE FROM t WHERE i = 5")
            if not stand.is_live:
                await engine.publish()
            cursor = await reader.execute("SELECT count(*) FROM t")
            assert await cursor.fetchone() == (5,)
            assert reader.pgmd.decision is not None
            assert reader.pgmd.decision.route is Route.REPLICA
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await reader.execute("DELETE FROM t")
            await reader.rollback()
            await reader.execute("SELECT count(*) FROM t")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
                await reader.cursor().executemany("DELETE FROM t WHERE i = %s", [(1,)])
            if stand.is_postgres:
                assert caught.value.diag.severity == "ERROR"
                assert reader.info.transaction_status == pq.TransactionStatus.INERROR
            await reader.rollback()
            assert reader.info.transaction_status == pq.TransactionStatus.IDLE
            cursor = await reader.execute("SELECT count(*) FROM t")
            assert await cursor.fetchone() == (4,)
            await reader.rollback()
            async with reader.transaction():
                async with reader.transaction():
                    cursor = await reader.execute("SELECT max(i) FROM t")
                    assert await cursor.fetchone() == (4,)
                assert reader.info.transaction_status == pq.TransactionStatus.INTRANS
            assert reader.info.transaction_status == pq.TransactionStatus.IDLE
        assert (
            engine.stats()["replicas"]["pool_available"]
            == engine._core.replicas.stats()["pool_size"]
        )


async def test_a_pool_ends_a_read_only_transaction_that_was_left_open(stand: Stand) -> None:
    async with ready(stand) as engine:
        pool = psycopg_pool.AsyncConnectionPool(
            stand.dsn, kwargs={"engine": engine}, min_size=1, max_size=1, open=False
        )
        async with pool:
            connection = await pool.getconn()
            await connection.set_read_only(True)
            await connection.execute("SELECT count(*) FROM t")
            await pool.putconn(connection)
            connection = await pool.getconn()
            assert connection.info.transaction_status == pq.TransactionStatus.IDLE
            await pool.putconn(connection)
        assert (
            engine.stats()["replicas"]["pool_available"]
            == engine._core.replicas.stats()["pool_size"]
        )


async def test_a_read_that_a_replica_cannot_run_in_a_read_only_transaction(stand: Stand) -> None:
    query = "SELECT current_setting('TimeZone') IS NOT NULL"
    async with ready(stand) as engine, await connected(stand, engine, autocommit=False) as reader:
        await reader.set_read_only(True)
        await reader.execute("SELECT count(*) FROM t")
        if stand.is_postgres:
            # Each statement of a READ COMMITTED transaction has a moment of its own anyway.
            assert await (await reader.execute(query)).fetchone() == (True,)
            await reader.rollback()
            await reader.execute("SELECT count(*) FROM t")
            raw = psycopg.AsyncRawCursor(reader)
            await raw.execute("SELECT s FROM t WHERE i = $1", [1])
            assert await raw.fetchone() == ("s1",)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await reader.execute("DELETE FROM t")
            await reader.rollback()
            await reader.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await reader.execute("SELECT count(*) FROM t")
        with pytest.raises(psycopg.NotSupportedError, match="read-only transaction is on a repl"):
            await reader.execute(query)
        await reader.rollback()
        assert await (await reader.execute(query)).fetchone() == (True,)


async def test_the_first_read_of_a_block_may_be_the_endpoints(stand: Stand) -> None:
    """It begins there then, to read only."""
    async with ready(stand) as engine, await connected(stand, engine) as reader:
        await reader.set_read_only(True)
        for query in ("SELECT nope FROM t", "SELECT current_setting('TimeZone')"):
            async with reader.transaction(force_rollback=True):
                try:
                    await reader.execute(query)
                except psycopg.errors.UndefinedColumn:
                    # A DuckDB goes on with its transaction.
                    failed = "INERROR" if stand.is_postgres else "INTRANS"
                    assert reader.info.transaction_status.name == failed
                else:
                    assert reader.info.transaction_status == pq.TransactionStatus.INTRANS
                    with pytest.raises(psycopg.Error, match="read-only"):
                        await reader.execute("DELETE FROM t")
            assert reader.info.transaction_status == pq.TransactionStatus.IDLE
        assert await (await reader.execute("SELECT max(i) FROM t")).fetchone() == (5,)
        assert reader.pgmd.stats["endpoint: NOT_A_READ"] >= 1


# ------------------------------------------------------------------------------------ life cycle


async def test_cancel_stops_a_read_on_a_replica(stand: Stand) -> None:
    # 5 rows to the power of 20.
    query = f"SELECT count(*) FROM {', '.join(f't t{n}' for n in range(20))}"
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        await connection.execute("SELECT i FROM t")
        jobs: Any = runtime.Jobs(1)
        job = jobs.start(lambda: connection.execute(query), lambda: None)
        routing: Any = connection._routing
        await until(lambda: routing._asking.running is not None)
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await jobs.result(job)
        await jobs.close()
        assert await (await connection.execute("SELECT max(i) FROM t")).fetchone() == (5,)
        assert (
            engine.stats()["replicas"]["pool_available"]
            == engine._core.replicas.stats()["pool_size"]
        )


async def test_a_cancel_that_duckdb_forgets_is_repeated(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that comes before the query has begun is without effect.
    given = duck.Cursor.interrupt
    forgotten: list[Any] = []

    def forget_the_first(self: Any, run: Any) -> None:
        if forgotten:
            given(self, run)
        forgotten.append(run)

    monkeypatch.setattr(duck.Cursor, "interrupt", forget_the_first)
    query = f"SELECT count(*) FROM {', '.join(f't t{n}' for n in range(20))}"
    async with ready(stand) as engine, await connected(stand, engine) as connection:
        jobs: Any = runtime.Jobs(1)
        job = jobs.start(lambda: connection.execute(query), lambda: None)
        asking: Any = connection._routing._asking
        await until(lambda: asking.running is not None and asking.running.slot.cursor is not None)
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await jobs.result(job)
        await jobs.close()
        assert len(forgotten) > 1


async def test_an_engine_serves_its_own_server_only(stand: Stand) -> None:
    elsewhere = original.conninfo.make_conninfo(stand.dsn, dbname="elsewhere")
    async with ready(stand) as engine:
        with pytest.raises(pgmd.ConfigurationError, match="its endpoint is another"):
            await psycopg.AsyncConnection.connect(elsewhere, engine=engine)
        # Without an address: the engine's own.
        async with await psycopg.AsyncConnection.connect(engine=engine, autocommit=True) as ours:
            await ours.execute("INSERT INTO t (i) VALUES (6)")
        psycopg.attach(engine)
        try:
            async with await connected(stand, None) as connection:
                assert connection.pgmd.engine is engine
                cursor = await connection.execute("SELECT count(*) FROM t")
                assert await cursor.fetchone() == (6,)
            seen_otherwise = original.conninfo.make_conninfo(stand.dsn, options="-c search_path=x")
            if stand.is_postgres:
                async with await psycopg.AsyncConnection.connect(seen_otherwise) as connection:
                    assert connection.pgmd.engine is None
        finally:
            await detach()
        async with await connected(stand, None) as connection:
            assert connection.pgmd.engine is None
            with pytest.raises(pgmd.UsageError, match="no engine"):
                connection.pgmd.explain("SELECT 1")
    with pytest.raises(pgmd.UsageError, match="closed"):
        await connected(stand, engine)


@pytest.mark.only("postgres", reason="another process than the file's cannot read a local endpoint")
async def test_the_environment_attaches_replicas(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(stand):
        pass
    monkeypatch.setenv("PGMD_REPLICAS", "1")
    try:
        async with await connected(stand, None) as one, await connected(stand, None) as other:
            engine = one.pgmd.engine
            assert engine is not None
            assert other.pgmd.engine is engine
            await engine.wait()
            await one.execute("SELECT i FROM t")
            assert one.pgmd.stats == {"replica: READ": 1}
    finally:
        await detach()
    with pytest.raises(pgmd.UsageError, match="closed"):
        engine._core.check_open()


async def test_a_pool_lends_routed_connections(stand: Stand) -> None:
    async with ready(stand) as engine:
        kwargs = {"engine": engine, "autocommit": True}
        for kind in (psycopg_pool.AsyncConnectionPool, psycopg_pool.AsyncNullConnectionPool):
            pool = kind(stand.dsn, kwargs=kwargs, min_size=0, max_size=2, open=False)
            async with pool, pool.connection() as connection:
                assert isinstance(connection, psycopg.AsyncConnection)
                cursor = await connection.execute("SELECT max(i) FROM t")
                assert await cursor.fetchone() == (5,)
                assert connection.pgmd.stats == {"replica: READ": 1}


async def test_a_pool_wakes_no_server(stand: Stand) -> None:
    """It looks whether what comes back to it is idle; so does psycopg_pool's own."""
    async with ready(stand) as engine:
        kwargs = {"engine": engine, "autocommit": True}
        for kind in (psycopg_pool.AsyncConnectionPool, original_pool.AsyncConnectionPool):
            pool = kind(
                stand.dsn,
                connection_class=psycopg.AsyncConnection,
                kwargs=kwargs,
                min_size=1,
                max_size=1,
                open=False,
            )
            async with pool:
                for _ in range(2):
                    async with pool.connection() as connection:
                        await connection.execute("SELECT i FROM t")
                        assert connection._is_unopened
