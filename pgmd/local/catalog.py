"""PostgreSQL's system catalogue over DuckDB's, for psql's backslash commands and for ORMs.

`SETUP` fills an attached in-memory database with macros for what DuckDB's own `pg_catalog` lacks
or tells otherwise; `rewrite` turns a statement written for PostgreSQL's catalogue to them. There
are macros only, no tables or views: DuckDB's own listings show no more than the database's name.
"""

from __future__ import annotations

import re

from ..parity.types import ELEMENTS, PG_NAMES, TWINS
from ..sql.grammar import RESERVED
from ..sql.lexer import Kind, Token, Unreadable, tokens

DATABASE = "pgmd_catalog"
SERVER_VERSION = "16.0 (pgmd local endpoint)"

_LONG_NAMES = {
    "bool": "boolean",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bpchar": "character",
    "varchar": "character varying",
    "time": "time without time zone",
    "timetz": "time with time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}
_ARRAYS = {element: array for array, element in ELEMENTS.items()}
_TYPES = ", ".join(
    f"({oid}, {_ARRAYS.get(oid, 0)}, '{name}', '{_LONG_NAMES.get(name, name)}')"
    for oid, name in PG_NAMES.items()
)
_TWINS = ", ".join(
    f"('{t.name}', {t.oid}, {t.array_oid})" for t in TWINS.values() if t.array_oid is not None
)

# @ is where the macros are. The underscores keep names apart: a parameter hides a column of its
# name, and an argument `t.oid` would be taken for that of a `t` in the macro. Types without a twin
# and the indexes of constraints, which DuckDB does not number, get OIDs from 1000000000 on.
_MACROS = rf"""
version() AS 'PostgreSQL {SERVER_VERSION} (DuckDB ' || system.main.version() || ')';
pg_get_userbyid(_role) AS 'duckdb';
pg_encoding_to_char(_encoding) AS 'UTF8';
pg_table_size(_rel) AS NULL::BIGINT;
pg_partition_ancestors(_rel) AS NULL::BIGINT;
pg_partition_ancestors(_rel) AS TABLE SELECT 0 AS relid, 0 AS depth WHERE false;
pg_get_serial_sequence(_rel, _column) AS NULL::VARCHAR;
pg_get_statisticsobjdef_columns(_stat) AS NULL::VARCHAR;
pg_get_triggerdef(_trigger, _pretty) AS NULL::VARCHAR;
pg_get_ruledef(_rule, _pretty) AS NULL::VARCHAR;
pg_get_expr(_node, _rel) AS _node, (_node, _rel, _pretty) AS _node;
quote_ident(_name) AS CASE WHEN regexp_full_match(_name, '[a-z_][a-z0-9_$]*') THEN _name
  ELSE '"' || replace(_name, '"', '""') || '"' END;
unquoted(_name) AS replace(regexp_replace(_name, '^"(.*)"$', '\1'), '""', '"');

pg_namespace() AS TABLE SELECT oid, 10 AS nspowner, NULL::VARCHAR[] AS nspacl,
  CASE database_name WHEN 'temp' THEN 'pg_temp' ELSE schema_name END AS nspname
  FROM duckdb_schemas() WHERE database_name = current_database() OR (database_name, schema_name)
  IN (('temp', 'main'), ('system', 'pg_catalog'), ('system', 'information_schema'));
is_ours(_schema) AS _schema IN (SELECT oid FROM @pg_namespace());
twins() AS TABLE FROM (VALUES {_TWINS}) v(name, oid, array_oid);
columns() AS TABLE SELECT c.*, coalesce(CASE WHEN data_type LIKE '%]' THEN array_oid ELSE oid END,
  1000000000 + hash(data_type) % 1000000000)::BIGINT AS type,
  coalesce(try_cast(regexp_extract(data_type, '^DECIMAL\((\d+),', 1) AS INT) * 65536
  + try_cast(regexp_extract(data_type, '^DECIMAL\(\d+,(\d+)', 1) AS INT) + 4, -1) AS modifier
  FROM duckdb_columns() c LEFT JOIN @twins() t ON t.name = regexp_replace(
  regexp_extract(data_type, '(?s)^(.+?)(\[\d*\])?$', 1), '(?s)^(DECIMAL|ENUM)\(.*\)$', '\1')
  WHERE @is_ours(schema_oid);
types() AS TABLE WITH known AS (FROM (VALUES {_TYPES}) v(oid, array_oid, name, shown))
  SELECT *, 0 AS element FROM known
  UNION ALL SELECT array_oid, 0, '_' || name, shown || '[]', oid FROM known WHERE array_oid > 0
  UNION ALL SELECT DISTINCT type, 0, data_type, data_type, 0 FROM @columns() WHERE type >= 1e9;
constraints() AS TABLE SELECT *, 1000000000 + table_oid * 1000 + constraint_index AS oid,
  lower(constraint_type[1]) AS kind FROM duckdb_constraints()
  WHERE constraint_type <> 'NOT NULL' AND @is_ours(schema_oid);
keys() AS TABLE SELECT index_oid AS oid, table_oid, schema_oid, index_name AS name, is_unique,
  is_primary, expressions::VARCHAR[] AS parts FROM duckdb_indexes() WHERE @is_ours(schema_oid)
  UNION ALL SELECT oid, table_oid, schema_oid, constraint_name, true, kind = 'p',
  list_transform(constraint_column_names, lambda x: @quote_ident(x))
  FROM @constraints() WHERE kind IN ('p', 'u');

pg_constraint() AS TABLE SELECT oid, constraint_name AS conname, c.schema_oid AS connamespace,
  kind AS contype, false AS condeferrable, false AS condeferred, true AS convalidated,
  c.table_oid AS conrelid, 0 AS contypid, 0 AS conparentid, coalesce(t.table_oid, 0) AS confrelid,
  CASE WHEN kind IN ('p', 'u') THEN oid ELSE 0 END AS conindid,
  true AS conislocal, false AS connoinherit, 0 AS coninhcount, NULL::VARCHAR AS conbin,
  list_transform(constraint_column_indexes, lambda x: x + 1) AS conkey
  FROM @constraints() c LEFT JOIN duckdb_tables() t
  ON t.schema_oid = c.schema_oid AND t.table_name = referenced_table;
pg_class() AS TABLE SELECT c.* REPLACE (10 AS relowner, (relkind = 'i')::INT AS relam,
  if(relkind = 'i', 'p', relpersistence) AS relpersistence, 'd' AS relreplident,
  NULL::VARCHAR[] AS reloptions, NULL::VARCHAR AS relpartbound,
  c.oid IN (SELECT table_oid FROM @keys()) AS relhasindex, c.oid IN (SELECT unnest(
  [conrelid, confrelid]) FROM @pg_constraint() WHERE contype = 'f') AS relhastriggers),
  false AS relforcerowsecurity FROM system.pg_catalog.pg_class c
  WHERE oid > 0 AND @is_ours(relnamespace)
  UNION ALL BY NAME SELECT oid, name AS relname, schema_oid AS relnamespace, 10 AS relowner,
  1 AS relam, 0 AS reltablespace, 'i' AS relkind, 'p' AS relpersistence
  FROM @keys() WHERE oid >= 1e9;
pg_attribute() AS TABLE SELECT a.* REPLACE (type AS atttypid, modifier AS atttypmod,
  -1 AS attstattarget, 'p' AS attstorage, '' AS attcompression)
  FROM system.pg_catalog.pg_attribute a
  JOIN @columns() ON table_oid = attrelid AND column_index = attnum;
pg_attrdef() AS TABLE SELECT column_index AS oid, table_oid AS adrelid, column_index AS adnum,
  CASE column_default WHEN 'CAST(''t'' AS BOOLEAN)' THEN 'true'
  WHEN 'CAST(''f'' AS BOOLEAN)' THEN 'false' ELSE column_default END AS adbin
  FROM @columns() WHERE column_default IS NOT NULL;
pg_type() AS TABLE SELECT t.oid, name AS typname, n.oid AS typnamespace, 10 AS typowner,
  'b' AS typtype, false AS typnotnull, ',' AS typdelim, 0 AS typrelid, element AS typelem,
  array_oid AS typarray, 0 AS typbasetype, -1 AS typtypmod, 0 AS typcollation,
  NULL::VARCHAR AS typdefault
  FROM @types() t JOIN @pg_namespace() n ON nspname = 'pg_catalog';
pg_index() AS TABLE SELECT k.oid AS indexrelid, k.table_oid AS indrelid, len(parts) AS indnatts,
  len(parts) AS indnkeyatts, is_unique AS indisunique, is_primary AS indisprimary,
  false AS indisclustered, true AS indisvalid, true AS indimmediate, false AS indisreplident,
  false AS indnullsnotdistinct, NULL::VARCHAR AS indpred, list_transform(parts,
  lambda x: coalesce(list_position(names, @unquoted(x)), 0)) AS indkey,
  list_transform(parts, lambda x: 0) AS indclass, trim(repeat('0 ', len(parts))) AS indoption
  FROM @keys() k JOIN (SELECT table_oid, list(column_name ORDER BY column_index) AS names
  FROM @columns() GROUP BY table_oid) c ON c.table_oid = k.table_oid;
pg_description() AS TABLE SELECT oid AS objoid, 1259 AS classoid, part AS objsubid,
  text AS description FROM (SELECT schema_oid, table_oid AS oid, 0 AS part, comment AS text
  FROM duckdb_tables() UNION ALL SELECT schema_oid, view_oid, 0, comment FROM duckdb_views()
  UNION ALL SELECT schema_oid, table_oid, column_index, comment FROM duckdb_columns())
  WHERE text IS NOT NULL AND @is_ours(schema_oid);
pg_sequence() AS TABLE SELECT s.* REPLACE (20 AS seqtypid, 1 AS seqcache)
  FROM system.pg_catalog.pg_sequence s WHERE seqrelid IN (SELECT oid FROM @pg_class());
pg_database() AS TABLE SELECT database_oid AS oid, database_name AS datname, 10 AS datdba,
  6 AS encoding, 'c' AS datlocprovider, false AS datistemplate, true AS datallowconn,
  'C' AS datcollate, 'C' AS datctype, NULL::VARCHAR AS daticulocale,
  NULL::VARCHAR AS daticurules, NULL::VARCHAR[] AS datacl
  FROM duckdb_databases()
  WHERE NOT internal AND database_name NOT IN ('{DATABASE}', 'md_information_schema');
pg_tables() AS TABLE SELECT schema_name AS schemaname, table_name AS tablename,
  'duckdb' AS tableowner, NULL::VARCHAR AS tablespace, index_count > 0 AS hasindexes,
  false AS hasrules, false AS hastriggers FROM duckdb_tables() WHERE @is_ours(schema_oid);
pg_views() AS TABLE SELECT schema_name AS schemaname, view_name AS viewname,
  'duckdb' AS viewowner, sql AS definition FROM duckdb_views() WHERE @is_ours(schema_oid);
pg_am() AS TABLE SELECT 1 AS oid, 'art' AS amname, 'i' AS amtype;
pg_roles() AS TABLE SELECT 10 AS oid, 'duckdb' AS rolname, true AS rolsuper, true AS rolinherit,
  true AS rolcreaterole, true AS rolcreatedb, true AS rolcanlogin, false AS rolreplication,
  false AS rolbypassrls, -1 AS rolconnlimit, NULL::TIMESTAMPTZ AS rolvaliduntil;

pg_table_is_visible(_rel) AS _rel IN (SELECT _c.oid FROM @pg_class() _c JOIN @pg_namespace() _n
  ON _n.oid = relnamespace WHERE nspname IN (current_schema(), 'pg_temp', 'pg_catalog')
  OR list_contains(current_schemas(false), nspname));
format_type(_type, _mod) AS (SELECT replace(shown, 'numeric', CASE WHEN _mod > 3 THEN
  'numeric(' || ((_mod - 4) >> 16) || ',' || ((_mod - 4) & 65535) || ')' ELSE 'numeric' END)
  FROM @types() _t WHERE _t.oid = _type);
obj_description(_rel, _catalog) AS (SELECT description FROM @pg_description()
  WHERE objoid = _rel AND objsubid = 0);
col_description(_rel, _column) AS (SELECT description FROM @pg_description()
  WHERE objoid = _rel AND objsubid = _column);
viewdef(_view) AS (SELECT regexp_replace(sql,
  '(?is)^CREATE (TEMP )?VIEW ("([^"]|"")*"|[^"])*? AS ', ' ')
  FROM duckdb_views() WHERE view_oid = _view);
pg_get_viewdef(_view) AS @viewdef(_view), (_view, _pretty) AS @viewdef(_view);
constraintdef(_con) AS (SELECT regexp_replace(constraint_text, '^([A-Z ]*[A-Z])\(', '\1 (')
  FROM @constraints() WHERE oid = _con);
pg_get_constraintdef(_con) AS @constraintdef(_con), (_con, _pretty) AS @constraintdef(_con);
regtype_name(_type) AS coalesce(@format_type(_type, -1), _type::VARCHAR);
regnamespace_name(_oid) AS coalesce((SELECT @quote_ident(nspname) FROM @pg_namespace() _n
  WHERE _n.oid = _oid), _oid::VARCHAR);
regclass_name(_oid) AS coalesce((SELECT CASE WHEN @pg_table_is_visible(_c.oid) THEN '' ELSE
  @quote_ident(nspname) || '.' END || @quote_ident(relname) FROM @pg_class() _c
  JOIN @pg_namespace() _n ON _n.oid = relnamespace WHERE _c.oid = _oid), _oid::VARCHAR);
indexdef(_index, _column) AS (SELECT CASE WHEN _column > 0 THEN parts[_column] ELSE 'CREATE '
  || CASE WHEN is_unique THEN 'UNIQUE ' ELSE '' END || 'INDEX ' || @quote_ident(name) || ' ON '
  || @regclass_name(table_oid) || ' USING art (' || array_to_string(parts, ', ') || ')' END
  FROM @keys() WHERE oid = _index);
pg_get_indexdef(_index) AS @indexdef(_index, 0),
  (_index, _column, _pretty) AS @indexdef(_index, _column);
to_regtype(_name) AS coalesce(try_cast(_name::VARCHAR AS BIGINT), (SELECT min(oid) FROM @types()
  WHERE lower(_name::VARCHAR) IN (name, shown)));
to_regnamespace(_name) AS coalesce(try_cast(_name::VARCHAR AS BIGINT), (SELECT oid
  FROM @pg_namespace() WHERE _name::VARCHAR = @quote_ident(nspname)));
to_regclass(_name) AS CASE WHEN _name::VARCHAR IN ('pg_class', 'pg_catalog.pg_class') THEN 1259
  ELSE coalesce(try_cast(_name::VARCHAR AS BIGINT), (SELECT min(_c.oid) FROM @pg_class() _c
  JOIN @pg_namespace() _n ON _n.oid = relnamespace
  WHERE _name::VARCHAR = @quote_ident(nspname) || '.' || @quote_ident(relname)
  OR _name::VARCHAR = @quote_ident(relname) AND @pg_table_is_visible(_c.oid))) END
"""
# What DuckDB has none of.
_EMPTY = {
    "pg_auth_members": "roleid BIGINT, member BIGINT",
    "pg_collation": "oid BIGINT, collname VARCHAR, collnamespace BIGINT",
    "pg_extension": "oid BIGINT, extname VARCHAR, extversion VARCHAR, extnamespace BIGINT",
    "pg_inherits": "inhrelid BIGINT, inhparent BIGINT, inhseqno INT, inhdetachpending BOOL",
    "pg_opclass": "oid BIGINT, opcname VARCHAR, opcdefault BOOL",
    "pg_policy": "polname VARCHAR, polrelid BIGINT, polcmd VARCHAR, polpermissive BOOL,"
    " polroles BIGINT[], polqual VARCHAR, polwithcheck VARCHAR",
    "pg_rewrite": "oid BIGINT, rulename VARCHAR, ev_class BIGINT",
    "pg_statistic_ext": "oid BIGINT, stxrelid BIGINT, stxnamespace BIGINT, stxname VARCHAR,"
    " stxkind VARCHAR[], stxstattarget INT",
    "pg_trigger": "oid BIGINT, tgrelid BIGINT, tgparentid BIGINT, tgname VARCHAR,"
    " tgenabled VARCHAR, tgisinternal BOOL",
}

_HOME = f"{DATABASE}.main."
_SETUP = [macro.strip().replace("@", _HOME) for macro in _MACROS.split(";\n")]
for _name, _columns in _EMPTY.items():
    _nulls = re.sub(r"(\w+) ([^,]+)", r"NULL::\2 AS \1", _columns)
    _SETUP.append(f"{_name}() AS TABLE SELECT {_nulls} WHERE false")
SETUP: tuple[str, ...] = tuple(f"CREATE MACRO {_HOME}{macro}" for macro in _SETUP)
_FUNCTIONS = frozenset(macro.partition("(")[0] for macro in _SETUP)
_RELATIONS = frozenset(
    macro.partition("(")[0] for macro in _SETUP if ") AS TABLE " in macro.partition("\n")[0]
)

_REG_TYPES = frozenset(["regclass", "regtype", "regnamespace"])
_RENAMED = {"json_build_object": "json_object"}
_LITERALS = (Kind.STRING, Kind.PARAMETER)
_NOTHING = Token(Kind.OPERATOR, "", "", -1)
# DuckDB's `~` matches the whole string, PostgreSQL's any part of it.
_SEARCH = "('(?s:.*)(?:' || {}::VARCHAR || ')(?s:.*)')"
# What psql asks of a table's publications has a subscript that DuckDB cannot bind.
_NO_PUBLICATION = "SELECT NULL AS pubname, NULL, NULL WHERE false"
# What stands behind a relation and is not its alias, beside the reserved words.
_NOT_ALIASES = RESERVED | {"anti", "asof", "cross", "full", "inner", "join", "left", "natural"}
_NOT_ALIASES |= {"positional", "right", "semi"}
_SETTINGS = {
    "client_encoding": "'UTF8'",
    "datestyle": "'ISO, MDY'",
    "default_transaction_isolation": "'repeatable read'",
    "default_transaction_read_only": "'off'",
    "in_hot_standby": "'off'",
    "integer_datetimes": "'on'",
    "intervalstyle": "'postgres'",
    "max_identifier_length": "'63'",
    "search_path": "coalesce(nullif(current_setting('search_path'), ''), current_schema())",
    "server_encoding": "'UTF8'",
    "server_version": f"'{SERVER_VERSION}'",
    "server_version_num": "'160000'",
    "standard_conforming_strings": "'on'",
    "timezone": "current_setting('TimeZone')",
    "transaction_isolation": "'repeatable read'",
    "transaction_read_only": "'off'",
}
_SHOW = re.compile(r"(?i)\s*show\s+([a-z_]+|transaction\s+isolation\s+level)\s*;?\s*")


def rewrite(sql: str) -> str:
    """The same for DuckDB, if *sql* asks PostgreSQL's catalogue or settings; else *sql* itself."""
    if "pg_catalog" in sql or "regtype" in sql or "regclass" in sql:
        try:
            return _Rewriting(sql).text()
        except Unreadable:
            return sql
    if sql.lstrip()[:4].lower() == "show" and (show := _SHOW.fullmatch(sql)):
        name = "_".join(show[1].lower().split()).removesuffix("_level")
        if name in _SETTINGS:
            return f"SELECT {_SETTINGS[name]} AS {name}"
    return sql


class _Rewriting:
    """One statement's tokens and the texts that take their places."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens = tokens(sql)
        self._texts = [token.text for token in self._tokens]
        self._is_postgres = False

    def text(self) -> str:
        if self._at(0).word == "create":
            # What it makes may outlive the macros.
            return self._sql
        place = 0
        while place < len(self._tokens):
            place = self._step(place)
        if not self._is_postgres:
            return self._sql
        if any(token.word == "pg_publication" for token in self._tokens):
            return _NO_PUBLICATION
        source = self._sql.removeprefix("\ufeff").encode()
        parts, end = [], 0
        for token, text in zip(self._tokens, self._texts, strict=True):
            parts += [source[end : token.start].decode(), text]
            end = token.start + len(token.text.encode())
        return "".join(parts) + source[end:].decode()

    def _at(self, place: int) -> Token:
        return self._tokens[place] if 0 <= place < len(self._tokens) else _NOTHING

    def _replace(self, start: int, end: int, text: str = "") -> int:
        """Put *text* in the place of some tokens, and go on after them."""
        if end > len(self._texts):
            raise Unreadable("ends too early")
        self._texts[start:end] = [text] + [""] * (end - start - 1)
        self._is_postgres = True
        return end

    def _step(self, place: int) -> int:
        """Rewrite what begins at *place*; return where to go on."""
        token = self._at(place)
        match token.word or token.text:
            case "operator" if self._is_qualified(place + 2):
                operator = self._at(place + 4).text
                self._search(operator, place + 6)
                return self._replace(place, place + 6, f" {operator} ")
            case "collate" if self._is_qualified(place + 1):
                return self._replace(place, place + 4)
            case "~" | "!~":
                self._search(token.text, place + 1)
            case "::" if end := self._reg_type(place + 1):
                start = self._operand(place - 1)
                self._texts[start] = self._reg_function(start, place, end) + self._texts[start]
                return self._replace(place, end, ")")
            case "as" if (end := self._reg_type(place + 1)) and self._is_cast(end):
                start = self._opening(end)
                self._texts[start - 1] = self._reg_function(start + 1, place, end)[:-1]
                return self._replace(place, end)
            case _ if self._is_qualified(place):
                return self._qualified(place)
            case name if token.word and self._at(place - 1).text != ".":
                self._unqualified(place, name)
        return place + 1

    def _search(self, operator: str, place: int) -> None:
        is_whole = self._at(place + 1).text != "||"
        if operator in ("~", "!~") and self._at(place).kind in _LITERALS and is_whole:
            self._texts[place] = _SEARCH.format(self._texts[place])

    def _is_qualified(self, place: int) -> bool:
        is_first = self._at(place - 1).text != "."
        return is_first and self._at(place).word == "pg_catalog" and self._at(place + 1).text == "."

    def _qualified(self, place: int) -> int:
        name, before = self._at(place + 2).word, self._at(place - 1)
        follower = self._at(place + 3).text
        if follower == "(":
            self._replace(place, place + 2, _HOME if name in _FUNCTIONS else "")
        elif name in _RELATIONS:
            self._replace(place, place + 2)
            if follower != ".":
                self._relation(place + 2)
        elif before.text == "::" or before.word == "as":
            self._replace(place, place + 2)
        self._is_postgres = True
        return place + 3

    def _unqualified(self, place: int, name: str) -> None:
        before = self._at(place - 1)
        is_source = before.word in ("from", "join") or before.text == ","
        if self._at(place + 1).text == "(":
            self._texts[place] = _RENAMED.get(name, self._texts[place])
            if name in _FUNCTIONS and name.startswith(("pg_", "to_reg")):
                self._texts[place] = _HOME + name
                self._is_postgres |= name.startswith("to_reg")
        elif name in _RELATIONS and name.startswith("pg_") and is_source:
            self._relation(place)

    def _relation(self, place: int) -> None:
        """Call the table macro, under the relation's name if it gets no other."""
        token, follower = self._at(place), self._at(place + 1)
        is_alias = follower.word and follower.word not in _NOT_ALIASES
        alias = "" if is_alias or follower.word == "as" else f" AS {token.text}"
        self._texts[place] = f"{_HOME}{token.text}(){alias}"

    def _reg_type(self, place: int) -> int:
        """Where the name of a reg type that begins at *place* ends, or 0."""
        place += 2 if self._is_qualified(place) else 0
        return place + 1 if self._at(place).word in _REG_TYPES else 0

    def _is_cast(self, end: int) -> bool:
        return self._at(end).text == ")" and self._at(self._opening(end) - 1).word == "cast"

    def _reg_function(self, start: int, place: int, end: int) -> str:
        """A literal becomes the OID that it names; anything else is one, and becomes a name."""
        is_literal = place == start + 1 and self._at(start).kind in _LITERALS
        name = self._at(end - 1).word
        return f"{_HOME}to_{name}(" if is_literal else f"{_HOME}{name}_name("

    def _operand(self, place: int) -> int:
        """Where the operand that ends at *place* begins: a name with its path, or a call."""
        if self._at(place).text == ")":
            place = self._opening(place)
            place -= 1 if self._at(place - 1).word not in RESERVED | {""} else 0
        while self._at(place - 1).text == "." and place > 1:
            place -= 2
        return place

    def _opening(self, place: int) -> int:
        """The parenthesis that the one at *place* closes."""
        depth = 0
        for start in range(place, -1, -1):
            depth += {")": 1, "(": -1}.get(self._at(start).text, 0)
            if depth == 0:
                return start
        raise Unreadable("unbalanced parentheses")
