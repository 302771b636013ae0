"""A process of a test, what it says, and how it is asked over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT = 40.0
"""Seconds after which whatever blocks in a test gives up."""
CLIENT = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
"""The address that clients have, where the proxies have 127.0.0.1."""


@dataclass
class Reply:
    """An answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()

    def json(self) -> Any:
        """What the body says."""
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=LIMIT)
        self.path = path

    def connect(self) -> None:
        """Connect to the path in place of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT)
        self.sock.connect(self.path)


def connect(address: str, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
    """A client for `HOST:PORT`, with TLS if there is a context, or the path of a Unix socket."""
    if "/" in address:
        return UnixConnection(address)
    source = (CLIENT, 0)
    if context is not None:
        return http.client.HTTPSConnection(
            address, timeout=LIMIT, source_address=source, context=context
        )
    return http.client.HTTPConnection(address, timeout=LIMIT, source_address=source)


def address_of(sock: socket.socket) -> str:
    """`HOST:PORT` of a socket."""
    host, port = sock.getsockname()
    return f"{host}:{port}"


def _headers(answer: http.client.HTTPResponse) -> dict[str, str]:
    """Names in lower case; the values of a repeated one, one a line."""
    found: dict[str, str] = {}
    for name, value in answer.getheaders():
        name = name.lower()
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


class Program:
    """A running process. What it says, on standard output and error, is gathered."""

    def __init__(
        self, argv: list[str], folder: Path, environ: dict[str, str], fds: tuple[int, ...]
    ) -> None:
        self.lines: list[str] = []
        self.address = ""
        """Where it listens, if that is known: `HOST:PORT` or a path."""
        self.tls_address = ""
        self.context: ssl.SSLContext | None = None
        """With what it is asked over TLS; None for not at all."""
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=fds,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def said(self) -> str:
        """All that it has said so far."""
        return "".join(self.lines)

    def wait_for(self, pattern: str, times: int = 1) -> str:
        """The `times`th match of `pattern` in what was said, as soon as it is there."""
        assert self.says(pattern, times, LIMIT), f"no {pattern!r} in:\n{self.said}"
        return self._found(pattern)[times - 1]

    def says(self, pattern: str, times: int, seconds: float) -> bool:
        """Whether it says something, so many times in all, within a time from now."""
        with self._news:
            self._news.wait_for(lambda: len(self._found(pattern)) >= times or self._ended, seconds)
            return len(self._found(pattern)) >= times

    def _found(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.said, re.MULTILINE)

    @property
    def _ended(self) -> bool:
        return not self._reader.is_alive()

    def listen_on(self, sockets: dict[str, socket.socket]) -> None:
        """Note where it listens."""
        self.address = address_of(sockets["LISTEN"]) if "LISTEN" in sockets else ""
        self.tls_address = address_of(sockets["LISTEN_TLS"]) if "LISTEN_TLS" in sockets else ""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; return its status."""
        code = self.process.wait(LIMIT)
        self._reader.join(LIMIT)
        return code

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request on a connection of its own; `Content_Type` stands for `Content-Type`."""
        client = connect(self.address, self.context)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            client.request(method, path, body, named)
            answer = client.getresponse()
            return Reply(answer.status, _headers(answer), answer.read())
        finally:
            client.close()

    def get(self, path: str, **headers: str) -> Reply:
        """Ask for a path."""
        return self.ask("GET", path, **headers)

    def close(self) -> None:
        """End it, with force if it takes its time."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(LIMIT)
        assert self.process.stdout is not None
        self.process.stdout.close()


Connect = Callable[[Program], http.client.HTTPConnection]
"""Opens a keep-alive connection to a program, for the time of the test."""
