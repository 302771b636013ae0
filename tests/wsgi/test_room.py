"""Room for one more connection: descriptors that run short."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.hub import sleep
from greenworld.wsgi import room

if TYPE_CHECKING:
    from tests.wsgi.conftest import Running, Serve

LIMIT = 20.0
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST_REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def lowest_free() -> int:
    """The number that the next descriptor gets."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.close(fd)
    return fd


@contextlib.contextmanager
def descriptors(more: int) -> Iterator[int]:
    """Allow this process so many descriptors more than it has; yields the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = lowest_free() + more
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def wait_for_log(running: Running, text: str) -> None:
    while text not in running.errors.getvalue():
        running.on_hub(lambda: None)


def wait_until_acceptor_waits(running: Running) -> None:
    """Until the listener waits for a connection to close."""
    while not running.on_hub(lambda: len(running.server.room._waiting)):
        pass


def test_the_application_keeps_some(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PAUSE_SECONDS", 10 * LIMIT)
    go = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        while not go.is_set():
            sleep(0.01)
        return hello(environ, start_response)

    with descriptors(100) as limit:
        running = serve(app)
        clients = []
        while "few descriptors are left" not in running.errors.getvalue():
            clients.append(running.connect())
            clients[-1].send(LAST_REQUEST)
            running.on_hub(lambda: None)
        wait_until_acceptor_waits(running)
        accepted = running.on_hub(lambda: len(running.server.connections))
        assert accepted < len(clients), "the last one waits in the backlog"
        kept = limit // 8 - 5  # the others are the clients', in this same process
        files = [os.open(os.devnull, os.O_RDONLY) for _ in range(kept)]
        for fd in files:
            os.close(fd)
        go.set()  # as soon as one closes, the next is accepted
        for client in clients:
            assert client.reply().body == b"hello"
            assert client.at_end()
    assert running.errors.getvalue() == (
        "greenworld.wsgi: accepts slowly: few descriptors are left\n"
    )


def test_one_that_is_idle_makes_way(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PAUSE_SECONDS", 10 * LIMIT)
    with descriptors(100):
        running = serve(hello)
        clients = []
        while "few descriptors are left" not in running.errors.getvalue():
            clients.append(running.connect())
            assert clients[-1].get().body == b"hello"
            running.on_hub(lambda: None)
        assert clients[0].at_end()
        assert clients[-2].get().body == b"hello"
        for _ in range(3):
            assert running.connect().get().body == b"hello"
        assert clients[1].at_end()
    assert running.errors.getvalue().count("\n") == 1


def test_running_out_is_said_once_and_over_at_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PAUSE_SECONDS", 10 * LIMIT)
    go = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        while not go.is_set():
            sleep(0.01)
        return hello(environ, start_response)

    running = serve(app)
    busy = running.connect()
    busy.send(LAST_REQUEST)
    while not running.on_hub(lambda: len(running.server.connections)):
        pass
    starved = socket.socket()
    starved.settimeout(LIMIT)
    with starved, descriptors(0):
        starved.connect(running.server.address)
        starved.sendall(REQUEST)
        wait_for_log(running, "Too many open files")
        wait_until_acceptor_waits(running)
        go.set()
        assert busy.reply().body == b"hello"  # it closes, and makes room
        assert starved.recv(1000).endswith(b"hello")
    assert running.errors.getvalue() == (
        "greenworld.wsgi: accepts slowly: [Errno 24] Too many open files\n"
    )


def test_room_that_somebody_else_makes_is_found(serve: Serve) -> None:
    """Files of the application that it closed, for one: nobody tells the server."""
    running = serve(hello)
    starved = socket.socket()
    starved.settimeout(LIMIT)
    with starved:
        with descriptors(0):
            starved.connect(running.server.address)
            starved.sendall(REQUEST)
            wait_for_log(running, "Too many open files")
        assert starved.recv(1000).endswith(b"hello")


def test_a_stop_while_there_is_no_room(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PAUSE_SECONDS", 10 * LIMIT)
    running = serve(hello)
    starved = socket.socket()
    starved.settimeout(LIMIT)
    with starved:
        with descriptors(0):
            starved.connect(running.server.address)
            wait_for_log(running, "Too many open files")
            wait_until_acceptor_waits(running)
            running.stop(0)
        with pytest.raises(OSError, match="refused"):
            running.connect()
