from __future__ import annotations

import datetime as dt
import enum
import math
import re
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from unittest.mock import ANY
from uuid import UUID
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import psycopg
import pytest
from psycopg.types.json import Json, Jsonb
from psycopg.types.numeric import Int2, Int8, Oid
from psycopg.types.range import Range

from pgmd.parity import Inexact
from pgmd.parity.dump import declared, dump, is_untyped


def named(value: object) -> str:
    """A parameter's name in the tests, without its address."""
    return re.sub(r" at 0x\w+", "", repr(value))


class Colour(enum.Enum):
    RED = 1


class Whole(enum.IntEnum):
    ONE = 1
    MANY = 40000


class Name(enum.StrEnum):
    ANN = "ann"


class Moment(dt.datetime):
    pass


def bound(value: Any, dialect: Any = "postgres") -> tuple[Any, str]:
    """What DuckDB makes of a dumped parameter: value and type."""
    row = duckdb.connect().execute("SELECT $1, typeof($1)", dump([value], dialect=dialect))
    found = row.fetchone()
    assert found is not None
    return found[0], str(found[1])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, "SMALLINT"), (40000, "INTEGER"), (2**40, "BIGINT"), (-(2**63), "BIGINT"),
        (True, "BOOLEAN"), (1.5, "DOUBLE"), ("é", "VARCHAR"), ("", "VARCHAR"), (b"\x00", "BLOB"),
        (Decimal("1.50"), "DECIMAL(3,2)"), (dt.date(2024, 2, 29), "DATE"), (UUID(int=5), "UUID"),
        (dt.time(1, 2, 3), "TIME"), (dt.datetime(2024, 1, 1), "TIMESTAMP"),
        (dt.timedelta(days=40, microseconds=1), "INTERVAL"), ([1, None, 3], "SMALLINT[]"),
        (["a", "b"], "VARCHAR[]"), ([1.5], "DOUBLE[]"),
    ],
)  # fmt: skip
def test_value_and_type(value: Any, kind: str) -> None:
    assert bound(value) == (value, kind)


def test_a_positive_exponent_keeps_its_value() -> None:
    assert bound(Decimal("1E+3"))[0] == Decimal(1000)
    with pytest.raises(Inexact):
        dump([Decimal("1E+3")], dialect="duckdb")


def test_where_both_sides_speak_duckdbs_dialect_text_is_text() -> None:
    assert bound("2020-01-31 x", "duckdb")[0] == "2020-01-31 x"


@pytest.mark.parametrize(
    ("value", "kind", "found"),
    [
        (Whole.ONE, "SMALLINT", 1), (Name.ANN, "VARCHAR", "ann"), (np.int8(1), "SMALLINT", 1),
        (np.uint16(1), "INTEGER", 1), (np.int64(1), "BIGINT", 1), (np.bool_(True), "BOOLEAN", True),
        (np.uint64(5), "DECIMAL(1,0)", Decimal(5)), (np.float64(0.1), "DOUBLE", 0.1),
        (Int2(5), "SMALLINT", 5), (Int8(5), "BIGINT", 5), (bytearray(b"a"), "BLOB", b"a"),
        ([np.int64(1)], "BIGINT[]", [1]), ([True], "BOOLEAN[]", [True]),
        ([dt.datetime(2024, 1, 1)], "TIMESTAMP[]", [dt.datetime(2024, 1, 1)]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
def test_value_and_type_of_what_stands_for_another(
    value: Any, kind: str, found: Any, dialect: str
) -> None:
    assert bound(value, dialect) == (found, kind)


def test_none_and_an_enum_go_without_a_type_only_where_that_is_clear() -> None:
    for value in (None, Colour.RED):
        with pytest.raises(Inexact, match="left to the endpoint"):
            dump([value], dialect="duckdb")
    assert dump([None, Colour.RED], dialect="alone") == [None, "RED"]


def test_an_enum_goes_by_its_name_where_text_may_go_without_a_type() -> None:
    assert bound(Colour.RED) == ("RED", "VARCHAR")
    with pytest.raises(Inexact):
        dump([Colour.RED], dialect="duckdb")


def test_a_nan_is_no_null() -> None:
    for value in (math.nan, np.float64("nan"), -math.nan):
        found, kind = bound(value)
        assert (math.isnan(found), kind) == (True, "DOUBLE")
    found, kind = bound([math.nan, None])
    assert (math.isnan(found[0]), found[1], kind) == (True, None, "DOUBLE[]")
    found, kind = bound(np.float32("nan"), "duckdb")
    assert (math.isnan(found), kind) == (True, "FLOAT")


def test_json_is_text_to_duckdb_alone() -> None:
    assert bound(Jsonb({"a": 1}), "duckdb") == ('{"a": 1}', "VARCHAR")
    with pytest.raises(Inexact):
        dump([Jsonb({})], dialect="postgres")


@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
@pytest.mark.parametrize(
    "value",
    [
        2**63, Decimal("NaN"), Decimal("Infinity"), Decimal("1E-16"), Decimal("1" * 39), [], [[1]],
        [None], (1, 2), Range(1, 5), ip_address("10.0.0.1"), [Colour.RED], Moment(2024, 1, 1),
        memoryview(b"abc")[::2], [dt.timedelta(1)], [2**64], Oid(5), [Json(1)],
        [dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)],
        dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1))),
    ],
    ids=named,
)  # fmt: skip
def test_what_has_no_certain_twin_is_refused_without_its_value(value: Any, dialect: Any) -> None:
    with pytest.raises(Inexact, match=r"^parameter 2: ") as caught:
        dump([1, value], dialect=dialect)
    assert "9999" not in str(caught.value)


@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("a\0b", "PostgreSQL text fields cannot contain NUL"), (["a\0"], "NUL"),
        ({"a": 1}, "cannot adapt type 'dict' using placeholder '%s'"), ({1}, "'set'"),
        ([{}], "cannot adapt type 'dict' using placeholder '%s'"), (object(), "'object'"),
        ([1, "a"], "cannot dump lists of mixed types; got: int, str"), ((object(),), "'object'"),
        (dt.time(1, tzinfo=ZoneInfo("Europe/Berlin")), "cannot calculate the offset"),
    ],
    ids=named,
)  # fmt: skip
def test_what_psycopg_cannot_send_raises_psycopgs_error(
    value: Any, error: str, dialect: Any
) -> None:
    with pytest.raises((psycopg.DataError, psycopg.ProgrammingError), match=error):
        dump([1, value], dialect=dialect)


def test_a_lone_surrogate_raises_what_psycopg_raises() -> None:
    with pytest.raises(UnicodeEncodeError):
        dump(["\ud800"], dialect="duckdb")


def test_the_format_of_a_placeholder_decides_too() -> None:
    assert dump(["1.5", 1], dialect="duckdb", formats="bs")[0] == "1.5"
    for value, form in (("1", "b"), (Decimal(1), "b"), (1, "t"), ([1], "b")):
        with pytest.raises(Inexact, match="parameter 1"):
            dump([value], dialect="postgres", formats=form)
    with pytest.raises(psycopg.ProgrammingError, match="'%b'"):
        dump([{}], dialect="postgres", formats="b")


def test_postgres_says_how_text_is_to_be_read() -> None:
    assert dump(["1.5", ["1"]], dialect="postgres", oids=[25, 1009]) == ["1.5", ANY]
    for value, oid in (("1.5", 701), ("a", 23), (["1"], 1007), (["a"], 25), (Colour.RED, 99999)):
        with pytest.raises(Inexact, match="read as another type"):
            dump([value], dialect="postgres", oids=[oid])
    assert dump(["15", "2024-01-01"], dialect="postgres", oids=[23, 1082]) == ["15", "2024-01-01"]


@pytest.mark.parametrize(
    ("value", "untyped"),
    [
        ("a", True), (Name.ANN, True), (Colour.RED, True), (["a"], True), ([], True), ([[]], True),
        ([None, "a"], True), (1, False), ([1], False), (None, False), (b"a", False), ((), False),
    ],
)  # fmt: skip
def test_which_types_are_left_to_postgres(value: Any, untyped: bool) -> None:
    assert is_untyped(value) is untyped


def test_what_psycopg_declares_depends_on_the_value() -> None:
    moment, naive = dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1)
    different = [
        1, 40000, 2**40, 2**70, True, "a", 1.5, moment, naive, dt.time(1), dt.time(1, tzinfo=dt.UTC),
        [1], [40000], ["a"], [], [moment], [naive], Whole.ONE, Whole.MANY, None, np.int64(1),
    ]  # fmt: skip
    assert len(set(map(declared, different))) == len(different)
    alike = [("a", "b"), (1, 2), ([1], [2, 3]), (moment, moment + dt.timedelta(1)), (1.5, 2.5)]
    assert all(declared(left) == declared(right) for left, right in alike)


@pytest.mark.parametrize("text", ["1.504", "1e3", "infinity", "now", " 1.5", "0x1F"])
def test_text_that_only_one_side_reads_as_a_number_or_date_is_refused(text: str) -> None:
    with pytest.raises(Inexact, match="read as another type"):
        dump([text], dialect="postgres")
    assert dump([text], dialect="duckdb") == [text]


@pytest.mark.parametrize("text", ["JFK", "O'Hare", "N14228", "2013-01-31", "7", "UA 123 x"])
def test_ordinary_text_passes(text: str) -> None:
    assert dump([text], dialect="postgres") == [text]
