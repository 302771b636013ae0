"""TLS on cooperative sockets: the methods of `ssl.SSLSocket` that wait.

OpenSSL works on the non-blocking descriptor (`patches/blocking.py`, rule 6)
and says what it waits for; each method here is the original's, tried again
whenever that has come. The time-out counts from the call, also where the
original waits several times.

1. Reading and writing may go on at the same time. Whoever waits is woken by
   every report for its direction, because bytes that one call has read may be
   what another one waits for: a handshake in the middle of a write, the answer
   to `unwrap`.
2. Writes take turns: OpenSSL remembers a record that did not fit, and takes
   whatever is written next for the rest of it.
3. OpenSSL keeps what the last call came to in the connection, and CPython
   before 3.13.1 lets two OS threads into it at once: one then reads what the
   other's call came to, as a rule an end that is none. One at a time is let in
   here; no call waits, so that nobody waits long.
4. `ssl.SSLContext` is left alone, and so are `SSLObject` and `MemoryBIO`, which
   never wait.
"""

from __future__ import annotations

import os
import ssl
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenworld.hub.lock import Lock
from greenworld.hub.native import ThreadLock
from greenworld.hub.poller import READ, WRITE
from greenworld.hub.readiness import wait_fd
from greenworld.patches.blocking import pin, unpin
from greenworld.patches.channel import Channel, channels, open_channel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["create", "do_handshake", "read", "send", "sendfile", "unwrap", "write"]

PIECE = 256 * 1024
"""Bytes of a file that are read, encrypted and sent at a time."""

plain_create: Any = vars(ssl.SSLSocket)["_create"].__func__
plain_do_handshake = ssl.SSLSocket.do_handshake
plain_read: Any = ssl.SSLSocket.read
plain_send: Any = ssl.SSLSocket.send
plain_sendfile = ssl.SSLSocket.sendfile
plain_unwrap = ssl.SSLSocket.unwrap
plain_write: Any = ssl.SSLSocket.write


def _channel_of(sock: Any) -> Channel | None:
    """The channel of a socket that speaks TLS; None if it does not, or is closed."""
    if sock._sslobj is None:
        return None
    channel = channels.get(id(sock))
    if channel is None or channel.guard is None:
        channel = _prepare(sock)
    if not channel.pinned:
        pin(channel, sock)
    return channel


_preparing = ThreadLock()
os.register_at_fork(after_in_child=_preparing._at_fork_reinit)  # type: ignore[attr-defined]


def _prepare(sock: Any) -> Channel:
    """The channel with its locks: the same ones for every OS thread."""
    with _preparing:
        channel = channels.get(id(sock)) or open_channel(sock)
        if channel.guard is None:
            channel.turn = Lock()
            channel.guard = ThreadLock()
        return channel


def _call_now(channel: Channel, sock: Any, original: Callable[..., Any], *args: Any) -> Any:
    """`original(sock, *args)`, which does not wait, in one OS thread at a time."""
    with channel.guard:  # type: ignore[union-attr]
        return original(sock, *args)


def _perform(
    channel: Channel,
    sock: ssl.SSLSocket,
    deadline: float | None,
    name: str,
    original: Callable[..., Any],
    *args: Any,
) -> Any:
    """`original(sock, *args)`, called again whenever OpenSSL can go on. **Blocks** meanwhile."""
    guard: Any = channel.guard
    while True:
        try:
            with guard:
                return original(sock, *args)
        except ssl.SSLWantReadError:
            mask = READ
        except ssl.SSLWantWriteError:
            mask = WRITE
        timeout = None if deadline is None else deadline - monotonic()
        io = channel.attach(sock)
        try:
            if io is not None:
                if mask == READ:
                    io.readable = False
                else:
                    io.writable = False
                io.wait_news(mask, timeout)
            elif not wait_fd(sock.fileno(), mask, timeout):
                raise TimeoutError
        except TimeoutError:
            raise TimeoutError(f"The {name} operation timed out") from None


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else monotonic() + timeout


def do_handshake(self: ssl.SSLSocket, block: bool = False) -> None:
    """Perform the handshake. **Blocks**, unless the socket never waits and `block` is false.

    Raises TimeoutError after the socket's time-out, and the SSLError of the failure.
    """
    channel = _channel_of(self)
    if channel is None:
        plain_do_handshake(self, block)
        return
    if channel.timeout == 0 and not block:
        _call_now(channel, self, plain_do_handshake)
        return
    deadline = _deadline(channel.timeout or None)
    _perform(channel, self, deadline, "handshake", plain_do_handshake)


def read(self: ssl.SSLSocket, len: int = 1024, buffer: Any = None) -> Any:
    """Read up to `len` bytes, into `buffer` if there is one. **Blocks** while nothing is there.

    Returns the bytes, or their number; b"" or 0 at the end.
    """
    channel = _channel_of(self)
    if channel is None:
        return plain_read(self, len, buffer)
    if channel.timeout == 0:
        return _call_now(channel, self, plain_read, len, buffer)
    return _perform(channel, self, _deadline(channel.timeout), "read", plain_read, len, buffer)


def write(self: ssl.SSLSocket, data: Any) -> int:
    """Write `data` and return the number of its bytes. **Blocks** while it does not fit."""
    return _write(self, plain_write, data)


def send(self: ssl.SSLSocket, data: Any, flags: int = 0) -> int:
    """Send `data` and return the number of its bytes. **Blocks** while it does not fit."""
    return _write(self, plain_send, data, flags)


def _write(sock: ssl.SSLSocket, original: Callable[..., int], *args: Any) -> int:
    """One write, after those that have begun."""
    channel = _channel_of(sock)
    if channel is None:
        return original(sock, *args)
    turn: Any = channel.turn
    deadline = _deadline(channel.timeout)
    if not turn.acquire(False):
        if channel.timeout == 0:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "another write is going on")
        if not turn.acquire(True, -1 if channel.timeout is None else channel.timeout):
            raise TimeoutError("The write operation timed out")
    try:
        if channel.timeout == 0:
            count: int = _call_now(channel, sock, original, *args)
        else:
            count = _perform(channel, sock, deadline, "write", original, *args)
        return count
    finally:
        turn.release()


def sendfile(self: ssl.SSLSocket, file: Any, offset: int = 0, count: int | None = None) -> int:
    """Send a file, or `count` bytes of it, and return how many. **Blocks** as `send` does.

    Reading the file may block the OS thread, as reading files does.
    """
    if self._sslobj is None:  # type: ignore[attr-defined]
        return plain_sendfile(self, file, offset, count)
    self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
    if self.gettimeout() == 0:
        raise ValueError("non-blocking sockets are not supported")
    if offset:
        file.seek(offset)
    total = 0
    try:
        while count is None or total < count:
            piece = file.read(PIECE if count is None else min(PIECE, count - total))
            if not piece:
                break
            self.sendall(piece)
            total += len(piece)
        return total
    finally:
        if total and hasattr(file, "seek"):
            file.seek(offset + total)


def unwrap(self: ssl.SSLSocket) -> Any:
    """End TLS and return the socket for what follows in clear. **Blocks** until both have ended.

    Raises TimeoutError after the socket's time-out.
    """
    channel = _channel_of(self)
    if channel is None:
        plain = plain_unwrap(self)
    elif channel.timeout == 0:
        plain = _call_now(channel, self, plain_unwrap)
    else:
        plain = _perform(channel, self, _deadline(channel.timeout), "shutdown", plain_unwrap)
    if channel is not None and self.fileno() >= 0:
        unpin(channel, self)
    return plain


def _create(cls: type[ssl.SSLSocket], sock: Any, *args: Any, **kwargs: Any) -> Any:
    """Take over a socket's descriptor, and what is known of its other holders. **Blocks**."""
    old = channels.get(id(sock))
    new = plain_create(cls, sock, *args, **kwargs)
    channel = channels.get(id(new))
    if channel is not None:
        channel.shared = old is not None and old.shared
        channel.forks = 0 if old is None else old.forks
    return new


create = classmethod(_create)
