"""An engine: owns the endpoint pool and the replicas, and hands out sessions."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal, Self, overload
from zoneinfo import ZoneInfo

import psycopg
from psycopg import AsyncCursor
from psycopg.rows import BaseRowFactory
from typing_extensions import TypeVar

from ..answers.result import Column
from ..answers.shape import (
    NotBound,
    NotDescribed,
    Reading,
    Together,
    asking_for_parameters,
    asking_for_types,
    describing,
    may_be_nested,
    with_nested,
)
from ..errors import ParityError, UsageError
from ..knowledge import Knowledge
from ..parity import Inexact, dump, from_endpoint, is_untyped, is_write_refusal
from ..process.cache import Cache
from ..process.clock import now
from ..replicas.duck import DuckError
from ..replicas.members import Member, moves_on
from ..replicas.plans import publish_statement, published_as
from ..request import Params, Request
from ..routing.decision import Decision, Reason, Route
from ..routing.freshness import Bookmark, Freshness, WriteLog
from ..routing.router import Site
from ..runtime import aio as runtime
from ..servers.coping import check_sendable
from ..servers.profile import Dialect, Profile
from ..settings.config import (
    Consistency,
    Database,
    Endpoint,
    Replica,
    Settings,
    check_consistency,
    named,
)
from ..settings.redact import Redactor
from ..settings.urls import from_url
from ..sql import Statement, analyse
from .fanout.across import AsyncAcross
from .replicas.set import AsyncReplicaSet
from .replicas.slots import AsyncSlots
from .session import AsyncSession
from .sides.endpoint import AsyncEndpointPool, AsyncPooled

Other = TypeVar("Other")

_log = logging.getLogger("pgmd.route")

# How often (seconds) live replicas look for schema changes made elsewhere.
_REREAD_EVERY = 30.0


class AsyncEngine:
    """The process-wide owner of connections: one endpoint pool, one set of replicas.

    Made once and shared by all tasks. `async with` opens and closes it. Without replicas it is a
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
        self._make(
            Settings(
                endpoint,
                named(tuple(replicas)),
                consistency,
                max_staleness,
                endpoint_spill,
                databases or {},
            )
        )

    @classmethod
    def of(cls, settings: Settings, database: str = "") -> Self:
        """An engine with these settings, for all databases or for the one of this name."""
        engine = cls.__new__(cls)
        engine._make(settings, database)
        return engine

    def _make(self, settings: Settings, database: str = "") -> None:
        endpoint = settings.endpoint
        timeout = endpoint.timeout if endpoint is not None else 30.0
        self.settings = settings
        self.database = database
        self._databases = {
            name: AsyncEngine.of(
                replace(
                    settings,
                    endpoint=each.endpoint,
                    replicas=tuple(each.replicas),
                    databases={},
                ),
                name,
            )
            for name, each in settings.databases.items()
        }
        self.redact = Redactor(self.settings.secrets)
        self.log = WriteLog(runtime.Guard())
        self.endpoint = AsyncEndpointPool(endpoint, self.redact) if endpoint is not None else None
        self.replicas = AsyncReplicaSet(
            self.settings.replicas,
            self.redact,
            self._survey,
            timeout=timeout,
            max_waiting=endpoint.max_waiting if endpoint is not None else 0,
            has_endpoint=endpoint is not None,
        )
        self._state: Literal["new", "open", "closed"] = "new"
        self._pid = 0
        self._routed: Counter[tuple[Route, Reason]] = Counter()
        self._counting = runtime.Guard()
        self._surveying = runtime.Guard()
        self._spilling: AsyncSlots[str] = AsyncSlots(
            _nothing,
            timeout=timeout,
            max_waiting=0,
            what="replica serves, and no place on the endpoint in its stead",
            advice="see stats() and the log of pgmd.replica, raise endpoint_spill",
        )
        self._learned: Knowledge | None = None
        self._tickers: list[runtime.Ticker] = []
        self._rounds_begun = 0
        self._rounds_done = 0

    # --------------------------------------------------------------------------- life cycle

    async def open(self) -> None:
        """Connect: return when the endpoint answers and one replica is open, or none could be.

        Does nothing when open already. Raises psycopg.OperationalError when the endpoint cannot be
        reached or refuses, and `ReplicaError` when there is no endpoint and no replica opens.
        Replicas that cannot be opened beside an endpoint are logged, counted in `stats()` and tried
        again in the background; the endpoint then serves. `wait()` waits for all of them.
        """
        if self._state == "open":
            return
        if self._state == "closed":
            raise UsageError("the engine is closed; make a new one")
        self._publishing = runtime.Lock()
        self._spilling.add("endpoint", self.settings.spill)
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        self._pid = os.getpid()
        self._state = "open"

    async def _open(self) -> None:
        for result in await runtime.run_all(e.open for e in self._databases.values()):
            if isinstance(result, BaseException):
                raise result
        if self.endpoint is not None:
            await self.endpoint.open()
        self._profile = self.endpoint.profile if self.endpoint is not None else _ALONE
        self._time_zone = _zone(self._profile.time_zone)
        since = now()
        # There is a snapshot to open then, and it is as new as the engine.
        await self._take_snapshots([r for r in self.settings.replicas if r.local is not None])
        self._survey()
        await self.replicas.open(
            time_zone=self._profile.time_zone,
            dialect=self._profile.dialect,
            published=Freshness(0, since if self.endpoint is not None else None),
        )
        replicas_only = self.endpoint is None and self.settings.replicas
        if replicas_only and not self.replicas.members:
            raise self.replicas.none_opened()
        self._start_tickers()

    def _start_tickers(self) -> None:
        replicas = self.settings.replicas
        every = [replica.refresh for replica in replicas if replica.refresh is not None]
        if every:
            self._tickers.append(runtime.Ticker(min(every), self.publish, self._tick_failed))
        if any(moves_on(replica) for replica in replicas):
            self._tickers.append(
                runtime.Ticker(_REREAD_EVERY, self.schema_changed, self._tick_failed)
            )

    async def wait(self, timeout: float = 30.0) -> None:
        """Wait until every replica is open. Raises `PoolTimeout` after *timeout* seconds, or when
        some could not be opened, with the reasons; they are tried again all the same."""
        self.check_open()
        for engine in (self, *self._databases.values()):
            await engine.replicas.wait(timeout)

    async def recycle(self) -> None:
        """Replace every replica by a new instance, one after the other.

        What runs on an old one ends there; no statement fails or waits for it. Raises
        `ReplicaError` when one cannot be opened anew: it and those after it serve on as they are.
        """
        self.check_open()
        for engine in (self, *self._databases.values()):
            await engine.replicas.recycle()

    async def close(self) -> None:
        """Close all connections. Callers that wait get PoolClosed, sessions a UsageError.

        In a forked child it leaves the parent's connections alone.
        """
        if self._state == "open" and self._pid == os.getpid():
            self._state = "closed"
            await self._close()
        self._state = "closed"

    async def _close(self) -> None:
        for ticker in self._tickers:
            await ticker.close()
        await self.replicas.close()
        if self.endpoint is not None:
            await self.endpoint.close()
        for engine in self._databases.values():
            await engine.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def check_open(self) -> None:
        """Raise `UsageError` unless the engine is open, in this process."""
        if self._state == "new":
            raise UsageError("the engine is not open; use it in a `with` block or call open()")
        if self._state == "closed":
            raise UsageError("the engine is closed; make a new one")
        if self._pid != os.getpid():
            # Handles that were inherited through a fork answer for a while, then hang.
            raise UsageError("the engine was opened before a fork; open one in each process")

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
    ) -> AsyncSession[tuple[Any, ...]]: ...

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
    ) -> AsyncSession[Other]: ...

    def session(
        self,
        *,
        database: str | None = None,
        user: str | None = None,
        after: Bookmark | str | None = None,
        consistency: Consistency | None = None,
        max_staleness: float | None = None,
        row_factory: BaseRowFactory[Any] | None = None,
    ) -> AsyncSession[Any]:
        """A new session, in the *database* of this name where there are several.

        It continues from the bookmark *after*, of this engine or another.
        Sessions of one *user* prefer one replica, as long as it is free and fresh enough.

        *consistency* and *max_staleness* (seconds) are the engine's unless given. Raises
        `ConfigurationError` for a level that does not exist, ValueError for what is no bookmark.
        """
        self.check_open()
        engine = self if database is None else self._in(database)
        if engine.endpoint is None and not engine.settings.replicas:
            raise UsageError(f"database: say which of {', '.join(self._databases)}")
        level = consistency or self.settings.consistency
        bound = self.settings.max_staleness if max_staleness is None else max_staleness
        check_consistency(level, bound)
        bookmark = Bookmark.parse(after) if isinstance(after, str) else after
        return AsyncSession(
            engine,
            user=user,
            seen=engine.log.floor(bookmark),
            consistency=level,
            max_staleness=bound,
            row_factory=row_factory,
        )

    def across(
        self,
        databases: Iterable[str] | None = None,
        *,
        user: str | None = None,
        consistency: Consistency | None = None,
        max_staleness: float | None = None,
    ) -> AsyncAcross:
        """The databases of these names, or all that have one: `across().execute(...)` runs the
        same statement in each. Raises `UsageError` for a name that is not known."""
        self.check_open()
        names = self._databases if databases is None else databases
        return AsyncAcross(
            [
                self._in(name).session(
                    user=user, consistency=consistency, max_staleness=max_staleness
                )
                for name in names
            ]
        )

    def _in(self, database: str) -> AsyncEngine:
        found = self._databases.get(database)
        if found is None:
            known = ", ".join(self._databases) or "this engine has one, without a name"
            raise UsageError(f"database={database!r}: not known; {known}")
        return found

    async def publish(self) -> None:
        """Make all writes that are acknowledged by now visible to every replica.

        Calls at the same time share one round: a snapshot blocks writers, so never call this for
        each request. Live replicas need nothing. Raises `NotSupportedError` for a replica that
        pgmd cannot move on, `ReplicaError` or psycopg's errors when a step fails.
        """
        self.check_open()
        for engine in self._databases.values():
            await engine.publish()
        self.replicas.check_publishable()
        # A round that runs already may have begun before the writes that are meant.
        wanted = self._rounds_begun + 1
        async with self._publishing:
            if self._rounds_done < wanted:
                self._rounds_begun += 1
                await self._publish()
                self._rounds_done = self._rounds_begun

    async def _publish(self) -> None:
        published = Freshness(self.log.settled, now())
        await self._take_snapshots(self.settings.replicas)
        await self.replicas.publish(published)
        self._knowledge.shapes.forget_columns()
        self._survey()

    async def _take_snapshots(self, replicas: Sequence[Replica]) -> None:
        if self.endpoint is None:
            return
        for database in sorted({name for r in replicas if (name := published_as(r)) is not None}):
            connection = await self.endpoint.lend()
            try:
                await connection.execute(publish_statement(database))
            finally:
                await self.endpoint.give_back(connection)

    def stats(self) -> dict[str, Any]:
        """Counters: `endpoint` and `replicas` as psycopg_pool names them, `routed` by reason; and
        those of each of several `databases`."""
        with self._counting:
            counted = list(self._routed.items())
        each = {name: engine.stats() for name, engine in self._databases.items()}
        routed = {f"{route.value}: {reason.name}": number for (route, reason), number in counted}
        return {
            "endpoint": self.endpoint.stats() if self.endpoint is not None else {},
            "replicas": self.replicas.stats(),
            "routed": routed,
            **({"databases": each} if each else {}),
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state} {self.endpoint!r} {self.replicas!r}>"

    # ------------------------------------------------------------------- for its sessions only

    @property
    def profile(self) -> Profile:
        """What the endpoint can do."""
        return self._profile

    @property
    def dialect(self) -> Dialect:
        """The endpoint's SQL."""
        return self._profile.dialect

    @property
    def members(self) -> list[Member]:
        return self.replicas.members

    @property
    def serving(self) -> list[Member]:
        return self.replicas.serving

    @staticmethod
    def analyse(text: str) -> Statement:
        """The facts of a statement."""
        return analyse(text)

    def resolved(self, text: str) -> Statement:
        """The facts of a statement, with the replicas' views and macros looked through."""
        return self._knowledge.statement(text)

    def verdict(self, text: str) -> Decision:
        """Where this text may run, freshness aside."""
        return self._knowledge.verdict(text)

    def setback(self, text: str, error: Exception) -> Decision:
        """What a read's failure on a replica means for this text, now and later."""
        reason, detail, lasting = _setback(error)
        facts = self.verdict(text).facts
        decision = Decision(Route.ENDPOINT, reason, detail, facts=facts)
        return self._knowledge.remember(text, decision) if lasting else decision

    async def shape(self, request: Request) -> Sequence[Column] | None:
        """What the endpoint would return, where its dialect is not the replicas'.

        Asked once for each text and parameter types. Raises `NotDescribed`.
        """
        if self.endpoint is None or self.dialect is Dialect.DUCKDB:
            return None
        shapes = self._knowledge.shapes
        known = shapes.known(request)
        if known is not None:
            return known
        cursor = await self._ask(self.endpoint, describing(request.query), request.params)
        return shapes.learn(request, cursor.description or ())

    async def bind(self, request: Request) -> Sequence[object]:
        """What a replica is bound with. Raises `NotBound` for what has no certain twin."""
        if not request.values:
            return ()
        oids = await self._parameter_types(request)
        try:
            dialect = "alone" if self.endpoint is None else self.dialect.value
            return dump(request.values, dialect=dialect, oids=oids, formats=request.formats)
        except Inexact as error:
            raise NotBound(str(error)) from None

    async def _parameter_types(self, request: Request) -> Sequence[int] | None:
        """The types that the endpoint gives the parameters, where a str depends on them."""
        if self.endpoint is None or self.dialect is Dialect.DUCKDB:
            return None
        if not any(map(is_untyped, request.values)):
            return None
        shapes = self._knowledge.shapes
        known = shapes.known_parameters(request)
        if known is not None:
            return known
        cursor = await self._ask(self.endpoint, asking_for_parameters(request.text), None)
        cursor.nextset()
        row = await cursor.fetchone()
        assert row is not None
        return shapes.learn_parameters(request, row[0])

    async def _ask(
        self, endpoint: AsyncEndpointPool, query: str, params: Params | None
    ) -> AsyncCursor[tuple[Any, ...]]:
        """Ask the endpoint about a statement. Raises `NotDescribed` when it refuses."""
        connection = await endpoint.lend()
        try:
            return await connection.execute(query, params, prepare=False)
        except psycopg.DatabaseError as error:
            if error.sqlstate is None:
                raise
            raise NotDescribed(error) from None
        finally:
            await endpoint.give_back(connection)

    def reading(self, request: Request, shape: Sequence[Column] | None) -> Reading:
        """How a replica's answer becomes what the endpoint would return."""
        return self._knowledge.shapes.reading(request, shape)

    def together(self, requests: Sequence[Request]) -> Together | None:
        """How one query's answer becomes that to each of these requests; None where that is not
        to be had."""
        return self._knowledge.shapes.together(requests)

    @property
    def bundle_sizes(self) -> Cache[str, int]:
        """How many times a text is worth running as one query, where that has been found out."""
        return self._knowledge.bundle_sizes

    @property
    def zone(self) -> str:
        """The name of the time zone of both routes."""
        return self._profile.time_zone

    async def read_streamed(
        self, request: Request, columns: Sequence[Column], rows: list[Any]
    ) -> list[Any]:
        """As `read_texts()`, over a connection of its own."""
        if self.dialect is not Dialect.DUCKDB:
            return rows
        types = self._knowledge.shapes.known_types(request)
        if types is not None:
            return with_nested(columns, types, rows, self._time_zone)
        if not may_be_nested(columns, rows):
            return rows
        connection = await self.lend()
        try:
            return await self.read_texts(connection, request, columns, rows)
        finally:
            await self.give_back(connection)

    async def read_texts(
        self, connection: AsyncPooled, request: Request, description: Sequence[Any], rows: list[Any]
    ) -> list[Any]:
        """The endpoint's rows, with the nested values read that a DuckDB sends as text.

        What their types are is asked once for each text, over *connection*. Raises ParityError.
        """
        shapes = self._knowledge.shapes
        types = shapes.known_types(request)
        if types is not None:
            with contextlib.suppress(ParityError):
                return with_nested(description, types, rows, self._time_zone)
        elif not may_be_nested(description, rows):
            return rows
        asking = asking_for_types(request.query, len(description))
        cursor = await connection.execute(asking, request.params)
        types = shapes.learn_types(request, await cursor.fetchone() or ())
        return with_nested(description, types, rows, self._time_zone)

    def check_sendable(self, statement: Statement) -> None:
        """Raise `NotSupportedError` for what the endpoint is known to lack."""
        check_sendable(self._profile, statement)

    def explained(self, error: psycopg.Error, text: str | None = None) -> psycopg.Error:
        """The error that PostgreSQL would have given, where the endpoint does not tell."""
        return error if self.dialect is Dialect.POSTGRES else from_endpoint(error, text=text)

    @asynccontextmanager
    async def spilling(self) -> AsyncIterator[None]:
        """While a read runs on the endpoint because no replica serves, which wakes those that
        sleep. Raises PoolTimeout."""
        self.replicas.want()
        slot = await self._spilling.lend(lambda _: True)
        try:
            yield
        finally:
            self._spilling.give_back(slot)

    async def lend(self) -> AsyncPooled:
        assert self.endpoint is not None
        return await self.endpoint.lend()

    async def give_back(self, connection: AsyncPooled, *, discard: bool = False) -> None:
        assert self.endpoint is not None
        await self.endpoint.give_back(connection, discard=discard)

    async def schema_changed(self) -> None:
        """Forget what was known of tables, and look again."""
        self._knowledge.shapes.forget_columns()
        await self.replicas.reread_catalogues()
        self._survey()

    def count(self, decision: Decision, times: int = 1) -> None:
        with self._counting:
            self._routed[decision.route, decision.reason] += times
        _log.debug("%s", decision)

    def _survey(self) -> None:
        """Take stock of what routing depends on; if it changed, what was decided is void."""
        with self._surveying:
            self._take_stock()

    def _take_stock(self) -> None:
        members = self.replicas.members
        if not members and self._learned is not None:
            # They will be back, with what is known of them.
            return
        # Replicas of one database have equal catalogues: keep each once.
        catalogues = {m.catalogue for m in members if m.catalogue is not None}
        definitions = {m.definitions for m in members if m.definitions is not None}
        site = Site(
            has_endpoint=self.endpoint is not None,
            has_replicas=bool(self.settings.replicas),
            dialect=self._profile.dialect,
            catalogues=tuple(catalogues),
            definitions=tuple(definitions),
        )
        if self._learned is None or self._learned.site != site:
            self._learned = Knowledge(site, self._time_zone)

    @property
    def _knowledge(self) -> Knowledge:
        assert self._learned is not None
        return self._learned

    def _tick_failed(self, error: Exception) -> None:
        _log.warning("background refresh failed: %s", self.redact(str(error)))


def _setback(error: Exception) -> tuple[Reason, str, bool]:
    """Why a replica did not answer, and whether it never will."""
    if isinstance(error, NotBound):
        return Reason.PARAMETERS, str(error), False
    if isinstance(error, Inexact):
        return Reason.RESULT, str(error), error.lasting
    if isinstance(error, DuckError) and is_write_refusal(error):
        return Reason.REFUSED, "", True
    return Reason.FAILED, type(error).__name__, False


# With no endpoint to agree with, replicas answer in their own dialect, in UTC.
_ALONE = Profile("duckdb", "", "UTC")


def _nothing(_: str) -> None:
    """Nobody's place has nothing to close."""


def _zone(name: str) -> dt.tzinfo:
    # psycopg has its own object for UTC, see parity of time stamps.
    return dt.UTC if name == "UTC" else ZoneInfo(name)


async def connect_async(
    url: str | None = None, *, environ: Mapping[str, str] | None = None, **settings: Any
) -> AsyncEngine:
    """Make an engine from a URL, keywords and environment variables, and open it.

    `postgresql://user@host/db` with `replicas=2` reads any Postgres through DuckDB;
    `motherduck://database?region=us-east-1` takes its tokens from the environment, and
    `motherduck://one,two?region=us-east-1` names several databases. Without a URL, PGMD_ENDPOINT
    has it. Raises `ConfigurationError`, or what `open()` raises.
    """
    read = from_url(url, settings, environ)
    engine = AsyncEngine.of(read)
    await engine.open()
    return engine
