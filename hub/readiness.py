"""Waiting for readiness of any descriptor, in any OS thread.

Owns the public `wait_readable`/`wait_writable`, the native way to wait where
no hub runs, and the announcement of a close to every hub.
"""

from __future__ import annotations

import select
from os import fstat

from greenworld.hub.current import all_hubs, current_waiter
from greenworld.hub.poller import READ, WRITE
from greenworld.hub.task import Task

__all__ = ["close_fd", "wait_fd", "wait_readable", "wait_writable"]

# Bound here: the module's attributes may be patched later (rule 1.3).
_poll = getattr(select, "poll", None)
_select = select.select


def wait_fd(fd: int, mask: int, timeout: float | None, what: object = None) -> bool:
    """Wait until `fd` is ready; False after `timeout` seconds. Works in every OS thread.

    **Blocks** unless `timeout` is 0 or less.
    """
    if timeout is not None and timeout <= 0:
        return _wait_natively(fd, mask, 0)
    waiter = current_waiter()
    if isinstance(waiter, Task):
        return waiter.hub.io(fd).wait_ready(mask, timeout, what)
    return _wait_natively(fd, mask, timeout)


def _wait_natively(fd: int, mask: int, timeout: float | None) -> bool:
    """In an OS thread without a hub."""
    if _poll is None:
        return any(_select([fd] if mask & READ else [], [fd] if mask & WRITE else [], [], timeout))
    poll = _poll()
    poll.register(fd, mask)
    return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


def wait_readable(fd: int, timeout: float | None = None) -> None:
    """Wait until reading from `fd` would not block, or `timeout` seconds.

    Works for anything the platform can poll; a regular file is always ready.
    **Blocks.** Raises TimeoutError, and OSError(EBADF) if `fd` is not open.
    """
    _check_open(fd)
    if not wait_fd(fd, READ, timeout):
        raise TimeoutError(f"descriptor {fd} did not become readable in {timeout} seconds")


def wait_writable(fd: int, timeout: float | None = None) -> None:
    """Wait until writing to `fd` would not block, or `timeout` seconds; see `wait_readable`."""
    _check_open(fd)
    if not wait_fd(fd, WRITE, timeout):
        raise TimeoutError(f"descriptor {fd} did not become writable in {timeout} seconds")


def _check_open(fd: int) -> None:
    if fd < 0:
        raise ValueError(f"a descriptor is a non-negative number, not {fd}")
    fstat(fd)


def close_fd(fd: int) -> None:
    """Tell every hub that `fd` is about to be closed: waiters get OSError(EBADF).

    Callable from any OS thread; never switches.
    """
    for hub in all_hubs():
        io = hub.ios.get(fd)
        if io is not None:
            io.close()
