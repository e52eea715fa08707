"""A parameter means the same on both routes, or its statement is not routed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import itertools
import math
import os
from collections import UserDict, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.adapt import Dumper, PyFormat
from psycopg.types.json import Json, Jsonb, JsonbDumper
from psycopg.types.multirange import Multirange
from psycopg.types.numeric import Float4, Int2, Int4, Int8, IntNumeric, Oid
from psycopg.types.range import Range
from psycopg.types.string import StrDumper

import pgmd
from pgmd import Route
from pgmd.parity import Inexact, dump
from pgmd.request import Request

from ..fixtures.stands import Stand

BERLIN = ZoneInfo("Europe/Berlin")


class Colour(enum.Enum):
    RED = 1


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 100_000


class Mode(enum.Flag):
    READ = 1


class Name(enum.StrEnum):
    ANN = "ann"


class Tag(str, enum.Enum):  # noqa: UP042  # not the same class
    OLD = "old"


class Ratio(float):
    pass


class Text(str):
    def __str__(self) -> str:
        return "not its text"


class Count(int):
    pass


class Numbers(list[int]):
    pass


class Moment(dt.datetime):
    pass


class Pair(NamedTuple):
    a: int
    b: str


@dataclasses.dataclass
class Point:
    x: int = 1


class Session:
    """One engine's session, asked on either route."""

    def __init__(self, stand: Stand, engine: pgmd.Engine, session: pgmd.Session) -> None:
        self.stand = stand
        self._engine = engine
        self.session = session
        self._texts = itertools.count()

    def fill(self, *statements: str | tuple[str, Any]) -> None:
        for statement in statements:
            text, params = (statement, None) if isinstance(statement, str) else statement
            self.session.execute(text, params)
        if not self.stand.is_live:
            self._engine.publish()

    def ask(self, query: Any, params: Any, route: Any = None) -> tuple[str, Route | None]:
        """Rows with everything that tells two values apart, or the error; and who ran it."""
        try:
            result = self.session.execute(query, params, route=route)
        except psycopg.Error as error:
            # The words are compared where psycopg chooses them, below.
            return f"{type(error).__name__} {error.sqlstate}", None
        except (ValueError, TypeError, BufferError) as error:
            return type(error).__name__, None
        return repr(result.fetchall()), result.decision.route

    def unlike_any_other(self, query: str) -> str:
        """What is known of a text must not be taken for known of other parameter types."""
        return f"{query} /* {next(self._texts)} */"

    def compare(self, query: str, values: dict[str, Any]) -> tuple[dict[str, str], set[str]]:
        """On which values the routes disagree, and which went to a replica."""
        different: dict[str, str] = {}
        routed = set()
        for name, value in values.items():
            text, params = self.unlike_any_other(query), {"a": value}
            ours, route = self.ask(text, params)
            theirs, _ = self.ask(text, params, "endpoint")
            if ours != theirs:
                different[name] = f"{ours} on {route}, {theirs} on the endpoint"
            if route is Route.REPLICA:
                routed.add(name)
        return different, routed

    def is_bound(self, value: object) -> bool:
        """Whether a replica takes this parameter."""
        try:
            dump([value], dialect="postgres" if self.stand.is_postgres else "duckdb")
        except Inexact:
            return False
        return True


@contextmanager
def session_on(stand: Stand) -> Iterator[Session]:
    with (
        pgmd.Engine(stand.endpoint(), stand.replicas(1)) as engine,
        engine.session() as session,
    ):
        yield Session(stand, engine, session)


EVERYWHERE: dict[str, Any] = {
    "true": True, "false": False, "int2": 7, "int2 least": -(2**15), "int4": 2**15,
    "int4 least": -(2**31), "int8": 2**31, "int8 least": -(2**63), "int8 most": 2**63 - 1,
    "float": 1.5, "-0.0": -0.0, "nan": math.nan, "inf": math.inf, "denormal": 5e-324,
    "decimal": Decimal("1.50"), "-0": Decimal("-0"), "0E-15": Decimal("0E-15"),
    "15 digits": Decimal("1234567890.12345"),
    "text": "JFK", "no text": "", "more text": "é☃𝄞 'x'", "percent": "%s%",
    "bytes": b"a\x00\\x61\xff", "no bytes": b"", "bytearray": bytearray(b"ab"),
    "memoryview": memoryview(b"ab"),
    "date": dt.date(2024, 2, 29), "first date": dt.date.min, "last date": dt.date.max,
    "timestamp": dt.datetime(2024, 7, 1, 12, 0, 0, 123456), "first timestamp": dt.datetime.min,
    "last timestamp": dt.datetime.max, "utc": dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC),
    "zone": dt.datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Asia/Kolkata")),
    "offset": dt.datetime(2024, 7, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, minutes=-30))),
    "fold 0": dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
    "fold 1": dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN),
    "gap": dt.datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN),
    "local mean time": dt.datetime(1890, 1, 1, tzinfo=BERLIN),
    "first in utc": dt.datetime.min.replace(tzinfo=dt.UTC),
    "last in utc": dt.datetime.max.replace(tzinfo=dt.UTC),
    "time": dt.time(12, 34, 56, 789012), "midnight": dt.time(0),
    "interval": dt.timedelta(400, 1, 1), "negative": -dt.timedelta(1, 1, 1),
    "longest": dt.timedelta.max, "shortest": dt.timedelta.min, "uuid": UUID(int=5),
    "IntEnum": Size.SMALL, "IntEnum int4": Size.LARGE, "int subclass": Count(5),
    "StrEnum": Name.ANN, "str and Enum": Tag.OLD, "str subclass": Text("its text"),
    "float subclass": Ratio(1.5),
    "Int2": Int2(5), "Int4": Int4(5), "Int8": Int8(5), "IntNumeric": IntNumeric(5),
    "np.int8": np.int8(5), "np.int16": np.int16(5), "np.int32": np.int32(5),
    "np.int64": np.int64(5), "np.uint8": np.uint8(255), "np.uint16": np.uint16(65535),
    "np.uint32": np.uint32(2**32 - 1), "np.uint64": np.uint64(5), "np.bool": np.bool_(True),
    "np.float64": np.float64(1.1), "np.str": np.str_("x"), "np.bytes": np.bytes_(b"x"),
    "int2[]": [1, None, 3], "int4[]": [1, 40000], "int8[]": [2**40], "int[] subclass": Numbers([1]),
    "np.int64[]": [np.int64(1)], "np.int16[]": [np.int8(1)], "bool[]": [True, None],
    "float[]": [1.5, math.nan, -math.inf, None], "date[]": [dt.date(2024, 1, 1), None],
    "timestamp[]": [dt.datetime(2024, 1, 1), None], "time[]": [dt.time(1, 2, 3)],
    "timestamptz[]": [dt.datetime(2024, 7, 1, tzinfo=BERLIN), None], "uuid[]": [UUID(int=5)],
    "text[]": ["a", "b,c", None, '"', "{}", "\\", "NULL", ""],
}  # fmt: skip
POSTGRES_ONLY: dict[str, Any] = {
    "exponent": Decimal("1E+3"), "Enum": Colour.RED, "Flag": Mode.READ,
    "bytea[]": [b'a\x00"\\', None],
}  # fmt: skip
# PostgreSQL is asked what type it gives them; without its answer they are not bound.
LOOKALIKES: dict[str, Any] = {
    "text like a number": "1.50", "text like a date": "2024-01-01x", "text like null": "null",
    "text like a list": "[1]", "text like bytes": "\\x61",
}  # fmt: skip
LOCAL_ONLY: dict[str, Any] = {
    "np.float32": np.float32(1.1), "np.float16": np.float16(1.1), "Float4": Float4(1.1),
    "Float4 nan": Float4(math.nan), "timetz": dt.time(1, 2, 3, tzinfo=dt.UTC), "Json": Json({"é": 1}),
    "Jsonb": Jsonb([1, None]), "Json null": Json(None), "dumps": Jsonb(1, dumps=lambda _: "[1]"),
    "numeric[]": [Decimal("1.5"), Decimal("22.25"), None],
}  # fmt: skip
NOWHERE: dict[str, Any] = {
    "more than 64 bits": 2**63, "np.uint64 most": np.uint64(2**64 - 1),
    "NaN": Decimal("NaN"), "sNaN": Decimal("sNaN"), "Infinity": Decimal("Infinity"),
    "16 digits": Decimal("1.000000000000001"), "1E-16": Decimal("1E-16"),
    "39 digits": Decimal("1" * 39), "after year 9999 in utc":
        dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1))),
    "datetime subclass": Moment(2024, 1, 1), "gaps": memoryview(b"abcd")[::2], "oid": Oid(5),
    "range": Range(1, 5), "multirange": Multirange([Range(1, 5)]),
    "address": ip_address("10.0.0.1"), "network": ip_network("10.0.0.0/8"),
    "[]": [], "null[]": [None], "nested": [[1, 2], [3, 4]], "nested empty": [[]],
    "ragged": [[1], [2, 3]], "some nested": [1, [2]], "numeric 64 bits[]": [2**64],
    "interval[]": [dt.timedelta(1)], "json[]": [Json({})], "Enum[]": [Colour.RED],
    "timestamp and timestamptz[]":
        [dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)],
    "tuple": (1, 2), "no tuple": (), "named tuple": Pair(1, "x"),
}  # fmt: skip
# psycopg says no before anything is sent.
UNSENDABLE: dict[str, Any] = {
    "NUL": "a\0b", "surrogate": "\ud800", "NUL in text[]": ["a\0"], "zone without date":
        dt.time(1, tzinfo=BERLIN), "int and str": [1, "a"], "int and float": [1, 2.5],
    "bool and int": [True, 2], "dict": {"a": 1}, "dict[]": [{"a": 1}], "set": {1},
    "dataclass": Point(), "object": object, "complex": 1j, "fraction": Fraction(1, 2),
    "range of Python": range(3), "array": np.array([1]), "datetime64": np.datetime64("2024-01-01"),
    "timedelta64": np.timedelta64(1, "D"), "longdouble": np.longdouble(1),
}  # fmt: skip
WHOLE = EVERYWHERE | LOOKALIKES | POSTGRES_ONLY | LOCAL_ONLY | NOWHERE | UNSENDABLE


def test_no_value_is_in_two_tables() -> None:
    tables = (EVERYWHERE, LOOKALIKES, POSTGRES_ONLY, LOCAL_ONLY, NOWHERE, UNSENDABLE)
    assert len(WHOLE) == sum(map(len, tables))


# Bound, but as a result they may be read from DuckDB with doubt, or reach a client changed.
UNREADABLE = {"first date", "last date", "first timestamp", "last timestamp", "text[]"}
UNREADABLE_ON = {"postgres": {"inf", "float[]"}, "local": {"timetz"}}


def test_every_type(stand: Stand) -> None:
    with session_on(stand) as session:
        different, routed = session.compare("SELECT %(a)s AS a", WHOLE)
        assert not different
        own = POSTGRES_ONLY if stand.is_postgres else LOCAL_ONLY
        unreadable = UNREADABLE | UNREADABLE_ON["postgres" if stand.is_postgres else "local"]
        assert {*EVERYWHERE, *LOOKALIKES, *own} - unreadable <= routed
        assert routed <= {*EVERYWHERE, *LOOKALIKES, *own}


@pytest.mark.only("local", reason="PostgreSQL's names of types are not DuckDB's")
def test_every_type_is_the_same_to_duckdb(stand: Stand) -> None:
    with session_on(stand) as session:
        query = "SELECT typeof(%(a)s) AS t, CAST(%(a)s AS VARCHAR) AS v"
        different, routed = session.compare(query, WHOLE)
        assert not different
        assert routed == {*EVERYWHERE, *LOOKALIKES, *LOCAL_ONLY}


def test_what_is_bound(stand: Stand) -> None:
    with session_on(stand) as session:
        own = POSTGRES_ONLY if stand.is_postgres else LOOKALIKES | LOCAL_ONLY
        sendable = {name: value for name, value in WHOLE.items() if name not in UNSENDABLE}
        bound = {name for name, value in sendable.items() if session.is_bound(value)}
        assert bound == {*EVERYWHERE, *own}


def test_what_psycopg_cannot_send_is_not_sent(stand: Stand) -> None:
    with session_on(stand) as session:
        for name, value in UNSENDABLE.items():
            errors = [
                raised(session.session.execute, "SELECT %s AS a", [value], route=route)
                for route in (None, "replica", "endpoint")
            ]
            assert len({(type(error), str(error)) for error in errors}) == 1, name
            assert isinstance(errors[0], (psycopg.Error, UnicodeEncodeError)), name


def test_null(stand: Stand) -> None:
    with session_on(stand) as session:
        session.fill("CREATE TABLE t (a integer)", "INSERT INTO t VALUES (1)")
        different, routed = session.compare("SELECT a FROM t WHERE a <> %(a)s", {"null": None})
        assert not different
        # A DuckDB behind a wire may find a NULL without a type ambiguous: it must say so itself.
        assert routed == ({"null"} if stand.is_postgres else set())


@pytest.mark.only("local", reason="PostgreSQL takes an unknown type for text")
@pytest.mark.parametrize("query", ["SELECT %(a)s AS a", "SELECT 1 AS a WHERE %(a)s IS NULL"])
def test_null_whose_type_matters(stand: Stand, query: str) -> None:
    with session_on(stand) as session:
        assert session.compare(query, {"null": None})[0] == {}


# Rows: what a parameter selects, in the wrong place too.

COLUMNS = {
    "i": "integer", "b": "bigint", "s": "smallint", "d": "double precision", "n": "numeric(10,2)",
    "o": "boolean", "x": "text", "day": "date", "ts": "timestamp", "tz": "timestamptz", "u": "uuid",
}  # fmt: skip
TABLE = [
    (1, 1, 1, 1.5, "1.50", True, "1", "2024-01-01", "2024-01-01 00:00:00",
     "2024-01-01 00:00:00+00", UUID(int=5)),
    (16777217, 16777217, 255, 0.1, "10.00", False, "RED", "2024-07-01", "2024-07-01 12:00:00",
     "2024-06-30 22:00:00+00", UUID(int=6)),
    (-1, 2**53 + 1, -1, 2.0**53, "-1.00", None, "a", "1999-12-31", "1999-12-31 00:00:00",
     "1999-12-30 23:00:00+00", UUID(int=7)),
    (None,) * len(COLUMNS),
]  # fmt: skip
_ODD = ("int2", "int8", "true", "-0.0", "nan", "inf", "decimal", "text", "no text", "date", "zone",
        "timestamp", "interval", "uuid", "IntEnum", "StrEnum", "Enum", "int subclass", "np.uint64",
        "np.float32", "int4[]", "bool[]", "float[]", "date[]", "timestamptz[]", "uuid[]", "text[]",
        "text like a number", "text like a date", "text like null", "numeric[]", "Jsonb", "tuple",
        "[]", "null[]", "range", "NaN", "exponent")  # fmt: skip
STRAY = {name: WHOLE[name] for name in _ODD} | {
    "one": 1, "np one": np.int64(1), "float4": np.float32(16777216), "np true": np.bool_(True),
    "tenth": np.float64(0.1), "float4 tenth": np.float32(0.1), "ones": [1, 16777217],
    "text ones": ["1", "01"], "text tenth": ["0.1"], "text date": ["2024-01-01", "2024-1-1"],
    "text dates": ["2024-01-01"], "text true": ["true"], "text t": ["t"], "floats": [0.1, 1.5],
    "text uuid": [str(UUID(int=5))], "text uuid in braces": ["{" + str(UUID(int=5)) + "}"],
    "names": [Name.ANN, Tag.OLD], "booleans": [True], "tenths": [Decimal("0.1")],
    "text of bytes": "\\x61", "uint64": np.uint64(16777217),
}  # fmt: skip


@pytest.mark.parametrize(
    "condition",
    ["{0} = %(a)s", "{0} >= %(a)s", "{0} IN (%(a)s)", "{0} = ANY(%(a)s)", "{0} <> ALL(%(a)s)",
     "coalesce({0}, %(a)s) = {0}"],
)  # fmt: skip
def test_a_parameter_never_selects_other_rows(stand: Stand, condition: str) -> None:
    with session_on(stand) as session:
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        places = ", ".join(f"CAST(%s AS {kind})" for kind in COLUMNS.values())
        session.fill(
            f"CREATE TABLE t ({columns})",
            *((f"INSERT INTO t VALUES ({places})", row) for row in TABLE),
        )
        routed = 0
        for column in COLUMNS:
            query = f"SELECT i, b FROM t WHERE {condition.format(column)} ORDER BY b, i"
            different, on_replica = session.compare(query, STRAY)
            assert not different
            routed += len(on_replica)
        assert stand.is_postgres or routed > 10


# A program's own dumpers


class Loud(Dumper):
    def dump(self, obj: Any) -> bytes:
        return bytes(obj.upper().encode())


class Double(Dumper):
    oid = 1700

    def dump(self, obj: Any) -> bytes:
        return str(2 * obj).encode()


class PointDumper(Dumper):
    oid = 23

    def dump(self, obj: Any) -> bytes:
        return str(obj.x).encode()


OWN_DUMPERS: list[tuple[type, type[Dumper], Any]] = [
    (str, Loud, "x"), (Decimal, Double, Decimal("1.5")), (int, Double, 7), (Count, Double, Count(7)),
    (Point, PointDumper, Point(3)), (Name, Loud, Name.ANN), (float, Double, 1.5),
    (str, StrDumper, "1"), (dict, JsonbDumper, {"a": [1]}), (UUID, StrDumper, UUID(int=1)),
]  # fmt: skip


@contextmanager
def registered(kind: type, dumper: type[Dumper]) -> Iterator[None]:
    """psycopg has no way back, so what was there is put in its place."""
    maps = psycopg.adapters._dumpers
    before = {form: dict(known) for form, known in maps.items()}
    by_oid = [dict(known) for known in psycopg.adapters._dumpers_by_oid]
    psycopg.adapters.register_dumper(kind, dumper)
    try:
        yield
    finally:
        psycopg.adapters._dumpers.update(before)
        psycopg.adapters._dumpers_by_oid[:] = by_oid


@pytest.mark.parametrize(("kind", "dumper", "value"), OWN_DUMPERS)
@pytest.mark.parametrize("late", [False, True])
def test_a_programs_own_dumper_decides(
    stand: Stand, kind: type, dumper: type[Dumper], value: Any, late: bool
) -> None:
    with ExitStack() as stack:
        if not late:
            stack.enter_context(registered(kind, dumper))
        session = stack.enter_context(session_on(stand))
        query = "SELECT %(a)s AS a"
        session.compare(query, {"before": value})
        if late:
            stack.enter_context(registered(kind, dumper))
        different, _ = session.compare(query, {"own": value, "list": [value, value]})
        assert not different


# psycopg.sql


def test_every_literal_has_psycopgs_text(stand: Stand) -> None:
    with psycopg.connect(stand.dsn) as connection:
        different = {}
        for name, value in WHOLE.items():
            query = sql.SQL("SELECT {} AS {}").format(sql.Literal(value), sql.Identifier('a"b'))
            try:
                theirs = query.as_string(connection)
            except (psycopg.Error, ValueError, AttributeError, BufferError) as error:
                theirs = type(error).__name__
            try:
                ours = Request.read(query, None, None).query
            except (psycopg.Error, ValueError, AttributeError, BufferError) as error:
                ours = type(error).__name__
            if ours != theirs:
                different[name] = (ours, theirs)
        assert not different


def test_every_literal_means_the_same(stand: Stand) -> None:
    with session_on(stand) as session:
        for name, value in (EVERYWHERE | LOOKALIKES | POSTGRES_ONLY | NOWHERE).items():
            query = sql.SQL("SELECT {} AS a").format(sql.Literal(value))
            try:
                query.as_string()
            except (psycopg.Error, ValueError, AttributeError, BufferError):
                continue
            ours, theirs = session.ask(query, None)[0], session.ask(query, None, "endpoint")[0]
            assert ours == theirs, name


@pytest.mark.parametrize(
    "query",
    [
        sql.SQL("a {} b").format(sql.Placeholder()), sql.SQL(", ").join([sql.Identifier("a", 'b"')]),
        sql.SQL("{x}").format(x=sql.Placeholder("n", format=PyFormat.BINARY)),
        sql.Composed([sql.SQL("100%"), sql.Literal("%s"), sql.Identifier("é % .")]),
    ],
    ids=repr,
)  # fmt: skip
def test_compositions_have_psycopgs_text(stand: Stand, query: sql.Composable) -> None:
    with psycopg.connect(stand.dsn) as connection:
        assert Request.read(query, None, None).query == query.as_string(connection)


def test_a_query_is_its_own_text() -> None:
    for query in (Text("SELECT 1"), b"SELECT 1", "SELECT 1"):
        assert Request.read(query, None, None).query == "SELECT 1"
    with pytest.raises(pgmd.UsageError, match="UTF-8"):
        Request.read(b"SELECT '\xff'", None, None)


# Misuse


class Grudging(Sequence):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        if index:
            raise IndexError
        return 5


MISUSES: list[tuple[str, Any]] = [
    ("SELECT %s", ()), ("SELECT %s", []), ("SELECT %s, %s", (1,)), ("SELECT %s", (1, 2)),
    ("SELECT 1", (1,)), ("SELECT ?", (1,)), ("SELECT %s, %(a)s", (1,)), ("SELECT %(a)s, %s", {"a": 1}),
    ("SELECT %(a)s, %s", (1, 2)), ("SELECT %s", {"a": 1}), ("SELECT %(a)s", (1,)),
    ("SELECT %(a)s", {}), ("SELECT %(a)s", {"b": 1}), ("SELECT %(c)s, %(b)s", {"a": 1}),
    ("SELECT %(a)s %(a)b", {"a": 1}), ("SELECT %s", "abc"), ("SELECT %s", "a"), ("SELECT %s", b"a"),
    ("SELECT %s", bytearray(b"a")), ("SELECT %s", {1}), ("SELECT %s", 5), ("SELECT %s", iter([1])),
    ("SELECT %s", {1: 2}.values()), ("SELECT %s", np.array([1])), ("SELECT %s", object()),
    ("SELECT 5 % 2", ()), ("SELECT 5 %2", ()), ("SELECT '100%'", ()),
    ("SELECT %", (1,)), ("SELECT %d", (1,)), ("SELECT %i", (1,)), ("SELECT %5s", (1,)),
    ("SELECT %S", (1,)), ("SELECT %(a)d", {"a": 1}), ("SELECT %(a", {"a": 1}), ("SELECT %(a)", {"a": 1}),
    ("SELECT %()s", {"": 1}), ("SELECT %é", (1,)), ("SELECT '%s'", ()), ("SELECT 1 -- %s", ()),
    ("SELECT /* %s */ 1", ()), ("SELECT $$%s$$", ()), ('SELECT "%s"', ()), ("SELECT '%(a)s'", (1,)),
    ("SELECT %b", ({},)), ("SELECT %t", ({},)), ("SELECT %b", ((1, 2),)), ("SELECT %b", ([[1], []],)),
    ("SELECT %b", ([[1], [2, 3]],)), ("SELECT %(a)t", {"a": 1j}),
]  # fmt: skip


def raised(call: Callable[..., object], *given: Any, **options: Any) -> Exception | None:
    try:
        call(*given, **options)
    except (psycopg.Error, TypeError, UnicodeError) as error:
        return error
    return None


@pytest.mark.parametrize("route", [None, "replica"])
def test_misuse_is_psycopgs(stand: Stand, route: Any) -> None:
    with session_on(stand) as session, psycopg.connect(stand.dsn, autocommit=True) as connection:
        different = {}
        for query, params in MISUSES:
            theirs = raised(connection.execute, query.encode(), params)
            assert getattr(theirs, "sqlstate", None) is None, f"{query} was sent"
            ours = raised(session.session.execute, query, params, route=route)
            if (type(ours), str(ours)) != (type(theirs), str(theirs)):
                different[query, repr(params)] = (repr(ours), repr(theirs))
        assert not different


USES: list[tuple[str | bytes | Text, Any]] = [
    ("SELECT %s AS a, %s AS b", deque([1, 2])), ("SELECT %s AS a", range(1)), ("SELECT %s AS a", Pair(1, "x")[:1]),
    ("SELECT %s AS a, %s AS b", Pair(1, "x")), ("SELECT %s AS a", Grudging()),
    ("SELECT %(a)s AS a", UserDict(a=1)), ("SELECT %(a)s AS a", defaultdict(lambda: 7)),
    ("SELECT 1 AS a", {"a": 1}), ("SELECT 1 AS a", ()), ("SELECT 1 AS a", {}), ("SELECT '%%' AS a", ()),
    ("SELECT '%%s' AS a", ()), ("SELECT '%s %' AS a", None), ("SELECT '%%' AS a", None),
    ("SELECT %(b)s AS a, %(a)s AS b, %(b)s AS c", {"a": 1, "b": 2, "c": 3}),
    ("SELECT %(A)s AS a, %(a)s AS b", {"a": 1, "A": 2}), ("SELECT %(a b)s AS a", {"a b": 1}),
    ("SELECT 1 AS a /* %s */", (5,)), ("SELECT '%s' AS a", (5,)), ("SELECT $$%s$$ AS a", (5,)),
    ("SELECT %s AS a, '?' AS b", (5,)), ("SELECT %s AS a, $1 AS b", (5,)),
    ("SELECT %b AS a, %t AS b", (1, 2)), ("SELECT %(a)b AS a", {"a": "x"}), ("SELECT %b AS a", [[1, 2]]),
    ("SELECT %b AS a", ["1"]), ("SELECT %t AS a", [-dt.timedelta(1, 1)]), ("SELECT %b AS a", [Decimal("1.5")]),
    ("SELECT %t AS a", [1.5]), ("SELECT %t AS a", [b"\\x"]), ("SELECT %t AS a", [True]),
    ("SELECT %b AS a", [Jsonb(1)]), ("SELECT %b AS a", [Colour.RED]), ("SELECT %b AS a", [Name.ANN]),
    ("SELECT %", ()), (Text("SELECT %s AS a"), (5,)), (b"SELECT %s AS a", (5,)),
]  # fmt: skip


def test_unusual_uses(stand: Stand) -> None:
    with session_on(stand) as session:
        different = {}
        for query, params in USES:
            ours, theirs = session.ask(query, params)[0], session.ask(query, params, "endpoint")[0]
            if ours != theirs:
                different[query, repr(params)] = (ours, theirs)
        assert not different


@pytest.mark.only("postgres", reason="a DuckDB endpoint is told that all text is text")
def test_text_in_a_binary_placeholder_is_declared(stand: Stand) -> None:
    with session_on(stand) as session:
        session.fill("CREATE TABLE t (i integer)", "INSERT INTO t VALUES (1)")
        for route in (None, "endpoint"):
            assert session.ask("SELECT i FROM t WHERE i = %s", ["1"], route)[0] == "[(1,)]"
            assert session.ask("SELECT i FROM t WHERE i = %b", ["1"], route)[0].endswith("42883")


# Random tuples

_moments = st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 12, 31))
_zones = st.sampled_from(
    [dt.UTC, BERLIN, ZoneInfo("Asia/Kolkata"), dt.timezone(dt.timedelta(hours=-9))]
)
_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_ints = st.one_of(st.integers(-5, 5), st.integers(-(2**64), 2**64))
_days = st.dates(dt.date(2, 1, 1), dt.date(9998, 12, 31))
_aware = st.builds(lambda m, z, f: m.replace(tzinfo=z, fold=f), _moments, _zones, st.integers(0, 1))
_decimals = st.builds(
    lambda n, e: Decimal(n).scaleb(e), st.integers(-(10**16), 10**16), st.integers(-17, 3)
)
_floats = st.floats(allow_subnormal=True)
_simple: list[st.SearchStrategy[Any]] = [
    _ints, st.booleans(), _floats, _texts, st.binary(max_size=12), _days, st.times(), _moments, _aware,
    st.timedeltas(), st.uuids(), _decimals,
]  # fmt: skip
_arrays = [
    _ints,
    st.booleans(),
    _floats,
    _texts,
    _days,
    st.times(),
    _moments,
    _aware,
    st.uuids(),
    _decimals,
]
VALUES = st.one_of(
    *_simple,
    *(st.lists(st.none() | element, max_size=4) for element in _arrays),
    _ints.filter(lambda n: abs(n) < 2**63).map(np.int64),
    st.floats(width=32).map(np.float32), st.integers(0, 2**64 - 1).map(np.uint64),
    st.sampled_from([Size.SMALL, Size.LARGE, Name.ANN, Tag.OLD, Colour.RED, Count(3), Ratio(0.1)]),
    st.tuples(_ints, _texts), st.builds(Jsonb, st.dictionaries(_texts, _floats | _ints, max_size=2)),
)  # fmt: skip
# So many in each run of the suite, and 20,000 when a dumper has changed.
WANTED = int(os.environ.get("PGMD_TEST_TUPLES", "8000"))
EACH = 40  # tuples in one example, asked for in one statement
TUPLES = st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=EACH, max_size=EACH)


def is_read_back(value: object, stand: Stand) -> bool:
    """Whether a result column of this value may come from a replica."""
    if isinstance(value, list):
        return all(is_read_back(item, stand) and not isinstance(item, str) for item in value)
    infinite = isinstance(value, float) and math.isinf(value)
    return not (infinite and stand.is_postgres)


def batch(values: list[Any], stand: Stand) -> tuple[str, dict[str, Any]]:
    """One statement of all *values*, and for DuckDB how it understands them."""
    params = {f"p{n}": value for n, value in enumerate(values)}
    columns = ["1 AS one"]
    for name, value in params.items():
        if is_read_back(value, stand):
            columns.append(f"%({name})s AS {name}")
        if not stand.is_postgres:
            columns.append(f"typeof(%({name})s) || %({name})s::varchar AS v{name}")
    return f"SELECT {', '.join(columns)}", params


def check_any_tuple(stand: Stand, wanted: int) -> None:
    asked = routed = 0

    with session_on(stand) as session:

        @settings(
            max_examples=wanted // EACH, derandomize=True, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(TUPLES)
        def check(drawn: list[list[Any]]) -> None:
            nonlocal asked, routed
            bound = [values for values in drawn if all(map(session.is_bound, values))]
            query, params = batch([value for values in bound for value in values], stand)
            text = session.unlike_any_other(query)
            ours, route = session.ask(text, params)
            assert ours == session.ask(text, params, "endpoint")[0]
            assert route is Route.REPLICA
            asked += len(drawn)
            routed += len(bound)

        check()
    assert asked >= wanted
    assert routed > wanted / 3


@pytest.mark.only("local", reason="the other dialect is asked less, below")
def test_any_tuple_on_a_duckdb_endpoint(stand: Stand) -> None:
    check_any_tuple(stand, WANTED)


@pytest.mark.only("postgres", reason="the other dialect is asked more, above")
def test_any_tuple_on_postgres(stand: Stand) -> None:
    check_any_tuple(stand, WANTED // 10)
