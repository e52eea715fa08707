"""What a statement will return, before it runs, and what is refused by then."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb

from ...parity import declared
from ...process.cache import Cache
from ...sql import parenthesised
from ..database.duckling import Source
from ..quirks import Quirks
from ..values.columns import Column, column
from ..values.parameters import stand_in, with_types
from .cursor import CancellableCursor
from .result import Refused
from .statements import Action, Command

_MOST_TEXTS = 512
COUNT = ("BIGINT", "Count")
SUCCESS = ("BOOLEAN", "Success")
# With these, DuckDB's own result reaches the client, see Quirks.count_rows.
_COUNTED = frozenset({"update", "set", "drop", "comment"})
REFRESHED = [
    column("name", "VARCHAR", service_types=True),
    column("type", "VARCHAR", service_types=True),
    column("fully_qualified_name", "VARCHAR", service_types=True),
    column("refreshed", "BOOLEAN", service_types=True),
]


class Describing:
    """Columns by statement, remembered until names change."""

    def __init__(self, cursor: CancellableCursor, source: Source, quirks: Quirks) -> None:
        self._cursor = cursor
        self._source = source
        self._quirks = quirks
        self._known: Cache[Any, list[Column]] = Cache(_MOST_TEXTS)
        self._ambiguous: Cache[Any, bool] = Cache(_MOST_TEXTS)
        self._known_of = (0, 0)
        # Names that a transaction has changed are its own until it has ended.
        self._names_version = 0
        self._changed_names = False

    def check(self, command: Command, oids: Sequence[int]) -> None:
        """Raise Refused for what the service refuses before a statement runs."""
        if self._quirks.no_temporary_objects and command.is_temporary:
            raise Refused("Not implemented Error: temporary objects need a DuckDB client")
        if not command.is_select or command.is_catalogue or not self._quirks.ambiguous_parameters:
            return
        self._cursor.free()
        untyped = any(
            not oid and n not in command.casts for n, oid in enumerate(command.declared(oids), 1)
        )
        if untyped and self._is_ambiguous(command, oids):
            raise Refused("ambiguous result column types", "42P18")

    def _is_ambiguous(self, command: Command, oids: Sequence[int]) -> bool:
        key = (command.text, tuple(oids))
        known = self._ambiguous.get(key)
        if known is None:
            found = self._cursor.call(lambda: self._ask_prepare(command, oids))
            known = self._ambiguous[key] = found
        return known

    def _ask_prepare(self, command: Command, oids: Sequence[int]) -> bool:
        """Whether DuckDB cannot tell the result's types from the statement alone."""
        cursor = self._cursor.duckdb
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

    def is_opaque(self, command: Command) -> bool:
        """Whether the service could tell the columns only by running it."""
        asks_function = command.from_function and not command.is_catalogue
        return self._quirks.no_table_function_describe and asks_function

    def describe(self, command: Command, oids: Sequence[int]) -> list[Column] | None:
        """The columns that a statement will return; None for none. Raises Refused."""
        if self.is_opaque(command):
            raise Refused(
                "Binder Error: the result of a table function cannot be described before it "
                "runs: use the simple query protocol"
            )
        self._cursor.free()
        return self._cursor.call(lambda: self._describe(command, oids))

    def _describe(self, command: Command, oids: Sequence[int]) -> list[Column] | None:
        if command.action is not Action.DUCKDB:
            return list(REFRESHED) if command.action is Action.REFRESH else None
        if command.is_select:
            return self.selected(command, list(map(stand_in, command.declared(oids))))
        if command.returns:
            return self._columns_of(f"SELECT {command.returning} FROM {command.target}")
        if command.verb in ("show", "describe", "summarize", "pivot", "unpivot"):
            return self._columns_of(command.text)
        if command.verb == "explain":
            return self.columns(["explain_key", "explain_value"], ["VARCHAR", "VARCHAR"])
        if command.verb in ("call", "execute", "pragma"):
            raise Refused(
                f"{command.verb.upper()} cannot be described before it runs: "
                "use the simple query protocol"
            )
        return self.counted(command)

    def counted(self, command: Command) -> list[Column] | None:
        """The column of DuckDB's own that the client sees of a statement without rows."""
        if not self._quirks.count_rows or command.verb not in _COUNTED:
            return None
        kind, name = COUNT if command.verb == "update" else SUCCESS
        return self.columns([name], [kind])

    def selected(self, command: Command, values: Sequence[object]) -> list[Column]:
        """The columns of a SELECT with these parameters; inside a `call` of the cursor."""
        self._forget_if_changed()
        key = (command.text, tuple(map(_type_of, values)))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._look_up(command, values)
        return known

    def _look_up(self, command: Command, values: Sequence[object]) -> list[Column]:
        if not values:
            return self._columns_of(command.text)
        limited = f"SELECT * FROM {parenthesised(command.text)} LIMIT 0"
        return self.described(self._cursor.duckdb.execute(limited, values).description)

    def _columns_of(self, query: str) -> list[Column]:
        found = self._cursor.duckdb.sql(query)
        return self.columns(found.columns, found.types)

    def described(self, description: Any) -> list[Column]:
        """The columns of a cursor's description."""
        return self.columns([d[0] for d in description], [d[1] for d in description])

    def columns(self, names: Sequence[str], types: Sequence[Any]) -> list[Column]:
        service = self._quirks.service_types
        return [column(n, str(t), service_types=service) for n, t in zip(names, types, strict=True)]

    def succeeded(self, command: Command, *, in_transaction: bool) -> None:
        if command.changes_names:
            self._changed_names = True
        if self._changed_names:
            self._names_version += 1
        if self._changed_names and not in_transaction:
            self._changed_names = False
            self._source.schema_version += 1

    def _forget_if_changed(self) -> None:
        version = (self._source.schema_version, self._names_version)
        if version != self._known_of:
            self._known = Cache(_MOST_TEXTS)
            self._ambiguous = Cache(_MOST_TEXTS)
            self._known_of = version


def _type_of(value: object) -> object:
    """What DuckDB's type of a parameter depends on."""
    if isinstance(value, duckdb.Value):
        return str(value.type)
    if isinstance(value, Decimal):
        return len(value.as_tuple().digits), value.as_tuple().exponent
    return declared(value)
