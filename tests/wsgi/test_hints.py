"""`wsgi.early_hints`, over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.hub import sleep, spawn
from greenworld.wsgi.hints import send_early_hints

if TYPE_CHECKING:
    from tests.wsgi.conftest import Serve

StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]
LINK = ("Link", "</style.css>; rel=preload; as=style")


def hinting(environ: Environ, start_response: StartResponse) -> list[bytes]:
    environ["wsgi.early_hints"]([LINK])
    environ["wsgi.early_hints"]([])
    environ["wsgi.early_hints"]([LINK, ("X-Two", "2")])
    start_response("200 OK", [*TEXT, LINK])
    return [environ["wsgi.input"].read()]


def test_hints_come_before_the_answer(serve: Serve) -> None:
    client = serve(hinting).connect()
    for method in ("GET", "HEAD", "POST"):
        body = b"hello" if method == "POST" else b""
        head = f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        client.send(head.encode() + body)
        first, second = client.reply(method), client.reply(method)
        assert first.head == (
            b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n"
        )
        assert (second.status, second.headers["x-two"]) == (103, "2")
        last = client.reply(method)
        assert (last.status, last.body, last.headers["link"]) == (200, body, LINK[1])


def test_hints_are_sent_at_once(serve: Serve) -> None:
    received = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([LINK])
        while not received.is_set():
            sleep(0.001)
        start_response("200 OK", TEXT)
        return [b"ok"]

    client = serve(app).connect()
    assert client.get().status == 103
    received.set()
    assert client.reply().body == b"ok"


def test_no_hints_for_1_0(serve: Serve) -> None:
    assert serve(hinting).connect().ask(b"GET / HTTP/1.0\r\n\r\n").status == 200


def test_each_of_a_pipeline_has_its_own(serve: Serve) -> None:
    client = serve(hinting).connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    assert [client.reply().status for _ in range(9)] == [103, 103, 200] * 3


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (("Link", "a\r\nSet-Cookie: b"), "ValueError"),
        (("Content-Length", "5"), "ValueError"),
        (("Link", 5), "TypeError"),
    ],
)
def test_bad_hints_are_the_applications_error(serve: Serve, header: Any, error: str) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([LINK, header])
        start_response("200 OK", TEXT)
        return [b"ok"]

    running = serve(app)
    assert running.connect().get().status == 500  # and no 103 before it
    assert error in running.errors.getvalue()


def test_too_late(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        yield b"he"
        try:
            environ["wsgi.early_hints"]([LINK])
        except RuntimeError as error:
            assert "before the answer" in str(error)  # noqa: PT017 (the server is a thread)
            yield b"llo"

    assert serve(app).connect().get().body == b"hello"


def test_only_where_the_application_runs(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        def elsewhere() -> str:
            try:
                environ["wsgi.early_hints"]([LINK])
            except RuntimeError as error:
                return str(error)
            return "no error"

        said = spawn(elsewhere).wait()
        start_response("200 OK", TEXT)
        return [said.encode()]

    assert b"in this green thread" in serve(app).connect().get().body
    with pytest.raises(RuntimeError, match="no request is answered"):
        send_early_hints([LINK])
