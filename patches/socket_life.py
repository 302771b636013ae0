"""The methods of sockets that neither read nor write: their beginning, connecting, time-outs, end.

The rules of waiting are in `patches/channel.py`.
"""

from __future__ import annotations

import os
import socket as stdlib_socket
from _socket import AF_UNIX, SO_ERROR, SOL_SOCKET
from _socket import socket as c_socket
from _thread import get_ident
from errno import EAGAIN, EALREADY, EINPROGRESS, EISCONN, EWOULDBLOCK
from sys import platform
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenworld.hub.poller import READ, WRITE
from greenworld.hub.readiness import close_fd
from greenworld.hub.spawning import sleep
from greenworld.patches.blocking import call_now, set_mode
from greenworld.patches.channel import (
    DONTWAIT,
    UNBOUND,
    Channel,
    channels,
    forks,
    open_channel,
)
from greenworld.patches.resolver import numeric_address

if TYPE_CHECKING:
    Socket = stdlib_socket.socket
    Address = Any

__all__ = [
    "bind",
    "close_for_real",
    "connect",
    "connect_ex",
    "detach",
    "dup",
    "getblocking",
    "gettimeout",
    "initialize",
    "setblocking",
    "settimeout",
    "timeout",
]

c_bind = c_socket.bind
c_close = c_socket.close
c_connect_ex = c_socket.connect_ex
c_detach = c_socket.detach
c_fileno = c_socket.fileno
c_getblocking = c_socket.getblocking
c_getsockopt = c_socket.getsockopt
c_gettimeout = c_socket.gettimeout
c_setblocking = c_socket.setblocking
c_settimeout = c_socket.settimeout
c_family: Any = vars(c_socket)["family"].__get__
c_type: Any = vars(c_socket)["type"].__get__
c_proto: Any = vars(c_socket)["proto"].__get__
plain_dup: Any = stdlib_socket.socket.dup
plain_initialize = stdlib_socket.socket.__init__

LONGEST_TIMEOUT = 9223372036.0
"""Seconds; the C class refuses more."""

FIRST_RETRY, LAST_RETRY = 0.001, 0.05
"""Seconds between attempts to connect to a Unix socket whose backlog is full."""


def initialize(
    self: Socket, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None
) -> None:
    """Same as the original; a new descriptor's number ends every earlier life of it.

    Others may hold the open file of a descriptor that somebody else has made.
    The channel remembers whether it was made before a fork.
    """
    made = forks.count  # first: another OS thread may fork
    plain_initialize(self, family, type, proto, fileno)
    channels.pop(id(self), None)
    if fileno is None:
        close_fd(c_fileno(self))
        if DONTWAIT:
            open_channel(self, made)
    else:
        open_channel(self, made).shared = True


def dup(self: Any) -> Any:
    """Another socket object of the same open file."""
    new = plain_dup(self)
    for sock in (self, new):
        (channels.get(id(sock)) or open_channel(sock)).shared = True
    return new


# Connecting


def bind(self: Socket, address: Address, /) -> None:
    """Bind to `address`. **Blocks** only to look up a host name, on a native thread."""
    c_bind(self, numeric_address(c_family(self), c_type(self), c_proto(self), address))


def connect(self: Socket, address: Address, /) -> None:
    """Connect to `address`. **Blocks** until the connection stands.

    Raises TimeoutError after the socket's time-out, and the OSError of the
    failure. A host name is looked up on a native thread, before the time-out
    begins.
    """
    address = numeric_address(c_family(self), c_type(self), c_proto(self), address)
    error = _connect(self, address)
    if error:
        raise OSError(error, os.strerror(error))


def connect_ex(self: Socket, address: Address, /) -> int:
    """`connect` that returns the error's number, 0 for success. **Blocks** as `connect` does."""
    address = numeric_address(c_family(self), c_type(self), c_proto(self), address)
    try:
        return _connect(self, address)
    except TimeoutError:
        return EWOULDBLOCK
    except OSError as error:
        if error.errno is None:
            raise
        return error.errno


def _connect(sock: Socket, address: Address) -> int:
    """Connect and return the error's number."""
    channel = channels.get(id(sock)) or open_channel(sock)
    error: int = call_now(channel, sock, c_connect_ex, address)
    timeout = channel.timeout
    if timeout == 0 or error not in (EINPROGRESS, EALREADY, EAGAIN):
        return error
    deadline = None if timeout is None else monotonic() + timeout
    if error == EAGAIN:
        if c_family(sock) != AF_UNIX:
            return error  # no local port is left
        return _connect_to_busy(channel, sock, address, deadline)
    while error in (EINPROGRESS, EALREADY):
        channel.wait_writable(sock, deadline)
        error = _connect_result(channel, sock, address)
    if not error:
        _begin_connected(channel)
    return error


def _connect_result(channel: Channel, sock: Socket, address: Address) -> int:
    """How the connect in progress went. On Linux, asking with `connect` also lets it be repeated.

    **Source**: connect(2), EISCONN and EALREADY.
    """
    if platform != "linux":
        return c_getsockopt(sock, SOL_SOCKET, SO_ERROR)
    error: int = call_now(channel, sock, c_connect_ex, address)
    return 0 if error == EISCONN else error


def _begin_connected(channel: Channel) -> None:
    """Forget the hang-up that an unconnected socket reports.

    The peer may have hung up already: the kernel is asked once more, and tells with the next poll.
    """
    io = channel.io
    if io is not UNBOUND and channel.ident == get_ident():
        if io.hangup and not io.closed:
            io.hangup = False
            io.hub.poller.rearm(io, READ | WRITE)
        io.readable = True


def _connect_to_busy(
    channel: Channel, sock: Socket, address: Address, deadline: float | None
) -> int:
    """A Unix socket whose backlog is full: the kernel tells nobody when there is room."""
    pause = FIRST_RETRY
    while True:
        if deadline is not None:
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            pause = min(pause, left)
        sleep(pause)
        error: int = call_now(channel, sock, c_connect_ex, address)
        if error != EAGAIN:
            return 0 if error == EISCONN else error
        pause = min(2 * pause, LAST_RETRY)


# Time-outs


def settimeout(self: Socket, value: float | None, /) -> None:
    """Set the time-out in seconds: None waits for ever, 0 never waits."""
    channel = channels.get(id(self)) or open_channel(self)
    if value is None:
        channel.timeout = None
        if not channel.blocking or channel.forks == forks.count:
            set_mode(channel, self)
    elif value.__class__ in (float, int) and 0 <= value < LONGEST_TIMEOUT:
        channel.timeout = float(value)
        if channel.blocking:
            set_mode(channel, self)
    else:
        # What is rare or wrong is left to the original, which may raise.
        c_settimeout(self, value)
        channel.timeout = c_gettimeout(self)
        set_mode(channel, self)


def gettimeout(self: Socket, /) -> float | None:
    """The time-out in seconds, None if it waits for ever."""
    channel = channels.get(id(self))
    return c_gettimeout(self) if channel is None else channel.timeout


timeout = property(gettimeout, doc="the socket timeout")


def setblocking(self: Socket, flag: bool, /) -> None:
    """`settimeout(None)` if `flag` is true, else `settimeout(0)`."""
    settimeout(self, None if flag else 0.0)


def getblocking(self: Socket, /) -> bool:
    """Whether it may wait."""
    channel = channels.get(id(self))
    return c_getblocking(self) if channel is None else channel.timeout != 0


# The end


def close_for_real(self: Socket, _ss: Any = c_socket) -> None:
    """Close the descriptor: whoever waits for it gets OSError(EBADF). Never switches."""
    fd = c_fileno(self)
    if fd >= 0:
        channel = channels.pop(id(self), None)
        if channel is not None and channel.stash:
            channel.stash.drop()
        close_fd(fd)
    c_close(self)


def detach(self: Socket) -> int:
    """Give up the descriptor and return it, blocking if the socket had no time-out."""
    fd = c_fileno(self)
    channel = channels.pop(id(self), None)
    if fd >= 0:
        close_fd(fd)
        if channel is not None and channel.timeout is None and not channel.blocking:
            c_setblocking(self, True)
    self._closed = True  # type: ignore[attr-defined]
    return c_detach(self)
