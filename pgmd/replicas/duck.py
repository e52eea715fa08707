"""One DuckDB instance and its cursors, blocking; the shells decide in which thread this runs.

Two threads on one cursor get each other's rows without an error, so a `Cursor` serves one
statement at a time and says so when misused.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import duckdb

from ..errors import ReplicaError, UsageError
from ..process.cache import Cache
from ..process.ending import Inside
from ..process.forking import hold, leak
from ..routing import definitions
from ..routing.catalogue import QUERY, SCHEMAS_QUERY, Catalogue
from ..routing.definitions import Definitions
from ..sql import analyse
from ..sql.quoting import literal
from .plans import ALIAS, Plan, search_path

# fetchall() holds the GIL throughout; slices let other threads in.
_SLICE = 10_000
_MOST_STATEMENTS = 1024

Redact = Callable[[str], str]
DuckError = duckdb.Error
Interrupted = duckdb.InterruptException


class Run:
    """One execution: cancelling it cannot hit the next one on the same cursor."""

    __slots__ = ("cancelled",)

    def __init__(self) -> None:
        self.cancelled = False


class Answer(NamedTuple):
    """What DuckDB returned: its own description, and its own values in rows or Arrow batches."""

    description: list[Any]
    rows: list[tuple[Any, ...]]
    batches: list[Any] | None = None


class Reading(Protocol):
    """Decides how the answer to one query is fetched, once for each execution."""

    @property
    def query(self) -> str | None:
        """What to run in place of the query, if that is known already."""
        ...

    def next(self, description: list[Any]) -> str | None:
        """What to run instead of what has just run and returns these columns; None when that is
        what was wanted. Raises whatever stops it."""
        ...

    @property
    def batch(self) -> int:
        """How many rows the Arrow batches of what has run are to have; 0 to fetch it as rows."""
        ...


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
        if self._plan.needs_postgres:
            _load_postgres(self._root)
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
        with self._aside() as cursor:
            # The extension's own check of its cache does not see a column that was renamed.
            cursor.execute("CALL pg_clear_cache()")
            return _read_catalogue(cursor)

    def read_definitions(self) -> Definitions:
        """The tables, views and macros that are there now. Raises duckdb's errors."""
        with self._aside() as cursor:
            return Definitions.read(cursor.execute(definitions.QUERY).fetchall())

    def cursor(self) -> Cursor:
        """A new cursor, set up to see what the root sees."""
        with Inside():
            connection = self._root.cursor()
            for statement in self._cursor_setup:
                connection.execute(statement)
        return Cursor(connection, self._statements)

    @contextmanager
    def _aside(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for a statement of pgmd's own."""
        cursor = self._root.cursor()
        try:
            with Inside(cursor.interrupt):
                yield cursor
        finally:
            cursor.close()

    def refresh(self) -> None:
        """Pick the newest published snapshot up. Raises `ReplicaError`."""
        if self._plan.refresh is not None:
            try:
                with self._aside() as cursor:
                    cursor.execute(self._plan.refresh).fetchall()
            except duckdb.Error as error:
                raise self._failed("cannot be refreshed", error) from None

    def probe(self) -> None:
        """Ask what is behind it whether it still answers. Raises duckdb's errors."""
        with self._aside() as cursor:
            cursor.execute(self._plan.probe).fetchall()

    def close(self) -> None:
        with Inside():
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


def copy_postgres(
    plan: Plan,
    wanted: Sequence[str],
    statements: Callable[[Any], list[str]],
    redact: Redact,
) -> Catalogue:
    """Copy tables of the attached Postgres database into the attached file, in one transaction.

    Returns the catalogue of what was copied. Raises `ReplicaError`, without secrets.
    """
    root = duckdb.connect(plan.database, config=dict(plan.config))
    try:
        with Inside(root.interrupt):
            catalogue = _copy(root, plan, wanted, statements)
    except (duckdb.Error, LookupError) as error:
        raise ReplicaError(f"the snapshot cannot be copied: {redact(str(error))}") from None
    else:
        return catalogue
    finally:
        root.close()


def _copy(
    root: duckdb.DuckDBPyConnection,
    plan: Plan,
    wanted: Sequence[str],
    statements: Callable[[Any], list[str]],
) -> Catalogue:
    _load_postgres(root)
    for statement in plan.setup:
        root.execute(statement)
    catalogue = _read_catalogue(root).only(wanted)
    root.execute("BEGIN")
    for statement in statements((t.schema, t.name, t.columns) for t in catalogue.tables):
        root.execute(statement)
    root.execute("COMMIT")
    return catalogue


def _read_catalogue(connection: duckdb.DuckDBPyConnection) -> Catalogue:
    schemas = [row[0] for row in _ask_postgres(connection, SCHEMAS_QUERY)]
    return Catalogue.read(schemas, _ask_postgres(connection, QUERY))


def _ask_postgres(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return connection.execute(
        f"SELECT * FROM postgres_query({literal(ALIAS)}, {literal(query)})"
    ).fetchall()


def _load_postgres(connection: duckdb.DuckDBPyConnection) -> None:
    wheel = _postgres_wheel()
    if wheel is not None:
        connection.execute(f"LOAD {literal(str(wheel))}")
        return
    try:
        connection.execute("INSTALL postgres")
        connection.execute("LOAD postgres")
    except duckdb.Error as error:
        raise ReplicaError(
            "DuckDB's postgres extension cannot be loaded; where the network is closed: "
            f"pip install duckdb-extension-postgres-scanner=={duckdb.__version__} ({error})"
        ) from None


def _postgres_wheel() -> Path | None:
    """The extension from its PyPI wheel, which must match DuckDB's version exactly."""
    spec = importlib.util.find_spec("duckdb_extension_postgres_scanner")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}"
    path = folder / "postgres_scanner.duckdb_extension"
    return path if path.exists() else None
