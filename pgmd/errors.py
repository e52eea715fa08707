"""What can go wrong, and what is known about it.

A statement that a server refused raises psycopg's own class, whichever side ran it. The classes
here are for what pgmd itself refuses or cannot do; they too are `psycopg.Error`s, so one `except`
catches both. Every error that leaves a `Session` carries `outcome` and `retryable`.

    psycopg.Error
     └─ Error
         ├─ ConfigurationError (also ValueError)
         ├─ UsageError (also psycopg.InterfaceError)
         ├─ NotSupportedError (also psycopg.NotSupportedError)
         ├─ RoutingError (also psycopg.NotSupportedError)
         ├─ ParityError (also psycopg.NotSupportedError)
         ├─ ReplicaError (also psycopg.OperationalError)
         ├─ LocalError (also psycopg.OperationalError)
         ├─ StatementTimeout (also psycopg.errors.QueryCanceled, TimeoutError)
         ├─ FanOutError (also ExceptionGroup)
         ├─ PoolTimeout (also psycopg_pool.PoolTimeout, TimeoutError)
         ├─ PoolFull (also psycopg_pool.TooManyRequests)
         └─ PoolClosed (also psycopg_pool.PoolClosed)
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import psycopg
import psycopg_pool

if TYPE_CHECKING:
    from .answers.result import Result
    from .routing.decision import Decision

_OURS = "pgmd"


class Outcome(enum.Enum):
    """Whether the statement that failed had an effect."""

    NOT_APPLIED = "not applied"
    APPLIED = "applied"
    UNKNOWN = "unknown"


class Error(psycopg.Error):
    """The root of what pgmd raises by itself."""

    __module__ = _OURS
    outcome: Outcome = Outcome.NOT_APPLIED
    retryable: bool = False


class ConfigurationError(Error, ValueError):
    """A setting is unknown, malformed, missing or contradicts another one; the message names it."""

    __module__ = _OURS


class UsageError(Error, psycopg.InterfaceError):
    """The program uses an engine or session wrongly: closed, shared, nested."""

    __module__ = _OURS


class NotSupportedError(Error, psycopg.NotSupportedError):
    """The endpoint cannot do this; nothing was sent. The message names the alternative."""

    __module__ = _OURS


class RoutingError(Error, psycopg.NotSupportedError):
    """A route was asked for that the statement may not take; `decision` says why."""

    __module__ = _OURS

    def __init__(self, message: str, decision: Decision) -> None:
        super().__init__(message)
        self.decision = decision


class ParityError(Error, psycopg.NotSupportedError):
    """A value cannot be the same on both routes; the message names column and type."""

    __module__ = _OURS


class ReplicaError(Error, psycopg.OperationalError):
    """A replica could not be opened or has failed."""

    __module__ = _OURS
    retryable: bool = True


class LocalError(Error, psycopg.OperationalError):
    """The local endpoint cannot start: its file or port is in use. The message says by whom."""

    __module__ = _OURS


class PoolTimeout(Error, psycopg_pool.PoolTimeout, TimeoutError):
    """Nothing became free in time."""

    __module__ = _OURS
    retryable: bool = True


class PoolFull(Error, psycopg_pool.TooManyRequests):
    """More callers wait than `max_waiting` allows."""

    __module__ = _OURS
    retryable: bool = True


class PoolClosed(Error, psycopg_pool.PoolClosed):
    """The engine was closed while this call waited."""

    __module__ = _OURS


class StatementTimeout(Error, psycopg.errors.QueryCanceled, TimeoutError):
    """A statement of a fan-out, or all of it, took longer than allowed; the message says which.

    What ran was stopped. `outcome` is NOT_APPLIED where only reads were stopped, else UNKNOWN.
    """

    __module__ = _OURS

    def __init__(self, message: str, outcome: Outcome = Outcome.NOT_APPLIED) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.retryable = outcome is Outcome.NOT_APPLIED


class FanOutError(Error, ExceptionGroup[Exception]):
    """Some statements of a fan-out failed, the others ran; `exceptions` are in statement order.

    `failures` has (index, error) of each. `results` has, by index, what succeeded in `gather()`;
    `map()` has yielded it. `outcome` is NOT_APPLIED if every failed statement says so, else
    UNKNOWN.
    """

    __module__ = _OURS
    failures: tuple[tuple[int, Exception], ...]
    results: dict[int, Result[Any]]

    def __new__(
        cls,
        message: str,
        exceptions: Sequence[Exception],
        failures: Sequence[tuple[int, Exception]] = (),  # noqa: ARG004 - for __init__
    ) -> Self:
        return super().__new__(cls, message, exceptions)

    def __init__(
        self,
        message: str,
        exceptions: Sequence[Exception],
        failures: Sequence[tuple[int, Exception]] = (),
    ) -> None:
        super().__init__(message, exceptions)
        self.failures = tuple(failures)
        self.results = {}
        undone = (getattr(e, "outcome", None) is Outcome.NOT_APPLIED for e in exceptions)
        self.outcome = Outcome.NOT_APPLIED if all(undone) else Outcome.UNKNOWN

    def derive(self, excs: Sequence[Any], /) -> FanOutError:  # type: ignore[override]  # of Exceptions
        """The same for some of the errors, as `split()` and `except*` need it."""
        wanted = set(map(id, excs))
        failures = [failure for failure in self.failures if id(failure[1]) in wanted]
        derived = FanOutError(self.message, excs, failures)
        derived.results = self.results
        return derived
