"""Channels: what the runtime knows of one socket object.

Owns the table of open sockets: their logical time-outs and their records in
the hub. Every waiting of a socket goes through here.

1. State belongs to the socket *object*, as the C-level time-out does: two
   objects round one descriptor (`ssl` wraps so) have a channel each and share
   the hub's record. The class has no room for it, so it is found by `id()`; a
   channel is itself the weak reference that ends with its socket.
2. A channel is made with its socket, because it knows which forks are later; at
   the latest it is made before the first call that could block. It takes over
   the C-level time-out as the logical one; the C-level one is from then on 0, or
   None where the descriptor stays in blocking mode (`patches/blocking.py`).
3. A channel is bound to the hub in which its socket first waits. Elsewhere the
   socket waits for level-triggered readiness, which needs no record of edges.
4. Of a socket that was made before the patch it is not known whether that was
   before a fork: it is taken for older than every fork.
5. Only the bound hub's OS thread may call a descriptor drained: anybody else
   could overwrite an edge that the hub reports at the same moment.
"""

from __future__ import annotations

import os
import socket as stdlib_socket
import sys
from _socket import MSG_DONTWAIT, SOCK_STREAM
from _socket import socket as c_socket
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import ref

from greenworld.hub.current import current_waiter
from greenworld.hub.flow import current_greenlet
from greenworld.hub.poller import READ, WRITE
from greenworld.hub.readiness import wait_fd
from greenworld.hub.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from greenworld.hub.io import Io
    from greenworld.hub.lock import Lock
    from greenworld.hub.loop import Hub
    from greenworld.hub.native import ThreadLock
    from greenworld.patches.blocking import Stash

    _Ref = ref[stdlib_socket.socket]
else:
    _Ref = ref

__all__ = ["DONTWAIT", "UNBOUND", "Channel", "channels", "forks", "open_channel"]

c_fileno = c_socket.fileno
c_gettimeout = c_socket.gettimeout
c_settimeout = c_socket.settimeout
c_type: Any = vars(c_socket)["type"]

DONTWAIT = MSG_DONTWAIT if sys.platform == "linux" else 0
"""The flag that keeps a call of the `send` and `recv` families from waiting, where all know it.

With it, a descriptor need not be in non-blocking mode. **Source**: send(2), recv(2).
"""


class Unbound:
    """Stands for the record of a socket that has not waited yet: try, remember nothing."""

    __slots__ = ()

    hub = None
    readable = writable = hangup = True
    closed = False
    armed = 0
    readers = writers = ()


UNBOUND: Any = Unbound()


class Channel(_Ref):
    """One open socket object."""

    __slots__ = (
        *("blocking", "forks", "guard", "ident", "io", "key", "pinned"),
        *("shared", "stash", "stream", "timeout", "turn"),
    )

    blocking: bool
    """Whether the descriptor is in blocking mode, as far as this object is concerned."""
    forks: int
    """How often the process had forked when the socket was made."""
    guard: ThreadLock | None
    """What OpenSSL does for this socket, it does in the OS thread that has it."""
    io: Io
    """The bound hub's record, or `UNBOUND`."""
    ident: int
    """The bound hub's OS thread."""
    key: int
    pinned: bool
    """Whether the descriptor stays non-blocking also without a time-out."""
    shared: bool
    """Whether others are known to hold the open file."""
    stash: Stash | None
    """Connections that were accepted for somebody who did not wait for them any more."""
    stream: bool
    """Whether a short read proves that nothing is left."""
    timeout: float | None
    """The logical time-out in seconds; 0 never waits, None waits for ever."""
    turn: Lock | None
    """Who writes TLS has it."""

    # Waiting

    def read(self, sock: Any, tried: bool, call: Callable[..., Any], *args: Any) -> Any:
        """`call(sock, *args)` as soon as it does not block: the readers' slow path.

        `tried`: it has just been tried in vain. **Blocks.**
        """
        timeout = self.timeout
        if timeout == 0:
            return call(sock, *args)
        io = self.io
        task = getattr(current_greenlet(), "task", None)
        if task is None or io.hub is not task.hub or io.closed:
            bound = self.attach(sock)
            if bound is None:
                return self._retry_elsewhere(READ, sock, call, *args)
            io = bound
            task = current_greenlet().task
        if tried:
            io.readable = False
        elif io.readable and not io.readers:
            try:
                return call(sock, *args)
            except BlockingIOError:
                io.readable = False
        if io.armed & READ:
            # `io.wait_read(timeout)` without its calls: nothing is done more often.
            lot = io.readers
            lot.append(task)
            try:
                woken = task.park(io, lot, timeout)
            except BaseException:
                io.pass_read()
                raise
            if not woken:
                raise TimeoutError("timed out")
            if io.closed:
                raise io._closed_error()
        else:
            io.wait_read(timeout)
        try:
            return call(sock, *args)
        except BlockingIOError:
            io.readable = False
        except BaseException:
            io.pass_read()
            raise
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            io.retry_read(None if deadline is None else deadline - monotonic())
            try:
                return call(sock, *args)
            except BlockingIOError:
                io.readable = False
            except BaseException:
                io.pass_read()
                raise

    def write(self, sock: Any, tried: bool, call: Callable[..., Any], *args: Any) -> Any:
        """`read` for the writers. The caller passes the turn on (`pass_write`) when it is done."""
        timeout = self.timeout
        if timeout == 0:
            return call(sock, *args)
        deadline = None if timeout is None else monotonic() + timeout
        return self.write_until(deadline, sock, tried, False, call, *args)

    def write_until(
        self,
        deadline: float | None,
        sock: Any,
        tried: bool,
        first: bool,
        call: Callable[..., Any],
        *args: Any,
    ) -> Any:
        """`write` with a deadline; `first`: ahead of the other writers."""
        io = self.attach(sock)
        if io is None:
            return self._retry_elsewhere(WRITE, sock, call, *args)
        if tried:
            io.writable = False
        while True:
            if not io.writable or (io.writers and not first):
                timeout = None if deadline is None else deadline - monotonic()
                if first:
                    io.retry_write(timeout)
                else:
                    io.wait_write(timeout)
                first = True
            try:
                return call(sock, *args)
            except BlockingIOError:
                io.writable = False
            except BaseException:
                io.pass_write()
                raise

    def _retry_elsewhere(self, mask: int, sock: Any, call: Callable[..., Any], *args: Any) -> Any:
        """Where the channel is not bound: an OS thread without a hub, or of another hub."""
        deadline = None if self.timeout is None else monotonic() + self.timeout
        while True:
            try:
                return call(sock, *args)
            except BlockingIOError:
                left = None if deadline is None else deadline - monotonic()
            if not wait_fd(c_fileno(sock), mask, left):
                raise TimeoutError("timed out")

    def wait_writable(self, sock: Any, deadline: float | None) -> None:
        """Wait for the next time the socket becomes writable, for a connect in progress."""
        timeout = None if deadline is None else deadline - monotonic()
        io = self.attach(sock)
        if io is not None:
            io.wait_write(timeout)
        elif not wait_fd(c_fileno(sock), WRITE, timeout):
            raise TimeoutError("timed out")

    # Binding

    def attach(self, sock: Any) -> Io | None:
        """The record if the running code belongs to the bound hub; binds on first use.

        None in an OS thread without a hub, or in another hub's.
        """
        try:
            task = current_greenlet().task
        except AttributeError:
            task = current_waiter()
            if not isinstance(task, Task):
                return None
        io = self.io
        if io.hub is task.hub and not io.closed:
            return io
        if io is UNBOUND or io.hub.closed or io.closed:
            return self._bind(sock, task.hub)
        return None

    def _bind(self, sock: Any, hub: Hub) -> Io:
        io = hub.io(c_fileno(sock))
        if io.armed:
            # Perhaps from an earlier life of the number: have the kernel's present state reported.
            hub.poller.rearm(io, io.armed)
            io.readable = io.writable = True
        self.io = io
        self.ident = hub.thread_id
        return io


channels: dict[int, Channel] = {}
"""Channels of living sockets by `id(socket)`."""


class _Forks:
    """How often this process has forked, or has been."""

    count = 0

    def add(self) -> None:
        """Before a fork, in the parent."""
        self.count += 1


forks = _Forks()
os.register_at_fork(before=forks.add)


def open_channel(sock: Any, made: int = 0) -> Channel:
    """Make the channel of a socket that has none; the process had forked `made` times before it.

    Raises OSError(EBADF) if it is closed.
    """
    timeout = c_gettimeout(sock)
    channel = Channel(sock, _forget)
    if timeout is None and DONTWAIT:
        if c_fileno(sock) < 0:
            c_settimeout(sock, None)  # raises
        channel.blocking = True
    else:
        c_settimeout(sock, 0)
        channel.blocking = False
    channel.key = id(sock)
    channel.timeout = timeout
    channel.stream = c_type.__get__(sock) & 0xF == SOCK_STREAM
    channel.io = UNBOUND
    channel.ident = 0
    channel.forks = made
    channel.pinned = channel.shared = False
    channel.stash = channel.turn = channel.guard = None
    channels[channel.key] = channel
    return channel


def _forget(channel: Any, /) -> None:
    """The socket object is gone, and with it its descriptor."""
    key, io = channel.key, channel.io
    if channels.get(key) is channel:
        del channels[key]
    if io is not UNBOUND:
        io.close()
