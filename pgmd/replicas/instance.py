"""One DuckDB instance, opened by a plan, blocking."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from ..errors import ReplicaError
from ..process.forking import hold, leak
from ..routing import definitions
from ..routing.catalogue import Catalogue
from ..routing.definitions import Definitions
from .cursor import Cursor, Statements
from .plans import ALIAS, Plan, search_path
from .postgres import load_postgres, read_catalogue

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
        self.catalogue: Catalogue | None = None
        self.definitions: Definitions | None = None
        self._cursor_setup = plan.cursor_setup
        try:
            self._root = duckdb.connect(plan.database, config=dict(plan.config))
        except duckdb.ConnectionException as error:
            raise self._failed(f"cannot be opened ({_CONFLICT})", error) from None
        except duckdb.Error as error:
            raise self._failed("cannot be opened", error) from None
        hold(self)
        try:
            self._set_up()
        except duckdb.Error as error:
            self._root.close()
            raise self._failed("cannot be set up", error) from None
        except BaseException:
            self._root.close()
            raise

    def _set_up(self) -> None:
        if self._plan.needs_postgres:
            load_postgres(self._root)
        for statement in self._plan.setup:
            self._root.execute(statement)
        if self._plan.needs_postgres:
            self.catalogue = self.read_catalogue()
            self._cursor_setup = search_path(ALIAS, self.catalogue.schemas)
        elif self._plan.reads_definitions:
            self.definitions = self.read_definitions()
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

    def read_catalogue(self) -> Catalogue:
        """What the attached Postgres database holds now. Raises duckdb's errors."""
        cursor = self._root.cursor()
        try:
            # The extension's own check of its cache does not see a column that was renamed.
            cursor.execute("CALL pg_clear_cache()")
            return read_catalogue(cursor)
        finally:
            cursor.close()

    def read_definitions(self) -> Definitions:
        """The tables, views and macros that are there now. Raises duckdb's errors."""
        cursor = self._root.cursor()
        try:
            return Definitions.read(cursor.execute(definitions.QUERY).fetchall())
        finally:
            cursor.close()

    def cursor(self) -> Cursor:
        """A new cursor, set up to see what the root sees."""
        connection = self._root.cursor()
        for statement in self._cursor_setup:
            connection.execute(statement)
        return Cursor(connection, self._statements)

    def refresh(self) -> None:
        """Pick the newest published snapshot up. Raises `ReplicaError`."""
        if self._plan.refresh is not None:
            cursor = self._root.cursor()
            try:
                cursor.execute(self._plan.refresh).fetchall()
            except duckdb.Error as error:
                raise self._failed("cannot be refreshed", error) from None
            finally:
                cursor.close()

    def probe(self) -> None:
        """Ask what is behind it whether it still answers. Raises duckdb's errors."""
        cursor = self._root.cursor()
        try:
            cursor.execute(self._plan.probe).fetchall()
        finally:
            cursor.close()

    def close(self) -> None:
        self._root.close()

    def abandon(self) -> None:
        """It belongs to the parent of this process."""
        leak(self._root)

    def _failed(self, what: str, error: Exception) -> ReplicaError:
        # Without the cause: DuckDB prints connection strings, and a traceback would show them.
        return ReplicaError(f"the replica {what}: {self._redact(str(error))}")


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
