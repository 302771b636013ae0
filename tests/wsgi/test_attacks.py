"""Requests that attack the framing, the routing or the parser, over real sockets.

Each is followed by a second request that must never reach the application: it is the smuggled
one. For each the answer's status, the end of the connection and the line in the log are checked.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenworld.wsgi import Limits
from tests.wsgi.conftest import Reply, Running

StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
LIMITS = Limits(line=200, fields=20, head=4000)

calls: list[str] = []


def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """What an application may do with a body: read it, survive its error, or leave it."""
    calls.append(environ["PATH_INFO"])
    body = b""
    if environ["PATH_INFO"] != "/ignore":
        try:
            body = environ["wsgi.input"].read()
        except Exception:
            if environ["PATH_INFO"] != "/survive":
                raise
    start_response("200 OK", TEXT)
    return [body]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    one = Running(
        application, bind="127.0.0.1:0", limits=LIMITS, max_body=5000, underscores="refuse"
    )
    yield one
    one.close()


@pytest.fixture
def running(server: Running) -> Iterator[Running]:
    calls.clear()
    yield server
    server.close_clients()
    server.wait_until_gone()


def attack(running: Running, request: bytes, then: bytes = SMUGGLED) -> tuple[Reply, str]:
    """Send it with the smuggled request behind it; return the answer and what was logged."""
    logged = len(running.errors.getvalue())
    client = running.connect()
    client.send(request + then)
    reply = client.reply("HEAD" if request.startswith(b"HEAD") else "GET")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end(), "the connection goes on"
    return reply, running.errors.getvalue()[logged:]


LENGTHS = [
    (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400, "Content-Length and Transfer"),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", 400, "Content-Length and Transfer"),
    (b"Content-Length: 1\r\nContent-Length: 1\r\n", 400, "not one decimal number"),
    (b"Content-Length: 1\r\nContent-Length: 2\r\n", 400, "not one decimal number"),
    (b"Content-Length: 1\r\ncontent-length: 1\r\n", 400, "not one decimal number"),
    (b"Content-Length: 1, 1\r\n", 400, "not one decimal number"),
    (b"Content-Length: 1,2\r\n", 400, "not one decimal number"),
    *[
        (b"Content-Length: %b\r\n" % value, 400, "not one decimal number")
        for value in (
            b"", b"+5", b"-1", b"0x5", b"5_0", b"5 0", b"5.0", b"5e0", b"0b1", b"\xb2", b"five",
            b"5;", b'"5"', b"\xd9\xa1",
        )
    ],
    (b"Content-Length: 5\x00\r\n", 400, "control character"),
    (b"Content-Length: \x0b5\r\n", 400, "control character"),
    (b"Content-Length: " + b"9" * 19 + b"\r\n", 413, "too large"),
    (b"Content-Length: " + b"9" * 3000 + b"\r\n", 413, "too large"),
    (b"Content-Length: 5001\r\n", 413, "too large"),
    (b"Content-Length : 5\r\n", 400, "not a token"),
    (b"Content-Length\t: 5\r\n", 400, "not a token"),
    (b"Content-Length:\r\n 5\r\n", 400, "colon"),  # folded
    (b"Content_Length: 5\r\n", 400, "underscore"),
]  # fmt: skip

CODINGS = [
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, "Transfer-Encoding"),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400, "Transfer-Encoding"),
    (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", 501, "transfer coding"),
    *[
        (b"Transfer-Encoding: %b\r\n" % value, status, "Transfer-Encoding")
        for value, status in [
            (b"", 400), (b"identity", 400), (b"gzip", 400), (b"chunked, gzip", 400),
            (b"chunked,chunked", 400), (b"chunked, identity", 400), (b",chunked", 400),
            (b"chunked,", 400), (b"chunked;q=0.5", 400), (b'"chunked"', 400), (b"'chunked'", 400),
            (b"chunked chunked", 400), (b"chu\xc5\x83nked", 400), (b"\xa0chunked", 400),
            (b"chunk", 400), (b"chunked\x85", 400), (b"[chunked]", 400),
        ]
    ],
    (b"Transfer-Encoding: gzip, chunked\r\n", 501, "no transfer coding but chunked"),
    (b"Transfer-Encoding: xchunked\r\n", 501, "no transfer coding but chunked"),
    (b"Transfer-Encoding: 'chunked\r\n", 501, "no transfer coding but chunked"),
    (b"Transfer-Encoding: \x0bchunked\r\n", 400, "control character"),
    (b"Transfer-Encoding: \x00chunked\r\n", 400, "control character"),
    (b"Transfer-Encoding : chunked\r\n", 400, "not a token"),
    (b"Transfer-Encoding\r\n: chunked\r\n", 400, "colon"),
    (b"Transfer-Encoding:\r\n chunked\r\n", 400, "colon"),
    (b" Transfer-Encoding: chunked\r\n", 400, "not a token"),
    (b"X: y\r\n\tTransfer-Encoding: chunked\r\n", 400, "not a token"),
    (b"Transfer_Encoding: chunked\r\n", 400, "underscore"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "why"), LENGTHS + CODINGS)
def test_faulty_framing(running: Running, fields: bytes, status: int, why: str) -> None:
    reply, logged = attack(running, POST + fields + b"\r\n", b"0\r\n\r\n" + SMUGGLED)
    assert (reply.status, reply.headers["connection"]) == (status, "close")
    assert calls == []
    assert logged.startswith(f"greenworld.wsgi: refused a request from 127.0.0.1: {status}, ")
    assert why in logged
    assert logged.count("\n") == 1


HEADS = [
    # Line ends, NUL, folding.
    (b"GET /x HTTP/1.1\nHost: a\n\n", 400, "CRLF"),
    (b"GET /x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400, "control character"),
    (b"GET /x HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400, "control character"),
    (b"GET /x HTTP/1.1\r\nHost: a\r\nX: y\n\n", 400, "control character"),
    (b"GET /x HTTP/1.1\r\nHost: a\r\r\n\r\n", 400, "control character"),
    (b"GET /x HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400, "not a token"),
    (b"\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method"),
    (b"\rGET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method"),
    (GET + b"X: a\x00b\r\n\r\n", 400, "control character"),
    (GET + b"X: a\x7fb\r\n\r\n", 400, "control character"),
    (GET + b"\x00: y\r\n\r\n", 400, "not a token"),
    (GET + b"X: y\r\n folded\r\n\r\n", 400, "colon"),
    (GET + b"X: y\r\n\t: folded\r\n\r\n", 400, "not a token"),
    (GET + b" : y\r\n\r\n", 400, "not a token"),
    (b"GET /x HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", 400, "not a token"),
    # Names.
    (GET + b": y\r\n\r\n", 400, "not a token"),
    (GET + b"X y: z\r\n\r\n", 400, "not a token"),
    (GET + b"X\xe9: z\r\n\r\n", 400, "not a token"),
    (GET + b"X(y): z\r\n\r\n", 400, "not a token"),
    (GET + b"X : z\r\n\r\n", 400, "not a token"),
    (GET + b"no colon\r\n\r\n", 400, "colon"),
    (GET + b"X_Forwarded_For: 1.2.3.4\r\n\r\n", 400, "underscore"),
    # Host.
    (b"GET /x HTTP/1.1\r\n\r\n", 400, "without a Host"),
    (b"GET /x HTTP/1.1\r\nX: y\r\n\r\n", 400, "without a Host"),
    (b"GET http://a/x HTTP/1.1\r\n\r\n", 400, "without a Host"),
    (GET + b"Host: a\r\n\r\n", 400, "more than one Host"),
    (GET + b"Host: b\r\n\r\n", 400, "more than one Host"),
    (GET + b"host:\r\n\r\n", 400, "more than one Host"),
    (b"GET http://a/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "more than one Host"),
    *[
        (b"GET /x HTTP/1.1\r\nHost: %b\r\n\r\n" % host, 400, "Host")
        for host in (
            b"a b", b"a, b", b"a/b", b"a@b", b"a:b", b"a:80:80", b"a:-1", b"a:65536", b"a:+80",
            b"a:8_0", b":80", b"[::1", b"[::1]x", b"[:::]", b"[a]", b"::1", b"a\\b", b"<a>",
            b"a?b", b"a#b", b"a%", b"a%zz", b"\xe4", b"a\tb", b"user:pass@a", b"http://a",
        )
    ],
    # Request lines.
    (b"GET /x\r\n\r\n", 400, "request line"),  # HTTP/0.9
    (b"GET\r\n\r\n", 400, "request line"),
    (b"/x\r\n\r\n", 400, "request line"),
    (b"GET /x HTTP/0.9\r\nHost: a\r\n\r\n", 505, "HTTP/1.0 and HTTP/1.1"),
    (b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n", 505, "HTTP/1.0 and HTTP/1.1"),
    (b"GET /x HTTP/3.1\r\nHost: a\r\n\r\n", 505, "HTTP/1.0 and HTTP/1.1"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505, "HTTP/1.1"),
    *[
        (b"GET /x %b\r\nHost: a\r\n\r\n" % version, 400, "version")
        for version in (
            b"HTTP/2", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1.01", b"HTTP/01.1", b"HTTP/1.1x",
            b"http/1.1", b"HTTP/1,1", b"HTTP/-1.1", b"HTTP /1.1"[5:], b"XHTTP/1.1", b"HTTP/1.\xb9",
        )
    ],
    (b"GET  /x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line"),
    (b"GET /x  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line"),
    (b"GET /x HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "request line"),
    (b" GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line"),
    (b"GET\t/x\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line"),
    (b"GET\x0b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line"),
    (b"G\x00T /x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method"),
    (b"G(T /x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method"),
    # Targets.
    (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "OPTIONS"),
    (b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"GET http://:80/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "Host"),
    (b"GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"GET http://a:99999/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "65535"),
    (b"GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501, "CONNECT"),
    (b"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", 501, "CONNECT"),
    # Other protocols.
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "speaks TLS"),
    (b"\x16\x03\x01\x02\x00\x01\n", 400, "speaks TLS"),
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line"),
    (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11", 400, "request line"),  # PROXY, version 2
    (b"*1\r\n$4\r\nPING\r\n\r\n", 400, "request line"),  # Redis
    (b"EHLO a\r\n\r\n", 400, "request line"),
    # Expectations.
    (POST + b"Expect: 200-ok\r\nContent-Length: 3\r\n\r\n", 417, "100-continue"),
    (POST + b"Expect: \r\nContent-Length: 3\r\n\r\n", 417, "100-continue"),
    (POST + b"Expect: 100-continue, x\r\nContent-Length: 3\r\n\r\n", 417, "100-continue"),
    # Sizes.
    (b"GET /" + b"x" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "longer than 200 bytes"),
    (b"X" * 300 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", 414, "longer than 200 bytes"),
    (GET + b"X: y\r\n" * 20 + b"\r\n", 431, "more than 20 header lines"),
    (GET + b"X: " + b"y" * 4000 + b"\r\n\r\n", 431, "longer than 4000 bytes"),
    (GET + b"X: " + b"y" * 1300 + b"\r\nY: " + b"y" * 1300 + b"\r\nZ: " + b"y" * 1300
     + b"\r\nZ: " + b"y" * 200 + b"\r\n\r\n", 431, "longer than 4000 bytes"),
    (GET + b"X" * 4000 + b": y\r\n\r\n", 431, "longer than 4000 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("request_bytes", "status", "why"), HEADS)
def test_faulty_heads(running: Running, request_bytes: bytes, status: int, why: str) -> None:
    reply, logged = attack(running, request_bytes)
    assert (reply.status, reply.headers["connection"]) == (status, "close")
    assert reply.body.decode("ascii").rstrip("\n") in logged, "the client is told the same"
    assert calls == []
    assert f": {status}, " in logged
    assert why in logged
    assert logged.count("\n") == 1


def chunked(body: bytes) -> bytes:
    return CHUNKED + b"\r\n" + body


BODIES = [
    *[
        (chunked(b"%b\r\nhello\r\n0\r\n\r\n" % size), 400, "chunk size")
        for size in (
            b"+5", b"-5", b"0x5", b"5_0", b" 5", b"5 ", b"\t5", b"5\t", b"", b"g", b"5h", b"5\x00",
            b"0" * 17 + b"5", b"f" * 17, b"1" + b"0" * 16, b"5;", b"5;;a", b"5;a=", b'5;a="',
            b'5;a="b', b"5;a b", b"5,5", b"5;a=\x00", b'5;a="\x00"', b"5;\ra", b"5\r", b'5;a="\r"',
            b"5;\xa0a",
        )
    ],
    (chunked(b"5\nhello\r\n0\r\n\r\n"), 400, "CRLF"),
    (chunked(b"5;a\nhello\r\n0\r\n\r\n"), 400, "CRLF"),
    (chunked(b"\nhello"), 400, "CRLF"),
    (chunked(b"5\r\nhello0\r\n\r\n"), 400, "longer than its size"),
    (chunked(b"5\r\nhello\n0\r\n\r\n"), 400, "longer than its size"),
    (chunked(b"5\r\nhello\rX0\r\n\r\n"), 400, "longer than its size"),
    (chunked(b"4\r\nhello\r\n0\r\n\r\n"), 400, "longer than its size"),
    (chunked(b"5\r\nhello\r\n0\n\r\n"), 400, "CRLF"),
    (chunked(b"5\r\nhello\r\n0\r\n\n"), 400, "CRLF"),
    (chunked(b"5\r\nhello\r\n0\r\nX : y\r\n\r\n"), 400, "not a token"),
    (chunked(b"5\r\nhello\r\n0\r\n folded: y\r\n\r\n"), 400, "not a token"),
    (chunked(b"5\r\nhello\r\n0\r\nno colon\r\n\r\n"), 400, "colon"),
    (chunked(b"5\r\nhello\r\n0\r\nX: \x00\r\n\r\n"), 400, "control character"),
    (chunked(b"5\r\nhello\r\n0\r\nX: y\nZ: z\r\n\r\n"), 400, "CRLF"),
    (chunked(b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"), 400, "trailer"),
    (chunked(b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400, "trailer"),
    (chunked(b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n"), 400, "trailer"),
    (chunked(b"0\r\n" + b"X: " + b"y" * 2000 + b"\r\n\r\n"), 400, "too long"),
    (chunked(b"0\r\n" + (b"X: " + b"y" * 500 + b"\r\n") * 40 + b"\r\n"), 431, "trailer"),
    (chunked(b"5;" + b"a" * 2000 + b"\r\nhello\r\n0\r\n\r\n"), 400, "too long"),
    (chunked((b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 20 + b"0\r\n\r\n"), 400, "extensions"),
    (chunked(b"1389\r\n" + b"x" * 5001 + b"\r\n0\r\n\r\n"), 413, "too large"),
]  # fmt: skip


@pytest.mark.parametrize("path", ["/read", "/survive", "/ignore"])
@pytest.mark.parametrize(("request_bytes", "status", "why"), BODIES)
def test_faulty_bodies(
    running: Running, request_bytes: bytes, status: int, why: str, path: str
) -> None:
    reply, logged = attack(running, request_bytes.replace(b"/x", path.encode(), 1))
    assert calls == [path]
    if path == "/read":
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert f": {status}, " in logged
        assert why in logged
        assert "(POST /read HTTP/1.1 [" in logged
        assert logged.count("\n") == 1
    else:
        assert reply.status == 200


@pytest.mark.parametrize("path", ["/read", "/survive", "/ignore"])
@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: 50\r\n\r\nhello",
        *[
            chunked(body)
            for body in (
                b"", b"5", b"5\r", b"5\r\n", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r",
                b"5\r\nhello\r\n", b"5\r\nhello\r\n0", b"5\r\nhello\r\n0\r\n",
                b"5\r\nhello\r\n0\r\n\r", b"0\r\nX: y\r\n",
            )
        ],
    ],
)  # fmt: skip
def test_a_body_that_ends_early(running: Running, request_bytes: bytes, path: str) -> None:
    client = running.connect()
    client.send(request_bytes.replace(b"/x", path.encode(), 1))
    client.sock.shutdown(socket.SHUT_WR)
    if path == "/read":
        assert client.at_end(), "it looked complete"
    else:
        assert client.reply().status == 200
        assert client.at_end()
    assert calls == [path]


ACCEPTED = [
    (POST + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    (POST + b"Content-Length: 0000005\r\n\r\nhello", b"hello"),
    (POST + b"Content-Length: \t 5 \t\r\n\r\nhello", b"hello"),
    (POST + b"Transfer-Encoding: \t chunked \t\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (POST + b"Transfer-Encoding: CHUNKED\r\n\r\n05\r\nhello\r\n000\r\n\r\n", b"hello"),
    (chunked(b'5;a;b=c;d="e\\"f"\r\nhello\r\n0;x\r\nX-T: y\r\n\r\n'), b"hello"),
    (chunked(b"5 ; a = b\r\nhello\r\n0\r\n\r\n"), b"hello"),
    (b"\r\n\r\n" + POST + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    (b"GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n", b""),
    (b"GET /x HTTP/1.1\r\nHost:\r\n\r\n", b""),
    (b"GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", b""),
    (b"GET /x HTTP/1.5\r\nHost: a\r\n\r\n", b""),
    (POST + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    (GET + b"X:\r\nY: \t\r\nZ: caf\xe9\r\n\r\n", b""),
]


@pytest.mark.parametrize(("request_bytes", "body"), ACCEPTED)
def test_what_is_unusual_and_in_order(running: Running, request_bytes: bytes, body: bytes) -> None:
    """What is right is served, and what follows it is the next request."""
    logged = len(running.errors.getvalue())
    client = running.connect()
    client.send(request_bytes + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.reply().body == body
    assert client.reply().status == 200
    assert len(calls) == 2
    assert calls[1] == "/next"
    assert running.errors.getvalue()[logged:] == ""


def test_each_bad_request_ends_its_pipeline(running: Running) -> None:
    client = running.connect()
    client.send(
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" * 2
        + POST + b"Content-Length: 5\r\n\r\nhello"
        + POST + b"Content-Length: +5\r\n\r\nhello"
        + SMUGGLED * 3
    )  # fmt: skip
    assert [client.reply().status for _ in range(4)] == [200, 200, 200, 400]
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()
    assert calls == ["/1", "/1", "/x"]


@pytest.mark.parametrize("kind", ["long", "short", "long list", "none"])
def test_an_answer_of_the_wrong_length_ends_the_connection(serve: Any, kind: str) -> None:
    """What follows an answer that is longer or shorter than it says is never the next answer."""
    seen: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> Any:
        seen.append(environ["PATH_INFO"])
        start_response("200 OK", [*TEXT, ("Content-Length", "4")])
        fake = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        return {
            "long": iter([b"body", fake]), "short": iter([b"bo"]), "long list": [b"body" + fake],
        }.get(kind, [])  # fmt: skip

    running = serve(app)
    client = running.connect()
    client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    if "long" in kind:
        assert client.reply().body == b"body"
    else:
        with pytest.raises(EOFError):
            client.reply()
    assert client.at_end()
    assert seen == ["/1"]
    assert "than its Content-Length (4)" in running.errors.getvalue()


@pytest.mark.parametrize(
    ("status", "header"),
    [
        ("200 OK", ("X", "a\r\nSet-Cookie: evil=1")),
        ("200 OK", ("X", "a\nSet-Cookie: evil=1")),
        ("200 OK", ("X", "a\r\n\r\nevil=1")),
        ("200 OK", ("X: a\r\nSet-Cookie", "evil=1")),
        ("200 OK", ("X", "evil=1\0")),
        ("200 OK\r\nSet-Cookie: evil=1", ("X", "a")),
        ("200 OK", ("Transfer-Encoding", "evil=1")),
        ("200 OK", ("Content-Length", "5\r\n\r\nevil=1")),
        ("200 OK", ("Trailer", "evil=1")),
    ],
)
def test_an_answer_cannot_be_split(serve: Any, status: str, header: tuple[str, str]) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response(status, [*TEXT, header])
        return [b"ok"]

    running = serve(app)
    client = running.connect()
    reply = client.get()
    assert reply.status == 500
    assert b"evil" not in reply.head + reply.body
    assert client.at_end()
    assert "ValueError: " in running.errors.getvalue()
