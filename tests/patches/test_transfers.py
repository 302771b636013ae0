"""`os.sendfile` and `os.splice` on descriptors that have to wait."""

from __future__ import annotations

import os as stdlib_os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.hub.timeout import Timeout
from greenworld.patches import os as cooperative_os

os: Any = cooperative_os

LIMIT = 20.0
MEGABYTE = bytes(range(256)) * 4096

pytestmark = pytest.mark.skipif(
    not hasattr(stdlib_os, "sendfile"), reason="this platform has no os.sendfile"
)
needs_splice = pytest.mark.skipif(
    not hasattr(stdlib_os, "splice"), reason="this platform or release has no os.splice"
)


@pytest.fixture
def file(tmp_path: Any) -> Iterator[int]:
    """A megabyte of a regular file."""
    path = tmp_path / "file"
    path.write_bytes(MEGABYTE)
    fd = stdlib_os.open(path, stdlib_os.O_RDONLY)
    yield fd
    stdlib_os.close(fd)


@pytest.fixture(params=["pipe", "socket", "tcp"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """A reading and a writing end, both blocking."""
    if request.param == "pipe":
        made = stdlib_os.pipe()
    elif request.param == "socket":
        left, right = socket.socketpair()
        made = left.detach(), right.detach()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            left = socket.create_connection(listener.getsockname())
            right, _ = listener.accept()
        made = left.detach(), right.detach()
    yield made
    for end in made:
        stdlib_os.close(end)


def read_exactly(fd: int, size: int) -> bytes:
    got = b""
    while len(got) < size:
        got += os.read(fd, 10_000)
        sleep(0)
    return got


def send_all(fd: int, file: int, offset: int, count: int) -> int:
    """As a careful program does: a pipe takes a part."""
    sent = 0
    while sent < count and (size := os.sendfile(fd, file, offset + sent, count - sent)):
        sent += size
    return sent


def send_forever(fd: int, file: int) -> None:
    while True:
        os.sendfile(fd, file, 0, len(MEGABYTE))


def test_sendfile_to_a_slow_reader(file: int, ends: Any, start: Any) -> None:
    reading, writing = ends
    sending = start(send_all, writing, file, 10, len(MEGABYTE))
    sleep(0)
    assert read_exactly(reading, len(MEGABYTE) - 10) == MEGABYTE[10:]
    assert sending.wait(LIMIT) == len(MEGABYTE) - 10
    assert stdlib_os.get_blocking(writing)
    assert stdlib_os.lseek(file, 0, stdlib_os.SEEK_CUR) == 0


def test_sendfile_from_where_the_file_stands(file: int, ends: Any, start: Any) -> None:
    reading, writing = ends
    stdlib_os.lseek(file, 100, stdlib_os.SEEK_SET)
    sending = start(os.sendfile, writing, file, None, 20_000)
    assert read_exactly(reading, 20_000) == MEGABYTE[100:20_100]
    assert sending.wait(LIMIT) == 20_000
    assert stdlib_os.lseek(file, 0, stdlib_os.SEEK_CUR) == 20_100
    assert os.sendfile(writing, file, len(MEGABYTE), 10) == 0
    assert os.sendfile(out_fd=writing, in_fd=file, offset=0, count=3) == 3
    assert os.read(reading, 10) == MEGABYTE[:3]


def test_sendfile_that_gives_up(file: int, ends: Any, start: Any) -> None:
    reading, writing = ends
    with pytest.raises(Timeout), Timeout(0.01):
        send_forever(writing, file)
    assert os.read(reading, 256) == MEGABYTE[:256]


def test_sendfile_that_need_not_wait(file: int, ends: Any, tmp_path: Any) -> None:
    _, writing = ends
    stdlib_os.set_blocking(writing, False)
    assert 0 < os.sendfile(writing, file, 0, len(MEGABYTE)) <= len(MEGABYTE)
    with pytest.raises(BlockingIOError):
        send_forever(writing, file)
    target = stdlib_os.open(tmp_path / "copy", stdlib_os.O_RDWR | stdlib_os.O_CREAT)
    assert os.sendfile(target, file, 0, len(MEGABYTE)) == len(MEGABYTE)
    stdlib_os.close(target)
    with pytest.raises(OSError, match="Bad file"):
        os.sendfile(1 << 20, file, 0, 1)


def test_sendfile_in_a_native_thread(file: int, ends: Any) -> None:
    reading, writing = ends
    sent: list[int] = []

    def run() -> None:
        sent.append(send_all(writing, file, 0, 500_000))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert read_exactly(reading, 500_000) == MEGABYTE[:500_000]
    thread.join(LIMIT)
    assert sent == [500_000]


@needs_splice
def test_splice_waits_for_either_end(ends: Any, start: Any) -> None:
    reading, writing = ends
    middle_reading, middle_writing = stdlib_os.pipe()

    def move_all() -> int:
        moved = 0
        while count := os.splice(middle_reading, writing, 1 << 20):
            moved += count
        return moved

    def feed() -> None:
        os.write(middle_writing, MEGABYTE)
        os.close(middle_writing)

    moving = start(move_all)
    sleep(0)
    assert not moving.ready()
    start(feed)
    assert read_exactly(reading, len(MEGABYTE)) == MEGABYTE
    assert moving.wait(LIMIT) == len(MEGABYTE)
    stdlib_os.close(middle_reading)


@needs_splice
def test_splice_from_a_file(file: int, start: Any) -> None:
    reading, writing = stdlib_os.pipe()
    assert os.splice(file, writing, 1000, offset_src=5) == 1000
    assert os.read(reading, 2000) == MEGABYTE[5:1005]
    other_reading, other_writing = stdlib_os.pipe()
    with pytest.raises(BlockingIOError):
        os.splice(reading, other_writing, 10, flags=stdlib_os.SPLICE_F_NONBLOCK)
    stdlib_os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.splice(reading, other_writing, 10)
    for fd in (reading, writing, other_reading, other_writing):
        stdlib_os.close(fd)
