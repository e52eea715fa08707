# Generated from pgmd/_async/fanout/lanes.py by pgmd._tools.unasync. Do not edit.
"""In what the workers of a fan-out run their statements."""

from __future__ import annotations

from .forkable import Forkable


class Lane:
    """One worker's session, kept for as long as statements leave it as they found it."""

    def __init__(self) -> None:
        self._home: Forkable | None = None
        self._fork: Forkable | None = None
        # The last statement failed or was stopped.
        self.spoiled = False

    def at(self, session: Forkable) -> Forkable:
        """A session that is set as *session* is, and has seen what that has seen."""
        fork = self._fork
        if fork is None or self._home is not session or not fork.is_set_as(session):
            self.leave()
            fork = self._fork = session.fork()
            self._home = session
        fork.join(session)
        return fork

    def leave(self) -> None:
        """End the worker's session."""
        fork, self._fork = self._fork, None
        if fork is not None:
            fork.close()

    def cancel(self) -> None:
        """Stop what runs; for threads only, as a task can be cancelled as it is."""
        if self._fork is not None:
            self._fork.cancel()


class Crew:
    """Says in what the workers of a fan-out run."""

    def open(self) -> None:
        """The fan-out begins. Raises `UsageError` if it may not."""

    def lane(self) -> Lane | None:
        """What one more worker runs in; None if there cannot be one more."""
        return Lane()

    def close(self) -> None:
        """All workers have ended."""
