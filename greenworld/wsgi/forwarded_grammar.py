"""What proxies write about those they speak for, as functions on text. Loaded with `forwarded`.

1. `Forwarded` (RFC 7239) is parsed as its grammar says, and refused with 400 otherwise: where
   one reader sees two entries and another sees one, a client can choose its own address.
2. `X-Forwarded-*` has no standard: an entry is an address, with a port or not, or unusable.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from greenworld.wsgi.errors import HttpError
from greenworld.wsgi.http1 import check_host
from greenworld.wsgi.trust import parse_address

__all__ = [
    "Node",
    "parse_forwarded",
    "parse_node",
    "parse_port",
    "parse_prefix",
    "parse_scheme",
    "split_host",
]

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR = re.compile(
    rf"({_TOKEN})=(?:({_TOKEN})"
    r'|"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)")'
)
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_QUOTED_PAIR = re.compile(r"\\(.)")

_NODE = re.compile(
    r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{1,5}))?"
    r"|([0-9A-Fa-f]*:[0-9A-Fa-f:.]+)"  # an IPv6 address without brackets
)
_HIDDEN = re.compile(r"(?:unknown|_[A-Za-z0-9._\-]+)(?::(?:[0-9]{1,5}|_[A-Za-z0-9._\-]+))?", re.I)
_HIDDEN_PORT = re.compile(r"(?<=[0-9\]]):_[A-Za-z0-9._\-]+\Z")

_MAX_SIZE: Final = 8192
"""Characters of a `Forwarded` header, all of which is parsed; more is no list of hops."""
_PORT = re.compile(r"[0-9]{1,5}")
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
# RFC 3986, section 3.3, without empty segments: a prefix must never begin like `//host`.
_PREFIX = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+;=:@]|%[0-9A-Fa-f]{2})+)*/?")


class Node(NamedTuple):
    """A hop: its address in canonical form, and its port (`""` where that is not known)."""

    host: str
    port: str


def parse_node(text: str) -> Node | None:
    """Return the address that an entry names; None for `unknown` and whatever is none."""
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    address = parse_address(match[1] or match[2] or match[4])
    if address is None or (match[2] and ":" not in match[2]):
        return None
    port = match[3] or ""
    return None if port and int(port) > 65535 else Node(str(address), port)


def parse_forwarded(value: str) -> list[dict[str, str]]:
    """Return the elements of a `Forwarded` field (RFC 7239, section 4), the nearest hop last.

    Each maps the names of its parameters, in lower case, to their values. Raises HttpError for
    what is malformed, also in the values of `for` and `host`, and for what is too long.
    """
    if len(value) > _MAX_SIZE:
        raise HttpError(400, "the Forwarded header is too long")
    elements: list[dict[str, str]] = []
    element: dict[str, str] = {}
    position = 0
    while position < len(value):
        match = _PAIR.match(value, position)
        if match is not None:
            _add_pair(element, match)
            position = match.end()
            if position == len(value):
                break
        if value[position] == ";":
            position += 1
            continue
        comma = _COMMA.match(value, position)
        if comma is None:
            raise HttpError(400, "the Forwarded header is malformed")
        if element:  # RFC 9110, section 5.6.1.2: empty elements of a list are passed over
            elements.append(element)
            element = {}
        position = comma.end()
    if element:
        elements.append(element)
    return elements


def _add_pair(element: dict[str, str], match: re.Match[str]) -> None:
    name = match[1].lower()
    text = match[2] if match[2] is not None else _QUOTED_PAIR.sub(r"\1", match[3])
    if name in element:  # RFC 7239, section 4: once in each element
        raise HttpError(400, "the Forwarded header names a parameter twice")
    if name == "host":
        check_host(text)
    elif name == "for":
        text = _check_node(text)
    element[name] = text


def _check_node(text: str) -> str:
    """Return a node (RFC 7239, section 6) without a port that is hidden; raise if it is none."""
    if _HIDDEN.fullmatch(text):
        return text
    text = _HIDDEN_PORT.sub("", text)
    match = _NODE.fullmatch(text)
    if match is None or match[4] is not None or parse_node(text) is None:
        raise HttpError(400, "the Forwarded header names no address")
    return text


def parse_scheme(text: str) -> str:
    """Return `http` or `https` for the scheme that the client used; those of WebSocket too."""
    scheme = _SCHEMES.get(text.lower())
    if scheme is None:
        raise HttpError(400, "the forwarded scheme is neither http nor https")
    return scheme


def split_host(text: str) -> tuple[str, str]:
    """Return name and port (or `""`) of a `Host`, which is checked here."""
    check_host(text)
    name, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        name, port = text, ""
    if not name:
        raise HttpError(400, "the forwarded host is empty")
    return name, parse_port(port) if port else ""


def parse_port(text: str) -> str:
    """Return a port in canonical form."""
    if _PORT.fullmatch(text) is None or int(text) > 65535:
        raise HttpError(400, "the forwarded port is none")
    return str(int(text))


def parse_prefix(text: str) -> str:
    """Return a path prefix as `SCRIPT_NAME` has it: decoded, and without a last slash."""
    if _PREFIX.fullmatch(text) is None:
        raise HttpError(400, "the forwarded prefix is not a path")
    return unquote_to_bytes(text.removesuffix("/")).decode("latin-1")
