"""psycopg2: libpq waits by itself unless the process has given it a function that does.

While there is such a function, psycopg2 works in libpq's non-blocking mode: two
threads cannot use one connection at the same time, and `COPY` and large objects
are refused (psycopg2, "Support for coroutine libraries").
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import extensions

from greenworld.hub.poller import READ, WRITE
from greenworld.hub.readiness import wait_fd

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["settle", "wait"]


def wait(connection: Any) -> None:
    """Wait until the connection has done what it was asked. **Blocks.**

    Raises OperationalError if connecting takes longer than `connect_timeout`
    seconds, which libpq counts in blocking mode only. What ends the wait from
    outside (a `Timeout`, a kill) closes the connection. Works in every OS
    thread. **Source**: `psycopg2.extras.wait_select`.
    """
    deadline = None
    if connection.status == extensions.STATUS_SETUP:
        seconds = int(connection.get_dsn_parameters().get("connect_timeout") or 0)
        deadline = monotonic() + seconds if seconds > 0 else None
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        left = None if deadline is None else deadline - monotonic()
        mask = READ if state == extensions.POLL_READ else WRITE
        if not wait_fd(connection.fileno(), mask, left):
            raise psycopg2.OperationalError("connecting to the server failed: timeout expired")


def settle() -> Callable[[], None]:
    """Have psycopg2 wait with `wait`, unless the program has it wait otherwise; the undo."""
    if extensions.get_wait_callback() is None:
        extensions.set_wait_callback(wait)

    def undo() -> None:
        if extensions.get_wait_callback() is wait:
            extensions.set_wait_callback(None)

    return undo
