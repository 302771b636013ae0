"""Whether one more connection may be accepted: a number that was set, and descriptors left.

1. The last descriptors below the process's limit are not for connections: the application needs
   some too, to answer those who are connected (files, databases).
2. Where they run short, the connection that has been idle for longest is ended in favour of the
   new one, as RFC 9112, section 9.5 lets a server do at any time. Without an idle one, accepting
   waits until a connection closes, or for `PAUSE_SECONDS`: somebody else may have let one go.
3. It is reported once in a while, and ends neither the server nor the loop.
"""

from __future__ import annotations

from collections import deque
from os import close, dup
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
from sys import maxsize
from typing import TYPE_CHECKING, Any, Final

from greenworld.hub.current import current_waiter
from greenworld.wsgi.seldom import Seldom

if TYPE_CHECKING:
    from greenworld.wsgi.server import Server

__all__ = ["Room"]

PAUSE_SECONDS: Final = 0.1
MOST_SPARED: Final = 64
"""Descriptors that are left to the application; an eighth where there are few."""


class Room:
    """The room for connections of one server, `most` of them or as many as come."""

    def __init__(self, server: Server, most: int | None) -> None:
        self._server = server
        self._most = most
        limit = getrlimit(RLIMIT_NOFILE)[0]
        self._end = maxsize if limit == RLIM_INFINITY else limit - min(MOST_SPARED, limit // 8)
        self._complain = Seldom(server.errors, server.clock)
        self._waiting: deque[Any] = deque()

    @property
    def full(self) -> bool:
        """Whether as many connections are open as may be."""
        return self._most is not None and len(self._server.connections) >= self._most

    def wait(self) -> None:
        """Wait until a connection has closed. **Blocks**."""
        self._park(None)

    def is_last(self, fd: int) -> bool:
        """Whether a descriptor that was just made is one of the last: the lowest free is taken."""
        return fd >= self._end

    def is_scarce(self, any_fd: int) -> bool:
        """Whether the next descriptor would be one of the last. Raises OSError if there is none.

        What is not known is asked by making one, a copy of `any_fd`.
        """
        probe = dup(any_fd)
        close(probe)
        return self.is_last(probe)

    def make(self, why: str) -> None:
        """Descriptors run short: end an idle connection, or wait. **Blocks** briefly."""
        self._complain(f"accepts slowly: {why}")
        if not self._server.idle.end_oldest():
            self._park(PAUSE_SECONDS)

    def freed(self) -> None:
        """A connection has closed, or the server stops: look again."""
        for _ in range(len(self._waiting)):
            self._waiting.popleft().wake()

    def _park(self, timeout: float | None) -> None:
        waiter = current_waiter()
        self._waiting.append(waiter)
        waiter.park(self, self._waiting, timeout)

    def describe_wait(self, lot: object) -> str:
        """Say what a green thread waits for, in the report of a deadlock."""
        return "a connection to close"
