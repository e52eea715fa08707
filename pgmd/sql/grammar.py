"""What pgmd knows about SQL words, functions aside. Everything is lower case."""

from __future__ import annotations

from .facts import DDL, DOUBT, SESSION, VOLATILE_READ, WRITE, Fact


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# --- the first word of a statement -------------------------------------------------------------

READ_HEADS = words("select with from values table pivot unpivot pivot_wider pivot_longer")
# Before another statement or a table: it is the other that counts.
EXPLAIN = "explain"
DESCRIBE_HEADS = words("describe desc summarize")
SHOW = "show"
PRAGMA = "pragma"
# Of one table, and of the tables in the search path: the same on every side. (Unlike the paths of
# database_list, the DuckDB that `version` tells, or the layout of a file in storage_info.)
PURE_PRAGMAS = words("table_info show_tables")
EXPLAIN_OPTIONS = words("analyze analyse format")
# SHOW and DESCRIBE of these ask for what a connection has attached or set.
SHOWN_OF_SESSION = words("databases schemas all variables settings")

HEADS: dict[str, Fact] = {
    **dict.fromkeys(words("insert update delete merge truncate replace upsert"), WRITE),
    # Files on one side or the other, or a protocol of its own; never a plain read.
    **dict.fromkeys(words("copy export"), WRITE | Fact.LOCAL_FILES),
    # No rows change, but they are meant for the writer.
    **dict.fromkeys(words("checkpoint vacuum analyze analyse reindex cluster"), WRITE),
    **dict.fromkeys(words("notify refresh"), WRITE),
    **dict.fromkeys(words("create alter drop comment grant revoke reassign security"), DDL),
    "import": DDL | Fact.LOCAL_FILES,
    **dict.fromkeys(
        words("begin start commit end rollback abort savepoint release"), Fact.TRANSACTION
    ),
    # LOCK holds until the end of the transaction.
    "lock": Fact.TRANSACTION,
    **dict.fromkeys(words("set reset use attach detach discard pragma"), SESSION),
    **dict.fromkeys(words("load install"), SESSION | Fact.EXTERNAL),
    **dict.fromkeys(words("prepare execute deallocate listen unlisten"), SESSION),
    **dict.fromkeys(words("declare fetch move close"), SESSION),
}

# --- words that end a confirmed read wherever they stand unquoted ------------------------------

DOUBTFUL_WORDS: dict[str, Fact] = {
    # DuckDB 2.0 runs them inside WITH; a column of that name costs the offload and no more.
    **dict.fromkeys(words("insert update delete merge truncate"), WRITE),
    "into": DDL,
    **dict.fromkeys(words("create drop alter"), DDL),
    **dict.fromkeys(
        words("copy call attach detach install export import checkpoint vacuum"), DOUBT
    ),
    **dict.fromkeys(words("execute prepare deallocate grant revoke pragma"), DOUBT),
    # As the head of a parenthesis or a CTE.
    **dict.fromkeys(words("show explain"), DOUBT),
    # Another answer each time, but with REPEATABLE one that depends on how a file is laid out.
    **dict.fromkeys(words("tablesample sample"), VOLATILE_READ),
    "repeatable": DOUBT,
}
SAMPLE_WORDS = words("tablesample sample")

# SELECT ... FOR UPDATE is found by its UPDATE.
LOCKING = words("share no key update")
TEMPORARY_WORDS = words("temp temporary pg_temp")

# --- names that ask about the server or the session, quoted or not -----------------------------

# They list what is there: each side has something else attached besides the database.
SYSTEM_PREFIXES = (
    "pg_",
    "duckdb_",
    "sqlite_",
    "md_",
    "__",
    "information_schema",
)

# Each side reads its own clock, in the same time zone.
CLOCK_NAMES = words(
    "current_date current_time current_timestamp localtime localtimestamp get_current_time"
    " get_current_timestamp"
)
SESSION_NAMES = words(
    # DuckDB calls a function for these even without parentheses, and even when quoted.
    "current_user session_user user system_user current_role current_schema current_schemas"
    " current_catalog current_database"
    # 'name'::regclass looks a name up in the search path.
    " regclass regproc regprocedure regoper regoperator regtype regrole regnamespace regconfig"
    " regdictionary regcollation"
    # Numbered by each side for itself.
    " ctid xmin xmax cmin cmax oid tableoid rowid"
)

# --- words that are grammar, and where tables stand --------------------------------------------

# DuckDB's reserved words: never names unless quoted.
RESERVED = words(
    "all analyse analyze and any array as asc asymmetric both case cast check collate column"
    " constraint create default deferrable desc describe distinct do else end except false fetch"
    " for foreign from group having in initially intersect into lambda lateral leading limit not"
    " null offset on only or order pivot pivot_longer pivot_wider placing primary qualify"
    " references returning select show some summarize symmetric table then to trailing true union"
    " unique unpivot using variadic when where window with"
)

# Unquoted and before a parenthesis, these are grammar: no function can have the name, or the
# grammar wins. (Those that a macro could take are in `Statement.names` like any other name.)
NOT_CALLS = RESERVED | words(
    # operators and joins
    "between ilike is isnull join like notnull similar exists escape"
    # clauses
    " by over filter within values materialized recursive rollup cube sets grouping exclude rename"
    " intersect except"
    # written like functions, and pure
    " coalesce extract overlay position substring trim row try_cast treat columns interval map"
    " struct"
)

# FROM inside the parentheses of these is not a clause.
FROM_ARGUMENT = words("extract overlay substring trim position")

# Where a table may be named. Anything else that begins a clause ends the FROM clause.
CLAUSE_END = words(
    "select values where group order having limit offset qualify window union except intersect"
    " fetch"
)
PIVOTS = words("pivot unpivot pivot_wider pivot_longer")
TABLE_POSITION = words("from join lateral table summarize describe") | PIVOTS

# --- what a session sets and a replica's cursor can be told, too -------------------------------

PATH_SETTINGS = words("schema search_path")
SYSTEM_SCHEMAS = words("system temp information_schema pg_catalog")
CONSTANT_WORDS = words(
    "null true false date timestamp interval integer int bigint smallint varchar text double"
    " boolean decimal float"
)

# Endings of names that DuckDB may take for a file, with or without quotes: FROM data.csv
FILE_SUFFIXES = words(
    "arrow arrows avro blob bz2 csv db duckdb feather fgb geojson gpkg gz ipc json jsonl log lz4"
    " ndjson orc parquet shp snappy sqlite sqlite3 tbl text tsv txt vortex xls xlsx xz zip zst"
    " zstd"
)
PATH_CHARACTERS = frozenset("/\\:*?[]{}~%")
REMOTE_SCHEMES = (
    "http:",
    "https:",
    "s3:",
    "s3a:",
    "s3n:",
    "gs:",
    "gcs:",
    "r2:",
    "hf:",
    "az:",
    "azure:",
    "abfss:",
    "hdfs:",
)

# --- what depends on the order of text ---------------------------------------------------------

ORDERING_WORDS = words(
    "order between over window min max greatest least sort arg_max arg_max_null arg_min"
    " arg_min_null argmax argmin max_by min_by median mode quantile quantile_cont quantile_disc mad"
    " list_max list_min list_median list_sort list_reverse_sort array_sort list_aggregate"
    " pivot rollup cube"
)
ORDERING_OPERATORS = frozenset(["<", ">", "<=", ">=", "<=>"])
