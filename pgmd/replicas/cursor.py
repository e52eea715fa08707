"""A cursor of a DuckDB instance, blocking; the shells decide in which thread this runs.

Two threads on one cursor get each other's rows without an error, so a `Cursor` serves one
statement at a time and says so when misused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb

from ..answers.fetching import Answer, Reading
from ..errors import UsageError
from ..process.cache import Cache
from ..process.ending import Inside
from ..process.forking import hold, leak
from ..sql import analyse

# fetchall() holds the GIL throughout; slices let other threads in.
_SLICE = 10_000
_MOST_STATEMENTS = 1024

DuckError = duckdb.Error
Interrupted = duckdb.InterruptException


class Run:
    """One execution: cancelling it cannot hit the next one on the same cursor. `ended` is when
    (on the monotonic clock) all of its answer was there."""

    __slots__ = ("cancelled", "ended")

    def __init__(self) -> None:
        self.cancelled = False
        self.ended = 0.0


class _AsItIs:
    query = None
    batch = 0

    def next(self, description: list[Any]) -> None: ...


_AS_IT_IS: Reading = _AsItIs()


class NotOneStatement(Exception):
    """DuckDB's parser does not see exactly one query in this text."""


_QUERIES = frozenset(
    [duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.PRAGMA]
)
# A PIVOT without IN: first a temporary type of its values, then the query.
_PIVOTS = (
    [duckdb.StatementType.CREATE, duckdb.StatementType.SELECT],
    [duckdb.StatementType.MULTI],
)


class Statements:
    """Parsed statements by text, shared by all cursors: running one saves parsing it again."""

    def __init__(self) -> None:
        self._parsed: Cache[str, Any] = Cache(_MOST_STATEMENTS)

    def get(self, connection: duckdb.DuckDBPyConnection, text: str) -> Any:
        """What to run for *text*: the parsed statement, or for a PIVOT the text itself."""
        statement = self._parsed.get(text)
        if statement is None:
            statement = self._parsed[text] = _parse(connection, text)
        return statement


def _parse(connection: duckdb.DuckDBPyConnection, text: str) -> Any:
    found = connection.extract_statements(text)
    kinds = [statement.type for statement in found]
    if len(kinds) == 1 and kinds[0] in _QUERIES:
        return found[0]
    if kinds in _PIVOTS and analyse(text).makes_types:
        return text
    raise NotOneStatement(text)


class Cursor:
    """A DuckDB cursor that one borrower uses at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, statements: Statements) -> None:
        self._connection = connection
        self._statements = statements
        self._lock = threading.Lock()
        self._run: Run | None = None
        self._is_foreign = False
        self.broken = False
        hold(self)

    def execute(
        self,
        run: Run,
        text: str,
        values: Sequence[Any],
        reading: Reading = _AS_IT_IS,
        before: Sequence[str] = (),
    ) -> Answer:
        """Run one read and fetch all of it, after the statements *before* it, if any.

        Raises duckdb's errors, `NotOneStatement`, what *reading* raises, and `UsageError` when
        another statement runs on this cursor.
        """

        def work() -> Answer:
            description = self._start(text, values, reading, before)
            if reading.batch:
                return Answer(description, [], list(_reader(self._connection, reading.batch)))
            rows = self._connection.fetchmany(_SLICE)
            while len(rows) % _SLICE == 0 and (part := self._connection.fetchmany(_SLICE)):
                rows += part
            return Answer(description, rows)

        answer: Answer = self._guarded(run, work)
        return answer

    def open(
        self,
        run: Run,
        text: str,
        values: Sequence[Any],
        reading: Reading = _AS_IT_IS,
        before: Sequence[str] = (),
    ) -> Callable[[], Answer]:
        """Start one read; what is returned fetches the next part, an empty one at the end.

        Raises as `execute()`, and so does each part. Nothing else may run here meanwhile; a reader
        that stops early closes the cursor, or its rows stay in memory.
        """
        description = self._guarded(run, lambda: self._start(text, values, reading, before))
        reader = _reader(self._connection, _SLICE) if reading.batch else None

        def part() -> Answer:
            if reader is None:
                return Answer(description, self._connection.fetchmany(_SLICE))
            batch = next(reader, None)
            return Answer(description, [], [] if batch is None else [batch])

        return lambda: self._guarded(run, part)

    def command(self, run: Run, text: str) -> None:
        """Run one of pgmd's own statements, such as BEGIN."""
        self._guarded(run, lambda: self._connection.execute(text))

    def interrupt(self, run: Run) -> None:
        """Stop *run*; without effect once it has ended. Repeat until it has: DuckDB forgets an
        interrupt that comes before the query has started."""
        with self._lock:
            run.cancelled = True
            if self._run is run:
                # It may have ended in DuckDB already: the interrupt would hit the next query.
                self.broken = True
                self._connection.interrupt()

    def close(self) -> None:
        if not self._is_foreign:
            with Inside():
                self._connection.close()

    def abandon(self) -> None:
        """It belongs to the parent of this process."""
        self._is_foreign = True
        self._lock = threading.Lock()
        leak(self._connection)

    def _guarded(self, run: Run, work: Callable[[], Any]) -> Any:
        if self._is_foreign:
            raise UsageError("the engine was opened before a fork; open one in each process")
        with self._lock:
            if self._run is not None:
                raise UsageError("a replica cursor is used by two callers at once")
            if run.cancelled:
                raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")
            self._run = run
        try:
            with Inside(self._connection.interrupt):
                return work()
        except RuntimeError as error:
            # That is how Ctrl-C arrives when DuckDB notices it first.
            if type(error) is RuntimeError and str(error) == "Query interrupted":
                raise KeyboardInterrupt from None
            raise
        finally:
            with self._lock:
                self._run = None

    def _start(
        self, text: str, values: Sequence[Any], reading: Reading, before: Sequence[str]
    ) -> list[Any]:
        connection = self._connection
        for setting in before:
            self.broken = True  # for everybody else
            connection.execute(setting)
        query: str | None = reading.query or text
        description: list[Any] = []
        while query is not None:
            statement = self._statements.get(connection, query)
            if statement is query:
                # The temporary type stays in the cursor for as long as there is one.
                self.broken = True
            connection.execute(statement, values) if values else connection.execute(statement)
            description = connection.description or []
            try:
                query = reading.next(description)
            except BaseException:
                # Nobody will fetch what has been executed: it would stay open, with all its locks.
                self.broken = True
                raise
        return description


def _reader(connection: duckdb.DuckDBPyConnection, rows: int) -> Iterator[Any]:
    """What has been executed in Arrow batches of so many rows. Raises duckdb's errors."""
    if hasattr(connection, "to_arrow_reader"):
        reader = connection.to_arrow_reader(rows)
    else:
        # DuckDB 1.4 has no other name for it.
        reader = connection.fetch_record_batch(rows)
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, ValueError) as error:
            # That is how an error of DuckDB's comes through Arrow's stream.
            text = str(error)
            told = duckdb.InterruptException if text.startswith("INTERRUPT") else duckdb.Error
            raise told(text) from None
        yield batch
