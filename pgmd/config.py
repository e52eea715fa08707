"""Settings: where an engine connects and how, frozen and checked when they are made.

A setting comes from a keyword, from the URL or from the environment, in this order. Whatever is
unknown, malformed or contradictory is a `ConfigurationError` that names it; values of secrets are
never in a message or a repr.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import conninfo as libpq

from .errors import ConfigurationError

Consistency = Literal["eventual", "session", "engine", "strong"]
ReplicaMode = Literal["live", "snapshot"]

CONSISTENCIES = ("eventual", "session", "engine", "strong")
MOTHERDUCK_DOMAIN = ".motherduck.com"
_PLAINTEXT_MODES = ("disable", "allow", "prefer")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
# What `md:` takes for dbinstance_inactivity_ttl, see "Connection string parameters" in the
# MotherDuck documentation.
_TTL = re.compile(r"\d+(?:ms|s|m|h)")


def _check(ok: bool, message: str) -> None:  # noqa: FBT001
    if not ok:
        raise ConfigurationError(message)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The Postgres wire server that accepts writes, and the pool of connections to it.

    `conninfo` is a libpq URL or keyword string. `min_size`, `max_size` (connections), `timeout`
    (seconds to wait for one), `max_waiting` (0: no bound), `max_lifetime` and `max_idle` (seconds)
    mean what they mean in psycopg_pool. `connect_timeout` is in seconds.

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

    def __post_init__(self) -> None:
        options = _parse_conninfo(self.conninfo)
        _check(
            0 <= self.min_size <= self.max_size and self.max_size >= 1,
            f"min_size={self.min_size} and max_size={self.max_size}: "
            "max_size must be at least 1 and not below min_size",
        )
        for name in ("timeout", "max_lifetime", "max_idle", "connect_timeout"):
            value = getattr(self, name)
            _check(value > 0, f"{name}={value}: must be a number of seconds above 0")
        _check(self.max_waiting >= 0, f"max_waiting={self.max_waiting}: must not be negative")
        _check(
            not (self.password and options.get("password")),
            "password: given both in the conninfo and as a setting; give it once",
        )
        _check_tls(options)

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
        _check(bool(token), "token: missing; set MOTHERDUCK_TOKEN or pass token=")
        _check(
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
            options["options"] = f"-c session_name={_escape_option(session_name)}"
        return cls(
            libpq.make_conninfo("", **options),
            password=token,
            **{"min_size": 0, **settings},
        )

    @property
    def options(self) -> dict[str, Any]:
        """The libpq keywords to connect with, without the password."""
        given = _parse_conninfo(self.conninfo)
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
            defaults |= _motherduck_tls()
        return defaults | given

    @property
    def secret(self) -> str | None:
        """The password or token."""
        return self.password or _parse_conninfo(self.conninfo).get("password")

    @property
    def is_motherduck(self) -> bool:
        """Whether the host is MotherDuck's."""
        return _is_motherduck(_parse_conninfo(self.conninfo))

    def __repr__(self) -> str:
        shown = _parse_conninfo(self.conninfo)
        where = " ".join(
            f"{k}={shown[k]}" for k in ("host", "port", "dbname", "user") if k in shown
        )
        return f"<Endpoint {where or 'libpq defaults'} max_size={self.max_size}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One DuckDB instance opened for reading. Exactly one source:

    - `motherduck`: a database name, read with a read-scaling `token`. `session_name` keeps the
      connection on one duckling; `inactivity_ttl` (such as `15m`) is how long DuckDB keeps the
      instance after it was closed.
    - `file`: a DuckDB database file, attached read-only.
    - `postgres`: a libpq URL or keyword string. `mode="live"` reads it through DuckDB's `postgres`
      extension, always fresh; `mode="snapshot"` reads a columnar copy of `tables` (all tables when
      empty), moved on by `engine.publish()` or every `refresh` seconds.

    `max_size` is how many cursors, so how many callers at once, the instance lends; `threads` and
    `memory_limit` are DuckDB's settings of these names. Raises `ConfigurationError`.
    """

    motherduck: str | None = None
    file: str | Path | None = None
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
        sources = [n for n in ("motherduck", "file", "postgres") if getattr(self, n) is not None]
        _check(
            len(sources) == 1,
            f"a replica has exactly one source, motherduck=, file= or postgres=; got {sources}",
        )
        self._check_motherduck()
        self._check_postgres()
        _check(self.max_size >= 1, f"max_size={self.max_size}: must be at least 1")
        _check(
            self.threads is None or self.threads >= 1,
            f"threads={self.threads}: must be at least 1",
        )

    def _check_motherduck(self) -> None:
        if self.motherduck is not None:
            _check(
                bool(self.token),
                "read_scaling_token: missing; set MOTHERDUCK_READ_SCALING_TOKEN "
                "or pass read_scaling_token=",
            )
            _check(
                self.inactivity_ttl is None or _TTL.fullmatch(self.inactivity_ttl) is not None,
                f"inactivity_ttl={self.inactivity_ttl!r}: expected a duration such as '15m'",
            )
            return
        for name in ("token", "session_name", "inactivity_ttl"):
            _check(getattr(self, name) is None, f"{name}: only a replica with motherduck= takes it")

    def _check_postgres(self) -> None:
        if self.postgres is not None:
            _parse_conninfo(self.postgres)
        _check(self.mode in ("live", "snapshot"), f"mode={self.mode!r}: 'live' or 'snapshot'")
        _check(
            self.mode == "live" or self.postgres is not None,
            "mode='snapshot': only a replica with postgres= takes it",
        )
        _check(
            self.mode == "snapshot" or (not self.tables and self.refresh is None),
            "tables and refresh: only a replica with mode='snapshot' takes them",
        )
        _check(
            self.refresh is None or self.refresh > 0,
            f"refresh={self.refresh}: must be a number of seconds above 0",
        )
        _check(
            self.password is None or self.postgres is not None,
            "password: only a replica with postgres= takes it",
        )

    @property
    def secret(self) -> str | None:
        """The token or password."""
        if self.postgres is None:
            return self.token
        return self.password or _parse_conninfo(self.postgres).get("password")

    @property
    def postgres_options(self) -> dict[str, Any]:
        """The libpq keywords of a `postgres` source, without the password."""
        options = _parse_conninfo(self.postgres or "")
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
        _check(
            self.endpoint is not None or bool(self.replicas),
            "nothing to connect to: give a URL, an endpoint or replicas, or set PGMD_ENDPOINT",
        )
        check_consistency(self.consistency, self.max_staleness)
        names = [r.name for r in self.replicas]
        _check(
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
    _check(
        consistency in CONSISTENCIES,
        f"consistency={consistency!r}: expected one of {', '.join(CONSISTENCIES)}",
    )
    _check(
        max_staleness is None or max_staleness >= 0,
        f"max_staleness={max_staleness}: must be a number of seconds, 0 or more",
    )


def named(replicas: tuple[Replica, ...]) -> tuple[Replica, ...]:
    """Give every replica without a name one: `replica-1`, `replica-2`, ..."""
    return tuple(
        r if r.name else replace(r, name=f"replica-{n}") for n, r in enumerate(replicas, start=1)
    )


# ---------------------------------------------------------------- from URL, keywords, environment


def _number(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("a whole number")
    return int(value)


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("a number of seconds")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(_text(part) for part in value)


# Every setting that a keyword, a URL or PGMD_<NAME> may give.
_SETTINGS: dict[str, Any] = {
    "replicas": _number,
    "replica_mode": _text,
    "tables": _names,
    "refresh": _seconds,
    "replica_max_size": _number,
    "threads": _number,
    "memory_limit": _text,
    "region": _text,
    "host": _text,
    "token": _text,
    "read_scaling_token": _text,
    "password": _text,
    "session_name": _text,
    "inactivity_ttl": _text,
    "consistency": _text,
    "max_staleness": _seconds,
    "min_size": _number,
    "max_size": _number,
    "timeout": _seconds,
    "max_waiting": _number,
    "max_lifetime": _seconds,
    "max_idle": _seconds,
    "connect_timeout": _number,
    "application_name": _text,
}
_POOL_SETTINGS = frozenset(f.name for f in fields(Endpoint)) - {"conninfo", "password"}
_REPLICA_SETTINGS = {
    "replica_mode": "mode",
    "tables": "tables",
    "refresh": "refresh",
    "replica_max_size": "max_size",
    "threads": "threads",
    "memory_limit": "memory_limit",
    "inactivity_ttl": "inactivity_ttl",
}
_MOTHERDUCK_ONLY = ("region", "token", "read_scaling_token", "session_name", "inactivity_ttl")
# In a postgresql:// URL these are libpq's own words.
_LIBPQ_WORDS = frozenset({"host", "password", "connect_timeout", "application_name"})
_SECRET_ENVIRONMENT = {
    "token": "MOTHERDUCK_TOKEN",
    "read_scaling_token": "MOTHERDUCK_READ_SCALING_TOKEN",
}


def from_url(
    url: str | None,
    keywords: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read all settings: keywords, then the URL, then `MOTHERDUCK_*` and `PGMD_*` variables.

    Raises `ConfigurationError`.
    """
    environ = os.environ if environ is None else environ
    url = url or environ.get("PGMD_ENDPOINT")
    _check(
        bool(url),
        "nothing to connect to: give a URL such as postgresql://… or motherduck://…, "
        "or set PGMD_ENDPOINT",
    )
    assert url is not None
    scheme = _scheme(url)
    given = _environment(environ, scheme)
    if scheme == "motherduck":
        database, found = _split_motherduck(url)
    else:
        database, found = _split_postgres(url)
    given |= _merge(found, _known(keywords, "keyword"))
    build = _motherduck_settings if scheme == "motherduck" else _postgres_settings
    return build(database, given)


def _scheme(url: str) -> str:
    scheme, colon, _ = url.partition(":")
    if colon and scheme == "motherduck":
        return scheme
    if "://" not in url and "=" in url:
        # libpq's keyword form, `host=h dbname=db`.
        return "postgres"
    if colon and scheme in ("postgresql", "postgres"):
        return "postgres"
    # The URL may hold a secret: only its scheme may be shown.
    shown = scheme if colon and re.fullmatch(r"[a-z]{1,12}", scheme) else "none"
    raise ConfigurationError(
        f"URL scheme {shown!r} is not known; expected postgresql:// or motherduck://"
    )


def _environment(environ: Mapping[str, str], scheme: str) -> dict[str, Any]:
    raw = {
        name.removeprefix("PGMD_").lower(): value
        for name, value in environ.items()
        if name.startswith("PGMD_")
        and not name.startswith("PGMD_TEST_")
        and name not in ("PGMD_ENDPOINT", "PGMD_REQUIRE_CONTAINER")
    }
    if scheme == "motherduck":
        raw |= {
            setting: environ[name]
            for setting, name in _SECRET_ENVIRONMENT.items()
            if environ.get(name)
        }
    return _known(raw, "environment variable", prefix="PGMD_")


def _known(raw: Mapping[str, Any], where: str, *, prefix: str = "") -> dict[str, Any]:
    values = {}
    for name, value in raw.items():
        shown = f"{prefix}{name.upper()}" if prefix else name
        _check(name in _SETTINGS, f"unknown {where} {shown}; known: {', '.join(_SETTINGS)}")
        if value is None:
            continue
        try:
            values[name] = _SETTINGS[name](value)
        except (TypeError, ValueError):
            raise ConfigurationError(f"{where} {shown}: not a usable value") from None
    return values


def _merge(url: Mapping[str, Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    for name in url.keys() & keywords.keys():
        _check(
            url[name] == keywords[name],
            f"{name}: the URL and the keyword contradict each other; give it once",
        )
    return {**url, **keywords}


def _split_query(url: str) -> tuple[Any, list[tuple[str, str]]]:
    try:
        parts = urlsplit(url)
        return parts, parse_qsl(
            parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)
        )
    except ValueError:
        raise ConfigurationError("malformed URL: cannot be split into its parts") from None


def _split_motherduck(url: str) -> tuple[str, dict[str, Any]]:
    parts, query = _split_query(url)
    _check(
        url.startswith("motherduck://") and "@" not in parts.netloc and not parts.path.strip("/"),
        "malformed URL: expected motherduck://<database>?region=…; "
        "tokens come from the environment or from token=",
    )
    _check(
        not {name for name, _ in query} & {"token", "read_scaling_token", "password"},
        "token: must not be in a URL, which is printed and logged; "
        "set MOTHERDUCK_TOKEN or pass token=",
    )
    return unquote(parts.netloc), _known(dict(query), "URL parameter")


def _split_postgres(url: str) -> tuple[str, dict[str, Any]]:
    if "://" not in url:
        return url, {}
    parts, query = _split_query(url)
    ours = {k: v for k, v in query if k in _SETTINGS and k not in _LIBPQ_WORDS}
    rest = "&".join(
        part
        for part in parts.query.split("&")
        if part and unquote(part.partition("=")[0]) not in ours
    )
    conninfo = urlunsplit(parts._replace(query=rest))
    # urlunsplit drops an empty host, which libpq takes as "the default socket".
    if "://" not in conninfo:
        conninfo = conninfo.replace(":", "://", 1)
    return conninfo, _known(ours, "URL parameter")


def _motherduck_settings(database: str, given: dict[str, Any]) -> Settings:
    _check(
        "region" in given or "host" in given, "region: missing; add ?region=us-east-1 to the URL"
    )
    for name in ("replica_mode", "tables", "refresh", "password"):
        _check(name not in given, f"{name}: a motherduck:// URL does not take it")
    endpoint = Endpoint.motherduck(
        database,
        region=given.get("region", ""),
        token=given.get("token", ""),
        host=given.get("host"),
        session_name=given.get("session_name"),
        **_pool_settings(given),
    )
    token = given.get("read_scaling_token")
    count = given.get("replicas", 4 if token else 0)
    session = given.get("session_name")
    replicas = tuple(
        Replica(
            motherduck=database,
            token=token,
            session_name=f"{session}-{n}" if session else f"pgmd-{n}",
            **_replica_settings(given),
        )
        for n in range(1, _count(count) + 1)
    )
    return _settings(endpoint, replicas, given)


def _postgres_settings(conninfo: str, given: dict[str, Any]) -> Settings:
    for name in _MOTHERDUCK_ONLY:
        _check(name not in given, f"{name}: a postgresql:// URL does not take it")
    _check("host" not in given, "host: a postgresql:// URL has one already")
    password = given.get("password")
    endpoint = Endpoint(conninfo, password=password, **_pool_settings(given))
    count = _count(given.get("replicas", 0))
    options = _replica_settings(given)
    _check(
        count > 0 or not options,
        f"{', '.join(sorted(options))}: there are no replicas to apply it to; give replicas=",
    )
    replicas = tuple(Replica(postgres=conninfo, password=password, **options) for _ in range(count))
    return _settings(endpoint, replicas, given)


def _settings(endpoint: Endpoint, replicas: tuple[Replica, ...], given: dict[str, Any]) -> Settings:
    return Settings(
        endpoint,
        named(replicas),
        consistency=given.get("consistency", "session"),
        max_staleness=given.get("max_staleness"),
    )


def _count(replicas: int) -> int:
    _check(0 <= replicas <= 64, f"replicas={replicas}: must be between 0 and 64")
    return replicas


def _pool_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in given.items() if k in _POOL_SETTINGS}


def _replica_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    return {_REPLICA_SETTINGS[k]: v for k, v in given.items() if k in _REPLICA_SETTINGS}


# --------------------------------------------------------------------------------- libpq's strings


def _parse_conninfo(conninfo: str) -> dict[str, Any]:
    try:
        options: dict[str, Any] = dict(libpq.conninfo_to_dict(conninfo))
    except psycopg.ProgrammingError as error:
        # libpq quotes the part that it could not read, which may be a piece of the password.
        word = re.search(r'invalid (?:URI query parameter:|connection option) "(\w+)"', str(error))
        what = f"unknown connection option {word[1]!r}" if word else "malformed URL or conninfo"
        raise ConfigurationError(f"{what}: libpq cannot read it") from None
    # libpq takes any text for a port and complains only when it connects.
    ports = str(options.get("port") or "").split(",")
    _check(all(p.isdigit() or not p for p in ports), "malformed URL: the port is not a number")
    return options


def _is_motherduck(options: Mapping[str, Any]) -> bool:
    hosts = str(options.get("host") or "").lower().split(",")
    return any(host.rstrip(".").endswith(MOTHERDUCK_DOMAIN) for host in hosts)


def _check_tls(options: Mapping[str, Any]) -> None:
    mode = options.get("sslmode")
    _check(
        not _is_motherduck(options) or mode not in _PLAINTEXT_MODES,
        f"sslmode={mode}: could send the token in plain text; "
        "leave it out (verify-full) or use 'require'",
    )


def _motherduck_tls() -> dict[str, str]:
    if psycopg.pq.version() >= 160000:
        return {"sslmode": "verify-full", "sslrootcert": "system"}
    # libpq before 16 does not know the word `system`.
    spec = importlib.util.find_spec("certifi")
    _check(
        spec is not None and spec.origin is not None,
        "sslrootcert: this libpq is older than 16; install psycopg[binary] or certifi",
    )
    assert spec is not None
    assert spec.origin is not None
    return {"sslmode": "verify-full", "sslrootcert": str(Path(spec.origin).with_name("cacert.pem"))}


def _escape_option(value: str) -> str:
    return re.sub(r"([\\\s])", r"\\\1", value)
