"""The rows of a result, on whichever side it ran: as psycopg's values, and as Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ConfigurationError, ParityError
from ..parity import arrow
from ..parity.load import RowLoader, column_label
from .columns import Executed

if TYPE_CHECKING:
    import pyarrow as pa

# Rows that become tuples at a stretch: no other thread runs meanwhile.
_SLICE = 10_000
# What the wire carried for a column, of which the values no longer tell it: one text a row.
Texts = Callable[[int], Sequence[str | None]]


class Shaped(Protocol):
    """A column, as far as it says what its values are in Arrow."""

    @property
    def name(self) -> str: ...
    @property
    def type_code(self) -> int: ...
    @property
    def precision(self) -> int | None: ...
    @property
    def scale(self) -> int | None: ...


class Rows(Protocol):
    """All rows of a result, none of them taken away by reading."""

    def __len__(self) -> int: ...

    def lists(self) -> Iterator[list[Any]]:
        """The rows as tuples, some thousands at a time. Raises psycopg.DataError or ParityError."""
        ...

    def batches(self, schema: pa.Schema, oids: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow; a numeric without a precision may turn out to need another than the
        schema's. Raises ParityError for a value that Arrow cannot hold."""
        ...


class ListRows:
    """Rows that are tuples already; *notice* hears when they are wanted in Arrow all the same."""

    __slots__ = ("_notice", "_rows", "_texts")

    def __init__(
        self, rows: list[Any], texts: Texts, notice: Callable[[], None] | None = None
    ) -> None:
        self._rows = rows
        self._texts = texts
        self._notice = notice

    def __len__(self) -> int:
        return len(self._rows)

    def lists(self) -> Iterator[list[Any]]:
        yield self._rows

    def batches(self, schema: pa.Schema, oids: Sequence[int]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        if self._notice is not None:
            self._notice()
        arrays = [
            self._array(n, field, oid)
            for n, (field, oid) in enumerate(zip(schema, oids, strict=True))
        ]
        fields = [field.with_type(a.type) for field, a in zip(schema, arrays, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def _array(self, index: int, field: pa.Field, oid: int) -> Any:
        import pyarrow as pa

        if pa.types.is_string(field.type):
            return pa.array(self._texts(index), field.type)
        values = [row[index] for row in self._rows]
        try:
            return arrow.from_values(values, oid, field.type)
        except pa.ArrowInvalid as error:
            # A numeric without a precision may have decimal places.
            found = pa.array(values)
            if oid != 1700 or found.type.bit_width > field.type.bit_width:
                raise _misfit(index, field, error) from None
            return found


class ArrowRows:
    """Rows that are Arrow batches, and become tuples when they are asked for.

    Values that are read from texts are read at once: only that shows whether they can be.
    """

    __slots__ = ("_batches", "_count", "_lists", "_loader")

    def __init__(self, loader: RowLoader, batches: Sequence[pa.RecordBatch]) -> None:
        """Raises Inexact, psycopg.DataError or ParityError."""
        for batch in batches:
            loader.check(batch)
        self._loader = loader
        self._batches = batches
        self._lists = list(map(loader.rows, _slices(batches))) if loader.reads_texts else None
        self._count: int = sum(batch.num_rows for batch in batches)

    def __len__(self) -> int:
        return self._count

    def lists(self) -> Iterator[list[Any]]:
        if self._lists is not None:
            return iter(self._lists)
        return map(self._loader.rows, _slices(self._batches))

    def batches(
        self,
        schema: pa.Schema,
        oids: Sequence[int],  # noqa: ARG002 - the loader knows them
    ) -> Iterator[pa.RecordBatch]:
        return (self._loader.to_schema(batch, schema) for batch in self._batches)


def _slices(batches: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, _SLICE):
            yield batch.slice(start, _SLICE)


def texts_of(cursor: Executed) -> Texts:
    """What the wire carried for each column."""

    def texts(index: int) -> list[str | None]:
        answer = cursor.pgresult
        assert answer is not None
        found = (answer.get_value(row, index) for row in range(answer.ntuples))
        return [None if value is None else value.decode() for value in found]

    return texts


def schema_of(columns: Sequence[Shaped], zone: str) -> pa.Schema:
    """The Arrow schema of a result with these columns, in this time zone.

    Raises ConfigurationError without pyarrow.
    """
    if not arrow.is_there():
        raise ConfigurationError("columnar results need pyarrow: pip install 'pgmd[arrow]'")
    import pyarrow as pa

    return pa.schema(
        [(c.name, arrow.arrow_type(c.type_code, c.precision, c.scale, zone)) for c in columns]
    )


def _misfit(index: int, field: pa.Field, error: Exception) -> ParityError:
    return ParityError(f"{column_label(index, field.name)}: {error}; cast it to another type")
