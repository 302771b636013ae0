"""Opening files: what may have to wait gets a cooperative file, the rest a standard one.

Owns `open_file`, the counterpart of `io.open`, and `os.fdopen` on it. Whoever
replaces an `io.open(fd, mode, bufsize)` on a pipe uses `open_file`: same
arguments, same classes (subclasses of them), same errors.

1. What has to wait: pipes, FIFOs, sockets, terminals, event counters and the
   like. Regular files, disks and /dev/null do not.
2. Opening a FIFO waits for its other end. For writing it is tried again and
   again without waiting; for reading it is opened on a native thread, since
   the kernel tells nobody when a writer comes.
"""

from __future__ import annotations

import io
import os
from errno import ENXIO
from os import O_ACCMODE, O_NONBLOCK, O_RDONLY, O_WRONLY
from stat import S_IFMT, S_IFREG, S_ISCHR, S_ISFIFO, S_ISSOCK
from typing import TYPE_CHECKING, Any
from warnings import warn

from greenworld.hub import native
from greenworld.hub.current import current_waiter
from greenworld.hub.spawning import sleep
from greenworld.hub.task import Task
from greenworld.patches.buffers import (
    BufferedReader,
    BufferedWriter,
    FileIO,
    PieceIO,
    TextIOWrapper,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["fdopen", "has_to_wait", "open_descriptor", "open_file"]

_text_encoding: Any = vars(io)["text_encoding"]

plain_close = os.close
plain_open = io.open
plain_open_descriptor = os.open
fstat = os.fstat
isatty = os.isatty
set_blocking = os.set_blocking
stat = os.stat

FIRST_RETRY, LAST_RETRY = 0.001, 0.02
"""Seconds between attempts to open a FIFO for writing."""


def has_to_wait(mode: int, fd: int = -1) -> bool:
    """Whether a file of this `st_mode` can keep its reader or writer waiting.

    A character device does if it is a terminal, which only its descriptor tells.
    """
    if S_ISCHR(mode):
        return fd >= 0 and isatty(fd)
    return S_ISFIFO(mode) or S_ISSOCK(mode) or S_IFMT(mode) == 0


def open_file(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Callable[[str, int], int] | None = None,
) -> Any:
    """Open a file; one that has to wait then does so in the green thread only.

    **Blocks** while a FIFO has no other end. **Source**: `io.open`.
    """
    kind = _kind(file)
    if opener is None and not (has_to_wait(kind) or S_ISCHR(kind)):
        return plain_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    if not _is_valid(mode, buffering, encoding, errors, newline):
        return plain_open(
            file, mode, buffering, encoding, errors, newline, closefd, opener
        )  # raises
    if opener is None and S_ISFIFO(kind):
        opener = open_descriptor
    raw_mode = mode.replace("b", "").replace("t", "")
    raw = (PieceIO if buffering else FileIO)(file, raw_mode, closefd, opener)
    opened: Any = raw
    try:
        fd = raw.fileno()
        waits = has_to_wait(fstat(fd).st_mode, fd)
        if not buffering:
            return raw
        opened = _buffer(raw, waits, -1 if buffering == 1 else buffering)
        if "b" in mode:
            return opened
        by_line = buffering == 1 or (buffering < 0 and raw.isatty())
        text = TextIOWrapper if waits else io.TextIOWrapper
        opened = text(opened, encoding, errors, newline, by_line)
        opened.mode = mode
    except BaseException:
        opened.close()
        raise
    return opened


def _kind(file: Any) -> int:
    """The `st_mode` of a path or descriptor; that of a regular file if there is none."""
    try:
        return (fstat(file) if isinstance(file, int) else stat(file)).st_mode
    except (OSError, ValueError, TypeError, OverflowError):
        return S_IFREG


def _is_valid(mode: Any, buffering: Any, *text_options: Any) -> bool:
    """Whether `io.open` takes these arguments; it says best what is wrong with others."""
    if not isinstance(mode, str) or not isinstance(buffering, int):
        return False
    letters = set(mode)
    if len(letters) < len(mode) or letters - set("rwaxbt+") or len(letters & set("rwax")) != 1:
        return False
    if "b" in letters:
        if buffering == 1:
            message = "line buffering (buffering=1) isn't supported in binary mode"
            warn(f"{message}, the default buffer size will be used", RuntimeWarning, stacklevel=3)
        return "t" not in letters and all(option is None for option in text_options)
    return bool(buffering)


def _buffer(raw: FileIO, waits: bool, size: int) -> Any:
    """The buffer that fits the raw file."""
    if size < 0:
        size = getattr(raw, "_blksize", 0)
        size = size if size > 1 else io.DEFAULT_BUFFER_SIZE
    if "+" in raw.mode:
        return io.BufferedRandom(raw, size)  # raises, if it cannot seek
    if raw.readable():
        return (BufferedReader if waits else io.BufferedReader)(raw, size)
    return (BufferedWriter if waits else io.BufferedWriter)(raw, size)


def fdopen(
    fd: int,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """A file on a descriptor; see `open_file`. Never blocks. **Source**: `os.fdopen`."""
    if not isinstance(fd, int):
        raise TypeError(f"invalid fd type ({type(fd)}, expected integer)")
    if "b" not in mode:
        encoding = _text_encoding(encoding)
    return open_file(fd, mode, buffering, encoding, *args, **kwargs)


# Opening FIFOs


def open_descriptor(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """Open a file and return its descriptor. **Blocks** while a FIFO has no other end.

    A reader that is killed or timed out meanwhile leaves a native thread
    behind, until a writer comes. **Source**: `os.open`.
    """
    if not flags & O_NONBLOCK and flags & O_ACCMODE in (O_RDONLY, O_WRONLY):
        try:
            is_fifo = S_ISFIFO(stat(path, dir_fd=dir_fd).st_mode)
        except (OSError, ValueError, TypeError):
            is_fifo = False  # opening it says what is wrong, or makes it
        if is_fifo and isinstance(current_waiter(), Task):
            if flags & O_ACCMODE == O_WRONLY:
                return _open_writer(path, flags, dir_fd)
            return _Opening(path, flags, dir_fd).run()
    return plain_open_descriptor(path, flags, mode, dir_fd=dir_fd)


def _open_writer(path: Any, flags: int, dir_fd: int | None) -> int:
    """Open a FIFO for writing as soon as it has a reader."""
    pause = FIRST_RETRY
    while True:
        try:
            fd = plain_open_descriptor(path, flags | O_NONBLOCK, dir_fd=dir_fd)
        except OSError as error:
            if error.errno != ENXIO:
                raise
        else:
            set_blocking(fd, True)  # nobody else has this open file yet
            return fd
        sleep(pause)
        pause = min(2 * pause, LAST_RETRY)


class _Opening:
    """Opens a FIFO for reading on a native thread; nobody may want it when it is open."""

    def __init__(self, path: Any, flags: int, dir_fd: int | None) -> None:
        self._path = path
        self._flags = flags
        self._dir_fd = dir_fd
        self._opened: list[int] = []
        self._wanted = True

    def run(self) -> int:
        try:
            native.run(self._open)
        except BaseException:
            self._wanted = False
            self._drop()
            raise
        return self._opened.pop()

    def _open(self) -> None:
        self._opened.append(plain_open_descriptor(self._path, self._flags, dir_fd=self._dir_fd))
        if not self._wanted:
            self._drop()

    def _drop(self) -> None:
        try:
            plain_close(self._opened.pop())
        except IndexError:
            pass  # not open yet, or dropped on the other thread
