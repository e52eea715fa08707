"""What is done for a server that lacks something."""

from __future__ import annotations

from ..errors import NotSupportedError
from ..sql import Statement
from .profile import Profile


def check_sendable(profile: Profile, statement: Statement) -> None:
    """Raise `NotSupportedError` for what the endpoint is known to lack."""
    reason = profile.refusal(statement.why, statement.words)
    if reason is not None:
        raise NotSupportedError(f"a {profile.name} endpoint has no {reason}")


def unsupported_savepoint(profile: Profile) -> NotSupportedError:
    """What a nested transaction() meets where there is no SAVEPOINT."""
    return NotSupportedError(
        f"a nested transaction() needs SAVEPOINT, which a {profile.name} endpoint does not have; "
        "use one transaction() for all of it"
    )
