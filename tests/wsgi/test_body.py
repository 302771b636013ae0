"""`wsgi.input`: reads, lines, ends and errors, over a scripted source of bytes."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenworld.wsgi.body import NO_BODY, Body, ChunkedBody, LengthBody
from greenworld.wsgi.errors import ClientDisconnected, HttpError


class Script:
    """A byte source that gives out prepared pieces, then the end of the stream."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.asked: list[int] = []
        self.continues = 0

    def receive(self, limit: int) -> bytes:
        self.asked.append(limit)
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > limit:
            self.pieces.insert(0, piece[limit:])
        return piece[:limit]

    def unread(self, data: bytes) -> None:
        self.pieces.insert(0, data)

    def send_continue(self) -> None:
        self.continues += 1


def length_body(*pieces: bytes, wants_continue: bool = False) -> tuple[Script, LengthBody]:
    source = Script(*pieces)
    return source, LengthBody(source, wants_continue, sum(map(len, pieces)))


def chunked(data: bytes, size: int = 5) -> bytes:
    cuts = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(cut), cut) for cut in cuts) + b"0\r\n\r\n"


def test_read_everything() -> None:
    source, body = length_body(b"ab", b"cd")
    assert body.read() == b"abcd"
    assert body.finished
    assert body.read() == body.read(5) == body.readline() == b""
    assert body.readlines() == list(body) == []
    assert all(source.asked)


@pytest.mark.parametrize("size", [None, -1, -7])
def test_read_everything_has_three_names(size: int | None) -> None:
    assert length_body(b"ab", b"cd")[1].read(size) == b"abcd"


def test_read_a_size_waits_for_all_of_it() -> None:
    source, body = length_body(b"ab", b"cd", b"ef")
    assert body.read(0) == b""
    assert source.asked == []
    assert body.read(3) == b"abc"
    assert body.read(1) == b"d"
    assert body.read(100) == b"ef"


def test_nothing_is_read_beyond_the_body() -> None:
    source = Script(b"abcdef")
    assert LengthBody(source, False, 4).read() == b"abcd"
    assert source.pieces == [b"ef"]


def test_lines() -> None:
    text = b"one\n\ntwo\nlast"
    assert list(length_body(text)[1]) == [b"one\n", b"\n", b"two\n", b"last"]
    assert length_body(text)[1].readlines() == [b"one\n", b"\n", b"two\n", b"last"]
    body = length_body(b"on", b"e\ntw", b"o\nlast")[1]
    assert body.readline(2) == b"on"
    assert body.readline(0) == b""
    assert body.readline(5) == b"e\n"
    assert body.readline() == b"two\n"
    assert body.readline(3) == b"las"
    assert body.readline() == b"t"
    assert body.readline() == b""


def test_readlines_hint() -> None:
    assert length_body(b"one\ntwo\nthree\n")[1].readlines(5) == [b"one\n", b"two\n"]


def test_early_end_is_an_error() -> None:
    source = Script(b"abc")
    body = LengthBody(source, False, 5)
    with pytest.raises(ClientDisconnected, match="2 bytes early"):
        body.read()
    source = Script(b"5\r\nhel")
    with pytest.raises(ClientDisconnected):
        ChunkedBody(source, False, None).read()


def test_continue_is_sent_at_the_first_read() -> None:
    source, body = length_body(b"abcd", wants_continue=True)
    assert source.continues == 0
    body.read(0)
    assert source.continues == 0
    body.read(1)
    body.read(1)
    assert source.continues == 1


def test_no_continue_after_the_answer() -> None:
    source, body = length_body(b"abcd", wants_continue=True)
    body.answered()
    assert not body.drainable(100)
    assert not body.drain(100)
    assert body.read() == b"abcd"
    assert source.continues == 0


def test_drain() -> None:
    assert NO_BODY.drain(0)
    source, body = length_body(b"abcd", b"efgh")
    assert body.read(1) == b"a"
    assert body.drain(100)
    assert body.finished
    assert body.drain(0)
    source, body = length_body(b"a" * 1000)
    assert not body.drainable(999)
    assert not body.drain(999)
    assert source.asked == []


def test_drain_a_chunked_body() -> None:
    source = Script(chunked(b"x" * 100) + b"GET")
    body = ChunkedBody(source, False, None)
    assert body.drainable(10)
    assert body.drain(200)
    assert source.pieces == [b"GET"]
    endless = ChunkedBody(Script(*[b"5\r\nhello\r\n"] * 100), False, None)
    assert not endless.drain(20)
    assert not ChunkedBody(Script(b"x\r\n"), False, None).drain(20)
    assert not ChunkedBody(Script(b"5\r\nhel"), False, None).drain(20)


def test_a_chunked_body_gives_back_what_follows() -> None:
    source = Script(chunked(b"hello world") + b"GET / HTTP/1.1")
    body = ChunkedBody(source, False, None)
    assert body.read() == b"hello world"
    assert body.finished
    assert source.pieces == [b"GET / HTTP/1.1"]


def test_a_malformed_chunk_stays_an_error() -> None:
    body = ChunkedBody(Script(b"5\r\nhelloX", b"0\r\n\r\n"), False, None)
    for _ in range(2):
        with pytest.raises(HttpError) as caught:
            body.read()
        assert caught.value.status == 400
    assert not body.finished


@pytest.mark.parametrize(
    ("most", "data", "content", "status"),
    [
        (None, b"5\r\nhello\r\n+5\r\n", b"hello", 400),
        (3, b"5\r\nhello\r\n0\r\n\r\n", b"hel", 413),
    ],
)
def test_what_comes_before_an_error_can_be_read(
    most: int | None, data: bytes, content: bytes, status: int
) -> None:
    """However it arrives: an application that stops before the error never sees it."""
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        body = ChunkedBody(Script(*pieces), False, most)
        assert body.read(len(content)) == content
        for _ in range(2):
            with pytest.raises(HttpError) as caught:
                body.read(1)
            assert caught.value.status == status
        assert not body.drain(1000)


def test_a_chunked_body_is_bounded() -> None:
    assert ChunkedBody(Script(chunked(b"x" * 50)), False, 50).read() == b"x" * 50
    with pytest.raises(HttpError) as caught:
        ChunkedBody(Script(chunked(b"x" * 51)), False, 50).read()
    assert caught.value.status == 413


def test_no_body() -> None:
    assert NO_BODY.read() == NO_BODY.read(5) == NO_BODY.readline() == b""
    assert NO_BODY.readlines() == list(NO_BODY) == []
    assert NO_BODY.finished
    assert NO_BODY.drainable(0)


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["read", "readline", "readlines"]),
        st.one_of(st.none(), st.integers(-1, 20)),
    ),
    max_size=12,
)


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"d\n", b"efg" * 5]), max_size=10), CALLS)
def test_reads_like_a_file(pieces: list[bytes], calls: list[tuple[str, int | None]]) -> None:
    data = b"".join(pieces)
    whole = Script(chunked(data))
    bodies: list[Body] = [
        LengthBody(Script(*pieces), False, len(data)),
        ChunkedBody(whole, False, None),
    ]
    if not data:
        bodies.pop(0)
    for body in bodies:
        file = io.BytesIO(data)
        for name, size in calls:
            expected = getattr(file, name)(size)
            assert getattr(body, name)(size) == expected, (name, size)
        assert body.read() == file.read()
