"""Reading: what arrives, who gets it, and how a wait ends."""

from __future__ import annotations

import array
import errno
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.patches import socket

READERS: dict[str, Callable[[Any], bytes]] = {
    "recv": lambda sock: sock.recv(100),
    "recv_into": lambda sock: _into(sock),
    "recvfrom": lambda sock: sock.recvfrom(100)[0],
    "recvfrom_into": lambda sock: _from_into(sock),
    "recvmsg": lambda sock: sock.recvmsg(100)[0],
    "recvmsg_into": lambda sock: _msg_into(sock),
    "makefile": lambda sock: _through_file(sock),
}


def _into(sock: Any) -> bytes:
    buffer = bytearray(100)
    return bytes(buffer[: sock.recv_into(buffer)])


def _from_into(sock: Any) -> bytes:
    buffer = bytearray(100)
    return bytes(buffer[: sock.recvfrom_into(buffer)[0]])


def _msg_into(sock: Any) -> bytes:
    head, tail = bytearray(2), bytearray(98)
    count = sock.recvmsg_into([head, tail])[0]
    return bytes((head + tail)[:count])


def _through_file(sock: Any) -> bytes:
    with sock.makefile("rb") as file:
        return bytes(file.read1(100))


each_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())


@each_reader
def test_waits_for_data(pair: Any, start: Any, read: Any) -> None:
    left, right = pair
    reader = start(read, left)
    sleep(0)
    assert not reader.ready()
    right.sendall(b"hello")
    assert reader.wait(20) == b"hello"


@each_reader
def test_reads_what_is_there(pair: Any, read: Any) -> None:
    left, right = pair
    right.sendall(b"hello")
    assert read(left) == b"hello"


@each_reader
def test_end_of_stream(pair: Any, start: Any, read: Any) -> None:
    left, right = pair
    reader = start(read, left)
    sleep(0)
    right.shutdown(socket.SHUT_WR)
    assert reader.wait(20) == b""
    assert read(left) == b""


@each_reader
def test_times_out(pair: Any, read: Any) -> None:
    left, _ = pair
    left.settimeout(0.01)
    with pytest.raises(TimeoutError, match="timed out"):
        read(left)
    assert left.gettimeout() == 0.01


@pytest.mark.parametrize("name", [name for name in READERS if name != "makefile"])
def test_never_waits_with_time_out_0(pair: Any, name: str) -> None:
    left, right = pair
    left.setblocking(False)
    with pytest.raises(BlockingIOError):
        READERS[name](left)
    right.sendall(b"x")
    assert READERS[name](left) == b"x"


@each_reader
def test_close_wakes_the_reader(pair: Any, start: Any, read: Any) -> None:
    left, _ = pair
    reader = start(_error_of, read, left)
    sleep(0)
    left._real_close()
    assert reader.wait(20) == errno.EBADF


def _error_of(function: Any, *args: Any) -> int | None:
    try:
        function(*args)
    except OSError as error:
        return error.errno
    return None


@each_reader
def test_reading_a_closed_socket(pair: Any, read: Any) -> None:
    left, _ = pair
    left.close()
    with pytest.raises((OSError, ValueError)):
        read(left)


def test_readers_are_served_in_order(pair: Any, start: Any) -> None:
    left, right = pair
    got: list[tuple[int, bytes]] = []
    for number in range(5):
        start(lambda number=number: got.append((number, left.recv(1))))
    sleep(0)
    right.sendall(b"abcde")
    for thread in start.threads:
        thread.wait(20)
    assert got == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d"), (4, b"e")]


def test_a_newcomer_does_not_overtake(pair: Any, start: Any) -> None:
    left, right = pair
    got: list[str] = []

    def read(name: str) -> None:
        left.recv(1)
        got.append(name)

    start(read, "first")
    start(read, "second")
    sleep(0)
    right.sendall(b"abc")
    read("main")
    for thread in start.threads:
        thread.wait(20)
    assert got == ["first", "second", "main"]


def test_a_killed_reader_passes_the_turn_on(pair: Any, start: Any) -> None:
    left, right = pair
    first = start(left.recv, 1)
    second = start(left.recv, 1)
    sleep(0)
    right.sendall(b"x")
    first.kill()
    assert second.wait(20) == b"x"


def test_a_short_read_leaves_nothing_behind(pair: Any, start: Any) -> None:
    left, right = pair
    for size in (1, 7, 63, 64):
        for _ in range(20):
            reader = start(left.recv, 64)
            sleep(0)
            right.sendall(b"x" * size)
            assert len(reader.wait(20)) == size


def test_data_before_the_end_is_not_lost(pair: Any, start: Any) -> None:
    left, right = pair
    reader = start(left.recv, 100)
    sleep(0)
    right.sendall(b"last words")
    right.close()
    assert reader.wait(20) == b"last words"
    assert left.recv(100) == b""


def test_urgent_data_hides_nothing(tcp: Any, start: Any) -> None:
    left, right = tcp
    reader = start(left.recv, 100)
    sleep(0)
    right.sendall(b"x")
    assert reader.wait(20) == b"x"
    right.sendall(b"before")
    right.send(b"!", socket.MSG_OOB)
    right.sendall(b"after")
    got = b""
    while not got.endswith(b"after"):
        got += left.recv(100)
    assert got == b"beforeafter"


def test_peek_leaves_the_data(pair: Any, start: Any) -> None:
    left, right = pair
    reader = start(left.recv, 100, socket.MSG_PEEK)
    sleep(0)
    right.sendall(b"seen")
    assert reader.wait(20) == b"seen"
    assert left.recv(100) == b"seen"


def test_recv_into_with_a_count_and_odd_buffers(pair: Any) -> None:
    left, right = pair
    right.sendall(b"abcdefgh")
    numbers = array.array("i", [0])
    assert left.recv_into(numbers) == 4
    assert numbers.tobytes() == b"abcd"
    view = memoryview(bytearray(10))
    assert left.recv_into(view, 2) == 2
    assert left.recv_into(view[2:]) == 2
    assert bytes(view[:4]) == b"efgh"


def test_zero_bytes(pair: Any) -> None:
    left, right = pair
    right.sendall(b"abc")
    assert left.recv(0) == b""
    assert left.recv(3) == b"abc"


def test_native_thread_without_hub_waits_natively(pair: Any) -> None:
    left, right = pair
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(left.recv(100)), daemon=True)
    thread.start()
    right.sendall(b"across")
    thread.join(20)
    assert got == [b"across"]


def test_native_thread_times_out(pair: Any) -> None:
    left, _ = pair
    left.settimeout(0.01)
    errors: list[Any] = []

    def read() -> None:
        try:
            left.recv(1)
        except TimeoutError as error:
            errors.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert len(errors) == 1


def test_used_in_one_hub_and_then_in_another(pair: Any, start: Any) -> None:
    left, right = pair
    reader = start(left.recv, 10)
    sleep(0)
    right.sendall(b"here")
    assert reader.wait(20) == b"here"
    got: list[bytes] = []

    def in_another_hub() -> None:
        sleep(0)
        from greenworld.hub import spawn

        got.append(spawn(left.recv, 10).wait(20))

    thread = threading.Thread(target=in_another_hub, daemon=True)
    thread.start()
    right.sendall(b"there")
    thread.join(20)
    assert got == [b"there"]
    right.sendall(b"back")
    assert left.recv(10) == b"back"


def test_descriptors_travel(start: Any) -> None:
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        left.settimeout(20)
        receiver = start(socket.recv_fds, left, 100, 4)
        sleep(0)
        reading, writing = os.pipe()
        socket.send_fds(right, [b"first"], [reading])
        right.sendall(b"second")
        data, fds, _, _ = receiver.wait(20)
        assert data == b"first"
        assert len(fds) == 1
        assert left.recv(100) == b"second"
        os.write(writing, b"through")
        assert os.read(fds[0], 100) == b"through"
        for fd in (reading, writing, *fds):
            os.close(fd)


# Datagrams


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_datagrams(family: int, start: Any, tmp_path: Any) -> None:
    host: Any = "127.0.0.1"
    if family == socket.AF_INET6:
        host = "::1"
    with (
        socket.socket(family, socket.SOCK_DGRAM) as receiver,
        socket.socket(family, socket.SOCK_DGRAM) as sender,
    ):
        receiver.settimeout(20)
        try:
            receiver.bind(str(tmp_path / "s") if family == socket.AF_UNIX else (host, 0))
        except OSError:
            pytest.skip("this machine has no such family")
        thread = start(receiver.recvfrom, 100)
        sleep(0)
        assert sender.sendto(b"one", receiver.getsockname()) == 3
        data, address = thread.wait(20)
        assert data == b"one"
        if family != socket.AF_UNIX:
            assert address[1] == sender.getsockname()[1]
        sender.sendto(b"two", 0, receiver.getsockname())
        sender.sendto(b"", receiver.getsockname())
        sender.sendmsg([b"thr", b"ee"], [], 0, receiver.getsockname())
        assert receiver.recv(100) == b"two"
        assert receiver.recv(100) == b""
        assert receiver.recvmsg(100)[0] == b"three"


def test_a_short_datagram_says_nothing_about_the_next(start: Any) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        first = start(receiver.recv, 100)
        sleep(0)
        for word in (b"a", b"b", b"c"):
            sender.sendto(word, receiver.getsockname())
        assert first.wait(20) == b"a"
        assert receiver.recv(100) == b"b"
        assert receiver.recv(100) == b"c"


def test_refused_datagram_wakes_the_reader(start: Any) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        gone.bind(("127.0.0.1", 0))
        sock.connect(gone.getsockname())
        gone.close()
        sock.settimeout(20)
        reader = start(_error_of, sock.recv, 10)
        sleep(0)
        sock.send(b"anybody?")
        assert reader.wait(20) == errno.ECONNREFUSED


# accept


def test_accept_waits(listener: Any, start: Any) -> None:
    acceptor = start(listener.accept)
    sleep(0)
    assert not acceptor.ready()
    with socket.create_connection(listener.getsockname(), 20) as client:
        server, address = acceptor.wait(20)
        with server:
            assert address == client.getsockname()
            assert type(server) is socket.socket
            assert server.gettimeout() is None
            server.sendall(b"welcome")
            assert client.recv(100) == b"welcome"


def test_accept_times_out(listener: Any) -> None:
    listener.settimeout(0.01)
    with pytest.raises(TimeoutError, match="timed out"):
        listener.accept()
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_close_wakes_the_acceptor(listener: Any, start: Any) -> None:
    acceptor = start(_error_of, listener.accept)
    sleep(0)
    listener.close()
    assert acceptor.wait(20) == errno.EBADF


def test_several_acceptors_are_served_in_order(listener: Any, start: Any) -> None:
    order: list[int] = []

    def accept(number: int) -> None:
        sock, _ = listener.accept()
        order.append(number)
        sock.close()

    for number in range(3):
        start(accept, number)
    sleep(0)
    clients = [socket.create_connection(listener.getsockname(), 20) for _ in range(3)]
    for thread in start.threads:
        thread.wait(20)
    for client in clients:
        client.close()
    assert order == [0, 1, 2]


def test_a_read_that_waits_for_all(tcp: Any, start: Any) -> None:
    left, right = tcp
    left.settimeout(None)
    buffer = bytearray(10)
    reads: Any = (
        (lambda: left.recv(10, socket.MSG_WAITALL), b"1234567890"),
        (lambda: left.recv_into(buffer, 10, socket.MSG_WAITALL), 10),
        (lambda: left.recv_into(buffer, 0, socket.MSG_WAITALL), 10),
    )
    for read, expected in reads:
        reading = start(read)
        for piece in (b"123", b"45", b"67890"):
            assert not reading.join(0.01)
            right.sendall(piece)
        assert reading.wait(20) == expected
    assert bytes(buffer) == b"1234567890"
    reading = start(left.recv, 10, socket.MSG_WAITALL)
    sleep(0)
    right.sendall(b"end")
    right.close()
    assert reading.wait(20) == b"end"


def test_flags_that_never_wait(tcp: Any) -> None:
    left, _ = tcp
    left.settimeout(None)
    calls: Any = (
        lambda: left.recv(1, socket.MSG_DONTWAIT),
        lambda: left.recv_into(bytearray(1), 1, socket.MSG_DONTWAIT),
        lambda: left.recvfrom(1, socket.MSG_DONTWAIT),
        lambda: left.recvmsg(1, 0, socket.MSG_DONTWAIT),
        lambda: left.sendall(b"x" * 50_000_000, socket.MSG_DONTWAIT),
        lambda: left.send(b"x", socket.MSG_DONTWAIT),
    )
    for call in calls:
        with pytest.raises(BlockingIOError):
            call()
