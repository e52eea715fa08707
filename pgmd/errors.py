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
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

import psycopg
import psycopg_pool

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow as pa

_OURS = "pgmd"
# Serialization failure, deadlock, lock not available, too many connections, starting up.
_TRY_AGAIN = frozenset({"40001", "40P01", "55P03", "53300", "57P03"})


class Outcome(enum.Enum):
    """Whether the statement that failed had an effect."""

    NOT_APPLIED = "not applied"
    APPLIED = "applied"
    UNKNOWN = "unknown"


def annotate(
    error: psycopg.Error,
    *,
    is_read: bool,
    lost: bool = False,
    in_transaction: bool = False,
    executed: bool = False,
) -> psycopg.Error:
    """Set `outcome` and `retryable` on what a driver raised; return it.

    *executed*: the server had done its work, and what it returned could not be read.
    *lost*: the connection died, so the answer may have. A server rolls an open transaction back
    when that happens, so only a write outside one, or a COMMIT, is in doubt.
    """
    if hasattr(error, "outcome"):
        return error
    outcome = Outcome.NOT_APPLIED
    if not is_read and not in_transaction:
        outcome = Outcome.APPLIED if executed else Outcome.UNKNOWN if lost else outcome
    facts: Any = error
    facts.outcome = outcome
    facts.retryable = outcome is Outcome.NOT_APPLIED and (
        error.sqlstate in _TRY_AGAIN or (lost and is_read)
    )
    return error


class Decided(Protocol):
    """The decision that an error carries, see `pgmd.Decision`."""

    @property
    def route(self) -> enum.Enum: ...
    @property
    def reason(self) -> enum.Enum: ...
    @property
    def detail(self) -> str: ...
    @property
    def remedy(self) -> str: ...
    def explain(self) -> str: ...
    def report(self) -> str: ...


class Fetched(Protocol):
    """A result that an error carries, see `pgmd.Result`."""

    rowcount: int

    @property
    def decision(self) -> Decided: ...
    @property
    def description(self) -> Sequence[Any] | None: ...
    def fetchone(self) -> Any: ...
    def fetchmany(self, size: int = 1) -> list[Any]: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def batches(self) -> Iterator[pa.RecordBatch]: ...
    def arrow(self) -> pa.Table: ...
    def df(self) -> pandas.DataFrame: ...
    def pl(self) -> polars.DataFrame: ...


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

    def __init__(self, message: str, decision: Decided) -> None:
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
    results: Mapping[int, Fetched]

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
