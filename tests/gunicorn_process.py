"""A real Gunicorn with greenworld's worker, in a folder and on a port of its own."""

from __future__ import annotations

import http.client
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

config = pytest.importorskip(
    "gunicorn.config", reason="Gunicorn is not installed: pip install gunicorn"
)

HOME = Path(__file__).parents[1]
LIMIT = 40.0
WORKER = "greenworld.gunicorn.GreenWorker"

APP = """
import itertools, json, os, time, threading

count = itertools.count(1)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        print("slow begins", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.01)
    elif path == "/hog":
        while True:
            pass
    elif path == "/fail":
        raise ValueError("on purpose")
    elif path == "/environ":
        path = json.dumps({k: v for k, v in environ.items() if isinstance(v, str)})
    elif path == "/count":
        path = str(next(count))
    body = {
        "/pid": str(os.getpid()),
        "/master": str(os.getppid()),
        "/scheme": environ["wsgi.url_scheme"],
        "/patched": str(type(threading.Lock()).__module__),
    }.get(path, path).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Kind", "test")])
    return [body]
"""


class Gunicorn:
    """A running Gunicorn; what it says is gathered. `command` starts it."""

    def __init__(self, directory: Path, *options: str, command: tuple[str, ...] = ()) -> None:
        self.lines: list[str] = []
        self.news = threading.Condition()
        if "--bind" not in options:
            options = ("--bind", "127.0.0.1:0", *options)
        if "--graceful-timeout" not in options:
            options = ("--graceful-timeout", "20", *options)
        self.process = subprocess.Popen(
            [
                *(command or (sys.executable, "-m", "gunicorn")),
                *("-k", WORKER, "--no-control-socket", *options, "app:app"),
            ],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(HOME), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line)
                self.news.notify_all()

    def wait_for(self, pattern: str, times: int = 1) -> str:
        """The `times`th match of `pattern` in what was said, as soon as it is there."""
        with self.news:
            assert self.news.wait_for(lambda: len(self._found(pattern)) >= times, LIMIT), (
                f"no {pattern!r} in:\n{self.said}"
            )
            return self._found(pattern)[times - 1]

    def _found(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.said)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    @property
    def port(self) -> int:
        return int(self.wait_for(r"Listening at: https?://127\.0\.0\.1:(\d+)"))

    def connect(self, tls: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """A connection, which `http.client` opens with the first request."""
        if tls is not None:
            return http.client.HTTPSConnection("localhost", self.port, timeout=LIMIT, context=tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)

    def get(self, path: str, tls: ssl.SSLContext | None = None) -> bytes:
        connection = self.connect(tls)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        code = self.process.wait(LIMIT)
        self.reader.join(LIMIT)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGQUIT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.reader.join(LIMIT)
        assert self.process.stdout is not None
        self.process.stdout.close()


Run = Callable[..., Gunicorn]
