"""What a statement does, as far as its words tell."""

from __future__ import annotations

import enum


class Fact(enum.Flag):
    """What a statement does, as far as its words tell."""

    READS = enum.auto()
    WRITES = enum.auto()
    DDL = enum.auto()  # always with WRITES
    TRANSACTION = enum.auto()  # begins or ends one, or a part of one
    SESSION = enum.auto()  # changes the state of its connection, or depends on what it did before
    TEMPORARY = enum.auto()  # names or makes an object that only its connection has
    ASKS_SESSION = enum.auto()  # asks about the server or the connection: no two need agree
    LOCAL_FILES = enum.auto()  # of whatever machine runs it
    REMOTE_FILES = enum.auto()
    EXTERNAL = enum.auto()  # acts outside of the tables: logs, checkpoints, other systems
    VOLATILE = enum.auto()  # another answer each time, wherever it runs
    SEVERAL = enum.auto()
    EMPTY = enum.auto()
    UNKNOWN = enum.auto()


READ = Fact.READS
VOLATILE_READ = Fact.READS | Fact.VOLATILE
WRITE = Fact.WRITES
DDL = Fact.WRITES | Fact.DDL
SESSION = Fact.SESSION
TEMPORARY = Fact.TEMPORARY
TRANSACTION = Fact.TRANSACTION
ASKS = Fact.READS | Fact.ASKS_SESSION
LOCAL_FILES = Fact.READS | Fact.LOCAL_FILES
REMOTE_FILES = Fact.READS | Fact.REMOTE_FILES
EXTERNAL = Fact.READS | Fact.EXTERNAL
DOUBT = Fact.READS | Fact.UNKNOWN
# Whoever did it needs the same connection for what comes next.
PINNING = Fact.SESSION | Fact.TEMPORARY | Fact.TRANSACTION
