"""Connections that an application takes over, over real sockets."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.hub import sleep, spawn
from greenworld.wsgi import ClientDisconnected

if TYPE_CHECKING:
    from tests.wsgi.conftest import Client, Serve

StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]
UPGRADE = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


def switched(client: Client, request: bytes = UPGRADE) -> Client:
    """Ask for an upgrade and read the 101."""
    client.send(request)
    while client.read_line() != b"\r\n":
        pass
    return client


def upper(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Send back what comes, in capitals."""
    sock = environ["greenworld.upgrade"]()
    sock.sendall(SWITCH)
    while data := sock.recv(65536):
        sock.sendall(data.upper())
    return []


def line_by_line(client: Client, *lines: bytes) -> None:
    for line in lines:
        client.send(line)
        assert client.read_line() == line.upper()


def test_take_over(serve: Serve) -> None:
    running = serve(upper)
    client = switched(running.connect())
    line_by_line(client, b"one\n", b"two\n")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()
    running.stop(5)
    assert running.errors.getvalue() == ""
    assert f'"GET /x HTTP/1.1" 101 {len(SWITCH) + 8} ' in running.access.getvalue()


def test_what_came_with_the_request_comes_first(serve: Serve) -> None:
    client = switched(serve(upper).connect(), UPGRADE + b"early\nbirds\n")
    assert (client.read_line(), client.read_line()) == (b"EARLY\n", b"BIRDS\n")
    line_by_line(client, b"late\n")


def test_many_at_once(serve: Serve) -> None:
    running = serve(upper)
    clients = [switched(running.connect()) for _ in range(100)]
    for number in range(3):
        for client in clients:
            client.send(b"line %d\n" % number)
        assert {client.read_line() for client in clients} == {b"LINE %d\n" % number}
    for client in clients:
        client.close()
    running.wait_until_gone()
    assert running.errors.getvalue() == ""


def test_an_upgrade_can_be_declined(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert "greenworld.upgrade" in environ
        start_response("200 OK", TEXT)
        return [b"no"]

    client = serve(app).connect()
    for _ in range(2):
        reply = client.ask(UPGRADE)
        assert (reply.status, reply.body) == (200, b"no")
        assert "connection" not in reply.headers


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n"
        b"Transfer-Encoding: chunked\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n"
        b"Content-Length: 5\r\n",
    ],
)
def test_it_is_offered_only_where_it_can_be_done(serve: Serve, head: bytes) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [b"%d" % ("greenworld.upgrade" in environ or "gunicorn.socket" in environ)]

    assert serve(app).connect().ask(head + b"\r\n0\r\n\r\n").body == b"0"


def test_threads_that_are_not_green_are_not_led_on(serve: Serve) -> None:
    """In this process nothing is patched: a library would read from a native thread."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        sock = environ["greenworld.upgrade"]()
        said = []

        def use() -> None:
            try:
                sock.recv(1)
            except RuntimeError as error:
                said.append(str(error))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        sock.sendall(SWITCH + f"{'gunicorn.socket' in environ} {said}\n".encode())
        return []

    line = switched(serve(app).connect()).read_line()
    assert line.startswith(b"False ['a connection belongs to the OS thread of its server")


def returns_a_body(environ: Environ, start_response: StartResponse) -> Any:
    environ["greenworld.upgrade"]().sendall(SWITCH)
    start_response("200 OK", TEXT)
    return [b"dropped"]


def returns_nothing(environ: Environ, start_response: StartResponse) -> Any:
    environ["greenworld.upgrade"]().sendall(SWITCH)


def returns_an_iterator(environ: Environ, start_response: StartResponse) -> Any:
    environ["greenworld.upgrade"]().sendall(SWITCH)
    start_response("200 OK", TEXT)
    return iter([b"dropped"])


def takes_over_lazily(environ: Environ, start_response: StartResponse) -> Any:
    environ["greenworld.upgrade"]().sendall(SWITCH)
    yield b""


def stops_as_under_gunicorn(environ: Environ, start_response: StartResponse) -> Any:
    environ["greenworld.upgrade"]().sendall(SWITCH)
    raise StopIteration


def uses_a_closed_socket(environ: Environ, start_response: StartResponse) -> Any:
    sock = environ["greenworld.upgrade"]()
    sock.sendall(SWITCH)
    sock.close()
    sock.close()
    assert sock.fileno() == -1
    sock.sendall(b"more")


def closes_by_a_with_block(environ: Environ, start_response: StartResponse) -> Any:
    with environ["greenworld.upgrade"]() as sock:
        sock.sendall(SWITCH)


def shuts_down(environ: Environ, start_response: StartResponse) -> Any:
    sock = environ["greenworld.upgrade"]()
    sock.sendall(SWITCH)
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(1) == b""


QUIET = [returns_a_body, returns_nothing, returns_an_iterator, takes_over_lazily, shuts_down,
         stops_as_under_gunicorn, uses_a_closed_socket, closes_by_a_with_block]  # fmt: skip


@pytest.mark.parametrize("app", QUIET)
def test_its_end_is_the_connections_end(serve: Serve, app: Any) -> None:
    running = serve(app)
    client = switched(running.connect())
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()
    running.stop(5)
    assert running.errors.getvalue() == ""
    assert '" 101 ' in running.access.getvalue()


def fails(environ: Environ, start_response: StartResponse) -> Any:
    environ["greenworld.upgrade"]().sendall(SWITCH)
    raise ValueError("secret")


def writes(environ: Environ, start_response: StartResponse) -> Any:
    write = start_response("200 OK", TEXT)
    environ["greenworld.upgrade"]().sendall(SWITCH)
    write(b"secret")


def yields(environ: Environ, start_response: StartResponse) -> Any:
    environ["greenworld.upgrade"]().sendall(SWITCH)
    start_response("200 OK", TEXT)
    yield b"secret"


@pytest.mark.parametrize("app", [fails, writes, yields])
def test_errors_are_logged_and_nothing_is_written(serve: Serve, app: Any) -> None:
    running = serve(app)
    client = switched(running.connect())
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()
    running.stop(5)
    log = running.errors.getvalue()
    assert log.count("Traceback") == 1
    assert "GET /x HTTP/1.1" in log


def test_an_answer_that_has_begun_is_finished(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"begun"
        with pytest.raises(RuntimeError, match="has begun"):
            environ["greenworld.upgrade"]()
        yield b"finished"

    client = serve(app).connect()
    assert client.ask(UPGRADE).body == b"begunfinished"


def test_no_hints_on_a_connection_that_was_taken_over(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        sock = environ["greenworld.upgrade"]()
        with pytest.raises(RuntimeError, match="taken over"):
            environ["wsgi.early_hints"]([("Link", "</a>")])
        sock.sendall(b"no hint")
        return []

    client = serve(app).connect()
    client.send(UPGRADE)
    assert client.read_line() == b"no hint"


def test_101_cannot_come_from_start_response(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("101 Switching Protocols", [])
        return []

    running = serve(app)
    assert running.connect().ask(UPGRADE).status == 500
    assert "1xx is not final" in running.errors.getvalue()


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_dies(serve: Serve, reset: bool) -> None:
    ended = threading.Event()
    seen: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        sock = environ["greenworld.upgrade"]()
        sock.sendall(SWITCH)
        try:
            seen.append(sock.recv(100))
        except ConnectionError as error:
            seen.append(type(error))
            raise
        finally:
            ended.set()
        return []

    running = serve(app)
    client = switched(running.connect())
    if reset:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert ended.wait(20)
    running.wait_until_gone()
    assert seen == [ConnectionResetError if reset else b""]
    assert running.errors.getvalue() == ""


@pytest.mark.parametrize(
    ("timeout", "error"), [("0.01", TimeoutError), ("0", BlockingIOError), ("", ClientDisconnected)]
)
def test_a_client_that_does_not_read(
    serve: Serve, timeout: str, error: type[BaseException]
) -> None:
    ended = threading.Event()
    seen: list[type[BaseException]] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        sock = environ["greenworld.upgrade"]()
        sock.sendall(SWITCH)
        if timeout:
            sock.settimeout(float(timeout))
        try:
            sock.sendall(b"x" * 20_000_000)
        except OSError as error:
            seen.append(type(error))
            assert sock.fileno() == -1
        ended.set()
        return []

    running = serve(app, write_timeout=0.05)
    client = switched(running.connect())
    assert ended.wait(20)
    client.close()
    running.wait_until_gone()
    assert seen == [error]
    assert running.errors.getvalue() == ""


def test_idle_ones_are_not_idle_connections(serve: Serve) -> None:
    """None of the time-outs of requests holds, however short."""
    running = serve(
        upper, keep_alive=0.02, head_timeout=0.02, body_timeout=0.02, request_timeout=0.02,
        max_in_flight=1,
    )  # fmt: skip
    one, two = switched(running.connect()), switched(running.connect())  # one place for both

    def looked_at_twice() -> bool:
        return running.connect().at_end() and running.connect().at_end()

    assert looked_at_twice()  # connections that say nothing are ended, those are not
    line_by_line(one, b"still\n", b"here\n")
    line_by_line(two, b"me too\n")
    assert running.errors.getvalue() == ""


def test_a_stop_lets_them_end_and_then_ends_them(serve: Serve) -> None:
    begun = threading.Event()
    ended: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        sock = environ["greenworld.upgrade"]()
        sock.sendall(SWITCH)

        def read() -> None:  # as libraries do, in a green thread of their own
            try:
                while sock.recv(100):
                    pass
            except OSError as error:
                ended.append(error)

        reader = spawn(read)
        begun.set()
        try:
            sleep(1000)
        finally:
            ended.append("told")
            spawn(reader.join)
        return []

    running = serve(app)
    client = switched(running.connect())
    assert begun.wait(20)
    running.stop(0)
    assert client.at_end()
    assert len(ended) == 2
    assert "1 request(s)" in running.errors.getvalue()


def test_several_green_threads_do_not_mix_what_they_send(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        sock = environ["greenworld.upgrade"]()
        sock.sendall(SWITCH)
        writers = [spawn(sock.send, b"%d" % i * 3_000_000 + b"\n") for i in range(3)]
        assert [writer.wait() for writer in writers] == [3_000_001] * 3
        return []

    client = switched(serve(app).connect())
    lines = [client.read_line() for _ in range(3)]
    assert sorted(lines) == [b"%d" % i * 3_000_000 + b"\n" for i in range(3)]


def test_non_blocking_use(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        sock = environ["greenworld.upgrade"]()
        sock.setblocking(False)
        assert sock.gettimeout() == 0.0
        assert sock.send(SWITCH) == len(SWITCH)
        with pytest.raises(BlockingIOError):
            sock.recv(10)
        sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            sock.recv(10)
        sock.sendall(b"ready\n")
        sock.setblocking(True)
        buffer = bytearray(5)
        assert sock.recv_into(buffer, 3) == 3
        assert buffer == b"abc\0\0"
        assert sock.recv(0) == b""
        with pytest.raises(ValueError, match="flags"):
            sock.recv(1, socket.MSG_PEEK)
        with pytest.raises(ValueError, match="flags"):
            sock.sendall(b"x", socket.MSG_OOB)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            flood(sock.send)
        return []

    def flood(send: Callable[[bytes], int]) -> None:
        while send(b"x" * 100_000):
            pass

    running = serve(app)
    client = switched(running.connect())
    assert client.read_line() == b"ready\n"
    client.send(b"abc")
    client.sock.shutdown(socket.SHUT_WR)
    while client.sock.recv(1 << 20):
        pass
    running.stop(5)
    assert running.errors.getvalue() == ""


def test_what_it_says_of_itself(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        sock = environ["greenworld.upgrade"].__self__
        peer = sock.getpeername()  # looking at it does not take it over
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if environ["QUERY_STRING"] == "no":
            start_response("200 OK", TEXT)
            return [b"no"]
        assert environ["greenworld.upgrade"]() is sock
        said = [
            peer == (environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"])),
            sock.getsockname()[1] == int(environ["SERVER_PORT"]),
            sock.fileno() > 2,
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0,
            sock.gettimeout() is None,
        ]
        sock.sendall(SWITCH + f"{said}\n".encode())
        return []

    running = serve(app)
    assert running.connect().ask(UPGRADE.replace(b"/x", b"/?no")).body == b"no"
    assert switched(running.connect()).read_line() == b"[True, True, True, True, True]\n"
