"""Connections counted by the address they come from."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.wsgi.peers import Peers

if TYPE_CHECKING:
    from tests.wsgi.conftest import Client, Running, Serve

LIMIT = 20.0
StartResponse = Callable[..., Callable[[bytes], None]]
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def hello(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def is_closed_at_once(running: Running) -> bool:
    """Whether a new connection ends before anything was sent on it."""
    client = running.connect()
    try:
        return client.at_end()
    except ConnectionResetError:
        return True


def test_more_from_one_address_are_closed_at_once(serve: Serve) -> None:
    running = serve(hello, max_per_address=2)
    first, second = running.connect(), running.connect()
    assert first.get().body == second.get().body == b"hello"
    for _ in range(3):
        assert is_closed_at_once(running)
    assert running.errors.getvalue() == (
        "greenworld.wsgi: closed a connection from 127.0.0.1, which has 2 open already\n"
    )
    with socket.create_connection(
        running.server.address, LIMIT, source_address=("127.0.0.2", 0)
    ) as other:
        other.sendall(REQUEST)
        assert other.recv(1000).endswith(b"hello")
    assert first.get().body == b"hello"
    assert running.on_hub(lambda: len(running.server.connections)) <= 3


def test_a_connection_that_closed_makes_room(serve: Serve) -> None:
    running = serve(hello, max_per_address=1)
    for _ in range(3):
        client = running.connect()
        reply = client.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert reply.body == b"hello"
        assert client.at_end()
    assert running.errors.getvalue() == ""
    governor = running.server.governor
    assert governor is not None
    peers = governor.peers
    assert peers is not None
    assert running.on_hub(lambda: peers._counts or peers._who) == {}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_who_counts_as_one(first: str, second: str, same: bool) -> None:
    peers = Peers(1, lambda host: False, lambda text: None)
    one, other = Someone(first), Someone(second)
    assert peers.enter(one)  # type: ignore[arg-type]
    assert peers.enter(other) is not same  # type: ignore[arg-type]


class Someone:
    """A connection, as far as it is looked at."""

    def __init__(self, host: str) -> None:
        self.host = host


def test_unix_sockets_are_not_counted(serve: Serve, tmp_path: Path) -> None:
    running = serve(hello, bind=f"unix:{tmp_path / 'socket'}", max_per_address=1)
    for client in [running.connect() for _ in range(3)]:
        assert client.get().body == b"hello"


def test_trusted_proxies_are_not_counted(serve: Serve) -> None:
    running = serve(hello, max_per_address=1, trusted_proxies=("127.0.0.0/8",))
    for client in [running.connect() for _ in range(3)]:
        assert client.get().body == b"hello"


def test_whom_a_proxy_header_names_is_counted(serve: Serve) -> None:
    running = serve(hello, max_per_address=1, proxy_protocol=True, trusted_proxies=("127.0.0.1",))

    def come(client: str) -> Client:
        one = running.connect()
        one.send(b"PROXY TCP4 %b 192.0.2.9 1000 80\r\n" % client.encode())
        return one

    first, other = come("192.0.2.1"), come("192.0.2.2")
    assert first.get().body == other.get().body == b"hello"
    refused = come("192.0.2.1")
    try:
        assert refused.at_end()
    except ConnectionResetError:
        pass
    assert running.errors.getvalue() == (
        "greenworld.wsgi: closed a connection from 192.0.2.1, which has 1 open already\n"
    )
    assert first.get().body == b"hello"
    first.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert first.at_end()
    assert come("192.0.2.1").get().body == b"hello"
