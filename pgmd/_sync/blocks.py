# Generated from pgmd/_async/blocks.py by pgmd._tools.unasync. Do not edit.
"""What a session hands out: open blocks and views of itself."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, overload
from weakref import WeakSet

from psycopg.rows import BaseRowFactory
from typing_extensions import TypeVar

from ..answers.result import Result
from ..errors import UsageError
from ..pooling import Slot
from ..replicas.members import Member
from ..request import Params, Sql
from ..routing.decision import Route
from ..runtime import threads as runtime
from .sides.endpoint import Pooled

if TYPE_CHECKING:
    from .session import Session

Row = TypeVar("Row", default=tuple[Any, ...])
Other = TypeVar("Other")


@dataclass(slots=True, eq=False)
class Block:
    """An open transaction or snapshot, and what it holds until it ends."""

    connection: Pooled | None = None
    slot: Slot[Member] | None = None
    is_snapshot: bool = False
    # The position of the first write in it.
    write: int | None = None
    changed_schema: bool = False
    # A statement in it set something that is still there after it.
    keeps_connection: bool = False
    # Begun by BEGIN TRANSACTION READ ONLY, and ended by COMMIT or ROLLBACK.
    by_statement: bool = False
    ended_well: bool = False
    # The fan-outs begun in it. One that is dropped ends there and then in threads only.
    fan_outs: Any = field(default_factory=set if runtime.ASYNC else WeakSet)


class _View(Generic[Row]):
    """Executes in its session, on a route."""

    _route: Route | None = None

    def __init__(self, session: Session[Row]) -> None:
        self._session = session

    @overload
    def execute(self, query: Sql, params: Params | None = None) -> Result[Row]: ...

    @overload
    def execute(
        self,
        query: Sql,
        params: Params | None = None,
        *,
        row_factory: BaseRowFactory[Other],
    ) -> Result[Other]: ...

    def execute(
        self,
        query: Sql,
        params: Params | None = None,
        *,
        row_factory: BaseRowFactory[Any] | None = None,
    ) -> Result[Any]:
        """As the session's `execute()`."""
        self._check()
        return self._session.run(query, params, row_factory, self._route)

    def _check(self) -> None:
        pass


class EndpointView(_View[Row]):
    """A session whose statements all go to the endpoint."""

    _route = Route.ENDPOINT


class ReplicaView(_View[Row]):
    """A session whose statements all go to a replica; `RoutingError` for what may not."""

    _route = Route.REPLICA


class _BlockView(_View[Row]):
    """Executes in an open block of its session."""

    def __init__(self, session: Session[Row], block: Block) -> None:
        super().__init__(session)
        self._block = block

    def _check(self) -> None:
        if self._session._runner.block is not self._block:
            raise UsageError(f"this {self._what} is over; open a new one")

    _what = "block"


class Transaction(_BlockView[Row]):
    """An open transaction. Not for sharing between threads or tasks."""

    _what = "transaction"

    def transaction(self) -> AbstractContextManager[Transaction[Row]]:
        """A savepoint in this transaction, rolled back to on error."""
        self._check()
        return self._session.transaction()


class Snapshot(_BlockView[Row]):
    """An open read-only view of one moment. Not for sharing between threads or tasks."""

    _what = "snapshot"
