"""What a side says to a statement: an answer, or why another must answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from ..answers.columns import Column, Described
from ..routing.decision import Decision
from .rows import Rows


class Found(NamedTuple):
    """What a side has answered; `loaded` is how long (seconds) making Python's values took."""

    rows: Rows | None
    columns: Described | Sequence[Column]
    rowcount: int
    statusmessage: str | None
    loaded: float = 0.0

    @property
    def description(self) -> Sequence[Any]:
        """The columns, as a driver's cursor describes them."""
        columns = self.columns
        return columns if isinstance(columns, Sequence) else columns.description or ()


class Setback(NamedTuple):
    """Why a read must run elsewhere: it had no effect here. Where it must not move, `error` is
    what the caller gets, or the decision alone where there is none."""

    decision: Decision
    error: psycopg.Error | None = None
    cause: BaseException | None = None
