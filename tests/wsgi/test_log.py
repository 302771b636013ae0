"""The logs: gathering, flushing, escaping, and streams that fail."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from greenworld.wsgi.log import AccessLog, ErrorLog, quote


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
    def write(self, text: str) -> None:
        raise BrokenPipeError("nobody reads")

    def flush(self) -> None:
        raise AssertionError("not reached")


def test_lines_of_one_turn_leave_in_one_write() -> None:
    stream = Counting()
    soon: list[Callable[[], None]] = []
    log = AccessLog(stream, ErrorLog(io.StringIO()), soon.append)
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


def test_a_broken_access_log_is_reported_once() -> None:
    errors = io.StringIO()
    log = AccessLog(Broken(), ErrorLog(errors), lambda flush: flush())
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


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain /?a=b", "plain /?a=b"),
        ('"', r"\""),
        ("\\", r"\\"),
        ("a\nb\r\0\x7f", r"a\x0ab\x0d\x00\x7f"),
        ("\xe9\xff", r"\xe9\xff"),
        ("\t", r"\x09"),
    ],
)
def test_quote(text: str, quoted: str) -> None:
    assert quote(text) == quoted
