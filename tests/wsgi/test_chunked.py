"""The chunked coding: content, end and errors do not depend on how the bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenworld.wsgi.chunked import MAX_LINE, ChunkedDecoder
from greenworld.wsgi.errors import HttpError


def decode(pieces: list[bytes]) -> tuple[bytes, bool, bytes]:
    decoder = ChunkedDecoder()
    content = b""
    rest = []
    for piece in pieces:
        if decoder.done:
            rest.append(piece)
        else:
            content += decoder.feed(piece)
            if decoder.error is not None:
                raise decoder.error
    return content, decoder.done, decoder.rest + b"".join(rest)


@pytest.mark.parametrize(
    ("data", "content", "rest"),
    [
        (b"0\r\n\r\n", b"", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello", b""),
        (b"5\r\nhello\r\n0\r\n\r\nGET /", b"hello", b"GET /"),
        (b"00005\r\nhello\r\n000\r\n\r\n", b"hello", b""),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, b""),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", b""),
        (b'1;a\r\nx\r\n1;b=c\r\ny\r\n1;d="e;\\"\r"\r\nz\r\n0\r\n\r\n'.replace(b"\r\"", b'"'),
         b"xyz", b""),
        (b"1 ; a = b\r\nx\r\n0\r\n\r\n", b"x", b""),
        (b"1\r\nx\r\n0;last\r\nTrailer: yes\r\nX: y\r\n\r\nnext", b"x", b"next"),
        (b"0\r\nX-Length: 5\r\n\r\n", b"", b""),
    ],
)  # fmt: skip
def test_bodies(data: bytes, content: bytes, rest: bytes) -> None:
    assert decode([data]) == (content, True, rest)
    assert decode([data[i : i + 1] for i in range(len(data))]) == (content, True, rest)


@pytest.mark.parametrize("data", [b"", b"5", b"5\r", b"5\r\nhell", b"5\r\nhello", b"5\r\nhello\r",
                                  b"0\r\n", b"0\r\n\r", b"0\r\nX: y\r\n"])  # fmt: skip
def test_incomplete(data: bytes) -> None:
    _, done, rest = decode([data])
    assert not done
    assert rest == b""


ATTACKS = [
    (b"0\r\nContent-Length: 5\r\n\r\n", 400),
    (b"0\r\nX: y\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    (b"0\r\nHOST: a\r\n\r\n", 400),
    (b"\r\n", 400),
    (b"\n", 400),
    (b"g\r\n", 400),
    (b"-1\r\n", 400),
    (b"+1\r\n", 400),
    (b"0x1\r\n", 400),
    (b"1_0\r\n", 400),
    (b" 1\r\n", 400),
    (b"1 \r\n", 400),
    (b"1\t\r\n", 400),
    (b"1\x0b\r\n", 400),
    (b"1\x00\r\n", 400),
    (b"1,\r\n", 400),
    (b"1\n", 400),
    (b"1\r\r\n", 400),
    (b"5\nhello\r\n", 400),
    (b"\xb2\r\n", 400),
    (b"12345678901234567\r\n", 400),  # 17 digits
    (b"1;\r\n", 400),
    (b"1;=x\r\n", 400),
    (b"1;a=\r\n", 400),
    (b"1;a\x00\r\n", 400),
    (b"1;a\rb\r\n", 400),
    (b'1;a="b\r\n', 400),
    (b'1;a="b"c\r\n', 400),
    (b"1;a\nb\r\n", 400),
    (b"5\r\nhelloX", 400),
    (b"5\r\nhello\rX", 400),
    (b"5\r\nhello\n", 400),
    (b"5\r\nhello0\r\n\r\n", 400),
    (b"0\r\n X: y\r\n", 400),
    (b"0\r\nX : y\r\n", 400),
    (b"0\r\nX\r\n", 400),
    (b"0\r\nX: \x00\r\n", 400),
    (b"0\r\nX: y\n", 400),
    (b"0\r\nGET / HTTP/1.1 HTTP\r\n", 400),
    (b"0\n\n", 400),
    (b"1" * (MAX_LINE + 2), 400),
    (b"0\r\n" + b"X: " + b"y" * MAX_LINE, 400),
    (b"0\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 20, 431),
    (b"1;" + b"a" * 1000 + b"\r\nx\r\n" + (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 20, 400),
]


@pytest.mark.parametrize(("data", "status"), ATTACKS)
def test_attacks(data: bytes, status: int) -> None:
    with pytest.raises(HttpError) as whole:
        decode([data])
    with pytest.raises(HttpError) as bytewise:
        decode([data[i : i + 1] for i in range(len(data))])
    assert whole.value.status == bytewise.value.status == status


def test_honest_small_chunks_are_not_overhead() -> None:
    data = b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    content, done, _ = decode([data[i : i + 65536] for i in range(0, len(data), 65536)])
    assert (len(content), done) == (50_000, True)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 400)))
def test_any_cut_gives_the_same_content(pieces: list[bytes], places: list[int]) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    data += b"0\r\n\r\nrest"
    assert decode(cut(data, places)) == (b"".join(pieces), True, b"rest")


ALPHABET = st.lists(
    st.sampled_from(
        [b"0", b"1", b"2", b"a", b";", b"=", b'"', b"\r\n", b"\r", b"\n", b" ", b"x:y"]
    ),
    max_size=30,
)


@given(ALPHABET, st.lists(st.integers(0, 60)))
def test_any_cut_gives_the_same_verdict(words: list[bytes], places: list[int]) -> None:
    data = b"".join(words)

    def verdict(pieces: list[bytes]) -> object:
        decoder = ChunkedDecoder()
        content = b""
        try:
            for piece in pieces:
                content += decoder.feed(piece)
                if decoder.error is not None:
                    raise decoder.error
                if decoder.done:
                    break
        except HttpError as error:
            return content, error.status, error.why
        return content, decoder.done

    assert verdict(cut(data, places)) == verdict([data])


def test_what_comes_before_an_error_is_content() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"5\r\nhello\r\n-1\r\n") == b"hello"
    assert decoder.error is not None
    assert decoder.error.status == 400
