"""Many reads as one query, and how many of them are worth it.

Beginning and planning a small read takes DuckDB longer than running it, and over a network the way
there longer still. As one query, several reads share most of that. All of this is decided here;
nothing is run.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from ..sql import Statement
from ..sql.facts import READ

# The sizes of bundles that are tried, one after the other.
_SIZES = (1, 4, 16)
# Bundles of each worker that are looked at, and what the larger size must make of the rate.
_ROUNDS = 3
_LEAST = 4
# Of the time, how much a consumer waits that could take results faster.
_HUNGRY = 0.25
_TICK = 1e-9
_WORTH_IT = 1.1
# Seconds: whoever waits for one result should not wait much longer for it in company.
_LONGEST = 0.2
_FAR_TOO_LONG = 2.0
# Bundles that ran as one query, against one that did not.
_REFUSAL = 5
_CREDIT = 20


class Bundling:
    """How many statements of a fan-out run as one query: `size`, found out by trying.

    Each size is kept for some bundles of each of the *workers*, and the next one must bring
    results faster: how long a bundle takes does not tell that, as the workers share the machine.
    None is tried while it is the consumer that results wait for. What was found for a *text* is
    *known* from then on.
    """

    def __init__(self, workers: int, known: MutableMapping[str, int], text: str) -> None:
        self._known = known
        self._text = text
        self._warming = max(workers, _LEAST)
        self._measured = _ROUNDS * self._warming
        self._credit = _CREDIT
        self._rate = 0.0
        self.size = known.get(text, _SIZES[0])
        self.is_settled = text in known
        # Since the size is this.
        self._bundles = 0
        # Of those that are measured.
        self._statements = 0
        self._seconds = self._began = self._had_waited = 0.0

    def note(self, size: int, seconds: float, *, moment: float, waited: float) -> None:
        """So many statements have run as one query, which took *seconds*. At this *moment* the
        consumer has *waited* for so many seconds in all."""
        if size > 1 and seconds > _FAR_TOO_LONG:
            self.refuse()
            return
        self._credit = min(self._credit + 1, _CREDIT)
        if self.is_settled:
            return
        if self._bundles >= self._warming:
            self._statements += size
        if size != self.size:
            return
        self._bundles += 1
        if self._bundles == self._warming:
            # Those before did what is done but once, or ran beside bundles of another size.
            self._statements, self._seconds = 0, 0.0
            self._began, self._had_waited = moment, waited
        elif self._bundles > self._warming:
            self._seconds += seconds
            if self._bundles == self._warming + self._measured:
                self._decide(max(moment - self._began, _TICK), waited - self._had_waited)

    def refuse(self) -> None:
        """A bundle could not run as one query; if most cannot, no more are tried."""
        self._credit -= _REFUSAL
        if self._credit < 0:
            self._settle(_SIZES[0])

    def _decide(self, took: float, waited: float) -> None:
        rate = self._statements / took
        is_slow = self._seconds / self._measured > _LONGEST
        step = _SIZES.index(self.size)
        if step and (is_slow or rate < _WORTH_IT * self._rate):
            self._settle(_SIZES[step - 1])
        elif is_slow or step + 1 == len(_SIZES):
            self._settle(self.size)
        else:
            if waited > _HUNGRY * took:
                self._rate = rate
                self.size = _SIZES[step + 1]
            self._bundles = 0

    def _settle(self, size: int) -> None:
        self.size = size
        self.is_settled = True
        if size > 1:
            self._known[self._text] = size
        else:
            # Chance may have decided so: it will be tried again.
            self._known.pop(self._text, None)


def may_be_bundled(statement: Statement) -> bool:
    """Whether it is a query that gives the same answer in company."""
    return statement.is_query and statement.facts is READ and not statement.makes_types
