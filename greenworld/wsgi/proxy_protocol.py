"""The PROXY header, in which a proxy says whose connection it passes on: a function on bytes.

Both versions, to the letter: what is not exactly a header is refused, and nothing is guessed.

**Source**: "The PROXY protocol, versions 1 & 2" (HAProxy), sections 2.1 and 2.2.
"""

from __future__ import annotations

import re
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from functools import cache
from typing import Final, NamedTuple

__all__ = ["ProxyError", "ProxyHeader", "parse_proxy_header"]

MAX_LINE: Final = 107
"""Bytes of the longest line of version 1, with its CRLF."""
MAX_SIZE: Final = 4096
"""Bytes of the largest header of version 2: real ones have some hundred, even with extensions."""
SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = 16  # bytes of version 2 before the addresses
_BEGINNING: Final = b"PROXY "

_LINE = re.compile(
    rb"PROXY (?:TCP4|(TCP6)) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (%b) (%b)\r\n"
    % (2 * (rb"0|[1-9][0-9]{0,4}",))
)
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")

# Family and transport of version 2, with the bytes of an address; 0 where it is not used.
_INTERNET: Final = {0x11: 4, 0x12: 4, 0x21: 16, 0x22: 16}
_UNIX: Final = (0x31, 0x32)
_UNIX_SIZE: Final = 216
_LOCAL, _PROXY = 0x20, 0x21
_CRC32C, _SSL = 0x03, 0x20  # types of extensions
_ENCRYPTED: Final = 0x01


class ProxyError(ValueError):
    """Not a PROXY header; the text says why."""


class ProxyHeader(NamedTuple):
    """A complete header: its size in bytes, and the client that it names.

    `host` and `port` are None where it names none: the proxy speaks for itself (a health check),
    or does not know; they are empty for a client on a Unix socket.
    """

    size: int
    host: str | None = None
    port: str | None = None
    encrypted: bool = False
    """Whether the client's connection to the proxy was over TLS, as far as the header tells."""


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """Return the header at the beginning of `data`; None while more of it has to come.

    Raises ProxyError as soon as what is there cannot become one.
    """
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _version_2(data) if len(data) >= _FIXED else None
    if data[: len(_BEGINNING)] == _BEGINNING[: len(data)]:
        return _version_1(data)
    raise ProxyError("it does not begin with a PROXY header")


def _version_1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, MAX_LINE) + 1
    if not end:
        if len(data) >= MAX_LINE:
            raise ProxyError(f"its line is longer than {MAX_LINE} bytes")
        return None
    line = data[:end]
    if _UNKNOWN.fullmatch(line):
        return ProxyHeader(end)
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProxyError("its line is malformed")
    family = AF_INET6 if match[1] else AF_INET
    host = _address(family, match[2])
    _address(family, match[3])
    if int(match[4]) > 65535 or int(match[5]) > 65535:
        raise ProxyError("a port is larger than 65535")
    return ProxyHeader(end, host, match[4].decode("ascii"))


def _address(family: int, text: bytes) -> str:
    try:
        return inet_ntop(family, inet_pton(family, text.decode("ascii")))
    except OSError:
        raise ProxyError("its line names no address") from None


def _version_2(data: bytes) -> ProxyHeader | None:
    command, family = data[12], data[13]
    if command not in (_LOCAL, _PROXY):
        raise ProxyError(f"version and command are 0x{command:02x}, not 0x20 or 0x21")
    if family and family not in _INTERNET and family not in _UNIX:
        raise ProxyError(f"family and transport 0x{family:02x} are not defined")
    size = _FIXED + int.from_bytes(data[14:16], "big")
    if size > MAX_SIZE:
        raise ProxyError(f"{size} bytes are more than {MAX_SIZE}")
    if command == _PROXY and family and size < _FIXED + _addresses(family):
        raise ProxyError(f"{size - _FIXED} bytes cannot hold its addresses")
    if len(data) < size:
        return None
    if command == _LOCAL or not family:
        return ProxyHeader(size)
    header = data[:size]
    encrypted = _read_extensions(header, _FIXED + _addresses(family))
    if family in _UNIX:
        return ProxyHeader(size, "", "", encrypted)
    width = _INTERNET[family]
    host = inet_ntop(AF_INET if width == 4 else AF_INET6, header[16 : 16 + width])
    port = int.from_bytes(header[16 + 2 * width : 18 + 2 * width], "big")
    return ProxyHeader(size, host, str(port), encrypted)


def _addresses(family: int) -> int:
    """Bytes of both addresses and both ports."""
    return _UNIX_SIZE if family in _UNIX else 2 * (_INTERNET[family] + 2)


def _read_extensions(header: bytes, at: int) -> bool:
    """Check that the type-length-value fields fill the header; return whether TLS is in one."""
    encrypted = summed = False
    while at < len(header):
        kind, value = header[at], at + 3
        end = value + int.from_bytes(header[at + 1 : value], "big")
        if value > len(header) or end > len(header):
            raise ProxyError("an extension reaches beyond its end")
        if kind == _CRC32C:
            if end - value != 4 or summed:
                raise ProxyError("its checksum is not one of 4 bytes")
            summed = True
            known = int.from_bytes(header[value:end], "big")
            if _crc32c(header[:value] + bytes(4) + header[end:]) != known:
                raise ProxyError("its checksum is wrong")
        elif kind == _SSL:
            if end - value < 5:
                raise ProxyError("what it says of TLS is shorter than 5 bytes")
            encrypted = bool(header[value] & _ENCRYPTED)
        at = end
    return encrypted


@cache
def _crc_table() -> list[int]:
    """What each byte does to the checksum; made when a header carries one, which few do."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


def _crc32c(data: bytes) -> int:
    """The checksum of RFC 4960, appendix B."""
    table = _crc_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
