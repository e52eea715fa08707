"""A value of each DuckDB type as an SQL literal, and what a client is to make of it."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any, NamedTuple

from pgmd.parity.types import TWINS


class Sample(NamedTuple):
    type: str
    literal: str
    value: Any

    @property
    def sql(self) -> str:
        return f"CAST({self.literal} AS {self.type})"

    @property
    def oid(self) -> int:
        return TWINS[self.twin].oid

    @property
    def array_oid(self) -> int:
        found = TWINS[self.twin].array_oid
        assert found is not None
        return found

    @property
    def twin(self) -> str:
        return self.type.partition("(")[0]


UTC = dt.UTC
ID = uuid.UUID("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
MOMENT = dt.datetime(2024, 2, 29, 12, 34, 56, 123456)
SCALARS = [
    Sample("BOOLEAN", "true", True),
    Sample("BOOLEAN", "false", False),
    Sample("TINYINT", "-128", -128),
    Sample("SMALLINT", "-32768", -32768),
    Sample("UTINYINT", "255", 255),
    Sample("INTEGER", "-2147483648", -(2**31)),
    Sample("USMALLINT", "65535", 65535),
    Sample("BIGINT", "-9223372036854775808", -(2**63)),
    Sample("UINTEGER", "4294967295", 2**32 - 1),
    Sample("UBIGINT", "18446744073709551615", Decimal(2**64 - 1)),
    Sample("HUGEINT", f"'{-(2**127)}'", Decimal(-(2**127))),
    Sample("UHUGEINT", f"'{2**128 - 1}'", Decimal(2**128 - 1)),
    Sample("BIGNUM", f"'{10**45 + 7}'", Decimal(10**45 + 7)),
    Sample("BIGNUM", f"'{-(2**130)}'", Decimal(-(2**130))),
    Sample("DECIMAL(18,3)", "'-12.340'", Decimal("-12.340")),
    Sample("DECIMAL(38,0)", f"'{10**38 - 1}'", Decimal(10**38 - 1)),
    Sample("FLOAT", "'1.5'", 1.5),
    Sample("FLOAT", "'-inf'", float("-inf")),
    Sample("DOUBLE", "'0.1'", 0.1),
    Sample("DOUBLE", "'1e300'", 1e300),
    Sample("DOUBLE", "'inf'", float("inf")),
    Sample("VARCHAR", "'hé\tl''lo \\ \"x\" 🦆\n'", "hé\tl'lo \\ \"x\" 🦆\n"),
    Sample("VARCHAR", "''", ""),
    Sample("ENUM('a', 'b c')", "'b c'", "b c"),
    Sample("JSON", '\'{"a": [1, null]}\'', {"a": [1, None]}),
    Sample("BLOB", "'\\x00\\xffab'", b"\x00\xffab"),
    Sample("DATE", "'2024-02-29'", dt.date(2024, 2, 29)),
    Sample("DATE", "'0001-01-01'", dt.date(1, 1, 1)),
    Sample("TIME", "'23:59:59.999999'", dt.time(23, 59, 59, 999999)),
    Sample("TIMESTAMP", "'2024-02-29 12:34:56.123456'", MOMENT),
    Sample("TIMESTAMP", "'1969-12-31 23:59:59.5'", dt.datetime(1969, 12, 31, 23, 59, 59, 500000)),
    Sample("TIMESTAMP_S", "'2024-02-29 12:34:56'", MOMENT.replace(microsecond=0)),
    Sample("TIMESTAMP_MS", "'2024-02-29 12:34:56.123'", MOMENT.replace(microsecond=123000)),
    Sample(
        "TIMESTAMP WITH TIME ZONE",
        "'2024-02-29 14:34:56.123456+02'",
        MOMENT.replace(tzinfo=UTC),
    ),
    Sample("INTERVAL", "'-3 days 04:05:06.789'", dt.timedelta(-3, 14706, 789000)),
    Sample("INTERVAL", "'-25 hours'", dt.timedelta(hours=-25)),
    Sample("UUID", f"'{ID}'", ID),
]  # fmt: skip
# The quirk `service_types` makes a TIME of it.
TIMETZ = Sample(
    "TIME WITH TIME ZONE",
    "'12:00:00+05:30'",
    dt.time(12, 0, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
)
# Types without a twin arrive as DuckDB's text.
TEXTS = {
    "{'a': 1, 'b': 'x'}": "{'a': 1, 'b': x}",
    "MAP {'k': 1}": "{k=1}",
    "'101'::BIT": "101",
    "union_value(num := 2)": "2",
    "TIMESTAMP_NS '2024-02-29 12:34:56.123456789'": "2024-02-29 12:34:56.123456789",
    "[{'a': 1}, NULL]": "[{'a': 1}, NULL]",
    "{'a': [1, 2], 'b': NULL}": "{'a': [1, 2], 'b': NULL}",
}
NESTED = {"[[1, 2], [3]]": "[[1, 2], [3]]", "[[['a']]]": "[[[a]]]", "[NULL, [1]]": "[NULL, [1]]"}
