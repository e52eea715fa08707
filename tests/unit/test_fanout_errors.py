"""The errors of a fan-out, as exception groups and as psycopg's."""

from __future__ import annotations

import pickle

import psycopg
import pytest

from pgmd import Error, FanOutError, Outcome, StatementTimeout
from pgmd.errors import annotate


def group() -> FanOutError:
    late = StatementTimeout("query_timeout=1: too long", Outcome.UNKNOWN)
    wrong = annotate(psycopg.errors.UndefinedTable("no table"), is_read=True)
    errors: list[Exception] = [late, wrong]
    failed = FanOutError("some failed", errors, [(3, late), (7, wrong)])
    failed.results = {0: None}  # type: ignore[dict-item]
    return failed


def test_it_is_both_a_group_and_an_error() -> None:
    failed = group()
    assert isinstance(failed, ExceptionGroup)
    assert isinstance(failed, Error)
    assert failed.outcome is Outcome.UNKNOWN
    assert not failed.retryable


def test_split_keeps_the_numbers() -> None:
    late, rest = group().split(TimeoutError)
    assert isinstance(late, FanOutError)
    assert isinstance(rest, FanOutError)
    assert [index for index, _ in late.failures] == [3]
    assert [index for index, _ in rest.failures] == [7]
    assert (late.outcome, rest.outcome) == (Outcome.UNKNOWN, Outcome.NOT_APPLIED)
    assert late.results == rest.results == {0: None}


def test_except_star_sees_the_members() -> None:
    seen: list[type[BaseException]] = []
    try:
        raise group()
    except* StatementTimeout as late:
        seen += map(type, late.exceptions)
    except* psycopg.errors.UndefinedTable as missing:
        seen += map(type, missing.exceptions)
    assert seen == [StatementTimeout, psycopg.errors.UndefinedTable]


def test_a_time_out_is_psycopgs_too() -> None:
    late = StatementTimeout("timeout=1: too long")
    with pytest.raises(psycopg.errors.QueryCanceled):
        raise late
    assert isinstance(late, TimeoutError)
    assert late.sqlstate == "57014"
    assert (late.outcome, late.retryable) == (Outcome.NOT_APPLIED, True)


def test_it_can_be_sent_to_another_process() -> None:
    again = pickle.loads(pickle.dumps(group()))
    assert [index for index, _ in again.failures] == [3, 7]
    assert str(again) == str(group())
