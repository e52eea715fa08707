from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import duckdb
import pytest
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

from pgmd.parity import Inexact, dump


class Colour(enum.Enum):
    RED = 1


class Whole(enum.IntEnum):
    ONE = 1


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


def test_where_both_sides_speak_duckdbs_dialect_text_is_text() -> None:
    assert bound("2020-01-31 x", "duckdb")[0] == "2020-01-31 x"


@pytest.mark.parametrize(
    "value",
    [
        2**63, Decimal("NaN"), Decimal("Infinity"), Decimal("1E-16"), [Decimal("1.5")], Decimal("1" * 39),
        "a\0b", "\ud800", [], [1, "a"], [[1]], [None], (1, 2), {"a": 1}, {1}, Jsonb({}),
        Range(1, 5), Colour.RED, Whole.ONE, ip_address("10.0.0.1"),
        dt.time(1, tzinfo=__import__("zoneinfo").ZoneInfo("Europe/Berlin")),
        ["a\0"], object(),
    ],
    ids=repr,
)  # fmt: skip
def test_what_has_no_certain_twin_is_refused_without_its_value(value: Any) -> None:
    with pytest.raises(Inexact, match=r"^parameter 1: "):
        dump([value], dialect="postgres")


@pytest.mark.parametrize("text", ["1.504", "1e3", "infinity", "now", " 1.5", "0x1F"])
def test_text_that_only_one_side_reads_as_a_number_or_date_is_refused(text: str) -> None:
    with pytest.raises(Inexact, match="read as another type"):
        dump([text], dialect="postgres")
    assert dump([text], dialect="duckdb") == [text]


@pytest.mark.parametrize("text", ["JFK", "O'Hare", "N14228", "2013-01-31", "7", "UA 123 x"])
def test_ordinary_text_passes(text: str) -> None:
    assert dump([text], dialect="postgres") == [text]
