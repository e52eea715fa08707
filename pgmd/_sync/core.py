# Generated from pgmd/_async/core.py by pgmd._tools.unasync. Do not edit.
"""What the sessions, fan-outs and drop-in connections of one database share.

Locks, in the order in which they may be taken: who holds one takes only such as stand below it.
Those above the line are held while something is waited for, the others never; nobody waits for a
session's `_busy`, which is taken at once or not at all.

| lock                               | guards                                                    |
|------------------------------------|-----------------------------------------------------------|
| drop-in engines `_lock`, Django    | the engines that they make; held while one is opened      |
| drop-in connection `_opening`      | that it connects once                                     |
| publishing `_turn`                 | one round of snapshots and refreshes at a time            |
| keepers' `turn`                    | scheduled replacements, one at a time                     |
| keeper `_swapping`                 | which member a keeper has; held while one is opened       |
| copies `_making`                   | one copy at a time; who wants the same one waits for it   |
| running `_cancelling`              | what a session runs, against who cancels it               |
|------------------------------------|-----------------------------------------------------------|
| keeper `_changing`                 | a member's breaker, against whoever reports on it         |
| replica cursor `_lock`             | which run an interrupt would hit                          |
| slots `_guard`                     | who is lent which slot, and who waits                     |
| core `_surveying`                  | what routing knows of the replicas                        |
| endpoint pool `_changing`          | how many wait, and whether somebody makes it try again    |
| watchdog `_guard`                  | what runs under a time-out                                |
| workers `_changing`                | the threads of an executor                                |
| write log, counts, copies, caches  | a number or an entry each                                 |

The local endpoint has its own, none of which is taken together with these: `_stopping`, `_OPENING`,
ducklings' `_making`, a duckling's `_lock`, the gate's `_changed`, a client's cursor's `_lock`.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from zoneinfo import ZoneInfo

import psycopg

from ..errors import UsageError
from ..events import Counts, Events, log
from ..knowledge import Knowledge
from ..parity import from_endpoint
from ..pooling import Slot
from ..process.clock import now
from ..replicas.kinds import kind_of
from ..replicas.members import Member
from ..replicas.plans import Terms
from ..routing.decision import Decision, Reason, Route
from ..routing.freshness import Freshness, WriteLog
from ..routing.router import Site
from ..runtime import threads as runtime
from ..servers.profile import Profile
from ..settings.engine import Settings
from ..settings.redact import Redactor
from ..sql import Statement
from .publishing import Publishing
from .replicas.set import ReplicaSet
from .replicas.slots import Slots
from .sides.connection import OverConnection
from .sides.describing import Describing
from .sides.endpoint import EndpointLent
from .sides.instance import InstanceLent
from .sides.pool import EndpointPool
from .sides.wire import WireLent
from .state import ReplicaLent


class Core:
    """Owns the sides of one database, what is known of its statements, its writes and events."""

    def __init__(self, settings: Settings, database: str = "") -> None:
        endpoint = settings.endpoint
        timeout = endpoint.timeout if endpoint is not None else 30.0
        self.settings = settings
        self.database = database
        self.redact = Redactor(settings.secrets)
        self.log = WriteLog(runtime.Guard())
        self.counts = Counts(runtime.Guard())
        self.events = Events(self.counts, log)
        self.endpoint = EndpointPool(endpoint, self.redact) if endpoint is not None else None
        self.replicas = ReplicaSet(
            settings.replicas,
            self.redact,
            self.survey,
            timeout=timeout,
            max_waiting=endpoint.max_waiting if endpoint is not None else 0,
            has_endpoint=endpoint is not None,
        )
        self._state: Literal["new", "open", "closed"] = "new"
        self._pid = 0
        self._surveying = runtime.Guard()
        self._spilling: Slots[str] = Slots(
            _nothing,
            timeout=timeout,
            max_waiting=0,
            what="replica serves, and no place on the endpoint in its stead",
            advice="see stats() and the log of pgmd.replica, raise endpoint_spill",
        )
        self._learned: Knowledge | None = None
        self._publishing: Publishing | None = None

    # --------------------------------------------------------------------------- life cycle

    def open(self) -> None:
        """See `Engine.open()`."""
        if self._state == "open":
            return
        if self._state == "closed":
            raise UsageError("the engine is closed; make a new one")
        self._spilling.add("endpoint", self.settings.spill)
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        self._pid = os.getpid()
        self._state = "open"

    def _open(self) -> None:
        if self.endpoint is not None:
            self.endpoint.open()
        self.profile = self.endpoint.profile if self.endpoint is not None else _ALONE
        self._time_zone = _zone(self.profile.time_zone)
        self.describing = Describing(
            self.endpoint, self.profile, self._time_zone, lambda: self.knowledge.shapes
        )
        self._over = OverConnection(self.profile, self.describing)
        publishing = self._publishing = Publishing(
            self.endpoint,
            self.replicas,
            self.settings.replicas,
            self.log,
            self.redact,
            self._moved_on,
        )
        since = now()
        # There is a snapshot to open then, and it is as new as the engine.
        publishing.take_snapshots([r for r in self.settings.replicas if kind_of(r).opens_published])
        self.survey()
        self.replicas.open(
            Terms(self.profile.time_zone, self.profile.dialect),
            Freshness(0, since if self.endpoint is not None else None),
            lambda: self.log.settled,
        )
        replicas_only = self.endpoint is None and self.settings.replicas
        if replicas_only and not self.replicas.members:
            raise self.replicas.none_opened()
        publishing.start(self.schema_changed)

    def close(self) -> None:
        """See `Engine.close()`."""
        if self._state == "open" and self._pid == os.getpid():
            self._state = "closed"
            self._close()
        self._state = "closed"

    def _close(self) -> None:
        if self._publishing is not None:
            self._publishing.close()
        self.replicas.close()
        if self.endpoint is not None:
            self.endpoint.close()

    def check_open(self) -> None:
        """Raise `UsageError` unless the engine is open, in this process."""
        if self._state == "new":
            raise UsageError("the engine is not open; use it in a `with` block or call open()")
        if self._state == "closed":
            raise UsageError("the engine is closed; make a new one")
        if self._pid != os.getpid():
            # Handles that were inherited through a fork answer for a while, then hang.
            raise UsageError("the engine was opened before a fork; open one in each process")

    # ------------------------------------------------------------------------------- knowledge

    @property
    def knowledge(self) -> Knowledge:
        """What has been learned about statements."""
        assert self._learned is not None
        return self._learned

    @property
    def zone(self) -> str:
        """The name of the time zone of both routes."""
        return self.profile.time_zone

    def resolved(self, text: str) -> Statement:
        """The facts of a statement, with the replicas' views and macros looked through."""
        return self.knowledge.statement(text)

    def verdict(self, text: str) -> Decision:
        """Where this text may run, freshness aside."""
        return self.knowledge.verdict(text)

    def setback(self, text: str, reason: Reason, detail: str, *, lasting: bool) -> Decision:
        """Why a read that failed on a replica runs on the endpoint, now and if *lasting* later."""
        facts = self.verdict(text).facts
        decision = Decision(Route.ENDPOINT, reason, detail, facts=facts)
        return self.knowledge.remember(text, decision) if lasting else decision

    def explained(self, error: psycopg.Error, text: str | None = None) -> psycopg.Error:
        """The error that PostgreSQL would have given, where the endpoint does not tell."""
        return error if self.profile.tells_sqlstates else from_endpoint(error, text=text)

    def schema_changed(self) -> None:
        """Forget what was known of tables, and look again."""
        self.knowledge.shapes.forget_columns()
        self.replicas.reread_catalogues()
        self.survey()

    def _moved_on(self) -> None:
        self.knowledge.shapes.forget_columns()
        self.survey()

    def survey(self) -> None:
        """Take stock of what routing depends on; if it changed, what was decided is void."""
        # Two keepers may find other replicas at once: the later must not lose to the earlier.
        with self._surveying:
            self._take_stock()

    def _take_stock(self) -> None:
        members = self.replicas.members
        if not members and self._learned is not None:
            # They will be back, with what is known of them.
            return
        # Replicas of one database have equal catalogues: keep each once.
        holdings = [member.holdings for member in members]
        catalogues = {h.catalogue for h in holdings if h.catalogue is not None}
        definitions = {h.definitions for h in holdings if h.definitions is not None}
        site = Site(
            has_endpoint=self.endpoint is not None,
            has_replicas=bool(self.settings.replicas),
            dialect=self.profile.dialect,
            catalogues=tuple(catalogues),
            definitions=tuple(definitions),
        )
        if self._learned is None or self._learned.site != site:
            self._learned = Knowledge(site, self._time_zone)

    # ----------------------------------------------------------------------------------- sides

    def lend(self) -> EndpointLent:
        """Borrow a connection to the endpoint. Raises PoolTimeout, PoolFull or PoolClosed."""
        assert self.endpoint is not None
        return EndpointLent(self.endpoint, self._over, self.endpoint.lend())

    def lent_of(self, slot: Slot[Member]) -> ReplicaLent:
        """The side of a replica's slot."""
        if slot.replica.kind.side == "wire":
            return WireLent(self, self._over, slot)
        return InstanceLent(self, slot)

    @contextmanager
    def spilling(self) -> Iterator[None]:
        """While a read runs on the endpoint because no replica serves, which wakes those that
        sleep. Raises PoolTimeout."""
        self.replicas.want()
        slot = self._spilling.lend(lambda _: True)
        try:
            yield
        finally:
            self._spilling.give_back(slot)

    def publish(self) -> None:
        """See `Engine.publish()`."""
        assert self._publishing is not None
        self._publishing.publish()

    def stats(self) -> dict[str, Any]:
        """See `Engine.stats()`."""
        return {
            "endpoint": self.endpoint.stats() if self.endpoint is not None else {},
            "replicas": self.replicas.stats(),
            "routed": self.counts.routed(),
        }

    def __repr__(self) -> str:
        return f"{self._state} {self.endpoint!r} {self.replicas!r}"


# With no endpoint to agree with, replicas answer in their own dialect, in UTC.
_ALONE = Profile("duckdb", "", "UTC")


def _nothing(_: str) -> None:
    """Nobody's place has nothing to close."""


def _zone(name: str) -> dt.tzinfo:
    # psycopg has its own object for UTC, see parity of time stamps.
    return dt.UTC if name == "UTC" else ZoneInfo(name)
