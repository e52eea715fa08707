# Generated from pgmd/_async/dropin.py by pgmd._tools.unasync. Do not edit.
"""psycopg's connections and cursors, with the endpoint's quirks mended and reads routed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast
from weakref import WeakKeyDictionary, ref

import psycopg
from psycopg import pq
from psycopg.abc import AdaptContext, PQGen
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import make_conninfo
from psycopg.rows import Row

from ..config import Settings
from ..conninfo import check_tls, is_motherduck, motherduck_tls
from ..dropin import (
    Identity,
    RouteReads,
    Shown,
    StandIn,
    check_route_reads,
    endpoint_params,
    identity,
    is_addressed,
    is_stand_in,
    known_profile,
    learn_profile,
    may_wait,
    merged,
    own_loader,
    same_dumpers,
)
from ..errors import ConfigurationError, Error, NotSupportedError, UsageError
from ..outcome import annotate
from ..parity import from_endpoint
from ..profile import PROBE, Dialect, Profile
from ..query import Request
from ..result import Result
from ..routing.decision import Decision, Reason, Route
from ..runtime import threads as runtime
from ..shape import uncounted
from ..sql import Fact, Statement, analyse
from ..urls import from_url
from .endpoint import send_texts, unsupported_savepoint
from .engine import Engine
from .replicas import interrupt

if TYPE_CHECKING:
    from .session import Session

Query = Any
_IDLE = pq.TransactionStatus.IDLE
_PLAIN = Profile("postgres", "", "")


def _nothing() -> Any:
    raise psycopg.OperationalError("the connection is closed")


class Routing:
    """What pgmd does for one connection, as `connection.pgmd`.

    `profile` is what the server can do, `decision` where the last statement ran and why.
    """

    def __init__(self, profile: Profile = _PLAIN) -> None:
        self.profile = profile
        self.decision: Decision | None = None
        self._route_reads: RouteReads = "off"
        self._session: Session[Any] | None = None
        self._counts: Counter[tuple[Route, Reason]] = Counter()
        # The position of a write whose transaction is still open.
        self._write: int | None = None
        self._changed_schema = False
        # For a server that does not report it: whether a transaction is open.
        self.in_transaction = False
        # Reads on replicas began what psycopg takes for a transaction; the server knows nothing.
        self.has_begun = False

    # ------------------------------------------------------------------------------ for people

    @property
    def engine(self) -> Engine | None:
        """The engine on whose replicas reads run."""
        return self._session._engine if self._session is not None else None

    @property
    def route_reads(self) -> RouteReads:
        """When reads run on replicas: in "autocommit" mode, also before the first statement that
        is no read of a transaction that has not begun ("lazy-begin"), or never ("off")."""
        return self._route_reads

    @route_reads.setter
    def route_reads(self, value: RouteReads) -> None:
        self._route_reads = check_route_reads(value)

    @property
    def stats(self) -> dict[str, int]:
        """How many statements ran where and why, such as `{"replica: READ": 3}`."""
        return {f"{route.value}: {why.name}": n for (route, why), n in self._counts.items()}

    def explain(self, query: Query, params: Any = None) -> Decision:
        """Decide where a statement would run in autocommit mode, and why; nothing is run."""
        if self._session is None:
            raise UsageError("no engine is attached to this connection; see pgmd.psycopg.attach()")
        return self._session.explain(query, params)

    # -------------------------------------------------------------------------- for connections

    def attach(self, engine: Engine, route_reads: RouteReads) -> None:
        """Run reads on the replicas of *engine*."""
        # A program that is used to PostgreSQL expects to see what its other connections wrote.
        level = engine.settings.consistency
        self._session = engine.session(consistency="engine" if level == "session" else level)
        self.profile = engine.profile
        self.route_reads = route_reads

    @property
    def is_plain(self) -> bool:
        """Whether psycopg itself does all that there is to do."""
        return self._session is None and self.profile.dialect is Dialect.POSTGRES

    def close(self) -> None:
        session = self._session
        if session is not None and self._write is not None:
            session._engine.log.finish(self._write)
            self._write = None
        if session is not None:
            session.close()

    def cancel(self) -> bool:
        """Stop what runs on a replica; False if nothing does."""
        running = self._session._runner.running if self._session is not None else None
        if running is None:
            return False
        if isinstance(running, tuple):
            interrupt(*running)
        else:
            running.cancel()
        return True

    # -------------------------------------------------------------------------------- statements

    def request(self, cursor: Any, query: Query, params: Any) -> Request | None:
        """What is about to be sent; None where only psycopg can read it."""
        try:
            if isinstance(cursor, psycopg.client_cursor.ClientCursorMixin):
                if params is not None:
                    query, params = merged(query, params, cursor.adapters), None
            elif isinstance(cursor, psycopg.raw_cursor.RawCursorMixin) and params is not None:
                return None
            return Request.read(query, params, None)
        except (psycopg.Error, TypeError, ValueError):
            # psycopg will say so.
            return None

    def read(self, cursor: Any, request: Request | None, form: pq.Format) -> Shown | None:
        """A replica's answer to a confirmed read; None where the connection is to run it."""
        session = self._session
        if session is None:
            return None
        if request is None:
            self._stays(Reason.PARAMETERS, "only psycopg can read it")
            return None
        decision = self._place(session, cursor, request)
        if decision.route is Route.REPLICA:
            if _reads_only(cursor.connection):
                self.open_snapshot(cursor.connection)
            found = session._runner.on_replica(request, decision, None)
            if isinstance(found, Result):
                shown = self._shown(found, cursor, request, form)
                if shown is not None:
                    self._seem_begun(cursor.connection)
                return shown
            decision = found
        self._count(decision)
        return None

    def _place(self, session: Session[Any], cursor: Any, request: Request) -> Decision:
        obstacle = self._obstacle(cursor)
        if obstacle is not None:
            return Decision(Route.ENDPOINT, obstacle[0], obstacle[1])
        verdict = session._engine.verdict(request.text)
        if verdict.route is Route.ENDPOINT:
            return verdict
        if session._runner.ledger.pin:
            return Decision(Route.ENDPOINT, Reason.PINNED, session._runner.ledger.pin)
        if request.values and not same_dumpers(cursor.adapters, request.values):
            return Decision(Route.ENDPOINT, Reason.PARAMETERS, "the cursor has a dumper for it")
        if self._is_nested(request):
            return Decision(Route.ENDPOINT, Reason.RESULT, "psycopg returns a text")
        return verdict

    def _obstacle(self, cursor: Any) -> tuple[Reason, str] | None:
        """What keeps every read of this connection from a replica at the moment."""
        connection = cursor.connection
        if self.route_reads == "off":
            return Reason.ASKED, "route_reads is off"
        if connection._pipeline is not None:
            return Reason.TRANSACTION, "a pipeline"
        if self.seems_begun:
            return None
        if connection.pgconn.transaction_status != _IDLE or self.in_transaction:
            return Reason.TRANSACTION, ""
        waits = self.route_reads == "lazy-begin" or connection.read_only
        if not connection.autocommit and not waits:
            return Reason.TRANSACTION, "not in autocommit mode"
        if connection.closed or cursor.closed:
            return Reason.FAILED, "closed"
        return None

    def _is_nested(self, request: Request) -> bool:
        session = self._session
        if session is None or self.profile.dialect is Dialect.POSTGRES:
            return False
        return session._engine._knowledge.shapes.is_nested(request)

    def _shown(
        self, found: Result[Any], cursor: Any, request: Request, form: pq.Format
    ) -> Shown | None:
        """What the cursor gets of a replica's answer, unless psycopg would load it otherwise."""
        column = own_loader(cursor.adapters, found.description or (), form)
        if column:
            self._stays(Reason.RESULT, f"the cursor has a loader for {column}")
        elif self._is_nested(request):
            self._stays(Reason.RESULT, "psycopg returns a text")
        else:
            self._count(found.decision)
            return Shown.of_result(found, cursor.adapters, form)
        return None

    def _stays(self, reason: Reason, detail: str) -> None:
        self._count(Decision(Route.ENDPOINT, reason, detail))

    def _count(self, decision: Decision) -> None:
        self.decision = decision
        self._counts[decision.route, decision.reason] += 1

    # ----------------------------------------------------------- transactions that wait to begin

    def _seem_begun(self, connection: Any) -> None:
        if not connection.autocommit and not self.in_snapshot and not self.has_begun:
            self.has_begun = True
            connection._stand_in()

    @property
    def seems_begun(self) -> bool:
        """Whether a transaction is open of which the server knows nothing."""
        return self.has_begun or self.in_snapshot

    def forget_begun(self, connection: Any) -> bool:
        """Stop seeming to be in a transaction; whether it did."""
        has_begun, self.has_begun = self.has_begun, False
        if has_begun:
            connection._stand_back()
        return has_begun

    # --------------------------------------------------------------- read-only transactions

    @property
    def in_snapshot(self) -> bool:
        """Whether a read-only transaction is open on a replica."""
        return self._session is not None and self._session._runner.block is not None

    def open_snapshot(self, connection: Any) -> bool:
        """Begin a read-only transaction on a replica; False if the endpoint is to have it."""
        session = self._session
        if session is None or self.route_reads == "off" or self.in_snapshot:
            return self.in_snapshot
        if connection.pgconn.transaction_status != _IDLE or session._runner.ledger.pin:
            return False
        block = session._runner.block = session._runner.open_replica_snapshot()
        if block is not None:
            connection._stand_in()
        return block is not None

    def end_snapshot(self, connection: Any) -> None:
        """End the read-only transaction on a replica, if one is open."""
        session = self._session
        if session is None or session._runner.block is None:
            return
        block, session._runner.block = session._runner.block, None
        connection._stand_back()
        session._runner.end_snapshot(block)

    def leave_snapshot(self, connection: Any, statement: Statement | None) -> None:
        """The endpoint goes on with what began on a replica, where it may see another moment."""
        if statement is not None and statement.facts & (Fact.WRITES | Fact.DDL):
            raise psycopg.errors.ReadOnlySqlTransaction(
                f"cannot execute {statement.verb or 'this'} in a read-only transaction"
            )
        ends = statement is not None and statement.ends_transaction
        if not ends and (statement is None or _sees_one_moment(connection)):
            raise NotSupportedError(
                "this read-only transaction is on a replica, which cannot run this: run it in one "
                "of its own, or set connection.pgmd.route_reads to 'off' before the transaction"
            )
        self.end_snapshot(connection)

    # --------------------------------------------------------------------------- on the endpoint

    @contextmanager
    def sending(self, cursor: Any, request: Request | None) -> Iterator[Statement | None]:
        """While the connection runs a statement. Raises `NotSupportedError` for what the server
        is known to lack, before it is sent, and psycopg's errors as PostgreSQL would give them."""
        text = request.text if request is not None else None
        statement = analyse(text) if text is not None else None
        connection = cursor.connection
        if statement is not None:
            self._check_sendable(statement)
        if self.in_snapshot:
            self.leave_snapshot(connection, statement)
        cursor._connect()
        self._begin(statement)
        ended = False
        try:
            yield statement
            ended = True
        except psycopg.Error as error:
            raise self.explained(error, statement, lost=connection.broken) from error.__cause__
        finally:
            if ended and statement is not None:
                self._note(connection, statement)
            self.settle(connection)

    def _check_sendable(self, statement: Statement) -> None:
        if self.profile.dialect is Dialect.POSTGRES or statement.is_read:
            return
        reason = self.profile.refusal(statement.why, statement.words)
        if reason is not None:
            raise NotSupportedError(f"a {self.profile.name} endpoint has no {reason}")

    def _begin(self, statement: Statement | None) -> None:
        """Others may see something new from now on."""
        session = self._session
        if session is None or (statement is not None and not statement.may_write):
            return
        if self._write is None:
            self._write = session._engine.log.begin()
        self._changed_schema |= statement is None or statement.changes_schema

    def _note(self, connection: Any, statement: Statement) -> None:
        """Remember what a statement has set."""
        if not self.profile.reports_transactions and Fact.TRANSACTION in statement.facts:
            self.in_transaction = statement.verb in ("BEGIN", "START")
        if self._session is None or not statement.outlives_transaction:
            return
        is_idle = connection.pgconn.transaction_status == _IDLE and not self.in_transaction
        runner = self._session._runner
        replays = self.profile.dialect is Dialect.DUCKDB and is_idle
        runner.ledger = runner.ledger.after(statement, replays=replays)

    def explained(
        self, error: psycopg.Error, statement: Statement | None = None, *, lost: bool = False
    ) -> psycopg.Error:
        """The error that PostgreSQL would have given, with its outcome."""
        text = statement.text if statement is not None else None
        known = error
        if self.profile.dialect is Dialect.DUCKDB and not isinstance(error, Error):
            known = from_endpoint(error, text=text)
        is_read = statement is not None and statement.is_read
        return annotate(known, is_read=is_read, lost=lost)

    def settle(self, connection: Any) -> None:
        """Look whether the transaction with the connection's writes has ended."""
        session = self._session
        if session is None:
            return
        runner, log = session._runner, session._engine.log
        runner.seen = max(runner.seen, log.started)
        if self._write is None or connection._pipeline is not None or self.in_transaction:
            return
        if connection.pgconn.transaction_status != _IDLE and not connection.closed:
            return
        write, self._write = self._write, None
        log.finish(write)
        changed, self._changed_schema = self._changed_schema, False
        if changed:
            session._engine.schema_changed()


class Cursor(psycopg.Cursor[Row]):
    """psycopg's cursor. A confirmed read may run on a replica, and looks as if psycopg ran it."""

    __module__ = "pgmd.psycopg"
    __slots__ = ()

    def execute(
        self,
        query: Query,
        params: Any = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        """As psycopg's, on a replica where that gives the same; see `connection.pgmd`."""
        connection: Any = self._conn
        routing = connection.pgmd
        if routing.is_plain:
            return super().execute(query, params, prepare=prepare, binary=binary)
        request = routing.request(self, query, params)
        if routing.route_reads != "off" and self._read(routing, request, binary):
            return self
        with routing.sending(self, request) as statement:
            super().execute(query, params, prepare=prepare, binary=binary)
            self._uncount(routing, statement)
        return self

    def executemany(
        self, query: Query, params_seq: Iterable[Any], *, returning: bool = False
    ) -> None:
        """As psycopg's."""
        with self._sending(query):
            super().executemany(query, params_seq, returning=returning)

    def stream(
        self, query: Query, params: Any = None, *, binary: bool | None = None, size: int = 1
    ) -> Iterator[Row]:
        """As psycopg's, on the endpoint."""
        with self._sending(query):
            rows = super().stream(query, params, binary=binary, size=size)
            try:
                for row in rows:
                    yield row
            finally:
                cast("Any", rows).close()

    @contextmanager
    def copy(self, statement: Query, params: Any = None, **kwargs: Any) -> Iterator[Any]:
        """As psycopg's, where the server has COPY."""
        with self._sending(statement), super().copy(statement, params, **kwargs) as copy:
            yield copy

    # ------------------------------------------------------------------------------------ ours

    @contextmanager
    def _sending(self, query: Query) -> Iterator[None]:
        connection: Any = self._conn
        routing = connection.pgmd
        with routing.sending(self, routing.request(self, query, None)):
            yield

    def _connect(self) -> None:
        """Have a connection to the server."""
        connection: Any = self._conn
        if is_stand_in(self._pgconn) or is_stand_in(connection.pgconn):
            connection._open()
            self._pgconn = connection.pgconn

    def _read(
        self,
        routing: Routing,
        request: Request | None,
        binary: bool | None,  # noqa: FBT001 - as psycopg passes it on
    ) -> bool:
        """Take the answer of a replica, if one may give it."""
        form = self.format if binary is None else pq.Format(bool(binary))
        with self._conn.lock:
            shown = routing.read(self, request, form)
            if shown is not None:
                self._show(shown)
        return shown is not None

    def _show(self, shown: Shown) -> None:
        self._reset()
        # Else psycopg would go on with its transformer for an equal query.
        self._last_query = None
        self._results = cast("Any", [shown])
        self._select_current_result(0)

    def _select_current_result(self, i: int, format: pq.Format | None = None) -> None:
        shown: Any = self._results[i]
        if not isinstance(shown, Shown):
            super()._select_current_result(i, format)
            return
        self._iresult, self._pos = i, 0
        self.pgresult = cast("Any", shown)
        self._tx = cast("Any", shown)
        self._rowcount = shown.ntuples if shown.nfields else -1
        if shown.status == pq.ExecStatus.COMMAND_OK:
            self._rowcount = -1 if shown.command_tuples is None else shown.command_tuples
        self._statusmessage = shown.command_status
        self._make_row = self._make_row_maker()

    @classmethod
    def _loaders_changed(cls, wself: Any, oid: int, loader: Any) -> None:
        cursor = wself()
        if cursor is not None and isinstance(cursor.pgresult, Shown):
            cursor.pgresult.reload(cursor._adapters)
        else:
            super()._loaders_changed(wself, oid, loader)

    def _uncount(self, routing: Routing, statement: Statement | None) -> None:
        """DuckDB's own result of an UPDATE is a row with a count."""
        if routing.profile.dialect is Dialect.POSTGRES or statement is None or statement.is_read:
            return
        answer = self.pgresult
        if answer is None or answer.ntuples != 1 or answer.nfields != 1 or len(self._results) > 1:
            return
        done = uncounted(statement, self._tx.load_rows(0, 1, tuple), cast("Any", self))
        if done.rows is None:
            self._show(Shown.of_command(done, self._adapters))


def _reads_only(connection: Any) -> bool:
    """Whether a statement begins a read-only transaction."""
    return bool(connection.read_only and not connection.autocommit)


def _sees_one_moment(connection: Any) -> bool:
    """Whether all statements of its transaction must see the same state."""
    is_committed = connection.isolation_level in (None, *_COMMITTED)
    is_blocked = connection._num_transactions > 0
    return is_blocked or not is_committed or connection.pgmd.profile.dialect is Dialect.DUCKDB


_COMMITTED = (psycopg.IsolationLevel.READ_COMMITTED, psycopg.IsolationLevel.READ_UNCOMMITTED)


def routed(cursor_class: type[Any]) -> type[Any]:
    """The same kind of cursor, routed; frameworks bring their own subclasses of psycopg's."""
    if issubclass(cursor_class, Cursor):
        return cursor_class
    known = _routed.get(cursor_class)
    if known is None:
        bases = (cursor_class, Cursor)
        known = type(cursor_class.__name__, bases, {"__module__": cursor_class.__module__})
        _routed[cursor_class] = known
    return known


_routed: WeakKeyDictionary[type[Any], type[Any]] = WeakKeyDictionary()


class ClientCursor(psycopg.ClientCursor[Row], Cursor[Row]):
    """psycopg's cursor that binds on the client."""

    __module__ = "pgmd.psycopg"

    def mogrify(self, query: Query, params: Any = None) -> str:
        """As psycopg's; it needs no connection to the server."""
        if is_stand_in(self._conn.pgconn):
            return merged(query, params, self.adapters)
        return super().mogrify(query, params)


class RawCursor(psycopg.RawCursor[Row], Cursor[Row]):
    """psycopg's cursor with PostgreSQL's placeholders; with parameters it is not routed."""

    __module__ = "pgmd.psycopg"


class _OnServer(psycopg.ServerCursor[Row]):
    def execute(self, query: Query, params: Any = None, **kwargs: Any) -> Self:
        """As psycopg's."""
        connection: Any = self._conn
        connection._open()
        self._pgconn = connection.pgconn
        return super().execute(query, params, **kwargs)


class ServerCursor(_OnServer[Row]):
    """psycopg's cursor on the server, which is never routed."""

    __module__ = "pgmd.psycopg"


class RawServerCursor(psycopg.RawServerCursor[Row], _OnServer[Row]):
    """psycopg's cursor on the server with PostgreSQL's placeholders, which is never routed."""

    __module__ = "pgmd.psycopg"


class Connection(psycopg.Connection[Row]):
    """psycopg's connection. `pgmd` says what is done with its statements."""

    __module__ = "pgmd.psycopg"

    def __init__(self, pgconn: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(pgconn, *args, **kwargs)
        self.pgmd = Routing()
        self.cursor_factory = Cursor
        self.server_cursor_factory = ServerCursor
        self._opening = runtime.Lock()
        # The connection to the server while a transaction on a replica stands in for it.
        self._reality: Any = None

    @classmethod
    def connect(  # type: ignore[override]  # libpq has no keywords of these names
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: Any = None,
        cursor_factory: Any = None,
        engine: Engine | None = None,
        route_reads: RouteReads | None = None,
        lazy: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """As psycopg's; with an *engine*, or one that is attached, reads run on its replicas.

        Without any address it connects to the engine's own endpoint. *route_reads* is when, see
        `pgmd.route_reads`; by default the environment's PGMD_ROUTE_READS, or "autocommit". With
        *lazy*, the default where there is an engine, the endpoint is connected to when it is first
        needed, and only then says that it refuses.

        Raises what psycopg raises, `ConfigurationError` for an engine of another server or a
        `route_reads` that is not known, and `UsageError` for an engine that is not open.
        """
        reads = check_route_reads(route_reads or os.environ.get("PGMD_ROUTE_READS", "autocommit"))
        params: dict[str, Any] = dict(cls._get_connection_params(conninfo, **kwargs))
        if engine is not None and engine.endpoint is not None and not is_addressed(params):
            params = {**endpoint_params(engine.endpoint._settings), **params}
        if is_motherduck(params):
            check_tls(params)
            params = {**motherduck_tls(), **params}
        engine = engines.serving(params, engine)
        arguments = {
            "autocommit": autocommit,
            "prepare_threshold": prepare_threshold,
            "context": context,
            "row_factory": row_factory,
            "cursor_factory": cursor_factory,
        }
        if engine is not None and lazy is not False and may_wait(params):
            connection = cls._unopened(params, **arguments)
        else:
            connection = super().connect(make_conninfo(**params), **arguments)
        if engine is not None:
            connection.pgmd.attach(engine, reads)
        else:
            connection._find_profile()
        connection._fit()
        return connection

    @classmethod
    def _unopened(cls, params: Mapping[str, Any], **arguments: Any) -> Self:
        standing_in = StandIn(params, _nothing)
        connection = cls(standing_in)
        connection._autocommit = bool(arguments["autocommit"])
        connection.prepare_threshold = arguments["prepare_threshold"]
        if arguments["row_factory"]:
            connection.row_factory = arguments["row_factory"]
        if arguments["cursor_factory"]:
            connection.cursor_factory = arguments["cursor_factory"]
        if arguments["context"]:
            connection._adapters = AdaptersMap(arguments["context"].adapters)
        standing_in.connect = partial(_open_now, ref(connection))
        return connection

    @property
    def _is_unopened(self) -> bool:
        return is_stand_in(self.pgconn) and self._reality is None

    def _open(self) -> None:
        """Have a connection to the server."""
        self.pgmd.forget_begun(self)
        with self._opening:
            if is_stand_in(self.pgconn) and not self.closed:
                params = cast("Any", self.pgconn).params
                self._adopt(psycopg.Connection.connect(make_conninfo(**params)))

    def _adopt(self, other: Any) -> Any:
        """Go on with another's connection to the server."""
        standing_in: Any = self.pgconn
        real = other.pgconn
        real.notice_handler = standing_in.notice_handler
        real.notify_handler = standing_in.notify_handler
        # It would warn that it was not closed.
        other._pool = None
        # Cursors may keep it for long.
        standing_in.connect = lambda: real
        if self.pgmd.seems_begun:
            self._reality = real
        else:
            self.pgconn = real
        return real

    def _find_profile(self) -> None:
        """Find out what the server can do, once for each server."""
        profile = known_profile(self.pgconn)
        if profile is None:
            with self.lock:
                profile = self.wait(_probe_gen(self))
        self.pgmd.profile = profile

    def _fit(self) -> None:
        """Leave out what the server does not understand."""
        if self.pgmd.profile.dialect is Dialect.DUCKDB:
            self.prepare_threshold = None
            send_texts(cast("Any", self))

    # ------------------------------------------------------------------------------- statements

    def cursor(self, name: str = "", **kwargs: Any) -> Any:
        """As psycopg's. Raises `NotSupportedError` for a *name* where there are no cursors on the
        server."""
        if name and self.pgmd.profile.dialect is Dialect.DUCKDB:
            raise NotSupportedError(
                f"a {self.pgmd.profile.name} endpoint has no cursors with a name: execute() the "
                "query, or stream() its rows"
            )
        if not issubclass(self.cursor_factory, Cursor):
            if self.pgmd.is_plain:
                return super().cursor(name, **kwargs)
            self.cursor_factory = routed(self.cursor_factory)
        return super().cursor(name, **kwargs)

    def commit(self) -> None:
        """As psycopg's."""
        self._ending(super().commit)

    def rollback(self) -> None:
        """As psycopg's."""
        self._ending(super().rollback)

    def _ending(self, end: Any) -> None:
        if self.pgmd.is_plain:
            end()
            return
        try:
            if not self._num_transactions:
                self.pgmd.forget_begun(self)
                self.pgmd.end_snapshot(self)
            end()
        except psycopg.Error as error:
            raise self.pgmd.explained(error, lost=self.broken) from error.__cause__
        finally:
            self.pgmd.settle(self)

    @contextmanager
    def transaction(
        self,
        savepoint_name: str | None = None,
        force_rollback: bool = False,  # noqa: FBT001, FBT002 - psycopg's signature
    ) -> Iterator[Any]:
        """As psycopg's. Raises `NotSupportedError` for one inside another where there are no
        savepoints."""
        if self.pgmd.is_plain:
            with super().transaction(savepoint_name, force_rollback) as transaction:
                yield transaction
            return
        if self.read_only:
            is_inner = self.pgmd.in_snapshot
            if self.pgmd.open_snapshot(self):
                try:
                    with _ReplicaTransaction(self, savepoint_name, force_rollback) as each:
                        yield each
                finally:
                    if not is_inner:
                        self.pgmd.end_snapshot(self)
                return
        has_begun = self.pgmd.has_begun
        self._open()
        if has_begun:
            with self.lock:
                self.wait(self._start_query())
        self._check_nesting(savepoint_name)
        raised: BaseException | None = None
        try:
            with super().transaction(savepoint_name, force_rollback) as transaction:
                self.pgmd.in_transaction = not self.pgmd.profile.reports_transactions
                try:
                    yield transaction
                except BaseException as error:
                    raised = error
                    raise
        except psycopg.Error as error:
            if error is raised:
                raise
            raise self.pgmd.explained(error, lost=self.broken) from error.__cause__
        finally:
            self.pgmd.in_transaction = False
            self.pgmd.settle(self)

    def _check_nesting(self, savepoint_name: str | None) -> None:
        if self.pgmd.profile.has_savepoints:
            return
        is_open = self.pgconn.transaction_status != _IDLE or self.pgmd.in_transaction
        if is_open or self._num_transactions or savepoint_name:
            raise unsupported_savepoint(self.pgmd.profile)

    @contextmanager
    def pipeline(self) -> Iterator[Any]:
        """As psycopg's."""
        if self.pgmd.in_snapshot:
            self.pgmd.leave_snapshot(self, None)
        self._open()
        try:
            with super().pipeline() as pipeline:
                yield pipeline
        finally:
            self.pgmd.settle(self)

    def close(self) -> None:
        """As psycopg's."""
        pool = getattr(self, "_pool", None)
        if not self.closed and not getattr(pool, "close_returns", False):
            self.pgmd.forget_begun(self)
            self.pgmd.end_snapshot(self)
            self.pgmd.close()
        super().close()

    def cancel(self) -> None:
        """As psycopg's, also of what runs on a replica."""
        if not self.pgmd.cancel() and not self._is_unopened:
            super().cancel()

    def cancel_safe(self, *, timeout: float = 30.0) -> None:
        """As psycopg's, also of what runs on a replica."""
        if not self.pgmd.cancel() and not self._is_unopened:
            super().cancel_safe(timeout=timeout)

    # ------------------------------------------------- transactions that the server knows nothing of

    @property
    def connection(self) -> Any:
        """For psycopg's adapters, which escape by the real connection or by none."""
        return None if is_stand_in(self.pgconn) else self

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """As psycopg's; much that is asked of an idle connection sends nothing."""
        if is_stand_in(self.pgconn):
            try:
                gen = _resumed(gen, next(gen))
            except StopIteration as done:
                return done.value
        return super().wait(gen, *args, **options)

    def _stand_in(self) -> None:
        """Seem to be in a transaction, to psycopg and its pool."""
        if not self._is_unopened:
            real = self._reality = self.pgconn
            self.pgconn = cast("Any", StandIn({}, lambda: real))
        cast("Any", self.pgconn).transaction_status = pq.TransactionStatus.INTRANS

    def _stand_back(self) -> None:
        cast("Any", self.pgconn).transaction_status = _IDLE
        if self._reality is not None:
            self.pgconn, self._reality = self._reality, None

    # ------------------------------------------------------------------------- the server's quirks

    def _set_isolation_level_gen(self, value: Any) -> PQGen[None]:
        self._check_offered(value, "isolation_level", "there is one, snapshot isolation")
        yield from super()._set_isolation_level_gen(value)

    def _set_deferrable_gen(self, value: Any) -> PQGen[None]:
        self._check_offered(value, "deferrable", "leave it out")
        yield from super()._set_deferrable_gen(value)

    def _check_offered(self, value: Any, what: str, advice: str) -> None:
        if value is not None and self.pgmd.profile.dialect is Dialect.DUCKDB:
            raise NotSupportedError(f"a {self.pgmd.profile.name} endpoint has no {what}: {advice}")

    def _get_tx_start_command(self) -> bytes:
        if self.pgmd.profile.dialect is Dialect.POSTGRES:
            return super()._get_tx_start_command()
        if self.read_only is None:
            return b"BEGIN"
        return b"BEGIN TRANSACTION READ ONLY" if self.read_only else b"BEGIN TRANSACTION READ WRITE"

    def _check_tpc(self) -> None:
        if self.pgmd.profile.dialect is Dialect.DUCKDB:
            raise NotSupportedError(
                f"a {self.pgmd.profile.name} endpoint has no two-phase commit: use transaction()"
            )
        super()._check_tpc()

    # Some servers say "idle" inside a transaction; psycopg would begin it again, and never end it.

    def _start_query(self) -> PQGen[None]:
        self.pgmd.forget_begun(self)
        if self.pgmd.in_transaction:
            return
        yield from super()._start_query()
        if not self._autocommit and not self.pgmd.profile.reports_transactions:
            self.pgmd.in_transaction = True

    def _commit_gen(self) -> PQGen[None]:
        yield from self._end_gen(super()._commit_gen(), b"COMMIT")

    def _rollback_gen(self) -> PQGen[None]:
        yield from self._end_gen(super()._rollback_gen(), b"ROLLBACK")

    def _end_gen(self, end: PQGen[None], command: bytes) -> PQGen[None]:
        yield from end
        if self.pgmd.in_transaction and not self._num_transactions:
            self.pgmd.in_transaction = False
            yield from self._exec_command(command)


class _ReplicaTransaction(psycopg.Transaction):
    """A read-only transaction() on a replica: the endpoint hears nothing of it."""

    def _get_enter_commands(self) -> Iterator[bytes]:
        return iter(())

    _get_commit_commands = _get_rollback_commands = _get_enter_commands


def _resumed(gen: Any, waits_for: Any) -> PQGen[Any]:
    """A generator that has begun, from its first step on."""
    try:
        while True:
            waits_for = gen.send((yield waits_for))
    except StopIteration as done:
        return done.value


def _probe_gen(connection: Any) -> PQGen[Profile]:
    """Ask a server what it can do. What it does not understand at all is taken for PostgreSQL."""
    try:
        answer = yield from connection._exec_command(PROBE.encode())
        profile = learn_profile(connection.pgconn, answer, reports_transactions=True)
        if profile.dialect is Dialect.POSTGRES:
            return profile
        yield from connection._exec_command(b"BEGIN")
        reports = connection.pgconn.transaction_status == pq.TransactionStatus.INTRANS
        yield from connection._exec_command(b"ROLLBACK")
        return learn_profile(connection.pgconn, answer, reports_transactions=reports)
    except psycopg.DatabaseError as error:
        if error.sqlstate is None:
            raise
        return _PLAIN


def _open_now(wanted: ref[Connection[Any]]) -> Any:
    """Open a connection in the midst of reading an attribute, where nothing can be awaited."""
    connection = wanted()
    if connection is None:
        raise psycopg.OperationalError("the connection is closed")
    standing_in: Any = connection.pgconn
    return connection._adopt(psycopg.Connection.connect(make_conninfo(**standing_in.params)))


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
        engine.check_open()
        if engine.endpoint is None:
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
            given.check_open()
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
            known = Engine.of(_settings(params))
            known.open()
            engines[key] = known
        return known


def _settings(params: Mapping[str, Any]) -> Settings:
    if not is_motherduck(params):
        return from_url(make_conninfo(**params), {})
    return from_url(
        f"motherduck://{params.get('dbname', '')}",
        {"host": params["host"], "token": params.get("password")},
    )


def _serves(engine: Engine, params: Mapping[str, Any]) -> bool:
    if engine.endpoint is None:
        return False
    ours = engine.endpoint._settings.options
    return identity(ours) == identity(params)


engines = Engines()
