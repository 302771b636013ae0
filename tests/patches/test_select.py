"""`select` and `poll`: others run meanwhile, and the answer is the kernel's."""

from __future__ import annotations

import os
import select as stdlib_select
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.patches import select, socket


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_offers_every_public_name_of_the_original() -> None:
    assert [n for n in dir(stdlib_select) if not n.startswith("_") and not hasattr(select, n)] == []


def fill(sock: Any) -> None:
    """Send to a socket that does not wait until nothing more fits."""
    try:
        while True:
            sock.send(b"x" * 1_000_000)
    except BlockingIOError:
        pass


def poll_of(fd: Any, mask: int) -> Any:
    poller = select.poll()
    poller.register(fd, mask)
    return poller


def test_select_waits_for_a_reader(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    selecting = start(select.select, [reading], [], [])
    sleep(0)
    assert not selecting.ready()
    os.write(writing, b"x")
    assert selecting.wait(20) == ([reading], [], [])
    assert select.select([reading], [writing], []) == ([reading], [writing], [])


def test_poll_waits_for_a_reader(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    polling = start(poll_of(reading, select.POLLIN).poll)
    sleep(0)
    assert not polling.ready()
    os.write(writing, b"x")
    assert polling.wait(20) == [(reading, select.POLLIN)]


def test_times_out(pipe: Any) -> None:
    reading, _ = pipe
    for timeout in (0, 0.001):
        assert select.select([reading], [], [], timeout) == ([], [], [])
        assert poll_of(reading, select.POLLIN).poll(timeout * 1000) == []
    assert select.select([], [], [], 0.001) == ([], [], [])


def test_the_first_of_many_wakes(start: Any) -> None:
    pairs = [socket.socketpair() for _ in range(5)]
    lefts = [left for left, _ in pairs]
    selecting = start(select.select, lefts, [], lefts, 20)
    sleep(0)
    pairs[3][1].sendall(b"x")
    assert selecting.wait(20) == ([lefts[3]], [], [])
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_room_to_write_wakes(tcp: Any, start: Any) -> None:
    left, right = tcp
    left.setblocking(False)
    right.setblocking(False)
    fill(left)
    selecting = start(select.select, [], [left], [], 20)
    polling = start(poll_of(left, select.POLLOUT).poll, 20_000)
    sleep(0)
    assert not selecting.ready()
    while not (selecting.ready() and polling.ready()):
        try:
            right.recv(1_000_000)
        except BlockingIOError:
            sleep(0)
    assert selecting.wait(20) == ([], [left], [])
    assert polling.wait(20) == [(left.fileno(), select.POLLOUT)]


def test_select_sees_what_a_short_read_left_to_others(tcp: Any, start: Any) -> None:
    left, right = tcp
    reader = start(left.recv, 100)
    sleep(0)
    right.sendall(b"x")
    assert reader.wait(20) == b"x"
    right.sendall(b"y")
    assert select.select([left], [], [], 20) == ([left], [], [])
    assert left.recv(100) == b"y"


def test_hang_up_wakes_poll(pipe: Any, start: Any) -> None:
    reading, writing = os.pipe()
    polling = start(poll_of(reading, 0).poll, 20_000)
    sleep(0)
    os.close(writing)
    assert polling.wait(20) == [(reading, select.POLLHUP)]
    os.close(reading)


def test_close_wakes(tcp: Any, start: Any) -> None:
    left, _ = tcp
    polling = start(poll_of(left, select.POLLIN).poll, 20_000)
    sleep(0)
    number = left.fileno()
    left.close()
    assert polling.wait(20) == [(number, select.POLLNVAL)]


def test_poll_objects_change_their_minds(pipe: Any) -> None:
    _, writing = pipe
    poller = poll_of(writing, select.POLLOUT)
    assert poller.poll(20_000) == [(writing, select.POLLOUT)]
    poller.modify(writing, 0)
    assert poller.poll(1) == []
    poller.unregister(writing)
    with pytest.raises(KeyError):
        poller.unregister(writing)
    with pytest.raises(OSError, match="No such file"):
        poller.modify(writing, select.POLLOUT)


def test_regular_files_are_always_ready(tmp_path: Any) -> None:
    with (tmp_path / "file").open("w") as file:
        assert select.select([file], [file], [], 20) == ([file], [file], [])


@pytest.mark.parametrize("fds", [[-1], ["x"], [None]])
def test_wrong_descriptors(fds: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        select.select(fds, [], [], 1)


def test_in_a_native_thread(pipe: Any) -> None:
    reading, writing = pipe
    got: list[Any] = []

    def run() -> None:
        got.append(select.select([reading], [], [], 20))
        got.append(poll_of(reading, select.POLLIN).poll(20_000))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    os.write(writing, b"x")
    thread.join(20)
    assert got == [([reading], [], []), [(reading, select.POLLIN)]]
