"""Statements by a grammar, and a call of every function that the installed DuckDB knows."""

from __future__ import annotations

import random
from collections.abc import Iterator

import duckdb

# Tables and what they may be asked for: name, integer column, text column.
_TABLES = (
    ("t", "a", "b"),
    ("main.t", "a", "b"),
    ("oracle.main.w", "id", "name"),
    ("w", "id", "name"),
    ("u", "a", "a::varchar"),
    ("side.w2", "id", "parent::varchar"),
    ("v", "a", "b"),
    ("temp_table", "a", "a::varchar"),
)
_IMPURE = (
    "nextval('s')",
    "nextval('main.s')",
    "nextval('s9')",
    "\"nextval\"('s')",
    "NextVal ('s')",
    "main.nextval('s')",
    "system.main.nextval('s')",
    "'s'.nextval()",
    "nextval('s')::varchar::integer",
    "macro_that_calls_nextval()",
    "main.macro_that_calls_nextval()",
    "macro_over_macro(1)",
    "ucase('a')",
    "main.ucase('a')",
    "UCASE('a')",
    "setseed(0.1)",
    "write_log('x')",
    "write_log('x', log_type := 'y', level := 'error')",
    "setval('s', 40)",
    "(SELECT n FROM view_over_nextval)",
    "(SELECT n FROM table_macro_with_nextval())",
    "(SELECT count(*) FROM 'data.csv')",
    "(SELECT count(*) FROM glob('*'))",
    "(SELECT content FROM read_text('a.txt'))",
    "(SELECT count(*) FROM view_over_file)",
    "(FROM query('SELECT nextval(''s'')'))",
)
_CALM = (
    "random()",
    "uuid()",
    "currval('s')",
    "now()",
    "current_setting('threads')",
    "getvariable('x')",
    "current_schema()",
    "current_query()",
    "version()",
    "pure_macro(1)",
    "temp_macro(1)",
    "current_user",
    "rowid",
)
_CALLS = (
    "abs({i})",
    "round({i}, 1)",
    "greatest({i}, {i})",
    "coalesce({i}, {i})",
    "nullif({i}, {i})",
    "length({s})",
    "({i} + {i})",
    "({i} % 3)",
    "-({i})",
    "CASE WHEN {c} THEN {i} ELSE {i} END",
    "CASE {i} WHEN 1 THEN {i} END",
    "CAST({i} AS bigint)",
    "TRY_CAST({s} AS integer)",
    "({i})::decimal(10, 2)::integer",
    "extract(year FROM DATE '2020-01-01')",
    "date_part('month', DATE '2020-01-01') + {i}",
    "position('a' IN {s})",
    "list_sum([{i}, {i}])",
    "len([{i}])",
    "[{i}, {i}][1]",
    "{{'k': {i}}}.k",
    "map {{'k': {i}}}['k']",
    "struct_pack(k := {i}).k",
    "list_transform([{i}], lambda k: k + {i})[1]",
    "list_filter([1, 2], lambda k: k > {i})[1]",
    "list_reduce([1, 2], lambda k, l: k + l)",
    "[k + {i} FOR k IN [1, 2] IF k > 1][1]",
    "if({c}, {i}, {i})",
    "(SELECT {i})",
    "(SELECT max(a) FROM t)",
    "(FROM t SELECT count(*))",
    "(VALUES ({i}))",
    "[1, 2].list_max()",
    "({i}).abs()",
    "hash({i}) % 7",
    "strlen({s})",
    "instr({s}, 'a')",
    "bit_count({i})",
    "ascii({s})",
    "array_value(1, {i})[1]",
    "array(SELECT a FROM t)[1]",
    "unnest([{i}])",
    "json_extract('{{\"k\": 1}}', '$.k')::integer",
    "('{{\"k\": 1}}'::json->'k')::integer",
    "regexp_matches({s}, 'a')::integer",
)
_TEXTS = (
    "lower({s})",
    "{s} || {s}",
    "concat({s}, {i})",
    "substring({s} FROM 1 FOR 2)",
    "trim(BOTH 'x' FROM {s})",
    "replace({s}, 'a', 'b')",
    "({i})::varchar",
    "format('{{}}', {i})",
    "printf('%d', {i}::integer)",
    "strftime(DATE '2020-01-01', '%Y')",
    "string_split({s}, ',')[1]",
    "left({s}, 1)",
    "({s})[1:2]",
    "{s} COLLATE nocase",
    "md5({s})",
    "'a'.lower()",
    "to_json({i})::varchar",
)
_CONDITIONS = (
    "{i} > {i}",
    "{i} = 1",
    "{s} LIKE 'x%'",
    "{s} ILIKE '%A%' ESCAPE '!'",
    "{s} SIMILAR TO 'x.*'",
    "{s} ~ 'x'",
    "{i} IN (1, 2, {i})",
    "{i} IN (SELECT a FROM t)",
    "{i} NOT IN (VALUES (1), (2))",
    "{i} BETWEEN 0 AND {i}",
    "{i} IS NOT NULL",
    "{i} IS DISTINCT FROM {i}",
    "EXISTS (SELECT 1 FROM u WHERE u.a = {i})",
    "NOT ({c})",
    "{c} AND {c}",
    "{c} OR {c}",
    "{i} = ANY (SELECT a FROM t)",
    "{i} > ALL ([1, 2])",
    "true",
    "(1, {i}) = (1, 2)",
    "list_contains([1], {i})",
    "{s} GLOB 'x*'",
    "{s} ^@ 'x'",
)
_SELECTS = (
    "SELECT {i} FROM {t}",
    "SELECT {i} AS x, {s} AS y FROM {t} WHERE {c}",
    "SELECT * FROM {t} WHERE {c} ORDER BY {i} DESC NULLS LAST LIMIT 2 OFFSET 1",
    "SELECT DISTINCT {i} FROM {t}",
    "SELECT DISTINCT ON ({i}) * FROM {t}",
    "SELECT ALL {i} FROM {t}",
    "SELECT {i}",
    "SELECT x: {i}, y: {s}",
    "FROM {t}",
    "FROM {t} SELECT {i} WHERE {c}",
    "FROM {t} WHERE {c}",
    "TABLE {n}",
    "VALUES ({i}, {s}), (2, 'y')",
    "SELECT count(*), sum({i}), min({s}) FROM {t}",
    "SELECT count(DISTINCT {i}) FILTER (WHERE {c}) FROM {t}",
    "SELECT string_agg({s}, ',' ORDER BY {i}) FROM {t}",
    "SELECT list({i} ORDER BY {i}), arg_max({s}, {i}) FROM {t}",
    "SELECT {i} % 2 AS g, count(*) FROM {t} GROUP BY g HAVING count(*) > 0",
    "SELECT {i} AS g, count(*) FROM {t} GROUP BY ALL ORDER BY ALL",
    "SELECT {S}, sum({I}) FROM {t} GROUP BY ROLLUP ({S})",
    "SELECT {S}, sum({I}) FROM {t} GROUP BY CUBE ({S})",
    "SELECT {S}, sum({I}) FROM {t} GROUP BY GROUPING SETS (({S}), ())",
    "SELECT sum({I}) OVER (PARTITION BY {s} ORDER BY {i}) FROM {t}",
    "SELECT row_number() OVER w1, lag({I}) OVER (w1) FROM {t} WINDOW w1 AS (ORDER BY {I})",
    "SELECT sum({I}) OVER (ORDER BY {I} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM {t}",
    "SELECT {I} FROM {t} QUALIFY row_number() OVER (PARTITION BY {s} ORDER BY {i}) = 1",
    "SELECT {I} FROM {t} USING SAMPLE 2",
    "SELECT {I} FROM {t} TABLESAMPLE reservoir(50%) REPEATABLE (4)",
    "SELECT * EXCLUDE ({C}) FROM {n}",
    "SELECT * REPLACE ({i} AS {C}) FROM {n}",
    "SELECT * RENAME ({C} AS z) FROM {n}",
    "SELECT COLUMNS('{C}') FROM {n}",
    "SELECT min(COLUMNS(*)) FROM {n}",
    "SELECT COLUMNS(lambda c: c = '{C}') FROM {n}",
    "SELECT unnest([1, 2, {i}])",
    "SELECT unnest({{'p': {i}, 'q': 2}})",
    "SELECT x.* FROM {t} x JOIN {t2} y ON {c}",
    "SELECT * FROM {t} x LEFT JOIN t y ON x.{C} = y.a AND {i} > 0",
    "SELECT * FROM {t} x RIGHT JOIN u ON {c}",
    "SELECT * FROM t FULL OUTER JOIN u USING (a)",
    "SELECT * FROM t NATURAL JOIN u WHERE {c}",
    "SELECT * FROM {t} CROSS JOIN u",
    "SELECT * FROM {t}, u, (SELECT {i}) q",
    "SELECT * FROM t x ASOF JOIN u y ON x.a >= y.a",
    "SELECT * FROM t POSITIONAL JOIN u",
    "SELECT * FROM {t} x SEMI JOIN u ON x.{C} = u.a",
    "SELECT * FROM {t} x ANTI JOIN u ON x.{C} = u.a",
    "SELECT * FROM {t} x, LATERAL (SELECT x.{C} + {i} AS z) q",
    "SELECT * FROM t, LATERAL (SELECT a * 2 AS z) q, LATERAL (SELECT z + {i}) r",
    "SELECT * FROM ({q}) q",
    "SELECT * FROM ({q}) AS q(z)",
    "FROM ({q}) q SELECT *",
    "SELECT ({q1})",
    "SELECT {i} FROM ({q}) q JOIN ({q}) r ON true",
    "{q1} UNION ALL {q1}",
    "({q1}) UNION ({q1})",
    "({q1}) INTERSECT ({q1})",
    "({q1}) EXCEPT ALL ({q1})",
    "{q1} UNION BY NAME SELECT 2 AS z",
    "WITH q AS ({q}) SELECT * FROM q",
    "WITH q AS MATERIALIZED ({q}) SELECT * FROM q, q r",
    "WITH q(z) AS NOT MATERIALIZED ({q1}) FROM q",
    "WITH q AS ({q}), r AS (FROM q) SELECT count(*) FROM r",
    "WITH RECURSIVE q(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM q WHERE n < 4) SELECT n, {i} FROM q",
    "WITH RECURSIVE q(n) USING KEY (n) AS (SELECT 1 UNION SELECT n + 1 FROM q WHERE n < 4) FROM q",
    "WITH q AS ({q}) SELECT (SELECT count(*) FROM q), {i} FROM {t}",
    "SELECT * FROM range(3) r(n) WHERE {c}",
    "SELECT n + {i} FROM generate_series(1, 3) AS g(n)",
    "SELECT * FROM unnest([1, {i}]) WITH ORDINALITY AS q(z, o)",
    "SELECT * FROM unnest([1, {i}]) AS q(z)",
    "SELECT * FROM (VALUES ({i}, {s})) AS q(x, y)",
    "SELECT a.k FROM (SELECT {{'k': {i}}} AS a)",
    "SELECT a FROM pure_table_macro(2) WHERE {c}",
    "SELECT n FROM view_over_nextval WHERE {c}",
    "SELECT n FROM main.view_over_view",
    "FROM table_macro_with_nextval()",
    "SELECT n FROM side.v2",
    "SELECT * FROM query('SELECT 1')",
    "FROM query_table('t')",
    "FROM query_table(['t', 'u'])",
    "SELECT * FROM t AT (VERSION => 1)",
    "SELECT {i} LIMIT {i}",
    "SELECT 1 ORDER BY {i}",
    "SELECT 1 WHERE {c}",
    "SELECT 1 HAVING {c}",
    "SELECT {i} FROM {t} ORDER BY {s} LIMIT 50%",
)
_SHOWN = (
    "EXPLAIN {q}",
    "EXPLAIN ANALYZE {q}",
    "EXPLAIN (FORMAT json) {q}",
    "EXPLAIN (ANALYZE, FORMAT json) {q}",
    "EXPLAIN ANALYZE {w}",
    "EXPLAIN {w}",
    "DESCRIBE {q}",
    "DESCRIBE {n}",
    "DESC {n}",
    "SHOW {n}",
    "SUMMARIZE {n}",
    "SUMMARIZE {q}",
    "SELECT * FROM (SUMMARIZE {n})",
    "SELECT * FROM (DESCRIBE {n})",
    "FROM (SHOW TABLES)",
    "FROM (EXPLAIN {q})",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SHOW DATABASES",
    "SHOW TABLES FROM side",
    "SHOW search_path",
    "PIVOT t ON b USING sum({i})",
    "PIVOT t ON b IN ('x1', 'x2') USING sum(a) GROUP BY a",
    "PIVOT ({q}) ON 1 USING count(*)",
    "FROM (PIVOT t ON b USING sum(a))",
    "WITH q AS (PIVOT t ON b IN ('x1') USING sum(a)) FROM q",
    "SELECT * FROM t PIVOT (sum(a) FOR b IN ('x1', 'x2'))",
    "SELECT * FROM t UNPIVOT (x FOR y IN (a, call))",
    "UNPIVOT t ON a, call INTO NAME x VALUE y",
    "UNPIVOT u ON COLUMNS(*)",
    "PRAGMA table_info('w')",
    "PRAGMA show_tables",
    "PRAGMA database_list",
    "PRAGMA database_size",
    "PRAGMA version",
    "PRAGMA storage_info('w')",
    "CALL pragma_table_info('w')",
    "CALL duckdb_tables()",
    "CALL range(3)",
    "CALL checkpoint()",
    "CALL enable_logging()",
    "CALL disable_logging()",
    "CALL truncate_duckdb_logs()",
)
_WRITES = (
    "INSERT INTO t VALUES ({i})",
    "INSERT INTO u SELECT a FROM t WHERE {c}",
    "INSERT INTO u (a) VALUES ({i}) RETURNING a",
    "INSERT INTO u BY NAME SELECT {i} AS a",
    "INSERT INTO u FROM t SELECT a",
    "INSERT INTO u DEFAULT VALUES",
    "INSERT OR REPLACE INTO w (id, name) VALUES (1, {s})",
    "INSERT INTO w (id, name) VALUES (1, 'y') ON CONFLICT DO NOTHING",
    "INSERT INTO w (id, name) VALUES (1, 'y') ON CONFLICT (id) DO UPDATE SET name = 'z'",
    "INSERT INTO temp_table VALUES (1)",
    "UPDATE u SET a = {i} WHERE {c}",
    "UPDATE u SET a = 1 FROM t WHERE t.a = u.a RETURNING u.a",
    "UPDATE temp_table SET a = 6",
    "DELETE FROM u",
    "DELETE FROM u USING t WHERE u.a = t.a RETURNING *",
    "DELETE FROM temp_table",
    "TRUNCATE u",
    "MERGE INTO u USING t ON u.a = t.a WHEN MATCHED THEN DELETE",
    "MERGE INTO u USING t ON u.a = t.a WHEN NOT MATCHED THEN INSERT VALUES (t.a) RETURNING *",
    "MERGE INTO u USING t USING (a) WHEN MATCHED THEN UPDATE SET a = 3",
    "WITH q AS (SELECT 1 AS a) INSERT INTO u SELECT a FROM q",
    "WITH q AS (SELECT 1 AS a) DELETE FROM u WHERE a IN (FROM q)",
    "WITH q AS (SELECT 1 AS a) UPDATE u SET a = (FROM q)",
    "CREATE TABLE n1 (a integer)",
    "CREATE OR REPLACE TABLE u AS SELECT {i} AS a",
    "CREATE TABLE IF NOT EXISTS n1 AS FROM t",
    "CREATE TEMP TABLE n1 AS FROM t",
    "CREATE TEMPORARY TABLE t (z integer)",
    "CREATE VIEW n1 AS {q1}",
    "CREATE TEMP VIEW n1 AS SELECT 1 AS a",
    "CREATE OR REPLACE VIEW v AS SELECT 1 AS a",
    "CREATE MACRO n1(x) AS x",
    "CREATE TEMP MACRO n1(x) AS TABLE FROM t",
    "CREATE FUNCTION n1(x) AS x",
    "CREATE OR REPLACE MACRO lower(x) AS nextval('s')",
    "CREATE SEQUENCE n1",
    "CREATE TEMP SEQUENCE n1",
    "CREATE SCHEMA n1",
    "CREATE TYPE n1 AS ENUM ('a')",
    "CREATE TYPE n1 AS integer",
    "CREATE TEMP TYPE n1 AS ENUM ('a')",
    "CREATE INDEX n1 ON u (a)",
    "CREATE UNIQUE INDEX n1 ON w (id, name)",
    "CREATE SECRET n1 (TYPE http, BEARER_TOKEN 'x')",
    "ALTER TABLE u ADD COLUMN c integer",
    "ALTER TABLE u RENAME TO n1",
    "ALTER TABLE u RENAME COLUMN a TO c",
    "ALTER TABLE u ALTER a TYPE bigint",
    "ALTER TABLE u ALTER a SET DEFAULT 1",
    "ALTER TABLE w ALTER name DROP NOT NULL",
    "ALTER VIEW v RENAME TO n1",
    "ALTER TABLE temp_table ADD COLUMN c integer",
    "ALTER TABLE tt RENAME COLUMN a TO c",
    "DROP TABLE u",
    "DROP TABLE IF EXISTS temp_table",
    "DROP VIEW v",
    "DROP VIEW temp_view",
    "DROP MACRO pure_macro",
    "DROP MACRO temp_macro",
    "DROP MACRO TABLE pure_table_macro",
    "DROP SEQUENCE s9",
    "DROP INDEX w_name",
    "DROP SCHEMA side CASCADE",
    "COMMENT ON TABLE u IS 'new'",
    "COMMENT ON COLUMN u.a IS 'new'",
    "COMMENT ON VIEW v IS 'new'",
    "COMMENT ON MACRO pure_macro IS 'new'",
    "VACUUM",
    "ANALYZE",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "COPY t TO 'out.csv'",
    "COPY ({q1}) TO 'out.parquet' (FORMAT parquet)",
    "COPY ({q1}) TO 'out.json'",
    "COPY u FROM 'f'",
    "EXPORT DATABASE 'exported'",
    "IMPORT DATABASE 'd'",
    "ATTACH ':memory:' AS n1",
    "ATTACH 'other.duckdb' AS n1",
    "ATTACH 'other.duckdb' (READ_ONLY)",
    "ATTACH 'new.duckdb'",
    "ATTACH 'other.duckdb' AS n1; COPY FROM DATABASE n1 TO oracle",
    "ATTACH 'other.duckdb' AS n1; SELECT * FROM n1.o",
    "DETACH oracle",
)
# DuckDB 2.0 runs these inside WITH; earlier versions do not parse them.
_CTE_WRITES = tuple(
    form.replace("$", body)
    for form in (
        "WITH q AS ($) SELECT * FROM q",
        "WITH q AS MATERIALIZED ($) FROM q",
        "WITH q AS NOT MATERIALIZED ($) SELECT 1",
        "WITH q AS ($) TABLE q",
        "WITH q AS ($) VALUES (1)",
        "WITH q(z) AS ($) SELECT z FROM q",
        "WITH q AS (SELECT 1), r AS ($) SELECT * FROM q",
        "WITH q AS (WITH r AS ($) FROM r) FROM q",
        "(WITH q AS ($) FROM q)",
        "WITH q AS ($) SELECT 1 UNION ALL SELECT 2",
        "WITH RECURSIVE q AS ($) FROM q",
    )
    for body in (
        "INSERT INTO u VALUES (1) RETURNING a",
        "INSERT INTO u VALUES (1)",
        "DELETE FROM u RETURNING a",
        "UPDATE u SET a = 1 RETURNING a",
        "MERGE INTO u USING t ON u.a = t.a WHEN MATCHED THEN DELETE RETURNING u.a",
        "TRUNCATE u",
    )
)
_SESSION = (
    "SET threads = 3",
    "SET SESSION threads = 3",
    "SET GLOBAL threads = 3",
    "SET TimeZone = 'Asia/Tokyo'",
    "SET default_null_order = 'nulls_first'",
    "SET VARIABLE y = {i}",
    "SET VARIABLE x = (SELECT nextval('s'))",
    "SET schema = 'side'",
    "SET search_path = 'side,main'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
    "RESET threads",
    "RESET VARIABLE x",
    "USE side",
    "USE memory",
    "USE oracle.side",
    "PRAGMA threads = 3",
    "PRAGMA memory_limit = '900MB'",
    "PRAGMA enable_object_cache",
    "PRAGMA disable_optimizer",
    "PRAGMA add_parquet_key('k', '0123456789112345')",
    "PREPARE n1 AS SELECT 1",
    "PREPARE n1 AS INSERT INTO u VALUES (1)",
    "EXECUTE p",
    "EXECUTE writing",
    "DEALLOCATE p",
    "PREPARE n1 AS {q1}; EXECUTE n1",
    "BEGIN",
    "BEGIN TRANSACTION READ ONLY",
    "START TRANSACTION",
    "BEGIN; INSERT INTO u VALUES (1)",
    "BEGIN; SELECT 1; COMMIT",
    "BEGIN; SELECT nextval('s'); ROLLBACK",
    "BEGIN; INSERT INTO u VALUES (1); COMMIT",
    "BEGIN; INSERT INTO u VALUES (1); ROLLBACK",
    "COMMIT",
    "ROLLBACK",
    "SELECT 1; SELECT 2",
    "SELECT 1; INSERT INTO u VALUES (1)",
    "SELECT 1; SET threads = 3",
    "SET threads = 3; SELECT 1",
    "SELECT 1;; BEGIN",
    "{q1}; {q1}",
    "SELECT getvariable('x')",
    "SELECT current_setting('threads')",
    "LOAD json",
    "LOAD parquet",
    "INSTALL json",
)
_FILES = (
    "FROM 'data.csv'",
    "FROM 'x.parquet'",
    "FROM 'data.json'",
    "FROM 'lines.ndjson'",
    "FROM '*.csv'",
    'FROM "data.csv"',
    'FROM "x.parquet" AS p',
    "FROM data.csv",
    "FROM x.parquet",
    'FROM x."parquet"',
    'FROM "data"."json"',
    "FROM DATA.csv",
    "SELECT * FROM ('data.csv')",
    "SELECT * FROM (('data.csv')) q",
    "SELECT * FROM t, 'data.csv'",
    "SELECT * FROM t JOIN 'data.csv' c ON c.a = t.a",
    "SELECT * FROM t x JOIN u y ON x.a = y.a, 'x.csv'",
    "SELECT * FROM t LEFT JOIN ('data.csv') c USING (a)",
    "SELECT * FROM c: 'data.csv'",
    'SELECT * FROM c: "data.csv"',
    "TABLE 'data.csv'",
    'TABLE "data.csv"',
    "SELECT 1 UNION ALL SELECT count(*) FROM 'data.csv'",
    'SELECT (SELECT count(*) FROM "x.parquet")',
    "SELECT 1 WHERE EXISTS (FROM x.parquet)",
    "WITH q AS (FROM 'data.csv') FROM q",
    'WITH q AS (SELECT 1) FROM q, "data.csv"',
    "SELECT * FROM E'data.csv'",
    "SELECT * FROM $$data.csv$$",
    "SELECT * FROM 'da'\n'ta.csv'",
    "SELECT * FROM U&'data.csv'",
    "SELECT * FROM N'data.csv'",
    "SELECT * FROM t ASOF JOIN 'data.csv' c ON t.a >= c.a",
    'SELECT * FROM t POSITIONAL JOIN "data.csv"',
    "SELECT * FROM read_csv('data.csv')",
    "SELECT * FROM read_csv(['data.csv', 'x.csv'], union_by_name = true)",
    "SELECT * FROM read_json('data.json')",
    "SELECT * FROM read_text('a.txt')",
    "SELECT * FROM read_blob('*')",
    "SELECT * FROM glob('**')",
    "SELECT * FROM sniff_csv('data.csv')",
    "SELECT * FROM parquet_metadata('x.parquet')",
    "SELECT * FROM read_duckdb('other.duckdb')",
    "FROM 'other.duckdb'",
    "PIVOT 'data.csv' ON b USING sum(a)",
    "PIVOT ('data.csv') ON b USING sum(a)",
    "FROM (UNPIVOT (('data.csv')) ON a)",
    "SUMMARIZE 'data.csv'",
    "DESCRIBE 'data.csv'",
    "DESCRIBE FROM 'data.csv'",
    "SHOW 'data.csv'",
    "UNPIVOT 'data.csv' ON a",
    "EXPLAIN FROM 'data.csv'",
    "FROM query('FROM ''data.csv''')",
    "FROM query_table('data.csv')",
    "FROM query_table(['data.csv'])",
    "FROM view_over_file",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT nextval(''s'')'))",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM ''data.csv'''))",
    "SELECT json_serialize_sql('SELECT nextval(''s'')')",
    "FROM query(getvariable('query'))",
    "FROM query('SELECT' || ' nextval(''s'')')",
    "FROM query('FROM checkpoint()')",
    "FROM query('FROM t')",
)


class Grammar:
    """Writes statements. One in *calm* atoms does something."""

    def __init__(self, roll: random.Random, calm: int = 25) -> None:
        self._roll = roll
        self._calm = calm

    def statement(self, form: str, depth: int = 2) -> str:
        """*form* with {i}ntegers, {s} text, {c}onditions, {q}ueries and {t}ables filled in."""
        table, number, text = self._roll.choice(_TABLES)
        names = {"t": table, "n": table, "t2": "t", "I": number, "S": text, "C": number}
        return form.format_map(_Holes(self, depth, names))

    def integer(self, depth: int, column: str) -> str:
        dice = self._roll.randrange(self._calm)
        if dice == 0:
            return self._roll.choice(_IMPURE)
        if dice == 1:
            return self._roll.choice(_CALM)
        if depth <= 0 or dice % 3 == 0:
            return self._roll.choice((column, "1", "2", "NULL", "1_000"))
        return self.statement(self._roll.choice(_CALLS), depth - 1)

    def text(self, depth: int, column: str) -> str:
        if depth <= 0 or self._roll.randrange(3) == 0:
            return self._roll.choice((column, "'x'", "''", "'it''s'", "E'a\\n'", "$$x$$"))
        return self.statement(self._roll.choice(_TEXTS), depth - 1)

    def condition(self, depth: int) -> str:
        form = self._roll.choice(_CONDITIONS) if depth > 0 else "{i} > 0"
        return self.statement(form, depth - 1)

    def query(self, depth: int) -> str:
        if depth <= 0:
            return "SELECT 1 AS z"
        return self.statement(self._roll.choice(_SELECTS), depth - 1)

    def one_column(self, depth: int) -> str:
        return f"SELECT {self.integer(depth, '1')} AS z"


class _Holes(dict[str, str]):
    """Fills each hole anew."""

    def __init__(self, grammar: Grammar, depth: int, names: dict[str, str]) -> None:
        super().__init__(names)
        self._grammar = grammar
        self._depth = depth

    def __getitem__(self, hole: str) -> str:
        grammar, depth = self._grammar, self._depth
        # Inside an expression there may be no table to take a column from.
        column = self.get("I", "1") if depth >= 2 else "1"
        if hole == "i":
            return grammar.integer(depth, column)
        if hole == "s":
            return grammar.text(depth, "'y'")
        if hole == "c":
            return grammar.condition(depth)
        if hole == "q":
            return grammar.query(depth)
        if hole == "q1":
            return grammar.one_column(depth)
        if hole == "w":
            return grammar.statement("INSERT INTO u SELECT {i}")
        return super().__getitem__(hole)


def generated(seed: int, rounds: int, share: int) -> Iterator[tuple[str, str]]:
    """Family and text; each query of the grammar *rounds* times, one of *share* positions."""
    roll = random.Random(seed)
    grammar = Grammar(roll)
    for form in _SELECTS:
        for _ in range(rounds):
            yield "select", grammar.statement(form)
        yield "select", Grammar(roll, calm=3).statement(form)
    families = {"shown": _SHOWN, "write": _WRITES, "session": _SESSION}
    for family, forms in families.items():
        for form in forms:
            yield family, grammar.statement(form)
    for family, texts in {"cte": _CTE_WRITES, "file": _FILES}.items():
        for text in texts:
            yield family, text
    for atom in (*_IMPURE, *_CALM):
        for form in _POSITIONS:
            if roll.randrange(share) == 0:
                yield "position", form.replace("$", atom)


_POSITIONS = (
    "SELECT $",
    "SELECT a FROM t WHERE $ IS NOT NULL",
    "SELECT a FROM t GROUP BY a, $",
    "SELECT a FROM t ORDER BY $",
    "SELECT a FROM t LIMIT (SELECT $)",
    "SELECT a FROM t OFFSET (SELECT $)",
    "SELECT DISTINCT ON ($) a FROM t",
    "SELECT count(*) FILTER (WHERE $ IS NULL) FROM t",
    "SELECT sum(a) OVER (PARTITION BY $) FROM t",
    "SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN (SELECT 1) PRECEDING AND CURRENT ROW), $ FROM t",
    "SELECT a FROM t QUALIFY rank() OVER (ORDER BY $) = 1",
    "SELECT * FROM t JOIN u ON $ IS NULL",
    "SELECT * FROM t, LATERAL (SELECT $) q",
    "SELECT CASE WHEN $ IS NULL THEN 1 END",
    "SELECT [$], {'k': $}, map {'k': $}",
    "SELECT list_transform([1], lambda k: $)",
    "SELECT [$ FOR k IN [1]]",
    "SELECT coalesce(NULL, $)",
    "SELECT ($)::varchar",
    "SELECT count($) FROM t",
    "SELECT string_agg($, ',') FROM t",
    "VALUES ($)",
    "FROM (VALUES ($)) q",
    "SELECT x: $",
    "WITH q AS (SELECT $) FROM q",
    "WITH q AS (SELECT $) SELECT 1",
    "SELECT * FROM range(1, (SELECT 2), 1) r, (SELECT $) q",
    "SELECT * REPLACE ($ AS a) FROM t",
    "SELECT COLUMNS(*) + ($) FROM u",
    "SELECT 1 UNION ALL SELECT $",
    "SELECT a FROM t HAVING $ IS NULL",
    "SELECT a FROM t WHERE a IN (SELECT $)",
    "SELECT a BETWEEN 1 AND $ FROM t",
    "EXPLAIN ANALYZE SELECT $",
    "EXPLAIN SELECT $",
    "DESCRIBE SELECT $",
    "SUMMARIZE SELECT $ AS x",
    "PIVOT (SELECT $ AS x, 'k' AS y) ON y USING count(x)",
    "SELECT a FROM t TABLESAMPLE 100%, (SELECT $) q",
    "FROM query('SELECT 1'), (SELECT $) q",
    "SELECT * FROM unnest([$])",
)

# --- every function ----------------------------------------------------------------------------

_ARGUMENTS = {
    "VARCHAR": ("'a'", "'t'", "'a.txt'", "'data.csv'", "'%Y'", "'{\"k\": 1}'", "'s'"),
    "BLOB": ("'a'::blob",),
    "BIT": ("'101'::bit",),
    "BOOLEAN": ("true",),
    "DATE": ("DATE '2020-01-02'",),
    "TIME": ("TIME '10:00'",),
    "TIME WITH TIME ZONE": ("'10:00+00'::timetz",),
    "TIMESTAMP": ("TIMESTAMP '2020-01-02 10:00'",),
    "TIMESTAMP WITH TIME ZONE": ("'2020-01-02 10:00+00'::timestamptz",),
    "INTERVAL": ("INTERVAL 1 DAY",),
    "UUID": ("'00000000-0000-0000-0000-000000000001'::uuid",),
    "JSON": ("'{\"k\": 1}'::json",),
    "LAMBDA": ("lambda k: k",),
    "STRUCT": ("{'k': 1}",),
    "MAP": ("map {'k': 1}",),
    "DOUBLE": ("0.5::double",),
    "FLOAT": ("0.5::float",),
    "DECIMAL": ("1.5",),
    "ANY": ("1", "'a'", "[1, 2]", "{'k': 1}", "[[1]]"),
    "TABLE": ("(SELECT 1 AS a)", "(FROM t)"),
    "VARIANT": ("1::variant",),
}
# They take raw addresses, or as many rows or seconds as they are told.
_DANGEROUS = frozenset(
    ["arrow_scan", "arrow_scan_dumb", "pandas_scan", "python_arrow_scan", "python_map_function"]
)
_SCALAR_FORMS = ("SELECT {}", "SELECT {} FROM t", "SELECT a FROM t WHERE ({}) IS NOT NULL")
_TABLE_FORMS = ("FROM {}", "SELECT count(*) FROM {} q")
_FIRST = {"sleep_ms": ("1",), "pg_sleep": ("0.001",), "repeat": ("'a'", "2")}


def function_calls(seed: int, connection: duckdb.DuckDBPyConnection, most: int) -> Iterator[str]:
    """A call of *most* overloads of each function there is."""
    roll = random.Random(seed)
    rows = connection.execute(
        "SELECT DISTINCT function_name, function_type, parameter_types::varchar[], varargs"
        " FROM duckdb_functions() WHERE internal ORDER BY ALL"
    ).fetchall()
    seen: dict[tuple[str, str], int] = {}
    for name, kind, types, more in rows:
        key = (name, kind)
        seen[key] = seen.get(key, 0) + 1
        if name in _DANGEROUS or seen[key] > most:
            continue
        if kind == "pragma":
            yield from _pragma(name, types or [], roll)
            continue
        for _ in range(2 if kind.startswith("table") else 1):
            yield _call(name, kind, types or [], more, roll)


def _pragma(name: str, types: list[str], roll: random.Random) -> Iterator[str]:
    if types:
        yield f"PRAGMA {name}({', '.join(_argument(kind, roll) for kind in types)})"
    else:
        yield f"PRAGMA {name}"
        yield f"CALL {name}()"
        yield f"FROM {name}()"


def _call(name: str, kind: str, types: list[str], more: str | None, roll: random.Random) -> str:
    if name in _FIRST:
        given = list(_FIRST[name])
    else:
        given = [_argument(each or "ANY", roll) for each in types]
    if more and not given:
        given = [_argument(more, roll)]
    if not name.isidentifier():
        return _operator(name, given)
    called = f"{name}({', '.join(given)})"
    if kind.startswith("table"):
        return roll.choice(_TABLE_FORMS).format(called)
    if kind == "window":
        return f"SELECT {called} OVER (ORDER BY a) FROM t"
    return roll.choice(_SCALAR_FORMS[:2] if kind == "aggregate" else _SCALAR_FORMS).format(called)


def _operator(name: str, given: list[str]) -> str:
    if len(given) == 2:
        return f"SELECT {given[0]} {name} {given[1]}"
    return f"SELECT {name} {''.join(given[:1])}"


def _argument(kind: str, roll: random.Random) -> str:
    if kind.endswith("[]"):
        return f"[{_argument(kind[:-2], roll)}]"
    if kind.endswith("]"):
        return f"array_value({_argument(kind[: kind.rindex('[')], roll)})"
    if len(kind) == 1 or kind in ("ANY", "T", "K", "V"):
        return roll.choice(_ARGUMENTS["ANY"])
    base = kind.split("(")[0]
    found = _ARGUMENTS.get(base) or _ARGUMENTS.get(base.split("_")[0])
    return roll.choice(found) if found else "1"
