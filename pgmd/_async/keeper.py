"""Keeps one replica open, watches it, and replaces it before it is too old."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from ..clock import now
from ..config import Replica
from ..duck import DuckError, tells_of_replica
from ..errors import PoolClosed, ReplicaError
from ..redact import Redactor
from ..routing.health import CLOSED, PROBE_EVERY, Condition, Step, lifetime, next_step
from ..runtime import aio as runtime
from ..wire import tells_of_server
from .slots import AsyncSlots

if TYPE_CHECKING:
    from ..members import Member, Opener

_log = logging.getLogger("pgmd.replica")

# How long (seconds) a replica may take to answer a probe.
_PROBE_WITHIN = 2.0
# When a scheduled replacement fails the old one serves on, and it is tried again after so long.
_REPLACE_AGAIN = 30.0


@dataclass(slots=True)
class Keeping:
    """What the keepers of one set share. `changed` is told when another replica serves, or none."""

    opener: Opener
    slots: AsyncSlots[Member]
    redact: Redactor
    changed: Callable[[], None]
    # Scheduled replacements go one at a time.
    turn: runtime.Lock


class AsyncKeeper:
    """Opens a replica in the background and tries again when that fails.

    `failure` is why it does not serve, "" when it does; `attempts` counts how often it was opened
    or failed to be.
    """

    def __init__(self, settings: Replica, keeping: Keeping) -> None:
        self.settings = settings
        self.member: Member | None = None
        self.failure = ""
        self.attempts = 0
        self._keeping = keeping
        self._breaker = CLOSED
        self._expires = 0.0
        self._probed = 0.0
        self._is_wanted = True
        self._swapping = runtime.Lock()
        self._background = runtime.Background(self._keep, f"pgmd-keeper-{settings.name}")

    @property
    def is_asleep(self) -> bool:
        """Whether it is closed until somebody wants it."""
        return self.member is None and not self._is_wanted

    def want(self) -> None:
        """Somebody would use it: wake it up."""
        if not self._is_wanted:
            self._is_wanted = True
            self._background.wake()

    def _report(self, member: Member, error: Exception | None) -> None:
        """A statement succeeded on it, or failed with one of DuckDB's errors."""
        if member is not self.member:
            return  # it has been replaced meanwhile
        if error is None:
            if self._breaker.failures:
                self._breaker = self._breaker.answered()
            return
        told = (
            tells_of_server(error) if isinstance(error, psycopg.Error) else tells_of_replica(error)
        )
        if told is None:
            self._breaker = self._breaker.suspected()
        elif told:
            was_closed = self._breaker.is_closed
            self._breaker = self._breaker.failed(now(), random.random())
            if was_closed and not self._breaker.is_closed:
                self._withdraw(error)
        if told is not False:
            # A first failure is looked into soon.
            self._background.wake()

    async def replace(self) -> None:
        """Open the replica anew; then let what uses the old one end, and close that.

        Raises ReplicaError; the old one then serves on if it did before.
        """
        async with self._swapping:
            await self._replace()

    async def _replace(self) -> None:
        opener, old = self._keeping.opener, self.member
        limit = self.settings.open_timeout
        try:
            new = await runtime.bounded(
                lambda: opener.open(self.settings), limit, opener.close, self._background
            )
        except TimeoutError:
            raise self._failed(f"it did not open within {limit:.1f} s") from None
        except ReplicaError as error:
            self._failed(str(error))
            raise
        self._welcome(new, old)

    def _welcome(self, new: Member, old: Member | None) -> None:
        new.report = partial(self._report, new)
        try:
            # The new one first, so that nobody finds none.
            self._keeping.slots.add(new, self.settings.max_size)
        except PoolClosed:
            self._keeping.opener.close(new)
            raise
        self._breaker = CLOSED
        self._probed = now()
        self._expires = now() + lifetime(self.settings.max_lifetime, random.random())
        self.member, self.failure = new, ""
        self.attempts += 1
        if old is not None:
            self._keeping.slots.retire(old)
        self._keeping.changed()

    def _failed(self, reason: str) -> ReplicaError:
        # It may go on failing in the same way for hours.
        level = logging.WARNING if reason != self.failure else logging.DEBUG
        _log.log(level, "replica %s: %s", self.settings.name, reason)
        if self.member is None or not self.member.is_well:
            self.failure = reason
            self._breaker = self._breaker.tripped(now(), random.random())
        else:
            self._expires = now() + _REPLACE_AGAIN
        self.attempts += 1
        self._keeping.changed()
        return ReplicaError(reason)

    def _withdraw(self, error: Exception) -> None:
        """It does not serve until it has been opened anew."""
        assert self.member is not None
        self.failure = self._keeping.redact(f"{type(error).__name__}: {error}")
        self.member.is_well = False
        _log.warning("replica %s: out of service: %s", self.settings.name, self.failure)
        self._keeping.changed()

    # ------------------------------------------------------------------------------- upkeep

    async def _keep(self, background: runtime.Background) -> None:
        # A thread may get here before its creator has it.
        self._background = background
        while True:
            step, due = next_step(self._condition())
            if due > now():
                # Its use does not wake this: look again.
                await background.pause(min(due - now(), PROBE_EVERY))
                continue
            try:
                await self._take(step)
            except ReplicaError:
                continue  # it is logged, and the next trial is due later
            except runtime.Stopped:
                raise
            except Exception:  # noqa: BLE001 - whatever it was, the replica is tried again
                _log.exception("replica %s: upkeep failed", self.settings.name)
                self._breaker = self._breaker.tripped(now(), random.random())

    def _condition(self) -> Condition:
        member, settings = self.member, self.settings
        if member is None:
            return Condition(is_open=False, is_wanted=self._is_wanted, breaker=self._breaker)
        return Condition(
            is_open=True,
            is_wanted=True,
            breaker=self._breaker,
            expires=self._expires,
            used=member.used,
            probed=self._probed,
            lent=self._keeping.slots.lent_of(member),
            rests_after=settings.max_idle if settings.min_size == 0 else None,
        )

    async def _take(self, step: Step) -> None:
        if step is Step.PROBE:
            await self._probe()
        elif step is Step.SLEEP:
            await self._sleep()
        elif self._breaker.is_closed and step is Step.REPLACE:
            async with self._keeping.turn:
                await self.replace()
        else:
            await self.replace()

    async def _probe(self) -> None:
        member = self.member
        assert member is not None
        try:
            await runtime.bounded(member.instance.probe, _PROBE_WITHIN, _nothing, self._background)
        except (DuckError, psycopg.Error, TimeoutError) as error:
            if member is self.member:
                self._breaker = self._breaker.tripped(now(), random.random())
                self._withdraw(error)
        else:
            self._breaker = self._breaker.answered()
            await self._look_for_new_token(member)
        self._probed = now()

    async def _look_for_new_token(self, member: Member) -> None:
        if not callable(self.settings.token):
            return
        ask = self.settings.current_token
        if await runtime.bounded(ask, _PROBE_WITHIN, _nothing, self._background) != member.token:
            self._expires = now()

    async def _sleep(self) -> None:
        async with self._swapping:
            member = self.member
            assert member is not None
            self.member, self._is_wanted = None, False
            self._keeping.slots.retire(member)
            self._keeping.changed()

    async def close(self) -> None:
        """Stop keeping it. What it has open is closed with the slots."""
        await self._background.close()


def _nothing(_: object) -> None:
    """A probe leaves nothing behind."""
