"""Connections of a server that limits requests in flight, their time, or addresses.

What the limits need to hear of a connection's life is told here, in a class that takes the place
of the plain one where a limit is set: a server without them pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from greenworld.wsgi.admission import Admission
from greenworld.wsgi.connection import Connection
from greenworld.wsgi.deadlines import Deadlines
from greenworld.wsgi.peers import Peers
from greenworld.wsgi.seldom import Seldom

if TYPE_CHECKING:
    from greenworld.wsgi.config import Config
    from greenworld.wsgi.environ import HeaderBlock, StartLine
    from greenworld.wsgi.gateway import Exchange
    from greenworld.wsgi.server import Server

__all__ = ["GovernedConnection", "Governor", "governor_for"]


class Governor:
    """The limits of one server that follow its connections; None stands for no limit."""

    def __init__(self, server: Server) -> None:
        config = server.config
        self.admission = None if config.max_in_flight is None else Admission(config.max_in_flight)
        self.deadlines = (
            None
            if config.request_timeout is None
            else Deadlines(server.hub, server.clock, config.request_timeout)
        )
        self.peers = (
            None
            if config.max_per_address is None
            else Peers(config.max_per_address, _trusts(config), Seldom(server.errors, server.clock))
        )


def governor_for(server: Server) -> Governor | None:
    """Return the governor of a server whose settings need one."""
    config = server.config
    settings = (config.max_in_flight, config.request_timeout, config.max_per_address)
    return Governor(server) if settings != (None, None, None) else None


def _trusts(config: Config) -> Callable[[str], bool]:
    """Whether the peer of that address is a trusted proxy."""
    if not config.trusted_proxies:
        return lambda host: False
    # Imported here: it needs `ipaddress`, without which most servers do.
    trust = import_module("greenworld.wsgi.trust")
    trusts: Callable[[str], bool] = trust.TrustedProxies(config.trusted_proxies).trusts_peer
    return trusts


class GovernedConnection(Connection):
    """A connection that asks for its place, and keeps to its time."""

    __slots__ = ()

    @property
    def governor(self) -> Governor:
        """The limits it is under."""
        governor = self.server.governor
        assert governor is not None
        return governor

    def wake(self) -> None:
        """Serve the bytes that have arrived, now or when a place is free."""
        admission = self.governor.admission
        self.thread = None
        if admission is None or admission.enter(self):
            super().wake()

    def admit(self) -> None:
        """A place is free: see `admission.Applicant`."""
        super().wake()

    def unbound(self) -> None:
        """See `Connection.unbound`."""
        governor = self.governor
        if governor.deadlines is not None:
            governor.deadlines.end(self)
        if governor.admission is not None:
            governor.admission.leave(self)

    def linger(self) -> None:
        """See `Stream.linger`: for as long as that takes, others may have the place."""
        self.unbound()
        super().linger()

    def close(self) -> None:
        """See `Connection.close`."""
        self.unbound()
        if self.governor.peers is not None:
            self.governor.peers.leave(self)
        super().close()

    def _exchange(self, line: StartLine, block: HeaderBlock) -> Exchange:
        exchange = super()._exchange(line, block)
        if self.governor.deadlines is not None:
            self.governor.deadlines.begin(self)
        return exchange

    def _after(self, exchange: Exchange) -> None:
        self.unbound()
        super()._after(exchange)

    def _wait(self) -> None:
        self.unbound()
        super()._wait()
