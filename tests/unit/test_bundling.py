"""How many reads run as one query, and as which."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmd.fanout.bundling import Bundling, may_be_bundled
from pgmd.sql import analyse
from pgmd.sql.bundles import bundled

WORKERS = 8


def sizes(
    seconds_for: Callable[[int], float], *, waits: float = 1.0, workers: int = WORKERS, steps: int
) -> list[int]:
    """The size before each of so many bundles, when one of n statements takes `seconds_for(n)`
    and of the time the consumer waits for a part."""
    bundling, moment, found = Bundling(workers, {}, ""), 0.0, []
    for _ in range(steps):
        size = bundling.size
        found.append(size)
        moment += seconds_for(size) / workers
        bundling.note(size, seconds_for(size), moment=moment, waited=waits * moment)
    return found


def test_it_grows_while_that_is_faster() -> None:
    found = sizes(lambda n: 0.001 + 0.0001 * n, steps=200)
    assert found[0] == 1
    assert list(dict.fromkeys(found)) == [1, 4, 16]
    # Ten for each worker at the very most, until it is known.
    assert found[80:] == [16] * 120


def test_it_stays_where_it_brings_nothing() -> None:
    found = sizes(lambda n: 0.01 * n, steps=200)
    assert max(found) == 4
    assert found[80:] == [1] * 120


def test_it_goes_back_from_what_is_too_many() -> None:
    # Up to four share a fixed cost, more get in each other's way.
    found = sizes(lambda n: 0.01 if n <= 4 else 0.01 * n, steps=300)
    assert max(found) == 16
    assert found[-1] == 4


def test_what_takes_long_is_not_kept_waiting_in_company() -> None:
    assert set(sizes(lambda _: 0.3, steps=200)) == {1}
    # All four take as long as one, but now that is too long.
    found = sizes(lambda n: 0.15 if n == 1 else 0.25, steps=200)
    assert found[-1] == 1


def test_nothing_is_tried_while_results_wait_for_the_consumer() -> None:
    assert set(sizes(lambda n: 0.001 + 0.0001 * n, waits=0.1, steps=300)) == {1}


def test_what_is_done_but_once_does_not_count() -> None:
    taken = iter([5.0] * WORKERS)
    found = sizes(lambda n: next(taken, 0.01 * n), steps=200)
    assert found[-1] == 1


def test_what_was_found_out_is_known_from_then_on() -> None:
    known: dict[str, int] = {"other": 4}
    first, moment = Bundling(4, known, "q"), 0.0
    for _ in range(100):
        moment += 0.001
        first.note(first.size, 0.001, moment=moment, waited=moment)
    assert known == {"other": 4, "q": 16}
    second = Bundling(4, known, "q")
    assert second.size == 16
    assert second.is_settled
    # Until it is no longer so.
    for _ in range(5):
        second.note(16, 2.5, moment=moment, waited=moment)
    assert second.size == 1
    assert known == {"other": 4}


def test_a_few_refusals_end_nothing_and_many_do() -> None:
    known: dict[str, int] = {}
    bundling, moment = Bundling(4, known, "q"), 0.0
    for _ in range(100):
        moment += 0.001
        bundling.note(bundling.size, 0.001, moment=moment, waited=moment)
    assert bundling.size == 16
    for turn in range(200):
        if turn % 10 == 0:
            bundling.refuse()
        bundling.note(16, 0.001, moment=moment, waited=moment)
    assert bundling.size == 16
    assert known == {"q": 16}
    for _ in range(6):
        bundling.refuse()
    assert bundling.size == 1
    assert not known
    bundling.note(1, 0.001, moment=moment, waited=moment)
    assert bundling.is_settled


@given(
    st.integers(1, 64),
    st.lists(
        st.tuples(st.sampled_from([1, 2, 4, 9, 16]), st.floats(0, 1), st.booleans()), max_size=400
    ),
)
def test_it_moves_by_one_step_and_not_once_it_is_settled(
    workers: int, notes: list[tuple[int, float, bool]]
) -> None:
    bundling, moment = Bundling(workers, {}, ""), 0.0
    for size, seconds, is_refused in notes:
        before, was_settled = bundling.size, bundling.is_settled
        if is_refused:
            bundling.refuse()
            assert bundling.size in (before, 1)
        else:
            moment += seconds
            bundling.note(size, seconds, moment=moment, waited=moment)
            assert bundling.size in (before, before * 4, before // 4, 1)
            assert not was_settled or bundling.size == before


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("SELECT $1 + 1 AS a, $2 AS b", [1, "x"]),
        ("SELECT '$1', $1 -- $2", [1]),
        ("SELECT $$ $1 $$ || $1 /* $1 */ ;  ", ["x"]),
        ("SELECT 'ä$1', $1 AS \"ü$1\", 'ö', $1", ["é"]),
        ("SELECT $2 - $1, $10, $3 + $4 + $5 + $6 + $7 + $8 + $9", list(range(10))),
        ("WITH t AS (SELECT $1 AS n) SELECT n, a FROM t, range(3) AS r(a) ORDER BY a DESC", [7]),
        ("FROM range($1) AS t(n) SELECT n", [3]),
        ("VALUES ($1, 1), (2, $1)", [5]),
        ("SELECT 1 AS a, 2 AS a", []),
    ],
)
def test_a_bundle_returns_what_each_returns(query: str, values: list[object]) -> None:
    sets = [values, values[::-1], values] if len({*map(type, values)}) < 2 else [values] * 3
    text = bundled(query, len(values), len(sets))
    assert text is not None
    with duckdb.connect() as connection:
        each = [connection.execute(query, one).fetchall() for one in sets]
        rows = connection.execute(text, [value for one in sets for value in one]).fetchall()
    assert rows == [(turn, *row) for turn, found in enumerate(each) for row in found]


@pytest.fixture(scope="module")
def table() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a table `t` of many row groups, which several threads scan."""
    with duckdb.connect(config={"threads": 4}) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT n, hash(n) % 1000 AS h, 'x' || n AS s, "
            "{'a': n, 'b': [s]} AS nested FROM range(500_000) AS r(n)"
        )
        yield connection


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM t WHERE n = $1",
        "SELECT n, s FROM t WHERE h = $1 ORDER BY s DESC LIMIT 100",
        "SELECT n, s FROM t WHERE h = $1 AND n < 100_000 ORDER BY hash(s)",
        "SELECT * FROM (SELECT n FROM t WHERE h < $1 ORDER BY n DESC LIMIT 50) ORDER BY n % 7, n",
        "SELECT h, count(*) AS c, max(s) FROM t WHERE h % 100 = $1 % 100 GROUP BY h ORDER BY c, h",
        "SELECT count(*), sum(n), min(s) FROM t WHERE h = $1 AND s > 'x4'",
        "WITH a AS MATERIALIZED (SELECT * FROM t WHERE h = $1) SELECT a.n, b.n FROM a JOIN a AS b "
        "ON a.n = b.n ORDER BY a.n DESC LIMIT 20",
        "SELECT n, lag(n) OVER (ORDER BY n) FROM t WHERE h = $1 ORDER BY 1 LIMIT 40",
        "SELECT n FROM t WHERE h = $1 UNION ALL SELECT -1 ORDER BY n LIMIT 3",
        "SELECT n FROM t WHERE n BETWEEN $1 AND $1 + 90",
    ],
)
def test_the_rows_of_each_keep_their_order(table: duckdb.DuckDBPyConnection, query: str) -> None:
    values = [n * 37 % 1000 for n in range(16)]
    text = bundled(query, 1, len(values))
    assert text is not None
    each = [table.execute(query, [value]).fetchall() for value in values]
    for _ in range(5):
        rows = table.execute(text, values).fetchall()
        assert [[row[1:] for row in rows if row[0] == turn] for turn in range(16)] == each


@pytest.mark.parametrize(
    "query",
    ["SELECT $name", "\ufeffSELECT $1", "SELECT " + "1 + " * 600 + "$1", "SELECT 'open", "\0"],
)
def test_what_cannot_be_repeated(query: str) -> None:
    assert bundled(query, 1, 2) is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT a FROM t WHERE b = $1", True),
        ("WITH t AS (SELECT 1) FROM t", True),
        ("SELECT random()", False),
        ("SHOW TABLES", False),
        ("EXPLAIN SELECT 1", False),
        ("DESCRIBE t", False),
        ("PIVOT t ON a USING sum(b)", False),
        ("SELECT * FROM (PIVOT t ON a USING sum(b))", False),
        ("INSERT INTO t VALUES (1) RETURNING a", False),
        ("SELECT nextval('s')", False),
        ("SELECT 1; SELECT 2", False),
    ],
)
def test_only_queries_that_are_sure_of_their_answer(query: str, *, expected: bool) -> None:
    assert may_be_bundled(analyse(query)) is expected
