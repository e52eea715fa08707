# Generated from tests/async_/test_session.py by pgmd._tools.unasync. Do not edit.
"""Where statements run, and what a session sees."""

from __future__ import annotations

import importlib
from ipaddress import ip_address
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

import pgmd
from pgmd import Reason, Route

from ..fixtures.stands import Stand
from .helpers import engine_on

TABLE = "CREATE TABLE flights (id int PRIMARY KEY, carrier text, delay int)"
ROWS = "INSERT INTO flights SELECT n, 'c' || n % 3, n * 2 FROM generate_series(1, 100) AS t(n)"


def flights_on(stand: Stand, replicas: int = 2, **settings: Any) -> pgmd.Engine:
    """An engine on a database that holds the flights, which replicas see."""
    engine = engine_on(stand, replicas, **{"timeout": 10, **settings})
    with engine.session() as s:
        s.execute(TABLE)
        s.execute(ROWS)
    if replicas:
        engine.publish()
    return engine


def test_a_read_runs_on_a_replica_and_a_write_on_the_endpoint(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        read = s.execute("SELECT delay FROM flights WHERE id = %s", [21])
        assert read.fetchall() == [(42,)]
        assert (read.decision.route, read.decision.reason) == (Route.REPLICA, Reason.READ)
        assert read.decision.replica in ("replica-1", "replica-2")
        assert read.decision.staleness is not None
        assert (read.decision.staleness == 0.0) is stand.is_live
        assert read.decision.seconds is not None
        write = s.execute("UPDATE flights SET delay = 0 WHERE id = 21")
        assert (write.decision.route, write.decision.reason) == (Route.ENDPOINT, Reason.NOT_A_READ)
        assert (write.rowcount, write.statusmessage) == (1, "UPDATE 1")
        # DuckDB itself answers with a row, `Count`.
        assert write.description is None
        with pytest.raises(psycopg.ProgrammingError, match="didn't produce records"):
            write.fetchall()


def test_a_session_reads_its_own_writes(stand: Stand) -> None:
    query = "SELECT count(*), max(id) FROM flights"
    with flights_on(stand) as engine, engine.session() as s:
        for n in range(200, 230):
            s.execute("INSERT INTO flights VALUES (%s, 'x', %s)", [n, n])
            seen = s.execute(query)
            assert seen.fetchone() == (n - 99, n)
            assert seen.decision.route is (Route.REPLICA if stand.is_live else Route.ENDPOINT)
            assert (seen.decision.reason is Reason.STALE) is not stand.is_live
        engine.publish()
        seen = s.execute(query)
        assert (seen.decision.route, seen.fetchone()) == (Route.REPLICA, (130, 229))


def test_what_is_not_confirmed_goes_to_the_endpoint(stand: Stand) -> None:
    statements = {
        "SELECT nextval('numbers')": "nextval",
        "SELECT 1; SELECT 2": "several",
        "EXPLAIN ANALYZE DELETE FROM flights": "explain",
        "/* SELECT */ DELETE FROM flights": "delete",
        "DELETE FROM flights RETURNING id": "delete",
    }
    _are_not_confirmed(stand, statements)


@pytest.mark.only("postgres", reason="DuckDB cannot parse these, or has no such function")
def test_what_is_not_confirmed_in_postgresql_goes_to_the_endpoint(stand: Stand) -> None:
    statements = {
        "WITH x AS (DELETE FROM flights RETURNING *) SELECT * FROM x": "delete",
        "SELECT * FROM flights FOR UPDATE": "locks rows",
        "SELECT pg_backend_pid()": "pg_backend_pid",
    }
    _are_not_confirmed(stand, statements)


@pytest.mark.only("local", reason="PostgreSQL cannot parse these, or has no such function")
def test_what_is_not_confirmed_in_duckdb_goes_to_the_endpoint(stand: Stand) -> None:
    statements = {
        "PRAGMA database_list": "pragma",
        "CALL pragma_version()": "call",
        "SELECT * FROM duckdb_settings()": "duckdb_settings",
        "SET VARIABLE a = 1": "set",
    }
    _are_not_confirmed(stand, statements)


def _are_not_confirmed(stand: Stand, statements: dict[str, str]) -> None:
    with flights_on(stand) as engine:
        with engine.session() as s:
            s.execute("CREATE SEQUENCE numbers")
        for statement, detail in statements.items():
            with engine.session() as s:
                decision = (s.execute(statement)).decision
            assert (decision.route, decision.reason) == (Route.ENDPOINT, Reason.NOT_A_READ)
            assert detail in decision.detail.lower()


def test_where_the_dialects_disagree_the_answer_is_the_endpoints(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        for statement in (
            "SELECT 7/2",
            "SELECT count(*) % 7 FROM flights",
            "SELECT id FROM flights WHERE id/2 = 3",
        ):
            result = s.execute(statement)
            # Replicas of a local endpoint speak its dialect.
            assert result.decision.reason is (Reason.DIALECT if stand.is_postgres else Reason.READ)
            with psycopg.connect(stand.dsn) as plain:
                expected = plain.execute(statement.encode())
                assert result.fetchall() == expected.fetchall()
                assert [tuple(c) for c in result.description or ()] == [
                    tuple(c) for c in expected.description or ()
                ]


def test_unnamed_columns_are_called_as_the_endpoint_calls_them(stand: Stand) -> None:
    query = "SELECT count(*), max(id), min(delay), 1, carrier FROM flights GROUP BY carrier"
    with flights_on(stand) as engine, engine.session() as s:
        result = s.execute(query)
        assert result.decision.route is Route.REPLICA
        with psycopg.connect(stand.dsn) as plain:
            expected = plain.execute(query)
            assert [tuple(c) for c in result.description or ()] == [
                tuple(c) for c in expected.description or ()
            ]


@pytest.mark.only("postgres", reason="DuckDB's numeric always has a scale")
def test_a_result_type_that_cannot_agree_goes_to_the_endpoint(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        s.execute("CREATE TABLE amounts AS SELECT 1.10::numeric AS n, 5 AS a")
        result = s.execute("SELECT * FROM amounts")
        assert result.decision.route is Route.ENDPOINT
        assert str(result.fetchall()) == "[(Decimal('1.10'), 5)]"
        again = s.execute("SELECT a FROM amounts WHERE n = 1.1")
        assert (again.decision.reason, again.decision.detail) == (Reason.CATALOGUE, "amounts.n")


@pytest.mark.only("local", reason="PostgreSQL has no such types")
def test_a_type_that_reaches_a_client_changed_is_left_to_the_endpoint(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        s.execute("CREATE TABLE things AS SELECT ['x'] AS l, '12:00:00+02'::TIMETZ AS t, 5 AS a")
        engine.publish()
        for column in "lt":
            query = f"SELECT {column} FROM things"
            result = s.execute(query)
            assert (result.decision.route, result.decision.reason) == (
                Route.ENDPOINT,
                Reason.RESULT,
            )
            assert result.fetchall() == (s.endpoint.execute(query)).fetchall()
        assert (s.execute("SELECT a FROM things")).decision.route is Route.REPLICA


@pytest.mark.only("postgres", reason="DuckDB orders by code point, on both routes")
def test_text_that_is_not_ordered_by_code_point_is_not_ordered_on_a_replica(
    stand: Stand,
) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        known = s.execute("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'")
        if known.fetchone() is None:
            # A server built without ICU has nothing but code points here.
            ordered = s.execute("SELECT carrier FROM flights ORDER BY carrier")
            assert ordered.decision.route is Route.REPLICA
            return
        s.execute('CREATE TABLE words (w text COLLATE "und-x-icu")')
        s.execute("INSERT INTO words VALUES ('a'), ('B'), ('c')")
        ordered = s.execute("SELECT w FROM words ORDER BY w")
        assert ordered.decision.reason is Reason.CATALOGUE
        assert ordered.fetchall() == [("a",), ("B",), ("c",)]
        plain = s.execute("SELECT w FROM words WHERE w = %s", ["B"])
        assert plain.decision.route is Route.REPLICA


def test_the_first_rows_of_an_order_are_complete(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        s.execute("INSERT INTO flights (id) VALUES (900), (901), (902)")
        if not stand.is_live:
            engine.publish()
        for order in ("id", "id DESC", "delay DESC NULLS LAST, id", "delay DESC, id"):
            query = f"SELECT id, delay FROM flights WHERE id > %s ORDER BY {order} LIMIT 7"
            replica = s.replica.execute(query, [3])
            assert replica.fetchall() == (s.endpoint.execute(query, [3])).fetchall()
            assert replica.rowcount == 7


def test_a_schema_change_is_seen_at_once(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        for n in range(5):
            assert len((s.execute("SELECT * FROM flights")).description or ()) == 3 + n
            s.execute(sql.SQL("ALTER TABLE flights ADD {} int").format(sql.Identifier(f"c{n}")))
        if not stand.is_live:
            engine.publish()
        result = s.execute("SELECT * FROM flights")
        assert len(result.description or ()) == 8
        again = s.execute("SELECT * FROM flights")
        assert (again.decision.route, again.description) == (Route.REPLICA, result.description)
        s.execute("ALTER TABLE flights ALTER delay TYPE numeric")
        result = s.execute("SELECT delay FROM flights WHERE id = 1")
        assert result.decision.reason is (Reason.CATALOGUE if stand.is_postgres else Reason.STALE)
        assert [column.type_code for column in result.description or ()] == [1700]


def test_a_schema_change_made_elsewhere_gives_no_wrong_column(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        before = ["id", "carrier", "delay"]
        for change, names in (
            ("RENAME delay TO late", ["id", "carrier", "late"]),
            ("ADD note text", ["id", "carrier", "late", "note"]),
            ("DROP carrier", ["id", "late", "note"]),
        ):
            s.execute("SELECT * FROM flights")
            with psycopg.connect(stand.dsn, autocommit=True) as other:
                other.execute(f"ALTER TABLE flights {change}")
            at_once = s.execute("SELECT * FROM flights")
            shown = names if stand.is_live else before
            assert [column.name for column in at_once.description or ()] == shown
            assert len(at_once.fetchall()[0]) == len(shown)
            if stand.is_live:
                # As happens by itself, twice a minute.
                engine._core.schema_changed()
            else:
                engine.publish()
            noticed = s.execute("SELECT * FROM flights")
            assert [column.name for column in noticed.description or ()] == names
            again = s.execute("SELECT * FROM flights")
            assert (again.decision.route, again.description) == (
                Route.REPLICA,
                noticed.description,
            )
            before = names


def test_parameters_reach_both_routes_the_same_way(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        query = "SELECT id FROM flights WHERE carrier = %(c)s AND id < %(n)s AND delay <> %(n)s"
        params = {"c": "c1", "n": 9}
        replica = s.replica.execute(query, params)
        endpoint = s.endpoint.execute(query, params)
        assert sorted(replica.fetchall()) == sorted(endpoint.fetchall()) == [(1,), (4,), (7,)]
        composed = sql.SQL("SELECT {} FROM flights WHERE id = %s").format(sql.Identifier("delay"))
        assert (s.replica.execute(composed, [3])).fetchone() == (6,)
        by_bytes = s.replica.execute(b"SELECT delay FROM flights WHERE id = 4")
        assert by_bytes.fetchone() == (8,)


def test_a_parameter_without_a_twin_goes_to_the_endpoint(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        query, address = "SELECT id FROM flights WHERE %s IS NULL", ip_address("10.0.0.1")
        if stand.is_postgres:
            result = s.execute(query, [address])
            assert result.decision.reason is Reason.PARAMETERS
        else:
            # The endpoint has no twin of it either, and says so.
            with pytest.raises(psycopg.Error, match="869"):
                s.execute(query, [address])


@pytest.mark.only("postgres", reason="the types of the parameters are PostgreSQL's to say")
def test_a_str_is_what_the_endpoint_takes_it_for(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        s.execute("INSERT INTO flights VALUES (901, '9E', 5), (902, '1.50', 5)")
        by_text = "SELECT id FROM flights WHERE carrier = %s"
        for carrier, found in (("9E", 901), ("1.50", 902)):
            result = s.execute(by_text, [carrier])
            assert result.decision.route is Route.REPLICA
            assert result.fetchall() == [(found,)]
        by_number = "SELECT carrier FROM flights WHERE id = %s"
        assert (s.execute(by_number, ["901"])).decision.route is Route.REPLICA
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            # DuckDB would round it and find a row.
            s.execute(by_number, ["901.4"])
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            s.execute(by_number + " AND id > 9999", ["abc"])


@pytest.mark.only("local", reason="a str is text there, whatever it is compared with")
def test_a_str_is_text_on_both_routes(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        s.execute("INSERT INTO flights VALUES (901, '9E', 5), (902, '1.50', 5)")
        engine.publish()
        for view in (s.replica, s.endpoint):
            by_text = "SELECT id FROM flights WHERE carrier = %s"
            assert (view.execute(by_text, ["9E"])).fetchall() == [(901,)]
            assert (view.execute(by_text, ["1.50"])).fetchall() == [(902,)]
            by_number = "SELECT carrier FROM flights WHERE id = %s"
            # DuckDB rounds.
            assert (view.execute(by_number, ["901.4"])).fetchall() == [("9E",)]
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                view.execute(by_number, ["abc"])
            result = view.execute("SELECT %s, %s || carrier FROM flights LIMIT 1", ["7", "x"])
            assert [column.type_code for column in result.description or ()] == [25, 25]


def test_a_transaction_commits_or_rolls_back_on_one_connection(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        with s.transaction() as tx:
            first = tx.execute("SELECT txid_current()")
            tx.execute("DELETE FROM flights WHERE id = 1")
            inside = s.execute("SELECT count(*) FROM flights")
            assert inside.decision.reason is Reason.TRANSACTION
            assert inside.fetchone() == (99,)
            assert (tx.execute("SELECT txid_current()")).fetchone() == first.fetchone()
        with pytest.raises(ZeroDivisionError):
            with s.transaction() as tx:
                tx.execute("DELETE FROM flights")
                raise ZeroDivisionError
        assert (s.execute("SELECT count(*) FROM flights")).fetchone() == (99,)
        if not stand.is_live:
            engine.publish()
        after = s.execute("SELECT count(*) FROM flights")
        assert (after.decision.route, after.fetchone()) == (Route.REPLICA, (99,))
        with pytest.raises(pgmd.UsageError, match="transaction is over"):
            tx.execute("SELECT 1")


@pytest.mark.only("postgres", reason="DuckDB has no SAVEPOINT")
def test_a_nested_transaction_is_a_savepoint(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        with s.transaction() as tx:
            tx.execute("DELETE FROM flights WHERE id = 1")
            with pytest.raises(psycopg.errors.UniqueViolation):
                with tx.transaction() as inner:
                    inner.execute("DELETE FROM flights WHERE id = 2")
                    inner.execute("INSERT INTO flights VALUES (3)")
        assert (s.execute("SELECT count(*) FROM flights")).fetchone() == (99,)


@pytest.mark.only("local", reason="PostgreSQL has SAVEPOINT")
def test_a_nested_transaction_is_refused_before_anything_is_sent(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        with s.transaction() as tx:
            tx.execute("DELETE FROM flights WHERE id = 1")
            with pytest.raises(pgmd.NotSupportedError, match="SAVEPOINT") as caught:
                with tx.transaction():
                    pass
            assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED
            # An error at the server would have ended the outer one.
            tx.execute("DELETE FROM flights WHERE id = 2")
        assert (s.execute("SELECT count(*) FROM flights")).fetchone() == (98,)


def test_transactions_that_conflict_may_be_tried_again(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s, engine.session() as other:
        with pytest.raises(psycopg.errors.SerializationFailure) as caught:
            with s.transaction() as tx:
                if stand.is_postgres:
                    tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                tx.execute("SELECT count(*) FROM flights")
                other.execute("UPDATE flights SET delay = 1 WHERE id = 1")
                tx.execute("UPDATE flights SET delay = 2 WHERE id = 1")
        assert caught.value.sqlstate == "40001"
        assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        assert caught.value.retryable  # type: ignore[attr-defined]
        query = "SELECT delay FROM flights WHERE id = 1"
        assert (other.execute(query)).fetchone() == (1,)


def test_a_snapshot_sees_one_moment(stand: Stand) -> None:
    with (
        flights_on(stand) as engine,
        engine.session() as s,
        engine.session() as other,
    ):
        with s.snapshot() as snap:
            before = snap.execute("SELECT count(*) FROM flights")
            other.execute("DELETE FROM flights WHERE id > 50")
            after = snap.execute("SELECT count(*) FROM flights")
            assert before.fetchone() == after.fetchone() == (100,)
            assert after.decision.reason is Reason.SNAPSHOT
            assert (after.decision.route, after.decision.replica) == (
                Route.REPLICA,
                before.decision.replica,
            )
            if not stand.is_live:
                engine.publish()
                moved_on = snap.execute("SELECT count(*) FROM flights")
                assert moved_on.fetchone() == (100,)
            with pytest.raises(pgmd.RoutingError, match="DELETE"):
                snap.execute("DELETE FROM flights")
            with pytest.raises(pgmd.UsageError, match="snapshot"):
                with s.transaction():
                    pass
        assert (s.execute("SELECT count(*) FROM flights")).fetchone() == (50,)


def test_a_snapshot_after_a_write_contains_it(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        s.execute("DELETE FROM flights WHERE id > 50")
        with s.snapshot() as snap:
            seen = snap.execute("SELECT count(*) FROM flights")
            assert seen.fetchone() == (50,)
            assert seen.decision.route is (Route.REPLICA if stand.is_live else Route.ENDPOINT)
            with pytest.raises(pgmd.RoutingError, match="DELETE"):
                snap.execute("DELETE FROM flights")
        assert (s.endpoint.execute("SELECT count(*) FROM flights")).fetchone() == (50,)


# Of this colour.
_package = pgmd.Session.__module__.rpartition(".")[0]
_instance: Any = importlib.import_module(f"{_package}.sides.instance")


def _stopped(begin: Any) -> Any:
    def stopped(self: Any, before: Any) -> None:
        begin(self, before)
        raise ZeroDivisionError

    return stopped


def test_a_snapshot_that_is_stopped_while_it_opens_leaves_no_transaction(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_on(stand, 1, each={"max_size": 1}) as engine, engine.session() as s:
        side = _instance.InstanceLent
        monkeypatch.setattr(side, "begin", _stopped(side.begin))
        with pytest.raises(ZeroDivisionError):
            with s.snapshot():
                pass
        monkeypatch.undo()
        with s.snapshot() as snap:
            seen = snap.execute("SELECT 1 AS a")
            assert (seen.fetchone(), seen.decision.route) == ((1,), Route.REPLICA)


def test_without_replicas_a_snapshot_is_on_the_endpoint(stand: Stand) -> None:
    with (
        flights_on(stand, replicas=0) as engine,
        engine.session() as s,
        engine.session() as other,
    ):
        with s.snapshot() as snap:
            assert (snap.execute("SELECT count(*) FROM flights")).fetchone() == (100,)
            other.execute("DELETE FROM flights")
            seen = snap.execute("SELECT count(*) FROM flights")
            assert seen.fetchone() == (100,)
            assert seen.decision.route is Route.ENDPOINT
        assert (s.execute("SELECT count(*) FROM flights")).fetchone() == (0,)


def test_session_state_pins_the_session_and_does_not_leak(stand: Stand) -> None:
    zone = "SELECT current_setting('TimeZone')"
    with flights_on(stand, max_size=1) as engine:
        with engine.session() as s:
            before = (s.execute(zone)).fetchone()
        with engine.session() as s:
            s.execute("SET TIME ZONE 'Asia/Tokyo'")
            shown = s.execute(zone)
            assert shown.fetchone() == ("Asia/Tokyo",)
            assert shown.decision.reason is Reason.PINNED
            assert "SET" in shown.decision.detail
        with engine.session() as s:
            assert (s.endpoint.execute(zone)).fetchone() == before


@pytest.mark.only("postgres", reason="MotherDuck's endpoint has no temporary tables")
def test_a_temporary_table_does_not_leak(stand: Stand) -> None:
    with flights_on(stand, max_size=1) as engine:
        with engine.session() as s:
            s.execute("CREATE TEMP TABLE mine AS SELECT 1 AS a")
            shown = s.execute("SELECT a FROM mine")
            assert (shown.fetchone(), shown.decision.reason) == ((1,), Reason.PINNED)
        with engine.session() as s:
            with pytest.raises(psycopg.errors.UndefinedTable):
                s.execute("SELECT * FROM mine")


@pytest.mark.only("local", reason="PostgreSQL has temporary tables")
def test_a_temporary_table_is_refused_and_pins_nothing(stand: Stand) -> None:
    with flights_on(stand, max_size=1) as engine, engine.session() as s:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="temporary"):
            s.execute("CREATE TEMP TABLE mine AS SELECT 1 AS a")
        assert (s.execute("SELECT min(id) FROM flights")).decision.reason is not Reason.PINNED


def test_begin_as_text_pins_until_the_session_ends(stand: Stand) -> None:
    with flights_on(stand, max_size=2) as engine:
        with engine.session() as s:
            s.execute("BEGIN")
            s.execute("DELETE FROM flights")
            assert (s.execute("SELECT count(*) FROM flights")).fetchone() == (0,)
        with engine.session() as s:
            for view in (s, s.endpoint):
                seen = view.execute("SELECT count(*) FROM flights")
                assert seen.fetchone() == (100,)


def test_routes_by_name(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        asked = s.endpoint.execute("SELECT count(*) FROM flights")
        assert asked.decision.reason is Reason.ASKED
        assert (s.endpoint.execute("DELETE FROM flights WHERE id = 1")).rowcount == 1
        with pytest.raises(pgmd.RoutingError, match="DELETE") as caught:
            s.replica.execute("DELETE FROM flights")
        assert caught.value.decision.reason is Reason.NOT_A_READ
        if not stand.is_live:
            with pytest.raises(pgmd.RoutingError, match="replica") as caught:
                s.replica.execute("SELECT count(*) FROM flights")
            assert caught.value.decision.reason is Reason.STALE
            engine.publish()
        assert (s.replica.execute("SELECT count(*) FROM flights")).fetchone() == (99,)
        with pytest.raises(psycopg.errors.UndefinedTable):
            s.replica.execute("SELECT * FROM missing")


def test_errors_have_postgresqls_classes(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        for view in (s, s.endpoint, s.replica):
            with pytest.raises(psycopg.errors.UndefinedTable) as caught:
                view.execute("SELECT * FROM missing")
            assert caught.value.sqlstate == "42P01"
            assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
            with pytest.raises(psycopg.errors.UndefinedColumn):
                view.execute("SELECT missing FROM flights")
        with pytest.raises(psycopg.errors.UniqueViolation) as caught_write:
            s.execute("INSERT INTO flights (id) VALUES (1)")
        assert caught_write.value.sqlstate == "23505"
        assert caught_write.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        assert not caught_write.value.retryable  # type: ignore[attr-defined]


def test_explain_decides_as_execute_does_and_runs_nothing(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        for query in ("SELECT id FROM flights", "DELETE FROM flights", "SELECT 7/2", "VACUUM"):
            explained = s.explain(query)
            assert explained.seconds is None
            if query != "DELETE FROM flights":
                ran = (s.execute(query)).decision
                assert (explained.route, explained.reason) == (ran.route, ran.reason)
        assert "DELETE" in s.explain("DELETE FROM flights").explain()
        assert (s.execute("SELECT count(*) FROM flights")).fetchone() == (100,)


def test_a_statement_that_a_replica_refuses_as_a_write_is_remembered(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        s.execute("CREATE SEQUENCE numbers")
        s.execute("CREATE VIEW draws AS SELECT nextval('numbers') AS n")
        if not stand.is_live:
            engine.publish()
        for member in engine._core.replicas.members:
            # As if the view were newer than what is known of the replica's.
            member.holdings = member.holdings._replace(definitions=None)
        engine._core.survey()
        first = s.execute("SELECT n FROM draws")
        assert first.decision.reason is Reason.REFUSED
        assert first.fetchone() == (1,)
        second = s.execute("SELECT n FROM draws")
        assert second.decision.reason is Reason.REFUSED
        assert second.fetchone() == (2,)


def test_row_factories(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session(row_factory=dict_row) as s:
        for view in (s, s.endpoint):
            row = (view.execute("SELECT id, delay FROM flights WHERE id = 2")).fetchone()
            assert row == {"id": 2, "delay": 4}


def test_stats_count_by_route_and_reason(stand: Stand) -> None:
    with flights_on(stand) as engine, engine.session() as s:
        s.execute("SELECT id FROM flights")
        stats = engine.stats()
        assert stats["routed"]["replica: READ"] == 1
        assert stats["routed"]["endpoint: NOT_A_READ"] == 2
        assert stats["replicas"]["replicas"] == 2
        assert stats["replicas"]["pool_available"] == stats["replicas"]["pool_size"]


def test_a_user_stays_on_one_replica(stand: Stand) -> None:
    with flights_on(stand, replicas=3) as engine:
        chosen = {}
        for user in ("alice", "bob", "carol", "dave", "erin", "frank"):
            with engine.session(user=user) as s:
                names = {(s.execute("SELECT 1 AS a")).decision.replica for _ in range(5)}
                assert len(names) == 1
                chosen[user] = names.pop()
        assert len(set(chosen.values())) > 1
