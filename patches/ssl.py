"""The cooperative counterpart of the standard module `ssl`: TLS on cooperative sockets.

Nothing has to be patched to use it. The two classes are subclasses of the
standard ones, made of the same methods that `monkey_patch` assigns onto
`ssl.SSLSocket`; everything else is the standard module's.
"""

from __future__ import annotations

import ssl as _stdlib
from ssl import *  # noqa: F403 - the counterpart offers what the original offers
from typing import Any as _Any

from greenworld.patches import socket as _socket
from greenworld.patches import tls as _tls
from greenworld.patches.explicit import counterparts as _counterparts

__all__ = [name for name in vars(_stdlib) if not name.startswith("_")]

_Socket: _Any = _socket.socket


class SSLSocket(_stdlib.SSLSocket, _Socket):  # type: ignore[no-redef,misc]
    """A TLS socket whose methods let other green threads run while they wait."""

    _create = _tls.create
    do_handshake = _tls.do_handshake
    read = _tls.read
    send = _tls.send
    sendfile = _tls.sendfile
    unwrap = _tls.unwrap
    write = _tls.write


class SSLContext(_stdlib.SSLContext):  # type: ignore[no-redef]
    """A context whose sockets are cooperative."""

    sslsocket_class = SSLSocket


socket = _socket.socket
create_connection = _socket.create_connection

_OWN = ("SSLSocket", "SSLContext", "socket", "create_connection", "_socket", "_tls")
globals().update(_counterparts(_stdlib, globals(), _OWN))
_create_default_https_context = globals()["create_default_context"]
