"""What a client is told about its statements, whichever protocol it asked by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import psycopg
from pygwire import TransactionStatus
from pygwire import messages as pg

from ...parity.errors import from_duckdb
from ..backend.copying import BadCopy
from ..backend.result import SLICE, QueryResult, Refused
from ..backend.running import Backend
from ..backend.statements import Command
from ..database.gate import Stopped
from ..quirks import Quirks
from ..values.columns import Column
from ..values.parameters import BadParameter
from .messages import Messages, error_response, row_description

_UNCATEGORISED = "XXUUU"
# What `Replies.explain` can explain.
ERRORS = (
    *(Refused, BadParameter, BadCopy, Stopped),
    *(duckdb.Error, psycopg.Error, OverflowError, OSError),
)


class Replies:
    """Messages for a client that was let in, as bytes."""

    def __init__(self, messages: Messages, backend: Backend, quirks: Quirks) -> None:
        self._backend = backend
        self._quirks = quirks
        self.send = messages.send
        self.zone = backend.cursor.time_zone()

    def ready(self) -> bytes:
        """The client's turn. Nothing is left to be cancelled."""
        self._backend.cursor.end()
        return self.send(
            pg.ReadyForQuery(status=TransactionStatus(self._backend.transaction.status))
        )

    def shape(self, columns: Sequence[Column] | None, formats: Sequence[int]) -> bytes:
        if columns is None:
            return self.send(pg.NoData())
        return self.send(row_description(columns, formats))

    def rows(self, result: QueryResult, limit: int = 0) -> Iterator[bytes]:
        """At most *limit* rows, 0 for all."""
        result.fetched = 0
        while not limit or result.fetched < limit:
            written = result.rows(min(limit - result.fetched, SLICE) if limit else SLICE)
            if not written:
                return
            yield bytes(written)

    def completed(self, tag: str) -> bytes:
        return self.send(pg.CommandComplete(tag=tag))

    def time_zone(self, command: Command) -> Iterator[bytes]:
        """psycopg reads timestamps in the zone that the server has reported."""
        if command.verb not in ("set", "reset"):
            return
        zone = self._backend.cursor.time_zone()
        if zone != self.zone:
            self.zone = zone
            yield self.send(pg.ParameterStatus(name="TimeZone", value=zone))

    def explain(self, error: Exception) -> bytes:
        """One of ERRORS."""
        message = str(error)
        if isinstance(error, duckdb.Error):
            known = from_duckdb(error, lambda text: text)
            code = known.sqlstate or "XX000"
        elif isinstance(error, Refused):
            code = error.code
        elif isinstance(error, psycopg.DataError) and "NUL" in message:
            code = "22021"
        elif isinstance(error, OSError):
            message, code = f"IO Error: {error}", "58030"
        elif isinstance(error, Stopped):
            message, code = "INTERRUPT Error: Interrupted!", "57014"
        else:
            code = "22P02"
        return self.error(_UNCATEGORISED if self._quirks.no_sqlstate else code, message)

    def error(self, code: str, message: str) -> bytes:
        return self.send(error_response("ERROR", code, message))
