"""Give DuckDB's errors the classes and SQLSTATEs that psycopg has for the same mistakes.

DuckDB has no SQLSTATEs and many mistakes share one of its classes, so its message decides. Only
rules that are unambiguous stand here. What no rule knows gets the default of its kind, which is
right at least in its DB-API base class.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import duckdb
import psycopg
from psycopg import errors as pg

_Class = type[psycopg.Error]
_Rules = tuple[tuple[str, _Class], ...]

# An error during a fetch comes inside another one.
_WRAPPER = re.compile(
    r"Invalid Input Error: Attempting to execute an unsuccessful or closed pending query result\s+"
    r"Error: "
)
# The class may be the wrapper's; the first words are always the error's own kind.
_KIND = re.compile(r"(?s)([A-Za-z][A-Za-z ]*?) Error: (.*)")
# The postgres extension passes the server's refusal on.
_WRITE_REFUSALS = re.compile(
    r'Cannot execute statement of type "[^"]*" on database "[^"]*" which is attached in read-only'
    r"|Cannot write to database .* - transaction is launched in read-only mode"
    r"|cannot execute [\w ]+(\(\))? in a read-only transaction"
)

_READ_ONLY = (_WRITE_REFUSALS.pattern, pg.ReadOnlySqlTransaction)

# Kind: rules, of which the first that is found in the message wins, and the default.
_RULES: dict[str, tuple[_Rules, _Class]] = {
    "Parser": (
        (
            (r"Duplicate CTE name", pg.DuplicateAlias),
            (r"Max expression depth limit", pg.StatementTooComplex),
            (r'window ".*" does not exist', pg.UndefinedObject),
        ),
        pg.SyntaxError,
    ),
    "Syntax": (((r"[Ee]scape string", pg.InvalidEscapeSequence),), pg.SyntaxError),
    "Catalog": (
        (
            (r"^(Table|View|Sequence) with name .* (does not exist|because schema)",
             pg.UndefinedTable),
            (r"^[\w ]*Function with name .* does not exist", pg.UndefinedFunction),
            (r"^\w[\w ]* with name .* is not in the catalog, but it exists in the",
             pg.UndefinedFunction),
            (r"^Schema with name .* does not exist", pg.InvalidSchemaName),
            (r"^(Type|Index|Collation|Secret) with name .* does not exist", pg.UndefinedObject),
            (r"^unrecognized configuration parameter", pg.UndefinedObject),
            (r"^\S+ is not an? (table|view)", pg.WrongObjectType),
            (r"does not have a column named", pg.UndefinedColumn),
        ),
        pg.UndefinedObject,
    ),
    "Binder": (
        (
            (r"Referenced table .* not found", pg.UndefinedTable),
            (r"Referenced (update )?column|does not exist on (left|right) side of join"
             r"|does not have a column|not found in FROM clause",
             pg.UndefinedColumn),
            (r"Ambiguous reference to column", pg.AmbiguousColumn),
            (r"Ambiguous reference to (table|catalog)", pg.DuplicateAlias),
            (r"Could not choose a best candidate function", pg.AmbiguousFunction),
            (r"No function matches the given name", pg.UndefinedFunction),
            (r"Cannot (mix|compare) values of type|Cannot combine types", pg.DatatypeMismatch),
            (r"same number of result columns|Subquery returns \d+ columns", pg.SyntaxError),
            (r"must appear in the GROUP BY|cannot contain aggregates"
             r"|aggregate function calls cannot be nested",
             pg.GroupingError),
            (r"cannot contain window|window function calls cannot be nested", pg.WindowingError),
            (r"(GROUP BY|ORDER) term out of range", pg.InvalidColumnReference),
            (r"LIMIT/OFFSET cannot be negative", pg.InvalidRowCountInLimitClause),
            (r"Catalog .* does not exist", pg.InvalidCatalogName),
            (r"Max expression depth limit", pg.StatementTooComplex),
            (r"infinite recursion", pg.InvalidObjectDefinition),
            (r"not supported|not implemented|Unsupported", pg.FeatureNotSupported),
        ),
        pg.SyntaxError,
    ),
    "Conversion": (
        (
            (r"^Unimplemented type for cast", pg.CannotCoerce),
            (r"^[Ii]nvalid (date|timestamp|time|interval) (field )?format",
             pg.InvalidDatetimeFormat),
            (r"^(date|timestamp|time|interval) field value out of range|^Date out of range",
             pg.DatetimeFieldOverflow),
            (r"^Type \w+ with value .* can't be cast because the value is out of range"
             r"|^Could not cast value .* to DECIMAL|^Casting value .* out of range"
             r"|^Could not convert string ['\"]\s*[+-]?\d+(\.\d+)?\s*['\"] to U?INT",
             pg.NumericValueOutOfRange),
            (r"^Unknown TimeZone", pg.InvalidParameterValue),
        ),
        pg.InvalidTextRepresentation,
    ),
    "Out of Range": (
        (
            (r"logarithm", pg.InvalidArgumentForLogarithm),
            (r"square root", pg.InvalidArgumentForPowerFunction),
        ),
        pg.NumericValueOutOfRange,
    ),
    "Invalid Input": (
        (
            _READ_ONLY,
            (r"^More than one row returned by a subquery", pg.CardinalityViolation),
            (r"^(Values were not provided|Parameter argument/count mismatch"
             r"|Prepared statement needs)",
             pg.SyntaxError),
            (r"^Malformed JSON", pg.InvalidTextRepresentation),
            (r"^Cannot (change configuration option|enable external access)",
             pg.CantChangeRuntimeParam),
        ),
        pg.InvalidParameterValue,
    ),
    "Constraint": (
        (
            (r"^NOT NULL constraint failed", pg.NotNullViolation),
            (r"^Violates foreign key", pg.ForeignKeyViolation),
            (r"^CHECK constraint failed", pg.CheckViolation),
            (r"^Duplicate key .* violates (primary key|unique)|^PRIMARY KEY or UNIQUE",
             pg.UniqueViolation),
        ),
        pg.IntegrityConstraintViolation,
    ),
    "TransactionContext": (
        (
            (r"Current transaction is aborted", pg.InFailedSqlTransaction),
            _READ_ONLY,
            (r"[Cc]onflict", pg.SerializationFailure),
            (r"within a transaction", pg.ActiveSqlTransaction),
            (r"no transaction is active", pg.NoActiveSqlTransaction),
        ),
        pg.InvalidTransactionState,
    ),
    "IO": (
        (
            _READ_ONLY,
            (r"No files found|No such file|cannot open file", pg.UndefinedFile),
            (r"Permission denied", pg.InsufficientPrivilege),
            (r"Could not set lock", pg.ObjectInUse),
            (r"[Nn]o space left|disk full", pg.DiskFull),
        ),
        pg.IoError,
    ),
    "Out of Memory": (
        ((r"max_temp_directory_size", pg.ConfigurationLimitExceeded),),
        pg.OutOfMemory,
    ),
    "Not implemented": (
        ((r"Unknown TimeZone", pg.InvalidParameterValue),),
        pg.FeatureNotSupported,
    ),
    "Connection": ((), pg.ConnectionFailure),
    "HTTP": ((), pg.IoError),
    "INTERNAL": ((), pg.InternalError_),
    "FATAL": ((), pg.InternalError_),
    "INTERRUPT": ((), pg.QueryCanceled),
    "Invalid type": ((), pg.DatatypeMismatch),
    "Mismatch Type": ((), pg.DatatypeMismatch),
    "Permission": ((), pg.InsufficientPrivilege),
    "Serialization": ((), pg.IoError),
}  # fmt: skip
_BASES: tuple[tuple[type[BaseException], _Class], ...] = (
    (duckdb.ProgrammingError, psycopg.ProgrammingError),
    (duckdb.DataError, psycopg.DataError),
    (duckdb.IntegrityError, psycopg.IntegrityError),
    (duckdb.OperationalError, psycopg.OperationalError),
    (duckdb.NotSupportedError, psycopg.NotSupportedError),
    (duckdb.InternalError, psycopg.InternalError),
    # How fetching fails for a date or an interval that Python cannot hold.
    (OverflowError, psycopg.DataError),
)


# What MotherDuck's service itself says, see reference to its sources in pgmd.local.Quirks.
_SERVICE: _Rules = (
    (r"^ambiguous result column types", pg.IndeterminateDatatype),
    (r"cannot be described before it runs", pg.FeatureNotSupported),
)


def from_endpoint(error: psycopg.Error) -> psycopg.Error:
    """Give the error of a DuckDB wire server, which has no SQLSTATE of PostgreSQL's, the class that
    PostgreSQL would give. Errors of another origin are returned as they are."""
    text = error.diag.message_primary
    if text is None or type(error) not in _UNTOLD:
        return error
    match = _KIND.match(text)
    if match is None:
        found = next((known for pattern, known in _SERVICE if re.search(pattern, text)), None)
        return error if found is None else found(*error.args, info=error.pgresult)
    kind, message = match.groups()
    if kind == "INTERRUPT":
        return pg.QueryCanceled("canceling statement due to user request", info=error.pgresult)
    return _class(error, kind, message)(*error.args, info=error.pgresult)


def from_duckdb(exc: BaseException, message_redactor: Callable[[str], str]) -> psycopg.Error:
    """Return the error that psycopg would raise; its message is DuckDB's, redacted."""
    text = _unwrapped(exc)
    match = _KIND.match(text)
    kind, message = match.groups() if match else ("", text)
    if kind == "INTERRUPT":
        return pg.QueryCanceled("canceling statement due to user request")
    if kind == "Connection" and "already closed" in message:
        return psycopg.OperationalError("the connection is closed")
    message = message_redactor(message.replace("\n\nLINE ", "\nLINE "))
    return _class(exc, kind, message)(message)


# What psycopg makes of an error whose SQLSTATE it does not know.
_UNTOLD = (psycopg.DatabaseError, psycopg.InternalError, pg.InternalError_)


def is_write_refusal(exc: BaseException) -> bool:
    """Whether DuckDB, or the server behind it, refused because it is read-only."""
    return isinstance(exc, duckdb.Error) and _WRITE_REFUSALS.search(_unwrapped(exc)) is not None


def _unwrapped(exc: BaseException) -> str:
    return _WRAPPER.sub("", str(exc), count=1)


def _class(exc: BaseException, kind: str, message: str) -> _Class:
    if kind in _RULES:
        rules, default = _RULES[kind]
        return next((known for pattern, known in rules if re.search(pattern, message)), default)
    for theirs, ours in _BASES:
        if isinstance(exc, theirs):
            return ours
    return psycopg.DatabaseError
