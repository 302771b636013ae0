"""What comes before the first request of a connection: the PROXY header, from whom, and in time."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenworld.wsgi import Config, Server, opening
from greenworld.wsgi.config import Tls
from greenworld.wsgi.proxy_protocol import SIGNATURE
from tests.certificates import Authority, Pair

LIMIT = 20.0
V1 = b"PROXY TCP4 192.0.2.1 10.0.0.2 56324 443\r\n"
V2 = (
    SIGNATURE
    + b"\x21\x11\x00\x0c"
    + socket.inet_aton("192.0.2.1")
    + socket.inet_aton("10.0.0.2")
    + b"\xdc\x04\x01\xbb"
)
V2_TLS = V2[:14] + b"\x00\x14" + V2[16:] + b"\x20\x00\x05\x01\0\0\0\0"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def environment(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers with the texts of its environment."""
    texts = {key: value for key, value in environ.items() if isinstance(value, str)}
    body = json.dumps(texts).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def running(serve: Any) -> Any:
    return serve(environment, proxy_protocol=True, trusted_proxies=("127.0.0.1",))


def said(running: Any) -> str:
    running.on_hub(lambda: None)
    text: str = running.errors.getvalue()
    return text


@pytest.mark.parametrize("header", [V1, V2, V2_TLS])
def test_the_client_is_whom_the_header_names(running: Any, connect: Any, header: bytes) -> None:
    client = connect(running.server.address)
    client.send(header)
    for _ in range(3):
        environ = json.loads(client.get().body)
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.1", "56324")
        assert environ["wsgi.url_scheme"] == ("https" if header is V2_TLS else "http")
        assert environ.get("HTTPS") == ("on" if header is V2_TLS else None)
    running.stop(LIMIT)
    lines = running.access.getvalue().splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["192.0.2.1"] * 3


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"])
def test_it_is_the_proxy_itself_where_none_is_named(
    running: Any, connect: Any, header: bytes
) -> None:
    client = connect(running.server.address)
    client.send(header)
    assert json.loads(client.get().body)["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize("header", [V1, V2])
def test_at_every_cut(running: Any, connect: Any, header: bytes) -> None:
    """The header in two pieces, and requests that arrive together with its end."""
    for at in range(1, len(header)):
        client = connect(running.server.address)
        client.send(header[:at])
        running.on_hub(lambda: None)
        client.send(header[at:] + GET + LAST)
        for _ in range(2):
            assert json.loads(client.reply().body)["REMOTE_ADDR"] == "192.0.2.1"
        assert client.at_end()


def test_a_unix_socket_is_trusted_by_name(serve: Any, connect: Any, tmp_path: Path) -> None:
    for names, trusted in ((("unix",), True), (("127.0.0.1",), False)):
        path = str(tmp_path / str(trusted))
        running = serve(
            environment, bind=f"unix:{path}", proxy_protocol=True, trusted_proxies=names
        )
        client = connect(path)
        if trusted:
            client.send(V1)
            assert json.loads(client.get().body)["REMOTE_ADDR"] == "192.0.2.1"
        else:
            assert client.at_end()
            assert said(running) == (
                "greenworld.wsgi: connection from a Unix socket closed: it is no trusted proxy\n"
            )


def test_from_anybody_else_it_is_not_even_read(serve: Any, connect: Any) -> None:
    running = serve(environment, proxy_protocol=True, trusted_proxies=("10.0.0.0/8",))
    client = connect(running.server.address)
    assert client.at_end()
    assert said(running) == (
        "greenworld.wsgi: connection from 127.0.0.1 closed: it is no trusted proxy\n"
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (GET, "it does not begin with a PROXY header"),
        (b"PROXY TCP4 1.2.3.4\r\n" + GET, "its line is malformed"),
        (V2[:12] + b"\x31" + V2[13:] + GET, "version and command are 0x31, not 0x20 or 0x21"),
    ],
)
def test_without_a_good_header_the_connection_is_closed(
    running: Any, connect: Any, data: bytes, why: str
) -> None:
    client = connect(running.server.address)
    client.send(data)
    with pytest.raises((EOFError, ConnectionResetError)):
        client.reply()
    assert said(running) == (
        f"greenworld.wsgi: connection from 127.0.0.1 closed: bad PROXY header: {why}\n"
    )
    assert running.access.getvalue() == ""


def test_many_of_a_kind_are_one_line(running: Any, connect: Any) -> None:
    for data in (GET, GET, b"PROXY TCP4\r\n", GET):
        client = connect(running.server.address)
        client.send(data)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.reply()
    assert said(running).count("does not begin with a PROXY header\n") == 1
    assert said(running).count("its line is malformed\n") == 1


def test_reasons_are_forgotten_before_they_are_too_many(
    running: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MAX_REASONS", 1)
    for data in (GET, b"PROXY TCP4\r\n", GET):
        client = connect(running.server.address)
        client.send(data)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.reply()
    assert said(running).count("\n") == 3


@pytest.mark.parametrize("data", [b"", V1[:-1]])
def test_a_header_has_its_time(serve: Any, connect: Any, data: bytes) -> None:
    running = serve(
        environment, proxy_protocol=True, trusted_proxies=("*",), handshake_timeout=0.05
    )
    with running.halted():  # its time begins when the bytes are there
        client = connect(running.server.address)
        client.send(data)
    assert client.at_end()
    log = "greenworld.wsgi: connection from 127.0.0.1 closed: no PROXY header in time\n"
    assert said(running) == (log if data else "")


def test_who_leaves_without_a_word_is_not_logged(running: Any, connect: Any) -> None:
    for data, log in ((b"", ""), (V2[:20], "the PROXY header ended early\n")):
        client = connect(running.server.address)
        client.send(data)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.at_end()
        assert said(running).endswith(log)


def test_a_stop_waits_for_no_header(serve: Any, connect: Any) -> None:
    running = serve(
        environment, proxy_protocol=True, trusted_proxies=("*",), handshake_timeout=1000.0
    )
    client = connect(running.server.address)
    client.send(V1[:-1])
    running.stop(1000.0)
    assert client.at_end()


def test_a_stop_gives_a_newcomer_time(
    running: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its header and its first request may be on their way."""
    monkeypatch.setattr(sys.modules[Server.__module__], "NEWCOMER_SECONDS", LIMIT)
    client = connect(running.server.address)
    client.send(V1[:10])
    running.on_hub(lambda: None)
    running.server.request_stop(LIMIT)
    while not running.on_hub(lambda: running.server.stopping):
        pass
    client.send(V1[10:] + GET)
    reply = client.reply()
    assert (reply.status, reply.headers["connection"]) == (200, "close")


def test_nobody_trusted_is_a_mistake() -> None:
    server = Server(environment, bind="127.0.0.1:0", config=Config(proxy_protocol=True))
    with pytest.raises(ValueError, match="believed from trusted proxies only"):
        server.start()


def test_certificates_of_a_server_that_has_none(running: Any) -> None:
    assert running.on_hub(running.server.reload_certificates)


def test_a_plain_server_loads_none_of_it() -> None:
    code = (
        "import sys; from greenworld.wsgi import Server; "
        "Server(print, bind='127.0.0.1:0').start(); "
        "names = {'ssl', 'greenworld.wsgi.opening', 'greenworld.wsgi.trust'}; "
        "print(names & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True
    )
    assert done.stdout == "set()\n"


# With TLS behind it


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue()


@pytest.mark.parametrize("together", [True, False])
def test_the_header_then_tls_then_http(
    serve: Any, connect: Any, pair: Pair, authority: Authority, together: bool
) -> None:
    running = serve(
        environment, proxy_protocol=True, trusted_proxies=("127.0.0.1",), tls=Tls(*pair)
    )
    sock = connect(running.server.address).sock
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=authority.certificate)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    if not together:
        sock.sendall(V2)
        running.on_hub(lambda: None)

    def until_done(step: Callable[[], Any], before: bytes = b"") -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                sock.sendall(before + outgoing.read())
                before = b""
                incoming.write(sock.recv(65536))

    until_done(tls.do_handshake, V2 if together else b"")
    tls.write(LAST)
    sock.sendall(outgoing.read())
    answer = until_done(lambda: tls.read(65536))
    environ = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert environ["REMOTE_ADDR"] == "192.0.2.1"
    assert environ["SSL_PROTOCOL"] == "TLSv1.3"


# From a real proxy

HAPROXY = """
global
    maxconn 100
defaults
    mode tcp
    timeout connect 10s
    timeout client 10s
    timeout server 10s
frontend in
    bind fd@{fd}{tls}
    default_backend site
backend site
    server site 127.0.0.1:{port} {option}
"""


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A function that starts HAProxy in front of a running server; returns its address."""
    if shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin") is None:
        pytest.skip("there is no haproxy: apt install haproxy")
    started: list[subprocess.Popen[bytes]] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def start(running: Any, option: str, tls: str = "") -> Any:
        config = tmp_path / "haproxy.cfg"
        port = running.server.address[1]
        config.write_text(HAPROXY.format(fd=listener.fileno(), port=port, option=option, tls=tls))
        started.append(
            subprocess.Popen(
                ["haproxy", "-db", "-q", "-f", str(config)],
                env={"PATH": "/usr/sbin:/usr/local/sbin:/usr/bin:/bin"},
                pass_fds=(listener.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        )
        return listener.getsockname()

    yield start
    listener.close()
    for process in started:
        process.kill()
        process.wait(LIMIT)


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2", "send-proxy-v2 check"])
def test_behind_haproxy(
    running: Any, haproxy: Callable[..., Any], connect: Any, option: str
) -> None:
    client = connect(haproxy(running, option))
    host, port = client.sock.getsockname()
    for _ in range(2):
        environ = json.loads(client.get().body)
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (host, str(port))
    assert said(running) == ""


def test_haproxy_tells_of_tls(
    running: Any,
    haproxy: Callable[..., Any],
    pair: Pair,
    authority: Authority,
    tmp_path: Path,
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(Path(path).read_bytes() for path in pair))
    address = haproxy(running, "send-proxy-v2-ssl", f" ssl crt {both}")
    context = ssl.create_default_context(cafile=authority.certificate)
    with (
        socket.create_connection(address, LIMIT) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(LAST)
        answer = b"".join(iter(lambda: wrapped.recv(65536), b""))
    environ = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
