"""The bytes of a connection, both ways: what its body, its answer and its end need of a socket.

1. The socket is the C class in non-blocking mode, with the hub's record beside it: try first,
   wait if it would block, and never call `recv` just to be told that there is nothing. Fewer
   bytes than asked for mean that it is drained.
2. Something else may stand in its place, such as TLS: see `Wrapped`.
3. `send` and `receive` block their green thread only; a client that went away, or stays away
   for too long, is `ClientDisconnected` (or 408 while its body is awaited).
4. A client that is merely slow has to keep up with a minimum rate, counted over the time that
   the server spends waiting for it: its *lag* is that time less what its bytes are worth, never
   below zero. A lag beyond the time-out of the direction is as if nothing had come at all.
5. Nothing is ever sent behind a part of something: who catches the error of a `send` and sends
   again is told that the client has gone (`Severed`).
6. What a client has read is what the kernel holds no longer: a socket becomes writable only after
   a third of its buffer is free, which a slow client that reads all the time may not reach.
"""

from __future__ import annotations

from _socket import SHUT_WR
from _socket import socket as RawSocket
from fcntl import ioctl
from math import inf
from os import pread
from posix import sendfile
from struct import unpack
from termios import TIOCOUTQ
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from greenworld.hub import sleep
from greenworld.wsgi.errors import ClientDisconnected, HttpError

if TYPE_CHECKING:
    from greenworld.hub.io import Io
    from greenworld.wsgi.server import Server

__all__ = ["Severed", "Stream", "Wrapped"]

LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 1 << 20
FILE_AT_ONCE: Final = 1 << 20
"""Bytes of a file after which others have their turn, where the client reads as fast as we send."""
FILE_PIECE: Final = 65536
"""Bytes of a file that are read at once where the kernel cannot send it by itself."""


class Wrapped(Protocol):
    """What stands in a socket's place where the bytes on the wire are not those of HTTP.

    Each method does what the socket's does, on the bytes of HTTP, and never blocks: what cannot
    go on raises BlockingIOError. `send` answers for a byte only when all that carries it has
    left, so that who waits for the socket afterwards never waits for its own bytes; asked again
    with the rest, it goes on. `recv` returns fewer bytes than asked for only if no more are here.
    """

    raw: RawSocket
    """The socket below; closed as it is, it says nothing of an orderly end."""

    def recv(self, limit: int, /) -> bytes:
        """Return 1 to `limit` bytes, or none at the end of the stream."""

    def send(self, data: Any, /) -> int:
        """Send what goes at once; return how much that was."""

    def sendmsg(self, buffers: tuple[bytes, ...], /) -> int:
        """`send` for several pieces."""

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 after `close`."""

    def shutdown(self, how: int, /) -> None:
        """Send no more: for `SHUT_WR`, say so."""

    def close(self) -> None:
        """End in order, as far as that does not block, and close the socket."""


class Severed:
    """Stands in the place of a socket on which a `send` was broken off: see `Wrapped`.

    What is on its way may still be read, and so may what the client sends.
    """

    __slots__ = ("raw", "recv")

    def __init__(self, sock: RawSocket | Wrapped) -> None:
        self.raw = sock if isinstance(sock, RawSocket) else sock.raw
        self.recv = sock.recv

    def send(self, data: Any, /) -> int:
        """Raise."""
        raise BrokenPipeError("something was sent in part, and nothing can follow it")

    sendmsg = send

    def fileno(self) -> int:
        """See `Wrapped`."""
        return self.raw.fileno()

    def shutdown(self, how: int, /) -> None:
        """Shut the socket down, without a word of TLS."""
        self.raw.shutdown(how)

    def close(self) -> None:
        """Close the socket, without a word of TLS."""
        self.raw.close()


class Stream:
    """See the module's description. What a connection is made of."""

    __slots__ = ("buffer", "io", "receive_lag", "send_lag", "server", "sock")

    receive_lag: float
    send_lag: float
    server: Server
    sock: RawSocket | Wrapped
    io: Io
    buffer: bytes
    """What was received and not used yet."""

    def send(self, data: bytes) -> None:
        """Send all of `data`. **Blocks** while the client does not read."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ClientDisconnected("the client went away") from error
        if sent != len(data):
            self._send_rest(memoryview(data)[sent:])

    def send_pair(self, head: bytes, body: bytes) -> None:
        """Send a head and a large body as one, without copying them together. **Blocks**."""
        try:
            sent = self.sock.sendmsg((head, body))
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ClientDisconnected("the client went away") from error
        if sent < len(head):
            self._send_rest(memoryview(head)[sent:])
            sent = len(head)
        self._send_rest(memoryview(body)[sent - len(head) :])

    def _send_rest(self, data: memoryview) -> None:
        try:
            while data:
                try:
                    data = data[self.sock.send(data) :]
                except BlockingIOError:
                    self._wait_write()
        except BaseException as error:  # whatever ends it, also a time-out or a kill
            self.sock = Severed(self.sock)
            if isinstance(error, OSError) and not isinstance(error, ClientDisconnected):
                raise ClientDisconnected("the client went away") from error
            raise

    @property
    def severed(self) -> bool:
        """Whether something was sent in part."""
        return type(self.sock) is Severed

    def _wait_write(self) -> None:
        """After a would-block error: wait until the socket takes more. **Blocks**."""
        io = self.io
        io.writable = False
        timeout = self.server.config.write_timeout
        queued = _queued(io.fd)
        woken = False
        while not woken:
            began = monotonic()
            try:
                io.wait_write(timeout)
                woken = True
            except TimeoutError:
                pass
            except OSError as error:
                raise ClientDisconnected("the connection was closed") from error
            left = _queued(io.fd)
            read = _read_since(queued, left, woken)
            if not woken and read <= 0:
                raise ClientDisconnected("the client does not read the answer")
            rate = self.server.config.write_rate
            lag = self.send_lag + monotonic() - began - (read / rate if rate else inf)
            if lag > timeout:
                raise ClientDisconnected("the client reads the answer too slowly")
            self.send_lag = max(0.0, lag)
            queued = left

    def send_file(self, fd: int, position: int, count: int) -> int:
        """Send `count` bytes of a file; return how many there were. **Blocks**.

        The kernel does it, unless something else stands in the socket's place. Raises OSError
        for what is the file's fault, not the client's.
        """
        if type(self.sock) is not RawSocket:
            return self._copy_file(fd, position, count)
        done = 0
        while done < count:
            try:
                piece = min(count - done, FILE_AT_ONCE)
                sent = sendfile(self.sock.fileno(), fd, position + done, piece)
            except BlockingIOError:
                self._wait_write()
                continue
            except (ConnectionError, TimeoutError) as error:
                raise ClientDisconnected("the client went away") from error
            if sent == 0:  # the file has shrunk
                break
            done += sent
            if sent == FILE_AT_ONCE:
                sleep(0)
        return done

    def _copy_file(self, fd: int, position: int, count: int) -> int:
        done = 0
        while done < count:
            piece = pread(fd, min(count - done, FILE_PIECE), position + done)
            if not piece:
                break
            self.send(piece)
            done += len(piece)
            if done % FILE_AT_ONCE == 0:
                sleep(0)
        return done

    def receive(self, limit: int) -> bytes:
        """Return 1 to `limit` bytes of a body, or none at the end of the stream. **Blocks**."""
        if self.buffer:
            data, self.buffer = self.buffer[:limit], self.buffer[limit:]
            return data
        config = self.server.config
        waited = 0.0
        received = self._receive(limit)
        while received is None:
            began = monotonic()
            in_time = self._wait_read(config.body_timeout)
            waited += monotonic() - began
            if not in_time:
                self.io.readable = True  # a last look: perhaps it was this process that stood still
            received = self._receive(limit)
            if received is None and not in_time:
                raise HttpError(408, "the client stopped sending the body")
        if waited or self.receive_lag:
            rate = config.body_rate
            lag = self.receive_lag + waited - (len(received) / rate if rate else inf)
            if lag > config.body_timeout:
                raise HttpError(408, "the body came too slowly")
            self.receive_lag = max(0.0, lag)
        return received

    def _receive(self, limit: int) -> bytes | None:
        """Return what is here, `b""` at the end of the stream, None for nothing yet."""
        io = self.io
        if not io.readable:
            return None
        try:
            data = self.sock.recv(limit)
        except BlockingIOError:
            io.readable = False
            return None
        except OSError as error:
            raise ClientDisconnected("the client went away") from error
        if 0 < len(data) < limit and not io.hangup:
            io.readable = False
        return data

    def _wait_read(self, timeout: float) -> bool:
        """Wait until something has come; False if nothing has in time. **Blocks**."""
        try:
            self.io.wait_read(timeout)
            return True
        except TimeoutError:
            return False
        except OSError as error:
            raise ClientDisconnected("the connection was closed") from error

    def unread(self, data: bytes) -> None:
        """Take back what was received beyond a body: the next request."""
        self.buffer = data + self.buffer

    def send_continue(self) -> None:
        """Send `100 Continue`, unless content is here already. **Blocks**."""
        if not self.buffer:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def linger(self) -> None:
        """Say that nothing more comes, and drop what the client still sends, for a while.

        A close with unread bytes would reset the connection, and the client might lose the
        answer (RFC 9112, section 9.6). **Blocks** up to two seconds.
        """
        clock = self.server.clock
        until = clock.tick() + LINGER_SECONDS
        left = LINGER_BYTES - len(self.buffer)
        self.buffer = b""
        try:
            self.sock.shutdown(SHUT_WR)
            while left > 0 and (seconds := until - clock.tick()) > 0:
                dropped = self._receive(65536)
                if dropped is None:
                    self._wait_read(seconds)
                elif dropped:
                    left -= len(dropped)
                else:
                    return
        except OSError:  # gone
            return


def _queued(fd: int) -> int | None:
    """Bytes that were sent and not taken over by the client's kernel yet (tcp(7), SIOCOUTQ).

    None where the system does not say.
    """
    try:
        return int(unpack("i", ioctl(fd, TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return None


def _read_since(before: int | None, now: int | None, woken: bool) -> float:
    """Bytes that the client has read; where it is not known, a wake-up shows that it has."""
    if before is None or now is None:
        return inf if woken else 0
    return before - now
