"""TLS on cooperative sockets: the methods of `ssl.SSLSocket` that wait.

OpenSSL works on the non-blocking descriptor and says what it waits for; each
method here is the original's, tried again whenever that has come. The
time-out counts from the call, also where the original waits several times.
"""

from __future__ import annotations

import ssl
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenworld.hub.poller import READ, WRITE
from greenworld.hub.readiness import wait_fd
from greenworld.patches.channel import Channel, channels, open_channel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["do_handshake", "read", "send", "unwrap", "write"]


def _retrying(original: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, called again whenever OpenSSL can go on. **Blocks** the green thread."""

    def method(self: ssl.SSLSocket, *args: Any, **kwargs: Any) -> Any:
        deadline = None
        while True:
            try:
                result = original(self, *args, **kwargs)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
                channel = channels.get(id(self)) or open_channel(self)
                if channel.timeout == 0:
                    raise
                mask = READ if isinstance(error, ssl.SSLWantReadError) else WRITE
            else:
                break
            if deadline is None and channel.timeout is not None:
                deadline = monotonic() + channel.timeout
            _wait(channel, self, mask, deadline)
        return result

    method.__name__ = original.__name__
    method.__doc__ = f"{original.__doc__ or original.__name__}\n\n**Blocks** the green thread only."
    return method


def _wait(channel: Channel, sock: ssl.SSLSocket, mask: int, deadline: float | None) -> None:
    """Wait for what OpenSSL has just asked for in vain."""
    timeout = None if deadline is None else deadline - monotonic()
    io = channel.attach(sock)
    try:
        if io is None:
            if not wait_fd(sock.fileno(), mask, timeout):
                raise TimeoutError("timed out")
        elif mask & READ:
            io.readable = False
            io.wait_read(timeout)
        else:
            io.writable = False
            io.wait_write(timeout)
    except TimeoutError:
        raise TimeoutError("The operation timed out") from None


do_handshake = _retrying(ssl.SSLSocket.do_handshake)
read = _retrying(ssl.SSLSocket.read)
send = _retrying(ssl.SSLSocket.send)
unwrap = _retrying(ssl.SSLSocket.unwrap)
write = _retrying(ssl.SSLSocket.write)
