"""Endpoints that are not PostgreSQL. What they lack is not needed; the server here is one that has it."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

import pgmd
from pgmd import Route
from pgmd._async import endpoint as endpoint_module
from pgmd.profile import Profile


@pytest.fixture
def taken_for(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Make the engine take the server for another kind than it is."""

    def take(name: str, *, reports_transactions: bool = True) -> None:
        real = endpoint_module.recognise

        def recognise(row: object, **facts: bool) -> Profile:
            found = real(row, **facts)
            return replace(found, name=name, reports_transactions=reports_transactions)  # type: ignore[arg-type]

        monkeypatch.setattr(endpoint_module, "recognise", recognise)

    return take


async def test_a_str_is_sent_as_text_where_the_dialect_is_duckdbs(dsn: str, taken_for) -> None:  # type: ignore[no-untyped-def]
    query = "SELECT pg_typeof(%s)::text"
    async with await pgmd.connect_async(dsn) as engine, engine.session() as s:
        with pytest.raises(psycopg.errors.IndeterminateDatatype):
            await s.execute(query, ["x"])
    taken_for("motherduck")
    async with await pgmd.connect_async(dsn) as engine, engine.session() as s:
        assert (await s.execute(query, ["x"])).fetchone() == ("text",)
        assert (await s.execute(query, [5])).fetchone() == ("smallint",)


async def test_nothing_is_prepared_where_deallocate_all_is_unknown(dsn: str, taken_for) -> None:  # type: ignore[no-untyped-def]
    taken_for("duckdb")
    async with await pgmd.connect_async(dsn, max_size=1) as engine, engine.session() as s:
        for _ in range(8):
            await s.endpoint.execute("SELECT 1 AS a")
        prepared = await s.endpoint.execute("SELECT count(*) FROM pg_prepared_statements")
        assert prepared.fetchone() == (0,)


async def test_a_nested_transaction_is_refused_before_anything_is_sent(dsn: str, taken_for) -> None:  # type: ignore[no-untyped-def]
    taken_for("motherduck")
    async with await pgmd.connect_async(dsn) as engine, engine.session() as s:
        async with s.transaction() as tx:
            await tx.execute("CREATE TABLE t AS SELECT 1 AS n")
            with pytest.raises(pgmd.NotSupportedError, match="SAVEPOINT"):
                async with tx.transaction():
                    pass
            await tx.execute("INSERT INTO t VALUES (2)")
        assert (await s.execute("SELECT count(*) FROM t")).fetchone() == (2,)


async def test_a_connection_that_cannot_be_reset_is_replaced(dsn: str, taken_for) -> None:  # type: ignore[no-untyped-def]
    taken_for("duckdb")
    async with await pgmd.connect_async(dsn, max_size=1) as engine:
        pids = []
        for _ in range(2):
            async with engine.session() as s:
                await s.execute("SET statement_timeout = 12345")
                pids.append((await s.execute("SELECT pg_backend_pid()")).fetchone())
        assert pids[0] != pids[1]
        async with engine.session() as s:
            shown = await s.execute("SELECT current_setting('statement_timeout')")
            assert shown.fetchone() == ("0",)


async def test_a_failed_transaction_is_not_handed_on_by_an_endpoint_that_always_says_idle(
    dsn: str,
    taken_for,  # type: ignore[no-untyped-def]
) -> None:
    taken_for("motherduck", reports_transactions=False)
    async with await pgmd.connect_async(dsn, max_size=1) as engine, engine.session() as s:
        first = (await s.execute("SELECT pg_backend_pid()")).fetchone()
        with pytest.raises(ZeroDivisionError):
            async with s.transaction():
                raise ZeroDivisionError
        assert (await s.execute("SELECT pg_backend_pid()")).fetchone() != first
        async with s.transaction() as tx:
            second = (await tx.execute("SELECT pg_backend_pid()")).fetchone()
        assert (await s.execute("SELECT pg_backend_pid()")).fetchone() == second


async def test_where_both_speak_duckdb_nothing_is_asked_about_dialects(dsn: str, taken_for) -> None:  # type: ignore[no-untyped-def]
    taken_for("duckdb")
    async with await pgmd.connect_async(dsn, replicas=1) as engine, engine.session() as s:
        result = await s.execute("SELECT 7/2 AS q")
        assert result.decision.route is Route.REPLICA
        assert result.fetchone() == (3.5,)
