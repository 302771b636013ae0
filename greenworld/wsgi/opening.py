"""What a new connection goes through before its first request: PROXY header, then TLS.

1. Loaded only where one of the two is asked for. Each connection has a green thread of its own
   here, and `Config.handshake_timeout` for both together; whoever is slow holds up nobody else.
2. Nothing is guessed: where a PROXY header is expected, a connection without one, or from a
   peer that is not trusted, is closed.
3. What fails is one line of the error log, and one a minute for each reason. A client that leaves
   before its first request is not worth one: load balancers do that to see whether the port is
   open, and browsers change their minds.
"""

from __future__ import annotations

from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from greenworld.wsgi.errors import HttpError
from greenworld.wsgi.proxy_protocol import ProxyError, parse_proxy_header
from greenworld.wsgi.refusal import refuse
from greenworld.wsgi.seldom import Seldom
from greenworld.wsgi.trust import TrustedProxies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from greenworld.wsgi.connection import Connection
    from greenworld.wsgi.server import Server

__all__ = ["Encryption", "Opening", "OpeningError", "receive"]

PIECE: Final = 16384
"""Bytes asked of the socket at once."""
MAX_REASONS: Final = 64
"""Reasons for closing a connection that are counted apart in the log."""

ENCRYPTED: Final = {"HTTPS": "on", "wsgi.url_scheme": "https"}
"""What requests are told when the proxy says that the client speaks TLS with it."""


class OpeningError(Exception):
    """The connection is closed; the text says why, for the log."""


class Encryption(Protocol):
    """What puts something else in the place of a connection's socket."""

    def secure(self, connection: Connection, received: bytes, until: float) -> None:
        """Do so, before that monotonic time. `received` was read already. **Blocks**."""

    def reload(self) -> bool:
        """Load certificates again; return whether that went well."""


class Opening:
    """See the module's description. A server has one at most; call it with each connection.

    `trusted` are the peers whose PROXY header is believed; None if none is expected.
    """

    def __init__(self, server: Server, trusted: Iterable[str] | None) -> None:
        self._server = server
        self._timeout = server.config.handshake_timeout
        self._trusted: TrustedProxies | None = None
        if trusted is not None:
            names = list(trusted)
            if not names:
                raise ValueError(
                    "the PROXY header is believed from trusted proxies only: name them in "
                    "trusted_proxies"
                )
            self._trusted = TrustedProxies(names)
        self._encryption: Encryption | None = None
        if server.config.tls is not None:
            # Loaded here, since it imports `ssl`.
            module: Any = import_module("greenworld.wsgi.tls_opening")
            self._encryption = module.TlsOpening(server.config.tls, server.errors)
        self._pending: set[Connection] = set()
        self._reasons: dict[str, Seldom] = {}

    def __call__(self, connection: Connection) -> None:
        """Open a connection and have it serve. In a green thread of its own. **Blocks**."""
        self._pending.add(connection)
        try:
            self._open(connection, monotonic() + self._timeout)
        except OpeningError as error:
            self._say(connection, str(error))
            connection.close()
        except HttpError as error:
            refuse(connection, error)
        except OSError:
            connection.close()  # it went away, or the server stops
        except BaseException:
            connection.close()
            raise
        else:
            connection.wake()
        finally:
            self._pending.discard(connection)

    def give_up(self) -> None:
        """Close every connection that has not been opened yet. Does not block."""
        for connection in list(self._pending):
            connection.close()

    def reload(self) -> bool:
        """Load the certificates again; return whether that went well."""
        return self._encryption is None or self._encryption.reload()

    def _say(self, connection: Connection, what: str) -> None:
        seldom = self._reasons.get(what)
        if seldom is None:
            if len(self._reasons) >= MAX_REASONS:
                self._reasons.clear()
            seldom = self._reasons[what] = Seldom(self._server.errors, self._server.clock)
        seldom(f"connection from {connection.host or 'a Unix socket'} closed: {what}")

    def _open(self, connection: Connection, until: float) -> None:
        received = b""
        if self._trusted is not None:
            received = self._read_proxy_header(connection, self._trusted, until)
            governor = self._server.governor
            peers = None if governor is None else governor.peers
            # The proxy itself is not counted; whom it speaks for is.
            if peers is not None and not peers.enter(connection):
                raise ConnectionAbortedError("the client has enough connections")
        if self._encryption is None:
            connection.buffer = received
        else:
            self._encryption.secure(connection, received, until)

    def _read_proxy_header(
        self, connection: Connection, trusted: TrustedProxies, until: float
    ) -> bytes:
        """Take the header off the stream; return what came after it."""
        if not trusted.trusts_peer(connection.host):
            raise OpeningError("it is no trusted proxy")
        data = b""
        try:
            while (header := parse_proxy_header(data)) is None:
                data += receive(connection, until)
        except ProxyError as error:
            raise OpeningError(f"bad PROXY header: {error}") from None
        except OSError as error:
            if not data:
                raise
            late = isinstance(error, TimeoutError)
            what = "no PROXY header in time" if late else "the PROXY header ended early"
            raise OpeningError(what) from None
        if header.host is not None and header.port is not None:
            connection.host, connection.port = header.host, header.port
        if header.encrypted:
            connection.facts = ENCRYPTED
        return data[header.size :]


def receive(connection: Connection, until: float) -> bytes:
    """Return what comes next, before that time of the monotonic clock. **Blocks**.

    Raises TimeoutError, and another OSError at the end of the stream.
    """
    io = connection.io
    while True:
        try:
            data = connection.sock.recv(PIECE)
        except BlockingIOError:
            io.readable = False
            io.wait_read(max(0.0, until - monotonic()))
            continue
        if not data:
            raise ConnectionResetError("the client went away")
        if len(data) < PIECE and not io.hangup:
            io.readable = False
        return data
