"""What DuckDB's messages mean: which of psycopg's classes each has, kind by kind.

A rule's pattern matches a message as a whole, and its fixed words stand where no name or literal of
the user's can put them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import psycopg
from psycopg import errors as pg

Class = type[psycopg.Error]


class Rule(NamedTuple):
    """What a message that matches *pattern* as a whole means."""

    pattern: re.Pattern[str]
    known: Class


class Rules(NamedTuple):
    """The rules for the messages of one kind, of which the first that matches wins."""

    rules: tuple[Rule, ...]
    default: Class


def _kind(default: Class, *rules: tuple[str, Class]) -> Rules:
    return Rules(tuple(Rule(re.compile(text, re.DOTALL), known) for text, known in rules), default)


# What may follow a message: it has to be known where only their ends tell two messages apart.
_MEANT = r'(\nDid you mean ".*"\?)?'
# A cast names the column it reads, and string and name may hold anything: where the words that
# stand between them come twice, nobody can tell which are DuckDB's.
_READING = " when casting from source column "
_ONCE = rf"((?!['\"] to \w+(\(\d+,\d+\))?{_READING}).)*"


def _unread(string: str, kind: str) -> str:
    """The message of a string that cannot be read as *kind*, both given as patterns."""
    column = rf"({_READING}(?!.*['\"] to \w+(\(\d+,\d+\))?$){_ONCE})?"
    return rf"Could not convert string ['\"]{string}['\"] to {kind}{column}"


_WINDOW_FUNCTIONS = (
    "row_number|rank|dense_rank|rank_dense|percent_rank|cume_dist|ntile|lag|lead|first_value"
    "|last_value|nth_value"
)
_BAD_EXPRESSIONS = (
    r"missing [\])]|unexpected \)|no argument for repetition operator|invalid repetition size"
    r"|bad repetition operator|invalid character class range|invalid escape sequence"
    r"|invalid perl operator|invalid named capture group"
)
_ATTACHED_READ_ONLY = (
    r'Cannot execute statement of type "[A-Z_ ]+" on database ".*" which is attached in read-only '
    r"mode!"
)
_LAUNCHED_READ_ONLY = r'Cannot write to database ".*" - transaction is launched in read-only mode.*'
# The postgres extension passes the server's refusal on, after the text of its own query.
SERVER_READ_ONLY = (
    r"Failed to .*: ERROR:  cannot execute [\w ]+(\(\))? in a read-only transaction\s*"
)

KINDS: dict[str, Rules] = {
    "Parser": _kind(
        pg.SyntaxError,
        (r'Duplicate CTE name ".*"', pg.DuplicateAlias),
        (r"Max expression depth limit of \d+ exceeded.*", pg.StatementTooComplex),
        (r'window ".*" does not exist', pg.UndefinedObject),
        (r'window ".*" is already defined', pg.WindowingError),
        (r"window functions are not allowed in window definitions", pg.WindowingError),
        (r"frame start cannot be UNBOUNDED FOLLOWING", pg.WindowingError),
        (r"Sample sample_size [\d.-]+ out of range.*", pg.InvalidTablesampleArgument),
        (r"(MINVALUE \(-?\d+\) must be less than MAXVALUE .*|Increment must not be zero)",
         pg.InvalidParameterValue),
        (r'table ".*" has more than one primary key', pg.InvalidTableDefinition),
        (r'(Unrecognized parameter for option \w+ ".*", expected .*|Memory (limit )?must have a .*'
         r"|Width must be between \d+ and \d+!)",
         pg.InvalidParameterValue),
    ),
    "Syntax": _kind(
        pg.SyntaxError,
        (r"Invalid escape string\. Escape string must be .*", pg.InvalidEscapeSequence),
    ),
    "Catalog": _kind(
        pg.SyntaxErrorOrAccessRuleViolation,
        (rf"(Table|View|Sequence) with name .* does not exist!{_MEANT}", pg.UndefinedTable),
        (r'Table with name ".*" does not exist because schema ".*" does not exist\.',
         pg.UndefinedTable),
        (rf"Scalar Function with name ({_WINDOW_FUNCTIONS}) does not exist!"
         r'(\nDid you mean "[^"]*"\?)?',
         pg.WrongObjectType),
        (rf"\w* ?(Function|Macro) with name .* does not exist!{_MEANT}", pg.UndefinedFunction),
        (r'\w+ Function with name ".*" is not in the catalog, but it exists in the .*',
         pg.UndefinedFunction),
        (rf"Schema with name .* does not exist!{_MEANT}", pg.InvalidSchemaName),
        (r'SET (schema|search_path): No catalog \+ schema named ".*" found\.',
         pg.InvalidSchemaName),
        (rf"(Type|Index|Collation) with name .* does not exist!{_MEANT}", pg.UndefinedObject),
        (r'unrecognized configuration parameter ".*', pg.UndefinedObject),
        (r"Column with name .* already exists!", pg.DuplicateColumn),
        (r"(Table|View|Sequence|Index) with name .* already exists!", pg.DuplicateTable),
        (r'Could not rename ".*" to ".*": another entry with this name already exists!',
         pg.DuplicateTable),
        (r"Schema with name .* already exists!", pg.DuplicateSchema),
        (r"\w+ Function with name .* already exists!", pg.DuplicateFunction),
        (r"Type with name .* already exists!", pg.DuplicateObject),
        (r'table ".*" does not have a column named ".*"', pg.UndefinedColumn),
        (r'table ".*" can have only one primary key: .*', pg.InvalidTableDefinition),
        (r"Could not drop the table because this table is main key table of the table .*",
         pg.DependentObjectsStillExist),
        (r"Cannot drop this column: an index depends on it!", pg.DependentObjectsStillExist),
        (r'Cannot drop (entry ".*" because it is an internal system entry'
         r'|internal catalog entry ".*"!)',
         pg.InsufficientPrivilege),
        (r"Existing object .* is of type \w+, trying to \w+ type \w+", pg.WrongObjectType),
        (r"Can only modify view with ALTER VIEW statement", pg.WrongObjectType),
        (r".* is not an (table|aggregate function)", pg.WrongObjectType),
    ),
    "Binder": _kind(
        pg.SyntaxErrorOrAccessRuleViolation,
        (r'Referenced table ".*" not found!.*', pg.UndefinedTable),
        (r'Circular reference to CTE ".*", use WITH RECURSIVE to use recursive CTEs\.',
         pg.UndefinedTable),
        (r'Referenced column ".*" (not found in FROM clause!.*'
         r"|was not found because the FROM clause is missing)",
         pg.UndefinedColumn),
        (r"Referenced column .* not found in FROM clause and can't find in alias map\.",
         pg.UndefinedColumn),
        (r"Referenced update column .* not found in table!.*", pg.UndefinedColumn),
        (r'Table ".*" does not have a column (named|with name) ".*', pg.UndefinedColumn),
        (r"Table does not contain column .* referenced in check constraint!", pg.UndefinedColumn),
        (r'Values list ".*" does not have a column named ".*".*', pg.UndefinedColumn),
        (r'Column ".*" does not exist on (left|right) side of join!', pg.UndefinedColumn),
        (r'Column ".*" in (EXCLUDE|REPLACE) list not found in .*', pg.UndefinedColumn),
        (r'Could not find key ".*" in struct\n\nCandidate Entries: .*', pg.UndefinedColumn),
        (r'Could not ORDER BY column "\w+": add the expression/function to every SELECT, or move '
         r"the UNION into a FROM clause\.",
         pg.UndefinedColumn),
        (r'Ambiguous reference to column name ".*', pg.AmbiguousColumn),
        (r'Ambiguous reference to table ".*', pg.DuplicateAlias),
        (r"Could not choose a best candidate function for the function call .*",
         pg.AmbiguousFunction),
        (r"No function matches the given name and argument types .*", pg.UndefinedFunction),
        (r"UNNEST\(\) can only be applied to lists, structs and NULL, not .*",
         pg.UndefinedFunction),
        (r"UNNEST requires a single list as input", pg.UndefinedFunction),
        (r"Cannot mix values of type .* in .* - an explicit cast is required",
         pg.DatatypeMismatch),
        (r"Cannot (compare values of|concatenate types) .* - an explicit cast is required",
         pg.UndefinedFunction),
        (r"Cannot combine types of .* - an explicit cast is required", pg.DatatypeMismatch),
        (r"Cannot deduce template type '\w+' in function: .*", pg.DatatypeMismatch),
        (r"Set operations can only apply to expressions with the same number of result columns",
         pg.SyntaxError),
        (r"Subquery returns \d+ columns - expected \d+", pg.SyntaxError),
        (r"table .* has \d+ columns but \d+ values were supplied", pg.SyntaxError),
        (r"Column name/value mismatch for insert on .*", pg.SyntaxError),
        (r"\* expression without FROM clause!", pg.SyntaxError),
        (r"SELECT clause cannot contain DEFAULT clause", pg.SyntaxError),
        (r'Multiple assignments to same column ".*"', pg.SyntaxError),
        (r"JSON path error near '.*'", pg.SyntaxError),
        (r'table ".*" has \d+ columns available but \d+ columns specified',
         pg.InvalidColumnReference),
        (r'column ".*" must appear in the GROUP BY clause or must be part of an aggregate '
         r"function\..*",
         pg.GroupingError),
        (r"column .* must appear in the GROUP BY clause or be used in an aggregate function",
         pg.GroupingError),
        (r"(WHERE|GROUP BY) clause cannot contain aggregates!", pg.GroupingError),
        (r"aggregate function calls cannot be nested", pg.GroupingError),
        (r"aggregate function calls cannot contain window function calls", pg.GroupingError),
        (r"GROUPING statement cannot be used without groups", pg.GroupingError),
        (r"(WHERE|GROUP BY) clause cannot contain window functions!", pg.WindowingError),
        (r"window function calls cannot be nested", pg.WindowingError),
        (r"(GROUP BY|ORDER) term out of range - should be between \d+ and \d+",
         pg.InvalidColumnReference),
        (r"The specified columns as conflict target are not referenced by .*",
         pg.InvalidColumnReference),
        (r"LIMIT/OFFSET cannot be negative", pg.InvalidRowCountInLimitClause),
        (r'Catalog ".*" does not exist!', pg.InvalidCatalogName),
        (r'Failed to detach database with name ".*": database not found', pg.InvalidCatalogName),
        (r'Failed to attach database: database with name ".*" already exists',
         pg.DuplicateDatabase),
        (r"Unique file handle conflict: Cannot attach .*", pg.DuplicateDatabase),
        (r'Cannot detach database ".*" because it is the default database\..*', pg.ObjectInUse),
        (r'Prepared statement ".*" does not exist', pg.InvalidSqlStatementName),
        (r'infinite recursion detected: attempting to recursively bind view ".*"',
         pg.InvalidObjectDefinition),
        (r'Failed to create foreign key: referenced table ".*" does not have a column named ".*"',
         pg.UndefinedColumn),
        (r"Failed to create foreign key: there is no primary key or unique constraint for "
         r'referenced table ".*"',
         pg.InvalidForeignKey),
        (r'Duplicate column name ".*" in INSERT', pg.DuplicateColumn),
        (r"Can only (update|delete from) base table!?", pg.ObjectNotInPrerequisiteState),
        (r"can only create an index on a base table", pg.WrongObjectType),
        (r"Cannot create entry in system catalog", pg.InsufficientPrivilege),
        (r'(Cannot insert into a generated column|Cant update column ".*" because it is a '
         r"generated column!)",
         pg.GeneratedAlways),
        (r"DEFAULT value cannot contain column names", pg.FeatureNotSupported),
        (r"DECIMAL type width must be between \d+ and \d+", pg.InvalidParameterValue),
        (r"interval cannot be 0!", pg.InvalidParameterValue),
        (r"QUANTILE can only take parameters in the range .*", pg.NumericValueOutOfRange),
    ),
    "Conversion": _kind(
        pg.DataException,
        (r"Unimplemented type for cast \(.*", pg.CannotCoerce),
        # Said of every time that cannot be read.
        (r'time field value out of range: "[^:"]*", expected .*', pg.InvalidDatetimeFormat),
        (r"(date|timestamp|time) field value out of range: .*", pg.DatetimeFieldOverflow),
        (r"Date out of range: .*", pg.DatetimeFieldOverflow),
        (r"Date and time not in timestamp range", pg.DatetimeFieldOverflow),
        (r"invalid (date|timestamp|time) field format: .*", pg.InvalidDatetimeFormat),
        (_unread(_ONCE, "INTERVAL"), pg.InvalidDatetimeFormat),
        (r"Unknown TimeZone '.*", pg.InvalidParameterValue),
        (r'extract specifier ".*" not recognized', pg.InvalidParameterValue),
        (r"Invalid hex escape code encountered in string -> blob conversion .*",
         pg.InvalidParameterValue),
        (r'Could not decode string ".*" as base64: .*', pg.InvalidParameterValue),
        (r"Failure in decode: could not convert blob to UTF8 string.*",
         pg.CharacterNotInRepertoire),
        (r"Type \w+ with value [^ ]+ can't be cast because the value is out of range for the "
         r"destination type .*",
         pg.NumericValueOutOfRange),
        (r"Could not cast value [^ ]+ to DECIMAL\(\d+,\d+\).*", pg.NumericValueOutOfRange),
        (r'Casting value "[^" ]+" to type [A-Z0-9]+(\(\d+,\d+\))? failed: value is out of range!.*',
         pg.NumericValueOutOfRange),
        # Of the string's digits PostgreSQL, too, makes one error or the other.
        (_unread(r"\s*[+-]?\d+\s*", r"U?INT\d+"), pg.NumericValueOutOfRange),
        (_unread(r"\s*[+-]?\d+(\.\d*)?\s*", r"DECIMAL\(\d+,\d+\)"), pg.NumericValueOutOfRange),
        (_unread(_ONCE, r"\w+(\(\d+,\d+\))?"), pg.InvalidTextRepresentation),
        (r"Type VARCHAR with value '.*' can't be cast to the destination type .*",
         pg.InvalidTextRepresentation),
        (r"Malformed JSON at byte \d+ of input: .*", pg.InvalidTextRepresentation),
        (r"Invalid character encountered in string -> bit conversion: .*",
         pg.InvalidTextRepresentation),
        (r"CSV Error on Line: \d+\n.*", pg.InvalidTextRepresentation),
        (r"Cannot cast list with length \d+ to array with length \d+", pg.ArraySubscriptError),
    ),
    "Out of Range": _kind(
        pg.NumericValueOutOfRange,
        (r"cannot take logarithm of .*", pg.InvalidArgumentForLogarithm),
        (r"cannot take square root of .*", pg.InvalidArgumentForPowerFunction),
    ),
    # error() makes the user's text a message of this kind: DuckDB's own words in full are taken
    # for DuckDB's.
    "Invalid Input": _kind(
        pg.DataException,
        (_ATTACHED_READ_ONLY, pg.ReadOnlySqlTransaction),
        (r"More than one row returned by a subquery used as an expression - .*",
         pg.CardinalityViolation),
        (r"Values were not provided for the following prepared statement parameters: .*",
         pg.SyntaxError),
        (r"Parameter argument/count mismatch, .*", pg.SyntaxError),
        (r"Malformed JSON at byte \d+ of input: .*", pg.InvalidTextRepresentation),
        (r'Function ".*" is a .*\. "DISTINCT", "FILTER", and "ORDER BY" are only applicable to '
         r"aggregate functions\.",
         pg.WrongObjectType),
        (r"Argument for ntile must be greater than zero", pg.InvalidArgumentForNtileFunction),
        (r"Cannot (AND|OR|XOR) bit strings of different sizes", pg.StringDataLengthMismatch),
        (r'Could not parse string ".*" according to format specifier ".*',
         pg.InvalidDatetimeFormat),
        (r"Type INT64 with value -?\d+ can't be cast because the value is out of range for the "
         r"destination type INT32",
         pg.NumericValueOutOfRange),
        (r"A(SIN|COS) is undefined outside \[-1,1\]", pg.NumericValueOutOfRange),
        (r"Attempted to create ENUM type with duplicate value .*", pg.UniqueViolation),
        (r"Invalid UTF8 Codepoint -\d+", pg.InvalidParameterValue),
        (r"Invalid UTF8 Codepoint \d+", pg.ProgramLimitExceeded),
        (r"Invalid input for hex digit: .*", pg.InvalidParameterValue),
        (r"SETSEED accepts seed values between .*", pg.InvalidParameterValue),
        (r"Failed to cast value: .*", pg.InvalidParameterValue),
        (r"Unrecognized parameter for option \w+ \".*\"\. Expected .*", pg.InvalidParameterValue),
        (r"Unrecognized Regex option .*", pg.InvalidParameterValue),
        (r'Cannot change configuration option ".*" - the configuration has been locked',
         pg.CantChangeRuntimeParam),
        (r"Cannot (change \w+ setting|enable external access) while database is running.*",
         pg.CantChangeRuntimeParam),
        (rf"({_BAD_EXPRESSIONS}): .*|trailing \\", pg.InvalidRegularExpression),
    ),
    "Constraint": _kind(
        pg.IntegrityConstraintViolation,
        (r"NOT NULL constraint failed: .*", pg.NotNullViolation),
        (r'Violates foreign key constraint because key ".*', pg.ForeignKeyViolation),
        (r"CHECK constraint failed on table .*", pg.CheckViolation),
        (r'Duplicate key ".*" violates (primary key|unique) constraint\..*', pg.UniqueViolation),
        (r'PRIMARY KEY or UNIQUE constraint violation: duplicate key ".*"', pg.UniqueViolation),
    ),
    "Dependency": _kind(pg.DependentObjectsStillExist),
    "Sequence": _kind(
        pg.ObjectNotInPrerequisiteState,
        (r'nextval: reached (maximum|minimum) value of sequence ".*',
         pg.SequenceGeneratorLimitExceeded),
    ),
    "TransactionContext": _kind(
        pg.InvalidTransactionState,
        (r"Current transaction is aborted \(please ROLLBACK\)", pg.InFailedSqlTransaction),
        (_LAUNCHED_READ_ONLY, pg.ReadOnlySqlTransaction),
        (r"Conflict on (update|tuple deletion)!", pg.SerializationFailure),
        (r"Catalog write-write conflict on (alter|create) with .*", pg.SerializationFailure),
        (r"(Failed to commit: )?Transaction conflict: .*", pg.SerializationFailure),
        (r"(Failed to commit: )?Attempting to modify table .* but another transaction has altered "
         r"this table",
         pg.SerializationFailure),
        (r"(Failed to commit: )?PRIMARY KEY or UNIQUE constraint violation: duplicate key .*",
         pg.UniqueViolation),
        (r'Attempting to write to database ".*" in a transaction that has already modified '
         r'database ".*" - a single transaction can only write to a single attached database\.',
         pg.FeatureNotSupported),
        (r"cannot start a transaction within a transaction", pg.ActiveSqlTransaction),
        (r"cannot (commit|rollback) - no transaction is active", pg.NoActiveSqlTransaction),
    ),
    "IO": _kind(
        pg.SystemError,
        (SERVER_READ_ONLY, pg.ReadOnlySqlTransaction),
        (r'No files found that match the pattern ".*"', pg.UndefinedFile),
        (r'Cannot open file ".*": No such file or directory', pg.UndefinedFile),
        (r'Cannot open database ".*" in read-only mode: database does not exist',
         pg.UndefinedFile),
        (r'Extension ".*" not found\..*', pg.UndefinedFile),
        (r'Cannot open file ".*": Permission denied', pg.InsufficientPrivilege),
        (r'Could not write file ".*": No space left on device', pg.DiskFull),
        (r'Could not set lock on file ".*": Conflicting lock is held .*', pg.ObjectInUse),
        (r'The file ".*" exists, but it is not a valid DuckDB database file!', pg.IoError),
    ),
    "HTTP": _kind(pg.SystemError),
    "Serialization": _kind(pg.SystemError),
    "Permission": _kind(pg.InsufficientPrivilege),
    "Out of Memory": _kind(
        pg.OutOfMemory,
        (r"failed to offload data block of size [^(]*\([^)]*\)\.\n"
         r"This limit was set by the 'max_temp_directory_size' setting\..*",
         pg.ConfigurationLimitExceeded),
    ),
    "Not implemented": _kind(
        pg.FeatureNotSupported,
        (r"Unknown TimeZone '.*", pg.InvalidParameterValue),
        (r"Cannot combine types .* and .* - an explicit cast is required", pg.DatatypeMismatch),
    ),
    "Connection": _kind(pg.ConnectionException),
    "Invalid type": _kind(pg.DatatypeMismatch),
    "Mismatch Type": _kind(pg.DatatypeMismatch),
    "INTERRUPT": _kind(pg.QueryCanceled),
    "INTERNAL": _kind(pg.InternalError_),
    "FATAL": _kind(pg.InternalError_),
}  # fmt: skip
# What MotherDuck's service itself says, see reference to its sources in pgmd.local.Quirks.
SERVICE: tuple[Rule, ...] = (
    Rule(re.compile(r"ambiguous result column types.*", re.DOTALL), pg.IndeterminateDatatype),
    Rule(re.compile(r".*cannot be described before it runs.*", re.DOTALL), pg.FeatureNotSupported),
    # What the local endpoint cannot send, nor PostgreSQL hold.
    Rule(re.compile(r"PostgreSQL text fields cannot contain NUL.*"), pg.CharacterNotInRepertoire),
)


def rule_for(kind: str, message: str) -> Rule | None:
    """The rule that decides about a message, without the line that DuckDB shows."""
    return next((r for r in KINDS[kind].rules if r.pattern.fullmatch(message)), None)
