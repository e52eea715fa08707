"""Bring DuckDB's values to those that psycopg returns for the same column.

What is done is decided once for a result's shape, by its DuckDB types and, where known, the OIDs
that PostgreSQL returns. Columns that need nothing are not touched. psycopg's text format is the
measure, which is its default. A column whose value DuckDB's client does not tell whole is selected
in another form: see `RowLoader.select`.
"""

from __future__ import annotations

import datetime as dt
import gc
import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import errors, postgres
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format

from ..errors import ParityError
from . import arrow
from .floats import shortest_float4
from .texts import reader as text_reader
from .types import ELEMENTS, INTEGERS, Inexact, Integer, Type, parse, pg_name

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Inexact", "RowLoader", "row_loader"]

# From a column's values to psycopg's; the same object when nothing changed. Raises ValueError.
Step = Callable[[Sequence[Any]], Sequence[Any]]
_Check = Callable[[Sequence[Any]], None]


class _Plan(NamedTuple):
    """How the values of one scalar type are checked, and each that is not NULL converted."""

    check: _Check | None = None
    convert: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class _Column:
    """How one column is fetched and loaded; the selects are SQL around `{}`, or empty."""

    label: str
    kind: Type
    oid: int
    step: Step | None
    select: str
    arrow_select: str
    read: arrow.Read
    check: arrow.Check | None


class RowLoader:
    """Turn DuckDB's answer to one query into psycopg's values."""

    __slots__ = ("_columns", "_steps", "reads_texts")

    def __init__(self, columns: Sequence[_Column]) -> None:
        self._columns = columns
        self.reads_texts = any(column.arrow_select for column in columns)
        self._steps = [(i, c.step) for i, c in enumerate(columns) if c.step is not None]

    def select(self, query: str, *, as_arrow: bool) -> str | None:
        """The query that must be run in place of *query*, a subquery, so that it tells its values
        whole; None where it does."""
        selects = [c.arrow_select if as_arrow else c.select for c in self._columns]
        if not any(selects):
            return None
        names = [f"c{n}" for n in range(len(selects))]
        items = [select.replace("{}", n) or n for select, n in zip(selects, names, strict=True)]
        # NULLs that show the types: so that a change of them is seen.
        shown = self._shown(as_arrow=as_arrow)
        items += [f"CASE WHEN false THEN {names[index]} END" for index in shown]
        return f"SELECT {', '.join(items)} FROM {query} AS q({', '.join(names)})"

    def is_still(
        self, described: Sequence[Any], selected: Sequence[Any], *, as_arrow: bool
    ) -> bool:
        """Whether what `select()` returned has run on columns of the types that are *described*."""
        shown = self._shown(as_arrow=as_arrow)
        types = [column[1] for column in selected[: len(described)]]
        for index, column in zip(shown, selected[len(described) :], strict=True):
            types[index] = column[1]
        # A VARIANT shows as the text that it is selected as.
        hidden = {i for i, c in enumerate(self._columns) if c.kind.twin.name == "VARIANT"}
        return all(i in hidden or types[i] == c[1] for i, c in enumerate(described))

    def _shown(self, *, as_arrow: bool) -> list[int]:
        """The columns that are selected in another form and, next to it, show their types."""
        return [
            index
            for index, column in enumerate(self._columns)
            if (column.arrow_select if as_arrow else column.select)
            and column.kind.twin.name != "VARIANT"  # which Arrow does not have
        ]

    def __call__(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The same list, not a copy, when nothing changes.

        Raises Inexact for a value of which it is not certain what psycopg returns, and
        psycopg.DataError for one that psycopg cannot load.
        """
        if not self._steps or not rows:
            return rows
        changed: dict[int, Sequence[Any]] = {}
        for index, step in self._steps:
            before = [row[index] for row in rows]
            try:
                after = step(before)
            except (ValueError, OverflowError) as error:
                raise Inexact(f"{self._columns[index].label}: {error}") from None
            if after is not before:
                changed[index] = after
        if not changed:
            return rows
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        del columns[len(self._columns) :]
        for index, after in changed.items():
            columns[index] = after
        return list(zip(*columns, strict=True))

    def check(self, batch: pa.RecordBatch) -> None:
        """Raises psycopg.DataError for a value that psycopg cannot load, and Inexact for one of
        which it is not certain what the endpoint gives."""
        for column, array in zip(self._columns, batch.columns, strict=False):
            if column.check is not None:
                try:
                    column.check(array)
                except Inexact as error:
                    raise Inexact(f"{column.label}: {error}") from None

    def rows(self, batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
        """The rows of an Arrow batch that was checked. Raises psycopg.DataError or ParityError for
        a nested value that cannot be loaded."""
        with collector_paused():
            columns = [self._read(c, a) for c, a in zip(self._columns, batch.columns, strict=False)]
            return list(zip(*columns, strict=True))

    def _read(self, column: _Column, array: Any) -> list[Any]:
        try:
            return column.read(array)
        except ValueError as error:
            raise ParityError(f"{column.label}: {error}") from None

    def to_schema(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        """The same batch in the types that both routes have. Raises ParityError or DataError."""
        import pyarrow as pa

        arrays = []
        for column, array, field in zip(self._columns, batch.columns, schema, strict=False):
            try:
                arrays.append(arrow.from_duckdb(array, column.oid, column.read, field.type))
            except (ValueError, OverflowError) as error:
                raise ParityError(f"{column.label}: {error}") from None
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def __repr__(self) -> str:
        return f"<RowLoader of {len(self._columns)} columns, {len(self._steps)} not as they are>"


@contextmanager
def collector_paused() -> Iterator[None]:
    """Make many objects at a stretch. All of them stay, and looking through them again and again
    for garbage takes longer than making them: for a million rows 1.5 of 2.5 s."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def row_loader(
    names: Sequence[str],
    duck_types: Sequence[str],
    oids: Sequence[int] | None,
    tz: dt.tzinfo,
    *,
    wire: bool = False,
) -> RowLoader:
    """Plan how rows are loaded; *tz* is the session's zone, `datetime.timezone.utc` for UTC.

    With an endpoint that is itself DuckDB behind a wire, *wire*, some types lose on the way what
    they have here. Raises Inexact when DuckDB returns other columns, or a column's DuckDB type
    cannot give exactly what psycopg returns for its OID.
    """
    if oids is not None and len(oids) != len(duck_types):
        raise Inexact(
            f"DuckDB returns {len(duck_types)} columns instead of {len(oids)}", lasting=True
        )
    columns = []
    for index, duck_type in enumerate(duck_types):
        label = column_label(index, names[index])
        kind = parse(duck_type)
        if kind is None:
            raise Inexact(f"{label}: the type {duck_type[:80]} is not known", lasting=True)
        if wire and _is_lossy(kind):
            raise Inexact(f"{label}: {duck_type[:80]} reaches a client changed", lasting=True)
        oid = kind.oid if oids is None else oids[index]
        if (wire or oids) and has_own_loader(oid):
            raise Inexact(f"{label}: the program has a loader for {pg_name(oid)}", lasting=True)
        try:
            column = _column(label, kind, oid, tz, strict=oids is not None)
        except ValueError as error:
            raise Inexact(
                f"{label}: DuckDB's {duck_type[:80]} is not PostgreSQL's {pg_name(oid)}{error}; "
                "cast it",
                lasting=True,
            ) from None
        if kind.twin.name == "VARCHAR" and not (wire or oids):
            # With no endpoint to agree with, it may hold NUL.
            column = replace(column, check=None, step=_as_lists if kind.is_fixed else None)
        columns.append(column)
    return RowLoader(columns)


# psycopg's adapters as they come.
SHIPPED = AdaptersMap(types=postgres.types)
postgres.register_default_adapters(SHIPPED)


def has_own_loader(oid: int) -> bool:
    """Whether the program has told psycopg to load this type, or its elements, in another way."""
    number = ELEMENTS.get(oid, oid)
    found, shipped = (a.get_loader(number, Format.TEXT) for a in (psycopg.adapters, SHIPPED))
    return found is not shipped


def _is_lossy(kind: Type) -> bool:
    """MotherDuck sends TIMETZ without its offset and the elements of a text array unquoted
    (github.com/hrl20/metabase, FIXES.md); what psycopg makes of that is for the endpoint to say."""
    return kind.twin.oid == 1266 or (kind.is_array and kind.twin.oid in (17, 25, 114))


def _column(label: str, kind: Type, oid: int, tz: dt.tzinfo, *, strict: bool) -> _Column:
    """Raises ValueError, with what is to be added to the message, when the two do not match."""
    select = arrow_select = ""
    step: Step | None
    # A DuckDB behind a wire writes some floats with another last digit than PostgreSQL does.
    as_text = kind.is_text or (kind.twin.name == "FLOAT" and not strict)
    if as_text:
        if oid != kind.oid:
            raise ValueError
        select = arrow_select = _AS_TEXT
        step = text_column(label, kind, tz)
    else:
        if kind.twin.name == "TIMESTAMP WITH TIME ZONE" and not has_pytz():
            select = _IN_LIST if kind.is_array else _MICROSECONDS
        step = _step(kind, oid, tz, strict=strict)
    return _Column(
        label,
        kind,
        oid,
        step,
        select,
        arrow_select,
        arrow.read_texts(kind, tz) if as_text else arrow.read_column(kind, oid, tz),
        arrow.check_text if as_text else arrow.check_column(kind, oid, strict=strict),
    )


def column_label(index: int, name: str) -> str:
    """How messages call a column."""
    return f'column {index + 1} "{name[:63]}"'


def text_column(label: str, kind: Type, tz: dt.tzinfo) -> Step:
    """What reads a column of DuckDB's texts. Raises ValueError for a type that has no exact text.

    The step raises ParityError for such a value: the endpoint has nothing but the text either.
    """
    read = text_reader(kind, tz)

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise ParityError(f"{label}: {error}") from None

    return _for_scalars(_Plan(_check_no_nul, convert))


_AS_TEXT = "CAST({} AS VARCHAR)"
_MICROSECONDS = (
    "CASE WHEN isfinite({}) THEN epoch_us({}) WHEN {} > '2000-01-01'::TIMESTAMPTZ "
    "THEN 9223372036854775807 WHEN {} IS NOT NULL THEN -9223372036854775808 END"
)
_IN_LIST = f"list_transform({{}}, lambda x: {_MICROSECONDS.replace('{}', 'x')})"


def _step(kind: Type, oid: int, tz: dt.tzinfo, *, strict: bool) -> Step | None:
    if not kind.is_array:
        plan = _plan(kind, oid, tz, strict=strict)
        return None if plan == _AS_IT_IS else _for_scalars(plan)
    if oid not in ELEMENTS:
        raise ValueError
    plan = _plan(kind, ELEMENTS[oid], tz, strict=strict)
    return None if plan == _AS_IT_IS and not kind.is_fixed else _for_arrays(plan)


def _plan(kind: Type, oid: int, tz: dt.tzinfo, *, strict: bool) -> _Plan:
    """Raises ValueError when the two do not match."""
    name = kind.twin.name
    if oid in INTEGERS and name in _INTEGER_NAMES:
        return _AS_IT_IS if name in INTEGERS[oid].inside else _Plan(_within(INTEGERS[oid]))
    if oid == 1700 and name in _INTEGER_NAMES:
        return _Plan(convert=Decimal)
    if strict and oid == 701 and name == "DOUBLE":
        return _Plan(_check_finite)
    if oid == 1184 and name == "TIMESTAMP WITH TIME ZONE":
        return _Plan(_check_moments, _in_zone(tz)) if has_pytz() else _Plan(convert=_moment_in(tz))
    if oid >= _FIRST_USER_OID and name == "ENUM":
        # A type of the user's own that DuckDB knows as an ENUM is one; psycopg returns its text.
        return _AS_IT_IS
    return _PLANS[name, oid] if (name, oid) in _PLANS else _refuse()


def _refuse() -> _Plan:
    raise ValueError


def _for_scalars(plan: _Plan) -> Step:
    check, convert = plan

    def step(column: Sequence[Any]) -> Sequence[Any]:
        if check is not None:
            check(column)
        if convert is None:
            return column
        return [None if value is None else convert(value) for value in column]

    return step


def _for_arrays(plan: _Plan) -> Step:
    check, convert = plan

    def load(values: Sequence[Any] | None) -> Sequence[Any] | None:
        if values is None:
            return None
        if check is not None:
            check(values)
        if convert is None:
            # ARRAY[n] comes as a tuple.
            return list(values)
        return [None if value is None else convert(value) for value in values]

    return lambda column: list(map(load, column))


_as_lists = _for_arrays(_Plan())


# What becomes of the values


def _check_no_nul(column: Sequence[Any]) -> None:
    for value in column:
        if value is not None and "\0" in value:
            raise errors.CharacterNotInRepertoire("text with NUL cannot be sent over the wire")


def _check_days(column: Sequence[Any]) -> None:
    _check_no_text(column)
    if dt.date.max in column or dt.date.min in column:
        raise ValueError("a date that may be infinite")


_INFINITY = float("inf")


def _check_finite(column: Sequence[Any]) -> None:
    # Where PostgreSQL raises on overflow, DuckDB goes on with infinity.
    if _INFINITY in column or -_INFINITY in column:
        raise ValueError("infinity, where PostgreSQL may have raised")


def _check_moments(column: Sequence[Any]) -> None:
    # With a time zone only infinity is naive, and aware and naive are never equal.
    _check_no_text(column)
    if dt.datetime.max in column or dt.datetime.min in column:
        raise ValueError("a timestamp that may be infinite")


@cache
def has_pytz() -> bool:
    """Whether DuckDB's client can give a TIMESTAMP WITH TIME ZONE: it makes them with pytz."""
    return importlib.util.find_spec("pytz") is not None


def _in_zone(tz: dt.tzinfo) -> Callable[[dt.datetime], dt.datetime]:
    def convert(value: dt.datetime) -> dt.datetime:
        return value.astimezone(tz)

    return convert


def _moment_in(tz: dt.tzinfo) -> Callable[[int], dt.datetime]:
    def convert(microseconds: int) -> dt.datetime:
        try:
            moment = _EPOCH + dt.timedelta(microseconds=microseconds)
            return moment if tz is dt.UTC else moment.astimezone(tz)
        except OverflowError:
            era = "large (after year 10K)" if microseconds > 0 else "small (before year 1)"
            raise psycopg.DataError(f"timestamp too {era}") from None

    return convert


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _check_no_text(column: Sequence[Any]) -> None:
    """DuckDB gives text for what datetime cannot hold, such as BC, the year 10000 and 24:00."""
    for value in column:
        if type(value) is str:
            raise psycopg.DataError(f"a date or time that Python cannot hold: {value}")


def _within(integer: Integer) -> _Check:
    def check(column: Sequence[Any]) -> None:
        values = [value for value in column if value is not None]
        if values and (min(values) < integer.low or max(values) > integer.high):
            raise ValueError(f"a number of more than {integer.bits} bits")

    return check


_INTEGER_NAMES = INTEGERS[20].inside | {"UBIGINT", "HUGEINT", "UHUGEINT"}
_FIRST_USER_OID = 16384
_AS_IT_IS = _Plan()
_JSON = _Plan(convert=json.loads)
_MOMENT = _Plan(_check_moments)
_TIME = _Plan(_check_no_text)
_PLAIN_TEXT = _Plan(_check_no_nul)
# char(n) is not here: DuckDB does not pad, and compares with the padding.
_PLANS: dict[tuple[str, int], _Plan] = {
    ("BOOLEAN", 16): _AS_IT_IS,
    ("BLOB", 17): _AS_IT_IS,
    ("DECIMAL", 1700): _AS_IT_IS,
    ("DOUBLE", 701): _AS_IT_IS,
    ("FLOAT", 700): _Plan(convert=shortest_float4),
    ("VARCHAR", 25): _PLAIN_TEXT,
    ("VARCHAR", 1043): _PLAIN_TEXT,
    ("VARCHAR", 19): _PLAIN_TEXT,
    ("ENUM", 25): _AS_IT_IS,
    ("ENUM", 1043): _AS_IT_IS,
    ("VARCHAR", 114): _JSON,
    ("VARCHAR", 3802): _JSON,
    ("JSON", 114): _JSON,
    ("JSON", 3802): _JSON,
    ("UUID", 2950): _AS_IT_IS,
    ("DATE", 1082): _Plan(_check_days),
    ("TIME", 1083): _TIME,
    ("TIMESTAMP", 1114): _MOMENT,
    ("TIMESTAMP_S", 1114): _MOMENT,
    ("TIMESTAMP_MS", 1114): _MOMENT,
}
