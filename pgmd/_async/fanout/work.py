"""A fan-out under way, as its consumer sees it."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from itertools import count
from typing import Any

from ...answers.result import Result
from ...errors import FanOutError, StatementTimeout
from ...fanout.bundling import Bundling
from ...fanout.equality import identity
from ...fanout.options import Options
from ...fanout.progress import bar_for
from ...process.clock import now
from ...request import Query
from ...runtime import aio as runtime
from .forkable import AsyncForkable
from .items import Bundle, Item, Pair, all_too_long
from .lanes import Crew
from .workers import Workers

# A source that takes so many seconds is not read on while there is a result to take.
_SLOW_SOURCE = 0.01


class Work:
    """Reads the source, hands statements to the workers, and takes results in their order."""

    def __init__(
        self, pairs: Iterator[Pair], options: Options, crew: Crew, bundling: Bundling | None
    ) -> None:
        self._source: Iterator[Pair] | None = pairs
        self._options = options
        self._bar = bar_for(options.total) if options.progress else None
        self._numbers = count()
        self._open: dict[int, Item] = {}
        # In the order in which they are to be taken.
        self._line: deque[Item] = deque()
        self._known: dict[Hashable, Item] = {}
        self._failures: list[tuple[int, Exception]] = []
        self._failure: BaseException | None = None
        self._bundling = bundling
        self._bundle: Bundle | None = None
        self._waited = 0.0
        self._workers = Workers(options, crew)

    async def next(self) -> tuple[int, Result[Any]] | None:
        """Wait for the next result; None after the last. Raises what ends the fan-out."""
        while True:
            self._feed()
            while self._line and self._line[0].ended:
                taken = self._take(self._line.popleft())
                if taken is not None:
                    return taken
                self._feed()
            if self._failure is not None:
                raise self._failure from self._collected()
            if not self._open:
                break
            # In a forked child nobody would ever answer.
            next(iter(self._open.values())).session.check_alive()
            began = now()
            news = await self._workers.news()
            self._waited += now() - began
            self._note(news)
        if collected := self._collected():
            raise collected
        return None

    def _feed(self) -> None:
        """Hand statements out, as far as there is room; a slow source stops at a result."""
        if self._source is None or self._workers.halted:
            return
        is_at_end = self._read(self._source)
        self._hand_out()
        if is_at_end:
            self._source = None
            self._workers.dismiss()

    def _read(self, source: Iterator[Pair]) -> bool:
        """Whether the source is at its end."""
        waited = 0.0
        while self._has_room() and not self._workers.halted:
            began = now()
            pair = next(source, None)
            waited += now() - began
            if pair is None:
                return True
            self._admit(*pair)
            if waited > _SLOW_SOURCE and self._has_result():
                break
        return False

    def _has_room(self) -> bool:
        """Whether there is room for as many as are worth a query, or for more of one."""
        size = self._size
        window = 2 * self._options.concurrency * size
        return self._bundle is not None or len(self._open) + size <= window

    def _has_result(self) -> bool:
        while (news := self._workers.next_news()) is not None:
            self._note(news)
        return bool(self._line) and self._line[0].ended

    def _admit(self, session: AsyncForkable, query: Query) -> None:
        statement = Item(next(self._numbers), session, query)
        self._open[statement.index] = statement
        if self._options.ordered:
            self._line.append(statement)
        if self._options.distinct and self._is_twin(statement):
            return
        if self._bundle is None:
            self._bundle = Bundle([statement])
        else:
            self._bundle.statements.append(statement)
        if len(self._bundle.statements) >= self._size:
            self._hand_out()

    @property
    def _size(self) -> int:
        return self._bundling.size if self._bundling is not None else 1

    def _hand_out(self) -> None:
        bundle, self._bundle = self._bundle, None
        if bundle is not None:
            self._workers.give(bundle)

    def _is_twin(self, statement: Item) -> bool:
        same = identity(statement.query)
        if same is None:
            return False
        key = statement.key = id(statement.session), same
        known = self._known.get(key)
        self._known[key] = statement
        if known is None:
            return False
        origin = statement.origin = known.origin or known
        if origin.ended:
            self._end(statement)
        else:
            origin.twins.append(statement)
        return True

    def _note(self, news: Bundle | BaseException) -> None:
        """A worker has done what it was given, or something ends the fan-out."""
        if not isinstance(news, Bundle):
            self._fail(self._overdue() if isinstance(news, runtime.Overdue) else news)
            return
        self._learn(news)
        for statement in news.statements:
            if not statement.has_run:
                continue
            for ended in (statement, *statement.twins):
                self._end(ended)
            if statement.error is not None and self._options.errors == "raise":
                self._fail(statement.error)

    def _learn(self, bundle: Bundle) -> None:
        size = len(bundle.statements)
        if self._bundling is None:
            return
        if bundle.seconds is None:
            self._bundling.refuse()
        elif size > 1 or bundle.statements[0].was_read_on_replica:
            self._bundling.note(size, bundle.seconds, moment=now(), waited=self._waited)

    def _end(self, statement: Item) -> None:
        statement.ended = True
        if not self._options.ordered:
            self._line.append(statement)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            self._workers.halt()

    def _overdue(self) -> StatementTimeout:
        stopped = [s for s in self._open.values() if s.fork is not None and not s.ended]
        return all_too_long(stopped, self._options)

    def _take(self, statement: Item) -> tuple[int, Result[Any]] | None:
        """What the consumer gets of a statement that has ended; None if that is no result."""
        del self._open[statement.index]
        if not self._options.remembers and self._known.get(statement.key) is statement:
            del self._known[statement.key]
        origin = statement.origin or statement
        origin.join()
        if self._bar is not None:
            self._bar.update()
        if origin.error is not None:
            if self._options.errors == "collect":
                self._failures.append((statement.index, origin.error))
            return None
        assert origin.result is not None
        result = origin.result.copy() if self._options.distinct else origin.result
        return statement.index, result

    def _collected(self) -> FanOutError | None:
        if not self._failures:
            return None
        failures = sorted(self._failures, key=lambda failure: failure[0])
        errors = [error for _, error in failures]
        return FanOutError("some statements of the fan-out failed", errors, failures)

    async def close(self) -> None:
        """Stop what still runs and wait for its end; the sessions have then seen what it has."""
        try:
            await self._workers.close()
        finally:
            for statement in self._open.values():
                statement.join()
            if self._bar is not None:
                self._bar.close()
