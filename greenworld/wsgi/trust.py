"""Which peers are proxies whose word is taken: addresses, networks, Unix sockets, or everyone.

1. Loaded only where `Config.trusted_proxies` or the PROXY header asks for it: a server on its
   own has no use for the standard library's `ipaddress`.
2. `unix` and `*` speak of who is connected. An address that is only named in a header is never
   trusted through `*`: it would let every client choose its own address.
3. An IPv4 address that arrives at an IPv6 socket (`::ffff:10.0.0.1`) counts as that IPv4 address;
   the zone of a link-local address (`fe80::1%eth0`) is not looked at.
4. Answers are remembered; the table is bounded and emptied when it is full.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

__all__ = ["TrustedProxies", "parse_address"]

_MAX_KNOWN: Final = 4096


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that `text` is, an IPv4-mapped one as IPv4; None if it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class TrustedProxies:
    """The peers that may speak for others, as `Config.trusted_proxies` names them.

    Raises ValueError for what is neither an address, nor a network in CIDR notation (RFC 4632),
    nor `unix`, nor `*`.
    """

    __slots__ = ("_everyone", "_hops", "_networks", "_peers", "_unix")

    def __init__(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise ValueError(f"trusted proxies must be a list, not the one text {names!r}")
        self._everyone = self._unix = False
        self._networks: list[IPv4Network | IPv6Network] = []
        for name in names:
            if name == "*":
                self._everyone = self._unix = True
            elif name == "unix":
                self._unix = True
            else:
                self._networks.append(_network(name))
        self._peers: dict[str, bool] = {}
        self._hops: dict[str, bool] = {}

    def trusts_peer(self, host: str) -> bool:
        """Whether who is connected from `host` is trusted; `""` is the peer of a Unix socket."""
        trusted = self._peers.get(host)
        if trusted is None:
            trusted = (self._everyone if host else self._unix) or self.trusts_hop(host)
            _remember(self._peers, host, trusted)
        return trusted

    def trusts_hop(self, host: str) -> bool:
        """Whether `host`, which a header names, is an address or in a network that was listed."""
        trusted = self._hops.get(host)
        if trusted is None:
            address = parse_address(host)
            trusted = address is not None and any(address in each for each in self._networks)
            _remember(self._hops, host, trusted)
        return trusted


def _remember(table: dict[str, bool], host: str, trusted: bool) -> None:
    if len(table) >= _MAX_KNOWN:
        table.clear()
    table[host] = trusted


def _network(name: str) -> IPv4Network | IPv6Network:
    """Return the network that an entry of the list names."""
    expected = "an address, a network such as 10.0.0.0/8, 'unix' or '*'"
    if "%" in name:
        raise ValueError(f"a trusted proxy is {expected}, without a zone: not {name!r}")
    try:
        network = ip_network(name, strict=False)
    except ValueError:
        raise ValueError(f"a trusted proxy is {expected}, not {name!r}") from None
    address = parse_address(name.partition("/")[0])
    if address is not None and network.version == 6 and address.version == 4:
        raise ValueError(
            f"the trusted proxy {name!r} must be written as the IPv4 address {address}"
        )
    if "/" in name and address != network.network_address:
        raise ValueError(
            f"the trusted network {name!r} has bits beyond its mask: did you mean {network}?"
        )
    return network
