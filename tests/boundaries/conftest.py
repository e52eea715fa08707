"""One replica of each kind, opened once."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import psycopg
import pytest

import pgmd
from pgmd.testing.servers import Server

from ..fixtures import extensions
from ..fixtures.lakes import lake_in
from ..fixtures.postgres import new_database
from ..fixtures.stands import local_stand
from .places import Place, counting_server, fill

KINDS = ("file", "local", "live", "copy", "lake")


@pytest.fixture(scope="package", autouse=True)
def extensions_are_checked(extensions_are_trusted: None) -> Iterator[None]:
    """As a program has it."""
    with extensions.connecting(extensions.connect):
        yield


@pytest.fixture(scope="module", params=KINDS)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A replica of each kind; the working and the home folder hold files with a secret."""
    folder = tmp_path_factory.mktemp("place")
    fill(folder)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(folder)
        patch.setenv("HOME", str(folder))
        visitors = stack.enter_context(counting_server())
        engine = _engine(request, stack, tmp_path_factory.mktemp("data"))
        stack.enter_context(engine)
        yield Place(request.param, engine, folder, visitors, _extension())


def _engine(request: pytest.FixtureRequest, stack: ExitStack, data: Path) -> pgmd.Engine:
    kind = request.param
    limits: dict[str, Any] = {"threads": 1, "memory_limit": "32MB"}
    if kind == "file":
        with duckdb.connect(data / "app.duckdb") as connection:
            _fill(connection)
        return pgmd.Engine(replicas=[pgmd.Replica(file=data / "app.duckdb", **limits)])
    if kind == "local":
        stand = stack.enter_context(local_stand(data))
        with psycopg.connect(stand.dsn, autocommit=True) as connection:
            _fill(connection)
        return pgmd.Engine(stand.endpoint(), stand.replicas(1, **limits))
    if kind == "lake":
        lake = lake_in(data, "duckdb")
        with lake.writer() as connection:
            _fill(connection)
        return pgmd.Engine(replicas=[pgmd.Replica(ducklake=lake.catalogue, **limits)])
    server: Server = request.getfixturevalue("embedded")
    name = stack.enter_context(new_database(server))
    dsn = urlsplit(server.dsn)._replace(path=f"/{name}").geturl()
    with psycopg.connect(dsn, autocommit=True) as connection:
        _fill(connection)
        connection.execute(
            "CREATE FUNCTION put() RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO t VALUES (2); RETURN 1; END'"
        )
    mode: Any = "live" if kind == "live" else "snapshot"
    return pgmd.Engine(pgmd.Endpoint(dsn), [pgmd.Replica(postgres=dsn, mode=mode, **limits)])


def _fill(connection: Any) -> None:
    connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    connection.execute("CREATE TABLE many AS SELECT n FROM generate_series(1, 120) AS s(n)")


def _extension() -> Path:
    """A real extension that no replica needs, which DuckDB would load from its path."""
    spec = importlib.util.find_spec("duckdb_extension_tpch")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}"
    (path,) = folder.glob("*.duckdb_extension")
    return path
