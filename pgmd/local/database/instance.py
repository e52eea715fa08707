"""What all instances have in common: how they are opened, what they may use, what they show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ...errors import LocalError
from ...replicas.snapshots import Snapshot
from ..catalogue.macros import DATABASE as CATALOGUE
from ..catalogue.macros import SETUP as CATALOGUE_SETUP

_INFORMATION = "md_information_schema"
_INFORMATION_SETUP = (
    f"CREATE TABLE {_INFORMATION}.database_snapshots (database_name VARCHAR, database_id UUID, "
    "snapshot_id UUID, snapshot_name VARCHAR, created_ts TIMESTAMP WITH TIME ZONE, "
    "active_bytes BIGINT, bytes_written BIGINT, bytes_deleted BIGINT, user_name VARCHAR, "
    "user_id UUID)",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the instances may use. *external_access* lets SQL reach files, extensions, URLs."""

    memory_limit: str | None = None
    threads: int | None = None
    external_access: bool = False
    time_zone: str = "UTC"

    @property
    def config(self) -> dict[str, Any]:
        given: dict[str, Any] = {"threads": self.threads, "memory_limit": self.memory_limit}
        fixed: dict[str, Any] = {"python_enable_replacements": "false"}
        if not self.external_access:
            fixed |= {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        return fixed | {k: str(v) for k, v in given.items() if v is not None}


def open_file(file: Path, limits: Limits) -> duckdb.DuckDBPyConnection:
    """An instance that writes *file*. Raises `LocalError`."""
    try:
        return duckdb.connect(str(file), config=limits.config)
    except duckdb.Error as error:
        raise LocalError(_explained(file, str(error))) from None


def _explained(file: Path, message: str) -> str:
    if held := re.search(r"Could not set lock.*?\(PID (\d+)\)", message, re.DOTALL):
        return (
            f"{file} is in use by process {held[1]}: stop that one, connect to it "
            "if it is `pgmd serve`, or use another file"
        )
    if "different configuration" in message:
        return f"{file} is open in this process through duckdb.connect(): close that first"
    return f"{file} cannot be opened: {message}"


def prepare(root: duckdb.DuckDBPyConnection, limits: Limits) -> None:
    """Give an instance what MotherDuck's have beside the database, and lock it down."""
    root.execute(f"SET GLOBAL TimeZone = '{limits.time_zone}'")
    for name in (CATALOGUE, _INFORMATION):
        root.execute(f"ATTACH ':memory:' AS {name}")
    for statement in (*CATALOGUE_SETUP, *_INFORMATION_SETUP):
        root.execute(statement)
    if not limits.external_access:
        root.execute("SET enable_external_access = false")


def labelled(cursor: duckdb.DuckDBPyConnection, label: str) -> duckdb.DuckDBPyConnection:
    """*cursor*, which tells its client as MotherDuck does where it has landed."""
    cursor.execute(
        f"CREATE TEMP MACRO __md_duckling_id() AS TABLE SELECT '{label}' AS __md_duckling_id"
    )
    return cursor


def record(cursor: duckdb.DuckDBPyConnection, database: str, snapshots: Iterable[Snapshot]) -> None:
    """List *snapshots* where MotherDuck lists them."""
    for s in snapshots:
        cursor.execute(
            f"INSERT INTO {_INFORMATION}.database_snapshots VALUES "
            "(?, NULL, ?, ?, ?, ?, ?, 0, 'local', NULL)",
            [database, s.id, s.name, s.created, s.size, s.size],
        )
