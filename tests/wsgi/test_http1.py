"""The grammar of a request head: what passes, what does not, and with which status."""

from __future__ import annotations

import pytest

from greenworld.wsgi.errors import HttpError
from greenworld.wsgi.http1 import (
    CHUNKED,
    Limits,
    body_length,
    check_host,
    find_head,
    parse_field,
    parse_request_line,
)


@pytest.mark.parametrize(
    ("line", "path", "query", "authority"),
    [
        (b"GET / HTTP/1.1", "/", "", None),
        (b"GET /a/b?c=d&e HTTP/1.1", "/a/b", "c=d&e", None),
        (b"GET /a?b?c HTTP/1.1", "/a", "b?c", None),
        (b"GET //evil/x HTTP/1.1", "//evil/x", "", None),
        (b"GET /%41%2f%00%zz HTTP/1.1", "/A/\0%zz", "", None),
        (b"GET /%C3%A9 HTTP/1.1", "/\xc3\xa9", "", None),
        (b"GET /?%41 HTTP/1.1", "/", "%41", None),
        (b"OPTIONS * HTTP/1.1", "", "", None),
        (b"GET http://a.b:80/c?d HTTP/1.1", "/c", "d", "a.b:80"),
        (b"GET HTTP://a.b HTTP/1.1", "/", "", "a.b"),
        (b"GET http://a.b?d HTTP/1.1", "/", "d", "a.b"),
        (b"GET http://[::1]:8000/ HTTP/1.1", "/", "", "[::1]:8000"),
        (b"M-SEARCH / HTTP/1.1", "/", "", None),
    ],
)
def test_request_line(line: bytes, path: str, query: str, authority: str | None) -> None:
    parsed = parse_request_line(line)
    assert (parsed.path, parsed.query, parsed.authority) == (path, query, authority)
    assert parsed.method.encode() == line.split()[0]
    assert parsed.target.encode() == line.split()[1]
    assert parsed.text.encode() == line


@pytest.mark.parametrize(
    ("version", "minor", "protocol"),
    [(b"1.0", 0, "HTTP/1.0"), (b"1.1", 1, "HTTP/1.1"), (b"1.7", 1, "HTTP/1.1")],
)
def test_versions(version: bytes, minor: int, protocol: str) -> None:
    parsed = parse_request_line(b"GET / HTTP/" + version)
    assert (parsed.minor, parsed.protocol) == (minor, protocol)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"", 400),
        (b"GET /", 400),  # HTTP/0.9
        (b"GET  / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET\t/\tHTTP/1.1", 400),
        (b"GET / x HTTP/1.1", 400),
        (b"G@T / HTTP/1.1", 400),
        (b"G\xc9T / HTTP/1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/11", 400),
        (b"GET / HTTP/1,1", 400),
        (b"GET / HTTP/\xb2.1", 400),
        (b"GET / XTTP/1.1", 400),
        (b"GET / HTTP/1.1\r", 400),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\x7f HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET /\rX HTTP/1.1", 400),
        (b"GET /\nX HTTP/1.1", 400),
        (b"GET /a#b HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET ?a HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET ftp://a/ HTTP/1.1", 400),
        (b"GET http:///a HTTP/1.1", 400),
        (b"GET http://user@a/ HTTP/1.1", 400),
        (b"GET http://a:b/ HTTP/1.1", 400),
        (b"GET http://:80/ HTTP/1.1", 400),
        (b"GET http://a:70000/ HTTP/1.1", 400),
        (b"GET http://[::1/ HTTP/1.1", 400),
        (b"GET http:/a HTTP/1.1", 400),
        (b"CONNECT a:1 HTTP/1.1", 501),
        (b"\x16\x03\x01\x02\x00\x01 / HTTP/1.1", 400),  # TLS where HTTP is spoken
    ],
)
def test_bad_request_lines(line: bytes, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        parse_request_line(line)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (b"a:b", b"a", b"b"),
        (b"Accept:  x, y \t", b"Accept", b"x, y"),
        (b"X-Empty:", b"X-Empty", b""),
        (b"X-Empty: \t ", b"X-Empty", b""),
        (b"X-Obs: caf\xe9\xff", b"X-Obs", b"caf\xe9\xff"),
        (b"X: a:b:c", b"X", b"a:b:c"),
        (b"X: a\tb", b"X", b"a\tb"),
        (b"!#$%&'*+-.^_`|~09AZaz: x", b"!#$%&'*+-.^_`|~09AZaz", b"x"),
    ],
)
def test_field(line: bytes, name: bytes, value: bytes) -> None:
    assert parse_field(line) == (name, value)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no colon",
        b": empty name",
        b"Name : space before the colon",
        b"Name\t: tab before the colon",
        b" folded: line",
        b"\tfolded",
        b"Na me: x",
        b"N\xe4me: x",
        b"Na\x00me: x",
        b'"Name": x',
        b"Na(me: x",
        b"Name: a\x00b",
        b"Name: a\rb",
        b"Name: a\nb",
        b"Name: a\r",
        b"Name: a\x0bb",
        b"Name: \x0c",
        b"Name: a\x1fb",
        b"Name: a\x7fb",
        b"Name\r: b",
        b"Name:\r\n b",
        b"\xa0Name: x",
        b"Name: \x85\x00",
    ],
)
def test_bad_fields(line: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        parse_field(line)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a",
        "a.b:80",
        "127.0.0.1:8000",
        "[::1]",
        "[::1]:443",
        "a:",
        "a_b-c.d~",
        "%41",
        "a:00080",
        "a:65535",
        "a:0",
        "[::ffff:1.2.3.4]",
        "[2001:DB8::a]",
        "!$&'()*+,;=",
    ],
)
def test_hosts(value: str) -> None:
    check_host(value)


@pytest.mark.parametrize(
    "value",
    ["a b", "a/b", "a?b", "a#b", "a@b", "a:b", "a:1:2", "a:123456", "[::1", "::1", "[::1]x", "[]",
     "a\\b", "a\tb", "ä", "<a>", "a:-1", "[v1.x]", ":", ":80", "a:65536", "a:99999", "[:::]",
     "[1]", "[1.2.3.4]", "[::1.2.3]", "[12345::]", "[::1%25lo]", "%", "a%", "a%4", "%zz"],
)  # fmt: skip
def test_bad_hosts(value: str) -> None:
    with pytest.raises(HttpError) as caught:
        check_host(value)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("minor", "length", "coding", "expected"),
    [
        (1, None, None, 0),
        (0, None, None, 0),
        (1, "0", None, 0),
        (1, "5", None, 5),
        (0, "5", None, 5),
        (1, "0005", None, 5),
        (1, "9" * 18, None, 10**18 - 1),
        (1, None, "chunked", CHUNKED),
        (1, None, "Chunked", CHUNKED),
    ],
)
def test_body_length(minor: int, length: str | None, coding: str | None, expected: int) -> None:
    assert body_length(minor, length, coding) == expected


ATTACKS = [
    # Content-Length: one decimal number or nothing
    (1, "", None, 400),
    (1, "+5", None, 400),
    (1, "-5", None, 400),
    (1, "0x5", None, 400),
    (1, "5,5", None, 400),  # came twice
    (1, "5, 5", None, 400),
    (1, "5 5", None, 400),
    (1, "5_0", None, 400),
    (1, "5.0", None, 400),
    (1, "5e1", None, 400),
    (1, " 5", None, 400),
    (1, "\u0665", None, 400),
    (1, "\xb2", None, 400),
    (1, "9" * 19, None, 413),
    (1, "9" * 5000, None, 413),
    # Transfer-Encoding beside Content-Length, or in HTTP/1.0
    (1, "5", "chunked", 400),
    (1, "0", "chunked", 400),
    (1, "", "chunked", 400),
    (0, None, "chunked", 400),
    (0, "5", "chunked", 400),
    # Transfer-Encoding that is not exactly chunked
    (1, None, "", 400),
    (1, None, "identity", 400),
    (1, None, "gzip", 400),
    (1, None, "chunked,gzip", 400),
    (1, None, "chunked,chunked", 400),  # came twice
    (1, None, "chunked, chunked", 400),
    (1, None, "gzip, chunked", 501),
    (1, None, "xchunked", 501),
    (1, None, "chunked;q=1", 400),
    (1, None, "chunked ", 400),
    (1, None, "\tchunked", 400),
    (1, None, "\x0bchunked", 400),
    (1, None, "\xa0chunked", 400),
    (1, None, ",chunked", 400),
    (1, None, "chunked,", 400),
    (1, None, '"chunked"', 400),
    (1, None, "chun\u212aed", 400),  # the Kelvin sign lowers to k
    (1, None, "identity, chunked", 501),
]


@pytest.mark.parametrize(("minor", "length", "coding", "status"), ATTACKS)
def test_framing_attacks(minor: int, length: str | None, coding: str | None, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        body_length(minor, length, coding)
    assert caught.value.status == status


def test_find_head() -> None:
    limits = Limits()
    assert find_head(b"GET / HTTP/1.1\r\n\r\nrest", 0, limits) == 14
    assert find_head(b"GET / HTTP/1.1\r\n\r", 0, limits) == -1
    assert find_head(b"GET / HTTP/1.1\r\n\r\n", 17, limits) == 14


@pytest.mark.parametrize(
    ("buffer", "status"),
    [
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\n\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\n\r\n", 400),
        (b"GET /\rX", 400),
        (b"\x16\x03\x01\x02\x00\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"G" * 22, 414),
        (b"G" * 19 + b"\r\n" + b"a: b\r\n" * 30, 431),
        (b"G" * 19 + b"\r\n" + b"a: b\r\n" * 30 + b"\r\n", 431),
    ],
)
def test_hopeless_heads(buffer: bytes, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        find_head(buffer, 0, Limits(line=20, head=100))
    assert caught.value.status == status
