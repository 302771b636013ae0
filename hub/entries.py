"""The entries of the run queue that are no tasks, and the reader of the hub's wake-up.

Owns what the hub puts into its own run queue (rule 2.2): calls and the starter of fresh threads.
"""

from __future__ import annotations

from greenworld.hub.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from greenworld.hub.io import Io
    from greenworld.hub.loop import Hub
    from greenworld.hub.wakeup import Wakeup

__all__ = ["HubCall", "Starter", "WakeupReader"]


class HubCall:
    """An entry of the run queue: a callback that the hub's greenlet runs."""

    __slots__ = ("callback", "greenlet", "hub")

    def __init__(self, hub: Hub, callback: Callable[[], Any]) -> None:
        self.hub = hub
        self.callback = callback
        self.greenlet = hub.greenlet

    def switch(self) -> Any:
        """Have the hub's greenlet begin it."""
        return self.hub.enter(self)

    def begin(self) -> None:
        """On the hub's greenlet: make the call."""
        self.hub.call(self.callback)


class Starter:
    """An entry of the run queue: the oldest fresh green thread, whichever that is by then.

    One object for all of them, so that spawning makes no entry: `hub.fresh`
    and the starter's places in the run queue are in the same order.
    """

    __slots__ = ("greenlet", "hub")

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.greenlet = hub.greenlet

    def switch(self) -> Any:
        """Enter an idle carrier with the thread, or have the hub make one."""
        hub = self.hub
        thread = hub.fresh.popleft()
        if hub.idle:
            return hub.idle.pop().switch(thread)
        return hub.enter(thread)


class WakeupReader:
    """The waiter in the record of the hub's own wake-up descriptor."""

    __slots__ = ("io", "wakeup")

    def __init__(self, io: Io, wakeup: Wakeup) -> None:
        self.io = io
        self.wakeup = wakeup

    def wake(self) -> None:
        """On the hub's greenlet: be ready for the next wake-up.

        A program that closes every descriptor it does not know, as before an
        `exec` in a child, wakes it too: there is no next wake-up.
        """
        if self.io.closed:
            return
        self.wakeup.drain()
        self.io.readable = False
        self.io.watch_read(self)
