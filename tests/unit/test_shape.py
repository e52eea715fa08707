"""Row counts that a DuckDB wire server sends as rows."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import duckdb
import pytest

from pgmd.answers.fetching import Answer
from pgmd.answers.result import uncounted
from pgmd.answers.shapes import Shapes
from pgmd.parity import Inexact
from pgmd.request import Request
from pgmd.sql import analyse


class Named(NamedTuple):
    name: str


class Cursor:
    """A driver's cursor, as far as it is looked at."""

    statusmessage: str | None = "UPDATE 1"
    pgresult: Any = None

    def __init__(self, *names: str) -> None:
        self.description: list[Any] | None = [Named(name) for name in names]


@pytest.mark.parametrize(
    ("statement", "names", "rows", "expected"),
    [
        ("UPDATE t SET a = 1", ["Count"], [(3,)], (None, 3)),
        ("UPDATE t SET a = 1", ["Count"], [], (None, -1)),
        ("SET threads = 1", ["Success"], [], (None, -1)),
        ("DROP TABLE t", ["Success"], [], (None, -1)),
        # What was asked for is kept.
        ('UPDATE t SET a = 1 RETURNING a AS "Count"', ["Count"], [(3,)], ([(3,)], 1)),
        ("SELECT nextval('s') AS \"Count\"", ["Count"], [(3,)], ([(3,)], 1)),
        ("CALL f()", ["Count"], [(1,), (2,)], ([(1,), (2,)], 2)),
        ("CALL f()", ["a", "b"], [(1, 2)], ([(1, 2)], 1)),
    ],
)
def test_a_count_is_no_row(
    statement: str, names: list[str], rows: list[Any], expected: tuple[Any, int]
) -> None:
    assert uncounted(analyse(statement), rows, Cursor(*names))[:2] == expected


def test_the_tag_has_the_same_count() -> None:
    done = uncounted(analyse("UPDATE t SET a = 1"), [(7,)], Cursor("Count"))
    assert done.statusmessage == "UPDATE 7"


def description_of(query: str) -> list[Any]:
    return duckdb.sql(query).description


@pytest.mark.parametrize(
    ("answer", "checked"),
    [
        ("SELECT 1 AS a, 'x' AS b", (0, 1)),
        # `b` is fetched as text, and a third column shows its type.
        ("SELECT 1 AS a, {'x': 1} AS b", (0, 2)),
    ],
)
def test_together_they_must_have_the_columns_that_each_had(
    answer: str, checked: tuple[int, ...]
) -> None:
    shapes = Shapes(dt.UTC, alone=True)
    request = Request.read("SELECT a, b FROM t WHERE a = %s", [1], None)
    assert shapes.together([request]) is None
    entry = shapes.prepare(request, description_of(answer), None)
    assert shapes.together([request]) is None
    entry.load([])
    reading = shapes.together([request, request])
    assert reading is not None
    query = entry.queries[False]
    columns = description_of(query.replace(request.text, answer)) if query else entry.described
    tag, other = description_of("SELECT 0, 1::HUGEINT")
    reading.next([tag, *columns])
    for index in checked:
        with pytest.raises(Inexact):
            reading.next([tag, *columns[:index], other, *columns[index + 1 :]])


def test_a_column_with_another_name_is_another() -> None:
    shapes = Shapes(dt.UTC, alone=True)
    request = Request.read("SELECT * FROM t", None, None)
    shapes.prepare(request, description_of("SELECT 1 AS a"), None).load([])
    reading = shapes.together([request])
    assert reading is not None
    with pytest.raises(Inexact):
        reading.next(description_of("SELECT 0, 1 AS b"))


def test_rows_go_to_whose_they_are() -> None:
    shapes = Shapes(dt.UTC, alone=True)
    request = Request.read("SELECT a FROM t WHERE a = %s", [1], None)
    shapes.prepare(request, description_of("SELECT 1 AS a"), None).load([])
    reading = shapes.together([request] * 3)
    assert reading is not None
    answer = Answer([], [(2, 7), (0, 5), (2, 6)])
    assert [next(one.rows.lists()) for one in reading.load(answer)] == [[(5,)], [], [(7,), (6,)]]
    # Many rows are for each to fetch by itself.
    reading.load(Answer([], [(0, n) for n in range(101)]))
    assert shapes.together([request]) is not None
    reading.load(Answer([], [(2, n) for n in range(101)]))
    assert shapes.together([request]) is None
