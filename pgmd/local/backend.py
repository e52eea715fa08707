"""What one client does in DuckDB: its cursor, its transaction, and how results come out of it.

Blocking; the server runs it in a thread, one call at a time. Only `cancel` may come from another.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any, Literal, TypeVar

import duckdb

from ..parity import declared
from ..process.cache import Cache
from ..sql import parenthesised
from .copying import CopyIn, CopyOut
from .database import Source
from .quirks import Quirks
from .statements import Action, Command
from .values import TEXT, Column, column, row_writer, selected, stand_in, with_types, written

T = TypeVar("T")
Status = Literal["I", "T", "E"]

# Rows that leave DuckDB at once: one of its vectors.
SLICE = 2048
_MOST_TEXTS = 512
_COUNT = ("BIGINT", "Count")
_SUCCESS = ("BOOLEAN", "Success")
# PostgreSQL tells no number of rows for these.
_UNCOUNTED = ("EXPLAIN", "SHOW")
# With these, DuckDB's own result reaches the client, see Quirks.count_rows.
_COUNTED = frozenset({"update", "set", "drop", "comment"})
_ROWLESS = ([_COUNT], [_SUCCESS])
# What may return any type, and cannot stand after FROM.
_RELATIONS = frozenset({"call", "execute", "pivot", "pragma", "unpivot"})

_SHOWN_LINE = re.compile(r"(?<=\n\n)LINE (\d+): ([^\n]*)\n( *)(\^+)\Z")


class Refused(Exception):
    """The server itself refuses a statement; *code* is the SQLSTATE for it."""

    def __init__(self, message: str, code: str = "0A000") -> None:
        super().__init__(message)
        self.code = code


class Answer:
    """The result of one statement. Rows are taken from DuckDB as they are fetched."""

    def __init__(
        self,
        tag: str,
        columns: Sequence[Column] | None = None,
        fetch: Callable[[int], list[Any]] | None = None,
        *,
        formats: Sequence[int] = (),
        cast: bool = False,
        count: int | None = None,
    ) -> None:
        self.columns = columns
        self._tag = tag
        self._fetch = fetch
        self._count = count
        self.fetched = 0  # rows since somebody set it to 0
        self._buffer: list[Any] | None = None
        self._write = row_writer(columns, formats, cast=cast) if columns is not None else None

    def rows(self, size: int) -> bytearray:
        """The next rows as DataRow messages; empty at the end."""
        assert self._write is not None
        found = self.values(size)
        self.fetched += len(found)
        return self._write(found)

    def values(self, size: int) -> list[Any]:
        """The next rows as they came from DuckDB."""
        if self._buffer is not None:
            found, self._buffer = self._buffer[:size], self._buffer[size:]
            return found
        return self._fetch(size) if self._fetch is not None else []

    def take_all(self) -> None:
        """Keep what is left, so that the cursor is free for the next statement."""
        if self._fetch is None or self._buffer is not None:
            return
        found: list[Any] = []
        while part := self._fetch(SLICE):
            found += part
        self._buffer = found

    @property
    def tag(self) -> str:
        """What CommandComplete says."""
        count = self.fetched if self.columns is not None and self._count is None else self._count
        if self._tag in _UNCOUNTED:
            return self._tag
        return self._tag if count is None else f"{self._tag} {count}"


class Backend:
    """One client's cursor."""

    def __init__(self, source: Source, quirks: Quirks) -> None:
        self.source = source
        self._quirks = quirks
        self._generation = source.generation
        self._cursor = source.connect()
        self._in_transaction = False
        self._is_aborted = False
        self._in_gate = False
        self._changed_names = False
        self._streaming: Answer | None = None
        self._lock = threading.Lock()
        self._exchange: object | None = None
        self._is_cancelled = False
        self._in_duckdb = False
        self._columns: Cache[Any, list[Column]] = Cache(_MOST_TEXTS)
        self._columns_of = (0, 0)
        self._names_version = 0
        self._parsed: Cache[str, Any] = Cache(_MOST_TEXTS)
        self._decided: Cache[Any, bool] = Cache(_MOST_TEXTS)

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

    def cancel(self, exchange: object) -> bool:
        """Stop this exchange; whether DuckDB has. Repeat until it has: it forgets an interrupt that
        comes before the query has started."""
        with self._lock:
            if self._exchange is not exchange:
                return True
            # What comes after it in this exchange does not start.
            self._is_cancelled = True
            if self._in_duckdb:
                self._cursor.interrupt()
            return not self._in_duckdb

    def _call(self, work: Callable[[], T]) -> T:
        with self._lock:
            if self._is_cancelled:
                raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")
            self._in_duckdb = True
        try:
            return work()
        finally:
            with self._lock:
                self._in_duckdb = False

    # -------------------------------------------------------------------------------- describing

    def check(self, command: Command, oids: Sequence[int]) -> None:
        """Raise Refused for what the service refuses before a statement runs."""
        if self._quirks.no_temporary_objects and command.is_temporary:
            raise Refused("Not implemented Error: temporary objects need a DuckDB client")
        if not command.is_select or command.is_catalogue or not self._quirks.ambiguous_parameters:
            return
        self._free()
        untyped = any(
            not oid and n not in command.casts for n, oid in enumerate(command.declared(oids), 1)
        )
        if untyped and self._is_ambiguous(command, oids):
            raise Refused("ambiguous result column types", "42P18")

    def _is_ambiguous(self, command: Command, oids: Sequence[int]) -> bool:
        key = (command.text, tuple(oids))
        known = self._decided.get(key)
        if known is None:
            known = self._decided[key] = self._call(lambda: self._ask_prepare(command, oids))
        return known

    def _ask_prepare(self, command: Command, oids: Sequence[int]) -> bool:
        """Whether DuckDB cannot tell the result's types from the statement alone."""
        cursor = self._cursor
        try:
            cursor.execute(f"PREPARE pgmd_asked AS {with_types(command.text, oids)}")
        except duckdb.Error:
            # The statement itself will say what is wrong with it.
            return False
        found = cursor.execute(
            "SELECT result_types IS NULL FROM duckdb_prepared_statements() "
            "WHERE name = 'pgmd_asked'"
        ).fetchall()
        cursor.execute("DEALLOCATE pgmd_asked")
        return (True,) in found

    def cannot_describe(self, command: Command) -> bool:
        """Whether the service could tell the columns only by running it."""
        is_opaque = command.from_function and not command.is_catalogue
        return self._quirks.no_table_function_describe and is_opaque

    def describe(self, command: Command, oids: Sequence[int]) -> list[Column] | None:
        """The columns that a statement will return; None for none. Raises Refused."""
        if self.cannot_describe(command):
            raise Refused(
                "Binder Error: the result of a table function cannot be described before it "
                "runs: use the simple query protocol"
            )
        self._free()
        return self._call(lambda: self._describe(command, oids))

    def _describe(self, command: Command, oids: Sequence[int]) -> list[Column] | None:
        if command.action is not Action.DUCKDB:
            return list(_REFRESHED) if command.action is Action.REFRESH else None
        if command.is_select:
            return self._select_columns(command, list(map(stand_in, command.declared(oids))))
        if command.returns:
            found = self._cursor.sql(f"SELECT {command.returning} FROM {command.target}")
            return self._to_columns(found.columns, found.types)
        if command.verb in ("show", "describe", "summarize", "pivot", "unpivot"):
            found = self._cursor.sql(command.text)
            return self._to_columns(found.columns, found.types)
        if command.verb == "explain":
            return self._to_columns(["explain_key", "explain_value"], ["VARCHAR", "VARCHAR"])
        if command.verb in ("call", "execute", "pragma"):
            raise Refused(
                f"{command.verb.upper()} cannot be described before it runs: "
                "use the simple query protocol"
            )
        return self._counted(command)

    def _counted(self, command: Command) -> list[Column] | None:
        if not self._quirks.count_rows or command.verb not in _COUNTED:
            return None
        kind, name = _COUNT if command.verb == "update" else _SUCCESS
        return self._to_columns([name], [kind])

    def _select_columns(self, command: Command, values: Sequence[object]) -> list[Column]:
        self._forget_if_changed()
        key = (command.text, tuple(map(_kind, values)))
        known = self._columns.get(key)
        if known is None:
            known = self._columns[key] = self._look_up_columns(command, values)
        return known

    def _look_up_columns(self, command: Command, values: Sequence[object]) -> list[Column]:
        if not values:
            found = self._cursor.sql(command.text)
            return self._to_columns(found.columns, found.types)
        limited = f"SELECT * FROM {parenthesised(command.text)} LIMIT 0"
        return self._described(self._cursor.execute(limited, values).description)

    def _described(self, description: Any) -> list[Column]:
        return self._to_columns([d[0] for d in description], [d[1] for d in description])

    def _to_columns(self, names: Sequence[str], types: Sequence[Any]) -> list[Column]:
        service = self._quirks.service_types
        return [column(n, str(t), service_types=service) for n, t in zip(names, types, strict=True)]

    def _forget_if_changed(self) -> None:
        version = (self.source.schema_version, self._names_version)
        if version != self._columns_of:
            self._columns = Cache(_MOST_TEXTS)
            self._decided = Cache(_MOST_TEXTS)
            self._columns_of = version

    # ----------------------------------------------------------------------------------- running

    @property
    def status(self) -> Status:
        """The transaction status for ReadyForQuery."""
        if self._quirks.always_idle or not self._in_transaction:
            return "I"
        return "E" if self._is_aborted else "T"

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open, whatever is told to the client."""
        return not self._in_transaction

    def run(
        self, command: Command, values: Sequence[object] = (), formats: Sequence[int] = (TEXT,)
    ) -> Answer | CopyIn | CopyOut:
        """Run one statement.

        Raises Refused, Stopped and duckdb's errors. The status is right afterwards, too.
        """
        self._free()
        self._move_on()
        self._enter(command)
        try:
            return self._perform(command, values, formats)
        except duckdb.Error:
            self._after_error(command)
            raise
        finally:
            self._leave()

    def _perform(
        self, command: Command, values: Sequence[object], formats: Sequence[int]
    ) -> Answer | CopyIn | CopyOut:
        match command.action:
            case Action.SNAPSHOT:
                return self._snapshot(command)
            case Action.REFRESH:
                return self._refresh(command, formats)
            case Action.FORGIVEN:
                return self._forgiven(command)
            case Action.COPY_IN:
                return self._copy_in(command)
            case Action.COPY_OUT:
                return self._copy_out(command)
        if command.is_select:
            return self._select(command, values, formats)
        return self._other(command, values, formats)

    def _select(self, command: Command, values: Sequence[object], formats: Sequence[int]) -> Answer:
        columns = self._call(lambda: self._select_columns(command, values))
        formats = spread(formats, len(columns))
        wrapped = selected(parenthesised(command.text), columns, formats)
        fetch: Callable[[int], list[Any]] = self._fetch
        if wrapped is None:
            self._execute(command.text, values)
            # By now it is certain, and the names are those of the statement itself.
            columns = self._described(self._cursor.description)
        else:
            _in_its_lines(self._execute, wrapped, values)
            fetch = partial(_in_its_lines, self._fetch)
        answer = Answer("SELECT", columns, fetch, formats=formats, cast=wrapped is not None)
        if command.is_read:
            self._streaming = answer
        else:
            # It may write: that is over when all of it is fetched.
            answer.take_all()
        return answer

    def _other(self, command: Command, values: Sequence[object], formats: Sequence[int]) -> Answer:
        if command.returns or command.verb in _RELATIONS:
            return self._relation(command, values, formats)
        was_aborted = self._is_aborted
        self._execute(command.text, values)
        description = self._cursor.description or []
        rows = self._call(self._cursor.fetchall) if description else []
        self._after(command)
        tag, shape = command.tag, [(str(d[1]), d[0]) for d in description]
        if shape in _ROWLESS:
            count = rows[0][0] if shape == [_COUNT] and rows else None
            if command.verb == "create":
                tag = tag if count is None else "SELECT"
            elif command.verb == "truncate":
                count = None
            elif command.ends_transaction and was_aborted:
                tag = "ROLLBACK"
            if self._counted(command) is None:
                return Answer(tag, count=count)
        columns = self._described(description)
        found = list(rows)
        formats = spread(formats, len(columns))
        return Answer(tag, columns, _shifting(found), formats=formats)

    def _relation(
        self, command: Command, values: Sequence[object], formats: Sequence[int]
    ) -> Answer:
        """Run what cannot stand after FROM; DuckDB can still write what came out of it."""
        statement = self._statement(command.text)
        found: Any = self._call(lambda: self._cursor.sql(statement, params=list(values) or None))
        self._after(command)
        if found is None:
            return Answer(command.tag)
        shape = [(str(t), name) for t, name in zip(found.types, found.columns, strict=True)]
        if not command.returns and shape in _ROWLESS:
            return Answer(command.tag)
        columns = self._to_columns(found.columns, found.types)
        formats = spread(formats, len(columns))
        items = written(columns, formats, [f"#{n}" for n in range(1, len(columns) + 1)])
        rows = self._call((found.project(items) if items else found).fetchall)
        return Answer(command.tag, columns, _shifting(rows), formats=formats, cast=True)

    def _statement(self, text: str) -> Any:
        statement = self._parsed.get(text)
        if statement is None:
            found = self._cursor.extract_statements(text)
            # PIVOT becomes two statements, of which the first has no text: run as it stands.
            statement = self._parsed[text] = found[0] if len(found) == 1 else text
        return statement

    def _execute(self, text: str, values: Sequence[object]) -> None:
        statement = self._statement(text)
        cursor = self._cursor
        if values:
            self._call(lambda: cursor.execute(statement, values))
        else:
            self._call(lambda: cursor.execute(statement))

    def _fetch(self, size: int) -> list[Any]:
        return self._call(lambda: self._cursor.fetchmany(size))

    def _free(self) -> None:
        """Another execution discards what was not fetched of the one before."""
        streaming, self._streaming = self._streaming, None
        if streaming is not None:
            streaming.take_all()

    def drop(self) -> None:
        """Forget the result that is being read."""
        self._streaming = None

    # ------------------------------------------------------------------------- own statements

    def _snapshot(self, command: Command) -> Answer:
        self._check_outside(command)
        self._check_name(command.database)
        if self.source.is_read_only:
            raise Refused(_read_only("CREATE", self.source.name), "25006")
        self.source.snapshot(command.snapshot, lambda: self._is_cancelled)  # type: ignore[union-attr]
        return Answer(command.tag)

    def _refresh(self, command: Command, formats: Sequence[int]) -> Answer:
        self._check_outside(command)
        self._check_name(command.database)
        name = self.source.name
        row = (name, "motherduck", f"md:{name}", self.source.refresh())
        self._move_on()
        formats = spread(formats, len(_REFRESHED))
        return Answer(command.tag, _REFRESHED, _shifting([row]), formats=formats)

    def _forgiven(self, command: Command) -> Answer:
        if self._quirks.strict_grammar:
            # DuckDB's own refusal.
            self._cursor.extract_statements(command.text)
        return Answer(command.text.strip().rstrip(";").upper())

    def _check_outside(self, command: Command) -> None:
        if self._in_transaction:
            raise Refused(f"{command.tag} cannot run inside a transaction block", "25001")

    def _check_name(self, name: str | None) -> None:
        if name is not None and name.lower() != self.source.name.lower():
            raise Refused(f"Catalog Error: no database/share named '{name}' found", "3D000")

    def _copy_out(self, command: Command) -> CopyOut:
        if self._quirks.no_copy_to_stdout:
            raise Refused("Parser Error: COPY TO STDOUT is not supported")
        query = command.copied[1:-1] if command.copied[0] == "(" else _table(command.copied)
        return CopyOut(command.options, self._select(_plain_select(query), (), (TEXT,)))

    def _copy_in(self, command: Command) -> CopyIn:
        if self._quirks.no_copy_from_stdin:
            raise Refused("Parser Error: COPY FROM STDIN is not supported")
        names = self._call(lambda: self._cursor.sql(_table(command.copied)).columns)
        return CopyIn(command.options, command.copied, len(names))

    def insert(self, copy: CopyIn) -> str:
        """Insert what a client has sent, all or nothing; the tag."""
        begin = BEGIN if not self._in_transaction else None
        if begin:
            self.run(begin)
        try:
            for text, values in copy.inserts():
                self.run(Command(text, verb="insert"), values)
        except BaseException:
            if begin:
                self.run(ROLLBACK)
            raise
        if begin:
            self.run(COMMIT)
        return f"COPY {copy.count}"

    # -------------------------------------------------------------------------- transactions

    def _enter(self, command: Command) -> None:
        reads = command.is_read or command.action is not Action.DUCKDB
        if reads or command.begins_transaction or command.ends_transaction or self._in_gate:
            return
        self.source.gate.enter(lambda: self._is_cancelled)
        self._in_gate = True

    def _leave(self) -> None:
        """A writer has left when its transaction has ended."""
        if self._in_gate and not self._in_transaction:
            self._in_gate = False
            self.source.wrote()
            self.source.gate.leave()

    def _after(self, command: Command) -> None:
        if command.begins_transaction:
            self._in_transaction = True
        elif command.ends_transaction:
            self._transaction_ended()
        if command.changes_names:
            self._changed_names = True
        if self._changed_names:
            self._names_version += 1
        if self._changed_names and not self._in_transaction:
            self._changed_names = False
            self.source.schema_version += 1

    def _transaction_ended(self) -> None:
        self._in_transaction = self._is_aborted = False

    def _after_error(self, command: Command) -> None:
        if command.ends_transaction:
            # Also when COMMIT failed: DuckDB has rolled back, unless a cancel came before it.
            with suppress(duckdb.Error):
                self._cursor.rollback()
            self._transaction_ended()
        elif self._in_transaction:
            self._is_aborted = not self._still_works()
        else:
            # DuckDB 1.5.5 keeps the transaction of a COPY FROM DATABASE that failed.
            with suppress(duckdb.Error):
                self._cursor.rollback()

    def _still_works(self) -> bool:
        """Some errors abort DuckDB's transaction, others do not, and which depends on its version:
        a statement that cannot fail otherwise tells."""
        try:
            self._cursor.execute("SELECT 1").fetchall()
        except duckdb.Error:
            return False
        return True

    def _move_on(self) -> None:
        """A reader sees a new snapshot between its transactions."""
        if self._in_transaction or (generation := self.source.generation) == self._generation:
            return
        zone = self.time_zone()
        old, self._cursor = self._cursor, self.source.connect()
        # As it was before: what has become newer since is for the next time.
        self._generation = generation
        self._cursor.execute(f"SET TimeZone = '{zone}'")
        old.close()

    def time_zone(self) -> str:
        """The session's time zone."""
        # All of it: what is left unread keeps a transaction open.
        ((zone,),) = self._cursor.execute("SELECT current_setting('TimeZone')").fetchall()
        return str(zone)

    def close(self) -> None:
        """End the client: an open transaction is rolled back."""
        self._cursor.close()
        self._in_transaction = False
        self._leave()


BEGIN = Command("BEGIN", verb="begin", tag="BEGIN", begins_transaction=True)
COMMIT = Command("COMMIT", verb="commit", tag="COMMIT", ends_transaction=True)
ROLLBACK = Command("ROLLBACK", verb="rollback", tag="ROLLBACK", ends_transaction=True)
_REFRESHED = [
    column("name", "VARCHAR", service_types=True),
    column("type", "VARCHAR", service_types=True),
    column("fully_qualified_name", "VARCHAR", service_types=True),
    column("refreshed", "BOOLEAN", service_types=True),
]


def spread(formats: Sequence[int], count: int) -> Sequence[int]:
    """The format of each column: none given is text, one is for all. Raises Refused."""
    if len(formats) == 1:
        return [formats[0]] * count
    if formats and len(formats) != count:
        raise Refused(f"{len(formats)} result formats for {count} columns", "08P01")
    return formats or [TEXT] * count


def _kind(value: object) -> object:
    """What DuckDB's type of a parameter depends on."""
    if isinstance(value, duckdb.Value):
        return str(value.type)
    if isinstance(value, Decimal):
        return len(value.as_tuple().digits), value.as_tuple().exponent
    return declared(value)


def _shifting(rows: list[Any]) -> Callable[[int], list[Any]]:
    def fetch(size: int) -> list[Any]:
        found = rows[:size]
        del rows[:size]
        return found

    return fetch


def _table(copied: str) -> str:
    """What COPY names, as a query: `t` or `t (a, b)`."""
    name, bracket, names = copied.partition("(")
    return f"SELECT {names.rstrip()[:-1]} FROM {name}" if bracket else f"FROM {name}"


def _in_its_lines(work: Callable[..., T], *arguments: Any) -> T:
    """Run a wrapped query; its text begins in the second line, and errors show the line."""
    try:
        return work(*arguments)
    except duckdb.Error as error:
        error.args = (_SHOWN_LINE.sub(_line_before, str(error)),)
        raise


def _line_before(shown: re.Match[str]) -> str:
    number = str(int(shown[1]) - 1)
    return f"LINE {number}: {shown[2]}\n{shown[3][len(shown[1]) - len(number) :]}{shown[4]}"


def _plain_select(query: str) -> Command:
    return Command(query, verb="select", tag="SELECT", is_read=True, is_select=True)


def _read_only(kind: str, database: str) -> str:
    return (
        f'Invalid Input Error: Cannot execute statement of type "{kind}" on database '
        f'"{database}" which is attached in read-only mode!'
    )
