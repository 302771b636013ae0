"""One process that serves: what signals do to it, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.wsgi.command.process import Run, get, knock_until_refused
from tests.wsgi.command.workers import LIMIT, Supervise, ask

pytestmark = pytest.mark.slow

APP = """
import os, sys, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        print("slow begins", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.01)
    if environ["PATH_INFO"] == "/crash":
        os.abort()
    if environ["PATH_INFO"] == "/error":
        raise ZeroDivisionError
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]
"""
ADDRESS = ("--bind", "127.0.0.1:0")


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)


def test_quit_does_not_wait(run: Run) -> None:
    command = run("app:app", *ADDRESS, "--no-access-log")
    port = command.port()
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert command.line() == "slow begins\n"
        command.process.send_signal(signal.SIGQUIT)
        assert client.recv(100) == b""
    code, _, err = command.end()
    assert code == 0
    assert err.endswith("stopped before 1 request(s) could be finished\n")


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_log_files_are_opened_anew(
    supervise: Supervise, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    logs = ("--access-log", "access", "--error-log", "errors")
    one = supervise("app:app", *workers, *ADDRESS, *logs)
    port = one.port()
    access, errors = tmp_path / "access", tmp_path / "errors"
    assert ask(port, "/before") == b"/before"
    access.rename(tmp_path / "access.1")
    errors.rename(tmp_path / "errors.1")
    one.send(signal.SIGUSR1)
    while not access.exists() or not errors.exists():
        assert one.process.poll() is None
    # With workers, each one of them takes its own time.
    while "/after" not in access.read_text():
        assert ask(port, "/after") == b"/after"
    assert "/before" in (tmp_path / "access.1").read_text()
    while "ZeroDivisionError" not in errors.read_text():
        ask(port, "/error")
    one.send(signal.SIGTERM)
    assert one.end() == 0


def test_a_terminal_that_hangs_up_stops_it_and_another_hang_up_does_not(
    supervise: Supervise,
) -> None:
    master, slave = os.openpty()
    try:
        one = supervise("app:app", *ADDRESS, stdin=slave)
        port = one.port()
        one.send(signal.SIGHUP)
        assert ask(port, "/x") == b"/x"
    finally:
        os.close(slave)
        os.close(master)
    one.send(signal.SIGHUP)
    assert one.end() == 0


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["alone", "workers"])
def test_nohup(supervise: Supervise, workers: tuple[str, ...]) -> None:
    ignoring = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
    through = (sys.executable, "-c", f"{ignoring} os.execv(sys.argv[1], sys.argv[1:])")
    master, slave = os.openpty()
    try:
        one = supervise("app:app", *workers, *ADDRESS, stdin=slave, through=through)
        port = one.port()
    finally:
        os.close(slave)
        os.close(master)
    one.send(signal.SIGHUP)
    assert ask(port, "/x") == b"/x"
    one.send(signal.SIGTERM)
    assert one.end() == 0


def test_a_crash_leaves_a_traceback_on_the_error_log(run: Run, tmp_path: Path) -> None:
    command = run("app:app", *ADDRESS, "--no-access-log", "--error-log", "errors")
    port = command.port()
    with pytest.raises(ConnectionError):
        get(port, "/crash")
    assert command.end()[0] == -signal.SIGABRT
    log = (tmp_path / "errors").read_text()
    assert "Fatal Python error: Aborted" in log
    assert "app.py" in log


def test_a_certificate_that_is_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    code, out, err = run("app:app", *ADDRESS, "--certfile", "empty.pem").end()
    assert (code, out) == (1, "")
    assert err.startswith("greenworld.wsgi: ")
    assert "empty.pem" in err
    assert err.count("\n") == 1


def test_a_log_that_cannot_be_opened(run: Run) -> None:
    for workers in ((), ("--workers", "1")):
        code, out, err = run("app:app", *workers, *ADDRESS, "--error-log", "absent/errors").end()
        assert (code, out) == (1, "")
        assert "absent/errors" in err
        assert err.count("\n") == 1


def test_a_port_that_needs_a_privilege(run: Run) -> None:
    if os.geteuid() == 0 or int(privileged_ports()) <= 1:
        pytest.skip("this user may listen on port 1")
    code, _, err = run("app:app", "--bind", "127.0.0.1:1").end()
    assert code == 1
    assert "cannot listen on 127.0.0.1:1: Permission denied (ports below 1024 need" in err


def privileged_ports() -> str:
    path = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    return path.read_text() if path.exists() else "1024"


def test_the_end_of_the_lifeline_stops_it(tmp_path: Path, supervise: Supervise) -> None:
    ours, theirs = os.pipe()
    code = (
        "import sys; from greenworld.wsgi.command.running import run;"
        "from greenworld.wsgi.command.settings import Settings;"
        f"sys.exit(run(Settings(app='app:app', bind=('127.0.0.1:0',)), {ours}))"
    )
    try:
        one = supervise(through=(sys.executable, "-c", code), pass_fds=(ours,))
        port = one.port()
        assert ask(port, "/x") == b"/x"
    finally:
        os.close(ours)
        os.close(theirs)
    knock_until_refused(port)
    assert one.end() == 0
