"""A transaction that waits for its first statement: until then nobody knows where it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from ...dropin import seam
from ...dropin.standin import as_booked


class AsyncWaitingTransaction(psycopg.AsyncTransaction):
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
