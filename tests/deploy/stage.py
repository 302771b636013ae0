"""Where the processes of a test run: this server, and proxies in front of it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import greenworld.wsgi
from tests.deploy.load import Load
from tests.deploy.program import Program, address_of

HOME = Path(greenworld.wsgi.__file__).parents[2]
SITES = Path(__file__).parent / "sites"


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
