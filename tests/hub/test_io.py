"""Records of descriptors: edges, turns, hang-ups, closing, time-outs, on each backend."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from errno import EBADF
from typing import Any

import pytest

from greenworld.hub import get_hub, sleep, spawn, wait_readable
from greenworld.hub.current import current_waiter
from greenworld.hub.io import Io
from greenworld.hub.readiness import close_fd

OnHub = Callable[[Callable[[], Any]], Any]
Pair = tuple[socket.socket, socket.socket]
SOON = 5.0


def receive(sock: socket.socket, size: int = 100) -> bytes:
    """What a cooperative `recv` does with the record, the drained short-cut included."""
    io = get_hub().io(sock.fileno())
    turn = io.wait_read
    while True:
        if io.readable and (turn == io.retry_read or not io.readers):
            try:
                data = sock.recv(size)
            except BlockingIOError:
                io.readable = False
            else:
                if len(data) < size and not io.hangup:
                    io.readable = False
                io.pass_read()
                return data
        turn(SOON)
        turn = io.retry_read


def close(sock: socket.socket) -> None:
    close_fd(sock.fileno())
    sock.close()


def parked(io: Io, count: int = 1) -> None:
    """Let others run until so many read."""
    while len(io.readers) < count:
        sleep(0)


def test_reads_what_arrives_later(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> bytes:
        reader = spawn(receive, pair[0])
        parked(get_hub().io(pair[0].fileno()))
        pair[1].send(b"later")
        return reader.wait(SOON)

    assert on_hub(converse) == b"later"


def test_an_edge_that_nobody_waits_for_is_remembered(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> list[bytes]:
        left, right = pair
        read = [b""]
        for word in (b"one", b"two", b"three"):
            right.send(word)
            wait_readable(left.fileno(), SOON)
            sleep(0.001)  # the hub polls, and finds nobody waiting
            read.append(receive(left))
        return read[1:]

    assert on_hub(converse) == [b"one", b"two", b"three"]


def test_a_drained_descriptor_is_not_tried(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> list[bool]:
        left, right = pair
        io = get_hub().io(left.fileno())
        known = [io.readable]
        right.send(b"x")
        receive(left)
        known.append(io.readable)
        reader = spawn(receive, left)
        parked(io)
        right.send(b"y")
        reader.wait(SOON)
        known.append(io.readable)
        return known

    assert on_hub(converse) == [True, False, False]


def test_a_hangup_is_never_taken_for_drained(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> list[bytes]:
        left, right = pair
        reader = spawn(receive, left)
        parked(get_hub().io(left.fileno()))
        right.send(b"last words")
        right.shutdown(socket.SHUT_WR)
        return [reader.wait(SOON), receive(left), receive(left)]

    assert on_hub(converse) == [b"last words", b"", b""]


def test_a_hangup_wakes_writers_too(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> str:
        left, right = pair
        io = get_hub().io(left.fileno())
        while True:
            try:
                left.send(b"x" * 65536)
            except BlockingIOError:
                break
        io.writable = False
        writer = spawn(io.wait_write, SOON)
        sleep(0)
        right.close()
        writer.wait(SOON)
        with pytest.raises(BrokenPipeError):
            left.send(b"x")
        return "woken"

    assert on_hub(converse) == "woken"


def test_several_readers_are_served_in_order(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> list[tuple[str, bytes]]:
        left, right = pair
        served: list[tuple[str, bytes]] = []
        io = get_hub().io(left.fileno())
        readers = []
        for name in "abcde":
            readers.append(
                spawn(lambda name=name: served.append((name, receive(left, 1))))  # type: ignore[misc]
            )
            parked(io, len(readers))
        right.send(b"123")
        readers[2].join(SOON)
        right.send(b"45")
        readers[4].join(SOON)
        return served

    assert on_hub(converse) == list(zip("abcde", [b"1", b"2", b"3", b"4", b"5"], strict=True))


def test_readers_are_served_although_the_first_does_not_come_back(
    on_hub: OnHub, pair: Pair
) -> None:
    """The first drains it by a short read and says so; the second must still hear of more."""

    def converse() -> tuple[bytes, bytes]:
        left, right = pair
        io = get_hub().io(left.fileno())
        first = spawn(receive, left)
        parked(io)
        second = spawn(receive, left)
        parked(io, 2)
        right.send(b"first")
        one = first.wait(SOON)
        right.send(b"second")
        return one, second.wait(SOON)

    assert on_hub(converse) == (b"first", b"second")


def test_a_reader_killed_after_it_was_woken_passes_the_news_on(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> bytes:
        left, right = pair
        io = get_hub().io(left.fileno())
        first = spawn(receive, left)
        parked(io)
        second = spawn(receive, left)
        parked(io, 2)
        right.send(b"x")
        while len(io.readers) == 2:
            get_hub()._poll(0)  # as the loop does, but without running the woken reader
        first.kill()
        return second.wait(SOON)

    assert on_hub(converse) == b"x"


def test_a_timeout(on_hub: OnHub, pair: Pair) -> None:
    def wait() -> bytes:
        left, right = pair
        io = get_hub().io(left.fileno())
        for timeout in (0.001, 0, -1):
            with pytest.raises(TimeoutError):
                io.wait_read(timeout)
        assert not io.waited_for
        right.send(b"x")
        return receive(left)

    assert on_hub(wait) == b"x"


@pytest.mark.parametrize("timeout", ["1", 1j, 10**400])
def test_a_timeout_that_is_no_number_leaves_no_waiter(pair: Pair, timeout: Any) -> None:
    io = get_hub().io(pair[0].fileno())
    with pytest.raises((TypeError, ValueError, OverflowError)):
        io.wait_read(timeout)
    assert not io.waited_for
    assert get_hub().main not in get_hub().ready
    io.close()


def test_closing_wakes_every_waiter_with_ebadf(
    on_hub: OnHub, pair: Pair, reported: list[object]
) -> None:
    def converse() -> list[int | None]:
        left = pair[0]
        while True:
            try:
                left.send(b"x" * 65536)
            except BlockingIOError:
                break
        io = get_hub().io(left.fileno())
        waiters = [
            spawn(io.wait_read, SOON),
            spawn(io.wait_read),
            spawn(io.wait_write, SOON),
            spawn(wait_readable, left.fileno()),
        ]
        numbers: list[int | None] = []
        sleep(0)
        close(left)
        for waiter in waiters:
            waiter.join(SOON)
            error = waiter.exception
            numbers.append(error.errno if isinstance(error, OSError) else None)
        with pytest.raises(OSError, match="closed") as caught:
            io.wait_read()
        numbers.append(caught.value.errno)
        return numbers

    assert on_hub(converse) == [EBADF] * 5


def test_a_reused_number_wakes_no_stale_waiter(on_hub: OnHub) -> None:
    def converse() -> tuple[bool, bytes]:
        old, peer = socket.socketpair()
        old.setblocking(False)
        number = old.fileno()
        stale = get_hub().io(number)
        woken: list[int] = []
        waiter = spawn(receive, old)
        parked(stale)
        waiter.kill()
        close(old)
        peer.close()
        left, right = socket.socketpair()
        with left, right:
            fresh, other = (left, right) if left.fileno() == number else (right, left)
            assert fresh.fileno() == number
            fresh.setblocking(False)
            stale.readers.append(Caller(woken))
            reader = spawn(receive, fresh)
            parked(get_hub().io(number))
            other.send(b"new")
            data = reader.wait(SOON)
            close_fd(number)
            return bool(woken), data

    assert on_hub(converse) == (False, b"new")


class Caller:
    """A waiter that notes that it was called."""

    def __init__(self, calls: list[int]) -> None:
        self.calls = calls

    def wake(self) -> None:
        self.calls.append(1)

    def park(self, what: object, lot: object, timeout: float | None = None) -> bool:
        raise AssertionError("a callback does not park")


def test_watching_calls_back_once(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> list[int]:
        left, right = pair
        io = get_hub().io(left.fileno())
        calls: list[int] = []
        lengths = []
        for _ in range(3):
            io.watch_read(Caller(calls))
            lengths.append(len(calls))
            right.send(b"x")
            wait_readable(left.fileno(), SOON)
            lengths.append(len(calls))
            left.recv(10)
            io.readable = False
        return lengths

    assert on_hub(converse) == [0, 1, 1, 2, 2, 3]


def test_watching_what_is_known_to_be_readable(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> int:
        left, right = pair
        io = get_hub().io(left.fileno())
        right.send(b"x")
        wait_readable(left.fileno(), SOON)
        calls: list[int] = []
        io.watch_read(Caller(calls))
        wait_readable(left.fileno(), SOON)
        return len(calls)

    assert on_hub(converse) == 1


def test_a_watcher_can_be_taken_back(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> list[object]:
        left, right = pair
        io = get_hub().io(left.fileno())
        calls: list[int] = []
        caller = Caller(calls)
        io.watch_read(caller)
        taken = [io.unwatch_read(caller), io.unwatch_read(caller)]
        right.send(b"x")
        wait_readable(left.fileno(), SOON)
        return [*taken, calls]

    assert on_hub(converse) == [True, False, []]


def test_watching_a_closed_record_leaves_no_waiter(pair: Pair) -> None:
    io = get_hub().io(pair[0].fileno())
    io.close()
    with pytest.raises(OSError, match="closed"):
        io.watch_read(Caller([]))
    assert not io.waited_for


class Failing(Caller):
    def wake(self) -> None:
        raise LookupError("in a watcher")


def test_a_failing_watcher_is_reported_and_costs_the_others_nothing(
    on_hub: OnHub, reported: list[tuple[str, BaseException]]
) -> None:
    def converse() -> bytes:
        pairs = [socket.socketpair() for _ in range(6)]
        hub = get_hub()
        for sock, _ in pairs:
            sock.setblocking(False)
            hub.io(sock.fileno())
        good = pairs[-1][0]
        for sock, _ in pairs[:-1]:
            hub.io(sock.fileno()).watch_read(Failing([]))
        reader = spawn(receive, good)
        parked(hub.io(good.fileno()))
        for _, other in pairs:
            other.send(b"x")
        data = reader.wait(SOON)
        for sock, other in pairs:
            close(sock)
            other.close()
        return data

    assert on_hub(converse) == b"x"
    assert [str(error) for _, error in reported] == ["in a watcher"] * 5


def test_a_duplicate_has_a_record_of_its_own(on_hub: OnHub, pair: Pair) -> None:
    def converse() -> list[bytes]:
        left, right = pair
        twin = left.dup()
        twin.setblocking(False)
        readers = [spawn(receive, left, 1)]
        parked(get_hub().io(left.fileno()))
        right.send(b"1")
        read = [readers[0].wait(SOON)]
        reader = spawn(receive, twin, 1)
        parked(get_hub().io(twin.fileno()))
        right.send(b"2")
        read.append(reader.wait(SOON))
        number = left.fileno()
        close(left)
        assert number not in get_hub().ios
        reader = spawn(receive, twin, 1)
        parked(get_hub().io(twin.fileno()))
        right.send(b"3")
        read.append(reader.wait(SOON))
        close(twin)
        return read

    assert on_hub(converse) == [b"1", b"2", b"3"]


def test_a_pipe_between_two_threads_of_one_hub(on_hub: OnHub, pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe

    def produce() -> None:
        io = get_hub().io(write_end)
        left = memoryview(b"p" * 1_000_000)
        while left:
            try:
                left = left[os.write(write_end, left) :]
            except BlockingIOError:
                io.writable = False
                io.wait_write(SOON)

    def consume() -> int:
        io = get_hub().io(read_end)
        total = 0
        while total < 1_000_000:
            try:
                total += len(os.read(read_end, 65536))
            except BlockingIOError:
                io.readable = False
                io.wait_read(SOON)
        return total

    def converse() -> int:
        consumer, producer = spawn(consume), spawn(produce)
        producer.wait(SOON)
        total = consumer.wait(SOON)
        close_fd(read_end)
        close_fd(write_end)
        return total

    assert on_hub(converse) == 1_000_000


def test_one_descriptor_in_two_hubs(on_hub: OnHub, pair: Pair) -> None:
    """A close in one OS thread wakes who waits in the other's hub."""
    left, _ = pair

    def wait_here() -> int | None:
        def close_there() -> None:
            get_hub().io(left.fileno())
            close(left)

        io = get_hub().io(left.fileno())

        def begin() -> None:
            parked(io)
            threading.Thread(target=close_there).start()

        spawn(begin)
        with pytest.raises(OSError, match="closed") as caught:
            io.wait_read(SOON)
        return caught.value.errno

    assert on_hub(wait_here) == EBADF


def test_says_what_is_waited_for(pair: Pair) -> None:
    number = pair[0].fileno()
    io = get_hub().io(number)
    assert io.describe_wait(io.readers) == f"read from descriptor {number}"
    assert io.describe_wait(io.write_watchers) == f"write to descriptor {number}"
    assert current_waiter() is get_hub().main
    io.close()
