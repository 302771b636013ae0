"""eventlet's `wsgi.server`, as its users call it."""

from __future__ import annotations

import io
import logging
import socket
from collections.abc import Callable
from typing import Any

import pytest

from greenworld.hub import get_hub, sleep, spawn
from greenworld.wsgi import server

LIMIT = 20.0
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def connect_to(address: Any) -> socket.socket:
    sock = socket.create_connection(address, timeout=LIMIT)
    sock.setblocking(False)
    return sock


def test_eventlets_signature() -> None:
    """`server` blocks, logs to what it is given, and ends when its green thread is killed."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    log = io.StringIO()
    thread = spawn(server, listener, hello, log, {"x.y": 1}, 10, keepalive=5, socket_timeout=5)
    sleep(0)
    with connect_to(address) as sock:
        sock.sendall(REQUEST)
        get_hub().io(sock.fileno()).wait_read(LIMIT)
        assert sock.recv(1000).endswith(b"hello")
        get_hub().io(sock.fileno()).close()
    thread.kill()
    thread.join(LIMIT)
    assert thread.dead
    assert '"GET / HTTP/1.1" 200 5' in log.getvalue()
    assert listener.fileno() == -1


def test_eventlets_signature_with_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    with caplog.at_level(logging.INFO, "test"):
        thread = spawn(server, listener, hello, logging.getLogger("test"), keepalive=False)
        sleep(0)
        with connect_to(address) as sock:
            sock.sendall(REQUEST)
            get_hub().io(sock.fileno()).wait_read(LIMIT)
            assert b"Connection: close\r\n" in sock.recv(1000)
            get_hub().io(sock.fileno()).close()
        thread.kill()
        thread.join(LIMIT)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert '"GET / HTTP/1.1" 200 5' in caplog.text
