# Generated from tests/async_/test_profiles.py by pgmd._tools.unasync. Do not edit.
"""What an engine does differently where the endpoint is not PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.rows import scalar_row

import pgmd
from pgmd import Reason, Route

from ..fixtures.stands import Stand
from .helpers import engine_on


def backend(engine: pgmd.Engine) -> int:
    """The server's number of the connection that the next statement gets."""
    connection = engine._core.lend()
    try:
        return connection.connection.info.backend_pid
    finally:
        connection.give_back()


def test_a_stand_is_recognised(stand: Stand) -> None:
    with engine_on(stand, 0) as engine:
        assert engine._core.profile.name == ("postgres" if stand.is_postgres else "duckdb")
        assert engine._core.profile.reports_transactions


@pytest.mark.only("postgres", reason="it is sent as text to a local endpoint")
def test_a_str_is_sent_without_a_type_as_psycopg_does(stand: Stand) -> None:
    with engine_on(stand, 0) as engine, engine.session() as s:
        with pytest.raises(psycopg.errors.IndeterminateDatatype):
            s.execute("SELECT pg_typeof(%s)::text", ["x"])


@pytest.mark.only("local", reason="its type is left open where PostgreSQL finds it")
def test_a_str_is_sent_as_text_where_the_dialect_is_duckdbs(stand: Stand) -> None:
    query = "SELECT %s"
    with psycopg.connect(stand.dsn) as plain:
        with pytest.raises(psycopg.Error, match="ambiguous result column types"):
            plain.execute(query, ["x"])
    with engine_on(stand, 0) as engine:
        with engine.session(row_factory=scalar_row) as s:
            assert kind_of(s, "x") == (25, "x")
            assert kind_of(s, 5) == (21, 5)


def kind_of(s: pgmd.Session[object], value: object) -> tuple[int, object]:
    result = s.execute("SELECT %s", [value])
    assert result.description is not None
    return result.description[0].type_code, result.fetchone()


@pytest.mark.parametrize("repeated", ["SELECT 1 AS a", "SELECT a FROM t WHERE a = %s"])
def test_a_schema_change_after_many_equal_statements(stand: Stand, repeated: str) -> None:
    params = [1] if "%s" in repeated else None
    with engine_on(stand, 0, max_size=1) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 1 AS a")
        # psycopg prepares a statement the sixth time, and forgets it, with DEALLOCATE ALL, once a
        # table is dropped. DuckDB cannot parse that.
        for _ in range(2):
            for _ in range(8):
                assert (s.execute(repeated, params)).fetchall() == [(1,)]
            s.execute("CREATE TABLE u (a int)")
            s.execute("DROP TABLE u")


def test_a_connection_with_session_state_is_not_handed_on(stand: Stand) -> None:
    zone = "SELECT current_setting('TimeZone')"
    with engine_on(stand, 0, max_size=1) as engine:
        first = backend(engine)
        with engine.session() as s:
            before = (s.execute(zone)).fetchone()
            s.execute("SET TIME ZONE 'Asia/Tokyo'")
            assert (s.execute(zone)).fetchone() == ("Asia/Tokyo",)
        # DISCARD ALL makes one of PostgreSQL's as good as new, DuckDB cannot parse it.
        assert (backend(engine) == first) is stand.is_postgres
        with engine.session() as s:
            assert (s.execute(zone)).fetchone() == before


def test_transactions_hold_at_an_endpoint_that_always_says_idle(idle_stand: Stand) -> None:
    count = "SELECT count(*) FROM t"
    with engine_on(idle_stand, 1, max_size=1) as engine, engine.session() as s:
        assert not engine._core.profile.reports_transactions
        s.execute("CREATE TABLE t (n int UNIQUE)")
        with s.transaction() as tx:
            tx.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(ZeroDivisionError):
            with s.transaction() as tx:
                tx.execute("INSERT INTO t VALUES (2)")
                raise ZeroDivisionError
        with pytest.raises(psycopg.errors.UniqueViolation):
            with s.transaction() as tx:
                tx.execute("INSERT INTO t VALUES (3)")
                tx.execute("INSERT INTO t VALUES (1)")
        assert (s.execute(count)).fetchone() == (1,)
        engine.publish()
        seen = s.execute(count)
        assert (seen.decision.route, seen.fetchone()) == (Route.REPLICA, (1,))


def test_a_failed_transaction_is_not_handed_on_by_an_endpoint_that_always_says_idle(
    idle_stand: Stand,
) -> None:
    with engine_on(idle_stand, 0, max_size=1) as engine, engine.session() as s:
        first = backend(engine)
        with s.transaction() as tx:
            tx.execute("SELECT 1")
        assert backend(engine) == first
        with pytest.raises(ZeroDivisionError):
            with s.transaction() as tx:
                tx.execute("SELECT 1")
                raise ZeroDivisionError
        assert backend(engine) != first


def test_begin_as_text_ends_with_its_session_at_an_endpoint_that_always_says_idle(
    idle_stand: Stand,
) -> None:
    with engine_on(idle_stand, 1, max_size=1) as engine:
        with engine.session() as s:
            s.execute("CREATE TABLE t AS SELECT 1 AS n")
            s.execute("BEGIN")
            s.execute("INSERT INTO t VALUES (2)")
            inside = s.execute("SELECT count(*) FROM t")
            assert (inside.fetchone(), inside.decision.reason) == ((2,), Reason.PINNED)
        with engine.session() as s:
            assert (s.endpoint.execute("SELECT count(*) FROM t")).fetchone() == (1,)
            with s.snapshot() as snap:
                seen = snap.execute("SELECT count(*) FROM t")
                assert (seen.fetchone(), seen.decision.route) == ((1,), Route.ENDPOINT)
            s.execute("INSERT INTO t VALUES (3)")
            assert (s.execute("SELECT count(*) FROM t")).fetchone() == (2,)
