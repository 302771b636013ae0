"""A worker process: a server between a supervisor's line and the sockets it was given.

1. SIGTERM stops gracefully, SIGQUIT without waiting for requests. What else a user may send to
   the whole group of processes is the supervisor's to act on, but for SIGUSR1, which it passes on.
2. The death of the supervisor stops it gracefully.
3. When its place is taken, idle connections stay open for one more request, for some seconds.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from os import urandom
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from greenworld.hub import spawn, wait_readable
from greenworld.wsgi.binds import BoundSocket
from greenworld.wsgi.command.crew import BEAT, FAILED, READY, RETIRE, TIRED
from greenworld.wsgi.command.loading import LoadError, explain
from greenworld.wsgi.command.serving import Process, StartError
from greenworld.wsgi.command.settings import Settings

if TYPE_CHECKING:
    from _socket import socket as RawSocket

    from greenworld.wsgi.connection import Connection
    from greenworld.wsgi.errors import HttpError
    from greenworld.wsgi.gateway import Exchange
    from greenworld.wsgi.log import AccessRecorder
    from greenworld.wsgi.server import Server

__all__ = ["LAST_REQUEST_SECONDS", "Seat", "serve"]

LAST_REQUEST_SECONDS: Final = 5.0
"""How long an idle connection may bring one more request to a worker whose place is taken."""
LONGEST_BEAT: Final = 1.0
"""Seconds between two signs of life, unless `worker_timeout` asks for more of them."""
CANNOT_START: Final = 1


class Seat(NamedTuple):
    """What a worker is given."""

    number: int
    """Of its place, from 1 on."""
    sockets: Sequence[BoundSocket]
    line: RawSocket
    """To the supervisor; see `crew`."""
    application: Any
    """What it serves; None: it loads it itself."""


def serve(settings: Settings, seat: Seat) -> int:
    """Serve; return the exit code. **Blocks** until the server has stopped."""
    worker = _Worker(settings, seat)
    try:
        worker.start()
    except LoadError as error:
        return worker.fail(explain(error))
    except StartError as error:
        return worker.fail(f"greenworld.wsgi: {error}")
    worker.process.server.serve_forever()
    return 0


class _Worker:
    def __init__(self, settings: Settings, seat: Seat) -> None:
        self._settings = settings
        self._seat = seat
        self._line = seat.line
        self._sign_of_life = BEAT
        self.process: Process

    def start(self) -> None:
        """Load, listen, and say that it is ready. Raises `LoadError` and `StartError`."""
        process = self.process = Process(self._settings)
        signal.signal(signal.SIGUSR1, self._reopen)
        application = self._seat.application
        if application is None:
            application = process.load()
        process.start(application, sockets=self._seat.sockets, prepare=self._count_requests)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGQUIT, self._stop)
        spawn(self._listen)
        self._tell(READY)
        if self._settings.worker_timeout:
            process.every(min(LONGEST_BEAT, self._settings.worker_timeout / 4), self._beat)

    def fail(self, why: str) -> int:
        """Tell the supervisor why it cannot start; return the exit code."""
        self._line.setblocking(True)
        try:
            self._line.sendall(FAILED + why.encode("utf-8", "replace"))
        except OSError:
            pass  # nobody is left who could be told
        return CANNOT_START

    def _tell(self, what: bytes) -> None:
        try:
            self._line.send(what)
        except OSError:
            pass  # it is dead, which `_listen` hears of, or it has been stopped

    def _beat(self) -> None:
        self._tell(self._sign_of_life)

    def _listen(self) -> None:
        """Hear what the supervisor says. **Blocks** until it is dead, and stops the server then."""
        server = self.process.server
        while True:
            wait_readable(self._line.fileno())
            try:
                said = self._line.recv(64)
            except BlockingIOError:
                continue
            except OSError:
                said = b""
            if not said:
                server.request_stop()
                return
            if RETIRE in said:
                server.request_stop(last_request=LAST_REQUEST_SECONDS)

    def _count_requests(self, server: Server) -> None:
        settings = self._settings
        if settings.max_requests:
            # Not the module random, which nothing else here needs.
            jitter = int.from_bytes(urandom(8), "big") % (settings.max_requests_jitter + 1)
            server.access = _Quota(server.access, settings.max_requests + jitter, self)

    def quota_reached(self) -> None:
        """Somebody else is to take the place; until then, it serves."""
        self._sign_of_life = TIRED  # again and again, should the line be full now
        self._beat()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.process.server.request_stop(0.0 if number == signal.SIGQUIT else None)

    def _reopen(self, number: int, frame: FrameType | None) -> None:
        self.process.soon(self.process.logs.reopen)


class _Quota:
    """Counts answers in front of the access log, if there is one."""

    __slots__ = ("_inner", "_left", "_worker")

    def __init__(self, inner: AccessRecorder | None, most: int, worker: _Worker) -> None:
        self._inner = inner
        self._left = most
        self._worker = worker

    def record(self, exchange: Exchange, /) -> None:
        if self._inner is not None:
            self._inner.record(exchange)
        self._left -= 1
        if self._left == 0:
            self._worker.quota_reached()

    def record_refusal(self, connection: Connection, error: HttpError, size: int, /) -> None:
        if self._inner is not None:
            self._inner.record_refusal(connection, error, size)

    def flush(self) -> None:
        if self._inner is not None:
            self._inner.flush()
