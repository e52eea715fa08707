from __future__ import annotations

from typing import Any

import psycopg
import pytest

from pgmd.errors import Outcome, PoolTimeout, annotate


@pytest.mark.parametrize(
    ("error", "facts", "outcome", "retryable"),
    [
        (psycopg.errors.UniqueViolation(), {"is_read": False}, Outcome.NOT_APPLIED, False),
        (psycopg.errors.SerializationFailure(), {"is_read": False}, Outcome.NOT_APPLIED, True),
        (psycopg.OperationalError(), {"is_read": False, "lost": True}, Outcome.UNKNOWN, False),
        (psycopg.OperationalError(), {"is_read": True, "lost": True}, Outcome.NOT_APPLIED, True),
        (
            psycopg.OperationalError(),
            {"is_read": False, "lost": True, "in_transaction": True},
            Outcome.NOT_APPLIED,
            False,
        ),
        (psycopg.DataError(), {"is_read": False, "executed": True}, Outcome.APPLIED, False),
        (psycopg.DataError(), {"is_read": True, "executed": True}, Outcome.NOT_APPLIED, False),
        (
            psycopg.errors.AdminShutdown(),
            {"is_read": False, "lost": True},
            Outcome.UNKNOWN,
            False,
        ),
    ],
)
def test_what_is_known_after_a_failure(
    error: psycopg.Error, facts: dict[str, bool], outcome: Outcome, retryable: bool
) -> None:
    annotated: Any = annotate(error, **facts)
    assert (annotated.outcome, annotated.retryable) == (outcome, retryable)
    assert annotated is error


def test_the_first_verdict_stays() -> None:
    error: Any = annotate(psycopg.OperationalError(), is_read=False, lost=True)
    again = annotate(error, is_read=True)
    assert error.outcome is Outcome.UNKNOWN
    assert again is error


def test_pgmds_own_errors_were_not_sent() -> None:
    error = PoolTimeout("no connection")
    assert (error.outcome, error.retryable) == (Outcome.NOT_APPLIED, True)
