"""The logs: gathering, flushing, and streams that fail."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from greenworld.wsgi.access_format import compile_format
from greenworld.wsgi.log import AccessLog, ErrorLog, ErrorStream
from tests.wsgi.conftest import Serve

FORMAT = compile_format("combined")


class Counting(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write(self, text: str) -> int:
        self.calls.append("write")
        return super().write(text)

    def flush(self) -> None:
        self.calls.append("flush")


class Broken:
    encoding = "none"

    def write(self, text: str) -> None:
        raise BrokenPipeError("nobody reads")

    def flush(self) -> None:
        raise BrokenPipeError("nobody reads")


def test_lines_of_one_turn_leave_in_one_write() -> None:
    stream = Counting()
    soon: list[Callable[[], None]] = []
    log = AccessLog(stream, ErrorLog(io.StringIO()), soon.append, FORMAT)
    log.add("a\n")
    log.add("b\n")
    assert stream.calls == []
    assert len(soon) == 1
    soon.pop()()
    assert stream.getvalue() == "a\nb\n"
    assert stream.calls == ["write", "flush"]
    log.flush()
    assert stream.calls == ["write", "flush"]
    log.add("c\n")
    assert len(soon) == 1
    soon.pop()()
    assert stream.getvalue() == "a\nb\nc\n"


def test_requests_of_one_turn_leave_in_one_write(serve: Serve) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("204 None", [])
        return []

    stream = Counting()
    running = serve(application, access_log=stream, access_format="%U")
    client = running.connect()
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(9)))
    for _ in range(9):
        assert client.reply().status == 204
    running.stop()
    assert stream.getvalue() == "".join(f"/{n}\n" for n in range(9))
    assert stream.calls.count("write") == stream.calls.count("flush")


def test_a_line_that_cannot_be_made_is_an_error_in_the_log(serve: Serve) -> None:
    class Shy:
        def __str__(self) -> str:
            raise ValueError("not to be shown")

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["view"] = Shy() if environ["PATH_INFO"] == "/shy" else "seen"
        start_response("204 None", [])
        return []

    running = serve(application, access_format="%{view}e")
    client = running.connect()
    for path in ("/", "/shy", "/"):
        assert client.get(path).status == 204
    running.stop()
    assert running.access.getvalue() == "seen\nseen\n"
    logged = running.errors.getvalue()
    assert logged.startswith("greenworld.wsgi: cannot make an access line\nTraceback")
    assert logged.endswith("ValueError: not to be shown\n")


def test_a_broken_access_log_is_reported_once() -> None:
    errors = io.StringIO()
    log = AccessLog(Broken(), ErrorLog(errors), lambda flush: flush(), FORMAT)
    log.add("a\n")
    log.add("b\n")
    assert errors.getvalue() == "greenworld.wsgi: cannot write the access log: nobody reads\n"


def test_a_broken_error_log_falls_back_to_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", last)
    ErrorLog(Broken()).write("lost")
    assert last.getvalue() == "greenworld.wsgi: cannot write the error log: nobody reads\n"
    monkeypatch.setattr(sys, "__stderr__", None)
    ErrorLog(Broken()).write("lost")


def test_the_default_error_log_is_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    ErrorLog().write("seen")
    assert stream.getvalue() == "seen\n"


def test_exception() -> None:
    stream = io.StringIO()
    try:
        raise ValueError("why")
    except ValueError as error:
        ErrorLog(stream).exception("what", error)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "what"
    assert lines[1].startswith("Traceback")
    assert lines[-1] == "ValueError: why"


def test_a_log_that_can_be_written_again_may_be_reported_again() -> None:
    class Full(io.StringIO):
        full = True

        def flush(self) -> None:
            if self.full:
                raise OSError(28, "No space left on device")

    errors, stream = io.StringIO(), Full()
    log = AccessLog(stream, ErrorLog(errors), lambda flush: flush(), FORMAT)
    for full in (True, True, False, True):
        stream.full = full
        log.add("a\n")
    assert errors.getvalue().count("cannot write the access log: [Errno 28]") == 2


def test_nobody_is_left_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stderr__", Broken())
    ErrorLog(Broken()).write("lost")
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    ErrorLog().write("lost")


def test_a_stream_that_takes_messages_gets_them_whole() -> None:
    class Messages:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def write_message(self, text: str) -> None:
            self.seen.append(text)

        def write(self, text: str) -> None:
            raise AssertionError("a message was written in pieces")

        def flush(self) -> None:
            raise AssertionError("not reached")

    stream = Messages()
    log = ErrorLog(stream)
    log.write("one")
    log.exception("two", ValueError("why"))
    assert stream.seen == ["one", "two\nValueError: why"]


# wsgi.errors


def test_an_application_feels_nothing_of_a_broken_error_log() -> None:
    stream = ErrorStream(Broken())
    assert stream.write("four") == 4
    stream.writelines(["a", "b"])
    stream.flush()
    assert stream.encoding == "none"
    with pytest.raises(AttributeError):
        _ = stream.unheard_of


def test_an_application_writes_to_the_error_log() -> None:
    below = Counting()
    stream = ErrorStream(below)
    stream.writelines(["a\n", "b\n"])
    stream.flush()
    print("c", file=stream)
    assert below.getvalue() == "a\nb\nc\n"
    assert "flush" in below.calls
    with pytest.raises(TypeError):
        stream.write(b"bytes")  # type: ignore[arg-type]


def test_a_server_without_readers_of_its_logs_answers(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "__stderr__", Broken())

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        print("something", file=environ["wsgi.errors"], flush=True)
        if environ["PATH_INFO"] == "/fail":
            raise ValueError("why")
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    running = serve(application, access_log=Broken(), error_log=Broken())
    client = running.connect()
    assert client.get("/").status == 200
    assert client.get("/fail").status == 500
    assert running.connect().get("/").body == b"ok"


def test_an_error_of_the_application_is_one_message_with_the_requests_name(serve: Serve) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise ValueError("why")

    running = serve(application, access_format="%{request_id}x %s")
    assert running.connect().get("/path?a=b").status == 500
    running.stop()
    name, status = running.access.getvalue().split()
    assert status == "500"
    logged = running.errors.getvalue()
    assert logged.count("Traceback") == 1
    assert logged.splitlines()[0] == (
        f"greenworld.wsgi: error in the application, answering GET /path?a=b HTTP/1.1 [{name}]"
    )
    assert logged.splitlines()[-1] == "ValueError: why"
