"""PostgreSQL's catalogue as macros over DuckDB's, for what its own `pg_catalog` lacks.

`SETUP` fills an attached in-memory database with them. There are macros only, no tables or views:
DuckDB's own listings show no more than the database's name.
"""

from __future__ import annotations

import re

from ...parity.types import ELEMENTS, PG_NAMES, TWINS

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

HOME = f"{DATABASE}.main."
_SETUP = [macro.strip().replace("@", HOME) for macro in _MACROS.split(";\n")]
for _name, _columns in _EMPTY.items():
    _nulls = re.sub(r"(\w+) ([^,]+)", r"NULL::\2 AS \1", _columns)
    _SETUP.append(f"{_name}() AS TABLE SELECT {_nulls} WHERE false")
SETUP: tuple[str, ...] = tuple(f"CREATE MACRO {HOME}{macro}" for macro in _SETUP)
FUNCTIONS = frozenset(macro.partition("(")[0] for macro in _SETUP)
RELATIONS = frozenset(
    macro.partition("(")[0] for macro in _SETUP if ") AS TABLE " in macro.partition("\n")[0]
)
