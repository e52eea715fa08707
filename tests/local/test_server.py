"""The server itself: who may have the file, who is let in, what SQL may reach, how it ends."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo
from pygwire import messages as pg

import pgmd
from pgmd.errors import LocalError
from pgmd.local import LocalEndpoint, Quirks
from pgmd.replicas.snapshots import folder_of

from .support import beside, client, is_asked, until

LONG = "SELECT count(*) FROM range(100000000000) a(i) WHERE i % 7 = 9"
SERVER = """
import json, sys
from pgmd.local import LocalEndpoint
with LocalEndpoint(sys.argv[1], **json.loads(sys.argv[2])) as endpoint:
    print(endpoint.dsn, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(file: Path, **options: Any) -> Iterator[tuple[int, str]]:
    """A server of its own: its process id and DSN."""
    command = [sys.executable, "-c", SERVER, str(file), json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        assert p.stdin is not None
        assert p.stdout is not None
        try:
            yield p.pid, p.stdout.readline().strip()
        finally:
            p.stdin.close()
            p.wait(20)


def run(code: str, *arguments: object) -> str:
    """What another process says."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return done.stdout + done.stderr


# --------------------------------------------------------------------------------------- the file


def test_one_endpoint_a_file_in_a_process(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    with LocalEndpoint(file) as endpoint, client(endpoint.dsn) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
        with pytest.raises(LocalError, match=re.escape(str(file))):
            LocalEndpoint(file).start()
        # The one that runs is none the worse for it.
        assert connection.execute("FROM t").fetchall() == [(1,)]
        assert "IOException" in run("import sys, duckdb; duckdb.connect(sys.argv[1])", file)
    with LocalEndpoint(file) as endpoint, client(endpoint.dsn) as connection:
        assert connection.execute("FROM t").fetchall() == [(1,)]


def test_one_endpoint_a_file_among_processes(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    with another_process(file) as (pid, dsn):
        with pytest.raises(LocalError) as refused:
            LocalEndpoint(file).start()
        assert str(file) in str(refused.value)
        assert f"process {pid}" in str(refused.value)
        assert "lock" not in str(refused.value)
        with client(dsn) as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
    with LocalEndpoint(file):
        pass


def test_a_file_that_duckdb_has_open(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    with duckdb.connect(str(file)):
        with pytest.raises(LocalError, match=re.escape(str(file))):
            LocalEndpoint(file).start()
    holder = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline()
        with pytest.raises(LocalError, match=f"process {other.pid}"):
            LocalEndpoint(file).start()
        other.stdin.close()
        other.wait(20)
    with LocalEndpoint(file):
        pass


def test_the_file_stays_locked_whatever_was_done_with_it(tmp_path: Path) -> None:
    """Closing any descriptor of a file drops a process's locks on it."""
    file = tmp_path / "app.duckdb"
    attempt = "import sys, duckdb; duckdb.connect(sys.argv[1]).execute('CREATE TABLE u (a int)')"
    options: dict[str, Any] = {"auth": "password", "password": "w", "read_scaling_token": "r"}
    with LocalEndpoint(file, **options) as endpoint, client(endpoint.dsn) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
        for _ in range(3):
            connection.execute("CREATE SNAPSHOT OF app")
        with client(endpoint.read_scaling_dsn) as reader:
            assert reader.execute("FROM t").fetchall() == [(1,)]
        with suppress(LocalError):
            LocalEndpoint(file).start()
        gc.collect()
        assert "lock" in run(attempt, file)
        assert "process" in run(SERVER, file, "{}")
        connection.execute("CHECKPOINT")
        assert "lock" in run(attempt, file)
    assert run(attempt, file) == ""


def test_a_file_is_made_and_found_again(tmp_path: Path) -> None:
    file = tmp_path / "with a 'quote' and ü.duckdb"
    with LocalEndpoint(file) as endpoint, client(endpoint.dsn) as connection:
        assert endpoint.database == "with a 'quote' and ü"
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    with LocalEndpoint(str(file)) as endpoint, client(endpoint.dsn) as connection:
        assert connection.execute("FROM t").fetchall() == [(1,)]
    assert sorted(p.name for p in tmp_path.iterdir()) == [file.name]


def test_a_temporary_file_goes_with_the_endpoint() -> None:
    endpoint = LocalEndpoint()
    endpoint.start()
    place = endpoint._running.database.file
    assert place.exists()
    endpoint.stop()
    assert not place.parent.exists()


# ------------------------------------------------------------------------------------- being started


def test_a_port_in_use(tmp_path: Path) -> None:
    with LocalEndpoint() as endpoint:
        with pytest.raises(LocalError, match=f"cannot listen on 127.0.0.1:{endpoint.port}"):
            LocalEndpoint(tmp_path / "app.duckdb", port=endpoint.port).start()
    # It has let go of the file.
    with LocalEndpoint(tmp_path / "app.duckdb"):
        pass


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ducklings": 0}, "ducklings=0: must be at least 1"),
        ({"max_clients": 0}, "max_clients=0: must be at least 1"),
        ({"snapshot_every": 0}, "snapshot_every=0: must be above 0, or None"),
        ({"pickup_every": -1}, "pickup_every=-1: must not be negative"),
        ({"port": 70000}, "port=70000: must be between 0 and 65535"),
        ({"certificate": "c.pem"}, "certificate and private_key go together"),
        ({"private_key": "k.pem"}, "certificate and private_key go together"),
        ({"auth": "magic"}, "auth='magic': expected 'trust', 'password' or 'scram'"),
        ({"auth": "password"}, "auth='password' needs a password"),
        ({"auth": "scram", "read_scaling_token": "r"}, "auth='scram' needs a password"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        LocalEndpoint(**options)


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("nothing")
    for certificate in ("c.pem", "missing.pem"):
        endpoint = LocalEndpoint(
            certificate=tmp_path / certificate, private_key=tmp_path / certificate
        )
        with pytest.raises(LocalError, match="certificate:"):
            endpoint.start()


def test_starting_twice_and_again() -> None:
    endpoint = LocalEndpoint()
    with pytest.raises(LocalError, match="not running"):
        endpoint.dsn  # noqa: B018
    assert "not running" in repr(endpoint)
    for _ in range(2):
        with endpoint:
            assert str(endpoint.port) in repr(endpoint)
            with pytest.raises(LocalError, match="started already"):
                endpoint.start()
            with client(endpoint.dsn) as connection:
                assert connection.execute("SELECT 1").fetchall() == [(1,)]
    endpoint.stop()


def test_no_secret_is_shown() -> None:
    endpoint = LocalEndpoint(auth="password", password="hush", read_scaling_token="quiet")
    with endpoint:
        shown = f"{endpoint} {endpoint!r} {endpoint._options!r} {endpoint.public_dsn}"
        assert "hush" not in shown
        assert "quiet" not in shown


# ----------------------------------------------------------------------------------- in a loop


async def test_as_an_async_context_manager() -> None:
    async with LocalEndpoint() as endpoint:
        async with await psycopg.AsyncConnection.connect(endpoint.dsn) as connection:
            found = await connection.execute("SELECT 1")
            assert await found.fetchall() == [(1,)]


async def test_a_blocking_client_in_the_thread_of_a_running_loop() -> None:
    with LocalEndpoint() as endpoint, client(endpoint.dsn) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
        await asyncio.sleep(0)


# ---------------------------------------------------------------------------------------- who it is


@pytest.mark.parametrize("auth", ["password", "scram"])
def test_passwords(auth: str) -> None:
    options: dict[str, Any] = {"auth": auth, "password": "wrïte", "read_scaling_token": "rea d"}
    with LocalEndpoint(**options) as endpoint:
        for dsn, end in ((endpoint.dsn, ".rw"), (endpoint.read_scaling_dsn, ".rs.0")):
            with client(dsn) as connection:
                ((name,),) = connection.execute("FROM __md_duckling_id()").fetchall()
                assert name.endswith(end)
        for wrong in ("s3cr3t-attempt", "wrïte ", "WRÏTE"):
            with pytest.raises(psycopg.OperationalError, match="authentication failed") as refused:
                psycopg.connect(endpoint.public_dsn, password=wrong)
            assert wrong.strip() not in str(refused.value)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(endpoint.public_dsn, passfile=os.devnull)


def test_trust_asks_for_nothing() -> None:
    with LocalEndpoint() as endpoint:
        with client(endpoint.dsn, passfile=os.devnull) as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
        assert "password" not in endpoint.dsn
        with pytest.raises(LocalError, match="read_scaling_token"):
            endpoint.read_scaling_dsn  # noqa: B018


def jwt(claims: object) -> str:
    parts = [{"alg": "none"}, claims]
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*coded, "signature"])


def test_a_token_of_another_region() -> None:
    here, there = jwt({"mdRegion": "aws-eu-central-1"}), jwt({"mdRegion": "aws-us-east-1"})
    options: dict[str, Any] = {"auth": "password", "region": "eu-central-1"}
    with LocalEndpoint(password=here, **options) as endpoint:
        with client(endpoint.dsn) as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
        with pytest.raises(psycopg.OperationalError, match=r"region aws-us-east-1") as refused:
            psycopg.connect(endpoint.public_dsn, password=there)
        assert there not in str(refused.value)
        deep = base64.urlsafe_b64encode(b"[" * 20_000).decode()
        for token in (jwt(None), jwt(["mdRegion"]), jwt({"mdRegion": {}}), "a.b.c", f"a.{deep}.c"):
            with pytest.raises(psycopg.OperationalError, match="token"):
                psycopg.connect(endpoint.public_dsn, password=token)


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("nothing", "no database/share named 'nothing' found"),
        ("md:nothing", "no database/share named 'nothing' found"),
        ("postgres", "failed to attach 'postgres'"),
        ("app", None),
        ("md:app", None),
        ("md:", None),
    ],
)
def test_names_of_databases(tmp_path: Path, name: str, refusal: str | None) -> None:
    with LocalEndpoint(tmp_path / "app.duckdb") as endpoint:
        dsn = make_conninfo(endpoint.dsn, dbname=name)
        if refusal is None:
            with client(dsn) as connection:
                assert connection.execute("SELECT current_database()").fetchall() == [("app",)]
        else:
            with pytest.raises(psycopg.OperationalError, match=re.escape(refusal)):
                psycopg.connect(dsn)
    with LocalEndpoint(tmp_path / "app.duckdb", quirks=Quirks(checks_database=False)) as endpoint:
        with client(make_conninfo(endpoint.dsn, dbname=name)) as connection:
            assert connection.execute("SELECT current_database()").fetchall() == [("app",)]


def test_no_more_clients_than_agreed_but_each_can_be_cancelled() -> None:
    with LocalEndpoint(max_clients=2) as endpoint, beside() as start:
        with client(endpoint.dsn) as one:
            with client(endpoint.dsn) as two:
                with pytest.raises(psycopg.OperationalError, match="too many clients"):
                    psycopg.connect(endpoint.dsn)
                asked = start(one.execute, LONG)
                until(lambda: is_asked(endpoint, one))
                one.cancel_safe(timeout=10)
                with pytest.raises(psycopg.Error, match="Interrupt"):
                    asked.result(20)
                assert two.execute("SELECT 1").fetchall() == [(1,)]

            def is_let_in() -> bool:
                try:
                    with client(endpoint.dsn) as connection:
                        return connection.execute("SELECT 1").fetchall() == [(1,)]
                except psycopg.OperationalError:
                    return False

            until(is_let_in)


def test_a_wrong_key_cancels_nothing() -> None:
    with LocalEndpoint() as endpoint, beside() as start, client(endpoint.dsn) as connection:
        asked = start(connection.execute, LONG)
        until(lambda: is_asked(endpoint, connection))
        for key in (b"\0\0\0\0", b""):
            request = pg.CancelRequest(process_id=connection.info.backend_pid, secret_key=key)
            with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as other:
                other.sendall(request.to_wire())
                received(other)
        assert not asked.done()
        connection.cancel_safe(timeout=10)
        with pytest.raises(psycopg.Error):
            asked.result(20)


# ---------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_encrypted(certificate: tuple[Path, Path]) -> None:
    given, key = certificate
    options: dict[str, Any] = {"auth": "scram", "password": "w"}
    with LocalEndpoint(certificate=given, private_key=key, **options) as endpoint:
        for more in ({"sslmode": "require"}, {"sslmode": "verify-full", "sslrootcert": str(given)}):
            with client(endpoint.dsn, **more) as connection:
                assert connection.pgconn.ssl_in_use
                size = len(connection.execute("SELECT i, 'x' FROM range(100000) r(i)").fetchall())
                assert size == 100_000
        with pytest.raises(psycopg.OperationalError, match="match host name"):
            psycopg.connect(
                make_conninfo(endpoint.dsn, host="elsewhere", hostaddr="127.0.0.1"),
                sslmode="verify-full",
                sslrootcert=str(given),
            )
        until(lambda: not endpoint._running._clients)


def test_a_cancel_over_tls(certificate: tuple[Path, Path]) -> None:
    given, key = certificate
    with LocalEndpoint(certificate=given, private_key=key) as endpoint, beside() as start:
        with client(endpoint.dsn, sslmode="require") as connection:
            asked = start(connection.execute, LONG)
            until(lambda: is_asked(endpoint, connection))
            connection.cancel_safe(timeout=10)
            with pytest.raises(psycopg.Error, match="Interrupt"):
                asked.result(20)


def test_without_encryption_nothing_is_answered(certificate: tuple[Path, Path]) -> None:
    given, key = certificate
    with LocalEndpoint(certificate=given, private_key=key) as endpoint:
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(endpoint.dsn, sslmode="disable", connect_timeout=2)
        with client(endpoint.dsn, sslmode="require") as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
        # An engine does not wait for ever.
        silent = pgmd.Endpoint(make_conninfo(endpoint.dsn, sslmode="disable"), connect_timeout=2)
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            pgmd.Engine(silent).open()
        verified = make_conninfo(endpoint.dsn, sslmode="verify-full", sslrootcert=str(given))
        with pgmd.Engine(pgmd.Endpoint(verified)) as engine, engine.session() as s:
            assert s.execute("SELECT 1").fetchall() == [(1,)]


def test_a_token_of_another_region_is_refused_and_not_shown() -> None:
    claims = base64.urlsafe_b64encode(b'{"mdRegion": "aws-eu-west-1"}').decode().rstrip("=")
    token = f"head.{claims}.signature"
    with LocalEndpoint(auth="password", password=token, region="us-east-1") as endpoint:
        with pytest.raises(psycopg.OperationalError, match="region aws-eu-west-1") as refused:
            pgmd.Engine(pgmd.Endpoint(endpoint.dsn)).open()
        assert token not in str(refused.value)
    with LocalEndpoint(auth="password", password=token, region="eu-west-1") as endpoint:
        with pgmd.Engine(pgmd.Endpoint(endpoint.dsn)) as engine, engine.session() as s:
            assert s.execute("SELECT 1").fetchall() == [(1,)]


def test_without_encryption_refused(certificate: tuple[Path, Path]) -> None:
    given, key = certificate
    quirks = Quirks(plaintext_hangs=False)
    with LocalEndpoint(certificate=given, private_key=key, quirks=quirks) as endpoint:
        with pytest.raises(psycopg.OperationalError, match="this server wants TLS"):
            psycopg.connect(endpoint.dsn, sslmode="disable", connect_timeout=10)


def test_a_server_without_a_certificate_says_so() -> None:
    with LocalEndpoint() as endpoint:
        with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
            psycopg.connect(endpoint.dsn, sslmode="require")
        with client(endpoint.dsn, sslmode="prefer", gssencmode="disable") as connection:
            assert not connection.pgconn.ssl_in_use


def test_nothing_is_smuggled_in_before_the_handshake(certificate: tuple[Path, Path]) -> None:
    given, key = certificate
    startup = pg.StartupMessage(params={"user": "postgres", "database": "md:"}).to_wire()
    with LocalEndpoint(certificate=given, private_key=key) as endpoint:
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as raw:
            raw.sendall(pg.SSLRequest().to_wire() + startup)
            assert b"handshake" in received(raw)
        context = ssl.create_default_context(cafile=str(given))
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as raw:
            raw.sendall(pg.SSLRequest().to_wire())
            assert raw.recv(1) == b"S"
            with context.wrap_socket(raw, server_hostname="localhost") as wrapped:
                # Once is enough.
                wrapped.sendall(pg.SSLRequest().to_wire())
                assert wrapped.recv(1) == b"N"
                wrapped.sendall(startup)
                assert wrapped.recv(1) == b"R"


def test_noise_instead_of_a_handshake(certificate: tuple[Path, Path]) -> None:
    given, key = certificate
    with LocalEndpoint(certificate=given, private_key=key) as endpoint:
        for noise in (b"", b"\0" * 50, b"\x16\x03\x01\xff\xff" + b"x" * 100):
            with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as raw:
                raw.sendall(pg.SSLRequest().to_wire())
                assert raw.recv(1) == b"S"
                with suppress(OSError):  # It may have closed already.
                    raw.sendall(noise)
                    raw.shutdown(socket.SHUT_WR)
                received(raw)
        until(lambda: not endpoint._running._clients)
        with client(endpoint.dsn, sslmode="require") as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]


def received(raw: socket.socket) -> bytes:
    """All until the server closes."""
    found = b""
    with suppress(ConnectionError):
        while data := raw.recv(65536):
            found += data
    return found


# -------------------------------------------------------------------------------------- being stopped


def test_stopping_ends_clients(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    with LocalEndpoint(file) as endpoint:
        idle = psycopg.connect(endpoint.dsn)
        writer = psycopg.connect(endpoint.dsn)
        writer.execute("CREATE TABLE t AS SELECT 1 AS a")
        writer.commit()
        writer.execute("INSERT INTO t VALUES (2)")
        snap = psycopg.connect(endpoint.dsn, autocommit=True)
        began = time.monotonic()
        endpoint.stop()
        assert time.monotonic() - began < 8
        for connection in (idle, writer, snap):
            with pytest.raises(psycopg.OperationalError, match="being stopped"):
                connection.execute("SELECT 1")
            connection.close()
    assert not folder_of(file).exists()
    with duckdb.connect(str(file)) as found:
        # What was not committed is rolled back.
        assert found.execute("FROM t").fetchall() == [(1,)]


def test_stopping_with_work_going_on(tmp_path: Path) -> None:
    """A long query, a snapshot that waits for a writer, and the writer."""
    with beside() as start:
        with LocalEndpoint(tmp_path / "app.duckdb") as endpoint:
            busy, waiting, writer = (psycopg.connect(endpoint.dsn, autocommit=True) for _ in "123")
            asked = start(busy.execute, LONG)
            writer.execute("BEGIN")
            writer.execute("CREATE TABLE t (a int)")
            snap = start(waiting.execute, "CREATE SNAPSHOT OF app")
            for connection in (busy, waiting):
                until(lambda c=connection: is_asked(endpoint, c))  # type: ignore[misc]
            began = time.monotonic()
            start(endpoint.stop).result(20)
            assert time.monotonic() - began < 8
        for future in (asked, snap):
            with pytest.raises(psycopg.Error):
                future.result(10)
        for connection in (busy, waiting, writer):
            connection.close()


# A client that is waited for hangs the test: how long a machine takes for the rest says nothing.
@pytest.mark.timeout(300)
def test_stopping_with_clients_that_do_nothing_about_it(certificate: tuple[Path, Path]) -> None:
    """One does not read, one is in the middle of COPY, one has not sent Sync, one no password."""
    given, key = certificate
    startup = pg.StartupMessage(params={"user": "postgres", "database": "md:"}).to_wire()
    quirks = Quirks.none()
    with LocalEndpoint(quirks=quirks) as endpoint:
        lazy, copying, unsynced, silent = (
            socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) for _ in "1234"
        )
        try:
            query = "SELECT repeat('x', 10000) FROM range(100000)"
            lazy.sendall(startup + pg.Query(query).to_wire())
            copying.sendall(
                startup
                + pg.Query("CREATE TABLE t (a int)").to_wire()
                + pg.Query("COPY t FROM STDIN").to_wire()
                + pg.CopyData(b"1\n").to_wire()
            )
            unsynced.sendall(
                startup + pg.Parse("", "SELECT 1", []).to_wire() + pg.Flush().to_wire()
            )

            def are_there() -> bool:
                talks = [c.talk.backend for c in list(endpoint._running._clients.values())]
                return sum(b is not None and b.cursor.exchange is not None for b in talks) == 3

            until(are_there, 100)
            # It has sent so much that it can send no more.
            assert lazy.recv(1)
            endpoint.stop()
            for raw in (lazy, copying, unsynced, silent):
                is_dropped(raw)
        finally:
            for raw in (lazy, copying, unsynced, silent):
                raw.close()
    with LocalEndpoint(certificate=given, private_key=key) as endpoint:
        with client(endpoint.dsn, sslmode="require") as connection:
            connection.execute("SELECT 1")
            endpoint.stop()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")


def is_dropped(raw: socket.socket) -> None:
    """Read what had been sent; the server then ends it."""
    with suppress(ConnectionResetError):
        while raw.recv(1_000_000):
            pass


def test_stopping_from_several_threads_at_once() -> None:
    with LocalEndpoint() as endpoint, client(endpoint.dsn):
        with beside() as start:
            for future in [start(endpoint.stop) for _ in range(6)]:
                future.result(20)


def test_connecting_while_it_stops() -> None:
    def knock(dsn: str) -> None:
        with suppress(psycopg.Error):
            while True:
                with client(dsn) as connection:
                    connection.execute("SELECT 1")

    for _ in range(5):
        with beside() as start:
            endpoint = LocalEndpoint()
            endpoint.start()
            knocking = [start(knock, endpoint.dsn) for _ in range(3)]
            until(lambda: next(endpoint._running._numbers) > 20)  # noqa: B023
            endpoint.stop()
            for future in knocking:
                future.result(20)


# ------------------------------------------------------------------------------- what SQL may reach


@pytest.mark.parametrize("role", ["writer", "reader"])
def test_sql_reaches_nothing_outside(tmp_path: Path, role: str) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    here = sorted(p.name for p in tmp_path.iterdir())
    options: dict[str, Any] = {"auth": "password", "password": "w", "read_scaling_token": "r"}
    with LocalEndpoint(quirks=Quirks.none(), **options) as endpoint:
        dsn = endpoint.dsn if role == "writer" else endpoint.read_scaling_dsn
        with client(dsn) as connection:
            for statement in (
                "SELECT * FROM read_text('/etc/passwd')",
                "SELECT * FROM read_blob('/etc/passwd')",
                "SELECT * FROM '/etc/passwd'",
                f"SELECT * FROM '{tmp_path}/rows.csv'",
                f"SELECT * FROM read_csv('{tmp_path}/rows.csv')",
                f"SELECT * FROM glob('{tmp_path}/*')",
                f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
                f"COPY (SELECT 1) TO '{tmp_path}/out.parquet' (FORMAT parquet)",
                f"EXPORT DATABASE '{tmp_path}/export'",
                f"IMPORT DATABASE '{tmp_path}/export'",
                f"ATTACH '{tmp_path}/other.duckdb'",
                f"ATTACH '{tmp_path}/new.duckdb'",
                "INSTALL httpfs",
                "LOAD httpfs",
                f"LOAD '{tmp_path}/x.duckdb_extension'",
                "SELECT * FROM read_csv('https://127.0.0.1:9/x.csv')",
                "SET enable_external_access = true",
                "SET autoload_known_extensions = true; LOAD httpfs",
                f"SET temp_directory = '{tmp_path}/temp'",
                f"SET allowed_directories = ['{tmp_path}']",
                "SELECT getenv('HOME')",
            ):
                with pytest.raises(psycopg.Error):
                    connection.execute(statement)
            for statement in (
                f"SET profile_output = '{tmp_path}/profile.json'",
                "PRAGMA enable_profiling = 'json'",
                f"SET log_query_path = '{tmp_path}/log.sql'",
                f"CALL enable_logging(storage = 'file', storage_path = '{tmp_path}/logs')",
                "SET python_enable_replacements = true",
                "SELECT 42",
            ):
                with suppress(psycopg.Error):
                    connection.execute(statement)
    assert sorted(p.name for p in tmp_path.iterdir()) == here


def test_variables_of_the_server_are_no_tables() -> None:
    with LocalEndpoint(quirks=Quirks.none()) as endpoint, client(endpoint.dsn) as connection:
        with suppress(psycopg.Error):
            connection.execute("SET python_enable_replacements = true")
        for name in ("self", "command", "values", "columns"):
            with pytest.raises(errors.UndefinedTable):
                connection.execute(f"SELECT * FROM {name}")


def test_sql_reaches_files_when_allowed(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with LocalEndpoint(external_access=True) as endpoint, client(endpoint.dsn) as connection:
        found = connection.execute(f"SELECT * FROM '{tmp_path}/rows.csv'")
        assert found.fetchall() == [(1,)]


def test_limits_are_those_of_duckdb() -> None:
    limits: dict[str, Any] = {"memory_limit": "100MB", "threads": 1}
    roles: dict[str, Any] = {"auth": "password", "password": "w", "read_scaling_token": "r"}
    with LocalEndpoint(**limits, **roles) as endpoint:
        for dsn in (endpoint.dsn, endpoint.read_scaling_dsn):
            with client(dsn) as connection:
                ((memory, threads),) = connection.execute(
                    "SELECT current_setting('memory_limit'), current_setting('threads')::int"
                ).fetchall()
                assert memory == "95.3 MiB"
                assert threads == 1
        with client(endpoint.dsn) as connection:
            with pytest.raises(psycopg.Error, match="Out of Memory"):
                connection.execute("SELECT list(i) FROM range(30000000) r(i)")


# -------------------------------------------------------------------------- much, late and by accident


def memory(pid: int) -> int:
    """The resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


@pytest.mark.slow
def test_a_large_result_streams(tmp_path: Path) -> None:
    """A million rows, 250 MB on the wire."""
    with another_process(tmp_path / "app.duckdb", threads=1) as (pid, dsn):
        with client(dsn) as connection:
            connection.execute("CREATE TABLE t AS SELECT i FROM range(1000000) r(i)")
            before = most = memory(pid)
            count = size = 0
            query = "SELECT i, repeat('x', 250) FROM t"
            with connection.cursor() as cursor:
                for row in cursor.stream(query):
                    count += 1
                    size += len(row[1])
                    if count % 50_000 == 0:
                        most = max(most, memory(pid))
            assert (count, size) == (1_000_000, 250_000_000)
            assert most - before < 120


@pytest.mark.slow
def test_a_client_that_does_not_read_holds_the_server_up(tmp_path: Path) -> None:
    startup = pg.StartupMessage(params={"user": "postgres", "database": "md:"}).to_wire()
    with another_process(tmp_path / "app.duckdb", threads=1) as (pid, dsn):
        with client(dsn) as connection:
            port = connection.info.port
            before = memory(pid)
            query = "SELECT i, repeat('x', 1000) FROM range(1000000) r(i)"
            with socket.create_connection(("127.0.0.1", port), timeout=10) as lazy:
                lazy.sendall(startup + pg.Query(query).to_wire())
                assert lazy.recv(1)
                for _ in range(300):
                    assert connection.execute("SELECT 1").fetchall() == [(1,)]
                assert memory(pid) - before < 120


def test_resets() -> None:
    with LocalEndpoint(quirks=Quirks(reset_rate=1)) as endpoint:
        for _ in range(3):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(endpoint.dsn)
        until(lambda: not endpoint._running._clients)


def test_latency() -> None:
    with LocalEndpoint(quirks=Quirks(latency=0.1)) as endpoint, client(endpoint.dsn) as connection:
        began = time.monotonic()
        for _ in range(3):
            connection.execute("SELECT 1")
        assert time.monotonic() - began >= 0.3


def test_a_cold_start_is_that_of_the_first() -> None:
    with LocalEndpoint(quirks=Quirks(cold_start=1.5)) as endpoint:
        with client(endpoint.dsn) as first:
            began = time.monotonic()
            first.execute("SELECT 1")
            assert time.monotonic() - began >= 1.5
            with client(endpoint.dsn) as second, beside() as start:
                # Neither the second client nor the second statement.
                began = time.monotonic()
                start(second.execute, "SELECT 1").result(10)
                first.execute("SELECT 1")
                assert time.monotonic() - began < 1.5


def test_clients_that_vanish_leave_nothing(tmp_path: Path) -> None:
    startup = pg.StartupMessage(params={"user": "postgres", "database": "md:"}).to_wire()
    with LocalEndpoint(tmp_path / "app.duckdb") as endpoint, client(endpoint.dsn) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
        for n in range(30):
            with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as raw:
                raw.sendall(startup + pg.Query("BEGIN; INSERT INTO t VALUES (2)").to_wire())
                if n % 2:
                    assert raw.recv(1) == b"R"
                # Gone with a reset.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: len(endpoint._running._clients) == 1)
        connection.execute("CREATE SNAPSHOT OF app")
        assert connection.execute("FROM t").fetchall() == [(1,)]
