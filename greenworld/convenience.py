"""Sockets in one line: connect, listen, and serve each client in a green thread.

Owns nothing but the loop of `serve`. Its sockets are the cooperative ones of
`greenworld.patches.socket`, patched or not.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from greenworld.hub.spawning import getcurrent
from greenworld.patches import socket
from greenworld.pool import GreenPool

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["StopServe", "connect", "listen", "serve"]


class StopServe(Exception):
    """Raise it in a handler to end `serve`, which then returns."""


def connect(addr: Any, family: int = socket.AF_INET, bind: Any = None) -> socket.socket:
    """Make a stream socket, bind it to `bind` if given, and connect it to `addr`.

    **Blocks.** Raises OSError. **Source**: `eventlet.convenience.connect`.
    """
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        if bind is not None:
            connection.bind(bind)
        connection.connect(addr)
    except BaseException:
        connection.close()
        raise
    return connection


def listen(
    addr: Any,
    family: int = socket.AF_INET,
    backlog: int = 50,
    reuse_addr: bool = True,
    reuse_port: bool | None = None,
) -> socket.socket:
    """Make a stream socket that listens on `addr`, with SO_REUSEADDR unless told otherwise.

    SO_REUSEPORT is set where `reuse_port` is true, or None and the port is a
    certain one: then other processes may listen on it as well. Blocks only to
    resolve a host name. Raises OSError. **Source**: `eventlet.convenience.listen`.
    """
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if reuse_addr:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family in (socket.AF_INET, socket.AF_INET6):
            _share_port(listener, addr[1], reuse_port)
        listener.bind(addr)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def _share_port(listener: socket.socket, port: int, wanted: bool | None) -> None:
    if wanted and port == 0:
        warnings.warn(
            "SO_REUSEPORT with port 0: another program may be given the same port",
            RuntimeWarning,
            stacklevel=3,
        )
    if wanted is None:
        wanted = port != 0
    if wanted and hasattr(socket, "SO_REUSEPORT"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def serve(
    sock: socket.socket, handle: Callable[[socket.socket, Any], object], concurrency: int = 1000
) -> None:
    """Call `handle(connection, address)` in a green thread for each client of `sock`.

    The connection is closed when the handler returns. At most `concurrency`
    handlers run at once; further clients wait in the listen queue. Returns
    when a handler raises StopServe, and raises any other Exception of a
    handler; handlers that run then go on. **Blocks** until then.
    **Source**: `eventlet.convenience.serve`.
    """
    server = _Server(handle)
    pool = GreenPool(concurrency)
    try:
        while True:
            connection, address = sock.accept()
            try:
                pool.spawn_n(server.run, connection, address)
            except BaseException:
                connection.close()
                raise
    except StopServe:
        return
    finally:
        server.ended = True


class _Server:
    """The thread that runs `serve`, as its handlers see it."""

    __slots__ = ("ended", "handle", "task")

    def __init__(self, handle: Callable[[Any, Any], object]) -> None:
        self.handle = handle
        self.task = getcurrent()
        self.ended = False

    def run(self, connection: socket.socket, address: Any) -> None:
        """Serve one client."""
        try:
            with connection:
                self.handle(connection, address)
        except Exception as error:  # noqa: BLE001 - serve raises it
            if not self.ended:
                self.ended = True
                self.task.throw(error)
