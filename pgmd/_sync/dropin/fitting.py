# Generated from pgmd/_async/dropin/fitting.py by pgmd._tools.unasync. Do not edit.
"""psycopg's connection, asking of a server only what it has."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import Row

from ...dropin.adapters import leaves_texts_open
from ...dropin.identity import known_profile, probe_gen
from ...servers.coping import begin_command, send_texts, unsupported
from .opening import Opening


class Fitting(Opening[Row]):
    """psycopg's connection. What the server lacks is refused before anything is sent."""

    def _find_profile(self) -> None:
        """Find out what the server can do, once for each server."""
        profile = known_profile(self.pgconn)
        if profile is None:
            with self.lock:
                profile = self.wait(probe_gen(self))
        self._routing.profile = profile

    def _fit(self) -> None:
        """Leave out what the server does not understand."""
        profile = self._routing.profile
        if profile.prepare_threshold is None:
            self.prepare_threshold = None
        if not profile.infers_parameters and leaves_texts_open(self.adapters):
            send_texts(self)

    def set_isolation_level(self, value: psycopg.IsolationLevel | None) -> None:
        """As psycopg's. Raises `NotSupportedError` where there is one level only, and another."""
        # REPEATABLE READ is PostgreSQL's name for snapshot isolation, which there is.
        if value not in (None, psycopg.IsolationLevel.REPEATABLE_READ):
            self._check_levels("isolation_level", "there is one, snapshot isolation")
        super().set_isolation_level(value)

    def set_deferrable(self, value: bool | None) -> None:  # noqa: FBT001 - psycopg's
        """As psycopg's. Raises `NotSupportedError` where there is no such thing."""
        if value is not None:
            self._check_levels("deferrable", "leave it out")
        super().set_deferrable(value)

    def _check_levels(self, what: str, advice: str) -> None:
        if not self._routing.profile.has_isolation_levels:
            raise unsupported(self._routing.profile, what, advice)

    def xid(self, format_id: int, gtrid: str, bqual: str) -> Any:
        """As psycopg's. Raises `NotSupportedError` where there is no two-phase commit."""
        self._check_two_phase()
        return super().xid(format_id, gtrid, bqual)

    def tpc_begin(self, xid: Any) -> None:
        """As psycopg's. Raises `NotSupportedError` where there is no two-phase commit."""
        self._check_two_phase()
        super().tpc_begin(xid)

    def tpc_recover(self) -> list[Any]:
        """As psycopg's. Raises `NotSupportedError` where there is no two-phase commit."""
        self._check_two_phase()
        return super().tpc_recover()

    def _check_two_phase(self) -> None:
        if not self._routing.profile.has_two_phase:
            raise unsupported(self._routing.profile, "two-phase commit", "use transaction()")

    def _get_tx_start_command(self) -> bytes:
        if self._routing.profile.has_isolation_levels:
            return super()._get_tx_start_command()
        return begin_command(read_only=self.read_only)
