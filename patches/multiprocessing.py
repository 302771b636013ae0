"""Semaphores between processes that block one green thread and not the process.

Owns `SemLock`, the one C type of `multiprocessing` that waits: locks,
conditions, events, barriers, queues and pools are written in Python on it and
on pipes, which `os` and `select` make cooperative.

1. A thread that owns a semaphore is a green thread or a native one, where the
   C type knows OS threads only. Count and owner are therefore kept here, and
   the C object inside is always of the kind that has none.
2. A release in this process wakes the first who waits for it here. That of
   another process is found by asking, at intervals that grow to
   `LONGEST_DELAY`.
3. Where nobody else could run in the meantime, as in a pool's idle worker,
   the wait is the C type's own, for `NATIVE_SLICE` seconds at a time.
"""

from __future__ import annotations

import gc
import sys
from _multiprocessing import SemLock as CSemLock  # type: ignore[import-not-found]
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenworld.hub.current import current_waiter
from greenworld.hub.task import MainTask, Task
from greenworld.patches.thread import get_ident

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SemLock", "settle"]

RECURSIVE = 0
"""The kind of a lock whose owner may take it again; `multiprocessing.synchronize` defines it."""

SEMAPHORE = 1

SHORTEST_DELAY = 0.0005
LONGEST_DELAY = 0.01
NATIVE_SLICE = 0.05


class SemLock:
    """**Source**: `_multiprocessing.SemLock`."""

    SEM_VALUE_MAX: int = CSemLock.SEM_VALUE_MAX

    __slots__ = ("__weakref__", "_count_taken", "_inner", "_owner", "_waiters", "kind")

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        if kind not in (RECURSIVE, SEMAPHORE):
            raise ValueError("unrecognized kind")
        self._begin(kind, CSemLock(SEMAPHORE, value, maxvalue, name, unlink))

    def _begin(self, kind: int, inner: Any) -> None:
        self.kind = kind
        self._inner = inner
        self._forget()

    def _forget(self) -> None:
        self._count_taken = 0
        self._owner = 0
        self._waiters: deque[Any] = deque()

    @classmethod
    def _rebuild(cls, handle: int, kind: int, maxvalue: int, name: str | None, /) -> SemLock:
        """The semaphore of another process, in this one."""
        self = cls.__new__(cls)
        self._begin(kind, CSemLock._rebuild(handle, SEMAPHORE, maxvalue, name))
        return self

    @classmethod
    def around(cls, plain: Any) -> SemLock:
        """Take over a semaphore of the C type, with the state of its owner."""
        self = cls.__new__(cls)
        inner = plain
        if plain.kind == RECURSIVE:
            # Two objects for one semaphore: neither may close it under the other.
            inner = CSemLock._rebuild(plain.handle, SEMAPHORE, plain.maxvalue, None)
            _kept.append((plain, inner))
        self._begin(plain.kind, inner)
        self._count_taken = plain._count()
        self._owner = get_ident()
        return self

    @property
    def handle(self) -> Any:
        """The platform's number of it."""
        return self._inner.handle

    @property
    def name(self) -> Any:
        """The name by which other processes open it; None if they do not."""
        return self._inner.name

    @property
    def maxvalue(self) -> Any:
        """The highest value that a release may reach."""
        return self._inner.maxvalue

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it, waiting up to `timeout` seconds; whether it did. **Blocks** if `block`."""
        me = get_ident()
        if self.kind == RECURSIVE and self._count_taken and self._owner == me:
            self._count_taken += 1
            return True
        if not self._inner.acquire(False) and not (block and self._wait(timeout)):
            return False
        self._count_taken += 1
        self._owner = me
        return True

    def __enter__(self) -> bool:
        return self.acquire()

    def release(self) -> None:
        """Give it up. AssertionError if it is a recursive lock that the caller does not own.

        ValueError if it would exceed its maximum. Never blocks.
        """
        if self.kind == RECURSIVE:
            if not self._is_mine():
                raise AssertionError("attempt to release recursive lock not owned by thread")
            if self._count_taken > 1:
                self._count_taken -= 1
                return
        self._count_taken -= 1
        try:
            self._inner.release()
        except ValueError:
            self._count_taken += 1
            raise
        if self._waiters:
            self._wake_first()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _wake_first(self) -> None:
        try:
            waiter = self._waiters.popleft()
        except IndexError:
            return
        waiter.wake()

    def _wait(self, timeout: float | None) -> bool:
        """Take it within `timeout` seconds; False if that was not enough."""
        deadline = None if timeout is None else monotonic() + max(0.0, timeout)
        delay = SHORTEST_DELAY
        while True:
            rest = None if deadline is None else deadline - monotonic()
            if rest is not None and rest <= 0:
                return False
            waiter = current_waiter()
            if not isinstance(waiter, Task):
                return bool(self._inner.acquire(True, rest))
            if _is_alone(waiter):
                slice = NATIVE_SLICE if rest is None else min(NATIVE_SLICE, rest)
                if self._inner.acquire(True, slice):
                    return True
                continue
            self._park(waiter, delay if rest is None else min(delay, rest))
            delay = min(2 * delay, LONGEST_DELAY)
            if self._inner.acquire(False):
                return True

    def _park(self, waiter: Task, delay: float) -> None:
        self._waiters.append(waiter)
        try:
            waiter.park(self, self._waiters, delay)
        except BaseException:
            self._wake_first()  # it may be free, and we do not want it any more
            raise

    def _count(self) -> int:
        """How often threads of this process have taken it."""
        return self._count_taken

    def _is_mine(self) -> bool:
        """Whether the calling thread was the last to take it, and it is taken."""
        return self._count_taken > 0 and self._owner == get_ident()

    def _get_value(self) -> int:
        value: int = self._inner._get_value()
        return value

    def _is_zero(self) -> bool:
        zero: bool = self._inner._is_zero()
        return zero

    def _after_fork(self) -> None:
        """In a forked child: no thread of this process has taken it."""
        self._forget()
        self._inner._after_fork()

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it."""
        return f"semaphore {self.name} between processes"


def _is_alone(waiter: Task) -> bool:
    """Whether nobody could run while this task waits: it is main, and there is no other."""
    hub = waiter.hub
    if not isinstance(waiter, MainTask) or hub.ready or hub.guests or hub.timers.heap:
        return False
    if len(hub.carriers) > len(hub.idle):
        return False
    own = hub.wakeup.fd
    return not any(io.waited_for for fd, io in hub.ios.items() if fd != own)


_kept: list[tuple[Any, Any]] = []


def settle() -> Callable[[], None]:
    """Take over the semaphores that were made before the patch; returns the undo.

    One that another OS thread holds stays as it is: its owner is known to the
    C type only.
    """
    synchronize = sys.modules.get("multiprocessing.synchronize")
    if synchronize is not None:
        base: Any = vars(synchronize)["SemLock"]
        for found in gc.get_objects():
            if isinstance(found, base) and isinstance(getattr(found, "_semlock", None), CSemLock):
                _take_over(found)
    return _leave


def _take_over(lock: Any) -> None:
    plain = lock._semlock
    if plain.kind == RECURSIVE and plain._count() and not plain._is_mine():
        return
    lock._semlock = SemLock.around(plain)
    lock._make_methods()


def _leave() -> None:
    """The undo: what is cooperative stays so."""
