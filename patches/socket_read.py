"""The methods of sockets that read, and `accept`.

The rules of waiting are in `patches/channel.py`.

1. Try first. A method calls C at once unless the record says that it would
   not succeed or others wait already, and then again whenever it is woken.
2. After a read, the next reader is woken, unless the stream is known to be
   drained: a short read says so where the hub watches for the next edge, at
   no end of file or error, without flags, and on the hub's own OS thread.
3. No method calls another method of the socket by name: a subclass may
   override it.
"""

from __future__ import annotations

import socket as stdlib_socket
from _socket import socket as c_socket
from _thread import get_ident
from typing import TYPE_CHECKING, Any

from greenworld.hub.readiness import close_fd
from greenworld.patches.channel import channels, open_channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Socket = stdlib_socket.socket
    Address = Any
    Buffer = Any

__all__ = [
    "accept",
    "accept_fd",
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


def recv(self: Socket, bufsize: int, flags: int = 0, /) -> bytes:
    """Receive up to `bufsize` bytes; b"" at the end. **Blocks** while nothing is there.

    Raises TimeoutError after the socket's time-out, and OSError(EBADF) if the
    socket is closed meanwhile. Several readers are served in order.
    """
    try:
        channel = channels[id(self)]
    except KeyError:
        channel = open_channel(self)
    io = channel.io
    if io.readable and not io.readers:
        try:
            data = c_recv(self, bufsize, flags)
        except BlockingIOError:
            data = channel.read(self, True, c_recv, bufsize, flags)
            io = channel.io
    else:
        data = channel.read(self, False, c_recv, bufsize, flags)
        io = channel.io
    if (
        0 < len(data) < bufsize
        and io.armed
        and channel.stream
        and not (flags or io.hangup)
        and channel.ident == get_ident()
    ):
        io.readable = False
    elif io.readers:
        io.pass_read()
    return data


def recv_into(self: Socket, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
    """Receive into `buffer` and return the number of bytes; see `recv`."""
    try:
        channel = channels[id(self)]
    except KeyError:
        channel = open_channel(self)
    io = channel.io
    if io.readable and not io.readers:
        try:
            count = c_recv_into(self, buffer, nbytes, flags)
        except BlockingIOError:
            count = channel.read(self, True, c_recv_into, buffer, nbytes, flags)
            io = channel.io
    else:
        count = channel.read(self, False, c_recv_into, buffer, nbytes, flags)
        io = channel.io
    if (
        count
        and io.armed
        and channel.stream
        and not (flags or io.hangup)
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


def _read(sock: Socket, call: Callable[..., Any], *args: Any) -> Any:
    """One read that says nothing about what is left."""
    channel = channels.get(id(sock)) or open_channel(sock)
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
    result: tuple[bytes, Address] = _read(self, c_recvfrom, bufsize, flags)
    return result


def recvfrom_into(
    self: Socket, buffer: Buffer, nbytes: int = 0, flags: int = 0
) -> tuple[int, Address]:
    """Receive into `buffer` and return `(number of bytes, address)`; see `recv`."""
    result: tuple[int, Address] = _read(self, c_recvfrom_into, buffer, nbytes, flags)
    return result


def recvmsg(
    self: Socket, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
) -> tuple[bytes, list[tuple[int, int, bytes]], int, Address]:
    """Receive `(data, ancillary data, message flags, address)`; see `recv`."""
    # The kernel ends a read where rights were attached: from now on, short proves nothing.
    (channels.get(id(self)) or open_channel(self)).stream = False
    result: Any = _read(self, c_recvmsg, bufsize, ancbufsize, flags)
    return result  # type: ignore[no-any-return]


def recvmsg_into(
    self: Socket, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
) -> tuple[int, list[tuple[int, int, bytes]], int, Address]:
    """Receive into `buffers`: `(number of bytes, ancillary data, message flags, address)`."""
    (channels.get(id(self)) or open_channel(self)).stream = False
    result: Any = _read(self, c_recvmsg_into, list(buffers), ancbufsize, flags)
    return result  # type: ignore[no-any-return]


def accept_fd(sock: Socket) -> tuple[int, Address]:
    """Wait for a connection: `(descriptor, address)`. **Blocks**."""
    fd, address = _read(sock, c_accept)
    close_fd(fd)
    return fd, address


def accept(self: Socket) -> tuple[Socket, Address]:
    """Wait for a connection: `(socket, address)`. **Blocks** while there is none.

    The new socket has the default time-out, as in the standard library.
    """
    fd, address = accept_fd(self)
    return stdlib_socket.socket(c_family(self), c_type(self), c_proto(self), fd), address
