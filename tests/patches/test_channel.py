"""Channels: one for each socket object, bound to the hub of its first wait."""

from __future__ import annotations

import socket as stdlib_socket
import threading
from typing import Any

import pytest

from greenworld.hub import get_hub, sleep, spawn
from greenworld.patches import socket
from greenworld.patches.channel import DONTWAIT, UNBOUND, channels, forks


def test_made_with_the_socket() -> None:
    """The number of forks until then cannot be found out later."""
    with socket.socket() as sock:
        assert (id(sock) in channels) is bool(DONTWAIT)
        sock.settimeout(1)
        assert channels[id(sock)].forks == forks.count


def test_made_late_by_the_first_call_that_could_wait() -> None:
    with stdlib_socket.socket() as sock:  # as from before the patch
        assert id(sock) not in channels
        socket.socket.settimeout(sock, 1)
        channel = channels[id(sock)]
        assert channel() is sock
        assert channel.io is UNBOUND
        assert channel.stream
        assert channel.forks == 0
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        assert not channels[id(sock)].stream


def test_bound_by_the_first_wait(tcp: Any, start: Any) -> None:
    left, right = tcp
    reader = start(left.recv, 10)
    sleep(0)
    assert channels[id(left)].io is get_hub().io(left.fileno())
    right.sendall(b"x")
    assert reader.wait(20) == b"x"


def test_a_short_read_drains_only_where_edges_are_watched(tcp: Any, start: Any) -> None:
    right, left = tcp  # the accepted end has not waited yet
    io = get_hub().io(left.fileno())
    right.sendall(b"x")
    assert left.recv(10) == b"x"
    assert io.readable
    reader = start(left.recv, 10)
    sleep(0)
    right.sendall(b"x")
    assert reader.wait(20) == b"x"
    assert io.readable is not bool(io.armed)
    right.sendall(b"y" * 10)
    assert left.recv(10) == b"y" * 10


def test_bound_anew_when_its_hub_has_ended(tcp: Any) -> None:
    right, left = tcp  # the accepted end has not waited yet
    hubs: list[Any] = []

    def wait_there() -> None:
        reader = spawn(left.recv, 10)
        sleep(0)
        hubs.append(channels[id(left)].io.hub)
        right.sendall(b"x")
        assert reader.wait(20) == b"x"

    thread = threading.Thread(target=wait_there)
    thread.start()
    thread.join(20)
    assert hubs[0] is not get_hub()
    reader = spawn(left.recv, 10)
    sleep(0)
    right.sendall(b"y")
    assert reader.wait(20) == b"y"


def test_a_socket_of_another_living_hub_can_be_used(tcp: Any, start: Any) -> None:
    left, right = tcp
    reader = start(left.recv, 10)
    sleep(0)
    right.sendall(b"here")
    assert reader.wait(20) == b"here"
    outcome: list[Any] = []

    def elsewhere() -> None:
        sleep(0)
        left.settimeout(0.01)
        try:
            spawn(left.recv, 10).wait(20)
        except TimeoutError as error:
            outcome.append(str(error))
        left.settimeout(20)
        reading = spawn(left.recv, 10)
        sleep(0)
        right.sendall(b"there")
        outcome.append(reading.wait(20))
        writing = spawn(left.sendall, b"x" * 3_000_000)
        left_to_read = 3_000_000
        while left_to_read:
            left_to_read -= len(right.recv(left_to_read))
        outcome.append(writing.wait(20))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert outcome == ["timed out", b"there", None]


def test_closed_sockets_get_none() -> None:
    sock = socket.socket()
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        sock.recv(1)
    assert id(sock) not in channels
