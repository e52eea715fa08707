"""Keeps one replica open, watches it, and replaces it before it is too old."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import psycopg

from ...errors import PoolClosed, ReplicaError
from ...process.clock import now
from ...replicas.cursor import DuckError
from ...replicas.instance import tells_of_replica
from ...replicas.kinds import kind_of
from ...replicas.members import Member, Opening
from ...replicas.wire import tells_of_server
from ...routing.freshness import Freshness
from ...routing.health import CLOSED, PROBE_EVERY, Condition, Step, lifetime, next_step
from ...runtime import aio as runtime
from ...settings.redact import Redactor
from ...settings.replica import AnyReplica
from .slots import AsyncSlots

_log = logging.getLogger("pgmd.replica")
T = TypeVar("T")

# How long (seconds) a replica may take to answer a probe.
_PROBE_WITHIN = 5.0
# How long (seconds) it may take to tell what its database holds.
_REREAD_WITHIN = 10.0
# When a scheduled replacement fails the old one serves on, and it is tried again after so long.
_REPLACE_AGAIN = 30.0


@dataclass(slots=True)
class Keeping:
    """What the keepers of one set share. `changed` is told when another replica serves, or none."""

    opening: Opening
    slots: AsyncSlots[Member]
    redact: Redactor
    changed: Callable[[], None]
    # Scheduled replacements go one at a time.
    turn: runtime.Lock
    # How often the schema has changed.
    schema: int = 0


class AsyncKeeper:
    """Opens a replica in the background and tries again when that fails.

    `failure` is why it does not serve, "" when it does; `attempts` counts how often it was opened
    or failed to be.
    """

    def __init__(self, settings: AnyReplica, keeping: Keeping) -> None:
        self.settings = settings
        self.kind = kind_of(settings)
        self.member: Member | None = None
        self.failure = ""
        self.attempts = 0
        self._keeping = keeping
        self._breaker = CLOSED
        self._expires = 0.0
        self._probed = 0.0
        self._is_wanted = True
        # Whoever runs a statement reports on `member`, and others may replace it at that moment.
        self._changing = runtime.Guard()
        self._swapping = runtime.Lock()
        self._background = runtime.Background(self._keep, f"pgmd-keeper-{settings.name}")

    @property
    def trouble(self) -> str:
        """Why it does not serve, in a word or two; "" when it does."""
        if self.failure:
            return "has failed"
        if self.member is None:
            return "is being opened" if self._is_wanted else "sleeps"
        return ""

    def want(self) -> None:
        """Somebody would use it: wake it up."""
        if not self._is_wanted:
            self._is_wanted = True
            self._background.wake()

    def _report(self, member: Member, error: Exception | None) -> None:
        """A statement succeeded on it, or failed with one of the driver's errors."""
        if error is None:
            if self._breaker.failures:
                self._answered(member)
            return
        told = _told(error)
        if told is False:
            return
        with self._changing:
            if member is not self.member:
                return  # it has been replaced meanwhile
            old = self._breaker
            self._breaker = old.failed(now(), random.random()) if told else old.suspected()
            is_out = old.is_closed and not self._breaker.is_closed
            if is_out:
                self._withdraw(member, error)
        if is_out:
            self._keeping.changed()
        # A first failure is looked into soon.
        self._background.wake()

    def _answered(self, member: Member) -> None:
        with self._changing:
            if member is self.member:
                self._breaker = self._breaker.answered()

    async def replace(self) -> None:
        """Open the replica anew; then let what uses the old one end, and close that.

        Raises ReplicaError; the old one then serves on if it did before.
        """
        async with self._swapping:
            await self._replace()

    async def move_on(self, published: Freshness) -> None:
        """Show what has been *published*, if there is anything open to show it.

        Raises ReplicaError; it then shows what it showed.
        """
        # What is being opened meanwhile may show what was published before.
        async with self._swapping:
            member = self.member
            if member is None or not member.is_well or member.freshness is published:
                return
            if self.kind.refreshes:
                await self._refresh(member, published)
            elif self.kind.reopens and await self._is_behind(member):
                await self._replace()
            elif self.kind.reopens:
                member.freshness = published

    async def _is_behind(self, member: Member) -> bool:
        try:
            return await self._read(member.instance.is_behind)
        except (DuckError, psycopg.Error, TimeoutError):
            return True  # what is wrong shows when it is opened

    async def _refresh(self, member: Member, published: Freshness) -> None:
        instance, limit = member.instance, self.settings.open_timeout
        try:
            await runtime.bounded(instance.refresh, limit, _nothing, self._background)
            member.holdings = await runtime.bounded(
                instance.look, limit, _nothing, self._background
            )
        except (TimeoutError, DuckError, psycopg.Error) as error:
            if isinstance(error, ReplicaError):
                raise
            told = self._keeping.redact(str(error)) or type(error).__name__
            raise ReplicaError(f"replica {member.name} cannot be refreshed: {told}") from None
        member.freshness = published

    async def _replace(self) -> None:
        opening, old = self._keeping.opening, self.member
        limit, schema = self.settings.open_timeout, self._keeping.schema
        try:
            new = await runtime.bounded(
                lambda: self.kind.open(self.settings, opening),
                limit,
                Member.close,
                self._background,
            )
        except TimeoutError:
            raise self._failed(f"it did not open within {limit:.1f} s") from None
        except ReplicaError as error:
            self._failed(str(error))
            raise
        self._welcome(new, old)
        while schema != self._keeping.schema:
            # It may have been opened on what was there before.
            schema = self._keeping.schema
            await self.reread()

    def _welcome(self, new: Member, old: Member | None) -> None:
        new.report = partial(self._report, new)
        try:
            # The new one first, so that nobody finds none.
            self._keeping.slots.add(new, self.settings.max_size)
        except PoolClosed:
            new.close()
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

    def _give_up(self, member: Member, error: Exception) -> None:
        """It does not serve until it has been opened anew, which is tried soon."""
        with self._changing:
            if member is not self.member:
                return
            self._breaker = self._breaker.tripped(now(), random.random())
            self._withdraw(member, error)
        self._keeping.changed()
        self._background.wake()

    def _withdraw(self, member: Member, error: Exception) -> None:
        self.failure = self._keeping.redact(f"{type(error).__name__}: {error}")
        member.is_well = False
        _log.warning("replica %s: out of service: %s", self.settings.name, self.failure)

    async def reread(self) -> None:
        """Look again at what its database holds, if that changes by itself.

        One that does not tell in time is withdrawn: it would decide by what it knew. It looks
        when it is opened anew.
        """
        member = self.member
        if member is None or not member.is_well or not self.kind.moves_on:
            return
        try:
            member.holdings = await self._read(member.instance.look)
        except (DuckError, psycopg.Error, TimeoutError) as error:
            self._give_up(member, error)

    async def _read(self, work: Callable[[], T]) -> T:
        return await runtime.bounded(work, _REREAD_WITHIN, _nothing, self._background)

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
            self._give_up(member, error)
        else:
            self._answered(member)
            await self._look_whether_outdated(member)
        self._probed = now()

    async def _look_whether_outdated(self, member: Member) -> None:
        ask = member.is_outdated
        if ask is None:
            return
        if await runtime.bounded(ask, _PROBE_WITHIN, _nothing, self._background):
            self._expires = now()

    async def _sleep(self) -> None:
        async with self._swapping:
            member = self.member
            assert member is not None
            self.member, self._is_wanted = None, False
            self._keeping.slots.retire(member)
            self._keeping.changed()

    def stop(self) -> None:
        """Begin to close: one keeper may wait for another."""
        self._background.stop()

    async def close(self) -> None:
        """Stop keeping it. What it has open is closed with the slots."""
        await self._background.close()


def _told(error: Exception) -> bool | None:
    """Whether an error says that the replica does not work; None where that is open."""
    return tells_of_server(error) if isinstance(error, psycopg.Error) else tells_of_replica(error)


def _nothing(_: object) -> None:
    """A probe leaves nothing behind."""
