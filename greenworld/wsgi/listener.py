"""A listening socket of a server: opening one, and accepting from it.

1. Accepted until the kernel says that there are no more, with a turn for the others after every
   few; a connection begins by trying to read, since its request is usually there already.
2. TCP_NODELAY is set on the listener, from which Linux and BSD connections inherit it.
3. Running out of descriptors pauses accepting; it ends neither the server nor the loop.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from _socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    IPPROTO_TCP,
    SO_REUSEADDR,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
)
from _socket import socket as RawSocket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from greenworld.hub import sleep, spawn
from greenworld.wsgi.connection import Connection
from greenworld.wsgi.environ import HeadTable
from greenworld.wsgi.files import FileWrapper

if TYPE_CHECKING:
    from greenworld.wsgi.server import Server

__all__ = ["Listener", "SocketLike", "open_all"]

ACCEPT_AT_ONCE: Final = 32
PAUSE_SECONDS: Final = 0.1
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# accept(2): errors of the new connection, not of the listener.
_PASSING: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.ENETDOWN,
        errno.ENOPROTOOPT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENETUNREACH,
        errno.EPERM,
    }
)


class SocketLike(Protocol):
    """What a caller's listening socket must offer: any kind of socket object does."""

    def fileno(self) -> int:
        """Return the descriptor."""

    def close(self) -> None:
        """Close it."""


_BIND = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]*)):([0-9]{1,5})")


def open_all(binds: Iterable[str], backlog: int) -> list[SocketLike]:
    """Open a listening socket for each `HOST:PORT` or `unix:PATH`; all of them or none.

    Raises OSError, among others when a port is in use, and ValueError for what is no address.
    """
    sockets: list[SocketLike] = []
    try:
        for bind in binds:
            sockets.append(_open(bind, backlog))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _open(bind: str, backlog: int) -> RawSocket:
    address: str | tuple[str, int]
    if bind.startswith("unix:"):
        family, address = AF_UNIX, bind[len("unix:") :]
    else:
        match = _BIND.fullmatch(bind)
        if match is None or int(match[3]) > 65535:
            raise ValueError(f"an address is HOST:PORT, [IPV6]:PORT or unix:PATH, not {bind!r}")
        family = AF_INET6 if match[1] else AF_INET
        address = (match[1] or match[2], int(match[3]))
    sock = RawSocket(family, SOCK_STREAM, 0)
    try:
        if isinstance(address, tuple):
            sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        elif _is_stale(address):
            os.unlink(address)
        sock.bind(address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_stale(path: str) -> bool:
    """Whether a Unix socket lies there on which nobody listens any more."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except FileNotFoundError:
        return False
    probe = RawSocket(AF_UNIX, SOCK_STREAM, 0)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    finally:
        probe.close()
    return False


class Listener:
    """A listening socket that a server accepts from. `owner` is closed with it.

    `bound_here`: the server bound it, and removes a Unix socket's file when it stops.
    """

    def __init__(self, server: Server, owner: SocketLike, bound_here: bool) -> None:
        self.server = server
        self._bound_here = bound_here
        self.application = server.application
        self.limits = server.config.limits
        self._owner = owner
        self._sock = RawSocket(fileno=owner.fileno())
        self._sock.setblocking(False)
        self._internet = self._sock.family in (AF_INET, AF_INET6)
        if self._internet:
            self._sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self.address: Any = self._sock.getsockname()
        self._io = server.hub.io(self._sock.fileno())
        self.heads = HeadTable(self._base_environ(), self.limits)
        self.opening: Callable[[Connection], None] | None = None
        """What a new connection goes through first, in a green thread of its own."""
        self._closed = False
        self._thread = spawn(self._accept_for_ever)

    @property
    def url(self) -> str:
        """Where it listens, such as `http://127.0.0.1:8000`."""
        if not self._internet:
            return f"unix:{self.address}"
        host, port = self.address[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _base_environ(self) -> dict[str, Any]:
        name, port = self.address[:2] if self._internet else ("localhost", 80)
        return {
            "SERVER_NAME": name,
            "SERVER_PORT": str(port),
            "SERVER_SOFTWARE": "greenworld",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": self.server.errors.stream,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input_terminated": True,
            **self.server.config.environ,
        }

    def _accept_for_ever(self) -> None:
        complained = False
        while not self._closed:
            try:
                self._accept_all()
                complained = False
                self._io.wait_read()
            except OSError as error:
                if self._closed:
                    return
                if error.errno in _EXHAUSTED:
                    if not complained:
                        self.server.errors.write(f"greenworld.wsgi: cannot accept: {error}")
                        complained = True
                    sleep(PAUSE_SECONDS)
                elif error.errno not in _PASSING:
                    raise

    def _accept_all(self) -> None:
        """Accept until there is nothing more to accept. **Blocks** now and then."""
        server = self.server
        count = 0
        while not self._closed:
            if server.full:
                server.wait_for_room()
                continue
            if not self._accept_one():
                return
            count += 1
            if count % ACCEPT_AT_ONCE == 0:
                sleep(0)

    def _accept_one(self) -> bool:
        try:
            fd, peer = self._sock._accept()  # type: ignore[attr-defined]
        except BlockingIOError:
            self._io.readable = False
            return False
        sock = RawSocket(self._sock.family, SOCK_STREAM, self._sock.proto, fd)
        sock.setblocking(False)
        host, port = (peer[0], str(peer[1])) if self._internet else ("", "")
        connection = Connection(self, sock, self.server.hub.io(fd), host, port)
        self.server.connections.add(connection)
        if self.opening is None:
            connection.wake()
        else:
            connection.thread = spawn(self.opening, connection)
        return True

    def close(self) -> None:
        """Accept what has connected already, then stop listening and close the socket."""
        if self._closed:
            return
        try:
            while not self.server.full and self._accept_one():
                pass
        except OSError as error:
            self.server.errors.write(f"greenworld.wsgi: cannot accept: {error}")
        self._closed = True
        self._io.close()
        self._sock.detach()
        self._owner.close()
        if self._bound_here and not self._internet and self.address[:1] not in ("\0", b"\0"):
            self._unlink()

    def _unlink(self) -> None:
        try:
            os.unlink(self.address)
        except FileNotFoundError:
            pass
