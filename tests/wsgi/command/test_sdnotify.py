"""What systemd is told, over a socket like its own."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenworld.wsgi.command.sdnotify import Notifier, take_notifier
from tests.wsgi.command.workers import LIMIT, Supervise

APP = """
import os, time
def app(environ, start_response):
    os.write(2, b"asked\\n")
    while not os.path.exists("go"):
        time.sleep(0.01)
    start_response("200 OK", [])
    return []
"""
ADDRESS = ("--bind", "127.0.0.1:0", "--no-access-log")


class Manager:
    """The receiving end."""

    def __init__(self, address: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(LIMIT)
        self.sock.bind(address)

    def hear(self) -> dict[str, str]:
        """Wait for a message; return its assignments."""
        lines = self.sock.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def hear_news(self) -> dict[str, str]:
        """Wait for a message that is more than a sign of life."""
        while (message := self.hear()) == {"WATCHDOG": "1"}:
            pass
        return message


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    (tmp_path / "app.py").write_text(APP)
    one = Manager(str(tmp_path / "notify"))
    yield one
    one.sock.close()


def test_messages(manager: Manager, tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "notify"), 0.5)
    assert notifier.watchdog == 0.5
    notifier.ready("2 workers")
    assert manager.hear() == {"READY": "1", "STATUS": "2 workers"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    message = manager.hear()
    assert message["RELOADING"] == "1"
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before <= int(message["MONOTONIC_USEC"]) <= now
    notifier.alive()
    assert manager.hear() == {"WATCHDOG": "1"}
    notifier.stopping()
    assert manager.hear() == {"STOPPING": "1", "STATUS": "stopping"}


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are a thing of Linux")
def test_an_abstract_address() -> None:
    name = f"greenworld-notify-{os.getpid()}"
    manager = Manager(f"\0{name}")
    with manager.sock:
        Notifier(f"@{name}").alive()
        assert manager.hear() == {"WATCHDOG": "1"}


def test_nobody_listens(tmp_path: Path) -> None:
    Notifier(str(tmp_path / "absent"), 1.0).ready("")
    Notifier().stopping()
    assert Notifier("", 1.0).watchdog == 0


@pytest.mark.parametrize(
    ("environ", "watchdog"),
    [
        ({"NOTIFY_SOCKET": "/x"}, 0.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000"}, 1.5),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, 0.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "5", "WATCHDOG_PID": str(os.getpid())}, 2.5e-6),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "-5"}, 0.0),
        ({"WATCHDOG_USEC": "3000000"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_environment(environ: dict[str, str], watchdog: float) -> None:
    assert take_notifier(environ).watchdog == watchdog
    assert environ == {}


@pytest.mark.slow
def test_one_process(supervise: Supervise, manager: Manager, tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
    one = supervise("app:app", *ADDRESS, environ=environ)
    assert manager.hear_news() == {"READY": "1", "STATUS": "serving"}
    assert manager.hear() == {"WATCHDOG": "1"}
    one.send(signal.SIGHUP)
    assert manager.hear_news()["RELOADING"] == "1"
    assert manager.hear_news()["READY"] == "1"
    with socket.create_connection(("127.0.0.1", one.port()), LIMIT) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        one.err.wait_for("asked")
        one.send(signal.SIGTERM)
        assert manager.hear_news()["STOPPING"] == "1"
        one.send(signal.SIGHUP)  # too late
        (tmp_path / "go").touch()
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert one.end() == 0
    manager.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.hear_news()


@pytest.mark.slow
def test_workers(supervise: Supervise, manager: Manager, tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
    crew = supervise("app:app", "--workers", "2", *ADDRESS, environ=environ)
    assert manager.hear_news() == {"READY": "1", "STATUS": "2 workers"}
    assert manager.hear() == {"WATCHDOG": "1"}
    assert len(crew.ready(2)) == 2
    crew.send(signal.SIGHUP)
    assert manager.hear_news()["RELOADING"] == "1"
    assert manager.hear_news() == {"READY": "1", "STATUS": "2 workers"}
    assert len(crew.ready(4)) == 4
    (tmp_path / "app.py").write_text("1 / 0\n")
    crew.send(signal.SIGHUP)
    assert manager.hear_news()["RELOADING"] == "1"
    assert manager.hear_news() == {"READY": "1", "STATUS": "2 workers; the last reload failed"}
    crew.send(signal.SIGTERM)
    assert manager.hear_news()["STOPPING"] == "1"
    assert crew.end() == 0
