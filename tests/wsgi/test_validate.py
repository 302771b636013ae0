"""`wsgiref.validate` finds nothing on any route of an application that uses all of PEP 3333."""

from __future__ import annotations

import io
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest

if TYPE_CHECKING:
    from tests.wsgi.conftest import Running, Serve

StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]
FILE = b"line\n" * 1000
BODY = b"first\nsecond\nrest"


class Closing:
    """An iterable with all that a server may look at."""

    closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"one "
        yield b""
        yield b"two"

    def close(self) -> None:
        Closing.closed += 1


def as_list(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [*TEXT, ("Content-Length", "7")])
    return [b"one ", b"two"]


def as_iterable(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return Closing()


def as_generator(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return (block for block in (b"one ", b"two"))


def by_write(environ: Environ, start_response: StartResponse) -> Any:
    write = start_response("200 OK", TEXT)
    write(b"one ")
    write(b"two")
    return []


def by_write_and_list(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)(b"one ")
    return [b"two"]


def from_file(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(FILE), 100)


def from_real_file(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(FILE)))])
    return environ["wsgi.file_wrapper"](Path(environ["my.file"]).open("rb"), 4096)


def reads_all(environ: Environ, start_response: StartResponse) -> Any:
    stream = environ["wsgi.input"]
    start_response("200 OK", TEXT)
    return [stream.read(3), stream.readline(), stream.readline(2), *stream.readlines(), b"."]


def reads_lines(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return [*environ["wsgi.input"], b"."]


def reads_nothing(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return [b"ok"]


def hints(environ: Environ, start_response: StartResponse) -> Any:
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    start_response("200 OK", TEXT)
    return [b"ok"]


def no_content(environ: Environ, start_response: StartResponse) -> Any:
    start_response("204 No Content", [])
    return []


def not_modified(environ: Environ, start_response: StartResponse) -> Any:
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def replaced(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    try:
        raise LookupError
    except LookupError:
        start_response("404 Not Found", TEXT, sys.exc_info())
    return [b"not here"]


def complains(environ: Environ, start_response: StartResponse) -> Any:
    errors = environ["wsgi.errors"]
    errors.write("")
    errors.writelines([])
    errors.flush()
    start_response("200 OK", [*TEXT, ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")])
    return [b"ok"]


def fails(environ: Environ, start_response: StartResponse) -> Any:
    raise LookupError("the application's own")


ROUTES = {
    "list": (as_list, 200, b"one two"),
    "iterable": (as_iterable, 200, b"one two"),
    "generator": (as_generator, 200, b"one two"),
    "write": (by_write, 200, b"one two"),
    "both": (by_write_and_list, 200, b"one two"),
    "file": (from_file, 200, FILE),
    "real-file": (from_real_file, 200, FILE),
    "all": (reads_all, 200, None),
    "lines": (reads_lines, 200, None),
    "nothing": (reads_nothing, 200, b"ok"),
    "hints": (hints, 200, b"ok"),
    "no-content": (no_content, 204, b""),
    "not-modified": (not_modified, 304, b""),
    "replaced": (replaced, 404, b"not here"),
    "complains": (complains, 200, b"ok"),
    "fails": (fails, 500, None),
}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "M-SEARCH"]


def application(environ: Environ, start_response: StartResponse) -> Any:
    name = environ["PATH_INFO"].strip("/")
    return ROUTES.get(name, (reads_nothing,))[0](environ, start_response)


@pytest.fixture
def running(serve: Serve, tmp_path: Path) -> Running:
    (tmp_path / "file").write_bytes(FILE)
    keys = {"my.file": str(tmp_path / "file")}
    return serve(validator(application), environ=keys)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize("framing", ["none", "length", "chunked"])
@pytest.mark.parametrize("route", ROUTES)
def test_every_route_with_every_method(running: Running, route: str, framing: str) -> None:
    _, status, body = ROUTES[route]
    fields, content = {
        "none": (b"", b""),
        "length": (b"Content-Length: %d\r\n" % len(BODY), BODY),
        "chunked": (
            b"Transfer-Encoding: chunked\r\n",
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
        ),
    }[framing]
    client = running.connect()
    for method in METHODS:
        head = f"{method} /{route}?a=b HTTP/1.1\r\nHost: a\r\n".encode()
        client.send(head + fields + b"\r\n" + content)
        reply = client.reply(method)
        if route == "hints":
            assert reply.status == 103
            reply = client.reply(method)
        assert reply.status == status
        if route == "fails":  # which ends the connection
            client.sock.shutdown(socket.SHUT_WR)
            assert client.at_end()
            client = running.connect()
        elif body is None:
            body = BODY + b"." if framing != "none" else b"."
        if method != "HEAD" and route != "fails":
            assert reply.body == body
    errors = running.errors.getvalue()
    assert "AssertionError" not in errors
    assert errors.count("Traceback") == (len(METHODS) if route == "fails" else 0)


@pytest.mark.parametrize(
    "target", ["/", "*", "http://b/nothing", "/%C3%A9?%41", "//nothing", "/no/../such%00path"]
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_other_targets_and_versions(running: Running, target: str, version: str) -> None:
    method = "OPTIONS" if target == "*" else "GET"
    for fields in ("Host: a\r\n", "Host: [::1]:80\r\nAccept:\r\nX-Y: caf\xe9\r\nProxy: x\r\n"):
        request = f"{method} {target} HTTP/{version}\r\n{fields}\r\n".encode("latin-1")
        assert running.connect().ask(request).body == b"ok"
    assert running.errors.getvalue() == ""


def test_iterables_are_closed(running: Running) -> None:
    Closing.closed = 0
    client = running.connect()
    for number in range(1, 4):
        client.get("/iterable")
        client.get("/nothing")
        assert Closing.closed == number
