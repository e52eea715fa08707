"""DuckDB's extensions, which come from wheels of their own or from DuckDB's server."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from ..errors import ReplicaError
from ..sql.quoting import literal


def load(connection: duckdb.DuckDBPyConnection, extension: str) -> None:
    """Load an extension by DuckDB's own name of it. Raises `ReplicaError`."""
    wheel = _wheel(extension)
    if wheel is not None:
        connection.execute(f"LOAD {literal(str(wheel))}")
        return
    try:
        connection.execute(f"INSTALL {extension}")
        connection.execute(f"LOAD {extension}")
    except duckdb.Error as error:
        package = f"duckdb-extension-{extension.replace('_', '-')}=={duckdb.__version__}"
        raise ReplicaError(
            f"DuckDB's extension {extension} cannot be loaded; where the network is closed: "
            f"pip install {package} ({error})"
        ) from None


def _wheel(extension: str) -> Path | None:
    """The extension from its PyPI wheel, which must match DuckDB's version exactly."""
    spec = importlib.util.find_spec(f"duckdb_extension_{extension}")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}"
    path = folder / f"{extension}.duckdb_extension"
    return path if path.exists() else None
