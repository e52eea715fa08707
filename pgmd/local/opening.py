"""Make the local endpoint that an engine runs for a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .endpoint import LocalEndpoint


def make_local(file: str | Path, password: str | None, options: Mapping[str, Any]) -> LocalEndpoint:
    """An endpoint for *file*, not yet started. Raises `ConfigurationError`."""
    try:
        # What it needs is not installed with pgmd itself.
        from .endpoint import LocalEndpoint
    except ImportError as error:
        raise ConfigurationError(
            f"a local endpoint needs {error.name}: pip install 'pgmd[local]'"
        ) from None
    try:
        return LocalEndpoint(file, **{"auth": "password", "password": password, **options})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"file_options: {error}") from None
