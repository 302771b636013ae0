from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.conftest import Start

pytestmark = pytest.mark.slow


def read_exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (chunk := client.recv(count - len(data))):
        data += chunk
    return data


def test_echoes_to_many_clients_that_stay_connected(start: Start) -> None:
    server = start("examples/echo_server.py", "0")
    address = ("127.0.0.1", server.port())
    clients = [socket.create_connection(address, timeout=10) for _ in range(20)]
    try:
        for turn in range(3):
            for number, client in enumerate(clients):
                client.sendall(b"%d:%d\n" % (turn, number))
            for number, client in enumerate(clients):
                expected = b"%d:%d\n" % (turn, number)
                assert read_exactly(client, len(expected)) == expected
        for client in clients:
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
    finally:
        for client in clients:
            client.close()


def test_echoes_more_than_the_socket_buffers_hold(start: Start) -> None:
    server = start("examples/echo_server.py", "0")
    sent = bytes(range(256)) * 4096
    with socket.create_connection(("127.0.0.1", server.port()), timeout=10) as client:
        received = b""
        for begin in range(0, len(sent), 65536):
            client.sendall(sent[begin : begin + 65536])
            received += read_exactly(client, 65536)
    assert received == sent


def test_stops_on_interrupt(start: Start) -> None:
    server = start("examples/echo_server.py", "0")
    server.port()
    assert server.finish(signal.SIGINT) == 0
    assert "Traceback" not in server.output
    assert server.output.endswith("stopped\n")
