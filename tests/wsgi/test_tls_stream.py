"""TLS in a socket's place: over a real socket pair, with a client whose every record is ours."""

from __future__ import annotations

import contextlib
import os
import ssl
from _socket import SHUT_WR
from _socket import socket as RawSocket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic
from typing import Any

import pytest

from greenworld.hub import get_hub, spawn
from greenworld.patches import socket
from greenworld.wsgi.tls_stream import MAX_REPLIES, RECORD, TlsStream
from tests.certificates import NOT_ENDED, Authority, strict_client

LIMIT = 20.0
BIG = os.urandom(3_000_000)


class Client:
    """Puts TLS together in memory, so that a test says which bytes are sent when."""

    def __init__(self, sock: Any, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def handshake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.push()
                self.pull()
            else:
                self.push()
                return

    def encrypt(self, *blocks: bytes) -> bytes:
        """A record for each block."""
        for block in blocks:
            self.tls.write(block)
        return self.outgoing.read()

    def push(self, data: bytes = b"") -> None:
        self.sock.sendall(data + self.outgoing.read())

    def pull(self) -> None:
        data = self.sock.recv(65536)
        self.incoming.write(data)
        if not data:
            self.incoming.write_eof()

    def read(self, size: int) -> bytes:
        """So many plain bytes, or fewer at the end."""
        data = b""
        while len(data) < size:
            try:
                piece = self.tls.read(size - len(data))
            except ssl.SSLWantReadError:
                self.pull()
                continue
            if not piece:
                break
            data += piece
        return data


class Ends:
    """Both ends of a connection before its handshake."""

    def __init__(self, pair: Any, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        ours, theirs = pair
        theirs.settimeout(LIMIT)
        self.raw = RawSocket(fileno=ours.detach())
        self.raw.setblocking(False)
        self.io = get_hub().io(self.raw.fileno())
        self.stream = TlsStream(self.raw, self.io, contexts[0], b"")
        self.client = Client(theirs, contexts[1])

    def handshake(self) -> None:
        handshake = spawn(self.stream.handshake, monotonic() + LIMIT)
        self.client.handshake()
        handshake.wait(LIMIT)
        with pytest.raises(BlockingIOError):
            self.stream.recv(100)

    def send(self, data: bytes) -> None:
        """Send all, as a connection does."""
        view = memoryview(data)
        while view:
            try:
                view = view[self.stream.send(view) :]
            except BlockingIOError:
                self.io.writable = False
                self.io.wait_write(LIMIT)

    def receive(self, limit: int) -> bytes:
        """Receive something, as a connection does."""
        while True:
            try:
                return self.stream.recv(limit)
            except BlockingIOError:
                self.io.readable = False
                self.io.wait_read(LIMIT)

    def close(self) -> None:
        self.io.close()
        self.stream.close()
        self.client.sock.close()


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def contexts(request: pytest.FixtureRequest, authority: Authority) -> Contexts:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.issue())
    client = strict_client(authority)
    client.minimum_version = client.maximum_version = getattr(ssl.TLSVersion, request.param)
    return server, client


@pytest.fixture
def unconnected(contexts: Contexts) -> Iterator[Callable[[], Ends]]:
    """A function that makes both ends, without their handshake."""
    with ExitStack() as stack:

        def make() -> Ends:
            ends = Ends(socket.socketpair(), contexts)
            stack.callback(ends.close)
            return ends

        yield make


@pytest.fixture
def ends(unconnected: Callable[[], Ends]) -> Ends:
    made = unconnected()
    made.handshake()
    return made


def test_both_directions(ends: Ends) -> None:
    ends.client.push(ends.client.encrypt(b"question"))
    assert ends.stream.recv(100) == b"question"
    assert ends.stream.send(b"answer") == 6
    assert ends.client.read(6) == b"answer"


def test_fewer_bytes_than_asked_for_mean_that_no_more_are_here(ends: Ends) -> None:
    blocks = [b"%04d" % number for number in range(1000)]
    ends.client.push(ends.client.encrypt(*blocks))
    whole = b"".join(blocks)
    assert ends.stream.recv(3000) == whole[:3000]  # though it is less than what is here
    assert ends.stream.recv(65536) == whole[3000:]
    with pytest.raises(BlockingIOError):
        ends.stream.recv(1)


def test_as_many_bytes_as_asked_for_mean_that_more_may_be_here(ends: Ends) -> None:
    """The kernel has no news of what is inside already."""
    ends.client.push(ends.client.encrypt(b"first", b"second"))
    ends.io.readable = False
    assert ends.stream.recv(5) == b"first"
    assert ends.io.readable
    assert ends.stream.recv(100) == b"second"


def test_a_record_in_pieces_is_nothing_until_it_is_whole(ends: Ends) -> None:
    record = ends.client.encrypt(b"all of it")
    for at in range(len(record) - 1):
        ends.client.push(record[at : at + 1])
        with pytest.raises(BlockingIOError):
            ends.stream.recv(100)
    ends.client.push(record[-1:])
    assert ends.stream.recv(100) == b"all of it"


def test_what_follows_half_a_record_is_not_lost(ends: Ends) -> None:
    first, second = ends.client.encrypt(b"first"), ends.client.encrypt(b"second")
    ends.client.push(first + second[:10])
    assert ends.stream.recv(100) == b"first"
    ends.client.push(second[10:])
    assert ends.stream.recv(100) == b"second"


def test_large_input_arrives_whole(ends: Ends) -> None:
    def write() -> None:
        for at in range(0, len(BIG), RECORD):
            ends.client.push(ends.client.encrypt(BIG[at : at + RECORD]))

    writer = spawn(write)
    got = b""
    while len(got) < len(BIG):
        got += ends.receive(20_000)
    assert got == BIG
    writer.wait(LIMIT)


def test_a_slow_reader_gets_every_byte_once(ends: Ends) -> None:
    sending = spawn(ends.send, BIG)
    assert ends.client.read(len(BIG)) == BIG
    sending.wait(LIMIT)


def test_what_a_client_does_not_read_is_not_encrypted_ahead(ends: Ends) -> None:
    taken = ends.stream.send(BIG)
    assert taken < len(BIG)
    for _ in range(100):
        with pytest.raises(BlockingIOError):
            ends.stream.send(memoryview(BIG)[taken:])
    assert len(ends.stream._unsent) <= RECORD + 512
    sending = spawn(ends.send, BIG[taken:])
    assert ends.client.read(len(BIG)) == BIG
    sending.wait(LIMIT)


def test_reading_while_a_record_waits_to_be_sent(ends: Ends) -> None:
    taken = ends.stream.send(BIG)
    ends.client.push(ends.client.encrypt(b"meanwhile"))
    assert ends.stream.recv(100) == b"meanwhile"
    sending = spawn(ends.send, BIG[taken:])
    assert ends.client.read(len(BIG)) == BIG
    sending.wait(LIMIT)


def test_of_several_parts_the_first_goes_first(ends: Ends) -> None:
    assert ends.stream.sendmsg((b"head", BIG)) == 4
    assert ends.client.read(4) == b"head"


def test_an_orderly_end_after_data(ends: Ends) -> None:
    """The client leaves its socket open: the end has to be told to who waits all the same."""
    data = ends.client.encrypt(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.tls.unwrap()
    ends.client.push(data)
    assert ends.stream.recv(100) == b"last words"
    ends.io.readable = False
    ends.io.wait_read(LIMIT)
    assert ends.stream.recv(100) == b""
    assert ends.stream.recv(100) == b""


def test_an_end_without_close_notify_is_an_error(ends: Ends) -> None:
    ends.client.push(ends.client.encrypt(b"half of"))
    ends.client.sock.shutdown(SHUT_WR)
    assert ends.stream.recv(100) == b"half of"
    for _ in range(2):
        with pytest.raises(ConnectionResetError, match="without close_notify"):
            ends.stream.recv(100)


def test_an_end_is_seen_though_the_last_bytes_came_with_it(ends: Ends) -> None:
    ends.client.push(ends.client.encrypt(b"half of")[:-3])
    ends.client.sock.shutdown(SHUT_WR)
    with pytest.raises(ConnectionResetError, match="without close_notify"):
        ends.receive(100)


def test_what_is_not_tls_is_an_error_and_the_client_is_told(ends: Ends) -> None:
    ends.client.push(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        ends.stream.recv(100)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        ends.client.read(1)


def test_a_changed_record_is_an_error(ends: Ends) -> None:
    record = ends.client.encrypt(b"content")
    ends.client.push(record[:-1] + bytes((record[-1] ^ 1,)))
    with pytest.raises(ssl.SSLError):
        ends.stream.recv(100)


def test_close_ends_in_order(ends: Ends) -> None:
    ends.stream.send(b"all of it")
    ends.stream.close()
    assert ends.stream.fileno() == -1
    assert ends.client.read(100) == b"all of it"
    assert ends.client.tls.read(1) == b""  # close_notify; without it, SSLError


def test_a_part_is_not_ended_in_order(ends: Ends) -> None:
    ends.stream.send(BIG)
    ends.stream.close()
    with pytest.raises(ssl.SSLError, match=NOT_ENDED):
        ends.client.read(len(BIG))


def test_shutdown_ends_one_direction(ends: Ends) -> None:
    ends.client.push(ends.client.encrypt(b"first, ", b"second, "))
    assert ends.stream.recv(3) == b"fir"
    ends.stream.shutdown(SHUT_WR)
    assert ends.client.read(100) == b""
    ends.client.push(ends.client.encrypt(b"third"))
    assert ends.stream.recv(5) == b"st, s"
    assert ends.stream.recv(100) == b"econd, third"
    with pytest.raises(BlockingIOError):
        ends.stream.recv(100)
    with contextlib.suppress(ssl.SSLWantReadError):
        ends.client.tls.unwrap()
    ends.client.push()
    assert ends.stream.recv(100) == b""


def test_close_after_the_client_has_gone(ends: Ends) -> None:
    ends.client.sock.close()
    ends.stream.close()
    assert ends.stream.fileno() == -1


def test_sending_to_a_client_that_has_gone(ends: Ends) -> None:
    ends.client.sock.close()
    with pytest.raises(OSError, match="Broken pipe"):
        ends.stream.send(b"hello")


def test_a_client_that_leaves_in_the_handshake(unconnected: Callable[[], Ends]) -> None:
    ends = unconnected()
    ends.client.sock.close()
    with pytest.raises(ConnectionError):
        ends.stream.handshake(monotonic() + LIMIT)


def test_a_client_that_says_nothing_in_the_handshake(unconnected: Callable[[], Ends]) -> None:
    with pytest.raises(TimeoutError):
        unconnected().stream.handshake(monotonic())


def test_a_client_that_reads_nothing_in_the_handshake(unconnected: Callable[[], Ends]) -> None:
    """The server's part of it does not fit into the socket."""
    ends = unconnected()
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.tls.do_handshake()
    ends.client.push()
    while True:
        try:
            ends.raw.send(bytes(65536))
        except BlockingIOError:
            break
    with pytest.raises(TimeoutError):
        ends.stream.handshake(monotonic())


def test_who_asks_for_answers_and_reads_none_is_cut_off(ends: Ends) -> None:
    """Such as a client that asks for new keys again and again."""
    while True:
        try:
            ends.raw.send(bytes(65536))
        except BlockingIOError:
            break
    ends.stream._outgoing.write(bytes(MAX_REPLIES + 1))  # in place of OpenSSL's answers
    ends.client.push(ends.client.encrypt(b"once more"))
    with pytest.raises(ConnectionResetError, match="reads nothing"):
        ends.stream.recv(100)
