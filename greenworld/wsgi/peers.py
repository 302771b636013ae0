"""How many connections one address may have open at a time (`Config.max_per_address`).

1. An IPv6 client has a network of 64 bits to itself, and so it is the network that is counted.
2. Unix sockets have no address and are not counted; nor are trusted proxies, which speak for
   many clients. Where a PROXY header names the client, it is counted when the header is read.
3. More than are allowed are closed as soon as they are accepted, and reported once in a while.
"""

from __future__ import annotations

from _socket import AF_INET6, inet_pton
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greenworld.wsgi.connection import Connection

__all__ = ["Peers"]

_MAPPED = bytes(10) + b"\xff\xff"


class Peers:
    """The connections of one server, counted by address. `trusts` says who is not counted."""

    def __init__(
        self, most: int, trusts: Callable[[str], bool], complain: Callable[[str], None]
    ) -> None:
        self._most = most
        self._trusts = trusts
        self._complain = complain
        self._who: dict[Connection, str | bytes] = {}
        self._counts: dict[str | bytes, int] = {}

    def enter(self, connection: Connection) -> bool:
        """Count a connection by its `host`; False (and not counted) if there are enough."""
        host = connection.host
        if not host or self._trusts(host):
            return True
        who = _client(host)
        count = self._counts.get(who, 0)
        if count >= self._most:
            self._complain(f"closed a connection from {host}, which has {count} open already")
            return False
        self._counts[who] = count + 1
        self._who[connection] = who
        return True

    def leave(self, connection: Connection) -> None:
        """It has closed. Harmless when repeated, or if it was not counted."""
        who = self._who.pop(connection, None)
        if who is None:
            return
        if self._counts[who] == 1:
            del self._counts[who]
        else:
            self._counts[who] -= 1


def _client(host: str) -> str | bytes:
    """Return what one client is known by: its IPv4 address, or its IPv6 network."""
    if ":" not in host:
        return host
    address = inet_pton(AF_INET6, host.partition("%")[0])
    if address.startswith(_MAPPED):  # an IPv4 client of an IPv6 socket (RFC 4291, section 2.5.5.2)
        return address
    return address[:8]
