"""A folder with a secret in files of many kinds, a server that counts, and what must not change."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

import pgmd
from pgmd.replicas.instance import Instance

WORD = "xyzzy-7f3a"


@dataclass(slots=True)
class Visitors:
    """A TCP port on which nobody is expected."""

    port: int
    count: int = 0


@contextmanager
def counting_server() -> Iterator[Visitors]:
    """Accept, count and hang up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        visitors = Visitors(server.getsockname()[1])
        thread = threading.Thread(target=_count, args=(server, visitors))
        thread.start()
        try:
            yield visitors
        finally:
            # accept() would not notice a close().
            visitors.count -= 1
            socket.create_connection(("127.0.0.1", visitors.port)).close()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _count(server: socket.socket, visitors: Visitors) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        visitors.count += 1
        connection.close()


def fill(folder: Path) -> None:
    """Put the word into files of every kind that DuckDB reads by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "secret.txt").write_text(WORD)
    (folder / "secret.csv").write_text(f"word\n{WORD}\n")
    (folder / "secret.json").write_text(f'{{"word": "{WORD}"}}\n')
    (folder / "evil.duckdb_extension").write_bytes(b"\0" * 1024)
    (folder / "numbers.csv").write_text("a\n2\n")
    (folder / "year=2024").mkdir()
    dump = folder / "dump"
    dump.mkdir()
    (dump / "schema.sql").write_text("CREATE TABLE memory.main.imported (a INTEGER);\n")
    (dump / "load.sql").write_text("")
    (folder / ".tmp").mkdir()
    with duckdb.connect(folder / "other.duckdb") as other:
        other.execute(f"CREATE TABLE secrets AS SELECT '{WORD}' AS word")
        other.execute(f"COPY secrets TO '{folder}/secret.parquet'")
        other.execute(f"COPY secrets TO '{folder}/year=2024/secret.parquet'")


def instance_of(engine: pgmd.Engine) -> Instance:
    """The DuckDB instance of an engine's first replica."""
    instance = engine._core.replicas.members[0].instance
    assert isinstance(instance, Instance)
    return instance


@dataclass(frozen=True, slots=True)
class Place:
    """An open engine of one kind with one replica, and what is around it."""

    kind: str
    engine: pgmd.Engine
    folder: Path
    visitors: Visitors
    extension: Path
    secret: str | None = field(default=None, repr=False)

    @property
    def instance(self) -> Instance:
        return instance_of(self.engine)

    @property
    def database(self) -> Path:
        """The file that the replica has attached, or one that is not there."""
        with self.connection() as connection:
            row = connection.execute(
                "SELECT path FROM duckdb_databases() WHERE NOT internal AND path IS NOT NULL AND type LIKE 'duck%'"
            ).fetchone()
        return Path(row[0]) if row is not None else self.folder / "none.duckdb"

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """DuckDB's own cursor, as if nothing stood before it."""
        cursor = self.instance.cursor()
        try:
            yield cursor._connection
        finally:
            cursor.close()

    def text(self, form: str) -> str:
        """The form with its places filled in."""
        return filled_in(
            form,
            folder=self.folder,
            port=self.visitors.port,
            database=self.database,
            extension=self.extension,
        )

    def state(self) -> dict[str, Any]:
        """Everything that a form could have changed."""
        with self.connection() as connection:
            settings = dict(
                connection.execute("SELECT name, value FROM duckdb_settings()").fetchall()
            )
            rows = connection.execute("SELECT a FROM t ORDER BY a").fetchall()
            catalogs = connection.execute("SELECT database_name FROM duckdb_databases()").fetchall()
            loaded = connection.execute(
                "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table'"
            ).fetchall()
            secrets = connection.execute("FROM duckdb_secrets()").fetchall()
        return {
            "settings": settings,
            "rows": rows,
            "catalogs": sorted(catalogs),
            "secrets": secrets,
            "loaded": sorted(loaded),
            "visitors": self.visitors.count,
            "files": files(self.folder) | files(self.database.parent),
        }


def filled_in(form: str, **places: Any) -> str:
    """The form, with values for its `{names}`; other braces are SQL."""
    for name, value in places.items():
        form = form.replace(f"{{{name}}}", str(value))
    return form


def files(folder: Path) -> dict[str, bytes | None]:
    """All that is in there; a live snapshot folder holds databases of some kilobytes."""
    if not folder.exists():
        return {}
    return {str(p): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}
