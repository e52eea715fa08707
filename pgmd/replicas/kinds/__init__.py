"""The kinds of replicas. Each is a module here, which says all that sets it apart, and what
`Replica` takes for it is inherited: the bases of `Replica` are the table of kinds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from ...settings.checks import require
from ...settings.replica import AnyReplica
from ..members import Kind
from . import ducklake, file, local, motherduck, postgres, wire


@dataclass(frozen=True, kw_only=True, repr=False)
class Replica(
    motherduck.MotherDuck,
    file.File,
    local.Local,
    wire.OverWire,
    postgres.Postgres,
    ducklake.DuckLake,
):
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
    - `ducklake`: the catalogue of a DuckLake as in `ATTACH 'ducklake:…'`, a DuckDB file,
      `sqlite:<file>` or `postgres:<conninfo>`; its data are in a folder, `data_path` if it is
      another one now. What is read is the lake's newest snapshot, moved on by `engine.publish()`
      or every `refresh` seconds.

    `max_size` is how many cursors or connections, so how many callers at once, it lends;
    `threads` and `memory_limit` are DuckDB's settings of these names. Raises `ConfigurationError`.

    Times are in seconds. An instance that has not opened after `open_timeout` counts as failed. It
    is replaced by a new one before it is `max_lifetime` old; MotherDuck asks for that within 24
    hours. With `min_size=0` it is closed after `max_idle` without use, so that a duckling can
    sleep, and opened again when it is wanted.

    A `token` may be a function that returns it, called in a thread each time a replica is opened
    and from time to time: when it returns another one the replica is replaced.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        known = _listed(f"{name}=" for name in _SOURCES)
        require(len(given) == 1, f"a replica has exactly one source, {known}; got {given}")
        kind = kind_of(self)
        for name in _OF_SOME - kind.takes:
            takers = _listed(kind.said for kind in KINDS if name in kind.takes)
            require(
                getattr(self, name) == _DEFAULTS[name],
                f"{name}: only a replica with {takers} takes it",
            )
        kind.check(self)

    def __repr__(self) -> str:
        given = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.repr and getattr(self, f.name) != f.default
        }
        return f"Replica({', '.join(f'{name}={value!r}' for name, value in given.items())})"


def _kinds_of(settings: type[Any]) -> tuple[Kind[Any], ...]:
    return settings.kinds  # type: ignore[no-any-return]


KINDS = tuple(kind for base in Replica.__bases__ for kind in _kinds_of(base))
_SOURCES = tuple(dict.fromkeys(kind.source for kind in KINDS))
_OF_SOME = frozenset[str]().union(*(kind.takes for kind in KINDS))
_DEFAULTS = {f.name: f.default for f in fields(Replica)}


def kind_of(replica: AnyReplica) -> Kind[Any]:
    """The kind of a replica with these settings."""
    return next(
        kind
        for kind in KINDS
        if getattr(replica, kind.source) is not None and kind.is_meant(replica)
    )


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
