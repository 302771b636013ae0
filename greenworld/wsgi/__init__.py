"""A WSGI server on green threads: HTTP/1.1 in front of any PEP 3333 application.

`Server` is for programs, `server` has eventlet's signature, and
`python -m greenworld.wsgi module:app` is the command.
"""

from __future__ import annotations

from greenworld.wsgi.compat import server
from greenworld.wsgi.config import Config, Tls
from greenworld.wsgi.errors import ClientDisconnected, HttpError, RequestTimeout
from greenworld.wsgi.http1 import Limits
from greenworld.wsgi.server import Server

__all__ = [
    "ClientDisconnected",
    "Config",
    "HttpError",
    "Limits",
    "RequestTimeout",
    "Server",
    "Tls",
    "server",
]
