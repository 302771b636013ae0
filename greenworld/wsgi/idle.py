"""The connections that wait for a request head, in order of how long they have waited.

Three lanes, each a dict in order of insertion, so that entering and leaving are one step each
and only the front of a lane is ever looked at:

    heads   nothing or a part of a head has arrived  → after `head_timeout`: 408, or just closed
    fresh   idle since their last answer             → after `COOL_AFTER`: to `cold`
    cold    idle for longer, caches dropped          → after `keep_alive`: closed

1. No timer per connection and none per request: one timer looks at the lanes about once a
   second, and only while a lane is not empty. No time-out ends early; one may be a tick late.
2. A connection keeps its place in `heads` until its head is complete, however slowly it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from greenworld.hub import Hub, spawn
from greenworld.wsgi.environ import COLD_BLOCK
from greenworld.wsgi.errors import HttpError
from greenworld.wsgi.refusal import refuse

if TYPE_CHECKING:
    from greenworld.hub.timers import Timer
    from greenworld.wsgi.clock import Clock
    from greenworld.wsgi.config import Config
    from greenworld.wsgi.connection import Connection

__all__ = ["MAX_PRIVATE", "IdleConnections"]

COOL_AFTER: Final = 1.0
"""Seconds after which an idle connection gives up what it remembers of its last request."""
MAX_PRIVATE: Final = 1024
"""Idle connections that may remember header blocks which hold secrets; beyond, none begins to.
Thousands of clients that do would leave the heap in holes after they cool down."""

Lane = dict["Connection", float]


class IdleConnections:
    """The lanes of one server, and the timer that ends what has waited too long."""

    def __init__(self, hub: Hub, clock: Clock, config: Config) -> None:
        self.heads: Lane = {}
        self.fresh: Lane = {}
        self.cold: Lane = {}
        self.timer: Timer | None = None
        self._hub = hub
        self._clock = clock
        self._head_timeout = config.head_timeout
        self._keep_alive = config.keep_alive
        self._cool_after = min(COOL_AFTER, config.keep_alive)
        self._tick = max(0.01, min(1.0, config.keep_alive / 4, config.head_timeout / 4))

    def start(self) -> None:
        """Look at the lanes from now on; called when a connection enters one."""
        self.timer = self._hub.timers.start(self._tick, self._look)

    def all(self) -> list[Connection]:
        """Every connection of whose next request nothing has arrived."""
        silent = [connection for connection in self.heads if not connection.buffer]
        return [*self.fresh, *self.cold, *silent]

    def end_oldest(self) -> bool:
        """Close the connection that has been idle for longest since an answer, if there is one."""
        for lane in (self.cold, self.fresh):
            for connection in lane:
                if connection.io.unwatch_read(connection):
                    connection.close()
                    return True
        return False

    def give_up_heads(self) -> None:
        """Wait for the rest of a head no longer: the server stops."""
        self._give_up([connection for connection in self.heads if connection.buffer])

    def _give_up(self, connections: list[Connection]) -> None:
        for connection in connections:
            if connection.io.unwatch_read(connection):
                connection.thread = spawn(_answer_too_late, connection)

    def _look(self) -> None:
        self.timer = None  # first, so that what goes wrong below does not end it for good
        now = self._clock.tick()
        self._give_up(_longer_than(self.heads, now - self._head_timeout))
        for connection in _longer_than(self.fresh, now - self._cool_after):
            since = self.fresh.pop(connection)
            connection.lane = self.cold
            connection.block = COLD_BLOCK
            self.cold[connection] = since
        for connection in _longer_than(self.cold, now - self._keep_alive):
            if connection.io.unwatch_read(connection):
                connection.close()
        if self.heads or self.fresh or self.cold:
            self.start()


def _longer_than(lane: Lane, since: float) -> list[Connection]:
    """The connections at the front of `lane` that have waited since `since` or longer."""
    found = []
    for connection, entered in lane.items():
        if entered > since:
            break
        found.append(connection)
    return found


def _answer_too_late(connection: Connection) -> None:
    """The head has not come in time: say so, unless the client never said anything."""
    if connection.buffer:
        refuse(connection, HttpError(408, "the request head did not come in time"))
    else:
        connection.close()
