"""The worker for Gunicorn, under the real Gunicorn: its life, its signals, its hooks, its logs."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gunicorn_process import APP, HOME, LIMIT, Gunicorn, Run, config

from greenworld.gunicorn import GreenWorker  # isort: skip - after the check that Gunicorn is there

HOOKS = """
def pre_request(worker, req):
    print("pre", req.method, req.path, flush=True)

def post_request(worker, req, environ, resp):
    print("post", req.path, resp.status, dict(resp.headers)["X-Kind"], resp.sent, flush=True)
"""

SLOW_START = """
import time
import greenworld.gunicorn

def patch_slowly():
    print("patching", flush=True)
    time.sleep(60)

greenworld.gunicorn.monkey_patch = patch_slowly
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "hooks.py").write_text(HOOKS)
    (tmp_path / "slow_start.py").write_text(SLOW_START)
    running: list[Gunicorn] = []

    def start(*options: str) -> Gunicorn:
        running.append(Gunicorn(tmp_path, *options))
        return running[-1]

    yield start
    for each in running:
        each.close()


def test_serves_patched_and_stops_on_term(run: Run) -> None:
    gunicorn = run()
    assert gunicorn.get("/patched") == b"greenworld.hub.lock"
    gunicorn.process.send_signal(signal.SIGTERM)
    assert gunicorn.end() == 0
    assert not [line for line in gunicorn.lines if "Traceback" in line or "ERROR" in line]


def test_a_worker_that_is_still_starting_stops_on_term(run: Run) -> None:
    gunicorn = run("-c", "slow_start.py")
    gunicorn.wait_for("patching")
    gunicorn.process.send_signal(signal.SIGTERM)
    assert gunicorn.end() == 0
    gunicorn.wait_for("Worker exiting")  # by itself: who is killed says nothing


def test_a_request_in_flight_is_finished_and_an_idle_connection_is_not_waited_for(
    run: Run, tmp_path: Path
) -> None:
    gunicorn = run("--keep-alive", "60")
    idle = http.client.HTTPConnection("127.0.0.1", gunicorn.port, timeout=LIMIT)
    idle.request("GET", "/idle")
    assert idle.getresponse().read() == b"/idle"
    slow = http.client.HTTPConnection("127.0.0.1", gunicorn.port, timeout=LIMIT)
    slow.request("GET", "/slow")
    gunicorn.wait_for("slow begins")
    gunicorn.process.send_signal(signal.SIGTERM)
    assert idle.sock.recv(1) == b""  # closed at once, while the other is still served
    (tmp_path / "go").touch()
    response = slow.getresponse()
    assert (response.read(), response.getheader("Connection")) == (b"/slow", "close")
    assert gunicorn.end() == 0
    idle.close()
    slow.close()


def test_a_reload_loses_no_request(run: Run) -> None:
    gunicorn = run("--workers", "2")
    gunicorn.wait_for("Booting worker", times=2)
    port = gunicorn.port
    answers: list[bytes] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            answers.append(gunicorn.get("/load"))

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    gunicorn.process.send_signal(signal.SIGHUP)
    gunicorn.wait_for("Booting worker", times=4)
    gunicorn.wait_for("Worker exiting", times=2)
    done.set()
    for client in clients:
        client.join(LIMIT)
    assert gunicorn.port == port
    assert answers
    assert set(answers) == {b"/load"}


def test_a_killed_worker_is_replaced(run: Run) -> None:
    gunicorn = run()
    first = int(gunicorn.get("/pid"))
    os.kill(first, signal.SIGKILL)
    gunicorn.wait_for("Booting worker", times=2)
    assert int(gunicorn.get("/pid")) != first


def test_a_worker_ends_after_max_requests(run: Run) -> None:
    gunicorn = run("--max-requests", "3")
    pids = {int(gunicorn.get("/pid")) for _ in range(3)}
    gunicorn.wait_for("Autorestarting worker")
    gunicorn.wait_for("Booting worker", times=2)
    assert len(pids) == 1
    assert int(gunicorn.get("/pid")) not in pids


def test_a_worker_whose_hub_does_not_turn_is_killed(run: Run) -> None:
    gunicorn = run("--timeout", "4")
    stuck = socket.create_connection(("127.0.0.1", gunicorn.port), timeout=LIMIT)
    stuck.sendall(b"GET /hog HTTP/1.1\r\nHost: a\r\n\r\n")
    gunicorn.wait_for("WORKER TIMEOUT")
    gunicorn.wait_for("Booting worker", times=2)
    assert gunicorn.get("/alive") == b"/alive"
    stuck.close()


def test_hooks_and_the_access_log(run: Run) -> None:
    gunicorn = run("-c", "hooks.py", "--access-logfile", "-")
    assert gunicorn.get("/here?a=b") == b"/here"
    gunicorn.wait_for("pre GET /here")
    gunicorn.wait_for("post /here 200 OK test 5")
    gunicorn.wait_for(
        r'127\.0\.0\.1 - - \[[^]]+\] "GET /here\?a=b HTTP/1\.1" 200 5 "-" "-"',
    )


def test_errors_go_to_gunicorns_log(run: Run) -> None:
    gunicorn = run()
    assert b"could not answer" in gunicorn.get("/fail")
    gunicorn.wait_for(r"\[ERROR\] greenworld\.wsgi: error in the application, answering GET /fail")
    gunicorn.wait_for("ValueError: on purpose")
    with socket.create_connection(("127.0.0.1", gunicorn.port), timeout=LIMIT) as client:
        client.sendall(b"no request\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    gunicorn.wait_for(r"\[WARNING\] Invalid request from ip=127\.0\.0\.1")


def test_limits_and_forwarded_scheme_are_gunicorns(run: Run) -> None:
    gunicorn = run("--limit-request-line", "100", "--forwarded-allow-ips", "127.0.0.1")
    connection = http.client.HTTPConnection("127.0.0.1", gunicorn.port, timeout=LIMIT)
    connection.request("GET", "/scheme", headers={"X-Forwarded-Proto": "https"})
    assert connection.getresponse().read() == b"https"
    connection.request("GET", "/scheme")
    assert connection.getresponse().read() == b"http"
    connection.request("GET", "/" + 100 * "x")
    response = connection.getresponse()
    assert (response.status, len(response.read()) > 0) == (414, True)
    connection.close()


def test_a_stranger_says_nothing_about_the_scheme(run: Run) -> None:
    gunicorn = run("--forwarded-allow-ips", "10.0.0.0/8")
    connection = http.client.HTTPConnection("127.0.0.1", gunicorn.port, timeout=LIMIT)
    connection.request("GET", "/scheme", headers={"X-Forwarded-Proto": "https"})
    assert connection.getresponse().read() == b"http"
    connection.close()


def test_a_unix_socket_outlives_its_workers(run: Run, tmp_path: Path) -> None:
    gunicorn = run("--bind", f"unix:{tmp_path}/socket", "--max-requests", "1")
    gunicorn.wait_for("Booting worker")
    for turn in range(2):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT)
            client.connect(f"{tmp_path}/socket")
            client.sendall(b"GET /turn HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").read().endswith(b"\r\n\r\n/turn")
        gunicorn.wait_for("Booting worker", times=turn + 2)
    gunicorn.process.send_signal(signal.SIGTERM)
    assert gunicorn.end() == 0


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("protocol = 'uwsgi'", "speaks HTTP: make protocol 'http'"),
        ("header_map = 'dangerous'", "make header_map 'drop' or 'refuse'"),
    ],
)
def test_what_it_cannot_do_is_refused(
    run: Run, tmp_path: Path, setting: str, complaint: str
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(setting)
    gunicorn = run()
    assert gunicorn.end() != 0
    assert complaint in gunicorn.said


def test_http_2_is_refused() -> None:
    """Asked directly: Gunicorn refuses it too, where the library for it is missing."""
    cfg = config.Config()
    cfg.set("http_protocols", "h2,h1")
    with pytest.raises(RuntimeError, match="take h2 out of http_protocols"):
        GreenWorker.check_config(cfg, None)


def test_preloading_an_application_is_warned_of(run: Run) -> None:
    gunicorn = run("--preload")
    gunicorn.wait_for("preload_app: the application is imported before greenworld has patched")
    assert gunicorn.get("/patched") == b"greenworld.hub.lock"


def test_importing_the_module_patches_nothing() -> None:
    code = (
        "import threading, greenworld.gunicorn; from greenworld.patches import is_monkey_patched; "
        "from greenworld.hub.current import has_hub; "
        "print(is_monkey_patched('socket'), has_hub(), threading.active_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert done.stdout == "False False 1\n"
