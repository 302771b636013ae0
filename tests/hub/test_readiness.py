"""Waiting for any descriptor: the present state counts, whatever was reported before."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from errno import EBADF
from pathlib import Path
from typing import Any

import pytest

from greenworld.hub import get_hub, sleep, spawn, wait_readable, wait_writable
from greenworld.hub.current import has_hub
from greenworld.hub.poller import READ, WRITE
from greenworld.hub.readiness import close_fd, wait_fd

OnHub = Callable[[Callable[[], Any]], Any]
Pair = tuple[socket.socket, socket.socket]
Pipe = tuple[int, int]
SOON = 5.0


def test_a_pipe_with_a_spent_edge(on_hub: OnHub, pipe: Pipe) -> None:
    def wait_twice() -> bytes:
        read_end, write_end = pipe
        os.write(write_end, b"xy")
        wait_readable(read_end, SOON)
        os.read(read_end, 1)
        wait_readable(read_end, SOON)
        wait_readable(read_end, SOON)
        close_fd(read_end)
        return os.read(read_end, 10)

    assert on_hub(wait_twice) == b"y"


def test_waits_until_it_is_readable(on_hub: OnHub, pipe: Pipe) -> None:
    def wait() -> list[str]:
        read_end, write_end = pipe
        events: list[str] = []

        def write() -> None:
            events.append("written")
            os.write(write_end, b"x")

        spawn(write)
        wait_readable(read_end, SOON)
        events.append("readable")
        close_fd(read_end)
        return events

    assert on_hub(wait) == ["written", "readable"]


def test_waits_until_it_is_writable(on_hub: OnHub, pair: Pair) -> None:
    def wait() -> bool:
        left, right = pair
        wait_writable(left.fileno(), SOON)
        while True:
            try:
                left.send(b"x" * 65536)
            except BlockingIOError:
                break
        with pytest.raises(TimeoutError):
            wait_writable(left.fileno(), 0.001)

        def drain() -> None:
            while True:
                try:
                    right.recv(1 << 20)
                except BlockingIOError:
                    return

        spawn(drain)
        wait_writable(left.fileno(), SOON)
        close_fd(left.fileno())
        return True

    assert on_hub(wait)


def test_everybody_who_watches_is_woken(on_hub: OnHub, pipe: Pipe) -> None:
    def wait() -> int:
        read_end, write_end = pipe
        watchers = [spawn(wait_fd, read_end, READ, SOON) for _ in range(5)]
        sleep(0)
        os.write(write_end, b"x")
        woken = sum(watcher.wait(SOON) for watcher in watchers)
        close_fd(read_end)
        return woken

    assert on_hub(wait) == 5


def test_a_regular_file_is_always_ready(on_hub: OnHub, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")

    def wait() -> str:
        with path.open("r+") as file:
            for timeout in (None, 0, SOON):
                wait_readable(file.fileno(), timeout)
                wait_writable(file.fileno(), timeout)
            close_fd(file.fileno())
        return "ready"

    assert on_hub(wait) == "ready"


@pytest.mark.parametrize("timeout", [0, -1, 0.001])
def test_a_timeout(on_hub: OnHub, pipe: Pipe, timeout: float) -> None:
    def wait() -> str:
        read_end, write_end = pipe
        with pytest.raises(TimeoutError, match="readable"):
            wait_readable(read_end, timeout)
        assert not wait_fd(read_end, READ, timeout)
        os.write(write_end, b"x")
        wait_readable(read_end, timeout)  # of 0: try once
        wait_writable(write_end, timeout)
        close_fd(read_end)
        close_fd(write_end)
        return "done"

    assert on_hub(wait) == "done"


def test_the_end_of_a_pipe(on_hub: OnHub, pipe: Pipe) -> None:
    def wait() -> bytes:
        read_end, write_end = pipe
        spawn(os.close, write_end)
        wait_readable(read_end, SOON)
        wait_readable(read_end, SOON)
        close_fd(read_end)
        return os.read(read_end, 1)

    assert on_hub(wait) == b""


def test_a_number_reused_after_a_silent_close(on_hub: OnHub) -> None:
    def wait() -> list[bytes]:
        read = []
        for word in (b"one", b"two"):
            read_end, write_end = os.pipe()
            writer = spawn(os.write, write_end, word)
            wait_readable(read_end, SOON)
            read.append(os.read(read_end, 10))
            writer.join(SOON)
            os.close(read_end)
            os.close(write_end)
        return read

    assert on_hub(wait) == [b"one", b"two"]


def test_a_descriptor_that_is_not_open(on_hub: OnHub) -> None:
    def wait() -> list[object]:
        read_end, write_end = os.pipe()
        os.close(read_end)
        os.close(write_end)
        found: list[object] = []
        for call in (wait_readable, wait_writable):
            with pytest.raises(OSError, match="Bad file descriptor") as caught:
                call(read_end, SOON)
            found.append(caught.value.errno)
            with pytest.raises(ValueError, match="-1"):
                call(-1)
        return found

    assert on_hub(wait) == [EBADF, EBADF]


def test_an_os_thread_without_hub_waits_natively(in_os_thread: OnHub, pipe: Pipe) -> None:
    read_end, write_end = pipe

    def wait() -> tuple[bool, bool, bool, bool]:
        before = wait_fd(read_end, READ, 0.001)
        writable = wait_fd(write_end, WRITE, None)
        writer = threading.Timer(0, os.write, (write_end, b"x"))
        writer.start()
        after = wait_fd(read_end, READ, SOON)
        writer.join()
        return before, writable, after, has_hub()

    assert in_os_thread(wait) == (False, True, True, False)


def test_a_close_is_told_to_every_hub(
    in_os_thread: OnHub, pipe: Pipe, reported: list[object]
) -> None:
    read_end, _ = pipe
    io = get_hub().io(read_end)
    waiter = spawn(io.wait_read, SOON)
    sleep(0)
    assert io.waited_for
    in_os_thread(lambda: close_fd(read_end))
    waiter.join(SOON)
    assert isinstance(waiter.exception, OSError)
    assert waiter.exception.errno == EBADF
    assert read_end not in get_hub().ios
