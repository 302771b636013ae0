"""A server in a native thread with a hub of its own, and a client that speaks raw bytes."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from greenworld.wsgi import Config, Server

LIMIT = 20.0
"""Seconds after which anything that blocks in a test gives up."""


@dataclass
class Reply:
    """An answer as it came over the wire."""

    status: int
    head: bytes
    headers: dict[str, str]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)


class Client:
    """One connection to a server."""

    def __init__(self, address: Any) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(LIMIT)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        self._file = self.sock.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def reply(self, method: str = "GET") -> Reply:
        """Read one answer, framed as RFC 9112, section 6.3 says."""
        lines: list[bytes] = []
        while True:
            line = self._file.readline()
            if not line:
                raise EOFError(f"the connection ended after {lines!r}")
            assert line.endswith(b"\r\n"), line
            if line == b"\r\n":
                break
            lines.append(line)
        version, code, *_ = lines[0].decode().split(" ")
        assert version == "HTTP/1.1"
        headers = {}
        for line in lines[1:]:
            name, _, value = line.decode("latin-1").partition(":")
            assert name.lower() not in headers or name.lower() == "set-cookie", name
            headers[name.lower()] = value.strip()
        reply = Reply(int(code), b"".join(lines), headers)
        if method == "HEAD" or reply.status in (100, 103, 204, 304):
            return reply
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self._file.readline(), 16):
                reply.chunks.append(self._file.read(size))
                assert self._file.read(2) == b"\r\n"
            assert self._file.readline() == b"\r\n"
            reply.body = b"".join(reply.chunks)
        elif "content-length" in headers:
            reply.body = self._file.read(int(headers["content-length"]))
            if len(reply.body) < int(headers["content-length"]):
                raise EOFError(f"the body ended after {len(reply.body)} bytes")
        else:
            reply.body = self._file.read()
        return reply

    def ask(self, data: bytes, method: str = "GET") -> Reply:
        """Send a request and read its answer."""
        self.send(data)
        return self.reply(method)

    def get(self, path: str = "/", *headers: str, method: str = "GET") -> Reply:
        """Ask for a path."""
        lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers, "", ""]
        return self.ask("\r\n".join(lines).encode("latin-1"), method)

    def read_chunk(self) -> bytes:
        """Read one chunk of a chunked answer."""
        size = int(self._file.readline(), 16)
        data = self._file.read(size)
        assert self._file.read(2) == b"\r\n"
        return data

    def read_line(self) -> bytes:
        """Read one line as it is."""
        return self._file.readline()

    def at_end(self) -> bool:
        """Wait for what comes next: True if it is the orderly end of the connection."""
        return self._file.read(1) == b""

    def close(self) -> None:
        """Close both the file and the socket."""
        self._file.close()
        self.sock.close()


class Running:
    """A server that runs in a native thread, with what it logs."""

    def __init__(self, application: Any, *sockets: Any, bind: str, **options: Any) -> None:
        self.errors = io.StringIO()
        self.access = io.StringIO()
        options.setdefault("access_log", self.access)
        options.setdefault("error_log", self.errors)
        self.config = Config(**options)
        self._ready = threading.Event()
        self._clients = contextlib.ExitStack()
        self._application = application
        self._sockets = sockets
        self._bind = bind
        self.server: Server
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self._ready.wait(LIMIT)

    def _run(self) -> None:
        self.server = Server(self._application, self._sockets, bind=self._bind, config=self.config)
        self.server.start()
        self._ready.set()
        self.server.serve_forever()

    def connect(self) -> Client:
        """Open a connection, closed at the end of the test."""
        client = Client(self.server.address)
        self._clients.callback(client.close)
        return client

    def on_hub(self, function: Callable[[], Any]) -> Any:
        """Run a function in the server's OS thread and return what it returns."""
        done = threading.Event()
        results = []

        def call() -> None:
            results.append(function())
            done.set()

        self.server.hub.post(call)
        assert done.wait(LIMIT)
        return results[0]

    def wait_until_gone(self) -> None:
        """Wait until the server has no connection left."""
        done = threading.Event()

        def look() -> None:
            if self.server.connections:
                self.server.hub.timers.start(0.001, look)
            else:
                done.set()

        self.server.hub.post(look)
        assert done.wait(LIMIT)

    @contextlib.contextmanager
    def halted(self) -> Iterator[None]:
        """Let the server's OS thread do nothing meanwhile."""
        stands, go_on = threading.Event(), threading.Event()

        def wait() -> None:
            stands.set()
            go_on.wait(LIMIT)

        self.server.hub.post(wait)
        assert stands.wait(LIMIT)
        yield
        go_on.set()

    def stop(self, timeout: float = 0.0) -> None:
        """Stop the server and wait until its thread has ended."""
        self.server.request_stop(timeout)
        self.thread.join(LIMIT)
        assert not self.thread.is_alive()

    def close_clients(self) -> None:
        """Close the connections that the test opened."""
        self._clients.close()

    def close(self) -> None:
        """Close what the test left open."""
        self.close_clients()
        if self.thread.is_alive():
            self.stop()


Serve = Callable[..., Running]
Connect = Callable[[Any], Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """A function that opens a connection to an address."""
    with contextlib.ExitStack() as clients:

        def start(address: Any) -> Client:
            client = Client(address)
            clients.callback(client.close)
            return client

        yield start


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A function that starts a server for an application on a free port."""
    running: list[Running] = []

    def start(
        application: Any, *sockets: Any, bind: str = "127.0.0.1:0", **options: Any
    ) -> Running:
        running.append(Running(application, *sockets, bind=bind, **options))
        return running[-1]

    yield start
    for one in running:
        one.close()
