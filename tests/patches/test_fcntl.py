"""File locks: whoever waits for one lets others run."""

from __future__ import annotations

import errno
import fcntl as stdlib_fcntl
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.hub.timeout import Timeout
from greenworld.patches import fcntl as cooperative_fcntl

fcntl: Any = cooperative_fcntl

LIMIT = 20.0

HOLDER = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


def end(process: Any) -> None:
    process.stdin.close()
    process.stdout.close()
    assert process.wait(LIMIT) == 0


@pytest.fixture
def path(tmp_path: Any) -> str:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    return str(path)


@pytest.fixture
def files(path: str) -> Iterator[tuple[Any, Any]]:
    """Two open files of one path."""
    with open(path, "r+b") as one, open(path, "r+b") as two:
        yield one, two


@pytest.fixture
def holder(path: str) -> Iterator[Callable[[str], Any]]:
    """Lets another process lock the file; its standard input ends that."""
    started: list[Any] = []

    def hold(function: str) -> Any:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, path, function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        return process

    yield hold
    for process in started:
        end(process)


def give_way(thread: Any) -> None:
    """Others run for a while, and the thread still waits."""
    for _ in range(5):
        sleep(0.001)
        assert not thread.ready()


def test_offers_every_public_name_of_the_original() -> None:
    names = [name for name in dir(stdlib_fcntl) if not name.startswith("_")]
    assert [name for name in names if not hasattr(fcntl, name)] == []


def test_flock_inside_one_process(files: Any, start: Any) -> None:
    one, two = files
    fcntl.flock(one, fcntl.LOCK_EX)
    waiting = start(fcntl.flock, two.fileno(), fcntl.LOCK_SH)
    give_way(waiting)
    fcntl.flock(one, fcntl.LOCK_UN)
    assert waiting.wait(LIMIT) is None
    fcntl.flock(one, fcntl.LOCK_SH)
    with pytest.raises(BlockingIOError):
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("function", ["flock", "lockf"])
def test_between_processes(files: Any, holder: Any, start: Any, function: str) -> None:
    process = holder(function)
    waiting = start(getattr(fcntl, function), files[0], fcntl.LOCK_EX)
    give_way(waiting)
    with pytest.raises(BlockingIOError):
        getattr(fcntl, function)(files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.stdin.close()
    assert waiting.wait(LIMIT) is None


def test_fcntl_between_processes(files: Any, holder: Any, start: Any) -> None:
    process = holder("lockf")
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    if sys.platform != "linux" or struct.calcsize("P") != 8:
        pytest.skip("struct flock is laid out differently here")
    waiting = start(fcntl.fcntl, files[0], fcntl.F_SETLKW, wanted)
    give_way(waiting)
    with pytest.raises(BlockingIOError):
        fcntl.fcntl(files[0], fcntl.F_SETLK, wanted)
    process.stdin.close()
    assert isinstance(waiting.wait(LIMIT), bytes)


def test_parts_of_a_file(files: Any) -> None:
    one, two = files
    fcntl.lockf(one, fcntl.LOCK_EX, 10, 20, os.SEEK_SET)
    fcntl.lockf(two, fcntl.LOCK_EX, 10, 20)  # the process has it
    fcntl.lockf(one, fcntl.LOCK_UN)


@pytest.mark.parametrize("function", ["flock", "lockf"])
def test_giving_up(files: Any, holder: Any, function: str) -> None:
    process = holder(function)
    with pytest.raises(Timeout), Timeout(0.01):
        getattr(fcntl, function)(files[0], fcntl.LOCK_EX)
    end(process)
    getattr(fcntl, function)(files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_many_take_turns(path: str, start: Any) -> None:
    inside: list[int] = []

    def work() -> None:
        for _ in range(5):
            with open(path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                inside.append(1)
                assert len(inside) == 1
                sleep(0)
                inside.pop()

    for thread in [start(work) for _ in range(4)]:
        thread.wait(LIMIT)


def test_in_a_native_thread(files: Any) -> None:
    one, two = files
    done: list[str] = []

    def run() -> None:
        fcntl.flock(two, fcntl.LOCK_EX)
        done.append("locked")

    fcntl.flock(one, fcntl.LOCK_EX)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    sleep(0.001)
    assert done == []
    fcntl.flock(one, fcntl.LOCK_UN)
    thread.join(LIMIT)
    assert done == ["locked"]


def test_other_operations(files: Any) -> None:
    assert fcntl.fcntl(files[0], fcntl.F_GETFL) & os.O_RDWR
    assert fcntl.fcntl(files[0], fcntl.F_GETFD, 0) == fcntl.FD_CLOEXEC


def test_wrong_arguments(files: Any) -> None:
    with pytest.raises(OSError, match="Bad file") as caught:
        fcntl.flock(1 << 20, fcntl.LOCK_EX)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(TypeError):
        fcntl.flock("file", fcntl.LOCK_EX)
    with pytest.raises(TypeError):
        fcntl.flock(files[0], "x")
    with pytest.raises(TypeError):
        fcntl.lockf(files[0], "x")
    with pytest.raises(ValueError, match="argument"):
        fcntl.lockf(files[0], 0)
