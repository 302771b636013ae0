"""A server that speaks TLS, with real clients: what works, what is refused, and how it ends."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.wsgi.config import Tls
from greenworld.wsgi.errors import ClientDisconnected
from greenworld.wsgi.files import FileWrapper
from tests.certificates import NOT_ENDED, Authority, Pair, strict_client
from tests.wsgi.test_tls_stream import Client

LIMIT = 20.0
SIZE = 3_000_000
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue()


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "large"
    path.write_bytes(os.urandom(SIZE))
    return path


def environment(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers with the texts of its environment."""
    texts = {key: value for key, value in environ.items() if isinstance(value, str)}
    body = json.dumps(texts).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def echo(environ: dict[str, Any], start_response: Any) -> Any:
    """Answers with the body it was sent."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


Dial = Callable[..., ssl.SSLSocket]


@pytest.fixture
def dial(authority: Authority) -> Iterator[Dial]:
    """A function that makes a TLS connection to a running server."""
    with ExitStack() as stack:

        def start(
            running: Any,
            name: str = "localhost",
            context: ssl.SSLContext | None = None,
            **options: Any,
        ) -> ssl.SSLSocket:
            context = context or client_context(authority)
            sock = socket.create_connection(running.server.address, LIMIT)
            stack.callback(sock.close)
            wrapped = context.wrap_socket(sock, server_hostname=name, **options)
            stack.callback(wrapped.close)
            return wrapped

        yield start


def client_context(authority: Authority, version: str | None = None) -> ssl.SSLContext:
    context = strict_client(authority)
    if version is not None:
        context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    return context


def read_all(sock: ssl.SSLSocket) -> bytes:
    """Everything up to the orderly end; SSLError if there is none."""
    sock.settimeout(LIMIT)
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_answer(sock: Any) -> bytes:
    """The body of one answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += more(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += more(sock)
    return body


def more(sock: Any) -> bytes:
    data: bytes = sock.recv(65536)
    assert data, "the connection ended early"
    return data


def ask(sock: Any, request: bytes = GET) -> Any:
    sock.sendall(request)
    return json.loads(read_answer(sock))


def said(running: Any) -> str:
    """What the error log says, when everything that had begun has gone on."""
    running.on_hub(lambda: None)
    text: str = running.errors.getvalue()
    return text


# What works


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_requests_are_served_and_know_of_it(
    serve: Any, dial: Dial, pair: Pair, authority: Authority, version: str
) -> None:
    running = serve(environment, tls=Tls(*pair))
    sock = dial(running, context=client_context(authority, version))
    for _ in range(3):
        environ = ask(sock)
        assert environ["wsgi.url_scheme"] == "https"
        assert environ["HTTPS"] == "on"
        assert environ["SSL_PROTOCOL"] == version.replace("_", ".")
        assert environ["SSL_CIPHER"] == (sock.cipher() or [""])[0]
        assert environ["SSL_CLIENT_VERIFY"] == "NONE"
    assert running.server.urls == [f"https://127.0.0.1:{running.server.address[1]}"]
    assert said(running) == ""


def test_a_pipeline_in_one_record_and_a_request_in_many(serve: Any, dial: Dial, pair: Pair) -> None:
    sock = dial(serve(environment, tls=Tls(*pair)))
    sock.sendall(3 * GET)
    for at in range(len(CLOSE)):
        sock.sendall(CLOSE[at : at + 1])
    assert read_all(sock).count(b"HTTP/1.1 200 OK") == 4


def test_what_comes_with_the_end_of_the_handshake_is_served(
    serve: Any, connect: Any, pair: Pair, authority: Authority
) -> None:
    """The first request is as large as one look at the socket; the second is behind it."""
    sock = connect(serve(environment, tls=Tls(*pair)).server.address).sock
    client = Client(sock, client_context(authority))
    while True:
        try:
            client.tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            client.push()
            client.pull()
    large = GET[:-2] + b"X-Large: "
    large += b"x" * (16384 - len(large) - 4) + b"\r\n\r\n"
    client.push(client.encrypt(large, CLOSE))
    answers = b""
    while piece := client.read(1):
        answers += piece
    assert answers.count(b"HTTP/1.1 200 OK") == 2


def test_large_bodies_in_both_directions(serve: Any, dial: Dial, pair: Pair) -> None:
    sock = dial(serve(echo, tls=Tls(*pair)))
    content = os.urandom(SIZE)
    sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE + content)
    assert read_answer(sock) == content
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(content[at : at + 5000]), content[at : at + 5000])
        for at in range(0, SIZE, 5000)
    )
    sock.sendall(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    )
    assert read_answer(sock) == content


def test_a_client_may_wait_for_100_continue(serve: Any, dial: Dial, pair: Pair) -> None:
    sock = dial(serve(echo, tls=Tls(*pair)))
    sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert more(sock) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b"hello")
    assert read_answer(sock) == b"hello"


@pytest.mark.parametrize("kind", ["block", "blocks", "file"])
def test_large_answers_of_every_kind(
    serve: Any, dial: Dial, pair: Pair, large_file: Path, kind: str
) -> None:
    content = large_file.read_bytes()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", str(SIZE))])
        if kind == "file":
            return FileWrapper(large_file.open("rb"))
        blocks = (content[at : at + 100_000] for at in range(0, SIZE, 100_000))
        return [content] if kind == "block" else blocks

    sock = dial(serve(app, tls=Tls(*pair)))
    for _ in range(2):
        sock.sendall(GET)
        assert read_answer(sock) == content


def test_alpn_and_ciphers(serve: Any, dial: Dial, pair: Pair, authority: Authority) -> None:
    context = client_context(authority, "TLSv1_2")
    context.set_alpn_protocols(["h2", "http/1.1"])
    tls = Tls(*pair, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    sock = dial(serve(environment, tls=tls), context=context)
    assert sock.selected_alpn_protocol() == "http/1.1"
    environ = ask(sock)
    assert environ["SSL_ALPN_PROTOCOL"] == "http/1.1"
    assert environ["SSL_CIPHER"] == "ECDHE-ECDSA-AES128-GCM-SHA256"


def test_a_session_is_resumed(serve: Any, dial: Dial, pair: Pair, authority: Authority) -> None:
    running = serve(environment, tls=Tls(*pair))
    context = client_context(authority, "TLSv1_2")
    first = dial(running, context=context)
    assert ask(first)["SSL_SESSION_RESUMED"] == "Initial"
    second = dial(running, context=context, session=first.session)
    assert ask(second)["SSL_SESSION_RESUMED"] == "Resumed"


def test_a_unix_socket_speaks_tls(
    serve: Any, pair: Pair, authority: Authority, tmp_path: Path
) -> None:
    serve(environment, bind=f"unix:{tmp_path}/socket", tls=Tls(*pair))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(LIMIT)
        sock.connect(f"{tmp_path}/socket")
        with client_context(authority).wrap_socket(sock, server_hostname="localhost") as wrapped:
            environ = ask(wrapped)
    assert (environ["REMOTE_ADDR"], environ["HTTPS"]) == ("", "on")


def test_a_connection_is_taken_over(serve: Any, dial: Dial, pair: Pair) -> None:
    """As WebSocket does: bytes that came with the request, both directions, and half an end."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        taken = environ["greenworld.upgrade"]()
        taken.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n")
        assert taken.recv(100) == b"early"
        taken.sendall(b"x" * SIZE)
        taken.shutdown(socket.SHUT_WR)
        received.append(b"".join(iter(lambda: taken.recv(65536), b"")))
        return []

    received: list[bytes] = []
    running = serve(app, tls=Tls(*pair))
    sock = dial(running, suppress_ragged_eofs=False)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\nearly")
    assert more(sock).startswith(b"HTTP/1.1 101 ")
    assert len(read_all(sock)) == SIZE
    content = os.urandom(SIZE)
    sock.sendall(content)
    sock.unwrap().close()
    running.stop(LIMIT)
    assert received == [content]


def test_limits_hold_behind_a_handshake(serve: Any, dial: Dial, pair: Pair) -> None:
    """One request at a time, and as many connections from an address as may be."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        inside.append(1)
        most.append(len(inside))
        sleep(0)
        inside.pop()
        return environment(environ, start_response)

    inside: list[int] = []
    most: list[int] = []
    running = serve(app, tls=Tls(*pair), max_in_flight=1, max_per_address=8, request_timeout=LIMIT)
    socks = [dial(running) for _ in range(8)]
    with pytest.raises((ConnectionError, ssl.SSLError)):
        dial(running)
    for _ in range(3):
        for sock in socks:
            sock.sendall(GET)
        for sock in socks:
            assert json.loads(read_answer(sock))["HTTPS"] == "on"
    assert (len(most), max(most)) == (24, 1)


@pytest.mark.parametrize("size", [16384, 16385, 40_000])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_what_came_with_the_end_of_the_handshake(
    serve: Any, pair: Pair, authority: Authority, version: str, size: int
) -> None:
    """A head, its body and one more request in one flight: nothing on the socket tells of them."""
    running = serve(echo, tls=Tls(*pair), head_timeout=1000.0, body_timeout=1000.0)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(authority, version).wrap_bio(
        incoming, outgoing, server_hostname="localhost"
    )
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    body = (size - len(head % size)) * b"x"
    with socket.create_connection(running.server.address, LIMIT) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(more(sock))
        for record in (head % len(body) + body, CLOSE):
            for at in range(0, len(record), 16384):
                tls.write(record[at : at + 16384])
        with running.halted():
            sock.sendall(outgoing.read())
        answers = b""
        while answers.count(b"HTTP/1.1 200 OK") < 2:
            try:
                answers += tls.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(more(sock))
    assert body in answers


# Names and contexts


def common_name(sock: ssl.SSLSocket) -> str:
    certificate: Any = sock.getpeercert()
    name: str = dict(part[0] for part in certificate["subject"])["commonName"]
    return name


def test_each_host_has_its_certificate(
    serve: Any, dial: Dial, pair: Pair, authority: Authority
) -> None:
    one = authority.issue("one.example.org", subject="/CN=one")
    wild = authority.issue("*.example.org", subject="/CN=wild")
    running = serve(
        environment,
        tls=Tls(
            *pair,
            hosts={
                "One.example.org": (one.certificate, one.key),
                "*.example.org": (wild.certificate, wild.key),
            },
        ),
    )
    assert common_name(dial(running, "one.example.org")) == "one"
    assert common_name(dial(running, "ONE.EXAMPLE.ORG")) == "one"
    assert common_name(dial(running, "two.example.org")) == "wild"
    assert common_name(dial(running, "localhost")) == "localhost"
    with pytest.raises(ssl.SSLCertVerificationError):  # a star stands for one label
        dial(running, "a.two.example.org")
    sock = dial(running, "one.example.org")
    assert ask(sock)["HTTPS"] == "on"


def test_a_context_of_the_callers_is_used_as_it_is(
    serve: Any, dial: Dial, pair: Pair, authority: Authority
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.load_cert_chain(*authority.issue("other.example", subject="/CN=other"))

    def choose(connection: Any, name: str | None, first: ssl.SSLContext) -> None:
        if name == "other.example":
            connection.context = other

    context.sni_callback = choose
    running = serve(environment, tls=Tls(context=context))
    assert common_name(dial(running)) == "localhost"
    sock = dial(running, "other.example")
    assert common_name(sock) == "other"
    assert ask(sock)["HTTPS"] == "on"
    assert running.server.reload_certificates()  # which changes nothing


def test_a_new_certificate_is_taken_while_connections_go_on(
    serve: Any, dial: Dial, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def install(subject: str) -> None:
        made = authority.issue(subject=subject)
        certificate.write_bytes(Path(made.certificate).read_bytes())
        key.write_bytes(Path(made.key).read_bytes())

    install("/CN=old")
    running = serve(environment, tls=Tls(str(certificate), str(key)))
    first = dial(running)
    assert common_name(first) == "old"
    install("/CN=new")
    assert running.on_hub(running.server.reload_certificates)
    assert common_name(dial(running)) == "new"
    assert ask(first)["HTTPS"] == "on"
    certificate.write_text("no certificate")
    assert not running.on_hub(running.server.reload_certificates)
    assert common_name(dial(running)) == "new"
    assert "the changed certificates cannot be used, the old ones stay in use" in said(running)


# Clients' certificates


@pytest.fixture(scope="module")
def identified(authority: Authority) -> Callable[..., ssl.SSLContext]:
    """A function that makes a client's context with a certificate of Łucja's."""
    mine = authority.issue(
        "lucja.example", "lucja@example.org", subject="/C=PL/O=Green, World/CN=Łucja"
    )

    def make(version: str | None = None) -> ssl.SSLContext:
        context = client_context(authority, version)
        context.load_cert_chain(*mine)
        return context

    return make


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("need", ["optional", "required"])
def test_a_clients_certificate_is_told(
    serve: Any,
    dial: Dial,
    pair: Pair,
    authority: Authority,
    identified: Callable[..., ssl.SSLContext],
    version: str,
    need: Any,
) -> None:
    tls = Tls(*pair, client_ca=authority.certificate, client_certificate=need)
    running = serve(environment, tls=tls)
    environ = ask(dial(running, context=identified(version)))
    assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert environ["SSL_CLIENT_S_DN"] == "CN=Łucja,O=Green\\, World,C=PL".encode().decode("latin-1")
    assert environ["SSL_CLIENT_S_DN_C"] == "PL"
    assert environ["SSL_CLIENT_I_DN"] == "CN=Tests' authority"
    assert environ["SSL_CLIENT_CERT"].startswith("-----BEGIN CERTIFICATE-----\n")
    assert environ["SSL_CLIENT_SAN_DNS_0"] == "lucja.example"
    assert environ["SSL_CLIENT_SAN_Email_0"] == "lucja@example.org"
    assert int(environ["SSL_CLIENT_M_SERIAL"], 16) > 0


def test_a_resumed_session_keeps_the_clients_certificate(
    serve: Any,
    dial: Dial,
    pair: Pair,
    authority: Authority,
    identified: Callable[..., ssl.SSLContext],
) -> None:
    tls = Tls(*pair, client_ca=authority.certificate, client_certificate="required")
    running = serve(environment, tls=tls)
    context = identified("TLSv1_2")
    first = dial(running, context=context)
    serial = ask(first)["SSL_CLIENT_M_SERIAL"]
    environ = ask(dial(running, context=context, session=first.session))
    assert (environ["SSL_SESSION_RESUMED"], environ["SSL_CLIENT_M_SERIAL"]) == ("Resumed", serial)


def test_an_optional_certificate_may_be_absent(
    serve: Any, dial: Dial, pair: Pair, authority: Authority
) -> None:
    tls = Tls(*pair, client_ca=authority.certificate, client_certificate="optional")
    environ = ask(dial(serve(environment, tls=tls)))
    assert environ["SSL_CLIENT_VERIFY"] == "NONE"
    assert "SSL_CLIENT_S_DN" not in environ


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("nobody", "peer did not return a certificate"),
        ("stranger", "the client's certificate is not"),
    ],
)
def test_a_client_without_a_valid_certificate_is_refused(
    serve: Any,
    dial: Dial,
    pair: Pair,
    authority: Authority,
    tmp_path: Path,
    version: str,
    who: str,
    why: str,
) -> None:
    tls = Tls(*pair, client_ca=authority.certificate, client_certificate="required")
    running = serve(environment, tls=tls)
    context = client_context(authority, version)
    if who == "stranger":
        context.load_cert_chain(*Authority(tmp_path).issue())
    with pytest.raises(OSError, match=r"(?i)alert|reset|broken pipe|eof"):
        ask(dial(running, context=context))
    assert f"connection from 127.0.0.1 closed: no TLS handshake: {why}" in said(running)
    assert "Traceback" not in said(running)


# What is refused


def test_plain_http_is_told_what_to_do(serve: Any, pair: Pair, connect: Any) -> None:
    running = serve(environment, tls=Tls(*pair))
    client = connect(running.server.address)
    reply = client.get()
    assert (reply.status, reply.body) == (
        400,
        b"this port speaks HTTPS: begin the address with https://\n",
    )
    assert client.at_end()
    client = connect(running.server.address)
    assert client.get(method="HEAD").status == 400
    assert client.at_end()


@pytest.mark.parametrize(
    "data", [b"\0", b"get / http/1.1\r\n", b"\x80\x2e\x01\x03\x01", b"SSH-2.0"]
)
def test_what_is_no_tls_is_closed(serve: Any, pair: Pair, connect: Any, data: bytes) -> None:
    running = serve(environment, tls=Tls(*pair))
    client = connect(running.server.address)
    client.send(data)
    assert client.at_end()
    assert said(running) == (
        "greenworld.wsgi: connection from 127.0.0.1 closed: what came is not TLS\n"
    )


def test_an_old_version_is_refused_and_others_are_served(
    serve: Any, dial: Dial, pair: Pair, authority: Authority
) -> None:
    running = serve(environment, tls=Tls(*pair, minimum_version="1.3"))
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        dial(running, context=client_context(authority, "TLSv1_2"))
    assert said(running) == (
        "greenworld.wsgi: connection from 127.0.0.1 closed: no TLS handshake: "
        "unsupported protocol\n"
    )
    assert ask(dial(running))["SSL_PROTOCOL"] == "TLSv1.3"


def test_a_client_that_trusts_somebody_else(serve: Any, dial: Dial, pair: Pair) -> None:
    running = serve(environment, tls=Tls(*pair))
    with pytest.raises(ssl.SSLCertVerificationError):
        dial(running, context=ssl.create_default_context())
    assert "Traceback" not in said(running)


@pytest.mark.parametrize("data", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
def test_who_does_not_come_to_an_end_is_closed_in_time(
    serve: Any, pair: Pair, connect: Any, data: bytes
) -> None:
    running = serve(environment, tls=Tls(*pair), handshake_timeout=0.05)
    with running.halted():  # its time begins when the bytes are there
        client = connect(running.server.address)
        client.send(data)
    assert client.at_end()
    log = "greenworld.wsgi: connection from 127.0.0.1 closed: no TLS handshake in time\n"
    assert said(running) == (log if data else "")


def test_who_leaves_in_the_handshake(serve: Any, dial: Dial, pair: Pair, connect: Any) -> None:
    running = serve(environment, tls=Tls(*pair))
    silent, rude = connect(running.server.address), connect(running.server.address)
    rude.send(b"\x16\x03\x01\x02\x00\x01")
    for client in (silent, rude):
        client.sock.shutdown(socket.SHUT_WR)
        assert client.at_end()
    assert said(running) == ""
    assert ask(dial(running))["HTTPS"] == "on"


def test_handshakes_that_take_long_hold_up_nobody(
    serve: Any, dial: Dial, pair: Pair, connect: Any
) -> None:
    running = serve(environment, tls=Tls(*pair), handshake_timeout=100.0)
    slow = [connect(running.server.address) for _ in range(50)]
    for client in slow:
        client.send(b"\x16\x03")
    assert ask(dial(running))["HTTPS"] == "on"


# How it ends


def test_a_body_that_is_cut_off_never_looks_whole(serve: Any, dial: Dial, pair: Pair) -> None:
    """The client's socket ends without close_notify, and with one, in the middle of a body."""
    endings: list[object] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            endings.append(environ["wsgi.input"].read())
        except ClientDisconnected as error:
            endings.append(type(error))
            raise
        return []

    running = serve(app, tls=Tls(*pair))
    for ragged in (True, False):
        sock = dial(running)
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        if ragged:
            sock.shutdown(socket.SHUT_WR)  # of the TCP connection alone
            while sock.recv(65536):
                pass
        else:
            try:
                sock.unwrap().close()
            except OSError:  # the server's end may be a reset
                pass
    running.stop(LIMIT)
    assert endings == [ClientDisconnected] * 2


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_client_that_ends_its_side_is_let_go(
    serve: Any, dial: Dial, pair: Pair, authority: Authority, version: str
) -> None:
    """It says close_notify with its last request, and leaves its socket open."""
    running = serve(environment, tls=Tls(*pair), keep_alive=1000.0)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(authority, version).wrap_bio(
        incoming, outgoing, server_hostname="localhost"
    )
    with socket.create_connection(running.server.address, LIMIT) as sock:

        def until_done(step: Callable[[], Any]) -> Any:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    data = sock.recv(65536)
                    assert data
                    incoming.write(data)

        until_done(tls.do_handshake)
        tls.write(GET)
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        assert until_done(lambda: tls.read(1000)).startswith(b"HTTP/1.1 200 OK")
        until_done(tls.unwrap)  # the server's close_notify
        while sock.recv(65536):
            pass


def old_style(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """An answer to HTTP/1.0 that only the end of the connection ends."""
    start_response("200 OK", [])
    yield b"first "
    if environ["PATH_INFO"] == "/broken":
        raise RuntimeError("on purpose")
    yield b"second"


def test_an_answer_that_the_end_ends_has_an_orderly_one(serve: Any, dial: Dial, pair: Pair) -> None:
    running = serve(old_style, tls=Tls(*pair))
    sock = dial(running, suppress_ragged_eofs=False)
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert read_all(sock).endswith(b"\r\n\r\nfirst second")


def test_a_part_of_it_has_none(serve: Any, dial: Dial, pair: Pair) -> None:
    running = serve(old_style, tls=Tls(*pair))
    sock = dial(running, suppress_ragged_eofs=False)
    sock.sendall(b"GET /broken HTTP/1.0\r\n\r\n")
    with pytest.raises(OSError, match=f"{NOT_ENDED}|reset"):
        read_all(sock)


def test_a_stop_waits_for_no_handshake(serve: Any, pair: Pair, connect: Any) -> None:
    running = serve(environment, tls=Tls(*pair), handshake_timeout=1000.0)
    silent, half = connect(running.server.address), connect(running.server.address)
    half.send(b"\x16\x03\x01\x02\x00\x01")
    running.stop(1000.0)
    assert silent.at_end()
    assert half.at_end()
    assert "before" not in said_at_last(running)


def said_at_last(running: Any) -> str:
    text: str = running.errors.getvalue()
    return text


def test_a_stop_closes_idle_connections_in_order(serve: Any, dial: Dial, pair: Pair) -> None:
    running = serve(environment, tls=Tls(*pair))
    sock = dial(running, suppress_ragged_eofs=False)
    ask(sock)
    running.stop(LIMIT)
    assert read_all(sock) == b""


def test_an_idle_connection_ends_in_order(serve: Any, dial: Dial, pair: Pair) -> None:
    sock = dial(serve(environment, tls=Tls(*pair), keep_alive=0.05), suppress_ragged_eofs=False)
    ask(sock)
    assert read_all(sock) == b""


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
@pytest.mark.parametrize("reason", ["stop", "time"])
def test_what_was_not_read_in_time_is_not_whole(
    serve: Any, dial: Dial, pair: Pair, version: bytes, reason: str
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        begun.set()
        return iter([bytes(100_000_000)])

    begun = threading.Event()
    running = serve(app, tls=Tls(*pair), write_timeout=0.05 if reason == "time" else 1000.0)
    sock = dial(running, suppress_ragged_eofs=False)
    sock.sendall(b"GET / %b\r\nHost: a\r\n\r\n" % version)
    assert begun.wait(LIMIT)
    if reason == "stop":
        running.stop(0.0)
    else:
        while running.on_hub(lambda: running.server.connections):
            pass
    with pytest.raises(OSError, match=f"{NOT_ENDED}|reset"):
        read_all(sock)


def test_what_an_application_left_unread(serve: Any, dial: Dial, pair: Pair) -> None:
    """More than is dropped for the connection's sake: the answer arrives all the same."""
    sock = dial(serve(environment, tls=Tls(*pair), max_unread=1000))
    sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n" + 50000 * b"x")
    assert json.loads(read_answer(sock))["REQUEST_METHOD"] == "POST"


# Other clients


def test_curl(serve: Any, pair: Pair, authority: Authority) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl command")
    running = serve(environment, tls=Tls(*pair))
    url = f"https://localhost:{running.server.address[1]}/"
    done = subprocess.run(
        ["curl", "--noproxy", "*", "-sS", "--ipv4", "--cacert", authority.certificate, url],
        check=True,
        capture_output=True,
        timeout=LIMIT,
    )
    assert json.loads(done.stdout)["SSL_PROTOCOL"] == "TLSv1.3"


@pytest.fixture
def s_client(serve: Any, pair: Pair) -> Iterator[subprocess.Popen[bytes]]:
    """OpenSSL's own client, connected. A line that begins with K asks for new keys."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl command")
    running = serve(environment, tls=Tls(*pair))
    with subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{running.server.address[1]}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        yield process
        process.kill()


def say(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()


def hear(process: subprocess.Popen[bytes], what: bytes) -> None:
    """Read what the client says until that has come."""
    assert process.stdout is not None
    heard = b""
    while what not in heard:
        ready, _, _ = select.select([process.stdout], [], [], LIMIT)
        piece = os.read(process.stdout.fileno(), 65536) if ready else b""
        assert piece, f"no {what!r} in {heard!r}"
        heard += piece


def test_openssl_s_client_with_new_keys(s_client: subprocess.Popen[bytes]) -> None:
    hear(s_client, b"Verify return code")  # connected: what is written before may be lost
    for _ in range(3):
        say(s_client, b"K\n")
        hear(s_client, b"KEYUPDATE")  # a command has to come alone
        say(s_client, GET)
        hear(s_client, b'"SSL_PROTOCOL": "TLSv1.3"')


def test_requests_and_httpx(serve: Any, pair: Pair, authority: Authority) -> None:
    requests = pytest.importorskip("requests", reason="requests is not installed")
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    running = serve(echo, tls=Tls(*pair))
    url = f"https://localhost:{running.server.address[1]}/"
    content = os.urandom(200_000)
    with requests.Session() as session:
        session.verify = authority.certificate
        session.trust_env = False
        for _ in range(3):
            assert session.post(url, data=content, timeout=LIMIT).content == content
    with httpx.Client(verify=client_context(authority), trust_env=False, timeout=LIMIT) as client:
        for _ in range(3):
            assert client.post(url, content=content).content == content
