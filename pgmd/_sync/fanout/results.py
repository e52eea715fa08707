# Generated from pgmd/_async/fanout/results.py by pgmd._tools.unasync. Do not edit.
"""The results of many statements that run side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from ...answers.result import Result
from ...answers.rows import schema_of
from ...errors import ConfigurationError, FanOutError, ParityError
from ...fanout.bundling import Bundling
from ...fanout.options import Options
from ...runtime import threads as runtime
from .items import Pair
from .lanes import Crew
from .work import Work

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow as pa


class FanOut(Iterator[Result[Any]]):
    """The results of many statements, one by one; nothing runs before the first is asked for.

    Closing it, leaving its block and dropping it half-read stop what still runs; under asyncio a
    loop that may be left early wants the block. Not for sharing between threads or tasks.
    """

    def __init__(self, results: Iterator[tuple[int, Result[Any]]]) -> None:
        self._results: Any = results
        self.has_begun = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Result[Any]:
        self.has_begun = True
        _, result = next(self._results)
        return result  # type: ignore[no-any-return]

    def gather(self) -> list[Result[Any]]:
        """All results that were not taken yet; with `FanOutError`, they are in its `results`."""
        found: dict[int, Result[Any]] = {}
        self.has_begun = True
        try:
            for index, result in self._results:
                found[index] = result
        except FanOutError as error:
            error.results = found
            raise
        return list(found.values())

    def arrow(self) -> pa.Table:
        """The rows of all results that were not taken yet, in one pyarrow Table.

        It has the results' own batches; without any statement it has no columns. Raises what
        iterating raises, `ConfigurationError` without pyarrow, and `ParityError` for results
        whose columns differ.
        """
        nothing = schema_of((), "UTC").empty_table()
        with self:
            tables = [result.arrow() for result in self]
        return _concatenated(tables) if tables else nothing

    def pl(self) -> polars.DataFrame:
        """As `arrow()`, in a polars DataFrame. Raises ConfigurationError without polars."""
        try:
            import polars
        except ImportError:
            raise ConfigurationError("pl() needs polars: pip install polars") from None
        return polars.DataFrame(self.arrow())

    def df(self) -> pandas.DataFrame:
        """As `arrow()`, in a pandas DataFrame, as pyarrow makes it."""
        return (self.arrow()).to_pandas()

    def close(self) -> None:
        """Stop what still runs, and wait until it has stopped and its cursors are back."""
        self._results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _concatenated(tables: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    try:
        # A numeric without a precision has another one in every result.
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ParityError(f"the results have not the same columns: {error}") from None


def fan_out(
    pairs: Iterable[Pair],
    options: Options,
    crew: Crew | None = None,
    bundling: Bundling | None = None,
) -> FanOut:
    """Run each statement of *pairs* in a fork of its session. Those that may run as one query,
    with *bundling*, have one session, text and row factory."""
    return FanOut(_results(iter(pairs), options, crew or Crew(), bundling))


def _results(
    pairs: Iterator[Pair], options: Options, crew: Crew, bundling: Bundling | None
) -> Iterator[tuple[int, Result[Any]]]:
    """Yield each result with the number of its statement, counted from 0."""
    crew.open()
    work = None
    try:
        work = Work(pairs, options, crew, bundling)
        while (taken := work.next()) is not None:
            yield taken
    finally:
        try:
            if work is not None:
                work.close()
        finally:
            crew.close()
