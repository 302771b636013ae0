"""The cooperative counterpart of the standard module `socket`.

Every name of the original is here. The class and the functions that wait are
cooperative; the rest is the original's. Nothing has to be patched to use it:

    from greenworld.patches import socket

The class is a subclass of the standard one, made of the same functions that
`monkey_patch` assigns onto that one. Functions of the original that are
written in Python run here on this module's names, so that they make sockets
of this module's class.
"""

from __future__ import annotations

import socket as _stdlib
from socket import *  # noqa: F403 - the counterpart offers what the original offers
from typing import Any as _Any

from greenworld.patches import resolver as _resolver
from greenworld.patches import socket_life as _life
from greenworld.patches import socket_read as _read
from greenworld.patches import socket_write as _write
from greenworld.patches.explicit import counterparts as _counterparts

__all__ = list(_stdlib.__all__)


def _accept(self: socket) -> tuple[socket, _Any]:
    """Wait for a connection: `(socket, address)`. **Blocks** while there is none."""
    fd, address = _read.accept_fd(self)
    sock = socket(self.family, self.type, self.proto, fd)
    _read.keep_for_us(sock)
    return sock, address


class socket(_stdlib.socket):  # type: ignore[no-redef]
    """A socket whose methods let other green threads run while they wait."""

    __slots__ = ()

    __init__ = _life.initialize
    accept = _accept
    bind = _life.bind
    connect = _life.connect
    connect_ex = _life.connect_ex
    recv = _read.recv
    recv_into = _read.recv_into
    recvfrom = _read.recvfrom
    recvfrom_into = _read.recvfrom_into
    send = _write.send
    sendall = _write.sendall
    sendto = _write.sendto
    settimeout = _life.settimeout
    gettimeout = _life.gettimeout
    setblocking = _life.setblocking
    getblocking = _life.getblocking
    timeout = _life.timeout
    detach = _life.detach
    dup = _life.dup
    _real_close = _life.close_for_real
    _sendfile_use_sendfile = _write.use_sendfile
    if hasattr(_stdlib.socket, "recvmsg"):
        recvmsg = _read.recvmsg
        recvmsg_into = _read.recvmsg_into
        sendmsg = _write.sendmsg


_OWN = ("socket", "_accept", "_read", "_write", "_life", "_resolver")
globals().update(_counterparts(_stdlib, globals(), _OWN))
globals().update({name: getattr(_resolver, name) for name in _resolver.REPLACED})
