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
    TRANSACTION = enum.auto()  # begins or ends one, or a part of one
    SESSION = enum.auto()  # changes the state of its connection, or depends on what it did before
    TEMPORARY = enum.auto()  # names or makes an object that only its connection has
    ASKS_SESSION = enum.auto()  # asks about the server or the connection: no two need agree
    LOCAL_FILES = enum.auto()  # of whatever machine runs it
    REMOTE_FILES = enum.auto()
    EXTERNAL = enum.auto()  # acts outside of the tables: logs, checkpoints, other systems
    VOLATILE = enum.auto()  # another answer each time, wherever it runs
    SEVERAL = enum.auto()
    EMPTY = enum.auto()
    UNKNOWN = enum.auto()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


READ = Fact.READS
VOLATILE_READ = Fact.READS | Fact.VOLATILE
WRITE = Fact.WRITES
DDL = Fact.WRITES | Fact.DDL
SESSION = Fact.SESSION
TEMPORARY = Fact.TEMPORARY
TRANSACTION = Fact.TRANSACTION
ASKS = Fact.READS | Fact.ASKS_SESSION
LOCAL_FILES = Fact.READS | Fact.LOCAL_FILES
REMOTE_FILES = Fact.READS | Fact.REMOTE_FILES
EXTERNAL = Fact.READS | Fact.EXTERNAL
DOUBT = Fact.READS | Fact.UNKNOWN
# Whoever did it needs the same connection for what comes next.
PINNING = Fact.SESSION | Fact.TEMPORARY | Fact.TRANSACTION

# --- the first word of a statement -------------------------------------------------------------

READ_HEADS = _words("select with from values table pivot unpivot pivot_wider pivot_longer")
# Before another statement or a table: it is the other that counts.
EXPLAIN = "explain"
DESCRIBE_HEADS = _words("describe desc summarize")
SHOW = "show"
PRAGMA = "pragma"
# Of one table, and of the tables in the search path: the same on every side. (Unlike the paths of
# database_list, the DuckDB that `version` tells, or the layout of a file in storage_info.)
PURE_PRAGMAS = _words("table_info show_tables")
EXPLAIN_OPTIONS = _words("analyze analyse format")
# SHOW and DESCRIBE of these ask for what a connection has attached or set.
SHOWN_OF_SESSION = _words("databases schemas all variables settings")

HEADS: dict[str, Fact] = {
    **dict.fromkeys(_words("insert update delete merge truncate replace upsert"), WRITE),
    # Files on one side or the other, or a protocol of its own; never a plain read.
    **dict.fromkeys(_words("copy export"), WRITE | Fact.LOCAL_FILES),
    # No rows change, but they are meant for the writer.
    **dict.fromkeys(_words("checkpoint vacuum analyze analyse reindex cluster"), WRITE),
    **dict.fromkeys(_words("notify refresh"), WRITE),
    **dict.fromkeys(_words("create alter drop comment grant revoke reassign security"), DDL),
    "import": DDL | Fact.LOCAL_FILES,
    **dict.fromkeys(
        _words("begin start commit end rollback abort savepoint release"), Fact.TRANSACTION
    ),
    # LOCK holds until the end of the transaction.
    "lock": Fact.TRANSACTION,
    **dict.fromkeys(_words("set reset use attach detach discard pragma"), SESSION),
    **dict.fromkeys(_words("load install"), SESSION | Fact.EXTERNAL),
    **dict.fromkeys(_words("prepare execute deallocate listen unlisten"), SESSION),
    **dict.fromkeys(_words("declare fetch move close"), SESSION),
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
    **dict.fromkeys(_words("show explain"), DOUBT),
    # Another answer each time, but with REPEATABLE one that depends on how a file is laid out.
    **dict.fromkeys(_words("tablesample sample"), VOLATILE_READ),
    "repeatable": DOUBT,
}
SAMPLE_WORDS = _words("tablesample sample")

# SELECT ... FOR UPDATE is found by its UPDATE.
LOCKING = _words("share no key update")
TEMPORARY_WORDS = _words("temp temporary pg_temp")

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
CLOCK_NAMES = _words(
    "current_date current_time current_timestamp localtime localtimestamp get_current_time"
    " get_current_timestamp"
)
SESSION_NAMES = _words(
    # DuckDB calls a function for these even without parentheses, and even when quoted.
    "current_user session_user user system_user current_role current_schema current_schemas"
    " current_catalog current_database"
    # 'name'::regclass looks a name up in the search path.
    " regclass regproc regprocedure regoper regoperator regtype regrole regnamespace regconfig"
    " regdictionary regcollation"
    # Numbered by each side for itself.
    " ctid xmin xmax cmin cmax oid tableoid rowid"
)

# --- functions ---------------------------------------------------------------------------------

# Called in a SELECT these make it no confirmed read. Any function that stands nowhere here is a
# macro that has to be looked through, or one of an extension, which may do anything.
FILE_CALLS = _words(
    "glob read_blob read_csv read_csv_auto read_duckdb read_json read_json_auto read_json_objects"
    " read_json_objects_auto read_ndjson read_ndjson_auto read_ndjson_objects read_parquet"
    " read_single_csv_file read_single_json_file read_single_parquet_file read_text"
    " parquet_bloom_probe parquet_file_metadata parquet_full_metadata parquet_kv_metadata"
    " parquet_metadata parquet_scan parquet_schema sniff_csv"
)
DOUBTFUL_CALLS: dict[str, Fact] = {
    **dict.fromkeys(_words("nextval setval"), READ | WRITE),
    **dict.fromkeys(_words("set_config setseed currval lastval"), READ | SESSION),
    **dict.fromkeys(
        _words(
            "checkpoint force_checkpoint write_log enable_logging disable_logging"
            " truncate_duckdb_logs enable_profiling disable_profiling postgres_execute"
            " mysql_execute prompt embedding create_external_resource"
            " deregister_external_resource destroy_external_resource register_external_resource"
            " register_external_resource_type"
        ),
        EXTERNAL,
    ),
    **dict.fromkeys(
        _words(
            "current_setting current_query current_query_id current_connection_id"
            " current_transaction_id txid_current version in_search_path get_block_size"
            " inet_client_addr inet_client_port inet_server_addr inet_server_port"
            " pragma_collations pragma_database_size pragma_metadata_info pragma_platform"
            " pragma_show pragma_storage_info pragma_table_info pragma_user_agent pragma_version"
            " summary stats vector_type which_secret"
        ),
        ASKS,
    ),
    # They run or scan what stands in a text or in the memory of the calling program.
    **dict.fromkeys(
        _words(
            "query json_execute_serialized_sql arrow_scan arrow_scan_dumb pandas_scan"
            " python_arrow_scan python_map_function seq_scan"
        ),
        DOUBT,
    ),
    # The hash differs between versions, the others are for tests and for the engine itself.
    **dict.fromkeys(_words("hash test_all_types test_vector_types icu_calendar_names"), DOUBT),
}
# The name of a table stands in a text.
NAMING_CALLS = _words("query_table")
SESSION_CALL_PREFIXES = ("pg_advisory_", "pg_try_advisory_")
# Within such a name: what it does ends with the transaction.
TRANSACTION_CALL = "_xact_"

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
BIT_FUNCTIONS = _words("bit_position bitstring get_bit set_bit")
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
    " unbin unhex unicode upper url_decode url_encode formatreadabledecimalsize"
    " formatreadablesize md5_number md5_number_lower md5_number_upper"
)
DATE_FUNCTIONS = _words(
    "century date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc"
    " day dayname dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms epoch_ns"
    " epoch_us era hour isodow isoyear julian last_day make_date make_time make_timestamp"
    " microsecond millennium millisecond minute month monthname nanosecond quarter second strftime"
    " strptime time_bucket timezone to_centuries to_days to_decades to_hours to_microseconds"
    " to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp"
    " to_weeks to_years try_strptime week weekday weekofyear year yearweek make_timestamp_ms"
    " make_timestamp_ns make_timestamptz normalized_interval timezone_hour timezone_minute"
    " uuid_extract_timestamp uuid_extract_version"
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
    " aggregate array_aggr array_aggregate array_apply array_cosine_distance"
    " array_cosine_similarity array_cross_product array_distance array_dot_product array_grade_up"
    " array_inner_product array_negative_dot_product array_negative_inner_product array_pop_back"
    " array_pop_front array_push_back array_push_front array_reduce array_resize"
    " array_reverse_sort array_select array_to_json array_where array_zip from_json"
    " from_json_strict json_group_structure json_transform_strict list_aggr"
    " list_approx_count_distinct list_bit_and list_bit_or list_bit_xor list_bool_and list_bool_or"
    " list_cosine_distance list_cosine_similarity list_distance list_dot_product list_entropy"
    " list_grade_up list_histogram list_inner_product list_kurtosis list_kurtosis_pop list_mad"
    " list_mode list_negative_dot_product list_negative_inner_product list_sem list_skewness"
    " list_stddev_pop list_stddev_samp list_string_agg list_var_pop list_var_samp grade_up"
    " map_contains_entry map_contains_value struct_extract_at struct_has struct_indexof"
    " struct_position union_extract union_tag union_value"
)
# getvariable: what a session has set is set on the replica too, or the session stays away.
OTHER_FUNCTIONS = _words(
    "enum_code enum_first enum_last enum_range enum_range_boundary getvariable nullif typeof"
)
# Volatile and without any effect. (pg_sleep sleeps, error fails.)
VOLATILE_FUNCTIONS = _words(
    "random uuid gen_random_uuid uuidv4 uuidv7 now today transaction_timestamp current_localtime"
    " current_localtimestamp age ago sleep_ms pg_sleep error"
    # differ between two runs over the same rows
    " approx_quantile reservoir_quantile approx_top_k"
) | (CLOCK_NAMES & _words("get_current_time get_current_timestamp"))
# Each with the reason why a replica may run it. `tests/unit/test_statement.py` wants every table
# function of DuckDB here or among those above that are not for a replica.
TABLE_FUNCTIONS: dict[str, str] = {
    "generate_series": "numbers from its arguments",
    "range": "numbers from its arguments",
    "repeat": "copies of its argument",
    "repeat_row": "copies of its arguments",
    "unnest": "the elements of its argument",
    "json_each": "the elements of its argument",
    "json_tree": "the elements of its argument",
}

FUNCTIONS = (
    AGGREGATES
    | WINDOW_FUNCTIONS
    | BIT_FUNCTIONS
    | NUMBER_FUNCTIONS
    | STRING_FUNCTIONS
    | DATE_FUNCTIONS
    | NESTED_FUNCTIONS
    | OTHER_FUNCTIONS
    | TABLE_FUNCTIONS.keys()
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
PIVOTS = _words("pivot unpivot pivot_wider pivot_longer")
TABLE_POSITION = _words("from join lateral table summarize describe") | PIVOTS

# --- what a session sets and a replica's cursor can be told, too -------------------------------

PATH_SETTINGS = _words("schema search_path")
SYSTEM_SCHEMAS = _words("system temp information_schema pg_catalog")
CONSTANT_WORDS = _words(
    "null true false date timestamp interval integer int bigint smallint varchar text double"
    " boolean decimal float"
)

# Endings of names that DuckDB may take for a file, with or without quotes: FROM data.csv
FILE_SUFFIXES = _words(
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
EXTRACT_FIELDS = _words("year month day quarter dow doy isodow week")
# Their result has the scale of whichever argument won, in PostgreSQL only.
SCALE_MIXERS = _words("coalesce greatest least")
