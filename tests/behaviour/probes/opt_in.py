"""What is cooperative only on request: `open`, `sys.stdin`, file locks."""

from __future__ import annotations

import os
import sys

# Standard input is a pipe that nobody has written to.
_reader, STDIN = os.pipe()
os.dup2(_reader, 0)
os.close(_reader)

import builtins
import fcntl
import tempfile
from typing import Any

before = (builtins.open, sys.stdin, fcntl.flock, fcntl.lockf)

import greenworld

greenworld.monkey_patch()
unasked = (builtins.open, sys.stdin, fcntl.flock, fcntl.lockf)
greenworld.monkey_patch(builtins=True, stdin=True, fcntl=True)

import threading
import time

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


def test_nothing_of_it_is_patched_unasked() -> None:
    """`monkey_patch()` alone leaves `open`, `sys.stdin` and the file locks as they are."""
    assert unasked == before


def test_readline_of_an_open_pipe() -> None:
    """`open(pipe).readline`: opt-in cooperative. gevent#673, #1953."""
    reader, writer = os.pipe()
    got: list[str] = []
    with open(reader) as file:
        thread = _start(lambda: got.append(file.readline()))
        assert got == []
        with open(writer, "w") as sink:
            sink.write("a line\n")
        _finish(thread)
    assert got == ["a line\n"]


def test_readline_of_a_fifo() -> None:
    """Opening a FIFO waits for its writer, and only the one who opens it waits."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/fifo"
        os.mkfifo(path)
        got: list[bytes] = []

        def read() -> None:
            with open(path, "rb") as file:
                got.extend(file)

        thread = _start(read)
        with open(path, "wb") as sink:
            sink.write(b"one\ntwo\n")
        _finish(thread)
    assert got == [b"one\n", b"two\n"]


def test_stdin_readline() -> None:
    """`sys.stdin.readline` and `input`: opt-in cooperative."""
    got: list[str] = []
    thread = _start(lambda: got.extend([sys.stdin.readline(), input()]))
    assert got == []
    os.write(STDIN, b"first\n")
    for _ in range(10):
        time.sleep(0)
    os.write(STDIN, b"second\n")
    _finish(thread)
    assert got == ["first\n", "second"]


def test_flock_contended() -> None:
    """`fcntl.flock` contended inside one process: opt-in, waits by polling."""
    with tempfile.NamedTemporaryFile() as first, open(first.name, "rb") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        got: list[str] = []

        def take() -> None:
            fcntl.flock(second, fcntl.LOCK_EX)
            got.append("taken")

        thread = _start(take)
        assert got == []
        fcntl.flock(first, fcntl.LOCK_UN)
        _finish(thread)
    assert got == ["taken"]


def test_lockf_contended_between_processes() -> None:
    """`fcntl.lockf` contended with another process: opt-in, waits by polling."""
    told, tell = os.pipe()
    heard, say = os.pipe()
    with tempfile.NamedTemporaryFile("r+b") as file:
        child = os.fork()
        if child == 0:
            os.close(tell)
            with open(file.name, "r+b") as mine:
                fcntl.lockf(mine, fcntl.LOCK_EX)
                os.write(say, b"x")
                os.read(told, 1)  # until the parent closes its end
            os._exit(0)
        os.read(heard, 1)
        thread = _start(fcntl.lockf, file, fcntl.LOCK_EX)
        assert thread.is_alive()
        os.close(tell)
        _finish(thread)
        assert os.waitpid(child, 0)[1] == 0
    for fd in (told, heard, say):
        os.close(fd)
