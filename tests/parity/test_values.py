"""The same query gives the same values, of the same class, through psycopg and through DuckDB."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import duckdb
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

import pgmd.parity.steps
from pgmd.parity import Inexact, arrow, dump
from pgmd.testing.servers import Server

from .support import replica_rows, same

pytestmark = pytest.mark.postgres

ZONES = ("UTC", "Europe/Berlin", "America/New_York")
FEW = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    # The connections keep no state between two examples.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Pair:
    """PostgreSQL and DuckDB with the same session zone."""

    def __init__(self, pg: psycopg.Connection[Any], duck: duckdb.DuckDBPyConnection) -> None:
        self.pg = pg
        self.duck = duck
        self.set_zone("Europe/Berlin")

    def set_zone(self, zone: str) -> None:
        self.zone = dt.UTC if zone == "UTC" else ZoneInfo(zone)
        self.pg.execute(sql.SQL("SET TimeZone = {}").format(sql.Literal(zone)))
        self.duck.execute(f"SET TimeZone = '{zone}'")

    def ask(self, query: str, duck_query: str | None = None) -> tuple[list[Any], list[Any]]:
        """The rows of both. Raises Inexact where DuckDB's are refused."""
        theirs = self.pg.execute(query.encode())
        oids = [column.type_code for column in theirs.description or ()]
        return theirs.fetchall(), self.replica(duck_query or query, oids)

    def pass_through(self, value: Any, pg_type: str, duck_type: str) -> tuple[Any, Any]:
        theirs = self.pg.execute(f"SELECT %s::{pg_type}".encode(), [value])
        oids = [column.type_code for column in theirs.description or ()]
        bound = dump([value], dialect="postgres")
        ours = self.replica(f"SELECT $1::{duck_type}", oids, bound)
        return theirs.fetchall()[0][0], ours[0][0]

    def replica(self, query: str, oids: list[int], values: Sequence[Any] = ()) -> list[Any]:
        """The rows as a replica returns them. Raises Inexact where they are refused."""
        return replica_rows(self.duck, query, values, oids=oids, zone=self.zone)


@pytest.fixture(scope="module")
def connections(server: Server) -> Iterator[tuple[Any, Any]]:
    # Nothing but a temporary table is made, so one connection does for all.
    with psycopg.connect(server.dsn, autocommit=True) as pg, duckdb.connect() as duck:
        yield pg, duck


@pytest.fixture(params=["arrow", "rows", "rows without pytz"])
def pair(
    connections: tuple[Any, Any], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Pair:
    """Both, with the `arrow` extra and without."""
    if request.param != "arrow":
        monkeypatch.setattr(arrow, "is_there", lambda: False)
    if request.param == "rows without pytz":
        monkeypatch.setattr(pgmd.parity.steps, "has_pytz", lambda: False)
    return Pair(*connections)


# PostgreSQL's type and, if DuckDB calls it otherwise, DuckDB's: literals that both read.
VALUES: dict[tuple[str, str], list[str]] = {
    ("smallint", ""): ["0", "-32768", "32767"],
    ("integer", ""): ["0", "-2147483648", "2147483647"],
    ("bigint", ""): ["0", "-9223372036854775808", "9223372036854775807"],
    ("double precision", ""): ["0", "-0.0", "0.1", "1e300", "-1e-300", "5e-324", "NaN", "1e22"],
    ("real", ""): ["0", "-0.0", "1.1", "0.1", "16777216", "3e10", "1e-45", "3.4028235e38", "NaN"],
    ("numeric(10,2)", ""): ["0", "-0.01", "1.50", "99999999.99"],
    ("numeric(38,10)", ""): ["12345678901234567890.1234567890", "0.0000000001", "-1"],
    ("numeric(18,0)", ""): ["0", "999999999999999999"],
    ("text", ""): ["", "abc", "é☃𝄞", "1", "{a,b}", " x "],
    ("varchar(20)", ""): ["", "abc"],
    ("boolean", ""): ["true", "false"],
    ("date", ""): ["0001-01-02", "1582-10-10", "1970-01-01", "2024-02-29", "9999-12-30"],
    ("time", ""): ["00:00:00", "12:34:56.789012", "23:59:59.999999"],
    ("timetz", ""): ["12:00:00+02", "23:59:59.999999-12", "01:02:03+05:30", "00:00:00+00"],
    ("timestamp", ""): ["0001-01-01 00:00:01", "2024-02-29 12:34:56.789012", "9999-12-31 00:00:00"],
    ("timestamptz", ""): [
        "2024-01-01 00:00:00+00", "2024-07-01 12:00:00.000001+00", "1890-01-01 12:00:00+00",
        "2024-10-27 00:30:00+00", "2024-10-27 01:30:00+00", "2024-03-31 01:00:00+00",
        "2024-11-03 05:30:00+00", "2024-11-03 06:30:00+00", "9000-06-01 00:00:00+00",
    ],
    ("uuid", ""): ["550e8400-e29b-41d4-a716-446655440000", "00000000-0000-0000-0000-000000000000"],
    ("json", ""): ['{"a": [1, 2.5, null]}', "null", '"x"', "[]", "1e400", '{"a": 1, "a": 2}'],
    ("jsonb", "json"): ['{"a": [1, 2.5, null]}', "null", '"x"', "[]", "true"],
}  # fmt: skip
LITERALS = [
    pytest.param(kind, duck or kind, text, id=f"{kind}-{text}")
    for (kind, duck), texts in VALUES.items()
    for text in texts
]


@pytest.mark.parametrize(("kind", "duck_kind", "text"), LITERALS)
def test_scalar(pair: Pair, kind: str, duck_kind: str, text: str) -> None:
    theirs, ours = pair.ask(f"SELECT '{text}'::{kind}", f"SELECT '{text}'::{duck_kind}")
    assert same(theirs[0][0], ours[0][0]), (theirs, ours)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", VALUES["timestamptz", ""])
def test_time_stamp_in_the_session_zone(pair: Pair, zone: str, text: str) -> None:
    pair.set_zone(zone)
    theirs, ours = pair.ask(f"SELECT '{text}'::timestamptz")
    assert same(theirs[0][0], ours[0][0]), (theirs, ours)


@pytest.mark.parametrize(
    ("kind", "duck_kind"),
    [(kind, duck or kind) for kind, duck in VALUES] + [("bytea", "blob"), ("interval", "interval")],
)
def test_null(pair: Pair, kind: str, duck_kind: str) -> None:
    theirs, ours = pair.ask(f"SELECT NULL::{kind}", f"SELECT NULL::{duck_kind}")
    assert theirs == ours == [(None,)]


@pytest.mark.parametrize(
    ("pg_literal", "duck_literal"),
    [("'\\x'", "''"), ("'\\x6100ff'", "'a\\x00\\xff'"), ("'\\x5c'", "'\\x5c'")],
)
def test_bytes(pair: Pair, pg_literal: str, duck_literal: str) -> None:
    theirs, ours = pair.ask(f"SELECT {pg_literal}::bytea", f"SELECT {duck_literal}::blob")
    assert same(theirs[0][0], ours[0][0])


@pytest.mark.parametrize(
    ("kind", "element"),
    [
        ("integer", "1"), ("bigint", "9223372036854775807"), ("double precision", "0.1"),
        ("real", "1.1"), ("numeric(10,2)", "1.50"), ("text", "'x y'"), ("text", "''"),
        ("boolean", "true"), ("date", "'2024-02-29'"), ("timestamp", "'2024-02-29 01:02:03'"),
        ("timestamptz", "'2024-10-27 01:30:00+00'"), ("json", '\'{"a": 1}\''),
        ("uuid", "'550e8400-e29b-41d4-a716-446655440000'"), ("time", "'01:02:03'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("elements", ["{0}", "{0}, NULL, {0}", "NULL", ""])
def test_array(pair: Pair, kind: str, element: str, elements: str) -> None:
    listed = elements.format(element)
    theirs, ours = pair.ask(
        f"SELECT ARRAY[{listed}]::{kind}[]", f"SELECT CAST([{listed}] AS {kind}[])"
    )
    assert same(theirs[0][0], ours[0][0]), (theirs, ours)


@pytest.mark.parametrize(
    "expression",
    [
        "sum(i)", "sum(b)", "sum(n)", "sum(n * n)", "count(*)", "min(n)", "max(d)", "sum(d)",
        "min(x)", "sum(i) + 1", "min(s)", "max(day)", "max(ts)", "bool_or(i > 1)",
    ],
)  # fmt: skip
def test_aggregate(pair: Pair, expression: str) -> None:
    query = f"""
        SELECT {expression} FROM (VALUES
          (1::smallint, 1, 1::bigint, 1.50::numeric(10,2), 0.5::float8, 'a', DATE '2024-01-01',
           TIMESTAMP '2024-01-01 12:00:00'),
          (2::smallint, 2147483647, 9223372036854775807, 0.25::numeric(10,2), 0.25, 'b', NULL, NULL)
        ) AS t (s, i, b, n, d, x, day, ts)"""
    theirs, ours = pair.ask(query)
    assert same(theirs[0][0], ours[0][0]), (theirs, ours)


@pytest.mark.parametrize(
    ("pg_query", "duck_query"),
    [
        ("SELECT avg(i) FROM generate_series(1, 3) AS t (i)", "SELECT avg(i) FROM range(4) AS t (i)"),
        ("SELECT 7 / 2", "SELECT 7 / 2"),
        ("SELECT 'x'::char(3)", "SELECT 'x'::char(3)"),
        ("SELECT '127.0.0.1'::inet", "SELECT '127.0.0.1'"),
        ("SELECT date_trunc('day', DATE '2024-01-01')", "SELECT date_trunc('day', DATE '2024-01-01')"),
        ("SELECT ARRAY[ARRAY[1, 2], ARRAY[3, 4]]", "SELECT [[1, 2], [3, 4]]"),
        ("SELECT 1", "SELECT 1, 2"),
        ("SELECT 1.5::float8", "SELECT [1.5::double]"),
        ("SELECT ARRAY[1.5]::float8[]", "SELECT [1.5::double, 'inf']"),
        # Sums that PostgreSQL cannot hold.
        ("SELECT 1::bigint", "SELECT sum(9223372036854775807) FROM range(2)"),
    ],
)  # fmt: skip
def test_what_cannot_be_the_same_is_refused(pair: Pair, pg_query: str, duck_query: str) -> None:
    with pytest.raises(Inexact):
        pair.ask(pg_query, duck_query)


@pytest.mark.parametrize(
    "literal",
    [
        "'infinity'::date", "'-infinity'::timestamp", "'infinity'::timestamptz",
        "'12024-01-01'::date", "'24:00:00'::time",
    ],
)  # fmt: skip
def test_what_psycopg_cannot_load_is_refused(pair: Pair, literal: str) -> None:
    with pytest.raises(psycopg.DataError):
        pair.pg.execute(f"SELECT {literal}".encode()).fetchall()
    column = pair.pg.execute(f"SELECT {literal} LIMIT 0".encode()).description
    assert column is not None
    with pytest.raises((psycopg.DataError, Inexact)):
        pair.replica(f"SELECT {literal}", [column[0].type_code])


# Parameters

PARAMETERS: list[tuple[Any, str, str]] = [
    *((v, "bigint", "bigint") for v in (0, 1, -32768, 32768, 2**31, 2**63 - 1, -(2**63), None)),
    *((v, "float8", "float8") for v in (0.0, -0.0, 0.1, 1e300, math.nan)),
    *((v, "boolean", "boolean") for v in (True, False, None)),
    *((v, "text", "text") for v in ("", "abc", "é☃𝄞", "1", "2024-01-01", None)),
    *((Decimal(v), "numeric(20,4)", "numeric(20,4)") for v in ("0", "1.50", "-0.0001", "1E+3")),
    *((v, "bytea", "blob") for v in (b"", b"a\x00\xff\\")),
    *((v, "date", "date") for v in (dt.date(2024, 2, 29), dt.date(1, 1, 2), "2024-02-29")),
    *((v, "time", "time") for v in (dt.time(0), dt.time(23, 59, 59, 999999))),
    (dt.datetime(2024, 2, 29, 12, 34, 56, 789012), "timestamp", "timestamp"),
    ("2024-02-29 12:34:56", "timestamp", "timestamp"),
    (dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC), "timestamptz", "timestamptz"),
    (dt.datetime(2024, 7, 1, tzinfo=ZoneInfo("Asia/Kolkata")), "timestamptz", "timestamptz"),
    (dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), "timestamptz",
     "timestamptz"),
    (dt.datetime(1890, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), "timestamptz", "timestamptz"),
    (UUID(int=5), "uuid", "uuid"),
    ("550e8400-e29b-41d4-a716-446655440000", "uuid", "uuid"),
    ([1, None, 40000], "int[]", "int[]"),
    (["a", "b,c", None, '"', "{}"], "text[]", "text[]"),
    ([0.5, None], "float8[]", "float8[]"),
    ([dt.date(2024, 1, 1)], "date[]", "date[]"),
    ([True, None], "bool[]", "bool[]"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "pg_type", "duck_type"), PARAMETERS, ids=repr)
def test_parameter(pair: Pair, value: Any, pg_type: str, duck_type: str) -> None:
    theirs, ours = pair.pass_through(value, pg_type, duck_type)
    assert same(theirs, ours), (theirs, ours)


@pytest.mark.parametrize("value", [200, 50000, 2**40])
def test_arithmetic_overflows_where_postgres_does(pair: Pair, value: int) -> None:
    bound = dump([value], dialect="postgres")
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        pair.pg.execute("SELECT %s * %s", [value, value])
    with pytest.raises(duckdb.OutOfRangeException):
        pair.duck.execute("SELECT $1 * $2", [*bound, *bound]).fetchall()


COLUMNS = {
    "i": "integer", "b": "bigint", "s": "smallint", "d": "double precision", "n": "numeric(10,2)",
    "o": "boolean", "x": "text COLLATE \"C\"", "day": "date", "ts": "timestamp", "tz": "timestamptz",
    "iv": "interval", "u": "uuid",
}  # fmt: skip
TABLE = [
    (1, 1, 1, 1.5, "1.50", True, "1", "2024-01-01", "2024-01-01 00:00:00",
     "2024-01-01 00:00:00+00", "1 day", "550e8400-e29b-41d4-a716-446655440000"),
    (10, 10, 10, 0.1, "10.00", False, "true", "2024-07-01", "2024-07-01 12:00:00",
     "2024-06-30 22:00:00+00", "30 days", "00000000-0000-0000-0000-000000000001"),
    (-1, 2**53 + 1, -1, 2.0**53, "-1.00", None, "abc", "1999-12-31", "1999-12-31 00:00:00",
     "1999-12-30 23:00:00+00", "24 hours", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    (None,) * len(COLUMNS),
]  # fmt: skip
# What a program may send, also in the wrong place: text is untyped to PostgreSQL.
STRAY: list[Any] = [
    "", "a", "1", "10", "-1", "01", "1.5", "1.499", "1e1", "5.", "1_0", "0x1", " 1", "true", "t", "on",
    "yes", "inf", "infinity", "nan", "2024-01-01", "2024-1-1", "20240101", "Jan 1 2024", "2024-01-01x",
    "2024-01-01 00:00:00", "2024-01-01 00:00:00+00", "2024-01-01T00:00:00", "2024-01-01 BC", "epoch",
    "today", "2024-01-01 00:00:00.0000006", "1 day", "24:00:00", "P1D", "12:00", "[1]", "{1}", "\\x61",
    "550e8400-e29b-41d4-a716-446655440000", "{550e8400-e29b-41d4-a716-446655440000}", "null", "O'Hare",
    0, 1, 16777217, 2**53 + 1, 0.1, 1.5, -0.0, math.inf, Decimal("0.1"), Decimal("1.499"),
    Decimal("9007199254740993.5"), Decimal("1." + "0" * 31 + "1"), True, dt.date(2024, 1, 1),
    dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.timedelta(1),
    dt.timedelta(30), UUID("550e8400-e29b-41d4-a716-446655440000"), None,
]  # fmt: skip


@pytest.fixture
def filled(pair: Pair) -> Pair:
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    for connection, mark in ((pair.pg, "%s"), (pair.duck, "?")):
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute(f"CREATE TEMP TABLE t ({columns})")
        for row in TABLE:
            connection.execute(f"INSERT INTO t VALUES ({', '.join([mark] * len(row))})", row)
    return pair


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize(
    "condition",
    [
        "{0} = {1}", "{0} < {1}", "{0} >= {1}", "{0} <> {1}", "{0} IN ({1})", "{0} NOT IN ({1})",
        "{0} BETWEEN {1} AND {1}", "coalesce({0}, {1}) = {0}", "nullif({0}, {1}) IS NULL",
        "{0} IS DISTINCT FROM {1}", "CASE {0} WHEN {1} THEN true END", "NOT ({0} = {1})",
    ],
)  # fmt: skip
def test_a_parameter_never_selects_other_rows(filled: Pair, name: str, condition: str) -> None:
    """An error on either side is fine: the endpoint decides then, and raises its own."""
    different = []
    for value in STRAY:
        try:
            bound = dump([value], dialect="postgres")
            ours = filled.duck.execute(
                f"SELECT x FROM t WHERE {condition.format(name, '$1')} ORDER BY x", bound
            ).fetchall()
        except (Inexact, duckdb.Error):
            continue
        text = f"SELECT x FROM t WHERE {condition.format(name, '%s')} ORDER BY x"
        try:
            theirs = filled.pg.execute(text.encode(), [value] * text.count("%s")).fetchall()
        except (psycopg.errors.UndefinedFunction, psycopg.errors.DatatypeMismatch):
            continue  # known when the statement is described, whatever the value
        except psycopg.Error as error:
            if isinstance(
                error, (psycopg.errors.AmbiguousParameter, psycopg.errors.UndefinedObject)
            ):
                continue
            theirs = [(type(error).__name__,)]
        if theirs != ours:
            different.append((value, theirs, ours))
    assert not different


# Random values

moments = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))


@FEW
@given(st.floats(width=32))
def test_any_float4(pair: Pair, value: float) -> None:
    theirs, ours = pair.ask(f"SELECT '{value!r}'::float4")
    assert same(theirs[0][0], ours[0][0]), (theirs, ours)


@FEW
@given(moments, st.sampled_from(ZONES))
def test_any_time_stamp(pair: Pair, moment: dt.datetime, zone: str) -> None:
    pair.set_zone(zone)
    theirs, ours = pair.ask(f"SELECT '{moment.isoformat(' ')}+00'::timestamptz")
    assert same(theirs[0][0], ours[0][0]), (theirs, ours)


@FEW
@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 15))
def test_any_decimal_parameter(pair: Pair, digits: int, scale: int) -> None:
    value = Decimal(digits).scaleb(-scale)
    theirs, ours = pair.pass_through(value, "numeric(38,18)", "numeric(38,18)")
    assert same(theirs, ours), (theirs, ours)


@FEW
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_parameter(pair: Pair, value: str) -> None:
    try:
        theirs, ours = pair.pass_through(value, "text", "text")
    except Inexact:
        return
    assert same(theirs, ours)


@FEW
@given(moments.flatmap(lambda m: st.timezones().map(lambda z: m.replace(tzinfo=z))))
def test_any_aware_parameter(pair: Pair, value: dt.datetime) -> None:
    theirs, ours = pair.pass_through(value, "timestamptz", "timestamptz")
    assert same(theirs, ours), (theirs, ours)
