"""connect, listen and serve: what they set, who closes what, how serving ends."""

import errno
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenworld.convenience import StopServe, connect, listen, serve
from greenworld.hub import GreenThread, Queue, set_error_handler, sleep, spawn
from greenworld.hub.sync import Event
from greenworld.hub.timeout import Timeout
from greenworld.patches import socket

LIMIT = 20.0
LOCAL = ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    """No wait in this file is for ever."""
    with Timeout(LIMIT):
        yield


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listening socket on loopback."""
    with listen(LOCAL) as listener:
        yield listener


@pytest.fixture
def reported() -> Iterator[list[BaseException]]:
    """The uncaught errors of the test."""
    errors: list[BaseException] = []
    previous = set_error_handler(lambda where, error: errors.append(error))
    yield errors
    set_error_handler(previous)


Handler = Callable[[socket.socket, Any], object]


def echo(connection: socket.socket, address: object) -> None:
    """Send everything back."""
    while data := connection.recv(100):
        connection.sendall(data)


def ask(listener: socket.socket, data: bytes = b"hello") -> bytes:
    """Send something to the server and read until it closes."""
    with connect(listener.getsockname()) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        reply = b""
        while data := client.recv(100):
            reply += data
        return reply


def test_connect_and_listen_make_cooperative_sockets(listener: socket.socket) -> None:
    assert isinstance(listener, socket.socket)
    accepted = spawn(listener.accept)
    with connect(listener.getsockname()) as client:
        server, address = accepted.wait()
        with server:
            assert isinstance(client, socket.socket)
            assert address == client.getsockname()


@pytest.mark.skipif(sys.platform != "linux", reason="others have one loopback address only")
def test_connect_binds_first(listener: socket.socket) -> None:
    with connect(listener.getsockname(), bind=("127.0.0.2", 0)) as client:
        assert client.getsockname()[0] == "127.0.0.2"


def test_connect_closes_its_socket_when_it_fails() -> None:
    with listen(LOCAL) as listener:
        address = listener.getsockname()
    with pytest.raises(ConnectionRefusedError):
        connect(address)


def test_listen_closes_its_socket_when_it_fails(listener: socket.socket) -> None:
    with pytest.raises(OSError, match="in use") as caught:
        listen(listener.getsockname(), reuse_port=False)
    assert caught.value.errno == errno.EADDRINUSE


def test_listen_takes_other_families(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with listen(path, family=socket.AF_UNIX) as listener:
        server = spawn(serve, listener, echo)
        with connect(path, family=socket.AF_UNIX) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        server.kill()


def reuses(listener: socket.socket, option: int) -> bool:
    return bool(listener.getsockopt(socket.SOL_SOCKET, option))


def test_listen_sets_the_reuse_options() -> None:
    with listen(LOCAL) as any_port:
        assert reuses(any_port, socket.SO_REUSEADDR)
        assert not reuses(any_port, socket.SO_REUSEPORT)
        address = any_port.getsockname()
    with listen(address) as first, listen(address) as second:
        assert reuses(first, socket.SO_REUSEPORT)
        assert second.getsockname() == address
    with listen(address, reuse_addr=False, reuse_port=False) as neither:
        assert not reuses(neither, socket.SO_REUSEADDR)
        assert not reuses(neither, socket.SO_REUSEPORT)


def test_listen_warns_of_a_shared_random_port() -> None:
    with pytest.warns(RuntimeWarning, match="SO_REUSEPORT with port 0"):
        listener = listen(LOCAL, reuse_port=True)
    assert reuses(listener, socket.SO_REUSEPORT)
    listener.close()


def test_serve_gives_each_client_a_green_thread(listener: socket.socket) -> None:
    server = spawn(serve, listener, echo)
    clients = [spawn(ask, listener, str(number).encode() * 50) for number in range(50)]
    assert [each.wait() for each in clients] == [str(n).encode() * 50 for n in range(50)]
    server.kill()


def test_serve_closes_the_connection_after_the_handler(listener: socket.socket) -> None:
    kept: list[socket.socket] = []
    server = spawn(serve, listener, lambda connection, address: kept.append(connection))
    assert ask(listener, b"") == b""
    assert kept[0].fileno() == -1
    server.kill()


def test_serve_returns_after_stop_serve(
    listener: socket.socket, reported: list[BaseException]
) -> None:
    def handle(connection: socket.socket, address: object) -> None:
        raise StopServe

    server: GreenThread[None] = spawn(serve, listener, handle)
    assert ask(listener, b"") == b""
    server.wait()
    assert reported == []


def test_serve_raises_the_error_of_a_handler(
    listener: socket.socket, reported: list[BaseException]
) -> None:
    def handle(connection: socket.socket, address: object) -> None:
        raise LookupError("in the handler")

    client = spawn(ask, listener, b"")
    with pytest.raises(LookupError, match="in the handler"):
        serve(listener, handle)
    assert client.wait() == b""
    assert reported == []


def test_handlers_that_fail_later_hit_nobody(listener: socket.socket) -> None:
    began: Queue[object] = Queue()
    may_fail = Event()

    def handle(connection: socket.socket, address: object) -> None:
        began.put(address)
        if connection.recv(1):
            raise StopServe
        may_fail.wait()
        raise LookupError

    def use() -> str:
        serve(listener, handle)
        may_fail.send()
        for _ in range(10):
            sleep(0)
        return "went on"

    server = spawn(use)
    late = [spawn(ask, listener, b"") for _ in range(3)]
    for _ in range(3):
        began.get()
    assert ask(listener, b"x") == b""
    assert server.wait() == "went on"
    for client in late:
        assert client.wait() == b""


def test_handlers_that_fail_together_end_serve_once(listener: socket.socket) -> None:
    go = Event()
    waiting: list[object] = []

    def handle(connection: socket.socket, address: object) -> None:
        waiting.append(address)
        if len(waiting) == 3:
            go.send()
        go.wait()
        raise StopServe

    def use() -> str:
        serve(listener, handle)
        for _ in range(10):
            sleep(0)
        return "went on"

    server = spawn(use)
    for client in [spawn(ask, listener, b"") for _ in range(3)]:
        assert client.wait() == b""
    assert server.wait() == "went on"


def test_serve_accepts_no_more_than_it_may_handle(listener: socket.socket) -> None:
    busy: list[int] = []
    most = 0

    def handle(connection: socket.socket, address: object) -> None:
        nonlocal most
        busy.append(1)
        most = max(most, len(busy))
        echo(connection, address)
        busy.pop()

    server = spawn(serve, listener, handle, concurrency=2)
    clients = [spawn(ask, listener) for _ in range(10)]
    assert [each.wait() for each in clients] == [b"hello"] * 10
    assert most <= 2
    server.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who is in the queue")
def test_a_client_that_waits_for_a_place_is_closed_with_serve(listener: socket.socket) -> None:
    began, may_end = Event(), Event()

    def handle(connection: socket.socket, address: object) -> None:
        began.send()
        may_end.wait()

    server = spawn(serve, listener, handle, concurrency=1)
    first = spawn(ask, listener, b"")
    began.wait()
    second = connect(listener.getsockname())
    while not listener_is_drained(listener, second):
        sleep(0.001)
    server.kill()
    assert second.recv(1) == b""
    second.close()
    may_end.send()
    assert first.wait() == b""


def listener_is_drained(listener: socket.socket, client: socket.socket) -> bool:
    """Whether the server has accepted the client: its queue holds nobody any more."""
    queued = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(queued[24:28], "little") == 0


def test_serve_runs_in_a_native_thread() -> None:
    with listen(LOCAL) as listener:

        def handle(connection: socket.socket, address: object) -> None:
            echo(connection, address)
            raise StopServe

        native = threading.Thread(target=serve, args=(listener, handle))
        native.start()
        assert ask(listener) == b"hello"
        native.join(LIMIT)
        assert not native.is_alive()
