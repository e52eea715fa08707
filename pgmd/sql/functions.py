"""What pgmd knows about functions: which of them a replica may run, and what others do.

Everything is lower case. Adding a name is one line; `tests/unit/test_statement.py` holds each
against DuckDB's own catalogue.
"""

from __future__ import annotations

from .facts import ASKS, DOUBT, EXTERNAL, READ, SESSION, WRITE, Fact
from .grammar import CLOCK_NAMES, words

# Called in a SELECT these make it no confirmed read. Any function that stands nowhere here is a
# macro that has to be looked through, or one of an extension, which may do anything.
FILE_CALLS = words(
    "glob read_blob read_csv read_csv_auto read_duckdb read_json read_json_auto read_json_objects"
    " read_json_objects_auto read_ndjson read_ndjson_auto read_ndjson_objects read_parquet"
    " read_single_csv_file read_single_json_file read_single_parquet_file read_text"
    " parquet_bloom_probe parquet_file_metadata parquet_full_metadata parquet_kv_metadata"
    " parquet_metadata parquet_scan parquet_schema sniff_csv"
)
DOUBTFUL_CALLS: dict[str, Fact] = {
    **dict.fromkeys(words("nextval setval"), READ | WRITE),
    **dict.fromkeys(words("set_config setseed currval lastval"), READ | SESSION),
    **dict.fromkeys(
        words(
            "checkpoint force_checkpoint write_log enable_logging disable_logging"
            " truncate_duckdb_logs enable_profiling disable_profiling postgres_execute"
            " mysql_execute prompt embedding create_external_resource"
            " deregister_external_resource destroy_external_resource register_external_resource"
            " register_external_resource_type"
        ),
        EXTERNAL,
    ),
    **dict.fromkeys(
        words(
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
        words(
            "query json_execute_serialized_sql arrow_scan arrow_scan_dumb pandas_scan"
            " python_arrow_scan python_map_function seq_scan"
        ),
        DOUBT,
    ),
    # The hash differs between versions, the others are for tests and for the engine itself.
    **dict.fromkeys(words("hash test_all_types test_vector_types icu_calendar_names"), DOUBT),
}
# The name of a table stands in a text.
NAMING_CALLS = words("query_table")
SESSION_CALL_PREFIXES = ("pg_advisory_", "pg_try_advisory_")
# Within such a name: what it does ends with the transaction.
TRANSACTION_CALL = "_xact_"

# Pure, deterministic, and the same in every session. Left out on purpose: age(x) and ago(x) look
# at the clock, histogram(...) and query(...) read a table named in a string, hash() differs
# between versions, approx_quantile() and reservoir_quantile() between runs.
AGGREGATES = words(
    "any_value approx_count_distinct arbitrary arg_max arg_max_null arg_min arg_min_null argmax"
    " argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count count_if count_star"
    " countif covar_pop covar_samp entropy favg first fsum geomean geometric_mean group_concat"
    " kahan_sum kurtosis kurtosis_pop last list listagg mad max max_by mean median min min_by mode"
    " product quantile quantile_cont quantile_disc regr_avgx regr_avgy regr_count regr_intercept"
    " regr_r2 regr_slope regr_sxx regr_sxy regr_syy sem skewness stddev stddev_pop stddev_samp"
    " string_agg sum sum_no_overflow sumkahan var_pop var_samp variance weighted_avg wavg"
)
WINDOW_FUNCTIONS = words(
    "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank"
    " rank_dense row_number"
)
BIT_FUNCTIONS = words("bit_position bitstring get_bit set_bit")
NUMBER_FUNCTIONS = words(
    "abs acos acosh add asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot"
    " degrees divide even exp factorial fdiv floor fmod gamma gcd greatest"
    " greatest_common_divisor isfinite isinf isnan lcm least least_common_multiple lgamma ln log"
    " log10 log2 mod multiply nextafter pi pow power radians round round_even roundbankers sign"
    " signbit sin sinh sqrt subtract tan tanh trunc xor"
)
STRING_FUNCTIONS = words(
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
DATE_FUNCTIONS = words(
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
NESTED_FUNCTIONS = words(
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
OTHER_FUNCTIONS = words(
    "enum_code enum_first enum_last enum_range enum_range_boundary getvariable nullif typeof"
)
# Volatile and without any effect. (pg_sleep sleeps, error fails.)
VOLATILE_FUNCTIONS = words(
    "random uuid gen_random_uuid uuidv4 uuidv7 now today transaction_timestamp current_localtime"
    " current_localtimestamp age ago sleep_ms pg_sleep error"
    # differ between two runs over the same rows
    " approx_quantile reservoir_quantile approx_top_k"
) | (CLOCK_NAMES & words("get_current_time get_current_timestamp"))
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
