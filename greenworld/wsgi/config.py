"""What can be set about a server. One frozen record; the command line fills in the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from greenworld.wsgi.http1 import Limits
from greenworld.wsgi.log import LogStream

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["Config", "ForwardedPart", "Tls"]

ForwardedPart = Literal["for", "proto", "host", "port", "prefix"]
"""What a proxy may say of a request: who sent it, over which scheme, to which host and path."""


@dataclass(frozen=True)
class Tls:
    """How connections are encrypted. Paths are of files in PEM."""

    certificate: str = ""
    """The server's certificate, followed by the chain up to, without, the root."""
    key: str | None = None
    """Its private key; None if it is in the file of the certificate."""
    password: str | None = field(default=None, repr=False)
    """What the key is encrypted with."""
    client_ca: str | None = None
    """The authorities that clients' certificates are checked against."""
    client_certificate: Literal["none", "optional", "required"] = "none"
    """Whether a client is asked for a certificate, and refused without one."""
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    """The oldest version of TLS that is spoken."""
    ciphers: str | None = None
    """OpenSSL's cipher list for TLS 1.2; None for the standard library's."""
    alpn: tuple[str, ...] = ("http/1.1",)
    """The protocols offered, the most wanted first."""
    hosts: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    """Certificate and key for each further server name (`example.org`, `*.example.org`)."""
    context: SSLContext | None = None
    """A context made by the caller, in place of all that is above."""


@dataclass(frozen=True)
class Config:
    """Limits in bytes, times in seconds. The defaults suit a server that faces the internet."""

    keep_alive: float = 60.0
    """How long a connection may be idle between two requests; 0 closes it after each."""
    head_timeout: float = 30.0
    """How long a client may take to send a request head (408); also for its first byte."""
    body_timeout: float = 60.0
    """How long a client may send nothing of a body that is being read (408)."""
    body_rate: int = 240
    """Bytes per second of a body: a client that falls `body_timeout` behind it gets 408; 0: any."""
    write_timeout: float = 60.0
    """How long a client may read nothing of an answer."""
    write_rate: int = 240
    """Bytes per second that a client must read of an answer that waits for it: the connection of
    one that falls `write_timeout` behind it is closed; 0: any."""
    request_timeout: float | None = None
    """How long a request may take in all, from its head to the end of its answer."""
    handshake_timeout: float = 10.0
    """How long a new connection may take for its PROXY header and its TLS handshake."""
    graceful_timeout: float = 30.0
    """How long `stop` lets requests finish."""
    limits: Limits = field(default_factory=Limits)
    """Bounds of a request head (414, 431)."""
    max_body: int | None = 1 << 30
    """Bytes of the largest request body (413); None for any."""
    max_unread: int = 65536
    """Bytes of a body the application left unread that are dropped to keep the connection."""
    max_connections: int | None = None
    """Connections open at a time; more wait in the listener's backlog. None for any number."""
    max_in_flight: int | None = None
    """Requests answered at a time; more wait, unread. None for any number."""
    max_per_address: int | None = None
    """Connections open at a time from one address (IPv6: one network of 64 bits); more are closed
    at once. None for any."""
    backlog: int = 2048
    """Connections the kernel keeps for a listener until they are accepted."""
    underscores: Literal["drop", "refuse"] = "drop"
    """What becomes of a header whose name holds an underscore: dropped, or 400."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose word on client and scheme is taken; `unix` for Unix sockets."""
    forwarded_header: Literal["x-forwarded", "forwarded"] = "x-forwarded"
    """Which headers a trusted proxy says it in: `X-Forwarded-*`, or `Forwarded` (RFC 7239)."""
    forwarded_parts: tuple[ForwardedPart, ...] = ("for", "proto")
    """What of it is believed. The proxy must set each of these itself in every request: what it
    only passes on comes from the client."""
    request_id_header: str | None = "X-Request-ID"
    """The header in which a trusted proxy names a request; None for no such header."""
    request_id_environ: bool = False
    """Whether the environment holds the request's name, as `greenworld.request_id` and under the
    key of `request_id_header`."""
    proxy_protocol: bool = False
    """Whether connections begin with a PROXY header (version 1 or 2)."""
    tls: Tls | None = None
    """How connections are encrypted; None for not at all."""
    health_path: str | None = None
    """A path that the server itself answers with 200, and with 503 while it stops."""
    environ: dict[str, Any] = field(default_factory=dict)
    """Further keys for the environment of every request."""
    access_log: LogStream | None = None
    """Where access lines go; None for nowhere."""
    access_format: str = "combined"
    """What an access line holds: `common`, `combined`, `json`, or atoms such as `%h %r %s`."""
    error_log: LogStream | None = None
    """Where errors and `wsgi.errors` go; None for `sys.stderr`."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number that no server could work with."""
        for name in _TIMES:
            seconds = getattr(self, name)
            if seconds is not None and not seconds >= 0:
                raise ValueError(f"{name} must be a number of seconds, not {seconds!r}")
        for name in _COUNTS:
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{name} must be 1 or more, or None for any number, not {count!r}")
        if self.health_path is not None and not self.health_path.startswith("/"):
            raise ValueError(f"health_path must begin with a slash, not be {self.health_path!r}")


_TIMES = (
    "keep_alive",
    "head_timeout",
    "body_timeout",
    "write_timeout",
    "request_timeout",
    "handshake_timeout",
    "graceful_timeout",
)
_COUNTS = ("max_connections", "max_in_flight", "max_per_address")
