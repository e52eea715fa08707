"""What statements really do, against what routing takes them for: on a database that records it."""

from __future__ import annotations

import functools
import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgmd.sql import Statement

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


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is generated."""

    seed: int = 7
    rounds: int = 8  # of each query of the grammar
    share: int = 8  # one of so many positions of an impure expression
    disguises: int = 5
    sample: int = 250  # of the generated ones, to be disguised


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
    calls = [("function", sql) for sql in function_calls(amount.seed, world.connection)]
    disguises = [
        (f"disguised {family}", text)
        for family, sql in [*corpus, *roll.sample(grammar, amount.sample)]
        for text in disguised(sql, roll, amount.disguises)
    ]
    found: dict[str, str] = {}
    for family, sql in [*corpus, *grammar, *calls, *disguises]:
        # That one would wait for somebody to type.
        if "stdin" not in sql.lower():
            found.setdefault(sql, family)
    cases = [(family, sql) for sql, family in found.items()]
    roll.shuffle(cases)
    return cases


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    oracle = Oracle(tmp_path_factory.mktemp("oracle").resolve(), Amount())
    yield oracle
    oracle.world.close()


@pytest.mark.parametrize("number", range(CHUNKS))
def test_what_is_routable_has_no_effect(number: int, oracle: Oracle) -> None:
    wrong = [r for r in oracle.chunk(number) if r.statement.is_read and r.outcome.changes]
    assert not wrong, "\n".join(map(_told, wrong))
    assert not oracle.world.check()


def _told(run: Run) -> str:
    changes = ", ".join(run.outcome.changes)
    return f"{run.family}: {run.sql!r}\n  changed {changes}; taken for {run.statement.facts}"
