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
         ├─ PoolTimeout (also psycopg_pool.PoolTimeout, TimeoutError)
         ├─ PoolFull (also psycopg_pool.TooManyRequests)
         └─ PoolClosed (also psycopg_pool.PoolClosed)
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import psycopg
import psycopg_pool

if TYPE_CHECKING:
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
