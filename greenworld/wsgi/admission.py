"""How many requests are answered at a time: the rest wait unread, in one line, first come first.

1. A place is taken before a connection's bytes are read, and given back when its request is
   answered, when it turns out to be no whole request yet, or when the connection closes.
2. Who finds no place free stands in line: a connection with its next request unread, or a
   listener, which accepts one connection when its turn comes. So neither those who are connected
   nor those in a backlog can keep the others waiting for ever.
3. Somebody stands in line only while no place is free.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from greenworld.hub.current import current_waiter
from greenworld.hub.waiter import Waiter

__all__ = ["Admission", "Applicant", "Turn"]


class Applicant(Protocol):
    """Who asks for a place. Told apart by identity."""

    def admit(self) -> None:
        """It has a place now. May not block."""


class Admission:
    """The places of one server, and the line of those who wait for one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._holders: set[Applicant] = set()
        self._line: dict[Applicant, None] = {}

    @property
    def in_flight(self) -> int:
        """How many places are taken."""
        return len(self._holders)

    def enter(self, applicant: Applicant) -> bool:
        """Take a place, or stand in line and return False: `admit` is called later."""
        if len(self._holders) < self._most:
            self._holders.add(applicant)
            return True
        self._line[applicant] = None
        return False

    def leave(self, applicant: Applicant) -> None:
        """Give the place back, to who has waited longest, or leave the line; harmless without."""
        if applicant not in self._holders:
            self._line.pop(applicant, None)
            return
        self._holders.remove(applicant)
        if self._line:
            first = next(iter(self._line))
            del self._line[first]
            self._holders.add(first)
            first.admit()

    def close(self) -> None:
        """Admit nobody any more."""
        self._most = 0
        self._line.clear()

    def hand_over(self, holder: Applicant, successor: Applicant) -> bool:
        """Give the place of `holder`, if it has one, to `successor`."""
        if holder not in self._holders:
            return False
        self._holders.remove(holder)
        self._holders.add(successor)
        return True


class Turn:
    """A listener's place in the line."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._waiting: deque[Waiter] = deque()

    def take(self) -> None:
        """Return with a place. **Blocks** while all are taken."""
        if not self._admission.enter(self):
            waiter = current_waiter()
            self._waiting.append(waiter)
            waiter.park(self, self._waiting)

    def pass_on(self, successor: Applicant) -> bool:
        """Give the place that was taken to a connection, and admit it; False without a place."""
        if not self._admission.hand_over(self, successor):
            return False
        successor.admit()
        return True

    def end(self) -> None:
        """Give the place back, unless it was passed on."""
        self._admission.leave(self)

    def give_up(self) -> None:
        """Let who waits in `take` go on without a place."""
        self._admission.leave(self)
        if self._waiting:
            self.admit()

    def admit(self) -> None:
        """See `Applicant`."""
        self._waiting.popleft().wake()

    def describe_wait(self, lot: object) -> str:
        """Say what a green thread waits for, in the report of a deadlock."""
        return "a request to be answered"
