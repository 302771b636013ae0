"""Starting, stopping and listening."""

from __future__ import annotations

import contextvars
import io
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.hub import get_hub, sleep, spawn
from greenworld.wsgi import Config, Server

if TYPE_CHECKING:
    from tests.wsgi.conftest import Client, Connect, Serve

LIMIT = 20.0

StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class Gate:
    """An application whose requests say that they have begun, and wait to be let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.ended: list[str] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        self.begun.set()
        try:
            while not self.go.is_set():
                sleep(0.001)
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield b"done"
            self.ended.append("finished")
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise


REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_addresses(serve: Serve) -> None:
    running = serve(hello)
    host, port = running.server.address
    assert host == "127.0.0.1"
    assert port > 0
    assert running.server.addresses == [(host, port)]
    assert running.server.urls == [f"http://127.0.0.1:{port}"]


def test_sockets_that_the_caller_made(serve: Serve, connect: Connect) -> None:
    first, second = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    addresses = [first.getsockname(), second.getsockname()]
    running = serve(hello, first, second)
    assert running.server.addresses == addresses
    for address in addresses:
        assert connect(address).get().body == b"hello"
    running.stop()
    assert first.fileno() == second.fileno() == -1


def test_one_socket_that_the_caller_made() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    one = Server(hello, sock)
    one.start()
    try:
        assert one.addresses == [sock.getsockname()]
    finally:
        one.stop(0)


def test_start_once(serve: Serve) -> None:
    running = serve(hello)
    with pytest.raises(RuntimeError, match="started before"):
        running.server.start()


def test_inside_a_program_with_other_green_threads() -> None:
    """`start` does not block, `stop` returns, and the program goes on before and after."""
    one = Server(hello, bind="127.0.0.1:0", config=Config(error_log=io.StringIO()))
    one.start()
    replies: list[bytes] = []

    def client() -> None:
        with connect_to(one.address) as sock:
            sock.sendall(REQUEST)
            get_hub().io(sock.fileno()).wait_read(LIMIT)
            replies.append(sock.recv(1000))
            get_hub().io(sock.fileno()).close()

    spawn(client).wait(LIMIT)
    assert replies[0].endswith(b"hello")
    assert one.stop(LIMIT)
    with pytest.raises(ConnectionRefusedError):
        connect_to(one.address)


def connect_to(address: Any) -> socket.socket:
    sock = socket.create_connection(address, timeout=LIMIT)
    sock.setblocking(False)
    return sock


def test_requests_begin_in_the_context_of_the_server() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(variable.get())
        return hello(environ, start_response)

    variable.set("before")
    one = Server(app, bind="127.0.0.1:0", config=Config(error_log=io.StringIO()))
    one.start()
    variable.set("after")
    with connect_to(one.address) as sock:
        for _ in range(2):
            sock.sendall(REQUEST)
            get_hub().io(sock.fileno()).wait_read(LIMIT)
            sock.recv(1000)
        get_hub().io(sock.fileno()).close()
    assert one.stop(LIMIT)
    assert seen == ["before", "before"]


def test_stop_closes_idle_connections_at_once_and_finishes_requests(serve: Serve) -> None:
    gate = Gate()
    running = serve(gate)
    gate.go.set()
    idle, fresh, busy = (running.connect() for _ in range(3))
    assert idle.get().body == b"done"
    gate.go.clear()
    gate.begun.clear()
    busy.send(REQUEST)
    assert gate.begun.wait(LIMIT)
    running.server.request_stop(LIMIT)
    assert idle.at_end()
    assert fresh.at_end()
    with pytest.raises(OSError, match="refused"):
        running.connect()
    gate.go.set()
    reply = busy.reply()
    assert (reply.body, reply.headers["connection"]) == (b"done", "close")
    running.thread.join(LIMIT)
    assert not running.thread.is_alive()
    assert running.access.getvalue().count("\n") == 2


def test_stop_serves_what_has_connected_already(serve: Serve) -> None:
    running = serve(hello)
    clients: list[Client] = []

    def connect_and_stop() -> None:
        # In one turn of the hub: the server has seen neither connection nor request yet.
        for _ in range(3):
            clients.append(running.connect())
            clients[-1].send(REQUEST)
        running.server.request_stop(LIMIT)

    running.on_hub(connect_and_stop)
    for client in clients:
        reply = client.reply()
        assert (reply.body, reply.headers["connection"]) == (b"hello", "close")


def knock_until_refused(running: Any) -> None:
    """Connect until the listener is closed."""
    while True:
        try:
            running.connect()
        except (ConnectionRefusedError, ConnectionResetError):
            return


def test_stop_waits_for_the_first_request_of_a_new_connection(serve: Serve) -> None:
    running = serve(hello)
    clients: list[Client] = []

    def connect_and_stop() -> None:
        clients.append(running.connect())
        running.server.request_stop(LIMIT)

    running.on_hub(connect_and_stop)
    knock_until_refused(running)  # the stop has begun
    clients[0].send(REQUEST)
    reply = clients[0].reply()
    assert (reply.body, reply.headers["connection"]) == (b"hello", "close")


def test_a_server_that_is_replaced_answers_one_more_request(serve: Serve) -> None:
    running = serve(hello)
    used, new, silent = (running.connect() for _ in range(3))
    assert used.get().headers.get("connection") is None
    assert silent.get().body == b"hello"
    new.send(REQUEST[:5])
    running.server.request_stop(last_request=LIMIT)
    running.on_hub(lambda: None)
    for client, rest in ((used, REQUEST), (new, REQUEST[5:])):
        reply = client.ask(rest)
        assert (reply.body, reply.headers["connection"]) == (b"hello", "close")
        assert client.at_end()
    assert running.thread.is_alive()
    running.server.request_stop()  # now for good
    assert silent.at_end()
    running.thread.join(LIMIT)
    assert not running.thread.is_alive()


def test_stop_kills_what_does_not_end(serve: Serve) -> None:
    gate = Gate()
    running = serve(gate)
    busy = running.connect()
    busy.send(REQUEST)
    assert gate.begun.wait(LIMIT)
    running.stop(0.01)
    assert gate.ended == ["GreenletExit"]
    assert busy.at_end()


def test_a_second_stop_cuts_the_first_one_short(serve: Serve) -> None:
    gate = Gate()
    running = serve(gate)
    running.connect().send(REQUEST)
    assert gate.begun.wait(LIMIT)
    running.server.request_stop(1000)
    assert running.server.stop_requested
    running.stop(0)
    assert gate.ended == ["GreenletExit"]


class Slow:
    """An application that says what it has come to, and goes on when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.paths: list[str] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        self.paths.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/stream":
            yield b"first"
        self.begun.set()
        body = environ["wsgi.input"].read() if environ["PATH_INFO"] == "/upload" else b"last"
        while not self.go.is_set():
            sleep(0.001)
        yield body


def stop_begins(running: Any) -> None:
    """Ask for a stop with all the time in the world, and wait until it has begun."""
    running.server.request_stop(1000)
    knock_until_refused(running)


def test_a_stop_lets_streams_and_uploads_finish(serve: Serve) -> None:
    application = Slow()
    running = serve(application)
    stream = running.connect()
    stream.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    assert stream.read_line() == b"HTTP/1.1 200 OK\r\n"
    assert application.begun.wait(LIMIT)
    application.begun.clear()
    upload = running.connect()
    upload.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    assert application.begun.wait(LIMIT)
    stop_begins(running)
    upload.send(b"def")
    upload.send(b"ghi")
    application.go.set()
    reply = upload.reply()
    assert (reply.body, reply.headers["connection"]) == (b"abcdefghi", "close")
    assert upload.at_end()
    while stream.read_line() != b"\r\n":
        pass
    assert [stream.read_chunk(), stream.read_chunk()] == [b"first", b"last"]
    assert stream.read_line() == b"0\r\n"
    assert stream.read_line() == b"\r\n"
    assert stream.at_end()  # its head had left before the stop: only the end says so
    running.thread.join(LIMIT)
    assert not running.thread.is_alive()
    assert running.errors.getvalue() == ""


def test_a_stop_answers_a_pipeline_up_to_the_word_close(serve: Serve) -> None:
    """What follows was not begun, and the client may send it again (RFC 9112, section 9.3.2)."""
    application = Slow()
    running = serve(application)
    client = running.connect()
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(3)))
    assert application.begun.wait(LIMIT)
    stop_begins(running)
    application.go.set()
    reply = client.reply()
    assert (reply.body, reply.headers["connection"]) == (b"last", "close")
    running.thread.join(LIMIT)
    assert application.paths == ["/0"]


def part_of_a_head(running: Any) -> Client:
    """A connection that has sent one, which the server has seen."""
    client: Client = running.connect()
    client.send(b"GET / HTTP/1.1\r\nHo")
    while not running.on_hub(lambda: [one for one in running.server.idle.heads if one.buffer]):
        pass
    return client


def test_a_stop_waits_a_moment_for_the_rest_of_a_head(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[Server.__module__], "NEWCOMER_SECONDS", 1000)
    running = serve(hello)
    client = part_of_a_head(running)
    stop_begins(running)
    reply = client.ask(b"st: a\r\n\r\n")
    assert (reply.body, reply.headers["connection"]) == (b"hello", "close")


def test_a_stop_waits_no_longer_for_the_rest_of_a_head(serve: Serve) -> None:
    running = serve(hello, head_timeout=1000)
    client = part_of_a_head(running)
    running.server.request_stop(1000)
    reply = client.reply()
    assert (reply.status, reply.headers["connection"]) == (408, "close")
    client.close()
    running.thread.join(LIMIT)
    assert not running.thread.is_alive()


def test_a_stop_does_not_begin_to_wait_for_the_rest_of_a_head(serve: Serve) -> None:
    """It has come behind a request that was being answered, without a word of an end."""
    go = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        yield b"o"
        while not go.is_set():
            sleep(0.001)
        yield b"k"

    running = serve(app)
    client = running.connect()
    client.send(REQUEST + b"GET / HT")
    while not client.sock.recv(65536).endswith(b"o"):
        pass
    running.server.request_stop(3600)
    while not running.on_hub(lambda: running.server.past_newcomers):
        pass
    go.set()
    assert client.sock.recv(1) == b"k"
    assert client.reply().status == 408
    running.thread.join(LIMIT)
    assert not running.thread.is_alive()


def test_a_stop_ends_what_takes_longer_than_it_is_given(serve: Serve) -> None:
    application = Slow()
    running = serve(application, graceful_timeout=0.01)
    stream = running.connect()
    stream.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    assert application.begun.wait(LIMIT)
    running.server.request_stop()
    with pytest.raises((EOFError, ConnectionResetError, ValueError)):
        stream.reply()
    running.thread.join(LIMIT)
    assert not running.thread.is_alive()
    assert "stopped before 1 request(s) could be finished" in running.errors.getvalue()


def test_a_stop_says_whether_all_was_finished() -> None:
    for seconds, expected in ((LIMIT, True), (0.0, False)):
        application = Slow()
        if expected:
            application.go.set()
        errors = io.StringIO()
        one = Server(application, bind="127.0.0.1:0", config=Config(error_log=errors))
        one.start()
        with connect_to(one.address) as sock:
            sock.sendall(REQUEST)
            while not application.begun.is_set():
                sleep(0.001)
            assert one.stop(seconds) is expected
