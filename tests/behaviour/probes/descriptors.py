"""Sockets, pipes, epoll objects and selectors in a patched program."""

from __future__ import annotations

import greenworld

greenworld.monkey_patch()

import errno
import os
import select
import selectors
import socket
import threading
import time
from typing import Any

LIMIT = 15.0


def _start(function: Any, *args: Any) -> threading.Thread:
    """A thread that has begun and waits for something."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    for _ in range(10):
        time.sleep(0)
    return thread


def _finish(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_os_read_on_a_pipe() -> None:
    """`os.read` on a pipe: cooperative. gevent#1953."""
    reader, writer = os.pipe()
    got: list[bytes] = []
    thread = _start(lambda: got.append(os.read(reader, 100)))
    assert got == []
    os.write(writer, b"hello")
    _finish(thread)
    assert got == [b"hello"]
    assert os.get_blocking(reader)
    assert os.get_blocking(writer)
    os.close(reader)
    os.close(writer)


def test_os_write_to_a_full_pipe() -> None:
    """`os.write` of more than a pipe holds waits for its reader, and writes everything."""
    reader, writer = os.pipe()
    data = os.urandom(1 << 20)
    thread = _start(lambda: os.write(writer, data))
    got = bytearray()
    while len(got) < len(data):
        got += os.read(reader, 1 << 16)
    _finish(thread)
    assert got == data
    os.close(reader)
    os.close(writer)


def test_many_threads_wait_for_one_descriptor() -> None:
    """Two green threads `recv` on one socket: ok, first in first out.

    Elsewhere "second simultaneous read": eventlet#94, #405, celery#2963.
    """
    left, right = socket.socketpair()
    got: list[tuple[int, bytes]] = []

    def receive(number: int) -> None:
        got.append((number, left.recv(1)))

    threads = [_start(receive, number) for number in range(4)]
    for letter in b"abcd":
        right.send(bytes([letter]))
        while len(got) < letter - 96:
            time.sleep(0)
    _finish(*threads)
    assert got == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")]
    left.close()
    right.close()


def test_close_while_another_receives() -> None:
    """Close while another thread `recv`s: EBADF for the reader."""
    left, right = socket.socketpair()
    errors: list[int | None] = []

    def receive() -> None:
        try:
            left.recv(1)
        except OSError as error:
            errors.append(error.errno)

    thread = _start(receive)
    left.close()
    _finish(thread)
    assert errors == [errno.EBADF]
    right.close()


def test_select_on_what_another_reads() -> None:
    """One thread selects on the pipe that another reads: both are served. gevent#936."""
    reader, writer = os.pipe()
    seen: list[object] = []
    watching = _start(lambda: seen.append(select.select([reader], [], [], LIMIT)[0]))
    reading = _start(lambda: seen.append(os.read(reader, 1)))
    os.write(writer, b"12")
    _finish(watching, reading)
    assert sorted(map(str, seen)) == sorted([str([reader]), "b'1'"])
    os.close(reader)
    os.close(writer)


def test_epoll_is_there_and_cooperative() -> str | None:
    """`select.epoll`, `selectors.EpollSelector` after patch: there, cooperative."""
    if not hasattr(greenworld.original("select"), "epoll"):
        return "this platform has no epoll"
    left, right = socket.socketpair()
    events: list[object] = []
    with select.epoll() as epoll:
        epoll.register(left.fileno(), select.EPOLLIN)
        thread = _start(lambda: events.append(epoll.poll(LIMIT)))
        right.send(b"x")
        _finish(thread)
    assert events == [[(left.fileno(), select.EPOLLIN)]]
    left.close()
    right.close()
    return None


def test_poll_is_there_and_cooperative() -> None:
    """`select.poll` after patch: there, cooperative. psycopg#527, #536, #688."""
    left, right = socket.socketpair()
    events: list[object] = []
    poll = select.poll()
    poll.register(left, select.POLLIN)
    thread = _start(lambda: events.append(poll.poll(LIMIT * 1000)))
    right.send(b"x")
    _finish(thread)
    assert events == [[(left.fileno(), select.POLLIN)]]
    left.close()
    right.close()


def test_every_selector_is_there_and_cooperative() -> None:
    """Every class of `selectors` stays after the patch, and its `select` lets others run."""
    originals = greenworld.original("selectors")
    names, here = (
        [name for name in dir(module) if name.endswith("Selector") and name[0] != "_"]
        for module in (originals, selectors)
    )
    assert here == names

    def wait(selector: selectors.BaseSelector, events: list[Any]) -> None:
        events.extend(selector.select(LIMIT))

    for name in names:
        if name == "BaseSelector":
            continue
        left, right = socket.socketpair()
        events: list[Any] = []
        with getattr(selectors, name)() as selector, left, right:
            selector.register(left, selectors.EVENT_READ, name)
            thread = _start(wait, selector, events)
            assert events == []
            right.send(b"x")
            _finish(thread)
        assert [(key.data, mask) for key, mask in events] == [(name, selectors.EVENT_READ)]


def test_default_selector_has_a_descriptor() -> str | None:
    """`DefaultSelector().fileno()`: works, and it is the best one there is."""
    original = greenworld.original("selectors").DefaultSelector
    assert selectors.DefaultSelector.__name__ == original.__name__
    if not hasattr(original, "fileno"):
        return "the best selector of this platform has no descriptor"
    selector: Any = selectors.DefaultSelector()
    assert os.fstat(selector.fileno())
    selector.close()
    return None


def test_io_latency_beside_a_spinner() -> None:
    """I/O latency beside a `sleep(0)` spinner: under 1 ms, as rounds of the spinner.

    The hub polls at least every 128 entries of its run queue (rule 2.8): within two such turns the
    reader is served, where one that polls every 5 ms lets the spinner go round thousands of times.
    """
    left, right = socket.socketpair()
    rounds, served = 0, []

    def receive() -> None:
        for _ in range(20):
            left.recv(1)
            served.append(rounds)

    thread = _start(receive)
    delays = []
    for _ in range(20):
        sent, before = rounds, len(served)
        right.send(b"x")
        while len(served) == before:
            rounds += 1
            time.sleep(0)
            assert rounds - sent < 1000
        delays.append(served[-1] - sent)
    _finish(thread)
    assert max(delays) <= 256, delays
    left.close()
    right.close()


def test_closed_number_is_not_confused_with_its_successor() -> None:
    """A descriptor's number that is used again wakes no old waiter. eventlet#405."""
    left, right = socket.socketpair()
    number = left.fileno()
    ends: list[object] = []

    def receive(sock: socket.socket) -> None:
        try:
            ends.append(sock.recv(1))
        except OSError as error:
            ends.append(error.errno)

    first = _start(receive, left)
    left.close()
    fresh = socket.socketpair()
    again = next((each for each in fresh if each.fileno() == number), None)
    assert again is not None
    _finish(first)
    second = _start(receive, again)
    (fresh[0] if fresh[1] is again else fresh[1]).send(b"y")
    _finish(second)
    assert ends == [errno.EBADF, b"y"]
    for each in (right, *fresh):
        each.close()
