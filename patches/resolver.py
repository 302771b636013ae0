"""Name lookups off the hub's thread.

Owns the cooperative `getaddrinfo` and its relatives, and the numeric form of
the addresses that sockets are given. Numeric addresses are answered here and
now; what may ask a name server runs on the resolver's native threads.
"""

from __future__ import annotations

import _socket
import socket as stdlib_socket
from _socket import AF_INET, AF_INET6, AI_NUMERICHOST, AI_NUMERICSERV, NI_NUMERICHOST, inet_pton
from typing import Any

from greenworld.hub.native import resolve

REPLACED = ("getaddrinfo", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "getnameinfo")
"""The functions here that stand for those of `socket`."""

__all__ = [*REPLACED, "REPLACED", "numeric_address"]

plain_getaddrinfo = stdlib_socket.getaddrinfo
c_getaddrinfo = _socket.getaddrinfo
c_gethostbyaddr = _socket.gethostbyaddr
c_gethostbyname = _socket.gethostbyname
c_gethostbyname_ex = _socket.gethostbyname_ex
c_getnameinfo = _socket.getnameinfo

NEVER_LOOKED_UP = ("", "<broadcast>")
"""Host names that mean an address to the C class without a lookup."""

Info = tuple[Any, Any, int, str, Any]


def _family_of(host: object) -> int | None:
    """The family whose plain numeric address `host` is."""
    if not isinstance(host, str):
        return None
    family = AF_INET6 if ":" in host else AF_INET
    try:
        inet_pton(family, host)
    except (OSError, ValueError):
        return None
    return family


def getaddrinfo(
    host: str | bytes | None,
    port: str | int | bytes | None,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[Info]:
    """Look up a host and a service. **Blocks** (the green thread) if it is a name."""
    if (host is None or _family_of(host) is not None) and _is_number(port):
        flags_now = flags if host is None else flags | AI_NUMERICHOST
        return plain_getaddrinfo(host, port, family, type, proto, flags_now | AI_NUMERICSERV)
    return resolve(plain_getaddrinfo, host, port, family, type, proto, flags)


def _is_number(port: object) -> bool:
    return port is None or isinstance(port, int) or (isinstance(port, str) and port.isdecimal())


def gethostbyname(hostname: str, /) -> str:
    """The IPv4 address of a host. **Blocks** (the green thread) if it is a name."""
    if _family_of(hostname) == AF_INET:
        return hostname
    return resolve(c_gethostbyname, hostname)


def gethostbyname_ex(hostname: str, /) -> tuple[str, list[str], list[str]]:
    """Name, aliases and IPv4 addresses of a host. **Blocks** (the green thread)."""
    return resolve(c_gethostbyname_ex, hostname)


def gethostbyaddr(ip_address: str, /) -> tuple[str, list[str], list[str]]:
    """Name, aliases and addresses of the host with an address. **Blocks** (the green thread)."""
    return resolve(c_gethostbyaddr, ip_address)


def getnameinfo(sockaddr: Any, flags: int, /) -> tuple[str, str]:
    """Host and service of a socket address. **Blocks** (the green thread) for names."""
    if flags & NI_NUMERICHOST:
        return c_getnameinfo(sockaddr, flags)
    return resolve(c_getnameinfo, sockaddr, flags)


def numeric_address(family: int, type: int, proto: int, address: Any) -> Any:
    """`address` with its host name looked up, so that C need not do that on this thread.

    What is not an Internet address with a host name is returned as it is,
    also when it is wrong: C then says what is wrong. **Blocks** for a name.
    """
    if family not in (AF_INET, AF_INET6) or not isinstance(address, tuple) or not address:
        return address
    host = address[0]
    if isinstance(host, str):
        if host in NEVER_LOOKED_UP or _family_of(host) == family:
            return address
    elif isinstance(host, (bytes, bytearray)):
        host = bytes(host)
        if host.decode("ascii", "replace") in NEVER_LOOKED_UP:
            return address
    else:
        return address
    infos = resolve(c_getaddrinfo, host, None, family, type, proto)
    return (infos[0][4][0], *address[1:])
