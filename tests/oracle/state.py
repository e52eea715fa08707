"""A small database with everything that a statement may change, and a fingerprint of it."""

from __future__ import annotations

import functools
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

_SEED = 0.42
_RANDOM = "random()"

SCHEMA = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE SEQUENCE s;
CREATE SEQUENCE s9 START 9;
-- Generated columns, so that both INSERT INTO t VALUES (1) and SELECT b FROM t work.
CREATE TABLE t (a integer, b varchar AS ('x' || a), call integer AS (a), "update" integer AS (a));
CREATE TABLE u (a integer);
CREATE TABLE w (
    id integer PRIMARY KEY, name varchar NOT NULL, amount decimal(10, 2), day date, moment timestamp,
    tags varchar[], doc struct(k integer, v varchar), feeling mood, whole double DEFAULT 1.5
);
CREATE SCHEMA side;
CREATE TABLE side.w2 (id integer, parent integer);
CREATE INDEX w_name ON w (name);
CREATE VIEW v AS SELECT a, b FROM t WHERE a < 3;
CREATE VIEW side.v2 AS SELECT count(*) AS n FROM side.w2;
CREATE VIEW view_over_nextval AS SELECT nextval('s') AS n;
CREATE VIEW view_over_view AS SELECT n FROM view_over_nextval;
CREATE VIEW view_over_file AS SELECT * FROM 'data.csv';
CREATE MACRO pure_macro(x) AS x + 1;
CREATE MACRO macro_that_calls_nextval() AS nextval('s');
CREATE MACRO macro_over_macro(x) AS macro_that_calls_nextval() + x;
CREATE MACRO ucase(x) AS 'shadowed ' || x;
CREATE MACRO pure_table_macro(k) AS TABLE SELECT a FROM t WHERE a <= k;
CREATE MACRO table_macro_with_nextval() AS TABLE SELECT nextval('s') AS n;
COMMENT ON TABLE w IS 'a comment';
COMMENT ON COLUMN w.name IS 'a comment';
INSERT INTO t VALUES (1), (2), (3);
INSERT INTO u VALUES (1), (7);
INSERT INTO w VALUES
    (1, 'one', 1.25, '2020-01-01', '2020-01-01 10:00', ['a', 'b'], {'k': 1, 'v': 'x'}, 'good', 1),
    (2, 'two', 2.5, '2020-02-03', '2020-02-03 11:30', [], {'k': 2, 'v': NULL}, 'bad', 2),
    (3, 'three', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO side.w2 VALUES (1, NULL), (2, 1), (3, 1);
"""
# What one connection has to itself.
SESSION = f"""
SELECT setseed({_SEED});
PRAGMA disable_checkpoint_on_shutdown;
SET memory_limit = '1GB';
SET threads = 1;
SET home_directory = '{{home}}';
SET extension_directory = '{{home}}/extensions';
SET secret_directory = '{{home}}/secrets';
-- INSTALL must not leave the machine.
SET custom_extension_repository = '{{home}}/repository';
SET autoinstall_known_extensions = false;
SET autoload_known_extensions = false;
SET enable_progress_bar = false;
CALL enable_logging(level = 'info');
SET logging_mode = 'DISABLE_SELECTED';
-- These tell of every query.
SET disabled_log_types = 'QueryLog,Metrics';
CREATE TEMP TABLE temp_table (a integer);
INSERT INTO temp_table VALUES (5);
CREATE TEMP TABLE tt (a integer);
CREATE TEMP VIEW temp_view AS SELECT 1 AS a;
CREATE TEMP MACRO temp_macro(x) AS x;
SET VARIABLE x = 42;
SET VARIABLE query = 'SELECT 1';
PREPARE p AS SELECT 1 AS one;
PREPARE writing AS INSERT INTO u VALUES (8);
-- So that there is something to checkpoint.
INSERT INTO u VALUES (9);
"""
FILES = {
    "a.txt": "some text\n",
    "data.csv": "a,b\n1,x\n2,y\n",
    "x.csv": "a,b\n1,x\n2,y\n",
    "f": "4\n5\n",
    "data.json": '[{"a": 1, "b": "x"}]\n',
    "lines.ndjson": '{"a": 1}\n{"a": 2}\n',
    "d/schema.sql": "CREATE TABLE imported (a integer);\n",
    "d/load.sql": "INSERT INTO imported VALUES (1);\n",
}
# The only thing that a read may leave behind: what a dynamic PIVOT creates.
_PIVOT = "starts_with(type_name, '__pivot_enum_')"
_ROWS = {
    **{f"rows of {name}": f"oracle.{name} x" for name in ("main.t", "main.u", "main.w", "side.w2")},
    "temporary rows": "(SELECT 1, a FROM temp.temp_table UNION ALL SELECT 2, a FROM temp.tt) x",
    "tables": "duckdb_tables() x",
    "views": "duckdb_views() x WHERE NOT internal",
    "columns": "duckdb_columns() x WHERE NOT internal",
    "constraints": "duckdb_constraints() x",
    "indexes": "duckdb_indexes() x",
    "sequences": "duckdb_sequences() x",
    "schemas": "(SELECT database_name, schema_name, comment FROM duckdb_schemas()) x",
    "databases": "duckdb_databases() x",
    "types": f"duckdb_types() x WHERE NOT internal AND NOT {_PIVOT}",
    "macros": "duckdb_functions() x WHERE NOT internal",
    "extensions": "duckdb_extensions() x",
    "settings": "(SELECT name, value FROM duckdb_settings()) x",
    "variables": "duckdb_variables() x",
    "prepared statements": "duckdb_prepared_statements() x",
    "secrets": "duckdb_secrets() x",
    "schema": "(SELECT current_database(), current_schema(), current_schemas(true)) x",
    # Not the warnings of the engine: since 2.0 SHOW t is deprecated.
    "log": "(FROM duckdb_logs SELECT message WHERE NOT contains(message, 'deprecated')) x",
}
# The sequences are among them for a failed nextval(): it advances and leaves no trace on the disk.
_QUICK_ROWS = (
    *("temporary rows", "tables", "databases", "settings", "variables", "prepared statements"),
    *("secrets", "sequences", "schema", "log"),
)
# A change of anything else is a change of the database file or leaves a transaction open, or it is
# of something temporary or loaded, and then one of these words is in the statement.
_SLOW_WORDS = re.compile("temp|macro|function|import|load|install", re.IGNORECASE)
_PARAMETER = re.compile(r"(?<![\w$])\$(1|key)\b")
_UNPARSED = "ParserException: Parser Error: syntax error"
# It ran, but DuckDB wants a module for the values of a TIMESTAMP WITH TIME ZONE.
_NO_PYTZ = "Required module 'pytz'"
_HASH = "count(*) || '/' || coalesce(sum(hash(x)), 0)"


def _union(names: Iterable[str]) -> str:
    return " UNION ALL ".join(f"SELECT '{name}', {_HASH} FROM {_ROWS[name]}" for name in names)


_EVERYTHING = _union(_ROWS)
_QUICK = _union(_QUICK_ROWS)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a statement may change or touch: a hash for each part, by name."""

    parts: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls, connection: duckdb.DuckDBPyConnection, folder: Folder, *, quick: bool = False
    ) -> State:
        """Look at *connection* and *folder*; leaves random() seeded.

        A *quick* look sees that anything has changed (but see _SLOW_WORDS), not all that has.
        """
        rows = _rows(connection, _QUICK if quick else _EVERYTHING)
        return cls((*folder.look(), *_session(connection), *rows))

    def changes(self, later: State) -> tuple[str, ...]:
        """The names of the parts that differ."""
        before = dict(self.parts)
        return tuple(name for name, value in later.parts if before.get(name, value) != value)


def _session(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    try:
        first, rolled = connection.execute("SELECT txid_current(), random()").fetchall()[0]
        second, _ = connection.execute(f"SELECT txid_current(), setseed({_SEED})").fetchall()[0]
    except duckdb.Error as error:
        return [("transaction", str(error))]
    return [
        ("transaction", "open" if first == second else "none"),
        (_RANDOM, "as seeded" if rolled == _roll() else "elsewhere"),
    ]


@functools.cache
def _roll() -> float:
    """What random() gives right after our seed."""
    with duckdb.connect() as fresh:
        fresh.execute(f"SELECT setseed({_SEED})").fetchall()
        return float(fresh.execute("SELECT random()").fetchall()[0][0])


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[str, str]]:
    try:
        return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        # A table is gone, or the transaction is aborted.
        return [("tables", str(error))]


class Folder:
    """Files and directories, and whether anybody has changed or read them.

    A read sets the access time even on a file system mounted with `relatime`, if that time was
    before the time of the last change: so it is set to the epoch. To list a directory is to read
    it; we do so only once it has changed.
    """

    def __init__(self, root: Path, watched: str) -> None:
        # Each with its name below *root*: it is looked at some ten thousand times.
        self._paths = [
            (path, str(path.relative_to(root)), path.is_relative_to(root / watched))
            for path in sorted(root.rglob("*"))
        ]
        for path, _, is_watched in self._paths:
            if is_watched:
                os.utime(path, ns=(0, path.stat().st_mtime_ns))

    def look(self) -> Iterator[tuple[str, str]]:
        for path, name, is_watched in self._paths:
            try:
                status = path.stat()
            except FileNotFoundError:
                yield f"{name} changed", "gone"
                continue
            size = "" if stat.S_ISDIR(status.st_mode) else f" {status.st_size}"
            yield f"{name} changed", f"{status.st_mtime_ns}{size}"
            if is_watched:
                yield f"{name} read", str(status.st_atime_ns > 0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one statement."""

    error: str  # "" if it ran
    changes: tuple[str, ...]


class World:
    """The database in a folder of its own; put back as it was after every effect."""

    def __init__(self, root: Path) -> None:
        self._template = root / "template"
        self._root = root / "world"
        self._here = chdir(root)
        self._here.__enter__()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._pristine: tuple[tuple[str, str], ...] = ()
        _build(self._template)
        self._restore()
        parts = State.of(self.connection, self._folder).parts
        self._pristine = parts[len(self._before.parts) :]
        self._restore()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        assert self._connection is not None
        return self._connection

    def close(self) -> None:
        self.connection.close()
        self._here.__exit__(None, None, None)

    def run(self, sql: str) -> Outcome:
        """Run *sql* and compare what is there with what was there before."""
        error = self._execute(sql)
        if error.startswith(_UNPARSED) and ";" not in sql:
            return Outcome(error, ())
        quick = _SLOW_WORDS.search(sql) is None
        changes = self._before.changes(State.of(self.connection, self._folder, quick=quick))
        # To draw from random() is no effect, to seed it is one.
        if changes == (_RANDOM,) and not self._seeds(sql):
            changes = ()
        if changes:
            self._restore()
        return Outcome(error, changes)

    def _seeds(self, sql: str) -> bool:
        """Whether random() goes on in the same way after *sql*, whatever the seed was before."""
        after = set()
        for seed in (0.1, 0.2):
            self.connection.execute(f"SELECT setseed({seed})").fetchall()
            self._execute(sql)
            after.add(self.connection.execute("SELECT random()").fetchone())
        self.connection.execute(f"SELECT setseed({_SEED})").fetchall()
        return len(after) == 1

    def check(self) -> tuple[str, ...]:
        """What has changed since the last restoration, also in what `run` did not look at."""
        return self._before.changes(State.of(self.connection, self._folder))

    def _execute(self, sql: str) -> str:
        try:
            result = self.connection.execute(sql, _parameters(sql))
            if result is None:
                return "nothing to run"
            result.fetchall()
        except duckdb.Error as error:
            return "" if _NO_PYTZ in str(error) else f"{type(error).__name__}: {error}"
        except (ValueError, TypeError, OverflowError):
            return ""  # it ran, but Python has no value for what it gave
        return ""

    def _restore(self) -> None:
        if self._connection is not None:
            self._connection.close()
        os.chdir(self._root.parent)
        shutil.rmtree(self._root, ignore_errors=True)
        shutil.copytree(self._template, self._root)
        os.chdir(self._root / "files")
        self._connection = _connect(self._root)
        self._connection.execute(SESSION.format(home=self._root / "home")).fetchall()
        self._folder = Folder(self._root, "files")
        self._before = State((*self._folder.look(), *self._pristine))


def _build(root: Path) -> None:
    for name, text in FILES.items():
        path = root / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "home").mkdir()
    with chdir(root / "files"), _connect(root) as connection:
        connection.execute(SCHEMA)
        connection.execute(f"COPY u TO '{root}/files/x.parquet'")
        connection.execute(f"ATTACH '{root}/files/other.duckdb' AS other")
        connection.execute("CREATE TABLE other.o (a integer); DETACH other")
    for path in root.glob("**/*.wal"):
        path.unlink()


def _connect(root: Path) -> duckdb.DuckDBPyConnection:
    # Otherwise FROM x finds a variable of ours.
    config: dict[str, Any] = {"python_enable_replacements": "false", "default_block_size": "16384"}
    return duckdb.connect(root / "oracle.duckdb", config=config)


def _parameters(sql: str) -> dict[str, int] | None:
    names = dict.fromkeys(_PARAMETER.findall(sql), 1)
    return names or None
