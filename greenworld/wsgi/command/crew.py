"""The supervisor's record of its workers, and the line to each of them.

The line is a pair of sockets. The worker says, a byte each:

    READY    it serves
    BEAT     its hub turns
    TIRED    it has answered as many requests as it should: somebody else is to take its place
    FAILED   it cannot start, because of the text that follows

and hears RETIRE: its place is taken. The end of the line tells each of the other's death.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_STREAM, socketpair
from _socket import socket as RawSocket
from collections.abc import Sequence
from math import inf
from os import kill, waitstatus_to_exitcode
from signal import SIGTERM
from typing import Final, Literal

from greenworld.wsgi.binds import BoundSocket
from greenworld.wsgi.command.signals import name_of

__all__ = [
    "BEAT",
    "FAILED",
    "READY",
    "RETIRE",
    "TIRED",
    "Place",
    "Worker",
    "describe_end",
    "make_line",
]

READY: Final = b"r"
BEAT: Final = b"."
TIRED: Final = b"t"
FAILED: Final = b"!"
RETIRE: Final = b"x"

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 30.0
STEADY_SECONDS: Final = 10.0
"""A worker that has served for so long has not failed when it ends."""


def make_line() -> tuple[RawSocket, RawSocket]:
    """Return the supervisor's end and the worker's. They do not block."""
    ends = socketpair(AF_UNIX, SOCK_STREAM)
    for end in ends:
        end.setblocking(False)
    return ends


class Place:
    """What a worker is started for, again and again: a number, from 1 on, and its sockets."""

    __slots__ = ("failures", "not_before", "number", "sockets")

    def __init__(self, number: int, sockets: Sequence[BoundSocket]) -> None:
        self.number = number
        self.sockets = sockets
        self.failures = 0
        self.not_before = -inf
        """When, on the monotonic clock, the next worker may be started."""

    def fail(self, now: float) -> float:
        """Count a worker that did not last; return the seconds until the next one may start."""
        delay = min(FIRST_DELAY * 2.0 ** min(self.failures, 20), LONGEST_DELAY)
        self.failures += 1
        self.not_before = now + delay
        return delay

    def recover(self) -> None:
        """The next worker may start at once."""
        self.failures = 0
        self.not_before = -inf


class Worker:
    """A worker process, from the fork until it has been waited for."""

    __slots__ = (
        "failure",
        "generation",
        "heard",
        "kill_at",
        "line",
        "listened_to",
        "pid",
        "place",
        "since",
        "state",
        "tired",
    )

    def __init__(
        self, place: Place, generation: int, pid: int, line: RawSocket, now: float
    ) -> None:
        self.place = place
        self.generation = generation
        self.pid = pid
        self.line = line
        self.listened_to = True
        """Whether more may come from it."""
        self.state: Literal["starting", "ready", "ending"] = "starting"
        self.since = now
        """When it was started; once it is ready, since when."""
        self.heard = now
        """When it last gave a sign of life."""
        self.kill_at = inf
        self.tired = False
        self.failure = b""

    def listen(self, now: float) -> bool:
        """Take in what it has said; return whether it may say more. Does not block."""
        while True:
            try:
                said = self.line.recv(65536)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not said:
                return False
            self.heard = now
            if self.failure or said[:1] == FAILED:
                self.failure += said
                continue
            self.tired = self.tired or TIRED in said
            if READY in said and self.state == "starting":
                self.state = "ready"
                self.since = now

    def signal(self, number: int) -> None:
        """Send it a signal. It has not been waited for, so that nobody else has its number."""
        kill(self.pid, number)

    def end(self, number: int, kill_at: float) -> None:
        """Send it a signal that ends it, and kill it if it still lives at that time."""
        self.state = "ending"
        self.kill_at = min(self.kill_at, kill_at)
        self.signal(number)

    def retire(self, kill_at: float) -> None:
        """Its place is taken: let it finish what it has begun."""
        if self.state == "starting":
            self.end(SIGTERM, kill_at)
            return
        self.state = "ending"
        self.kill_at = kill_at
        try:
            self.line.send(RETIRE)
        except OSError:
            pass  # it is dead, and will be waited for

    def lasted(self, now: float) -> bool:
        """Whether it has served for so long that its end is no failure."""
        return self.state != "starting" and now - self.since >= STEADY_SECONDS

    @property
    def title(self) -> str:
        """How the log calls it."""
        return f"worker {self.place.number}, process {self.pid},"


def describe_end(status: int) -> str:
    """Say how a process has ended, of which `wait` told this status."""
    code = waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit code {code}"
    core = ", leaving a core file" if os.WCOREDUMP(status) else ""
    return f"was ended by {name_of(-code)}{core}"
