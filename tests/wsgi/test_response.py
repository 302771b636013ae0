"""Rendering of response heads; what is refused is in test_gateway.py, over a socket."""

from __future__ import annotations

from typing import Any

import pytest

from greenworld.wsgi import response
from greenworld.wsgi.response import hint_lines, response_head


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response, "_heads", {})
    monkeypatch.setattr(response, "_lines", {})


def test_lines() -> None:
    head = response_head("200 OK", [("X-Y", "z\xe9\t"), ("Content-Length", "007"), ("A", "")])
    assert head.lines == b"HTTP/1.1 200 OK\r\nX-Y: z\xe9\t\r\nContent-Length: 7\r\nA: \r\n"
    assert (head.code, head.length, head.plain) == ("200", 7, True)
    assert not head.no_body
    assert not head.close
    assert head.without_date


@pytest.mark.parametrize(
    ("status", "line"),
    [("200 OK", b"200 OK"), ("299 ", b"299 "), ("404", b"404 "), ("999 \xe9", b"999 \xe9")],
)
def test_status_lines(status: str, line: bytes) -> None:
    assert response_head(status, []).lines == b"HTTP/1.1 " + line + b"\r\n"


def test_connection_and_date() -> None:
    head = response_head("200 OK", [("Connection", "x, CLOSE"), ("Date", "now")])
    assert head.close
    assert not head.without_date
    assert not head.plain
    assert head.lines == b"HTTP/1.1 200 OK\r\nDate: now\r\n"
    assert not response_head("200 OK", [("Connection", "keep-alive")]).close


def test_bodiless_statuses() -> None:
    length = [("Content-Length", "5")]
    assert response_head("204 No Content", length).lines == b"HTTP/1.1 204 No Content\r\n"
    head = response_head("304 Not Modified", length)
    assert head.no_body
    assert b"Content-Length: 5" in head.lines
    assert not response_head("204 No Content", length).plain


def test_what_is_remembered() -> None:
    headers = [("A", "b"), ("Content-Length", "5")]
    head = response_head("200 OK", headers)
    assert response_head("200 OK", list(headers)) is head
    assert response_head("201 OK", headers) is not head
    assert set(response._lines) == {("A", "b")}
    headers[0] = ("A", "c")
    assert b"A: c" in response_head("200 OK", headers).lines


@pytest.mark.parametrize("name", ["Set-Cookie", "SET-COOKIE", "Authentication-Info"])
def test_no_secret_is_remembered(name: str) -> None:
    response_head("200 OK", [(name, "hidden")])
    assert not response._heads
    assert not response._lines


def test_memory_is_bounded() -> None:
    for i in range(response._MAX_LINES + 10):
        response_head("200 OK", [("A", str(i))])
    assert len(response._lines) <= response._MAX_LINES
    assert len(response._heads) <= response._MAX_HEADS
    response_head("200 OK", [("A", "x" * 3000)])
    assert not any(len(line) > 1000 for line in response._lines.values())
    assert not any(len(head.lines) > 2000 for head in response._heads.values())


def test_a_bad_header_is_bad_every_time() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="no header can"):
            response_head("200 OK", [("A", "b\r\nC: d")])
        with pytest.raises(TypeError, match="tuple"):
            response_head("200 OK", [["A", "b"]])  # type: ignore[list-item]


def test_repeated_lines_of_one_name_all_appear() -> None:
    head = response_head("200 OK", [("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"), ("V", "1")])
    assert head.lines.count(b"Set-Cookie: ") == 2


def test_hint_lines() -> None:
    assert hint_lines([]) == b""
    assert hint_lines([("Link", "</a.css>; rel=preload"), ("X", "\xe9")]) == (
        b"Link: </a.css>; rel=preload\r\nX: \xe9\r\n"
    )


@pytest.mark.parametrize(
    "header",
    [("Link", "a\r\nb"), ("Link", "a\nb"), ("Li nk", "a"), ("", "a"), ("Content-Length", "0"),
     ("Connection", "close"), ("Transfer-Encoding", "chunked"), ("Upgrade", "x"), ("Link", 1),
     (b"Link", "a"), "Link", ("Link",), ["Link", "a"]],
)  # fmt: skip
def test_bad_hints(header: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        hint_lines([header])
