"""Gunicorn's settings and signals, each with the real Gunicorn and greenworld's worker."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.gunicorn_process import APP, LIMIT, Gunicorn, Run

pytestmark = pytest.mark.slow

PROXY = b"PROXY TCP4 192.0.2.1 10.0.0.2 56324 443\r\n"
LAST = b"GET /environ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"

HOOKS = """
def say(what, *parameters):
    exec(f"def hook({', '.join(parameters)}): print('hook', {what!r}, flush=True)", found := {})
    globals()[what] = found["hook"]

for name in ("on_starting", "when_ready", "on_exit"):
    say(name, "server")
for name in ("pre_fork", "post_fork", "worker_exit", "child_exit"):
    say(name, "server", "worker")
for name in ("post_worker_init", "worker_int"):
    say(name, "worker")
say("nworkers_changed", "server", "new", "old")
"""

TLS_HOOK = """
import ssl

def ssl_context(config, default_ssl_context_factory):
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    (tmp_path / "app.py").write_text(APP)
    running: list[Gunicorn] = []

    def start(*options: str, command: tuple[str, ...] = ()) -> Gunicorn:
        running.append(Gunicorn(tmp_path, *options, command=command))
        return running[-1]

    yield start
    for each in running:
        each.close()


def exchange(port: int, data: bytes) -> bytes:
    """Send, and read until the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
        client.sendall(data)
        return b"".join(iter(lambda: client.recv(65536), b""))


class Clients:
    """Threads that ask again and again, each over one connection as long as that is kept open.

    A request on which nothing was answered is asked again: a server may close an idle connection
    just when it is sent. One that was answered in part is lost.
    """

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.answered = 0
        self.lost: list[Exception] = []
        self.over = threading.Event()
        self.news = threading.Condition()
        self.threads = [threading.Thread(target=self._ask_on) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _ask_on(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        while not self.over.is_set():
            try:
                client.request("GET", "/load")
                response = client.getresponse()
            except ConnectionRefusedError:
                break
            except (ConnectionError, http.client.RemoteDisconnected):
                client.close()
                continue
            try:
                assert (response.status, response.read()) == (200, b"/load")
            except Exception as error:  # noqa: BLE001 - told by the main thread
                self.lost.append(error)
                break
            with self.news:
                self.answered += 1
                self.news.notify_all()
        client.close()

    def wait_for(self, more: int) -> None:
        """Wait for so many further answers."""
        with self.news:
            enough = self.answered + more
            assert self.news.wait_for(lambda: self.answered >= enough or self.lost, LIMIT)

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(LIMIT)
        assert self.lost == []


# Signals


@pytest.mark.parametrize("workers", ["1", "2"])
def test_term_under_load_cuts_no_answer(run: Run, workers: str) -> None:
    gunicorn = run("--workers", workers)
    clients = Clients(gunicorn.port, 8)
    clients.wait_for(100)
    gunicorn.signal(signal.SIGTERM)
    assert gunicorn.end() == 0
    clients.end()


def test_quit_waits_for_nobody(run: Run) -> None:
    gunicorn = run("--graceful-timeout", "1000")
    slow = gunicorn.connect()
    slow.request("GET", "/slow")
    gunicorn.wait_for("slow begins")
    gunicorn.signal(signal.SIGQUIT)
    assert gunicorn.end() == 0
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        slow.getresponse()
    slow.close()


def test_a_request_that_takes_longer_than_the_graceful_time_is_ended(run: Run) -> None:
    gunicorn = run("--graceful-timeout", "1")
    slow = gunicorn.connect()
    slow.request("GET", "/slow")
    gunicorn.wait_for("slow begins")
    gunicorn.signal(signal.SIGTERM)
    assert gunicorn.end() == 0
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        slow.getresponse()
    slow.close()
    gunicorn.wait_for(r"stopped before 1 request\(s\) could be finished")


def test_ttin_and_ttou_under_load(run: Run) -> None:
    gunicorn = run()
    clients = Clients(gunicorn.port, 4)
    gunicorn.signal(signal.SIGTTIN)
    gunicorn.wait_for("Booting worker", times=2)
    clients.wait_for(100)
    gunicorn.signal(signal.SIGTTOU)
    gunicorn.wait_for("Worker exiting")
    clients.wait_for(100)
    clients.end()


def test_a_reload_holds_up_no_idle_connection(run: Run) -> None:
    gunicorn = run("--keep-alive", "1000")
    idle = gunicorn.connect()
    idle.request("GET", "/pid")
    before = idle.getresponse().read()
    gunicorn.signal(signal.SIGHUP)
    assert idle.sock.recv(1) == b""
    gunicorn.wait_for("Worker exiting")
    assert gunicorn.get("/pid") != before
    idle.close()


def test_usr1_opens_the_logs_again(run: Run, tmp_path: Path) -> None:
    log, old = tmp_path / "access.log", tmp_path / "access.old"
    gunicorn = run("--access-logfile", str(log))
    gunicorn.get("/before")
    log.rename(old)
    gunicorn.signal(signal.SIGUSR1)
    while not log.exists() or "/after" not in log.read_text():  # master and worker, one by one
        assert gunicorn.get("/after") == b"/after"
    assert "/before" in old.read_text()


def test_usr2_starts_a_second_master_on_the_same_socket(run: Run) -> None:
    """The first one stops then, under load; no answer is cut."""
    script = Path(sys.executable).with_name("gunicorn")
    if not script.exists():
        pytest.skip(f"there is no script {script}, and Gunicorn cannot run itself again without")
    gunicorn = run(command=(str(script),))
    clients = Clients(gunicorn.port, 4)
    clients.wait_for(10)
    gunicorn.signal(signal.SIGUSR2)
    second = int(gunicorn.wait_for(r"Listening at: \S+ \((\d+)\)", times=2))
    try:
        gunicorn.wait_for("Booting worker", times=2)
        gunicorn.signal(signal.SIGTERM)
        assert gunicorn.process.wait(LIMIT) == 0
        clients.wait_for(100)
        assert int(gunicorn.get("/master")) == second
        clients.end()
    finally:
        os.kill(second, signal.SIGTERM)
    gunicorn.wait_for("Shutting down: Master", times=2)


def test_one_of_two_workers_is_killed_under_load(run: Run) -> None:
    gunicorn = run("--workers", "2")
    gunicorn.wait_for("Booting worker", times=2)
    clients = Clients(gunicorn.port, 4)
    clients.wait_for(50)
    os.kill(int(gunicorn.get("/pid")), signal.SIGKILL)
    gunicorn.wait_for("Booting worker", times=3)
    clients.wait_for(200)
    clients.over.set()
    for thread in clients.threads:
        thread.join(LIMIT)
    assert len(clients.lost) <= len(clients.threads)  # what it was about to send


# Settings


def test_max_requests_with_jitter(run: Run) -> None:
    gunicorn = run("--max-requests", "2", "--max-requests-jitter", "2")
    for _ in range(4):
        gunicorn.get("/")
    gunicorn.wait_for("Autorestarting worker")
    gunicorn.wait_for("Booting worker", times=2)


def test_max_requests_under_load(run: Run) -> None:
    gunicorn = run("--workers", "2", "--max-requests", "100", "--max-requests-jitter", "50")
    clients = Clients(gunicorn.port, 4)
    gunicorn.wait_for("Booting worker", times=6)
    clients.wait_for(50)
    clients.end()


def test_worker_connections_bounds_them(run: Run) -> None:
    gunicorn = run("--worker-connections", "1", "--keep-alive", "1000")
    first, second = gunicorn.connect(), gunicorn.connect()
    for number in (b"1", b"2"):
        first.request("GET", "/count")
        assert first.getresponse().read() == number
        second.request("GET", "/count")  # waits, unread, until the first has closed
        if number == b"1":
            second.sock.shutdown(socket.SHUT_WR)
            second, waiting = gunicorn.connect(), second
    first.close()
    answers = {waiting.getresponse().read(), second.getresponse().read()}
    assert answers == {b"3", b"4"}
    waiting.close()
    second.close()


def test_keepalive_bounds_how_long_a_connection_is_idle(run: Run) -> None:
    gunicorn = run("--keep-alive", "1")
    idle = gunicorn.connect()
    idle.request("GET", "/")
    response = idle.getresponse()
    response.read()
    assert response.getheader("Connection") is None
    assert idle.sock.recv(1) == b""
    idle.close()


def test_no_keepalive(run: Run) -> None:
    gunicorn = run("--keep-alive", "0")
    client = gunicorn.connect()
    client.request("GET", "/")
    assert client.getresponse().getheader("Connection") == "close"
    client.close()


def test_limits_on_fields(run: Run) -> None:
    gunicorn = run("--limit-request-fields", "5", "--limit-request-field_size", "100")
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(5))
    assert exchange(gunicorn.port, LAST + b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert exchange(gunicorn.port, LAST + many + b"\r\n").startswith(b"HTTP/1.1 431 ")
    large = b"X: " + 1000 * b"x" + b"\r\n"
    assert exchange(gunicorn.port, LAST + large + b"\r\n").startswith(b"HTTP/1.1 431 ")


def test_underscores_in_names(run: Run, tmp_path: Path) -> None:
    posing = LAST + b"X_Forwarded_For: 10.1.2.3\r\n\r\n"
    gunicorn = run()
    assert b"10.1.2.3" not in exchange(gunicorn.port, posing)
    (tmp_path / "gunicorn.conf.py").write_text("header_map = 'refuse'")
    gunicorn = run()
    assert exchange(gunicorn.port, posing).startswith(b"HTTP/1.1 400 ")


def test_reuse_port(run: Run) -> None:
    with socket.socket() as holder:  # keeps the port for them: it listens nowhere
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        gunicorn = run("--reuse-port", "--workers", "2", "--bind", f"127.0.0.1:{port}")
        gunicorn.wait_for("Booting worker", times=2)
        pids: set[bytes] = set()
        while len(pids) < 2:
            try:
                answer = exchange(port, b"GET /pid HTTP/1.0\r\n\r\n")
            except ConnectionError:  # the workers are still starting
                continue
            pids.add(answer.rpartition(b"\r\n")[2])


def test_an_application_that_is_loaded_after_the_patch(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("import greenworld; greenworld.monkey_patch()")
    gunicorn = run("--preload", "--workers", "2")
    assert gunicorn.get("/patched") == b"greenworld.hub.lock"
    gunicorn.signal(signal.SIGTERM)
    assert gunicorn.end() == 0
    assert "WARNING" not in gunicorn.said


def test_every_hook_of_a_workers_life_is_called(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(HOOKS)
    gunicorn = run()
    for name in ("on_starting", "when_ready", "pre_fork", "post_fork", "post_worker_init"):
        gunicorn.wait_for(f"hook {name}\\b")
    gunicorn.wait_for("hook nworkers_changed")
    gunicorn.get("/")
    gunicorn.signal(signal.SIGINT)
    assert gunicorn.end() == 0
    for name in ("worker_int", "worker_exit", "child_exit", "on_exit"):
        gunicorn.wait_for(f"hook {name}\\b")


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.certificate)


def test_tls_and_what_it_says(run: Run, authority: Authority) -> None:
    certificate, key = authority.issue()
    gunicorn = run("--certfile", certificate, "--keyfile", key, "--workers", "2")
    assert gunicorn.get("/scheme", trusting(authority)) == b"https"
    environ = json.loads(gunicorn.get("/environ", trusting(authority)))
    assert (environ["HTTPS"], environ["SSL_PROTOCOL"]) == ("on", "TLSv1.3")
    assert exchange(gunicorn.port, LAST + b"\r\n").startswith(b"HTTP/1.1 400 ")
    gunicorn.wait_for(r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: this port speaks HTTPS")
    gunicorn.signal(signal.SIGTERM)
    assert gunicorn.end() == 0
    assert "Traceback" not in gunicorn.said


def test_a_renewed_certificate_is_taken_with_a_reload(
    run: Run, authority: Authority, tmp_path: Path
) -> None:
    served = [tmp_path / "certificate.pem", tmp_path / "key.pem"]

    def install(name: str) -> None:
        for target, source in zip(served, authority.issue("localhost", name), strict=True):
            target.write_bytes(Path(source).read_bytes())

    def names() -> set[str]:
        context = trusting(authority)
        with socket.create_connection(("127.0.0.1", gunicorn.port), LIMIT) as sock:
            client = context.wrap_socket(sock, server_hostname="localhost")
            certificate: Any = client.getpeercert()
            client.close()
        return {value for _, value in certificate["subjectAltName"]}

    install("old.example.org")
    gunicorn = run("--certfile", str(served[0]), "--keyfile", str(served[1]))
    assert "old.example.org" in names()
    install("new.example.org")
    gunicorn.signal(signal.SIGHUP)
    gunicorn.wait_for("Worker exiting")
    assert "new.example.org" in names()


def test_clients_certificates(run: Run, authority: Authority) -> None:
    certificate, key = authority.issue()
    gunicorn = run(
        *("--certfile", certificate, "--keyfile", key),
        *("--ca-certs", authority.certificate, "--cert-reqs", "2"),
    )
    context = trusting(authority)
    with pytest.raises(OSError, match=r"(?i)alert|reset|broken pipe|eof"):
        gunicorn.get("/environ", context)
    context.load_cert_chain(*authority.issue(subject="/CN=somebody"))
    environ = json.loads(gunicorn.get("/environ", context))
    assert environ["SSL_CLIENT_S_DN"] == "CN=somebody"


def test_the_hook_for_the_context(run: Run, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(TLS_HOOK)
    certificate, key = authority.issue()
    gunicorn = run("--certfile", certificate, "--keyfile", key)
    context = trusting(authority)
    assert gunicorn.get("/scheme", context) == b"https"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        gunicorn.get("/scheme", context)
    gunicorn.wait_for(r"\[ERROR\] .* no TLS handshake: unsupported protocol")


def test_a_key_that_does_not_fit_ends_gunicorn(run: Run, authority: Authority) -> None:
    gunicorn = run("--certfile", authority.issue().certificate, "--keyfile", authority.issue().key)
    assert gunicorn.end() != 0
    assert "KEY_VALUES_MISMATCH" in gunicorn.said


# The PROXY protocol


def body_of(answer: bytes) -> dict[str, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    found: dict[str, str] = json.loads(body)
    return found


@pytest.mark.parametrize("mode", ["v1", "v2", "auto"])
def test_the_header_names_the_client(run: Run, mode: str) -> None:
    gunicorn = run("--proxy-protocol", mode, "--access-logfile", "-")
    environ = body_of(exchange(gunicorn.port, PROXY + LAST + b"\r\n"))
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.1", "56324")
    gunicorn.wait_for(r'192\.0\.2\.1 - - \[[^]]+\] "GET /environ')


def test_the_clients_own_headers_are_not_believed(run: Run) -> None:
    """The proxy may pass them on as they came: it is the client whose word they are."""
    gunicorn = run("--proxy-protocol", "v1")
    answer = exchange(gunicorn.port, PROXY + LAST + b"X-Forwarded-Proto: https\r\n\r\n")
    assert body_of(answer)["wsgi.url_scheme"] == "http"


def test_a_connection_without_the_header_is_closed(run: Run) -> None:
    gunicorn = run("--proxy-protocol", "auto")
    assert refused(gunicorn.port, LAST + b"\r\n")
    gunicorn.wait_for(r"\[ERROR\] greenworld\.wsgi: connection from 127\.0\.0\.1 closed: bad PROXY")


def test_the_header_is_believed_from_some_alone(run: Run) -> None:
    gunicorn = run("--proxy-protocol", "v1", "--proxy-allow-from", "10.0.0.0/8")
    assert refused(gunicorn.port, PROXY + LAST + b"\r\n")
    gunicorn.wait_for(r"closed: it is no trusted proxy")


def refused(port: int, data: bytes) -> bool:
    """Whether the connection is closed without an answer."""
    try:
        return exchange(port, data) == b""
    except ConnectionResetError:
        return True


def test_the_header_on_a_unix_socket_then_tls(
    run: Run, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue()
    gunicorn = run(
        *("--bind", f"unix:{tmp_path}/socket", "--proxy-protocol", "v2"),
        *("--certfile", certificate, "--keyfile", key),
    )
    gunicorn.wait_for("Booting worker")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(LIMIT)
        sock.connect(f"{tmp_path}/socket")
        sock.sendall(PROXY)
        with trusting(authority).wrap_socket(sock, server_hostname="localhost") as client:
            client.sendall(LAST + b"\r\n")
            environ = body_of(b"".join(iter(lambda: client.recv(65536), b"")))
    assert (environ["REMOTE_ADDR"], environ["HTTPS"]) == ("192.0.2.1", "on")
