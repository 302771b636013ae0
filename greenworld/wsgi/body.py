"""`wsgi.input`: the request body as a file that ends where the body ends.

1. Nothing is read before the application reads; then `100 Continue` is sent if it was asked
   for (RFC 9110, section 10.1.1) and no content has arrived yet.
2. Reads block their green thread only. A body that ends early is `ClientDisconnected`, a
   malformed or stalled one `HttpError`: a truncated body never looks complete.
3. What the application left is read and dropped up to a limit, so that the connection can go
   on; beyond the limit, or while the client waits for a 100, it is closed instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final, Protocol

from greenworld.wsgi.chunked import ChunkedDecoder
from greenworld.wsgi.errors import ClientDisconnected, HttpError

__all__ = ["NO_BODY", "Body", "ByteSource", "ChunkedBody", "EmptyBody", "LengthBody"]

PIECE: Final = 65536
"""Bytes asked of the connection at once."""


class ByteSource(Protocol):
    """The connection, as a body sees it."""

    def receive(self, limit: int) -> bytes:
        """Return 1 to `limit` bytes, or none at the end of the stream. **Blocks**."""

    def unread(self, data: bytes) -> None:
        """Take back bytes that belong to the next request."""

    def send_continue(self) -> None:
        """Send `100 Continue`, unless content is here already."""


class EmptyBody:
    """The body of a request without one. Holds nothing, so that requests share it."""

    __slots__ = ()

    finished = True

    def answered(self) -> None:
        """Nobody waits for a 100."""

    def read(self, size: int | None = -1) -> bytes:
        """Return `b""`, as do the other readers."""
        return b""

    def readline(self, size: int | None = -1) -> bytes:
        """Return `b""`."""
        return b""

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Return no lines."""
        return []

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def drainable(self, limit: int) -> bool:
        """There is nothing to drain: True, as is `drain`."""
        return True

    def drain(self, limit: int) -> bool:
        """True."""
        return True


NO_BODY: Final = EmptyBody()


class Body(ABC):
    """What bodies have in common: buffering, lines, and the wait for the first read."""

    __slots__ = ("_at", "_awaited", "_buffer", "_continue", "_source", "finished")

    def __init__(self, source: ByteSource, wants_continue: bool) -> None:
        self._source = source
        self._continue = wants_continue  # a 100 is still to be sent, if it is asked for
        self._awaited = wants_continue  # the client may still wait for a 100
        self._buffer = b""
        self._at = 0  # what is before it has been read: many short reads copy nothing else
        self.finished = False
        """Whether the body has been taken off the connection completely."""

    @abstractmethod
    def _receive(self) -> bytes:
        """Return the next content, `b""` at the end. Sets `finished`. **Blocks**."""

    def _next(self) -> bytes:
        if self._continue:
            self._continue = self._awaited = False
            self._source.send_continue()
        return b"" if self.finished else self._receive()

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, fewer only at the end; all of them without a size. **Blocks**."""
        if size == 0:
            return b""
        buffer, at = self._buffer, self._at
        if size is not None and 0 < size <= len(buffer) - at:
            self._at = at + size
            return buffer[at : at + size]
        pieces = [buffer[at:]]
        have = len(pieces[0])
        self._forget()
        while size is None or size < 0 or have < size:
            piece = self._next()
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
        if size is not None and 0 < size < have:
            self._buffer = pieces[-1]
            self._at = len(self._buffer) - (have - size)
            pieces[-1] = self._buffer[: self._at]
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """Return one line with its newline, at most `size` bytes of it. **Blocks**."""
        if size == 0:
            return b""
        buffer, at = self._buffer, self._at
        self._forget()
        if at == len(buffer):
            buffer, at = self._next(), 0
        pieces: list[bytes] = []
        left = size if size is not None and size > 0 else -1
        while buffer:
            stop = len(buffer) if left < 0 else min(len(buffer), at + left)
            end = buffer.find(b"\n", at, stop) + 1 or stop
            pieces.append(buffer[at:end])
            if left > 0:
                left -= end - at
            if left == 0 or buffer[end - 1] == 0x0A:
                self._buffer, self._at = buffer, end
                break
            buffer, at = self._next(), 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _forget(self) -> None:
        self._buffer = b""
        self._at = 0

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Return all lines, or whole lines until `hint` bytes are reached. **Blocks**."""
        lines: list[bytes] = []
        have = 0
        for line in self:
            lines.append(line)
            have += len(line)
            if hint is not None and 0 < hint <= have:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def answered(self) -> None:
        """The head of the answer is being sent: no 100 after it."""
        self._continue = False

    def drainable(self, limit: int) -> bool:
        """Whether it is worth while to `drain` the body."""
        return self.finished or not self._awaited

    def drain(self, limit: int) -> bool:
        """Drop what is left, up to about `limit` bytes; return whether the end was reached.

        **Blocks** while the client sends.
        """
        if self.finished:
            return True
        if not self.drainable(limit):
            return False
        self._forget()
        try:
            while limit > 0:
                piece = self._next()
                if not piece:
                    break
                limit -= len(piece)
        except (HttpError, ClientDisconnected):
            return False
        return self.finished


class LengthBody(Body):
    """A body of known length (RFC 9112, section 6.2)."""

    __slots__ = ("_left",)

    def __init__(self, source: ByteSource, wants_continue: bool, length: int) -> None:
        super().__init__(source, wants_continue)
        self._left = length

    def _receive(self) -> bytes:
        data = self._source.receive(min(self._left, PIECE))
        if not data:
            raise ClientDisconnected(f"the body ended {self._left} bytes early")
        self._left -= len(data)
        self.finished = not self._left
        return data

    def drainable(self, limit: int) -> bool:
        """See `Body.drainable`; a body known to be over the limit is not."""
        return self._left <= limit and super().drainable(limit)


class ChunkedBody(Body):
    """A body in the chunked coding (RFC 9112, section 7.1); `most` bounds its bytes."""

    __slots__ = ("_decoder", "_error", "_most")

    def __init__(self, source: ByteSource, wants_continue: bool, most: int | None) -> None:
        super().__init__(source, wants_continue)
        self._decoder = ChunkedDecoder()
        self._most = most
        self._error: HttpError | None = None

    def _receive(self) -> bytes:
        if self._error is not None:
            raise self._error
        content = b""
        while not content and not self.finished:
            data = self._source.receive(PIECE)
            if not data:
                raise ClientDisconnected("the chunked body ended early")
            content = self._decode(data)
        return content

    def _decode(self, data: bytes) -> bytes:
        decoder = self._decoder
        try:
            content = decoder.feed(data)
        except HttpError as error:
            self._error = error
            raise
        self._error = decoder.error
        if self._most is not None:
            if len(content) > self._most:
                self._error = HttpError(413, "the body is too large")
                content = content[: self._most]
            self._most -= len(content)
        if self._error is not None:
            if not content:
                raise self._error
        elif decoder.done:
            self.finished = True
            self._source.unread(decoder.rest)
        return content
