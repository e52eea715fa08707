"""A bar on a terminal that shows how far a fan-out is."""

from __future__ import annotations

import sys
from typing import Protocol

from ..errors import ConfigurationError


class Bar(Protocol):
    """What tqdm's bar has."""

    def update(self) -> object: ...
    def close(self) -> object: ...


def check_bar() -> None:
    """Raise `ConfigurationError` without tqdm."""
    try:
        import tqdm  # noqa: F401 - is it there?
    except ImportError:
        raise ConfigurationError("progress=True needs tqdm: pip install 'pgmd[progress]'") from None


def bar_for(total: int | None) -> Bar | None:
    """A bar for so many statements, on standard error; None if that is no terminal."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    bar: Bar = tqdm(total=total, file=sys.stderr, unit="statement")
    return bar
