"""`os.sendfile` and `os.splice`: moving bytes between descriptors that may have to wait.

The rules of waiting are in `patches/descriptors.py`. `os.copy_file_range` moves
between regular files and stays as it is.
"""

from __future__ import annotations

import os
from operator import index
from sys import platform
from typing import Any

from greenworld.hub.current import current_waiter
from greenworld.hub.poller import READ, WRITE
from greenworld.hub.task import Task
from greenworld.patches.descriptors import (
    ANY_STEP,
    PIPE_STEP,
    POLLIN,
    POLLOUT,
    ready_now,
    step_of,
    wait_for,
)

__all__ = ["sendfile", "splice"]

plain_sendfile: Any = getattr(os, "sendfile", None)
plain_splice: Any = getattr(os, "splice", None)
NONBLOCK: int = getattr(os, "SPLICE_F_NONBLOCK", 2)


def _await_both(source: int, target: int) -> None:
    """Wait until one can be read and the other written, if they are to wait at all."""
    while True:
        if not ready_now(source) & ~POLLOUT and wait_for(source, READ):
            continue
        if not ready_now(target) & ~POLLIN and wait_for(target, WRITE):
            continue
        return


def sendfile(
    out_fd: int, in_fd: int, offset: int | None, count: int, *more: Any, **options: Any
) -> int:
    """Send `count` bytes of a file: how many went out. **Blocks** while they do not fit.

    Fewer at the end of the file, before an error, on a non-blocking descriptor
    and on a pipe, as natively. Reading the file may block the OS thread, as
    reading files does. **Source**: `os.sendfile`.
    """
    out_fd, in_fd = index(out_fd), index(in_fd)
    step = step_of(out_fd)
    if not step:
        number: int = plain_sendfile(out_fd, in_fd, offset, count, *more, **options)
        return number
    if platform != "linux":  # where no count, or a different one, has a meaning of its own
        _await_both(in_fd, out_fd)
        number = plain_sendfile(out_fd, in_fd, offset, count, *more, **options)
        return number
    done = 0
    try:
        while done < count:
            if done and step != ANY_STEP and not ready_now(out_fd) & ~POLLIN:
                break  # a pipe takes what fits, a socket takes all
            _await_both(in_fd, out_fd)
            place = None if offset is None else offset + done
            size = min(step if step > 0 else PIPE_STEP, count - done)
            sent: int = plain_sendfile(out_fd, in_fd, place, size, *more, **options)
            if not sent:
                break
            done += sent
    except OSError:
        if not done:
            raise
    return done


def splice(
    src: int,
    dst: int,
    count: int,
    offset_src: int | None = None,
    offset_dst: int | None = None,
    flags: int = 0,
) -> int:
    """Move up to `count` bytes from or to a pipe: how many. **Blocks** while none can be moved.

    **Source**: `os.splice`.
    """
    src, dst = index(src), index(dst)
    while not flags & NONBLOCK and isinstance(current_waiter(), Task):
        _await_both(src, dst)
        try:
            moved: int = plain_splice(src, dst, count, offset_src, offset_dst, flags | NONBLOCK)
        except BlockingIOError:
            if not (wait_for(src, READ) and wait_for(dst, WRITE)):
                raise  # one of them is non-blocking
        else:
            return moved
    number: int = plain_splice(src, dst, count, offset_src, offset_dst, flags)
    return number
