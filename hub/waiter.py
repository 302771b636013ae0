"""Native waiters: how an OS thread without a hub waits on the same primitives.

Owns the wait of a plain OS thread on a real lock, and the books about pool
threads that the deadlock detector reads. Knows nothing of hubs.

The waiter contract (docs/design.md, section 3), shared with green threads:

1. A waiter enters one lot, looks once more for news, then parks.
2. Whoever removes it from the lot wakes it, once, from any OS thread.
3. A time-out removes it itself; finding itself gone, it takes the wake-up.
"""

from __future__ import annotations

from _thread import TIMEOUT_MAX, allocate_lock, get_ident
from weakref import WeakSet

from greenworld.hub.typed import Any, Protocol

__all__ = [
    "Lot",
    "NativeWaiter",
    "Waiter",
    "Wakeable",
    "native_waiters",
    "pool_calls",
    "pool_threads",
    "wake_all",
    "wake_first",
    "withdrawn",
]

pool_threads: set[int] = set()
"""Idents of the native pool's threads: without a call they can never wake anybody."""

pool_calls: set[object] = set()
"""Calls given to the native pool whose outcome nobody has received yet."""


class Lot(Protocol):
    """A container that waiters wait in; `remove` is atomic and raises ValueError when absent."""

    def remove(self, waiter: Any, /) -> None:
        """Take the waiter out; ValueError if it is not in."""


class Wakeable(Protocol):
    """Whoever can be told that its wait is over; it need not be a thread."""

    def wake(self) -> None:
        """Let it go on. For whoever took it out of its lot; from any OS thread."""


class Waiter(Wakeable, Protocol):
    """What a primitive may do with whoever waits for it."""

    def park(self, what: object, lot: Lot, timeout: float | None = None) -> bool:
        """Wait in `lot` until woken (True) or for `timeout` seconds (False)."""


class NativeWaiter:
    """The waiter of one OS thread that has no hub."""

    __slots__ = ("__weakref__", "_gate", "given", "ident", "lot")

    hub = None
    """It has none: a lock freed on a hub is announced to it, not handed over (rule 6.2)."""

    def __init__(self) -> None:
        self._gate = allocate_lock()
        self._gate.acquire()
        self.ident = get_ident()
        self.given: Any = None
        self.lot: Lot | None = None
        native_waiters.add(self)

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"native thread {self.ident}"

    def wake(self) -> None:
        """Let the parked thread go on. Callable from any OS thread."""
        self._gate.release()

    def park(self, what: object, lot: Lot, timeout: float | None = None) -> bool:
        """Block this OS thread until woken (True) or for `timeout` seconds (False)."""
        self.lot = lot
        try:
            if timeout is None:
                return self._gate.acquire()
            if timeout > 0 and self._gate.acquire(True, min(timeout, TIMEOUT_MAX)):
                return True
        except BaseException:
            self._withdraw(lot)
            raise
        finally:
            self.lot = None
        return not self._withdraw(lot)

    def _withdraw(self, lot: Lot) -> bool:
        """Leave the lot; if a waker was faster, take its wake-up and return False."""
        try:
            lot.remove(self)
        except ValueError:
            self._gate.acquire()
            return False
        return True


native_waiters: WeakSet[NativeWaiter] = WeakSet()
"""One for each OS thread that has waited without a hub: a fork leaves all but one behind."""


def withdrawn(lot: Lot, waiter: object) -> bool:
    """Take `waiter` out of `lot`; False if a waker has done so (rule 3.3)."""
    try:
        lot.remove(waiter)
    except ValueError:
        return False
    return True


def wake_first(lot: list[Any]) -> bool:
    """Wake the first in `lot`; False if there is none."""
    try:
        waiter = lot.pop(0)
    except IndexError:
        return False
    waiter.wake()
    return True


def wake_all(lot: list[Any]) -> None:
    """Wake whoever is in `lot`, in order. Others may be taking waiters out of it meanwhile."""
    while lot and wake_first(lot):
        pass
