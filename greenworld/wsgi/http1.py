"""The grammar of an HTTP/1 request head, as functions on bytes.

1. Bytes in; values, or `HttpError`, out. No I/O, no clock, no state.
2. A line ends in CRLF and in nothing else. A lone CR, a lone LF or a NUL inside a head is an
   error: a proxy in front may read it differently, and the difference is how requests are
   smuggled (RFC 9112, section 11.2).
3. Sets of bytes and anchored, linear patterns only; no `strip()` without an argument, no
   `int()` on unchecked input.
4. How long the body is, is decided in `body_length` and nowhere else.
"""

from __future__ import annotations

import re
from _socket import AF_INET6, inet_pton
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from greenworld.wsgi.errors import HttpError

__all__ = [
    "CHUNKED",
    "FIELD_TEXT",
    "TARGET_TEXT",
    "TOKEN",
    "Limits",
    "RequestLine",
    "body_length",
    "check_host",
    "field_value",
    "find_head",
    "parse_field",
    "parse_request_line",
]

TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""The bytes of a token: methods and field names (RFC 9110, section 5.6.2)."""

FIELD_TEXT: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""The bytes of a field value: SP, HTAB, VCHAR and obs-text (RFC 9110, section 5.5)."""

TARGET_TEXT: Final = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
"""The bytes of a request target: visible ASCII, without a fragment (RFC 9112, section 3.2)."""

CHUNKED: Final = -1
"""What `body_length` returns for a body in the chunked coding."""

_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_MINORS: Final = {b"HTTP/1.1": 1, b"HTTP/1.0": 0}
# RFC 9110, section 4.2.1: no userinfo in an http URI; section 4.2.4: treat it as an error.
_ABSOLUTE = re.compile(rb"https?://([^/?@]+)(/[^?]*)?(\?.*)?", re.IGNORECASE)
_HOST = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]"  # IP-literal (RFC 3986, section 3.2.2)
    r"|((?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*))"  # reg-name or IPv4address
    r"(?::([0-9]{0,5}))?"
)
_LONE_CR_OR_LF = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
_DIGITS: Final = frozenset("0123456789")
_CODINGS = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*")


class Limits(NamedTuple):
    """How much a client may send before its body, in bytes and in lines."""

    line: int = 8190
    """The request line, without its CRLF: more is 414."""
    fields: int = 100
    """Header lines: more is 431."""
    head: int = 65536
    """The whole head with its last empty line: more is 431."""


class RequestLine(NamedTuple):
    """A checked request line, in the words of PEP 3333."""

    method: str
    target: str
    path: str
    """Percent-decoded, as latin-1 text of the raw bytes (PEP 3333, "Unicode Issues")."""
    query: str
    authority: str | None
    """The authority of an absolute target: it replaces the Host field (RFC 9112, 3.2.2)."""
    minor: int
    """0 for HTTP/1.0; 1 for HTTP/1.1 and whatever later 1.x a client may speak."""
    protocol: str
    text: str
    """The line as it came."""


def find_head(buffer: bytes, seen: int, limits: Limits) -> int:
    """Return where the first head in `buffer` ends (before its CRLFCRLF), or -1 for "not yet".

    `seen` bytes were looked at before. An incomplete head is refused as soon as it is known to
    be hopeless: too long, or with a line end that is not CRLF.
    """
    end = buffer.find(b"\r\n\r\n", max(0, seen - 3))
    if 0 <= end <= limits.head - 4:
        return end
    if end < 0 and len(buffer) <= limits.head:
        if (error := _not_http(buffer)) is not None:
            raise error
        if _LONE_CR_OR_LF.search(buffer, max(0, seen - 1)):
            raise _bad_line_end(buffer)
        if buffer.find(b"\r\n", 0, limits.line + 2) < 0 and len(buffer) >= limits.line + 2:
            raise HttpError(414, f"the request line is longer than {limits.line} bytes")
        return -1
    if _LONE_CR_OR_LF.search(buffer, 0, limits.head):
        raise _bad_line_end(buffer)
    if buffer.find(b"\r\n", 0, limits.line + 2) < 0:
        raise HttpError(414, f"the request line is longer than {limits.line} bytes")
    raise HttpError(431, f"the request head is longer than {limits.head} bytes")


def _bad_line_end(data: bytes) -> HttpError:
    return _not_http(data) or HttpError(400, "a line of the request head does not end in CRLF")


def _not_http(data: bytes) -> HttpError | None:
    """Recognize what begins as another protocol does: a common mistake, worth its own words."""
    if data.startswith(b"\x16\x03"):  # a handshake record (RFC 8446, section 5.1)
        return HttpError(400, "the client speaks TLS, and plain HTTP is spoken here")
    return None


def parse_request_line(line: bytes) -> RequestLine:
    """Parse `method SP request-target SP HTTP-version` (RFC 9112, section 3)."""
    parts = line.split(b" ")
    if len(parts) != 3:
        if b"\n" in line or b"\r" in line:
            raise _bad_line_end(line)
        raise _not_http(line) or HttpError(400, "the request line is not 'method target version'")
    method, target, version = parts
    if not method or method.translate(None, TOKEN):
        raise _not_http(line) or HttpError(400, "the method is not a token")
    minor = _MINORS.get(version)
    if minor is None:
        minor = _unusual_minor(version)
    if not target or target.translate(None, TARGET_TEXT):
        raise HttpError(400, "the request target holds bytes that are not allowed there")
    path, query, authority = _split_target(method, target)
    if b"%" in path:
        path = unquote_to_bytes(path)
    return RequestLine(
        method.decode("ascii"),
        target.decode("ascii"),
        path.decode("latin-1"),
        query.decode("ascii"),
        authority,
        minor,
        "HTTP/1.1" if minor else "HTTP/1.0",
        line.decode("ascii"),
    )


def _unusual_minor(version: bytes) -> int:
    """Return 1 for a later HTTP/1, which is answered as HTTP/1.1 (RFC 9110, section 2.5)."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise HttpError(400, "the HTTP version is malformed")
    if match[1] != b"1":
        raise HttpError(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    return 1


def _split_target(method: bytes, target: bytes) -> tuple[bytes, bytes, str | None]:
    """Return path, query and authority of a target in one of the forms of RFC 9112, 3.2."""
    if method == b"CONNECT":  # authority-form: this is no proxy
        raise HttpError(501, "CONNECT is not done here")
    if target.startswith(b"/"):  # origin-form
        path, _, query = target.partition(b"?")
        return path, query, None
    if target == b"*":  # asterisk-form
        if method != b"OPTIONS":
            raise HttpError(400, "the target '*' is for OPTIONS only")
        return b"", b"", None  # the server as a whole: no path of it (RFC 9110, section 9.3.7)
    match = _ABSOLUTE.fullmatch(target)  # absolute-form
    if match is None:
        raise HttpError(400, "the request target is neither a path nor an absolute URI")
    authority = match[1].decode("ascii")
    check_host(authority)
    return match[2] or b"/", (match[3] or b"")[1:], authority


def parse_field(line: bytes) -> tuple[bytes, bytes]:
    """Parse `field-name ":" OWS field-value OWS` (RFC 9112, section 5).

    A folded line (5.2) and a blank before the colon (5.1) fail here: neither is a token.
    """
    name, colon, value = line.partition(b":")
    if not colon:
        raise HttpError(400, "a header line has no colon")
    if not name or name.translate(None, TOKEN):
        raise HttpError(400, "a header name is not a token")
    return name, field_value(value)


def field_value(value: bytes) -> bytes:
    """Return what comes after the colon without the white space around it, checked."""
    value = value.strip(b" \t")
    if value.translate(None, FIELD_TEXT):
        raise HttpError(400, "a header value holds a control character")
    return value


def check_host(value: str) -> None:
    """Raise unless `value` is `uri-host [":" port]` (RFC 9110, section 7.2), or empty.

    An empty one is sent where the URI has no authority; then the server is meant (RFC 9112, 3.3).
    """
    match = _HOST.fullmatch(value)
    if match is None:
        raise HttpError(400, "the Host is malformed")
    address, name, port = match.groups()
    if port and int(port) > 65535:
        raise HttpError(400, "the port of the Host is larger than 65535")
    if not name and address is None and port is not None:
        raise HttpError(400, "the Host has a port but no name")
    if address is not None:
        try:
            inet_pton(AF_INET6, address)
        except OSError as error:
            raise HttpError(400, "the Host is no IPv6 address") from error


def body_length(minor: int, content_length: str | None, transfer_encoding: str | None) -> int:
    """Return the length of a request's body in bytes, or `CHUNKED`: the framing decision.

    The values are those of the fields, `None` for absent; a field that came twice is joined
    with a comma (RFC 9110, section 5.2), which neither grammar below lets pass. What is not
    understood is refused, never skipped, and the connection is closed.
    """
    if transfer_encoding is not None:
        # RFC 9112, 6.1: with Transfer-Encoding in HTTP/1.0, or beside Content-Length, the
        # framing is faulty: what one side takes for a body the other takes for a request.
        if minor == 0:
            raise HttpError(400, "Transfer-Encoding does not exist in HTTP/1.0")
        if content_length is not None:
            raise HttpError(400, "Content-Length and Transfer-Encoding in one request")
        coding = transfer_encoding.lower()
        if coding == "chunked" and transfer_encoding.isascii():  # RFC 9112, 7.1
            return CHUNKED
        # RFC 9112, 6.3.4: in a request, chunked is the last coding, and is applied once.
        if _CODINGS.fullmatch(transfer_encoding) is None or not coding.endswith("chunked"):
            raise HttpError(400, "Transfer-Encoding is malformed or does not end in chunked")
        if coding.count("chunked") > 1:
            raise HttpError(400, "Transfer-Encoding names chunked more than once")
        raise HttpError(501, "no transfer coding but chunked is understood")  # RFC 9112, 6.1
    if content_length is not None:
        # RFC 9110, 8.6: 1*DIGIT; RFC 9112, 6.3.5: anything else is unrecoverable.
        if not content_length or not _DIGITS.issuperset(content_length):
            raise HttpError(400, "Content-Length is not one decimal number")
        if len(content_length) > 18:
            raise HttpError(413, "Content-Length is too large")
        return int(content_length)
    return 0  # RFC 9112, 6.3.7
