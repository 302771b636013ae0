"""When a socket's descriptor is in non-blocking mode (rule 8.8).

O_NONBLOCK belongs to the open file, and the open file may have other holders:
a child process, a `dup`, a process that was sent it. None of them expects
`BlockingIOError` because *this* process does not want to wait.

1. It is set where the standard library sets it: while the socket has a
   time-out or does not wait at all.
2. Otherwise calls of the `send` and `recv` families have a flag of their own
   that keeps them from waiting (`DONTWAIT`).
3. `connect`, `accept` and `sendfile` have none. The mode is changed for the
   duration of one such call, which does not wait, in the OS thread of the hub
   that the channel is bound to: nobody else may change it at the same time.
   `connect` is called so in any case: nobody waits for what is not connected.
4. A descriptor that others are known to hold keeps its mode: `accept` then
   waits for readiness and is called on a native thread, because another
   process may be faster; `sendfile` gives way to reading and sending. Others
   are known to hold it when its number was given to the socket's constructor,
   when it is inheritable, and when it was sent, duplicated, or given to a
   child process (`patches/heirs.py`).
5. After a fork both processes would change the mode behind each other's back:
   there a socket that is older stays non-blocking from the first such call on.
   Both run this code.
6. TLS needs it from the first byte to `unwrap`; nobody else can make sense of
   the bytes of such a connection.

Systems without `DONTWAIT` have every socket in non-blocking mode from its
first call until `detach`.
"""

from __future__ import annotations

import os
from _socket import socket as c_socket
from _thread import get_ident
from collections import deque
from errno import EAGAIN
from functools import partial
from typing import TYPE_CHECKING, Any

from greenworld.hub.native import run
from greenworld.hub.poller import READ
from greenworld.hub.readiness import wait_fd
from greenworld.patches.channel import DONTWAIT, UNBOUND, Channel, channels, forks, open_channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "Stash",
    "accept_now",
    "call_now",
    "is_shared",
    "may_switch_mode",
    "pin",
    "set_mode",
    "share",
    "unpin",
]

c_accept: Any = vars(c_socket)["_accept"]
c_fileno = c_socket.fileno
c_settimeout = c_socket.settimeout
get_inheritable = os.get_inheritable


def set_mode(channel: Channel, sock: Any) -> None:
    """Give the descriptor the mode that its logical time-out asks for."""
    blocking = channel.timeout is None and not channel.pinned and DONTWAIT != 0
    c_settimeout(sock, None if blocking else 0)
    channel.blocking = blocking


def pin(channel: Channel, sock: Any) -> None:
    """Keep the descriptor non-blocking, whatever the time-out."""
    channel.pinned = True
    if channel.blocking:
        set_mode(channel, sock)


def unpin(channel: Channel, sock: Any) -> None:
    """Take back `pin`."""
    channel.pinned = False
    set_mode(channel, sock)


def call_now(channel: Channel, sock: Any, call: Callable[..., Any], *args: Any) -> Any:
    """`call(sock, *args)` with a descriptor that does not wait. Never switches."""
    if channel.forks != forks.count:
        channel.pinned = True
        set_mode(channel, sock)  # each time: another process may have taken it back
    if not channel.blocking:
        return call(sock, *args)
    c_settimeout(sock, 0)
    try:
        return call(sock, *args)
    finally:
        if channel.forks == forks.count:
            set_mode(channel, sock)
        else:
            channel.blocking = False
            channel.pinned = True


# Who else holds the open file


def is_shared(channel: Channel, sock: Any) -> bool:
    """Whether others are known to hold the open file."""
    return channel.shared or get_inheritable(c_fileno(sock))


def share(fds: Iterable[int]) -> None:
    """Others hold the open files of these descriptors from now on."""
    numbers = {fd for fd in fds if fd >= 0}
    for channel in list(channels.values()):
        sock: Any = channel()
        if sock is not None and c_fileno(sock) in numbers:
            channel.shared = True


def may_switch_mode(channel: Channel, sock: Any) -> bool:
    """Whether the calling OS thread may change the descriptor's mode for one call."""
    if not channel.blocking:
        # Through another object of the same open file it may have been made blocking.
        return not (channel.shared and os.get_blocking(c_fileno(sock)))
    io = channel.attach(sock)
    return io is not None and channel.ident == get_ident() and not is_shared(channel, sock)


# Accepting


def accept_now(sock: Any) -> tuple[int, Any]:
    """`accept` that raises BlockingIOError rather than wait: `(descriptor, address)`.

    **Blocks** the green thread where the descriptor is shared and another
    process takes the connection at the same moment.
    """
    channel = channels.get(id(sock)) or open_channel(sock)
    if may_switch_mode(channel, sock):
        result: tuple[int, Any] = call_now(channel, sock, c_accept)
        return result
    stash = channel.stash
    if stash is None:
        stash = channel.stash = Stash(channel)
    if stash.found:
        return stash.found.popleft()
    if stash.lingering or not wait_fd(c_fileno(sock), READ, 0):
        raise BlockingIOError(EAGAIN, os.strerror(EAGAIN))
    return _Acceptance(sock, stash).wait()


class Stash:
    """What calls of `accept` have brought, or will bring, after nobody waited for them any more."""

    __slots__ = ("channel", "found", "lingering")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.found: deque[tuple[int, Any]] = deque()
        self.lingering: list[_Acceptance] = []
        """They take the next connection: until then nobody else is to try."""

    def keep(self, found: tuple[int, Any]) -> None:
        """Keep a connection for the next who asks; in any OS thread."""
        if channels.get(self.channel.key) is self.channel:
            self.found.append(found)
        else:
            os.close(found[0])  # the listener is gone

    def end(self, acceptance: _Acceptance) -> None:
        """One lingers no longer: who waits for readiness is to look again. In any OS thread."""
        try:
            self.lingering.remove(acceptance)
        except ValueError:
            pass
        io = self.channel.io
        if io is not UNBOUND:
            io.hub.post(partial(io.ready, READ))

    def drop(self) -> None:
        """Before the listener is closed: reset the connections that nobody asked for."""
        while self.found:
            os.close(self.found.popleft()[0])


class _Acceptance:
    """One `accept` on a native thread.

    Whoever gives up marks that first and looks second, and so does the native
    thread with what it has done: one of the two always sees the other.
    """

    __slots__ = ("_abandoned", "_begun", "_done", "_found", "_sock", "_stash")

    def __init__(self, sock: Any, stash: Stash) -> None:
        self._sock = sock
        self._stash = stash
        self._found: list[tuple[int, Any]] = []
        self._abandoned = self._begun = self._done = False

    def wait(self) -> tuple[int, Any]:
        """**Blocks** the green thread."""
        try:
            run(self.accept)
            return self._found.pop()
        except BaseException:
            self.abandon()
            raise

    def accept(self) -> None:
        """On the native thread."""
        self._begun = True
        if self._abandoned:
            self._stash.end(self)
            return
        try:
            self._found.append(c_accept(self._sock))
        finally:
            self._done = True
            if self._abandoned:
                self._pass_on()

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._stash.lingering.append(self)
        self._abandoned = True
        if self._done or not self._begun:
            self._pass_on()

    def _pass_on(self) -> None:
        """Whoever takes the connection out of the list, keeps it: two OS threads may try."""
        try:
            self._stash.keep(self._found.pop())
        except IndexError:
            pass
        self._stash.end(self)
