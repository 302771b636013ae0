"""Pollers: what each backend reports, and that epoll is told of a descriptor once."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greenworld.hub import get_hub, sleep, spawn
from greenworld.hub.loop import Hub
from greenworld.hub.poller import (
    HANGUP,
    READ,
    WRITE,
    EpollPoller,
    Poller,
    available_backends,
    make_poller,
)

SOON = 5.0


def record(fd: int) -> Any:
    return SimpleNamespace(fd=fd, armed=0)


@pytest.fixture
def poller(backend: str) -> Iterator[Poller]:
    poller = make_poller(backend)
    yield poller
    poller.close()


def test_reports_what_is_ready_at_arming(poller: Poller, pair: Any) -> None:
    left, right = pair
    right.send(b"x")
    io = record(left.fileno())
    poller.arm(io, READ)
    ((fd, mask),) = poller.wait(SOON)
    assert fd == io.fd
    assert mask & READ


def test_reports_an_edge_once(poller: Poller, pair: Any) -> None:
    left, right = pair
    io = record(left.fileno())
    poller.arm(io, READ)
    poller.wait(0)
    right.send(b"x")
    ((fd, mask),) = poller.wait(SOON)
    assert (fd, mask & READ) == (io.fd, READ)
    assert poller.wait(0) == []


def test_rearm_reports_a_state_that_was_reported_before(poller: Poller, pair: Any) -> None:
    left, right = pair
    right.send(b"x")
    io = record(left.fileno())
    poller.rearm(io, READ)
    assert poller.wait(SOON)
    assert poller.wait(0) == []
    poller.rearm(io, READ)
    ((fd, mask),) = poller.wait(SOON)
    assert (fd, mask & READ) == (io.fd, READ)


def test_watches_both_directions_together(poller: Poller, pair: Any) -> None:
    left, right = pair
    io = record(left.fileno())
    poller.arm(io, READ)
    poller.arm(io, WRITE)
    assert poller.wait(SOON) == [(io.fd, WRITE)]
    right.send(b"x")
    ((fd, mask),) = poller.wait(SOON)
    assert (fd, mask & READ) == (io.fd, READ)


def test_an_ended_peer_is_readable(poller: Poller, pair: Any) -> None:
    left, right = pair
    io = record(left.fileno())
    poller.arm(io, READ)
    poller.wait(0)
    right.shutdown(socket.SHUT_WR)
    ((_, mask),) = poller.wait(SOON)
    assert mask & (READ | HANGUP)


def test_forgets(poller: Poller, pair: Any) -> None:
    left, right = pair
    io = record(left.fileno())
    poller.arm(io, READ)
    poller.forget(io)
    poller.forget(io)
    right.send(b"x")
    assert poller.wait(0) == []
    assert io.armed == 0


def test_forgets_what_was_closed_before(poller: Poller) -> None:
    left, right = socket.socketpair()
    with right:
        io = record(left.fileno())
        poller.arm(io, READ)
        left.close()
        poller.forget(io)
        assert poller.wait(0) == []


def test_takes_a_number_again_that_was_closed_without_a_word(poller: Poller) -> None:
    first, other = socket.socketpair()
    number = first.fileno()
    poller.arm(record(number), READ)
    poller.wait(0)
    first.close()
    other.close()
    left, right = socket.socketpair()
    with left, right:
        fresh = right if right.fileno() == number else left
        peer = left if fresh is right else right
        assert fresh.fileno() == number
        io = record(number)
        poller.arm(io, READ)
        peer.send(b"x")
        assert [(fd, mask & READ) for fd, mask in poller.wait(SOON)] == [(number, READ)]


def test_goes_on_after_a_descriptor_was_closed_without_a_word(poller: Poller, pair: Any) -> None:
    left, right = pair
    gone, peer = socket.socketpair()
    with peer:
        poller.arm(record(gone.fileno()), READ)
        io = record(left.fileno())
        poller.arm(io, READ)
        poller.wait(0)
        gone.close()
        right.send(b"x")
        reported = {fd for _ in range(3) for fd, _ in poller.wait(0)}
        assert io.fd in reported


def test_does_not_wait_for_less_than_asked(poller: Poller) -> None:
    clock = get_hub().clock
    for seconds in (0.0001, 0.0015, 0.021):
        deadline = clock() + seconds
        assert poller.wait(seconds) == []
        assert clock() >= deadline


def test_a_regular_file(poller: Poller, backend: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    with path.open() as file:
        io = record(file.fileno())
        if backend == "epoll":
            with pytest.raises(PermissionError):
                poller.arm(io, READ)
        else:
            poller.arm(io, READ)
            assert poller.wait(SOON) == [(io.fd, READ)]


def test_select_refuses_a_number_it_cannot_watch(pair: Any) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft <= 1100:
        pytest.skip("descriptors above 1024 are not allowed here")
    poller = make_poller("select")
    high = fcntl.fcntl(pair[0].fileno(), fcntl.F_DUPFD_CLOEXEC, 1100)
    try:
        with pytest.raises(OSError, match="1100"):
            poller.arm(record(high), READ)
        assert poller.wait(0) == []
    finally:
        os.close(high)
        poller.close()


# Choosing


def test_the_best_backend_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GREENWORLD_HUB", raising=False)
    poller = make_poller()
    assert isinstance(poller, EpollPoller) == hasattr(select, "epoll")
    poller.close()


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENWORLD_HUB", "select")
    poller = make_poller()
    assert not isinstance(poller, EpollPoller)
    poller.close()


def test_an_unknown_name_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENWORLD_HUB", "devpoll")
    with pytest.raises(ValueError, match="'devpoll'.*GREENWORLD_HUB.*" + available_backends()[0]):
        make_poller()


# epoll's promise: registered once, whatever is waited for how often (rule 5.2)


class CountingPoller:
    """Counts the control calls of the poller it stands before."""

    def __init__(self, inner: Poller) -> None:
        self.inner = inner
        self.controls: list[str] = []

    def arm(self, io: Any, mask: int) -> None:
        self.controls.append("arm")
        self.inner.arm(io, mask)

    def rearm(self, io: Any, mask: int) -> None:
        self.controls.append("rearm")
        self.inner.rearm(io, mask)

    def forget(self, io: Any) -> None:
        self.controls.append("forget")
        self.inner.forget(io)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        return self.inner.wait(timeout)

    def close(self) -> None:
        self.inner.close()


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll's own promise")
def test_epoll_is_told_once_per_descriptor(
    pair: Any, in_os_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    left, right = pair
    counting = CountingPoller(make_poller("epoll"))

    def converse() -> None:
        hub = Hub(poller=counting)
        counting.controls.clear()
        io = hub.io(left.fileno())

        def read_all() -> int:
            read = 0
            while read < 50:
                try:
                    read += len(left.recv(1))
                except BlockingIOError:
                    io.readable = False
                    io.wait_read(SOON)
            return read

        reader = spawn(read_all)
        for _ in range(50):
            sleep(0)
            right.send(b"x")
            sleep(0.0001)
        assert reader.wait(SOON) == 50
        io.close()
        hub.close()

    in_os_thread(converse)
    assert counting.controls == ["arm", "forget"]
