"""Bring DuckDB's values to those that psycopg returns for the same column.

What is done is decided once for a result's shape, by its DuckDB types and, where known, the OIDs
that PostgreSQL returns. Columns that need nothing are not touched. psycopg's text format is the
measure, which is its default. A column whose value DuckDB's client does not tell whole is selected
in another form: see `RowLoader.select`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import postgres
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format

from ..errors import ParityError
from ..process.collector import collector_paused
from . import arrow
from .steps import Step, as_lists, column_step, selected, text_column
from .types import ELEMENTS, Inexact, Type, parse, pg_name

if TYPE_CHECKING:
    import pyarrow as pa


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
            column = replace(column, check=None, step=as_lists if kind.is_fixed else None)
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
        select = arrow_select = "CAST({} AS VARCHAR)"
        step = text_column(label, kind, tz)
    else:
        select = selected(kind)
        step = column_step(kind, oid, tz, strict=strict)
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
