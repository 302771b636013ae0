"""Answers to what is no request: an error page, then the end of the connection.

After a head that cannot be read, nobody knows where the next one would begin: the connection
is closed, and closed slowly, so that the client can read why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenworld.wsgi.errors import ClientDisconnected, HttpError
from greenworld.wsgi.quoting import quote

if TYPE_CHECKING:
    from greenworld.wsgi.connection import Connection

__all__ = ["explain", "refuse"]


def explain(connection: Connection, error: HttpError, request: str = "") -> None:
    """Write to the error log why a request was refused; a client that is slow is no error."""
    if error.status != 408:
        connection.server.errors.write(
            f"greenworld.wsgi: refused a request from {connection.host or 'a Unix socket'}:"
            f" {error.status}, {quote(error.why)}{request and f' ({request})'}"
        )


def refuse(connection: Connection, error: HttpError) -> None:
    """Send `error` as the answer, log it, linger, close. **Blocks** up to two seconds."""
    server = connection.server
    server.clock.tick()
    explain(connection, error)
    body = quote(error.why).encode("ascii") + b"\n"
    length = len(body)
    if connection.buffer.startswith(b"HEAD "):
        body = b""
    head = (
        f"HTTP/1.1 {error.status_line}\r\n"
        "Content-Type: text/plain\r\n"
        f"Content-Length: {length}\r\n"
        "Connection: close\r\n"
    ).encode("ascii")
    try:
        connection.send(head + server.clock.date_line + b"\r\n" + body)
        if server.access is not None:
            server.access.record_refusal(connection, error, len(body))
        connection.linger()
    except ClientDisconnected:
        pass  # it did not wait for the answer
    finally:
        connection.close()
