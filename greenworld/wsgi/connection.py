"""One accepted connection: bytes from the socket become requests, answers become bytes.

A connection is in one of three states, and one lane of `idle.IdleConnections` at most:

    waiting   for a head: in a lane, watched by the hub; holds no green thread
    serving   one green thread reads, answers, and puts the connection back to waiting
    closed    gone from the server

1. Whoever takes it out of waiting (bytes, a time-out, the server's stop) starts the one green
   thread; `unwatch_read` decides who was first.
2. One green thread for each request: the next request of a pipeline gets a new one, so that
   context variables and locals never leak from one request to the next.
3. The socket is the C class in non-blocking mode, with the hub's record beside it: try first,
   wait if it would block, and never call `recv` just to be told that there is nothing.
4. `send` and `receive` block their green thread only; a client that went away, or stays away
   for too long, is `ClientDisconnected` (or 408 while its body is awaited).
"""

from __future__ import annotations

import re
from _socket import SHUT_WR, SO_LINGER, SOL_SOCKET
from posix import sendfile
from struct import pack
from time import monotonic
from typing import TYPE_CHECKING, Final

from greenworld.hub import GreenThread, spawn
from greenworld.wsgi.body import NO_BODY, Body, ChunkedBody, EmptyBody, LengthBody
from greenworld.wsgi.environ import COLD_BLOCK, EMPTY_BLOCK, HeaderBlock, StartLine
from greenworld.wsgi.errors import ClientDisconnected, HttpError
from greenworld.wsgi.gateway import Exchange
from greenworld.wsgi.http1 import CHUNKED, body_length, find_head
from greenworld.wsgi.idle import MAX_PRIVATE
from greenworld.wsgi.refusal import refuse

if TYPE_CHECKING:
    from _socket import socket as RawSocket

    from greenworld.hub.io import Io
    from greenworld.wsgi.listener import Listener
    from greenworld.wsgi.server import Server

__all__ = ["Connection"]

HEAD_PIECE: Final = 16384
"""Bytes asked of the socket while a head is awaited."""
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 1 << 20

_EMPTY_LINES = re.compile(rb"(?:\r\n)*")


class Connection:
    """See the module's description. Made by a listener, in the serving state."""

    __slots__ = (
        "block",
        "buffer",
        "host",
        "io",
        "lane",
        "listener",
        "port",
        "seen",
        "server",
        "sock",
        "thread",
    )

    def __init__(self, listener: Listener, sock: RawSocket, io: Io, host: str, port: str) -> None:
        self.listener = listener
        self.server: Server = listener.server
        self.sock = sock
        self.io = io
        self.host = host
        self.port = port
        self.buffer = b""  # received, not used yet
        self.seen = 0  # bytes of the buffer that hold no complete head
        self.block: HeaderBlock = EMPTY_BLOCK
        self.lane: dict[Connection, float] | None = None
        self.thread: GreenThread[None] | None = None

    # Waiting

    def wake(self) -> None:
        """Bytes have arrived: called by the hub, in place of a parked green thread's `wake`.

        Every request begins in a copy of the context that the server was started in, whoever
        runs now: perhaps the hub, perhaps the request before.
        """
        self.thread = self.server.in_context(spawn, self.serve)

    @property
    def is_new(self) -> bool:
        """Whether no request has come yet."""
        return self.block is EMPTY_BLOCK

    def dismiss(self) -> None:
        """The server stops: serve what has come, for the last time, or close."""
        if self.is_new:
            self.block = COLD_BLOCK
        if self.io.unwatch_read(self):
            self.wake()

    def _wait(self) -> None:
        """Go back to waiting, or close if there is nothing to wait for."""
        server = self.server
        idle = server.idle
        if not self.buffer and server.stopping and not self.is_new:
            self.close()
            return
        if self.lane is None or (self.buffer and self.lane is not idle.heads):
            # Else it keeps its place: empty lines do not prolong its time.
            lane = idle.heads if self.buffer or self.block is EMPTY_BLOCK else idle.fresh
            if self.lane is not None:
                del self.lane[self]
            self.lane = lane
            lane[self] = monotonic()
            if not self.block.shareable and len(lane) > MAX_PRIVATE:
                self.block = COLD_BLOCK
            if idle.timer is None:
                idle.start()
        self.thread = None
        self.io.watch_read(self)

    # Serving

    def serve(self) -> None:
        """Read one request head and answer it; runs in a green thread of its own."""
        try:
            exchange = self._next_exchange()
            if exchange is None:
                return
            lane = self.lane
            if lane is not None:
                self.lane = None
                del lane[self]
            exchange.run(self.listener.application)
            self._after(exchange)
        except HttpError as error:
            refuse(self, error)
        except BaseException:
            self.close()
            raise

    def _next_exchange(self) -> Exchange | None:
        """Take the next head off the stream; None if it is not there yet, or never will be."""
        data = self.buffer
        seen = self.seen
        if seen == len(data):
            io = self.io
            try:
                more = self.sock.recv(HEAD_PIECE)
            except BlockingIOError:
                io.readable = False
                self._wait()
                return None
            except OSError:
                self.close()
                return None
            if not more:
                self.close()
                return None
            if len(more) < HEAD_PIECE and not io.hangup:
                io.readable = False
            data = data + more if seen else more
        first = data.find(b"\r\n")
        if first == 0:  # empty lines before a request are passed over (RFC 9112, section 2.2)
            data = _EMPTY_LINES.sub(b"", data, count=1)
            first = data.find(b"\r\n")
            seen = 0
        self.buffer = data  # a refusal looks there for the method
        listener = self.listener
        block: HeaderBlock | None = self.block
        tail = self.block.tail
        end = first + 2 + len(tail)
        if first <= 0 or end > listener.limits.head or not data.startswith(tail, first + 2):
            # Not the block of the last request again: look for its end.
            end = data.find(b"\r\n\r\n", seen - 3 if seen > 3 else 0) + 4
            if end < 4 or end > listener.limits.head:
                find_head(data, seen, listener.limits)
                self.seen = len(data)
                self._wait()
                return None
            block = None
        raw_line = data[:first]
        line = listener.heads.lines.get(raw_line)
        if line is None:
            line = listener.heads.start_line(raw_line)
        if block is None:
            block = self.block = listener.heads.header_block(data[first + 2 : end - 4])
        exchange = self._exchange(line, block)
        self.buffer = data[end:]
        self.seen = 0
        return exchange

    def _exchange(self, line: StartLine, block: HeaderBlock) -> Exchange:
        environ = block.environ(line)
        environ["REMOTE_ADDR"] = self.host
        environ["REMOTE_PORT"] = self.port
        if line.plain and block.plain and self.server.keeps_alive:
            return Exchange(self, line, block, environ, NO_BODY, False, True)
        if line.authority is not None:
            environ["HTTP_HOST"] = line.authority
        if line.minor:
            if block.host is None:  # RFC 9112, section 3.2
                raise HttpError(400, "HTTP/1.1 without a Host")
            close = block.close
        else:
            close = block.close or not block.keep_alive
        body = self._body(line, block)
        environ["wsgi.input"] = body
        return Exchange(
            self, line, block, environ, body, close or not self.server.keeps_alive, False
        )

    def _body(self, line: StartLine, block: HeaderBlock) -> Body | EmptyBody:
        length = body_length(line.minor, block.content_length, block.transfer_encoding)
        wants_continue = False
        if block.expect is not None and line.minor:  # RFC 9110, section 10.1.1
            if block.expect.lower() != "100-continue":
                raise HttpError(417, "the only expectation met here is 100-continue")
            wants_continue = True
        most = self.server.config.max_body
        if length == CHUNKED:
            return ChunkedBody(self, wants_continue, most)
        if most is not None and length > most:
            raise HttpError(413, "the body is too large")
        return LengthBody(self, wants_continue, length) if length else NO_BODY

    def _after(self, exchange: Exchange) -> None:
        """The answer has been sent: close, go on with a pipelined request, or wait."""
        body = exchange.body
        if not body.finished and (exchange.close or not body.drain(self.server.config.max_unread)):
            self.linger()
            self.close()
        elif exchange.close:
            self.close()
        elif self.buffer:
            self.wake()
        else:
            self._wait()

    # Bytes

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
                    self.io.writable = False
                    self.io.wait_write(self.server.config.write_timeout)
        except OSError as error:  # a time-out is one too
            raise ClientDisconnected("the client does not read the answer") from error

    def send_file(self, fd: int, position: int, count: int) -> int:
        """Have the kernel send `count` bytes of a file; return how many there were. **Blocks**.

        Raises OSError for what is the file's fault, not the client's.
        """
        done = 0
        out = self.sock.fileno()
        while done < count:
            try:
                sent = sendfile(out, fd, position + done, min(count - done, 1 << 30))
            except BlockingIOError:
                self.io.writable = False
                try:
                    self.io.wait_write(self.server.config.write_timeout)
                except OSError as error:
                    raise ClientDisconnected("the client does not read the answer") from error
                continue
            except (ConnectionError, TimeoutError) as error:
                raise ClientDisconnected("the client went away") from error
            if sent == 0:  # the file has shrunk
                break
            done += sent
        return done

    def receive(self, limit: int) -> bytes:
        """Return 1 to `limit` bytes, or none at the end of the stream. **Blocks**."""
        if self.buffer:
            data, self.buffer = self.buffer[:limit], self.buffer[limit:]
            return data
        return self._receive(limit, self.server.config.body_timeout)

    def _receive(self, limit: int, timeout: float) -> bytes:
        io = self.io
        while True:
            if io.readable:
                try:
                    data = self.sock.recv(limit)
                except BlockingIOError:
                    io.readable = False
                except OSError as error:
                    raise ClientDisconnected("the client went away") from error
                else:
                    if 0 < len(data) < limit and not io.hangup:
                        io.readable = False
                    return data
            try:
                io.wait_read(timeout)
            except TimeoutError as error:
                raise HttpError(408, "the client stopped sending the body") from error
            except OSError as error:
                raise ClientDisconnected("the connection was closed") from error

    def unread(self, data: bytes) -> None:
        """Take back what was received beyond a body: the next request."""
        self.buffer = data + self.buffer

    def send_continue(self) -> None:
        """Send `100 Continue`, unless content is here already. **Blocks**."""
        if not self.buffer:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    # The end

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
                dropped = len(self._receive(65536, seconds))
                if not dropped:
                    return
                left -= dropped
        except (OSError, HttpError):  # gone, or time is up
            return

    def reset(self) -> None:
        """Close so that the client sees a failure: a reset, not an orderly end."""
        if self.sock.fileno() >= 0:
            self.sock.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
            self.close()

    def close(self) -> None:
        """Close the socket and leave the server. Does not block; harmless when repeated."""
        if self.lane is not None:
            self.lane.pop(self, None)
            self.lane = None
        self.thread = None
        if self.sock.fileno() >= 0:
            self.io.close()
            self.sock.close()
            self.buffer = b""
            self.server.forget(self)
