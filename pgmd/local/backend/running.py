"""Run a client's statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import duckdb

from ...sql import parenthesised
from ..database.duckling import Source
from ..database.writer import Writer
from ..quirks import Quirks
from ..values.columns import TEXT, selected, written
from .copying import CopyIn, CopyOut
from .cursor import CancellableCursor
from .describing import COUNT, REFRESHED, SUCCESS, Describing
from .result import QueryResult, Refused, spread
from .statements import Action, Command
from .transaction import TransactionState

T = TypeVar("T")

_ROWLESS = ([COUNT], [SUCCESS])
# What may return any type, and cannot stand after FROM.
_RELATIONS = frozenset({"call", "execute", "pivot", "pragma", "unpivot"})
_SHOWN_LINE = re.compile(r"(?<=\n\n)LINE (\d+): ([^\n]*)\n( *)(\^+)\Z")


class Backend:
    """One client's part of an instance: its cursor, and what is known of it."""

    def __init__(self, source: Source, quirks: Quirks) -> None:
        self._source = source
        self._quirks = quirks
        self.cursor = CancellableCursor(source)
        self.transaction = TransactionState(self.cursor, source, quirks)
        self.describing = Describing(self.cursor, source, quirks)

    def run(
        self, command: Command, values: Sequence[object] = (), formats: Sequence[int] = (TEXT,)
    ) -> QueryResult | CopyIn | CopyOut:
        """Run one statement.

        Raises Refused, Stopped and duckdb's errors. The status is right afterwards, too.
        """
        self.cursor.free()
        self._move_on()
        self.transaction.enter(command)
        try:
            return self._perform(command, values, formats)
        except duckdb.Error:
            self.transaction.failed(command)
            raise
        finally:
            self.transaction.leave()

    def _move_on(self) -> None:
        """A reader sees a new snapshot between its transactions."""
        if not self.transaction.is_open:
            self.cursor.move_on()

    def close(self) -> None:
        """End the client: an open transaction is rolled back."""
        self.cursor.close()
        self.transaction.end()
        self.transaction.leave()

    def _perform(
        self, command: Command, values: Sequence[object], formats: Sequence[int]
    ) -> QueryResult | CopyIn | CopyOut:
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
        if command.returns or command.verb in _RELATIONS:
            return self._relation(command, values, formats)
        return self._other(command, values, formats)

    # -------------------------------------------------------------------------- DuckDB's own

    def _select(
        self, command: Command, values: Sequence[object], formats: Sequence[int]
    ) -> QueryResult:
        columns = self.cursor.call(lambda: self.describing.selected(command, values))
        formats = spread(formats, len(columns))
        wrapped = selected(parenthesised(command.text), columns, formats)
        fetch: Callable[[int], list[Any]] = self.cursor.fetch
        if wrapped is None:
            self.cursor.execute(command.text, values)
            # By now it is certain, and the names are those of the statement itself.
            columns = self.describing.described(self.cursor.duckdb.description)
        else:
            _in_its_lines(self.cursor.execute, wrapped, values)
            fetch = partial(_in_its_lines, self.cursor.fetch)
        is_cast = wrapped is not None
        result = QueryResult("SELECT", columns, fetch=fetch, formats=formats, cast=is_cast)
        if command.is_read:
            self.cursor.stream(result)
        else:
            # It may write: that is over when all of it is fetched.
            result.take_all()
        return result

    def _relation(
        self, command: Command, values: Sequence[object], formats: Sequence[int]
    ) -> QueryResult:
        """Run what cannot stand after FROM; DuckDB can still write what came out of it."""
        found = self.cursor.relation(command.text, values)
        self._succeeded(command)
        if found is None:
            return QueryResult(command.tag)
        shape = [(str(t), name) for t, name in zip(found.types, found.columns, strict=True)]
        if not command.returns and shape in _ROWLESS:
            return QueryResult(command.tag)
        columns = self.describing.columns(found.columns, found.types)
        formats = spread(formats, len(columns))
        items = written(columns, formats, [f"#{n}" for n in range(1, len(columns) + 1)])
        rows = self.cursor.call((found.project(items) if items else found).fetchall)
        return QueryResult(command.tag, columns, rows=rows, formats=formats, cast=True)

    def _other(
        self, command: Command, values: Sequence[object], formats: Sequence[int]
    ) -> QueryResult:
        was_aborted = self.transaction.is_aborted
        self.cursor.execute(command.text, values)
        description = self.cursor.duckdb.description or []
        rows = self.cursor.call(self.cursor.duckdb.fetchall) if description else []
        self._succeeded(command)
        tag, shape = command.tag, [(str(d[1]), d[0]) for d in description]
        if shape in _ROWLESS:
            count = rows[0][0] if shape == [COUNT] and rows else None
            if command.verb == "create":
                tag = tag if count is None else "SELECT"
            elif command.verb == "truncate":
                count = None
            elif command.ends_transaction and was_aborted:
                tag = "ROLLBACK"
            if self.describing.counted(command) is None:
                return QueryResult(tag, count=count)
        columns = self.describing.described(description)
        formats = spread(formats, len(columns))
        return QueryResult(tag, columns, rows=rows, formats=formats)

    def _succeeded(self, command: Command) -> None:
        self.transaction.succeeded(command)
        self.describing.succeeded(command, in_transaction=self.transaction.is_open)

    # ------------------------------------------------------------------------ the server's own

    def _snapshot(self, command: Command) -> QueryResult:
        self._check_outside(command)
        self._check_name(command.database)
        if not isinstance(self._source, Writer):
            raise Refused(_read_only("CREATE", self._source.name), "25006")
        self._source.snapshot(command.snapshot, self.cursor.is_cancelled)
        return QueryResult(command.tag)

    def _refresh(self, command: Command, formats: Sequence[int]) -> QueryResult:
        self._check_outside(command)
        self._check_name(command.database)
        name = self._source.name
        row = (name, "motherduck", f"md:{name}", self._source.refresh())
        self._move_on()
        formats = spread(formats, len(REFRESHED))
        return QueryResult(command.tag, REFRESHED, rows=[row], formats=formats)

    def _forgiven(self, command: Command) -> QueryResult:
        if self._quirks.strict_grammar:
            # DuckDB's own refusal.
            self.cursor.duckdb.extract_statements(command.text)
        return QueryResult(command.text.strip().rstrip(";").upper())

    def _check_outside(self, command: Command) -> None:
        if self.transaction.is_open:
            raise Refused(f"{command.tag} cannot run inside a transaction block", "25001")

    def _check_name(self, name: str | None) -> None:
        if name is not None and name.lower() != self._source.name.lower():
            raise Refused(f"Catalog Error: no database/share named '{name}' found", "3D000")

    def _copy_out(self, command: Command) -> CopyOut:
        if self._quirks.no_copy_to_stdout:
            raise Refused("Parser Error: COPY TO STDOUT is not supported")
        query = command.copied[1:-1] if command.copied[0] == "(" else _table(command.copied)
        return CopyOut(command.options, self._select(_plain_select(query), (), (TEXT,)))

    def _copy_in(self, command: Command) -> CopyIn:
        if self._quirks.no_copy_from_stdin:
            raise Refused("Parser Error: COPY FROM STDIN is not supported")
        names = self.cursor.call(lambda: self.cursor.duckdb.sql(_table(command.copied)).columns)
        return CopyIn(command.options, command.copied, len(names))

    def insert(self, copy: CopyIn) -> str:
        """Insert what a client has sent, all or nothing; the tag."""
        is_alone = not self.transaction.is_open
        if is_alone:
            self.run(_BEGIN)
        try:
            for text, values in copy.inserts():
                self.run(Command(text, verb="insert"), values)
        except BaseException:
            if is_alone:
                self.run(_ROLLBACK)
            raise
        if is_alone:
            self.run(_COMMIT)
        return f"COPY {copy.count}"


_BEGIN = Command("BEGIN", verb="begin", tag="BEGIN", begins_transaction=True)
_COMMIT = Command("COMMIT", verb="commit", tag="COMMIT", ends_transaction=True)
_ROLLBACK = Command("ROLLBACK", verb="rollback", tag="ROLLBACK", ends_transaction=True)


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
