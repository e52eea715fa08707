"""Where the endpoint is, and the pool of connections to it."""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from psycopg import conninfo as libpq

from .checks import check_seconds, require
from .conninfo import (
    check_tls,
    escape_option,
    is_motherduck,
    libpq_defaults,
    motherduck_conninfo,
    motherduck_tls,
    parse_conninfo,
    sealed_conninfo,
)
from .secret import Secret, revealed, sealed, secrets_of

# Other users of this machine can reach a port on 127.0.0.1, too: a file is served with a password
# that only this process can tell.
_KEY = secrets.token_bytes(32)
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")


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

    conninfo: str | Secret = field(default="", repr=False)
    password: str | Secret | None = field(default=None, repr=False)
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
        check_seconds(self, "timeout", "max_lifetime", "max_idle", "connect_timeout")
        require(self.max_waiting >= 0, f"max_waiting={self.max_waiting}: must not be negative")
        require(
            not (self.password and options.get("password")),
            "password: given both in the conninfo and as a setting; give it once",
        )
        check_tls(options)
        self._check_file()
        object.__setattr__(self, "conninfo", sealed_conninfo(self.conninfo))
        object.__setattr__(self, "password", sealed(self.password))

    def _check_file(self) -> None:
        require(
            self.file is None or not self.conninfo,
            "file: an endpoint has a conninfo or a file, not both",
        )
        require(self.file is not None or not self.file_options, "file_options: there is no file")

    def served_at(self, conninfo: str) -> Endpoint:
        """These settings for the file, once it is served there; *conninfo* has the password."""
        return replace(self, conninfo=conninfo, password=None, file=None, file_options={})

    @classmethod
    def motherduck(
        cls,
        database: str,
        *,
        region: str,
        token: str | Secret,
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
        """The password or token; where a file is served, one is made up unless it is given."""
        if self.password:
            return revealed(self.password)
        if self.file is not None:
            return hmac.digest(_KEY, os.fsencode(self.file), "sha256").hex()
        return parse_conninfo(self.conninfo).get("password")

    @property
    def secrets(self) -> list[str]:
        """Every password and token in here."""
        return [*secrets_of(self), *([self.secret] if self.secret else [])]

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
