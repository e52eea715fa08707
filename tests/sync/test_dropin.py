# Generated from tests/async_/test_dropin.py by pgmd._tools.unasync. Do not edit.
"""The drop-in: psycopg's own connections and cursors, with reads on replicas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
from pgmd.runtime import threads as runtime

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


@contextmanager
def ready(stand: Stand, **settings: Any) -> Iterator[pgmd.Engine]:
    """An engine with a replica that has the table t."""
    with original.Connection.connect(stand.dsn, autocommit=True) as plain:
        for statement in MAKE:
            plain.execute(statement)
    with engine_on(stand, 1, **settings) as engine:
        if not stand.is_live:
            engine.publish()
        yield engine


def connected(stand: Stand, engine: pgmd.Engine | None, **options: Any) -> psycopg.Connection[Any]:
    given = {"autocommit": True, "engine": engine, **options}
    return psycopg.Connection.connect(stand.dsn, **given)


def told(cursor: Any) -> Any:
    """All that a cursor says of its result."""
    columns = [(*column, column.type_display) for column in cursor.description or ()]
    return columns, cursor.rowcount, cursor.rownumber, cursor.statusmessage, cursor.nextset()


def detach() -> None:
    psycopg.detach()


# ----------------------------------------------------------------------------- the same answers


@pytest.mark.parametrize("factory", [psycopg.Cursor, psycopg.ClientCursor])
def test_a_routed_cursor_looks_as_if_psycopg_had_run_it(stand: Stand, factory: Any) -> None:
    with (
        ready(stand) as engine,
        original.Connection.connect(stand.dsn, autocommit=True) as plain,
        connected(stand, engine, cursor_factory=factory) as ours,
    ):
        for query, params in READS:
            expected = plain.execute(query, params)
            found = ours.execute(query, params)
            assert ours.pgmd.decision is not None
            assert ours.pgmd.decision.route is Route.REPLICA, (query, ours.pgmd.decision)
            assert told(found) == told(expected)
            rows = expected.fetchall()
            assert found.fetchall() == rows
            assert found.fetchone() is None
            assert found.rownumber == len(rows)
        assert ours.pgmd.stats == {"replica: READ": len(READS)}


def test_rows_are_fetched_in_any_order(stand: Stand) -> None:
    with ready(stand) as engine, connected(stand, engine) as connection:
        cursor = connection.execute("SELECT i, s FROM t ORDER BY i")
        assert isinstance(cursor, original.Cursor)
        assert cursor.fetchone() == (1, "s1")
        assert cursor.fetchmany(2) == [(2, "s2"), (3, "s3")]
        cursor.scroll(-2)
        assert cursor.fetchone() == (2, "s2")
        cursor.scroll(4, "absolute")
        assert [row for row in cursor] == [(5, "s5")]
        with pytest.raises(IndexError):
            cursor.scroll(99, "absolute")
        cursor.row_factory = dict_row
        cursor.scroll(0, "absolute")
        assert cursor.fetchone() == {"i": 1, "s": "s1"}
        cursor.close()
        with pytest.raises(psycopg.InterfaceError, match="cursor is closed"):
            cursor.fetchone()
        with pytest.raises(psycopg.InterfaceError, match="cursor is closed"):
            cursor.execute("SELECT i FROM t")


def test_row_factories(stand: Stand) -> None:
    class Row:
        def __init__(self, i: int, s: str) -> None:
            self.i, self.s = i, s

    query = "SELECT i, s FROM t WHERE i = 4"
    with ready(stand) as engine, connected(stand, engine) as connection:

        def first(factory: Any) -> Any:
            cursor = connection.cursor(row_factory=factory)
            return (cursor.execute(query)).fetchone()

        assert first(dict_row) == {"i": 4, "s": "s4"}
        assert (first(namedtuple_row)).s == "s4"
        assert first(scalar_row) == 4
        assert vars(first(class_row(Row))) == {"i": 4, "s": "s4"}
        assert connection.pgmd.stats == {"replica: READ": 4}


def test_a_loader_of_ones_own_is_heeded(stand: Stand) -> None:
    query = "SELECT n FROM t WHERE i = 1"
    with ready(stand) as engine, connected(stand, engine) as connection:
        cursor = connection.cursor()
        cursor.adapters.register_loader("numeric", FloatLoader)
        assert (cursor.execute(query)).fetchall() == [(1.5,)]
        assert type(((cursor.execute(query)).fetchall())[0][0]) is float
        assert connection.pgmd.decision is not None
        assert connection.pgmd.decision.reason is Reason.RESULT
        # One that comes when the rows are there already.
        late = connection.cursor()
        late.execute("SELECT n FROM t ORDER BY i")
        assert connection.pgmd.decision.route is Route.REPLICA
        assert late.fetchone() == (Decimal("1.50"),)
        late.adapters.register_loader("numeric", FloatLoader)
        heeds = hasattr(late.adapters, "_register_loader_callback")  # since psycopg 3.3
        found = late.fetchone()
        assert found == (2.5,)
        assert type(found[0]) is (float if heeds else Decimal)
        # The next statement has it from the start, and other cursors have nothing of it.
        assert (connection.execute(query)).fetchall() == [(Decimal("1.50"),)]


def test_a_dumper_of_ones_own_is_heeded(stand: Stand) -> None:
    class Shouted(original.types.string.StrDumper):
        def dump(self, obj: Any) -> Any:
            return super().dump(obj.lower())

    with ready(stand) as engine, connected(stand, engine) as connection:
        cursor = connection.cursor()
        cursor.adapters.register_dumper(str, Shouted)
        cursor.execute("SELECT i FROM t WHERE s = %s", ["S3"])
        assert cursor.fetchall() == [(3,)]
        assert connection.pgmd.decision is not None
        assert connection.pgmd.decision.reason is Reason.PARAMETERS
        cursor.execute("SELECT i FROM t WHERE s = ANY(%s)", [["S3"]])
        assert cursor.fetchall() == [(3,)]


def test_errors_are_psycopgs(stand: Stand) -> None:
    with ready(stand) as engine, connected(stand, engine) as connection:
        for query, params, kind in (
            ("SELECT nope FROM t", None, psycopg.errors.UndefinedColumn),
            ("SELECT * FROM nope", None, psycopg.errors.UndefinedTable),
            ("SELECT %s FROM t", [], psycopg.ProgrammingError),
            ("SELECT i FROM t WHERE i = %s", None, psycopg.errors.SyntaxError),
            ("INSERT INTO t (i) VALUES (1)", None, psycopg.errors.UniqueViolation),
            ("SELECT", ["too", "many"], psycopg.ProgrammingError),
        ):
            with pytest.raises(kind) as caught:
                connection.execute(query, params)
            assert isinstance(caught.value, psycopg.Error)
        assert (connection.execute("SELECT max(i) FROM t")).fetchone() == (5,)


def test_a_frameworks_cursor_is_routed(stand: Stand) -> None:
    class Theirs(original.ClientCursor[Any]):
        executed: ClassVar[list[Any]] = []

        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            self.executed.append(query)
            return super().execute(query, params, **options)

    with ready(stand) as engine:
        with connected(stand, engine, cursor_factory=Theirs) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT s FROM t WHERE i = %s", [2])
            assert cursor.fetchall() == [("s2",)]
            assert isinstance(cursor, Theirs)
            assert Theirs.executed == ["SELECT s FROM t WHERE i = %s"]
            assert connection.pgmd.stats == {"replica: READ": 1}


def test_a_loader_of_the_program_is_heeded_from_then_on(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loud(original.types.string.TextLoader):
        def load(self, data: Any) -> Any:
            return bytes(data).decode().upper()

    query = "SELECT s FROM t WHERE i = 1"
    with ready(stand) as engine, connected(stand, engine) as connection:
        assert (connection.execute(query)).fetchall() == [("s1",)]
        adapters = original.adapt.AdaptersMap(original.adapters)
        monkeypatch.setattr(original.adapters, "_loaders", [dict(m) for m in adapters._loaders])
        monkeypatch.setattr(original.adapters, "_own_loaders", [True, True])
        original.adapters.register_loader("varchar", Loud)
        original.adapters.register_loader("text", Loud)
        with connected(stand, engine) as later:
            assert (later.execute(query)).fetchall() == [("S1",)]


@pytest.mark.only("postgres", reason="of locks in PostgreSQL")
def test_a_read_that_moved_leaves_nothing_open(stand: Stand) -> None:
    with ready(stand) as engine, connected(stand, engine) as connection:
        connection.execute("CREATE TABLE odd (a daterange[])")
        connection.execute("INSERT INTO odd VALUES ('{}')")
        assert (connection.execute("SELECT * FROM odd")).fetchall() == [([],)]
        connection.execute("SET lock_timeout = '5s'")
        connection.execute("DROP TABLE odd")


def test_errors_of_misuse_are_psycopgs(stand: Stand) -> None:
    with ready(stand) as engine, connected(stand, engine) as connection:
        one, other = connection.cursor(), connection.cursor()
        one.close()
        other.execute("SELECT i FROM t")
        with pytest.raises(psycopg.InterfaceError, match="cursor is closed"):
            one.execute("SELECT i FROM t")
        with pytest.raises(psycopg.InterfaceError, match="rows must be"):
            other.fetchmany(-1)
        client = psycopg.ClientCursor(connection)
        with pytest.raises(psycopg.NotSupportedError, match="binary"):
            client.execute("SELECT i FROM t", binary=True)
        raw = psycopg.RawCursor(connection)
        with pytest.raises(TypeError):
            raw.execute("SELECT i FROM t", {})
        assert other._query.query == b"SELECT i FROM t"  # type: ignore[union-attr]


def test_code_that_is_not_pgmds_gets_the_real_connection(stand: Stand) -> None:
    with ready(stand) as engine:
        for use in (
            lambda c: original.ClientCursor(c).mogrify("SELECT %s", [b"x"]),
            lambda c: original.sql.Literal("it's").as_string(c),
            lambda c: original.sql.Identifier('a"b').as_string(c.cursor()),
            lambda c: c.pgconn.server_version,
        ):
            with connected(stand, engine) as connection:
                assert connection._is_unopened
                assert use(connection)
        options = {"autocommit": False, "route_reads": "lazy-begin"}
        with connected(stand, engine, **options) as connection:
            connection.execute("SELECT i FROM t")
            cursor = original.Cursor(connection)
            cursor.execute("INSERT INTO t (i) VALUES (9)")
            connection.rollback()
            cursor = original.Cursor(connection)
            cursor.execute("SELECT max(i) FROM t")
            assert cursor.fetchone() == (5,)


# ------------------------------------------------------------------------------- what is routed


def test_nothing_of_a_routed_read_reaches_the_endpoint(stand: Stand) -> None:
    with ready(stand) as engine, connected(stand, engine) as connection:
        query = "SELECT s FROM t WHERE i = %s"
        connection.execute(query, [1])
        asked = engine.stats()["endpoint"]["requests_num"]
        for i in range(1, 6):
            cursor = connection.execute(query, [i])
            assert cursor.fetchone() == (f"s{i}",)
        assert engine.stats()["endpoint"]["requests_num"] == asked
        # Not even a connection.
        assert connection._is_unopened
        assert connection.info.transaction_status == pq.TransactionStatus.IDLE
        connection.execute("INSERT INTO t (i) VALUES (6)")
        assert not connection._is_unopened


def test_lazy_can_be_switched_off(stand: Stand) -> None:
    with ready(stand) as engine:
        with connected(stand, engine, lazy=False) as connection:
            assert isinstance(connection.pgconn, pq.PGconn)
        unread = original.conninfo.make_conninfo(stand.dsn, target_session_attrs="nonsense")
        with pytest.raises(psycopg.OperationalError):
            psycopg.Connection.connect(unread, engine=engine)


def test_an_attribute_of_the_server_opens_the_connection(stand: Stand) -> None:
    with ready(stand) as engine:
        with connected(stand, engine) as connection:
            cursor = connection.cursor()
            assert connection._is_unopened
            assert connection.info.server_version > 0
            assert not connection._is_unopened
            # One that was made before.
            cursor.execute("INSERT INTO t (i) VALUES (6)")
            assert cursor.statusmessage == "INSERT 0 1"
        with connected(stand, engine) as connection:
            assert connection.fileno() > 0
        connection = connected(stand, engine)
        connection.close()
        assert connection.closed
        assert not connection.broken
        assert connection.info.transaction_status == pq.TransactionStatus.UNKNOWN
        with pytest.raises(psycopg.OperationalError, match="connection is closed"):
            connection.execute("SELECT i FROM t")
        with pytest.raises(psycopg.OperationalError, match="connection is closed"):
            assert connection.info.host


def test_what_psycopg_keeps_of_a_connection_does_not_connect(stand: Stand) -> None:
    def transaction(connection: Any) -> None:
        with connection.transaction():
            connection.execute("SELECT i FROM t")

    with ready(stand) as engine:
        with connected(stand, engine, autocommit=False) as connection:
            for look in (
                lambda c: c.set_read_only(True),
                transaction,
                lambda c: c.set_autocommit(True),
                lambda c: c.commit(),
                lambda c: c.rollback(),
                lambda c: c.cancel_safe(),
            ):
                look(connection)
                assert connection._is_unopened
            cursor = connection.cursor()
            connection.cancel()
            assert "IDLE" in repr(connection) + repr(cursor)
            assert not connection.closed
            assert not connection.broken
            assert connection.info.status == pq.ConnStatus.OK
            assert connection._is_unopened


def test_to_look_at_a_transaction_that_waits_does_not_begin_it(stand: Stand) -> None:
    with ready(stand) as engine:
        options = {"autocommit": False, "route_reads": "lazy-begin", "lazy": False}
        with connected(stand, engine, **options) as connection:
            connection.execute("SELECT i FROM t")
            assert "INTRANS" in repr(connection) + repr(connection.cursor())
            assert not connection.closed
            assert not connection.broken
            assert connection.fileno() > 0
            connection.cancel()
            connection.cancel_safe()
            assert connection._real.transaction_status == pq.TransactionStatus.IDLE
            assert connection.info.transaction_status == pq.TransactionStatus.INTRANS


def test_reads_in_a_transaction_stay(stand: Stand) -> None:
    with ready(stand) as engine, connected(stand, engine) as connection:
        with connection.transaction():
            connection.execute("UPDATE t SET s = 'new' WHERE i = 1")
            cursor = connection.execute("SELECT s FROM t WHERE i = 1")
            assert cursor.fetchone() == ("new",)
        connection.execute("BEGIN")
        connection.execute("SELECT s FROM t WHERE i = 1")
        connection.execute("ROLLBACK")
        assert connection.pgmd.stats["endpoint: TRANSACTION"] == 2
        connection.set_autocommit(False)
        connection.execute("SELECT s FROM t WHERE i = 1")
        assert connection.pgmd.decision is not None
        assert "autocommit" in connection.pgmd.decision.explain()
        assert connection.info.transaction_status == pq.TransactionStatus.INTRANS


def test_other_connections_of_the_engine_see_a_write(stand: Stand) -> None:
    with (
        ready(stand) as engine,
        connected(stand, engine) as one,
        connected(stand, engine) as other,
    ):

        def sum_of(connection: Any) -> Any:
            return (connection.execute("SELECT sum(i) FROM t")).fetchone()

        assert sum_of(other) == (15,)
        with one.cursor() as cursor:
            cursor.execute("INSERT INTO t (i) VALUES (10)")
        assert sum_of(other) == (25,)
        assert sum_of(one) == (25,)
        with one.cursor() as cursor:
            cursor.executemany("INSERT INTO t (i) VALUES (%s)", [(20,), (30,)])
        assert sum_of(other) == (75,)
        with one.transaction():
            one.execute("DELETE FROM t WHERE i = 30")
            assert sum_of(other) == (75,)
        assert sum_of(other) == (45,)
        one.set_autocommit(False)
        one.execute("DELETE FROM t WHERE i = 20")
        assert sum_of(other) == (45,)
        one.commit()
        assert sum_of(other) == (25,)
        if not stand.is_live:
            assert "endpoint: STALE" in other.pgmd.stats
            engine.publish()
        assert sum_of(other) == (25,)
        assert other.pgmd.decision is not None
        assert other.pgmd.decision.route is Route.REPLICA


@pytest.mark.only("postgres", reason="the local endpoint has no temporary tables")
def test_what_a_connection_has_set_ties_its_reads_to_it(stand: Stand) -> None:
    with ready(stand) as engine, connected(stand, engine) as connection:
        connection.execute("CREATE TEMP TABLE mine (i INTEGER)")
        connection.execute("SELECT i FROM t")
        assert connection.pgmd.decision is not None
        assert connection.pgmd.decision.reason is Reason.PINNED
        with connected(stand, engine) as other:
            other.execute("SELECT i FROM t")
            assert other.pgmd.stats == {"replica: READ": 1}


def test_lazy_begin(stand: Stand) -> None:
    with ready(stand) as engine:
        options = {"autocommit": False, "route_reads": "lazy-begin"}
        with connected(stand, engine, **options) as connection:
            connection.execute("SELECT i FROM t")
            # What a program sees of it is a transaction.
            assert connection.info.transaction_status == pq.TransactionStatus.INTRANS
            assert "INTRANS" in repr(connection.cursor())
            with pytest.raises(psycopg.ProgrammingError, match="INTRANS"):
                connection.set_autocommit(True)
            connection.commit()
            assert connection.info.transaction_status == pq.TransactionStatus.IDLE
            assert connection._is_unopened
            assert connection.info.dbname
            connection.execute("SELECT i FROM t")
            assert connection.info.dbname
            # Who takes the connection itself has the transaction on it.
            assert connection.pgconn.transaction_status == pq.TransactionStatus.INTRANS
            connection.rollback()
            connection.execute("SELECT i FROM t")
            connection.execute("UPDATE t SET s = 'new' WHERE i = 1")
            cursor = connection.execute("SELECT s FROM t WHERE i = 1")
            assert cursor.fetchone() == ("new",)
            assert connection.pgmd.stats["replica: READ"] == 3
            connection.rollback()
            cursor = connection.execute("SELECT s FROM t WHERE i = 1")
            assert cursor.fetchone() == ("s1",)
            connection.commit()


@pytest.mark.only("postgres", reason="the local endpoint has no savepoints")
def test_a_block_after_lazy_reads_is_a_savepoint(stand: Stand) -> None:
    with ready(stand) as engine:
        options = {"autocommit": False, "route_reads": "lazy-begin"}
        with connected(stand, engine, **options) as connection:
            connection.execute("SELECT i FROM t")
            with connection.transaction() as block:
                assert block.savepoint_name
                connection.execute("DELETE FROM t")
            connection.rollback()
            cursor = connection.execute("SELECT count(*) FROM t")
            assert cursor.fetchone() == (5,)


def test_routing_is_switched_off(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with ready(stand) as engine, connected(stand, engine) as connection:
        connection.execute("/*+ pgmd: endpoint */ SELECT i FROM t")
        assert connection.pgmd.stats == {"endpoint: ASKED": 1}
        connection.execute("SELECT i FROM t", prepare=True)
        assert "replica: READ" not in connection.pgmd.stats
        connection.pgmd.route_reads = "off"
        connection.execute("SELECT i FROM t")
        connection.pgmd.route_reads = "autocommit"
        connection.execute("SELECT i FROM t")
        assert connection.pgmd.stats["replica: READ"] == 1
        assert connection.pgmd.explain("SELECT i FROM t").route is Route.REPLICA
        assert connection.pgmd.explain("DELETE FROM t").reason is Reason.NOT_A_READ
        with pytest.raises(pgmd.ConfigurationError, match="route_reads"):
            connection.pgmd.route_reads = "always"  # type: ignore[assignment]
        monkeypatch.setenv("PGMD_ROUTE_READS", "off")
        with connected(stand, engine) as other:
            other.execute("SELECT i FROM t")
            assert "replica: READ" not in other.pgmd.stats


def test_a_pipeline_stays_on_the_endpoint(stand: Stand) -> None:
    with ready(stand) as engine, connected(stand, engine) as connection:
        if not stand.is_postgres:
            connection.execute("SELECT i FROM t")
        with connection.pipeline():
            first = connection.execute("SELECT i FROM t WHERE i = 1")
            second = connection.execute("SELECT i FROM t WHERE i = 2")
            assert second.fetchone() == (2,)
            assert first.fetchone() == (1,)
        assert connection.pgmd.stats["endpoint: TRANSACTION"] == 2


def test_streams_and_copies_are_the_endpoints(stand: Stand) -> None:
    with ready(stand) as engine, connected(stand, engine) as connection:
        cursor = connection.cursor()
        assert [row for row in cursor.stream("SELECT i FROM t ORDER BY i")][-1] == (5,)
        if stand.is_postgres:
            with cursor.copy("COPY t (i) FROM STDIN") as copy:
                copy.write_row((77,))
            connection.execute("SELECT max(i) FROM t")
            assert connection.pgmd.decision is not None
            assert connection.pgmd.decision.route is Route.REPLICA


# ------------------------------------------------------------------------ read-only transactions


def test_a_read_only_transaction_is_a_snapshot(stand: Stand) -> None:
    with ready(stand) as engine, connected(stand, engine, autocommit=False) as reader:
        reader.set_read_only(True)
        with connected(stand, engine) as writer:
            reader.execute("SELECT count(*) FROM t")
            assert reader.info.transaction_status == pq.TransactionStatus.INTRANS
            writer.execute("DELETE FROM t WHERE i = 5")
            if not stand.is_live:
                engine.publish()
            cursor = reader.execute("SELECT count(*) FROM t")
            assert cursor.fetchone() == (5,)
            assert reader.pgmd.decision is not None
            assert reader.pgmd.decision.route is Route.REPLICA
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                reader.execute("DELETE FROM t")
            reader.rollback()
            reader.execute("SELECT count(*) FROM t")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
                reader.cursor().executemany("DELETE FROM t WHERE i = %s", [(1,)])
            if stand.is_postgres:
                assert caught.value.diag.severity == "ERROR"
                assert reader.info.transaction_status == pq.TransactionStatus.INERROR
            reader.rollback()
            assert reader.info.transaction_status == pq.TransactionStatus.IDLE
            cursor = reader.execute("SELECT count(*) FROM t")
            assert cursor.fetchone() == (4,)
            reader.rollback()
            with reader.transaction():
                with reader.transaction():
                    cursor = reader.execute("SELECT max(i) FROM t")
                    assert cursor.fetchone() == (4,)
                assert reader.info.transaction_status == pq.TransactionStatus.INTRANS
            assert reader.info.transaction_status == pq.TransactionStatus.IDLE
        assert (
            engine.stats()["replicas"]["pool_available"]
            == engine._core.replicas.stats()["pool_size"]
        )


def test_a_pool_ends_a_read_only_transaction_that_was_left_open(stand: Stand) -> None:
    with ready(stand) as engine:
        pool = psycopg_pool.ConnectionPool(
            stand.dsn, kwargs={"engine": engine}, min_size=1, max_size=1, open=False
        )
        with pool:
            connection = pool.getconn()
            connection.set_read_only(True)
            connection.execute("SELECT count(*) FROM t")
            pool.putconn(connection)
            connection = pool.getconn()
            assert connection.info.transaction_status == pq.TransactionStatus.IDLE
            pool.putconn(connection)
        assert (
            engine.stats()["replicas"]["pool_available"]
            == engine._core.replicas.stats()["pool_size"]
        )


def test_a_read_that_a_replica_cannot_run_in_a_read_only_transaction(stand: Stand) -> None:
    query = "SELECT current_setting('TimeZone') IS NOT NULL"
    with ready(stand) as engine, connected(stand, engine, autocommit=False) as reader:
        reader.set_read_only(True)
        reader.execute("SELECT count(*) FROM t")
        if stand.is_postgres:
            # Each statement of a READ COMMITTED transaction has a moment of its own anyway.
            assert (reader.execute(query)).fetchone() == (True,)
            reader.rollback()
            reader.execute("SELECT count(*) FROM t")
            raw = psycopg.RawCursor(reader)
            raw.execute("SELECT s FROM t WHERE i = $1", [1])
            assert raw.fetchone() == ("s1",)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                reader.execute("DELETE FROM t")
            reader.rollback()
            reader.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            reader.execute("SELECT count(*) FROM t")
        with pytest.raises(psycopg.NotSupportedError, match="read-only transaction is on a repl"):
            reader.execute(query)
        reader.rollback()
        assert (reader.execute(query)).fetchone() == (True,)


def test_the_first_read_of_a_block_may_be_the_endpoints(stand: Stand) -> None:
    """It begins there then, to read only."""
    with ready(stand) as engine, connected(stand, engine) as reader:
        reader.set_read_only(True)
        for query in ("SELECT nope FROM t", "SELECT current_setting('TimeZone')"):
            with reader.transaction(force_rollback=True):
                try:
                    reader.execute(query)
                except psycopg.errors.UndefinedColumn:
                    # A DuckDB goes on with its transaction.
                    failed = "INERROR" if stand.is_postgres else "INTRANS"
                    assert reader.info.transaction_status.name == failed
                else:
                    assert reader.info.transaction_status == pq.TransactionStatus.INTRANS
                    with pytest.raises(psycopg.Error, match="read-only"):
                        reader.execute("DELETE FROM t")
            assert reader.info.transaction_status == pq.TransactionStatus.IDLE
        assert (reader.execute("SELECT max(i) FROM t")).fetchone() == (5,)
        assert reader.pgmd.stats["endpoint: NOT_A_READ"] >= 1


# ------------------------------------------------------------------------------------ life cycle


def test_cancel_stops_a_read_on_a_replica(stand: Stand) -> None:
    # 5 rows to the power of 20.
    query = f"SELECT count(*) FROM {', '.join(f't t{n}' for n in range(20))}"
    with ready(stand) as engine, connected(stand, engine) as connection:
        connection.execute("SELECT i FROM t")
        jobs: Any = runtime.Jobs(1)
        job = jobs.start(lambda: connection.execute(query), lambda: None)
        routing: Any = connection._routing
        until(lambda: routing._asking.running is not None)
        connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            jobs.result(job)
        jobs.close()
        assert (connection.execute("SELECT max(i) FROM t")).fetchone() == (5,)
        assert (
            engine.stats()["replicas"]["pool_available"]
            == engine._core.replicas.stats()["pool_size"]
        )


def test_a_cancel_that_duckdb_forgets_is_repeated(
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
    with ready(stand) as engine, connected(stand, engine) as connection:
        jobs: Any = runtime.Jobs(1)
        job = jobs.start(lambda: connection.execute(query), lambda: None)
        asking: Any = connection._routing._asking
        until(lambda: asking.running is not None and asking.running.slot.cursor is not None)
        connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            jobs.result(job)
        jobs.close()
        assert len(forgotten) > 1


def test_an_engine_serves_its_own_server_only(stand: Stand) -> None:
    elsewhere = original.conninfo.make_conninfo(stand.dsn, dbname="elsewhere")
    with ready(stand) as engine:
        with pytest.raises(pgmd.ConfigurationError, match="its endpoint is another"):
            psycopg.Connection.connect(elsewhere, engine=engine)
        # Without an address: the engine's own.
        with psycopg.Connection.connect(engine=engine, autocommit=True) as ours:
            ours.execute("INSERT INTO t (i) VALUES (6)")
        psycopg.attach(engine)
        try:
            with connected(stand, None) as connection:
                assert connection.pgmd.engine is engine
                cursor = connection.execute("SELECT count(*) FROM t")
                assert cursor.fetchone() == (6,)
            seen_otherwise = original.conninfo.make_conninfo(stand.dsn, options="-c search_path=x")
            if stand.is_postgres:
                with psycopg.Connection.connect(seen_otherwise) as connection:
                    assert connection.pgmd.engine is None
        finally:
            detach()
        with connected(stand, None) as connection:
            assert connection.pgmd.engine is None
            with pytest.raises(pgmd.UsageError, match="no engine"):
                connection.pgmd.explain("SELECT 1")
    with pytest.raises(pgmd.UsageError, match="closed"):
        connected(stand, engine)


@pytest.mark.only("postgres", reason="another process than the file's cannot read a local endpoint")
def test_the_environment_attaches_replicas(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with ready(stand):
        pass
    monkeypatch.setenv("PGMD_REPLICAS", "1")
    try:
        with connected(stand, None) as one, connected(stand, None) as other:
            engine = one.pgmd.engine
            assert engine is not None
            assert other.pgmd.engine is engine
            engine.wait()
            one.execute("SELECT i FROM t")
            assert one.pgmd.stats == {"replica: READ": 1}
    finally:
        detach()
    with pytest.raises(pgmd.UsageError, match="closed"):
        engine._core.check_open()


def test_a_pool_lends_routed_connections(stand: Stand) -> None:
    with ready(stand) as engine:
        kwargs = {"engine": engine, "autocommit": True}
        for kind in (psycopg_pool.ConnectionPool, psycopg_pool.NullConnectionPool):
            pool = kind(stand.dsn, kwargs=kwargs, min_size=0, max_size=2, open=False)
            with pool, pool.connection() as connection:
                assert isinstance(connection, psycopg.Connection)
                cursor = connection.execute("SELECT max(i) FROM t")
                assert cursor.fetchone() == (5,)
                assert connection.pgmd.stats == {"replica: READ": 1}


def test_a_pool_wakes_no_server(stand: Stand) -> None:
    """It looks whether what comes back to it is idle; so does psycopg_pool's own."""
    with ready(stand) as engine:
        kwargs = {"engine": engine, "autocommit": True}
        for kind in (psycopg_pool.ConnectionPool, original_pool.ConnectionPool):
            pool = kind(
                stand.dsn,
                connection_class=psycopg.Connection,
                kwargs=kwargs,
                min_size=1,
                max_size=1,
                open=False,
            )
            with pool:
                for _ in range(2):
                    with pool.connection() as connection:
                        connection.execute("SELECT i FROM t")
                        assert connection._is_unopened
