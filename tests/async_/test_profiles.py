"""What an engine does differently where the endpoint is not PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.rows import scalar_row

import pgmd
from pgmd import Reason, Route

from ..fixtures.stands import Stand
from .helpers import engine_on


async def backend(engine: pgmd.AsyncEngine) -> int:
    """The server's number of the connection that the next statement gets."""
    connection = await engine._core.lend()
    try:
        return connection.connection.info.backend_pid
    finally:
        await connection.give_back()


async def test_a_stand_is_recognised(stand: Stand) -> None:
    async with await engine_on(stand, 0) as engine:
        assert engine._core.profile.name == ("postgres" if stand.is_postgres else "duckdb")
        assert engine._core.profile.reports_transactions


@pytest.mark.only("postgres", reason="it is sent as text to a local endpoint")
async def test_a_str_is_sent_without_a_type_as_psycopg_does(stand: Stand) -> None:
    async with await engine_on(stand, 0) as engine, engine.session() as s:
        with pytest.raises(psycopg.errors.IndeterminateDatatype):
            await s.execute("SELECT pg_typeof(%s)::text", ["x"])


@pytest.mark.only("local", reason="its type is left open where PostgreSQL finds it")
async def test_a_str_is_sent_as_text_where_the_dialect_is_duckdbs(stand: Stand) -> None:
    query = "SELECT %s"
    with psycopg.connect(stand.dsn) as plain:
        with pytest.raises(psycopg.Error, match="ambiguous result column types"):
            plain.execute(query, ["x"])
    async with await engine_on(stand, 0) as engine:
        async with engine.session(row_factory=scalar_row) as s:
            assert await kind_of(s, "x") == (25, "x")
            assert await kind_of(s, 5) == (21, 5)


async def kind_of(s: pgmd.AsyncSession[object], value: object) -> tuple[int, object]:
    result = await s.execute("SELECT %s", [value])
    assert result.description is not None
    return result.description[0].type_code, result.fetchone()


@pytest.mark.parametrize("repeated", ["SELECT 1 AS a", "SELECT a FROM t WHERE a = %s"])
async def test_a_schema_change_after_many_equal_statements(stand: Stand, repeated: str) -> None:
    params = [1] if "%s" in repeated else None
    async with await engine_on(stand, 0, max_size=1) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t AS SELECT 1 AS a")
        # psycopg prepares a statement the sixth time, and forgets it, with DEALLOCATE ALL, once a
        # table is dropped. DuckDB cannot parse that.
        for _ in range(2):
            for _ in range(8):
                assert (await s.execute(repeated, params)).fetchall() == [(1,)]
            await s.execute("CREATE TABLE u (a int)")
            await s.execute("DROP TABLE u")


async def test_a_connection_with_session_state_is_not_handed_on(stand: Stand) -> None:
    zone = "SELECT current_setting('TimeZone')"
    async with await engine_on(stand, 0, max_size=1) as engine:
        first = await backend(engine)
        async with engine.session() as s:
            before = (await s.execute(zone)).fetchone()
            await s.execute("SET TIME ZONE 'Asia/Tokyo'")
            assert (await s.execute(zone)).fetchone() == ("Asia/Tokyo",)
        # DISCARD ALL makes one of PostgreSQL's as good as new, DuckDB cannot parse it.
        assert (await backend(engine) == first) is stand.is_postgres
        async with engine.session() as s:
            assert (await s.execute(zone)).fetchone() == before


async def test_transactions_hold_at_an_endpoint_that_always_says_idle(idle_stand: Stand) -> None:
    count = "SELECT count(*) FROM t"
    async with await engine_on(idle_stand, 1, max_size=1) as engine, engine.session() as s:
        assert not engine._core.profile.reports_transactions
        await s.execute("CREATE TABLE t (n int UNIQUE)")
        async with s.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(ZeroDivisionError):
            async with s.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (2)")
                raise ZeroDivisionError
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with s.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (3)")
                await tx.execute("INSERT INTO t VALUES (1)")
        assert (await s.execute(count)).fetchone() == (1,)
        await engine.publish()
        seen = await s.execute(count)
        assert (seen.decision.route, seen.fetchone()) == (Route.REPLICA, (1,))


async def test_a_failed_transaction_is_not_handed_on_by_an_endpoint_that_always_says_idle(
    idle_stand: Stand,
) -> None:
    async with await engine_on(idle_stand, 0, max_size=1) as engine, engine.session() as s:
        first = await backend(engine)
        async with s.transaction() as tx:
            await tx.execute("SELECT 1")
        assert await backend(engine) == first
        with pytest.raises(ZeroDivisionError):
            async with s.transaction() as tx:
                await tx.execute("SELECT 1")
                raise ZeroDivisionError
        assert await backend(engine) != first


async def test_begin_as_text_ends_with_its_session_at_an_endpoint_that_always_says_idle(
    idle_stand: Stand,
) -> None:
    async with await engine_on(idle_stand, 1, max_size=1) as engine:
        async with engine.session() as s:
            await s.execute("CREATE TABLE t AS SELECT 1 AS n")
            await s.execute("BEGIN")
            await s.execute("INSERT INTO t VALUES (2)")
            inside = await s.execute("SELECT count(*) FROM t")
            assert (inside.fetchone(), inside.decision.reason) == ((2,), Reason.PINNED)
        async with engine.session() as s:
            assert (await s.endpoint.execute("SELECT count(*) FROM t")).fetchone() == (1,)
            async with s.snapshot() as snap:
                seen = await snap.execute("SELECT count(*) FROM t")
                assert (seen.fetchone(), seen.decision.route) == ((1,), Route.ENDPOINT)
            await s.execute("INSERT INTO t VALUES (3)")
            assert (await s.execute("SELECT count(*) FROM t")).fetchone() == (2,)
