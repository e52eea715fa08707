"""A client's cursor in DuckDB: what runs there, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import duckdb

from ...process.cache import Cache
from ..database.duckling import Source
from .result import QueryResult

T = TypeVar("T")

_MOST_TEXTS = 512


class CancellableCursor:
    """A cursor that `cancel` stops from another thread, and that moves on with its source.

    What runs in DuckDB for longer than a moment goes through `call`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        # Before the cursor: what has become newer since is for the next time.
        self._generation = source.generation
        self.duckdb = source.connect()
        self._lock = threading.Lock()
        self._exchange: object | None = None
        self._is_cancelled = False
        self._in_duckdb = False
        self._streaming: QueryResult | None = None
        self._parsed: Cache[str, Any] = Cache(_MOST_TEXTS)

    # ------------------------------------------------------------------------------- cancelling

    def begin(self) -> None:
        """A client has asked for something: from here on it can be cancelled."""
        with self._lock:
            self._exchange, self._is_cancelled = object(), False

    def end(self) -> None:
        """It has its answer. A cancel that comes now is too late."""
        with self._lock:
            self._exchange = None

    @property
    def exchange(self) -> object | None:
        """What `cancel` would stop; None when nothing runs."""
        return self._exchange

    def is_cancelled(self) -> bool:
        return self._is_cancelled

    def cancel(self, exchange: object) -> bool:
        """Stop this exchange; whether DuckDB has. Repeat until it has: it forgets an interrupt that
        comes before the query has started."""
        with self._lock:
            if self._exchange is not exchange:
                return True
            # What comes after it in this exchange does not start.
            self._is_cancelled = True
            if self._in_duckdb:
                self.duckdb.interrupt()
            return not self._in_duckdb

    def call(self, work: Callable[[], T]) -> T:
        with self._lock:
            if self._is_cancelled:
                raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")
            self._in_duckdb = True
        try:
            return work()
        finally:
            with self._lock:
                self._in_duckdb = False

    # ---------------------------------------------------------------------------------- running

    def execute(self, text: str, values: Sequence[object]) -> None:
        statement = self._statement(text)
        cursor = self.duckdb
        if values:
            self.call(lambda: cursor.execute(statement, values))
        else:
            self.call(lambda: cursor.execute(statement))

    def relation(self, text: str, values: Sequence[object]) -> Any:
        """The result as a relation, None for a statement that has none."""
        statement = self._statement(text)
        return self.call(lambda: self.duckdb.sql(statement, params=list(values) or None))

    def _statement(self, text: str) -> Any:
        statement = self._parsed.get(text)
        if statement is None:
            found = self.duckdb.extract_statements(text)
            # PIVOT becomes two statements, of which the first has no text: run as it stands.
            statement = self._parsed[text] = found[0] if len(found) == 1 else text
        return statement

    def fetch(self, size: int) -> list[Any]:
        return self.call(lambda: self.duckdb.fetchmany(size))

    def stream(self, result: QueryResult) -> None:
        """The rows of *result* are still to be fetched."""
        self._streaming = result

    def free(self) -> None:
        """Another execution discards what was not fetched of the one before."""
        streaming, self._streaming = self._streaming, None
        if streaming is not None:
            streaming.take_all()

    def drop(self) -> None:
        """Forget the result that is being read."""
        self._streaming = None

    # ---------------------------------------------------------------------------------- session

    def move_on(self) -> None:
        """Show what is newest, in a new cursor if that is needed."""
        if (generation := self._source.generation) == self._generation:
            return
        zone = self.time_zone()
        old, self.duckdb = self.duckdb, self._source.connect()
        # As it was before: what has become newer since is for the next time.
        self._generation = generation
        self.duckdb.execute(f"SET TimeZone = '{zone}'")
        old.close()

    def time_zone(self) -> str:
        """The session's time zone."""
        # All of it: what is left unread keeps a transaction open.
        ((zone,),) = self.duckdb.execute("SELECT current_setting('TimeZone')").fetchall()
        return str(zone)

    def close(self) -> None:
        self.duckdb.close()
