"""What can be set about a server. One frozen record; the command line fills in the same one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from greenworld.wsgi.http1 import Limits
from greenworld.wsgi.log import LogStream

__all__ = ["Config"]


@dataclass(frozen=True)
class Config:
    """Limits in bytes, times in seconds. The defaults suit a server that faces the internet."""

    keep_alive: float = 60.0
    """How long a connection may be idle between two requests; 0 closes it after each."""
    head_timeout: float = 30.0
    """How long a client may take to send a request head (408); also for its first byte."""
    io_timeout: float = 60.0
    """How long a client may send nothing of a body (408), or read nothing of the answer."""
    graceful_timeout: float = 30.0
    """How long `stop` lets requests finish."""
    limits: Limits = field(default_factory=Limits)
    """Bounds of a request head (414, 431)."""
    max_body: int | None = None
    """Bytes of the largest request body (413); None for any."""
    max_unread: int = 65536
    """Bytes of a body the application left unread that are dropped to keep the connection."""
    max_connections: int | None = None
    """Connections open at a time; more wait in the listener's backlog. None for any number."""
    backlog: int = 2048
    """Connections the kernel keeps for a listener until they are accepted."""
    environ: dict[str, Any] = field(default_factory=dict)
    """Further keys for the environment of every request."""
    access_log: LogStream | None = None
    """Where access lines go, in the combined format; None for nowhere."""
    error_log: LogStream | None = None
    """Where errors and `wsgi.errors` go; None for `sys.stderr`."""
