"""The TLS handshake of a new connection, and what its requests are told of it.

1. A client that speaks plain HTTP here is told so, in plain HTTP.
2. What the environment says of the encryption has the names that Apache's mod_ssl gave it.
"""

from __future__ import annotations

import re
from ssl import SSLCertVerificationError, SSLError
from typing import TYPE_CHECKING, Any, Final, cast

from greenworld.wsgi.errors import HttpError
from greenworld.wsgi.opening import OpeningError, receive
from greenworld.wsgi.tls import Certificates
from greenworld.wsgi.tls_environ import tls_environ
from greenworld.wsgi.tls_stream import TlsStream

if TYPE_CHECKING:
    from _socket import socket as RawSocket

    from greenworld.wsgi.config import Tls
    from greenworld.wsgi.connection import Connection
    from greenworld.wsgi.log import ErrorLog

__all__ = ["TlsOpening"]

HANDSHAKE: Final = 0x16
"""The first byte of TLS: a record that holds a handshake (RFC 8446, section 5.1)."""
_METHOD = re.compile(rb"[A-Z]{3,}(?: |\Z)")


class TlsOpening:
    """Encrypts new connections; see `opening.Encryption`."""

    def __init__(self, tls: Tls, errors: ErrorLog) -> None:
        self._certificates = Certificates(tls, errors)

    def reload(self) -> bool:
        """Load the certificates again; return whether that went well."""
        return self._certificates.reload()

    def secure(self, connection: Connection, received: bytes, until: float) -> None:
        """Do the handshake, and put the stream in the place of the socket. **Blocks**."""
        if not received:
            received = receive(connection, until)
        if received[0] != HANDSHAKE:
            raise _not_tls(connection, received)
        raw = cast("RawSocket", connection.sock)
        stream = TlsStream(raw, connection.io, self._certificates.context, received)
        try:
            stream.handshake(until)
        except SSLError as error:
            raise OpeningError(f"no TLS handshake: {_reason(error)}") from None
        except TimeoutError:
            raise OpeningError("no TLS handshake in time") from None
        connection.sock = stream
        connection.facts = tls_environ(stream.tls)


def _not_tls(connection: Connection, received: bytes) -> Exception:
    if _METHOD.match(received) is None:
        return OpeningError("what came is not TLS")
    connection.buffer = received  # the refusal looks there for the method
    return HttpError(400, "this port speaks HTTPS: begin the address with https://")


def _reason(error: SSLError) -> str:
    """What OpenSSL says, in small letters and without its own file and line."""
    if isinstance(error, SSLCertVerificationError):
        return f"the client's certificate is not valid: {error.verify_message}"
    reason: Any = error.reason
    return str(reason or error).replace("_", " ").lower()
