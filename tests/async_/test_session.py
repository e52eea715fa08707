"""Where statements run, and what a session sees."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

import pgmd
from pgmd import Reason, Route

TABLE = "CREATE TABLE flights (id int PRIMARY KEY, carrier text, delay int)"
ROWS = "INSERT INTO flights SELECT n, 'c' || n % 3, n * 2 FROM generate_series(1, 100) AS n"


async def engine_with(dsn: str, **settings: Any) -> pgmd.AsyncEngine:
    """An engine on a database that holds the flights."""
    engine = await pgmd.connect_async(dsn, **{"replicas": 2, "timeout": 10, **settings})
    async with engine.session() as s:
        await s.execute(TABLE)
        await s.execute(ROWS)
    return engine


async def test_a_read_runs_on_a_replica_and_a_write_on_the_endpoint(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        read = await s.execute("SELECT delay FROM flights WHERE id = %s", [21])
        assert read.fetchall() == [(42,)]
        assert (read.decision.route, read.decision.reason) == (Route.REPLICA, Reason.READ)
        assert read.decision.replica in ("replica-1", "replica-2")
        assert read.decision.staleness == 0.0
        assert read.decision.seconds is not None
        write = await s.execute("UPDATE flights SET delay = 0 WHERE id = 21")
        assert (write.decision.route, write.decision.reason) == (Route.ENDPOINT, Reason.NOT_A_READ)
        assert (write.rowcount, write.statusmessage) == (1, "UPDATE 1")


async def test_a_session_reads_its_own_writes_from_a_live_replica(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        for n in range(200, 230):
            await s.execute("INSERT INTO flights VALUES (%s, 'x', %s)", [n, n])
            seen = await s.execute("SELECT count(*), max(id) FROM flights")
            assert seen.decision.route is Route.REPLICA
            assert seen.fetchone() == (n - 99, n)


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("SELECT nextval('numbers')", "nextval"),
        ("SELECT 1; SELECT 2", "several"),
        ("WITH x AS (DELETE FROM flights RETURNING *) SELECT * FROM x", "delete"),
        ("SELECT * FROM flights FOR UPDATE", "locks rows"),
        ("EXPLAIN ANALYZE DELETE FROM flights", "explain"),
        ("/* SELECT */ DELETE FROM flights", "delete"),
        ("SELECT pg_backend_pid()", "pg_backend_pid"),
    ],
)
async def test_what_is_not_confirmed_goes_to_the_endpoint(
    dsn: str, statement: str, detail: str
) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        await s.execute("CREATE SEQUENCE numbers")
        decision = (await s.execute(statement)).decision
        assert (decision.route, decision.reason) == (Route.ENDPOINT, Reason.NOT_A_READ)
        assert detail in decision.detail.lower()


@pytest.mark.parametrize(
    "statement",
    ["SELECT 7/2", "SELECT count(*) % 7 FROM flights", "SELECT id FROM flights WHERE id/2 = 3"],
)
async def test_what_the_dialects_disagree_about_goes_to_the_endpoint(
    dsn: str, statement: str
) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        result = await s.execute(statement)
        assert result.decision.reason is Reason.DIALECT
        with psycopg.connect(dsn) as plain:
            assert result.fetchall() == plain.execute(statement).fetchall()


async def test_unnamed_columns_are_called_as_the_endpoint_calls_them(dsn: str) -> None:
    query = "SELECT count(*), max(id), min(delay), 1, carrier FROM flights GROUP BY carrier"
    async with await engine_with(dsn) as engine, engine.session() as s:
        result = await s.execute(query)
        assert result.decision.route is Route.REPLICA
        with psycopg.connect(dsn) as plain:
            expected = plain.execute(query)
            assert [tuple(c) for c in result.description or ()] == [
                tuple(c) for c in expected.description or ()
            ]


async def test_a_result_type_that_cannot_agree_goes_to_the_endpoint(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        await s.execute("CREATE TABLE amounts AS SELECT 1.10::numeric AS n, 5 AS a")
        result = await s.execute("SELECT * FROM amounts")
        assert result.decision.route is Route.ENDPOINT
        assert str(result.fetchall()) == "[(Decimal('1.10'), 5)]"
        again = await s.execute("SELECT a FROM amounts WHERE n = 1.1")
        assert (again.decision.reason, again.decision.detail) == (Reason.CATALOGUE, "amounts.n")


async def test_text_that_is_not_ordered_by_code_point_is_not_ordered_on_a_replica(
    dsn: str,
) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        known = await s.execute("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'")
        if known.fetchone() is None:
            # A server built without ICU has nothing but code points here.
            ordered = await s.execute("SELECT carrier FROM flights ORDER BY carrier")
            assert ordered.decision.route is Route.REPLICA
            return
        await s.execute('CREATE TABLE words (w text COLLATE "und-x-icu")')
        await s.execute("INSERT INTO words VALUES ('a'), ('B'), ('c')")
        ordered = await s.execute("SELECT w FROM words ORDER BY w")
        assert ordered.decision.reason is Reason.CATALOGUE
        assert ordered.fetchall() == [("a",), ("B",), ("c",)]
        plain = await s.execute("SELECT w FROM words WHERE w = %s", ["B"])
        assert plain.decision.route is Route.REPLICA


@pytest.mark.parametrize("order", ["id", "id DESC", "delay DESC NULLS LAST, id", "delay DESC, id"])
async def test_the_first_rows_of_an_order_are_complete(dsn: str, order: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        await s.execute("INSERT INTO flights (id) VALUES (900), (901), (902)")
        query = f"SELECT id, delay FROM flights WHERE id > %s ORDER BY {order} LIMIT 7"
        replica = await s.replica.execute(query, [3])
        assert replica.fetchall() == (await s.endpoint.execute(query, [3])).fetchall()
        assert replica.rowcount == 7


async def test_a_schema_change_is_seen_at_once(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        for n in range(5):
            assert len((await s.execute("SELECT * FROM flights")).description or ()) == 3 + n
            await s.execute(
                sql.SQL("ALTER TABLE flights ADD {} int").format(sql.Identifier(f"c{n}"))
            )
        await s.execute("ALTER TABLE flights ALTER delay TYPE numeric")
        result = await s.execute("SELECT delay FROM flights WHERE id = 1")
        assert result.decision.reason is Reason.CATALOGUE


async def test_a_schema_change_made_elsewhere_gives_no_wrong_column(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        for change, names in (
            ("RENAME delay TO late", ["id", "carrier", "late"]),
            ("ADD note text", ["id", "carrier", "late", "note"]),
            ("DROP carrier", ["id", "late", "note"]),
        ):
            await s.execute("SELECT * FROM flights")
            with psycopg.connect(dsn, autocommit=True) as other:
                other.execute(f"ALTER TABLE flights {change}")
            at_once = await s.execute("SELECT * FROM flights")
            assert [column.name for column in at_once.description or ()] == names
            # As happens by itself, twice a minute.
            await engine.schema_changed()
            noticed = await s.execute("SELECT * FROM flights")
            assert [column.name for column in noticed.description or ()] == names
            assert noticed.decision.route is Route.REPLICA


async def test_parameters_reach_both_routes_the_same_way(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        query = "SELECT id FROM flights WHERE carrier = %(c)s AND id < %(n)s AND delay <> %(n)s"
        params = {"c": "c1", "n": 9}
        replica = await s.replica.execute(query, params)
        endpoint = await s.endpoint.execute(query, params)
        assert sorted(replica.fetchall()) == sorted(endpoint.fetchall()) == [(1,), (4,), (7,)]
        composed = sql.SQL("SELECT {} FROM flights WHERE id = %s").format(sql.Identifier("delay"))
        assert (await s.replica.execute(composed, [3])).fetchone() == (6,)
        assert (await s.replica.execute(b"SELECT delay FROM flights WHERE id = 4")).fetchone() == (
            8,
        )


async def test_a_parameter_without_a_twin_goes_to_the_endpoint(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        address = ip_address("10.0.0.1")
        result = await s.execute("SELECT id FROM flights WHERE %s IS NULL", [address])
        assert result.decision.reason is Reason.PARAMETERS


async def test_a_str_is_what_the_endpoint_takes_it_for(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        await s.execute("INSERT INTO flights VALUES (901, '9E', 5), (902, '1.50', 5)")
        by_text = "SELECT id FROM flights WHERE carrier = %s"
        for carrier, found in (("9E", 901), ("1.50", 902)):
            result = await s.execute(by_text, [carrier])
            assert result.decision.route is Route.REPLICA
            assert result.fetchall() == [(found,)]
        by_number = "SELECT carrier FROM flights WHERE id = %s"
        assert (await s.execute(by_number, ["901"])).decision.route is Route.REPLICA
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            # DuckDB would round it and find a row.
            await s.execute(by_number, ["901.4"])
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            await s.execute(by_number + " AND id > 9999", ["abc"])


async def test_a_transaction_commits_or_rolls_back_on_one_connection(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        async with s.transaction() as tx:
            first = await tx.execute("SELECT pg_backend_pid()")
            await tx.execute("DELETE FROM flights WHERE id = 1")
            inside = await s.execute("SELECT count(*) FROM flights")
            assert inside.decision.reason is Reason.TRANSACTION
            assert inside.fetchone() == (99,)
            assert (await tx.execute("SELECT pg_backend_pid()")).fetchone() == first.fetchone()
        with pytest.raises(ZeroDivisionError):
            async with s.transaction() as tx:
                await tx.execute("DELETE FROM flights")
                raise ZeroDivisionError
        assert (await s.execute("SELECT count(*) FROM flights")).fetchone() == (99,)
        with pytest.raises(pgmd.UsageError, match="transaction is over"):
            await tx.execute("SELECT 1")


async def test_a_nested_transaction_is_a_savepoint(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        async with s.transaction() as tx:
            await tx.execute("DELETE FROM flights WHERE id = 1")
            with pytest.raises(psycopg.errors.UniqueViolation):
                async with tx.transaction() as inner:
                    await inner.execute("DELETE FROM flights WHERE id = 2")
                    await inner.execute("INSERT INTO flights VALUES (3)")
        assert (await s.execute("SELECT count(*) FROM flights")).fetchone() == (99,)


async def test_a_snapshot_sees_one_moment(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s, engine.session() as other:
        async with s.snapshot() as snap:
            before = await snap.execute("SELECT count(*) FROM flights")
            await other.execute("DELETE FROM flights WHERE id > 50")
            after = await snap.execute("SELECT count(*) FROM flights")
            assert before.fetchone() == after.fetchone() == (100,)
            assert after.decision.reason is Reason.SNAPSHOT
            assert after.decision.replica == before.decision.replica
            with pytest.raises(pgmd.RoutingError, match="DELETE"):
                await snap.execute("DELETE FROM flights")
            with pytest.raises(pgmd.UsageError, match="snapshot"):
                async with s.transaction():
                    pass
        assert (await s.execute("SELECT count(*) FROM flights")).fetchone() == (50,)


async def test_without_replicas_a_snapshot_is_on_the_endpoint(dsn: str) -> None:
    async with (
        await engine_with(dsn, replicas=0) as engine,
        engine.session() as s,
        engine.session() as other,
    ):
        async with s.snapshot() as snap:
            assert (await snap.execute("SELECT count(*) FROM flights")).fetchone() == (100,)
            await other.execute("DELETE FROM flights")
            seen = await snap.execute("SELECT count(*) FROM flights")
            assert seen.fetchone() == (100,)
            assert seen.decision.route is Route.ENDPOINT
        assert (await s.execute("SELECT count(*) FROM flights")).fetchone() == (0,)


async def test_session_state_pins_the_session_and_does_not_leak(dsn: str) -> None:
    async with await engine_with(dsn, max_size=1) as engine:
        async with engine.session() as s:
            await s.execute("SET TIME ZONE 'Asia/Tokyo'")
            await s.execute("CREATE TEMP TABLE mine AS SELECT 1 AS a")
            shown = await s.execute("SELECT current_setting('TimeZone'), a FROM mine")
            assert shown.fetchone() == ("Asia/Tokyo", 1)
            assert shown.decision.reason is Reason.PINNED
            assert "SET" in shown.decision.detail
        async with engine.session() as s:
            zone = await s.execute("SELECT current_setting('TimeZone')")
            assert zone.fetchone() != ("Asia/Tokyo",)
            with pytest.raises(psycopg.errors.UndefinedTable):
                await s.execute("SELECT * FROM mine")


async def test_begin_as_text_pins_until_the_session_ends(dsn: str) -> None:
    async with await engine_with(dsn, max_size=2) as engine:
        async with engine.session() as s:
            await s.execute("BEGIN")
            await s.execute("DELETE FROM flights")
            assert (await s.execute("SELECT count(*) FROM flights")).fetchone() == (0,)
        async with engine.session() as s:
            assert (await s.execute("SELECT count(*) FROM flights")).fetchone() == (100,)


async def test_routes_by_name(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        asked = await s.endpoint.execute("SELECT count(*) FROM flights")
        assert asked.decision.reason is Reason.ASKED
        with pytest.raises(pgmd.RoutingError, match="DELETE") as caught:
            await s.replica.execute("DELETE FROM flights")
        assert caught.value.decision.reason is Reason.NOT_A_READ
        with pytest.raises(psycopg.errors.UndefinedTable):
            await s.replica.execute("SELECT * FROM missing")


async def test_errors_are_the_endpoints_own(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        with pytest.raises(psycopg.errors.UndefinedTable) as caught:
            await s.execute("SELECT * FROM missing")
        assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        with pytest.raises(psycopg.errors.UniqueViolation) as caught_write:
            await s.execute("INSERT INTO flights VALUES (1)")
        assert caught_write.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]


async def test_explain_decides_as_execute_does_and_runs_nothing(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        for query in ("SELECT id FROM flights", "DELETE FROM flights", "SELECT 7/2", "VACUUM"):
            explained = s.explain(query)
            assert explained.seconds is None
            if query != "DELETE FROM flights":
                ran = (await s.execute(query)).decision
                assert (explained.route, explained.reason) == (ran.route, ran.reason)
        assert "DELETE" in s.explain("DELETE FROM flights").explain()
        assert (await s.execute("SELECT count(*) FROM flights")).fetchone() == (100,)


async def test_a_statement_that_a_replica_refuses_as_a_write_is_remembered(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        await s.execute("CREATE SEQUENCE numbers")
        await s.execute("CREATE VIEW draws AS SELECT nextval('numbers') AS n")
        first = await s.execute("SELECT n FROM draws")
        assert first.decision.reason is Reason.REFUSED
        assert first.fetchone() == (1,)
        second = await s.execute("SELECT n FROM draws")
        assert second.decision.reason is Reason.REFUSED
        assert second.fetchone() == (2,)


async def test_row_factories(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session(row_factory=dict_row) as s:
        for view in (s, s.endpoint):
            row = (await view.execute("SELECT id, delay FROM flights WHERE id = 2")).fetchone()
            assert row == {"id": 2, "delay": 4}


async def test_stats_count_by_route_and_reason(dsn: str) -> None:
    async with await engine_with(dsn) as engine, engine.session() as s:
        await s.execute("SELECT id FROM flights")
        stats = engine.stats()
        assert stats["routed"]["replica: READ"] == 1
        assert stats["routed"]["endpoint: NOT_A_READ"] == 2
        assert stats["replicas"]["replicas"] == 2
        assert stats["replicas"]["pool_available"] == stats["replicas"]["pool_size"]


async def test_a_user_stays_on_one_replica(dsn: str) -> None:
    async with await engine_with(dsn, replicas=3) as engine:
        chosen = {}
        for user in ("alice", "bob", "carol", "dave", "erin", "frank"):
            async with engine.session(user=user) as s:
                names = {(await s.execute("SELECT 1 AS a")).decision.replica for _ in range(5)}
                assert len(names) == 1
                chosen[user] = names.pop()
        assert len(set(chosen.values())) > 1
