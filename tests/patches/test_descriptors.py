"""`os.read`, `os.write` and their relatives on descriptors that have to wait."""

from __future__ import annotations

import errno
import fcntl
import os as stdlib_os
import pty
import select
import signal
import socket as stdlib_socket
import subprocess
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.hub.current import get_hub
from greenworld.hub.timeout import Timeout
from greenworld.patches import descriptors, os
from greenworld.patches import os as cooperative_os

LIMIT = 20.0
MEGABYTE = bytes(range(256)) * 4096

Ends = tuple[int, int]


def make_pipe(kind: str, path: Any) -> Ends:
    """A reading and a writing end."""
    if kind == "pipe":
        return stdlib_os.pipe()
    if kind == "fifo":
        stdlib_os.mkfifo(path)
        both = stdlib_os.open(path, stdlib_os.O_RDWR)
        ends = stdlib_os.open(path, stdlib_os.O_RDONLY), stdlib_os.open(path, stdlib_os.O_WRONLY)
        stdlib_os.close(both)
        return ends
    if kind == "socket":
        left, right = stdlib_socket.socketpair()
        return left.detach(), right.detach()
    master, slave = pty.openpty()
    tty.setraw(slave)
    return (slave, master) if kind == "terminal" else (master, slave)


KINDS = ["pipe", "fifo", "socket", "terminal", "terminal back"]


@pytest.fixture(params=KINDS)
def ends(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Ends]:
    """A blocking channel of each kind."""
    made = make_pipe(request.param, tmp_path / "fifo")
    yield made
    for end in made:
        try:
            os.close(end)
        except OSError:
            pass  # the test has closed it


@pytest.fixture
def pipe() -> Iterator[Ends]:
    """A blocking pipe."""
    made = stdlib_os.pipe()
    yield made
    for end in made:
        try:
            os.close(end)
        except OSError:
            pass  # the test has closed it


@pytest.fixture(params=["nowait", "poll"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without RWF_NOWAIT."""
    if request.param == "poll":
        monkeypatch.setattr(descriptors, "NOWAIT", 0)
    elif not descriptors.NOWAIT:
        pytest.skip("this kernel has no RWF_NOWAIT for pipes")


@pytest.fixture
def ticks(start: Any) -> Iterator[list[int]]:
    """Counts the rounds of a green thread that never waits for anything."""
    count: list[int] = [0]
    going = [True]

    def tick() -> None:
        while going:
            count[0] += 1
            sleep(0)

    start(tick)
    yield count
    going.clear()


def flags(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_GETFL)


def fill(fd: int) -> int:
    """Write to a descriptor until nothing more fits; how many bytes did.

    A terminal may find room for a few thousand more a little later.
    """
    total = 0
    while select.select([], [fd], [], 0)[1]:
        total += stdlib_os.write(fd, b"x" * 128)
    return total


def write_forever(fd: int, call: Callable[..., int] = os.write, data: Any = MEGABYTE) -> None:
    while True:
        call(fd, data)


def read_all(fd: int, size: int, step: int = 4096) -> bytes:
    """Read `size` bytes, a little at a time, letting others run between."""
    pieces = []
    while size > 0:
        piece = os.read(fd, min(step, size))
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
        sleep(0)
    return b"".join(pieces)


# Reading


def test_read_waits_and_others_run(kernel: None, ends: Ends, start: Any, ticks: Any) -> None:
    reading, writing = ends
    before = flags(reading)
    reader = start(os.read, reading, 100)
    while ticks[0] < 50:
        sleep(0)
    assert not reader.ready()
    assert flags(reading) == before
    stdlib_os.write(writing, b"hello")
    assert reader.wait(LIMIT) == b"hello"
    assert flags(reading) == before
    assert not flags(writing) & stdlib_os.O_NONBLOCK


def test_read_of_what_is_there_does_not_switch(kernel: None, ends: Ends, ticks: Any) -> None:
    reading, writing = ends
    sleep(0)
    stdlib_os.write(writing, b"hello")
    before = ticks[0]
    assert os.read(reading, 2) == b"he"
    assert os.read(reading, 100) == b"llo"
    assert ticks[0] == before


def test_readv(kernel: None, ends: Ends, start: Any) -> None:
    reading, writing = ends
    one, two = bytearray(3), bytearray(10)
    reader = start(os.readv, reading, [one, two])
    sleep(0)
    assert not reader.ready()
    stdlib_os.write(writing, b"hello")
    assert reader.wait(LIMIT) == 5
    assert bytes(one + two) == b"hello" + bytes(8)


def test_end_of_file_wakes(kernel: None, pipe: Ends, start: Any) -> None:
    reading, writing = pipe
    reader = start(os.read, reading, 100)
    sleep(0)
    assert not reader.ready()
    stdlib_os.close(writing)
    assert reader.wait(LIMIT) == b""
    assert os.read(reading, 1) == b""
    assert os.readv(reading, [bytearray(3)]) == 0


def test_several_readers_of_one_pipe(kernel: None, ends: Ends, start: Any) -> None:
    reading, writing = ends
    readers = [start(os.read, reading, 1) for _ in range(20)]
    sleep(0)
    for number in range(20):
        stdlib_os.write(writing, bytes([65 + number]))
        sleep(0)
    got = [reader.wait(LIMIT) for reader in readers]
    assert sorted(got) == [bytes([65 + number]) for number in range(20)]


@pytest.mark.skipif(not descriptors.NOWAIT, reason="this kernel has no RWF_NOWAIT for pipes")
def test_what_another_process_takes_first_is_waited_for(
    pipe: Ends, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the report and the read."""
    reading, writing = pipe
    ask = descriptors.ready_now
    robbed: list[bytes] = []

    def ask_and_be_robbed(fd: int) -> int:
        state = ask(fd)
        if fd == reading and not robbed and state & descriptors.POLLIN:
            robbed.append(stdlib_os.read(fd, 100))
        return state

    monkeypatch.setattr(descriptors, "ready_now", ask_and_be_robbed)
    stdlib_os.write(writing, b"taken")
    reader = start(os.read, reading, 100)
    sleep(0)
    assert robbed == [b"taken"]
    assert not reader.ready()
    stdlib_os.write(writing, b"left")
    assert reader.wait(LIMIT) == b"left"


def test_regular_files_and_directories_are_read_directly(tmp_path: Any, ticks: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(MEGABYTE)
    fd = os.open(path, os.O_RDWR)
    sleep(0)
    before = ticks[0]
    assert os.read(fd, len(MEGABYTE)) == MEGABYTE
    assert os.read(fd, 10) == b""
    assert os.write(fd, MEGABYTE) == len(MEGABYTE)
    assert os.writev(fd, [b"a", b"bc"]) == 3
    assert ticks[0] == before
    os.close(fd)
    assert path.stat().st_size == 2 * len(MEGABYTE) + 3
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        os.read(folder, 1)
    os.close(folder)


def test_devices(ticks: Any) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    assert os.read(null, 10) == b""
    assert os.write(null, MEGABYTE) == len(MEGABYTE)
    os.close(null)


@pytest.mark.parametrize("length", [0, 1, 5, 4096, 65536, 1 << 20])
def test_read_lengths(kernel: None, pipe: Ends, length: int) -> None:
    reading, writing = pipe
    stdlib_os.write(writing, b"hello")
    assert os.read(reading, length) == b"hello"[:length]


# Writing


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_large_write_to_a_slow_reader(
    kernel: None, ends: Ends, start: Any, ticks: Any, make: Callable[[bytes], Any]
) -> None:
    reading, writing = ends
    before = flags(writing)
    size = len(MEGABYTE) // (8 if stdlib_os.isatty(writing) else 1)
    data = MEGABYTE[:size]
    writer = start(os.write, writing, make(data))
    sleep(0)
    assert not writer.ready()
    assert read_all(reading, size) == data
    assert writer.wait(LIMIT) == size
    assert ticks[0] > 10
    assert flags(writing) == before


def test_writev(kernel: None, ends: Ends, start: Any) -> None:
    reading, writing = ends
    assert os.writev(writing, [b"he", bytearray(b"l"), memoryview(b"lo")]) == 5
    assert os.read(reading, 10) == b"hello"
    room = fill(writing)
    writer = start(os.writev, writing, [b"a" * 5000, b"b" * 5000])
    sleep(0)
    assert not writer.ready()
    assert read_all(reading, room) == b"x" * room
    assert read_all(reading, 10_000) == b"a" * 5000 + b"b" * 5000
    assert writer.wait(LIMIT) == 10_000


def test_small_write_waits_for_room(kernel: None, ends: Ends, start: Any, ticks: Any) -> None:
    reading, writing = ends
    room = fill(writing)
    writer = start(os.write, writing, b"end")
    target = ticks[0] + 50
    while ticks[0] < target:
        sleep(0)
    assert not writer.ready() or stdlib_os.isatty(writing)
    assert read_all(reading, room) == b"x" * room
    assert writer.wait(LIMIT) == 3
    assert os.read(reading, 10) == b"end"


def test_small_writes_of_many_are_whole(kernel: None, pipe: Ends, start: Any) -> None:
    reading, writing = pipe
    size = select.PIPE_BUF
    writers = [start(os.write, writing, bytes([65 + number]) * size) for number in range(26)]
    got = read_all(reading, 26 * size, 1000)
    for writer in writers:
        assert writer.wait(LIMIT) == size
    blocks = {got[at : at + size] for at in range(0, len(got), size)}
    assert blocks == {bytes([65 + number]) * size for number in range(26)}


def test_no_reader_left(kernel: None, pipe: Ends, start: Any) -> None:
    reading, writing = pipe
    writers = [start(os.write, writing, MEGABYTE), start(os.writev, writing, [MEGABYTE])]
    sleep(0)
    stdlib_os.close(reading)
    for writer in writers:
        with pytest.raises(BrokenPipeError):
            writer.wait(LIMIT)
    for size in (1, 100_000):
        with pytest.raises(BrokenPipeError):
            os.write(writing, b"x" * size)


def test_nothing_is_written_at_once(pipe: Ends) -> None:
    _, writing = pipe
    fill(writing)
    assert os.write(writing, b"") == 0


def test_other_buffers(kernel: None, pipe: Ends) -> None:
    import array

    reading, writing = pipe
    assert os.write(writing, array.array("H", [0x4141, 0x4242])) == 4
    assert os.read(reading, 10) == b"AABB"
    assert os.write(writing, memoryview(array.array("H", [0x4343] * 100))) == 200
    assert os.read(reading, 1000) == b"C" * 200


# Descriptors that are non-blocking already


def test_non_blocking_keeps_its_ways(kernel: None, ends: Ends) -> None:
    reading, writing = ends
    for end in ends:
        stdlib_os.set_blocking(end, False)
    for call in (lambda: os.read(reading, 1), lambda: os.readv(reading, [bytearray(1)])):
        with pytest.raises(BlockingIOError):
            call()
    written = os.write(writing, MEGABYTE)
    assert 0 < written < len(MEGABYTE)
    fill(writing)
    with pytest.raises(BlockingIOError):
        write_forever(writing)
    with pytest.raises(BlockingIOError):
        write_forever(writing, os.writev, [MEGABYTE])


def test_the_descriptor_of_a_socket_object_that_waits(start: Any) -> None:
    """Its mode may be our own doing, and then says nothing."""
    from greenworld.patches import socket

    left, right = socket.socketpair()
    with left, right:
        right.sendall(b"x")
        assert left.recv(10) == b"x"
        reader = start(os.read, left.fileno(), 10)
        sleep(0)
        assert not reader.ready()
        right.sendall(b"hello")
        assert reader.wait(LIMIT) == b"hello"
        left.setblocking(False)
        with pytest.raises(BlockingIOError):
            os.read(left.fileno(), 10)
        left.settimeout(5)
        with pytest.raises(BlockingIOError):
            os.read(left.fileno(), 10)


# Ends of waits


@pytest.mark.parametrize("call", [os.read, lambda fd, n: os.readv(fd, [bytearray(n)])])
def test_timeout_loses_nothing(kernel: None, ends: Ends, call: Callable[..., Any]) -> None:
    reading, writing = ends
    with pytest.raises(Timeout), Timeout(0.001):
        call(reading, 10)
    stdlib_os.write(writing, b"hello")
    assert os.read(reading, 10) == b"hello"


def test_kill_loses_nothing(ends: Ends, start: Any) -> None:
    reading, writing = ends
    reader, other = start(os.read, reading, 10), start(os.read, reading, 10)
    sleep(0)
    stdlib_os.write(writing, b"hello")
    reader.kill()
    assert other.wait(LIMIT) == b"hello"


def test_timeout_of_a_write(kernel: None, ends: Ends) -> None:
    _, writing = ends
    fill(writing)
    with pytest.raises(Timeout), Timeout(0.001):
        write_forever(writing)


@pytest.mark.parametrize("how", ["close", "closerange", "dup2"])
def test_closed_meanwhile(pipe: Ends, start: Any, how: str) -> None:
    reading, writing = pipe
    full = stdlib_os.pipe()
    fill(full[1])
    waiting = [
        start(os.read, reading, 1),
        start(os.readv, reading, [bytearray(1)]),
        start(os.write, full[1], b"x"),
    ]
    sleep(0)
    for fd in (reading, full[1]):
        if how == "close":
            os.close(fd)
        elif how == "closerange":
            os.closerange(fd, fd + 1)
        else:
            os.dup2(writing, fd)
    for thread in waiting:
        with pytest.raises(OSError, match="closed while") as caught:
            thread.wait(LIMIT)
        assert caught.value.errno == errno.EBADF
    os.close(full[0])
    if how == "dup2":
        os.close(full[1])


def test_dup2_onto_itself_or_of_nothing_disturbs_nobody(pipe: Ends, start: Any) -> None:
    reading, writing = pipe
    reader = start(os.read, reading, 10)
    sleep(0)
    assert os.dup2(reading, reading) == reading
    spare = os.dup(reading)
    os.close(spare)
    with pytest.raises(OSError, match="Bad file"):
        os.dup2(spare, reading)
    sleep(0)
    stdlib_os.write(writing, b"x")
    assert reader.wait(LIMIT) == b"x"


def test_a_number_used_again(start: Any) -> None:
    """Closed without a word while nobody waits: the old record must not matter."""
    for _ in range(3):
        reading, writing = stdlib_os.pipe()
        reader = start(os.read, reading, 10)
        sleep(0)
        assert not reader.ready()
        stdlib_os.write(writing, b"x")
        assert reader.wait(LIMIT) == b"x"
        stdlib_os.close(reading)
        stdlib_os.close(writing)


def test_wrong_arguments(pipe: Ends) -> None:
    os: Any = cooperative_os
    reading, writing = pipe
    with pytest.raises(TypeError):
        os.read("x", 1)
    with pytest.raises(TypeError):
        os.write(writing, "text")
    with pytest.raises(TypeError):
        os.write(None, b"x")
    with pytest.raises(TypeError):
        os.writev(writing, 3)
    stdlib_os.write(writing, b"x")
    with pytest.raises(TypeError):
        os.read(reading, "1")
    with pytest.raises(TypeError):
        os.readv(reading, b"x")
    with pytest.raises(OSError, match="Invalid argument"):
        os.read(reading, -1)
    with pytest.raises(OverflowError):
        os.read(1 << 70, 1)
    for fd in (-1, 1 << 20):
        for call in (os.close, lambda fd: os.read(fd, 1), lambda fd: os.write(fd, b"x")):
            with pytest.raises(OSError, match="Bad file"):
                call(fd)
    os.read(reading, 1)
    assert os.read(reading, 0) == b""
    with pytest.raises(OSError, match="Bad file"):
        os.read(writing, 1)
    with pytest.raises(OSError, match="Bad file"):
        os.write(reading, b"x" * 10_000)


# Signals, OS threads, processes


def test_a_signal_handler_runs_meanwhile(pipe: Ends) -> None:
    reading, writing = pipe
    previous = signal.signal(signal.SIGUSR1, lambda *_: stdlib_os.write(writing, b"handled"))
    try:
        threading.Timer(0.01, stdlib_os.kill, (stdlib_os.getpid(), signal.SIGUSR1)).start()
        assert os.read(reading, 100) == b"handled"
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_a_signal_handler_that_raises(pipe: Ends) -> None:
    reading, writing = pipe

    def fail(*_: object) -> None:
        raise ValueError("from the handler")

    previous = signal.signal(signal.SIGUSR1, fail)
    try:
        threading.Timer(0.01, stdlib_os.kill, (stdlib_os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(ValueError, match="from the handler"):
            os.read(reading, 100)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    stdlib_os.write(writing, b"x")
    assert os.read(reading, 1) == b"x"


def test_in_a_native_thread(kernel: None, ends: Ends) -> None:
    reading, writing = ends
    size = len(MEGABYTE) // 8
    got: list[Any] = []

    def run() -> None:
        got.append(os.read(reading, 5))
        got.append(os.write(writing, MEGABYTE[:size]))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    stdlib_os.write(writing, b"hello")
    while not got:
        sleep(0.001)
    assert read_all(reading, size, 1000) == MEGABYTE[:size]
    thread.join(LIMIT)
    assert got == [b"hello", size]


def test_a_child_that_shares_the_pipe_finds_it_blocking(pipe: Ends, start: Any) -> None:
    """It reads in its own way what it is sent, and sees no O_NONBLOCK, while we wait too."""
    reading, writing = pipe
    back_reading, back_writing = stdlib_os.pipe()
    code = (
        "import fcntl, os, sys\n"
        "data = os.read(0, 100)\n"
        "flags = fcntl.fcntl(0, fcntl.F_GETFL) | fcntl.fcntl(1, fcntl.F_GETFL)\n"
        "os.write(1, data + str(flags & os.O_NONBLOCK).encode())\n"
    )
    reader = start(os.read, back_reading, 100)
    child = subprocess.Popen([sys.executable, "-c", code], stdin=reading, stdout=back_writing)
    sleep(0)
    os.write(writing, b"hello ")
    assert reader.wait(LIMIT) == b"hello 0"
    assert child.wait(LIMIT) == 0
    os.close(back_reading)
    os.close(back_writing)


def test_eventfd(start: Any) -> None:
    if not hasattr(os, "eventfd"):
        pytest.skip("this platform has no eventfd")
    counter = os.eventfd(0)
    reader, raw_reader = start(os.eventfd_read, counter), None
    sleep(0)
    assert not reader.ready()
    os.eventfd_write(counter, 3)
    assert reader.wait(LIMIT) == 3
    raw_reader = start(os.read, counter, 8)
    sleep(0)
    assert not raw_reader.ready()
    assert os.write(counter, (5).to_bytes(8, sys.byteorder)) == 8
    assert raw_reader.wait(LIMIT) == (5).to_bytes(8, sys.byteorder)
    os.eventfd_write(counter, 2**64 - 2)
    writer = start(os.eventfd_write, counter, 1)
    sleep(0)
    assert not writer.ready()
    assert os.eventfd_read(counter) == 2**64 - 2
    writer.wait(LIMIT)
    assert os.eventfd_read(counter) == 1
    os.close(counter)


def test_closing_forgets_the_record(pipe: Ends, start: Any) -> None:
    reading, writing = pipe
    reader = start(os.read, reading, 1)
    sleep(0)
    stdlib_os.write(writing, b"x")
    assert reader.wait(LIMIT) == b"x"
    assert reading in get_hub().ios
    os.close(reading)
    assert reading not in get_hub().ios
