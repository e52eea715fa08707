# Generated from pgmd/_async/sides/endpoint.py by pgmd._tools.unasync. Do not edit.
"""The endpoint's side: one connection of its pool."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager

import psycopg

from ...answers.found import Found
from ...request import Request
from ...routing.freshness import LIVE, Freshness
from .connection import OverConnection, stop
from .interface import Parts
from .pool import EndpointPool, Pooled

_log = logging.getLogger("pgmd.pool")

_NOW = Freshness(LIVE)


class EndpointLent:
    """A connection to the endpoint, lent to one session.

    `executed` says whether the last statement has run, even where its rows could not be fetched.
    """

    __slots__ = ("_over", "_pool", "connection", "executed")

    name = None
    freshness = _NOW

    def __init__(self, pool: EndpointPool, over: OverConnection, connection: Pooled) -> None:
        self._pool = pool
        self._over = over
        self.connection = connection
        self.executed = False

    @property
    def is_lost(self) -> bool:
        """Whether the connection broke."""
        return self.connection.broken

    def run(self, request: Request, before: Sequence[str] = ()) -> Found:
        """See `Lent.run()`. What it raises may have had an effect."""
        self.executed = False
        self.set(before)
        cursor = self.connection.execute(request.query, request.params)
        self.executed = True
        return self._over.fetched(self.connection, cursor, request)

    def stream(
        self,
        request: Request,
        before: Sequence[str] = (),  # noqa: ARG002 - the connection is set already
    ) -> AbstractContextManager[Parts]:
        """See `Lent.stream()`."""
        return self._over.streamed(self.connection, request)

    def begin(self, before: Sequence[str] = ()) -> None:
        """See `Lent.begin()`."""
        self.set(before)
        self.connection.execute(self._pool.profile.begin_snapshot)

    def end(self) -> None:
        """See `Lent.end()`."""
        discard = True
        try:
            self.rollback()
            discard = False
        except psycopg.Error as error:
            _log.debug("a connection to the endpoint is closed: %s", type(error).__name__)
        finally:
            self.give_back(discard=discard)

    def rollback(self) -> None:
        """End the transaction and keep the connection. Raises psycopg's errors."""
        self.connection.execute("ROLLBACK")

    def set(self, settings: Sequence[str]) -> None:
        """Run these statements of pgmd's or of the session's."""
        for setting in settings:
            self.connection.execute(setting)

    def cancel(self) -> None:
        """See `Lent.cancel()`."""
        stop(self.connection)

    def give_back(self, *, discard: bool = False) -> None:
        """See `Lent.give_back()`."""
        self._pool.give_back(self.connection, discard=discard)
