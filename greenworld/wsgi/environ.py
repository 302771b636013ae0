"""Turns request heads into PEP 3333 environments, and remembers what it has already checked.

1. A head is a *start line* and a *header block* (everything between the request line and the
   empty line). A line that was seen before costs one look-up; a block that was seen before, one
   comparison or one look-up, and one dict copy; a new block is split into lines, and only lines
   that are new are parsed.
2. All tables are bounded: a full one is emptied. They are shared by the connections of a
   listener (the lines by all listeners), so they cost nothing per connection.
3. Nothing secret is shared: a line whose name looks like a credential is parsed every time,
   and a block that holds one is remembered by its own connection only, until that is idle.
4. A name with an underscore is dropped (or refused), since `X_A` and `X-A` are one key in an
   environment; so is `Proxy`, whose key `HTTP_PROXY` means something else to many client
   libraries.
5. A template holds every key that a request sets, so that filling in a copy never resizes it.
6. Where requests of one connection differ in one value (a Cookie, a trace id), the block of the
   last one becomes the next: only that value is parsed. Where lines differ in their query, only
   that is. What is not looked at again is byte for byte what was checked before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from greenworld.wsgi.body import NO_BODY
from greenworld.wsgi.errors import HttpError
from greenworld.wsgi.http1 import (
    TARGET_TEXT,
    Limits,
    check_host,
    field_value,
    parse_field,
    parse_request_line,
)
from greenworld.wsgi.quoting import quote
from greenworld.wsgi.variation import Variation, find_variation

__all__ = ["COLD_BLOCK", "EMPTY_BLOCK", "HeadTable", "HeaderBlock", "StartLine"]

_MAX_LINES: Final = 4096
_MAX_BLOCKS: Final = 512
_MAX_TARGETS: Final = 1024
_MAX_LINE_SIZE: Final = 512  # bytes of a line that is worth remembering
_MAX_BLOCK_SIZE: Final = 4096
_MAX_NAMES: Final = 1024
_MAX_NAME_SIZE: Final = 64
_MAX_SEEN: Final = 4096

_SECRET = re.compile(rb"auth|cookie|credential|key|passw|secret|session|sid|token", re.IGNORECASE)
_DROPPED: Final = ""
"""The key of what does not go into the environment."""
_READ_BY_SERVER: Final = frozenset(
    f"{_DROPPED} CONTENT_LENGTH HTTP_CONNECTION HTTP_EXPECT HTTP_HOST HTTP_TRANSFER_ENCODING"
    " HTTP_UPGRADE".split(" ")
)
"""The keys whose values decide more than the environment."""

_MAX_STRANGERS: Final = 3
"""Blocks of a connection, one after the other, that are compared with the one before in vain."""

_Field = tuple[str, str]

_lines: dict[bytes, _Field] = {}
_names: dict[bytes, tuple[str, bool]] = {}
"""Checked names, with their keys and whether their values are secret."""


class StartLine:
    """One checked request line: what of the environment it decides, and what the server reads."""

    __slots__ = ("authority", "environ", "health", "log_text", "method", "minor", "plain")

    def __init__(self, raw: bytes, health_path: str | None = None) -> None:
        method, target, path, query, authority, minor, protocol, text = parse_request_line(raw)
        self.method = method
        self.minor = minor
        self.authority = authority
        self.log_text = quote(text) if b'"' in raw or b"\\" in raw else text
        self.environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "RAW_URI": target,
            "REQUEST_URI": target,
            "SERVER_PROTOCOL": protocol,
        }
        self.health = path == health_path
        """Whether the server itself answers this."""
        self.plain = minor == 1 and method != "HEAD" and authority is None and not self.health
        """Whether nothing here needs a second look: see `HeaderBlock.plain`."""

    def with_query(self, query: str) -> StartLine:
        """Return this line, which has no query, with a query that has been checked."""
        line = StartLine.__new__(StartLine)
        line.authority = self.authority
        line.health = self.health
        line.method = self.method
        line.minor = self.minor
        line.plain = self.plain
        environ = line.environ = self.environ.copy()
        target = f"{environ['RAW_URI']}?{query}"
        environ["QUERY_STRING"] = query
        environ["RAW_URI"] = environ["REQUEST_URI"] = target
        before, _, version = self.log_text.rpartition(" ")
        if '"' in query or "\\" in query:
            query = quote(query)
        line.log_text = f"{before}?{query} {version}"
        return line


class HeaderBlock:
    """One checked header block: what of the environment it decides, and what the server reads.

    Whether `Host` is missing is for the request line's version to judge: `host` may be None.
    """

    __slots__ = (
        "close",
        "content_length",
        "_environ",
        "_key",
        "_line",
        "expect",
        "framed",
        "host",
        "keep_alive",
        "log_part",
        "plain",
        "raw",
        "shareable",
        "tail",
        "strangers",
        "transfer_encoding",
        "upgrade",
        "_variation",
    )

    def __init__(self, raw: bytes, environ: dict[str, Any], shareable: bool) -> None:
        get = environ.get
        self.raw = raw
        self.tail: bytes | tuple[()] = raw + b"\r\n\r\n" if raw else b"\r\n"
        """What follows the start line where this block follows; `()` is a prefix of nothing."""
        self._environ = environ
        self._line: StartLine | None = None
        self.shareable = shareable
        self.host: str | None = get("HTTP_HOST")
        self.content_length: str | None = get("CONTENT_LENGTH")
        self.transfer_encoding: str | None = get("HTTP_TRANSFER_ENCODING")
        self.framed = self.content_length is not None or self.transfer_encoding is not None
        self.expect: str | None = get("HTTP_EXPECT")
        connection: str = get("HTTP_CONNECTION", "keep-alive").lower()
        self.close = self.upgrade = False
        self.keep_alive = connection == "keep-alive" and "HTTP_CONNECTION" in environ
        if connection != "keep-alive":
            options = {option.strip(" \t") for option in connection.split(",")}
            self.close = "close" in options
            self.keep_alive = "keep-alive" in options
            # RFC 9110, section 7.8: without the option, Upgrade is none.
            self.upgrade = "upgrade" in options and "HTTP_UPGRADE" in environ
        self.plain = (
            self.host is not None
            and not self.close
            and not self.framed
            and not self.upgrade
            and self.expect is None
        )
        """Whether, in HTTP/1.1, the request is in order, has no body and keeps the connection."""
        self.log_part = ""
        """What the access log says of the block alone; empty before it was said."""
        self._variation: Variation | None = None
        self._key = _DROPPED  # of the value that varies
        self.strangers = 0
        """How many blocks before this one, without a break, were not like the one before them."""

    def vary(self, variation: Variation, key: str) -> None:
        """Let `become` change one value from now on: no other connection may see the block."""
        self._variation = variation
        self._key = key
        self.shareable = False

    def become(self, raw: bytes) -> bool:
        """Become the block `raw` if it differs in that one value alone; return whether it did.

        Raises HttpError if the value is not allowed. Environments that were made stay as they are.
        """
        variation = self._variation
        value = variation.value_in(raw) if variation is not None else None
        if value is None:
            return False
        self._environ[self._key] = field_value(value).decode("latin-1")
        self.raw = raw
        self.tail = raw + b"\r\n\r\n"
        self.log_part = ""
        return True

    def header(self, key: str, default: str) -> str:
        """Return a field as it came, by its key in the environment."""
        value: str = self._environ.get(key, default)
        return value

    def say(self, saying: Callable[[Callable[[str, str], str]], str]) -> str:
        """Set and return `log_part`: what `saying` makes of `header`. One server has one way."""
        self.log_part = saying(self.header)
        return self.log_part

    def environ(self, line: StartLine) -> dict[str, Any]:
        """Return a new environment for a request of this block and that start line.

        What is copied is a template that has been filled in for the last start line already:
        most often it is the same one again.
        """
        if line is not self._line:
            self._line = line
            self._environ.update(line.environ)
        return self._environ.copy()


class HeadTable:
    """Parses the heads that arrive at one listener.

    `base` is the part of the environment that all its requests share; `refuse_underscores`
    says that a name with one is an error; `health_path` is a path that is not the application's.
    """

    def __init__(
        self,
        base: dict[str, Any],
        limits: Limits,
        refuse_underscores: bool = False,
        health_path: str | None = None,
    ) -> None:
        self._template: dict[str, Any] = {
            "REQUEST_METHOD": "",
            "SCRIPT_NAME": "",
            "PATH_INFO": "",
            "QUERY_STRING": "",
            "RAW_URI": "",
            "REQUEST_URI": "",
            "SERVER_PROTOCOL": "",
            "REMOTE_ADDR": "",
            "REMOTE_PORT": "",
            "wsgi.input": NO_BODY,
            **base,
        }
        self._limits = limits
        self._refuse_underscores = refuse_underscores
        self._health_path = health_path
        self._blocks: dict[bytes, HeaderBlock] = {}
        self._seen: set[int] = set()
        self.lines: dict[bytes, StartLine] = {}
        """Request lines without a query that were seen before; a query may hold a secret."""

    def start_line(self, raw: bytes) -> StartLine:
        """Parse a request line that is not in `lines`."""
        if len(raw) > self._limits.line:
            raise HttpError(414, f"the request line is longer than {self._limits.line} bytes")
        before, mark, after = raw.partition(b"?")
        if not mark:
            line = StartLine(raw, self._health_path)
            self._remember_line(raw, line)
            return line
        query, space, version = after.rpartition(b" ")
        base = before + b" " + version
        known = self.lines.get(base)
        # "*" takes no query. Whatever else is wrong, StartLine says.
        takes_query = space and not before.endswith(b" *")
        if known is not None and takes_query and not query.translate(None, TARGET_TEXT):
            return known.with_query(query.decode("ascii"))
        line = StartLine(raw, self._health_path)
        if known is None and self._comes_again(base):
            self._remember_line(base, StartLine(base, self._health_path))
        return line

    def _remember_line(self, raw: bytes, line: StartLine) -> None:
        if len(raw) <= _MAX_LINE_SIZE:
            if len(self.lines) >= _MAX_TARGETS:
                self.lines.clear()
            self.lines[raw] = line

    def _comes_again(self, raw: bytes) -> bool:
        """Whether something comes for the second time: most that is unique never does."""
        mark = hash(raw)
        if mark in self._seen:
            return True
        if len(self._seen) >= _MAX_SEEN:
            self._seen.clear()
        self._seen.add(mark)
        return False

    def header_block(self, raw: bytes, last: HeaderBlock | None = None) -> HeaderBlock:
        """Return the checked block for these bytes (no CRLF after the last line).

        `last` is the block before it on the same connection; it may become this one.
        """
        if last is not None and last.become(raw):
            return last
        block = self._blocks.get(raw)
        if block is None:
            block = self._parse_block(raw, last)
            if block.shareable and len(raw) <= _MAX_BLOCK_SIZE and self._comes_again(raw):
                if len(self._blocks) >= _MAX_BLOCKS:
                    self._blocks.clear()
                block.strangers = 0
                self._blocks[raw] = block
        return block

    def _parse_block(self, raw: bytes, last: HeaderBlock | None) -> HeaderBlock:
        fields: dict[str, str] = {}
        lines = raw.split(b"\r\n") if raw else []
        if len(lines) > self._limits.fields:
            raise HttpError(431, f"more than {self._limits.fields} header lines")
        shareable = True
        known = _lines.get
        for line in lines:
            field = known(line)
            if field is None:
                field, secret = _parse_line(line)
                if secret:
                    shareable = False
            key, value = field
            if key in fields:
                value = _join(key, fields[key], value)
            fields[key] = value
        if _DROPPED in fields:
            del fields[_DROPPED]
            if self._refuse_underscores:
                _check_underscores(lines)
        environ = self._template.copy()
        environ.update(fields)
        block = HeaderBlock(raw, environ, shareable)
        if last is not None and last.raw:
            # With a name that comes twice, a key is not one line's.
            _compare(block, lines, last, unique=len(fields) == len(lines))
        return block


def _compare(block: HeaderBlock, lines: list[bytes], last: HeaderBlock, unique: bool) -> None:
    """Have the block vary where it differs from the last one, if that is in one value."""
    block.strangers = last.strangers
    if block.strangers < _MAX_STRANGERS:
        variation = find_variation(last.raw.split(b"\r\n"), lines) if unique else None
        key = _DROPPED if variation is None else _names.get(variation.name, (_DROPPED, False))[0]
        if variation is not None and key not in _READ_BY_SERVER:
            block.vary(variation, key)
            block.strangers = 0
        else:
            block.strangers += 1


def _parse_line(line: bytes) -> tuple[_Field, bool]:
    """Return a new line's key and value, and whether it is secret (and so not remembered)."""
    name, colon, value = line.partition(b":")
    known = _names.get(name) if colon else None
    if known is None:
        name, value = parse_field(line)
        known = _learn_name(name)
    else:
        value = field_value(value)
    key, secret = known
    field = (key, value.decode("latin-1"))
    if key == "HTTP_HOST":
        check_host(field[1])
    if not secret and len(line) <= _MAX_LINE_SIZE:
        if len(_lines) >= _MAX_LINES:
            _lines.clear()
        _lines[line] = field
    return field, secret


def _learn_name(name: bytes) -> tuple[str, bool]:
    """Return the key for a checked name, and whether its values are secret."""
    key = name.upper().replace(b"-", b"_").decode("ascii")
    if b"_" in name or key == "PROXY":
        key = _DROPPED
    elif key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = "HTTP_" + key
    known = (key, _SECRET.search(name) is not None)
    if len(name) <= _MAX_NAME_SIZE:
        if len(_names) >= _MAX_NAMES:
            _names.clear()
        _names[name] = known
    return known


def _check_underscores(lines: list[bytes]) -> None:
    for line in lines:
        if b"_" in line.partition(b":")[0]:
            raise HttpError(400, "a header name holds an underscore")


def _join(key: str, first: str, second: str) -> str:
    """Combine a repeated field (RFC 9110, section 5.3; RFC 6265, section 5.4 for Cookie)."""
    if key == "HTTP_HOST":  # RFC 9112, section 3.2
        raise HttpError(400, "more than one Host")
    if key == "HTTP_COOKIE":
        return f"{first}; {second}"
    return f"{first},{second}"


EMPTY_BLOCK: Final = HeaderBlock(b"", {}, shareable=True)
"""Stands for "no block yet"."""
COLD_BLOCK: Final = HeaderBlock(b"", {}, shareable=True)
"""The same for a connection that has served requests and forgotten them."""
EMPTY_BLOCK.tail = COLD_BLOCK.tail = ()
