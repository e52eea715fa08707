"""Run psycopg's and psycopg_pool's own test suites with pgmd's classes in the place of theirs.

    python tests/conformance/run.py CHECKOUT --dsn DSN --mode MODE [options] [-- pytest's arguments]

The outcome of each test is compared with a run of plain psycopg, which is made if there is none
yet. The exit code is 0 if nothing differs but what `deselected.txt` names. README.md says more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
DESELECTED = HERE / "deselected.txt"
LOCAL = "local"

WITH_ENGINE = ["--replicas", "1"]
MODES: dict[str, list[str]] = {
    "plain": [],
    "fixes": [],
    "routing": WITH_ENGINE,
    "autocommit": [*WITH_ENGINE, "--autocommit"],
    "lazy-begin": WITH_ENGINE,
}
SUITES = {"psycopg": ["tests", "--ignore=tests/pool"], "pool": ["tests/pool"]}


@dataclass(frozen=True, slots=True)
class Outcome:
    result: str
    message: str = ""


@dataclass(slots=True)
class Run:
    """The outcomes by id of a test; `finished` only if pytest came to its end."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    finished: bool = False

    def summary(self) -> str:
        found = Counter(outcome.result for outcome in self.outcomes.values())
        results = ", ".join(f"{found[name]} {name}" for name in ("passed", "failed", "skipped"))
        return results + "".join(f", {count} {name}" for name, count in self.counts.items())


@dataclass(frozen=True, slots=True)
class Entry:
    """A test that may differ, in some modes or in all of them, and why."""

    modes: str
    test: str
    reason: str

    def covers(self, mode: str, test: str) -> bool:
        of_test = test == self.test or test.partition("[")[0] == self.test
        return of_test and (self.modes == "*" or mode in self.modes.split(","))


def read_deselected(text: str) -> list[Entry]:
    """Read `MODES ID` lines; the comment above them, up to an empty line, is their reason."""
    entries = []
    reason: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if not line:
            reason = []
        elif line.startswith("#"):
            reason.append(line.lstrip("# "))
        else:
            modes, test = line.split(maxsplit=1)
            entries.append(Entry(modes, test, " ".join(reason)))
    return entries


def differences(plain: Run, ours: Run, *, whole: bool) -> list[str]:
    """The tests that do not end as with plain psycopg, those that now pass left out."""
    ids = ours.outcomes if not whole else plain.outcomes | ours.outcomes
    return [test for test in ids if is_worse(plain.outcomes.get(test), ours.outcomes.get(test))]


def is_worse(plain: Outcome | None, ours: Outcome | None) -> bool:
    if ours is None or plain is None:
        return True
    return ours.result not in ("passed", plain.result)


@dataclass(frozen=True, slots=True)
class Runner:
    options: argparse.Namespace

    def saved(self, name: str) -> Path:
        parts = [self.options.suite, self.options.impl, name]
        if self.options.dsn == LOCAL:
            parts.insert(0, LOCAL)
        if self.options.slow:
            parts.append("slow")
        return Path(self.options.results) / f"{'-'.join(parts)}.jsonl"

    def plain(self) -> Run:
        """The saved run of plain psycopg, or a new one if that is asked for or there is none."""
        name = "plain-autocommit" if self.options.mode == "autocommit" else "plain"
        saved = read_run(self.saved(name))
        if saved.finished and self.options.mode != "plain":
            return saved
        autocommit = ["--autocommit"] if self.options.mode == "autocommit" else []
        run = self._run(name, autocommit, SUITES[self.options.suite])
        print(f"{name}: {run.summary()}", flush=True)
        return run

    def ours(self, tests: list[str], name: str = "") -> Run:
        """A run with the drop-in's classes."""
        mode = self.options.mode
        return self._run(mode + name, ["--swap-in", self.options.package, *MODES[mode]], tests)

    def _run(self, name: str, arguments: list[str], tests: list[str]) -> Run:
        saved = self.saved(name)
        saved.parent.mkdir(parents=True, exist_ok=True)
        saved.unlink(missing_ok=True)
        if not self.options.slow:
            arguments = [*arguments, "-m", "not slow"]
        with self._database() as dsn, tempfile.TemporaryDirectory() as folder:
            tests_file = Path(folder, "tests")
            tests_file.write_text("\n".join(tests), "utf-8")
            command = [sys.executable, "-m", "pytest", "-q", "-p", "conformance_plugin"]
            command += ["-p", "no:randomly", "-o", f"cache_dir={folder}", "--tb=short"]
            command += ["--test-dsn", dsn, "--outcomes", str(saved), *arguments]
            command += ["--test-seconds", str(self.options.test_seconds)]
            command.append(f"@{tests_file}")
            self._pytest(command, saved.with_suffix(".log"))
        return read_run(saved)

    def _pytest(self, command: list[str], log: Path) -> None:
        paths = [str(HERE), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PSYCOPG_IMPL": self.options.impl,
            "PGMD_ROUTE_READS": "lazy-begin" if self.options.mode == "lazy-begin" else "autocommit",
        }
        with log.open("w") as out:
            try:
                subprocess.run(
                    command,
                    cwd=self.options.checkout,
                    env=environment,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    timeout=self.options.timeout,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                print(f"stopped after {self.options.timeout} s")

    @contextmanager
    def _database(self) -> Iterator[str]:
        """An empty database for one run."""
        if self.options.dsn == LOCAL:
            sys.path.append(str(REPOSITORY))
            from pgmd.local import LocalEndpoint

            with (
                tempfile.TemporaryDirectory() as folder,
                LocalEndpoint(Path(folder, "suite.duckdb")) as endpoint,
            ):
                yield endpoint.dsn
            return
        name = f"conformance_{os.getpid()}"
        identifier = sql.Identifier(name)
        with psycopg.connect(self.options.dsn, autocommit=True) as conn:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        try:
            yield make_conninfo(self.options.dsn, dbname=name)
        finally:
            with psycopg.connect(self.options.dsn, autocommit=True) as conn:
                conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def read_run(path: Path) -> Run:
    run = Run()
    if not path.exists():
        return run
    for line in path.read_text("utf-8").splitlines():
        test, result, message = json.loads(line)
        if test:
            run.outcomes[test] = Outcome(result, message)
        else:
            run.counts, run.finished = message, True
    return run


def compare(runner: Runner) -> int:
    """Run the suite in the mode asked for; print how it compares and return the exit code."""
    mode = runner.options.mode
    plain = runner.plain()
    if mode == "plain":
        return 0 if plain.finished else 1
    ours = runner.ours([*SUITES[runner.options.suite], *runner.options.pytest])
    print(f"{mode}: {ours.summary()}", flush=True)
    whole = ours.finished and not runner.options.pytest
    first = differences(plain, ours, whole=whole)
    again = runner.ours(first, "-again") if first else Run()
    repeated = [
        test for test in first if is_worse(plain.outcomes.get(test), again.outcomes.get(test))
    ]
    entries = read_deselected(DESELECTED.read_text("utf-8"))
    unlisted = [test for test in repeated if not any(e.covers(mode, test) for e in entries)]
    for test in first:
        kind = "difference" if test in unlisted else "listed" if test in repeated else "once only"
        outcome = (again if test in repeated else ours).outcomes.get(test, Outcome("missing"))
        message, _, _ = outcome.message.partition("\n")
        print(f"{kind}: {test}\n    {message[:200]}")
    print(
        f"{len(repeated)} differences, {len(repeated) - len(unlisted)} of them listed;"
        f" {len(first) - len(repeated)} once only"
    )
    if not ours.finished:
        print("pytest did not come to its end")
    return 0 if ours.finished and not unlisted else 1


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", type=Path, help="of psycopg, at the tag of what is installed")
    parser.add_argument("--dsn", required=True, help="a server, or 'local' for the local endpoint")
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--suite", choices=SUITES, default="psycopg")
    parser.add_argument("--impl", choices=("binary", "c", "python"), default="binary")
    parser.add_argument("--slow", action="store_true", help="the tests marked slow, too")
    parser.add_argument("--results", type=Path, help="a folder [CHECKOUT/.conformance]")
    parser.add_argument("--timeout", type=float, default=1200, help="of one run, in seconds")
    parser.add_argument("--test-seconds", type=float, default=90, help="of one test")
    parser.add_argument("--package", default="pgmd", help="whose psycopg module is swapped in")
    at = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:at])
    options.pytest = arguments[at + 1 :]
    options.results = (options.results or options.checkout / ".conformance").resolve()
    return options


if __name__ == "__main__":
    sys.exit(compare(Runner(parse(sys.argv[1:]))))
