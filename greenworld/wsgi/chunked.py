"""The chunked transfer coding of a request body, as a decoder without I/O (RFC 9112, 7.1).

States, and what moves from one to the next:

    SIZE     a line `size [extensions] CRLF`    → DATA, or TRAILER after size 0
    DATA     `size` bytes, then exactly CRLF    → SIZE
    TRAILER  field lines up to an empty one     → DONE (checked, then dropped)
    DONE     whatever follows belongs to the next request: `rest`

1. Any cut of the same bytes gives the same body, the same end and the same error; what came
   before the error is content.
2. Sizes are hex digits and nothing else. Extensions are checked against their grammar, then
   ignored, and may not outweigh the data they decorate.
3. After an error the decoder is not fed again: where the body ends is unknown.
"""

from __future__ import annotations

import re
from typing import Final

from greenworld.wsgi.errors import HttpError
from greenworld.wsgi.http1 import parse_field

__all__ = ["ChunkedDecoder"]

MAX_LINE: Final = 1024
"""Bytes of one size line or one trailer line."""
MAX_TRAILER: Final = 16384
"""Bytes of the whole trailer section."""
MAX_OVERHEAD: Final = 16384
"""Bytes of size lines beyond what honest chunks need, summed over one body."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
# Each blank is tried for at most two alternatives, so the match is linear.
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"(?:[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*"
)
# RFC 9110, section 6.5.1: who sends one of these after the body hopes that somebody believes it.
_NEVER_TRAILERS: Final = frozenset({b"content-length", b"host", b"transfer-encoding"})
_SIZE, _DATA, _TRAILER, _DONE = range(4)


class ChunkedDecoder:
    """Turns the bytes of one chunked body into its content."""

    __slots__ = ("_at", "_buffer", "_left", "_overhead", "_state", "_trailer", "error")

    def __init__(self) -> None:
        self.error: HttpError | None = None
        """What is wrong behind the content that `feed` returned last."""
        self._buffer = b""
        self._at = 0  # what is before it has been used up
        self._state = _SIZE
        self._left = 0
        self._overhead = 0
        self._trailer = 0

    @property
    def done(self) -> bool:
        """Whether the last chunk and the trailer section have been read completely."""
        return self._state == _DONE

    @property
    def rest(self) -> bytes:
        """The bytes after the body, once it is `done`."""
        return self._buffer if self._state == _DONE else b""

    def feed(self, data: bytes) -> bytes:
        """Take more bytes of the body and return the content they complete (maybe none).

        Raises HttpError, or sets `error` if there is content before what is wrong.
        """
        self._buffer = self._buffer + data if self._buffer else data
        self._at = 0
        content: list[bytes] = []
        try:
            while self._step(content):
                pass
        except HttpError as error:
            if not content:
                raise
            self.error = error
        self._buffer = self._buffer[self._at :]
        return content[0] if len(content) == 1 else b"".join(content)

    def _step(self, content: list[bytes]) -> bool:
        """Use up what the present state can; return whether to go on."""
        if self._state == _DATA:
            return self._step_data(content)
        if self._state == _DONE:
            return False
        line = self._take_line()
        if line is None:
            return False
        if self._state == _SIZE:
            self._start_chunk(line)
        elif line:
            self._trailer += len(line) + 2
            if self._trailer > MAX_TRAILER:
                raise HttpError(431, "the trailer section is too long")
            name, _ = parse_field(line)
            if name.lower() in _NEVER_TRAILERS:
                raise HttpError(400, "a trailer field that frames or routes a message")
        else:
            self._state = _DONE
        return True

    def _step_data(self, content: list[bytes]) -> bool:
        if self._left:
            piece = self._buffer[self._at : self._at + self._left]
            if piece:
                content.append(piece)
                self._left -= len(piece)
                self._at += len(piece)
            if self._left:
                return False
        end = self._buffer[self._at : self._at + 2]
        if end == b"\r\n":
            self._at += 2
            self._state = _SIZE
            return True
        if end and end != b"\r":
            raise HttpError(400, "a chunk is longer than its size")
        return False

    def _take_line(self) -> bytes | None:
        """Take one line off the buffer; `None` while it is not complete."""
        start = self._at
        end = self._buffer.find(b"\n", start, start + MAX_LINE + 2)
        if end < 0:
            if len(self._buffer) - start >= MAX_LINE + 2:
                raise HttpError(400, "a line of the chunked body is too long")
            return None
        if end == start or self._buffer[end - 1] != 0x0D:
            raise HttpError(400, "a line of the chunked body does not end in CRLF")
        self._at = end + 1
        return self._buffer[start : end - 1]

    def _start_chunk(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise HttpError(400, "a chunk size line is malformed")
        size = int(match[1], 16)
        # One-byte chunks with long extensions make a server read kilobytes per byte of body.
        self._overhead = max(0, self._overhead + len(line) - 16 - size)
        if self._overhead > MAX_OVERHEAD:
            raise HttpError(400, "the chunked body is mostly chunk extensions")
        self._left = size
        self._state = _DATA if size else _TRAILER
