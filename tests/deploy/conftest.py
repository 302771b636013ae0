"""Real processes on free ports: this server, proxies in front of it, clients.

Everything a test starts lives in a folder of its own and has ended when the test, or the module
of a shared one, has. What is not installed is a reason to skip, which names it.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import greenworld.wsgi

HOME = Path(greenworld.wsgi.__file__).parents[2]
SITES = Path(__file__).parent / "sites"
LIMIT = 40.0
"""Seconds after which whatever blocks in a test gives up."""


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


CLIENT = "127.0.0.2"
"""The address that clients have, where the proxies have 127.0.0.1."""


def connect(address: str, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
    """A client for `HOST:PORT`, with TLS if there is a context, or the path of a Unix socket."""
    if "/" in address:
        return UnixConnection(address)
    source = (CLIENT, 0) if sys.platform == "linux" else None
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


class Load:
    """Threads that ask for a path again and again; every answer but 200 is a failure.

    They POST `body` if there is one. `keep`: each over one connection, which the other side may
    close between two requests, so that the one it did not want is repeated; else each request
    over a connection of its own.
    """

    def __init__(self, address: str, path: str, keep: bool, body: bytes | None) -> None:
        self.failures: list[str] = []
        self.answers: list[str] = []
        self._address, self._path, self._keep = address, path, keep
        self._body = body
        self._news = threading.Condition()
        self._over = False
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over = True
        for thread in self._threads:
            thread.join(LIMIT)

    def wait_for(self, more: int) -> None:
        """Wait for so many further answers."""
        enough = len(self.answers) + more
        self._wait_until(lambda: len(self.answers) >= enough)

    def wait_for_new_answer(self) -> None:
        """Wait for an answer that differs from all before."""
        known = len(set(self.answers))
        self._wait_until(lambda: len(set(self.answers)) > known)

    def _wait_until(self, holds: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: holds() or self.failures, LIMIT), self.answers[-1:]

    def _run(self) -> None:
        client = connect(self._address)
        try:
            while not self._over:
                self._once(client)
                if not self._keep:
                    client.close()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
        finally:
            client.close()
            with self._news:
                self._news.notify_all()

    def _once(self, client: http.client.HTTPConnection) -> None:
        fresh = client.sock is None
        try:
            client.request("POST" if self._body else "GET", self._path, self._body)
            answer = client.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            if fresh:
                raise
            client.close()
            return
        body = answer.read().decode("latin-1")
        with self._news:
            if answer.status == 200:
                self.answers.append(body)
            else:
                self.failures.append(f"{answer.status} {body}")
            self._news.notify_all()


class Stage:
    """Where the processes of one test run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs: list[Program] = []

    def run(
        self, *argv: str, fds: tuple[int, ...] = (), environ: dict[str, str] | None = None
    ) -> Program:
        """Start a program in the folder."""
        program = Program(list(argv), self.folder, environ or {}, fds)
        self._programs.append(program)
        return program

    def load(
        self, program: Program, path: str = "/", *, keep: bool, body: bytes | None = None
    ) -> Load:
        """Keep a program busy, within a `with`."""
        return Load(program.address, path, keep, body)

    def serve(
        self,
        application: str,
        *options: str,
        bind: str = "127.0.0.1:0",
        fds: tuple[int, ...] = (),
    ) -> Program:
        """Start the server with an application of `sites/` and wait until it listens."""
        program = self.run(
            *(sys.executable, "-m", "greenworld.wsgi", application, "--bind", bind, *options),
            fds=fds,
            environ={
                "PYTHONPATH": os.pathsep.join([str(HOME), str(SITES)]),
                "SITE_FILE": str(self.file),
            },
        )
        where = program.wait_for(r"Listening on (?:https?://|unix:)(\S+)")
        program.address = str(self.folder / where) if bind.startswith("unix:") else where
        return program

    @property
    def file(self) -> Path:
        """A file of 300,000 bytes to be served."""
        path = self.folder / "file.bin"
        if not path.exists():
            path.write_bytes(bytes(range(250)) * 1200)
        return path

    def nginx(self, http: str = "", outside: str = "") -> Program:
        """Start nginx with these lines in its `http` block, or outside of it.

        It listens on `LISTEN`, and `LISTEN_TLS` if there is one: sockets that are made here and
        that nginx takes over, so that no port can be lost to others.
        """
        binary = need("nginx")
        config = NGINX.replace("HTTP", http).replace("OUTSIDE", outside)
        with self._sockets(config) as sockets:
            for token, sock in sockets.items():
                config = config.replace(token, address_of(sock))
            user = "user root;" if os.geteuid() == 0 else ""
            (self.folder / "nginx.conf").write_text(config.replace("USER", user))
            fds = tuple(sock.fileno() for sock in sockets.values())
            command = (binary, "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr")
            self.check(*command, "-t")
            inherited = "".join(f"{fd};" for fd in fds)
            program = self.run(*command, fds=fds, environ={"NGINX": inherited})
            program.listen_on(sockets)
        program.wait_for("start worker process ")
        return program

    def haproxy(self, config: str) -> Program:
        """Start HAProxy with this configuration; `LISTEN` and `LISTEN_TLS` are as for nginx."""
        binary = need("haproxy")
        with self._sockets(config) as sockets:
            for token, sock in sockets.items():
                config = config.replace(token, f"fd@{sock.fileno()}")
            (self.folder / "haproxy.cfg").write_text(config)
            fds = tuple(sock.fileno() for sock in sockets.values())
            self.check(binary, "-c", "-f", "haproxy.cfg", fds=fds)
            program = self.run(binary, "-W", "-db", "-f", "haproxy.cfg", fds=fds)
            program.listen_on(sockets)
        program.wait_for("Loading success")
        return program

    @contextlib.contextmanager
    def _sockets(self, config: str) -> Iterator[dict[str, socket.socket]]:
        """A listening socket for each token of the configuration, the longer token first."""
        with contextlib.ExitStack() as opened:
            yield {
                token: opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
                for token in ("LISTEN_TLS", "LISTEN")
                if re.search(rf"\b{token}\b", config)
            }

    def check(
        self, *argv: str, fds: tuple[int, ...] = (), environ: dict[str, str] | None = None
    ) -> str:
        """Run a program to its end, which must be a good one; return what it said."""
        program = self.run(*argv, fds=fds, environ=environ)
        assert program.end() == 0, program.said
        return program.said

    def close(self) -> None:
        """End what runs, the last one first."""
        for program in reversed(self._programs):
            program.close()


# 'daemon off' because nginx forgets who started it otherwise; its own files stay in the folder.
NGINX = """
OUTSIDE
USER
daemon off;
pid nginx.pid;
error_log stderr notice;
worker_processes 1;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    HTTP
}
"""


def need(binary: str) -> str:
    """Return the path of a binary, or skip the test."""
    path = shutil.which(
        binary, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    )
    if path is None:
        pytest.skip(f"needs {binary}, which is not installed here")
    return path


def need_module(name: str) -> None:
    """Skip the test unless a library is installed."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"needs the library {name}: pip install -e '.[libraries]'")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Processes of one test."""
    made = Stage(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Processes that the tests of a module share."""
    made = Stage(tmp_path_factory.mktemp("stage"))
    yield made
    made.close()


Connect = Callable[[Program], http.client.HTTPConnection]


@pytest.fixture
def connect_to() -> Iterator[Connect]:
    """Opens a keep-alive connection, closed after the test."""
    clients: list[http.client.HTTPConnection] = []

    def open_one(program: Program) -> http.client.HTTPConnection:
        clients.append(connect(program.address))
        return clients[-1]

    yield open_one
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def needs() -> Callable[[str], str]:
    """The function that skips a test whose binary is missing, else returns its path."""
    return need


@pytest.fixture(scope="session")
def needs_module() -> Callable[[str], None]:
    """The function that skips a test whose library is missing."""
    return need_module
