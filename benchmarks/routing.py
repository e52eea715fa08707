"""What it costs to decide where a statement runs, next to parsing it: medians, one run.

    python benchmarks/routing.py [--rounds 30] [--calls 50]

Peers are the parsers that a router could ask instead; those that are not installed are named. All
of them are called in each round, A B C A B C ..., and each figure is the median over rounds.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import logging
import statistics
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from pgmd.knowledge import Knowledge
from pgmd.routing.router import Site
from pgmd.servers.profile import Dialect
from pgmd.sql import statement
from pgmd.sql.lexer import tokens

CORPUS = Path(__file__).parent.parent / "tests" / "corpora" / "statements.toml"
QUERY = (
    "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id "
    "WHERE o.created >= '2024-01-01' AND o.status IN ('paid', 'sent') AND c.region = $1 "
    "ORDER BY o.created DESC LIMIT 50"
)
# Not plain, so that its tokens are walked through.
COMMENTED = QUERY.replace("JOIN", "/* and */ JOIN")
LONG = " UNION ALL ".join(f"({QUERY.replace('2024', str(2024 + n))})" for n in range(110))
CACHED, ANALYSE, TOKENS = "cached", "analyse", "tokens"

Work = Callable[[str], Any]


def ours() -> dict[str, Work]:
    knowledge = Knowledge(Site.imagined(Dialect.DUCKDB), dt.UTC)
    return {CACHED: knowledge.verdict, ANALYSE: statement._analyse, TOKENS: tokens}


def peers() -> tuple[dict[str, Work], list[str]]:
    """Those that can be asked, and the names of those that are not installed."""
    connection = duckdb.connect()
    found: dict[str, Work] = {
        "extract": connection.extract_statements,
        "tokenize": duckdb.tokenize,
    }
    missing = []
    for name in ("pglast", "sqlglot"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            missing.append(name)
            continue
        parse = module.parse_sql if name == "pglast" else module.parse
        found[name] = parse if name == "pglast" else lambda sql: parse(sql, dialect="duckdb")
    return found, missing


def per_text(work: Work, texts: list[str], calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        for text in texts:
            work(text)
    return (time.perf_counter() - began) / calls / len(texts) * 1e6


def measure(works: dict[str, Work], texts: list[str], rounds: int, calls: int) -> dict[str, float]:
    for work in works.values():
        per_text(work, texts, 1)
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(per_text(work, texts, calls))
    return {name: statistics.median(times) for name, times in taken.items()}


def reads(work: Work, text: str) -> bool:
    try:
        work(text)
    except Exception:  # noqa: BLE001 - each parser has errors of its own
        return False
    return True


def report(name: str, medians: dict[str, float]) -> None:
    print(f"\n{name:44} {'us':>10} {'of analyse':>11}")
    for who, median in medians.items():
        print(f"  {who:42} {median:10.2f} {median / medians[ANALYSE]:11.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=50)
    options = parser.parse_args()
    logging.disable()
    rounds, calls = options.rounds, options.calls
    parsers, missing = peers()
    works = ours() | parsers
    corpus = [text for texts in tomllib.loads(CORPUS.read_text()).values() for text in texts]
    common = [text for text in corpus if all(reads(work, text) for work in works.values())]

    print(f"duckdb {duckdb.__version__}; median us per text, and how often {ANALYSE} fits into it")
    if missing:
        print(f"not installed: {', '.join(missing)}")
    report(f"a query of {len(QUERY)} characters", measure(works, [QUERY], rounds, calls))
    name = f"the same with a comment, {len(COMMENTED)} characters"
    report(name, measure(works, [COMMENTED], rounds, calls))
    few = max(1, calls // 50)
    report(f"{len(LONG) / 1000:.0f} KB of SQL", measure(works, [LONG], rounds, few))
    name = f"{len(common)} texts of the corpus, which all can read"
    report(name, measure(works, common, rounds, few))
    decisions = {name: works[name] for name in (CACHED, ANALYSE)}
    report(f"all {len(corpus)} texts of the corpus", measure(decisions, corpus, rounds, few))


if __name__ == "__main__":
    main()
