"""What the runner of psycopg's suites reads and decides; the suites themselves are not run here."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
runner = runpy.run_path(str(HERE / "run.py"))


def test_the_list_of_exceptions_is_short_and_gives_reasons() -> None:
    entries = runner["read_deselected"]((HERE / "deselected.txt").read_text("utf-8"))
    assert len(entries) < 20
    for entry in entries:
        assert entry.test.startswith("tests/")
        assert set(entry.modes.split(",")) <= {*runner["MODES"], "*"}
        assert len(entry.reason) > 20, entry.test


def test_an_entry_covers_the_parameters_of_its_test_in_its_modes() -> None:
    text = "# nobody knows\n# why\nfixes,routing tests/t.py::a\n\n* tests/t.py::b[x y]\n"
    first, second = runner["read_deselected"](text)
    assert (first.reason, second.reason) == ("nobody knows why", "")
    assert first.covers("fixes", "tests/t.py::a[1]")
    assert not first.covers("lazy-begin", "tests/t.py::a[1]")
    assert not first.covers("fixes", "tests/t.py::ab")
    assert second.covers("lazy-begin", "tests/t.py::b[x y]")
    assert not second.covers("lazy-begin", "tests/t.py::b[x]")


@pytest.mark.parametrize(
    ("plain", "ours", "differs"),
    [
        ("passed", "failed", True),
        ("passed", "skipped", True),
        ("passed", None, True),
        (None, "failed", True),
        ("skipped", "failed", True),
        ("failed", "failed", False),
        ("failed", "passed", False),
        ("passed", "passed", False),
    ],
)
def test_what_ends_worse_than_with_plain_psycopg_differs(
    plain: str | None, ours: str | None, differs: bool
) -> None:
    def run(result: str | None) -> Any:
        return runner["Run"]({} if result is None else {"t": runner["Outcome"](result)})

    found = runner["differences"](run(plain), run(ours), whole=True)
    assert found == (["t"] if differs else [])
