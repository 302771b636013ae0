"""WebSocket libraries, unchanged, on connections that they take over; and real clients."""

from __future__ import annotations

import importlib.util
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

LIMIT = 40.0
NEEDED = ("flask_sock", "simple_websocket", "wsproto", "websockets", "websocket")
SITE = Path(__file__).with_name("websocket_site.py")


class Site:
    """The site in a process of its own."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.certificate = certificate
        arguments = [str(certificate)] if certificate else []
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(SITE), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def connect(self, path: str = "/echo", **options: Any) -> Any:
        """Open a WebSocket with the client of `websockets`."""
        from websockets.sync.client import connect

        if self.certificate:
            context = ssl.create_default_context(cafile=str(self.certificate))
            context.check_hostname = False
            options["ssl"] = context
        scheme = "wss" if self.certificate else "ws"
        url = f"{scheme}://127.0.0.1:{self.port}{path}"
        return connect(url, open_timeout=LIMIT, close_timeout=LIMIT, max_size=None, **options)

    def open_now(self) -> int:
        """How many echoes the site believes open."""
        url = f"http://127.0.0.1:{self.port}/open"
        with urllib.request.urlopen(url, timeout=LIMIT) as answer:
            return int(answer.read())

    def end(self) -> str:
        """Stop the server, which must end well; return what it wrote on stderr."""
        _, errors = self.process.communicate(timeout=LIMIT)
        assert self.process.returncode == 0, errors
        return errors

    def kill(self) -> None:
        """Leave nothing behind, however the test went."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def start(certificate: Path | None = None) -> Iterator[Site]:
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs the library {name}: pip install -e '.[libraries]'")
    site = Site(certificate)
    try:
        yield site
    finally:
        site.kill()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    yield from start()


@pytest.fixture
def own_site() -> Iterator[Site]:
    """One that the test may stop."""
    yield from start()


@pytest.fixture
def secure_site(tmp_path: Path) -> Iterator[Site]:
    certificate = tmp_path / "both.pem"
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", str(certificate),
             "-out", str(tmp_path / "certificate.pem")],
            check=True, capture_output=True, timeout=LIMIT,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("needs the program openssl")
    with certificate.open("ab") as file:
        file.write((tmp_path / "certificate.pem").read_bytes())
    yield from start(certificate)


MESSAGES = ["", "text", "caf\xe9 \U0001f40d", b"", b"\x00\xff" * 10, "x" * 125, "x" * 126,
            b"y" * 65535, b"y" * 65536, "z" * 2_000_000]  # fmt: skip


@pytest.mark.parametrize("path", ["/echo", "/by-hand"])
def test_echo(site: Site, path: str) -> None:
    with site.connect(path) as client:
        for message in MESSAGES:
            client.send(message)
            assert client.recv(timeout=LIMIT) == message
        client.send(["a ", "message ", "in pieces"])
        if path == "/echo":
            assert client.recv(timeout=LIMIT) == "a message in pieces"
        else:
            assert "".join(client.recv_streaming()) == "a message in pieces"
        pong = client.ping()
        assert pong.wait(LIMIT)
    assert (client.close_code, client.protocol.close_rcvd.code) == (1000, 1000)


def test_the_server_closes(site: Site) -> None:
    with site.connect() as client:
        client.send("bye")
        with pytest.raises(Exception, match="1000") as caught:
            client.recv(timeout=LIMIT)
        assert type(caught.value).__name__ == "ConnectionClosedOK"


def test_waiting_for_the_descriptor(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=LIMIT) as client:
        upgrade = "Connection: upgrade\r\nUpgrade: lines"
        client.sendall(f"GET /by-selector HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n\r\n".encode())
        with client.makefile("rb") as lines:
            assert [lines.readline() for _ in range(3)] == [b"late\n"] * 3
            client.sendall(b"here\n")
            assert set(lines) - {b"late\n"} == {b"here\n"}


def test_another_client(site: Site) -> None:
    import websocket

    client = websocket.create_connection(f"ws://127.0.0.1:{site.port}/echo", timeout=LIMIT)
    for message in ("one", "two" * 50_000):
        client.send(message)
        assert client.recv() == message
    client.close()


def test_many_at_once(site: Site) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(40)]
        assert site.open_now() >= 40
        for turn in range(3):
            for number, client in enumerate(clients):
                client.send(f"{turn} {number}")
            for number, client in enumerate(clients):
                assert client.recv(timeout=LIMIT) == f"{turn} {number}"


def test_clients_that_die(own_site: Site) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(own_site.connect()) for _ in range(10)]
        assert own_site.open_now() == 10
        for client in clients:
            client.socket.shutdown(2)  # not a word of WebSocket
        while own_site.open_now():
            pass
    assert own_site.end() == ""


def test_a_stop_with_open_ones(own_site: Site) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(own_site.connect()) for _ in range(5)]
        for client in clients:
            client.send("hello")
            assert client.recv(timeout=LIMIT) == "hello"
        assert "stopped before 5 request(s)" in own_site.end()
        for client in clients:
            with pytest.raises(Exception, match="no close frame") as caught:
                client.recv(timeout=LIMIT)
            assert type(caught.value).__name__ == "ConnectionClosedError"


def test_over_tls(secure_site: Site) -> None:
    with secure_site.connect() as client:
        for message in MESSAGES:
            client.send(message)
            assert client.recv(timeout=LIMIT) == message
    assert client.close_code == 1000
    assert secure_site.end() == ""


def test_other_answers_of_such_a_route(site: Site) -> None:
    """A request that is no WebSocket is answered by the framework, and the connection goes on."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=LIMIT)
    for path, status in (("/open", 200), ("/nowhere", 404), ("/open", 200)):
        headers = {"Connection": "Upgrade, keep-alive", "Upgrade": "h2c"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()
