"""The addresses a server listens on: reading them, and opening a socket for each.

    HOST:PORT   [IPV6]:PORT   :PORT   unix:PATH   unix:PATH?mode=660   unix:@NAME   fd://N

1. `:PORT` is every IPv4 interface; `[::]:PORT` every IPv6 one, and IPv4 too where the system
   says so (`net.ipv6.bindv6only`).
2. A Unix socket has its mode before anybody can connect. One that nobody listens on any more
   is replaced; a living one, and any other file, is not. `unix:@NAME` is abstract (Linux): it
   has no file.
3. `fd://N` is a listening socket that was open when the program began.
4. An error tells the address: an OSError in its `filename`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from _socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    SO_ACCEPTCONN,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SOCK_STREAM,
    SOL_SOCKET,
)
from _socket import socket as RawSocket
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = ["Bind", "BoundSocket", "display", "open_all", "open_another", "parse", "remove_file"]

INTERNET: Final = frozenset({AF_INET, AF_INET6})

_TCP = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^:\[\]/\s]*)):([0-9]{1,5})")
_UNIX = re.compile(r"unix:(@?)([^@?\0][^?\0]*)(?:\?mode=([0-7]{3,4}))?")
_FD = re.compile(r"fd://([0-9]{1,6})")


class Bind(NamedTuple):
    """One address, as it was written and as it was understood."""

    text: str
    family: int = -1
    host: str = ""
    port: int = 0
    path: str = ""
    """Of a Unix socket; an abstract one begins with a NUL."""
    mode: int | None = None
    """Of a Unix socket's file; None for what the umask leaves."""
    fd: int = -1


class BoundSocket(RawSocket):
    """A listening socket, with what is to be known about it beyond the kernel's knowledge."""

    __slots__ = ("file",)

    file: tuple[str, int, int] | None
    """The file made for it: absolute path, device, inode."""


def parse(text: str) -> Bind:
    """Read an address. Raises ValueError for what is none. Opens nothing."""
    if text.startswith("unix:"):
        match = _UNIX.fullmatch(text)
        if match is None or (match[1] and match[3]):
            raise ValueError(
                "a Unix socket is unix:PATH, unix:PATH?mode=660 (octal digits) or unix:@NAME,"
                f" not {text!r}"
            )
        path = f"\0{match[2]}" if match[1] else match[2]
        return Bind(text, AF_UNIX, path=path, mode=int(match[3], 8) if match[3] else None)
    if match := _FD.fullmatch(text):
        return Bind(text, fd=int(match[1]))
    match = _TCP.fullmatch(text)
    if match is None or int(match[3]) > 65535:
        raise ValueError(
            f"an address is HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH or fd://N, not {text!r}"
        )
    family = AF_INET6 if match[1] else AF_INET
    return Bind(text, family, match[1] or match[2], int(match[3]))


def open_all(binds: Iterable[str], backlog: int, reuse_port: bool = False) -> list[BoundSocket]:
    """Open a listening socket for each address; all of them or none.

    `reuse_port` lets other sockets, of this user, listen on the same TCP ports beside them.
    May block to look up a host name. Raises OSError, among others when a port is in use, and
    ValueError for what is no address.
    """
    parsed = [parse(text) for text in binds]
    fds = [bind.fd for bind in parsed if bind.fd >= 0]
    for fd in fds:
        if fds.count(fd) > 1:
            raise ValueError(f"fd://{fd} is given more than once")
    sockets: list[BoundSocket] = []
    try:
        for bind in parsed:
            try:
                sockets.append(_open(bind, backlog, reuse_port))
            except OSError as error:
                if error.errno is None:  # the path of a Unix socket is too long
                    raise OSError(errno.ENAMETOOLONG, str(error), bind.text) from None
                error.filename = bind.text
                raise
    except BaseException:
        for sock in sockets:
            remove_file(sock)
            sock.close()
        raise
    return sockets


def _open(bind: Bind, backlog: int, reuse_port: bool) -> BoundSocket:
    if bind.fd >= 0:
        return _take(bind.fd)
    sock = BoundSocket(bind.family, SOCK_STREAM, 0)
    sock.file = None
    try:
        if bind.family == AF_UNIX:
            _bind_unix(sock, bind.path, bind.mode)
        else:
            sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
            sock.bind((bind.host, bind.port))
        sock.listen(backlog)
    except BaseException:
        remove_file(sock)
        sock.close()
        raise
    return sock


def _take(fd: int) -> BoundSocket:
    """The listening socket that was left to this process as a descriptor."""
    sock = BoundSocket(fileno=fd)
    sock.file = None
    if sock.type != SOCK_STREAM or not sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN):
        sock.detach()  # it is the business of somebody else
        raise OSError(errno.EINVAL, f"descriptor {fd} is not a listening stream socket")
    os.set_inheritable(fd, False)
    return sock


def _bind_unix(sock: BoundSocket, path: str, mode: int | None) -> None:
    if path.startswith("\0"):
        sock.bind(path)
        return
    if _is_stale(path):
        os.unlink(path)
    sock.bind(path)
    found = os.lstat(path)
    sock.file = (os.path.abspath(path), found.st_dev, found.st_ino)
    if mode is not None:
        os.chmod(path, mode)  # nobody can connect before listen()


def _is_stale(path: str) -> bool:
    """Whether a Unix socket lies there on which nobody listens any more."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except FileNotFoundError:
        return False
    probe = RawSocket(AF_UNIX, SOCK_STREAM, 0)
    probe.setblocking(False)  # a full backlog is a sign of life
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    finally:
        probe.close()
    return False


def open_another(sock: BoundSocket, backlog: int) -> BoundSocket:
    """Open one more socket on the TCP port of `sock`, with a queue of its own.

    Both need SO_REUSEPORT, see `open_all`. Anything but TCP is returned as it is: such sockets
    cannot share an address, and are shared instead.
    """
    if sock.family not in INTERNET or not sock.getsockopt(SOL_SOCKET, SO_REUSEPORT):
        return sock
    another = BoundSocket(sock.family, SOCK_STREAM, 0)
    another.file = None
    try:
        another.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        another.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        another.bind(sock.getsockname())
        another.listen(backlog)
    except BaseException:
        another.close()
        raise
    return another


def remove_file(sock: BoundSocket) -> None:
    """Remove the file that was made for a Unix socket, unless another has taken its place."""
    if sock.file is None:
        return
    path, device, inode = sock.file
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) == (device, inode):
            os.unlink(path)
    except OSError:
        pass  # gone, or out of reach by now
    sock.file = None


def display(family: int, address: object, scheme: str = "http") -> str:
    """Write what `getsockname()` says of a listening socket as an address for people."""
    if family in INTERNET:
        assert isinstance(address, tuple)
        host, port = address[:2]
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    if isinstance(address, bytes):
        address = os.fsdecode(address)
    name = str(address)
    return f"unix:@{name[1:]}" if name.startswith("\0") else f"unix:{name}"
