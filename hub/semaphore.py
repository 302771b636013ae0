"""Semaphores: a number of permits, taken and released by anybody.

Permits that were never used are not in the list of permits but in a counting
iterator, so `Semaphore(10**9)` costs nothing.
"""

from __future__ import annotations

from itertools import repeat
from operator import length_hint

from greenworld.hub.contention import Contended
from greenworld.hub.typed import Literal

__all__ = ["BoundedSemaphore", "Semaphore"]

LISTED = 16


class Semaphore(Contended):
    """`value` permits, handed to waiters first come, first served.

    **Source**: `threading.Semaphore`, with eventlet's `balance`, `bounded`
    and `locked`. Right between green threads and native threads in any mix.
    """

    __slots__ = ("_unused",)

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError(f"a semaphore cannot start with {value} permits: it must be 0 or more")
        listed = min(value, LISTED)
        super().__init__([None] * listed)
        self._unused = repeat(None, value - listed)

    # acquire and __enter__, release and __exit__ each spell out their few steps: one calling the
    # other would cost a quarter of an uncontended turn.

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit, waiting up to `timeout` seconds (None: for ever); whether it got one.

        **Blocks** only if none is free and `blocking` is true. ValueError for a
        time-out where `blocking` is false.
        """
        if timeout is not None and not blocking:
            raise ValueError("can't specify a timeout for a non-blocking acquire")
        if self._permits:
            try:
                self._permits.pop()
            except IndexError:
                pass  # another OS thread was faster
            else:
                return True
        return self._wait_turn(timeout) if blocking else self._take()

    def __enter__(self) -> bool:
        if self._permits:
            try:
                self._permits.pop()
            except IndexError:
                pass  # another OS thread was faster
            else:
                return True
        return self._wait_turn(None)

    def release(self, n: int = 1) -> None:
        """Put back `n` permits and wake as many waiters. Callable from any OS thread."""
        if n == 1:
            self._permits.append(None)
            if self._waiters:
                self._wake_first()
            return
        if n < 1:
            raise ValueError(f"cannot release {n} permits: it must be 1 or more")
        for _ in range(n):
            self._free()

    def __exit__(self, kind: object, error: object, traceback: object, /) -> None:
        self._permits.append(None)
        if self._waiters:
            self._wake_first()

    def _take(self) -> bool:
        if self._permits:
            try:
                self._permits.pop()
            except IndexError:
                pass  # another OS thread was faster
            else:
                return True
        for _ in self._unused:
            return True
        return False

    @property
    def counter(self) -> int:
        """How many permits are free."""
        return len(self._permits) + length_hint(self._unused)

    @property
    def balance(self) -> int:
        """Free permits, less the number of waiters. **Source**: eventlet."""
        return self.counter - len(self._waiters)

    def locked(self) -> bool:
        """Whether `acquire` would have to wait."""
        return self.counter == 0

    def bounded(self) -> bool:
        """Whether releasing too often is an error."""
        return False

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it."""
        return f"a permit of {self!r}"

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} at {id(self):#x}: {self.counter} free, {len(self._waiters)} waiting>"


class BoundedSemaphore(Semaphore):
    """A semaphore that refuses more releases than acquires. **Source**: `threading`."""

    __slots__ = ("_limit",)

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._limit = value

    def release(self, n: int = 1) -> None:
        """As `Semaphore.release`; ValueError if there would be more permits than at the start."""
        if self.counter + n > self._limit:
            raise ValueError(f"semaphore released too often: it started with {self._limit}")
        super().release(n)

    def __exit__(self, kind: object, error: object, traceback: object, /) -> Literal[None]:
        self.release()

    def bounded(self) -> bool:
        """Whether releasing too often is an error."""
        return True
