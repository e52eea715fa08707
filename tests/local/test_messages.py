"""The protocol under fire: mutated traffic must end in an error or a closed connection."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pygwire import messages as pg

from pgmd.local import LocalEndpoint, Quirks
from pgmd.local.authentication import Tokens, Verifiers
from pgmd.local.database.instance import Limits
from pgmd.local.database.writer import Writer
from pgmd.local.protocol.conversation import Conversation
from pgmd.local.protocol.greeting import Welcome

# So many in each run of the suite, and 100,000 by hand when the server has changed.
SEQUENCES = int(os.environ.get("PGMD_TEST_SEQUENCES", "5000"))
OVER_SOCKETS = 300
# Every message that a server may send.
BACKEND = frozenset(b"RKSZTDCEINGHdc123nst")
MOST_REPLIES = 10_000
SECONDS = 60.0

START = pg.StartupMessage(params={"user": "fuzz", "database": "fuzz"}).to_wire()
SESSIONS: list[list[bytes]] = [
    [m.to_wire() for m in messages]
    for messages in (
        [pg.Query("SELECT 1, 'x', NULL")],
        [pg.Query("SELECT a FROM t WHERE a < 3; SELECT nothing; SELECT 2")],
        [pg.Query("BEGIN"), pg.Query("INSERT INTO t VALUES (9)"), pg.Query("ROLLBACK")],
        [pg.Query("BEGIN"), pg.Query("SELECT 1/0, 'x'::int"), pg.Query("COMMIT")],
        [pg.Query("")],
        [pg.Query("CREATE SNAPSHOT OF fuzz"), pg.Query("REFRESH DATABASE fuzz")],
        [
            pg.Parse("s", "SELECT $1::int + a FROM t ORDER BY a", [23]),
            pg.Describe("S", "s"),
            pg.Bind("p", "s", [1], [b"\0\0\0\x07"], [0]),
            pg.Describe("P", "p"),
            pg.Execute("p", 2),
            pg.Execute("p", 0),
            pg.Close("P", "p"),
            pg.Close("S", "s"),
            pg.Sync(),
        ],
        [
            pg.Parse("", "INSERT INTO t VALUES ($1) RETURNING a", [20]),
            pg.Bind("", "", [0], [b"77"], [1]),
            pg.Describe("P", ""),
            pg.Execute("", 0),
            pg.Flush(),
            pg.Sync(),
        ],
        [pg.Parse("", "SELEC", []), pg.Bind("", "", [], [], []), pg.Execute("", 0), pg.Sync()],
        [pg.Parse("", "SELECT $1::text, $2::timestamp", [25, 1114]),
         pg.Bind("", "", [0, 0], [b"\xc3\xa4", None], [0, 1]), pg.Execute("", 1), pg.Sync()],
        [pg.Query("COPY t FROM STDIN"), pg.CopyData(b"1\n2\n"), pg.CopyDone()],
        [pg.Query("COPY t FROM STDIN"), pg.CopyData(b"1\tx\n"), pg.CopyFail("no")],
        [pg.Query("COPY t TO STDOUT")],
        [pg.FunctionCall(function_oid=1), pg.Query("SELECT 1")],
        [pg.Terminate()],
    )
]  # fmt: skip
Mutation = Callable[[random.Random, list[bytes]], None]


def flip(chance: random.Random, parts: list[bytes]) -> None:
    at = chance.randrange(len(parts))
    part = bytearray(parts[at])
    if part:
        part[chance.randrange(len(part))] ^= 1 << chance.randrange(8)
        parts[at] = bytes(part)


def cut(chance: random.Random, parts: list[bytes]) -> None:
    at = chance.randrange(len(parts))
    parts[at] = parts[at][: chance.randint(0, len(parts[at]))]


def lie(chance: random.Random, parts: list[bytes]) -> None:
    """Another length."""
    at = chance.randrange(len(parts))
    part = parts[at]
    if len(part) >= 5:
        length = chance.choice([0, 1, 3, 4, 5, 2**30, 2**31 - 1, 2**32 - 1, len(part) + 3])
        parts[at] = part[:1] + struct.pack("!I", length) + part[5:]


def swap(chance: random.Random, parts: list[bytes]) -> None:
    a, b = chance.randrange(len(parts)), chance.randrange(len(parts))
    parts[a], parts[b] = parts[b], parts[a]


def repeat(chance: random.Random, parts: list[bytes]) -> None:
    parts.insert(chance.randrange(len(parts)), chance.choice(parts))


def drop(chance: random.Random, parts: list[bytes]) -> None:
    if len(parts) > 1:
        del parts[chance.randrange(len(parts))]


def noise(chance: random.Random, parts: list[bytes]) -> None:
    parts.insert(chance.randrange(len(parts) + 1), chance.randbytes(chance.randint(1, 40)))


def strange(chance: random.Random, parts: list[bytes]) -> None:
    """A message of a type that may be known, with a body that is not."""
    body = chance.randbytes(chance.randint(0, 30))
    kind = bytes([chance.choice(b"QPBDECSHFXdcfp\x00z")])
    message = kind + struct.pack("!I", len(body) + 4) + body
    parts.insert(chance.randrange(len(parts) + 1), message)


def mingle(chance: random.Random, parts: list[bytes]) -> None:
    parts[chance.randrange(len(parts)) :] = chance.choice(SESSIONS)


MUTATIONS: tuple[Mutation, ...] = (flip, cut, lie, swap, repeat, drop, noise, strange, mingle)


def sequence(chance: random.Random) -> list[bytes]:
    """What one client sends, in pieces; most begin as a client should."""
    parts = list(itertools.chain(*chance.choices(SESSIONS, k=chance.randint(1, 2))))
    for _ in range(chance.randint(1, 3)):
        chance.choice(MUTATIONS)(chance, parts)
    if chance.random() < 0.9:
        parts.insert(0, START)
    data = b"".join(parts)
    cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randint(0, 2)))
    return [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)]) if a < b]


def check_replies(replies: bytes) -> None:
    """Whole messages of known types, and a last one that ends something."""
    at = 0
    if replies[:1] == b"N" and replies[1:2] in (b"", b"R", b"N", b"E"):
        at = 1  # the answer to a request for TLS
    while at < len(replies):
        assert replies[at] in BACKEND, replies[at : at + 20]
        (length,) = struct.unpack_from("!I", replies, at + 1)
        assert length >= 4
        at += 1 + length
    assert at == len(replies)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Writer]:
    found = Writer(tmp_path / "fuzz.duckdb", Limits(threads=1))
    cursor = found.connect()
    cursor.execute("CREATE TABLE t AS SELECT i::INTEGER AS a FROM range(5) AS r(i)")
    cursor.close()
    yield found
    found.close()


def welcome(database: Writer, quirks: Quirks) -> Welcome:
    tokens = Tokens()
    return Welcome(
        tokens, Verifiers(tokens), quirks, lambda *_: database, frozenset({database.name})
    )


def talk(conversation: Conversation, pieces: list[bytes]) -> bytes:
    replies: list[bytes] = []
    for piece in pieces:
        for reply in conversation.receive(piece):
            replies.append(reply)
            assert len(replies) < MOST_REPLIES
        if conversation.is_over:
            break
    return b"".join(replies)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("quirks", [Quirks(), Quirks.none()], ids=["production", "none"])
def test_many_sequences(database: Writer, quirks: Quirks) -> None:
    door = welcome(database, quirks)
    for seed in range(SEQUENCES // 2):
        conversation = Conversation(door, process_id=seed)
        began = time.monotonic()
        try:
            pieces = sequence(random.Random(seed))
            check_replies(talk(conversation, pieces))
            assert time.monotonic() - began < SECONDS
        except BaseException as error:
            error.add_note(f"seed {seed}: {pieces}")
            raise
        finally:
            conversation.close()
        if seed % 1000 == 0:
            check_unharmed(database, door)
    check_unharmed(database, door)


def check_unharmed(database: Writer, door: Welcome) -> None:
    """The next client finds nothing of those before it, and nobody holds up the writers."""
    assert not database.gate.is_busy
    conversation = Conversation(door, process_id=0)
    # What was inserted stays no longer than until here.
    talk(conversation, [START, pg.Query("DELETE FROM t WHERE a > 4").to_wire()])
    for query, row in (
        ("SELECT current_setting('TimeZone')", b"UTC"),
        ("SELECT count(*) FROM duckdb_temporary_files()", b"0"),
        (
            "SELECT string_agg(table_name, ',') FROM duckdb_tables() WHERE database_name = 'fuzz'",
            b"t",
        ),
    ):
        reply = talk(conversation, [pg.Query(query).to_wire()])
        assert b"\0\1" + struct.pack("!I", len(row)) + row in reply, (query, reply)
        # Idle: no transaction is open.
        assert reply.endswith(b"Z\0\0\0\5I")
    conversation.close()
    database.snapshot(is_stopped=lambda: True)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_over_sockets_the_server_lives_on(tmp_path: Path) -> None:
    with LocalEndpoint(tmp_path / "fuzz.duckdb", quirks=Quirks.none()) as endpoint:
        with psycopg.connect(endpoint.dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT i::INTEGER AS a FROM range(5) AS r(i)")
        for seed in range(OVER_SOCKETS):
            replies = send(endpoint.port, sequence(random.Random(seed)))
            check_replies(replies)
        with psycopg.connect(endpoint.dsn, autocommit=True) as connection:
            assert connection.execute("SELECT min(a) FROM t").fetchall() == [(0,)]
            connection.execute("CREATE SNAPSHOT OF fuzz")


def send(port: int, pieces: list[bytes]) -> bytes:
    """All that a client sends, and all that comes back until the server closes."""
    replies = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        # A server that has had enough resets the connection.
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                client.sendall(piece)
            # By now it may be gone: shutting down then is no ConnectionError but ENOTCONN.
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                replies += data
    return bytes(replies)
