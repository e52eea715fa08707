"""The servers that the applications run on: PostgreSQL, and DuckDB behind pgmd's own wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fixtures.stands import Stand, local_stand

SERVER = pytest.param("server", marks=pytest.mark.postgres)


@pytest.fixture(params=[SERVER, "local"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    """An empty database of the test's own, on each of the two."""
    if request.param == "local":
        with local_stand(tmp_path) as local:
            yield local
    else:
        yield Stand("server", request.getfixturevalue("dsn"))


on_postgres = pytest.mark.parametrize("site", [SERVER], indirect=True)
on_duckdb = pytest.mark.parametrize("site", ["local"], indirect=True)
