"""One DuckDB instance, opened by a plan, blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from ..errors import ReplicaError
from ..process.ending import Inside
from ..process.forking import hold, leak
from .cursor import Cursor, Statements
from .extensions import load
from .holdings import Holdings
from .plans import Plan

Redact = Callable[[str], str]

# What DuckDB refuses as "a different configuration".
_CONFLICT = (
    "if another part of this program has opened the same path with other settings, close that "
    "first, or give both the same settings"
)


class Instance:
    """A DuckDB instance opened by a plan: set up, verified to be read-only, locked down."""

    def __init__(self, plan: Plan, redact: Redact) -> None:
        """Open it. Raises `ReplicaError`, without secrets, and leaves nothing open then."""
        self._plan = plan
        self._redact = redact
        self._statements = Statements()
        self.holdings = Holdings()
        self._cursor_setup: tuple[str, ...] = ()
        try:
            with Inside():
                self._root = duckdb.connect(plan.database, config=dict(plan.config))
        except duckdb.ConnectionException as error:
            raise self._failed(f"cannot be opened ({_CONFLICT})", error) from None
        except duckdb.Error as error:
            raise self._failed("cannot be opened", error) from None
        hold(self)
        try:
            with Inside(self._root.interrupt):
                self._set_up()
        except duckdb.Error as error:
            self._root.close()
            raise self._failed("cannot be set up", error) from None
        except BaseException:
            self._root.close()
            raise

    def _set_up(self) -> None:
        for extension in self._plan.extensions:
            load(self._root, extension)
        for statement in self._plan.setup:
            self._root.execute(statement)
        self.holdings = self.look()
        self._cursor_setup = self._plan.cursor_setup(self.holdings)
        for statement in self._cursor_setup:
            self._root.execute(statement)
        self._verify()
        for statement in self._plan.lock_down:
            self._root.execute(statement)

    def _verify(self) -> None:
        row = self._root.execute(self._plan.check).fetchone()
        if row is None or row[0] is not True:
            raise ReplicaError(
                "the replica is not read-only: a replica needs a read-scaling token, "
                "or a database attached READ_ONLY"
            )

    def look(self) -> Holdings:
        """What its database holds now. Raises duckdb's errors."""
        with self._aside() as cursor:
            return self._plan.look(cursor)

    def ask(self, query: str) -> tuple[Any, ...]:
        """The first row that a query of pgmd's own gives. Raises duckdb's errors."""
        with self._aside() as cursor:
            return cursor.execute(query).fetchone() or ()

    @contextmanager
    def _aside(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for a statement of pgmd's own."""
        cursor = self._root.cursor()
        try:
            with Inside(cursor.interrupt):
                yield cursor
        finally:
            cursor.close()

    def cursor(self) -> Cursor:
        """A new cursor, set up to see what the root sees."""
        with Inside():
            connection = self._root.cursor()
            for statement in self._cursor_setup:
                connection.execute(statement)
        return Cursor(connection, self._statements)

    def refresh(self) -> None:
        """Pick the newest published snapshot up. Raises `ReplicaError`."""
        if self._plan.refresh is not None:
            try:
                self.ask(self._plan.refresh)
            except duckdb.Error as error:
                raise self._failed("cannot be refreshed", error) from None

    def is_behind(self) -> bool:
        """Whether it may show something newer when it is opened anew. Raises duckdb's errors."""
        return bool(self.ask(self._plan.is_behind)[0])

    def probe(self) -> None:
        """Ask what is behind it whether it still answers. Raises duckdb's errors."""
        self.ask(self._plan.probe)

    def close(self) -> None:
        with Inside():
            self._root.close()

    def abandon(self) -> None:
        """It belongs to the parent of this process."""
        leak(self._root)

    def _failed(self, what: str, error: Exception) -> ReplicaError:
        # Without the cause: DuckDB prints connection strings, and a traceback would show them.
        return ReplicaError(f"the replica {what}: {self._redact(str(error))}")


def ask_once(plan: Plan, redact: Redact, query: str) -> tuple[Any, ...]:
    """The row that a query gives on an instance that is open for that long only.

    Raises `ReplicaError`, without secrets.
    """
    instance = Instance(plan, redact)
    try:
        return instance.ask(query)
    except duckdb.Error as error:
        raise ReplicaError(f"the replica cannot be looked at: {redact(str(error))}") from None
    finally:
        instance.close()


# What a statement can do wrong, on any replica.
_OF_STATEMENTS = (
    duckdb.ProgrammingError,
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.NotSupportedError,
    duckdb.InterruptException,
    duckdb.OutOfMemoryException,
)
_OF_REPLICAS = (
    duckdb.IOException,
    duckdb.ConnectionException,
    duckdb.FatalException,
    duckdb.InternalException,
)


def tells_of_replica(error: Exception) -> bool | None:
    """Whether an error says that its replica does not work, by its class; None where that
    leaves it open."""
    if isinstance(error, _OF_REPLICAS):
        return True
    if isinstance(error, duckdb.InvalidInputException):
        # Also what MotherDuck says of a token that is no longer valid.
        return None
    return False if isinstance(error, _OF_STATEMENTS) else None
