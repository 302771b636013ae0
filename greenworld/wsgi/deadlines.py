"""How long a request may take in all (`Config.request_timeout`).

1. The requests that are being answered stand in the order in which they began, a dict; one timer
   looks at its front, and only while there are any. No time-out is early; one may be late by a
   tick, or by as long as the request's green thread computes without a switch.
2. A request whose time is over has `RequestTimeout` raised where it waits. One that catches it and
   goes on has as much time again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenworld.hub import Hub
from greenworld.wsgi.errors import RequestTimeout

if TYPE_CHECKING:
    from greenworld.hub.timers import Timer
    from greenworld.wsgi.clock import Clock
    from greenworld.wsgi.connection import Connection

__all__ = ["Deadlines"]


class Deadlines:
    """The requests of one server that are being answered, and since when."""

    def __init__(self, hub: Hub, clock: Clock, seconds: float) -> None:
        self._hub = hub
        self._clock = clock
        self._seconds = seconds
        self._tick = max(0.01, min(1.0, seconds / 4))
        self._begun: dict[Connection, float] = {}
        self._timer: Timer | None = None

    def begin(self, connection: Connection) -> None:
        """Its request is about to be answered."""
        self._begun[connection] = self._clock.tick()
        if self._timer is None:
            self._start()

    def end(self, connection: Connection) -> None:
        """Its request is answered, or may take as long as it likes. Harmless when repeated."""
        self._begun.pop(connection, None)

    def _start(self) -> None:
        self._timer = self._hub.timers.start(self._tick, self._look)

    def _look(self) -> None:
        self._timer = None  # first, so that what goes wrong below does not end it for good
        now = self._clock.tick()
        begun = self._begun
        for connection, since in list(begun.items()):
            if since > now - self._seconds:
                break
            del begun[connection]
            begun[connection] = now
            if connection.thread is not None:
                connection.thread.kill(RequestTimeout(self._seconds))
        if begun:
            self._start()
