from __future__ import annotations

import datetime as dt
import math
import struct
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmd.parity import Inexact, row_loader
from pgmd.parity.load import shortest_float4 as _shortest_float4

UTC = dt.UTC
BERLIN = ZoneInfo("Europe/Berlin")


def load(
    expression: str, oid: int | None = None, zone: dt.tzinfo = UTC, *, alone: bool = False
) -> Any:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Europe/Berlin'")
    cursor = connection.execute(f"SELECT {expression} AS v")
    rows, types = cursor.fetchall(), [str(c[1]) for c in cursor.description or ()]
    loader = row_loader(["v"], types, None if oid is None else [oid], zone, alone=alone)
    return loader(rows)[0][0]


@pytest.mark.parametrize(
    ("expression", "oid", "expected"),
    [
        ("1::HUGEINT", None, Decimal(1)),
        ("1::HUGEINT", 20, 1),
        ("1::HUGEINT", 1700, Decimal(1)),
        ("5", 1700, Decimal(5)),
        ("1.50::DECIMAL(4,2)", 1700, Decimal("1.50")),
        ("1.1::FLOAT", 700, 1.1),
        ("'{\"a\": [1]}'::JSON", 114, {"a": [1]}),
        ("'{\"a\": [1]}'", 3802, {"a": [1]}),
        ("'null'::JSON", 114, None),
        ("[1, NULL]", 1007, [1, None]),
        ("[1, 2]::INTEGER[2]", 1007, [1, 2]),
        ("['{}'::JSON]", 3807, [{}]),
        ("NULL::DATE", 1082, None),
        ("'x'::ENUM('x')", 25, "x"),
    ],
)
def test_values(expression: str, oid: int | None, expected: Any) -> None:
    got = load(expression, oid)
    assert got == expected
    assert type(got) is type(expected)


def test_time_stamps_are_in_the_endpoints_zone() -> None:
    autumn = "TIMESTAMPTZ '2024-10-27 01:30:00+00'"
    assert load(autumn, 1184).tzinfo is UTC
    berlin = load(autumn, 1184, BERLIN)
    assert (berlin.tzinfo, berlin.fold, berlin.hour) == (BERLIN, 1, 2)


@pytest.mark.parametrize(
    ("expression", "oid"),
    [
        ("1.5::DOUBLE", 1700), ("7/2", 23), ("'x'", 1042), ("'1'", 869), ("[[1], [2]]", 1007),
        ("{'a': 1}", None), ("MAP {'a': 1}", None), ("[INTERVAL 1 DAY]", 1187),
        ("TIMESTAMP_NS '2024-01-01'", 1114), ("'101'::BIT", 1560), ("1", 25),
    ],
)  # fmt: skip
def test_types_that_cannot_agree(expression: str, oid: int | None) -> None:
    with pytest.raises(Inexact, match='column 1 "v"') as caught:
        load(expression, oid)
    assert caught.value.lasting


@pytest.mark.parametrize(
    ("expression", "oid"),
    [
        ("'infinity'::DATE", 1082), ("'-infinity'::TIMESTAMP", 1114),
        ("'infinity'::TIMESTAMPTZ", 1184), ("DATE '9999-12-31'", 1082), ("'12024-01-01'::DATE", 1082),
        ("'44-03-15 (BC)'::DATE", 1082), ("TIME '24:00:00'", 1083), ("'inf'::DOUBLE", 701),
    ],
)  # fmt: skip
def test_values_that_duckdb_does_not_tell(expression: str, oid: int) -> None:
    with pytest.raises(Inexact, match='column 1 "v"') as caught:
        load(expression, oid)
    assert not caught.value.lasting


def test_another_number_of_columns_is_refused() -> None:
    with pytest.raises(Inexact, match="1 columns instead of 2"):
        row_loader(["v"], ["INTEGER"], [23, 23], UTC)


def test_alone_a_type_without_a_twin_stays_duckdbs() -> None:
    assert load("{'a': 1}", alone=True) == {"a": 1}


def test_rows_that_need_nothing_are_not_copied() -> None:
    rows = [(1, "x")]
    assert row_loader(["a", "b"], ["INTEGER", "VARCHAR"], [23, 25], UTC)(rows) is rows


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.floats(width=32, allow_nan=False))
def test_the_shortest_float4_means_the_same_float4(value: float) -> None:
    short = _shortest_float4(value)
    if math.isfinite(short):
        assert struct.pack("<f", short) == struct.pack("<f", value)
        assert len(repr(short)) <= len(repr(value))
