"""`Upgrade`: how an application takes a connection over, for WebSocket or another protocol.

1. A request that asks for it (RFC 9110, section 7.8), in HTTP/1.1 and without a body, finds two
   more keys in its environment. `greenworld.upgrade` is a function: it takes the connection over
   and returns it as a socket. `gunicorn.socket` is the same socket, taken over by its first use,
   since libraries look for it there; it is absent where threads are not green, because they
   read from another thread.
2. Until then it is a request like any other, and any ordinary answer declines the upgrade.
3. From then on the server writes nothing: the `101 Switching Protocols` too is the application's,
   written to the socket. It cannot come from `start_response`, which has no way to hand out what
   the client sends next. No limit of requests holds any more; a client that reads nothing for
   `write_timeout` still is one that went away, unless the application sets a time-out.
4. When the application returns, the connection ends, whatever it returns or raises. Its
   descriptor belongs to the server: `close()` of the socket ends the stream, no more.
"""

from __future__ import annotations

import sys
from _socket import SHUT_WR, SO_KEEPALIVE, SOL_SOCKET
from _socket import socket as RawSocket
from errno import EBADF
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from greenworld.hub import Lock, get_hub
from greenworld.hub.current import has_hub
from greenworld.hub.waiter import wake_all
from greenworld.wsgi.errors import ClientDisconnected
from greenworld.wsgi.gateway import Application, Exchange, ExcInfo
from greenworld.wsgi.response import Header, ResponseHead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from greenworld.wsgi.body import Body, EmptyBody
    from greenworld.wsgi.connection import Connection
    from greenworld.wsgi.environ import HeaderBlock, StartLine

__all__ = ["UpgradeExchange", "UpgradedSocket"]

_SWITCHED: Final = ResponseHead("101 Switching Protocols")
"""What the access log says of a connection that was taken over."""


def _threads_are_green() -> bool:
    patches = sys.modules.get("greenworld.patches")  # who has patched has imported it
    return patches is not None and bool(patches.is_monkey_patched("thread"))


class UpgradeExchange(Exchange):
    """A request that may take its connection over."""

    __slots__ = ("socket", "taken")

    def __init__(
        self,
        connection: Connection,
        line: StartLine,
        block: HeaderBlock,
        environ: dict[str, Any],
        body: Body | EmptyBody,
        close: bool,
        plain: bool,
    ) -> None:
        super().__init__(connection, line, block, environ, body, close, plain)
        self.taken = False
        """Whether the connection has been taken over."""
        self.socket = UpgradedSocket(self)
        environ["greenworld.upgrade"] = self.socket.take
        if _threads_are_green():
            environ["gunicorn.socket"] = self.socket

    def hand_over(self) -> None:
        """The application takes the connection over."""
        if self._started:
            raise RuntimeError("the answer has begun: the connection cannot be taken over any more")
        self.taken = self.close = True
        self.head = _SWITCHED
        connection = self.connection
        connection.unbound()
        # An idle protocol may never write: let the kernel find out that the client is gone.
        try:
            self.socket.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
        except OSError:
            pass  # macOS: it is gone, as the application will be told

    def run(self, application: Application) -> None:
        """Call the application; send its answer unless it took the connection over. **Blocks**."""
        try:
            super().run(application)
        finally:
            self.socket.end()
        if self.taken:
            self.connection.linger()

    def start_response(
        self, status: str, headers: list[Header], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Set the head of the answer, if there is to be one."""
        if self.taken:
            return self.write
        return super().start_response(status, headers, exc_info)

    def early_hints(self, headers: Iterable[Header]) -> None:
        """See `Exchange.early_hints`."""
        if self.taken:
            raise RuntimeError("the connection was taken over: there is no answer to hint at")
        super().early_hints(headers)

    def _send_all(self, blocks: list[bytes] | tuple[bytes, ...]) -> None:
        if not self.taken:
            super()._send_all(blocks)

    def _send_each(self, result: Iterable[bytes]) -> None:
        if not self.taken:
            super()._send_each(result)
        elif (close := getattr(result, "close", None)) is not None:
            close()

    def _begin(self, length: int, final: bool) -> bytes:
        if self.taken:
            raise RuntimeError("the connection was taken over: there is no answer to send on it")
        return super()._begin(length, final)

    def _end(self) -> None:
        if not self.taken:
            super()._end()

    def _fail_with(self, error: BaseException) -> None:
        """What ends a protocol in its usual ways is no error.

        Libraries raise StopIteration where they believe themselves in Gunicorn.
        """
        gone = isinstance(error, ConnectionError) or getattr(error, "errno", None) == EBADF
        if not (self.taken and (gone or isinstance(error, StopIteration))):
            super()._fail_with(error)

    def _fail(self, status: str, why: str) -> None:
        if not self.taken:
            super()._fail(status, why)


class UpgradedSocket:
    """A connection as a socket, for the green threads of its server's OS thread.

    Several may use it at a time: what one sends is never mixed with what another sends. What the
    client sent behind its request comes first. Errors are those of a socket: `TimeoutError`,
    `ConnectionError`, OSError(EBADF) after `close`; RuntimeError in another OS thread.
    """

    __slots__ = ("_connection", "_exchange", "_sending", "_timeout")

    def __init__(self, exchange: UpgradeExchange) -> None:
        self._connection = exchange.connection
        self._exchange: UpgradeExchange | None = exchange  # None when it is closed
        self._timeout: float | None = None
        self._sending = Lock()

    def take(self) -> UpgradedSocket:
        """Take the connection over, and return this socket. Does not block.

        Raises RuntimeError if the answer has begun.
        """
        self._use()
        return self

    def _use(self) -> Connection:
        """Take the connection over if that has not been done; return it if it is still open."""
        exchange, connection = self._exchange, self._connection
        if exchange is None:
            raise OSError(EBADF, "the connection was closed")
        if not has_hub() or get_hub() is not connection.io.hub:
            raise RuntimeError(
                "a connection belongs to the OS thread of its server: use it in green threads,"
                " such as those that threading makes after monkey_patch()"
            )
        if not exchange.taken:
            exchange.hand_over()
        return connection

    # Bytes

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return 1 to `size` bytes, or none at the end of the stream. **Blocks**."""
        if flags:
            raise ValueError("flags are not supported on an upgraded connection")
        connection = self._use()
        if connection.buffer or not size:
            data, connection.buffer = connection.buffer[:size], connection.buffer[size:]
            return data
        io = connection.io
        while True:
            if io.readable or self._timeout == 0.0:  # the hub may not have looked yet
                try:
                    data = connection.sock.recv(size)
                except BlockingIOError:
                    io.readable = False
                    if self._timeout == 0.0:
                        raise
                else:
                    if 0 < len(data) < size and not io.hangup:
                        io.readable = False
                    io.pass_read()
                    return data
            io.wait_read(self._timeout)
            self._use()

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive up to `nbytes` bytes (0: as many as fit) into `buffer`; return how many."""
        view = memoryview(buffer).cast("B")
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of `data` and return its size; in non-blocking mode what goes. **Blocks**."""
        if self._timeout != 0.0:
            view = memoryview(data).cast("B")
            self.sendall(view, flags)
            return len(view)
        connection = self._use()
        with self._sending:
            return self._sent(connection.sock.send(data))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of `data`. **Blocks** while the client does not read.

        When it fails, or its green thread is killed, with a part sent, the socket is closed.
        """
        if flags:
            raise ValueError("flags are not supported on an upgraded connection")
        whole = left = memoryview(data).cast("B")
        with self._sending:
            connection = self._use()
            try:
                while left:
                    try:
                        left = left[self._sent(connection.sock.send(left)) :]
                    except BlockingIOError:
                        self._wait_write(connection)
            except BaseException:
                if len(left) < len(whole):
                    self.end()  # nothing can follow a part of something
                raise

    def _sent(self, count: int) -> int:
        if self._exchange is not None:
            self._exchange.sent += count
        return count

    def _wait_write(self, connection: Connection) -> None:
        if self._timeout == 0.0:
            raise BlockingIOError("the client does not read, and the socket does not block")
        connection.io.writable = False
        if self._timeout is not None:
            connection.io.wait_write(self._timeout)
        else:
            try:
                connection.io.wait_write(connection.server.config.write_timeout)
            except TimeoutError as error:
                raise ClientDisconnected("the client does not read") from error
        self._use()

    # Time-outs, in seconds: None waits for ever, 0.0 never waits

    def settimeout(self, timeout: float | None) -> None:
        """Let each wait last so long at most."""
        self._timeout = None if timeout is None else float(timeout)

    def gettimeout(self) -> float | None:
        """Return what was set."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Wait for ever, or never."""
        self._timeout = None if flag else 0.0

    # The end

    def shutdown(self, how: int) -> None:
        """Send no more, unless `how` is `SHUT_RD`. Does not block."""
        connection = self._use()
        if how:
            connection.sock.shutdown(SHUT_WR)

    def close(self) -> None:
        """End the stream; whoever waits for it is woken. Harmless when repeated."""
        if self._exchange is None:
            return
        connection = self._use()
        try:
            connection.sock.shutdown(SHUT_WR)
        except OSError:
            pass  # the client was first
        self.end()

    def end(self) -> None:
        """Let nobody use it any more. Does not block."""
        self._exchange = None
        io = self._connection.io
        wake_all(io.readers)
        wake_all(io.writers)

    def __enter__(self) -> UpgradedSocket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What it says of itself

    def fileno(self) -> int:
        """Return the descriptor, to wait for; -1 after `close`.

        Bytes may be here already that waiting for the descriptor does not tell of: those that
        came with the request, and what was decrypted.
        """
        return -1 if self._exchange is None else self._use().sock.fileno()

    def getpeername(self) -> Any:
        """Return the address of the other end."""
        return self._raw.getpeername()

    def getsockname(self) -> Any:
        """Return the address of this end."""
        return self._raw.getsockname()

    def getsockopt(self, *arguments: int) -> int | bytes:
        """Return an option of the socket below."""
        return self._raw.getsockopt(*arguments)

    def setsockopt(self, *arguments: Any) -> None:
        """Set an option of the socket below."""
        self._raw.setsockopt(*arguments)

    @property
    def _raw(self) -> RawSocket:
        sock = self._connection.sock
        return sock if isinstance(sock, RawSocket) else sock.raw
