"""One accepted connection: bytes from the socket become requests, answers become bytes.

A connection is in one of three states, and one lane of `idle.IdleConnections` at most:

    waiting   for a head: in a lane, watched by the hub; holds no green thread
    serving   one green thread reads, answers, and puts the connection back to waiting
    closed    gone from the server

1. Whoever takes it out of waiting (bytes, a time-out, the server's stop) starts the one green
   thread; `unwatch_read` decides who was first.
2. One green thread for each request: the next request of a pipeline gets a new one, so that
   context variables and locals never leak from one request to the next.
3. `Server.plain` says that nothing but a request's own head decides how it is answered; what a
   setting adds is asked for where it is not.
"""

from __future__ import annotations

import re
from _socket import SO_LINGER, SOL_SOCKET
from _socket import socket as RawSocket
from struct import pack
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from greenworld.hub import GreenThread, spawn
from greenworld.wsgi.body import NO_BODY, Body, ChunkedBody, EmptyBody, LengthBody
from greenworld.wsgi.environ import COLD_BLOCK, EMPTY_BLOCK, HeaderBlock, StartLine
from greenworld.wsgi.errors import HttpError, RequestTimeout
from greenworld.wsgi.gateway import Exchange
from greenworld.wsgi.health import HealthCheck
from greenworld.wsgi.http1 import CHUNKED, body_length, find_head
from greenworld.wsgi.idle import MAX_PRIVATE
from greenworld.wsgi.refusal import refuse
from greenworld.wsgi.stream import Stream
from greenworld.wsgi.upgrade import UpgradeExchange

if TYPE_CHECKING:
    from greenworld.hub.io import Io
    from greenworld.wsgi.listener import Listener

__all__ = ["Connection"]

HEAD_PIECE: Final = 16384
"""Bytes asked of the socket while a head is awaited."""

_EMPTY_LINES = re.compile(rb"(?:\r\n)*")


class Connection(Stream):
    """See the module's description. Made by a listener, in the serving state."""

    __slots__ = ("block", "facts", "host", "lane", "listener", "port", "seen", "thread")

    def __init__(self, listener: Listener, sock: RawSocket, io: Io, host: str, port: str) -> None:
        self.listener = listener
        self.server = listener.server
        self.sock = sock
        self.io = io
        self.host = host
        self.port = port
        self.buffer = b""
        self.receive_lag = self.send_lag = 0.0
        self.seen = 0  # bytes of the buffer that hold no complete head
        self.block: HeaderBlock = EMPTY_BLOCK
        self.lane: dict[Connection, float] | None = None
        self.thread: GreenThread[None] | None = None
        self.facts: dict[str, Any] | None = None
        """What the environment of its requests says of the connection, such as its TLS."""

    # Waiting

    def wake(self) -> None:
        """Bytes have arrived: called by the hub, in place of a parked green thread's `wake`.

        Every request begins in a copy of the context that the server was started in, whoever
        runs now: perhaps the hub, perhaps the request before.
        """
        self.thread = self.server.in_context(spawn, self.serve)

    admit = wake
    """The same, for who has made sure that the request may be answered now."""

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
        if server.stopping and (server.past_newcomers or not (self.buffer or self.is_new)):
            if self.buffer:
                raise HttpError(408, "the server stops")
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
        if self.io.readable:  # not all was read; what TLS has decrypted, no poller tells of
            self.wake()
        else:
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
        except RequestTimeout:  # it struck after the answer
            self.close()
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
            raw_block = data[first + 2 : end - 4]
            block = self.block = listener.heads.header_block(raw_block, self.block)
        exchange = self._exchange(line, block)
        self.buffer = data[end:]
        self.seen = 0
        return exchange

    def _exchange(self, line: StartLine, block: HeaderBlock) -> Exchange:
        environ = block.environ(line)
        environ["REMOTE_ADDR"] = self.host
        environ["REMOTE_PORT"] = self.port
        if line.plain and block.plain and self.server.plain:
            return Exchange(self, line, block, environ, NO_BODY, False, True)
        return self._special(line, block, environ)

    def _special(self, line: StartLine, block: HeaderBlock, environ: dict[str, Any]) -> Exchange:
        """An exchange that the head or a setting of the server makes special."""
        server = self.server
        if self.facts is not None:
            environ.update(self.facts)
        if line.authority is not None:
            environ["HTTP_HOST"] = line.authority
        if server.edge is not None:
            server.edge(self, block, environ)
        if line.plain and block.plain and server.keeps_alive:
            return Exchange(self, line, block, environ, NO_BODY, False, True)
        if line.minor:
            if block.host is None:  # RFC 9112, section 3.2
                raise HttpError(400, "HTTP/1.1 without a Host")
            close = block.close
        else:
            close = block.close or not block.keep_alive
        body = self._body(line, block)
        environ["wsgi.input"] = body
        kind = Exchange
        if line.health:
            kind = HealthCheck
        elif block.upgrade and line.minor and body is NO_BODY:
            kind = UpgradeExchange
        return kind(self, line, block, environ, body, close or not server.keeps_alive, False)

    def _body(self, line: StartLine, block: HeaderBlock) -> Body | EmptyBody:
        length = body_length(line.minor, block.content_length, block.transfer_encoding)
        wants_continue = False
        if block.expect is not None and line.minor:  # RFC 9110, section 10.1.1
            if block.expect.lower() != "100-continue":
                raise HttpError(417, "the only expectation met here is 100-continue")
            wants_continue = True
        self.receive_lag = 0.0
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

    # The end

    def unbound(self) -> None:
        """What it does from now on is no request: limits of requests do not hold for it."""

    def reset(self) -> None:
        """Close so that the client sees a failure: a reset, not an orderly end."""
        sock = self.sock
        if sock.fileno() >= 0:
            if not isinstance(sock, RawSocket):
                self.sock = sock = sock.raw
            try:
                sock.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
            except OSError:
                pass  # macOS: the client has closed it
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
