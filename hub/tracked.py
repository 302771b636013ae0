"""Counting the items of a queue that are not worked off yet, and waiting until none is left."""

from __future__ import annotations

from itertools import repeat
from operator import length_hint
from sys import maxsize as largest

from greenworld.hub.current import current_waiter
from greenworld.hub.typed import Any
from greenworld.hub.waiter import wake_all, withdrawn

__all__ = ["Tracked"]


class Tracked:
    """Base of the queues. Whoever puts an item advances `_puts` before anybody can see the item."""

    __slots__ = ("_done", "_joiners", "_puts")

    def __init__(self) -> None:
        # Counters that OS threads may advance at once: `next` on them is atomic.
        self._puts = repeat(None, largest)
        self._done = repeat(None, largest)
        self._joiners: list[Any] = []

    @property
    def unfinished_tasks(self) -> int:
        """Items put, less the calls of `task_done`."""
        return length_hint(self._done) - length_hint(self._puts)

    def task_done(self) -> None:
        """Say that an item that was got has been worked off. ValueError if called too often."""
        if self.unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        next(self._done)
        self._wake_joiners()

    def _wake_joiners(self) -> None:
        if self.unfinished_tasks <= 0:
            wake_all(self._joiners)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every item put has been worked off; False after `timeout` seconds.

        **Blocks** unless that is so already.
        """
        if self.unfinished_tasks <= 0:
            return True
        waiter = current_waiter()
        joiners = self._joiners
        joiners.append(waiter)
        if self.unfinished_tasks <= 0 and withdrawn(joiners, waiter):
            return True
        return waiter.park(self, joiners, timeout)
