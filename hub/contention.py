"""Waiting one's turn: the slow path that locks and semaphores share.

Owns the permits of one lock or semaphore, the queue of its waiters and who
gets what was freed (rule 6.2). Permits are the elements of a list: taking one
is `list.pop`, a single atomic step in any number of OS threads, giving it back
is `list.append`.

1. Freed on the waiter's own hub, it is handed over: first come, first served.
2. Freed on another OS thread, it is only announced. Whoever runs next may
   take it, so a lock shared by OS threads never idles until the first waiter
   gets the GIL; but after `OVERTAKEN_LIMIT` vain wake-ups it is handed over.
"""

from __future__ import annotations

from collections import deque
from time import monotonic

from greenworld.hub.current import current_waiter
from greenworld.hub.flow import current_greenlet
from greenworld.hub.typed import Any
from greenworld.hub.waiter import withdrawn

__all__ = ["Contended"]

OVERTAKEN_LIMIT = 4

NO_HUB: Any = object()

TURN: Any = object()
"""What a waiter is given when what it waits for is already taken on its behalf."""


class Contended:
    """Base of what can be taken and freed. A subclass says what the permits are."""

    __slots__ = ("__weakref__", "_overtaken", "_permits", "_waiters")

    def __init__(self, permits: list[None]) -> None:
        # As large as it gets: a list that grew would give memory back and take it at each turn.
        self._permits = permits
        self._waiters: deque[Any] = deque()
        self._overtaken = 0

    def _take(self) -> bool:
        """Take a permit if there is one. One atomic step; never switches."""
        # Asked first, caught second: a waiter finds nothing twice, and exceptions are dear.
        if self._permits:
            try:
                self._permits.pop()
            except IndexError:
                pass  # another OS thread was faster
            else:
                return True
        return False

    def _free(self) -> None:
        """Undo one `_take` and wake the first waiter."""
        self._permits.append(None)
        if self._waiters:
            self._wake_first()

    def _wait_turn(self, timeout: float | None) -> bool:
        """Take it, waiting up to `timeout` seconds; False if that was not enough."""
        if timeout is not None and timeout <= 0:
            return self._take()
        try:
            waiter = current_greenlet().task
        except AttributeError:
            waiter = current_waiter()
        waiter.given = None
        lot = self._waiters
        deadline = None if timeout is None else monotonic() + timeout
        lot.append(waiter)
        while True:
            if self._take():  # freed since the caller looked (rule 3.4)
                if not withdrawn(lot, waiter):
                    self._absorb(waiter)
                return True
            try:
                if not waiter.park(self, lot, timeout):
                    return False
            except BaseException:
                self._turn_lost(waiter)
                raise
            if waiter.given is TURN or self._take():
                waiter.given = None
                self._overtaken = 0
                return True
            self._overtaken += 1
            if deadline is not None:
                timeout = deadline - monotonic()
            lot.appendleft(waiter)

    def _absorb(self, waiter: Any) -> None:
        """Taken without help, while a waker was busy waking us: consume that wake-up."""
        try:
            waiter.park(self, self._waiters)
        except BaseException:
            self._turn_lost(waiter)
            self._free()
            raise
        self._turn_lost(waiter)

    def _turn_lost(self, waiter: Any) -> None:
        """A woken waiter does not want it any more: it is the next one's."""
        if waiter.given is TURN:
            waiter.given = None
            self._free()
        elif self._waiters and self._take():
            self._free()

    def _wake_first(self) -> None:
        """After freeing, when somebody waits."""
        try:
            waiter = self._waiters.popleft()
        except IndexError:
            return
        try:
            hub = current_greenlet().task.hub
        except AttributeError:
            hub = NO_HUB
        if waiter.hub is hub or self._overtaken >= OVERTAKEN_LIMIT:
            try:
                self._permits.pop()
            except IndexError:
                pass  # taken by another OS thread: announced only
            else:
                self._overtaken = 0
                waiter.given = TURN
        waiter.wake()
