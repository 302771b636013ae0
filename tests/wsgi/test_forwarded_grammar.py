"""The grammar of what proxies write about those they speak for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenworld.wsgi.errors import HttpError
from greenworld.wsgi.forwarded_grammar import (
    parse_forwarded,
    parse_node,
    parse_port,
    parse_prefix,
    parse_scheme,
    split_host,
)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("192.0.2.1", ("192.0.2.1", "")),
        ("192.0.2.1:80", ("192.0.2.1", "80")),
        ("2001:DB8::1", ("2001:db8::1", "")),
        ("[2001:db8::1]", ("2001:db8::1", "")),
        ("[2001:db8::1]:65535", ("2001:db8::1", "65535")),
        ("::ffff:192.0.2.1", ("192.0.2.1", "")),
        ("::", ("::", "")),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("192.0.2.1:", None),
        ("192.0.2.1:65536", None),
        ("192.0.2.1:-1", None),
        ("192.0.2.256", None),
        ("192.0.2.01", None),
        ("[192.0.2.1]", None),
        ("[2001:db8::1", None),
        ("fe80::1%eth0", None),
        ("localhost", None),
        ("abc:80", None),
        ("192.0.2.1\x00", None),
        ("192.0.2.1 ", None),
        ("１92.0.2.1", None),
    ],
)
def test_nodes(text: str, node: tuple[str, str] | None) -> None:
    assert parse_node(text) == node


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ("", []),
        ("for=192.0.2.43", [{"for": "192.0.2.43"}]),
        ('For="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
        (
            "for=192.0.2.60;proto=http;by=203.0.113.43",
            [{"for": "192.0.2.60", "proto": "http", "by": "203.0.113.43"}],
        ),
        ("for=192.0.2.43, for=198.51.100.17", [{"for": "192.0.2.43"}, {"for": "198.51.100.17"}]),
        ('for="_gazonk"', [{"for": "_gazonk"}]),
        ("for=unknown", [{"for": "unknown"}]),
        ('for="192.0.2.1:_port"', [{"for": "192.0.2.1"}]),
        ('for="192.0.2.1:80"', [{"for": "192.0.2.1:80"}]),
        ('host="a\\.example:80"', [{"host": "a.example:80"}]),
        (";for=192.0.2.1;", [{"for": "192.0.2.1"}]),
        (" , for=192.0.2.1 ,\t,", [{"for": "192.0.2.1"}]),
        (
            'secret="a, for=127.0.0.1; \\" ";for=192.0.2.1',
            [{"secret": 'a, for=127.0.0.1; " ', "for": "192.0.2.1"}],
        ),
    ],
)
def test_forwarded(value: str, elements: list[dict[str, str]]) -> None:
    assert parse_forwarded(value) == elements


@pytest.mark.parametrize(
    "value",
    [
        "for",
        "for=",
        "=192.0.2.1",
        "for =192.0.2.1",
        "for= 192.0.2.1",
        "for=192.0.2.1 ;proto=http",
        "for=192.0.2.1; proto=http",
        "for=192.0.2.1 proto=http",
        "for=192.0.2.1:80",  # a colon needs quotes
        "for=[2001:db8::1]",
        'for="2001:db8::1"',  # and an IPv6 address its brackets
        'for="192.0.2.1',
        'for="192.0.2.1"x',
        'for="192.0.2.1\\',
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;FOR=192.0.2.1",
        "for=256.0.0.1",
        "for=example.org",
        'for=""',
        'host="a b"',
        'host="[::1"',
        "192.0.2.1",
        "for=192.0.2.1\x7f",
    ],
)
def test_what_is_no_forwarded_header(value: str) -> None:
    with pytest.raises(HttpError) as caught:
        parse_forwarded(value)
    assert caught.value.status == 400


def test_a_forwarded_header_has_a_bound() -> None:
    assert len(parse_forwarded("for=192.0.2.1," * 500)) == 500
    with pytest.raises(HttpError, match="too long"):
        parse_forwarded("for=192.0.2.1," * 600)


@given(st.text(alphabet='for=;,"\\ \t_[]:.12host', max_size=40))
def test_any_text_is_parsed_or_refused(value: str) -> None:
    try:
        elements = parse_forwarded(value)
    except HttpError:
        return
    assert all(elements)


@pytest.mark.parametrize(
    ("text", "scheme"),
    [("http", "http"), ("HTTPS", "https"), ("ws", "http"), ("wss", "https")],
)
def test_schemes(text: str, scheme: str) -> None:
    assert parse_scheme(text) == scheme


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("example.org", ("example.org", "")),
        ("example.org:8080", ("example.org", "8080")),
        ("example.org:", ("example.org", "")),
        ("[::1]", ("[::1]", "")),
        ("[::1]:443", ("[::1]", "443")),
    ],
)
def test_hosts(text: str, parts: tuple[str, str]) -> None:
    assert split_host(text) == parts


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("", ""),
        ("/", ""),
        ("/app", "/app"),
        ("/app/", "/app"),
        ("/a/b-c.d~e", "/a/b-c.d~e"),
        ("/%C3%A9", "/\xc3\xa9"),
    ],
)
def test_prefixes(text: str, prefix: str) -> None:
    assert parse_prefix(text) == prefix


@pytest.mark.parametrize("text", ["", "ftp", "http ", "https://", "on"])
def test_what_is_no_scheme(text: str) -> None:
    with pytest.raises(HttpError, match="neither http nor https"):
        parse_scheme(text)


@pytest.mark.parametrize("text", ["", ":80", "a b", "a/b", "user@host", "a:65536", "a:x", "[::1"])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(HttpError):
        split_host(text)


@pytest.mark.parametrize("text", ["", "x", "+5", "65536", "100000", "²"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(HttpError, match="port"):
        parse_port(text)


@pytest.mark.parametrize(
    "text",
    ["app", "//evil.example", "/a//b", "/a?b", "/a#b", "/a\\b", "/%2", "/a b", "/é", "http:"],
)
def test_what_is_no_prefix(text: str) -> None:
    with pytest.raises(HttpError, match="prefix"):
        parse_prefix(text)
