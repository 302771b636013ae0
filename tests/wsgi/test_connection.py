"""What happens on a connection: framing on the wire, keep-alive, pipelines, time-outs."""

from __future__ import annotations

import contextvars
import itertools
import socket
import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenworld.hub import getcurrent
from greenworld.wsgi import Limits
from greenworld.wsgi.environ import COLD_BLOCK

if TYPE_CHECKING:
    from tests.wsgi.conftest import Client, Serve

StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [environ["REQUEST_METHOD"].encode(), b" ", environ["RAW_URI"].encode(), b" ", body]


def ignore(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", TEXT)
    return [environ["RAW_URI"].encode()]


def test_keep_alive(serve: Serve) -> None:
    client = serve(echo).connect()
    for i in range(3):
        assert client.get(f"/{i}").body == b"GET /%d " % i


def test_bodies(serve: Serve) -> None:
    client = serve(echo).connect()
    assert client.ask(HEAD + b"Content-Length: 5\r\n\r\nhello").body == b"POST / hello"
    chunked = (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: x\r\n\r\n"
    )
    assert client.ask(chunked).body == b"POST / hello"
    assert client.ask(HEAD + b"Content-Length: 0\r\n\r\n").body == b"POST / "
    big = b"x" * 1_000_000
    assert client.ask(HEAD + b"Content-Length: 1000000\r\n\r\n" + big).body == b"POST / " + big
    pieces = b"".join(b"c350\r\n" + b"y" * 50_000 + b"\r\n" for _ in range(20))
    request = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    assert client.ask(request).body == b"POST / " + b"y" * 1_000_000


def test_pipeline(serve: Serve) -> None:
    client = serve(echo).connect()
    chunked = (
        b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    )
    client.send(
        b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(100))
        + HEAD + b"Content-Length: 3\r\n\r\nabc" + chunked + b"GET /end HTTP/1.1\r\nHost: a\r\n\r\n"
    )  # fmt: skip
    for i in range(100):
        assert client.reply().body == b"GET /%d " % i
    assert client.reply().body == b"POST / abc"
    assert client.reply().body == b"POST /c x"
    assert client.reply().body == b"GET /end "


def test_a_pipeline_stops_at_close(serve: Serve) -> None:
    client = serve(echo).connect()
    client.send(
        b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert client.reply().body == b"GET /1 "
    assert client.at_end()


def test_each_request_of_a_pipeline_has_a_green_thread_and_a_context(serve: Serve) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append((id(getcurrent()), variable.get(), getcurrent()))
        variable.set("left over")
        start_response("200 OK", TEXT)
        return [b"ok"]

    client = serve(app).connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    for _ in range(3):
        client.reply()
    assert len({thread for thread, _, _ in seen}) == 3
    assert [value for _, value, _ in seen] == ["unset"] * 3


def test_empty_lines_before_a_request(serve: Serve) -> None:
    client = serve(echo).connect()
    assert client.ask(b"\r\n\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n").body == b"GET /a "
    client.send(b"\r\n")
    assert client.get("/b").body == b"GET /b "


def test_a_head_without_fields_before_empty_lines(serve: Serve) -> None:
    running = serve(echo)
    client = running.connect()
    assert client.ask(b"GET /a HTTP/1.0\r\n" + b"\r\n" * 7).body == b"GET /a "
    assert running.connect().ask(b"GET /a HTTP/1.1\r\n" + b"\r\n" * 7).status == 400


def test_remembered_blocks_are_told_apart(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [repr([environ.get(f"HTTP_{name}") for name in ("HOST", "A", "B")]).encode()]

    client = serve(app).connect()
    seen = ["['a', None, None]", "['a', '1', None]", "['a', '1', '2']", "[None, '1', None]"]
    requests = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n",
        b"GET / HTTP/1.0\r\nA: 1\r\nConnection: keep-alive\r\n\r\n",
    ]
    for i in (0, 0, 1, 0, 1, 2, 2, 1, 3, 3, 0, 3, 2):
        assert client.ask(requests[i]).body.decode() == seen[i]


def test_absolute_target_replaces_the_host(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [environ["HTTP_HOST"].encode(), environ["PATH_INFO"].encode()]

    client = serve(app).connect()
    assert client.get("http://real:81/x").body == b"real:81/x"
    assert client.get("/y").body == b"test/y"


REFUSED = [
    (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    (b"GET http://a/ HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\nX: y\r\n\r\n", 400),
    (b"GET /\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 400),
    (b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\nContent-Length: 1\r\n\r\n", 417),
    (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET /" + b"a" * 200, 414),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2000, 431),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5001\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1771\r\n" + b"x" * 6001 +
     b"\r\n0\r\n\r\n", 413),
]  # fmt: skip


@pytest.mark.parametrize(("request_bytes", "status"), REFUSED)
def test_refusals(serve: Serve, request_bytes: bytes, status: int) -> None:
    running = serve(echo, limits=Limits(line=100, fields=10, head=1000), max_body=5000)
    client = running.connect()
    # What follows must never be taken for a request.
    reply = client.ask(request_bytes + b"\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (reply.status, reply.headers["connection"]) == (status, "close")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()
    assert "Traceback" not in running.errors.getvalue()


@pytest.mark.parametrize(
    "request_bytes",
    [b"HEAD / HTTP/1.1\r\n\r\n", b"HEAD a HTTP/1.1\r\nHost: a\r\n\r\n",
     b"\r\nHEAD / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", b"HEAD / HTTP/1.1\nHost: a\n\n"],
)  # fmt: skip
def test_a_refused_head_request_gets_no_body(serve: Serve, request_bytes: bytes) -> None:
    client = serve(echo).connect()
    reply = client.ask(request_bytes, "HEAD")
    assert reply.status == 400
    assert int(reply.headers["content-length"]) > 0
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()


def test_expect_100_continue_is_answered_when_the_application_reads(serve: Serve) -> None:
    client = serve(echo).connect()
    client.send(HEAD + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
    assert client.reply().status == 100
    client.send(b"hello")
    assert client.reply().body == b"POST / hello"
    assert client.get().status == 200


def test_too_large_a_body_is_refused_before_it_is_asked_for(serve: Serve) -> None:
    running = serve(echo, max_body=5)
    expecting = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    client = running.connect()
    reply = client.ask(expecting % 6)
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()
    client = running.connect()
    client.send(expecting % 5)
    assert client.reply().status == 100
    assert client.ask(b"hello").body == b"POST / hello"


def test_no_100_without_a_read_and_then_the_connection_ends(serve: Serve) -> None:
    client = serve(ignore).connect()
    reply = client.ask(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()


def test_no_100_when_the_body_is_here_or_for_1_0_or_without_a_body(serve: Serve) -> None:
    running = serve(echo)
    client = running.connect()
    reply = client.ask(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
    assert (reply.status, reply.body) == (200, b"POST / hello")
    assert client.ask(HEAD + b"Expect: 100-continue\r\n\r\n").status == 200
    client = running.connect()
    client.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    client.send(b"hi")
    assert client.reply().status == 200


def test_an_unread_body_is_dropped(serve: Serve) -> None:
    client = serve(ignore).connect()
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    for request in (
        HEAD + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled,
        HEAD
        + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled),
    ):
        assert client.ask(request).body == b"/"
    assert client.get("/next").body == b"/next"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_unread_body_ends_the_connection(serve: Serve, framing: str) -> None:
    client = serve(ignore, max_unread=1000).connect()
    if framing == "length":
        reply = client.ask(HEAD + b"Content-Length: 100000\r\n\r\n")
        assert reply.headers["connection"] == "close"
        client.send(b"x" * 100_000)  # the answer is not lost to a reset
    else:
        client.send(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n"
        )
        assert client.reply().body == b"/"
        client.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()


def test_partial_heads_hold_no_green_thread(serve: Serve) -> None:
    running = serve(echo)
    client = running.connect()
    for part in (b"GET /a HT", b"TP/1.1\r\nHost", b": a\r", b"\n\r"):
        client.send(part)
        wait_until_waiting(running, 1)
    assert client.ask(b"\n").body == b"GET /a "


def wait_until_waiting(running: Any, count: int) -> None:
    """Wait until `count` connections wait for bytes and none is being served."""
    done = threading.Event()

    def look() -> None:
        connections = running.server.connections
        if len(connections) == count and all(
            one.thread is None and one.lane is not None for one in connections
        ):
            done.set()
        else:
            running.server.hub.timers.start(0.001, look)

    running.server.hub.post(look)
    assert done.wait(10)


def test_idle_connections_hold_no_green_thread_and_cool_down(serve: Serve) -> None:
    running = serve(echo, keep_alive=40)
    clients = [running.connect() for _ in range(20)]
    for client in clients:
        client.get()
    wait_until_waiting(running, 20)
    assert running.on_hub(lambda: len(running.server.idle.fresh)) == 20

    def cool() -> list[Any]:
        idle = running.server.idle
        for connection in idle.fresh:
            idle.fresh[connection] -= 2
        assert idle.timer is not None
        idle.timer.cancel()
        idle._look()
        return [one.block is COLD_BLOCK for one in idle.cold]

    assert running.on_hub(cool) == [True] * 20
    for client in clients:
        assert client.get("/again").body == b"GET /again "


def test_keep_alive_ends(serve: Serve) -> None:
    running = serve(echo, keep_alive=0.02)
    client = running.connect()
    assert client.get().status == 200
    assert client.at_end()
    assert running.connect().get().status == 200


def test_keep_alive_zero_closes_after_each_answer(serve: Serve) -> None:
    client = serve(echo, keep_alive=0).connect()
    assert client.get().headers["connection"] == "close"
    assert client.at_end()


def test_a_slow_head_is_answered_408(serve: Serve) -> None:
    running = serve(echo, head_timeout=0.02)
    client = running.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: ")
    reply = client.reply()
    assert (reply.status, reply.headers["connection"]) == (408, "close")
    client.close()
    assert running.connect().at_end()  # nothing was said: closed without a word
    running.stop(10)
    assert running.access.getvalue().endswith('"-" 408 38 "-" "-"\n')
    assert running.access.getvalue().count("\n") == 1
    assert running.errors.getvalue() == ""


def test_a_slow_head_is_not_saved_by_trickling(serve: Serve) -> None:
    running = serve(echo, head_timeout=0.05)
    client = running.connect()
    client.sock.settimeout(0.001)
    try:
        for _ in range(100_000):
            client.send(b"\r\n" if _ == 0 else b"G")
            try:
                if client.sock.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                pass
    finally:
        client.sock.settimeout(10)
    assert client.reply().status == 408


def test_a_stalled_body_is_answered_408(serve: Serve) -> None:
    running = serve(echo, body_timeout=0.02)
    client = running.connect()
    reply = client.ask(HEAD + b"Content-Length: 5\r\n\r\nhe")
    assert (reply.status, reply.headers["connection"]) == (408, "close")


def test_a_client_that_does_not_read_is_cut_off(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [b"x" * 20_000_000]

    running = serve(app, write_timeout=0.02)
    client = running.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_until_gone(running)
    assert running.errors.getvalue() == ""


def wait_until_gone(running: Any) -> None:
    """Wait until the server has no connection left."""
    done = threading.Event()

    def look() -> None:
        if running.server.connections:
            running.server.hub.timers.start(0.001, look)
        else:
            done.set()

    running.server.hub.post(look)
    assert done.wait(10)


def test_disconnects_are_quiet(serve: Serve) -> None:
    running = serve(echo)
    for request in (b"", b"GET / HT", HEAD + b"Content-Length: 5\r\n\r\nhe",
                    HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe"):  # fmt: skip
        for reset in (False, True):
            client = running.connect()
            client.send(request)
            if reset:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    assert running.connect().get().status == 200
    wait_until_waiting(running, 1)
    assert running.errors.getvalue() == ""


def test_a_half_closed_client_still_gets_its_answer(serve: Serve) -> None:
    client = serve(echo).connect()
    client.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.reply().body == b"GET /a "
    assert client.reply().body == b"GET /b "
    assert client.at_end()


def test_a_head_and_its_body_leave_in_one_piece(serve: Serve) -> None:
    client = serve(echo).connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    data = client.sock.recv(65536)
    assert data.endswith(b"GET / ")
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("size", [100_000, 10_000_000])
def test_large_answers_to_clients_that_come_and_go(serve: Serve, size: int) -> None:
    body = b"x" * size

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [body]

    running = serve(app)
    for reads in (0, 1, 5000):
        client = running.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        if reads:
            client.sock.recv(reads)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert running.connect().get().body == body
    assert running.errors.getvalue() == ""


def test_urgent_data_does_not_hide_what_follows_it(serve: Serve) -> None:
    running = serve(echo)
    client = running.connect()
    for _ in range(3):
        client.send(b"GET / HTTP/1.1\r\nHo")
        client.sock.send(b"!", socket.MSG_OOB)
        client.send(b"st: a\r\n\r\n")
        assert client.reply().status == 200


VALID = [
    b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nGET /b?c HTTP/1.1\r\nHost: b\r\nX-Y: z\r\n\r\n",
    HEAD + b"Content-Length: 11\r\n\r\nhello\r\n\r\nGE",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e\r\nde\r\n0\r\nT: u\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\nCookie: x\r\n\r\n",
]
INVALID = [
    b"",
    b"GET / HTTP/1.1\r\nHost: a\r\nBad\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    b"X" * 300,
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 300,
    HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
]


def outcome(client: Client, methods: list[str], refused: bool) -> list[Any]:
    """All that comes back and may not depend on the cut; of a refusal, not the reason given."""
    replies: list[Any] = []
    for method in methods:
        reply = client.reply(method)
        replies.append((reply.status, reply.body, reply.headers.get("connection")))
    if refused:
        reply = client.reply()
        replies.append((reply.status, reply.headers.get("connection")))
    return replies


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(VALID), max_size=4),
    st.sampled_from(INVALID),
    st.lists(st.integers(0, 3000), max_size=12),
)
def test_any_cut_gives_the_same_answers(
    serve: Serve, valid: list[bytes], invalid: bytes, places: list[int]
) -> None:
    data = b"".join(valid) + invalid
    methods = [one.lstrip().split(b" ")[0].decode() for one in valid]
    running = serve(echo, limits=Limits(line=200, fields=100, head=1000))

    def run(cuts: list[bytes]) -> list[Any]:
        client = running.connect()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for cut in cuts:
                try:
                    client.send(cut)
                except (BrokenPipeError, ConnectionResetError):
                    break  # refused already
            return outcome(client, methods, bool(invalid))
        finally:
            client.close()

    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    whole = run([data])
    assert run([data[a:b] for a, b in itertools.pairwise(edges)]) == whole
    if not invalid:
        assert [one[0] for one in whole] == [200] * len(valid)
    running.stop()


def test_every_byte_by_itself(serve: Serve) -> None:
    running = serve(echo)
    data = b"".join(VALID)
    client = running.connect()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(data)):
        client.send(data[i : i + 1])
        if i % 7 == 0:
            running.on_hub(int)  # a turn for the server, so that the pieces arrive apart
    bodies = [client.reply("HEAD" if b"HEAD" in one else "GET").body for one in VALID]
    assert bodies == [b"GET /a ", b"GET /b?c ", b"POST / hello\r\n\r\nGE", b"POST / abcde", b""]
