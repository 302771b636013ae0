"""The PROXY header: every form of both versions, at every split point, and what is none."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenworld.wsgi.proxy_protocol import (
    MAX_LINE,
    SIGNATURE,
    ProxyError,
    ProxyHeader,
    parse_proxy_header,
)

IPV4 = socket.inet_pton(socket.AF_INET, "192.0.2.1") + socket.inet_pton(socket.AF_INET, "10.0.0.2")
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") + bytes(15) + b"\1"
PORTS = struct.pack("!HH", 56324, 443)


def version_2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(body)) + body


def extension(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + struct.pack("!H", len(value)) + value


def with_checksum(header: bytes, at: int) -> bytes:
    """Put the checksum into the four zeros at a place; bit by bit, as in the RFC."""
    crc = 0xFFFFFFFF
    for byte in header:
        for bit in range(8):
            odd = (crc ^ byte >> bit) & 1
            crc = crc >> 1 ^ 0x82F63B78 * odd
    return header[:at] + struct.pack("!I", crc ^ 0xFFFFFFFF) + header[at + 4 :]


SUMMED = with_checksum(version_2(0x21, 0x11, IPV4 + PORTS + extension(0x03, bytes(4))), 31)
TWICE = with_checksum(version_2(0x21, 0x11, IPV4 + PORTS + 2 * extension(0x03, bytes(4))), 31)

GOOD = [
    (b"PROXY TCP4 192.0.2.1 10.0.0.2 56324 443\r\n", "192.0.2.1", "56324"),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", "65535"),
    (b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n", "2001:db8::1", "56324"),
    (b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 0 443\r\n", "2001:db8::1", "0"),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff:f... whatever 65535 65535\r\n", None, None),
    (version_2(0x21, 0x11, IPV4 + PORTS), "192.0.2.1", "56324"),
    (version_2(0x21, 0x12, IPV4 + PORTS), "192.0.2.1", "56324"),
    (version_2(0x21, 0x21, IPV6 + PORTS), "2001:db8::1", "56324"),
    (version_2(0x21, 0x22, IPV6 + PORTS), "2001:db8::1", "56324"),
    (version_2(0x21, 0x31, bytes(216)), "", ""),
    (version_2(0x21, 0x32, bytes(216)), "", ""),
    (version_2(0x21, 0x11, IPV4 + PORTS + extension(0x01, b"h2")), "192.0.2.1", "56324"),
    (version_2(0x21, 0x11, IPV4 + PORTS + extension(0x04, bytes(4000))), "192.0.2.1", "56324"),
    (version_2(0x21, 0x11, IPV4 + PORTS + extension(0x20, bytes(5))), "192.0.2.1", "56324"),
    (SUMMED, "192.0.2.1", "56324"),
    (version_2(0x21, 0x00, b""), None, None),
    (version_2(0x21, 0x00, b"whatever it is"), None, None),
    (version_2(0x20, 0x00, b""), None, None),
    (version_2(0x20, 0x11, IPV4 + PORTS), None, None),
    (version_2(0x20, 0x11, b"too short, and not looked at"), None, None),
]


@pytest.mark.parametrize(("data", "host", "port"), GOOD)
def test_a_header_is_read_whatever_follows(data: bytes, host: str | None, port: str | None) -> None:
    expected = ProxyHeader(len(data), host, port)
    assert parse_proxy_header(data) == expected
    assert parse_proxy_header(data + b"GET / HTTP/1.1\r\n") == expected
    assert parse_proxy_header(data + data) == expected


@pytest.mark.parametrize("data", [data for data, _, _ in GOOD if len(data) < 2000])
def test_no_beginning_of_a_header_is_one(data: bytes) -> None:
    assert [parse_proxy_header(data[:size]) for size in range(len(data))] == [None] * len(data)


BAD = [
    (b"GET / HTTP/1.1\r\n", "does not begin"),
    (b"P0", "does not begin"),
    (b"\x16\x03\x01", "does not begin"),
    (b"\r\n\r\n\0\r\nQUITT", "does not begin"),
    (b"proxy TCP4 192.0.2.1 10.0.0.2 1 2\r\n", "does not begin"),
    (b"PROXY\r\n", "does not begin"),
    (b"PROXY \r\n", "malformed"),
    (b"PROXY TCP5 192.0.2.1 10.0.0.2 1 2\r\n", "malformed"),
    (b"PROXY  TCP4 192.0.2.1 10.0.0.2 1 2\r\n", "malformed"),
    (b"PROXY TCP4 192.0.2.1 10.0.0.2 1 2\n", "malformed"),
    (b"PROXY TCP4 192.0.2.1 10.0.0.2 1 2 \r\n", "malformed"),
    (b"PROXY TCP4 192.0.2.1 10.0.0.2 1\r\n", "malformed"),
    (b"PROXY TCP4 192.0.2.1 10.0.0.2 01 2\r\n", "malformed"),
    (b"PROXY TCP4 192.0.2.1 10.0.0.2 +1 2\r\n", "malformed"),
    (b"PROXY TCP4 192.0.2.1 10.0.0.2 1 123456\r\n", "malformed"),
    (b"PROXY TCP4 192.0.2.1 10.0.0.2 1 65536\r\n", "larger than 65535"),
    (b"PROXY TCP4 192.0.2.1 10.0.0.2 65536 1\r\n", "larger than 65535"),
    (b"PROXY TCP4 192.0.2.01 10.0.0.2 1 2\r\n", "no address"),
    (b"PROXY TCP4 192.0.2 10.0.0.2 1 2\r\n", "no address"),
    (b"PROXY TCP4 192.0.2.1 10.0.0.256 1 2\r\n", "no address"),
    (b"PROXY TCP4 ::1 ::1 1 2\r\n", "no address"),
    (b"PROXY TCP6 192.0.2.1 10.0.0.2 1 2\r\n", "no address"),
    (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "malformed"),
    (b"PROXY UNKNOWN\n", "malformed"),
    (b"PROXY UNKNOWN\r\r\n", "malformed"),
    (b"PROXY UNKNOWNN\r\n", "malformed"),
    (b"PROXY UNKNOWN " + 200 * b"x", "longer than 107"),
    (b"PROXY UNKNOWN ".ljust(MAX_LINE, b"x"), "longer than 107"),
    (b"PROXY UNKNOWN ".ljust(MAX_LINE - 1, b"x") + b"\r\n", "longer than 107"),
    (version_2(0x11, 0x11, IPV4 + PORTS), "0x11, not 0x20 or 0x21"),
    (version_2(0x22, 0x11, IPV4 + PORTS), "0x22, not 0x20 or 0x21"),
    (version_2(0x21, 0x41, IPV4 + PORTS), "0x41 are not defined"),
    (version_2(0x21, 0x13, IPV4 + PORTS), "0x13 are not defined"),
    (version_2(0x21, 0x10, IPV4 + PORTS), "0x10 are not defined"),
    (version_2(0x21, 0x11, IPV4), "8 bytes cannot hold"),
    (version_2(0x21, 0x21, IPV4 + PORTS), "12 bytes cannot hold"),
    (version_2(0x21, 0x31, bytes(215)), "215 bytes cannot hold"),
    (version_2(0x21, 0x11, IPV4 + PORTS + b"\x01"), "reaches beyond"),
    (version_2(0x21, 0x11, IPV4 + PORTS + b"\x01\0"), "reaches beyond"),
    (version_2(0x21, 0x11, IPV4 + PORTS + b"\x01\0\2h"), "reaches beyond"),
    (version_2(0x21, 0x11, IPV4 + PORTS + extension(0x03, b"abc")), "not one of 4 bytes"),
    (TWICE, "not one of 4 bytes"),
    (version_2(0x21, 0x11, bytes(4081)), "4097 bytes are more than 4096"),
    (version_2(0x20, 0x00, bytes(65535)), "65551 bytes are more than 4096"),
    (version_2(0x21, 0x11, IPV4 + PORTS + extension(0x20, b"\1abc")), "shorter than 5"),
    (SUMMED[:-1] + bytes((SUMMED[-1] ^ 1,)), "checksum is wrong"),
    (SUMMED[:20] + bytes((SUMMED[20] ^ 1,)) + SUMMED[21:], "checksum is wrong"),
]


@pytest.mark.parametrize(("data", "why"), BAD)
def test_what_is_none_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ProxyError, match=why):
        parse_proxy_header(data)


@pytest.mark.parametrize(("flags", "encrypted"), [(0, False), (1, True), (7, True), (6, False)])
def test_tls_between_client_and_proxy(flags: int, encrypted: bool) -> None:
    told = extension(0x20, bytes((flags, 0, 0, 0, 0)) + extension(0x21, b"TLSv1.3"))
    header = parse_proxy_header(version_2(0x21, 0x11, IPV4 + PORTS + told))
    assert header is not None
    assert header.encrypted is encrypted


def test_the_longest_line_is_read() -> None:
    line = b"PROXY UNKNOWN ".ljust(MAX_LINE - 2, b"x") + b"\r\n"
    assert parse_proxy_header(line) == ProxyHeader(MAX_LINE)


@given(st.binary(max_size=64))
def test_garbage_is_refused_or_incomplete(data: bytes) -> None:
    for prefix in (b"", b"PROXY ", b"PROXY TCP4 1.2.3.4 1.2.3.4 ", SIGNATURE, SIGNATURE + b"\x21"):
        try:
            header = parse_proxy_header(prefix + data)
        except ProxyError:
            continue
        assert header is None or header.size <= len(prefix + data)


@given(st.sampled_from([data for data, _, _ in GOOD] + [data for data, _ in BAD]), st.data())
def test_the_same_at_every_cut(whole: bytes, data: st.DataObject) -> None:
    """Once a piece has decided, more bytes do not change what was decided."""

    def read(size: int) -> ProxyHeader | str | None:
        try:
            return parse_proxy_header(whole[:size])
        except ProxyError:
            return "refused"

    early = read(data.draw(st.integers(0, len(whole))))
    assert early is None or early == read(len(whole))
