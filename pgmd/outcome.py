"""Whether a statement that failed had an effect, and whether it may be tried again."""

from __future__ import annotations

from typing import Any

import psycopg

from .errors import Outcome

# Serialization failure, deadlock, lock not available, too many connections, starting up.
_TRY_AGAIN = frozenset({"40001", "40P01", "55P03", "53300", "57P03"})


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
