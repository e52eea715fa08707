"""Where PostgreSQL and DuckDB agree: what may stand in a text that both are to understand alike.

Allow-lists, each entry tried on both (tests/corpora/portable.toml); anything else is unportable.
What PostgreSQL refuses while it describes the statement needs no entry: the user sees its error.
"""

from __future__ import annotations

from ..grammar import RESERVED, words

PORTABLE_OPERATORS = words("= <> != < > <= >= + - * :: . , ( )")
COMPARISONS = words("= <> != < > <= >=")
ARITHMETIC = words("+ - *")

PORTABLE_FUNCTIONS = words(
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
NUMERIC_RESULTS = words("count sum length char_length character_length row_number rank strpos")

# Any grammar word that is not here is unportable.
PORTABLE_WORDS = words(
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
    | words(
        "anti asof semi positional columns exclude rename similar ilike glob collate at"
        " overlaps overlay struct map try_cast treat real bit nchar national setof"
        " authorization binary freeze concurrently verbose unpack generated symmetric ties"
        " ordinality escape ignore respect recursive qualify generate_series generate_subscripts"
        " unnest grouping_id"
    )
) - PORTABLE_WORDS

# ROW (...); as in CURRENT ROW the word is fine.
UNPORTABLE_CALLS = words("row")

INTEGER_TYPES = words("smallint int2 int integer int4 bigint int8")
EXTRACT_FIELDS = words("year month day quarter dow doy isodow week")
# Their result has the scale of whichever argument won, in PostgreSQL only.
SCALE_MIXERS = words("coalesce greatest least")
