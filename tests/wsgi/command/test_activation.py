"""The sockets that systemd passes, and the variables in which it tells of them."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from greenworld.wsgi.command.activation import binds_of, take_passed
from greenworld.wsgi.command.settings import Settings
from tests.wsgi.command.workers import Supervise, ask

PID = str(os.getpid())

APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(sorted(name for name in os.environ if name.startswith("LISTEN_"))).encode()]
"""
SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="http")
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("environ", "passed"),
    [
        ({}, ()),
        ({"LISTEN_PID": PID, "LISTEN_FDS": "1"}, ("fd://3",)),
        ({"LISTEN_PID": PID, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}, ("fd://3", "fd://4")),
        ({"LISTEN_PID": PID, "LISTEN_FDS": "0"}, ()),
        ({"LISTEN_PID": PID, "LISTEN_FDS": "-1"}, ()),
        ({"LISTEN_PID": PID, "LISTEN_FDS": "x"}, ()),
        ({"LISTEN_PID": PID}, ()),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, ()),
        ({"LISTEN_FDS": "1"}, ()),
    ],
)
def test_the_environment(environ: dict[str, str], passed: tuple[str, ...]) -> None:
    assert take_passed(environ) == passed
    assert environ == {}


def test_what_is_listened_on() -> None:
    environ = {"LISTEN_PID": PID, "LISTEN_FDS": "1"}
    assert binds_of(Settings(bind=("a:1", "b:2")), dict(environ)) == ("a:1", "b:2")
    assert binds_of(Settings(), environ) == ("fd://3",)
    assert binds_of(Settings(), environ) == ("127.0.0.1:8000",)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_serves_on_what_was_passed(
    supervise: Supervise, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    (tmp_path / "app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        one = supervise(
            "app:app",
            *workers,
            "--no-access-log",
            through=(sys.executable, "-c", SYSTEMD, str(listener.fileno())),
            pass_fds=(listener.fileno(),),
        )
        assert one.port() == port
        assert ask(port) == b"[]"
        one.send(signal.SIGTERM)
        assert one.end() == 0
