"""The time that a whole request may take."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenworld.hub import Event, sleep
from greenworld.wsgi.errors import RequestTimeout

if TYPE_CHECKING:
    from tests.wsgi.conftest import Running, Serve

LIMIT = 20.0
SOON = 0.02
"""A time-out for what waits for ever."""
StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]
REQUEST = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
COMPLAINT = (
    f"greenworld.wsgi: gave up answering GET /slow HTTP/1.1: "
    f"the request took longer than {SOON:g} seconds\n"
)


def for_ever() -> None:
    """Wait for what never comes, so that only an exception ends it."""
    Event().wait(LIMIT)
    raise AssertionError("nothing has ended the wait")


def complaints(running: Running) -> str:
    """The error log, without the names of the requests."""
    return re.sub(r" \[[0-9a-f-]+\]", "", running.errors.getvalue())


def deadlines_are_idle(running: Running) -> bool:
    """Wait until no request is timed and no timer runs."""
    governor = running.server.governor
    assert governor is not None
    deadlines = governor.deadlines
    assert deadlines is not None
    done = threading.Event()

    def look() -> None:
        if deadlines._timer is None and not deadlines._begun:
            done.set()
        else:
            running.server.hub.timers.start(0.001, look)

    running.server.hub.post(look)
    return done.wait(LIMIT)


def test_503_if_nothing_was_sent(serve: Serve) -> None:
    ended: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            for_ever()
        except Exception:  # noqa: BLE001 - what applications write
            ended.append("an Exception")
        finally:
            ended.append("cleaned up")
        return []

    running = serve(app, request_timeout=SOON)
    client = running.connect()
    reply = client.ask(REQUEST)
    assert (reply.status, reply.headers["connection"]) == (503, "close")
    assert reply.body == b"The request took too long.\n"
    assert client.at_end()
    assert ended == ["cleaned up"]
    assert deadlines_are_idle(running)
    running.stop()
    assert complaints(running) == COMPLAINT
    assert running.access.getvalue().count(" 503 ") == running.access.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("version", "headers"),
    [("1.1", []), ("1.1", [("Content-Length", "100")]), ("1.0", [])],
    ids=["chunked", "length", "to the end"],
)
def test_what_has_begun_never_looks_complete(
    serve: Serve, version: str, headers: list[tuple[str, str]]
) -> None:
    closed: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", headers)
        try:
            yield b"part"
            for_ever()
        finally:
            closed.append("closed")

    running = serve(app, request_timeout=SOON)
    client = running.connect()
    client.send(REQUEST.replace(b"1.1", version.encode()))
    with pytest.raises((ConnectionResetError, EOFError, ValueError)):
        client.reply()
    assert closed == ["closed"]
    assert deadlines_are_idle(running)
    assert complaints(running) == COMPLAINT.replace("1.1", version)


def test_a_client_that_sends_its_body_or_reads_its_answer_too_slowly(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"x" * 20_000_000]

    running = serve(app, request_timeout=SOON)
    client = running.connect()
    reply = client.ask(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
    assert reply.status == 503
    client = running.connect()
    client.send(REQUEST)
    assert deadlines_are_idle(running)
    with pytest.raises((ConnectionResetError, EOFError)):
        client.reply()
    assert running.errors.getvalue().count("gave up answering") == 2


def test_an_application_may_answer_for_itself(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            for_ever()
        except RequestTimeout as error:
            start_response("504 Gateway Timeout", [("Content-Type", "text/plain")])
            return [str(error).encode()]
        return []

    running = serve(app, request_timeout=SOON)
    client = running.connect()
    for _ in range(2):
        reply = client.ask(REQUEST)
        assert (reply.status, reply.body) == (504, b"the request took longer than 0.02 seconds")
    assert running.errors.getvalue() == ""


def test_one_that_catches_it_and_waits_again_is_told_again(serve: Serve) -> None:
    caught: list[BaseException] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            for_ever()
        except BaseException as error:  # noqa: BLE001 - what applications write
            caught.append(error)
        for_ever()
        return []

    running = serve(app, request_timeout=SOON)
    assert running.connect().ask(REQUEST).status == 503
    assert [type(error) for error in caught] == [RequestTimeout]
    assert complaints(running) == COMPLAINT


def test_only_the_time_of_a_request_counts(serve: Serve) -> None:
    """Not the time between two of them, nor that of a head that has only begun."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            for_ever()
        start_response("200 OK", [])
        return [b"ok"]

    running = serve(app, request_timeout=SOON)
    idle, partial = running.connect(), running.connect()
    assert idle.get().body == b"ok"
    partial.send(b"GET / HTTP/1.1\r\n")
    assert deadlines_are_idle(running)
    assert running.connect().ask(REQUEST).status == 503  # so long the others have waited
    assert idle.get().body == b"ok"
    assert partial.ask(b"Host: a\r\n\r\n").body == b"ok"


def test_requests_in_time_are_left_alone(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(3):
            sleep(0)
            yield b"ok"

    running = serve(app, request_timeout=LIMIT)
    client = running.connect()
    for _ in range(3):
        assert client.get().body == b"okokok"
    client.send(REQUEST * 5)
    for _ in range(5):
        assert client.reply().body == b"okokok"
    assert running.errors.getvalue() == ""


def test_a_log_that_is_slow(serve: Serve) -> None:
    """What strikes after the answer ends the connection, without a traceback."""

    class Recorder:
        def record(self, exchange: Any, /) -> None:
            for_ever()

        def record_refusal(self, connection: Any, error: Any, size: int, /) -> None: ...

        def flush(self) -> None: ...

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [b"ok"]

    running = serve(app, request_timeout=SOON)
    running.on_hub(lambda: setattr(running.server, "access", Recorder()))
    client = running.connect()
    assert client.get().body == b"ok"
    assert client.at_end()
    assert running.errors.getvalue() == ""
