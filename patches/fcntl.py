"""`fcntl.flock` and `fcntl.lockf` that wait in the green thread only; patched when asked for.

The kernel tells nobody when a lock becomes free: it is tried again and again
without waiting, with growing pauses. Who waits longest is therefore not
served first, and the kernel does not see a deadlock of record locks (EDEADLK)
that green threads run into.
"""

from __future__ import annotations

import fcntl as _stdlib
from errno import EACCES as _EACCES
from errno import EAGAIN as _EAGAIN
from fcntl import *  # noqa: F403 - the counterpart offers what the original offers
from typing import TYPE_CHECKING
from typing import Any as _Any

from greenworld.hub.current import current_waiter as _current_waiter
from greenworld.hub.spawning import sleep as _sleep
from greenworld.hub.task import Task as _Task

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [name for name in vars(_stdlib) if not name.startswith("_")]

_plain_fcntl = _stdlib.fcntl
_plain_flock = _stdlib.flock
_plain_lockf = _stdlib.lockf

_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.015
"""Seconds between attempts."""
_TRIES = {
    getattr(_stdlib, f"{name}W{size}"): getattr(_stdlib, f"{name}{size}")
    for name, size in (("F_SETLK", ""), ("F_SETLK", "64"), ("F_OFD_SETLK", ""))
    if hasattr(_stdlib, f"{name}W{size}")
}
"""By the command that waits, the one that does not."""


def _retry(call: Callable[..., _Any], *args: _Any) -> _Any:
    """`call(*args)` as soon as it does not find the lock taken."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return call(*args)
        except OSError as error:
            if error.errno not in (_EAGAIN, _EACCES):
                raise
        _sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _waits(operation: _Any) -> bool:
    """Whether an operation is one that waits, and a green thread asks for it."""
    return (
        isinstance(operation, int)
        and not operation & (_stdlib.LOCK_NB | _stdlib.LOCK_UN)
        and isinstance(_current_waiter(), _Task)
    )


def flock(fd: _Any, operation: int, /) -> None:  # type: ignore[no-redef]
    """Lock or unlock an open file. **Blocks** while another open file has it locked.

    **Source**: `fcntl.flock`.
    """
    if not _waits(operation):
        _plain_flock(fd, operation)
        return
    _retry(_plain_flock, fd, operation | _stdlib.LOCK_NB)


def lockf(  # type: ignore[no-redef]
    fd: _Any, cmd: int, len: int = 0, start: int = 0, whence: int = 0, /
) -> None:
    """Lock or unlock a part of a file for this process. **Blocks** while another has it locked.

    **Source**: `fcntl.lockf`.
    """
    if not _waits(cmd):
        _plain_lockf(fd, cmd, len, start, whence)
        return
    _retry(_plain_lockf, fd, cmd | _stdlib.LOCK_NB, len, start, whence)


def fcntl(fd: _Any, cmd: int, arg: _Any = 0, /) -> _Any:  # type: ignore[no-redef]
    """Ask the system for an operation on an open file; F_SETLKW **blocks**, as `lockf` does.

    **Source**: `fcntl.fcntl`.
    """
    if cmd in _TRIES and isinstance(_current_waiter(), _Task):
        return _retry(_plain_fcntl, fd, _TRIES[cmd], arg)
    return _plain_fcntl(fd, cmd, arg)
