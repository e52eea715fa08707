"""Random tables of random types: the rows that were written, on both routes of a local endpoint.

Many tables go into one statement, side by side: a round trip takes longer than a table.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import pgmd
import pgmd.answers.fetching
from pgmd.parity import arrow

from ..fixtures.stands import local_stand
from .support import same

# Ten tables each; PGMD_TEST_TABLES=2000 were run when the types were last changed.
EXAMPLES, TABLES = int(os.environ.get("PGMD_TEST_TABLES", "400")), 10
MANY = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# An SQL expression and what psycopg makes of its value.
Value = tuple[str, Any]


@dataclass(frozen=True)
class Kind:
    """A type: how to write its NULL, and its values. `type` is empty where SQL has no name for it.

    `is_quoted`: MotherDuck changes a list of these on the way, so that it is not routed.
    """

    null: str
    draw: Callable[[st.DrawFn], Value]
    type: str = ""
    is_quoted: bool = False
    is_list: bool = False
    is_key: bool = False

    def draw_or_null(self, draw: st.DrawFn) -> Value:
        return (self.null, None) if draw(ONE_IN_FOUR) else self.draw(draw)


ONE_IN_FOUR = st.sampled_from((False, False, False, True))
UP_TO_3, FROM_1_TO_3 = st.integers(0, 3), st.integers(1, 3)


def scalar(
    kind: str,
    values: st.SearchStrategy[Any],
    text: Callable[[Any], str] = str,
    load: Callable[[Any], Any] = lambda value: value,
    **more: bool,
) -> Kind:
    def written(value: Any) -> Value:
        quoted = text(value).replace("'", "''")
        return f"CAST('{quoted}' AS {kind})", load(value)

    found = values.map(written)
    return Kind(f"CAST(NULL AS {kind})", lambda draw: draw(found), kind, **more)


def integers(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.one_of(st.sampled_from((low, high, 0, 1)), st.integers(low, high))


def decimals(precision: int, scale: int) -> Kind:
    most = 10**precision - 1

    def load(number: int) -> Decimal:
        sign, digits = int(number < 0), tuple(map(int, str(abs(number))))
        return Decimal((sign, digits, -scale))

    return scalar(
        f"DECIMAL({precision},{scale})",
        st.one_of(st.sampled_from((0, most, -most)), st.integers(-most, most)),
        lambda number: format(load(number), "f"),
        load,
        is_key=True,
    )


def escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02X}" for byte in data)


def interval_text(value: tuple[int, int, int]) -> str:
    months, days, micros = value
    return f"{months} months {days} days {micros} microseconds"


def interval(value: tuple[int, int, int]) -> dt.timedelta:
    """As psycopg counts: a year is 365 days, a month 30."""
    months, days, micros = value
    years, months = divmod(abs(months), 12)
    sign = -1 if value[0] < 0 else 1
    return dt.timedelta(days + sign * (365 * years + 30 * months), microseconds=micros)


# Days and moments short of the first and last, which are DuckDB's infinities, too.
DAYS = st.dates(dt.date(1, 1, 2), dt.date(9999, 12, 30))
MOMENTS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)).map(
    lambda moment: moment.replace(fold=0)
)
TEXT = st.one_of(
    st.sampled_from(("", " ", "NULL", "null", "'", '"', "\\", "{}", "[]", "()", "a, b", "k=v", "x: y",
                     "\n", "\t", "\\n", "''", "\\'", "é☃𝄞", " x ", "true", "0", "(BC)", "\x01")),
    st.text("abcXYZ 0,:=(){}[]'\"\\\n\té☃𝄞\u00a0\u0301\u200b", max_size=6),
)  # fmt: skip
LABELS = ("a", "b c", "", "it's", "NULL", "é", '"', "[", "\\")
DOCUMENTS: tuple[Any, ...] = (
    {"a": [1, 2.5, None]},
    None,
    "x",
    [],
    1e300,
    True,
    "it's \\ \" é",
    {},
    {"'": "\n"},
    10**30,
)


def whole_seconds(moment: dt.datetime) -> dt.datetime:
    return moment.replace(microsecond=0)


def whole_milliseconds(moment: dt.datetime) -> dt.datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


SCALARS = [
    scalar("BOOLEAN", st.booleans(), is_key=True),
    *(
        scalar(kind, integers(bits), is_key=True)
        for kind, bits in (("TINYINT", 8), ("SMALLINT", 16), ("INTEGER", 32), ("BIGINT", 64))
    ),
    *(
        scalar(kind, integers(bits, signed=False), is_key=True)
        for kind, bits in (("UTINYINT", 8), ("USMALLINT", 16), ("UINTEGER", 32))
    ),
    scalar("UBIGINT", integers(64, signed=False), load=Decimal, is_key=True),
    scalar("HUGEINT", integers(128), load=Decimal, is_key=True),
    scalar("UHUGEINT", integers(128, signed=False), load=Decimal, is_key=True),
    scalar("BIGNUM", integers(200), load=Decimal, is_key=True),
    *(decimals(*of) for of in ((4, 1), (9, 2), (18, 0), (18, 3), (38, 0), (38, 10), (38, 38))),
    # Six digits are told apart by four bytes.
    scalar("FLOAT", st.integers(-999_999, 999_999).map(lambda n: n / 1000)),
    scalar("DOUBLE", st.floats(), repr),
    scalar("VARCHAR", TEXT, is_quoted=True, is_key=True),
    scalar(
        "ENUM({})".format(", ".join("'" + label.replace("'", "''") + "'" for label in LABELS)),
        st.sampled_from(LABELS),
        is_quoted=True,
        is_key=True,
    ),
    scalar("JSON", st.sampled_from(DOCUMENTS), json.dumps, is_quoted=True),
    scalar("BLOB", st.binary(max_size=6), escaped, is_quoted=True),
    scalar("DATE", DAYS, is_key=True),
    scalar("TIME", st.times()),
    scalar("TIMESTAMP", MOMENTS, is_key=True),
    scalar("TIMESTAMP_S", MOMENTS.map(whole_seconds)),
    scalar("TIMESTAMP_MS", MOMENTS.map(whole_milliseconds)),
    scalar("TIMESTAMP WITH TIME ZONE", MOMENTS.map(lambda moment: moment.replace(tzinfo=dt.UTC))),
    scalar(
        "INTERVAL",
        st.tuples(st.integers(-30_000, 30_000), st.integers(-(10**6), 10**6), integers(60)),
        interval_text,
        interval,
    ),
    scalar("UUID", st.integers(0, 2**128 - 1).map(lambda n: UUID(int=n)), is_key=True),
    scalar("BIT", st.text("01", min_size=1, max_size=12), is_key=True),
    scalar("TIMESTAMP_NS", st.integers(0, 10**8 - 1).map("2024-02-29 12:34:56.{:08}1".format)),
]
KEYS = [kind for kind in SCALARS if kind.is_key]


def lists(kind: Kind) -> Kind:
    null = (
        f"CAST(NULL AS {kind.type}[])" if kind.type else f"CASE WHEN false THEN [{kind.null}] END"
    )

    def one(draw: st.DrawFn) -> Value:
        items = [kind.draw_or_null(draw) for _ in range(draw(UP_TO_3))]
        if not items:
            return f"[{kind.null}][1:0]", []
        return f"[{', '.join(text for text, _ in items)}]", [value for _, value in items]

    return Kind(null, one, kind.type and f"{kind.type}[]", kind.is_quoted, is_list=True)


def arrays(kind: Kind) -> Kind:
    def one(draw: st.DrawFn) -> Value:
        items = [kind.draw_or_null(draw) for _ in range(2)]
        return f"array_value({', '.join(text for text, _ in items)})", [value for _, value in items]

    null = f"CASE WHEN false THEN array_value({kind.null}, {kind.null}) END"
    return Kind(null, one, is_quoted=kind.is_quoted, is_list=True)


NAMES = st.text(string.ascii_letters + " _'\"\\:,{}()=é☃", min_size=1, max_size=5)


def structs(names: Sequence[str], kinds: Sequence[Kind]) -> Kind:
    keys = ["'" + name.replace("'", "''") + "'" for name in names]

    def expression(texts: Sequence[str]) -> str:
        return f"{{{', '.join(f'{key}: {text}' for key, text in zip(keys, texts, strict=True))}}}"

    def one(draw: st.DrawFn) -> Value:
        texts, values = zip(*(kind.draw_or_null(draw) for kind in kinds), strict=True)
        return expression(texts), dict(zip(names, values, strict=True))

    return Kind(f"CASE WHEN false THEN {expression([kind.null for kind in kinds])} END", one)


def tuples(kinds: Sequence[Kind]) -> Kind:
    def one(draw: st.DrawFn) -> Value:
        texts, values = zip(*(kind.draw_or_null(draw) for kind in kinds), strict=True)
        return f"row({', '.join(texts)})", tuple(values)

    return Kind(f"CASE WHEN false THEN row({', '.join(kind.null for kind in kinds)}) END", one)


def maps(key: Kind, value: Kind) -> Kind:
    empty = f"map([{key.null}][1:0], [{value.null}][1:0])"

    def one(draw: st.DrawFn) -> Value:
        pairs: dict[Any, Any] = {}
        for _ in range(draw(UP_TO_3)):
            text, found = key.draw(draw)
            pairs.setdefault(found, (text, value.draw_or_null(draw)))
        if not pairs:
            return empty, {}
        texts = ", ".join(f"{text}: {item[0]}" for text, item in pairs.values())
        return f"MAP {{{texts}}}", {found: item[1] for found, (_, item) in pairs.items()}

    return Kind(f"CASE WHEN false THEN {empty} END", one)


FORMS = st.sampled_from(("scalar",) * 7 + ("list", "array", "struct", "row", "map"))
DEPTH = st.sampled_from((1, 1, 2, 3))
SCALAR, KEY = st.sampled_from(SCALARS), st.sampled_from(KEYS)


def draw_kind(draw: st.DrawFn, depth: int) -> Kind:
    form = draw(FORMS) if depth else "scalar"
    if form == "list":
        kind = draw_kind(draw, depth - 1)
        # The text of a list of JSON does not tell where each ends: refused on both routes.
        return lists(SCALARS[0] if kind.type == "JSON" else kind)
    if form == "array":
        kind = draw_kind(draw, depth - 1)
        # Nor does that of an array of anything that needs quotes; see below.
        return arrays(SCALARS[0] if kind.is_quoted and not kind.is_list else kind)
    if form == "map":
        return maps(draw(KEY), draw_kind(draw, depth - 1))
    if form == "scalar":
        return draw(SCALAR)
    kinds = [draw_kind(draw, depth - 1) for _ in range(draw(FROM_1_TO_3))]
    if form == "row":
        return tuples(kinds)
    # DuckDB's names of fields differ in more than case.
    names = {name.lower(): name for name in (draw(NAMES) for _ in kinds)}
    return structs(list(names.values()), kinds[: len(names)])


@dataclass(frozen=True)
class Table:
    """SQL that stands in a FROM, and its rows."""

    relation: str
    rows: list[tuple[Any, ...]]
    width: int


COLUMNS, ROWS = (
    st.sampled_from((1, 1, 1, 1, 2, 2, 2, 3, 4, 5, 6)),
    st.sampled_from((0, 1, 1, 1, 2, 2, 3, 4)),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    kinds = [draw_kind(draw, draw(DEPTH)) for _ in range(draw(COLUMNS))]
    # MotherDuck changes these on the way, so that they are not routed.
    kinds = [kind for kind in kinds if not (kind.is_list and kind.is_quoted)] or [SCALARS[0]]
    rows = [tuple(kind.draw_or_null(draw) for kind in kinds) for _ in range(draw(ROWS))]
    if not rows:
        nothing = ", ".join(kind.null for kind in kinds)
        return Table(f"(SELECT {nothing} LIMIT 0)", [], len(kinds))
    texts = ", ".join(f"({', '.join(text for text, _ in row)})" for row in rows)
    values = [tuple(value for _, value in row) for row in rows]
    return Table(f"(VALUES {texts})", values, len(kinds))


def side_by_side(found: Sequence[Table]) -> tuple[str, list[tuple[Any, ...]]]:
    """One query for all of them, and its rows: the shorter tables end with NULLs."""
    relations = [f"{table.relation} AS t{n}" for n, table in enumerate(found)]
    padded = [[*table.rows, *[(None,) * table.width] * 4][:4] for table in found]
    height = max(len(table.rows) for table in found)
    rows = [sum(parts, ()) for parts in zip(*padded, strict=True)][:height]
    return f"SELECT * FROM {' POSITIONAL JOIN '.join(relations)}", rows


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pgmd.Session]:
    with local_stand(tmp_path_factory.mktemp("tables"), threads=1) as stand:
        with pgmd.Engine(stand.endpoint(), stand.replicas(1, threads=1)) as engine:
            with engine.session() as session:
                yield session


def on_each_route(session: pgmd.Session, query: str) -> Iterator[tuple[str, Any]]:
    """The result of a replica in Arrow, of a replica in rows, and of the endpoint."""
    with pytest.MonkeyPatch.context() as patch:
        # No result is small, so each of them comes as Arrow.
        patch.setattr(pgmd.answers.fetching, "_SMALL", -1)
        yield "arrow", session.execute(query, route="replica")
        patch.setattr(arrow, "is_there", lambda: False)
        yield "rows", session.execute(query, route="replica")
        yield "endpoint", session.execute(query, route="endpoint")


@pytest.mark.timeout(600)
@MANY
@given(st.lists(tables(), min_size=TABLES, max_size=TABLES))
def test_random_tables(session: pgmd.Session, found: list[Table]) -> None:
    query, rows = side_by_side(found)
    for route, result in on_each_route(session, query):
        wrong = list(differences(found, result.fetchall(), rows))
        assert not wrong, (route, wrong[:3])


def differences(
    found: Sequence[Table], ours: list[tuple[Any, ...]], rows: list[tuple[Any, ...]]
) -> Iterator[str]:
    """Each value that differs, with the table that it is in."""
    owners = [table for table in found for _ in range(table.width)]
    if len(ours) != len(rows):
        yield f"{len(ours)} rows instead of {len(rows)}"
    for left, right in zip(ours, rows, strict=False):
        for mine, wanted, table in zip(left, right, owners, strict=True):
            if not same(mine, wanted):
                yield f"{mine!r} instead of {wanted!r} in {table.relation}"


# DuckDB writes their elements without quotes where it quotes those of a list.
UNQUOTED: dict[str, Any] = {
    "[array_value('NULL', 'a, b')]": [["NULL", "a, b"]],
    "{'a': array_value('NULL', 'a, b')}": {"a": ["NULL", "a, b"]},
    "MAP {1: array_value(''''', ''''''')}": {1: ["'", "''"]},
    "row(array_value('x', ' '))": (["x", " "],),
    "array_value(array_value('a, b', 'c'))": [["a, b", "c"]],
    "[array_value('NULL'::ENUM('NULL', 'a'), 'a')]": [["NULL", "a"]],
    "[array_value('a, b'::BLOB)]": [[b"a, b"]],
    "[array_value('\"a, b\"'::JSON)]": [["a, b"]],
    "[['\"a, b\"'::JSON]]": [["a, b"]],
    "{'a': ['{\"a\": [1, 2]}'::JSON, NULL, 'null'::JSON]}": {"a": [{"a": [1, 2]}, None, None]},
}


@pytest.mark.parametrize("expression", UNQUOTED)
def test_what_cannot_be_told_is_refused(session: pgmd.Session, expression: str) -> None:
    for route in ("replica", "endpoint"):
        try:
            ((value,),) = session.execute(f"SELECT {expression} AS v", route=route).fetchall()
        except (pgmd.ParityError, pgmd.RoutingError):
            continue
        assert same(value, UNQUOTED[expression]), (route, value)


# Names

ANY_NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
NAMED = st.one_of(
    st.sampled_from(
        (" ", "a", "A", "a", '"', "'", "%", "%s", "?column?", "c0", "q", "é", "x" * 100)
    ),
    ANY_NAME,
)
EXPRESSIONS = st.sampled_from(
    ("1", "1.5", "'x'", "DATE '2024-01-01'", "UUID '550e8400-e29b-41d4-a716-446655440000'",
     "{'a': 1}", "[[1]]", "CAST(1 AS HUGEINT)", "CAST(1.5 AS FLOAT)", "NULL")
)  # fmt: skip
UNNAMED = st.sampled_from(
    ("1", "-1", "1 + 1", "'x'", "NULL", "true", "[1]", "{'a': 1}", "row(1, 'x')", "upper('x')", "c", "t.c",
     "count(*) OVER ()", "CAST(c AS BIGINT)", "c::VARCHAR", "CASE WHEN true THEN 1 END", "(SELECT 1)",
     "DATE '2024-01-01'", "1.5", "MAP {'a': 1}", "'it''s'", "INTERVAL 1 day", "c AS d", "'\"'", "*")
)  # fmt: skip


@MANY
@given(
    st.lists(st.tuples(EXPRESSIONS, NAMED), max_size=5), st.lists(UNNAMED, min_size=1, max_size=4)
)
def test_random_names(
    session: pgmd.Session, named: list[tuple[str, str]], unnamed: list[str]
) -> None:
    items = [f"{text} AS {quoted(name)}" for text, name in named] + unnamed
    query = f"SELECT {', '.join(items)} FROM (VALUES (1)) AS t(c)"
    # Names such as oid make a read doubtful.
    assume(session.explain(query).route is pgmd.Route.REPLICA)
    arrow_result, rows_result, endpoint = (found for _, found in on_each_route(session, query))
    assert arrow_result.description == rows_result.description == endpoint.description
    names = [column.name for column in endpoint.description]
    assert names[: len(named)] == [name for _, name in named]
    assert arrow_result.arrow().schema.names == endpoint.arrow().schema.names == names


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
