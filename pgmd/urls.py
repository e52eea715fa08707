"""Settings from a URL, keywords and the environment.

A setting comes from a keyword, from the URL or from the environment, in this order. Whatever is
unknown or contradictory is a `ConfigurationError` that names it, and never shows its value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from psycopg.conninfo import make_conninfo

from .errors import ConfigurationError
from .replicas.kinds import Replica
from .settings.checks import require
from .settings.conninfo import is_motherduck, motherduck_conninfo
from .settings.endpoint import Endpoint
from .settings.engine import Database, Settings, named
from .settings.replica import AnyReplica
from .settings.secret import Secret


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


def _secret(value: Any) -> Secret:
    return value if isinstance(value, Secret) else Secret(_text(value))


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
    "token": _secret,
    "read_scaling_token": _secret,
    "password": _secret,
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
    "endpoint_spill": _number,
    "open_timeout": _seconds,
    "replica_max_lifetime": _seconds,
    "replica_min_size": _number,
    "replica_max_idle": _seconds,
}
_POOL_SETTINGS = frozenset(f.name for f in fields(Endpoint)) - {
    "conninfo",
    "password",
    "file",
    "file_options",
}
_REPLICA_SETTINGS = {
    "replica_mode": "mode",
    "tables": "tables",
    "refresh": "refresh",
    "replica_max_size": "max_size",
    "threads": "threads",
    "memory_limit": "memory_limit",
    "inactivity_ttl": "inactivity_ttl",
    "open_timeout": "open_timeout",
    "replica_max_lifetime": "max_lifetime",
    "replica_min_size": "min_size",
    "replica_max_idle": "max_idle",
}
_Split = Callable[[str], tuple[str, dict[str, Any]]]
_Build = Callable[[str, dict[str, Any]], Settings]
_LOCAL_REPLICAS = 2
_MOTHERDUCK_ONLY = ("region", "token", "read_scaling_token", "session_name", "inactivity_ttl")
# In a postgresql:// URL these are libpq's own words.
_LIBPQ_WORDS = frozenset({"host", "password", "connect_timeout", "application_name"})
# Those that are no libpq keywords.
ENGINE_WORDS = frozenset(_SETTINGS) - _LIBPQ_WORDS
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
    require(
        bool(url),
        "nothing to connect to: give a URL such as postgresql://…, motherduck://… or "
        "local:./app.duckdb, or set PGMD_ENDPOINT",
    )
    assert url is not None
    scheme = _scheme(url)
    given = _environment(environ, scheme)
    split, build = _SCHEMES[scheme]
    target, found = split(url)
    given |= _merge(found, _known(keywords, "keyword"))
    return build(target, given)


def from_params(params: Mapping[str, Any], keywords: Mapping[str, Any]) -> Settings:
    """The settings for the server to which these libpq keywords lead; see `from_url()`."""
    if not is_motherduck(params):
        return from_url(make_conninfo(**params), keywords)
    given = {"host": params["host"], "token": params.get("password"), **keywords}
    return from_url(f"motherduck://{params.get('dbname', '')}", given)


def _scheme(url: str) -> str:
    scheme, colon, _ = url.partition(":")
    if colon and scheme in ("motherduck", "local"):
        return scheme
    if "://" not in url and "=" in url:
        # libpq's keyword form, `host=h dbname=db`.
        return "postgres"
    if colon and scheme in ("postgresql", "postgres"):
        return "postgres"
    # The URL may hold a secret: only its scheme may be shown.
    shown = scheme if colon and re.fullmatch(r"[a-z]{1,12}", scheme) else "none"
    raise ConfigurationError(
        f"URL scheme {shown!r} is not known; expected postgresql://, motherduck:// or local:"
    )


def _environment(environ: Mapping[str, str], scheme: str) -> dict[str, Any]:
    raw = {
        name.removeprefix("PGMD_").lower(): value
        for name, value in environ.items()
        if name.startswith("PGMD_")
        and not name.startswith("PGMD_TEST_")
        and name not in ("PGMD_ENDPOINT", "PGMD_REQUIRE_CONTAINER", "PGMD_ROUTE_READS")
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
        require(name in _SETTINGS, f"unknown {where} {shown}; known: {', '.join(_SETTINGS)}")
        if value is None:
            continue
        try:
            values[name] = _SETTINGS[name](value)
        except (TypeError, ValueError):
            raise ConfigurationError(f"{where} {shown}: not a usable value") from None
    return values


def _merge(url: Mapping[str, Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    for name in url.keys() & keywords.keys():
        require(
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
    require(
        url.startswith("motherduck://") and "@" not in parts.netloc and not parts.path.strip("/"),
        "malformed URL: expected motherduck://<database>?region=…; "
        "tokens come from the environment or from token=",
    )
    require(
        not {name for name, _ in query} & {"token", "read_scaling_token", "password"},
        "token: must not be in a URL, which is printed and logged; "
        "set MOTHERDUCK_TOKEN or pass token=",
    )
    return unquote(parts.netloc), _known(dict(query), "URL parameter")


def _split_local(url: str) -> tuple[str, dict[str, Any]]:
    parts, query = _split_query(url)
    path = unquote(parts.path)
    require(
        bool(path) and not parts.netloc and not path.startswith(":") and not path.endswith("/"),
        "malformed URL: expected local:<file>, such as local:./app.duckdb",
    )
    return path, _known(dict(query), "URL parameter")


def _split_postgres(url: str) -> tuple[str, dict[str, Any]]:
    if "://" not in url:
        return url, {}
    parts, query = _split_query(url)
    ours = {k: v for k, v in query if k in ENGINE_WORDS}
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


def _motherduck_settings(databases: str, given: dict[str, Any]) -> Settings:
    require(
        "region" in given or "host" in given, "region: missing; add ?region=us-east-1 to the URL"
    )
    for name in ("tables", "refresh", "password"):
        require(name not in given, f"{name}: a motherduck:// URL does not take it")
    names = databases.split(",")
    if len(names) == 1:
        one = _motherduck(databases, given)
        return _settings(one.endpoint, tuple(one.replicas), given)
    require(
        all(names) and len(set(names)) == len(names),
        "malformed URL: of several databases each has a name of its own",
    )
    return _settings(None, (), given, {name: _motherduck(name, given) for name in names})


def _motherduck(database: str, given: dict[str, Any]) -> Database:
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
    session = given.get("session_name") or "pgmd"
    options = _replica_settings(given)
    mode = options.pop("mode", "duckdb")
    region, host = given.get("region", ""), given.get("host")
    sources: dict[str, dict[str, Any]] = {
        "duckdb": {"motherduck": database},
        "wire": {"wire": motherduck_conninfo(database, region=region, host=host)},
    }
    require(mode in sources, f"replica_mode={mode!r}: 'duckdb' or 'wire'")
    replicas = tuple(
        Replica(**sources[mode], token=token, session_name=f"{session}-{n}", **options)
        for n in range(1, _count(count) + 1)
    )
    return Database(endpoint, replicas)


def _postgres_settings(conninfo: str, given: dict[str, Any]) -> Settings:
    for name in _MOTHERDUCK_ONLY:
        require(name not in given, f"{name}: a postgresql:// URL does not take it")
    require("host" not in given, "host: a postgresql:// URL has one already")
    password = given.get("password")
    endpoint = Endpoint(conninfo, password=password, **_pool_settings(given))
    count = _count(given.get("replicas", 0))
    options = _replica_settings(given)
    require(
        count > 0 or not options,
        f"{', '.join(sorted(options))}: there are no replicas to apply it to; give replicas=",
    )
    replicas = tuple(Replica(postgres=conninfo, password=password, **options) for _ in range(count))
    return _settings(endpoint, replicas, given)


def _local_settings(path: str, given: dict[str, Any]) -> Settings:
    for name in (*_MOTHERDUCK_ONLY, "host", "replica_mode", "tables"):
        require(name not in given, f"{name}: a local: URL does not take it")
    endpoint = Endpoint(file=path, password=given.get("password"), **_pool_settings(given))
    count = _count(given.get("replicas", _LOCAL_REPLICAS))
    replicas = tuple(Replica(local=path, **_replica_settings(given)) for _ in range(count))
    return _settings(endpoint, replicas, given)


_SCHEMES: dict[str, tuple[_Split, _Build]] = {
    "motherduck": (_split_motherduck, _motherduck_settings),
    "local": (_split_local, _local_settings),
    "postgres": (_split_postgres, _postgres_settings),
}


def _settings(
    endpoint: Endpoint | None,
    replicas: tuple[AnyReplica, ...],
    given: dict[str, Any],
    databases: Mapping[str, Database] | None = None,
) -> Settings:
    return Settings(
        endpoint,
        named(replicas),
        consistency=given.get("consistency", "session"),
        max_staleness=given.get("max_staleness"),
        endpoint_spill=given.get("endpoint_spill"),
        databases=databases or {},
    )


def _count(replicas: int) -> int:
    require(0 <= replicas <= 64, f"replicas={replicas}: must be between 0 and 64")
    return replicas


def _pool_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in given.items() if k in _POOL_SETTINGS}


def _replica_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    return {_REPLICA_SETTINGS[k]: v for k, v in given.items() if k in _REPLICA_SETTINGS}
