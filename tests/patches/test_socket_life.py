"""Connecting, time-outs, and the end of sockets."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from greenworld.hub import get_hub, sleep
from greenworld.patches import socket
from greenworld.patches.channel import channels

# Connecting


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize("timeout", [None, 20])
def test_connects(listener: Any, timeout: float | None) -> None:
    with socket.socket() as client:
        client.settimeout(timeout)
        client.connect(listener.getsockname())
        assert client.getpeername() == listener.getsockname()
        assert client.gettimeout() == timeout


@pytest.mark.parametrize("timeout", [None, 20])
def test_connection_refused(timeout: float | None) -> None:
    address = ("127.0.0.1", free_port())
    with socket.socket() as client:
        client.settimeout(timeout)
        with pytest.raises(ConnectionRefusedError):
            client.connect(address)
    with socket.socket() as client:
        assert client.connect_ex(address) == errno.ECONNREFUSED


def full_listener(tmp_path: Path) -> tuple[Any, list[Any]]:
    """A Unix listener whose backlog is full, and what fills it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "listener"))
    listener.listen(0)
    waiting = []
    while True:
        client = socket.socket(socket.AF_UNIX)
        waiting.append(client)
        client.setblocking(False)
        if client.connect_ex(listener.getsockname()):
            return listener, waiting


def test_connect_waits_for_a_full_backlog(tmp_path: Path, start: Any) -> None:
    listener, waiting = full_listener(tmp_path)
    with listener, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        connecting = start(client.connect, listener.getsockname())
        sleep(0)
        assert not connecting.ready()
        listener.accept()[0].close()
        connecting.wait(20)
    for each in waiting:
        each.close()


def test_connect_to_a_full_backlog_times_out(tmp_path: Path) -> None:
    listener, waiting = full_listener(tmp_path)
    with listener, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0.01)
        with pytest.raises(TimeoutError):
            client.connect(listener.getsockname())
        assert client.connect_ex(listener.getsockname()) == errno.EAGAIN
    for each in waiting:
        each.close()


def full_tcp_listener() -> tuple[Any, list[Any]]:
    """A TCP listener that answers no further SYN, and what fills it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    clients = []
    for _ in range(4):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        clients.append(client)
    return listener, clients


def test_tcp_connect_times_out() -> None:
    listener, clients = full_tcp_listener()
    with listener, socket.socket() as client:
        client.settimeout(0.01)
        with pytest.raises(TimeoutError, match="timed out"):
            client.connect(listener.getsockname())
    for each in clients:
        each.close()


def test_close_wakes_who_connects(start: Any) -> None:
    listener, clients = full_tcp_listener()
    with listener:
        client = socket.socket()

        def connect() -> int | None:
            try:
                client.connect(listener.getsockname())
            except OSError as error:
                return error.errno
            return None

        connecting = start(connect)
        sleep(0)
        client.close()
        assert connecting.wait(20) == errno.EBADF
    for each in clients:
        each.close()


def test_connect_without_waiting(listener: Any) -> None:
    with socket.socket() as client:
        client.setblocking(False)
        assert client.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
    with socket.socket() as client:
        client.setblocking(False)
        address = listener.getsockname()
        listener.close()
        with pytest.raises((BlockingIOError, ConnectionRefusedError)):
            client.connect(address)


def test_connect_says_what_is_wrong_with_an_address() -> None:
    with socket.socket() as client:
        for address in ("127.0.0.1", ("127.0.0.1",), (1, 2), ("127.0.0.1", "http")):
            with pytest.raises(TypeError):
                client.connect(address)
    with socket.socket() as client:
        client.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            client.connect(("127.0.0.1", 1))
        assert client.connect_ex(("127.0.0.1", 1)) == errno.EBADF


def test_connects_to_a_name(listener: Any) -> None:
    with socket.create_connection(("localhost", listener.getsockname()[1]), 20) as client:
        assert client.getpeername()[1] == listener.getsockname()[1]
    with socket.socket() as client:
        client.connect(("localhost", listener.getsockname()[1]))


@pytest.mark.parametrize("timeout", [None, 20.0])
def test_a_peer_that_hangs_up_before_connect_returns(
    listener: Any, start: Any, timeout: float | None
) -> None:
    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"bye")

    start(serve)  # runs when the client waits for its connection
    with socket.create_connection(listener.getsockname(), timeout) as client:
        parts = start(lambda: [client.recv(100), client.recv(100)])
        assert parts.wait(20) == [b"bye", b""]


def test_reading_after_a_refused_connect_and_a_good_one(listener: Any, start: Any) -> None:
    with socket.socket() as client:
        client.settimeout(20)
        with pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", free_port()))
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            for _ in range(3):
                reader = start(client.recv, 100)
                sleep(0)
                server.sendall(b"x")
                assert reader.wait(20) == b"x"


# Time-outs


def test_time_outs_are_as_in_the_standard_library() -> None:
    with socket.socket() as sock:
        assert sock.gettimeout() is None
        assert sock.timeout is None
        assert sock.getblocking() is True
        for value in (1, 2.5, 0, True, 1e-9):
            sock.settimeout(value)
            assert sock.gettimeout() == sock.timeout == value
            assert type(sock.gettimeout()) is float
            assert sock.getblocking() is bool(value)
        sock.setblocking(True)
        assert sock.gettimeout() is None
        sock.setblocking(False)
        assert sock.gettimeout() == 0.0
        sock.settimeout(None)
        assert sock.gettimeout() is None


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        ("1", TypeError),
        (float("inf"), OverflowError),
        (1e30, OverflowError),
        ([], TypeError),
    ],
)
def test_wrong_time_outs_change_nothing(value: Any, error: type[Exception]) -> None:
    with socket.socket() as sock:
        sock.settimeout(3)
        with pytest.raises(error):
            sock.settimeout(value)
        assert sock.gettimeout() == 3


def test_default_time_out() -> None:
    socket.setdefaulttimeout(7)
    try:
        with socket.socket() as sock:
            assert sock.gettimeout() == 7
    finally:
        socket.setdefaulttimeout(None)


def test_a_new_time_out_holds_for_the_next_call(tcp: Any) -> None:
    left, right = tcp
    left.settimeout(0.001)
    with pytest.raises(TimeoutError):
        left.recv(1)
    left.settimeout(20)
    right.sendall(b"x")
    assert left.recv(1) == b"x"


def test_time_outs_belong_to_objects() -> None:
    with socket.socket() as sock:
        sock.settimeout(5)
        other = socket.socket(fileno=sock.fileno())
        try:
            assert other.gettimeout() is None
            other.settimeout(1)
            assert sock.gettimeout() == 5
        finally:
            other.detach()
        assert sock.gettimeout() == 5


def test_dup_keeps_the_time_out_and_does_not_make_the_first_block(tcp: Any, start: Any) -> None:
    left, right = tcp
    left.settimeout(None)
    with pytest.raises(BlockingIOError):
        left.recv(1, socket.MSG_DONTWAIT) if left.setblocking(False) is None else None
    left.settimeout(20)
    with left.dup() as copy:
        assert copy.gettimeout() == 20
        assert type(copy) is type(left)
        copy.settimeout(None)
        assert os.get_blocking(left.fileno())
        reader = start(left.recv, 10)
        sleep(0)
        right.sendall(b"x")
        assert reader.wait(20) == b"x"


# The end


def test_a_reused_number_never_wakes_an_old_waiter(start: Any) -> None:
    left, right = socket.socketpair()
    errors = []

    def read() -> None:
        try:
            left.recv(1)
        except OSError as error:
            errors.append(error.errno)

    reader = start(read)
    sleep(0)
    number = left.fileno()
    os.close(number)  # behind the back of everybody
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
        assert second.fileno() == number
        second.bind(("127.0.0.1", 0))
        second.settimeout(20)
        assert reader.wait(20) is None
        assert errors == [errno.EBADF]
        second.sendto(b"new life", second.getsockname())
        assert second.recv(100) == b"new life"
        left.detach()
        right.close()


def test_a_number_reused_after_close_waits_anew(start: Any) -> None:
    for _ in range(3):
        left, right = socket.socketpair()
        with left, right:
            left.settimeout(20)
            reader = start(left.recv, 10)
            sleep(0)
            right.sendall(b"x")
            assert reader.wait(20) == b"x"


def test_close_leaves_no_record(tcp: Any) -> None:
    left, right = tcp
    left.settimeout(0.001)
    with pytest.raises(TimeoutError):
        left.recv(1)
    number = left.fileno()
    assert number in get_hub().ios
    assert id(left) in channels
    left.close()
    left.close()
    assert number not in get_hub().ios
    assert id(left) not in channels
    assert right.recv(1) == b""


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_forgotten_socket_leaves_no_record() -> None:
    left, right = socket.socketpair()
    left.settimeout(0.001)
    with pytest.raises(TimeoutError):
        left.recv(1)
    number, key = left.fileno(), id(left)
    del left
    assert number not in get_hub().ios
    assert key not in channels
    right.close()


def test_detach_gives_a_blocking_descriptor_back() -> None:
    left, right = socket.socketpair()
    right.sendall(b"x")
    assert left.recv(1) == b"x"
    fd = left.detach()
    assert os.get_blocking(fd)
    assert left.fileno() == -1
    assert left.detach() == -1
    with socket.socket(fileno=fd) as again:
        right.sendall(b"y")
        assert again.recv(1) == b"y"
    right.close()


def test_detach_wakes_the_reader(start: Any) -> None:
    left, right = socket.socketpair()

    def read() -> int | None:
        try:
            left.recv(1)
        except OSError as error:
            return error.errno
        return None

    reader = start(read)
    sleep(0)
    os.close(left.detach())
    assert reader.wait(20) == errno.EBADF
    right.close()


def test_close_in_another_os_thread_wakes_the_reader(tcp: Any, start: Any) -> None:
    left, _ = tcp

    def read() -> int | None:
        try:
            left.recv(1)
        except OSError as error:
            return error.errno
        return None

    reader = start(read)
    sleep(0)
    thread = threading.Thread(target=left.close)
    thread.start()
    assert reader.wait(20) == errno.EBADF
    thread.join(20)


def test_shutdown_wakes_the_reader(pair: Any, start: Any) -> None:
    left, _ = pair
    reader = start(left.recv, 10)
    sleep(0)
    left.shutdown(socket.SHUT_RD)
    assert reader.wait(20) == b""


def test_works_in_a_forked_child(tcp: Any, start: Any) -> None:
    left, right = tcp
    reader = start(left.recv, 10)
    sleep(0)
    right.sendall(b"parent")
    assert reader.wait(20) == b"parent"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            left.settimeout(10)
            left.sendall(b"from the child")
            status = 0 if left.recv(100) == b"to the child" else 2
        finally:
            os._exit(status)
    assert right.recv(100) == b"from the child"
    right.sendall(b"to the child")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
