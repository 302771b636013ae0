"""The command as a process of its own, with limits on everything that waits for it."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import greenworld.wsgi

HOME = Path(greenworld.wsgi.__file__).parents[2]
LIMIT = 30.0
ENVIRON = {
    **{name: text for name, text in os.environ.items() if not name.startswith("GREENWORLD_")},
    "PYTHONPATH": str(HOME),
    # A module that is written twice within a second must not come from the cache.
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Command:
    """`python -m greenworld.wsgi …`, killed when it takes too long."""

    def __init__(self, directory: Path, *argv: str, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "greenworld.wsgi", *argv],
            cwd=directory,
            env={**ENVIRON, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.watchdog = threading.Timer(LIMIT, self.process.kill)
        self.watchdog.start()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def port(self) -> int:
        line = self.line()
        match = re.fullmatch(r"Listening on http://127\.0\.0\.1:(\d+)\n", line)
        if match is None:
            pytest.fail(f"{line!r}; {self.end()}")
        return int(match[1])

    def error(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, err

    def close(self) -> None:
        self.watchdog.cancel()
        self.watchdog.join()
        self.process.kill()
        self.process.communicate(timeout=LIMIT)  # its children may have the pipes too


Run = Callable[..., Command]


def get(port: int, path: str = "/") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def knock_until_refused(port: int) -> None:
    """Return when nobody listens there any more."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=LIMIT).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass  # it was in the backlog when the listener closed
