# Generated from pgmd/_async/engine.py by pgmd._tools.unasync. Do not edit.
"""An engine: owns the endpoint pool and the replicas, and hands out sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, overload

from psycopg.rows import BaseRowFactory
from typing_extensions import TypeVar

from ..errors import UsageError
from ..events import Listener
from ..replicas.kinds import Replica
from ..routing.freshness import Bookmark
from ..runtime import threads as runtime
from ..settings.endpoint import Endpoint
from ..settings.engine import Consistency, Database, Settings, check_consistency, named
from ..urls import from_url
from .asking import Asking
from .choosing import Needs
from .core import Core
from .fanout.across import Across
from .session import Session
from .state import SessionState

Other = TypeVar("Other")


class Engine:
    """The process-wide owner of connections: one endpoint pool, one set of replicas.

    Made once and shared by all tasks. `with` opens and closes it. Without replicas it is a
    psycopg pool, without an endpoint a DuckDB replica pool. Raises `ConfigurationError`.
    """

    def __init__(
        self,
        endpoint: Endpoint | None = None,
        replicas: Sequence[Replica] = (),
        *,
        consistency: Consistency = "session",
        max_staleness: float | None = None,
        endpoint_spill: int | None = None,
        databases: Mapping[str, Database] | None = None,
    ) -> None:
        """With *databases*, by name, `session(database=)` chooses one of these and `across()` many;
        the endpoint and replicas, if any, are then of a database without a name.

        *endpoint_spill* is how many reads at once may run on the endpoint because no replica
        serves, by default half of its connections; more wait, and get PoolTimeout."""
        self._own(
            Settings(
                endpoint,
                named(tuple(replicas)),
                consistency,
                max_staleness,
                endpoint_spill,
                databases or {},
            )
        )

    def _own(self, settings: Settings) -> None:
        self._core = Core(settings)
        self._cores = {
            name: Core(_alone(settings, each), name) for name, each in settings.databases.items()
        }

    # --------------------------------------------------------------------------- life cycle

    def open(self) -> None:
        """Connect: return when the endpoint answers and one replica is open, or none could be.

        Does nothing when open already. Raises psycopg.OperationalError when the endpoint cannot be
        reached or refuses, and `ReplicaError` when there is no endpoint and no replica opens.
        Replicas that cannot be opened beside an endpoint are logged, counted in `stats()` and tried
        again in the background; the endpoint then serves. `wait()` waits for all of them.
        """
        for result in runtime.run_all(core.open for core in self._cores.values()):
            if isinstance(result, BaseException):
                self._close()
                raise result
        try:
            self._core.open()
        except BaseException:
            self._close()
            raise

    def wait(self, timeout: float = 30.0) -> None:
        """Wait until every replica is open. Raises `PoolTimeout` after *timeout* seconds, or when
        some could not be opened, with the reasons; they are tried again all the same."""
        for core in self._every():
            core.replicas.wait(timeout)

    def recycle(self) -> None:
        """Replace every replica by a new instance, one after the other.

        What runs on an old one ends there; no statement fails or waits for it. Raises
        `ReplicaError` when one cannot be opened anew: it and those after it serve on as they are.
        """
        for core in self._every():
            core.replicas.recycle()

    def close(self) -> None:
        """Close all connections. Callers that wait get PoolClosed, sessions a UsageError.

        In a forked child it leaves the parent's connections alone.
        """
        self._core.close()
        self._close()

    def _close(self) -> None:
        for core in self._cores.values():
            core.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _every(self) -> Iterable[Core]:
        self._core.check_open()
        return (self._core, *self._cores.values())

    # ----------------------------------------------------------------------------- sessions

    @overload
    def session(
        self,
        *,
        database: str | None = None,
        user: str | None = None,
        after: Bookmark | str | None = None,
        consistency: Consistency | None = None,
        max_staleness: float | None = None,
    ) -> Session[tuple[Any, ...]]: ...

    @overload
    def session(
        self,
        *,
        database: str | None = None,
        user: str | None = None,
        after: Bookmark | str | None = None,
        consistency: Consistency | None = None,
        max_staleness: float | None = None,
        row_factory: BaseRowFactory[Other],
    ) -> Session[Other]: ...

    def session(
        self,
        *,
        database: str | None = None,
        user: str | None = None,
        after: Bookmark | str | None = None,
        consistency: Consistency | None = None,
        max_staleness: float | None = None,
        row_factory: BaseRowFactory[Any] | None = None,
    ) -> Session[Any]:
        """A new session, in the *database* of this name where there are several.

        It continues from the bookmark *after*, of this engine or another.
        Sessions of one *user* prefer one replica, as long as it is free and fresh enough.

        *consistency* and *max_staleness* (seconds) are the engine's unless given. Raises
        `ConfigurationError` for a level that does not exist, ValueError for what is no bookmark.
        """
        core = self._core if database is None else self._in(database)
        self._core.check_open()
        if core.endpoint is None and not core.settings.replicas:
            raise UsageError(f"database: say which of {', '.join(self._cores)}")
        level = consistency or core.settings.consistency
        bound = core.settings.max_staleness if max_staleness is None else max_staleness
        check_consistency(level, bound)
        bookmark = Bookmark.parse(after) if isinstance(after, str) else after
        state = SessionState(core.log.floor(bookmark))
        return Session(Asking(core, Needs(user, level, bound, row_factory), state))

    def across(
        self,
        databases: Iterable[str] | None = None,
        *,
        user: str | None = None,
        consistency: Consistency | None = None,
        max_staleness: float | None = None,
    ) -> Across:
        """The databases of these names, or all that have one: `across().execute(...)` runs the
        same statement in each. Raises `UsageError` for a name that is not known."""
        self._core.check_open()
        names = self._cores if databases is None else databases
        return Across(
            [
                self.session(
                    database=name,
                    user=user,
                    consistency=consistency,
                    max_staleness=max_staleness,
                )._asking
                for name in names
            ]
        )

    def _in(self, database: str) -> Core:
        found = self._cores.get(database)
        if found is None:
            known = ", ".join(self._cores) or "this engine has one, without a name"
            raise UsageError(f"database={database!r}: not known; {known}")
        return found

    # ------------------------------------------------------------------------------ operating

    def publish(self) -> None:
        """Make all writes that are acknowledged by now visible to every replica.

        Calls at the same time share one round: a snapshot blocks writers, so never call this for
        each request. Live replicas need nothing. Raises `NotSupportedError` for a replica that
        pgmd cannot move on, `ReplicaError` or psycopg's errors when a step fails.
        """
        for core in self._every():
            core.publish()

    def on_statement(self, listener: Listener) -> Callable[[], None]:
        """Have *listener* called with the `Event` of each statement that has ended, of sessions,
        fan-outs and drop-in connections, in the thread or task that ran it; what is returned
        undoes that. What it raises is logged and goes no further."""
        undo = [core.events.add(listener) for core in (self._core, *self._cores.values())]

        def remove() -> None:
            for each in undo:
                each()

        return remove

    def stats(self) -> dict[str, Any]:
        """Counters: `endpoint` and `replicas` as psycopg_pool names them, `routed` by reason; and
        those of each of several `databases`."""
        each = {name: core.stats() for name, core in self._cores.items()}
        return {**self._core.stats(), **({"databases": each} if each else {})}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._core!r}>"


def engine_of(settings: Settings) -> Engine:
    """An engine with these settings, for all their databases; not yet open."""
    engine = Engine.__new__(Engine)
    engine._own(settings)
    return engine


def _alone(settings: Settings, database: Database) -> Settings:
    """The settings of one database of several."""
    return replace(
        settings, endpoint=database.endpoint, replicas=tuple(database.replicas), databases={}
    )


def connect(
    url: str | None = None, *, environ: Mapping[str, str] | None = None, **settings: Any
) -> Engine:
    """Make an engine from a URL, keywords and environment variables, and open it.

    `postgresql://user@host/db` with `replicas=2` reads any Postgres through DuckDB;
    `motherduck://database?region=us-east-1` takes its tokens from the environment, and
    `motherduck://one,two?region=us-east-1` names several databases. Without a URL, PGMD_ENDPOINT
    has it. Raises `ConfigurationError`, or what `open()` raises.
    """
    read = from_url(url, settings, environ)
    engine = engine_of(read)
    engine.open()
    return engine
