"""Row counts that a DuckDB wire server sends as rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from pgmd.shape import uncounted
from pgmd.sql import analyse


class Named(NamedTuple):
    name: str


class Cursor:
    """A driver's cursor, as far as it is looked at."""

    statusmessage = "UPDATE 1"

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
