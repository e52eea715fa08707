"""One measured round: sessions that ask the dashboard's queries, beside one that keeps writing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import pgmd

from .dashboard import Asked
from .progress import Progress

# Queries that one session has under way at once.
SIDE_BY_SIDE = 2
_ROWS_PER_WRITE = 2
# Seconds between two transactions of the writer.
_PAUSE = 0.02
_INSERT = "INSERT INTO annotations (author, note) VALUES (%s, %s), (%s, %s)"
_COUNT = "SELECT count(*) AS notes FROM annotations WHERE author = %s"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one query, and from where."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    decision: pgmd.Decision


@dataclass(frozen=True, slots=True)
class Written:
    """What the writer did, and whether it found its own rows each time it looked."""

    author: str
    rows: int
    transactions: int
    found: int
    decisions: list[pgmd.Decision]
    bookmark: pgmd.Bookmark


@dataclass(frozen=True, slots=True)
class Round:
    """One way to run the queries, measured; answers are in the order of the queries."""

    name: str
    answers: list[Answer]
    seconds: float
    written: Written


def run_round(
    engine: pgmd.Engine,
    name: str,
    queries: Sequence[Asked],
    *,
    sessions: int,
    progress: Progress,
) -> Round:
    """Ask all *queries* from *sessions* threads. The first error ends the round and is raised."""
    over = threading.Event()
    progress.start(name, len(queries))
    with ThreadPoolExecutor(sessions + 1, "pgmd-demo") as threads:
        writing = threads.submit(_write, engine, name, over)
        began = time.perf_counter()
        try:
            shares = [list(enumerate(queries))[n::sessions] for n in range(sessions)]
            asking = [
                threads.submit(_ask, engine, f"viewer-{n}", share, over, progress)
                for n, share in enumerate(shares)
            ]
            answers = dict(pair for share in asking for pair in share.result())
            seconds = time.perf_counter() - began
        finally:
            over.set()
        written = writing.result()
    return Round(name, [answers[n] for n in range(len(queries))], seconds, written)


def _ask(
    engine: pgmd.Engine,
    user: str,
    share: Iterable[tuple[int, Asked]],
    over: threading.Event,
    progress: Progress,
) -> list[tuple[int, Answer]]:
    """One viewer's queries, statement by statement; each answer with the query's number."""
    answers: list[tuple[int, Answer]] = []
    by_statement = sorted(share, key=lambda pair: pair[1].sql)
    with engine.session(user=user) as session:
        for sql, group in groupby(by_statement, lambda pair: pair[1].sql):
            numbered = [(number, query.params) for number, query in group]
            results = session.map(sql, map(itemgetter(1), numbered), concurrency=SIDE_BY_SIDE)
            for (number, _), result in zip(numbered, results, strict=True):
                answers.append((number, read(result)))
                progress.advance()
            if over.is_set():
                break
    return answers


def read(result: pgmd.Result[Any]) -> Answer:
    """Keep what is compared: names, rows and the decision."""
    columns = [column.name for column in result.description or ()]
    return Answer(columns, result.fetchall(), result.decision)


def _write(engine: pgmd.Engine, author: str, over: threading.Event) -> Written:
    """Write in transactions until the round is over, and look for the rows after each."""
    rows = found = 0
    decisions = []
    with engine.session(user="writer") as session:
        while not over.is_set():
            with session.transaction() as transaction:
                transaction.execute(_INSERT, [author, f"note {rows}", author, f"note {rows + 1}"])
            rows += _ROWS_PER_WRITE
            count, decision = count_notes(session, author)
            found += count == rows
            decisions.append(decision)
            over.wait(_PAUSE)
        return Written(author, rows, len(decisions), found, decisions, session.bookmark)


def count_notes(session: pgmd.Session, author: str) -> tuple[int, pgmd.Decision]:
    """How many rows of *author* this session sees, and where it looked."""
    result = session.execute(_COUNT, [author])
    return result.fetchall()[0][0], result.decision
