# Generated from tests/async_/test_fanout.py by pgmd._tools.unasync. Do not edit.
"""map() and gather()."""

from __future__ import annotations

import asyncio
import importlib
import io
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import polars.testing
import psycopg
import pyarrow as pa
import pytest

import pgmd
from pgmd import Outcome, Query, Route
from pgmd.events import Event
from pgmd.fanout.options import Options
from pgmd.runtime import threads as runtime

from ..fixtures.stands import Stand
from .helpers import engine_on, pause, until

# Of this colour.
_package = pgmd.Session.__module__.rpartition(".")[0]
fan_out: Any = importlib.import_module(f"{_package}.fanout.results").fan_out


_succeeded: dict[pgmd.Engine, int] = {}


def squares_on(stand: Stand) -> pgmd.Engine:
    """An engine on a database that holds squares, which replicas see."""
    engine = engine_on(stand, 2, timeout=20)
    _succeeded[engine] = 0

    def count(event: Event) -> None:
        _succeeded[engine] += event.error is None

    engine.on_statement(count)
    with engine.session() as s:
        s.execute(
            "CREATE TABLE t AS SELECT n, n * n AS square FROM generate_series(1, 200) AS g(n)"
        )
    engine.publish()
    return engine


def test_map_returns_results_in_order(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        params = [[n] for n in range(1, 101)]
        results = s.map("SELECT square FROM t WHERE n = %s", params, concurrency=4)
        squares = [result.fetchone() for result in results]
        assert squares == [(n * n,) for n in range(1, 101)]
        assert engine.stats()["routed"]["replica: READ"] == 100


def test_map_reads_parameters_only_as_far_ahead_as_it_works(stand: Stand) -> None:
    read = []

    def endless() -> Any:
        n = 0
        while True:
            n += 1
            read.append(n)
            yield [n % 200 + 1]

    with squares_on(stand) as engine, engine.session() as s:
        results = s.map("SELECT square FROM t WHERE n = %s", endless(), concurrency=3)
        for _ in results:
            if len(read) >= 10:
                break
        results.close()
        assert len(read) <= 14
        until(lambda: at_rest(engine))


def at_rest(engine: pgmd.Engine) -> bool:
    """Whether every cursor and connection is back."""
    sides = [side for side in (engine.stats()["replicas"], engine.stats()["endpoint"]) if side]
    return all(
        side["pool_available"] == side["pool_size"] and not side.get("requests_waiting")
        for side in sides
    )


def lent(engine: Any) -> int:
    """How many cursors and connections are in use."""
    sides = [side for side in (engine.stats()["replicas"], engine.stats()["endpoint"]) if side]
    return sum(side["pool_size"] - side["pool_available"] for side in sides)


def ran(engine: pgmd.Engine) -> int:
    """How many statements have succeeded since `squares_on()`."""
    return _succeeded.get(engine, 0)


def lasting(stand: Stand) -> tuple[str, list[Any], list[Any]]:
    """A statement, parameters with which it takes long, and some with which it does not."""
    if stand.is_postgres:
        return "SELECT pg_sleep(%s)", [60], [0]
    return "SELECT count(*) FROM range(%s) AS t(n) WHERE n %% 7 = 1", [10**12], [1]


def taken(results: Any) -> Any:
    """The next result."""
    for result in results:
        return result
    raise AssertionError("there is no more")


class Source:
    """Parameter sets, and how many of them were read."""

    def __init__(self, items: Any) -> None:
        self._items = iter(items)
        self.read = 0

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            self.read += 1
            yield item


def test_gather_mixes_routes_and_carries_writes_into_the_session(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        before = s.bookmark
        results = s.gather(
            [
                Query("SELECT square FROM t WHERE n = %s", [3]),
                Query("INSERT INTO t VALUES (999, 0)"),
                Query("SELECT 1 AS one", row_factory=psycopg.rows.dict_row),
            ]
        )
        # The third may begin when the session has taken the second's result, or before.
        assert [r.decision.route for r in results[:2]] == [Route.REPLICA, Route.ENDPOINT]
        assert results[0].fetchone() == (9,)
        assert results[2].fetchone() == {"one": 1}
        assert s.bookmark > before
        seen = s.execute("SELECT square FROM t WHERE n = 999")
        assert seen.fetchone() == (0,)
        assert seen.decision.route is (Route.REPLICA if stand.is_live else Route.ENDPOINT)


def test_the_first_error_stops_the_rest(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        queries = [Query(stand.long_query), Query("SELECT * FROM missing")]
        with pytest.raises(psycopg.errors.UndefinedTable):
            # The sleeping one is first in line: its result is waited for, the error is not.
            s.gather(queries[::-1] + queries[:1], concurrency=3)
        until(lambda: at_rest(engine))
        assert (s.execute("SELECT count(*) FROM t")).fetchone() == (200,)


def test_fan_out_needs_a_session_without_an_open_transaction(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        with s.transaction():
            with pytest.raises(pgmd.UsageError, match=r"map\(\) and gather\(\)"):
                s.gather([Query("SELECT 1")])
        s.execute("SET TIME ZONE 'UTC'")
        with pytest.raises(pgmd.UsageError, match="pinned"):
            s.gather([Query("SELECT 1")])


def test_arguments_are_checked_before_anything_is_sent(stand: Stand) -> None:
    wrong: list[dict[str, Any]] = [
        {"concurrency": 0},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"query_timeout": -1.0},
        {"errors": "ignore"},
    ]
    with engine_on(stand, 1) as engine, engine.session() as s:
        source = Source([[1]])
        for given in wrong:
            (argument,) = given
            with pytest.raises(pgmd.UsageError, match=f"{argument}="):
                s.map("SELECT %s", source, **given)
            with pytest.raises(pgmd.UsageError, match=f"{argument}="):
                s.gather([Query("SELECT 1")], **given)
        assert (source.read, ran(engine)) == (0, 0)


# ---------------------------------------------------------------------------- order and memory


def test_nothing_starts_before_the_first_result_is_asked_for(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        before, source = ran(engine), Source([[n] for n in range(1, 4)])
        results = s.map("SELECT square FROM t WHERE n = %s", source, concurrency=2)
        for _ in range(5):
            pause()
        assert (source.read, ran(engine), lent(engine)) == (0, before, 0)
        assert [r.fetchone() for r in results] == [(1,), (4,), (9,)]
        assert [r for r in results] == []


def test_results_come_as_completed_if_order_does_not_matter(stand: Stand) -> None:
    sql, long, short = lasting(stand)
    with squares_on(stand) as engine, engine.session() as s:
        results = s.map(sql, [long, *[short] * 20], concurrency=2, ordered=False)
        with results:
            for _ in range(20):
                taken(results)
            assert lent(engine) == 1
        until(lambda: at_rest(engine))


def test_a_consumer_that_is_slow_stops_the_rest(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        before, ahead = ran(engine), []
        source = Source([n] for n in range(1, 101))
        results = s.map("SELECT square FROM t WHERE n = %s", source, concurrency=3)
        squares = []
        for result in results:
            squares.append(result.fetchone())
            # All that is begun ends, and nothing else begins.
            until(lambda: ran(engine) == before + source.read)
            ahead.append(source.read - len(squares))
        assert squares == [(n * n,) for n in range(1, 101)]
        # One of the six had been taken when the consumer went away.
        assert max(ahead) <= 5


def test_a_slow_statement_does_not_idle_the_others(stand: Stand) -> None:
    sql, long, short = lasting(stand)
    with squares_on(stand) as engine, engine.session() as s:
        before, source = ran(engine), Source([long, *[short] * 20])
        results = s.map(sql, source, concurrency=3, query_timeout=3, errors="collect")
        taken(results)
        # The first one took its three seconds, meanwhile the five others of its window ran.
        assert ran(engine) >= before + 5
        assert source.read <= 9
        with pytest.raises(pgmd.FanOutError) as caught:
            assert len([r for r in results]) == 19
        assert [index for index, _ in caught.value.failures] == [0]


def test_what_the_source_raises_ends_it(stand: Stand) -> None:
    def source() -> Any:
        assert threading.current_thread() is here
        yield [1]
        raise LookupError("no more")

    here = threading.current_thread()
    with squares_on(stand) as engine, engine.session() as s:
        with pytest.raises(LookupError, match="no more"):
            for _ in s.map("SELECT square FROM t WHERE n = %s", source()):
                pass
        until(lambda: at_rest(engine))


def test_each_worker_keeps_its_session_but_not_what_a_statement_set(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        asked = Query("SELECT current_setting('TimeZone')")
        was, _, now = s.gather([asked, Query("SET TIME ZONE 'Asia/Tokyo'"), asked], concurrency=1)
        assert now.fetchone() == was.fetchone() != ("Asia/Tokyo",)
        until(lambda: at_rest(engine))


def test_statements_may_be_for_different_sessions(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as one, engine.session() as two:
        writes = [
            (session._asking, Query("INSERT INTO t VALUES (%s, 0)", [n]))
            for n, session in enumerate([one, two, one, two])
        ]
        assert len([r for r in fan_out(writes, Options(concurrency=2))]) == 4
        for session in (one, two):
            found = session.execute("SELECT count(*) FROM t WHERE square = 0")
            assert found.fetchone() == (4,)


# ------------------------------------------------------------------------------------ time-outs


def test_a_time_out_for_all_stops_what_runs(stand: Stand) -> None:
    sql, long, short = lasting(stand)
    with squares_on(stand) as engine, engine.session() as s:
        results = s.map(sql, [short, long, long, short], concurrency=2, timeout=2)
        taken(results)
        # Also while nobody waits for a result.
        until(lambda: lent(engine) == 2)
        until(lambda: at_rest(engine))
        with pytest.raises(pgmd.StatementTimeout, match=r"^timeout=2") as caught:
            taken(results)
        assert isinstance(caught.value, psycopg.errors.QueryCanceled)
        assert isinstance(caught.value, TimeoutError)
        if not stand.is_postgres:
            assert (caught.value.outcome, caught.value.retryable) == (Outcome.NOT_APPLIED, True)
        assert (s.execute("SELECT count(*) FROM t")).fetchone() == (200,)


def test_results_in_time_are_not_timed_out(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        sql, params = "SELECT square FROM t WHERE n = %s", [[n] for n in range(1, 51)]
        results = s.map(sql, params, concurrency=2, timeout=60, query_timeout=30)
        assert [r.fetchone() for r in results] == [(n * n,) for n in range(1, 51)]
        until(lambda: at_rest(engine))


def test_a_time_out_of_one_statement_stops_it(stand: Stand) -> None:
    sql, long, short = lasting(stand)
    with squares_on(stand) as engine, engine.session() as s:
        results = s.map(sql, [short, long, short], concurrency=1, query_timeout=0.5)
        taken(results)
        with pytest.raises(pgmd.StatementTimeout, match=r"^query_timeout=0.5: statement 1 "):
            taken(results)
        until(lambda: at_rest(engine))


def test_a_write_that_takes_too_long_is_in_doubt(stand: Stand) -> None:
    work = f"INSERT INTO t SELECT 1, 1 FROM ({stand.long_query}) AS long"
    with squares_on(stand) as engine, engine.session() as s:
        for limit in ("timeout", "query_timeout"):
            given: dict[str, Any] = {limit: 0.5}
            with pytest.raises(pgmd.StatementTimeout, match=f"^{limit}=") as caught:
                s.gather([Query(work)], **given)
            assert (caught.value.outcome, caught.value.retryable) == (Outcome.UNKNOWN, False)
        assert (s.endpoint.execute("SELECT count(*) FROM t")).fetchone() == (200,)


def test_a_watchdog_stops_only_what_takes_too_long() -> None:
    class Slow:
        def __init__(self) -> None:
            self.stopped = threading.Event()

        def work(self) -> None:
            until(self.stopped.is_set)
            raise ValueError("stopped")

    def quick(number: int) -> int:
        pause()
        return number

    dog = runtime.Watchdog(0.3)
    for number in range(50):
        work: Any = lambda number=number: quick(number)  # noqa: E731
        assert dog.run(work, lambda: pytest.fail("stopped")) == number
    slow = Slow()
    with pytest.raises(runtime.Overdue):
        dog.run(slow.work, slow.stopped.set)
    dog.close()


# --------------------------------------------------------------------------------------- errors


def test_the_results_before_an_error_are_there(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        results = s.map("SELECT CAST(%s AS integer)", [["1"], ["2"], ["x"], ["3"]], concurrency=1)
        found = [(taken(results)).fetchone() for _ in range(2)]
        assert found == [(1,), (2,)]
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            taken(results)
        assert [r for r in results] == []
        until(lambda: at_rest(engine))


def test_an_error_stops_what_stands_before_it(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        with pytest.raises(psycopg.errors.UndefinedTable):
            s.gather([Query(stand.long_query), Query("SELECT * FROM missing")])
        until(lambda: at_rest(engine))


@pytest.mark.parametrize("ordered", [True, False])
def test_errors_can_be_collected(stand: Stand, ordered: bool) -> None:
    params = [["1"], ["x"], ["2"], ["y"], ["3"]]
    with squares_on(stand) as engine, engine.session() as s:
        found: list[Any] = []
        with pytest.raises(pgmd.FanOutError) as caught:
            for result in s.map(
                "SELECT CAST(%s AS integer)", params, errors="collect", ordered=ordered
            ):
                found.append(result.fetchone())
        assert sorted(found) == [(1,), (2,), (3,)]
        assert [index for index, _ in caught.value.failures] == [1, 3]
        assert [error for _, error in caught.value.failures] == list(caught.value.exceptions)
        assert "x" in str(caught.value.exceptions[0])
        assert caught.value.outcome is Outcome.NOT_APPLIED
        until(lambda: at_rest(engine))


def test_gather_keeps_what_succeeded(stand: Stand) -> None:
    queries = [Query("SELECT 1"), Query("SELECT * FROM missing"), Query("SELECT 3")]
    with squares_on(stand) as engine, engine.session() as s:
        with pytest.raises(pgmd.FanOutError) as caught:
            s.gather(queries, errors="collect")
        found = {index: result.fetchone() for index, result in caught.value.results.items()}
        assert found == {0: (1,), 2: (3,)}
        until(lambda: at_rest(engine))


def test_a_time_out_of_one_statement_can_be_collected(stand: Stand) -> None:
    sql, long, short = lasting(stand)
    with squares_on(stand) as engine, engine.session() as s:
        queries = [Query(sql, long), Query(sql, short), Query("SELECT * FROM missing")]
        with pytest.raises(pgmd.FanOutError) as caught:
            s.gather(queries, errors="collect", query_timeout=1)
        assert list(caught.value.results) == [1]
        late, missing = caught.value.exceptions
        assert isinstance(late, pgmd.StatementTimeout)
        assert isinstance(missing, psycopg.errors.UndefinedTable)
        until(lambda: at_rest(engine))


def test_a_time_out_for_all_tells_what_was_collected(stand: Stand) -> None:
    sql, long, _ = lasting(stand)
    with squares_on(stand) as engine, engine.session() as s:
        queries = [Query("SELECT * FROM missing"), Query(sql, long)]
        with pytest.raises(pgmd.StatementTimeout) as caught:
            s.gather(queries, errors="collect", timeout=2)
        assert isinstance(caught.value.__cause__, pgmd.FanOutError)
        assert [index for index, _ in caught.value.__cause__.failures] == [0]
        until(lambda: at_rest(engine))


def test_what_workers_wrote_is_seen_after_an_error(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        before = s.bookmark
        writes = [Query("INSERT INTO t VALUES (0, 0)"), Query("SELECT * FROM missing")]
        with pytest.raises(psycopg.errors.UndefinedTable):
            s.gather(writes, concurrency=1)
        assert s.bookmark > before
        assert (s.execute("SELECT count(*) FROM t")).fetchone() == (201,)
        until(lambda: at_rest(engine))


# --------------------------------------------------------------------------------------- stopping


def test_closing_stops_what_runs_at_once(stand: Stand) -> None:
    sql, long, short = lasting(stand)
    with squares_on(stand) as engine, engine.session() as s:
        took = []
        for _ in range(5):
            results = s.map(sql, [short, *[long] * 9], concurrency=3)
            taken(results)
            until(lambda: lent(engine) == 3)
            began = time.monotonic()
            results.close()
            took.append(time.monotonic() - began)
            until(lambda: at_rest(engine))
            assert [r for r in results] == []
        # The best of five: other programs run on the machine, too.
        assert min(took) < 0.1
        assert (s.execute("SELECT count(*) FROM t")).fetchone() == (200,)


def test_dropping_it_stops_what_runs(stand: Stand) -> None:
    sql, long, short = lasting(stand)
    with squares_on(stand) as engine, engine.session() as s:
        results = s.map(sql, [short, *[long] * 3], concurrency=3)
        taken(results)
        until(lambda: lent(engine) == 3)
        del results
        until(lambda: at_rest(engine))


def test_more_workers_than_cursors_are_stopped_too(stand: Stand) -> None:
    sql, long, short = lasting(stand)
    small: dict[str, Any] = {"each": {"max_size": 1}, "min_size": 1, "max_size": 1}
    with engine_on(stand, 1, timeout=30, **small) as engine, engine.session() as s:
        results = s.map(sql, [short, *[long] * 5], concurrency=4)
        taken(results)
        until(lambda: lent(engine) == 1)
        began = time.monotonic()
        results.close()
        assert time.monotonic() - began < 10
        until(lambda: at_rest(engine))


# --------------------------------------------------------------------------------------- distinct


def test_equal_statements_run_once_if_asked(stand: Stand) -> None:
    values: list[Any] = [7, 7, "7", 8, 7, "7"]
    with squares_on(stand) as engine, engine.session() as s:
        before = ran(engine)
        queries = [Query("SELECT n FROM t WHERE n = CAST(%s AS bigint)", [v]) for v in values]
        results = s.gather(queries, distinct=True, concurrency=2)
        assert ran(engine) == before + 3
        # Each has rows of its own.
        for result, value in zip(results, values, strict=True):
            rows = result.fetchall()
            assert rows == [(int(value),)]
            rows.clear()


@pytest.mark.parametrize("ordered", [True, False])
def test_map_knows_the_equal_statements_in_its_window(stand: Stand, ordered: bool) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        before = ran(engine)
        results = s.map(
            "SELECT square FROM t WHERE n = %(n)s",
            [{"n": 3}] * 40 + [{"n": 4}] * 40,
            distinct=True,
            concurrency=2,
            ordered=ordered,
        )
        assert sorted([r.fetchall() for r in results]) == [[(9,)]] * 40 + [[(16,)]] * 40
        assert ran(engine) < before + 40
        until(lambda: at_rest(engine))


def test_what_only_looks_equal_runs_for_itself(stand: Stand) -> None:
    pairs: list[list[Any]] = [[1, True], [1, 1.0], [0.0, -0.0], [[1], [1]], [b"a", "a"]]
    with squares_on(stand) as engine:
        for values in pairs:
            queries = [Query("SELECT CAST(%s AS text)", [value]) for value in values]
            with engine.session() as s:
                before = ran(engine)
                try:
                    s.gather(queries, distinct=True, errors="collect")
                except pgmd.FanOutError as error:
                    failed = len(error.exceptions)
                else:
                    failed = 0
                assert failed + ran(engine) == before + 2, values


# --------------------------------------------------------------------------------------- columnar


def test_columnar_results_are_concatenated(stand: Stand) -> None:
    sql, params = "SELECT n, square FROM t WHERE n <= %s", [[3], [0], [200]]
    with squares_on(stand) as engine, engine.session() as s:
        each = [r.arrow() for r in s.map(sql, params)]
        whole = pa.concat_tables(each)
        assert whole.num_rows == 203
        assert (s.map(sql, params).arrow()).equals(whole)
        polars.testing.assert_frame_equal(s.map(sql, params).pl(), polars.DataFrame(whole))
        assert (s.map(sql, params).df()).equals(whole.to_pandas())
        assert (s.map(sql, []).arrow()).num_columns == 0
        until(lambda: at_rest(engine))


def test_columnar_results_of_different_columns_are_refused(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        queries = [Query("SELECT 1 AS a"), Query("SELECT 'x' AS a")]
        pairs = [(s._asking, query) for query in queries]
        with pytest.raises(pgmd.ParityError, match="columns"):
            fan_out(pairs, Options()).arrow()


# --------------------------------------------------------------------------------------- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        shown = {}
        for stream in (Terminal(), io.StringIO()):
            monkeypatch.setattr(sys, "stderr", stream)
            s.gather([Query("SELECT 1")] * 5, progress=True)
            shown[type(stream)] = stream.getvalue()
        assert "5/5" in shown[Terminal]
        assert shown[io.StringIO] == ""


def test_progress_needs_tqdm(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with engine_on(stand, 1) as engine, engine.session() as s:
        with pytest.raises(pgmd.ConfigurationError, match="tqdm"):
            s.map("SELECT %s", [[1]], progress=True)


# --------------------------------------------------------------------------------------- snapshots


def consistent(s: pgmd.Session, other: pgmd.Engine) -> int:
    """Fan out in a snapshot while the table changes; return how many cursors that took."""
    used = 0
    with s.snapshot():
        expected = (s.execute("SELECT count(*) FROM t")).fetchone()
        results = s.map(
            "SELECT count(*) FROM t WHERE n > %s", [[-1]] * 20, concurrency=3, ordered=False
        )
        with results:
            counts = [(taken(results)).fetchone()]
            used = lent(s._asking.core)
            with other.session() as writer:
                writer.execute("INSERT INTO t VALUES (1000, 0)")
            other.publish()
            s._asking.core.publish()
            for result in results:
                counts.append(result.fetchone())
                used = max(used, lent(s._asking.core))
        assert counts == [expected] * 20
        assert (s.execute("SELECT count(*) FROM t")).fetchone() == expected
    assert (s.execute("SELECT count(*) FROM t")).fetchone() != expected
    return used


def test_fan_out_in_a_snapshot_is_consistent(stand: Stand) -> None:
    with squares_on(stand) as engine, engine_on(stand, 1) as other:
        with engine.session() as s:
            assert (consistent(s, other) == 1) is stand.is_live
        until(lambda: at_rest(engine))


@pytest.mark.only("postgres", reason="the local endpoint has no columnar copies")
def test_fan_out_in_a_snapshot_of_a_copy_is_spread(stand: Stand) -> None:
    each = {"mode": "snapshot"}
    with squares_on(stand) as other, engine_on(stand, 1, each=each) as engine:
        with engine.session(consistency="eventual") as s:
            assert consistent(s, other) > 1
        until(lambda: at_rest(engine))


def test_fan_out_in_a_snapshot_on_the_endpoint(stand: Stand) -> None:
    with squares_on(stand) as other, engine_on(stand, 0) as engine:
        # The pool's first connection may still be under way.
        until(lambda: at_rest(engine))
        with engine.session() as s:
            assert consistent(s, other) == 1
        until(lambda: at_rest(engine))


def test_fan_out_in_a_snapshot_only_reads(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        with s.snapshot():
            for sql in ("INSERT INTO t VALUES (0, 0)", "COMMIT"):
                with pytest.raises(pgmd.RoutingError):
                    s.gather([Query(sql)])
            with pytest.raises(pgmd.FanOutError) as caught:
                s.gather(
                    [Query("SELECT 1"), Query("INSERT INTO t VALUES (0, 0)"), Query("SELECT 2")],
                    errors="collect",
                )
            assert list(caught.value.results) == [0, 2]
            assert (s.execute("SELECT count(*) FROM t")).fetchone() == (200,)
        until(lambda: at_rest(engine))


def test_a_snapshot_is_in_use_during_its_fan_out(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        with s.snapshot():
            results = s.map("SELECT square FROM t WHERE n = %s", [[1], [2], [3]])
            unread = s.map("SELECT square FROM t WHERE n = %s", [[1]])
            taken(results)
            with pytest.raises(pgmd.UsageError, match="in use"):
                s.execute("SELECT 1")
            assert len([r for r in results]) == 2
            assert (s.execute("SELECT count(*) FROM t")).fetchone() == (200,)
        with pytest.raises(pgmd.UsageError, match="is over"):
            taken(unread)
        until(lambda: at_rest(engine))


def test_a_fan_out_that_is_left_open_ends_with_its_snapshot(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        with s.snapshot():
            results = s.map("SELECT square FROM t WHERE n = %s", ([n] for n in range(1, 200)))
            assert (taken(results)).fetchone() == (1,)
        assert [result for result in results] == []
        assert at_rest(engine)
        assert (s.execute("SELECT count(*) FROM t")).fetchone() == (200,)


@pytest.mark.only("local", reason="a PostgreSQL replica goes on in the transaction that has failed")
def test_what_fails_in_a_snapshot_fails_alone(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        with s.snapshot() as snapshot:
            queries = [
                Query("SELECT CAST(CASE n %% 3 WHEN 0 THEN 'x' ELSE '1' END AS int) FROM t "
                      "WHERE n = %s", [n])
                for n in range(1, 13)
            ]  # fmt: skip
            with pytest.raises(pgmd.FanOutError) as caught:
                s.gather(queries, errors="collect", concurrency=1)
            assert [index for index, _ in caught.value.failures] == [2, 5, 8, 11]
            assert len(caught.value.results) == 8
            # The last one has failed, and the block goes on.
            assert (snapshot.execute("SELECT count(*) FROM t")).fetchone() == (200,)


@pytest.mark.only("local", reason="only there is a snapshot fanned out over several cursors")
def test_a_snapshot_goes_on_after_a_fan_out_was_stopped(stand: Stand) -> None:
    sql, long, short = lasting(stand)
    with squares_on(stand) as engine, engine.session() as s:
        with s.snapshot():
            results = s.map(sql, [short, *[long] * 5], concurrency=3)
            taken(results)
            until(lambda: lent(engine) == 3)
            results.close()
            assert lent(engine) == 1
            assert (s.execute("SELECT count(*) FROM t")).fetchone() == (200,)
            with pytest.raises(pgmd.FanOutError):
                s.gather(
                    [Query("SELECT CAST('x' || n AS integer) FROM t"), Query("SELECT 1")] * 3,
                    errors="collect",
                )
        until(lambda: at_rest(engine))
