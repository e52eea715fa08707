"""DuckDB's errors as the psycopg classes that PostgreSQL would raise.

Used where a replica has the last word: in a snapshot, on an explicit route, without an endpoint.
Elsewhere a read that fails on a replica runs on the endpoint, whose own error counts. What no rule
knows becomes the right base class.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import duckdb
import psycopg
from psycopg import errors as pg

# A statement is run while it is fetched; the real error then stands inside this one.
_WRAPPER = re.compile(r"(?s).*unsuccessful or closed pending query result\s*Error: (.*)")
# "Catalog Error: Table with name x does not exist!"
_KIND = re.compile(r"(?s)([A-Z][A-Za-z ]+?) Error: (.*)")
_REFUSED = re.compile(
    r"attached in read-only mode|cannot execute [A-Z ]+(?:\(\) )?in a read-only transaction"
    r"|cannot execute \w+\(\) in a read-only transaction"
)

_RULES: tuple[tuple[str, str, type[psycopg.Error]], ...] = (
    ("INTERRUPT", "", pg.QueryCanceled),
    ("Parser", "", pg.SyntaxError),
    ("Catalog", r"^(Table|View)( Function)? with name .* does not exist", pg.UndefinedTable),
    ("Catalog", r"Function with name .* does not exist", pg.UndefinedFunction),
    ("Catalog", r"^Schema with name .* does not exist", pg.InvalidSchemaName),
    ("Catalog", r"^(Type|Collation) with name .* does not exist", pg.UndefinedObject),
    ("Catalog", "", psycopg.ProgrammingError),
    ("Binder", r"Referenced table .* not found", pg.UndefinedTable),
    ("Binder", r"Referenced column|does not have a column", pg.UndefinedColumn),
    ("Binder", r"Ambiguous reference to column", pg.AmbiguousColumn),
    ("Binder", r"No function matches", pg.UndefinedFunction),
    ("Binder", r"must appear in the GROUP BY|cannot contain aggregates", pg.GroupingError),
    ("Binder", "", psycopg.ProgrammingError),
    ("Conversion", "", psycopg.DataError),
    ("Out of Range", "", pg.NumericValueOutOfRange),
    ("Invalid Input", r"^Cannot execute statement of type", pg.ReadOnlySqlTransaction),
    ("Invalid Input", r"^More than one row returned by a subquery", pg.CardinalityViolation),
    ("Invalid Input", "", psycopg.DataError),
    ("TransactionContext", r"Current transaction is aborted", pg.InFailedSqlTransaction),
    ("TransactionContext", r"read-only", pg.ReadOnlySqlTransaction),
    ("Permission", "", pg.InsufficientPrivilege),
    ("Out of Memory", "", pg.OutOfMemory),
    ("Not implemented", "", pg.FeatureNotSupported),
    ("INTERNAL", "", psycopg.InternalError),
    ("FATAL", "", psycopg.InternalError),
)


def from_duckdb(error: Exception, redact: Callable[[str], str]) -> psycopg.Error:
    """The psycopg error for one of DuckDB's, with its message and without secrets."""
    text = _unwrapped(str(error))
    if isinstance(error, duckdb.InterruptException):
        return pg.QueryCanceled(redact(text))
    found = _KIND.match(text)
    kind, message = (found[1], found[2]) if found else ("", text)
    for rule_kind, pattern, cls in _RULES:
        if kind == rule_kind and re.search(pattern, message):
            return cls(redact(text))
    return psycopg.OperationalError(redact(text))


def is_write_refusal(error: Exception) -> bool:
    """Whether a replica refused a statement because it writes: then nothing has happened."""
    return _REFUSED.search(str(error)) is not None


def _unwrapped(text: str) -> str:
    found = _WRAPPER.match(text)
    return found[1] if found else text
