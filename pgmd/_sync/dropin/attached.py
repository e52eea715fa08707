# Generated from pgmd/_async/dropin/attached.py by pgmd._tools.unasync. Do not edit.
"""The engines for connections of the drop-in that name none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from ...dropin.identity import Identity, identity
from ...errors import ConfigurationError
from ...runtime import threads as runtime
from ...urls import from_params
from ..engine import Engine, engine_of


class Engines:
    """The engines for connections that name none: the one that is attached, or those that
    PGMD_REPLICAS has made."""

    def __init__(self) -> None:
        self._attached: Engine | None = None
        self._homes: WeakKeyDictionary[Any, dict[tuple[int, Identity], Engine]]
        self._homes = WeakKeyDictionary()
        self._lock = runtime.Lock()

    def attach(self, engine: Engine) -> None:
        """Have *engine* serve all new connections to its endpoint. It stays the caller's."""
        core = engine._core
        core.check_open()
        if core.endpoint is None:
            raise ConfigurationError("an engine needs an endpoint to be attached")
        self._attached = engine

    def forget(self) -> None:
        """Have no engine serve new connections any more."""
        self._attached = None

    def detach(self) -> None:
        """As `forget()`, and close those that PGMD_REPLICAS has made."""
        self.forget()
        for engine in self._homes.pop(runtime.home(), {}).values():
            engine.close()

    def serving(self, params: Mapping[str, Any], given: Engine | None) -> Engine | None:
        """The engine for a connection with these libpq keywords, if there is one."""
        if given is not None:
            given._core.check_open()
            if not _serves(given, params):
                raise ConfigurationError(
                    "engine: its endpoint is another than the connection's (host, port, dbname, "
                    "user or options differ)"
                )
            return given
        if self._attached is not None:
            return self._attached if _serves(self._attached, params) else None
        if os.environ.get("PGMD_REPLICAS", "0") == "0":
            return None
        with self._lock:
            return self._made(params)

    def _made(self, params: Mapping[str, Any]) -> Engine:
        engines = self._homes.setdefault(runtime.home(), {})
        key = os.getpid(), identity(params)
        known = engines.get(key)
        if known is None:
            known = engine_of(from_params(params, {}))
            known.open()
            engines[key] = known
        return known


def address_of(engine: Engine) -> Mapping[str, Any]:
    """The libpq keywords of an engine's endpoint, with its password; none where it has none."""
    endpoint = engine._core.endpoint
    return {} if endpoint is None else endpoint.params


def _serves(engine: Engine, params: Mapping[str, Any]) -> bool:
    endpoint = engine._core.endpoint
    if endpoint is None:
        return False
    ours = endpoint.options
    return identity(ours) == identity(params)


engines = Engines()
