"""Waiting for child processes: the cooperative `wait`, `waitpid`, … and `system` of `os`.

Owns the ways to learn that a child has changed. Any child may be waited for,
whoever started it; no SIGCHLD handler is installed.

1. The system call itself, never blocking (`WNOHANG`), decides what happened
   and who gets it: a status is never taken for somebody else, and of two who
   wait for one child, one gets it and the other ECHILD.
2. The end of a child that is known by its pid is reported by a pidfd. Any
   other change (a stop, the end of one of several children), and every one
   where there is no pidfd, is asked for again and again, at intervals that
   grow to `LONGEST_DELAY`.
3. In an OS thread without a hub the system call blocks.
"""

from __future__ import annotations

import os
import sys
from _signal import SIG_IGN, SIGINT, SIGQUIT  # type: ignore[import-not-found]
from _signal import getsignal as plain_getsignal
from _signal import signal as plain_signal
from _thread import allocate_lock
from os import WNOHANG
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from greenworld.hub.current import current_waiter
from greenworld.hub.native import run
from greenworld.hub.poller import READ
from greenworld.hub.readiness import close_fd, wait_fd
from greenworld.hub.spawning import sleep
from greenworld.hub.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["system", "until", "wait", "wait3", "wait4", "waitid", "waitpid"]

T = TypeVar("T")

SHORTEST_DELAY = 0.0005
LONGEST_DELAY = 0.016

OTHER_CHANGES = getattr(os, "WUNTRACED", 0) | getattr(os, "WCONTINUED", 0)
"""What `waitpid` may report of a child that goes on living: no pidfd tells it."""

plain_close = os.close
plain_system = os.system
plain_wait = os.wait
plain_wait3 = os.wait3
plain_wait4 = os.wait4
plain_waitpid = os.waitpid
# Not on every platform.
plain_waitid: Any = getattr(os, "waitid", None)
plain_pidfd_open: Any = getattr(os, "pidfd_open", None)
plain_spawn: Any = getattr(os, "posix_spawn", None)
EXITED: int = getattr(os, "WEXITED", 0)
OTHER_EVENTS: int = getattr(os, "WSTOPPED", 0) | getattr(os, "WCONTINUED", 0)


class _Child:
    """What a report says of a wait for a child."""

    __slots__ = ("pid",)

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def describe_wait(self, lot: object) -> str:
        return f"the end of process {self.pid}"


def _blocks_only_itself() -> bool:
    """Whether the caller runs where others can run while it waits."""
    return isinstance(current_waiter(), Task)


def until(
    attempt: Callable[[], T | None], pid: int | None, timeout: float | None = None
) -> T | None:
    """What `attempt()` returns, as soon as that is not None; None after `timeout` seconds.

    `attempt` asks without blocking. It is called now, when the process `pid`
    ends, and every few milliseconds where that is not enough or `pid` is None.
    **Blocks** unless the first attempt succeeds.
    """
    result = attempt()
    if result is not None:
        return result
    deadline = None if timeout is None else monotonic() + timeout
    fd = -1 if pid is None else _open(pid)
    try:
        return _repeat(attempt, fd, None if pid is None else _Child(pid), deadline)
    finally:
        if fd >= 0:
            close_fd(fd)
            plain_close(fd)


def _open(pid: int) -> int:
    """A pidfd, or -1: the kernel has none, forbids it, or another thread has reaped the child."""
    if plain_pidfd_open is None:
        return -1
    try:
        fd: int = plain_pidfd_open(pid)
    except OSError:
        return -1
    return fd


def _repeat(
    attempt: Callable[[], T | None], fd: int, child: _Child | None, deadline: float | None
) -> T | None:
    delay = SHORTEST_DELAY
    while True:
        rest = None if deadline is None else deadline - monotonic()
        if rest is not None and rest <= 0:
            return None
        if fd >= 0:
            if wait_fd(fd, READ, rest, child):
                fd = -1  # should that not have been all, it says nothing more
        else:
            sleep(delay if rest is None else min(delay, rest))
            delay = min(2 * delay, LONGEST_DELAY)
        result = attempt()
        if result is not None:
            return result


def waitpid(pid: int, options: int, /) -> tuple[int, int]:
    """The pid and status of a child that has changed. **Blocks** unless `WNOHANG` is among them.

    ChildProcessError if there is no such child. **Source**: `os.waitpid`.
    """
    if options & WNOHANG or not _blocks_only_itself():
        return plain_waitpid(pid, options)

    def attempt() -> tuple[int, int] | None:
        found = plain_waitpid(pid, options | WNOHANG)
        return found if found[0] else None

    found = until(attempt, None if pid <= 0 or options & OTHER_CHANGES else pid)
    assert found is not None
    return found


def wait() -> tuple[int, int]:
    """The pid and status of any child that has ended. **Blocks**. **Source**: `os.wait`."""
    return waitpid(-1, 0) if _blocks_only_itself() else plain_wait()


def wait3(options: int) -> tuple[int, int, Any]:
    """`waitpid` of any child, and what resources it used. **Source**: `os.wait3`."""
    if options & WNOHANG or not _blocks_only_itself():
        return plain_wait3(options)

    def attempt() -> tuple[int, int, Any] | None:
        found = plain_wait3(options | WNOHANG)
        return found if found[0] else None

    found = until(attempt, None)
    assert found is not None
    return found


def wait4(pid: int, options: int) -> tuple[int, int, Any]:
    """`waitpid`, and what resources the child used. **Source**: `os.wait4`."""
    if options & WNOHANG or not _blocks_only_itself():
        return plain_wait4(pid, options)

    def attempt() -> tuple[int, int, Any] | None:
        found = plain_wait4(pid, options | WNOHANG)
        return found if found[0] else None

    found = until(attempt, None if pid <= 0 or options & OTHER_CHANGES else pid)
    assert found is not None
    return found


def waitid(idtype: int, ident: int, options: int, /) -> Any:
    """What happened to a child, as a `waitid_result`. **Blocks** unless `WNOHANG` is asked for.

    ChildProcessError if there is no such child. **Source**: `os.waitid`.
    """
    by_descriptor = idtype == getattr(os, "P_PIDFD", None)
    if (
        options & WNOHANG
        or not _blocks_only_itself()
        or (by_descriptor and not os.get_blocking(ident))
    ):
        return plain_waitid(idtype, ident, options)

    def attempt() -> Any:
        return plain_waitid(idtype, ident, options | WNOHANG)

    if by_descriptor and not options & OTHER_EVENTS:
        result = attempt()
        return result or _repeat(attempt, ident, None, None)
    known = idtype == os.P_PID and options & EXITED and not options & OTHER_EVENTS
    return until(attempt, ident if known else None)


class _Undisturbed:
    """While a shell command runs, SIGINT and SIGQUIT concern that command, not this process.

    Signal handlers belong to the process, so commands that overlap share one
    exchange of them. Outside the main OS thread, which alone may set them,
    they stay.
    """

    def __init__(self) -> None:
        self._count = 0
        self._lock = allocate_lock()
        self._saved: dict[int, Any] = {}

    def __enter__(self) -> list[int]:
        """Returns the signals whose default the command should get back."""
        with self._lock:
            self._count += 1
            if self._count == 1:
                self._ignore()
            return [number for number, handler in self._saved.items() if handler != SIG_IGN]

    def _ignore(self) -> None:
        for number in (SIGINT, SIGQUIT):
            handler = plain_getsignal(number)
            if handler is None:
                continue  # installed by C code: it could not be put back
            try:
                plain_signal(number, SIG_IGN)
            except ValueError:
                return  # not the main OS thread
            self._saved[number] = handler

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                saved, self._saved = self._saved, {}
                for number, handler in saved.items():
                    try:
                        plain_signal(number, handler)
                    except ValueError:
                        self._saved[number] = handler


_undisturbed = _Undisturbed()
_left: list[int] = []
"""Shells for which nobody waits any more: reaped by the next command."""

NOT_STARTED = 127 << 8
"""The status of a shell that could not be started."""


def system(command: Any) -> int:
    """Run `command` in a shell and return its wait status. **Blocks** until it has ended.

    As the C function does, the process ignores SIGINT and SIGQUIT meanwhile.
    **Source**: `os.system`.
    """
    if not _blocks_only_itself():
        return plain_system(command)
    if plain_spawn is None:
        return run(plain_system, command)
    line = os.fsencode(command)
    if b"\0" in line:
        raise ValueError("embedded null byte")
    sys.audit("os.system", command)
    _reap_left()
    with _undisturbed as defaults:
        try:
            pid = plain_spawn("/bin/sh", ["sh", "-c", line], os.environ, setsigdef=defaults)
        except OSError:
            return NOT_STARTED
        try:
            return waitpid(pid, 0)[1]
        except ChildProcessError:
            return -1  # the program ignores SIGCHLD, or reaps what is not its own
        except BaseException:
            _left.append(pid)
            raise


def _reap_left() -> None:
    for pid in list(_left):
        try:
            if not plain_waitpid(pid, WNOHANG)[0]:
                continue
        except ChildProcessError:
            pass
        _left.remove(pid)
