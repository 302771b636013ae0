"""The explicit module: complete, cooperative, and the original untouched."""

from __future__ import annotations

import socket as stdlib_socket
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.patches import socket


def test_offers_every_name_of_the_original() -> None:
    missing = [name for name in dir(stdlib_socket) if not hasattr(socket, name)]
    assert missing == []
    assert set(stdlib_socket.__all__) <= set(socket.__all__)


def test_the_original_is_untouched() -> None:
    assert "recv" not in vars(stdlib_socket.socket)
    assert stdlib_socket.create_connection is not socket.create_connection
    assert issubclass(socket.socket, stdlib_socket.socket)
    assert socket.timeout is TimeoutError
    assert socket.AF_INET is stdlib_socket.AF_INET


def test_every_way_to_make_a_socket_makes_a_cooperative_one(listener: Any) -> None:
    made: list[Any] = [socket.socket(), *socket.socketpair(), listener.dup()]
    made.append(socket.create_connection(listener.getsockname(), 20))
    made.append(listener.accept()[0])
    made.append(socket.fromfd(listener.fileno(), socket.AF_INET, socket.SOCK_STREAM))
    made.append(socket.create_server(("127.0.0.1", 0)))
    try:
        assert {type(sock) for sock in made} == {socket.socket}
    finally:
        for sock in made:
            sock.close()


def test_create_server_for_both_families() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no dual stack")
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), 20):
                server.accept()[0].close()


def test_create_connection_tries_every_address_and_times_out(start: Any) -> None:
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("localhost", 1), 20)
    with socket.create_server(("127.0.0.1", 0)) as server:
        acceptor = start(server.accept)
        sleep(0)
        with socket.create_connection(
            server.getsockname(), timeout=3, source_address=("127.0.0.1", 0)
        ) as client:
            assert client.gettimeout() == 3
            acceptor.wait(20)[0].close()


def test_a_subclass_may_override_anything(start: Any) -> None:
    class Counting(socket.socket):
        calls = 0

        def recv(self, *args: Any) -> bytes:
            self.calls += 1
            data: bytes = super().recv(*args)
            return data

    left, right = socket.socketpair()
    with Counting(fileno=left.detach()) as counting, right:
        reader = start(counting.recv, 10)
        sleep(0)
        right.sendall(b"x")
        assert reader.wait(20) == b"x"
        assert counting.calls == 1
