"""kill -9 at other moments than those of `test_killed`: in a snapshot, and while it recovers."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

from pgmd.local import LocalEndpoint
from pgmd.replicas.snapshots import folder_of

from .support import until

ROUNDS = 8
SERVER = """
import signal, sys
from pgmd.local import LocalEndpoint
print("starting", flush=True)
with LocalEndpoint(sys.argv[1], snapshot_every=None) as endpoint:
    print(endpoint.dsn, flush=True)
    signal.pause()
"""


class Server:
    """A server in a process of its own."""

    started: ClassVar[list[Server]] = []

    def __init__(self, file: Path) -> None:
        self.started.append(self)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(file)], stdout=subprocess.PIPE, text=True
        )
        assert self.line() == "starting"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(autouse=True)
def none_is_left() -> Iterator[None]:
    """Also when a test has failed half way."""
    yield
    while Server.started:
        server = Server.started.pop()
        if server.process.poll() is None:
            server.kill()


def count(connection: psycopg.Connection) -> dict[int, int]:
    return dict(connection.execute("SELECT batch, count(*) FROM t GROUP BY batch").fetchall())


def take_snapshots(dsn: str) -> None:
    with suppress(psycopg.OperationalError):
        with psycopg.connect(dsn, autocommit=True) as connection:
            while True:
                connection.execute("CREATE SNAPSHOT OF app")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_while_it_takes_a_snapshot(tmp_path: Path) -> None:
    """The file is written up to date for it, and copied."""
    file = tmp_path / "app.duckdb"
    folder = folder_of(file)
    chance = random.Random(5)
    for number in range(ROUNDS):
        server = Server(file)
        dsn = server.line()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (batch int, text varchar)")
            assert count(connection) == dict.fromkeys(range(number), 20_000)
            # Some megabytes: a snapshot takes a while.
            connection.execute(
                "INSERT INTO t SELECT %s, md5(i::text) FROM range(20000) r(i)", [number]
            )
        taker = threading.Thread(target=take_snapshots, args=[dsn])
        taker.start()
        least = chance.randint(0, 2)
        until(lambda: len(list(folder.glob("*.duckdb"))) >= least)  # noqa: B023
        server.kill()
        taker.join()
        assert folder.is_dir()
    with LocalEndpoint(file) as endpoint, psycopg.connect(endpoint.dsn) as connection:
        assert list(folder.iterdir()) == []
        assert count(connection) == dict.fromkeys(range(ROUNDS), 20_000)
    assert [p.name for p in tmp_path.iterdir()] == ["app.duckdb"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_while_it_recovers(tmp_path: Path) -> None:
    """Nothing is in the file yet, all in its log; each start is killed at another moment."""
    file = tmp_path / "app.duckdb"
    server = Server(file)
    dsn = server.line()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET wal_autocheckpoint = '1GB'")
        connection.execute("CREATE TABLE t (batch int, text varchar)")
        for batch in range(30):
            connection.execute(
                "INSERT INTO t SELECT %s, md5(i::text) FROM range(5000) r(i)", [batch]
            )
        half = psycopg.connect(dsn)
        half.execute("INSERT INTO t SELECT 99, md5(i::text) FROM range(5000) r(i)")
        server.kill()
        half.close()
    assert file.with_name("app.duckdb.wal").stat().st_size > 1_000_000
    for number in range(ROUNDS):
        server = Server(file)
        # At once, or when it is about to be done.
        if number % 2:
            assert server.line()
        server.kill()
    with LocalEndpoint(file) as endpoint, psycopg.connect(endpoint.dsn) as connection:
        assert count(connection) == dict.fromkeys(range(30), 5000)


@pytest.mark.slow
def test_a_client_is_told_when_the_server_is_killed(tmp_path: Path) -> None:
    server = Server(tmp_path / "app.duckdb")
    with psycopg.connect(server.line(), autocommit=True) as connection:
        connection.execute("SELECT 1")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
