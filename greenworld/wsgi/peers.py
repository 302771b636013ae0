"""How many connections one address may have open at a time (`Config.max_per_address`).

1. Unix sockets have no address and are not counted; nor are trusted proxies, which speak for
   many clients.
2. More than are allowed are closed as soon as they are accepted, and reported once in a while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from greenworld.wsgi.seldom import Seldom

if TYPE_CHECKING:
    from greenworld.wsgi.connection import Connection

__all__ = ["Peers"]


class Peers:
    """The connections of one server, counted by address. `trusts` says who is not counted."""

    def __init__(self, most: int, trusts: Callable[[str], bool], complain: Seldom) -> None:
        self._most = most
        self._trusts = trusts
        self._complain = complain
        self._address: dict[Connection, str] = {}
        self._counts: dict[str, int] = {}

    def enter(self, connection: Connection) -> bool:
        """Count a connection by its `host`; False (and not counted) if there are enough."""
        host = connection.host
        if not host or self._trusts(host):
            return True
        count = self._counts.get(host, 0)
        if count >= self._most:
            self._complain(f"closed a connection from {host}, which has {count} open already")
            return False
        self._counts[host] = count + 1
        self._address[connection] = host
        return True

    def leave(self, connection: Connection) -> None:
        """It has closed. Harmless when repeated, or if it was not counted."""
        host = self._address.pop(connection, None)
        if host is None:
            return
        if self._counts[host] == 1:
            del self._counts[host]
        else:
            self._counts[host] -= 1
