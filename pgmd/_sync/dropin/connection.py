# Generated from pgmd/_async/dropin/connection.py by pgmd._tools.unasync. Do not edit.
"""psycopg's connection, with the endpoint's quirks mended and reads on replicas."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Self, cast
from weakref import ref

import psycopg
from psycopg import pq
from psycopg.abc import AdaptContext, PQGen
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import make_conninfo
from psycopg.rows import Row

from ...dropin.shown import (
    RouteReads,
    check_route_reads,
    is_addressed,
    known_profile,
    learn_profile,
    leaves_texts_open,
    may_wait,
)
from ...dropin.standin import StandIn, Standing
from ...errors import NotSupportedError
from ...runtime import threads as runtime
from ...servers.coping import unsupported_savepoint
from ...servers.profile import PROBE, Dialect, Profile
from ...settings.conninfo import check_tls, is_motherduck, motherduck_tls
from ..engine import Engine
from ..sides.pool import send_texts
from .attached import address_of, engines
from .cursors import Cursor, ServerCursor, routed
from .placing import PLAIN, Routing

Query = Any
_IDLE = pq.TransactionStatus.IDLE


def _nothing() -> Any:
    raise psycopg.OperationalError("the connection is closed")


class Connection(Standing, psycopg.Connection[Row]):
    """psycopg's connection. `pgmd` says what is done with its statements."""

    __module__ = "pgmd.psycopg"

    def __init__(self, pgconn: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(pgconn, *args, **kwargs)
        self.pgmd = Routing()
        self.cursor_factory = Cursor
        self.server_cursor_factory = ServerCursor
        self._opening = runtime.Lock()

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
        if engine is not None and not is_addressed(params):
            params = {**address_of(engine), **params}
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
        connection._wait_unopened()
        return connection

    def _open(self) -> None:
        """Have a connection to the server. Raises what connecting raises."""
        self._check_connection_ok()
        with self._opening:
            waits = self._standing_in
            if waits is not None and waits.real is None:
                self._adopt(psycopg.Connection.connect(make_conninfo(**waits.params)))

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
            if leaves_texts_open(self.adapters):
                send_texts(cast("Any", self))

    # ------------------------------------------------------------------------------- statements

    def cursor(self, name: str = "", **kwargs: Any) -> Any:
        """As psycopg's. Raises `NotSupportedError` for a *name* where there are no cursors on the
        server."""
        if self.pgmd.is_plain:
            return super().cursor(name, **kwargs)
        if name and self.pgmd.profile.dialect is Dialect.DUCKDB:
            raise NotSupportedError(
                f"a {self.pgmd.profile.name} endpoint has no cursors with a name: execute() the "
                "query, or stream() its rows"
            )
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
        if not savepoint_name and self.pgmd.may_wait(self):
            with self._waiting(force_rollback) as transaction:
                yield transaction
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

    @contextmanager
    def _waiting(self, force_rollback: bool) -> Iterator[Any]:  # noqa: FBT001 - psycopg's
        """A transaction() that the endpoint hears of when a statement needs it."""
        is_outer = not self.pgmd.seems_begun
        try:
            with _WaitingTransaction(self, None, force_rollback) as transaction:
                self.pgmd.seem_begun(self)
                yield transaction
        except psycopg.Error as error:
            raise self.pgmd.explained(error, lost=self.broken) from error.__cause__
        finally:
            if is_outer:
                self.pgmd.forget_begun(self)
                self.pgmd.end_snapshot(self)
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

    # --------------------------------------------- transactions of which the server knows nothing

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """As psycopg's; much that is asked of an idle connection sends nothing."""
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        if self._standing_in is not None:
            try:
                gen = _resumed(gen, next(gen))
            except StopIteration as done:
                return done.value
        return super().wait(gen, *args, **options)

    # ------------------------------------------------------------------------- the server's quirks

    def _set_isolation_level_gen(self, value: Any) -> PQGen[None]:
        # That is PostgreSQL's name for snapshot isolation, which there is.
        other = None if value == psycopg.IsolationLevel.REPEATABLE_READ else value
        self._check_offered(other, "isolation_level", "there is one, snapshot isolation")
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
        has_begun = self.pgmd.forget_begun(self)
        if self.pgmd.in_snapshot:
            raise NotSupportedError("this needs the endpoint, and the transaction is on a replica")
        if self.pgmd.in_transaction:
            return
        if has_begun and self._autocommit:
            # A transaction() that has waited for it.
            yield from self._exec_command(self._get_tx_start_command())
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


class _WaitingTransaction(psycopg.Transaction):
    """A transaction() of which the endpoint hears nothing as long as a replica has it."""

    def _get_enter_commands(self) -> Iterator[bytes]:
        return iter(())

    def _get_commit_commands(self) -> Iterator[bytes]:
        return iter(()) if self._is_unheard else super()._get_commit_commands()

    def _get_rollback_commands(self) -> Iterator[bytes]:
        return iter(()) if self._is_unheard else super()._get_rollback_commands()

    @property
    def _is_unheard(self) -> bool:
        # One inside another has no savepoint: what only reads has nothing to go back to.
        connection: Any = self._conn
        return connection.pgmd.seems_begun or not self._outer_transaction


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
        return PLAIN


def _open_now(wanted: ref[Connection[Any]]) -> Any:
    """Open a connection in the midst of reading an attribute, where nothing can be awaited."""
    connection = wanted()
    if connection is None:
        raise psycopg.OperationalError("the connection is closed")
    standing_in = connection._standing_in
    assert standing_in is not None
    return connection._adopt(psycopg.Connection.connect(make_conninfo(**standing_in.params)))
