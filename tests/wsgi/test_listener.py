"""Listening sockets: addresses, errors, and the bounds of accepting."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.hub import sleep
from greenworld.wsgi import Config, Server, listener
from greenworld.wsgi.listener import SHARED_PAUSE

if TYPE_CHECKING:
    from tests.wsgi.conftest import Serve


LIMIT = 20.0
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def test_ipv6(serve: Serve) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    running = serve(hello, listener)
    port = running.server.address[1]
    assert running.server.urls == [f"http://[::1]:{port}"]
    with socket.create_connection(("::1", port), timeout=LIMIT) as client:
        client.sendall(REQUEST)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_unix_socket(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    seen: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ)
        return hello(environ, start_response)

    running = serve(app, bind=f"unix:{path}")
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    assert running.server.urls == [f"unix:{path}"]
    assert running.connect().get().body == b"hello"
    assert (seen[0]["REMOTE_ADDR"], seen[0]["REMOTE_PORT"]) == ("", "")
    assert (seen[0]["SERVER_NAME"], seen[0]["SERVER_PORT"]) == ("localhost", "80")
    running.stop()
    assert not os.path.exists(path)
    assert running.access.getvalue().startswith("- - - [")


def test_a_stale_unix_socket_is_replaced_and_a_living_one_is_not(
    serve: Serve, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(path)
        with left_over:
            left_over.listen()
            with pytest.raises(OSError, match="in use"):
                Server(hello, bind=f"unix:{path}").start()
    running = serve(hello, bind=f"unix:{path}")
    assert running.connect().get().body == b"hello"
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        Server(hello, bind=f"unix:{file}").start()
    assert file.read_text() == "precious"


def test_a_port_in_use(serve: Serve) -> None:
    host, port = serve(hello).server.address
    taken = f"{host}:{port}"
    another = Server(hello, bind=["127.0.0.1:0", taken])
    with pytest.raises(OSError, match="in use"):
        another.start()


def test_a_socket_of_the_caller_keeps_its_file(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        running = serve(hello, sock)
        assert running.connect().get().body == b"hello"
        running.stop()
    assert os.path.exists(path)


@pytest.mark.parametrize(
    ("environ", "waiting", "turns"),
    [
        ({"wsgi.multiprocess": True}, 10, [(1, SHARED_PAUSE), (3, SHARED_PAUSE), (6, SHARED_PAUSE),
                                           (10, SHARED_PAUSE)]),
        ({}, 33, [(32, 0)]),
    ],
    ids=["shared", "alone"],
)  # fmt: skip
def test_a_burst_is_accepted_in_turns(
    monkeypatch: pytest.MonkeyPatch,
    environ: Environ,
    waiting: int,
    turns: list[tuple[int, float]],
) -> None:
    seen: list[tuple[int, float]] = []

    def pause(seconds: float) -> None:
        seen.append((len(server.connections), seconds))
        sleep(0)

    monkeypatch.setattr(listener, "sleep", pause)
    with contextlib.ExitStack() as clients:
        sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        for _ in range(waiting):
            client = socket.create_connection(sock.getsockname(), LIMIT)
            clients.enter_context(client)
        server = Server(hello, sock, config=Config(environ=environ, error_log=io.StringIO()))
        server.start()
        try:
            while len(server.connections) < waiting:
                sleep(0.001)
            assert seen == turns
        finally:
            server.stop(0)


def test_shared_with_another_server_each_gets_its_part(serve: Serve) -> None:
    """Both are in this process: what matters is that they do not hand each other anything."""
    environ = {"wsgi.multiprocess": True}
    with socket.create_server(("127.0.0.1", 0)) as sock:
        servers = [serve(hello, sock.dup(), environ=environ) for _ in range(2)]
    clients = [servers[0].connect() for _ in range(50)]
    assert [client.get().body for client in clients] == [b"hello"] * 50
    assert sum(len(one.server.connections) for one in servers) == 50
    servers[0].stop()
    assert servers[1].connect().get().body == b"hello"


def test_max_connections(serve: Serve) -> None:
    running = serve(hello, max_connections=2)
    first, second, third = (running.connect() for _ in range(3))
    assert first.get().body == b"hello"
    assert second.get().body == b"hello"
    third.send(REQUEST)
    assert running.on_hub(lambda: len(running.server.connections)) == 2
    first.close()
    assert third.reply().body == b"hello"


def test_running_out_of_descriptors_pauses_accepting(serve: Serve) -> None:
    resource = pytest.importorskip("resource")
    running = serve(hello)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    client = running.connect()
    starved = socket.socket()
    starved.settimeout(LIMIT)
    held = os.dup(client.sock.fileno())  # the lowest free number: beneath it there is none
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (held + 1, hard))
        starved.connect(running.server.address)
        starved.sendall(REQUEST)
        while "Too many open files" not in running.errors.getvalue():
            assert running.on_hub(lambda: True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(held)
    with starved:
        assert starved.recv(1000).endswith(b"hello")


class FailingListener:
    """A listening socket on which the kernel reports some errors before it accepts."""

    def __init__(self, sock: Any, errors: list[int]) -> None:
        self._sock = sock
        self._errors = errors

    def _accept(self) -> Any:
        if self._errors:
            number = self._errors.pop(0)
            raise OSError(number, os.strerror(number))
        return self._sock._accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_errors_of_one_connection_or_unknown_ones_do_not_end_accepting(serve: Serve) -> None:
    running = serve(hello)
    errors = [errno.ETIMEDOUT, errno.ECONNABORTED, errno.EIO, errno.EIO]

    def fail() -> None:
        found = running.server._listeners[0]
        found._sock = FailingListener(found._sock, errors)  # type: ignore[assignment]

    running.on_hub(fail)
    assert running.connect().get().body == b"hello"
    assert errors == []
    assert running.errors.getvalue() == (
        f"greenworld.wsgi: cannot accept: [Errno {errno.EIO}] {os.strerror(errno.EIO)}\n"
    )
