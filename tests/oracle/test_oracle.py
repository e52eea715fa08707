"""What statements really do, against what routing takes them for: on a database that records it."""

from __future__ import annotations

import collections
import functools
import json
import os
import random
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgmd.sql import Statement, analyse

from .disguises import disguised
from .generator import function_calls, generated
from .rules import routing
from .state import Outcome, World

CORPUS: dict[str, list[str]] = tomllib.loads(
    (Path(__file__).parents[1] / "corpora" / "statements.toml")
    .read_text()
    .replace("sleep(1)", "sleep(0.001)")
)
CHUNKS = 24
ENOUGH = 3000
RAN, HARMLESS, ROUTED = "ran", "without effect", "of these routable"
# One test may find that nothing was run yet.
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is generated. An effect costs ten times as much as none: most are reads."""

    seed: int = 7
    rounds: int = 12  # of each query of the grammar
    share: int = 8  # one of so many positions of an impure expression
    disguises: int = 3  # of each statement in the corpus
    sample: int = 240  # of the generated queries, to be disguised
    calls: int = 2  # of each function


@dataclass(frozen=True, slots=True)
class Run:
    """One statement, what it was taken for and what it did."""

    family: str
    sql: str
    statement: Statement
    outcome: Outcome


class Oracle:
    """All cases, and what became of those that were run."""

    def __init__(self, root: Path, amount: Amount) -> None:
        self.world = World(root)
        self.judge = routing(self.world.connection)
        self.cases = _cases(self.world, amount)
        self.chunk = functools.cache(self._chunk)

    def _chunk(self, number: int) -> tuple[Run, ...]:
        return tuple(self.run(*case) for case in self.cases[number::CHUNKS])

    def run(self, family: str, sql: str) -> Run:
        return Run(family, sql, self.judge(sql), self.world.run(sql))


def _cases(world: World, amount: Amount) -> list[tuple[str, str]]:
    """Family and text; each text once, in a fixed order, well mixed."""
    roll = random.Random(amount.seed)
    corpus = [(f"corpus {group}", sql) for group, texts in CORPUS.items() for sql in texts]
    grammar = list(generated(amount.seed, amount.rounds, amount.share))
    calls = function_calls(amount.seed, world.connection, amount.calls)
    sample = roll.sample(grammar, amount.sample)
    found: dict[str, str] = {}
    for family, sql in [*corpus, *grammar, *(("function", sql) for sql in calls)]:
        found.setdefault(sql, family)
    for family, sql in [*corpus, *sample]:
        for text in disguised(sql, roll, amount.disguises):
            found.setdefault(text, f"disguised {family}")
    # That one would wait for somebody to type.
    cases = [(family, sql) for sql, family in found.items() if "stdin" not in sql.lower()]
    roll.shuffle(cases)
    return cases


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    oracle = Oracle(tmp_path_factory.mktemp("oracle").resolve(), Amount())
    yield oracle
    oracle.world.close()


@pytest.mark.parametrize("number", range(CHUNKS))
def test_what_is_routable_has_no_effect(number: int, oracle: Oracle, tally: Path) -> None:
    runs = oracle.chunk(number)
    found = wrong(runs)
    assert not found, "\n".join(map(told, found))
    assert not oracle.world.check()
    (tally / str(number)).write_text(json.dumps(counted(runs)))
    counts = [json.loads(file.read_text() or "{}") for file in tally.iterdir()]
    if len(counts) == CHUNKS and all(counts):
        check_enough(sum(map(collections.Counter, counts), collections.Counter()))


@pytest.fixture
def tally(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the chunks leave their counts: the last one finds those of every process."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    (folder / "oracle-tally").mkdir(exist_ok=True)
    return folder / "oracle-tally"


def counted(runs: Iterable[Run]) -> dict[str, int]:
    """How many ran, and of how many families."""
    ran = [run for run in runs if not run.outcome.error]
    harmless = [run for run in ran if not run.outcome.changes]
    routed = [run for run in harmless if run.statement.is_read]
    families = collections.Counter(run.family for run in ran)
    return {RAN: len(ran), HARMLESS: len(harmless), ROUTED: len(routed), **families}


def check_enough(counts: collections.Counter[str]) -> None:
    print(*(f"{count:6} {name}" for name, count in counts.most_common()), sep="\n")
    assert counts[RAN] >= ENOUGH
    assert counts[RAN] - counts[HARMLESS] >= ENOUGH // 10
    assert counts[ROUTED] >= ENOUGH // 3


def wrong(runs: Iterable[Run]) -> list[Run]:
    """Those with an effect that an engine would have sent to a replica."""
    return [run for run in runs if run.statement.is_read and run.outcome.changes]


def told(run: Run) -> str:
    changes = ", ".join(run.outcome.changes)
    return f"{run.family}: {run.sql!r}\n  changed {changes}; taken for {run.statement.facts}"


@pytest.mark.parametrize("sql", CORPUS["read"])
def test_a_plain_read_is_routable(sql: str, oracle: Oracle) -> None:
    run = oracle.run("", sql)
    assert run.statement.is_read, run.statement.why
    assert not run.outcome.changes


EFFECTS = [
    ("SELECT nextval('s')", "sequences"),
    ("SELECT nextval('s'), error('x')", "sequences"),
    ("SELECT macro_that_calls_nextval()", "sequences"),
    ("FROM view_over_view", "sequences"),
    ("SELECT setseed(0.1)", "random()"),
    ("INSERT INTO u VALUES (1)", "oracle.duckdb.wal changed"),
    ("EXECUTE writing", "oracle.duckdb.wal changed"),
    ("FROM checkpoint()", "oracle.duckdb changed"),
    ("DROP TABLE temp_table", "tables"),
    ("UPDATE tt SET a = 1; UPDATE temp_table SET a = 6", "temporary rows"),
    ("CREATE TEMP TABLE n (a integer)", "tables"),
    ("CREATE TEMP VIEW n AS SELECT 1", "views"),
    ("CREATE TEMP SEQUENCE n", "sequences"),
    ("CREATE TEMP TYPE n AS ENUM ('a')", "types"),
    ("CREATE TEMP MACRO n() AS 1", "macros"),
    ("CREATE MACRO n() AS TABLE FROM t", "macros"),
    ("DROP MACRO temp_macro", "macros"),
    ("COMMENT ON VIEW temp_view IS 'new'", "views"),
    ("SET threads = 3", "settings"),
    ("SET VARIABLE n = 1", "variables"),
    ("RESET VARIABLE x", "variables"),
    ("PREPARE n AS SELECT 1", "prepared statements"),
    ("DEALLOCATE p", "prepared statements"),
    ("USE side", "schema"),
    ("BEGIN", "transaction"),
    ("BEGIN; SELECT no_such_column", "transaction"),
    ("ATTACH ':memory:' AS n", "databases"),
    ("SELECT write_log('x')", "log"),
    ("FROM read_text('a.txt')", "files/a.txt read"),
    ("FROM 'data.csv'", "files/data.csv read"),
    ("FROM 'x.parquet'", "files/x.parquet read"),
    ("FROM view_over_file", "files/data.csv read"),
    ("FROM glob('*')", "files read"),
    ("COPY t TO 'out.csv'", "files changed"),
    ("COPY t TO 'x.csv'", "files/x.csv changed"),
    ("EXPORT DATABASE 'n'", "files changed"),
    ("FORCE INSTALL nowhere", "home changed"),
]


@pytest.mark.parametrize(("sql", "part"), EFFECTS)
def test_an_effect_is_seen(sql: str, part: str, oracle: Oracle) -> None:
    assert part in oracle.world.run(sql).changes
    assert not oracle.world.check()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT random(), uuid(), now()",
        "FROM t USING SAMPLE 2",
        "SELECT a FROM temp_table",
        "PIVOT t ON b USING sum(a)",
        "EXPLAIN INSERT INTO u VALUES (1)",
        "EXPLAIN ANALYZE SELECT a FROM t",
        "BEGIN; SELECT 1; ROLLBACK",
        "BEGIN; SELECT 1; COMMIT",
        "SELECT no_such_column",
        "SHOW t",
        "FROM duckdb_settings()",
    ],
)
def test_no_effect_is_seen(sql: str, oracle: Oracle) -> None:
    assert not oracle.world.run(sql).changes
    assert not oracle.world.check()


def test_what_was_changed_is_put_back(oracle: Oracle) -> None:
    for sql in ("DROP TABLE t", "SET VARIABLE x = 1", "COPY u TO 'data.csv'", "USE side"):
        assert oracle.world.run(sql).changes
        assert not oracle.world.check()
    assert oracle.world.connection.execute("SELECT count(*) FROM t").fetchall() == [(3,)]


@pytest.mark.parametrize(
    "sql", ["SELECT nextval('s')", "FROM 'data.csv'", "SELECT setseed(0.1)", "BEGIN"]
)
def test_a_wrong_judgement_would_be_told(sql: str, oracle: Oracle) -> None:
    run = Run("family", sql, analyse("SELECT 1"), oracle.world.run(sql))
    assert wrong([run]) == [run]
    assert repr(sql) in told(run)
    assert run.outcome.changes[0] in told(run)
