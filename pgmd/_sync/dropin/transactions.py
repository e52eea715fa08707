# Generated from pgmd/_async/dropin/transactions.py by pgmd._tools.unasync. Do not edit.
"""The transactions of a connection: of one that only reads the endpoint may hear nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import Row

from ...dropin import seam
from ...dropin.standin import as_booked
from ...errors import NotSupportedError
from ...servers.coping import unsupported_savepoint
from .fitting import Fitting


class Transacting(Fitting[Row]):
    """psycopg's connection. Its transactions begin on the endpoint where it is needed."""

    def commit(self) -> None:
        """As psycopg's."""
        self._ending(super().commit, b"COMMIT")

    def rollback(self) -> None:
        """As psycopg's."""
        self._ending(super().rollback, b"ROLLBACK")

    def _ending(self, end: Any, command: bytes) -> None:
        if self._routing.is_plain:
            end()
            return
        try:
            if seam.nesting(self):
                end()  # psycopg refuses
            else:
                self._routing.forget_begun(self)
                self._routing.end_snapshot(self)
                self._end(end, command)
        except psycopg.Error as error:
            raise self._routing.explained(error, lost=self.broken) from error.__cause__
        finally:
            self._routing.settle(self)

    def _end(self, end: Any, command: bytes) -> None:
        if self._routing.in_transaction:
            # The server says "idle", and psycopg would send nothing.
            self._routing.in_transaction = False
            with self.lock:
                self.wait(seam.command(self, command))
        elif not self._is_unopened:
            end()

    @contextmanager
    def transaction(
        self,
        savepoint_name: str | None = None,
        force_rollback: bool = False,  # noqa: FBT001, FBT002 - psycopg's signature
    ) -> Iterator[psycopg.Transaction]:
        """As psycopg's. Raises `NotSupportedError` for one inside another where there are no
        savepoints."""
        if self._routing.is_plain:
            with super().transaction(savepoint_name, force_rollback) as transaction:
                yield transaction
            return
        if not savepoint_name and self._routing.may_wait(self):
            with self._waiting(force_rollback) as transaction:
                yield transaction
            return
        has_begun = self._routing.has_begun
        self._open()
        if has_begun:
            with self.lock:
                self.wait(seam.start(self))
        self._check_nesting(savepoint_name)
        raised: BaseException | None = None
        try:
            with super().transaction(savepoint_name, force_rollback) as transaction:
                self._routing.in_transaction = not self._routing.profile.reports_transactions
                try:
                    yield transaction
                except BaseException as error:
                    raised = error
                    raise
        except psycopg.Error as error:
            if error is raised:
                raise
            raise self._routing.explained(error, lost=self.broken) from error.__cause__
        finally:
            self._routing.in_transaction = False
            self._routing.settle(self)

    @contextmanager
    def _waiting(self, force_rollback: bool) -> Iterator[psycopg.Transaction]:  # noqa: FBT001 - psycopg's
        """A transaction() that the endpoint hears of when a statement needs it."""
        is_outer = not self._routing.seems_begun
        waiting = _Waiting(self, force_rollback, is_outer=is_outer)
        try:
            with waiting as transaction:
                self._routing.seem_begun(self)
                yield transaction
        except psycopg.Error as error:
            raise self._routing.explained(error, lost=self.broken) from error.__cause__
        finally:
            if is_outer:
                self._routing.forget_begun(self)
                self._routing.end_snapshot(self)
            self._routing.settle(self)

    def _check_nesting(self, savepoint_name: str | None) -> None:
        if self._routing.profile.has_savepoints:
            return
        is_open = (
            self._books.transaction_status != TransactionStatus.IDLE or self._routing.in_transaction
        )
        if is_open or seam.nesting(self) or savepoint_name:
            raise unsupported_savepoint(self._routing.profile)

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """As psycopg's."""
        if self._routing.in_snapshot:
            self._routing.leave_snapshot(self, None)
        self._open()
        try:
            with super().pipeline() as pipeline:
                yield pipeline
        finally:
            self._routing.settle(self)

    def _start_query(self) -> PQGen[None]:
        has_begun = self._routing.forget_begun(self)
        if self._routing.in_snapshot:
            raise NotSupportedError("this needs the endpoint, and the transaction is on a replica")
        if self._routing.in_transaction:
            return  # psycopg would begin it again on a server that says "idle" in a transaction
        if has_begun and self.autocommit:
            # A transaction() that has waited for it.
            yield from seam.command(self, seam.start_command(self))
        yield from super()._start_query()
        if not self.autocommit and not self._routing.profile.reports_transactions:
            self._routing.in_transaction = True


class _Waiting(psycopg.Transaction):
    """A transaction() of which the endpoint hears nothing as long as a replica has it."""

    def __init__(self, connection: Any, force_rollback: bool, *, is_outer: bool) -> None:  # noqa: FBT001 - psycopg's
        super().__init__(as_booked(connection), None, force_rollback)
        seam.belong(self, connection)
        self._is_outer = is_outer

    def _get_enter_commands(self) -> Iterator[bytes]:
        return iter(())

    def _get_commit_commands(self) -> Iterator[bytes]:
        return iter(()) if self._is_unheard else super()._get_commit_commands()

    def _get_rollback_commands(self) -> Iterator[bytes]:
        return iter(()) if self._is_unheard else super()._get_rollback_commands()

    @property
    def _is_unheard(self) -> bool:
        # One inside another has no savepoint: what only reads has nothing to go back to.
        connection: Any = self.connection
        return connection._routing.seems_begun or not self._is_outer
