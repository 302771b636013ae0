"""A connection without a socket: the test says which bytes arrive when, and sees what leaves.

One object stands for the socket and for the hub's record of it. Everything above them is real:
the connection, its lanes, its green threads, the server.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

from greenworld.hub import Semaphore, getcurrent, sleep
from greenworld.wsgi import Config, Server
from greenworld.wsgi.connection import Connection
from greenworld.wsgi.environ import HeadTable

TURNS = 2000
"""Turns of the run queue after which something hangs."""
_DATE = re.compile(rb"\r\nDate: [^\r\n]*")


class Wire:
    """A stream socket and its record at the hub, in the hands of a test."""

    hangup = False

    def __init__(self, pieces: Sequence[int] = ()) -> None:
        self.raw = self
        self.fd = 1 << 20
        self.readable = self.writable = True
        self.arrived = b""
        self.ended = False
        self.sent: list[bytes] = []
        self.said_end = self.was_reset = self.closed = False
        self._pieces = list(pieces)  # how much each `send` takes; then all
        self._waiter: Any = None
        self._parked: Semaphore | None = None

    # What the test does

    @property
    def idle(self) -> bool:
        """Whether the connection waits for bytes, or has ended."""
        return self.closed or self._waiter is not None or self._parked is not None

    def arrive(self, data: bytes) -> None:
        """Bytes have come; none: the client says no more."""
        self.arrived += data
        self.ended = self.ended or not data
        self.readable = True
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            waiter.wake()
        elif self._parked is not None:
            parked, self._parked = self._parked, None
            parked.release()

    # The record

    def watch_read(self, waiter: Any) -> None:
        assert self._waiter is None
        if self.readable:
            waiter.wake()
        else:
            self._waiter = waiter

    def unwatch_read(self, waiter: Any) -> bool:
        if self._waiter is not waiter:
            return False
        self._waiter = None
        return True

    def wait_read(self, timeout: float | None = None) -> None:
        assert self._parked is None
        if not self.readable:
            self._parked = parked = Semaphore(0)
            parked.acquire()

    # The socket

    def recv(self, limit: int) -> bytes:
        assert not self.closed
        if not self.arrived:
            if self.ended:
                return b""
            raise BlockingIOError
        data, self.arrived = self.arrived[:limit], self.arrived[limit:]
        return data

    def send(self, data: Any) -> int:
        assert not self.closed
        assert not self.said_end
        taken = bytes(data[: self._pieces.pop()] if self._pieces else data)
        self.sent.append(taken)
        return len(taken)

    def sendmsg(self, buffers: tuple[bytes, ...]) -> int:
        return self.send(b"".join(buffers))

    def shutdown(self, how: int) -> None:
        self.said_end = True

    def setsockopt(self, *arguments: Any) -> None:
        self.was_reset = True  # by SO_LINGER, which is the only option set here

    def fileno(self) -> int:
        return -1 if self.closed else self.fd

    def close(self) -> None:  # of both: whichever comes first
        self.closed = True


class Desk:
    """A server without a listener, whose connections are wires."""

    def __init__(self, application: Any, **options: Any) -> None:
        self.errors = io.StringIO()
        self.server = Server(application, config=Config(error_log=self.errors, **options))
        self.application = application
        self.limits = self.server.config.limits
        base = {"wsgi.url_scheme": "http", "wsgi.errors": self.errors}
        self.heads = HeadTable(base, self.limits, self.server.config.underscores == "refuse")

    def open(self, pieces: Sequence[int] = ()) -> tuple[Wire, Connection]:
        """A new connection, which has read nothing yet."""
        wire = Wire(pieces)
        record = cast(Any, wire)
        connection = Connection(cast(Any, self), record, record, "192.0.2.1", "50000")
        self.server.connections.add(connection)
        connection.wake()
        settle(wire)
        return wire, connection

    def close(self) -> None:
        """Leave no timer behind."""
        if self.server.idle.timer is not None:
            self.server.idle.timer.cancel()
            self.server.idle.timer = None


def settle(wire: Wire) -> None:
    """Let the green threads run until the connection waits for bytes, or has ended."""
    for _ in range(TURNS):
        sleep(0)
        if wire.idle:
            return
    raise AssertionError(f"{getcurrent()} waits for a connection that does not come to rest")


def exchange(desk: Desk, arriving: Iterable[bytes], pieces: Sequence[int] = ()) -> bytes:
    """Everything that leaves while these pieces arrive one after another, without the dates.

    The client then says no more, and the connection must end.
    """
    wire, connection = desk.open(pieces)
    for piece in arriving:
        if wire.closed:
            break
        if piece:
            wire.arrive(piece)
            settle(wire)
    if not wire.closed:
        wire.arrive(b"")
        settle(wire)
    assert wire.closed, "the connection does not end"
    assert connection not in desk.server.connections
    return _DATE.sub(b"", b"".join(wire.sent)) + (b"<reset>" if wire.was_reset else b"")
