"""PEP 3333, over real sockets."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest

from greenworld.hub import sleep
from greenworld.wsgi import ClientDisconnected, HttpError

if TYPE_CHECKING:
    from tests.wsgi.conftest import Serve

StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]


def test_environ(serve: Serve) -> None:
    seen: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", TEXT)
        return [b"ok"]

    running = serve(app, environ={"my.key": 5})
    client = running.connect()
    client.get(
        "/a%20b?c=d%20e",
        *("X-One: 1", "X-One: 2", "x_one: 3", "Proxy: evil", "Cookie: a=b", "Cookie: c=d"),
        *("Content-Type: text/x", "X-Latin: caf\xe9"),
    )
    environ = seen[0]
    assert type(environ) is dict
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/a b"
    assert environ["QUERY_STRING"] == "c=d%20e"
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == "/a%20b?c=d%20e"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    host, port = running.server.address
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (host, str(port))
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["REMOTE_PORT"] == str(client.sock.getsockname()[1])
    assert environ["HTTP_HOST"] == "test"
    assert environ["HTTP_X_ONE"] == "1,2"
    assert "HTTP_PROXY" not in environ
    assert environ["HTTP_COOKIE"] == "a=b; c=d"
    assert environ["CONTENT_TYPE"] == "text/x"
    assert "CONTENT_LENGTH" not in environ
    assert environ["HTTP_X_LATIN"] == "caf\xe9"
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "http"
    environ["wsgi.errors"].write("to the error log")
    assert running.errors.getvalue() == "to the error log"
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.multiprocess"] is False
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert environ["wsgi.input"].read() == b""
    assert environ["my.key"] == 5


def test_each_request_has_an_environ_of_its_own(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        found = environ.get("mark", "none")
        environ["mark"] = environ["HTTP_HOST"] = "left over"
        start_response("200 OK", TEXT)
        return [found.encode(), environ["PATH_INFO"].encode()]

    client = serve(app).connect()
    assert [client.get(f"/{i}").body for i in range(3)] == [b"none/0", b"none/1", b"none/2"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_the_validator_finds_nothing(serve: Serve, method: str) -> None:
    def inner(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        environ["wsgi.input"].read(2)
        environ["wsgi.input"].readline()
        for _ in environ["wsgi.input"]:
            pass
        environ["wsgi.errors"].write("")
        environ["wsgi.errors"].flush()
        write = start_response("200 OK", [*TEXT, ("X-Test", "1")])
        write(b"written ")
        yield b"yielded "
        yield b""
        yield b"again"

    running = serve(validator(inner))  # type: ignore[arg-type]
    client = running.connect()
    for _ in range(2):
        reply = client.ask(
            f"{method} /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nab\nc\nde".encode(),
            method,
        )
        assert reply.status == 200
        if method != "HEAD":
            assert reply.body == b"written yielded again"
            assert reply.chunks == [b"written ", b"yielded ", b"again"]
    assert running.errors.getvalue() == ""


def test_a_list_is_sent_with_its_length(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        return {"/list": [b"a", b"", b"bc"], "/tuple": (b"abc",), "/none": []}[environ["PATH_INFO"]]

    client = serve(app).connect()
    for path, body in (("/list", b"abc"), ("/tuple", b"abc"), ("/none", b"")):
        reply = client.get(path)
        assert (reply.headers["content-length"], reply.body) == (str(len(body)), body)
        assert "connection" not in reply.headers
        assert reply.headers["date"].endswith(" GMT")


def test_a_generator_is_chunked_for_1_1_and_closed_for_1_0(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"one"
        yield b""
        yield b"two"

    running = serve(app)
    client = running.connect()
    assert client.get().chunks == [b"one", b"two"]
    assert client.get().chunks == [b"one", b"two"]
    reply = running.connect().ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert reply.body == b"onetwo"
    assert reply.headers["connection"] == "close"
    assert "transfer-encoding" not in reply.headers


def test_a_block_is_sent_before_the_next_is_made(serve: Serve) -> None:
    received = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for block in (b"first", b"second"):
            yield block
            while not received.is_set():  # the client has it before we go on
                sleep(0.001)
            received.clear()

    client = serve(app).connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    while client.read_line() != b"\r\n":
        pass
    for block in (b"first", b"second"):
        assert client.read_chunk() == block
        received.set()


def test_http_1_0(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [environ["SERVER_PROTOCOL"].encode()]

    running = serve(app)
    client = running.connect()
    reply = client.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert (reply.body, reply.headers["connection"]) == (b"HTTP/1.0", "close")
    assert client.at_end()
    client = running.connect()
    for _ in range(2):
        reply = client.ask(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
        assert reply.headers["connection"] == "keep-alive"
        assert reply.headers["content-length"] == "8"


def test_connection_close(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        extra = [("Connection", "close")] if environ["PATH_INFO"] == "/app" else []
        start_response("200 OK", [*TEXT, *extra])
        return [b"ok"]

    running = serve(app)
    for request in ("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n",
                    "GET /app HTTP/1.1\r\nHost: a\r\n\r\n"):  # fmt: skip
        client = running.connect()
        assert client.ask(request.encode()).headers["connection"] == "close"
        assert client.at_end()


def test_head_and_bodiless_statuses(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        status = environ["PATH_INFO"][1:4] + " Reason"
        kind = environ["QUERY_STRING"]
        length = [("Content-Length", "4")] if "length" in kind else []
        start_response(status, [*TEXT, *length])
        return iter([b"bo", b"dy"]) if "lazy" in kind else [b"body"]

    client = serve(app).connect()
    for query in ("", "length", "lazy", "lazylength"):
        reply = client.get(f"/200?{query}", method="HEAD")
        if query != "lazy":
            assert reply.headers["content-length"] == "4"
        assert "transfer-encoding" not in reply.headers
        for status in (204, 304):
            reply = client.get(f"/{status}?{query}")
            assert reply.status == status
            assert "transfer-encoding" not in reply.headers
            if status == 204:
                assert "content-length" not in reply.headers
    assert client.get("/200").body == b"body"  # nothing was left in between


def test_exc_info_replaces_the_head_until_it_is_sent(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("X-Old", "1")])
        if environ["PATH_INFO"] == "/late":
            yield b"begun"
        try:
            raise ValueError("the application's own")
        except ValueError:
            start_response("503 Busy", [*TEXT, ("X-New", "1")], sys.exc_info())
        yield b"error page"

    running = serve(app)
    reply = running.connect().get("/early")
    assert (reply.status, reply.body) == (503, b"error page")
    assert "x-old" not in reply.headers
    with pytest.raises((EOFError, ValueError)):
        running.connect().get("/late")
    assert "ValueError: the application's own" in running.errors.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ("200 OK", [("X", "a\r\nSet-Cookie: b")]),
        ("200 OK", [("X", "a\nb")]),
        ("200 OK", [("X", "a\rb")]),
        ("200 OK", [("X", "a\0b")]),
        ("200 OK", [("X", "\u0100")]),
        ("200 OK", [("X\r\nY", "a")]),
        ("200 OK", [("X Y", "a")]),
        ("200 OK", [("X:", "a")]),
        ("200 OK", [("", "a")]),
        ("200 OK", [("X\xe9", "a")]),
        ("200 OK\r\nX: y", []),
        ("200\nOK", []),
        ("OK", []),
        ("99 Low", []),
        ("101 Switching", []),
        ("1000 High", []),
        (b"200 OK", []),
        (200, []),
        ("200 OK", ()),
        ("200 OK", [["X", "a"]]),
        ("200 OK", [("X", 1)]),
        ("200 OK", [("X", b"a")]),
        ("200 OK", [(b"X", "a")]),
        ("200 OK", [("X",)]),
        ("200 OK", [("X", None)]),
        ("200 OK", [("Content-Length", "+2")]),
        ("200 OK", [("Content-Length", "")]),
        ("200 OK", [("Content-Length", "2"), ("Content-Length", "2")]),
        ("200 OK", [("Transfer-Encoding", "chunked")]),
        ("200 OK", [("Upgrade", "x")]),
        ("200 OK", [("Keep-Alive", "x")]),
    ],
)
def test_bad_heads_are_the_applications_error(serve: Serve, arguments: tuple[Any, Any]) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response(*arguments)
        return [b"ok"]

    running = serve(app)
    client = running.connect()
    reply = client.get()
    assert (reply.status, reply.headers["connection"]) == (500, "close")
    assert client.at_end()
    assert "Traceback" in running.errors.getvalue()


def no_start(environ: Environ, start_response: StartResponse) -> Any:
    return [b"x"]


def no_start_lazily(environ: Environ, start_response: StartResponse) -> Any:
    yield b"x"


def no_start_and_no_body(environ: Environ, start_response: StartResponse) -> Any:
    return iter(())


def start_twice(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"x"]


def text_in_a_list(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [])
    return ["text"]


def text_yielded(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [])
    yield "text"


def text_written(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [])("text")  # type: ignore[arg-type]
    return []


def returns_none(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [])


def raises(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [])
    raise RuntimeError("secret")


def raises_a_base_exception(environ: Environ, start_response: StartResponse) -> Any:
    raise BaseException("like a time-out")


@pytest.mark.parametrize(
    "app",
    [no_start, no_start_lazily, no_start_and_no_body, start_twice, text_in_a_list, text_yielded,
     text_written, returns_none, raises, raises_a_base_exception],
)  # fmt: skip
def test_application_errors(serve: Serve, app: Any) -> None:
    running = serve(app)
    client = running.connect()
    reply = client.get()
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert client.at_end()
    log = running.errors.getvalue()
    assert "GET / HTTP/1.1" in log
    assert "Traceback" in log
    assert running.connect().get().status == 500  # the server goes on


@pytest.mark.parametrize(
    ("status", "why", "line", "told"),
    [
        (403, "not you", b"HTTP/1.1 403 Forbidden\r\n", "not you"),
        (499, "n\xf6, \u20ac", b"HTTP/1.1 499 Error\r\n", r"n\xf6, \u20ac"),
        (422, "a\r\nb", None, r"a\x0d\x0ab"),
        (200, "fine", b"HTTP/1.1 500 Internal Server Error\r\n", None),
        (1000, "", b"HTTP/1.1 500 Internal Server Error\r\n", None),
    ],
)
def test_an_application_may_refuse(
    serve: Serve, status: int, why: str, line: bytes | None, told: str | None
) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise HttpError(status, why)

    running = serve(app)
    client = running.connect()
    reply = client.get()
    assert line is None or reply.head.startswith(line)
    assert client.at_end()
    log = running.errors.getvalue()
    if told is None:
        assert "ValueError: the status of an error is 400 to 599" in log
    else:
        assert reply.body == told.encode() + b"\n"
        assert f": {status}, {told} (GET / HTTP/1.1" in log
        assert log.count("\n") == 1


def test_an_error_in_the_middle_cuts_the_connection(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        length = [("Content-Length", "10")] if "length" in environ["PATH_INFO"] else []
        start_response("200 OK", [*TEXT, *length])
        yield b"begun"
        raise RuntimeError("too late")

    running = serve(app)
    for request in (
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /length HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ):
        client = running.connect()
        client.send(request)
        with pytest.raises((EOFError, ValueError, ConnectionResetError)):
            client.reply()
    assert running.errors.getvalue().count("RuntimeError: too late") == 3


def test_a_part_never_looks_like_the_whole_of_an_answer_without_length(serve: Serve) -> None:
    begun = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"begun"
        if environ["PATH_INFO"] == "/error":
            raise RuntimeError("too late")
        begun.set()
        sleep(20)

    running = serve(app)
    unread = running.connect()  # a body that nobody reads is no reason for an orderly end
    unread.send(b"POST /error HTTP/1.0\r\nContent-Length: 5\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        unread.reply()
    killed = running.connect()
    killed.send(b"GET /wait HTTP/1.0\r\n\r\n")
    assert begun.wait(20)
    running.stop(0)
    with pytest.raises(ConnectionResetError):
        killed.reply()


def test_an_answer_without_length_is_whole_when_close_fails(serve: Serve) -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"whole"

        def close(self) -> None:
            raise RuntimeError("in close")

    def app(environ: Environ, start_response: StartResponse) -> Body:
        start_response("200 OK", TEXT)
        return Body()

    running = serve(app)
    assert running.connect().ask(b"GET / HTTP/1.0\r\n\r\n").body == b"whole"
    assert "RuntimeError: in close" in running.errors.getvalue()


class Closing:
    """An iterable that counts its `close` calls and may fail on the way."""

    def __init__(self, fail: str) -> None:
        self.fail = fail
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"block"
        if self.fail == "iteration":
            raise RuntimeError("in iteration")

    def close(self) -> None:
        self.closed += 1
        if self.fail == "close":
            raise RuntimeError("in close")


@pytest.mark.parametrize("fail", ["", "iteration", "close", "no start"])
def test_close_is_called_once(serve: Serve, fail: str) -> None:
    made: list[Closing] = []

    def app(environ: Environ, start_response: StartResponse) -> Closing:
        if fail != "no start":
            start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        made.append(Closing(fail))
        return made[-1]

    running = serve(app)
    client = running.connect()
    reply = client.get()
    assert reply.status == (500 if fail == "no start" else 200)
    if fail:
        assert client.at_end()
    running.stop(5)
    assert [one.closed for one in made] == [1]
    assert ("RuntimeError" in running.errors.getvalue()) == (fail in ("iteration", "close"))


def test_close_is_called_when_the_client_goes_away(serve: Serve) -> None:
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 65536

        def close(self) -> None:
            closed.set()

    def app(environ: Environ, start_response: StartResponse) -> Endless:
        start_response("200 OK", TEXT)
        return Endless()

    running = serve(app)
    client = running.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.read_line() == b"HTTP/1.1 200 OK\r\n"
    client.close()
    assert closed.wait(10)
    running.stop(5)
    assert running.errors.getvalue() == ""


@pytest.mark.parametrize("kind", ["list", "iterator", "write"])
@pytest.mark.parametrize(("promised", "received"), [(3, b"bod"), (4, b"body")])
def test_too_long_a_body_is_cut(serve: Serve, kind: str, promised: int, received: bytes) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        write = start_response("200 OK", [*TEXT, ("Content-Length", str(promised))])
        if kind == "write":
            write(b"bo")
            write(b"dy")
            return []
        return [b"body"] if kind == "list" else iter([b"bo", b"dy"])

    running = serve(app)
    assert running.connect().get().body == received
    assert ("longer than its Content-Length" in running.errors.getvalue()) == (promised == 3)


@pytest.mark.parametrize("kind", ["list", "iterator", "write", "empty", "empty iterator"])
def test_too_short_a_body_is_not_passed_off_as_whole(serve: Serve, kind: str) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        write = start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        if kind == "write":
            write(b"body")
        return {
            "list": [b"body"],
            "iterator": iter([b"bo", b"dy"]),
            "empty iterator": iter(()),
        }.get(kind, [])

    running = serve(app)
    client = running.connect()
    with pytest.raises(EOFError):
        client.get()
    assert "shorter than its Content-Length (5)" in running.errors.getvalue()


@pytest.mark.parametrize("kind", ["plain", "list", "chunked", "no content", "file"])
def test_a_write_that_comes_too_late_sends_nothing(serve: Serve, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"body")
    kept: list[Callable[[bytes], None]] = []

    def app(environ: Environ, start_response: StartResponse) -> Any:
        length = [("Content-Length", "4")] if kind == "plain" else []
        status = "204 No Content" if kind == "no content" else "200 OK"
        while kept:
            kept.pop()(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        kept.append(start_response(status, [*TEXT, *length]))
        if kind == "file":
            return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))
        return iter([b"bo", b"dy"]) if kind == "chunked" else [b"body"]

    client = serve(app).connect()
    for _ in range(3):
        assert client.get().body == (b"" if kind == "no content" else b"body")


def test_subclasses_of_bytes_are_bytes(serve: Serve) -> None:
    class Special(bytes):
        pass

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        blocks = [Special(b"bo"), Special(b"dy")]
        return {"/list": blocks, "/one": blocks[:1], "/lazy": iter(blocks)}[environ["PATH_INFO"]]

    client = serve(app).connect()
    assert [client.get(path).body for path in ("/list", "/one", "/lazy")] == [
        b"body",
        b"bo",
        b"body",
    ]


def test_a_large_list_body(serve: Serve) -> None:
    body = os.urandom(3_000_000)

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [body]

    client = serve(app).connect()
    for _ in range(2):
        assert client.get().body == body


@pytest.mark.parametrize("written", [b"", b"first "])
@pytest.mark.parametrize("sizes", [[70_000] * 3, [10] * 9000, [10, 70_000, 0, 10], [65_535, 1, 1]])
def test_a_large_list_of_blocks_has_its_length(
    serve: Serve, sizes: list[int], written: bytes
) -> None:
    blocks = [os.urandom(size) for size in sizes]
    body = written + b"".join(blocks)

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        if written:
            write(written)
        return blocks

    running = serve(app)
    client = running.connect()
    for method in ("GET", "HEAD", "GET"):
        reply = client.get(method=method)
        if not written:
            assert reply.headers["content-length"] == str(len(body))
        if method == "GET":
            assert reply.body == body
    assert running.errors.getvalue() == ""


def test_a_large_list_that_holds_no_bytes_is_an_error(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[Any]:
        start_response("200 OK", TEXT)
        return ["a" * 70_000, b"b"]

    running = serve(app)
    assert running.connect().get().status == 500
    assert "TypeError" in running.errors.getvalue()


def test_the_client_goes_away_during_the_upload(serve: Serve) -> None:
    errors: list[BaseException] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except ClientDisconnected as error:
            errors.append(error)
            raise
        raise AssertionError("a truncated body looked complete")

    running = serve(app)
    client = running.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
    client.close()
    running.stop(10)
    assert len(errors) == 1
    assert running.errors.getvalue() == ""


def test_access_log(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("418 Teapot", TEXT)
        return [b"body"] if environ["PATH_INFO"] == "/list" else iter([b"bo", b"dy"])

    running = serve(app)
    client = running.connect()
    client.get("/list?a=b", 'Referer: http://x/"\\', "User-Agent: \xe9\t")
    client.get("/'\"")
    client.ask(b"GARBAGE\r\n\r\n")
    client.close()
    running.stop(5)
    lines = running.access.getvalue().splitlines()
    assert len(lines) == 3
    stamp = lines[0].split("[")[1].split("]")[0]
    assert lines[0] == (
        f'127.0.0.1 - - [{stamp}] "GET /list?a=b HTTP/1.1" 418 4'
        r' "http://x/\"\\" "\xe9"'
    )
    assert '"GET /\'\\" HTTP/1.1" 418 4 "-" "-"' in lines[1]
    assert '"-" 400 ' in lines[2]


def test_an_answer_that_was_not_read_in_time_is_not_whole(serve: Serve) -> None:
    """Only the end of the connection ends it: a client that reads on at last must see a failure."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return iter([bytes(100_000_000)])

    running = serve(app, write_timeout=0.05)
    client = running.connect()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.sock.recv(1, socket.MSG_PEEK) == b"H"
    while running.on_hub(lambda: running.server.connections):
        pass
    with pytest.raises(ConnectionResetError):
        client.reply()
