"""Programs with real libraries in fresh interpreters, and the servers that they talk to.

A server is the one that an environment variable names (docs/libraries.md), else
the one at its standard port on this machine, else a private one, started from
an installed binary on a free port. If there is none of these the test is
skipped, and the end of the run says how many were, for want of what.
"""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import pytest

Report = dict[str, Any]
Run = Callable[..., Report]
Complete = Callable[..., "subprocess.CompletedProcess[str]"]

PROGRAMS = Path(__file__).parent / "programs"
CALLS, PAUSE = 20, 0.2
STARTING = 40.0
"""Seconds that a private server has to start."""
MISSING = "needs"
"""How the reason of a skip for want of something begins."""


@pytest.fixture(scope="session")
def run(complete: Complete) -> Run:
    """Runs a program of `programs/`, patched `early` or `late`, and returns what it reports."""

    def run_program(program: str, *arguments: str, order: str = "early") -> Report:
        # Libraries warn of what newer Pythons will do: not what is tested here.
        script = str(PROGRAMS / "run.py")
        done = complete(script, order, program, *arguments, PYTHONWARNINGS="ignore")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
        report: Report = json.loads(done.stdout)
        return report

    return run_program


@pytest.fixture(scope="session")
def check(run: Run) -> Run:
    """The same, and the twenty calls of the program must have been under way at once."""

    def check_program(program: str, *arguments: str, order: str = "early") -> Report:
        report = run(program, *arguments, order=order)
        assert report["inside"] == CALLS, "the server held them all at once"
        assert report["ticks"] >= 10, "and the ticker went on"
        assert report["elapsed"] < CALLS * PAUSE / 2, report
        assert report["overlap"] > 2, "calls under way on average"
        assert report["fewest_ticks"] > 0, "the ticker went on during each call"
        return report

    return check_program


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of this folder."""
    line = "library(name, ...): modules without which the test is skipped"
    config.addinivalue_line("markers", line)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose library is not installed, before a server is started for it."""
    for mark in item.iter_markers("library"):
        for name in mark.args:
            if importlib.util.find_spec(name) is None:
                pytest.skip(f"{MISSING} the library {name}: pip install -e '.[libraries]'")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line that says how many tests were skipped, for want of what."""
    wants = Counter[str]()
    for report in terminalreporter.stats.get("skipped", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        _, found, want = reason.partition(f"Skipped: {MISSING} ")
        if found:
            wants[want.partition(":")[0]] += 1
    if wants:
        listed = ", ".join(f"{number} for want of {want}" for want, number in wants.most_common())
        terminalreporter.write_line(f"libraries: {wants.total()} tests skipped, {listed}")


# Servers


def talk(port: int, *sent: bytes, enough: int = 1) -> bytes:
    """What a server at a port of this machine says, before and between what it is told."""
    heard = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            for words in sent:
                client.sendall(words)
                heard = b""
                while len(heard) < enough and (more := client.recv(4096)):
                    heard += more
    except OSError:
        pass  # nobody there, or nobody of this kind
    return heard


def answers_postgres(port: int) -> bool:
    """Whether PostgreSQL lets the user postgres in without a password."""
    options = b"\0\3\0\0user\0postgres\0database\0postgres\0\0"
    heard = talk(port, (len(options) + 4).to_bytes(4, "big") + options, enough=9)
    return heard.startswith(b"R\0\0\0\x08\0\0\0\0")


def answers_mariadb(port: int) -> bool:
    """Whether MariaDB lets root in without a password, and has a database `test`."""
    # Protocol 4.1, a database, secure connection; 16 MB; utf8mb4; root; no password; test.
    flags = (0x0200 | 0x0008 | 0x8000 | 0x0001 | 0x00080000).to_bytes(4, "little")
    login = flags + b"\0\0\0\1\x2d" + bytes(23) + b"root\0" + b"\0" + b"test\0"
    login += b"mysql_native_password\0"
    packet = len(login).to_bytes(3, "little") + b"\1" + login
    return talk(port, b"", packet, enough=5)[4:5] == b"\0"


def answers_redis(port: int) -> bool:
    """Whether Redis answers without a password."""
    return talk(port, b"PING\r\n").startswith(b"+PONG")


def answers_rabbitmq(port: int) -> bool:
    """Whether RabbitMQ lets guest in."""
    reply = b"\0\0\0\0" + b"\5PLAIN" + b"\0\0\0\x0c\0guest\0guest" + b"\5en_US"
    method = b"\0\x0a\0\x0b" + reply
    start_ok = b"\1\0\0" + len(method).to_bytes(4, "big") + method + b"\xce"
    heard = talk(port, b"AMQP\0\0\x09\1", start_ok, enough=11)
    return heard[7:11] == b"\0\x0a\0\x1e"  # connection.tune


def find_binary(name: str, *places: str) -> str | None:
    """A server's binary on PATH or in one of the places, the last in order of the alphabet."""
    path = shutil.which(name)
    found = sorted(each for place in places for each in glob.glob(f"{place}/{name}"))
    return found[-1] if found else path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Private:
    """A server of our own: its folder, its port, the processes that were started for it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.log = folder / "log"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.user: str | None = None

    def belong_to_nobody(self, *names: str) -> None:
        """Run what follows as another user, if this one is root, which PostgreSQL refuses."""
        if os.geteuid() != 0:
            return
        users = {entry.pw_name for entry in pwd.getpwall()}
        self.user = next(name for name in (*names, "nobody") if name in users)
        shutil.chown(self.folder, self.user)

    def options(self, environ: dict[str, str]) -> dict[str, Any]:
        log = self.log.open("ab")
        return {
            "cwd": self.folder,
            "env": {**os.environ, **environ},
            "stdin": subprocess.DEVNULL,
            "stdout": log,
            "stderr": subprocess.STDOUT,
            "user": self.user,
            "start_new_session": True,
        }

    def call(self, *command: str, **environ: str) -> None:
        """Run a command to its end, which must be a good one."""
        options = self.options(environ)
        with options["stdout"]:
            status = subprocess.run(command, timeout=STARTING, **options).returncode
        if status:
            raise RuntimeError(f"{command} ended with {status}: {self.tail()}")

    def start(self, *command: str, **environ: str) -> None:
        """Start a process that runs until `stop`."""
        options = self.options(environ)
        with options["stdout"]:
            self.processes.append(subprocess.Popen(command, **options))

    def wait(self, answers: Callable[[int], bool]) -> None:
        """Wait until the server lets a client in."""
        deadline = time.monotonic() + STARTING
        while not answers(self.port):
            ended = [process.args for process in self.processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"{ended or self.folder} has not started: {self.tail()}")
            time.sleep(0.1)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(STARTING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start_postgres(server: Private) -> None:
    """**Source**: PostgreSQL, "Creating a Database Cluster"."""
    places = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin")
    initdb, postgres = find_binary("initdb", *places), find_binary("postgres", *places)
    if initdb is None or postgres is None:
        raise FileNotFoundError("initdb and postgres")
    server.belong_to_nobody("postgres")
    server.call(initdb, "-D", "data", "-U", "postgres", "-A", "trust", "-N", "--locale=C")
    where = ["-p", str(server.port), "-h", "127.0.0.1", "-k", str(server.folder)]
    server.start(postgres, "-D", "data", "-F", "-c", "max_connections=60", *where)


def start_mariadb(server: Private) -> None:
    """**Source**: MariaDB, "mariadb-install-db"."""
    install, daemon = find_binary("mariadb-install-db"), find_binary("mariadbd", "/usr/sbin")
    if install is None or daemon is None:
        raise FileNotFoundError("mariadb-install-db and mariadbd")
    server.belong_to_nobody("mysql")
    data = f"--datadir={server.folder}/data"
    server.call(install, "--no-defaults", data, "--auth-root-authentication-method=normal")
    where = [f"--port={server.port}", "--bind-address=127.0.0.1", f"--socket={server.folder}/s"]
    server.start(daemon, "--no-defaults", data, *where)


def start_redis(server: Private) -> None:
    """**Source**: Redis, "Redis configuration"."""
    binary = find_binary("redis-server")
    if binary is None:
        raise FileNotFoundError("redis-server")
    where = ["--port", str(server.port), "--bind", "127.0.0.1", "--dir", str(server.folder)]
    server.start(binary, *where, "--save", "")


def start_rabbitmq(server: Private) -> None:
    """**Source**: RabbitMQ, "File and Directory Locations"; Erlang, "epmd"."""
    binary = find_binary("rabbitmq-server", "/usr/lib/rabbitmq/bin")
    epmd = find_binary("epmd", "/usr/lib/erlang/erts-*/bin")
    if binary is None or epmd is None:
        raise FileNotFoundError("rabbitmq-server and epmd")
    names = str(free_port())
    server.belong_to_nobody("rabbitmq")
    server.start(epmd, "-port", names, "-address", "127.0.0.1")
    server.start(
        binary,
        ERL_EPMD_PORT=names,
        HOME=str(server.folder),
        RABBITMQ_CONFIG_FILE=str(server.folder / "none"),
        RABBITMQ_DIST_PORT=str(free_port()),
        RABBITMQ_ENABLED_PLUGINS_FILE=str(server.folder / "plugins"),
        RABBITMQ_LOG_BASE=str(server.folder),
        RABBITMQ_MNESIA_BASE=str(server.folder),
        RABBITMQ_NODENAME=f"greenworld{server.port}@localhost",
        RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
        RABBITMQ_NODE_PORT=str(server.port),
    )


@contextmanager
def provide(
    name: str,
    url: str,
    answers: Callable[[int], bool],
    start: Callable[[Private], None],
) -> Iterator[str]:
    """The address of a server: what the variable says, at its usual port, or a private one.

    The variable may also say `private`: then the usual port is left alone.
    """
    chosen = os.environ.get(f"GREENWORLD_TEST_{name.upper()}", "")
    usual = urlsplit(url).port
    assert usual is not None
    if chosen not in ("", "private"):
        yield chosen
        return
    if not chosen and answers(usual):
        yield url
        return
    # pytest's own folders are closed to the user that a private server may have to run as.
    with TemporaryDirectory(prefix="greenworld-", ignore_cleanup_errors=True) as folder:
        server = Private(Path(folder), free_port())
        try:
            try:
                start(server)
            except FileNotFoundError as error:
                want = f"{MISSING} the server {name}: none at port {usual}, no {error} here"
                pytest.skip(want)
            server.wait(answers)
            yield url.replace(f":{usual}", f":{server.port}")
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    url = "postgresql://postgres@127.0.0.1:5432/postgres"
    with provide("PostgreSQL", url, answers_postgres, start_postgres) as address:
        yield address


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    url = "mysql://root@127.0.0.1:3306/test"
    with provide("MariaDB", url, answers_mariadb, start_mariadb) as address:
        yield address


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    with provide("Redis", "redis://127.0.0.1:6379/0", answers_redis, start_redis) as address:
        yield address


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[str]:
    url = "amqp://guest:guest@127.0.0.1:5672/%2f"
    with provide("RabbitMQ", url, answers_rabbitmq, start_rabbitmq) as address:
        yield address
