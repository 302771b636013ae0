"""Files on pipes, FIFOs, sockets and terminals: they wait, and others run."""

from __future__ import annotations

import io
import os as stdlib_os
import pty
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.hub.timeout import Timeout
from greenworld.patches import buffers, fileio
from greenworld.patches import os as cooperative_os

os: Any = cooperative_os
LIMIT = 20.0
MEGABYTE = bytes(range(256)) * 4096


@pytest.fixture(params=["pipe", "fifo", "socket", "terminal"])
def ends(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[int, int]]:
    """A reading and a writing end, whose descriptors the test gives to files."""
    if request.param == "pipe":
        yield stdlib_os.pipe()
    elif request.param == "fifo":
        path = tmp_path / "fifo"
        stdlib_os.mkfifo(path)
        both = stdlib_os.open(path, stdlib_os.O_RDWR)
        yield stdlib_os.open(path, stdlib_os.O_RDONLY), stdlib_os.open(path, stdlib_os.O_WRONLY)
        stdlib_os.close(both)
    elif request.param == "socket":
        left, right = socket.socketpair()
        yield left.detach(), right.detach()
    else:
        master, slave = pty.openpty()
        tty.setraw(slave)
        yield slave, master


@pytest.fixture
def pipe() -> tuple[int, int]:
    return stdlib_os.pipe()


def test_classes(ends: Any) -> None:
    reading, writing = ends
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as writer:
        assert isinstance(reader, io.TextIOWrapper)
        assert isinstance(reader.buffer, io.BufferedReader)
        assert isinstance(writer.buffer, io.BufferedWriter)
        assert isinstance(writer.buffer.raw, io.FileIO)
        assert isinstance(reader.buffer.raw, buffers.FileIO)
        assert (reader.mode, reader.name, reader.buffer.mode) == ("r", reading, "rb")
        assert (reader.readable(), reader.writable(), reader.seekable()) == (True, False, False)
        assert reader.fileno() == reading
        assert reader.line_buffering == stdlib_os.isatty(reading)
    assert reader.closed
    with pytest.raises(OSError, match="Bad file"):
        stdlib_os.fstat(reading)


@pytest.mark.parametrize(
    ("mode", "buffering", "kind"),
    [
        ("rb", -1, io.BufferedReader),
        ("rb", 0, io.FileIO),
        ("rb", 100, io.BufferedReader),
        ("r", 1, io.TextIOWrapper),
        ("wb", -1, io.BufferedWriter),
        ("wb", 0, io.FileIO),
        ("w", 1, io.TextIOWrapper),
        ("ab", -1, io.BufferedWriter),
    ],
)
def test_modes(pipe: Any, mode: str, buffering: int, kind: type) -> None:
    mine, other = pipe if "r" in mode else pipe[::-1]
    with os.fdopen(mine, mode, buffering) as file:
        assert isinstance(file, kind)
        assert getattr(file, "line_buffering", buffering == 1) == (buffering == 1)
    stdlib_os.close(other)


def test_a_socket_is_read_and_written_unbuffered(start: Any) -> None:
    left, right = socket.socketpair()
    with os.fdopen(left.detach(), "r+b", 0) as file, right:
        assert file.write(b"ping") == 4
        assert right.recv(10) == b"ping"
        reader = start(file.read, 10)
        sleep(0)
        assert not reader.ready()
        right.sendall(b"pong")
        assert reader.wait(LIMIT) == b"pong"


def test_regular_files_stay_standard(tmp_path: Any) -> None:
    path = tmp_path / "file"
    fd = stdlib_os.open(path, stdlib_os.O_RDWR | stdlib_os.O_CREAT)
    with os.fdopen(fd, "w+") as file:
        assert type(file) is io.TextIOWrapper
        assert type(file.buffer) is io.BufferedRandom
        assert type(file.buffer.raw) is io.FileIO
        file.write("hello")
    with fileio.open_file(path, opener=stdlib_os.open) as file:
        assert type(file.buffer) is io.BufferedReader
        assert file.read() == "hello"
        file.seek(1)
        assert file.read() == "ello"
    with fileio.open_file(stdlib_os.devnull, "w+b") as file:
        assert type(file) is io.BufferedRandom


def test_wrong_arguments(pipe: Any) -> None:
    reading, writing = pipe
    before = set(stdlib_os.listdir("/dev/fd"))
    wrong: list[tuple[Any, Any]] = [
        (("x", "r"), TypeError),
        ((reading, "q"), ValueError),
        ((reading, "rw"), ValueError),
        ((reading, "rr"), ValueError),
        ((reading, "rbt"), ValueError),
        ((reading, "rb", -1, "utf-8"), ValueError),
        ((reading, "r", "1"), TypeError),
        ((1 << 20, "r"), OSError),
        ((-1, "r"), ValueError),
    ]
    for args, error in wrong:
        with pytest.raises(error):
            os.fdopen(*args)
    wrong = [
        ((stdlib_os.dup(reading), "r", 0), ValueError),
        ((stdlib_os.dup(reading), "r", -1, None, None, "q"), ValueError),
        ((stdlib_os.dup(reading), "r+b"), io.UnsupportedOperation),
    ]
    for args, error in wrong:
        with pytest.raises(error):
            os.fdopen(*args)
        try:
            stdlib_os.close(args[0])
        except OSError:
            pass  # the standard one closes it, too, except before it has made a file of it
    assert set(stdlib_os.listdir("/dev/fd")) <= before
    with pytest.warns(RuntimeWarning, match="line buffering"):
        os.fdopen(reading, "rb", 1).close()
    stdlib_os.close(writing)


def test_lines_come_one_by_one(ends: Any, start: Any) -> None:
    reading, writing = ends
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as writer:
        lines: list[str] = []

        def read() -> None:
            for line in reader:
                lines.append(line)
                if line == "end\n":
                    break

        reading_all = start(read)
        for number in range(5):
            sleep(0)
            assert len(lines) == number
            writer.write(f"line {number}\n")
            writer.flush()
            while len(lines) == number:
                sleep(0)
        writer.write("end\n")
        writer.flush()
        reading_all.wait(LIMIT)
        assert lines == [f"line {number}\n" for number in range(5)] + ["end\n"]


def test_a_line_in_pieces(ends: Any, start: Any) -> None:
    reading, writing = ends
    with os.fdopen(reading, "rb") as file:
        reader = start(file.readline)
        for piece in (b"he", b"ll", b"o\nre"):
            assert not reader.ready()
            stdlib_os.write(writing, piece)
            sleep(0.001)
        assert reader.wait(LIMIT) == b"hello\n"
        assert file.read(2) == b"re"
    stdlib_os.close(writing)


def feed(fd: int, data: bytes) -> None:
    """Write it all and close."""
    os.write(fd, data)
    os.close(fd)


READS: dict[str, Callable[[Any], Any]] = {
    "read": lambda file: file.read(),
    "read -1": lambda file: file.read(-1),
    "read n": lambda file: b"".join(iter(lambda: file.read(1000), b"")),
    "read big": lambda file: file.read(10_000_000),
    "read1": lambda file: b"".join(iter(lambda: file.read1(1000), b"")),
    "read1 all": lambda file: b"".join(iter(file.read1, b"")),
    "readline": lambda file: b"".join(iter(file.readline, b"")),
    "readline n": lambda file: b"".join(iter(lambda: file.readline(100), b"")),
    "lines": lambda file: b"".join(file),
    "readlines": lambda file: b"".join(file.readlines()),
    "peek": lambda file: b"".join(iter(lambda: file.read1(len(file.peek())), b"")),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_every_way_to_read_to_the_end(pipe: Any, start: Any, read: Any) -> None:
    reading, writing = pipe
    start(feed, writing, MEGABYTE)
    with os.fdopen(reading, "rb") as file:
        assert read(file) == MEGABYTE
        assert file.read() == file.readline() == file.read1() == file.peek() == b""


@pytest.mark.parametrize("buffering", [-1, 0])
def test_readinto(pipe: Any, start: Any, buffering: int) -> None:
    reading, writing = pipe
    start(feed, writing, MEGABYTE[:100_000])
    with os.fdopen(reading, "rb", buffering) as file:
        got = bytearray()
        piece = bytearray(3000)
        while count := file.readinto(piece):
            got += piece[:count]
            assert not buffering or count in (3000, 1000)
        assert bytes(got) == MEGABYTE[:100_000]
        if buffering:
            assert file.readinto1(piece) == 0


def test_reading_text_to_the_end(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    text = "".join(f"{number} äöü €\r\n" for number in range(20_000))
    start(feed, writing, text.encode())
    with os.fdopen(reading, encoding="utf-8") as file:
        assert file.readline() == "0 äöü €\n"
        assert file.read(3) == "1 ä"
        assert file.read() == text.replace("\r\n", "\n")[11:]


def test_writing_more_than_fits(ends: Any, start: Any) -> None:
    reading, writing = ends
    data = MEGABYTE[:131072] if stdlib_os.isatty(reading) else MEGABYTE
    with os.fdopen(writing, "wb") as writer, os.fdopen(reading, "rb") as reader:

        def write() -> None:
            assert writer.write(data) == len(data)
            writer.flush()

        writing_all = start(write)
        sleep(0)
        assert not writing_all.ready()
        assert reader.read(len(data)) == data
        writing_all.wait(LIMIT)


@pytest.mark.parametrize("mode", ["wb", "w"])
def test_close_flushes(pipe: Any, start: Any, mode: str) -> None:
    reading, writing = pipe
    data: Any = b"x" * 200_000
    with os.fdopen(reading, "rb") as reader:
        got = start(reader.read)
        with os.fdopen(writing, mode) as writer:
            writer.write(data if "b" in mode else data.decode())
        assert got.wait(LIMIT) == data


def test_unbuffered_write_is_whole(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    with os.fdopen(writing, "wb", 0) as writer:
        writing_all = start(writer.write, MEGABYTE)
        with os.fdopen(reading, "rb", 0) as reader:
            got = b""
            while len(got) < len(MEGABYTE):
                got += reader.read(100_000)
        assert got == MEGABYTE
        assert writing_all.wait(LIMIT) == len(MEGABYTE)


def test_two_read_one_file(pipe: Any, start: Any) -> None:
    """A standard buffer calls that a reentrant call."""
    reading, writing = pipe
    with os.fdopen(reading, "rb") as file:
        readers = [start(file.readline) for _ in range(10)]
        sleep(0)
        for number in range(10):
            stdlib_os.write(writing, b"%d" % number)
            sleep(0)
            stdlib_os.write(writing, b"\n")
            sleep(0)
        assert [reader.wait(LIMIT) for reader in readers] == [b"%d\n" % n for n in range(10)]
    stdlib_os.close(writing)


def test_two_read_one_text_file(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    with os.fdopen(reading) as file:
        readers = [start(file.readline) for _ in range(10)]
        sleep(0)
        stdlib_os.write(writing, b"".join(b"%d\n" % number for number in range(10)))
        assert [reader.wait(LIMIT) for reader in readers] == [f"{n}\n" for n in range(10)]
    stdlib_os.close(writing)


def test_many_write_one_file(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    with os.fdopen(writing, "w") as writer, os.fdopen(reading) as reader:

        def write(name: str) -> None:
            for number in range(500):
                writer.write(f"{name}{number}" + "." * 200 + "\n")
                if number % 50 == 0:
                    writer.flush()

        writers = [start(write, name) for name in "abcde"]
        reading_all = start(lambda: [reader.readline() for _ in range(2500)])
        for thread in writers:
            thread.wait(LIMIT)
        writer.flush()
        lines = reading_all.wait(LIMIT)
    for name in "abcde":
        mine = [line for line in lines if line[0] == name]
        assert mine == [f"{name}{number}" + "." * 200 + "\n" for number in range(500)]


def test_native_and_green_threads_share_a_file(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    with os.fdopen(reading, "rb") as file:
        lines: list[bytes] = []

        def read() -> None:
            lines.extend(iter(file.readline, b""))

        threads = [threading.Thread(target=read, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        readers = [start(read) for _ in range(2)]
        feed(writing, b"".join(b"%d\n" % number for number in range(3000)))
        for reader in readers:
            reader.wait(LIMIT)
        for thread in threads:
            while thread.is_alive():
                sleep(0.001)
        assert sorted(lines) == sorted(b"%d\n" % number for number in range(3000))


@pytest.mark.parametrize("call", ["readline", "read"])
def test_timeout_of_a_read_loses_nothing(pipe: Any, call: str) -> None:
    reading, writing = pipe
    with os.fdopen(reading, "rb") as file:
        stdlib_os.write(writing, b"he")
        with pytest.raises(Timeout), Timeout(0.01):
            getattr(file, call)()
        stdlib_os.write(writing, b"llo\n")
        assert file.readline() == b"hello\n"
        with pytest.raises(Timeout), Timeout(0.01):
            file.read(10)
        stdlib_os.close(writing)
        assert file.read(10) == b""


def test_timeout_of_a_flush_writes_nothing_twice(pipe: Any) -> None:
    reading, writing = pipe
    room = 0
    with os.fdopen(writing, "wb", 500_000) as writer:
        writer.write(MEGABYTE[:400_000])
        with pytest.raises(Timeout), Timeout(0.01):
            writer.flush()
        got = os.read(reading, 1 << 20)
        room = len(got)
        assert 0 < room < 400_000
        with pytest.raises(Timeout), Timeout(0.01):
            writer.flush()
        while len(got) < 400_000:
            got += os.read(reading, 1 << 20)
            with Timeout(0.01, False):
                writer.flush()
    assert got == MEGABYTE[:400_000]
    stdlib_os.close(reading)


def test_closed_files(pipe: Any) -> None:
    reading, writing = pipe
    files = [os.fdopen(reading, "rb"), os.fdopen(writing, "wb")]
    raws = [file.raw for file in files]
    for file in files:
        file.close()
        file.close()
    for file in files + raws:
        assert file.closed
    reader, writer = files
    raw = raws[0]
    calls: list[Callable[[], Any]] = [
        *(reader.read, reader.read1, reader.readline, reader.peek, reader.fileno),
        *(lambda: reader.readinto(bytearray(3)), lambda: list(reader), reader.__enter__),
        *(lambda: writer.write(b"x"), writer.flush),
        *(raw.read, raw.readall, lambda: raw.read(1), lambda: raw.readinto(bytearray(1))),
        lambda: raws[1].write(b"x"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="closed"):
            call()


def test_wrong_direction(pipe: Any) -> None:
    reading, writing = pipe
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb") as writer:
        calls: list[Callable[[], Any]] = [
            *(lambda: reader.write(b"x"), lambda: reader.raw.write(b"x")),
            *(writer.read, writer.raw.read, lambda: writer.raw.read(3)),
            lambda: writer.raw.readinto(bytearray(1)),
        ]
        for call in calls:
            with pytest.raises(io.UnsupportedOperation):
                call()
        with pytest.raises(OSError, match="Bad file"):
            writer.raw.readall()
        with pytest.raises(OSError, match="seek"):
            reader.seek(0)
        with pytest.raises(OSError, match="seek"):
            reader.tell()


def test_non_blocking_files(pipe: Any) -> None:
    reading, writing = pipe
    for end in pipe:
        stdlib_os.set_blocking(end, False)
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", 0) as writer:
        assert reader.read() is None
        assert reader.read(5) is None
        assert reader.readinto(bytearray(5)) is None
        assert reader.read1() == reader.readline() == reader.peek() == b""
        for raw_call in (reader.raw.read, reader.raw.readall):
            assert raw_call() is None
        assert reader.raw.readinto(bytearray(3)) is None
        writer.write(b"hello")
        assert reader.peek() == b"hello"
        assert reader.read(10) == b"hello"
        while writer.write(MEGABYTE) is not None:
            pass


def test_close_of_a_raw_file_wakes_its_reader(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    file = os.fdopen(reading, "rb", 0)
    reader = start(file.read, 10)
    sleep(0)
    file.close()
    with pytest.raises(OSError, match="closed while"):
        reader.wait(LIMIT)
    stdlib_os.close(writing)


def test_closefd_false(pipe: Any) -> None:
    reading, writing = pipe
    os.fdopen(reading, "rb", closefd=False).close()
    stdlib_os.write(writing, b"x")
    assert stdlib_os.read(reading, 1) == b"x"
    for end in pipe:
        stdlib_os.close(end)


def test_detach_and_reconfigure(pipe: Any) -> None:
    reading, writing = pipe
    with os.fdopen(writing, "w") as writer:
        writer.reconfigure(line_buffering=True)
        writer.write("hello\n")
        text = os.fdopen(reading)
        assert text.readline() == "hello\n"
        buffer = text.detach()
        assert isinstance(buffer, buffers.BufferedReader)
        with pytest.raises(ValueError, match="detached"):
            text.read()
        raw = buffer.detach()
        with pytest.raises(ValueError, match="detached"):
            buffer.read()
        raw.close()


def test_children_on_pipes(start: Any) -> None:
    """What a process sends and is sent, its other ends untouched."""
    (reading, child_out), (child_in, writing) = stdlib_os.pipe(), stdlib_os.pipe()
    code = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=child_in, stdout=child_out)
    os.close(child_in)
    os.close(child_out)
    with os.fdopen(reading) as reader:
        with os.fdopen(writing, "w", 1) as writer:
            for word in ("one", "two", "three"):
                line = start(reader.readline)
                sleep(0)
                writer.write(word + "\n")
                assert line.wait(LIMIT) == word.upper() + "\n"
        assert reader.read() == ""
    assert child.wait(LIMIT) == 0


# Opening FIFOs


@pytest.fixture
def fifo(tmp_path: Any) -> str:
    path = str(tmp_path / "fifo")
    stdlib_os.mkfifo(path)
    return path


@pytest.mark.parametrize("reader_first", [True, False])
def test_opening_a_fifo_waits_for_the_other_end(fifo: str, start: Any, reader_first: bool) -> None:
    modes = ("r", "w") if reader_first else ("w", "r")
    first = start(fileio.open_file, fifo, modes[0])
    for _ in range(10):
        sleep(0.001)
    assert not first.ready()
    second = start(fileio.open_file, fifo, modes[1])
    files = [first.wait(LIMIT), second.wait(LIMIT)]
    reader, writer = files if reader_first else files[::-1]
    with reader, writer:
        assert stdlib_os.get_blocking(reader.fileno())
        assert stdlib_os.get_blocking(writer.fileno())
        line = start(reader.readline)
        sleep(0)
        writer.write("hello\n")
        writer.flush()
        assert line.wait(LIMIT) == "hello\n"
        assert isinstance(reader.buffer, buffers.BufferedReader)


@pytest.mark.parametrize("mode", ["r", "w"])
def test_giving_up_opening_a_fifo(fifo: str, mode: str) -> None:
    before = len(stdlib_os.listdir("/dev/fd"))
    with pytest.raises(Timeout), Timeout(0.01):
        fileio.open_file(fifo, mode)
    # The native thread, if it has begun, gets what nobody wants any more, and drops it.
    both = stdlib_os.open(fifo, stdlib_os.O_RDWR)
    for _ in range(10_000):
        if len(stdlib_os.listdir("/dev/fd")) <= before + 1:
            break
        sleep(0.001)
    else:
        pytest.fail("a descriptor was left open")
    stdlib_os.close(both)


def test_opening_a_fifo_in_other_ways(fifo: str) -> None:
    reading = fileio.open_descriptor(fifo, stdlib_os.O_RDONLY | stdlib_os.O_NONBLOCK)
    writing = fileio.open_descriptor(fifo, stdlib_os.O_WRONLY)
    assert stdlib_os.get_blocking(writing)
    folder = stdlib_os.open(stdlib_os.path.dirname(fifo), stdlib_os.O_RDONLY)
    again = fileio.open_descriptor("fifo", stdlib_os.O_RDONLY, dir_fd=folder)
    for fd in (reading, writing, folder, again):
        stdlib_os.close(fd)
    with pytest.raises(FileNotFoundError):
        fileio.open_descriptor(fifo + "x", stdlib_os.O_RDONLY)
    with pytest.raises(TypeError):
        fileio.open_descriptor(1.5, stdlib_os.O_RDONLY)


def test_opening_an_open_file_anew(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    with fileio.open_file(f"/dev/fd/{reading}") as file:
        line = start(file.readline)
        sleep(0)
        assert not line.ready()
        stdlib_os.write(writing, b"hello\n")
        assert line.wait(LIMIT) == "hello\n"
    for end in pipe:
        stdlib_os.close(end)
