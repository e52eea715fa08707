"""Settings are checked when they are made: whatever is malformed or contradictory is a
`ConfigurationError` that names it; values of secrets are never in a message or a repr."""

from __future__ import annotations

from ..errors import ConfigurationError


def require(ok: bool, message: str) -> None:  # noqa: FBT001
    """Raise `ConfigurationError` with *message* unless *ok*."""
    if not ok:
        raise ConfigurationError(message)


def check_seconds(settings: object, *names: str) -> None:
    """Raise `ConfigurationError` unless these settings are above 0."""
    for name in names:
        value = getattr(settings, name)
        require(value > 0, f"{name}={value}: must be a number of seconds above 0")
