# Generated from tests/async_/test_dropin_fixes.py by pgmd._tools.unasync. Do not edit.
"""The drop-in on an endpoint that is a DuckDB: psycopg's habits work, or say what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg as original
import pytest
from psycopg import pq

import pgmd
from pgmd import psycopg, psycopg_pool
from pgmd.local import Quirks

from ..fixtures.stands import Stand, local_stand


def connected(stand: Stand, **options: Any) -> psycopg.Connection[Any]:
    return psycopg.Connection.connect(stand.dsn, **{"autocommit": True, **options})


@pytest.mark.only("postgres", reason="there nothing is to be mended")
def test_postgresql_is_psycopgs_own(stand: Stand) -> None:
    with connected(stand) as connection:
        assert connection._routing.is_plain
        assert connection.prepare_threshold == 5
        connection.set_deferrable(True)
        with connection.transaction(), connection.transaction():
            pass
        connection.set_autocommit(False)
        with connection.cursor("named") as cursor:
            cursor.execute("SELECT generate_series(1, 3)")
            assert cursor.fetchall() == [(1,), (2,), (3,)]
        with pytest.raises(psycopg.errors.SyntaxError) as caught:
            connection.execute("SELEC")
        assert caught.value.__cause__ is None


@pytest.mark.only("local", reason="PostgreSQL has all of it")
def test_what_there_is_not_is_refused_before_it_is_sent(stand: Stand) -> None:
    with connected(stand) as connection:
        connection.execute("CREATE TABLE t (i INTEGER)")
        cursor = connection.cursor()

        def nested() -> None:
            with connection.transaction(), connection.transaction():
                pass

        def copied() -> None:
            with cursor.copy("COPY t FROM STDIN"):
                pass

        def two_phase() -> None:
            connection.set_autocommit(False)
            connection.tpc_begin("x")

        for work, advice in (
            (nested, "one transaction"),
            (lambda: connection.set_isolation_level(psycopg.IsolationLevel.SERIALIZABLE), "snap"),
            (lambda: connection.set_deferrable(True), "leave it out"),
            (copied, "INSERT many rows"),
            (lambda: cursor.execute("SAVEPOINT s"), "one transaction"),
            (lambda: cursor.execute("DECLARE c CURSOR FOR SELECT 1"), "execute the query"),
            (lambda: cursor.execute("LISTEN news"), "poll"),
            (lambda: cursor.execute("DEALLOCATE ALL"), "close"),
            (lambda: cursor.executemany("SAVEPOINT s", [()]), "one transaction"),
            (two_phase, "transaction()"),
        ):
            with pytest.raises(pgmd.NotSupportedError, match=advice):
                work()
            assert connection.pgconn.transaction_status == pq.TransactionStatus.IDLE
        with pytest.raises(psycopg.NotSupportedError, match="stream"):
            connection.cursor("named")
        assert (connection.execute("SELECT count(*) FROM t")).fetchone() == (0,)
        connection.rollback()


@pytest.mark.only("local", reason="PostgreSQL has prepared statements")
def test_many_executions_prepare_nothing(stand: Stand) -> None:
    with connected(stand) as connection:
        assert connection.prepare_threshold is None
        for i in range(12):
            cursor = connection.execute("SELECT %s::INTEGER + 1", [i], prepare=True)
            assert cursor.fetchone() == (i + 1,)
        connection.execute("CREATE TABLE t (s VARCHAR)")
        connection.cursor().executemany("INSERT INTO t VALUES (%s)", [("a",), ("b",)])
        # Psycopg would leave the type of a str open, and the endpoint could not tell it.
        assert (connection.execute("SELECT %s", ["x"])).fetchone() == ("x",)


@pytest.mark.only("local", reason="there a str may stay without a type")
def test_a_dumper_of_ones_own_is_not_replaced(stand: Stand) -> None:
    class Shouted(original.types.string.StrDumper):
        def dump(self, obj: Any) -> Any:
            return super().dump(obj.upper())

    context = original.adapt.AdaptersMap(original.adapters)
    context.register_dumper(str, Shouted)
    with connected(stand, context=context) as connection:
        assert (connection.execute("SELECT %s", ["x"])).fetchone() == ("X",)


@pytest.mark.only("local", reason="PostgreSQL says what went wrong")
def test_errors_have_the_class_that_postgresql_gives(stand: Stand) -> None:
    with connected(stand) as connection:
        connection.execute("CREATE TABLE t (i INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO t VALUES (1)")
        for query, kind, sqlstate in (
            ("SELECT * FROM nope", psycopg.errors.UndefinedTable, "42P01"),
            ("INSERT INTO t VALUES (1)", psycopg.errors.UniqueViolation, "23505"),
            ("SELEC 1", psycopg.errors.SyntaxError, "42601"),
            ("SELECT 'x'::INTEGER", psycopg.errors.InvalidTextRepresentation, "22P02"),
        ):
            with pytest.raises(kind) as caught:
                connection.execute(query)
            assert caught.value.sqlstate == sqlstate
        runs: list[Any] = [
            lambda: connection.cursor().executemany("INSERT INTO t VALUES (%s)", [(1,)]),
            lambda: anext_of(connection.cursor().stream("SELECT * FROM nope")),
        ]
        for run in runs:
            with pytest.raises((psycopg.errors.UniqueViolation, psycopg.errors.UndefinedTable)):
                run()


def anext_of(rows: Any) -> None:
    for _ in rows:
        pass


@pytest.mark.only("local", reason="PostgreSQL counts in its command tags")
def test_a_write_has_a_rowcount_and_no_rows(stand: Stand) -> None:
    with connected(stand) as connection:
        connection.execute("CREATE TABLE t (i INTEGER)")
        cursor = connection.execute("INSERT INTO t VALUES (1), (2), (3)")
        assert cursor.rowcount == 3
        assert cursor.description is None
        assert cursor.statusmessage == "INSERT 0 3"
        with pytest.raises(psycopg.ProgrammingError, match="didn't produce"):
            cursor.fetchone()
        cursor = connection.execute("UPDATE t SET i = i")
        assert (cursor.rowcount, cursor.description) == (3, None)
        assert cursor.statusmessage == "UPDATE 3"
        cursor = connection.execute("SET VARIABLE x = 1")
        assert cursor.description is None
        cursor.executemany("UPDATE t SET i = i WHERE i >= %s", [(2,), (3,)])
        assert cursor.rowcount == 3
        cursor = connection.execute("UPDATE t SET i = i + 1 WHERE i > 1 RETURNING i")
        assert sorted(cursor.fetchall()) == [(3,), (4,)]


@pytest.mark.parametrize("always_idle", [False, True])
def test_transactions_of_psycopgs_default_mode(tmp_path: Path, always_idle: bool) -> None:
    """Also on a server that says "idle" in a transaction, as MotherDuck's did before July 2026."""
    quirks = Quirks(always_idle=always_idle)
    with local_stand(tmp_path, quirks=quirks) as stand:

        def count() -> Any:
            with connected(stand) as other:
                return (other.execute("SELECT count(*) FROM t")).fetchone()

        with connected(stand) as connection:
            connection.execute("CREATE TABLE t (i INTEGER)")
            with connection.transaction():
                connection.execute("INSERT INTO t VALUES (1)")
            assert count() == (1,)
            with pytest.raises(ZeroDivisionError):
                with connection.transaction():
                    connection.execute("INSERT INTO t VALUES (2)")
                    raise ZeroDivisionError
            assert count() == (1,)
        with connected(stand, autocommit=False) as connection:
            connection.execute("INSERT INTO t VALUES (2)")
            connection.execute("INSERT INTO t VALUES (3)")
            assert count() == (1,)
            connection.commit()
            assert count() == (3,)
            connection.execute("DELETE FROM t")
            connection.rollback()
            assert count() == (3,)
            connection.execute("INSERT INTO t VALUES (4)")
        # Leaving the block commits.
        assert count() == (4,)
        with pytest.raises(ZeroDivisionError):
            with connected(stand, autocommit=False) as connection:
                connection.execute("DELETE FROM t")
                raise ZeroDivisionError
        assert count() == (4,)


@pytest.mark.only("local", reason="of MotherDuck's dialect")
def test_a_read_only_transaction_of_the_endpoint(stand: Stand) -> None:
    with connected(stand, autocommit=False) as connection:
        connection.execute("CREATE TABLE t (i INTEGER)")
        connection.commit()
        connection.set_read_only(True)
        with pytest.raises(psycopg.Error, match="read-only"):
            connection.execute("INSERT INTO t VALUES (1)")
        connection.rollback()
        connection.set_read_only(None)
        connection.execute("INSERT INTO t VALUES (1)")


@pytest.mark.only("local", reason="PostgreSQL is psycopg's own")
def test_a_pool_of_fixed_connections(stand: Stand) -> None:
    pool = psycopg_pool.ConnectionPool(
        stand.dsn,
        min_size=1,
        max_size=2,
        open=False,
        check=psycopg_pool.ConnectionPool.check_connection,
    )
    with pool:
        with pool.connection() as connection:
            connection.execute("CREATE TABLE t (i INTEGER)")
            connection.execute("INSERT INTO t VALUES (1)")
        with pool.connection() as connection:
            cursor = connection.execute("SELECT i FROM t WHERE i = %s", [1])
            assert cursor.fetchall() == [(1,)]


def test_no_plain_connection_to_motherduck() -> None:
    with pytest.raises(pgmd.ConfigurationError, match="sslmode"):
        psycopg.Connection.connect(
            "host=pg.us-east-1-aws.motherduck.com sslmode=disable password=secret user=x"
        )


@pytest.mark.only("postgres", reason="the other kind is probed twice as often")
def test_a_server_is_asked_once_what_it_is(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(stand) as connection:
        assert connection.pgmd.profile.name == "postgres"

    def fail(*_: Any) -> None:
        raise AssertionError("it was asked again")

    monkeypatch.setattr(original.BaseConnection, "_exec_command", fail)
    with connected(stand) as connection:
        assert connection.pgmd.profile.name == "postgres"
