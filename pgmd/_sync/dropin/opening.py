# Generated from pgmd/_async/dropin/opening.py by pgmd._tools.unasync. Do not edit.
"""psycopg's connection, opened when it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Self
from weakref import ref

import psycopg
from psycopg.abc import AdaptContext
from psycopg.conninfo import make_conninfo
from psycopg.rows import Row

from ...dropin import seam
from ...dropin.standin import StandIn, Standing, as_booked, resumed
from ...runtime import threads as runtime
from .placing import Placing


class Opening(Standing[Row], psycopg.Connection[Row]):
    """psycopg's connection, for which something may stand in until it is needed."""

    def __init__(self, pgconn: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(pgconn, *args, **kwargs)
        self._routing = Placing()
        self._opening = runtime.Lock()

    @classmethod
    def _unopened(cls, params: Mapping[str, Any]) -> Self:
        standing_in = StandIn(params, _nothing)
        connection = cls(standing_in)
        standing_in.connect = partial(_open_now, ref(connection))
        connection._wait_unopened()
        return connection

    def _set_up(
        self,
        *,
        autocommit: bool,
        prepare_threshold: int | None,
        context: AdaptContext | None,
        row_factory: Any,
        cursor_factory: Any,
    ) -> None:
        """As psycopg does when it has connected."""
        self.prepare_threshold = prepare_threshold
        if row_factory:
            self.row_factory = row_factory
        if cursor_factory:
            self.cursor_factory = cursor_factory
        if context:
            seam.adapt(self, context.adapters)
        if autocommit:
            self.set_autocommit(True)

    def _open(self) -> None:
        """Have a connection to the server. Raises what connecting raises."""
        seam.check_open(self)
        with self._opening:
            waits = self._standing_in
            if waits is not None and waits.real is None:
                self._adopt(psycopg.Connection.connect(make_conninfo(**waits.params)))

    def close(self) -> None:
        """As psycopg's."""
        ends = not self.closed and not seam.returns_to_pool(self)
        if ends:
            self._routing.forget_begun(self)
            self._routing.end_snapshot(self)
            self._routing.close()
        never_opened = ends and self._is_unopened
        if never_opened:
            self.pgconn = self._standing_in
        super().close()
        if never_opened:
            self._stand_back()

    def cancel(self) -> None:
        """As psycopg's, also of what runs on a replica."""
        if not self._routing.cancel() and self._standing_in is None:
            psycopg.Connection.cancel(as_booked(self))

    def cancel_safe(self, *, timeout: float = 30.0) -> None:
        """As psycopg's, also of what runs on a replica."""
        if not self._routing.cancel() and self._standing_in is None:
            psycopg.Connection.cancel_safe(as_booked(self), timeout=timeout)

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """As psycopg's; much that is asked of an idle connection sends nothing."""
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        if self._routing.is_plain:
            return super().wait(gen, *args, **options)
        if self._standing_in is not None:
            try:
                gen = resumed(gen, next(gen))
            except StopIteration as done:
                return done.value
        return psycopg.Connection.wait(as_booked(self), gen, *args, **options)


def _open_now(wanted: ref[Opening[Any]]) -> Any:
    """Open a connection in the midst of reading an attribute, where nothing can be awaited."""
    connection = wanted()
    if connection is None:
        return _nothing()
    standing_in = connection._standing_in
    assert standing_in is not None
    return connection._adopt(psycopg.Connection.connect(make_conninfo(**standing_in.params)))


def _nothing() -> Any:
    raise psycopg.OperationalError("the connection is closed")
