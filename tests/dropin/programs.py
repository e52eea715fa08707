"""Programs for psycopg, made by hypothesis, and the tables that they use. A program is data."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from psycopg.types.json import Json, Jsonb
from psycopg.types.numeric import Int2, Int8

# ------------------------------------------------------------------------------------- the tables

SCHEMA = """
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TABLE item (
    id integer PRIMARY KEY, name text NOT NULL, price numeric(10, 2) CHECK (price >= 0),
    qty bigint, made date, moment timestamptz, ts timestamp, flag boolean, ratio float8, tag uuid,
    code varchar(8) UNIQUE
);
CREATE TABLE word (item_id integer REFERENCES item, word text, n smallint);
CREATE TABLE wide (
    id integer PRIMARY KEY, f4 real, b bytea, j json, jb jsonb, i interval, t time, ti integer[],
    tt text[], n numeric, c char(4), r int4range, m mood
);
CREATE TABLE side (id serial PRIMARY KEY, note text);
CREATE TABLE diary (note text);
CREATE SEQUENCE counter;
CREATE FUNCTION twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE VIEW cheap AS SELECT id, name, price FROM item WHERE price < 10;
"""
CLEAR = "DELETE FROM word; DELETE FROM item; DELETE FROM wide; DELETE FROM side; DELETE FROM diary"
ITEMS = """
INSERT INTO item VALUES
    (1, 'pen', 1.50, 10, '2024-02-29', '2024-02-29 12:00:00+00', '2024-02-29 12:00:00.25', true,
     0.5, '00000000-0000-0000-0000-000000000001', 'a'),
    (2, 'Ink', 12.00, 9007199254740993, '1999-12-31', '2024-07-01 00:00:00+02', NULL, false, -1.25,
     NULL, 'b'),
    (3, 'naïve', NULL, -5, NULL, NULL, '1970-01-01 00:00:00', NULL, 1e300, NULL, NULL),
    (4, '', 0.00, NULL, '2024-03-01', '1970-01-01 00:00:00+00', '2024-03-01 23:59:59.999999',
     true, 0.1, 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'c'),
    (5, 'pen', 99999999.99, 0, '2024-02-29', '2024-02-29 12:00:00+00', NULL, false, NULL, NULL, 'd');
INSERT INTO word VALUES (1, 'blue', 1), (1, 'thin', 2), (2, 'black', NULL), (4, '%', -3);
"""
SEED = """
SELECT setval('counter', 1, false), setval('side_id_seq', 1, false);
INSERT INTO wide VALUES
    (1, 1.1, '\\x00ff', '{"a": [1, null]}', '{"b": 1.50}', '1 day 02:03:04.5', '12:34:56.789',
     '{1,NULL,3}', '{a,"b c",NULL}', 123456789012345678901234567890.5, 'ab', '[1,5)', 'low'),
    (2, 'NaN', '', '[]', 'null', '-1 mon', '00:00:00', '{}', '{}', 'NaN', '', 'empty', 'high'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO side (note) VALUES ('first')
"""
# The same for a DuckDB endpoint, as far as it goes.
LOCAL_SCHEMA = """
CREATE TABLE item (
    id integer PRIMARY KEY, name text NOT NULL, price numeric(10, 2) CHECK (price >= 0),
    qty bigint, made date, moment timestamptz, ts timestamp, flag boolean, ratio float8, tag uuid,
    code varchar UNIQUE
);
CREATE TABLE word (item_id integer, word text, n smallint);
CREATE TABLE wide (
    id integer PRIMARY KEY, f4 real, b bytea, j json, i interval, t time, ti integer[], tt text[],
    n numeric(38, 1), c varchar, m varchar
);
CREATE SEQUENCE side_id;
CREATE TABLE side (id integer DEFAULT nextval('side_id'), note text);
CREATE TABLE diary (note text);
CREATE VIEW cheap AS SELECT id, name, price FROM item WHERE price < 10;
"""
LOCAL_SEED = """
INSERT INTO wide VALUES
    (1, 1.1, '\\x00\\xFF', '{"a": [1, null]}', '1 day 02:03:04.5', '12:34:56.789', [1, NULL, 3],
     ['a', 'b c', NULL], 123456789012345678901234567890.5, 'ab', 'low'),
    (2, 'NaN', '', '[]', '-1 month', '00:00:00', [], [], -0.5, '', 'high'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO side (note) VALUES ('first')
"""
LOCAL_STATE = (
    "SELECT * FROM item ORDER BY id",
    "SELECT * FROM word ORDER BY item_id, word, n",
    "SELECT id, n FROM wide ORDER BY id",
    "SELECT note FROM side ORDER BY note",
    "SELECT * FROM diary ORDER BY note",
)
# What a program may leave behind beside rows.
EXTRA = ("made", "kept")
STATE = (
    "SELECT * FROM item ORDER BY id",
    "SELECT * FROM word ORDER BY item_id, word, n",
    "SELECT id, i::text, n::text, c, m FROM wide ORDER BY id",
    "SELECT * FROM side ORDER BY id",
    "SELECT * FROM diary ORDER BY note",
    "SELECT last_value, is_called FROM counter",
    "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace "
    "AND relname IN ('made', 'kept') ORDER BY 1",
)

# --------------------------------------------------------------------------------------- programs


@dataclass(frozen=True)
class Options:
    """What a program connects with."""

    autocommit: bool = True
    prepare_threshold: int | None = 5
    row_factory: str = "tuple"
    cursor_factory: str = ""


@dataclass(frozen=True)
class Query:
    """A statement with `%s` for its parameters; the runner writes them as the cursor wants it."""

    text: str
    params: tuple[Any, ...] = ()
    is_read: bool = False
    form: str = "str"


@dataclass(frozen=True)
class Step:
    """What to do, with which arguments; `body` is for blocks."""

    do: str
    args: tuple[Any, ...] = ()
    body: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Program:
    options: Options
    steps: tuple[Step, ...]


# -------------------------------------------------------------------------------- making programs

UTC = dt.UTC
IDS = st.one_of(st.integers(1, 6), st.sampled_from((0, -1, 2**31 - 1, 2**31, 2**40)))
TEXTS = st.one_of(
    st.sampled_from(
        ("pen", "Ink", "", "naïve", "%", "it's", "a\\b", "a\nb", "PEN ", "ﬀ", "\u00e9")
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
)
PRICES = st.one_of(
    st.sampled_from((Decimal("1.50"), Decimal("0"), Decimal("-0.01"), Decimal("1E+3"), 10, 1.5)),
    st.decimals(-100, 10**7, places=2),
)
BIGS = st.one_of(
    st.sampled_from((0, 2**53 + 1, -(2**63), 2**63 - 1, 2**63, 10**30)), st.integers(-9, 9)
)
DATES = st.one_of(
    st.sampled_from((dt.date(2024, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31))), st.dates()
)
MOMENTS = st.sampled_from(
    (
        dt.datetime(2024, 2, 29, 12, tzinfo=UTC),
        dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
        dt.datetime(2024, 2, 29, 12, 0, 0, 250000),
        dt.datetime(1, 1, 1),
        dt.datetime(1970, 1, 1, tzinfo=UTC),
    )
)
FLOATS = st.one_of(
    st.sampled_from((0.5, -0.0, 1e300, float("inf"), float("nan"), 0.1)), st.floats(-9, 9)
)
FLAGS = st.booleans()
TAGS = st.sampled_from((UUID(int=1), UUID(int=2**128 - 1)))
ID_LISTS = st.lists(st.one_of(st.integers(0, 6), st.none()), max_size=4)
TEXT_LISTS = st.lists(st.one_of(TEXTS, st.none()), max_size=3)
NULL = st.none()
ODD = st.sampled_from(
    (
        object(), "a\0b", "\ud800", b"\0\xff", bytearray(b"x"), dt.time(12, 34, 56, 789),
        dt.timedelta(days=-1, seconds=3.5), Jsonb({"a": [1]}), Json(None), {"a": 1}, [1, "a"],
        (1, 2), [[1], [2]], Int2(7), Int8(7), True, None, [], range(3), {1}, 1j, Decimal("NaN"),
        Decimal("Infinity"), Exception("x"), UUID(int=7), int, "2024-01-01", "1", " 1 ", "x",
    )
)  # fmt: skip
ANY = st.one_of(IDS, TEXTS, PRICES, BIGS, DATES, MOMENTS, FLOATS, FLAGS, TAGS, ID_LISTS, ODD)

Values = st.SearchStrategy[Any]
Template = tuple[str, tuple[Values, ...]]

READS: tuple[Template, ...] = (
    ("SELECT * FROM item ORDER BY id", ()),
    ("SELECT id, name, price FROM item WHERE id = %s", (IDS,)),
    ("SELECT id, name FROM item WHERE id = %s OR name = %s ORDER BY id", (IDS, TEXTS)),
    ("SELECT name, price FROM item WHERE price > %s ORDER BY price, id", (PRICES,)),
    ("SELECT id, qty FROM item WHERE qty = %s", (BIGS,)),
    ("SELECT id FROM item WHERE made >= %s ORDER BY 1 DESC", (DATES,)),
    ("SELECT id, moment, ts FROM item WHERE moment <= %s ORDER BY id", (MOMENTS,)),
    ("SELECT id, ts FROM item WHERE ts = %s ORDER BY id", (MOMENTS,)),
    ("SELECT id, ratio FROM item WHERE ratio < %s ORDER BY ratio", (FLOATS,)),
    ("SELECT id FROM item WHERE flag = %s ORDER BY id", (FLAGS,)),
    ("SELECT id, tag FROM item WHERE tag = %s", (TAGS,)),
    ("SELECT id FROM item WHERE id = ANY(%s) ORDER BY id", (ID_LISTS,)),
    ("SELECT id FROM item WHERE name = ANY(%s) ORDER BY id", (TEXT_LISTS,)),
    ("SELECT id FROM item WHERE id IN (%s, %s, 3) ORDER BY id", (IDS, IDS)),
    ("SELECT count(*), count(price), sum(qty), min(name), max(moment) FROM item", ()),
    ("SELECT sum(price), avg(price), avg(qty), sum(ratio) FROM item WHERE id < %s", (IDS,)),
    ("SELECT name, count(*) AS n FROM item GROUP BY name HAVING count(*) >= %s ORDER BY 2 DESC, 1", (IDS,)),
    ("SELECT i.name, w.word, w.n FROM item i JOIN word w ON w.item_id = i.id ORDER BY w.word", ()),
    ("SELECT i.id, w.word FROM item i LEFT JOIN word w ON w.item_id = i.id ORDER BY 1, 2", ()),
    ("SELECT id, name FROM item ORDER BY name, id LIMIT 2 OFFSET %s", (IDS,)),
    ("SELECT DISTINCT name FROM item ORDER BY name", ()),
    ("SELECT id, row_number() OVER (ORDER BY price DESC, id) AS r FROM item ORDER BY id", ()),
    ("SELECT id, sum(qty) OVER (PARTITION BY flag) AS s FROM item ORDER BY id", ()),
    ("WITH c AS (SELECT * FROM item WHERE id > %s) SELECT c.id, c.name FROM c ORDER BY c.id", (IDS,)),
    ("SELECT id FROM item UNION SELECT item_id FROM word ORDER BY 1", ()),
    ("SELECT id AS a, id AS a FROM item WHERE id < 3 ORDER BY id", ()),
    ("SELECT id, CASE WHEN price IS NULL THEN 'none' ELSE 'some' END FROM item ORDER BY id", ()),
    ("SELECT upper(name), length(name), name || '!' FROM item ORDER BY id", ()),
    ("SELECT id FROM item WHERE name LIKE %s ORDER BY id", (TEXTS,)),
    ("SELECT id FROM item WHERE name LIKE 'p%%' AND id < %s ORDER BY id", (IDS,)),
    ("SELECT id FROM item WHERE EXISTS (SELECT 1 FROM word WHERE item_id = item.id) ORDER BY id", ()),
    ("SELECT (SELECT max(n) FROM word WHERE item_id = item.id) AS m FROM item ORDER BY id", ()),
    ("SELECT coalesce(price, 0), nullif(qty, 0), abs(qty) FROM item ORDER BY id", ()),
    ("SELECT id / 2, id %% 2, -id, id * 1.5, price / 3 FROM item WHERE id < %s ORDER BY id", (IDS,)),
    ("SELECT made + 1, extract(year FROM made), date_trunc('month', made) FROM item ORDER BY id", ()),
    ("SELECT id, qty::text, price::int, id::text::bigint FROM item WHERE id <= 4 ORDER BY id", ()),
    ("SELECT * FROM cheap ORDER BY id", ()),
    ("SELECT * FROM wide ORDER BY id", ()),
    ("SELECT id, f4, b, i, t, ti, tt, n FROM wide ORDER BY id", ()),
    ("SELECT id, j, jb, c, r, m FROM wide ORDER BY id", ()),
    ("SELECT id, n FROM wide WHERE n > %s ORDER BY id", (PRICES,)),
    ("SELECT id FROM wide WHERE m = 'low'", ()),
    ("SELECT id FROM item WHERE id < 0", ()),
    ("SELECT 1", ()),
    ("SELECT 1 AS one, 'x' AS x, NULL AS n, 1.50 AS d, true AS t, 1e0 AS f", ()),
    ("SELECT %s::int + 1", (IDS,)),
    ("SELECT %s::text || 'x'", (TEXTS,)),
    ("SELECT %s::numeric", (PRICES,)),
    ("SELECT %s::date AS d", (DATES,)),
    ("SELECT id, %s::text FROM item ORDER BY id LIMIT 1", (TEXTS,)),
    ("SELECT count(*) FROM item WHERE price > %s AND price < %s", (PRICES, PRICES)),
    ("VALUES (1, 'a'), (2, NULL)", ()),
    ("TABLE side ORDER BY id", ()),
    ("SELECT note FROM side ORDER BY id", ()),
    ("SELECT note FROM diary ORDER BY note", ()),
    ("select ID, Name from ITEM where ID = %s", (IDS,)),
    ("SELECT id -- the key\nFROM item /* all */ ORDER BY id;", ()),
    ("(SELECT id FROM item ORDER BY id LIMIT 1)", ()),
    ("SELECT id FROM public.item ORDER BY id", ()),
    ("SELECT id AS at, made AS asof FROM item ORDER BY id", ()),
    ('SELECT "id" AS "Some Name", name "ünï" FROM item ORDER BY id', ()),
)  # fmt: skip

# Reads of which only the endpoint knows the answer.
OTHER_READS: tuple[Template, ...] = (
    ("SELECT", ()),
    ("SELECT FROM item", ()),
    ("SELECT %s", (ANY,)),
    ("SELECT %s, %s", (ANY, ANY)),
    ("SELECT item FROM item WHERE id = 1", ()),
    ("SELECT id FROM item ORDER BY id FOR UPDATE", ()),
    ("SELECT nextval('counter')", ()),
    ("SELECT currval('counter')", ()),
    ("SELECT twice(%s)", (IDS,)),
    ("SELECT current_setting('application_name'), current_schema", ()),
    ("SHOW search_path", ()),
    ("SHOW timezone", ()),
    ("EXPLAIN (COSTS OFF) SELECT 1", ()),
    ("SELECT array_agg(id ORDER BY id), string_agg(name, ',' ORDER BY id) FROM item", ()),
    ("SELECT json_agg(id ORDER BY id), row(1, 'a'), to_jsonb(word) FROM word GROUP BY 2, 3 ORDER BY 3", ()),
    ("SELECT generate_series(1, 3) AS n", ()),
    ("SELECT n FROM generate_series(1, %s) AS g(n) ORDER BY n", (st.integers(0, 9),)),
    ("SELECT interval '1 day', time '12:00', timestamptz '2024-01-01 00:00+02', '{1,2}'::int[]", ()),
    ("SELECT * FROM made", ()),
    ("SELECT a FROM made ORDER BY a", ()),
    ("SELECT * FROM kept", ()),
    ("SELECT count(*) FROM pg_class WHERE relname = 'item'", ()),
    ("SELECT table_name FROM information_schema.tables WHERE table_name = 'item'", ()),
    ("SELECT 'infinity'::timestamp", ()),
    ("SELECT 'infinity'::date, 1", ()),
    ("SELECT b'101', 'a'::\"char\", '12:00+02'::timetz, '1.2.3.4'::inet, '$1.50'::money", ()),
    ("SELECT txid_current_if_assigned() IS NULL", ()),
    ("SELECT transaction_timestamp() = now(), pg_backend_pid() > 0", ()),
    ("FETCH 2 FROM mine", ()),
    ("EXECUTE planned(2)", ()),
    ("SELECT $1", ()),
    ("SELECT '%%', 5 %% 3", ()),
)  # fmt: skip

WRITES: tuple[Template, ...] = (
    ("INSERT INTO item (id, name, price) VALUES (%s, %s, %s)", (IDS, TEXTS, PRICES)),
    ("INSERT INTO item (id, name) VALUES (%s, %s) RETURNING id, name, price", (IDS, TEXTS)),
    ("INSERT INTO item (id, name, code) VALUES (%s, 'x', 'a') ON CONFLICT DO NOTHING", (IDS,)),
    ("INSERT INTO item (id, name) VALUES (%s, 'new') ON CONFLICT (id) DO UPDATE SET name = 'old' RETURNING *", (IDS,)),
    ("INSERT INTO item SELECT id + 10, name FROM item WHERE id < %s ORDER BY id", (IDS,)),
    ("UPDATE item SET price = %s WHERE id = %s", (PRICES, IDS)),
    ("UPDATE item SET name = %s WHERE id = 3 RETURNING id, name", (TEXTS,)),
    ("UPDATE item SET qty = qty + 1, moment = %s, ratio = %s, made = %s", (MOMENTS, FLOATS, DATES)),
    ("UPDATE item SET flag = NOT flag WHERE id > 100", ()),
    ("DELETE FROM word WHERE item_id = %s", (IDS,)),
    ("DELETE FROM item WHERE id = 5 RETURNING *", ()),
    ("WITH gone AS (DELETE FROM word RETURNING item_id) SELECT count(*) FROM gone", ()),
    ("INSERT INTO word VALUES (%s, %s, %s)", (IDS, TEXTS, st.integers(-40000, 40000))),
    ("INSERT INTO side (note) VALUES (%s) RETURNING id", (TEXTS,)),
    ("UPDATE wide SET n = %s, f4 = %s WHERE id = 3", (PRICES, FLOATS)),
    ("UPDATE wide SET ti = %s, tt = %s WHERE id = 2", (ID_LISTS, TEXT_LISTS)),
    ("UPDATE wide SET j = %s, m = %s", (ANY, ANY)),
    ("CREATE TABLE made (a integer, b text)", ()),
    ("CREATE TABLE IF NOT EXISTS made AS SELECT id AS a, name AS b FROM item ORDER BY id", ()),
    ("INSERT INTO made VALUES (%s, %s)", (IDS, TEXTS)),
    ("ALTER TABLE made ADD COLUMN c integer DEFAULT 7", ()),
    ("ALTER TABLE made ALTER COLUMN a TYPE text", ()),
    ("TRUNCATE made", ()),
    ("DROP TABLE IF EXISTS made", ()),
    ("SELECT id AS a INTO kept FROM item WHERE id < 3 ORDER BY id", ()),
    ("MERGE INTO side USING (SELECT 1 AS id) s ON side.id = s.id WHEN MATCHED THEN UPDATE SET note = 'm'", ()),
)  # fmt: skip

SETTINGS: tuple[Template, ...] = (
    ("CREATE TEMP TABLE item (id integer, name text)", ()),
    ("CREATE TEMP TABLE made AS SELECT 1 AS a", ()),
    ("SET search_path TO pg_catalog", ()),
    ("SET search_path TO pg_temp, public", ()),
    ("SET TIME ZONE 'Asia/Kolkata'", ()),
    ("SET LOCAL TIME ZONE 'Asia/Kolkata'", ()),
    ("SET DateStyle TO 'German'", ()),
    ("SET IntervalStyle TO 'iso_8601'", ()),
    ("SET bytea_output TO 'escape'", ()),
    ("SET extra_float_digits TO 0", ()),
    ("SET standard_conforming_strings TO off", ()),
    ("SET client_encoding TO 'latin1'", ()),
    ("SET statement_timeout TO '2s'", ()),
    ("SET default_transaction_read_only TO on", ()),
    ("SET application_name TO 'mine'", ()),
    ("SELECT set_config('timezone', 'America/Lima', false)", ()),
    ("RESET ALL", ()),
    ("DISCARD ALL", ()),
    ("BEGIN", ()),
    ("START TRANSACTION READ ONLY", ()),
    ("COMMIT", ()),
    ("END", ()),
    ("ROLLBACK", ()),
    ("ABORT", ()),
    ("SAVEPOINT s", ()),
    ("ROLLBACK TO SAVEPOINT s", ()),
    ("RELEASE s", ()),
    ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", ()),
    ("SET CONSTRAINTS ALL DEFERRED", ()),
    ("PREPARE planned(int) AS SELECT id, name FROM item WHERE id = $1", ()),
    ("DEALLOCATE ALL", ()),
    ("DECLARE mine SCROLL CURSOR WITH HOLD FOR SELECT id FROM item ORDER BY id", ()),
    ("CLOSE ALL", ()),
    ("DO $$BEGIN RAISE NOTICE 'noted'; END$$", ()),
    ("LISTEN heard", ()),
    ("NOTIFY heard, 'x'", ()),
    ("LOCK TABLE word IN SHARE MODE", ()),
    ("ANALYZE side", ()),
    ("VACUUM side", ()),
    ("", ()),
    (";", ()),
    ("-- nothing", ()),
    (" /* nothing */ ; ", ()),
)  # fmt: skip

MANY_STATEMENTS: tuple[Template, ...] = (
    ("SELECT 1; SELECT 2", ()),
    ("SELECT id FROM item ORDER BY id; SELECT name FROM item ORDER BY id; SELECT 3", ()),
    ("INSERT INTO side (note) VALUES ('one'); SELECT count(*) FROM side", ()),
    ("SELECT 1; SELECT 1 / 0; SELECT 3", ()),
    ("UPDATE item SET qty = 1 WHERE id = 1; DELETE FROM word; SELECT qty FROM item WHERE id = 1", ()),
    ("BEGIN; INSERT INTO side (note) VALUES ('two'); COMMIT", ()),
    ("BEGIN; INSERT INTO side (note) VALUES ('three')", ()),
    ("SELECT 1; SELECT %s", (IDS,)),
    ("SET TIME ZONE 'UTC'; SELECT id FROM item WHERE id = 1;", ()),
    (";SELECT 1;", ()),
    ("COMMIT; SELECT id FROM item ORDER BY id", ()),
)  # fmt: skip

ERRORS: tuple[Template, ...] = (
    ("SELECT 1 / %s::int", (st.sampled_from((0, 1)),)),
    ("SELECT id / (id - 3) FROM item ORDER BY id", ()),
    ("SELEC 1", ()),
    ("SELECT * FROM", ()),
    ("SELECT 'open", ()),
    ("SELECT nothing FROM item", ()),
    ("SELECT * FROM nothing", ()),
    ("SELECT nothing(1)", ()),
    ("SELECT id FROM item, word WHERE id = item_id AND nothing", ()),
    ("SELECT 'x'::int", ()),
    ("SELECT name::int FROM item WHERE id = 1", ()),
    ("SELECT '2024-02-30'::date", ()),
    ("SELECT 2147483647 + 1", ()),
    ("SELECT qty * qty FROM item WHERE id = 2", ()),
    ("SELECT id, count(*) FROM item", ()),
    ("SELECT id FROM item WHERE id = 'x'", ()),
    ("SELECT id FROM item WHERE name = 1", ()),
    ("SELECT (SELECT id FROM item)", ()),
    ("SELECT 1 AS a UNION SELECT 'x'", ()),
    ("SELECT sqrt(-1), ln(0)", ()),
    ("SELECT exp(%s)", (st.sampled_from((1.0, 1e6)),)),
    ("SELECT name LIKE 'a\\' FROM item WHERE id = 1", ()),
    ("SELECT id FROM item LIMIT -1", ()),
    ("SELECT chr(0)", ()),
    ("SELECT substring(name FROM 1 FOR -1) FROM item", ()),
    ("INSERT INTO item (id, name) VALUES (1, 'twice')", ()),
    ("INSERT INTO item (id, name) VALUES (9, NULL)", ()),
    ("INSERT INTO item (id, name, price) VALUES (9, 'x', -1)", ()),
    ("INSERT INTO item (id, name, code) VALUES (9, 'x', 'too long a code')", ()),
    ("INSERT INTO word VALUES (77, 'x', 1)", ()),
    ("DELETE FROM item WHERE id = 1", ()),
    ("UPDATE item SET price = 1e12", ()),
    ("DROP TABLE nothing", ()),
    ("CREATE TABLE item (a int)", ()),
    ("DO $$BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'PG001', HINT = 'h', DETAIL = 'd'; END$$", ()),
    ("DO $$BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END$$", ()),
    ("COPY item TO STDOUT", ()),
    ("SELECT %s %s", (IDS,)),
    ("SELECT 1", (IDS,)),
    ("SELECT %d", (IDS,)),
    ("SELECT %(a)s", (IDS,)),
    ("SELECT %s", ()),
    ("SELECT 5 % 3", (IDS,)),
    ("SELECT id FROM item WHERE id = %s", (ANY,)),
    ("SELECT id FROM item WHERE price = %s", (ANY,)),
    ("SELECT id FROM item WHERE name = %s", (ANY,)),
    ("INSERT INTO side (note) VALUES (%s)", (ANY,)),
    ("ROLLBACK TO SAVEPOINT nothing", ()),
    ("FETCH 1 FROM nothing", ()),
    ("EXECUTE nothing", ()),
)  # fmt: skip

COLUMNS = ("id", "name", "price", "qty", "made", "moment", "ts", "flag", "ratio", "tag", "code")
CONDITIONS: tuple[Template, ...] = (
    ("id >= %s", (IDS,)),
    ("name <> %s", (TEXTS,)),
    ("price BETWEEN %s AND %s", (PRICES, PRICES)),
    ("qty IS NOT NULL", ()),
    ("made < %s", (DATES,)),
    ("moment > %s", (MOMENTS,)),
    ("flag", ()),
    ("ratio <= %s", (FLOATS,)),
    ("code IN ('a', %s)", (TEXTS,)),
    ("NOT (id = %s)", (st.one_of(IDS, NULL),)),
)


@st.composite
def selects(draw: st.DrawFn) -> Query:
    """A query of one table."""
    columns = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4, unique=True))
    wheres = draw(st.lists(st.sampled_from(CONDITIONS), max_size=2))
    values = tuple(draw(kind) for _, kinds in wheres for kind in kinds)
    text = f"SELECT {', '.join(columns)} FROM item"
    if wheres:
        text += " WHERE " + draw(st.sampled_from((" AND ", " OR "))).join(w for w, _ in wheres)
    orders = draw(st.lists(st.sampled_from(COLUMNS), max_size=2, unique=True))
    ways = [
        draw(st.sampled_from(("", " DESC", " NULLS FIRST", " DESC NULLS LAST"))) for _ in orders
    ]
    text += " ORDER BY " + ", ".join([*map(str.__add__, orders, ways), "id"])
    if draw(ONE_IN_FOUR):
        text += " LIMIT 3"
    return Query(text, values, is_read=True)


def queries(
    templates: tuple[Template, ...], *, are_reads: bool = False
) -> st.SearchStrategy[Query]:
    def fill(template: Template) -> st.SearchStrategy[Query]:
        text, kinds = template
        return st.builds(
            Query,
            st.just(text),
            st.tuples(*kinds),
            st.just(are_reads),
            st.sampled_from(("str",) * 9 + ("bytes", "sql", "composed")),
        )

    return st.sampled_from(templates).flatmap(fill)


def weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of the strategies, each as often as its number says."""
    flat = [strategy for weight, strategy in choices for _ in range(weight)]
    return st.sampled_from(flat).flatmap(lambda strategy: strategy)


ONE_IN_FOUR = st.sampled_from((False, False, False, True))
READ = st.one_of(queries(READS, are_reads=True), selects())
QUERY = weighted(
    (12, READ),
    (4, queries(WRITES)),
    (3, queries(OTHER_READS)),
    (2, queries(SETTINGS)),
    (2, queries(ERRORS)),
    (1, queries(MANY_STATEMENTS)),
)

FACTORY_NAMES = ("tuple", "dict", "namedtuple", "scalar", "args", "kwargs")
SLOTS = st.sampled_from((0, 0, 0, 0, 1, 1, 2))
FACTORIES = st.sampled_from(FACTORY_NAMES)


def keywords(**found: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[tuple[str, Any], ...]]:
    """Now and then one of these."""
    some = st.sampled_from(sorted(found)).flatmap(
        lambda name: st.tuples(st.just(name), found[name])
    )
    return weighted((5, st.just(())), (1, st.tuples(some)))


HOW = keywords(binary=FLAGS, prepare=FLAGS)


def steps(do: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.just(do), st.tuples(*args))


EXECUTE = st.one_of(
    steps("execute_with", SLOTS, QUERY, ONE_IN_FOUR, HOW), steps("conn_execute", SLOTS, QUERY, HOW)
)
READING = steps("execute_with", SLOTS, READ, ONE_IN_FOUR, HOW)
FETCH = st.one_of(
    steps("fetchone", SLOTS),
    steps("fetchmany", SLOTS, st.integers(0, 4)),
    steps("fetchall", SLOTS),
    steps("iterate", SLOTS, st.integers(1, 9)),
    steps("scroll", SLOTS, st.integers(-3, 6), st.sampled_from(("relative", "absolute", "x"))),
    steps("nextset", SLOTS),
    steps("results", SLOTS),
    steps("set_result", SLOTS, st.integers(-2, 2)),
    steps("raw_values", SLOTS),
)
CURSOR = st.one_of(
    steps(
        "open",
        SLOTS,
        st.sampled_from(("", "", "Client", "Raw", "", "named")),
        keywords(row_factory=FACTORIES, binary=FLAGS, scrollable=FLAGS, withhold=FLAGS),
    ),
    steps("open", SLOTS, st.sampled_from(("Client", "Raw")), keywords(row_factory=FACTORIES)),
    steps("set_row_factory", SLOTS, FACTORIES),
    steps("set_arraysize", SLOTS, st.integers(1, 3)),
    steps("set_row_factory_of_all", FACTORIES),
    steps("set_format", SLOTS, st.sampled_from((0, 1))),
    steps("load", st.one_of(NULL, SLOTS), st.sampled_from(("int4", "text", "numeric", "date"))),
    steps("dump", st.one_of(NULL, SLOTS), st.sampled_from((int, str))),
    steps("close_cursor", SLOTS),
    steps("cursor_block", SLOTS),
    steps("mogrify", SLOTS, READ),
)
MANY = st.one_of(
    steps(
        "executemany",
        SLOTS,
        st.just(Query("INSERT INTO item (id, name) VALUES (%s, %s) RETURNING id, name")),
        st.lists(st.tuples(st.integers(5, 9), TEXTS), max_size=4),
        FLAGS,
    ),
    steps(
        "executemany",
        SLOTS,
        st.just(Query("UPDATE item SET price = %s WHERE id = %s")),
        st.lists(st.tuples(PRICES, IDS), max_size=3),
        FLAGS,
    ),
    steps(
        "executemany",
        SLOTS,
        st.just(Query("SELECT name FROM item WHERE id = %s")),
        st.lists(st.tuples(IDS), max_size=3),
        FLAGS,
    ),
    steps(
        # To its end: it is a matter of time what cancelling the rest leaves of a transaction.
        "stream",
        SLOTS,
        st.one_of(READ, queries(OTHER_READS[:4])),
        keywords(binary=FLAGS, size=st.integers(1, 3)),
    ),
)
COPY = st.one_of(
    steps(
        "copy_out",
        SLOTS,
        st.one_of(
            queries(
                (
                    ("COPY (SELECT id, name FROM item ORDER BY id) TO STDOUT", ()),
                    (
                        "COPY (SELECT id, name FROM item WHERE id > %s ORDER BY id) TO STDOUT",
                        (IDS,),
                    ),
                    ("COPY (TABLE word ORDER BY 1, 2) TO STDOUT (FORMAT csv)", ()),
                    ("COPY (SELECT id, name FROM item ORDER BY id) TO STDOUT (FORMAT binary)", ()),
                    ("COPY nothing TO STDOUT", ()),
                    ("SELECT 1", ()),
                )
            )
        ),
        st.sampled_from(("blocks", "rows", "types")),
    ),
    steps(
        "copy_in",
        SLOTS,
        st.sampled_from(
            (
                Query("COPY word (item_id, word) FROM STDIN"),
                Query("COPY side (note, id) FROM STDIN"),
                Query("COPY nothing FROM STDIN"),
                Query("INSERT INTO side (note) VALUES ('x')"),
            )
        ),
        st.just("rows"),
        st.lists(st.tuples(IDS, TEXTS), max_size=3),
        st.sampled_from(("", "", "wrong")),
    ),
    steps(
        "copy_in",
        SLOTS,
        st.just(Query("COPY word (item_id, word) FROM STDIN")),
        st.just("blocks"),
        st.lists(st.sampled_from((b"1\tx\n", "2\ty\n", b"bad", b"")), max_size=3),
        st.sampled_from(("", "", "wrong")),
    ),
)
MODES = st.one_of(
    steps("commit"),
    steps("rollback"),
    steps("commit"),
    steps("set_autocommit", FLAGS),
    steps("set_read_only", st.sampled_from((True, False, None))),
    steps("set_isolation_level", st.sampled_from((None, 1, 2, 3, 4))),
    steps("set_deferrable", st.sampled_from((True, None))),
)
ODD_STEPS = st.one_of(
    steps("info"),
    steps("fileno"),
    steps("cancel"),
    steps("cancel_safe"),
    weighted((30, steps("info")), (4, steps("close")), (1, steps("cancelled", SLOTS))),
)
# Another connection, whose writes wait for nobody's.
OTHER = st.one_of(
    steps("other", st.builds(Query, st.just("INSERT INTO diary VALUES (%s)"), st.tuples(TEXTS))),
    steps(
        "other",
        queries(
            (
                ("SELECT id, name, price, qty FROM item ORDER BY id", ()),
                ("SELECT note FROM side ORDER BY id", ()),
                ("SELECT note FROM diary ORDER BY note", ()),
            ),
            are_reads=True,
        ),
    ),
)
SIMPLE = weighted(
    (12, EXECUTE), (8, READING), (16, FETCH), (4, CURSOR), (3, MODES), (2, MANY), (1, COPY), (1, ODD_STEPS), (2, OTHER)
)  # fmt: skip


def blocks(inner: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    body = st.lists(inner, max_size=4).map(tuple)
    end = st.sampled_from(("", "", "", "wrong", "rollback", "this"))
    names = st.sampled_from((None, None, None, "mine", "odd name"))
    return st.one_of(
        st.builds(Step, st.just("transaction"), st.tuples(names, ONE_IN_FOUR, end), body),
        st.builds(Step, st.just("transaction"), st.tuples(names, ONE_IN_FOUR, end), body),
        st.builds(Step, st.just("pipeline"), st.just(()), body),
        st.builds(Step, st.just("block"), st.tuples(st.sampled_from(("", "wrong"))), body),
    )


NESTED = weighted((5, SIMPLE), (1, blocks(SIMPLE)))
STEP = weighted((9, SIMPLE), (1, blocks(NESTED)))


def programs(autocommit: tuple[bool, ...] = (True, True, False)) -> st.SearchStrategy[Program]:
    return st.builds(
        Program,
        st.builds(
            Options,
            st.sampled_from(autocommit),
            st.sampled_from((5, 5, 5, None, 0, 1)),
            st.one_of(st.just("tuple"), FACTORIES),
            st.sampled_from(("", "", "", "", "Client", "Raw")),
        ),
        st.lists(STEP, min_size=3, max_size=12).map(tuple),
    )


def plain_reads() -> st.SearchStrategy[Program]:
    """Programs that only read, in the SQL that both dialects have."""
    step = weighted((4, READING), (6, FETCH), (1, steps("set_row_factory", SLOTS, FACTORIES)))
    return st.builds(
        Program,
        st.builds(Options, st.just(True), st.sampled_from((5, None))),
        st.lists(step, min_size=3, max_size=12).map(tuple),
    )


def reading(slot: int, text: str, *params: Any, **how: Any) -> Step:
    return Step(
        "execute_with", (slot, Query(text, params, is_read=True), False, tuple(how.items()))
    )


def sending(slot: int, text: str) -> Step:
    return Step("execute_with", (slot, Query(text), False, ()))


def all_of(slot: int = 0) -> Step:
    return Step("fetchall", (slot,))


ITEMS_READ, WORDS_READ = "SELECT * FROM item ORDER BY id", "SELECT word FROM word ORDER BY word"
ONE_ITEM, MOMENTS_READ = (
    "SELECT name FROM item WHERE id = %s",
    "SELECT moment FROM item ORDER BY id",
)
# What a few hundred programs might not come upon.
KNOWN = (
    (reading(0, ITEMS_READ), Step("load", (0, "text")), all_of()),
    (Step("load", (0, "numeric")), reading(0, ITEMS_READ), all_of()),
    (Step("load", (None, "int4")), reading(0, ITEMS_READ), Step("raw_values", (0,)), all_of()),
    (Step("dump", (None, int)), reading(0, ONE_ITEM, 1), all_of()),
    (Step("dump", (0, str)), reading(0, "SELECT %s::text", "LOUD"), all_of()),
    (reading(0, MOMENTS_READ), sending(1, "SET TIME ZONE 'Asia/Kolkata'"), all_of()),
    (sending(0, "CREATE TEMP TABLE item (id integer, name text)"), reading(0, ITEMS_READ), all_of()),
    (sending(0, "SET search_path TO pg_catalog"), reading(0, ITEMS_READ)),
    (sending(0, "SET search_path TO pg_temp, public"), reading(0, ITEMS_READ), all_of()),
    (Step("open", (0, "Client", ())), reading(0, ITEMS_READ, binary=True), all_of()),
    (reading(0, ITEMS_READ, binary=True), Step("raw_values", (0,)), all_of()),
    (Step("set_format", (0, 1)), reading(0, ITEMS_READ), Step("raw_values", (0,)), all_of()),
    (reading(0, ONE_ITEM, 2, prepare=True), all_of(), reading(0, ONE_ITEM, 3), all_of()),
    (reading(0, ITEMS_READ), Step("fetchmany", (0, -1)), Step("scroll", (0, 2, "absolute")), Step("fetchone", (0,)), Step("scroll", (0, 9, "relative")), all_of()),
    (reading(0, ITEMS_READ), Step("close_cursor", (0,)), reading(0, ITEMS_READ), all_of()),
    (reading(0, ITEMS_READ), Step("close"), all_of(), reading(0, ITEMS_READ), reading(1, ITEMS_READ)),
    (Step("block", ("",)), reading(0, ITEMS_READ), Step("set_deferrable", (None,)), Step("commit")),
    (sending(0, "UPDATE item SET qty = 1 WHERE id = 1; TABLE word"), Step("results", (0,))),
    (sending(0, "SELECT 1; SELECT 2"), Step("nextset", (0,)), all_of(), Step("set_result", (0, 0)), all_of()),
    (Step("set_read_only", (True,)), Step("set_autocommit", (False,)), Step("transaction", (None, False, ""), (reading(0, ITEMS_READ), all_of())), all_of()),
    (Step("set_read_only", (True,)), sending(0, "SELECT $1"), Step("rollback"), reading(0, ITEMS_READ)),
    (Step("transaction", (None, False, ""), (sending(0, "DELETE FROM word"), reading(0, WORDS_READ))), all_of(), reading(0, WORDS_READ), all_of()),
    (sending(0, "DELETE FROM word"), reading(0, WORDS_READ), all_of(), Step("rollback"), reading(0, WORDS_READ), all_of()),
    (sending(0, "INSERT INTO side (note) VALUES ('mine')"), Step("commit"), Step("other", (Query("SELECT note FROM side ORDER BY note", is_read=True),))),
    (reading(0, "SELECT note FROM diary"), Step("other", (Query("INSERT INTO diary VALUES ('x')"),)), reading(0, "SELECT note FROM diary"), all_of()),
    (sending(0, "CREATE TABLE made (a integer)"), sending(0, "INSERT INTO made VALUES (1)"), reading(0, "SELECT * FROM made"), all_of(), sending(0, "ALTER TABLE made ADD b text"), reading(0, "SELECT * FROM made"), all_of(), Step("rollback")),
    (Step("pipeline", (), (reading(0, ITEMS_READ), reading(1, WORDS_READ), all_of(0), all_of(1))),),
)  # fmt: skip


def known(options: Options) -> list[Program]:
    """Those that hypothesis need not come upon."""
    return [Program(options, steps) for steps in KNOWN]
