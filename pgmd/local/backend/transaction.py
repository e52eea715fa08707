"""Whether a client is in a transaction, and whether it counts as a writer."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import duckdb

from ..database.duckling import Source
from ..quirks import Quirks
from .cursor import CancellableCursor
from .statements import Action, Command

Status = Literal["I", "T", "E"]


class TransactionState:
    """Told of each statement before and after it has run."""

    def __init__(self, cursor: CancellableCursor, source: Source, quirks: Quirks) -> None:
        self._cursor = cursor
        self._source = source
        self._quirks = quirks
        self._in_gate = False
        self.is_open = False
        self.is_aborted = False

    @property
    def status(self) -> Status:
        """What ReadyForQuery tells the client, true or not."""
        if self._quirks.always_idle or not self.is_open:
            return "I"
        return "E" if self.is_aborted else "T"

    def enter(self, command: Command) -> None:
        """A statement that may write waits for a snapshot that is being taken. Raises Stopped."""
        reads = command.is_read or command.action is not Action.DUCKDB
        if reads or command.begins_transaction or command.ends_transaction or self._in_gate:
            return
        self._source.gate.enter(self._cursor.is_cancelled)
        self._in_gate = True

    def leave(self) -> None:
        """A writer has left when its transaction has ended."""
        if self._in_gate and not self.is_open:
            self._in_gate = False
            self._source.wrote()
            self._source.gate.leave()

    def succeeded(self, command: Command) -> None:
        if command.begins_transaction:
            self.is_open = True
        elif command.ends_transaction:
            self.end()

    def failed(self, command: Command) -> None:
        if command.ends_transaction:
            # Also when COMMIT failed: DuckDB has rolled back, unless a cancel came before it.
            self._roll_back()
            self.end()
        elif self.is_open:
            self.is_aborted = not self._still_works()
        else:
            # DuckDB 1.5.5 keeps the transaction of a COPY FROM DATABASE that failed.
            self._roll_back()

    def end(self) -> None:
        self.is_open = self.is_aborted = False

    def _roll_back(self) -> None:
        with suppress(duckdb.Error):
            self._cursor.duckdb.rollback()

    def _still_works(self) -> bool:
        """Some errors abort DuckDB's transaction, others do not, and which depends on its version:
        a statement that cannot fail otherwise tells."""
        try:
            self._cursor.duckdb.execute("SELECT 1").fetchall()
        except duckdb.Error:
            return False
        return True
