"""pgmd types: the type table in print."""

from __future__ import annotations

import pytest

from pgmd.cli.main import main
from pgmd.parity.types import TWINS


def test_every_type_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["types"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["DuckDB", "PostgreSQL", "oid", "Python"]
    assert len(lines) == len(TWINS)
    for line, twin in zip(lines, TWINS.values(), strict=True):
        assert line.startswith(f"{twin.name} ")
        assert str(twin.oid) in line.split()
        assert twin.python in line
        assert line.endswith(twin.edges)
