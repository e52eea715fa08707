"""The protocol's messages, read as leniently as PostgreSQL reads them.

pygwire reads and writes them, and knows which may come when.
"""

from __future__ import annotations

from collections.abc import Sequence

from pygwire import BackendConnection, ConnectionPhase
from pygwire import messages as pg
from pygwire.codec import FrontendMessageDecoder

from ..values.columns import Column

COPYING = (pg.CopyData, pg.CopyDone, pg.CopyFail)
_BETWEEN_COPIES = (ConnectionPhase.READY, ConnectionPhase.EXTENDED_QUERY)


class Violation(Exception):
    """The client does not keep to the protocol: it is told so and let go."""


class _Decoder(FrontendMessageDecoder):
    """Reads the data of a COPY also when none is on: a client sends on until it is refused."""

    def _parse(self) -> None:
        phase = self.phase
        identifier = bytes(self._buf[self._pos : self._pos + 1])
        if phase in _BETWEEN_COPIES and identifier in (b"d", b"c", b"f"):
            self.phase = ConnectionPhase.COPY_IN
        try:
            super()._parse()
        finally:
            self.phase = phase


class Messages(BackendConnection):
    """Takes what PostgreSQL takes, too, and asyncpg sends.

    That is a Query where a Sync was to come, and the data of a COPY that has been refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self._decoder = _Decoder()

    def _receive_to_state_machine(self, msg: pg.PGMessage) -> None:
        is_early = isinstance(msg, pg.Query) and self.phase is ConnectionPhase.EXTENDED_QUERY
        is_late = isinstance(msg, COPYING) and self.phase in _BETWEEN_COPIES
        if not is_early and not is_late:
            super()._receive_to_state_machine(msg)

    @property
    def has_more(self) -> bool:
        """Whether more has arrived than was read."""
        return self._decoder.buffered > 0


def row_description(columns: Sequence[Column], formats: Sequence[int]) -> pg.RowDescription:
    given = list(formats) or [0]
    spread = given * len(columns) if len(given) == 1 else given
    return pg.RowDescription(
        fields=[
            pg.FieldDescription(
                name=c.name, type_oid=c.oid, type_size=c.size, type_modifier=c.modifier,
                format_code=f,
            )
            for c, f in zip(columns, spread, strict=False)
        ]
    )  # fmt: skip


def error_response(severity: str, code: str, message: str) -> pg.ErrorResponse:
    fields = {"S": severity, "V": severity, "C": code, "M": message.replace("\0", "")}
    return pg.ErrorResponse(fields=fields)
