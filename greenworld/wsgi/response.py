"""Checks and renders response heads, as functions on what `start_response` was given.

1. The framing of a response is the server's: an application gives at most a Content-Length.
   Hop-by-hop fields are refused (PEP 3333, "Other HTTP Features"), except `Connection`, of
   which only the wish to close is heard.
2. Names are tokens and values hold no control character: CR, LF or NUL in one would let data
   write headers (RFC 9112, section 11.1).
3. Rendered heads and header lines are remembered, bounded, by the strings they were made of;
   never `Set-Cookie` or what else holds a credential.
4. Exceptions here are the application's errors: `AssertionError`, `TypeError`, `ValueError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from greenworld.wsgi.http1 import TOKEN

__all__ = ["ResponseHead", "hint_lines", "response_head"]

_MAX_HEADS: Final = 1024
_MAX_LINES: Final = 4096
_MAX_LINE_SIZE: Final = 512  # characters of a header that is worth remembering

_STATUS = re.compile(r"[2-9][0-9][0-9](?: [\t\x20-\x7e\x80-\xff]*)?")
_TOKENS: Final = frozenset(TOKEN.decode("ascii"))
_FORBIDDEN_IN_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_SECRET: Final = frozenset({"set-cookie", "set-cookie2", "authentication-info", "authorization"})
_HOP_BY_HOP: Final = frozenset(
    {"keep-alive", "proxy-connection", "te", "trailer", "trailers", "transfer-encoding", "upgrade"}
)

Header = tuple[str, str]

_heads: dict[tuple[str, tuple[Header, ...]], ResponseHead] = {}
_lines: dict[Header, bytes] = {}


class ResponseHead:
    """A checked and rendered status line with its header lines; not changed after it is made."""

    __slots__ = ("close", "code", "length", "lines", "no_body", "plain", "without_date")

    def __init__(self, status: str) -> None:
        self.code = status[:3]
        self.no_body = self.code in ("204", "304")
        """The status never has a body (RFC 9110, sections 15.3.5 and 15.4.5)."""
        self.length = -1
        """The application's Content-Length in bytes, -1 for none."""
        self.close = False
        """Whether the application asked for the connection to be closed."""
        self.without_date = True
        """Whether the server has a Date line to add."""
        self.plain = False
        """Whether it has a Content-Length and needs a Date, and nothing else is special."""
        self.lines = b""
        """The status line and the header lines, each with its CRLF."""


def response_head(status: str, headers: list[Header]) -> ResponseHead:
    """Return the head for what an application passed to `start_response`.

    Raises `TypeError` or `ValueError` for what PEP 3333 does not allow.
    """
    key = None
    if type(status) is str and isinstance(headers, list):
        try:
            key = (status, tuple(headers))
            head = _heads.get(key)
        except TypeError:  # a header that is a list: render() says so
            key = head = None
        if head is not None:
            return head
    head, secret = _render(status, headers)
    if key is not None and not secret and len(head.lines) <= 2 * _MAX_LINE_SIZE:
        if len(_heads) >= _MAX_HEADS:
            _heads.clear()
        _heads[key] = head
    return head


def _render(status: str, headers: Sequence[Header]) -> tuple[ResponseHead, bool]:
    """Check and render; return the head and whether it holds something secret."""
    if not isinstance(status, str):
        raise TypeError(f"the status must be str, not {type(status).__name__}")
    if _STATUS.fullmatch(status) is None:
        raise ValueError(f"the status must be like '200 OK', not {status!r}; 1xx is not final")
    if not isinstance(headers, list):
        raise TypeError(f"the headers must be a list, not {type(headers).__name__}")
    head = ResponseHead(status)
    parts = [f"HTTP/1.1 {status if len(status) > 3 else status + ' '}\r\n".encode("latin-1")]
    secret = False
    for header in headers:
        line = _lines.get(header) if type(header) is tuple else None
        if line is None:
            name = _check_header(header)
            secret = secret or name in _SECRET
            line = _render_line(head, name, *header)
        parts.append(line)
    head.lines = b"".join(parts)
    head.plain = head.length >= 0 and not head.no_body and not head.close and head.without_date
    return head, secret


def hint_lines(headers: Iterable[Header]) -> bytes:
    """Return the header lines of a `103 Early Hints`, checked as those of an answer are.

    Raises `TypeError` or `ValueError` for what cannot be sent, or says how the answer is framed.
    """
    lines = []
    for header in headers:
        name = _check_header(header)
        if name in ("content-length", "connection"):
            raise ValueError(f"{header[0]} is for the answer, not for an early hint")
        lines.append(f"{header[0]}: {header[1]}\r\n")
    return "".join(lines).encode("latin-1")


def _check_header(header: Any) -> str:
    """Raise unless `header` may be sent; return its name in lower case."""
    if not isinstance(header, tuple) or len(header) != 2:
        raise TypeError(f"a header must be a tuple (name, value), not {header!r}")
    name, value = header
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"a header's name and value must be str, not {header!r}")
    if not name or not _TOKENS.issuperset(name):
        raise ValueError(f"the header name {name!r} is not a token")
    if _FORBIDDEN_IN_VALUE.search(value):
        raise ValueError(f"the value of {name} holds characters that no header can: {value!r}")
    lowered: str = name.lower()
    if lowered in _HOP_BY_HOP:
        raise ValueError(f"{name} is hop-by-hop: it is for the server to send (PEP 3333)")
    return lowered


def _render_line(head: ResponseHead, lowered: str, name: str, value: str) -> bytes:
    """Render a checked header; what concerns the server goes into `head`, not into a table."""
    if lowered == "content-length":
        if not (value.isascii() and value.isdigit()):
            raise ValueError(f"Content-Length must be a decimal number, not {value!r}")
        if head.length >= 0:
            raise ValueError("more than one Content-Length")
        head.length = int(value)
        # RFC 9110, section 8.6: not with 204.
        return b"" if head.code == "204" else f"Content-Length: {head.length}\r\n".encode("ascii")
    if lowered == "connection":
        options = {option.strip(" \t").lower() for option in value.split(",")}
        head.close = head.close or "close" in options
        return b""
    line = f"{name}: {value}\r\n".encode("latin-1")
    if lowered == "date":
        head.without_date = False
    elif lowered not in _SECRET and len(line) <= _MAX_LINE_SIZE:
        if len(_lines) >= _MAX_LINES:
            _lines.clear()
        _lines[name, value] = line
    return line
