"""The bytes of a connection: minimum rates, what stands in a socket's place, and files."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from _socket import socket as RawSocket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.hub import get_hub, sleep, spawn
from greenworld.wsgi import ClientDisconnected, HttpError, stream
from greenworld.wsgi.clock import Clock
from greenworld.wsgi.config import Config
from greenworld.wsgi.stream import Stream

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wsgi.conftest import Running, Serve

LIMIT = 20.0
SOON = 0.05
"""A time-out that is meant to end what is too slow."""
ANY_WAIT: int = 10**15
"""A rate that nobody reaches: whoever is waited for falls behind."""
StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]


class Peer:
    """A stream of the present hub, and the other end of its socket."""

    def __init__(self, **options: Any) -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        raw = RawSocket(ours.family, ours.type, ours.proto, ours.detach())
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.stream = Stream()
        self.stream.server = SimpleNamespace(config=Config(**options), clock=Clock())  # type: ignore[assignment]
        self.stream.sock = raw
        self.stream.io = get_hub().io(raw.fileno())
        self.stream.buffer = b""
        self.stream.receive_lag = self.stream.send_lag = 0.0

    def close(self) -> None:
        self.stream.io.close()
        self.stream.sock.close()
        self.theirs.close()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """A function that makes a stream."""
    peers: list[Peer] = []

    def make(**options: Any) -> Peer:
        peers.append(Peer(**options))
        return peers[-1]

    yield make
    for one in peers:
        one.close()


def read_slowly(sock: socket.socket, piece: int, pause: float = 0.001) -> int:
    """Read everything in pieces, with a turn of the hub's timers between two of them."""
    total = 0
    while True:
        try:
            data = sock.recv(piece)
        except BlockingIOError:
            data = None
        except OSError:  # the end of the test
            return total
        if data == b"":
            return total
        total += len(data or b"")
        sleep(pause)


@pytest.mark.parametrize("rate", [0, 1])
def test_a_slow_reader_is_served_as_long_as_it_reads(peer: Callable[..., Peer], rate: int) -> None:
    """Also where what the kernel wants to be free before it wakes a writer takes longer."""
    one = peer(write_timeout=SOON, write_rate=rate)
    assert isinstance(one.stream.sock, RawSocket)
    one.stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
    reader = spawn(read_slowly, one.theirs, 1000, SOON / 5)
    for _ in range(60):
        one.stream.send(b"x" * 1000)
    one.stream.sock.shutdown(socket.SHUT_WR)
    assert reader.wait(LIMIT) == 60_000
    assert one.stream.send_lag == 0


@pytest.mark.parametrize("how", ["one block", "many blocks", "a file"])
def test_a_reader_below_the_rate_is_cut_off(peer: Callable[..., Peer], how: str) -> None:
    one = peer(write_timeout=SOON, write_rate=ANY_WAIT)
    stream = one.stream
    spawn(read_slowly, one.theirs, 65536)

    def send() -> None:
        if how == "one block":
            stream.send(b"x" * 50_000_000)
        elif how == "many blocks":
            while True:
                stream.send(b"x" * 1000)
        else:
            with tempfile.TemporaryFile() as file:
                file.truncate(50_000_000)
                stream.send_file(file.fileno(), 0, 50_000_000)

    with pytest.raises(ClientDisconnected, match="reads the answer too slowly"):
        send()
    assert stream.send_lag <= SOON


def test_one_that_reads_nothing_is_cut_off_at_any_rate(peer: Callable[..., Peer]) -> None:
    stalled = peer(write_timeout=SOON, write_rate=0)
    with pytest.raises(ClientDisconnected, match="does not read"):
        stalled.stream.send(b"x" * 1_000_000)


def test_where_the_system_does_not_count(peer: Callable[..., Peer]) -> None:
    """A pipe does not: a writer that is woken has made progress, one that is not has none."""
    one = peer(write_timeout=SOON, write_rate=ANY_WAIT)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)

    class Pipe:
        raw = one.stream.sock
        recv = raw.recv

        def send(self, data: memoryview) -> int:
            return os.write(writing, data)

    raw, io = one.stream.sock, one.stream.io
    one.stream.sock = Pipe()  # type: ignore[assignment]
    one.stream.io = get_hub().io(writing)
    read = 0

    def drain() -> None:
        nonlocal read
        while read < 1_000_000:
            try:
                read += len(os.read(reading, 65536))
            except BlockingIOError:
                sleep(0)

    reader = spawn(drain)
    one.stream.send(b"x" * 1_000_000)
    reader.wait(LIMIT)
    assert one.stream.send_lag == 0
    with pytest.raises(ClientDisconnected, match="does not read"):
        one.stream.send(b"x" * 1_000_000)
    one.stream.io.close()
    os.close(reading)
    os.close(writing)
    one.stream.sock, one.stream.io = raw, io


def send_slowly(sock: socket.socket, count: int) -> None:
    for _ in range(count):
        sock.send(b"x")
        sleep(0.001)


def test_a_body_that_comes_slowly_but_in_time(peer: Callable[..., Peer]) -> None:
    one = peer(body_timeout=LIMIT, body_rate=1)
    spawn(send_slowly, one.theirs, 200)
    assert sum(len(one.stream.receive(10)) for _ in range(20)) >= 20


def test_a_body_below_the_rate(peer: Callable[..., Peer]) -> None:
    one = peer(body_timeout=SOON, body_rate=ANY_WAIT)
    sender = spawn(send_slowly, one.theirs, 100_000)

    def receive() -> None:
        for _ in range(100_000):
            one.stream.receive(10)

    with pytest.raises(HttpError, match="too slowly") as caught:
        receive()
    assert caught.value.status == 408
    sender.kill()


def test_a_body_that_came_while_this_process_stood_still(peer: Callable[..., Peer]) -> None:
    one = peer(body_timeout=0)  # so that time is up before the poller can say what has come
    assert one.stream._receive(10) is None
    one.theirs.send(b"here")
    assert one.stream.receive(10) == b"here"
    with pytest.raises(HttpError, match="stopped sending"):
        one.stream.receive(10)


def test_body_rate_zero_asks_for_nothing_but_progress(peer: Callable[..., Peer]) -> None:
    one = peer(body_timeout=LIMIT, body_rate=0)
    spawn(send_slowly, one.theirs, 100)
    for _ in range(50):
        one.stream.receive(1)
    assert one.stream.receive_lag == 0


def test_the_time_that_the_application_takes_is_not_the_clients(peer: Callable[..., Peer]) -> None:
    one = peer(body_timeout=SOON, body_rate=ANY_WAIT)
    for _ in range(20):
        one.theirs.send(b"x")
        sleep(SOON / 10)
        one.stream.io.readable = True  # what the poller reports
        assert one.stream.receive(10) == b"x"
    assert one.stream.receive_lag == 0


def test_what_comes_fast_makes_up_for_what_came_late(peer: Callable[..., Peer]) -> None:
    one = peer(body_timeout=LIMIT, body_rate=1000)
    one.stream.receive_lag = 2.0
    one.theirs.send(b"x" * 1500)
    assert len(one.stream.receive(1000)) == 1000
    assert one.stream.receive_lag == 1.0
    assert len(one.stream.receive(1000)) == 500
    assert one.stream.receive_lag == 0.5


def test_a_socket_that_is_full_from_the_start(peer: Callable[..., Peer]) -> None:
    one = peer()
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += one.stream.sock.send(b"0" * 1000)
    reader = spawn(read_all, one.theirs)
    one.stream.send_pair(b"a" * 100, b"b" * 100_000)
    one.stream.send(b"c" * 100_000)
    one.stream.sock.shutdown(socket.SHUT_WR)
    expected = b"0" * filled + b"a" * 100 + b"b" * 100_000 + b"c" * 100_000
    assert reader.wait(LIMIT) == expected


def test_a_client_that_has_gone(peer: Callable[..., Peer]) -> None:
    one = peer()
    stream = one.stream
    stream.send(b"never read")  # so that the end comes as a reset
    one.theirs.close()
    with pytest.raises(ClientDisconnected, match="went away"):
        stream.receive(10)
    sends: list[Callable[[], None]] = [
        lambda: stream.send(b"a"),
        lambda: stream.send_pair(b"a", b"b"),
        lambda: stream._send_rest(memoryview(b"a")),
    ]
    for send in sends:
        with pytest.raises(ClientDisconnected, match="went away"):
            send()
    with tempfile.TemporaryFile() as file:
        file.truncate(10)
        with pytest.raises(ClientDisconnected, match="went away"):
            stream.send_file(file.fileno(), 0, 10)
    stream.linger()  # at once, and without a word


def test_a_connection_that_is_closed_while_it_waits(peer: Callable[..., Peer]) -> None:
    one = peer()

    def wait() -> str:
        with pytest.raises(ClientDisconnected) as caught:
            one.stream.receive(10)
        return str(caught.value)

    waiting = spawn(wait)
    while not one.stream.io.readers:
        sleep(0)
    one.stream.io.close()
    assert waiting.wait(LIMIT) == "the connection was closed"


class Shouting:
    """Stands in a socket's place and sends capitals; it says less than it could, now and then."""

    def __init__(self, raw: RawSocket) -> None:
        self.raw = raw
        self.fileno = raw.fileno
        self.shutdown = raw.shutdown
        self.recv = raw.recv
        self.close = raw.close
        self._calls = 0

    def send(self, data: Any) -> int:
        self._calls += 1
        if self._calls % 3 == 0:
            return self.raw.send(bytes(data[:7]).upper())
        return self.raw.send(bytes(data).upper())

    def sendmsg(self, buffers: tuple[bytes, ...]) -> int:
        return self.send(b"".join(buffers))


def test_something_in_the_sockets_place(peer: Callable[..., Peer]) -> None:
    one = peer()
    assert isinstance(one.stream.sock, RawSocket)
    one.stream.sock = Shouting(one.stream.sock)
    with tempfile.TemporaryFile() as file:
        file.write(b"0" + b"f" * 200_000)
        file.flush()
        reader = spawn(read_all, one.theirs)
        one.stream.send(b"a" * 100_000)
        one.stream.send_pair(b"b" * 100, b"c" * 100_000)
        assert one.stream.send_file(file.fileno(), 1, 150_000) == 150_000
        assert one.stream.send_file(file.fileno(), 150_001, 150_000) == 50_000  # its end
    one.stream.sock.shutdown(socket.SHUT_WR)
    expected = b"A" * 100_000 + b"B" * 100 + b"C" * 100_000 + b"F" * 200_000
    assert reader.wait(LIMIT) == expected


class Swallowing(Shouting):
    """Takes everything at once, as a client does that reads as fast as it is sent to."""

    def send(self, data: Any) -> int:
        return len(data)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_file_for_a_fast_reader_leaves_turns_to_others(
    peer: Callable[..., Peer], wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = peer()
    assert isinstance(one.stream.sock, RawSocket)
    if wrapped:
        one.stream.sock = Swallowing(one.stream.sock)
    asked: list[int] = []

    def sendfile(out: int, fd: int, position: int, count: int) -> int:
        asked.append(count)
        return count

    monkeypatch.setattr(stream, "sendfile", sendfile)
    turns = 0

    def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            sleep(0)

    other = spawn(others)
    with tempfile.TemporaryFile() as file:
        file.truncate(20 << 20)
        assert one.stream.send_file(file.fileno(), 0, 20 << 20) == 20 << 20
    other.kill()
    assert turns >= 19
    assert wrapped or asked == [stream.FILE_AT_ONCE] * 20


def read_all(sock: socket.socket) -> bytes:
    pieces = []
    while True:
        try:
            pieces.append(sock.recv(65536))
        except BlockingIOError:
            sleep(0)
            continue
        if not pieces[-1]:
            return b"".join(pieces)


def test_slow_bodies_on_the_wire(serve: Serve) -> None:
    """408 and the end of the connection, a line in the access log, nothing in the error log."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [b"ok"]

    running = serve(app, body_timeout=SOON, body_rate=ANY_WAIT)
    for framing in (b"Content-Length: 1000000", b"Transfer-Encoding: chunked"):
        client = running.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        answered = threading.Event()
        sender = threading.Thread(target=drip, args=(client.sock, framing, answered))
        sender.start()
        reply = client.reply()
        answered.set()
        sender.join(LIMIT)
        client.close()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert reply.body in (
            b"the body came too slowly\n",
            b"the client stopped sending the body\n",
        )
    running.stop(LIMIT)
    assert running.access.getvalue().count(" 408 ") == 2
    assert running.errors.getvalue() == ""


def test_each_body_begins_without_a_lag(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    running = serve(app)
    client = running.connect()
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
    assert client.ask(request + b"fast").body == b"fast"
    for connection in running.server.connections:
        connection.receive_lag = running.config.body_timeout  # it only just came in time
    client.send(request)
    assert client.ask(b"slow").body == b"slow"


def drip(sock: socket.socket, framing: bytes, answered: threading.Event) -> None:
    """Send a little now and then, until the answer has come."""
    piece = b"x" if b"Length" in framing else b"1\r\nx\r\n"
    while not answered.wait(0.001):
        try:
            sock.send(piece)
        except OSError:
            return


def test_a_slow_reader_on_the_wire(serve: Serve) -> None:
    """It sees the end before all is there; the access log says how much was sent."""
    size = 50_000_000

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [b"x" * size]

    running = serve(app, write_timeout=SOON, write_rate=ANY_WAIT)
    client = running.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    received = 0
    try:
        while data := client.sock.recv(500):
            received += len(data)
    except ConnectionResetError:
        pass
    assert received < size
    running.stop()
    assert running.errors.getvalue() == ""
    assert running.access.getvalue().count("\n") == 1


def wait_until_blocked(running: Running) -> None:
    """Wait until the server waits for its client to read."""
    while not running.on_hub(lambda: any(one.io.writers for one in running.server.connections)):
        pass


@pytest.mark.parametrize("how", ["yield", "write", "file"])
def test_a_client_that_does_not_read_holds_up_the_application(
    serve: Serve, tmp_path: Path, how: str
) -> None:
    """What waits to be sent is bounded by the kernel's buffers and one block."""
    piece = b"x" * (1 << 20)
    pieces = 64
    made = 0
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(pieces * len(piece))

    def blocks() -> Iterator[bytes]:
        nonlocal made
        for _ in range(pieces):
            made += 1
            yield piece

    def app(environ: Environ, start_response: StartResponse) -> Any:
        write = start_response("200 OK", [("Content-Length", str(pieces * len(piece)))])
        if how == "file":
            return environ["wsgi.file_wrapper"](path.open("rb"), 65536)
        if how == "yield":
            return blocks()
        for block in blocks():
            write(block)
        return []

    running = serve(app)
    client = running.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_until_blocked(running)
    assert made <= 16  # of 64: what the kernel takes
    reply = client.reply()
    assert len(reply.body) == pieces * len(piece)


def hints(environ: Environ, start_response: StartResponse) -> Callable[[], object]:
    return lambda: environ["wsgi.early_hints"]([("Link", f"<{'x' * 60_000}>")])


def writes(environ: Environ, start_response: StartResponse) -> Callable[[], object]:
    write = start_response("200 OK", [("Content-Length", str(1 << 30))])
    return lambda: write(b"x" * (1 << 20))


def writes_without_a_length(
    environ: Environ, start_response: StartResponse
) -> Callable[[], object]:
    write = start_response("200 OK", [])
    return lambda: write(b"x" * (1 << 20))


@pytest.mark.parametrize(
    ("sending", "version"),
    [(hints, 1), (writes, 1), (writes_without_a_length, 1), (writes_without_a_length, 0)],
)
def test_nothing_follows_a_part(serve: Serve, sending: Any, version: int) -> None:
    """An application that does not mind a failure cannot mix what it sends next with a part."""
    failed = threading.Event()
    again: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        send = sending(environ, start_response)
        try:
            while True:
                send()
        except ClientDisconnected:
            pass
        try:
            send()
        except ClientDisconnected as error:
            again.append(str(error))
        failed.set()
        if sending is hints:
            start_response("200 OK", [("X-Behind", "1")])
        return [] if version == 0 else [b"behind"]

    running = serve(app, write_timeout=SOON)
    client = running.connect()
    client.send(b"GET / HTTP/1.%d\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" % version)
    assert failed.wait(LIMIT)
    assert again == ["the client went away"]
    received = b""
    ended = False
    try:
        while data := client.sock.recv(1 << 20):
            received = received[-100:] + data
            assert b"ehind" not in received
        ended = True
    except ConnectionResetError:
        pass
    assert not (ended and version == 0)  # the end would say that it is whole
    running.wait_until_gone()
