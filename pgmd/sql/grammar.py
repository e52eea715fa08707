"""What pgmd knows about SQL words: the tables behind `statement` and `portable`.

Everything is lower case. Adding a name is one line; `tests/unit/test_statement.py` holds each
function against DuckDB's own catalogue.
"""

from __future__ import annotations

import enum


class Fact(enum.Flag):
    """What a statement does, as far as its words tell."""

    READS = enum.auto()
    WRITES = enum.auto()
    DDL = enum.auto()  # always with WRITES
    TRANSACTION = enum.auto()
    SESSION = enum.auto()  # changes or asks for the state of one connection
    SEVERAL = enum.auto()
    EMPTY = enum.auto()
    UNKNOWN = enum.auto()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


READ = Fact.READS
WRITE = Fact.WRITES
DDL = Fact.WRITES | Fact.DDL
SESSION = Fact.SESSION
DOUBT = Fact.READS | Fact.UNKNOWN

# --- the first word of a statement -------------------------------------------------------------

READ_HEADS = _words("select with from values table")

HEADS: dict[str, Fact] = {
    **dict.fromkeys(_words("insert update delete merge truncate replace upsert"), WRITE),
    # Files on one side or the other, or a protocol of its own; never a plain read.
    **dict.fromkeys(_words("copy export"), WRITE),
    # No rows change, but they are meant for the writer.
    **dict.fromkeys(_words("checkpoint vacuum analyze analyse reindex cluster"), WRITE),
    **dict.fromkeys(_words("notify refresh"), WRITE),
    **dict.fromkeys(_words("create alter drop comment grant revoke reassign security"), DDL),
    "import": DDL,
    **dict.fromkeys(
        _words("begin start commit end rollback abort savepoint release"), Fact.TRANSACTION
    ),
    # LOCK holds until the end of the transaction.
    "lock": Fact.TRANSACTION,
    **dict.fromkeys(_words("set reset use attach detach discard load pragma"), SESSION),
    **dict.fromkeys(_words("prepare execute deallocate listen unlisten"), SESSION),
    **dict.fromkeys(_words("declare fetch move close"), SESSION),
    # Reads in most cases, not yet told apart from the others: EXPLAIN ANALYZE runs its statement,
    # SHOW asks for settings, PIVOT creates a type.
    **dict.fromkeys(_words("explain describe desc show summarize pivot unpivot"), DOUBT),
    **dict.fromkeys(_words("pivot_wider pivot_longer"), DOUBT),
}

# --- words that end a confirmed read wherever they stand unquoted ------------------------------

DOUBTFUL_WORDS: dict[str, Fact] = {
    # DuckDB 2.0 runs them inside WITH; a column of that name costs the offload and no more.
    **dict.fromkeys(_words("insert update delete merge truncate"), WRITE),
    "into": DDL,
    **dict.fromkeys(_words("create drop alter"), DDL),
    **dict.fromkeys(
        _words("copy call attach detach install export import checkpoint vacuum"), DOUBT
    ),
    **dict.fromkeys(_words("execute prepare deallocate grant revoke pragma"), DOUBT),
    # As the head of a parenthesis or a CTE.
    **dict.fromkeys(_words("show describe desc summarize explain pivot unpivot"), DOUBT),
    **dict.fromkeys(_words("pivot_wider pivot_longer"), DOUBT),
    # Another answer each time.
    **dict.fromkeys(_words("tablesample sample"), DOUBT),
}
del DOUBTFUL_WORDS["desc"]  # ORDER BY a DESC

# SELECT ... FOR UPDATE is found by its UPDATE.
LOCKING = _words("share no key update")
TEMPORARY = _words("temp temporary pg_temp")

# --- names that ask about the server or the session, quoted or not -----------------------------

SYSTEM_PREFIXES = (
    "pg_",
    "duckdb_",
    "sqlite_",
    "md_",
    "__",
    "information_schema",
)

SESSION_NAMES = _words(
    # DuckDB calls a function for these even without parentheses, and even when quoted.
    "current_user session_user user system_user current_role current_schema current_schemas"
    " current_catalog current_database current_date current_time current_timestamp localtime"
    " localtimestamp get_current_time get_current_timestamp"
    # 'name'::regclass looks a name up in the search path.
    " regclass regproc regprocedure regoper regoperator regtype regrole regnamespace regconfig"
    " regdictionary regcollation"
    # Numbered by each side for itself.
    " ctid xmin xmax cmin cmax oid tableoid rowid"
)

# --- functions ---------------------------------------------------------------------------------

# Called in a SELECT these do more than a doubt would say. Any function in neither table is a
# doubt: a macro or an extension may do anything.
DOUBTFUL_CALLS: dict[str, Fact] = {
    **dict.fromkeys(_words("nextval setval"), READ | WRITE),
    **dict.fromkeys(_words("set_config setseed currval lastval getvariable"), READ | SESSION),
}
SESSION_CALL_PREFIXES = ("pg_advisory_", "pg_try_advisory_")

# Pure, deterministic, and the same in every session. Left out on purpose: age(x) and ago(x) look
# at the clock, histogram(...) and query(...) read a table named in a string, hash() differs
# between versions, approx_quantile() and reservoir_quantile() between runs.
AGGREGATES = _words(
    "any_value approx_count_distinct arbitrary arg_max arg_max_null arg_min arg_min_null argmax"
    " argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count count_if count_star"
    " countif covar_pop covar_samp entropy favg first fsum geomean geometric_mean group_concat"
    " kahan_sum kurtosis kurtosis_pop last list listagg mad max max_by mean median min min_by mode"
    " product quantile quantile_cont quantile_disc regr_avgx regr_avgy regr_count regr_intercept"
    " regr_r2 regr_slope regr_sxx regr_sxy regr_syy sem skewness stddev stddev_pop stddev_samp"
    " string_agg sum sum_no_overflow sumkahan var_pop var_samp variance weighted_avg wavg"
)
WINDOW_FUNCTIONS = _words(
    "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank"
    " rank_dense row_number"
)
NUMBER_FUNCTIONS = _words(
    "abs acos acosh add asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot"
    " degrees divide even exp factorial fdiv floor fmod gamma gcd greatest"
    " greatest_common_divisor isfinite isinf isnan lcm least least_common_multiple lgamma ln log"
    " log10 log2 mod multiply nextafter pi pow power radians round round_even roundbankers sign"
    " signbit sin sinh sqrt subtract tan tanh trunc xor"
)
STRING_FUNCTIONS = _words(
    "array_to_string ascii bar base64 bin bit_length char_length character_length chr concat"
    " concat_ws contains damerau_levenshtein decode editdist3 encode ends_with format format_bytes"
    " from_base64 from_binary from_hex hamming hex instr jaccard jaro_similarity"
    " jaro_winkler_similarity lcase left left_grapheme len length length_grapheme levenshtein lower"
    " lpad ltrim md5 mismatches nfc_normalize octet_length ord parse_dirname parse_dirpath"
    " parse_filename parse_path prefix printf regexp_escape regexp_extract regexp_extract_all"
    " regexp_full_match regexp_matches regexp_replace regexp_split_to_array repeat replace reverse"
    " right right_grapheme rpad rtrim sha1 sha256 split split_part starts_with str_split"
    " str_split_regex string_split string_split_regex string_to_array strip_accents strlen strpos"
    " substr substring_grapheme suffix to_base to_base64 to_binary to_hex translate ucase"
    " unbin unhex unicode upper url_decode url_encode"
)
DATE_FUNCTIONS = _words(
    "century date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc"
    " day dayname dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms epoch_ns"
    " epoch_us era hour isodow isoyear julian last_day make_date make_time make_timestamp"
    " microsecond millennium millisecond minute month monthname nanosecond quarter second strftime"
    " strptime time_bucket timezone to_centuries to_days to_decades to_hours to_microseconds"
    " to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp"
    " to_weeks to_years try_strptime week weekday weekofyear year yearweek"
)
NESTED_FUNCTIONS = _words(
    "apply array_append array_cat array_concat array_contains array_distinct array_extract"
    " array_filter array_has array_has_all array_has_any array_indexof array_intersect"
    " array_length array_position array_prepend array_reverse array_slice array_sort"
    " array_transform array_unique array_value cardinality element_at filter flatten json"
    " json_array json_array_length json_contains json_exists json_extract json_extract_path"
    " json_extract_path_text json_extract_string json_group_array json_group_object json_keys"
    " json_merge_patch json_object json_pretty json_quote json_structure json_transform json_type"
    " json_valid json_value list_aggregate list_any_value list_append list_apply list_avg list_cat"
    " list_concat list_contains list_count list_distinct list_element list_extract list_filter"
    " list_first list_has list_has_all list_has_any list_indexof list_intersect list_last"
    " list_max list_median list_min list_pack list_position list_prepend list_product list_reduce"
    " list_resize list_reverse list_reverse_sort list_select list_slice list_sort list_sum"
    " list_transform list_unique list_value list_where list_zip map_concat map_contains"
    " map_entries map_extract map_extract_value map_from_entries map_keys map_values reduce"
    " row_to_json struct_concat struct_contains struct_extract struct_insert struct_keys"
    " struct_pack struct_update struct_values to_json"
)
OTHER_FUNCTIONS = _words("nullif typeof")
TABLE_FUNCTIONS = _words("generate_series json_each json_tree range unnest")

FUNCTIONS = (
    AGGREGATES
    | WINDOW_FUNCTIONS
    | NUMBER_FUNCTIONS
    | STRING_FUNCTIONS
    | DATE_FUNCTIONS
    | NESTED_FUNCTIONS
    | OTHER_FUNCTIONS
    | TABLE_FUNCTIONS
)

# DuckDB's reserved words: never names unless quoted.
RESERVED = _words(
    "all analyse analyze and any array as asc asymmetric both case cast check collate column"
    " constraint create default deferrable desc describe distinct do else end except false fetch"
    " for foreign from group having in initially intersect into lambda lateral leading limit not"
    " null offset on only or order pivot pivot_longer pivot_wider placing primary qualify"
    " references returning select show some summarize symmetric table then to trailing true union"
    " unique unpivot using variadic when where window with"
)

# Unquoted and before a parenthesis, these are grammar: no function can have the name, or the
# grammar wins. (Those that a macro could take are in `Statement.names` like any other name.)
NOT_CALLS = RESERVED | _words(
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
FROM_ARGUMENT = _words("extract overlay substring trim position")

# Where a table may be named. Anything else that begins a clause ends the FROM clause.
CLAUSE_END = _words(
    "select values where group order having limit offset qualify window union except intersect"
    " fetch"
)
FROM_POSITION = _words("from join lateral")

# Endings of names that DuckDB may take for a file, with or without quotes: FROM data.csv
FILE_SUFFIXES = _words(
    "arrow arrows avro blob bz2 csv db duckdb feather fgb geojson gpkg gz ipc json jsonl log lz4"
    " ndjson orc parquet shp snappy sqlite sqlite3 tbl text tsv txt vortex xls xlsx xz zip zst"
    " zstd"
)
PATH_CHARACTERS = frozenset("/\\:*?[]{}~%")

# --- what depends on the order of text ---------------------------------------------------------

ORDERING_WORDS = _words(
    "order between over window min max greatest least sort arg_max arg_max_null arg_min"
    " arg_min_null argmax argmin max_by min_by median mode quantile quantile_cont quantile_disc mad"
    " list_max list_min list_median list_sort list_reverse_sort array_sort list_aggregate"
    " pivot rollup cube"
)
ORDERING_OPERATORS = frozenset(["<", ">", "<=", ">=", "<=>"])

# --- where PostgreSQL and DuckDB agree ---------------------------------------------------------
# Allow-lists, each entry tried on both (tests/corpora/portable.toml); anything else is unportable.
# What PostgreSQL refuses while it describes the statement needs no entry: the user sees its error.

PORTABLE_OPERATORS = _words("= <> != < > <= >= + - * :: . , ( )")
COMPARISONS = _words("= <> != < > <= >=")
ARITHMETIC = _words("+ - *")

PORTABLE_FUNCTIONS = _words(
    # avg only of a double: PostgreSQL's numeric average has digits that DuckDB's double has not
    "count sum min max avg bool_and bool_or"
    " row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value"
    " nth_value"
    # not round (half away against half to even for doubles), mod (by zero), sqrt and the like
    " abs floor ceil ceiling"
    # not lower, upper, ilike (locale), reverse (graphemes), concat (text of a double), split_part
    " length char_length character_length left right replace strpos starts_with substr substring"
    " trim ltrim rtrim md5"
    " nullif greatest least date_trunc"
)
# Whose result is a number, so that a cast of it never reads text.
NUMERIC_RESULTS = _words("count sum length char_length character_length row_number rank strpos")

# Any grammar word that is not here is unportable.
PORTABLE_WORDS = _words(
    "select from where group having order by asc desc limit offset fetch with as values table only"
    " union intersect except all distinct on using join left right full inner outer cross natural"
    " lateral and or not in is null isnull notnull true false between like case when then else end"
    " cast coalesce exists any some extract substring position trim interval window for"
    " smallint int integer bigint numeric decimal float double precision boolean date time"
    " timestamp varchar char grouping"
)
# ASOF, SEMI, ANTI and POSITIONAL are aliases to PostgreSQL in `FROM a asof JOIN b`.
# A recursion cut short by LIMIT never ends in DuckDB.
UNPORTABLE_WORDS = (
    RESERVED
    | _words(
        "anti asof semi positional columns exclude rename similar ilike glob collate at"
        " overlaps overlay struct map try_cast treat real bit nchar national setof"
        " authorization binary freeze concurrently verbose unpack generated symmetric ties"
        " ordinality escape ignore respect recursive qualify generate_series generate_subscripts"
        " unnest grouping_id"
    )
) - PORTABLE_WORDS

# ROW (...); as in CURRENT ROW the word is fine.
UNPORTABLE_CALLS = _words("row")

INTEGER_TYPES = _words("smallint int2 int integer int4 bigint int8")
DATE_UNITS = _words("year quarter month week day hour minute second")
EXTRACT_FIELDS = _words("year month day quarter dow doy isodow week")
# Their result has the scale of whichever argument won, in PostgreSQL only.
SCALE_MIXERS = _words("coalesce greatest least")
