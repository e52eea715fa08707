# Generated from pgmd/_async/blocks.py by pgmd._tools.unasync. Do not edit.
"""Transactions and snapshots: how a session's blocks begin and end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from ..answers.found import Found
from ..answers.result import Result
from ..process.clock import now
from ..request import Request
from ..routing.decision import NO_FACTS, Decision
from ..sql import analyse
from .choosing import refusal
from .running import Answered, Running
from .sides.endpoint import EndpointLent
from .state import Block


def open_transaction(session: Running) -> Block:
    """A block on the endpoint, on the session's own connection if it has one."""
    return Block(session.state.kept or session.core.lend())


@contextmanager
def committed(session: Running, block: Block) -> Iterator[None]:
    """BEGIN (or a savepoint), and COMMIT at the end. Raises with `outcome` UNKNOWN when the answer
    to COMMIT is lost."""
    lent = block.lent
    assert isinstance(lent, EndpointLent)
    committing = False
    try:
        with lent.connection.transaction():
            yield
            committing = True
    except psycopg.Error as error:
        session.raise_(error, None, is_read=not committing, lost=lent.is_lost)
    block.ended_well = True


def end_transaction(session: Running, block: Block) -> None:
    """What a block on the endpoint leaves behind: its write, what it has set, its connection."""
    core, state, lent = session.core, session.state, block.lent
    assert isinstance(lent, EndpointLent)
    if block.write is not None:
        core.log.finish(block.write)
    state.saw(core.log.started)
    if block.keeps_connection and not lent.connection.closed:
        state.keep(lent)
    if lent is not state.kept:
        # An endpoint that cannot tell its transaction status cannot tell that one is open.
        trusted = block.ended_well or core.profile.reports_transactions
        lent.give_back(discard=not trusted)
    if block.changed_schema:
        core.schema_changed()


def open_snapshot(session: Running) -> Block:
    """A read-only transaction on a replica that is fresh enough, else on the endpoint. Raises
    `RoutingError` where there is neither."""
    block = open_replica_snapshot(session)
    if block is not None:
        return block
    if session.core.endpoint is None:
        raise refusal(session.not_served(NO_FACTS))
    block = open_transaction(session)
    block.is_snapshot = True
    return _begun(session, block)


def open_replica_snapshot(session: Running) -> Block | None:
    """A read-only transaction on a replica; None if none may serve it."""
    lent = session.borrow() if session.core.settings.replicas else None
    return None if lent is None else _begun(session, Block(lent, is_snapshot=True))


def _begun(session: Running, block: Block) -> Block:
    is_set = isinstance(block.lent, EndpointLent)
    try:
        block.lent.begin(() if is_set else session.state.ledger.replay)
    except BaseException:
        # Cancelled, it may have begun all the same.
        end_snapshot(session, block)
        raise
    return block


def end_snapshot(session: Running, block: Block) -> None:
    """End it and give back what it was on, whatever happens."""
    lent = block.lent
    if not isinstance(lent, EndpointLent):
        lent.end()
        return
    try:
        lent.rollback()
        block.ended_well = True
    finally:
        end_transaction(session, block)


def control_snapshot(session: Running, request: Request, decision: Decision) -> Result[Any] | None:
    """Begin or end a snapshot by statement; None for what runs in one."""
    state, began = session.state, now()
    statement, block = analyse(request.text), state.block
    if statement.begins_snapshot and block is None:
        block = open_snapshot(session)
        block.by_statement = True
        state.open(block)
    elif statement.ends_transaction and block is not None and block.by_statement:
        state.close()
        end_snapshot(session, block)
    else:
        return None
    lent = block.lent
    if lent.name is not None:
        decision = decision.by(lent.name, lent.freshness.staleness(now()))
    found = Found(None, (), -1, statement.verb)
    return session.done(request, Answered(decision, found, began, began))
