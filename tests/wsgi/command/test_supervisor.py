"""Workers under a supervisor: real processes, real signals, real connections."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.wsgi.command.process import knock_until_refused
from tests.wsgi.command.workers import (
    LIMIT,
    Caller,
    Supervise,
    Supervised,
    ask,
    wait_until_gone,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for processes"),
]

APP = """
import os, time

VERSION = b"one"
BORN_IN = os.getpid()
PATCHED = time.sleep.__module__ != "time"

def say(text):  # in one piece: the workers share the pipe
    os.write(2, f"{text} {os.getpid()}\\n".encode())

say("imported by")

def pid(environ):
    return b"%d" % os.getpid()

def version(environ):
    return VERSION

def facts(environ):
    return f"{environ['wsgi.multiprocess']} {PATCHED} {BORN_IN == os.getpid()}".encode()

def slow(environ):
    say("slow in")
    while not os.path.exists("go"):
        time.sleep(0.01)
    return b"slow"

def stuck(environ):
    say("stuck in")
    while True:
        pass

def app(environ, start_response):
    body = globals()[environ["PATH_INFO"].strip("/") or "pid"](environ)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

class Empty(list):  # an application that is false
    __call__ = staticmethod(app)

empty = Empty()
"""
ADDRESS = ("--bind", "127.0.0.1:0", "--no-access-log")
REQUEST = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)


def test_workers_serve_and_stop(supervise: Supervise) -> None:
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    port = crew.port()
    pids = crew.ready(2)
    assert crew.out.text == f"Listening on http://127.0.0.1:{port}\n"
    assert ask(port, "/facts") == b"True True True"
    assert int(ask(port)) in pids
    assert {int(m[1]) for m in crew.err.wait_for(r"imported by (\d+)", 2)} == set(pids)
    crew.send(signal.SIGTERM)
    assert crew.end() == 0
    assert len(crew.err.wait_for("ended with exit code 0", 2)) == 2
    with pytest.raises(ConnectionRefusedError):
        ask(port)


def test_a_stop_closes_what_is_idle_and_finishes_what_is_not(
    supervise: Supervise, tmp_path: Path
) -> None:
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    port = crew.port()
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT) as idle,
        socket.create_connection(("127.0.0.1", port), LIMIT) as busy,
    ):
        idle.sendall(REQUEST % b"pid")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        busy.sendall(REQUEST % b"slow")
        crew.err.wait_for("slow in")
        os.killpg(crew.process.pid, signal.SIGTERM)  # as a service manager does
        knock_until_refused(port)
        assert idle.recv(1000) == b""
        (tmp_path / "go").touch()
        with busy.makefile("rb") as file:
            reply = file.read()
    assert b"\r\nConnection: close\r\n" in reply
    assert reply.endswith(b"\r\n\r\nslow")
    assert crew.end() == 0


@pytest.mark.parametrize(
    ("signals", "code"),
    [((signal.SIGQUIT,), 0), ((signal.SIGTERM, signal.SIGINT), -signal.SIGINT)],
    ids=["QUIT", "a second one"],
)
def test_ends_at_once(supervise: Supervise, signals: tuple[int, ...], code: int) -> None:
    crew = supervise("app:app", "--workers", "1", *ADDRESS)
    port = crew.port()
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        client.sendall(REQUEST % b"slow")
        crew.err.wait_for("slow in")
        for number in signals:
            crew.send(number)
            knock_until_refused(port)
        try:
            assert client.recv(100) == b""
        except ConnectionResetError:
            pass
    assert crew.end() == code


def test_a_killed_worker_takes_only_its_own_requests_along(supervise: Supervise) -> None:
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    port = crew.port()
    pids = crew.ready(2)
    callers = [Caller(port, keep_alive=True) for _ in range(12)]
    for caller in callers:
        caller.wait_for(5)
    victim = next(pid for pid in pids if any(c.held_by == b"%d" % pid for c in callers))
    os.kill(victim, signal.SIGKILL)
    crew.err.wait_for(rf"worker \d, process {victim}, was ended by SIGKILL: another one takes")
    crew.ready(3)
    for caller in callers:
        caller.wait_for(5)
    for caller in callers:
        failures = caller.stop()
        assert len(failures) <= 1
        assert all(f"(held by {victim})" in failure for failure in failures), failures
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


def test_a_reload_loses_no_request(supervise: Supervise, tmp_path: Path) -> None:
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    port = crew.port()
    old = crew.ready(2)
    callers = [Caller(port, keep_alive=n % 2 == 0, path="/version") for n in range(8)]
    for caller in callers:
        caller.wait_for(3)
    (tmp_path / "app.py").write_text(APP.replace('b"one"', 'b"two, at last"'))
    crew.send(signal.SIGHUP)
    crew.err.wait_for("reloaded: the new workers serve")
    for pid in old:
        crew.err.wait_for(f"process {pid}, ended with exit code 0")
    for caller in callers:
        caller.wait_for(3)
    for caller in callers:
        assert caller.stop() == []
        assert {caller.answers[0], caller.answers[-1]} == {b"one", b"two, at last"}
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


def test_a_reload_that_fails_changes_nothing(supervise: Supervise, tmp_path: Path) -> None:
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    port = crew.port()
    old = crew.ready(2)
    (tmp_path / "app.py").write_text("import no_such_thing\n")
    crew.send(signal.SIGHUP)
    crew.err.wait_for("reload given up: the workers that served go on")
    assert crew.err.text.count("greenworld.wsgi: module 'app' cannot be imported") == 1
    assert int(ask(port)) in old
    (tmp_path / "app.py").write_text(APP.replace('b"one"', 'b"mended"'))
    crew.send(signal.SIGHUP)
    crew.err.wait_for("reloaded: the new workers serve")
    for pid in old:
        crew.err.wait_for(f"process {pid}, ended with exit code 0")
    assert ask(port, "/version") == b"mended"
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


def test_a_reload_is_overtaken_by_the_next_one(supervise: Supervise, tmp_path: Path) -> None:
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    port = crew.port()
    old = crew.ready(2)
    (tmp_path / "app.py").write_text(
        "import os, time\nos.write(2, b'stays away\\n')\ntime.sleep(1000)\n"
    )
    crew.send(signal.SIGHUP)
    crew.err.wait_for("stays away", 2)
    assert int(ask(port)) in old
    (tmp_path / "app.py").write_text(APP.replace('b"one"', 'b"two"'))
    crew.send(signal.SIGHUP)
    crew.err.wait_for("was ended by SIGTERM", 2)
    crew.err.wait_for("reloaded: the new workers serve")
    for pid in old:
        crew.err.wait_for(f"process {pid}, ended with exit code 0")
    assert ask(port, "/version") == b"two"
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


def test_more_and_fewer_workers(supervise: Supervise) -> None:
    crew = supervise("app:app", "--workers", "1", *ADDRESS)
    port = crew.port()
    crew.send(signal.SIGTTIN)
    first, second = crew.ready(2)
    crew.send(signal.SIGTTOU)
    crew.err.wait_for(f"worker 2, process {second}, ended with exit code 0")
    crew.send(signal.SIGTTOU)
    crew.err.wait_for("the last worker stays")
    assert int(ask(port)) == first
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


def test_a_worker_is_replaced_after_so_many_requests(supervise: Supervise) -> None:
    limits = ("--max-requests", "40", "--max-requests-jitter", "10")
    crew = supervise("app:app", "--workers", "2", *limits, *ADDRESS)
    port = crew.port()
    callers = [Caller(port, keep_alive=n % 2 == 0) for n in range(6)]
    pids = crew.ready(5)  # three have been replaced
    for pid in pids[:2]:
        crew.err.wait_for(f"process {pid}, ended with exit code 0")
    for caller in callers:
        assert caller.stop() == []
    served = [pid for caller in callers for pid in caller.answers]
    assert min(served.count(b"%d" % pid) for pid in pids[:2]) >= 40
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


def test_workers_that_fail_are_started_less_and_less_often(
    supervise: Supervise, tmp_path: Path
) -> None:
    bomb = "import os\nif os.path.exists('bomb'): os._exit(7)\n"
    (tmp_path / "app.py").write_text(bomb + APP)
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    crew.port()
    first, _ = crew.ready(2)
    (tmp_path / "bomb").touch()
    os.kill(first, signal.SIGKILL)
    found = crew.err.wait_for(r"next try for worker \d in ([\d.]+) s", 3)
    assert [match[1] for match in found[:3]] == ["0.2", "0.4", "0.8"]
    crew.err.wait_for(r"process \d+, ended with exit code 7 while it started")
    (tmp_path / "bomb").unlink()
    crew.ready(3)
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


def test_if_none_can_be_loaded_the_reason_is_told_once(
    supervise: Supervise, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("1 / 0\n")
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    assert crew.end() == 1
    assert crew.out.text == ""
    assert crew.err.text.count("ZeroDivisionError: division by zero\n") == 2
    assert crew.err.text.count("Traceback") == 1
    assert len(crew.err.wait_for(r"worker \d, process \d+, could not start", 2)) == 2
    assert crew.err.seen[-1].endswith("greenworld.wsgi: no worker could start\n")


def test_if_all_die_while_they_start(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    assert crew.end() == 3
    crew.err.wait_for(r"process \d+, was ended by SIGKILL while it started", 2)


def test_an_address_in_use(supervise: Supervise) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        crew = supervise("app:app", "--workers", "2", "--bind", address)
        assert crew.end() == 1
    assert crew.err.text == (
        f"greenworld.wsgi: cannot listen on {address}: Address already in use\n"
    )


def test_a_worker_whose_hub_does_not_turn(supervise: Supervise) -> None:
    crew = supervise("app:app", "--workers", "1", "--worker-timeout", "2", *ADDRESS)
    port = crew.port()
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        client.sendall(REQUEST % b"stuck")
        pid = crew.err.wait_for(r"stuck in (\d+)")[0][1]
        crew.err.wait_for(f"process {pid}, has given no sign of life for 2 s: ended")
        crew.err.wait_for(r"File .*app\.py.*, line \d+ in stuck")
        crew.err.wait_for(f"process {pid}, was ended by SIGABRT")
    while (now := int(ask(port))) == int(pid):
        pass
    crew.send(signal.SIGTERM)
    assert crew.end() == 0
    assert now != int(pid)


def test_workers_do_not_outlive_the_supervisor(supervise: Supervise, tmp_path: Path) -> None:
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    port = crew.port()
    pids = crew.ready(2)
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        client.sendall(REQUEST % b"slow")
        crew.err.wait_for("slow in")
        crew.send(signal.SIGKILL)
        knock_until_refused(port)
        (tmp_path / "go").touch()
        with client.makefile("rb") as file:
            assert file.read().endswith(b"\r\n\r\nslow")
    assert crew.end() == -signal.SIGKILL
    wait_until_gone(*pids)


def test_a_worker_that_is_told_to_stop_is_replaced(supervise: Supervise) -> None:
    crew = supervise("app:app", "--workers", "1", *ADDRESS)
    crew.port()
    (pid,) = crew.ready(1)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTTIN):
        os.kill(pid, number)  # meant for the supervisor
    os.kill(pid, signal.SIGTERM)
    crew.err.wait_for(f"process {pid}, ended with exit code 0: another one takes its place")
    assert int(ask(crew.port())) == crew.ready(2)[1]
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


@pytest.mark.parametrize("patch", [(), ("--no-patch",)], ids=["patched", "as it is"])
def test_preload(supervise: Supervise, tmp_path: Path, patch: tuple[str, ...]) -> None:
    crew = supervise("app:empty", "--workers", "2", "--preload", *patch, *ADDRESS)
    port = crew.port()
    assert ask(port, "/facts") == f"True {not patch} False".encode()
    callers = [Caller(port, keep_alive=True) for _ in range(4)]
    for caller in callers:
        caller.wait_for(3)
    crew.send(signal.SIGHUP)
    crew.err.wait_for("2 new workers with the code as it was loaded")
    crew.err.wait_for("reloaded: the new workers serve")
    for caller in callers:
        caller.wait_for(3)
        assert caller.stop() == []
    found = crew.err.wait_for(r"imported by (\d+)")
    assert [int(match[1]) for match in found] == [crew.process.pid]
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


def test_preload_of_what_cannot_be_loaded(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("1 / 0\n")
    crew = supervise("app:app", "--workers", "2", "--preload", *ADDRESS)
    assert crew.end() == 1
    assert crew.err.seen[0].startswith("Traceback")
    assert "ready" not in crew.err.text


def test_a_worker_with_its_own_sockets_leaves_its_queue_to_the_next(supervise: Supervise) -> None:
    crew = supervise("app:app", "--workers", "2", "--reuse-port", *ADDRESS)
    port = crew.port()
    stopped, _ = crew.ready(2)
    os.kill(stopped, signal.SIGSTOP)
    while state_of(stopped) != "T":
        pass
    clients = [socket.create_connection(("127.0.0.1", port), LIMIT) for _ in range(32)]
    for client in clients:
        client.sendall(REQUEST % b"pid")
    os.kill(stopped, signal.SIGKILL)
    crew.ready(3)
    for client in clients:
        with client:
            assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    crew.send(signal.SIGTTOU)
    crew.err.wait_for("worker 2, process .*, ended with exit code 0")
    for _ in range(8):
        assert ask(port).isdigit()
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def no_descriptors_for(pid: int) -> Iterator[None]:
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    least = min(set(range(1000)) - {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")})
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (least, limits[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def test_running_out_of_descriptors(supervise: Supervise) -> None:
    crew = supervise("app:app", "--workers", "2", "--reuse-port", *ADDRESS)
    port = crew.port()
    pid, _ = crew.ready(2)
    with no_descriptors_for(crew.process.pid):
        crew.send(signal.SIGTTIN)
        crew.err.wait_for("cannot add a worker: Too many open files")
        os.kill(pid, signal.SIGKILL)
        # The end of the dead one's line is free again for one end of the next one's.
        crew.err.wait_for("cannot start a worker: Too many open files; next try in")
    crew.ready(3)
    assert ask(port).isdigit()
    crew.send(signal.SIGTERM)
    assert crew.end() == 0


def test_workers_that_were_held_up_with_the_supervisor_are_spared(supervise: Supervise) -> None:
    crew = supervise("app:app", "--workers", "2", "--worker-timeout", "2", *ADDRESS)
    port = crew.port()
    pids = crew.ready(2)
    os.killpg(crew.process.pid, signal.SIGSTOP)
    time.sleep(4)  # longer than the time-out: it is what this is about
    os.killpg(crew.process.pid, signal.SIGCONT)
    assert int(ask(port)) in pids
    crew.send(signal.SIGTERM)
    assert crew.end() == 0
    assert "no sign of life" not in crew.err.text


def test_a_unix_socket_is_removed_by_the_supervisor(supervise: Supervise, tmp_path: Path) -> None:
    crew = supervise("app:app", "--workers", "2", "--bind", "unix:socket?mode=600")
    crew.out.wait_for("Listening on unix:socket\n")
    path = tmp_path / "socket"
    pid = crew.ready(2)[0]
    os.kill(pid, signal.SIGTERM)
    crew.ready(3)
    assert path.is_socket()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(str(path))
        client.sendall(REQUEST % b"pid")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    crew.send(signal.SIGTERM)
    assert crew.end() == 0
    assert not path.exists()


def test_a_stop_while_workers_start(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os, time\nos.write(2, b'starting\\n')\ntime.sleep(1000)\n"
    )
    crew = supervise("app:app", "--workers", "2", *ADDRESS)
    crew.err.wait_for("starting", 2)
    crew.send(signal.SIGTERM)
    assert crew.end() == 0
    assert len(crew.err.wait_for("was ended by SIGTERM", 2)) == 2


def test_a_terminal_that_hangs_up_stops_it(supervise: Supervise) -> None:
    master, slave = os.openpty()
    try:
        crew: Supervised = supervise("app:app", "--workers", "1", *ADDRESS, stdin=slave)
        crew.port()
    finally:
        os.close(slave)
        os.close(master)
    crew.send(signal.SIGHUP)
    assert crew.end() == 0
    assert "reload" not in crew.err.text
