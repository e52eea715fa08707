from __future__ import annotations

import datetime as dt
import gc
import math
import struct
import sys
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pgmd.parity.steps
from pgmd.errors import ParityError
from pgmd.parity import Inexact, arrow
from pgmd.parity.floats import shortest_float4 as _shortest_float4
from pgmd.parity.load import row_loader
from tests.parity.support import replica_rows

UTC = dt.UTC
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(params=["arrow", "rows", "rows without pytz"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test runs with the `arrow` extra and without."""
    if request.param != "arrow":
        monkeypatch.setattr(arrow, "is_there", lambda: False)
    if request.param == "rows without pytz":
        monkeypatch.setattr(pgmd.parity.steps, "has_pytz", lambda: False)
        monkeypatch.setitem(sys.modules, "pytz", None)
    return str(request.param)


def load(expression: str, oid: int | None = None, zone: dt.tzinfo = UTC) -> Any:
    """What a replica returns for *expression* where the endpoint declares *oid*."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Europe/Berlin'")
        oids = None if oid is None else [oid]
        ((value,),) = replica_rows(connection, f"SELECT {expression} AS v", oids=oids, zone=zone)
        return value


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
        ("[INTERVAL '14 months']", 1187, [dt.timedelta(days=425)]),
        ("TIMESTAMP_NS '2024-01-01 00:00:00.000000001'", None, "2024-01-01 00:00:00.000000001"),
        ("{'a': 1, 'b c': [NULL, 'x, y']}", None, {"a": 1, "b c": [None, "x, y"]}),
        ("row(1, 'x')", None, (1, "x")),
        ("MAP {'a': {'b': 1.50}}", None, {"a": {"b": Decimal("1.50")}}),
        ("[[1], [], NULL]", None, [[1], [], None]),
        ("'101'::BIT", None, "101"),
        ("union_value(a := 1)", None, "1"),
        ("NULL::STRUCT(a INTEGER)", None, None),
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
        ("{'a': 1}", 2249), ("MAP {'a': 1}", 3802), ("'101'::BIT", 1560), ("1", 25),
        ("TIMESTAMP_NS '2024-01-01'", 1114),
        ("{'a': union_value(b := 1)}", None),
    ],
)  # fmt: skip
def test_types_that_cannot_agree(expression: str, oid: int | None) -> None:
    with pytest.raises(Inexact, match='column 1 "v"') as caught:
        load(expression, oid)
    assert caught.value.lasting


@pytest.mark.parametrize(
    ("expression", "oid"),
    [
        ("'infinity'::DATE", 1082), ("'-infinity'::TIMESTAMP", 1114), ("'12024-01-01'::DATE", 1082),
        ("'infinity'::TIMESTAMPTZ", 1184), ("'-infinity'::TIMESTAMPTZ", 1184),
        ("'44-03-15 (BC)'::DATE", 1082), ("TIME '24:00:00'", 1083), ("'24:00:00+00'::TIMETZ", 1266),
        ("['infinity'::DATE]", 1182), ("{'a': 'infinity'::DATE}", None),
        ("{'a': TIMESTAMP '0044-01-01 (BC) 00:00:00'}", None),
    ],
)  # fmt: skip
def test_dates_and_times_that_python_cannot_hold(
    expression: str, oid: int | None, way: str
) -> None:
    # DuckDB's client has made the infinite ones finite: then only the endpoint knows.
    unsure = ["y'::DATE", "y'::TIMESTAMP", "y'::DATE]", *(["y'::TIMESTAMPTZ"] * (way == "rows"))]
    unknown = way != "arrow" and expression.endswith(tuple(unsure))
    with pytest.raises(Inexact if unknown else psycopg.DataError):
        load(expression, oid)


def test_infinity_is_left_to_an_endpoint_that_may_have_raised() -> None:
    with pytest.raises(Inexact, match='column 1 "v"') as caught:
        load("'inf'::DOUBLE", 701)
    assert not caught.value.lasting


@pytest.mark.parametrize(
    "expression", ["MAP {[1]: 2}", "{'a': TIMESTAMPTZ '1890-01-01 00:00:00+00'}"]
)
def test_nested_values_that_their_text_does_not_tell(expression: str) -> None:
    with pytest.raises(ParityError, match='column 1 "v"'):
        load(expression, zone=BERLIN)


def test_another_number_of_columns_is_refused() -> None:
    with pytest.raises(Inexact, match="1 columns instead of 2"):
        row_loader(["v"], ["INTEGER"], [23, 23], UTC)


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


def test_the_collector_is_as_it_was_after_a_batch() -> None:
    for was_enabled in (True, False):
        (gc.enable if was_enabled else gc.disable)()
        try:
            assert load("1") == 1
            assert gc.isenabled() is was_enabled
        finally:
            gc.enable()
