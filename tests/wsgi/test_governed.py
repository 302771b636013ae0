"""Limits together: with each other, with pipelines, with TLS and the PROXY header."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.hub import Event, sleep
from greenworld.wsgi.connection import Connection
from greenworld.wsgi.governed import GovernedConnection

if TYPE_CHECKING:
    from tests.wsgi.conftest import Running, Serve

LIMIT = 20.0
SOON = 0.02
StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]


def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    if environ["PATH_INFO"] == "/stuck":
        Event().wait(LIMIT)
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]


def nothing_is_left(running: Running) -> bool:
    """Wait until no limit remembers any connection."""
    governor = running.server.governor
    assert governor is not None
    admission, deadlines, peers = governor.admission, governor.deadlines, governor.peers
    assert admission is not None
    assert deadlines is not None
    assert peers is not None
    done = threading.Event()

    def look() -> None:
        if not (admission._holders or admission._line or deadlines._begun or peers._counts):
            done.set()
        else:
            running.server.hub.timers.start(0.001, look)

    running.server.hub.post(look)
    return done.wait(LIMIT)


@pytest.mark.parametrize("limit", ["none", "max_in_flight", "request_timeout", "max_per_address"])
def test_only_a_limit_makes_connections_governed(serve: Serve, limit: str) -> None:
    running = serve(app) if limit == "none" else serve(app, **{limit: 10})
    assert running.connect().get("/x").body == b"/x"
    kind = Connection if limit == "none" else GovernedConnection
    assert running.on_hub(lambda: [type(one) for one in running.server.connections]) == [kind]


def test_all_at_once(serve: Serve) -> None:
    running = serve(app, max_in_flight=2, max_per_address=4, request_timeout=SOON)
    body = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    clients = [running.connect() for _ in range(3)]
    for client in clients:
        client.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n" + body + b"\r\n" + body)
    for client in clients:
        assert [client.reply().body for _ in range(3)] == [b"/a", b"/b", b"/b"]
    stuck = running.connect()
    assert stuck.get("/stuck").status == 503
    assert stuck.at_end()
    assert running.connect().ask(b"nonsense\r\n\r\n").status == 400
    for client in clients:
        assert client.get("/c").body == b"/c"
        client.close()
    running._clients.close()
    assert nothing_is_left(running)


def test_thousands_of_resets_leave_nothing(serve: Serve) -> None:
    running = serve(app, max_in_flight=3, max_per_address=100, request_timeout=LIMIT)
    stages = (
        b"",
        b"GET /a HT",
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na",
        b"nonsense\r\n\r\n",
    )
    for i in range(500):
        client = running.connect()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.send(stages[i % len(stages)])
        client.close()
    assert nothing_is_left(running)
    assert running.connect().get("/x").body == b"/x"


def test_the_proxy_header_holds_no_place(serve: Serve) -> None:
    """Before it has come there is no request; the connection of a proxy is not counted."""
    running = serve(
        app,
        max_in_flight=1,
        max_per_address=1,
        request_timeout=LIMIT,
        proxy_protocol=True,
        trusted_proxies=("127.0.0.1",),
    )
    silent, slow, quick = (running.connect() for _ in range(3))
    slow.send(b"PROXY TCP4 192.0.2.1")
    quick.send(b"PROXY TCP4 192.0.2.2 192.0.2.9 1000 80\r\n")
    assert quick.get("/quick").body == b"/quick"
    slow.send(b" 192.0.2.9 1000 80\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    assert slow.reply().body == b"/slow"
    silent.close()
    running._clients.close()
    assert nothing_is_left(running)


def test_what_was_taken_over_is_no_request(serve: Serve) -> None:
    """`unbound`: it holds no place, and nobody looks how long it takes."""
    begun, go = threading.Event(), threading.Event()

    def taken(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/long":
            [connection] = running.server.connections
            connection.unbound()
            begun.set()
            while not go.is_set():
                sleep(SOON)
        start_response("200 OK", [])
        return [b"done"]

    running = serve(taken, max_in_flight=1, request_timeout=SOON, max_per_address=9)
    long = running.connect()
    long.send(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
    assert begun.wait(LIMIT)
    assert running.connect().get("/short").body == b"done"
    go.set()
    assert long.reply().body == b"done"
    assert running.errors.getvalue() == ""
