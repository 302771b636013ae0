"""The methods of sockets that read, and `accept`.

The rules of waiting are in `patches/channel.py`.

1. Try first. A method calls C at once unless the record says that it would
   not succeed or others wait already, and then again whenever it is woken.
2. After a read, the next reader is woken, unless the stream is known to be
   drained: a short read says so where the hub watches for the next edge, at
   no end of file or error, without flags, and on the hub's own OS thread.
3. No method calls another method of the socket by name: a subclass may
   override it.
4. C is called with `DONTWAIT`: the descriptor may be in blocking mode
   (`patches/blocking.py`).
"""

from __future__ import annotations

import socket as stdlib_socket
from _socket import MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_WAITALL
from _socket import socket as c_socket
from _thread import get_ident
from typing import TYPE_CHECKING, Any

from greenworld.hub.readiness import close_fd
from greenworld.patches.blocking import accept_now
from greenworld.patches.channel import DONTWAIT, channels, forks, open_channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Socket = stdlib_socket.socket
    Address = Any
    Buffer = Any

__all__ = [
    "accept",
    "accept_fd",
    "keep_for_us",
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "recvmsg",
    "recvmsg_into",
]

c_accept: Any = vars(c_socket)["_accept"]
c_recv = c_socket.recv
c_recv_into = c_socket.recv_into
c_recvfrom = c_socket.recvfrom
c_recvfrom_into = c_socket.recvfrom_into
c_recvmsg: Any = getattr(c_socket, "recvmsg", None)
c_recvmsg_into: Any = getattr(c_socket, "recvmsg_into", None)
c_family: Any = vars(c_socket)["family"].__get__
c_type: Any = vars(c_socket)["type"].__get__
c_proto: Any = vars(c_socket)["proto"].__get__

NEVER_WAITS = MSG_DONTWAIT | MSG_OOB | getattr(stdlib_socket, "MSG_ERRQUEUE", 0)
"""Flags with which the kernel does not wait, whatever the descriptor's mode."""


def recv(self: Socket, bufsize: int, flags: int = 0, /) -> bytes:
    """Receive up to `bufsize` bytes; b"" at the end. **Blocks** while nothing is there.

    Raises TimeoutError after the socket's time-out, and OSError(EBADF) if the
    socket is closed meanwhile. Several readers are served in order.
    """
    if flags:
        return _recv_with_flags(self, bufsize, flags)
    try:
        channel = channels[id(self)]
    except KeyError:
        channel = open_channel(self)
    io = channel.io
    if io.readable and not io.readers:
        try:
            data = c_recv(self, bufsize, DONTWAIT)
        except BlockingIOError:
            data = channel.read(self, True, c_recv, bufsize, DONTWAIT)
            io = channel.io
    else:
        data = channel.read(self, False, c_recv, bufsize, DONTWAIT)
        io = channel.io
    if (
        0 < len(data) < bufsize
        and io.armed
        and channel.stream
        and not io.hangup
        and channel.ident == get_ident()
    ):
        io.readable = False
    elif io.readers:
        io.pass_read()
    return data


def _recv_with_flags(sock: Socket, bufsize: int, flags: int) -> bytes:
    """`recv` for the rare case."""
    data: bytes = _read(sock, flags, c_recv, bufsize, flags | DONTWAIT)
    if len(data) in (0, bufsize) or not _waits_for_all(sock, flags):
        return data
    pieces = [data]
    left = bufsize - len(data)
    while left and data:
        try:
            data = _read(sock, 0, c_recv, left, flags | DONTWAIT)
        except OSError:
            break  # the next call meets it again
        pieces.append(data)
        left -= len(data)
    return b"".join(pieces)


def _waits_for_all(sock: Socket, flags: int) -> bool:
    """Whether a read is to fill its buffer. **Source**: recv(2), MSG_WAITALL."""
    if flags & (MSG_WAITALL | MSG_PEEK | NEVER_WAITS) != MSG_WAITALL:
        return False
    channel = channels.get(id(sock)) or open_channel(sock)
    return channel.stream and channel.timeout is None


def recv_into(self: Socket, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
    """Receive into `buffer` and return the number of bytes; see `recv`."""
    if flags:
        return _recv_into_with_flags(self, buffer, nbytes, flags)
    try:
        channel = channels[id(self)]
    except KeyError:
        channel = open_channel(self)
    io = channel.io
    if io.readable and not io.readers:
        try:
            count = c_recv_into(self, buffer, nbytes, DONTWAIT)
        except BlockingIOError:
            count = channel.read(self, True, c_recv_into, buffer, nbytes, DONTWAIT)
            io = channel.io
    else:
        count = channel.read(self, False, c_recv_into, buffer, nbytes, DONTWAIT)
        io = channel.io
    if (
        count
        and io.armed
        and channel.stream
        and not io.hangup
        and count < (nbytes or _size(buffer))
        and channel.ident == get_ident()
    ):
        io.readable = False
    elif io.readers:
        io.pass_read()
    return count


def _size(buffer: Buffer) -> int:
    """The bytes that fit; 0 where it is not worth finding out."""
    if isinstance(buffer, memoryview):
        return buffer.nbytes
    return len(buffer) if isinstance(buffer, bytearray) else 0


def _recv_into_with_flags(sock: Socket, buffer: Buffer, nbytes: int, flags: int) -> int:
    """`recv_into` for the rare case."""
    count: int = _read(sock, flags, c_recv_into, buffer, nbytes, flags | DONTWAIT)
    if not count or not _waits_for_all(sock, flags):
        return count
    with memoryview(buffer) as view, view.cast("B") as octets:
        end = nbytes or len(octets)
        while count < end:
            try:
                more = _read(sock, 0, c_recv_into, octets[count:end], 0, flags | DONTWAIT)
            except OSError:
                break  # the next call meets it again
            if not more:
                break
            count += more
    return count


def _read(sock: Socket, flags: int, call: Callable[..., Any], *args: Any) -> Any:
    """One read that says nothing about what is left; `flags` are the caller's."""
    channel = channels.get(id(sock)) or open_channel(sock)
    if flags & NEVER_WAITS and channel.timeout is None:
        return call(sock, *args)
    io = channel.io
    if io.readable and not io.readers:
        try:
            result = call(sock, *args)
        except BlockingIOError:
            result = channel.read(sock, True, call, *args)
    else:
        result = channel.read(sock, False, call, *args)
    io = channel.io
    if io.readers:
        io.pass_read()
    return result


def recvfrom(self: Socket, bufsize: int, flags: int = 0, /) -> tuple[bytes, Address]:
    """Receive `(data, address)`. **Blocks** while nothing is there; see `recv`."""
    result: tuple[bytes, Address] = _read(self, flags, c_recvfrom, bufsize, flags | DONTWAIT)
    return result


def recvfrom_into(
    self: Socket, buffer: Buffer, nbytes: int = 0, flags: int = 0
) -> tuple[int, Address]:
    """Receive into `buffer` and return `(number of bytes, address)`; see `recv`."""
    result: tuple[int, Address] = _read(
        self, flags, c_recvfrom_into, buffer, nbytes, flags | DONTWAIT
    )
    return result


def recvmsg(
    self: Socket, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
) -> tuple[bytes, list[tuple[int, int, bytes]], int, Address]:
    """Receive `(data, ancillary data, message flags, address)`; see `recv`."""
    # The kernel ends a read where rights were attached: from now on, short proves nothing.
    (channels.get(id(self)) or open_channel(self)).stream = False
    result: Any = _read(self, flags, c_recvmsg, bufsize, ancbufsize, flags | DONTWAIT)
    return result  # type: ignore[no-any-return]


def recvmsg_into(
    self: Socket, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
) -> tuple[int, list[tuple[int, int, bytes]], int, Address]:
    """Receive into `buffers`: `(number of bytes, ancillary data, message flags, address)`."""
    (channels.get(id(self)) or open_channel(self)).stream = False
    args = list(buffers), ancbufsize, flags | DONTWAIT
    result: Any = _read(self, flags, c_recvmsg_into, *args)
    return result  # type: ignore[no-any-return]


def accept_fd(sock: Socket) -> tuple[int, Address]:
    """Wait for a connection: `(descriptor, address)`. **Blocks**."""
    fd, address = _read(sock, 0, accept_now)
    close_fd(fd)
    return fd, address


def accept(self: Socket) -> tuple[Socket, Address]:
    """Wait for a connection: `(socket, address)`. **Blocks** while there is none.

    The new socket has the default time-out, as in the standard library.
    """
    fd, address = accept_fd(self)
    sock = stdlib_socket.socket(c_family(self), c_type(self), c_proto(self), fd)
    keep_for_us(sock)
    return sock, address


def keep_for_us(sock: Socket) -> None:
    """Nobody else has the descriptor, although it was given to the constructor."""
    (channels.get(id(sock)) or open_channel(sock, forks.count)).shared = False
