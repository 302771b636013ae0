"""Files on descriptors that may have to wait: raw files, buffers, text files.

`patches/fileio.py` makes them. They are subclasses of the standard classes.

1. A standard buffer holds an OS lock while it reads or writes, and takes a
   second green thread for a re-entry of the first. Each file here has a lock of
   the hub's instead, held through every call that may wait.
2. A reader keeps what it has read in its own buffer until it returns it: a
   time-out or kill that ends a wait loses nothing. (A text file may lose the
   beginning of a line, as the standard one does when a signal handler raises.)
3. Under a buffer, a raw file writes piece by piece, so that the buffer knows
   what went out when a wait is ended. By itself it writes all, as a blocking
   file does.
4. Closing waits for whoever is using the file, as the standard buffers do.
   Closing a raw file wakes whoever waits for it, with OSError(EBADF).
"""

from __future__ import annotations

import io
from collections import deque
from typing import TYPE_CHECKING, Any

from greenworld.hub.lock import RLock
from greenworld.hub.readiness import close_fd
from greenworld.patches import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

__all__ = ["BufferedReader", "BufferedWriter", "FileIO", "PieceIO", "TextIOWrapper"]

CHUNK = 65536
"""Bytes asked for at once where everything is wanted: what a pipe holds."""


class FileIO(io.FileIO):
    """**Source**: `io.FileIO`. Reads and writes **block** the green thread only."""

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Read into `buffer`: the number of bytes, 0 at the end. None if it would block."""
        if self.closed or not self.readable():
            return super().readinto(buffer)  # raises
        try:
            return descriptors.readv(self.fileno(), (buffer,))
        except BlockingIOError:
            return None

    def read(self, size: int | None = -1, /) -> bytes | None:  # type: ignore[override]
        """Read up to `size` bytes, b"" at the end; all if negative. None if it would block."""
        if self.closed or not self.readable():
            return super().read(-1 if size is None else size)  # raises
        if size is None or size < 0:
            return self.readall()
        try:
            return descriptors.read(self.fileno(), size)
        except BlockingIOError:
            return None

    def readall(self) -> bytes | None:  # type: ignore[override]
        """Read to the end. None if it would block and nothing was read."""
        if self.closed or not self.readable():
            return super().readall()  # raises
        pieces = []
        try:
            while piece := descriptors.read(self.fileno(), CHUNK):
                pieces.append(piece)
        except BlockingIOError:
            if not pieces:
                return None
        return b"".join(pieces)

    def write(self, data: Buffer, /) -> int | None:  # type: ignore[override]
        """Write `data` and return the number of bytes. None if it would block."""
        if self.closed or not self.writable():
            return super().write(data)  # raises
        try:
            return self._write(self.fileno(), data)
        except BlockingIOError:
            return None

    _write: Callable[[int, Buffer], int] = staticmethod(descriptors.write)

    def close(self) -> None:
        """Close it; whoever waits for its descriptor gets OSError(EBADF)."""
        if not self.closed and self.closefd:
            close_fd(self.fileno())
        super().close()


class PieceIO(FileIO):
    """The raw file under a buffer."""

    _write = staticmethod(descriptors.write_some)


def _guarded(base: type, names: str) -> Callable[[type], type]:
    """Give a class the methods `names` of `base`, each under the file's lock."""

    def method(name: str) -> Callable[..., Any]:
        plain: Callable[..., Any] = getattr(base, name)

        def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
            with self._lock:
                return plain(self, *args, **kwargs)

        guarded.__name__ = name
        guarded.__qualname__ = f"{base.__name__}.{name}"
        guarded.__doc__ = plain.__doc__
        return guarded

    def decorate(cls: type) -> type:
        for name in names.split():
            setattr(cls, name, method(name))
        return cls

    return decorate


@_guarded(io.BufferedReader, "flush seek tell truncate")
class BufferedReader(io.BufferedReader):
    """**Source**: `io.BufferedReader`, for a raw file that cannot seek.

    What it has read stands in `_lines` (whole lines, made when the first of
    them is asked for) and behind them in `_kept`. Taking a line is one atomic
    step, without the lock.
    """

    def __init__(self, raw: Any, buffer_size: int = io.DEFAULT_BUFFER_SIZE) -> None:
        self._lock = RLock()
        self._size = buffer_size
        self._kept = bytearray()
        self._lines: deque[bytes] = deque()
        super().__init__(raw, buffer_size)

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def close(self) -> None:
        """Close it, and the raw file. **Blocks** while another reads."""
        with self._lock:
            super().close()
            self._lines.clear()

    def detach(self) -> Any:
        """Part from the raw file and return it. **Blocks** while another reads."""
        with self._lock:
            raw = super().detach()
            self._lines.clear()
            return raw

    def _join(self) -> bytearray:
        """All that is kept, in one piece."""
        lines: list[bytes] = []
        try:
            while True:
                lines.append(self._lines.popleft())
        except IndexError:
            if lines:
                self._kept[:0] = b"".join(lines)
        return self._kept

    def _take(self, size: int) -> bytes:
        """The first `size` bytes kept."""
        kept = self._kept
        if size >= len(kept):
            data = bytes(kept)
            kept.clear()
        else:
            data = bytes(memoryview(kept)[:size])
            del kept[:size]
        return data

    def _fill(self, size: int) -> bytes | None:
        """Read once, up to `size` bytes, and keep them; b"" at the end, None if it would block."""
        data: bytes | None = self.raw.read(size)
        if data:
            self._kept += data
        return data

    def read(self, size: int | None = -1, /) -> bytes | None:  # type: ignore[override]
        """Read `size` bytes, fewer only at the end; all if it is negative or None. **Blocks**.

        None if the file is non-blocking and nothing is there.
        """
        if size is None:
            size = -1
        if size < -1:
            raise ValueError("read length must be non-negative or -1")
        with self._lock:
            self._check()
            kept = self._join()
            data: bytes | None = b" "
            while data and (size < 0 or len(kept) < size):
                data = self._fill(CHUNK if size < 0 else max(self._size, min(size, CHUNK)))
            if data is None and not kept:
                return None
            return self._take(len(kept) if size < 0 else size)

    def read1(self, size: int = -1, /) -> bytes:
        """Read what is there, up to `size` bytes. **Blocks** only while nothing is."""
        with self._lock:
            self._check()
            if size < 0:
                size = self._size
            if not self._join() and size:
                return self.raw.read(size) or b""
            return self._take(size)

    def peek(self, size: int = 0, /) -> bytes:
        """What is there, without taking it. **Blocks** only while nothing is."""
        with self._lock:
            self._check()
            if not self._join():
                self._fill(self._size)
            return bytes(self._kept)

    def readinto(self, buffer: Buffer, /) -> int | None:  # type: ignore[override]
        """Fill `buffer`: the number of bytes, fewer only at the end. **Blocks**."""
        with memoryview(buffer) as view, view.cast("B") as octets:
            data = self.read(len(octets))
            if data is None:
                return None
            octets[: len(data)] = data
            return len(data)

    def readinto1(self, buffer: Buffer, /) -> int:
        """Read what is there into `buffer`. **Blocks** only while nothing is."""
        with memoryview(buffer) as view, view.cast("B") as octets:
            data = self.read1(len(octets))
            octets[: len(data)] = data
            return len(data)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read to the end of the line, but at most `size` bytes, if not negative. **Blocks**."""
        limit = -1 if size is None else size
        if limit < 0:
            try:
                return self._lines.popleft()
            except IndexError:
                return self._next_line()
        with self._lock:
            self._check()
            kept = self._join()
            seen = 0
            while True:
                end = kept.find(b"\n", seen, limit) + 1
                if end:
                    return self._take(end)
                seen = len(kept)
                if seen >= limit or not self._fill(self._size):
                    return self._take(limit)

    def _next_line(self) -> bytes:
        """Read until there is a whole line, and take it; what is left at the end."""
        with self._lock:
            self._check()
            kept = self._kept
            seen = 0
            while True:
                try:
                    return self._lines.popleft()
                except IndexError:
                    end = kept.rfind(b"\n", seen) + 1
                if end:
                    lines = self._take(end).split(b"\n")
                    lines.pop()
                    self._lines.extend([line + b"\n" for line in lines])
                    continue
                seen = len(kept)
                if not self._fill(self._size):
                    return self._take(seen)


@_guarded(io.BufferedWriter, "close detach flush seek tell truncate write")
class BufferedWriter(io.BufferedWriter):
    """**Source**: `io.BufferedWriter`."""

    def __init__(self, raw: Any, buffer_size: int = io.DEFAULT_BUFFER_SIZE) -> None:
        self._lock = RLock()
        super().__init__(raw, buffer_size)


@_guarded(io.TextIOWrapper, "close detach flush read readline seek tell truncate write reconfigure")
class TextIOWrapper(io.TextIOWrapper):
    """**Source**: `io.TextIOWrapper`."""

    def __init__(self, buffer: Any, *args: Any, **kwargs: Any) -> None:
        self._lock = RLock()
        super().__init__(buffer, *args, **kwargs)
