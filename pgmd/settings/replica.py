"""What a replica reads, and how it is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import ReplicaError
from .checks import check_seconds, require
from .conninfo import (
    check_tls,
    escape_option,
    is_motherduck,
    libpq_defaults,
    motherduck_tls,
    parse_conninfo,
)

ReplicaMode = Literal["live", "snapshot"]

# What `md:` takes for dbinstance_inactivity_ttl, see "Connection string parameters" in the
# MotherDuck documentation.
_TTL = re.compile(r"\d+(?:ms|s|m|h)")


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
        check_seconds(self, "open_timeout", "max_lifetime", "max_idle")

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
