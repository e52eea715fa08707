"""What real clients send, mutated and cancelled at any point; `test_messages` builds its own.

Here clients have to get in, too, with TLS and passwords, and the server's idea of a transaction
is compared with DuckDB's.
"""

from __future__ import annotations

import itertools
import random
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import duckdb
import psycopg
import pytest
from pygwire import BackendMessageDecoder, ConnectionPhase
from pygwire import messages as pg

from pgmd.local import LocalEndpoint, Quirks
from pgmd.local.authentication import Tokens, Verifiers
from pgmd.local.database.duckling import Duckling
from pgmd.local.database.instance import Limits
from pgmd.local.database.writer import Writer
from pgmd.local.protocol.conversation import Conversation
from pgmd.local.protocol.greeting import Welcome

from .test_messages import MUTATIONS
from .test_messages import SEQUENCES as MESSAGES

SEQUENCES = MESSAGES // 3
MOST_REPLIES = 10_000
SECONDS = 5.0
METHODS: tuple[Literal["trust", "password", "scram"], ...] = ("trust", "password", "scram")
START = pg.StartupMessage(params={"user": "postgres", "database": "fuzz"}).to_wire()
EXTRA = [
    [m.to_wire() for m in messages]
    for messages in (
        [pg.Query("SET TimeZone = 'Asia/Tokyo'"), pg.Query("SET VARIABLE v = 1")],
        [pg.Query("CREATE TEMP TABLE mine (a int)"), pg.Query("PREPARE p AS SELECT 1")],
        [pg.Query("BEGIN; INSERT INTO t VALUES (8); COMMIT; SELECT 1"), pg.Query("ROLLBACK")],
        [pg.Query("BEGIN; INSERT INTO t VALUES (8); ROLLBACK; BEGIN; SELECT 1/0; COMMIT")],
        [pg.Query("BEGIN; SELECT CAST('x' AS int); SELECT 1; ROLLBACK")],
        [pg.Query("COPY t FROM STDIN"), pg.CopyData(b"1\nx\n"), pg.CopyDone(), pg.Query("SELECT 1")],
    )
]  # fmt: skip


# --------------------------------------------------------------------------------------- recording


@contextmanager
def recording(port: int) -> Iterator[tuple[int, list[bytes]]]:
    """A relay to a server: its port, and what each client has sent."""
    sent: list[bytes] = []
    threads: list[threading.Thread] = []

    def pass_on(source: socket.socket, target: socket.socket, number: int | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if number is not None:
                    sent[number] += data
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def relay() -> None:
        while True:
            near, _ = listening.accept()
            if not is_open.is_set():
                near.close()
                return
            far = socket.create_connection(("127.0.0.1", port))
            sent.append(b"")
            for one, other, number in ((near, far, len(sent) - 1), (far, near, None)):
                thread = threading.Thread(target=pass_on, args=(one, other, number))
                thread.start()
                threads.append(thread)
            sockets.extend((near, far))

    sockets: list[socket.socket] = []
    is_open = threading.Event()
    is_open.set()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=relay)
        accepting.start()
        yield listening.getsockname()[1], sent
        is_open.clear()
        socket.create_connection(listening.getsockname()).close()
        accepting.join()
    for thread in threads:
        thread.join()
    for each in sockets:
        each.close()


def visit(dsn: str, port: int, **options: Any) -> None:
    """What a program does with psycopg."""
    with psycopg.connect(dsn, port=port, gssencmode="disable", **options) as connection:
        for value in (1, "x", None, 2.5, b"\0", [1, 2], True):
            with suppress(psycopg.Error):
                connection.execute("SELECT %s, a FROM t LIMIT 2", [value], prepare=True).fetchall()
                connection.commit()
            connection.rollback()
        with connection.cursor(binary=True) as cursor:
            cursor.execute("SELECT i, i::text, DATE '2024-01-01' FROM range(3) r(i)")
            cursor.executemany("INSERT INTO t VALUES (%s)", [[5], [6]])
        connection.rollback()
        with connection.pipeline():
            connection.execute("SELECT 1")
            connection.execute("INSERT INTO t VALUES (%s)", [7])
        connection.rollback()
        with connection.cursor() as cursor:
            list(cursor.stream("SELECT a FROM t"))
            with cursor.copy("COPY t TO STDOUT") as out:
                list(out)
            with cursor.copy("COPY t (a) FROM STDIN") as into:
                into.write_row([1])
        connection.rollback()


def split(stream: bytes) -> list[bytes]:
    """A client's messages; those before the startup message have no type, nor has that."""
    found: list[bytes] = []
    at = 0
    while at < len(stream):
        is_startup = stream[at] == 0 and len(found) < 3
        (length,) = struct.unpack_from("!I", stream, at if is_startup else at + 1)
        end = at + length + (not is_startup)
        found.append(stream[at:end])
        at = end
    return found


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[list[bytes]]]:
    """Real messages, by way of getting in; a list is what was sent in one go on one connection."""
    found: dict[str, list[list[bytes]]] = {}
    for method in METHODS:
        with LocalEndpoint(auth=method, password="w", quirks=Quirks.none()) as endpoint:
            with psycopg.connect(endpoint.dsn) as connection:
                connection.execute("CREATE TABLE t AS SELECT i::int AS a FROM range(5) r(i)")
            with recording(endpoint.port) as (port, sent):
                visit(endpoint.dsn, port)
                visit(endpoint.dsn, port, sslmode="disable", autocommit=True)
        messages = [split(stream) for stream in sent]
        assert sum(map(len, messages)) > 80
        found[method] = messages
    return found


def sequence(chance: random.Random, sessions: list[list[bytes]]) -> list[bytes]:
    """A stretch of what a client has sent, with how it got in, mutated; in pieces."""
    session = chance.choice(sessions)
    begin = next(n for n, message in enumerate(session) if message[:1] == b"Q")
    door, rest = session[:begin], session[begin:]
    at = chance.randrange(len(rest))
    parts = rest[at : at + chance.randint(1, 15)]
    if chance.random() < 0.3:
        parts += chance.choice(EXTRA)
    for _ in range(chance.randint(0, 3)):
        chance.choice(MUTATIONS)(chance, parts)
    if chance.random() < 0.1:
        door = list(door) or [START]
        chance.choice(MUTATIONS)(chance, door)
    data = b"".join([*door, *parts])
    cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randint(0, 4)))
    return [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)]) if a < b]


# ---------------------------------------------------------------------------------------- checking


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Writer]:
    found = Writer(tmp_path / "fuzz.duckdb", Limits(threads=1))
    cursor = found.connect()
    cursor.execute("CREATE TABLE t AS SELECT i::INTEGER AS a FROM range(5) AS r(i)")
    cursor.close()
    yield found
    found.close()


def welcome(
    database: Writer | Duckling,
    method: Literal["trust", "password", "scram"] = "trust",
    *,
    has_tls: bool = False,
) -> Welcome:
    tokens = Tokens(method, "w", ("r",))
    return Welcome(
        tokens,
        Verifiers(tokens),
        Quirks.none(),
        lambda *_: database,
        frozenset({"fuzz", "local", "md:"}),
        has_tls=has_tls,
    )


def talk(conversation: Conversation, pieces: list[bytes], chance: random.Random) -> bytes:
    """Let it answer; now and then it is cancelled in the middle of that."""
    replies: list[bytes] = []
    hasty = chance.random() < 0.2
    for piece in pieces:
        for reply in conversation.receive(piece):
            replies.append(reply)
            assert len(replies) < MOST_REPLIES
            cursor = conversation.backend.cursor if conversation.backend else None
            if hasty and cursor is not None and cursor.exchange and chance.random() < 0.3:
                assert cursor.cancel(cursor.exchange)
        if conversation.is_over:
            break
        if conversation.wants_tls:
            conversation.wants_tls, conversation.is_encrypted = False, True
    return b"".join(replies)


def check_replies(replies: bytes, *, is_over: bool) -> None:
    """Whole messages that a client can read; a fatal one is the last."""
    decoder = BackendMessageDecoder()
    at = 0
    while replies[at : at + 1] in (b"N", b"S") and replies[at + 1 : at + 2] in (b"", *_AFTER):
        at += 1
    last: Any = None
    while at < len(replies):
        (length,) = struct.unpack_from("!I", replies, at + 1)
        message = replies[at : at + 1 + length]
        in_copy = message[:1] in (b"d", b"c")
        decoder.phase = ConnectionPhase.COPY_OUT if in_copy else ConnectionPhase.EXTENDED_QUERY
        if message[:1] in (b"R", b"K"):
            decoder.phase = ConnectionPhase.INITIALIZATION
        decoder.feed(message)
        (last,) = list(decoder)
        assert decoder.buffered == 0
        at += 1 + length
        is_fatal = isinstance(last, pg.ErrorResponse) and last.fields["S"] == "FATAL"
        assert not is_fatal or (is_over and at == len(replies))


# What may follow the answer to a request for encryption.
_AFTER = (b"N", b"S", b"R", b"E", b"v")


def check_transaction(conversation: Conversation) -> None:
    """Whether one is open is what DuckDB thinks, too."""
    backend = conversation.backend
    if backend is None or conversation._simple.is_copying:
        return
    cursor = backend.cursor
    cursor.drop() if cursor.is_cancelled() else cursor.free()
    try:
        cursor.duckdb.begin()
    except duckdb.TransactionException:
        is_idle = False
    else:
        cursor.duckdb.rollback()
        is_idle = True
    assert backend.transaction.is_open is not is_idle


def check_unharmed(database: Writer) -> None:
    """The next client finds nothing of those before it, and nobody holds up the writers."""
    assert not database.gate.is_busy
    cursor = database.connect()
    for query, row in (
        ("SELECT current_setting('TimeZone')", ("UTC",)),
        ("SELECT count(*) FROM duckdb_tables() WHERE temporary", (0,)),
        ("SELECT count(*) FROM duckdb_prepared_statements()", (0,)),
        ("SELECT count(*) FROM duckdb_variables()", (0,)),
        ("SELECT count(*) > 0 FROM t WHERE a < 5", (True,)),
    ):
        assert cursor.execute(query).fetchall() == [row], query
    cursor.execute("DELETE FROM t WHERE a > 4")
    cursor.close()
    database.snapshot(is_stopped=lambda: True)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_real_traffic_mutated(database: Writer, corpus: dict[str, list[list[bytes]]]) -> None:
    duckling = Duckling(database, 0, pickup_every=0.0)
    doors = [
        (welcome(source, method, has_tls=has_tls), corpus[method])
        for source in (database, duckling)
        for method in METHODS
        for has_tls in (False, True)
    ]
    let_in = 0
    for seed in range(SEQUENCES):
        chance = random.Random(seed)
        # Most without a password: those get further.
        door, sessions = doors[0] if chance.random() < 0.7 else chance.choice(doors)
        conversation = Conversation(door, process_id=seed)
        began = time.monotonic()
        pieces: list[bytes] = []
        try:
            pieces = sequence(chance, sessions)
            replies = talk(conversation, pieces, chance)
            check_replies(replies, is_over=conversation.is_over)
            check_transaction(conversation)
            assert time.monotonic() - began < SECONDS
        except BaseException as error:
            error.add_note(f"seed {seed}: {pieces}")
            raise
        finally:
            conversation.close()
        let_in += conversation.backend is not None
        if seed % 500 == 0:
            check_unharmed(database)
    check_unharmed(database)
    duckling.close()
    assert let_in > SEQUENCES // 2


# ------------------------------------------------------------------------------------- by themselves


def test_a_length_of_a_gigabyte_takes_no_memory(database: Writer) -> None:
    door = welcome(database)
    tracemalloc.start()
    try:
        for first in (b"", START):
            conversation = Conversation(door, process_id=1)
            list(conversation.receive(first))
            before, _ = tracemalloc.get_traced_memory()
            kind = b"Q" if first else b""
            list(conversation.receive(kind + struct.pack("!I", 2**30) + b"SELECT"))
            _, most = tracemalloc.get_traced_memory()
            assert most - before < 1_000_000
            assert not conversation.is_over
            conversation.close()
    finally:
        tracemalloc.stop()


def test_who_is_not_let_in_cannot_send_much(database: Writer) -> None:
    conversation = Conversation(welcome(database, "password"), process_id=1)
    replies = b"".join(conversation.receive(START))
    assert replies[:1] == b"R"
    for _ in range(100):
        replies = b"".join(conversation.receive(b"p" + struct.pack("!I", 2**20) + b"x" * 1000))
        if conversation.is_over:
            break
    assert b"too much data" in replies
    assert conversation.is_over


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_the_end_of_a_transaction_that_is_cancelled(database: Writer, end: str) -> None:
    conversation = Conversation(welcome(database), process_id=1)
    list(conversation.receive(START))
    query = pg.Query(f"BEGIN; INSERT INTO t VALUES (100); {end}").to_wire()
    seen = b""
    for reply in conversation.receive(query):
        seen += reply
        if b"INSERT" in reply:
            assert conversation.backend is not None
            cursor = conversation.backend.cursor
            cursor.cancel(cursor.exchange)
    assert b"Interrupted" in seen
    # It says idle, and it is.
    assert seen.endswith(b"Z\0\0\0\5I")
    check_transaction(conversation)
    assert not database.gate.is_busy
    found = b"".join(conversation.receive(pg.Query("SELECT count(*) FROM t").to_wire()))
    assert b"\0\0\0\x015" in found
    conversation.close()


def test_a_copy_that_is_cancelled(database: Writer) -> None:
    conversation = Conversation(welcome(database), process_id=1)
    list(conversation.receive(START + pg.Query("COPY t FROM STDIN").to_wire()))
    list(conversation.receive(pg.CopyData(b"1\n2\n").to_wire()))
    assert conversation.backend is not None
    cursor = conversation.backend.cursor
    assert cursor.cancel(cursor.exchange)
    replies = b"".join(conversation.receive(pg.CopyDone().to_wire()))
    assert b"Interrupted" in replies
    assert replies.endswith(b"Z\0\0\0\5I")
    check_transaction(conversation)
    assert not database.gate.is_busy
    conversation.close()


@pytest.mark.parametrize("kind", ["simple", "extended"])
def test_an_error_in_the_middle_of_a_result_aborts_the_transaction(
    database: Writer, kind: str
) -> None:
    query = "SELECT CAST(CASE WHEN i = 50000 THEN 'x' ELSE '1' END AS int) FROM range(100000) r(i)"
    messages: dict[str, list[Any]] = {
        "simple": [pg.Query(query)],
        "extended": [pg.Parse("", query, []), pg.Bind("", "", [], [], []), pg.Execute("", 0), pg.Sync()],
    }  # fmt: skip
    conversation = Conversation(welcome(database), process_id=1)
    list(conversation.receive(START + pg.Query("BEGIN").to_wire()))
    replies = b"".join(conversation.receive(b"".join(m.to_wire() for m in messages[kind])))
    assert b"Conversion Error" in replies
    status = replies[-1:]
    after = b"".join(conversation.receive(pg.Query("SELECT 1").to_wire()))
    # What it says is what DuckDB does.
    assert (b"aborted" in after) is (status == b"E"), (status, after)
    list(conversation.receive(pg.Query("ROLLBACK").to_wire()))
    check_transaction(conversation)
    conversation.close()
