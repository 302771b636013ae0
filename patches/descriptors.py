"""`os.read`, `os.write` and their relatives on descriptors that may have to wait.

Owns waiting for pipes, FIFOs, terminals, sockets and other devices that are
known by number only. Regular files and directories are read and written
directly.

1. O_NONBLOCK is never set: it belongs to the open file, which a child, a `dup`
   or the terminal's other users share. The kernel is asked (`poll` without
   waiting), and the call is made only where it would not wait, with no switch
   in between. A descriptor that is non-blocking already behaves as it does
   natively.
2. Another process or OS thread can take what was reported before the call is
   made. On pipes the call is therefore made with RWF_NOWAIT where the kernel
   has it (Linux 6.4): it does not wait, whatever the open file says. Elsewhere,
   and on named FIFOs and terminals, such a theft blocks the process until
   there is something to read again. Opening `/proc/self/fd/N` for an open file
   of our own would help, but count as one more reader or writer of the pipe:
   no end of file, no EPIPE for the others.
3. A write that waits is made of pieces that fit, until all is written: what
   RWF_NOWAIT finds room for, else PIPE_BUF bytes (`TERMINAL_STEP` on
   terminals), for which there is room when there is room at all.
4. Every wait asks for readiness anew (`wait_fd`), so that a stale record of a
   number that was closed without a word cannot fool it.
"""

from __future__ import annotations

import os
import select
import sys
from _socket import MSG_DONTWAIT, getdefaulttimeout
from _socket import socket as c_socket
from errno import EOPNOTSUPP
from fcntl import F_GETFL, fcntl
from operator import index
from os import O_ACCMODE, O_NONBLOCK, O_RDONLY, O_WRONLY
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK
from typing import TYPE_CHECKING, Any

from greenworld.hub.current import all_hubs, current_waiter
from greenworld.hub.poller import READ, WRITE
from greenworld.hub.readiness import close_fd, wait_fd
from greenworld.hub.task import Task
from greenworld.patches.channel import channels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

__all__ = [
    "close",
    "closerange",
    "dup2",
    "eventfd_read",
    "eventfd_write",
    "read",
    "ready_now",
    "readv",
    "step_of",
    "wait_for",
    "would_wait",
    "write",
    "write_some",
    "writev",
]

# Bound here: these names are what the patches replace (rule 1.3).
plain_close = os.close
plain_closerange = os.closerange
plain_dup2 = os.dup2
plain_eventfd_read: Any = getattr(os, "eventfd_read", None)
plain_eventfd_write: Any = getattr(os, "eventfd_write", None)
plain_read = os.read
plain_readv: Any = getattr(os, "readv", None)
plain_write = os.write
plain_writev: Any = getattr(os, "writev", None)
preadv: Any = getattr(os, "preadv", None)
pwritev: Any = getattr(os, "pwritev", None)
fstat = os.fstat
get_blocking = os.get_blocking
isatty = os.isatty

_new_poll: Any = getattr(select, "poll", None)
_select = select.select

POLLIN, POLLOUT = 0x01, 0x04
"""As everywhere in POSIX systems; also what the hub calls READ and WRITE."""
BOTH = POLLIN | POLLOUT
HERE = -1
"""The offset that means: where the file stands, and move it."""
TERMINAL_STEP = 128
"""Bytes for which a terminal has room when it has any, even if each becomes two (ONLCR)."""
ANY_STEP = -1
"""A socket finds out by itself, and a message must not be cut in pieces."""
PIPE_STEP = select.PIPE_BUF if hasattr(select, "PIPE_BUF") else 512


def _probe_nowait() -> int:
    """RWF_NOWAIT if pipes know it, else 0."""
    flag: int = getattr(os, "RWF_NOWAIT", 0)
    if not flag:
        return 0
    reading, writing = os.pipe()
    try:
        pwritev(writing, [b"x"], HERE, flag)
        preadv(reading, [bytearray(1)], HERE, flag)
    except OSError:
        return 0
    finally:
        plain_close(reading)
        plain_close(writing)
    return flag


NOWAIT = _probe_nowait()


def ready_now(fd: int) -> int:
    """The events of `poll` for `fd` at this moment; 0 if it can neither be read nor written.

    Never waits. The reading end of a pipe never reports POLLOUT and the
    writing end never POLLIN; a regular file always reports both.
    """
    if not 0 <= fd < 0x80000000:
        return POLLIN | POLLOUT  # the call says what is wrong with it
    if _new_poll is None:
        readable, writable, _ = _select([fd], [fd], [], 0)
        return (POLLIN if readable else 0) | (POLLOUT if writable else 0)
    poll = _new_poll()
    poll.register(fd, BOTH)
    events: list[tuple[int, int]] = poll.poll(0)
    return events[0][1] if events else 0


def would_wait(fd: int, wrong: int) -> bool:
    """Whether a call on `fd` that finds nothing to do is to wait for the hub.

    Not if the descriptor has the access mode `wrong` for it, nor in an OS
    thread without a hub. Not if it is non-blocking, unless that is only our
    doing: the descriptor of a socket whose logical time-out is None (rule 8.4).
    """
    flags = fcntl(fd, F_GETFL)
    if flags & O_ACCMODE == wrong:
        return False
    if not flags & O_NONBLOCK:
        return isinstance(current_waiter(), Task)
    if S_ISSOCK(fstat(fd).st_mode):
        for channel in list(channels.values()):
            sock: Any = channel()
            if sock is not None and channel.timeout is None and c_socket.fileno(sock) == fd:
                return True
    return False


def wait_for(fd: int, mask: int) -> bool:
    """Wait until `fd` is ready for `mask`; False if the call is to be made at once instead.

    That is so on a non-blocking descriptor, where the call is an error, and in
    an OS thread without a hub, where the call itself may wait. **Blocks**.
    Raises OSError(EBADF) if the descriptor is closed meanwhile.
    """
    if not would_wait(fd, O_WRONLY if mask == READ else O_RDONLY):
        return False
    wait_fd(fd, mask, None)
    return True


def _when_readable(fd: int, call: Callable[..., Any], *args: Any) -> Any:
    """`call(fd, *args)` as soon as there is something to read."""
    while not ready_now(fd) & ~POLLOUT:
        if not wait_for(fd, READ):
            break
    return call(fd, *args)


# Reading


def read(fd: int, length: int, /) -> bytes:
    """Read up to `length` bytes; b"" at the end. **Blocks** while nothing is there.

    Raises what the original raises, BlockingIOError on a non-blocking
    descriptor, and OSError(EBADF) if the descriptor is closed by this process
    meanwhile. A time-out or kill that ends the wait loses nothing: what arrives
    is left for the next reader. **Source**: `os.read`.
    """
    if fd.__class__ is not int:
        fd = index(fd)
    while True:
        state = ready_now(fd)
        if state & ~POLLOUT:
            if state & POLLOUT or not NOWAIT or length.__class__ is not int or length <= 0:
                return plain_read(fd, length)
            buffer = bytearray(length)
            count = _read_nowait(fd, (buffer,))
            if count is None:
                return plain_read(fd, length)
            if count >= 0:
                return bytes(buffer) if count == length else bytes(memoryview(buffer)[:count])
        if not (length and wait_for(fd, READ)):
            return plain_read(fd, length)


def _read_nowait(fd: int, buffers: Sequence[Buffer]) -> int | None:
    """Bytes read; -1 if they were taken by another; None if the device cannot be read so."""
    try:
        count: int = preadv(fd, buffers, HERE, NOWAIT)
    except BlockingIOError:
        return -1
    except OSError:
        return None  # the plain call says what is wrong, if anything is
    return count


def readv(fd: int, buffers: Sequence[Buffer], /) -> int:
    """Read into `buffers`, one after another, and return the number of bytes; see `read`."""
    if fd.__class__ is not int:
        fd = index(fd)
    while True:
        state = ready_now(fd)
        if state & ~POLLOUT:
            taken = False
            if NOWAIT and not state & POLLOUT:
                count = _read_nowait(fd, buffers)
                if count is not None and count >= 0:
                    return count
                taken = count is not None
            if not taken:
                break
        if not wait_for(fd, READ):
            break
    number: int = plain_readv(fd, buffers)
    return number


# Writing


def write(fd: int, data: Buffer, /) -> int:
    """Write all of `data` and return the number of bytes. **Blocks** while it does not fit.

    On a non-blocking descriptor it writes what fits, or raises
    BlockingIOError. Raises what the original raises, BrokenPipeError among it,
    and OSError(EBADF) if the descriptor is closed by this process meanwhile.
    After a time-out, a kill or an error it is unknown how much went out, if
    `data` is longer than `select.PIPE_BUF`. **Source**: `os.write`.
    """
    if fd.__class__ is not int:
        fd = index(fd)
    count = 0
    if data.__class__ is bytes:
        size = len(data)
        state = ready_now(fd)
        if state == POLLOUT and NOWAIT:
            # The writing end of a pipe, as a rule.
            try:
                count = pwritev(fd, (data,), HERE, NOWAIT)
            except OSError:
                pass  # no room after all, or not with this flag, or an error to be met again
            if count == size:
                return count
        elif state == BOTH and size <= TERMINAL_STEP:
            return plain_write(fd, data)
    return _write_slowly(fd, data, count)


def _write_slowly(fd: int, data: Buffer, done: int) -> int:
    """`write` of what may have to wait, from `done` on."""
    step = step_of(fd)
    if not (step or done):
        return plain_write(fd, data)
    with memoryview(data) as view, view.cast("B") as octets:
        if not step:
            return done + plain_write(fd, octets[done:]) if get_blocking(fd) else done
        while done < len(octets):
            count = 0
            if ready_now(fd) & ~POLLIN:
                count = _write_piece(fd, octets[done:], step)
            if count:
                done += count
            elif not wait_for(fd, WRITE):
                return done or plain_write(fd, octets)
        return done


def write_some(fd: int, data: Buffer) -> int:
    """Write what fits of `data` and return the number of bytes. **Blocks** while nothing fits.

    For a caller that keeps account of what went out, even if a time-out ends
    the next wait. Raises BlockingIOError on a non-blocking descriptor.
    """
    while True:
        step = step_of(fd)
        if not step:
            return plain_write(fd, data)
        with memoryview(data) as view, view.cast("B") as octets:
            if not octets:
                return 0
            if ready_now(fd) & ~POLLIN:
                count = _write_piece(fd, octets, step)
                if count:
                    return count
        wait_for(fd, WRITE)


def step_of(fd: int) -> int:
    """How many bytes can be written to `fd` when there is room; 0: the call is made directly."""
    try:
        mode = fstat(fd).st_mode
    except OSError:
        return 0  # the call itself says so
    if S_ISREG(mode) or S_ISDIR(mode) or S_ISBLK(mode):
        return 0
    if not would_wait(fd, O_RDONLY):
        return 0
    if S_ISCHR(mode):
        return TERMINAL_STEP if isatty(fd) else 0
    if S_ISFIFO(mode):
        return PIPE_STEP
    return ANY_STEP if S_ISSOCK(mode) else 0


def _write_piece(fd: int, octets: memoryview, step: int) -> int:
    """Write some; 0 if somebody else took the room."""
    try:
        if NOWAIT and step != TERMINAL_STEP:
            try:
                count: int = pwritev(fd, (octets,), HERE, NOWAIT)
            except OSError as error:
                if error.errno != EOPNOTSUPP:
                    raise
            else:
                return count
        return _send_now(fd, octets) if step == ANY_STEP else plain_write(fd, octets[:step])
    except BlockingIOError:
        return 0


def _send_now(fd: int, octets: memoryview) -> int:
    """Write to a socket without waiting, where RWF_NOWAIT is missing."""
    if getdefaulttimeout() is not None:
        return plain_write(fd, octets)  # a socket object made of it would set O_NONBLOCK
    sock = c_socket(fileno=fd)
    try:
        return sock.send(octets, MSG_DONTWAIT)
    finally:
        sock.detach()


def writev(fd: int, buffers: Sequence[Buffer], /) -> int:
    """Write all that `buffers` hold and return the number of bytes; see `write`."""
    if fd.__class__ is not int:
        fd = index(fd)
    done = 0
    if NOWAIT and ready_now(fd) == POLLOUT:
        try:
            done = pwritev(fd, buffers, HERE, NOWAIT)
        except OSError:
            done = 0
        if done == sum(memoryview(each).nbytes for each in buffers):
            return done
    if not (done or step_of(fd)):
        number: int = plain_writev(fd, buffers)
        return number
    return _write_slowly(fd, b"".join(buffers), done)


# Event counters


def eventfd_read(fd: int) -> int:
    """Take the counter's value. **Blocks** while it is 0. **Source**: `os.eventfd_read`."""
    value: int = _when_readable(fd, plain_eventfd_read)
    return value


def eventfd_write(fd: int, value: int) -> None:
    """Add to the counter. **Blocks** while it is full. **Source**: `os.eventfd_write`."""
    while not ready_now(fd) & ~POLLIN and wait_for(fd, WRITE):
        pass
    plain_eventfd_write(fd, value)


# The end of a descriptor


def _make_close() -> Callable[[int], None]:
    """`close`, made of what finalisers still find when modules have lost their names."""
    announce, plain, ending = close_fd, plain_close, sys.is_finalizing

    def close(fd: int) -> None:
        """Close it; whoever waits for it in a green thread gets OSError(EBADF). Never switches."""
        if fd.__class__ is int and not ending():
            announce(fd)
        plain(fd)

    return close


close = _make_close()


def closerange(fd_low: int, fd_high: int, /) -> None:
    """Close every descriptor from `fd_low` up to, but without, `fd_high`; see `close`."""
    for hub in all_hubs():
        for fd in list(hub.ios):
            if fd_low <= fd < fd_high:
                close_fd(fd)
    plain_closerange(fd_low, fd_high)


def dup2(fd: int, fd2: int, inheritable: bool = True) -> int:
    """Make `fd2` another number of `fd`; whoever waits for what `fd2` was gets OSError(EBADF)."""
    if fd != fd2 and fd2.__class__ is int:
        fstat(fd)  # an error leaves `fd2` as it is
        close_fd(fd2)
    return plain_dup2(fd, fd2, inheritable)
