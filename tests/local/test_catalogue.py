"""psql 15, psycopg and SQLAlchemy ask PostgreSQL's catalogue, and DuckDB answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from pgmd.local.catalogue.macros import DATABASE, SERVER_VERSION, SETUP
from pgmd.local.catalogue.rewriting import rewrite

SCHEMA = """
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer VARCHAR(20) NOT NULL, amount DECIMAL(10, 2) DEFAULT 0,
    placed TIMESTAMPTZ DEFAULT now(), ok BOOLEAN NOT NULL DEFAULT true, tags INTEGER[],
    prices DECIMAL(5, 1)[], big BIGINT CHECK (big > 0), code UUID UNIQUE, day DATE, at_ TIMESTAMP,
    part STRUCT(a INTEGER), mood ENUM ('sad', 'ok'), tiny TINYINT
);
CREATE TABLE lines (id INTEGER REFERENCES orders (id), "a b" INTEGER);
CREATE INDEX lines_ab ON lines ("a b");
CREATE VIEW recent AS SELECT id, customer AS "x AS y" FROM orders;
CREATE TABLE "Odd Name" ("Col 1" TEXT);
CREATE SEQUENCE counter START 5;
CREATE TEMP TABLE passing (i INTEGER);
CREATE SCHEMA other;
CREATE TABLE other.things (x DOUBLE);
COMMENT ON TABLE orders IS 'what was bought';
COMMENT ON COLUMN orders.id IS 'of the till';
ATTACH ':memory:' AS second;
CREATE TABLE second.far (f INTEGER);
"""

# What psql 15 sends to a server of version 15 or later, with NAME and OID for what is asked for.
LIST_ALL = r"""
SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r','p','v','m','S','f','')
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2;
"""
TABLES = r"""
SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r','p','')
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2;
"""
VIEWS = r"""
SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v','')
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2;
"""
SCHEMAS = r"""
SELECT n.nspname AS "Name",
  pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1;
"""
DATABASES = r"""
SELECT d.datname as "Name",
       pg_catalog.pg_get_userbyid(d.datdba) as "Owner",
       pg_catalog.pg_encoding_to_char(d.encoding) as "Encoding",
       d.datcollate as "Collate",
       d.datctype as "Ctype",
       d.daticulocale as "ICU Locale",
       CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' END AS "Locale Provider",
       pg_catalog.array_to_string(d.datacl, E'\n') AS "Access privileges"
FROM pg_catalog.pg_database d
ORDER BY 1;
"""
TABLES_OF_OTHER = r"""
SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r','p','t','s','')
  AND n.nspname OPERATOR(pg_catalog.~) '^(other)$' COLLATE pg_catalog.default
ORDER BY 1,2;
"""
TABLES_VERBOSE = r"""
SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner",
  CASE c.relpersistence WHEN 'p' THEN 'permanent' WHEN 't' THEN 'temporary' WHEN 'u' THEN 'unlogged' END as "Persistence",
  am.amname as "Access method",
  pg_catalog.pg_size_pretty(pg_catalog.pg_table_size(c.oid)) as "Size",
  pg_catalog.obj_description(c.oid, 'pg_class') as "Description"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r','p','')
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2;
"""
INDEXES = r"""
SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner",
  c2.relname as "Table"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
     LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
     LEFT JOIN pg_catalog.pg_class c2 ON i.indrelid = c2.oid
WHERE c.relkind IN ('i','I','')
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2;
"""
FIND = r"""
SELECT c.oid,
  n.nspname,
  c.relname
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname OPERATOR(pg_catalog.~) '^(NAME)$' COLLATE pg_catalog.default
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 2, 3;
"""
RELATION = r"""
SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, c.relrowsecurity, c.relforcerowsecurity, false AS relhasoids, c.relispartition, '', c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence, c.relreplident, am.amname
FROM pg_catalog.pg_class c
 LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)
LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid)
WHERE c.oid = 'OID';
"""
COLUMNS = r"""
SELECT a.attname,
  pg_catalog.format_type(a.atttypid, a.atttypmod),
  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
   FROM pg_catalog.pg_attrdef d
   WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
  a.attnotnull,
  (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
   WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation,
  a.attidentity,
  a.attgenerated
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = 'OID' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;
"""
INDEXES_OF = r"""
SELECT c2.relname, i.indisprimary, i.indisunique, i.indisclustered, i.indisvalid, pg_catalog.pg_get_indexdef(i.indexrelid, 0, true),
  pg_catalog.pg_get_constraintdef(con.oid, true), contype, condeferrable, condeferred, i.indisreplident, c2.reltablespace
FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_index i
  LEFT JOIN pg_catalog.pg_constraint con ON (conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x'))
WHERE c.oid = 'OID' AND c.oid = i.indrelid AND i.indexrelid = c2.oid
ORDER BY i.indisprimary DESC, c2.relname;
"""
CHECKS = r"""
SELECT r.conname, pg_catalog.pg_get_constraintdef(r.oid, true)
FROM pg_catalog.pg_constraint r
WHERE r.conrelid = 'OID' AND r.contype = 'c'
ORDER BY 1;
"""
FOREIGN_KEYS = r"""
SELECT true as sametable, conname,
  pg_catalog.pg_get_constraintdef(r.oid, true) as condef,
  conrelid::pg_catalog.regclass AS ontable
FROM pg_catalog.pg_constraint r
WHERE r.conrelid = 'OID' AND r.contype = 'f'
     AND conparentid = 0
ORDER BY conname
"""
REFERENCES = r"""
SELECT conname, conrelid::pg_catalog.regclass AS ontable,
       pg_catalog.pg_get_constraintdef(oid, true) AS condef
  FROM pg_catalog.pg_constraint c
 WHERE confrelid IN (SELECT pg_catalog.pg_partition_ancestors('OID')
                     UNION ALL VALUES ('OID'::pg_catalog.regclass))
       AND contype = 'f' AND conparentid = 0
ORDER BY conname;
"""
POLICIES = r"""
SELECT pol.polname, pol.polpermissive,
  CASE WHEN pol.polroles = '{0}' THEN NULL ELSE pg_catalog.array_to_string(array(select rolname from pg_catalog.pg_roles where oid = any (pol.polroles) order by 1),',') END,
  pg_catalog.pg_get_expr(pol.polqual, pol.polrelid),
  pg_catalog.pg_get_expr(pol.polwithcheck, pol.polrelid),
  CASE pol.polcmd
    WHEN 'r' THEN 'SELECT'
    WHEN 'a' THEN 'INSERT'
    WHEN 'w' THEN 'UPDATE'
    WHEN 'd' THEN 'DELETE'
    END AS cmd
FROM pg_catalog.pg_policy pol
WHERE pol.polrelid = 'OID' ORDER BY 1;
"""
STATISTICS = r"""
SELECT oid, stxrelid::pg_catalog.regclass, stxnamespace::pg_catalog.regnamespace::pg_catalog.text AS nsp, stxname,
pg_catalog.pg_get_statisticsobjdef_columns(oid) AS columns,
  'd' = any(stxkind) AS ndist_enabled,
  'f' = any(stxkind) AS deps_enabled,
  'm' = any(stxkind) AS mcv_enabled,
stxstattarget
FROM pg_catalog.pg_statistic_ext
WHERE stxrelid = 'OID'
ORDER BY nsp, stxname;
"""
PUBLICATIONS = r"""
SELECT pubname
     , NULL
     , NULL
FROM pg_catalog.pg_publication p
     JOIN pg_catalog.pg_publication_namespace pn ON p.oid = pn.pnpubid
     JOIN pg_catalog.pg_class pc ON pc.relnamespace = pn.pnnspid
WHERE pc.oid ='OID' and pg_catalog.pg_relation_is_publishable('OID')
UNION
SELECT pubname
     , pg_get_expr(pr.prqual, c.oid)
     , (CASE WHEN pr.prattrs IS NOT NULL THEN
         (SELECT string_agg(attname, ', ')
           FROM pg_catalog.generate_series(0, pg_catalog.array_upper(pr.prattrs::pg_catalog.int2[], 1)) s,
                pg_catalog.pg_attribute
          WHERE attrelid = pr.prrelid AND attnum = prattrs[s])
        ELSE NULL END) FROM pg_catalog.pg_publication p
     JOIN pg_catalog.pg_publication_rel pr ON p.oid = pr.prpubid
     JOIN pg_catalog.pg_class c ON c.oid = pr.prrelid
WHERE pr.prrelid = 'OID'
UNION
SELECT pubname
     , NULL
     , NULL
FROM pg_catalog.pg_publication p
WHERE p.puballtables AND pg_catalog.pg_relation_is_publishable('OID')
ORDER BY 1;
"""
TRIGGERS = r"""
SELECT t.tgname, pg_catalog.pg_get_triggerdef(t.oid, true), t.tgenabled, t.tgisinternal,
  CASE WHEN t.tgparentid != 0 THEN
    (SELECT u.tgrelid::pg_catalog.regclass
     FROM pg_catalog.pg_trigger AS u,
          pg_catalog.pg_partition_ancestors(t.tgrelid) WITH ORDINALITY AS a(relid, depth)
     WHERE u.tgname = t.tgname AND u.tgrelid = a.relid
           AND u.tgparentid = 0
     ORDER BY a.depth LIMIT 1)
  END AS parent
FROM pg_catalog.pg_trigger t
WHERE t.tgrelid = 'OID' AND (NOT t.tgisinternal OR (t.tgisinternal AND t.tgenabled = 'D'))
ORDER BY 1;
"""
PARENTS = r"""
SELECT c.oid::pg_catalog.regclass
FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i
WHERE c.oid = i.inhparent AND i.inhrelid = 'OID'
  AND c.relkind != 'p' AND c.relkind != 'I'
ORDER BY inhseqno;
"""
CHILDREN = r"""
SELECT c.oid::pg_catalog.regclass, c.relkind, inhdetachpending, pg_catalog.pg_get_expr(c.relpartbound, c.oid)
FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i
WHERE c.oid = i.inhrelid AND i.inhparent = 'OID'
ORDER BY pg_catalog.pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT', c.oid::pg_catalog.regclass::pg_catalog.text;
"""
RELATION_VERBOSE = r"""
SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, c.relrowsecurity, c.relforcerowsecurity, false AS relhasoids, c.relispartition, pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from pg_catalog.unnest(tc.reloptions) x), ', ')
, c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence, c.relreplident, am.amname
FROM pg_catalog.pg_class c
 LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)
LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid)
WHERE c.oid = 'OID';
"""
COLUMNS_VERBOSE = r"""
SELECT a.attname,
  pg_catalog.format_type(a.atttypid, a.atttypmod),
  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
   FROM pg_catalog.pg_attrdef d
   WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
  a.attnotnull,
  (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
   WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation,
  a.attidentity,
  a.attgenerated,
  a.attstorage,
  a.attcompression AS attcompression,
  CASE WHEN a.attstattarget=-1 THEN NULL ELSE a.attstattarget END AS attstattarget,
  pg_catalog.col_description(a.attrelid, a.attnum)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = 'OID' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;
"""
VIEW_DEFINITION = r"""
SELECT pg_catalog.pg_get_viewdef('OID'::pg_catalog.oid, true);
"""
RULES = r"""
SELECT r.rulename, trim(trailing ';' from pg_catalog.pg_get_ruledef(r.oid, true))
FROM pg_catalog.pg_rewrite r
WHERE r.ev_class = 'OID' AND r.rulename != '_RETURN' ORDER BY 1;
"""
SEQUENCE = r"""
SELECT pg_catalog.format_type(seqtypid, NULL) AS "Type",
       seqstart AS "Start",
       seqmin AS "Minimum",
       seqmax AS "Maximum",
       seqincrement AS "Increment",
       CASE WHEN seqcycle THEN 'yes' ELSE 'no' END AS "Cycles?",
       seqcache AS "Cache"
FROM pg_catalog.pg_sequence
WHERE seqrelid = 'OID';
"""
SEQUENCE_OWNER = r"""
SELECT pg_catalog.quote_ident(nspname) || '.' ||
   pg_catalog.quote_ident(relname) || '.' ||
   pg_catalog.quote_ident(attname),
   d.deptype
FROM pg_catalog.pg_class c
INNER JOIN pg_catalog.pg_depend d ON c.oid=d.refobjid
INNER JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace
INNER JOIN pg_catalog.pg_attribute a ON (
 a.attrelid=c.oid AND
 a.attnum=d.refobjsubid)
WHERE d.classid='pg_catalog.pg_class'::pg_catalog.regclass
 AND d.refclassid='pg_catalog.pg_class'::pg_catalog.regclass
 AND d.objid='OID'
 AND d.deptype IN ('a', 'i')
"""

# What psycopg 3.3 and SQLAlchemy 2.1 send, with the values of the parameters.
TYPE_INFO = r"""
SELECT
    typname AS name, oid, typarray AS array_oid,
    oid::regtype::text AS regtype, typdelim AS delimiter
FROM pg_type t
WHERE t.oid = to_regtype($1)
ORDER BY t.oid
"""
TYPE_INFO_VALUES = ["hstore"]
TABLE_NAMES = r"""
SELECT pg_catalog.pg_class.relname
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$1::VARCHAR, $2::VARCHAR]) AND pg_catalog.pg_class.relpersistence != $3::VARCHAR AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $4::VARCHAR
"""
TABLE_NAMES_VALUES = ["r", "p", "t", "pg_catalog"]
HAS_TABLE = r"""
SELECT pg_catalog.pg_class.relname
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relname IN ($1::VARCHAR) AND pg_catalog.pg_class.relkind = ANY (ARRAY[$2::VARCHAR, $3::VARCHAR, $4::VARCHAR, $5::VARCHAR, $6::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $7::VARCHAR
"""
HAS_TABLE_VALUES = ["orders", "r", "p", "f", "v", "m", "pg_catalog"]
GET_COLUMNS = r"""
SELECT pg_catalog.pg_attribute.attname AS name, pg_catalog.format_type(pg_catalog.pg_attribute.atttypid, pg_catalog.pg_attribute.atttypmod) AS format_type, CASE WHEN pg_catalog.pg_attribute.atthasdef THEN (SELECT pg_catalog.pg_get_expr(pg_catalog.pg_attrdef.adbin, pg_catalog.pg_attrdef.adrelid) AS pg_get_expr_1
FROM pg_catalog.pg_attrdef
WHERE pg_catalog.pg_attribute.atthasdef AND pg_catalog.pg_attrdef.adrelid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attrdef.adnum = pg_catalog.pg_attribute.attnum) ELSE NULL END AS "default", pg_catalog.pg_attribute.attnotnull AS not_null, pg_catalog.pg_class.relname AS table_name, pg_catalog.pg_description.description AS comment, pg_catalog.pg_attribute.attgenerated AS generated, CASE WHEN (pg_catalog.pg_attribute.attidentity != $1::VARCHAR) THEN (SELECT json_build_object($2::VARCHAR, pg_catalog.pg_attribute.attidentity = $3::VARCHAR, $4::VARCHAR, pg_catalog.pg_sequence.seqstart, $5::VARCHAR, pg_catalog.pg_sequence.seqincrement, $6::VARCHAR, pg_catalog.pg_sequence.seqmin, $7::VARCHAR, pg_catalog.pg_sequence.seqmax, $8::VARCHAR, pg_catalog.pg_sequence.seqcache, $9::VARCHAR, pg_catalog.pg_sequence.seqcycle) AS json_build_object_1
FROM pg_catalog.pg_sequence
WHERE pg_catalog.pg_attribute.attidentity != $10::VARCHAR AND pg_catalog.pg_sequence.seqrelid = CAST(CAST(pg_catalog.pg_get_serial_sequence(CAST(CAST(pg_catalog.pg_attribute.attrelid AS REGCLASS) AS TEXT), pg_catalog.pg_attribute.attname) AS REGCLASS) AS OID)) ELSE NULL END AS identity_options, CASE WHEN (pg_catalog.pg_attribute.attcollation != $11::INTEGER AND (SELECT pg_catalog.pg_type.typcollation
FROM pg_catalog.pg_type
WHERE pg_catalog.pg_type.oid = pg_catalog.pg_attribute.atttypid) != pg_catalog.pg_attribute.attcollation) THEN (SELECT json_build_object($12::VARCHAR, pg_catalog.pg_collation.collname, $13::VARCHAR, CASE WHEN pg_catalog.pg_collation_is_visible(pg_catalog.pg_collation.oid) THEN NULL ELSE pg_catalog.pg_namespace.nspname END) AS json_build_object_9
FROM pg_catalog.pg_collation JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_collation.collnamespace
WHERE pg_catalog.pg_collation.oid = pg_catalog.pg_attribute.attcollation) ELSE NULL END AS collation
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_class.oid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attribute.attnum > $14::SMALLINT AND NOT pg_catalog.pg_attribute.attisdropped LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_description.objsubid = pg_catalog.pg_attribute.attnum JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$15::VARCHAR, $16::VARCHAR, $17::VARCHAR, $18::VARCHAR, $19::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $20::VARCHAR AND pg_catalog.pg_class.relname IN ($21::VARCHAR) ORDER BY pg_catalog.pg_class.relname, pg_catalog.pg_attribute.attnum
"""
GET_COLUMNS_VALUES = [
    "",
    "always",
    "a",
    "start",
    "increment",
    "minvalue",
    "maxvalue",
    "cache",
    "cycle",
    "",
    "0",
    "name",
    "schema",
    "0",
    "r",
    "p",
    "f",
    "v",
    "m",
    "pg_catalog",
    "orders",
]
GET_KEYS = r"""
SELECT attr.conrelid, array_agg(CAST(attr.attname AS TEXT) ORDER BY attr.ord) AS cols, attr.conname, min(attr.description) AS description, min(attr.indnkeyatts) AS indnkeyatts, bool_and(attr.indnullsnotdistinct) AS indnullsnotdistinct
FROM (SELECT con.conrelid AS conrelid, con.conname AS conname, con.description AS description, con.ord AS ord, con.indnkeyatts AS indnkeyatts, con.indnullsnotdistinct AS indnullsnotdistinct, pg_catalog.pg_attribute.attname AS attname
FROM pg_catalog.pg_attribute JOIN (SELECT pg_catalog.pg_constraint.conrelid AS conrelid, pg_catalog.pg_constraint.conname AS conname, unnest(pg_catalog.pg_index.indkey) AS attnum, generate_subscripts(pg_catalog.pg_index.indkey, $1::INTEGER) AS ord, pg_catalog.pg_index.indnkeyatts AS indnkeyatts, pg_catalog.pg_index.indnullsnotdistinct AS indnullsnotdistinct, pg_catalog.pg_description.description AS description
FROM pg_catalog.pg_constraint JOIN pg_catalog.pg_index ON pg_catalog.pg_constraint.conindid = pg_catalog.pg_index.indexrelid LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_constraint.oid AND pg_catalog.pg_description.classoid = CAST($2 AS REGCLASS)
WHERE pg_catalog.pg_constraint.contype = $3::VARCHAR AND pg_catalog.pg_constraint.conrelid IN ($4)) AS con ON pg_catalog.pg_attribute.attnum = con.attnum AND pg_catalog.pg_attribute.attrelid = con.conrelid
WHERE con.conrelid IN ($4)) AS attr GROUP BY attr.conrelid, attr.conname ORDER BY attr.conrelid, attr.conname
"""
GET_KEYS_VALUES = ["1", "pg_constraint", "p", "16385"]
GET_INDEXES = r"""
SELECT pg_catalog.pg_index.indrelid, pg_catalog.pg_class.relname, pg_catalog.pg_index.indisunique, pg_catalog.pg_index.indisvalid, pg_catalog.pg_constraint.conrelid IS NOT NULL AS has_constraint, pg_catalog.pg_index.indoption, pg_catalog.pg_class.reloptions, pg_catalog.pg_class.relam, CASE WHEN (pg_catalog.pg_index.indpred IS NOT NULL) THEN pg_catalog.pg_get_expr(pg_catalog.pg_index.indpred, pg_catalog.pg_index.indrelid) END AS filter_definition, pg_catalog.pg_index.indnkeyatts, pg_catalog.pg_index.indnullsnotdistinct, idx_cols.elements, idx_cols.elements_is_expr, idx_cols.elements_opclass
FROM pg_catalog.pg_index JOIN pg_catalog.pg_class ON pg_catalog.pg_index.indexrelid = pg_catalog.pg_class.oid LEFT OUTER JOIN (SELECT idx_attr.indexrelid AS indexrelid, min(idx_attr.indrelid) AS min_1, array_agg(idx_attr.element ORDER BY idx_attr.ord) AS elements, array_agg(idx_attr.is_expr ORDER BY idx_attr.ord) AS elements_is_expr, array_agg(idx_attr.att_opclass ORDER BY idx_attr.ord) AS elements_opclass
FROM (SELECT idx.indexrelid AS indexrelid, idx.indrelid AS indrelid, idx.ord AS ord, CASE WHEN (idx.attnum = $1::INTEGER) THEN pg_catalog.pg_get_indexdef(idx.indexrelid, idx.ord + $2::INTEGER, $3) ELSE CAST(pg_catalog.pg_attribute.attname AS TEXT) END AS element, idx.attnum = $4::INTEGER AS is_expr, CAST(idx.att_opclass AS BIGINT) AS att_opclass
FROM (SELECT pg_catalog.pg_index.indexrelid AS indexrelid, pg_catalog.pg_index.indrelid AS indrelid, unnest(pg_catalog.pg_index.indkey) AS attnum, unnest(pg_catalog.pg_index.indclass) AS att_opclass, generate_subscripts(pg_catalog.pg_index.indkey, $5::INTEGER) AS ord
FROM pg_catalog.pg_index
WHERE NOT pg_catalog.pg_index.indisprimary AND pg_catalog.pg_index.indrelid IN ($6)) AS idx LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_attribute.attnum = idx.attnum AND pg_catalog.pg_attribute.attrelid = idx.indrelid
WHERE idx.indrelid IN ($6)) AS idx_attr GROUP BY idx_attr.indexrelid) AS idx_cols ON pg_catalog.pg_index.indexrelid = idx_cols.indexrelid LEFT OUTER JOIN pg_catalog.pg_constraint ON pg_catalog.pg_index.indrelid = pg_catalog.pg_constraint.conrelid AND pg_catalog.pg_index.indexrelid = pg_catalog.pg_constraint.conindid AND pg_catalog.pg_constraint.contype = ANY (ARRAY[$7::VARCHAR, $8::VARCHAR, $9::VARCHAR])
WHERE pg_catalog.pg_index.indrelid IN ($6) AND NOT pg_catalog.pg_index.indisprimary ORDER BY pg_catalog.pg_index.indrelid, pg_catalog.pg_class.relname
"""
GET_INDEXES_VALUES = ["0", "1", "t", "0", "1", "16385", "p", "u", "x"]


@pytest.fixture(scope="module")
def root() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(SCHEMA)
        connection.execute(f"ATTACH ':memory:' AS {DATABASE}")
        for statement in SETUP:
            connection.execute(statement)
        connection.execute("SET enable_external_access = false")
        yield connection


@pytest.fixture
def duck(root: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    # A cursor would not see the temporary table.
    yield root
    root.execute("USE memory.main; SET search_path = ''")


def ask(duck: duckdb.DuckDBPyConnection, sql: str, values: object = None) -> list[Any]:
    return duck.execute(rewrite(sql), values).fetchall()


def find(duck: duckdb.DuckDBPyConnection, name: str) -> str:
    ((oid, _, found),) = ask(duck, FIND.replace("NAME", name))
    assert found == name
    return str(oid)


def about(duck: duckdb.DuckDBPyConnection, sql: str, name: str) -> list[Any]:
    return ask(duck, sql.replace("OID", find(duck, name)))


TABLE_ROWS = [
    ("main", "Odd Name", "table", "duckdb"),
    ("main", "lines", "table", "duckdb"),
    ("main", "orders", "table", "duckdb"),
    ("pg_temp", "passing", "table", "duckdb"),
]
VIEW_ROW = ("main", "recent", "view", "duckdb")


def test_psql_lists_what_the_search_path_finds(duck: duckdb.DuckDBPyConnection) -> None:
    assert ask(duck, TABLES) == TABLE_ROWS
    assert ask(duck, VIEWS) == [VIEW_ROW]
    sequence = ("main", "counter", "sequence", "duckdb")
    assert ask(duck, LIST_ALL) == sorted([*TABLE_ROWS, VIEW_ROW, sequence])
    assert ask(duck, TABLES_OF_OTHER) == [("other", "things", "table", "duckdb")]
    duck.execute("SET search_path = 'other,main'")
    assert len(ask(duck, TABLES)) == 5
    duck.execute("USE memory.other")
    assert [row[1] for row in ask(duck, TABLES)] == ["things", "passing"]


def test_psql_lists_only_the_current_database(duck: duckdb.DuckDBPyConnection) -> None:
    assert ask(duck, SCHEMAS) == [("main", "duckdb"), ("other", "duckdb")]
    duck.execute("USE second")
    assert [row[1] for row in ask(duck, TABLES)] == ["far", "passing"]
    assert ask(duck, SCHEMAS) == [("main", "duckdb")]
    assert [row[:3] for row in ask(duck, DATABASES)] == [
        ("memory", "duckdb", "UTF8"),
        ("second", "duckdb", "UTF8"),
    ]


def test_psql_lists_sizes_comments_and_indexes(duck: duckdb.DuckDBPyConnection) -> None:
    rows = {row[1]: row[4:] for row in ask(duck, TABLES_VERBOSE)}
    assert rows["orders"] == ("permanent", None, None, "what was bought")
    assert rows["passing"] == ("temporary", None, None, None)
    assert [row[1:] for row in ask(duck, INDEXES)] == [
        ("lines_ab", "index", "duckdb", "lines"),
        ("orders_code_key", "index", "duckdb", "orders"),
        ("orders_id_pkey", "index", "duckdb", "orders"),
    ]


def test_psql_describes_columns(duck: duckdb.DuckDBPyConnection) -> None:
    assert [row[:4] for row in about(duck, COLUMNS, "orders")] == [
        ("id", "integer", None, True),
        ("customer", "text", None, True),
        ("amount", "numeric(10,2)", "0", False),
        ("placed", "timestamp with time zone", "now()", False),
        ("ok", "boolean", "true", True),
        ("tags", "integer[]", None, False),
        ("prices", "numeric(5,1)[]", None, False),
        ("big", "bigint", None, False),
        ("code", "uuid", None, False),
        ("day", "date", None, False),
        ("at_", "timestamp without time zone", None, False),
        ("part", "STRUCT(a INTEGER)", None, False),
        ("mood", "text", None, False),
        ("tiny", "smallint", None, False),
    ]
    (row, *_) = about(duck, COLUMNS_VERBOSE, "orders")
    assert row == ("id", "integer", None, True, None, "", "", "p", "", None, "of the till")
    assert [row[0] for row in about(duck, COLUMNS, "Odd Name")] == ["Col 1"]
    assert [row[:2] for row in about(duck, COLUMNS, "recent")] == [
        ("id", "integer"),
        ("x AS y", "text"),
    ]


@pytest.mark.parametrize(
    ("name", "kind", "checks", "has_index", "has_foreign_key"),
    [
        ("orders", "r", 1, True, True),
        ("lines", "r", 0, True, True),
        ("Odd Name", "r", 0, False, False),
        ("recent", "v", 0, False, False),
        ("counter", "S", 0, False, False),
    ],
)
def test_psql_describes_a_relation(
    duck: duckdb.DuckDBPyConnection,
    name: str,
    kind: str,
    checks: int,
    has_index: bool,
    has_foreign_key: bool,
) -> None:
    for sql in (RELATION, RELATION_VERBOSE):
        ((found_checks, found_kind, index, rules, triggers, *_),) = about(duck, sql, name)
        assert (found_checks, found_kind, index, rules, triggers) == (
            checks,
            kind,
            has_index,
            False,
            has_foreign_key,
        )


def test_psql_describes_indexes_and_constraints(duck: duckdb.DuckDBPyConnection) -> None:
    assert [(*row[:3], *row[5:8]) for row in about(duck, INDEXES_OF, "orders")] == [
        (
            *("orders_id_pkey", True, True),
            "CREATE UNIQUE INDEX orders_id_pkey ON orders USING art (id)",
            *("PRIMARY KEY (id)", "p"),
        ),
        (
            *("orders_code_key", False, True),
            "CREATE UNIQUE INDEX orders_code_key ON orders USING art (code)",
            *("UNIQUE (code)", "u"),
        ),
    ]
    ((name, *_, definition, _, _, _, _, _, _),) = about(duck, INDEXES_OF, "lines")
    assert (name, definition) == ("lines_ab", 'CREATE INDEX lines_ab ON lines USING art ("a b")')
    assert about(duck, CHECKS, "orders") == [("orders_big_check", "CHECK ((big > 0))")]
    key = "FOREIGN KEY (id) REFERENCES orders(id)"
    assert about(duck, FOREIGN_KEYS, "lines") == [(True, "lines_id_id_fkey", key, "lines")]
    assert about(duck, REFERENCES, "orders") == [("lines_id_id_fkey", "lines", key)]
    assert about(duck, REFERENCES, "lines") == []


@pytest.mark.parametrize(
    "sql", [POLICIES, STATISTICS, PUBLICATIONS, TRIGGERS, PARENTS, CHILDREN, RULES, SEQUENCE_OWNER]
)
def test_psql_finds_none_of_what_duckdb_lacks(duck: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert about(duck, sql, "orders") == []


def test_psql_describes_views_and_sequences(duck: duckdb.DuckDBPyConnection) -> None:
    assert about(duck, VIEW_DEFINITION, "recent") == [
        (' SELECT id, customer AS "x AS y" FROM orders;',)
    ]
    assert about(duck, SEQUENCE, "counter")[0][:2] == ("bigint", 5)


def test_sqlalchemy_connects(duck: duckdb.DuckDBPyConnection) -> None:
    ((version,),) = ask(duck, "select pg_catalog.version()")
    assert version.startswith(f"PostgreSQL {SERVER_VERSION} (DuckDB v")
    assert ask(duck, "select current_schema()") == [("main",)]
    assert ask(duck, "show transaction isolation level") == [("repeatable read",)]
    assert ask(duck, "show standard_conforming_strings") == [("on",)]
    assert ask(duck, TYPE_INFO, ["hstore"]) == []


@pytest.mark.parametrize("name", ["int4", "integer", "INTEGER"])
def test_psycopg_finds_a_type(duck: duckdb.DuckDBPyConnection, name: str) -> None:
    assert ask(duck, TYPE_INFO, [name]) == [("int4", 23, 1007, "integer", ",")]


def test_sqlalchemy_inspects(duck: duckdb.DuckDBPyConnection) -> None:
    names = {name for (name,) in ask(duck, TABLE_NAMES, TABLE_NAMES_VALUES)}
    assert names == {"orders", "lines", "Odd Name"}
    assert ask(duck, HAS_TABLE, HAS_TABLE_VALUES) == [("orders",)]
    assert ask(duck, HAS_TABLE, ["nothing", *HAS_TABLE_VALUES[1:]]) == []
    columns = ask(duck, GET_COLUMNS, GET_COLUMNS_VALUES)
    assert columns[0] == ("id", "integer", None, True, "orders", "of the till", "", None, None)
    assert [row[1:4] for row in columns[2:4]] == [
        ("numeric(10,2)", "0", False),
        ("timestamp with time zone", "now()", False),
    ]
    oid = find(duck, "orders")
    assert ask(duck, GET_KEYS, [*GET_KEYS_VALUES[:3], oid]) == [
        (int(oid), ["id"], "orders_id_pkey", None, 1, False)
    ]
    oid = find(duck, "lines")
    values = [*GET_INDEXES_VALUES[:5], oid, *GET_INDEXES_VALUES[6:]]
    ((table, index, *_, elements, _, _),) = ask(duck, GET_INDEXES, values)
    assert (table, index, elements) == (int(oid), "lines_ab", ["a b"])


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT 'orders'::regclass = oid FROM pg_class WHERE relname = 'orders'", True),
        ("SELECT CAST('other.things' AS regclass) IS NOT NULL", True),
        ("SELECT 'things'::pg_catalog.regclass", None),
        ("SELECT c.oid::regclass::text FROM pg_class c WHERE relname LIKE 'Odd%'", '"Odd Name"'),
        ("SELECT (oid)::regclass FROM pg_class WHERE relname = 'things'", "other.things"),
        ("SELECT abs(pg_class.oid)::regclass FROM pg_class WHERE relname = 'lines'", "lines"),
        ("SELECT CAST(pg_class.oid AS regclass) FROM pg_class WHERE relname = 'lines'", "lines"),
        ("SELECT oid::pg_catalog.regtype FROM pg_type WHERE typname = '_int8'", "bigint[]"),
        ("SELECT 12::pg_catalog.regtype", "12"),
        ("SELECT 1::pg_catalog.int4 + '2'::pg_catalog.oid", 3),
        ("SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname ~ 'ai'", 1),
        ("SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname OPERATOR(pg_catalog.!~) 'ai'", 4),
        ("\ufeffSELECT 'é~' || nspname -- pg_catalog.é\nFROM pg_catalog.pg_namespace LIMIT 1", "é~main"),
        ("SELECT count(*) FROM pg_catalog.pg_am CROSS JOIN pg_catalog.pg_roles AS pg_catalog", 1),
    ],
)  # fmt: skip
def test_postgres_dialect(duck: duckdb.DuckDBPyConnection, sql: str, answer: object) -> None:
    assert ask(duck, sql) == [(answer,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'pg_catalog.pg_class' ~ 'pg.*', \"pg_catalog.pg_am\" FROM t",
        "SELECT regclass.regtype FROM (SELECT 1 AS regtype) regclass -- pg_catalog.pg_am",
        "SELECT name ~ 'a.*' FROM duckdb_functions() WHERE schema_name = 'pg_catalog'",
        "SELECT * FROM system.pg_catalog.pg_class WHERE relname ~ 'pg_catalog'",
        "SELECT pg_typeof(1), format_type FROM pg_class",
        "CREATE VIEW v AS FROM pg_catalog.pg_class",
        "SHOW TABLES",
        "SHOW orders",
        "SELECT 'show standard_conforming_strings'",
        "SELECT 'pg_catalog.",
        "SELECT x OPERATOR(pg_catalog",
        "SELECT a COLLATE pg_catalog.",
        "SELECT 1)::regclass",
    ],
)
def test_other_text_stays_as_it_is(sql: str) -> None:
    assert rewrite(sql) is sql


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        (" SHOW\tTransaction  isolation LEVEL ;", "repeatable read"),
        ("show server_version", SERVER_VERSION),
        ("show search_path", "main"),
    ],
)
def test_show(duck: duckdb.DuckDBPyConnection, sql: str, answer: str) -> None:
    assert ask(duck, sql) == [(answer,)]


def test_nothing_shows_among_the_users_objects(root: duckdb.DuckDBPyConnection) -> None:
    for listing in ("duckdb_tables()", "duckdb_views()", "duckdb_columns()"):
        found = root.execute(f"FROM {listing} WHERE database_name = '{DATABASE}'").fetchall()
        assert found == []


def test_any_beginning_of_a_question_is_read() -> None:
    for sql in (REFERENCES, STATISTICS, PUBLICATIONS, GET_COLUMNS):
        for end in range(0, len(sql), 7):
            assert isinstance(rewrite(sql[:end]), str)
