"""What is done for one connection of the drop-in: where its statements run, and why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import pq

from ...answers.columns import Column
from ...dropin import seam
from ...dropin.adapters import is_client, own_loader, same_dumpers
from ...dropin.modes import reads_only, sees_one_moment
from ...dropin.shown import Shown
from ...errors import NotSupportedError
from ...process.clock import now
from ...request import Request
from ...routing.decision import Decision, Reason, Route
from ...servers.coping import check_sendable
from ...sql import Fact, Statement, analyse
from ..asking import AsyncAsking
from ..blocks import end_snapshot, open_replica_snapshot
from ..running import Answered
from .noting import AsyncNoting

Query = Any
_IDLE = pq.TransactionStatus.IDLE
_NO_PIPELINE = pq.PipelineStatus.OFF
_BAD = pq.ConnStatus.BAD


class AsyncPlacing(AsyncNoting):
    """Where the statements of one connection run, and what must be remembered for that."""

    # -------------------------------------------------------------------------------- statements

    def may_read(self, cursor: Any, request: Request | None, form: pq.Format) -> bool:
        """Whether a replica may run this now; if not it is known why."""
        asking = self._asking
        if asking is None:
            return False
        self.decision = self._place(asking, cursor, request, form)
        return self.decision.route is Route.REPLICA

    async def read(self, cursor: Any, request: Request, form: pq.Format) -> Shown | None:
        """A replica's answer to what `may_read()`; None where the connection is to run it."""
        asking = self._asking
        assert asking is not None
        decision = asking.core.verdict(request.text)
        obstacle = self._obstacle(cursor)
        if obstacle is not None:
            # Another thread has begun a transaction meanwhile.
            self._stays(*obstacle)
            return None
        connection, begins = cursor.connection, not self.in_snapshot
        found = await self._run(asking, connection, request, decision)
        shown = self._shown(asking, found, cursor, request, form)
        if shown is None and begins and self.in_snapshot:
            await self._retreat(connection)
        if shown is not None and not connection.autocommit:
            self.seem_begun(connection)
        return shown

    async def _run(
        self, asking: AsyncAsking, connection: Any, request: Request, decision: Decision
    ) -> Answered | Decision:
        """Run a read on a replica, or say why the endpoint must run it."""
        began = now()
        begins = reads_only(connection) and not self.in_snapshot
        if begins:
            await self._open_snapshot(asking, connection)
        try:
            return await asking.read(request, decision)
        except psycopg.Error as error:
            is_stopped = isinstance(error, psycopg.errors.QueryCanceled)
            if begins and not is_stopped:
                return Decision(Route.ENDPOINT, Reason.FAILED, type(error).__name__)
            if begins:
                await self._retreat(connection)
            self._count(decision)
            asking.failed(analyse(request.text), decision, began, error)
            raise

    def _place(
        self, asking: AsyncAsking, cursor: Any, request: Request | None, form: pq.Format
    ) -> Decision:
        if request is None:
            return Decision(Route.ENDPOINT, Reason.PARAMETERS, "only psycopg can read it")
        verdict = asking.core.verdict(request.text)
        if verdict.route is Route.ENDPOINT:
            return verdict
        obstacle = self._obstacle(cursor)
        if obstacle is not None:
            return Decision(Route.ENDPOINT, obstacle[0], obstacle[1])
        if asking.state.ledger.pin:
            return Decision(Route.ENDPOINT, Reason.PINNED, asking.state.ledger.pin)
        if request.values and not same_dumpers(cursor.adapters, request.values):
            return Decision(Route.ENDPOINT, Reason.PARAMETERS, "the cursor has a dumper for it")
        if form == pq.Format.BINARY and is_client(cursor):
            return Decision(Route.ENDPOINT, Reason.RESULT, "binary results for a client cursor")
        expected = asking.core.knowledge.shapes.expected(request)
        change = self._change(expected, cursor, request, form)
        return Decision(Route.ENDPOINT, Reason.RESULT, change) if change else verdict

    def _obstacle(self, cursor: Any) -> tuple[Reason, str] | None:
        """What keeps every read of this connection from a replica at the moment."""
        connection = cursor.connection
        books = connection._books
        if books.status == _BAD or cursor.closed:
            return Reason.FAILED, "closed"
        if self.route_reads == "off":
            return Reason.ASKED, "route_reads is off"
        if books.pipeline_status != _NO_PIPELINE:
            return Reason.TRANSACTION, "a pipeline"
        if self.seems_begun:
            return None
        if books.transaction_status != _IDLE or self.in_transaction:
            return Reason.TRANSACTION, ""
        waits = self.route_reads == "lazy-begin" or connection.read_only
        if not connection.autocommit and not waits:
            return Reason.TRANSACTION, "not in autocommit mode"
        return None

    def _is_nested(self, request: Request) -> bool:
        asking = self._asking
        if asking is None or not self.profile.sends_nested_as_text:
            return False
        return asking.core.knowledge.shapes.is_nested(request)

    def _change(
        self, columns: Sequence[Column], cursor: Any, request: Request, form: pq.Format
    ) -> str:
        """What psycopg would load in another way than a replica's answer has it, or ""."""
        column = own_loader(cursor.adapters, columns, form)
        if column:
            return f"the cursor has a loader for {column}"
        return "psycopg returns a text" if self._is_nested(request) else ""

    def _shown(
        self,
        asking: AsyncAsking,
        found: Answered | Decision,
        cursor: Any,
        request: Request,
        form: pq.Format,
    ) -> Shown | None:
        """What the cursor gets of a replica's answer."""
        if isinstance(found, Decision):
            self.decision = found
            return None
        change = self._change(found.found.description, cursor, request, form)
        if change:
            self._stays(Reason.RESULT, change)
            return None
        result = asking.done(request, found)
        self._count(result.decision)
        return Shown.of_result(result, cursor.adapters, form)

    # ----------------------------------------------------------- transactions that wait to begin

    def seem_begun(self, connection: Any) -> None:
        """To psycopg and its pool the connection is in a transaction."""
        if not self.seems_begun:
            self.has_begun = True
            connection._stand_in()

    @property
    def seems_begun(self) -> bool:
        """Whether a transaction is open of which the server knows nothing."""
        return self.has_begun or self.in_snapshot

    def forget_begun(self, connection: Any) -> bool:
        """Stop seeming to be in a transaction that was not begun; whether it did."""
        has_begun, self.has_begun = self.has_begun, False
        if has_begun:
            connection._stand_back()
        return has_begun

    # --------------------------------------------------------------- read-only transactions

    async def _open_snapshot(self, asking: AsyncAsking, connection: Any) -> None:
        """Begin a read-only transaction on a replica, if one may serve it."""
        block = await open_replica_snapshot(asking)
        asking.state.open(block)
        if block is not None:
            self.has_begun = False
            connection._stand_in()

    def may_wait(self, connection: Any) -> bool:
        """Whether a transaction() can wait for its first statement: it may be a replica's."""
        is_idle = connection._books.transaction_status == _IDLE and not self.in_transaction
        routes = self._asking is not None and self.route_reads != "off"
        return bool(connection.read_only and routes and (is_idle or self.seems_begun))

    async def end_snapshot(self, connection: Any) -> None:
        """End the read-only transaction on a replica, if one is open."""
        asking = self._asking
        block = asking.state.close() if asking is not None else None
        if asking is not None and block is not None:
            connection._stand_back()
            await end_snapshot(asking, block)

    async def _retreat(self, connection: Any) -> None:
        """The first statement of a transaction needs the endpoint: nothing was seen so far."""
        await self.end_snapshot(connection)
        if seam.nesting(connection):
            self.seem_begun(connection)

    async def leave_snapshot(self, connection: Any, statement: Statement | None) -> None:
        """The endpoint goes on with what began on a replica, where it may see another moment."""
        writes = statement is not None and statement.facts & (Fact.WRITES | Fact.DDL)
        if writes and self.profile.fails_transactions:
            # It refuses, in its own words, and everything after it.
            await self._retreat(connection)
            return
        if statement is not None and writes:
            raise psycopg.errors.ReadOnlySqlTransaction(
                f"cannot execute {statement.verb or 'this'} in a read-only transaction"
            )
        ends = statement is not None and statement.ends_transaction
        if not ends and sees_one_moment(connection, self.profile):
            raise NotSupportedError(
                "this read-only transaction is on a replica, which cannot run this: run it in one "
                "of its own, or set connection.pgmd.route_reads to 'off' before the transaction"
            )
        await self.end_snapshot(connection)

    # --------------------------------------------------------------------------- on the endpoint

    @asynccontextmanager
    async def sending(self, cursor: Any, request: Request | None) -> AsyncIterator[None]:
        """While the connection runs a statement; see `begin()`."""
        connection, statement = cursor.connection, await self.begin(cursor, request)
        try:
            yield
            self.note(connection, statement)
        except psycopg.Error as error:
            raise self.explained(error, statement, lost=connection.broken) from error.__cause__
        except BaseException as error:
            self.broke(error)
            raise
        finally:
            await self.settle(connection)

    async def begin(self, cursor: Any, request: Request | None) -> Statement | None:
        """The endpoint is about to run a statement. Raises `NotSupportedError` for what the server
        is known to lack, before it is sent."""
        connection = cursor.connection
        seam.check_open(connection)
        statement = analyse(request.text) if request is not None else None
        if statement is not None and not statement.is_read:
            check_sendable(self.profile, statement)
        if self.in_snapshot:
            await self.leave_snapshot(connection, statement)
        await cursor._connect()
        self._begin_write(statement)
        self.sent(cursor, statement)
        return statement
