"""`wsgi.file_wrapper`, over real sockets."""

from __future__ import annotations

import gzip
import io
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.wsgi.files import FileWrapper

if TYPE_CHECKING:
    from tests.wsgi.conftest import Client, Serve

StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]


@pytest.mark.parametrize("size", [0, 1, 300_000])
@pytest.mark.parametrize("kind", ["file", "unbuffered", "bytes", "temporary", "wrapped"])
@pytest.mark.parametrize("http", ["1.0", "1.1"])
def test_file_wrapper(serve: Serve, tmp_path: Path, size: int, kind: str, http: str) -> None:
    path = tmp_path / "file"
    data = os.urandom(size)
    path.write_bytes(b"skipped" + data)
    files: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> Any:
        file: Any
        if kind == "bytes":
            file = io.BytesIO(b"skipped" + data)
        elif kind == "temporary":
            file = tempfile.TemporaryFile()  # noqa: SIM115 (the server closes it)
            file.write(b"skipped" + data)
        else:
            file = path.open("rb", buffering=0 if kind == "unbuffered" else -1)
        file.seek(7)
        files.append(file)
        start_response("200 OK", TEXT)
        wrapper = environ["wsgi.file_wrapper"](file, 1000)
        return iter(wrapper) if kind == "wrapped" else wrapper

    running = serve(app)
    request = f"GET / HTTP/{http}\r\nHost: a\r\n\r\n".encode()
    reply = running.connect().ask(request)
    assert reply.body == data
    assert ("content-length" in reply.headers) == (kind not in ("bytes", "wrapped") or size == 0)
    reply = running.connect().ask(request.replace(b"GET", b"HEAD"), "HEAD")
    assert reply.status == 200
    running.stop(5)
    if kind != "wrapped":
        assert [file.closed for file in files] == [True, True]
    for file in files:
        file.close()


def test_file_wrapper_keeps_to_the_length(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [*TEXT, ("Content-Length", environ["QUERY_STRING"])])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    client = serve(app).connect()
    assert client.get("/?4").body == b"0123"
    assert client.get("/?10").body == b"0123456789"
    with pytest.raises(EOFError):
        client.get("/?11")


def test_a_large_file_and_a_slow_reader(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = os.urandom(1 << 20) * 12  # more than the socket buffers hold
    path.write_bytes(data)

    def app(environ: Environ, start_response: StartResponse) -> Any:
        if environ["PATH_INFO"] == "/other":
            start_response("200 OK", TEXT)
            return [b"ok"]
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](path.open("rb"))

    running = serve(app)
    slow = running.connect()
    slow.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert running.connect().get("/other").body == b"ok"  # the others are served meanwhile
    assert slow.reply().body == data


@pytest.mark.parametrize("leave", [False, True])
def test_a_file_for_a_client_that_does_not_read(serve: Serve, tmp_path: Path, leave: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (12 << 20))

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        wrapper = environ["wsgi.file_wrapper"](path.open("rb"))
        environ["wsgi.errors"].write("begun\n")
        return wrapper

    running = serve(app, write_timeout=0.05 if not leave else 60)
    client = running.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.read_line() == b"HTTP/1.1 200 OK\r\n"
    if leave:
        client.close()
    while running.on_hub(lambda: len(running.server.connections)):
        pass
    running.stop(5)
    assert running.errors.getvalue() == "begun\n"
    assert '"GET / HTTP/1.1" 200 ' in running.access.getvalue()


def test_a_closed_file_is_an_error(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        file = path.open("rb")
        file.close()
        return environ["wsgi.file_wrapper"](file)

    assert serve(app).connect().get().status == 500


def test_what_is_a_regular_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with gzip.open(path, "wb") as packed:
        packed.write(b"content")
    with path.open("rb") as file:
        file.seek(3)
        assert FileWrapper(file).regular() == (file.fileno(), 3, path.stat().st_size - 3)
    with gzip.open(path) as packed:
        assert FileWrapper(packed).regular() is None
        assert b"".join(FileWrapper(packed, 2)) == b"content"
    with gzip.open(path) as packed, io.BufferedReader(packed) as buffered:
        assert FileWrapper(buffered).regular() is None
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as pipe, open(write_end, "wb"):
        assert FileWrapper(pipe).regular() is None
    assert FileWrapper(io.BytesIO(b"x")).regular() is None


def test_what_was_written_is_sent_too() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"content")
        wrapper = FileWrapper(file)
        assert wrapper.regular() == (file.fileno(), 7, 0)
        assert os.fstat(file.fileno()).st_size == 7


def test_files_without_a_true_size() -> None:
    path = Path("/proc/self/status")
    if not path.exists():
        pytest.skip("no /proc here")
    with path.open("rb") as file:
        assert FileWrapper(file).regular() is None


def test_close_closes_what_can_be_closed() -> None:
    class Readable:
        def read(self, size: int) -> bytes:
            return b""

    file = io.BytesIO(b"x")
    FileWrapper(file).close()
    assert file.closed
    FileWrapper(Readable()).close()


def test_what_reads_a_part_of_a_file_is_not_the_file(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"public, secret")

    class Part:
        def __init__(self) -> None:
            self.file = path.open("rb")
            self.left = len("public")

        def read(self, size: int) -> bytes:
            data = self.file.read(min(size, self.left))
            self.left -= len(data)
            return data

        def close(self) -> None:
            self.file.close()

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](Part())

    assert serve(app).connect().get().body == b"public"


HUGE = (1 << 31) + 12_345
"""Bytes that one `sendfile` call cannot send, and that fit no signed 32-bit integer."""


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """A sparse file with something written at both ends."""
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.write(b"begin")
        file.seek(HUGE - 3)
        file.write(b"end")
    return path


def skip_body(client: Client, size: int) -> bytes:
    """Take so many bytes off the connection without looking at them, but for the last three."""
    left = size - 3
    unused = bytearray(1 << 20)
    while left:
        # The kernel drops what MSG_TRUNC receives (tcp(7)), which costs next to nothing.
        dropped = client.sock.recv_into(unused, min(left, len(unused)), socket.MSG_TRUNC)
        assert dropped, f"the body ended {left} bytes early"
        left -= dropped
    last = b""
    while len(last) < 3:
        last += client.sock.recv(3 - len(last))
    return last


def read_head(client: Client) -> bytes:
    """Read a head and not a byte more: no buffer may hold a part of the body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.sock.recv(1)
    return head


@pytest.mark.skipif(
    "GREENWORLD_TEST_HUGE" not in os.environ or sys.platform != "linux",
    reason="sends two gigabytes, and has Linux drop them: set GREENWORLD_TEST_HUGE=1",
)
@pytest.mark.parametrize("said", [False, True])
def test_more_than_two_gib(serve: Serve, huge: Path, said: bool) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        if environ["PATH_INFO"] != "/":
            start_response("200 OK", TEXT)
            return [b"ok"]
        start_response("200 OK", [*TEXT, *([("Content-Length", str(HUGE))] if said else [])])
        return environ["wsgi.file_wrapper"](huge.open("rb"))

    running = serve(app)
    client = running.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"\r\nContent-Length: %d\r\n" % HUGE in read_head(client)
    assert skip_body(client, HUGE) == b"end"
    assert client.get("/next").body == b"ok"
    assert f'"GET / HTTP/1.1" 200 {HUGE} ' in running.access.getvalue()


def test_the_length_of_more_than_two_gib(serve: Serve, huge: Path) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](huge.open("rb"))

    client = serve(app).connect()
    assert client.get(method="HEAD").headers["content-length"] == str(HUGE)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"\r\nContent-Length: %d\r\n" % HUGE in read_head(client)
    assert client.sock.recv(5, socket.MSG_WAITALL) == b"begin"


def test_ranges_are_the_applications(serve: Serve, huge: Path) -> None:
    """It seeks, says 206 and how much; the server sends that much from there."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        first, last = map(int, environ["HTTP_RANGE"].removeprefix("bytes=").split("-"))
        file = huge.open("rb")
        file.seek(first)
        start_response(
            "206 Partial Content",
            [
                *TEXT,
                ("Content-Range", f"bytes {first}-{last}/{HUGE}"),
                ("Content-Length", str(last + 1 - first)),
            ],
        )
        return environ["wsgi.file_wrapper"](file)

    client = serve(app).connect()
    for first, last, body in (
        (0, 4, b"begin"),
        (1, 2, b"eg"),
        (HUGE - 4, HUGE - 1, b"\0end"),
        (HUGE - 3, HUGE - 2, b"en"),
        (1 << 31, (1 << 31) + 2, b"\0\0\0"),
    ):
        reply = client.get("/", f"Range: bytes={first}-{last}")
        assert (reply.status, reply.body) == (206, body)
        assert reply.headers["content-range"] == f"bytes {first}-{last}/{HUGE}"


def test_a_file_that_shrinks_does_not_look_whole(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [*TEXT, ("Content-Length", "100000")])
        file = path.open("rb")
        os.truncate(path, 50_000)
        return environ["wsgi.file_wrapper"](file)

    running = serve(app)
    with pytest.raises(EOFError):
        running.connect().get()
    assert "50000 bytes shorter than its Content-Length" in running.errors.getvalue()
