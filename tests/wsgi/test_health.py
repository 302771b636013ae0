"""The path that the server itself answers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.hub import sleep
from greenworld.wsgi import Server

if TYPE_CHECKING:
    from tests.wsgi.conftest import Serve

LIMIT = 20.0
StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]


def never(environ: Environ, start_response: StartResponse) -> list[bytes]:
    raise AssertionError(f"the application was asked for {environ['RAW_URI']}")


def test_it_is_answered_without_the_application(serve: Serve) -> None:
    running = serve(never, health_path="/up")
    client = running.connect()
    for path in ("/up", "/up", "/up?from=balancer", "/%75p", "http://test/up"):
        reply = client.get(path)
        assert (reply.status, reply.body) == (200, b"ok\n")
        assert reply.headers["cache-control"] == "no-store"
        assert "connection" not in reply.headers
    head = client.get("/up", method="HEAD")
    assert (head.status, head.headers["content-length"]) == (200, "3")
    running.stop()
    assert running.access.getvalue() == running.errors.getvalue() == ""


def test_other_methods_and_other_paths(serve: Serve) -> None:
    running = serve(never, health_path="/up")
    client = running.connect()
    reply = client.ask(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    assert client.get("/up").status == 200  # the body is not in the way
    for path in ("/", "/upper", "/up/", "/UP"):
        assert running.connect().get(path).status == 500
    running.stop()
    assert running.access.getvalue().count(" 500 ") == 4


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /up HTTP/1.1\r\n\r\n", 400),
        (b"GET /up HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /up HTTP/1.0\r\n\r\n", 200),
        (b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
    ],
)
def test_it_is_a_request_like_others(serve: Serve, request_bytes: bytes, status: int) -> None:
    client = serve(never, health_path="/up").connect()
    reply = client.ask(request_bytes)
    assert reply.status == status
    client.sock.shutdown(1)
    assert client.at_end()


def test_it_is_503_while_the_server_stops(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Server.__module__], "NEWCOMER_SECONDS", 1000)
    begun, go = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        begun.set()
        while not go.is_set():
            sleep(0.001)
        yield b"done"

    running = serve(app, health_path="/up")
    client = running.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert begun.wait(LIMIT)
    checker = running.connect()
    while running.on_hub(lambda: len(running.server.connections)) < 2:
        pass
    running.server.request_stop(1000)
    while not running.on_hub(lambda: running.server.stopping):
        pass
    reply = checker.get("/up")
    assert (reply.status, reply.body) == (503, b"stopping\n")
    assert reply.headers["connection"] == "close"
    go.set()
    assert client.reply().body == b"done"


def test_without_the_setting_the_path_is_the_applications(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    assert serve(app).connect().get("/up").body == b"/up"
