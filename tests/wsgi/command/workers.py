"""The command with workers, what it says, and clients that never stop asking."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from tests.wsgi.command.process import ENVIRON

LIMIT = 25.0
"""Seconds after which anything that waits gives up."""

READY = r"worker (\d+), process (\d+), is ready"


class Lines:
    """The lines of a stream as they come, for whoever waits for one of them."""

    def __init__(self, stream: IO[str]) -> None:
        self.seen: list[str] = []
        self.at_end = False
        self._stream = stream
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            with self._news:
                self.seen.append(line)
                self._news.notify_all()
        with self._news:
            self.at_end = True
            self._news.notify_all()

    @property
    def text(self) -> str:
        return "".join(self.seen)

    def wait_for(self, pattern: str, count: int = 1) -> list[re.Match[str]]:
        """Wait for so many lines that hold `pattern`; return all there are."""

        def found() -> list[re.Match[str]]:
            return [match for line in self.seen if (match := re.search(pattern, line))]

        with self._news:
            self._news.wait_for(lambda: len(found()) >= count or self.at_end, LIMIT)
            if len(found()) < count:
                pytest.fail(f"no {count} × {pattern!r} in:\n{self.text}")
            return found()

    def wait_for_end(self) -> str:
        """Wait until everybody who could write has ended."""
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), self.text
        return self.text


class Supervised:
    """`python -m greenworld.wsgi … --workers N`, with everything it starts, and what they say."""

    def __init__(
        self,
        directory: Path,
        *argv: str,
        environ: Mapping[str, str] | None = None,
        stdin: Any = subprocess.DEVNULL,
        **options: Any,
    ) -> None:
        program = [sys.executable, "-m", "greenworld.wsgi"]
        self.process = subprocess.Popen(
            [*options.pop("through", ()), *program, *argv],
            cwd=directory,
            env={**ENVIRON, **(environ or {})},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out = Lines(self.process.stdout)
        self.err = Lines(self.process.stderr)

    def port(self) -> int:
        """Wait until the first workers serve; return the first TCP port."""
        return int(self.out.wait_for(r"Listening on http://127\.0\.0\.1:(\d+)")[0][1])

    def ready(self, count: int) -> list[int]:
        """Wait until so many workers have been ready in all; return their process ids."""
        return [int(match[2]) for match in self.err.wait_for(READY, count)]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait until it and its workers have ended; return the exit code."""
        code = self.process.wait(LIMIT)
        self.out.wait_for_end()
        self.err.wait_for_end()
        return code

    def close(self) -> None:
        """Kill all that is left."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(LIMIT)
        for lines, stream in ((self.out, self.process.stdout), (self.err, self.process.stderr)):
            lines.wait_for_end()
            assert stream is not None
            stream.close()
        print(self.err.text, file=sys.stderr)  # shown if the test fails


Supervise = Callable[..., Supervised]


class Caller:
    """Asks again and again, in an OS thread, and takes note of whatever is not a whole answer."""

    def __init__(self, port: int, *, keep_alive: bool, path: str = "/") -> None:
        self.answers: list[bytes] = []
        self.failures: list[str] = []
        self.held_by = b""
        """Who has answered last over the present connection."""
        self._address = ("127.0.0.1", port)
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\n"
        self._request = head + ("\r\n" if keep_alive else "Connection: close\r\n\r\n")
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with socket.create_connection(self._address, LIMIT) as sock:
                    while self._ask(sock) and not self._stop.is_set():
                        pass
            except (OSError, EOFError) as error:
                with self._news:
                    self.failures.append(
                        f"{type(error).__name__}: {error} (held by {self.held_by.decode()})"
                    )
                    self._news.notify_all()
            self.held_by = b""

    def _ask(self, sock: socket.socket) -> bool:
        """Ask once; return whether the connection lives on."""
        sock.sendall(self._request.encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more(sock)
        head, _, body = data.partition(b"\r\n\r\n")
        match = re.search(rb"\r\nContent-Length: (\d+)", head)
        assert match is not None, head
        while len(body) < int(match[1]):
            body += self._more(sock)
        with self._news:
            self.answers.append(body)
            self.held_by = body
            self._news.notify_all()
        return b"\r\nConnection: close" not in head

    def _more(self, sock: socket.socket) -> bytes:
        data = sock.recv(65536)
        if not data:
            raise EOFError("the connection ended")
        return data

    def wait_for(self, count: int) -> None:
        """Wait for so many answers more than there are now."""
        with self._news:
            wanted = len(self.answers) + count
            assert self._news.wait_for(lambda: len(self.answers) >= wanted, LIMIT), self.failures

    def stop(self) -> list[str]:
        """Ask no more; return the failures."""
        self._stop.set()
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
        return self.failures


def ask(port: int, path: str = "/") -> bytes:
    """Ask once, over a connection of its own; return the body."""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        with sock.makefile("rb") as file:
            return file.read().partition(b"\r\n\r\n")[2]


def wait_until_gone(*pids: int) -> None:
    """Wait until these processes have ended and been waited for."""
    until = time.monotonic() + LIMIT
    for pid in pids:
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < until, f"process {pid} lives on"
            time.sleep(0.01)
