"""A listening socket of a server, and accepting from it.

1. Accepted until the kernel says that there are no more, with a turn for the others after every
   few; a connection begins by trying to read, since its request is usually there already.
2. Where other processes accept from the same socket (`wsgi.multiprocess`), the turns begin with
   one connection and grow slowly, with a pause between them: a burst is spread over all.
3. TCP_NODELAY is set on the listener, from which Linux and BSD connections inherit it.
4. What bounds accepting: `Room` (connections, descriptors), `Turn` (requests in flight), `Peers`
   (connections from one address).
"""

from __future__ import annotations

import errno
from _socket import IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY
from _socket import socket as RawSocket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from greenworld.hub import sleep, spawn
from greenworld.hub.poller import READ
from greenworld.wsgi.admission import Turn
from greenworld.wsgi.binds import INTERNET, BoundSocket, display, remove_file
from greenworld.wsgi.connection import Connection
from greenworld.wsgi.environ import HeadTable
from greenworld.wsgi.files import FileWrapper
from greenworld.wsgi.governed import GovernedConnection
from greenworld.wsgi.hints import send_early_hints
from greenworld.wsgi.log import ErrorStream
from greenworld.wsgi.room import PAUSE_SECONDS
from greenworld.wsgi.seldom import Seldom

if TYPE_CHECKING:
    from greenworld.wsgi.server import Server

__all__ = ["Listener", "SocketLike"]

ACCEPT_AT_ONCE: Final = 32
SHARED_AT_ONCE: Final = 8
"""The same, at most, where other processes accept from the socket too."""
SHARED_PAUSE: Final = 0.001
"""Seconds that these have to take theirs: who has run first would take a whole burst."""
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
        errno.ETIMEDOUT,
        getattr(errno, "ENONET", errno.ENETDOWN),  # Linux
    }
)
_MISTAKES: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})
"""What asking again will not mend: it is no listening socket any more."""


class SocketLike(Protocol):
    """What a caller's listening socket must offer: any kind of socket object does."""

    def fileno(self) -> int:
        """Return the descriptor."""

    def close(self) -> None:
        """Close it."""


class Listener:
    """A listening socket that a server accepts from. `owner` is closed with it.

    `bound_here`: the server bound it, and removes a Unix socket's file when it stops.
    """

    def __init__(self, server: Server, owner: SocketLike, bound_here: bool) -> None:
        self.server = server
        self._bound_here = bound_here
        self._shared = bool(server.config.environ.get("wsgi.multiprocess"))
        self.application = server.application
        self.limits = server.config.limits
        self._owner = owner
        self._sock = RawSocket(fileno=owner.fileno())
        self._sock.setblocking(False)
        self._internet = self._sock.family in INTERNET
        if self._internet:
            self._sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self.address: Any = self._sock.getsockname()
        self._io = server.hub.io(self._sock.fileno())
        config = server.config
        self.heads = HeadTable(
            self._base_environ(), self.limits, config.underscores == "refuse", config.health_path
        )
        self.opening: Callable[[Connection], None] | None = server.opening
        """What a new connection goes through first, in a green thread of its own."""
        governor = server.governor
        self._kind = Connection if governor is None else GovernedConnection
        self._peers = None if governor is None else governor.peers
        admission = None if governor is None else governor.admission
        self._turn = None if admission is None else Turn(admission)
        self._complain = Seldom(server.errors, server.clock)
        self._scarce = False  # the last connection took one of the last descriptors
        self._closed = False
        self._thread = spawn(self._accept_for_ever)

    @property
    def url(self) -> str:
        """Where it listens, such as `http://127.0.0.1:8000`."""
        scheme = "http" if self.server.config.tls is None else "https"
        return display(self._sock.family, self.address, scheme)

    def _base_environ(self) -> dict[str, Any]:
        name, port = self.address[:2] if self._internet else ("localhost", 80)
        return {
            "SERVER_NAME": name,
            "SERVER_PORT": str(port),
            "SERVER_SOFTWARE": "greenworld",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": ErrorStream(self.server.errors.stream),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input_terminated": True,
            "wsgi.early_hints": send_early_hints,
            **self.server.config.environ,
        }

    def _accept_for_ever(self) -> None:
        while not self._closed:
            try:
                self._accept_all()
                self._io.wait_read()
            except OSError as error:
                if self._closed:
                    return
                if error.errno in _EXHAUSTED:
                    self.server.room.make(str(error))
                    sleep(0)
                elif error.errno in _MISTAKES:
                    raise
                elif error.errno not in _PASSING:
                    self._complain(f"cannot accept: {error}")
                    sleep(PAUSE_SECONDS)

    def _accept_all(self) -> None:
        """Accept until there is nothing more to accept. **Blocks** now and then."""
        room = self.server.room
        at_once = 1 if self._shared else ACCEPT_AT_ONCE
        count = 0
        while not self._closed:
            if room.full:
                room.wait()
                continue
            if self._scarce:
                self._io.wait_ready(READ)  # only for somebody who waits
                room.make("few descriptors are left")
                self._scarce = room.is_scarce(self._sock.fileno())
                continue
            if not self._accept_next():
                return
            count += 1
            if count == at_once:
                sleep(SHARED_PAUSE if self._shared else 0)
                count = 0
                at_once = min(at_once + 1, SHARED_AT_ONCE) if self._shared else ACCEPT_AT_ONCE

    def _accept_next(self) -> bool:
        """Accept one, when it is time for one more request. **Blocks** until then."""
        turn = self._turn
        if turn is None:
            return self._accept_one()
        turn.take()
        try:
            return not self._closed and self._accept_one()
        finally:
            turn.end()

    def _accept_one(self) -> bool:
        try:
            fd, peer = self._sock._accept()  # type: ignore[attr-defined]
        except BlockingIOError:
            self._io.readable = False
            return False
        sock = RawSocket(self._sock.family, SOCK_STREAM, self._sock.proto, fd)
        sock.setblocking(False)
        host, port = (peer[0], str(peer[1])) if self._internet else ("", "")
        connection = self._kind(self, sock, self.server.hub.io(fd), host, port)
        self._scarce = self.server.room.is_last(fd)
        if self._peers is not None and not self._peers.enter(connection):
            connection.close()
            return True
        self.server.connections.add(connection)
        if self.opening is not None:
            connection.thread = spawn(self.opening, connection)
        elif self._turn is None or not self._turn.pass_on(connection):
            connection.wake()
        return True

    def close(self) -> None:
        """Accept what has connected already, then stop listening and close the socket."""
        if self._closed:
            return
        try:
            while not self.server.room.full and self._accept_one():
                pass
        except OSError as error:
            self.server.errors.write(f"greenworld.wsgi: cannot accept: {error}")
        self._closed = True
        if self._turn is not None:
            self._turn.give_up()
        self._io.close()
        self._sock.detach()
        if self._bound_here and isinstance(self._owner, BoundSocket):
            remove_file(self._owner)
        self._owner.close()
