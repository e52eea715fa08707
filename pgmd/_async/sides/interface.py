"""A side: where a statement runs. What is lent of one answers, or says why another must."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

import psycopg

from ...answers.columns import Column
from ...answers.found import Found, Setback
from ...knowledge import Knowledge
from ...request import Request
from ...routing.decision import Decision, Reason
from ...routing.freshness import Freshness
from ...settings.redact import Redactor
from ..replicas.set import AsyncReplicaSet
from .describing import AsyncDescribing


class AsyncShared(Protocol):
    """What the sides of one database share, and the core owns."""

    redact: Redactor
    replicas: AsyncReplicaSet
    describing: AsyncDescribing

    @property
    def knowledge(self) -> Knowledge:
        """What has been learned about statements."""
        ...

    def setback(self, text: str, reason: Reason, detail: str, *, lasting: bool) -> Decision:
        """Why a read that failed on a replica runs on the endpoint, now and if *lasting* later."""
        ...

    def explained(self, error: psycopg.Error, text: str | None = None) -> psycopg.Error:
        """The error that PostgreSQL would have given, where the endpoint does not tell."""
        ...


class Parts(NamedTuple):
    """The rows of one read as they come, some thousands at a time."""

    columns: Sequence[Column]
    rows: AsyncIterator[Sequence[Any]]


class AsyncLent(Protocol):
    """A connection or a cursor that one session has been lent. One statement at a time runs on it.

    Every one that was lent is given back once: by `give_back()`, or after `begin()` by `end()`.
    """

    @property
    def name(self) -> str | None:
        """The replica's; None for the endpoint."""
        ...

    @property
    def freshness(self) -> Freshness:
        """What it shows now."""
        ...

    async def run(self, request: Request, before: Sequence[str] = ()) -> Found | Setback:
        """Run one statement and fetch all of it, after the statements *before* it.

        Raises psycopg's errors for what the statement itself is to blame for. Cancelling stops it
        and waits until it has stopped.
        """
        ...

    def stream(
        self, request: Request, before: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[Parts | Setback]:
        """Run one read and hand on its rows as they come; leaving the block stops it."""
        ...

    async def begin(self, before: Sequence[str] = ()) -> None:
        """Begin a read-only transaction. It may have begun when that raises: `end()` it."""
        ...

    async def end(self) -> None:
        """End the transaction and give back what was lent, whatever happens."""
        ...

    def cancel(self) -> None:
        """Stop what runs, from another thread; without effect where nothing does. To be repeated
        until it has stopped: one that comes before the statement has begun may be forgotten."""
        ...

    async def give_back(self, *, discard: bool = False) -> None:
        """Let it go; with *discard* to nobody else as it is."""
        ...
