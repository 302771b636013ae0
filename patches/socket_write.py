"""The methods of sockets that write.

The rules of waiting are in `patches/channel.py`. As for reading: try first,
wait behind those who wait already, wake the next one after a success, and
call C with `DONTWAIT`.
"""

from __future__ import annotations

import io as stdlib_io
import os
import socket as stdlib_socket
from _socket import MSG_DONTWAIT, SOL_SOCKET
from _socket import socket as c_socket
from array import array
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenworld.patches.blocking import call_now, may_switch_mode, share
from greenworld.patches.channel import DONTWAIT, Channel, channels, open_channel
from greenworld.patches.resolver import numeric_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Socket = stdlib_socket.socket
    Address = Any
    Buffer = Any

__all__ = [
    "send",
    "sendall",
    "sendmsg",
    "sendto",
    "use_sendfile",
]

c_fileno = c_socket.fileno
c_send = c_socket.send
c_sendmsg: Any = getattr(c_socket, "sendmsg", None)
c_sendto: Any = c_socket.sendto
c_family: Any = vars(c_socket)["family"].__get__
c_type: Any = vars(c_socket)["type"].__get__
c_proto: Any = vars(c_socket)["proto"].__get__
os_sendfile: Any = getattr(os, "sendfile", None)
SCM_RIGHTS: Any = getattr(stdlib_socket, "SCM_RIGHTS", None)


def send(self: Socket, data: Buffer, flags: int = 0, /) -> int:
    """Send some of `data` and return how many bytes. **Blocks** while nothing fits.

    Raises TimeoutError after the socket's time-out, and OSError(EBADF) if the
    socket is closed meanwhile. Several writers are served in order.
    """
    count: int = _write(self, flags, c_send, data, flags | DONTWAIT)
    return count


def _write(sock: Socket, flags: int, call: Callable[..., Any], *args: Any) -> Any:
    """One write; `flags` are the caller's."""
    channel = channels.get(id(sock)) or open_channel(sock)
    if flags & MSG_DONTWAIT and channel.timeout is None:
        return call(sock, *args)
    io = channel.io
    if io.writable and not io.writers:
        try:
            result = call(sock, *args)
        except BlockingIOError:
            result = channel.write(sock, True, call, *args)
    else:
        result = channel.write(sock, False, call, *args)
    io = channel.io
    if io.writers:
        io.pass_write()
    return result


def sendall(self: Socket, data: Buffer, flags: int = 0, /) -> None:
    """Send all of `data`. **Blocks** while it does not fit.

    The time-out is for the whole. After an error it is unknown how much went
    out. What other green threads send goes before or after, never between.
    """
    try:
        channel = channels[id(self)]
    except KeyError:
        channel = open_channel(self)
    io = channel.io
    if io.writable and not io.writers:
        try:
            sent = c_send(self, data, flags | DONTWAIT)
        except BlockingIOError:
            if channel.timeout == 0 or flags & MSG_DONTWAIT:
                raise
            sent = -1
        if sent == len(data) and data.__class__ is bytes:
            return
    else:
        sent = -2
    with memoryview(data) as view, view.cast("B") as rest:
        if sent != len(rest):
            _send_rest(channel, self, rest, sent, flags)


def _send_rest(channel: Channel, sock: Socket, rest: memoryview, sent: int, flags: int) -> None:
    """The rest of `sendall`; `sent` -1: tried in vain, -2: not tried yet."""
    timeout = channel.timeout
    if timeout == 0 or flags & MSG_DONTWAIT:
        # As the original: what fits goes out, then BlockingIOError.
        c_socket.sendall(sock, rest[max(sent, 0) :], flags)
        return
    deadline = None if timeout is None else monotonic() + timeout
    place_kept = sent >= 0
    tried = sent == -1
    position = max(sent, 0)
    while True:
        position += channel.write_until(
            deadline, sock, tried, place_kept, c_send, rest[position:], flags | DONTWAIT
        )
        if position == len(rest):
            break
        place_kept, tried = True, False
    io = channel.io
    if io.writers:
        io.pass_write()


def sendto(self: Socket, data: Buffer, *flags_and_address: Any) -> int:
    """`sendto(data, [flags,] address)`: send a datagram. **Blocks** while it does not fit.

    A host name is looked up on a native thread.
    """
    if not flags_and_address:
        count: int = c_sendto(self, data)  # raises the TypeError that the original raises
        return count
    *others, address = flags_and_address
    address = numeric_address(c_family(self), c_type(self), c_proto(self), address)
    if len(others) > 1 or (others and others[0].__class__ is not int):
        count = c_sendto(self, data, *others, address)  # raises, or is rare enough
        return count
    flags = others[0] if others else 0
    count = _write(self, flags, c_sendto, data, flags | DONTWAIT, address)
    return count


def sendmsg(
    self: Socket,
    buffers: Iterable[Buffer],
    ancdata: Iterable[tuple[int, int, Buffer]] = (),
    flags: int = 0,
    address: Address = None,
    /,
) -> int:
    """Send what `buffers` hold, with ancillary data; see `send`."""
    if address is not None:
        address = numeric_address(c_family(self), c_type(self), c_proto(self), address)
    ancillary = list(ancdata)
    if ancillary:
        _share_what_is_sent(ancillary)
    args = list(buffers), ancillary, flags | DONTWAIT, address
    count: int = _write(self, flags, c_sendmsg, *args)
    return count


def _share_what_is_sent(ancillary: Iterable[Any]) -> None:
    """Others are about to hold the open files whose descriptors are sent."""
    for message in ancillary:  # what is no message, the call will refuse
        if isinstance(message, tuple) and message[:-1] == (SOL_SOCKET, SCM_RIGHTS):
            data = bytes(message[2])
            fds = array("i")
            fds.frombytes(data[: len(data) // fds.itemsize * fds.itemsize])
            share(fds)


def sendfile_now(sock: Socket, source: int, offset: int, count: int) -> int:
    """Send what fits of a file."""
    sent: int = os_sendfile(c_fileno(sock), source, offset, count)
    return sent


def use_sendfile(self: Socket, file: Any, offset: int = 0, count: int | None = None) -> int:
    """What `socket.sendfile` does where the system has `sendfile`. **Blocks** as `send` does.

    Reading the file may block the OS thread, as reading files does. A socket
    whose mode must not be changed (`patches/blocking.py`) reads and sends.
    """
    give_up: type[Exception] = stdlib_socket._GiveupOnSendfile  # type: ignore[attr-defined]
    self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
    if os_sendfile is None:
        raise give_up("os.sendfile() is not available on this platform")
    try:
        source = file.fileno()
        size = os.fstat(source).st_size
    except (AttributeError, stdlib_io.UnsupportedOperation, OSError) as error:
        raise give_up(error) from error
    channel = channels.get(id(self)) or open_channel(self)
    if channel.timeout == 0:
        raise ValueError("non-blocking sockets are not supported")
    if not may_switch_mode(channel, self):
        raise give_up("others may hold the socket: its mode cannot be changed")
    end = offset + (size if count is None else count)
    position = offset

    def send_piece(sock: Socket) -> int:
        room = min(end - position, 2**30)
        sent: int = call_now(channel, sock, sendfile_now, source, position, room)
        return sent

    try:
        while position < end:
            sent = _write(self, 0, send_piece)
            if not sent:
                break
            position += sent
    except (BlockingIOError, TimeoutError):
        raise
    except OSError as error:
        if position == offset:
            raise give_up(error) from error  # not a file that can be mapped
        raise
    finally:
        if position > offset and hasattr(file, "seek"):
            file.seek(position)
    return position - offset
