"""What the endpoint is asked about statements, so that both sides answer alike."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import AsyncCursor

from ...answers.columns import Column
from ...answers.nested import asking_for_types, may_be_nested, with_nested
from ...answers.shapes import NotBound, NotDescribed, Shapes, asking_for_parameters, describing
from ...errors import ParityError
from ...parity import Inexact, dump, is_untyped
from ...request import Params, Request
from ...servers.profile import Profile
from .pool import AsyncEndpointPool, AsyncPooled


class AsyncDescribing:
    """Asks the endpoint, if there is one, once for each text; what it said is in *shapes*."""

    def __init__(
        self,
        endpoint: AsyncEndpointPool | None,
        profile: Profile,
        time_zone: dt.tzinfo,
        shapes: Callable[[], Shapes],
    ) -> None:
        self._endpoint = endpoint
        self._reads_texts = profile.sends_nested_as_text
        self._time_zone = time_zone
        self._shapes = shapes
        # An endpoint with the replicas' dialect returns what they return.
        self._asks = endpoint is not None and not profile.describes_alike
        self._dialect = "alone" if endpoint is None else profile.dialect.value

    async def shape(self, request: Request) -> Sequence[Column] | None:
        """What the endpoint would return, where its dialect is not the replicas'.

        Asked once for each text and parameter types. Raises `NotDescribed`.
        """
        if not self._asks:
            return None
        shapes = self._shapes()
        known = shapes.known(request)
        if known is not None:
            return known
        cursor = await self._ask(describing(request.query), request.params)
        return shapes.learn(request, cursor.description or ())

    async def bind(self, request: Request) -> Sequence[object]:
        """What a replica is bound with. Raises `NotBound` for what has no certain twin."""
        if not request.values:
            return ()
        oids = await self._parameter_types(request)
        try:
            return dump(request.values, dialect=self._dialect, oids=oids, formats=request.formats)
        except Inexact as error:
            raise NotBound(str(error)) from None

    async def _parameter_types(self, request: Request) -> Sequence[int] | None:
        """The types that the endpoint gives the parameters, where a str depends on them."""
        if not self._asks or not any(map(is_untyped, request.values)):
            return None
        shapes = self._shapes()
        known = shapes.known_parameters(request)
        if known is not None:
            return known
        cursor = await self._ask(asking_for_parameters(request.text), None)
        cursor.nextset()
        row = await cursor.fetchone()
        assert row is not None
        return shapes.learn_parameters(request, row[0])

    async def _ask(self, query: str, params: Params | None) -> AsyncCursor[tuple[Any, ...]]:
        """Ask the endpoint about a statement. Raises `NotDescribed` when it refuses."""
        assert self._endpoint is not None
        connection = await self._endpoint.lend()
        try:
            return await connection.execute(query, params, prepare=False)
        except psycopg.DatabaseError as error:
            if error.sqlstate is None:
                raise
            raise NotDescribed(error) from None
        finally:
            await self._endpoint.give_back(connection)

    async def read_streamed(
        self, request: Request, columns: Sequence[Column], rows: list[Any]
    ) -> list[Any]:
        """As `read_texts()`, over a connection of its own."""
        if not self._reads_texts:
            return rows
        types = self._shapes().known_types(request)
        if types is not None:
            return with_nested(columns, types, rows, self._time_zone)
        if not may_be_nested(columns, rows):
            return rows
        assert self._endpoint is not None
        connection = await self._endpoint.lend()
        try:
            return await self.read_texts(connection, request, columns, rows)
        finally:
            await self._endpoint.give_back(connection)

    async def read_texts(
        self, connection: AsyncPooled, request: Request, description: Sequence[Any], rows: list[Any]
    ) -> list[Any]:
        """The endpoint's rows, with the nested values read that a DuckDB sends as text.

        What their types are is asked once for each text, over *connection*. Raises ParityError.
        """
        shapes = self._shapes()
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
