"""Which statements of a fan-out run once for all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from psycopg import sql
from psycopg.rows import dict_row

from pgmd import Query
from pgmd.fanout.equality import identity


@pytest.mark.parametrize("params", [None, [], [1, "a", None], {"a": 1, "b": "x"}])
def test_equal_statements_are_the_same(params: Any) -> None:
    assert identity(Query("SELECT 1", params)) == identity(Query("SELECT 1", params)) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1], [True]),
        ([0.0], [-0.0]),
        ([Decimal("1.0")], [Decimal("1.00")]),
        ([1], [1.0]),
        ([1], ["1"]),
        ({"a": 1}, {"b": 1}),
        (None, []),
    ],
)
def test_what_might_be_answered_differently_is_not_the_same(one: Any, other: Any) -> None:
    assert identity(Query("SELECT %s", one)) != identity(Query("SELECT %s", other))


def test_texts_and_row_factories_count() -> None:
    assert identity(Query("SELECT 1")) != identity(Query(b"SELECT 1"))
    assert identity(Query("SELECT 1")) != identity(Query("SELECT 1", row_factory=dict_row))


@pytest.mark.parametrize("query", [Query(sql.SQL("SELECT 1")), Query("SELECT %s", [[1]])])
def test_what_cannot_be_compared_has_none(query: Query) -> None:
    assert identity(query) is None
