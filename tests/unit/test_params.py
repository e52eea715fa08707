"""The same verdict on placeholders as psycopg's own."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg._queries import PostgresQuery

from pgmd.sql import convert


class Recorder:
    """Stands in for psycopg's Transformer and keeps the values in their order."""

    encoding = "utf-8"
    types = formats = None

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def dump_sequence(self, values: Any, formats: Any) -> Any:
        self.seen.extend(values)
        return values


def theirs(query: str, params: Any) -> tuple[str, list[Any]] | tuple[type[Exception], str]:
    recorder = Recorder()
    converted = PostgresQuery(recorder)  # type: ignore[arg-type]
    try:
        converted.convert(query, params)
    except Exception as error:
        return type(error), str(error)
    return converted.query.decode(), recorder.seen


def ours(query: str, params: Any) -> tuple[str, list[Any]] | tuple[type[Exception], str]:
    try:
        placeholders = convert(query)
        return placeholders.text, placeholders.arrange(params)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("select %s", ()),
        ("select %s, %s", (1,)),
        ("select %s", (1, 2)),
        ("select 1", (1,)),
        ("select 1", {"a": 1}),
        ("select %(a)s", {"b": 1}),
        ("select %(c)s %(b)s", {"x": 1}),
        ("select %s, %(a)s", (1,)),
        ("select %s", {"a": 1}),
        ("select %s", {}),
        ("select %(a)s", (1,)),
        ("select %(a)s", ()),
        ("select %s", "abc"),
        ("select %s", b"a"),
        ("select %s", {1}),
        ("select %s", 5),
        ("select %d", 5),
        ("select %d" + " " * 5000, 5),
        ("select %d", (1,)),
        ("select %(a)d", {"a": 1}),
        ("select '100%'", (1,)),
        ("select 5 % 2", ()),
        ("select %(a", {"a": 1}),
        ("select %()s", {"a": 1}),
        ("select %(a)\n", {"a": 1}),
        ("select %", (1,)),
        ("select %(a)s %(a)b", {"a": 1}),
        ("select %(a)s %(b)s %(a)s", {"a": 1, "b": 2, "c": 3}),
        ("select %%, %%s, '%s'", (1,)),
        ("select %é", (1,)),
        ("select %(é)s", {"é": 1}),
        ("select %b, %t", (1, 2)),
        ("select '\ud800'", (1,)),
        ("select %s", range(1)),
    ],
)
def test_same_as_psycopg(query: str, params: Any) -> None:
    assert ours(query, params) == theirs(query, params)


QUERIES = st.lists(
    st.sampled_from(
        [
            "%",
            "s",
            "b",
            "t",
            "(",
            ")",
            "a",
            "(a)",
            "(b)s",
            "%(a)s",
            "%s",
            "%%",
            " ",
            "\n",
            "é",
            "'",
            "d",
        ]
    ),
    max_size=10,
).map("".join)
PARAMS = st.one_of(
    st.lists(st.integers(0, 9), max_size=4),
    st.lists(st.integers(0, 9), max_size=4).map(tuple),
    st.dictionaries(st.sampled_from(["a", "b", "é"]), st.integers(0, 9)),
    st.sampled_from([5, "ab", b"a", frozenset({1})]),
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(QUERIES, PARAMS)
def test_same_as_psycopg_for_any_text(query: str, params: Any) -> None:
    assert ours(query, params) == theirs(query, params)


def test_names_share_a_number() -> None:
    placeholders = convert("select %(b)s, %(a)s, %(b)s")
    assert placeholders.text == "select $1, $2, $1"
    assert placeholders.order == ("b", "a")
    assert placeholders.arrange({"a": 1, "b": 2}) == [2, 1]


def test_counts_positions() -> None:
    assert convert("select %s, %s").order == 2


@pytest.mark.parametrize(
    ("query", "formats"),
    [
        ("select %s, %s", ""), ("select %(a)s, %(b)s", ""), ("select 1, %%", ""),
        ("select %s, %b, %t", "sbt"), ("select %(b)b, %(a)s, %(b)b", "bs"), ("select %é", ""),
    ],
)  # fmt: skip
def test_formats_are_kept_where_one_is_not_automatic(query: str, formats: str) -> None:
    assert convert(query).formats == formats


def test_each_misfit_is_raised_anew() -> None:
    placeholders = convert("select %d")
    for _ in range(2):
        with pytest.raises(psycopg.ProgrammingError) as caught:
            placeholders.arrange(())
    assert len(caught.traceback) < 5


def test_conversion_is_cached() -> None:
    assert convert("select %s") is convert("select %s")
