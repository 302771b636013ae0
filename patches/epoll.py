"""The cooperative counterparts of `select.epoll` and `select.kqueue`.

The originals are C types that can neither be edited nor subclassed. Each class
here has one of them inside and the same interface. The kernel's object has a
descriptor of its own that becomes readable when there is something to report,
so that waiting is: ask without waiting, wait for the descriptor, ask again.

Several green threads, and native ones, may wait for one object. In an OS
thread without a hub the original waits.
"""

from __future__ import annotations

import select
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenworld.hub.current import current_waiter
from greenworld.hub.flow import current_greenlet
from greenworld.hub.poller import READ
from greenworld.hub.readiness import close_fd, wait_fd
from greenworld.hub.task import HubTask, Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["KernelQueue", "epoll", "give_way", "kqueue"]

plain_epoll: Any = getattr(select, "epoll", None)
plain_kqueue: Any = getattr(select, "kqueue", None)

LONGEST_EPOLL = 0x7FFFFFFF / 1000
"""Seconds; the original refuses more."""


def give_way() -> None:
    """For a question that may be answered at once: who asks in a loop must not starve the rest.

    Makes no hub and does nothing in its callbacks. **Blocks** briefly.
    """
    task = getattr(current_greenlet(), "task", None)
    if isinstance(task, Task) and not isinstance(task, HubTask):
        task.give_way()


class KernelQueueType(type):
    """What the original has made counts as an instance too."""

    plain: Any

    def __instancecheck__(cls, instance: object) -> bool:
        return super().__instancecheck__(instance) or isinstance(instance, cls.plain)


class KernelQueue:
    """What both have in common: a descriptor that says when there is something to report."""

    __slots__ = ("__weakref__", "_plain")

    _plain: Any

    def fileno(self) -> int:
        """The number of the descriptor. ValueError if it is closed."""
        number: int = self._plain.fileno()
        return number

    def close(self) -> None:
        """Close it; whoever waits for it gets ValueError. Closing again does nothing."""
        plain = self._plain
        if not plain.closed:
            close_fd(plain.fileno())
            plain.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        closed: bool = self._plain.closed
        return closed

    def _ask(self, ask: Callable[[], list[T]], timeout: float | None) -> list[T]:
        """What `ask()` finds, asked again until it finds something or for `timeout` seconds."""
        plain = self._plain
        deadline = None if timeout is None else monotonic() + timeout
        give_way()  # first: an exception that came with an answer would lose it
        found = ask()
        while not found:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                break
            try:
                wait_fd(plain.fileno(), READ, left)
            except OSError:
                if not plain.closed:
                    raise
            found = ask()
        return found


class epoll(KernelQueue, metaclass=KernelQueueType):
    """**Source**: `select.epoll`."""

    __slots__ = ()

    plain = plain_epoll

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._plain = plain_epoll(sizehint, flags)

    @classmethod
    def fromfd(cls, fd: int, /) -> epoll:
        """Take over the descriptor of an epoll object."""
        self = cls.__new__(cls)
        self._plain = plain_epoll.fromfd(fd)
        return self

    def __enter__(self) -> epoll:
        self._plain.__enter__()
        return self

    def __exit__(self, exc_type: Any = None, exc_value: Any = None, exc_tb: Any = None, /) -> None:
        self.close()

    def register(self, fd: Any, eventmask: int = 7) -> None:
        """Watch a descriptor for `EPOLLIN | EPOLLPRI | EPOLLOUT`, or for others."""
        self._plain.register(fd, eventmask)

    def modify(self, fd: Any, eventmask: int) -> None:
        """Change what a descriptor is watched for."""
        self._plain.modify(fd, eventmask)

    def unregister(self, fd: Any) -> None:
        """Watch a descriptor no longer."""
        self._plain.unregister(fd)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """`[(descriptor, events), …]`, waiting up to `timeout` *seconds*. **Blocks** meanwhile.

        None and negative numbers wait for ever. Raises ValueError if it is
        closed, also meanwhile.
        """
        plain = self._plain
        forever = timeout is None or timeout < 0
        events: list[tuple[int, int]]
        if timeout is not None and not (forever or 0 < timeout <= LONGEST_EPOLL):
            give_way()
            events = plain.poll(timeout, maxevents)
            return events
        if not isinstance(current_waiter(), Task):
            events = plain.poll(timeout, maxevents)
            return events
        return self._ask(lambda: plain.poll(0, maxevents), None if forever else timeout)


class kqueue(KernelQueue, metaclass=KernelQueueType):
    """**Source**: `select.kqueue`."""

    __slots__ = ()

    plain = plain_kqueue

    def __init__(self) -> None:
        self._plain = plain_kqueue()

    @classmethod
    def fromfd(cls, fd: int, /) -> kqueue:
        """Take over the descriptor of a kqueue object."""
        self = cls.__new__(cls)
        self._plain = plain_kqueue.fromfd(fd)
        return self

    def control(
        self, changelist: Any, maxevents: int, timeout: float | None = None, /
    ) -> list[Any]:
        """Apply the changes, then up to `maxevents` events within `timeout` seconds. **Blocks**.

        None waits for ever. Raises ValueError if it is closed, also meanwhile.
        """
        plain = self._plain
        waits = maxevents > 0 and (timeout is None or timeout > 0)
        if not waits or not isinstance(current_waiter(), Task):
            events: list[Any] = plain.control(changelist, maxevents, timeout)
            return events
        changes = [changelist]

        def ask() -> list[Any]:
            found: list[Any] = plain.control(changes.pop() if changes else None, maxevents, 0)
            return found

        return self._ask(ask, timeout)
