"""What a session has set on its connection, and what that means for the replicas."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..sql import Statement

_MOST = 32


@dataclass(frozen=True, slots=True)
class Ledger:
    """What one session has set, in order.

    `replay` are the statements that make a replica's cursor answer as the session's connection
    would. `pin` says what cannot be had there: such a session stays on the endpoint.
    """

    pin: str = ""
    _set: tuple[tuple[str, str], ...] = ()

    @property
    def replay(self) -> tuple[str, ...]:
        """The statements to run on a replica's new cursor, in order."""
        return tuple(text for _, text in self._set)

    def after(self, statement: Statement, *, replays: bool = True) -> Ledger:
        """The ledger once *statement* has run. With *replays* False nothing can be replayed:
        the replicas speak another dialect, or a rollback could undo it on one side only."""
        if self.pin or not statement.pins:
            return self
        key = statement.setting
        if not (replays and key) or len(self._set) >= _MOST:
            return replace(self, pin=pin_of(statement))
        if key.startswith("-"):
            return replace(self, _set=tuple(e for e in self._set if e[0] != key[1:]))
        # A path may be relative to the path before it, so that each is kept.
        kept = tuple(e for e in self._set if e[0] != key or key == "path")
        return replace(self, _set=(*kept, (key, statement.text)))


def pin_of(statement: Statement) -> str:
    """What a statement is and why it pins, without the values in it: they may be secrets."""
    outline = statement.outline
    if outline.upper().startswith(statement.why):
        return outline
    return f"{statement.why}: {outline}" if outline else statement.why
