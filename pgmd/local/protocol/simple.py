"""The simple query protocol: a text of any number of statements, and COPY."""

from __future__ import annotations

from collections.abc import Iterator

from pygwire import messages as pg

from ..backend.copying import CopyIn, CopyOut
from ..backend.result import QueryResult
from ..backend.running import Backend
from ..backend.statements import read
from .replies import ERRORS, Replies

# Told from every reply by identity.
_SUSPEND = b"suspend"


class SimpleQueries:
    def __init__(self, backend: Backend, replies: Replies) -> None:
        self._backend = backend
        self._replies = replies
        self._copy: CopyIn | None = None
        self._suspended: Iterator[bytes] | None = None

    @property
    def is_copying(self) -> bool:
        """Whether the client is sending data, which `continue_copy` takes."""
        return self._copy is not None

    def query(self, message: pg.Query) -> Iterator[bytes]:
        self._backend.cursor.begin()
        yield from self._drive(self._answer(message.query_string))

    def _answer(self, text: str) -> Iterator[bytes]:
        try:
            commands = read(text)
            if not commands:
                yield self._replies.send(pg.EmptyQueryResponse())
            for command in commands:
                self._backend.describing.check(command, ())
                yield from self._deliver(self._backend.run(command))
                yield from self._replies.time_zone(command)
        except ERRORS as error:
            yield self._replies.explain(error)
        yield self._replies.ready()

    def _deliver(self, result: QueryResult | CopyIn | CopyOut) -> Iterator[bytes]:
        if isinstance(result, CopyIn):
            yield from self._copy_in(result)
            return
        if isinstance(result, CopyOut):
            yield from self._copy_out(result)
            return
        if result.columns is not None:
            yield self._replies.shape(result.columns, ())
            yield from self._replies.rows(result)
        yield self._replies.completed(result.tag)

    def _copy_out(self, copy: CopyOut) -> Iterator[bytes]:
        send = self._replies.send
        yield send(pg.CopyOutResponse(overall_format=0, col_formats=[0] * copy.columns))
        for line in copy.lines():
            yield send(pg.CopyData(data=line))
        yield send(pg.CopyDone())
        yield self._replies.completed(f"COPY {copy.count}")

    def _copy_in(self, copy: CopyIn) -> Iterator[bytes]:
        answer = pg.CopyInResponse(overall_format=0, col_formats=[0] * copy.columns)
        yield self._replies.send(answer)
        self._copy = copy
        # Goes on in continue_copy, when the client has sent its data.
        yield _SUSPEND
        yield self._replies.completed(self._backend.insert(copy))

    def continue_copy(self, message: pg.CopyData | pg.CopyDone | pg.CopyFail) -> Iterator[bytes]:
        """Take in data, or its end."""
        assert self._copy is not None
        assert self._suspended is not None
        if isinstance(message, pg.CopyData):
            self._copy.feed(bytes(message.data))
            return
        self._copy = None
        suspended, self._suspended = self._suspended, None
        if isinstance(message, pg.CopyDone):
            yield from self._drive(suspended)
        else:
            yield self._replies.error("57014", f"COPY from stdin failed: {message.error_message}")
            yield self._replies.ready()

    def _drive(self, replies: Iterator[bytes]) -> Iterator[bytes]:
        for reply in replies:
            if reply is _SUSPEND:
                self._suspended = replies
                return
            yield reply
