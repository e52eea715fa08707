"""Whether two rounds gave the same answers, and the report in words and figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pgmd

from .dashboard import Asked
from .rounds import SIDE_BY_SIDE, Answer, Round

_HEAD = ("round", "queries", "on replicas", "wall s", "q/s", "p50 ms", "p95 ms", "answers equal")
_SHOWN = 5


def difference(expected: Answer, got: Answer) -> str:
    """What differs first between two answers, or "": names, order, types and values all count."""
    if expected.columns != got.columns:
        return f"columns {got.columns}, not {expected.columns}"
    if len(expected.rows) != len(got.rows):
        return f"{len(got.rows)} rows, not {len(expected.rows)}"
    for number, (right, row) in enumerate(zip(expected.rows, got.rows, strict=True), start=1):
        for column, wanted, value in zip(expected.columns, right, row, strict=True):
            # By repr, 1.0 and 1.00 or equal moments in two time zones are not the same.
            if type(wanted) is not type(value) or repr(wanted) != repr(value):
                return f"row {number}, {column}: {value!r}, not {wanted!r}"
    return ""


def differences(
    queries: Sequence[Asked], expected: Sequence[Answer], got: Sequence[Answer]
) -> list[str]:
    """A line for every query whose answers differ."""
    compared = zip(queries, map(difference, expected, got), strict=True)
    return [f"{what}\n    {query.sql} {query.params}" for query, what in compared if what]


def is_good(rounds: Sequence[Round], queries: Sequence[Asked]) -> bool:
    """Whether every round gave the first one's answers and the writers saw all they wrote."""
    first = rounds[0].answers
    return all(
        not differences(queries, first, each.answers)
        and each.written.found == each.written.transactions
        for each in rounds
    )


def report(rounds: Sequence[Round], queries: Sequence[Asked]) -> Iterator[str]:
    """The lines of the report; the first round is what the others are compared with."""
    yield from _table([_HEAD, *_measures(rounds, queries)])
    yield f"every session has {SIDE_BY_SIDE} queries under way, each with a connection"
    yield ""
    yield "queries by route and reason"
    for each in rounds:
        yield f"  {each.name}"
        yield from _reasons(answer.decision for answer in each.answers)
    yield ""
    yield "one session wrote while the queries ran, and looked for its own rows after each commit"
    for each in rounds:
        yield from _writer(each)
    yield ""
    for each in rounds[1:]:
        yield from _verdict(each, queries, rounds[0])


def _measures(rounds: Sequence[Round], queries: Sequence[Asked]) -> Iterator[tuple[str, ...]]:
    for each in rounds:
        times = sorted((answer.decision.seconds or 0.0) * 1000 for answer in each.answers)
        equal = len(queries) - len(differences(queries, rounds[0].answers, each.answers))
        yield (
            each.name,
            f"{len(queries)}",
            f"{sum(answer.decision.route is pgmd.Route.REPLICA for answer in each.answers)}",
            f"{each.seconds:.2f}",
            f"{len(queries) / each.seconds:.1f}",
            f"{_percentile(times, 50):.1f}",
            f"{_percentile(times, 95):.1f}",
            "" if each is rounds[0] else f"{equal}/{len(queries)}",
        )


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _table(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they need to be, the first one to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *rest in lines:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def _reasons(decisions: Iterable[pgmd.Decision]) -> Iterator[str]:
    counted = Counter(map(_reason, decisions))
    for (route, reason, detail), count in counted.most_common():
        yield f"    {count:5}  {route}: {reason}{f' ({detail})' if detail else ''}"


def _reason(decision: pgmd.Decision) -> tuple[str, str, str]:
    # How old the freshest replica was is another figure each time.
    detail = "" if decision.reason is pgmd.Reason.STALE else decision.detail
    return decision.route.value, decision.reason.value, detail


def _writer(each: Round) -> Iterator[str]:
    done = each.written
    yield (
        f"  {each.name}: {done.rows} rows in {done.transactions} transactions, "
        f"read its own writes {done.found}/{done.transactions}"
    )
    yield from _reasons(done.decisions)


def _verdict(each: Round, queries: Sequence[Asked], first: Round) -> Iterator[str]:
    found = differences(queries, first.answers, each.answers)
    equal = len(queries) - len(found)
    yield f"{each.name}: answers equal on both routes: {equal}/{len(queries)}"
    for line in found[:_SHOWN]:
        yield f"  differs: {line}"
    if len(found) > _SHOWN:
        yield f"  and {len(found) - _SHOWN} more"
