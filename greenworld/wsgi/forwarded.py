"""Whom a request comes from, when a trusted proxy brings it.

1. Loaded, and asked for each request, only where `Config.trusted_proxies` is set: a server on
   its own touches no header.
2. From a peer that is not trusted, every header that says such things is removed, also those
   that say them in other words (`X-Real-IP`). From a trusted one, the parts and the family that
   were not chosen are; other words of its own are between it and the application.
3. The list of addresses is walked from its right end, the nearest hop, over trusted ones; the
   first that is not trusted is the client. Where an entry is no address (`unknown`, garbage),
   the walk ends, and the hop that wrote it counts as the client.
4. Scheme, host, port and prefix are those that were told to the outermost trusted hop. One value
   holds for all hops; a list must have an entry for each address, else the request is refused
   with 400, and so is a value that is malformed.
5. `greenworld.peer` keeps the connection's own `(host, port)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

from greenworld.wsgi.config import Config, ForwardedPart
from greenworld.wsgi.errors import HttpError
from greenworld.wsgi.forwarded_grammar import (
    Node,
    parse_forwarded,
    parse_node,
    parse_port,
    parse_prefix,
    parse_scheme,
    split_host,
)
from greenworld.wsgi.trust import TrustedProxies

if TYPE_CHECKING:
    from greenworld.wsgi.connection import Connection
    from greenworld.wsgi.environ import HeaderBlock

__all__ = ["PEER", "ForwardedHeaders"]

PEER: Final = "greenworld.peer"
"""The key of the environment for the connection's own `(host, port)`."""

_PARTS: Final = get_args(ForwardedPart)
_KEYS: Final = {part: f"HTTP_X_FORWARDED_{part.upper()}" for part in _PARTS}
_STANDARD: Final = "HTTP_FORWARDED"
# What says the same in other words, to one application or another.
_ALIASES: Final = (
    "HTTP_X_FORWARDED_BY",
    "HTTP_X_FORWARDED_PROTOCOL",
    "HTTP_X_FORWARDED_SCHEME",
    "HTTP_X_FORWARDED_SERVER",
    "HTTP_X_FORWARDED_SSL",
    "HTTP_X_FORWARDED_PATH",
    "HTTP_X_REAL_IP",
    "HTTP_X_CLIENT_IP",
    "HTTP_X_SCHEME",
    "HTTP_X_URL_SCHEME",
    "HTTP_FRONT_END_HTTPS",
    "HTTP_X_SCRIPT_NAME",
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_MAX_KNOWN: Final = 4096
_MAX_SIZE: Final = 512  # characters of what is worth remembering


class Said(NamedTuple):
    """What the trusted hops said together."""

    client: Node | None
    """Where the request comes from; None if it comes from the peer."""
    parts: dict[str, str]
    """The other parts, as the outermost trusted hop was told them."""


class ForwardedHeaders:
    """Rewrites the environment of each request as the configuration says: see `Server.edge`.

    Raises ValueError for a configuration that makes no sense.
    """

    def __init__(self, config: Config) -> None:
        for part in config.forwarded_parts:
            if part not in _PARTS:
                raise ValueError(f"forwarded_parts is of {', '.join(_PARTS)}: there is no {part!r}")
        self.proxies = TrustedProxies(config.trusted_proxies)
        self._parts = frozenset(config.forwarded_parts)
        self._is_standard = config.forwarded_header == "forwarded"
        chosen = tuple(_KEYS[part] for part in _PARTS if part in self._parts)
        wanted = (_STANDARD,) if self._is_standard else chosen
        self._unwanted = tuple(key for key in (*_KEYS.values(), _STANDARD) if key not in wanted)
        self._removed = (*_KEYS.values(), _STANDARD, *_ALIASES)
        # All that a change depends on.
        placed = {"host", "port"} & self._parts
        self._asked = (*wanted, "HTTP_HOST", "wsgi.url_scheme") if placed else wanted
        self._known: dict[tuple[str | None, ...], dict[str, str]] = {}

    def __call__(self, connection: Connection, block: HeaderBlock, environ: dict[str, Any]) -> None:
        """Rewrite one request's environment. Raises HttpError. Does not block."""
        host = connection.host
        environ[PEER] = (host, connection.port)
        if not self.proxies.trusts_peer(host):
            for key in self._removed:
                environ.pop(key, None)
            return
        for key in self._unwanted:
            environ.pop(key, None)
        question = tuple(map(environ.get, self._asked))
        change = self._known.get(question)  # most clients send more than one request
        if change is None:
            change = self._change(environ)
            self._remember(question, change)
        environ.update(change)

    def _remember(self, question: tuple[str | None, ...], change: dict[str, str]) -> None:
        if sum(map(len, filter(None, question))) <= _MAX_SIZE:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[question] = change

    def _change(self, environ: dict[str, Any]) -> dict[str, str]:
        """What the environment of a trusted peer's request has to be updated with."""
        client, parts = self._standard(environ) if self._is_standard else self._customary(environ)
        change: dict[str, str] = {}
        if client is not None:
            change["REMOTE_ADDR"], change["REMOTE_PORT"] = client
        scheme = environ["wsgi.url_scheme"]
        if "proto" in parts:
            change["wsgi.url_scheme"] = scheme = parse_scheme(parts["proto"])
            change["HTTPS"] = "on" if scheme == "https" else "off"
        _add_host(change, parts, scheme, environ.get("HTTP_HOST"))
        if "prefix" in parts:
            change["SCRIPT_NAME"] = parse_prefix(parts["prefix"])
        return change

    def _customary(self, environ: dict[str, Any]) -> Said:
        """Read `X-Forwarded-*`."""
        lists = {
            part: [value.strip(" \t") for value in environ[key].split(",")]
            for part, key in _KEYS.items()
            if part in self._parts and key in environ
        }
        addresses = lists.pop("for", [])
        client, at = self._walk(addresses)
        parts = {}
        for part, values in lists.items():
            if len(values) not in (1, len(addresses)):
                raise HttpError(400, f"X-Forwarded-{part.title()} does not fit X-Forwarded-For")
            parts[part] = values[at] if len(values) > 1 else values[0]
        return Said(client, parts)

    def _standard(self, environ: dict[str, Any]) -> Said:
        """Read `Forwarded`."""
        elements = parse_forwarded(environ.get(_STANDARD, ""))
        client, at = self._walk([element.get("for", "") for element in elements])
        parts: dict[str, str] = {}
        for element in elements[at:]:
            for part in ("proto", "host"):
                if part in element and part in self._parts:
                    parts.setdefault(part, element[part])
        return Said(client if "for" in self._parts else None, parts)

    def _walk(self, entries: list[str]) -> tuple[Node | None, int]:
        """Find the client, and the entry that the outermost trusted hop wrote."""
        client = None
        at = len(entries)
        while at > 0:
            at -= 1
            node = parse_node(entries[at])
            if node is None:
                break
            client = node
            if not self.proxies.trusts_hop(node.host):
                break
        return client, at


def _add_host(
    change: dict[str, str], parts: dict[str, str], scheme: str, present: str | None
) -> None:
    """Work out `HTTP_HOST`, `SERVER_NAME` and `SERVER_PORT` from a forwarded host and port."""
    if "host" in parts:
        name, port = split_host(parts["host"])
        change["SERVER_NAME"] = name
    elif "port" in parts:
        name, port = split_host(present)[0] if present else "", ""
    else:
        return
    if "port" in parts and not port:  # what the client asked for says more than where it got in
        port = parse_port(parts["port"])
    default = _DEFAULT_PORTS.get(scheme, "")
    if name:
        change["HTTP_HOST"] = f"{name}:{port}" if port not in ("", default) else name
    change["SERVER_PORT"] = port or default
