"""Records of descriptors: who waits for readiness of which descriptor in one hub.

Owns the waiting, the remembered edges, and what happens at close.

1. `readable`/`writable` say whether the system call is worth trying. The
   caller clears them after a would-block error, or after a short read of a
   stream; the hub sets them when the poller reports.
2. One report wakes the first reader; it passes the baton (`pass_read`) after
   its own success if more may be left. Watchers, who do not read, all wake.
3. A record lives as long as its descriptor: `close()` retires it and wakes
   its waiters with EBADF; a reused number gets a new record.
4. `watch_read` parks no green thread: the waiter is any object with `wake()`.
"""

from __future__ import annotations

from errno import EBADF

from greenworld.hub.flow import current_greenlet
from greenworld.hub.poller import HANGUP, READ, WRITE
from greenworld.hub.typed import TYPE_CHECKING
from greenworld.hub.waiter import wake_all, wake_first

if TYPE_CHECKING:
    from greenworld.hub.loop import Hub
    from greenworld.hub.task import Task
    from greenworld.hub.waiter import Wakeable

__all__ = ["Io"]


class Io:
    """One descriptor, as one hub sees it."""

    __slots__ = (
        "armed",
        "closed",
        "fd",
        "hangup",
        "hub",
        "read_watchers",
        "readable",
        "readers",
        "writable",
        "write_watchers",
        "writers",
    )

    def __init__(self, hub: Hub, fd: int) -> None:
        self.hub = hub
        self.fd = fd
        self.armed = 0
        self.readable = self.writable = True
        self.closed = self.hangup = False
        self.readers: list[Wakeable] = []
        self.writers: list[Wakeable] = []
        self.read_watchers: list[Wakeable] = []
        self.write_watchers: list[Wakeable] = []

    def wait_read(self, timeout: float | None = None, what: object = None) -> None:
        """Park until the descriptor becomes readable. **Blocks** always.

        To be called after a would-block error, or when `readable` is False.
        Raises TimeoutError after `timeout` seconds and OSError(EBADF) when
        the descriptor is closed meanwhile.
        """
        if not self.armed & READ:
            self._arm(READ)
        self._park(self.readers, timeout, what)

    def wait_write(self, timeout: float | None = None, what: object = None) -> None:
        """Park until the descriptor becomes writable; see `wait_read`."""
        if not self.armed & WRITE:
            self._arm(WRITE)
        self._park(self.writers, timeout, what)

    def retry_read(self, timeout: float | None = None, what: object = None) -> None:
        """`wait_read` ahead of the other readers: for one who was woken in vain."""
        if not self.armed & READ:
            self._arm(READ)
        self._park(self.readers, timeout, what, 0)

    def retry_write(self, timeout: float | None = None, what: object = None) -> None:
        """`wait_write` ahead of the other writers: for one who was woken in vain."""
        if not self.armed & WRITE:
            self._arm(WRITE)
        self._park(self.writers, timeout, what, 0)

    def _current(self) -> Task:
        current = current_greenlet()
        try:
            task: Task = current.task
        except AttributeError:
            task = self.hub.adopt(current)
        return task

    def _park(
        self, lot: list[Wakeable], timeout: float | None, what: object, place: int | None = None
    ) -> None:
        task = self._current()
        if place is None:
            lot.append(task)
        else:
            lot.insert(place, task)
        try:
            woken = task.park(what or self, lot, timeout)
        except BaseException:
            # Woken and thrown into at once: the news belongs to the next in line.
            if self.readable if lot is self.readers else self.writable:
                wake_first(lot)
            raise
        if not woken:
            raise TimeoutError("timed out")
        if self.closed:
            raise self._closed_error()

    def _arm(self, mask: int) -> None:
        if self.closed:
            raise self._closed_error()
        self.hub.poller.arm(self, mask)

    def _closed_error(self) -> OSError:
        return OSError(EBADF, f"descriptor {self.fd} was closed while it was being waited for")

    def pass_read(self) -> None:
        """After a successful read: let the next reader try, unless the descriptor is drained."""
        if self.readable:
            wake_first(self.readers)

    def pass_write(self) -> None:
        """After a complete write: let the next writer try."""
        if self.writable:
            wake_first(self.writers)

    def watch_read(self, waiter: Wakeable) -> None:
        """Call `waiter.wake()` once, when the descriptor is or becomes readable.

        It is called on the hub's greenlet and must not block; if an edge was
        remembered it is called at once. Does not switch.
        """
        if self.readable and self.armed & READ:
            waiter.wake()
            return
        if not self.armed & READ:
            self._arm(READ)
        self.readers.append(waiter)

    def unwatch_read(self, waiter: Wakeable) -> bool:
        """Take back `watch_read`; False if the waiter was woken already."""
        try:
            self.readers.remove(waiter)
        except ValueError:
            return False
        return True

    def wait_ready(self, mask: int, timeout: float | None = None, what: object = None) -> bool:
        """Park until the descriptor *is* ready for `mask`, whatever was reported before.

        Returns False after `timeout` seconds. **Blocks** (also when it is
        ready: readiness is asked of the kernel by the hub).
        """
        lot = self.read_watchers if mask & READ else self.write_watchers
        task = self._current()
        try:
            self.hub.poller.rearm(self, mask)
        except PermissionError:
            return True  # a regular file is always ready
        lot.append(task)
        woken = task.park(what or self, lot, timeout)
        if self.closed:
            raise self._closed_error()
        return woken

    def wait_news(self, mask: int, timeout: float | None = None, what: object = None) -> None:
        """Park until the poller reports `mask`: everybody who waits so is woken by one report.

        To be called after a would-block error. Otherwise as `wait_read`. **Blocks** always.
        """
        if not self.armed & mask:
            self._arm(mask)
        lot = self.read_watchers if mask & READ else self.write_watchers
        self._park(lot, timeout, what)

    def ready(self, mask: int) -> None:
        """The poller's report. Called by the hub only.

        Lots are asked before they are served: an edge-triggered poller reports
        both directions each time, and nobody waits in most.
        """
        if mask & HANGUP:
            self.hangup = True
            mask = READ | WRITE  # news for readers and writers alike
        if mask & READ:
            self.readable = True
            if self.readers:
                wake_first(self.readers)
            if self.read_watchers:
                wake_all(self.read_watchers)
            if self.readers and not self.armed & READ:
                # A one-shot poller: the first reader may drain it and never come back.
                self._arm(READ)
        if mask & WRITE:
            self.writable = True
            if self.writers:
                wake_first(self.writers)
            if self.write_watchers:
                wake_all(self.write_watchers)
            if self.writers and not self.armed & WRITE:
                self._arm(WRITE)

    @property
    def waited_for(self) -> bool:
        """Whether anybody would be woken by readiness."""
        return bool(self.readers or self.writers or self.read_watchers or self.write_watchers)

    def close(self) -> None:
        """Retire the record, before its descriptor is closed. Wakes whoever waits, with EBADF.

        Callable from any OS thread: every step is atomic by itself.
        """
        if self.closed:
            return
        self.closed = True
        self.readable = self.writable = True
        if self.armed:
            self.hub.poller.forget(self)
        if self.hub.ios.get(self.fd) is self:
            self.hub.ios.pop(self.fd, None)
        for lot in (self.readers, self.writers, self.read_watchers, self.write_watchers):
            wake_all(lot)

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it."""
        verb = "write to" if lot is self.writers or lot is self.write_watchers else "read from"
        return f"{verb} descriptor {self.fd}"
