"""Replicas that are reached over the Postgres wire: no DuckDB instance in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from ..errors import ReplicaError
from .holdings import Holdings, definitions_of
from .instance import Redact
from .publishing import IS_READ_SCALING, refresh_statement

# The errors that say nothing of the server: it has answered.
_OF_STATEMENTS = (
    psycopg.ProgrammingError,
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.NotSupportedError,
)


class Wire:
    """A read-scaling endpoint: verified, asked what it holds, and moved on; all of it blocking.

    Every connection names the same session, so that all of them reach one duckling.
    """

    def __init__(self, options: Mapping[str, Any], database: str, redact: Redact) -> None:
        """Connect with these libpq keywords, to a *database* or to the account's default one, "".

        Raises `ReplicaError`, without secrets.
        """
        self._redact = redact
        self._database = database
        self.options: dict[str, Any] = {**options, "autocommit": True}
        try:
            with self._connect() as connection:
                self._verify(connection)
                self.holdings = definitions_of(connection)
        except psycopg.Error as error:
            raise self._failed("cannot be opened", error) from None

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(**self.options, prepare_threshold=None)

    def _verify(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        if connection.execute(IS_READ_SCALING).fetchone() != (True,):
            raise ReplicaError("the replica is not read-only: a replica needs a read-scaling token")

    def probe(self) -> None:
        """Ask on a new connection whether it answers. Raises psycopg's errors."""
        with self._connect() as connection:
            connection.execute("SELECT 1")

    def refresh(self) -> None:
        """Pick the newest published snapshot up. Raises `ReplicaError`."""
        try:
            with self._connect() as connection:
                connection.execute(refresh_statement(self._database).encode())
        except psycopg.Error as error:
            raise self._failed("cannot be refreshed", error) from None

    def is_behind(self) -> bool:
        """Whether it may show something newer when it is opened anew."""
        return False

    def look(self) -> Holdings:
        """What its database holds now. Raises psycopg's errors."""
        with self._connect() as connection:
            return definitions_of(connection)

    def close(self) -> None:
        """Nothing of its own is open."""

    def _failed(self, what: str, error: Exception) -> ReplicaError:
        return ReplicaError(f"the replica {what}: {self._redact(str(error))}")


# A statement that asks for too much gets one of these, and so does one on a server that is full.
_OF_EITHER = (
    psycopg.errors.DiskFull,
    psycopg.errors.OutOfMemory,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)


def tells_of_server(error: Exception) -> bool | None:
    """Whether an error says that the server does not work, by its class; None where that leaves
    it open."""
    if isinstance(error, _OF_EITHER):
        return None
    return isinstance(error, psycopg.OperationalError) or not isinstance(error, _OF_STATEMENTS)
