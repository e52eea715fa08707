# Generated from tests/async_/test_routing.py by pgmd._tools.unasync. Do not edit.
"""Statements that only DuckDB knows, on replicas; and what a session has set before them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import psycopg
import pytest

import pgmd
from pgmd import Fact, Reason, Route, RoutingError, UsageError

from ..fixtures.stands import Stand
from .helpers import engine_on

pytestmark = pytest.mark.only("local", reason="in SQL that PostgreSQL does not have")

SCHEMA = """
CREATE TABLE t (a integer, b varchar);
INSERT INTO t SELECT n, 'x' || n % 3 FROM range(10) AS r(n);
CREATE SCHEMA other;
CREATE TABLE other.t AS SELECT 42 AS a;
CREATE VIEW v AS SELECT a + 1 AS n FROM t;
CREATE SEQUENCE s;
CREATE VIEW draws AS SELECT nextval('s') AS n;
CREATE MACRO plus_one(x) AS x + 1;
CREATE MACRO draw() AS nextval('s');
CREATE MACRO above(x) AS TABLE SELECT a FROM t WHERE a > x;
CREATE MACRO upper(x) AS 'mine: ' || x
"""

SAME = [
    "SUMMARIZE t",
    "SUMMARIZE SELECT a FROM t",
    "DESCRIBE t",
    "DESCRIBE SELECT a, b FROM t",
    "SHOW t",
    "SHOW TABLES",
    "SHOW TABLES FROM other",
    "SELECT plus_one(a) FROM t ORDER BY 1",
    "SELECT upper('x')",
    "SELECT main.plus_one(1), ('a').concat('b')",
    "FROM above(7) ORDER BY ALL",
    "SELECT n FROM v ORDER BY 1",
    "PIVOT t ON b USING sum(a)",
    "PIVOT t ON b IN ('x1') USING sum(a)",
    "SELECT * FROM (PIVOT t ON b USING count(*))",
    "WITH x AS (FROM t) PIVOT x ON b USING count(*)",
    "UNPIVOT (SELECT a, a + 1 AS c FROM t) ON a, c INTO NAME k VALUE v ORDER BY ALL",
    "EXPLAIN SELECT 42 AS answer",
    "EXPLAIN (FORMAT json) SELECT 42 AS answer",
    "FROM query_table('t') ORDER BY ALL",
    "PRAGMA table_info('t')",
    "PRAGMA show_tables",
    "SELECT getvariable('nothing')",
    "SELECT sleep_ms(1)",
]
VOLATILE = {
    "SELECT random()": float,
    "SELECT count(*) FROM (FROM t USING SAMPLE 5 ROWS)": int,
    "SELECT now()": dt.datetime,
    "SELECT current_date": dt.date,
    "SELECT CAST(uuid() AS varchar)": str,
}


def engine_with_schema(stand: Stand, replicas: int = 1) -> pgmd.Engine:
    engine = engine_on(stand, replicas, timeout=10)
    with engine.session() as s:
        for statement in SCHEMA.split(";\n"):
            s.execute(statement)
    engine.publish()
    return engine


def look(result: pgmd.Result[Any]) -> Any:
    rows = result.fetchall()
    return rows, result.description, result.rowcount, result.statusmessage


def value(session: pgmd.Session[Any], query: str) -> tuple[Any, Route]:
    result = session.execute(query)
    return result.fetchall()[0][0], result.decision.route


def test_both_routes_answer_alike(stand: Stand) -> None:
    with engine_with_schema(stand) as engine:
        for query in SAME:
            with engine.session() as s:
                routed = s.execute(query)
                assert routed.decision.reason is Reason.READ, query
                there = s.execute(query, route="endpoint")
                assert there.decision.reason is Reason.ASKED
                assert look(routed) == look(there), query


def test_what_differs_each_time_has_the_same_shape(stand: Stand) -> None:
    with engine_with_schema(stand) as engine:
        for query, kind in VOLATILE.items():
            with engine.session() as s:
                routed = s.execute(query)
                there = s.endpoint.execute(query)
                assert routed.decision.route is Route.REPLICA, query
                assert routed.description == there.description, query
                for result in (routed, there):
                    assert type(result.fetchall()[0][0]) is kind, query


def test_explain_analyze_runs_on_a_replica(stand: Stand) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        plan = s.execute("EXPLAIN ANALYZE SELECT count(*) FROM t")
        assert plan.decision.route is Route.REPLICA
        assert plan.fetchall()[0][0] == "analyzed_plan"


def test_parameters_reach_a_pivot_a_macro_and_an_explanation(stand: Stand) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        for query in (
            "SELECT plus_one(%s)",
            "FROM above(%s)",
            "EXPLAIN SELECT a FROM t WHERE a = %s",
        ):
            result = s.execute(query, [1])
            assert result.decision.route is Route.REPLICA, result.decision
            assert result.fetchall()


def test_an_error_is_the_endpoints(stand: Stand) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        with pytest.raises(psycopg.Error, match="boom"):
            s.execute("SELECT error('boom')")
        assert (value(s, "SELECT 1"))[1] is Route.REPLICA


def test_a_statement_that_fails_leaves_no_transaction_behind(stand: Stand) -> None:
    with engine_with_schema(stand, 0) as engine, engine.session() as s:
        for _ in range(3):
            with pytest.raises(psycopg.errors.InvalidCatalogName):
                s.execute("COPY FROM DATABASE app TO nonsense")
            assert value(s, "SELECT count(*) FROM t") == (10, Route.ENDPOINT)


# ------------------------------------------------------------------------- views and macros


@pytest.mark.parametrize(
    "query", ["SELECT n FROM draws", "SELECT draw()", "SELECT plus_one(draw())"]
)
def test_what_a_view_or_macro_hides_is_seen(stand: Stand, query: str) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        decision = s.explain(query)
        assert (decision.route, decision.reason) == (Route.ENDPOINT, Reason.NOT_A_READ)
        assert "nextval()" in decision.detail
        assert Fact.WRITES in decision.facts
        first = (s.execute(query)).fetchall()
        assert (s.execute(query)).fetchall() != first


def test_definitions_are_looked_at_again_when_published(stand: Stand) -> None:
    with engine_with_schema(stand) as engine:
        with engine.session() as s:
            assert s.explain("SELECT plus_one(1)").route is Route.REPLICA
            s.execute("CREATE OR REPLACE MACRO plus_one(x) AS x + nextval('s')")
        with engine.session() as s:
            # It still reads what was published last.
            assert value(s, "SELECT plus_one(1)") == (2, Route.REPLICA)
            engine.publish()
            assert s.explain("SELECT plus_one(1)").route is Route.ENDPOINT


def test_show_of_no_table_is_left_to_the_endpoint(stand: Stand) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        assert s.explain("SHOW t").route is Route.REPLICA
        assert s.explain("SHOW threads").route is Route.ENDPOINT


# --------------------------------------------------------------------- what a session has set


def test_what_can_be_set_on_both_sides_is(stand: Stand) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        s.execute("SET VARIABLE x = 'mine'")
        s.execute("USE other")
        for query, expected in (("SELECT getvariable('x')", "mine"), ("SELECT a FROM t", 42)):
            assert value(s, query) == (expected, Route.REPLICA)
            assert (s.endpoint.execute(query)).fetchone() == (expected,)
        with s.snapshot() as snap:
            assert (snap.execute("SELECT getvariable('x'), a FROM t")).fetchone() == (
                "mine",
                42,
            )
        s.execute("RESET VARIABLE x")
        assert value(s, "SELECT getvariable('x')") == (None, Route.REPLICA)
        s.execute("RESET search_path")
        assert value(s, "SELECT count(*) FROM t") == (10, Route.REPLICA)


def test_to_set_something_is_not_to_see_what_others_wrote(stand: Stand) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        with engine.session() as other:
            other.execute("DELETE FROM t")
        s.execute("SET VARIABLE x = 1")
        assert value(s, "SELECT count(*) FROM t") == (10, Route.REPLICA)


def test_a_fan_out_knows_what_its_session_has_set(stand: Stand) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        s.execute("SET VARIABLE x = 10")
        query = "SELECT getvariable('x') + %s"
        for sql in (query, f"/*+ pgmd: endpoint */ {query}"):
            found = [r.fetchone() for r in s.map(sql, [[n] for n in range(5)])]
            assert found == [(10 + n,) for n in range(5)]
        assert (s.endpoint.execute("SELECT getvariable('x')")).fetchone() == (10,)


def test_what_a_session_has_set_is_not_seen_by_others(stand: Stand) -> None:
    with engine_with_schema(stand) as engine:
        with engine.session() as s:
            s.execute("SET VARIABLE x = 1")
            s.execute("USE other")
            assert value(s, "SELECT getvariable('x')") == (1, Route.REPLICA)
            with engine.session() as t:
                assert value(t, "SELECT getvariable('x')") == (None, Route.REPLICA)
                assert value(t, "SELECT count(*) FROM t") == (10, Route.REPLICA)
        with engine.session() as t:
            for view in (t, t.endpoint):
                assert (view.execute("SELECT getvariable('x')")).fetchone() == (None,)
                assert (view.execute("SELECT count(*) FROM t")).fetchone() == (10,)


@pytest.mark.parametrize(
    ("statement", "pin"),
    [
        ("SET VARIABLE x = random()", "SET VARIABLE x"),
        ("SET TimeZone = 'Asia/Tokyo'", "SET TimeZone"),
        ("PREPARE p AS SELECT 1", "PREPARE p"),
        ("SELECT setseed(0.5)", "calls setseed(): SELECT setseed"),
    ],
)
def test_what_cannot_be_set_on_both_pins(stand: Stand, statement: str, pin: str) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        s.execute(statement)
        decision = (s.execute("SELECT a FROM t")).decision
        assert (decision.reason, decision.detail) == (Reason.PINNED, pin)
        assert pin in repr(s)
        with engine.session() as other:
            assert (other.execute("SELECT a FROM t")).decision.route is Route.REPLICA


def test_what_a_transaction_has_set_stays_with_the_session(stand: Stand) -> None:
    with engine_with_schema(stand) as engine:
        with engine.session() as s:
            with s.transaction() as tx:
                tx.execute("SET VARIABLE x = 1")
            assert value(s, "SELECT getvariable('x')") == (1, Route.ENDPOINT)
        with engine.session() as s:
            for _ in range(5):
                answer = s.endpoint.execute("SELECT getvariable('x')")
                assert answer.fetchone() == (None,)


def test_a_pivot_leaves_no_types_behind(stand: Stand) -> None:
    query = "SELECT count(*) FROM duckdb_types() WHERE type_name LIKE '\\_\\_pivot%' ESCAPE '\\'"
    with engine_with_schema(stand) as engine, engine.session() as s:
        for _ in range(3):
            s.execute("PIVOT t ON b USING sum(a)")
        slot = engine._core.replicas.lend(lambda _: True)
        try:
            instance: Any = slot.replica.instance
            cursor: Any = slot.cursor or instance.cursor()
            assert cursor._connection.execute(query).fetchone() == (0,)
        finally:
            engine._core.replicas.give_back(slot)


# ------------------------------------------------------------------- BEGIN TRANSACTION READ ONLY


def test_a_read_only_transaction_is_a_snapshot(stand: Stand) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        assert s.explain("BEGIN TRANSACTION READ ONLY").route is Route.REPLICA
        begun = s.execute("BEGIN TRANSACTION READ ONLY")
        assert (begun.decision.route, begun.statusmessage) == (Route.REPLICA, "BEGIN")
        with engine.session() as other:
            other.execute("DELETE FROM t")
            engine.publish()
        for _ in range(2):
            result = s.execute("SELECT count(*) FROM t")
            assert result.decision.reason is Reason.SNAPSHOT
            assert result.fetchone() == (10,)
        with pytest.raises(RoutingError, match="INSERT"):
            s.execute("INSERT INTO t VALUES (1, 'x')")
        with pytest.raises(UsageError, match="snapshot"):
            with s.transaction():
                pass
        assert (s.execute("COMMIT")).statusmessage == "COMMIT"
        assert value(s, "SELECT count(*) FROM t") == (0, Route.REPLICA)


def test_a_read_only_transaction_ends_with_its_session(stand: Stand) -> None:
    with engine_with_schema(stand) as engine:
        for _ in range(20):
            with engine.session() as s:
                s.execute("BEGIN READ ONLY")
                s.execute("SELECT a FROM t")
        stats = engine.stats()["replicas"]
        assert stats["pool_available"] == stats["pool_size"]


def test_a_read_only_transaction_that_was_asked_for_there_is_on_the_endpoint(
    stand: Stand,
) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        s.endpoint.execute("BEGIN TRANSACTION READ ONLY")
        assert (s.execute("SELECT current_user")).decision.reason is Reason.PINNED
        s.execute("COMMIT")


# ------------------------------------------------------------------------------- overrides


def test_the_caller_can_name_the_route(stand: Stand) -> None:
    query = "SELECT a FROM t"
    with engine_with_schema(stand) as engine, engine.session() as s:
        for result in (
            s.execute(query, route="endpoint"),
            s.execute(f"/*+ pgmd: endpoint */ {query}"),
            s.execute(f"/*+ pgmd: replica */ {query}"),
        ):
            assert (result.decision.route, result.decision.reason) == (
                Route.ENDPOINT,
                Reason.ASKED,
            )
        assert (s.execute(query, route="replica")).decision.route is Route.REPLICA
        with pytest.raises(RoutingError, match="DELETE"):
            s.execute("DELETE FROM t", route="replica")
        with pytest.raises(RoutingError, match="the caller named the route"):
            s.execute(f"/*+ pgmd: endpoint */ {query}", route="replica")
        with pytest.raises(UsageError, match="expected 'endpoint' or 'replica'"):
            s.execute(query, route="writer")  # type: ignore[call-overload]
        with s.snapshot() as snap:
            with pytest.raises(RoutingError):
                s.execute(query, route="endpoint")
            assert (snap.execute(query)).decision.route is Route.REPLICA


def test_a_decision_tells_what_to_do(stand: Stand) -> None:
    with engine_with_schema(stand) as engine, engine.session() as s:
        explained = s.explain("SELECT a FROM t; SELECT 1")
        assert explained.remedy == "execute its statements one by one"
        assert "facts:  reads, several" in explained.report()
        result = s.execute("SELECT plus_one(1)")
        assert result.decision.facts is Fact.READS
        assert result.decision.remedy == ""
