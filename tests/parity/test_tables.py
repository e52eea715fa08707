"""Random tables of random types: the rows that were written, on both routes of a local endpoint.

Many tables go into one statement, side by side: a round trip takes longer than a table.
"""

from __future__ import annotations

import datetime as dt
import json
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pgmd
import pgmd.shape
from pgmd.parity import arrow

from ..fixtures.stands import local_stand
from .support import same

EXAMPLES, TABLES = 1000, 20
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
    values: st.SearchStrategy[Value]
    type: str = ""
    is_quoted: bool = False
    is_list: bool = False
    is_key: bool = False

    @property
    def or_null(self) -> st.SearchStrategy[Value]:
        return st.one_of(st.just((self.null, None)), self.values, self.values, self.values)


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

    return Kind(f"CAST(NULL AS {kind})", values.map(written), kind, **more)


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
MOMENTS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))
TEXT = st.one_of(
    st.sampled_from(("", " ", "NULL", "null", "'", '"', "\\", "{}", "[]", "()", "a, b", "k=v", "x: y",
                     "\n", "\t", "\\n", "''", "\\'", "é☃𝄞", " x ", "true", "0", "(BC)", "\x01")),
    st.text("abcXYZ 0,:=(){}[]'\"\\\n\té☃𝄞\u00a0\u0301\u200b", max_size=6),
)  # fmt: skip
LABELS = ("a", "b c", "", "it's", "NULL", "é", '"', "[", "\\")
DOCUMENTS = ({"a": [1, 2.5, None]}, None, "x", [], 1e300, True, "it's \\ \" é", {}, {"'": "\n"}, 10**30)


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
    scalar("TIMESTAMP_NS", st.integers(0, 10**9 - 1).map("2024-02-29 12:34:56.{:09}".format)),
]
KEYS = [kind for kind in SCALARS if kind.is_key]


def lists(kind: Kind) -> Kind:
    null = f"CAST(NULL AS {kind.type}[])" if kind.type else f"CASE WHEN false THEN [{kind.null}] END"

    def written(items: list[Value]) -> Value:
        if not items:
            return f"[{kind.null}][1:0]", []
        return f"[{', '.join(text for text, _ in items)}]", [value for _, value in items]

    values = st.lists(kind.or_null, max_size=3).map(written)
    return Kind(null, values, kind.type and f"{kind.type}[]", kind.is_quoted, is_list=True)


def arrays(kind: Kind) -> Kind:
    def written(items: list[Value]) -> Value:
        return f"array_value({', '.join(text for text, _ in items)})", [value for _, value in items]

    null = f"CASE WHEN false THEN array_value({kind.null}, {kind.null}) END"
    values = st.lists(kind.or_null, min_size=2, max_size=2).map(written)
    return Kind(null, values, is_quoted=kind.is_quoted, is_list=True)


NAMES = st.lists(
    st.text(string.ascii_letters + " _'\"\\:,{}()=é☃", min_size=1, max_size=5),
    min_size=1,
    max_size=3,
    unique_by=str.lower,
)


def structs(names: Sequence[str], kinds: Sequence[Kind]) -> Kind:
    keys = ["'" + name.replace("'", "''") + "'" for name in names]

    def expression(texts: Sequence[str]) -> str:
        return f"{{{', '.join(f'{key}: {text}' for key, text in zip(keys, texts, strict=True))}}}"

    def written(items: Sequence[Value]) -> Value:
        texts, values = zip(*items, strict=True)
        return expression(texts), dict(zip(names, values, strict=True))

    null = f"CASE WHEN false THEN {expression([kind.null for kind in kinds])} END"
    return Kind(null, st.tuples(*(kind.or_null for kind in kinds)).map(written))


def tuples(kinds: Sequence[Kind]) -> Kind:
    def written(items: Sequence[Value]) -> Value:
        texts, values = zip(*items, strict=True)
        return f"row({', '.join(texts)})", tuple(values)

    null = f"CASE WHEN false THEN row({', '.join(kind.null for kind in kinds)}) END"
    return Kind(null, st.tuples(*(kind.or_null for kind in kinds)).map(written))


def maps(key: Kind, value: Kind) -> Kind:
    empty = f"map([{key.null}][1:0], [{value.null}][1:0])"

    def written(items: Sequence[tuple[Value, Value]]) -> Value:
        if not items:
            return empty, {}
        pairs = ", ".join(f"{k}: {v}" for (k, _), (v, _) in items)
        return f"MAP {{{pairs}}}", {k: v for (_, k), (_, v) in items}

    pairs = st.tuples(key.values, value.or_null)
    values = st.lists(pairs, max_size=3, unique_by=lambda pair: pair[0][1])
    return Kind(f"CASE WHEN false THEN {empty} END", values.map(written))


def nested(kinds: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    fields = NAMES.flatmap(
        lambda names: st.builds(
            structs, st.just(names), st.lists(kinds, min_size=len(names), max_size=len(names))
        )
    )
    return st.one_of(
        kinds.map(lists),
        kinds.map(arrays),
        fields,
        st.lists(kinds, min_size=1, max_size=3).map(tuples),
        st.builds(maps, st.sampled_from(KEYS), kinds),
    )


KINDS = st.one_of(
    st.sampled_from(SCALARS),
    st.recursive(st.sampled_from(SCALARS), nested, max_leaves=4),
)


@dataclass(frozen=True)
class Table:
    """SQL that stands in a FROM, and its rows."""

    relation: str
    rows: list[tuple[Any, ...]]
    width: int


@st.composite
def tables(draw: st.DrawFn) -> Table:
    kinds = draw(st.lists(KINDS.filter(is_routed), min_size=1, max_size=6))
    rows = draw(st.lists(st.tuples(*(kind.or_null for kind in kinds)), max_size=4))
    names = ", ".join(f"c{n}" for n in range(len(kinds)))
    if not rows:
        nothing = ", ".join(kind.null for kind in kinds)
        return Table(f"(SELECT {nothing} LIMIT 0) AS t{{}}({names})", [], len(kinds))
    texts = ", ".join(f"({', '.join(text for text, _ in row)})" for row in rows)
    values = [tuple(value for _, value in row) for row in rows]
    return Table(f"(VALUES {texts}) AS t{{}}({names})", values, len(kinds))


def is_routed(kind: Kind) -> bool:
    return not (kind.is_list and kind.is_quoted)


def side_by_side(found: Sequence[Table]) -> tuple[str, list[tuple[Any, ...]]]:
    """One query for all of them, and its rows: the shorter tables end with NULLs."""
    relations = [table.relation.format(n) for n, table in enumerate(found)]
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


_texts = count()


def on_each_route(session: pgmd.Session, query: str) -> Iterator[tuple[str, Any]]:
    """The result of a replica in Arrow, of a replica in rows, and of the endpoint."""
    with pytest.MonkeyPatch.context() as patch:
        # A text that was not seen before is fetched as Arrow.
        yield "arrow", session.execute(f"{query} -- {next(_texts)}", route="replica")
        patch.setattr(arrow, "is_there", lambda: False)
        yield "rows", session.execute(f"{query} -- {next(_texts)}", route="replica")
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
