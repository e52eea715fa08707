"""The README's code runs and prints what it says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(python|text)\n(.*?)```", README, re.DOTALL)


def test_every_python_block_says_what_it_prints() -> None:
    kinds = [kind for kind, _ in BLOCKS]
    assert kinds == ["python", "text"] * (len(kinds) // 2)
    assert len(kinds) >= 6


def test_the_first_block_is_short() -> None:
    assert len([line for line in BLOCKS[0][1].splitlines() if line.strip()]) <= 15


def test_the_blocks_run_one_after_the_other(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGMD_ENDPOINT", dsn)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for (_, code), (_, expected) in zip(BLOCKS[::2], BLOCKS[1::2], strict=True):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, "README.md", "exec"), names)
        # Which of two equal replicas is free first is not the README's business.
        assert out.getvalue().replace("replica-2", "replica-1") == expected
