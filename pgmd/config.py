"""Settings: where an engine connects and how, frozen and checked when they are made.

Whatever is malformed or contradictory is a `ConfigurationError` that names it; values of secrets
are never in a message or a repr.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from psycopg import conninfo as libpq

from .conninfo import (
    MOTHERDUCK_DOMAIN,
    check_tls,
    escape_option,
    is_motherduck,
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
    (seconds to wait for one), `max_waiting` (0: no bound), `max_lifetime` and `max_idle` (seconds)
    mean what they mean in psycopg_pool. `connect_timeout` is in seconds.

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
        for name in ("timeout", "max_lifetime", "max_idle", "connect_timeout"):
            value = getattr(self, name)
            require(value > 0, f"{name}={value}: must be a number of seconds above 0")
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
        options: dict[str, str | int] = {
            "host": host or f"pg.{region}-aws{MOTHERDUCK_DOMAIN}",
            "port": 5432,
            "dbname": database or "md:",
            "user": "postgres",
        }
        if session_name:
            options["options"] = f"-c session_name={escape_option(session_name)}"
        return cls(
            libpq.make_conninfo("", **options),
            password=token,
            **{"min_size": 0, **settings},
        )

    @property
    def options(self) -> dict[str, Any]:
        """The libpq keywords to connect with, without the password."""
        given = parse_conninfo(self.conninfo)
        given.pop("password", None)
        defaults: dict[str, Any] = {
            "connect_timeout": self.connect_timeout,
            "application_name": self.application_name,
            "keepalives": 1,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        }
        if self.is_motherduck:
            defaults |= motherduck_tls()
        return defaults | given

    @property
    def secret(self) -> str | None:
        """The password or token."""
        return self.password or parse_conninfo(self.conninfo).get("password")

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
    - `postgres`: a libpq URL or keyword string. `mode="live"` reads it through DuckDB's `postgres`
      extension, always fresh; `mode="snapshot"` reads a columnar copy of `tables` (all tables when
      empty), moved on by `engine.publish()` or every `refresh` seconds.

    `max_size` is how many cursors, so how many callers at once, the instance lends; `threads` and
    `memory_limit` are DuckDB's settings of these names. Raises `ConfigurationError`.
    """

    motherduck: str | None = None
    file: str | Path | None = None
    local: str | Path | None = None
    postgres: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", tuple(self.tables))
        kinds = ("motherduck", "file", "local", "postgres")
        sources = [name for name in kinds if getattr(self, name) is not None]
        require(
            len(sources) == 1,
            "a replica has exactly one source, motherduck=, file=, local= or postgres=; "
            f"got {sources}",
        )
        self._check_motherduck()
        self._check_postgres()
        require(self.max_size >= 1, f"max_size={self.max_size}: must be at least 1")
        require(
            self.threads is None or self.threads >= 1,
            f"threads={self.threads}: must be at least 1",
        )

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
        for name in ("token", "session_name", "inactivity_ttl"):
            require(
                getattr(self, name) is None, f"{name}: only a replica with motherduck= takes it"
            )

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
        """The token or password."""
        if self.postgres is None:
            return self.token
        return self.password or parse_conninfo(self.postgres).get("password")

    @property
    def postgres_options(self) -> dict[str, Any]:
        """The libpq keywords of a `postgres` source, without the password."""
        options = parse_conninfo(self.postgres or "")
        options.pop("password", None)
        return options


@dataclass(frozen=True, slots=True)
class Settings:
    """All an engine needs to know."""

    endpoint: Endpoint | None = None
    replicas: tuple[Replica, ...] = ()
    consistency: Consistency = "session"
    max_staleness: float | None = None

    def __post_init__(self) -> None:
        require(
            self.endpoint is not None or bool(self.replicas),
            "nothing to connect to: give a URL, an endpoint or replicas, or set PGMD_ENDPOINT",
        )
        check_consistency(self.consistency, self.max_staleness)
        names = [r.name for r in self.replicas]
        require(
            len(set(names)) == len(names),
            f"name: two replicas are called the same, {sorted(names)}",
        )

    @property
    def secrets(self) -> list[str]:
        """Every password and token in here."""
        sides = [self.endpoint, *self.replicas]
        return [side.secret for side in sides if side is not None and side.secret]


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


def named(replicas: tuple[Replica, ...]) -> tuple[Replica, ...]:
    """Give every replica without a name one: `replica-1`, `replica-2`, ..."""
    return tuple(
        r if r.name else replace(r, name=f"replica-{n}") for n, r in enumerate(replicas, start=1)
    )
