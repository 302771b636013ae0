"""`wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling").

1. It is an iterable of blocks like any other: middleware may iterate it, and then it is that.
2. Returned as it is, with a regular file inside, the kernel sends the file from where it
   stands, and its size is the Content-Length if the application gave none.
3. Only the types of `io` count as a regular file, and what `tempfile` wraps around them: a
   `GzipFile` has a `fileno()` too, and an object that reads a range may have a `file`, and what
   is in there is not what `read()` returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedRandom, BufferedReader, FileIO
from os import fstat
from stat import S_ISREG
from typing import Any

__all__ = ["FileWrapper"]


class FileWrapper:
    """An open binary file as the iterable of its blocks; closing it closes the file."""

    __slots__ = ("block_size", "file")

    def __init__(self, file: Any, block_size: int = 65536) -> None:
        self.file = file
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.file.read(self.block_size), b"")

    def close(self) -> None:
        """Close the file, if it can be closed."""
        close = getattr(self.file, "close", None)
        if close is not None:
            close()

    def regular(self) -> tuple[int, int, int] | None:
        """Return descriptor, position and bytes left of a regular file; None for all others."""
        file = self.file
        if type(file).__module__ == "tempfile":  # told by its name, for which nothing is imported
            file = getattr(file, "file", file)
        raw = file.raw if type(file) in (BufferedReader, BufferedRandom) else file
        if type(raw) is not FileIO:
            return None
        try:
            fd = raw.fileno()
            if type(file) is BufferedRandom:
                file.flush()
            status = fstat(fd)
            position = file.tell()
        except (OSError, ValueError):  # closed, or without a position
            return None
        if not S_ISREG(status.st_mode) or not status.st_size:  # in /proc, size 0 means nothing
            return None
        return fd, position, max(0, status.st_size - position)
