"""Settings: where an engine connects and how, frozen and checked when they are made.

Whatever is malformed or contradictory is a `ConfigurationError` that names it; values of secrets
are never in a message or a repr.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from psycopg import conninfo as libpq

from ..errors import ReplicaError
from .conninfo import (
    check_tls,
    escape_option,
    is_motherduck,
    libpq_defaults,
    motherduck_conninfo,
    motherduck_tls,
    parse_conninfo,
    require,
)

Consistency = Literal["eventual", "session", "engine", "strong"]
ReplicaMode = Literal["live", "snapshot"]

CONSISTENCIES = ("eventual", "session", "engine", "strong")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
# What `md:` takes for dbinstance_inactivity_ttl, see "Connection string parameters" in the
# MotherDuck documentation.
_TTL = re.compile(r"\d+(?:ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The Postgres wire server that accepts writes, and the pool of connections to it.

    `conninfo` is a libpq URL or keyword string. `min_size`, `max_size` (connections), `timeout`
    (seconds to wait for one), `max_waiting` (callers beyond `max_size`; 0: no bound),
    `max_lifetime` and `max_idle` (seconds) mean what they mean in psycopg_pool. `connect_timeout`
    is in seconds.

    Instead of a conninfo, `file` names a DuckDB file that the engine itself serves while it is
    open, through `pgmd.local.LocalEndpoint` with `file_options`.

    Raises `ConfigurationError` for a conninfo that libpq cannot parse, a size or time that makes
    no sense, or an `sslmode` that could send a MotherDuck token in plain text (a plaintext attempt
    there does not fail, it hangs).
    """

    conninfo: str = field(default="", repr=False)
    password: str | None = field(default=None, repr=False)
    min_size: int = 1
    max_size: int = 10
    timeout: float = 30.0
    max_waiting: int = 0
    max_lifetime: float = 3600.0
    max_idle: float = 600.0
    connect_timeout: int = 10
    application_name: str = "pgmd"
    file: str | Path | None = None
    file_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        options = parse_conninfo(self.conninfo)
        require(
            0 <= self.min_size <= self.max_size and self.max_size >= 1,
            f"min_size={self.min_size} and max_size={self.max_size}: "
            "max_size must be at least 1 and not below min_size",
        )
        _check_seconds(self, "timeout", "max_lifetime", "max_idle", "connect_timeout")
        require(self.max_waiting >= 0, f"max_waiting={self.max_waiting}: must not be negative")
        require(
            not (self.password and options.get("password")),
            "password: given both in the conninfo and as a setting; give it once",
        )
        check_tls(options)
        self._check_file()

    def _check_file(self) -> None:
        require(
            self.file is None or not self.conninfo,
            "file: an endpoint has a conninfo or a file, not both",
        )
        require(self.file is not None or not self.file_options, "file_options: there is no file")
        if self.file is not None and self.password is None:
            # Other users of this machine can reach a port on 127.0.0.1, too.
            object.__setattr__(self, "password", secrets.token_urlsafe())

    def served_at(self, conninfo: str) -> Endpoint:
        """These settings for the file, once it is served there; *conninfo* has the password."""
        return replace(self, conninfo=conninfo, password=None, file=None, file_options={})

    @classmethod
    def motherduck(
        cls,
        database: str,
        *,
        region: str,
        token: str,
        host: str | None = None,
        session_name: str | None = None,
        **settings: Any,
    ) -> Endpoint:
        """The Postgres endpoint of a MotherDuck database in a region such as `us-east-1`.

        The user name is ignored by the service, the password is the access token, and without a
        database name the service would look for one called like the user, so `md:` stands for the
        default database. `min_size` is 0 unless given: an open connection may keep a duckling
        awake, which is billed.
        Source: MotherDuck documentation, "Postgres endpoint".
        """
        require(bool(token), "token: missing; set MOTHERDUCK_TOKEN or pass token=")
        require(
            _REGION.fullmatch(region) is not None or host is not None,
            f"region={region!r}: expected a name such as 'us-east-1'",
        )
        conninfo = motherduck_conninfo(database, region=region, host=host)
        if session_name:
            named = f"-c session_name={escape_option(session_name)}"
            conninfo = libpq.make_conninfo(conninfo, options=named)
        return cls(
            conninfo,
            password=token,
            **{"min_size": 0, **settings},
        )

    @property
    def options(self) -> dict[str, Any]:
        """The libpq keywords to connect with, without the password."""
        given = parse_conninfo(self.conninfo)
        given.pop("password", None)
        defaults: dict[str, Any] = {
            **libpq_defaults(),
            "connect_timeout": self.connect_timeout,
            "application_name": self.application_name,
        }
        if self.is_motherduck:
            defaults |= motherduck_tls()
        return defaults | given

    @property
    def secret(self) -> str | None:
        """The password or token."""
        return self.password or parse_conninfo(self.conninfo).get("password")

    @property
    def params(self) -> dict[str, Any]:
        """The libpq keywords to connect with, the password among them."""
        return {**self.options, **({"password": self.secret} if self.secret else {})}

    @property
    def is_motherduck(self) -> bool:
        """Whether the host is MotherDuck's."""
        return is_motherduck(parse_conninfo(self.conninfo))

    def __repr__(self) -> str:
        shown = parse_conninfo(self.conninfo)
        where = " ".join(
            f"{k}={shown[k]}" for k in ("host", "port", "dbname", "user") if k in shown
        )
        where = f"file={self.file}" if self.file is not None else where or "libpq defaults"
        return f"<Endpoint {where} max_size={self.max_size}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One DuckDB instance opened for reading. Exactly one source:

    - `motherduck`: a database name, read with a read-scaling `token`. `session_name` keeps the
      connection on one duckling; `inactivity_ttl` (such as `15m`) is how long DuckDB keeps the
      instance after it was closed.
    - `file`: a DuckDB database file, attached read-only.
    - `local`: a DuckDB database file that a local endpoint serves; what is read is its newest
      snapshot, moved on by `engine.publish()` or every `refresh` seconds.
    - `wire`: a libpq URL or keyword string of a read-scaling endpoint, of which `token` is the
      password: reads go over the Postgres wire, and this process has no DuckDB instance. All
      connections name the same `session_name`, so that they reach one duckling.
    - `postgres`: a libpq URL or keyword string. `mode="live"` reads it through DuckDB's `postgres`
      extension, always fresh; `mode="snapshot"` reads a columnar copy of `tables` (all tables when
      empty), moved on by `engine.publish()` or every `refresh` seconds.

    `max_size` is how many cursors or connections, so how many callers at once, it lends;
    `threads` and `memory_limit` are DuckDB's settings of these names. Raises `ConfigurationError`.

    Times are in seconds. An instance that has not opened after `open_timeout` counts as failed. It
    is replaced by a new one before it is `max_lifetime` old; MotherDuck asks for that within 24
    hours. With `min_size=0` it is closed after `max_idle` without use, so that a duckling can
    sleep, and opened again when it is wanted.

    A `token` may be a function that returns it, called in a thread each time a replica is opened
    and from time to time: when it returns another one the replica is replaced.
    """

    motherduck: str | None = None
    file: str | Path | None = None
    local: str | Path | None = None
    wire: str | None = field(default=None, repr=False)
    postgres: str | None = field(default=None, repr=False)
    token: str | Callable[[], str] | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    name: str = ""
    session_name: str | None = None
    inactivity_ttl: str | None = None
    mode: ReplicaMode = "live"
    tables: tuple[str, ...] = ()
    refresh: float | None = None
    max_size: int = 4
    threads: int | None = None
    memory_limit: str | None = None
    open_timeout: float = 30.0
    max_lifetime: float = 82_800.0
    min_size: int = 1
    max_idle: float = 600.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", tuple(self.tables))
        kinds = ("motherduck", "file", "local", "wire", "postgres")
        sources = [name for name in kinds if getattr(self, name) is not None]
        require(
            len(sources) == 1,
            "a replica has exactly one source, motherduck=, file=, local=, wire= or postgres=; "
            f"got {sources}",
        )
        self._check_motherduck()
        self._check_postgres()
        require(self.max_size >= 1, f"max_size={self.max_size}: must be at least 1")
        require(
            self.threads is None or self.threads >= 1,
            f"threads={self.threads}: must be at least 1",
        )
        require(self.min_size in (0, 1), f"min_size={self.min_size}: a replica takes 0 or 1")
        _check_seconds(self, "open_timeout", "max_lifetime", "max_idle")

    def _check_motherduck(self) -> None:
        if self.motherduck is not None:
            require(
                bool(self.token),
                "read_scaling_token: missing; set MOTHERDUCK_READ_SCALING_TOKEN "
                "or pass read_scaling_token=",
            )
            require(
                self.inactivity_ttl is None or _TTL.fullmatch(self.inactivity_ttl) is not None,
                f"inactivity_ttl={self.inactivity_ttl!r}: expected a duration such as '15m'",
            )
            return
        require(
            self.inactivity_ttl is None, "inactivity_ttl: only a replica with motherduck= takes it"
        )
        if self.wire is not None:
            self._check_wire()
            return
        for name in ("token", "session_name"):
            require(
                getattr(self, name) is None,
                f"{name}: only a replica with motherduck= or wire= takes it",
            )

    def _check_wire(self) -> None:
        options = parse_conninfo(self.wire or "")
        check_tls(options)
        require(
            self.token is None or not options.get("password"),
            "token: given both in the conninfo and as a setting; give it once",
        )
        for name in ("threads", "memory_limit"):
            require(getattr(self, name) is None, f"{name}: a replica with wire= has no instance")

    def _check_postgres(self) -> None:
        if self.postgres is not None:
            parse_conninfo(self.postgres)
        require(self.mode in ("live", "snapshot"), f"mode={self.mode!r}: 'live' or 'snapshot'")
        require(
            self.mode == "live" or self.postgres is not None,
            "mode='snapshot': only a replica with postgres= takes it",
        )
        require(
            self.mode == "snapshot" or not self.tables,
            "tables: only a replica with mode='snapshot' takes them",
        )
        require(
            self.mode == "snapshot" or self.local is not None or self.refresh is None,
            "refresh: only a replica with mode='snapshot' or local= takes it",
        )
        require(
            self.refresh is None or self.refresh > 0,
            f"refresh={self.refresh}: must be a number of seconds above 0",
        )
        require(
            self.password is None or self.postgres is not None,
            "password: only a replica with postgres= takes it",
        )

    @property
    def secret(self) -> str | None:
        """The token or password, as far as it is known without calling anything."""
        if self.wire is not None and self.token is None:
            return parse_conninfo(self.wire).get("password")
        if self.postgres is None:
            return self.token if isinstance(self.token, str) else None
        return self.password or parse_conninfo(self.postgres).get("password")

    def current_token(self) -> str:
        """The token, from its function if it has one. Raises ReplicaError when that fails."""
        if not callable(self.token):
            return self.secret or ""
        try:
            token = self.token()
        except Exception as error:
            # Its text may hold a secret.
            raise ReplicaError(f"its token function raised {type(error).__name__}") from error
        if not isinstance(token, str) or not token:
            raise ReplicaError("its token function did not return a token")
        return token

    @property
    def wire_options(self) -> dict[str, Any]:
        """The libpq keywords of a `wire` source, without the password."""
        options = {**libpq_defaults(), **parse_conninfo(self.wire or "")}
        options.pop("password", None)
        if is_motherduck(options):
            options = {**motherduck_tls(), **options}
        named = f"-c session_name={escape_option(self.session_name or f'pgmd-{self.name}')}"
        options["options"] = " ".join(filter(None, [options.get("options"), named]))
        return options

    @property
    def wire_database(self) -> str:
        """The database of a `wire` source; "" for the account's default one."""
        name = str(self.wire_options.get("dbname") or "")
        return "" if name == "md:" else name

    @property
    def postgres_options(self) -> dict[str, Any]:
        """The libpq keywords of a `postgres` source, without the password."""
        options = parse_conninfo(self.postgres or "")
        options.pop("password", None)
        return options


@dataclass(frozen=True, slots=True)
class Database:
    """One of several databases of an engine: on one account or on another, with its own tokens."""

    endpoint: Endpoint | None = None
    replicas: Sequence[Replica] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "replicas", tuple(self.replicas))
        require(
            self.endpoint is not None or bool(self.replicas),
            "a database has an endpoint, replicas or both",
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """All an engine needs to know."""

    endpoint: Endpoint | None = None
    replicas: tuple[Replica, ...] = ()
    consistency: Consistency = "session"
    max_staleness: float | None = None
    endpoint_spill: int | None = None
    databases: Mapping[str, Database] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(
            self.endpoint_spill is None or self.endpoint_spill >= 1,
            f"endpoint_spill={self.endpoint_spill}: must be at least 1",
        )
        require(
            self.endpoint is not None or bool(self.replicas) or bool(self.databases),
            "nothing to connect to: give a URL, an endpoint or replicas, or set PGMD_ENDPOINT",
        )
        check_consistency(self.consistency, self.max_staleness)
        databases = {
            name: replace(each, replicas=named(tuple(each.replicas), name))
            for name, each in self.databases.items()
        }
        object.__setattr__(self, "databases", databases)
        replicas = [*self.replicas, *(r for each in databases.values() for r in each.replicas)]
        names = sorted(replica.name for replica in replicas)
        require(len(set(names)) == len(names), f"name: two replicas are called the same, {names}")

    @property
    def spill(self) -> int:
        """How many reads may run on the endpoint at once because no replica serves."""
        if self.endpoint_spill is not None or self.endpoint is None:
            return self.endpoint_spill or 1
        return max(1, self.endpoint.max_size // 2)

    @property
    def secrets(self) -> list[str]:
        """Every password and token in here."""
        sides: list[Endpoint | Replica | None] = [self.endpoint, *self.replicas]
        for each in self.databases.values():
            sides += [each.endpoint, *each.replicas]
        return [side.secret for side in sides if side is not None and side.secret]


def _check_seconds(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        require(value > 0, f"{name}={value}: must be a number of seconds above 0")


def check_consistency(consistency: str, max_staleness: float | None) -> None:
    """Raise `ConfigurationError` for a consistency level or a bound that does not exist."""
    require(
        consistency in CONSISTENCIES,
        f"consistency={consistency!r}: expected one of {', '.join(CONSISTENCIES)}",
    )
    require(
        max_staleness is None or max_staleness >= 0,
        f"max_staleness={max_staleness}: must be a number of seconds, 0 or more",
    )


def named(replicas: tuple[Replica, ...], database: str = "") -> tuple[Replica, ...]:
    """Give every replica without a name one: `replica-1`, or with a database `sales/replica-1`."""
    prefix = f"{database}/" if database else ""
    return tuple(
        r if r.name else replace(r, name=f"{prefix}replica-{n}")
        for n, r in enumerate(replicas, start=1)
    )
