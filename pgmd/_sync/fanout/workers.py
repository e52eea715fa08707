# Generated from pgmd/_async/fanout/workers.py by pgmd._tools.unasync. Do not edit.
"""The workers of a fan-out, each with a session of its own."""

from __future__ import annotations

import logging
from functools import partial

from ...fanout.options import Options
from ...process.clock import now
from ...runtime import threads as runtime
from .items import Bundle, Item, too_long
from .lanes import Crew, Lane

_log = logging.getLogger("pgmd.fanout")


class Workers:
    """Run what they are given, side by side, and say what has become of it."""

    def __init__(self, options: Options, crew: Crew) -> None:
        self._options = options
        self._crew = crew
        self._todo: runtime.Channel[Bundle | None] = runtime.Channel()
        self._done: runtime.Channel[Bundle | BaseException] = runtime.Channel()
        self._lanes: list[Lane] = []
        self._is_full = False
        # What runs is being stopped, and no more is begun.
        self.halted = False
        self._jobs = runtime.Jobs(options.concurrency)
        seconds = options.query_timeout
        self._watchdog = runtime.Watchdog(seconds) if seconds is not None else None
        self._alarm = None
        if options.timeout is not None:
            self._alarm = runtime.Alarm(options.timeout, self._time_is_up)

    # ------------------------------------------------------------------------- for the consumer

    def give(self, bundle: Bundle) -> None:
        """Have it run, by one more worker if there may be one more."""
        if len(self._lanes) < self._options.concurrency and not self._is_full:
            self._hire()
        self._todo.put(bundle)

    def _hire(self) -> None:
        lane = self._crew.lane()
        if lane is None:
            self._is_full = True
        else:
            self._lanes.append(lane)
            self._jobs.start(partial(self._work, lane), partial(self._stop, lane))

    def news(self) -> Bundle | BaseException:
        """Wait for what has been run, or for what ends the fan-out: `runtime.Overdue` is one."""
        return self._done.get()

    def next_news(self) -> Bundle | BaseException | None:
        """The same without waiting; None if there is none."""
        return None if self._done.empty() else self._done.get_nowait()

    def dismiss(self) -> None:
        """No more work: who waits for some may go."""
        for _ in self._lanes:
            self._todo.put(None)

    def halt(self) -> None:
        """Stop what runs, without waiting for its end."""
        self.halted = True
        self.dismiss()
        self._jobs.cancel()

    def close(self) -> None:
        """Stop what still runs and wait for its end."""
        for clock in (self._alarm, self._watchdog):
            if clock is not None:
                clock.close()
        self.halted = True
        self.dismiss()
        try:
            self._jobs.close()
        finally:
            _leave(self._lanes)

    # ------------------------------------------------------------------------------- the workers

    def _work(self, lane: Lane) -> None:
        try:
            while (bundle := self._todo.get()) is not None and not self.halted:
                began = now()
                if self._execute_all(lane, bundle.statements):
                    bundle.seconds = now() - began
                self._done.put(bundle)
        except BaseException as error:
            # The consumer must not wait for it for ever.
            self._done.put(error)
            raise

    def _execute_all(self, lane: Lane, statements: list[Item]) -> bool:
        """Whether that was one query."""
        if len(statements) > 1 and self._execute_together(lane, statements):
            return True
        for statement in statements:
            if self.halted:
                break
            self._execute(lane, statement)
        return len(statements) == 1

    def _execute_together(self, lane: Lane, statements: list[Item]) -> bool:
        try:
            fork = lane.at(statements[0].session)
            for statement in statements:
                statement.fork = fork
            results = fork.run_together([statement.query for statement in statements])
        except Exception as error:  # noqa: BLE001 - whoever is to blame will fail by itself
            _log.debug("%d statements run one by one: %s", len(statements), type(error).__name__)
            lane.spoiled = True
            return False
        if results is None:
            return False
        for statement, result in zip(statements, results, strict=True):
            statement.result = result
        return True

    def _execute(self, lane: Lane, statement: Item) -> None:
        query = statement.query
        try:
            fork = statement.fork = lane.at(statement.session)
            if self._watchdog is None:
                statement.result = fork.run(query.sql, query.params, query.row_factory)
            else:
                work = partial(fork.run, query.sql, query.params, query.row_factory)
                statement.result = self._watchdog.run(work, lane.cancel)
        except runtime.Overdue as error:
            lane.spoiled = True
            statement.error = too_long(statement, self._options)
            statement.error.__cause__ = error.__cause__
        except Exception as error:  # noqa: BLE001 - the consumer raises it
            lane.spoiled = True
            statement.error = error
        except BaseException:
            lane.spoiled = True
            raise

    # ------------------------------------------------------------------------------------ ending

    def _time_is_up(self) -> None:
        self._done.put(runtime.Overdue())
        self.halt()

    def _stop(self, lane: Lane) -> None:
        """End a worker; for threads only, also when the program ends."""
        self.halted = True
        self._todo.put(None)
        lane.cancel()


def _leave(lanes: list[Lane]) -> None:
    """End the sessions of all workers, whatever becomes of one."""
    kept: BaseException | None = None
    for lane in lanes:
        try:
            lane.leave()
        except BaseException as error:  # noqa: BLE001 - the last is raised below
            _log.debug("a worker's session ended with %s", type(error).__name__)
            kept = error
    if kept is not None:
        raise kept
