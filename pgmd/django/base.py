"""Django's PostgreSQL backend, with MotherDuck's quirks mended and reads routed; no routers needed.

    DATABASES = {"default": {"ENGINE": "pgmd.django", "NAME": "app", "OPTIONS": {"replicas": 2}}}

OPTIONS takes what Django's own backend takes, and

* `engine`: an open `pgmd.Engine`, a function that returns one, or the dotted path of either;
* or `replicas` and what else `pgmd.connect()` knows (`replica_mode`, `tables`, `consistency` ...):
  an engine of the backend's own, which the first connection opens;
* `route_reads` and `lazy`, as `pgmd.psycopg.connect()` has them.

Reads in autocommit mode, Django's default outside of `atomic()`, run on replicas. iterator() has a
cursor on the server, and is not routed, unless DISABLE_SERVER_SIDE_CURSORS is set.

On a DuckDB endpoint such as MotherDuck's, queries, writes and `atomic()` work on tables that are
there: create them in SQL, with a sequence for the key. It has no identity columns and no
constraints that are added later, so no migrations; no savepoints, so that an inner `atomic()` that
fails takes the outer one with it; no row locks, so that select_for_update() is left out; no jsonb,
so no JSONField. Where Django's time zone is not the server's, reads stay on the endpoint.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping
from typing import Any

import django.db.backends.postgresql.base as theirs
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.db.backends.base.base import NO_DB_ALIAS
from django.utils.module_loading import import_string
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format

from .. import psycopg
from .._sync.dropin.attached import address_of
from .._sync.engine import Engine, engine_of
from ..dropin.identity import PLAIN, Identity, identity
from ..servers.profile import Profile
from ..settings.conninfo import is_motherduck
from ..urls import ENGINE_WORDS, from_params
from .features import DatabaseFeatures
from .operations import DUCKDB_OPERATORS, DUCKDB_PATTERNS, DatabaseOperations

_SELECT_1 = "/*+ pgmd: endpoint */ SELECT 1"


class DatabaseWrapper(theirs.DatabaseWrapper):  # type: ignore[misc]
    """A connection to one of DATABASES, in one thread."""

    Database = psycopg
    features_class = DatabaseFeatures
    ops_class = DatabaseOperations
    # Whether connections may be in a time zone that is not the settings' any more.
    _has_moved = False
    _profile: Profile | None = None

    def __init__(self, settings_dict: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__({**settings_dict, "OPTIONS": _options(settings_dict)}, *args, **kwargs)

    # --------------------------------------------------------------------------- connecting

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        engine = params.pop("engine", None)
        settings = {name: params.pop(name) for name in ENGINE_WORDS & params.keys()}
        params["context"] = self._context(params["context"])
        if self.alias == NO_DB_ALIAS:
            return params
        if engine is not None:
            if settings:
                raise ImproperlyConfigured(
                    f"OPTIONS: {', '.join(sorted(settings))} describe an engine of the backend's "
                    "own, and engine is another; give one of the two"
                )
            return self._with_given(params, engine)
        if settings or os.environ.get("PGMD_REPLICAS", "0") != "0":
            return self._with_own(params, settings)
        return params

    def _with_given(self, params: dict[str, Any], engine: Any) -> dict[str, Any]:
        engine = import_string(engine) if isinstance(engine, str) else engine
        engine = engine if isinstance(engine, Engine) else engine()
        profile = engine._core.profile
        if profile.takes_options and profile.time_zone != self.timezone_name:
            raise ImproperlyConfigured(
                f"OPTIONS: the engine's endpoint is in the time zone {profile.time_zone!r}, "
                f"Django's connections in {self.timezone_name!r}: open the engine with "
                f"options='-c TimeZone={self.timezone_name}' in its conninfo"
            )
        known = address_of(engine)
        kept = {"options": known["options"]} if known.get("options") else {}
        return {**kept, **params, "engine": engine}

    def _with_own(self, params: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        if not is_motherduck(params):
            # A setting made later would keep every read on the endpoint.
            zone = f"-c TimeZone={self.timezone_name}"
            params["options"] = f"{params.get('options', '')} {zone}".strip()
        return {**params, "engine": _own_engine(self.alias, _address(params), settings)}

    def _context(self, template: AdaptersMap) -> AdaptersMap:
        """Django's adapters, but psycopg's own for a time where both are the same: a replica's
        answer is not for an adapter of another's."""
        if self.timezone is None:
            return template
        context = AdaptersMap(template)
        for form in (Format.TEXT, Format.BINARY):
            loader = psycopg.adapters.get_loader(theirs.TIMESTAMPTZ_OID, form)
            if loader is not None:
                context.register_loader(theirs.TIMESTAMPTZ_OID, loader)
        return context

    def ensure_timezone(self) -> bool:
        self._has_moved = True
        return bool(super().ensure_timezone())

    def _configure_timezone(self, connection: Any) -> bool:
        profile = connection.pgmd.profile
        is_there = profile.time_zone == self.timezone_name and not self._has_moved
        if is_there and (connection._is_unopened or not profile.takes_options):
            return False
        if profile.takes_options:
            return bool(super()._configure_timezone(connection))
        # It keeps this connection's reads on the endpoint.
        with connection.cursor() as cursor:
            cursor.execute(self.ops.compose_sql("SET TimeZone = %s", [self.timezone_name]))
        return True

    @property
    def profile(self) -> Profile:
        """What the server can do."""
        if self._profile is None:
            try:
                with self.temporary_connection():
                    self._profile = self.connection.pgmd.profile
            except (OperationalError, AssertionError):
                # Only SQL is wanted; no server is there, or a SimpleTestCase forbids it.
                return PLAIN
        return self._profile

    # ------------------------------------------------------------------------------ cursors

    def create_cursor(self, name: str | None = None) -> Any:
        if self.timezone is None:
            return super().create_cursor(name)
        if not name:
            return self.connection.cursor()
        settings = {"scrollable": False, "withhold": self.connection.autocommit}
        if self.settings_dict["OPTIONS"].get("server_side_binding") is True:
            return self.connection.cursor(name, **settings)
        return theirs.ServerSideCursor(self.connection, name=name, **settings)

    def chunked_cursor(self) -> Any:
        if self.profile.has_named_cursors:
            return super().chunked_cursor()
        return self.cursor()

    def is_usable(self) -> bool:
        if self.connection is None or self.connection.closed:
            return False
        if self.connection._is_unopened:
            return True
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(_SELECT_1)
        except psycopg.Error:
            return False
        return True

    # ------------------------------------------------------------------------------ DuckDB's SQL

    @property
    def operators(self) -> Mapping[str, str]:
        if not self.profile.escapes_in_patterns:
            return DUCKDB_OPERATORS
        found: Mapping[str, str] = super().operators
        return found

    @property
    def pattern_ops(self) -> Mapping[str, str]:
        if not self.profile.escapes_in_patterns:
            return DUCKDB_PATTERNS
        found: Mapping[str, str] = super().pattern_ops
        return found

    # -------------------------------------------------------------------------------- closing

    def close_pool(self) -> None:
        super().close_pool()
        if self.connection is None:
            _close_engines(self.alias)


def _options(settings_dict: Mapping[str, Any]) -> dict[str, Any]:
    """OPTIONS, with a pool of our connections."""
    options = dict(settings_dict.get("OPTIONS") or {})
    pool = options.get("pool")
    if pool:
        given = {} if pool is True else pool
        options["pool"] = {"connection_class": psycopg.Connection, **given}
    return options


# ------------------------------------------------------------------- engines of the backend's own

_Key = tuple[int, str, Identity]
_engines: dict[_Key, Engine] = {}
_opening = threading.Lock()


def _address(params: Mapping[str, Any]) -> dict[str, Any]:
    """What libpq connects with, of what psycopg does."""
    ours = {"context", "cursor_factory", "prepare_threshold", "route_reads", "lazy"}
    return {name: value for name, value in params.items() if name not in ours}


def _own_engine(alias: str, address: dict[str, Any], settings: dict[str, Any]) -> Engine:
    key = os.getpid(), alias, identity(address)
    with _opening:
        if key not in _engines:
            engine = engine_of(from_params(address, settings))
            engine.open()
            _engines[key] = engine
        return _engines[key]


def _close_engines(alias: str | None = None) -> None:
    """Close this process's engines, those of one *alias* or all."""
    with _opening:
        keys = [key for key in _engines if key[0] == os.getpid() and alias in (None, key[1])]
        engines = [_engines.pop(key) for key in keys]
    for engine in engines:
        engine.close()


atexit.register(_close_engines)
