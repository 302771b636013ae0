"""Addresses: what is understood, what is opened, and what is said of what cannot be."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from greenworld.wsgi.binds import (
    Bind,
    BoundSocket,
    display,
    open_all,
    open_another,
    parse,
    remove_file,
)

LIMIT = 20.0
Open = Callable[..., list[BoundSocket]]

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="abstract sockets are a thing of Linux"
)


@pytest.fixture
def opened() -> Iterator[Open]:
    """`open_all` whose sockets and files are gone after the test."""
    with ExitStack() as stack:

        def open_them(*binds: str, backlog: int = 5, reuse_port: bool = False) -> list[BoundSocket]:
            sockets = open_all(binds, backlog, reuse_port)
            for sock in sockets:
                stack.callback(sock.close)
                stack.callback(remove_file, sock)
            return sockets

        yield open_them


def reaches(family: int, address: Any, sock: BoundSocket) -> bool:
    """Whether somebody who connects there ends up in the queue of `sock`."""
    with socket.socket(family) as client:
        client.settimeout(LIMIT)
        client.connect(address)
        sock.setblocking(False)
        try:
            fd, _ = sock._accept()  # type: ignore[attr-defined]
        except BlockingIOError:
            return False
        os.close(fd)
        return True


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:80", Bind("127.0.0.1:80", socket.AF_INET, "127.0.0.1", 80)),
        (":0", Bind(":0", socket.AF_INET, "", 0)),
        ("[::1]:65535", Bind("[::1]:65535", socket.AF_INET6, "::1", 65535)),
        ("[fe80::1%eth0]:1", Bind("[fe80::1%eth0]:1", socket.AF_INET6, "fe80::1%eth0", 1)),
        ("unix:a", Bind("unix:a", socket.AF_UNIX, path="a")),
        ("unix:/a/b?mode=0660", Bind("unix:/a/b?mode=0660", socket.AF_UNIX, path="/a/b", mode=432)),
        ("unix:@a", Bind("unix:@a", socket.AF_UNIX, path="\0a")),
        ("fd://3", Bind("fd://3", fd=3)),
    ],
)
def test_addresses(text: str, bind: Bind) -> None:
    assert parse(text) == bind


@pytest.mark.parametrize(
    "text", ["", "8000", "localhost", "a:b", "127.0.0.1:", "::1:80", "a:65536", "[::1]", "[x]:1",
             "a:-1", "http://a:80", "fd://", "fd://x", "fd://-1", " a:80", "a:80\n"]
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="an address is HOST:PORT") as caught:
        parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["unix:", "unix:@", "unix:a?mode=", "unix:a?mode=8", "unix:a?mode=689", "unix:a?x",
             "unix:@a?mode=600", "unix:a\0b", "unix:a?mode=77777"]
)  # fmt: skip
def test_what_is_no_unix_socket(text: str) -> None:
    with pytest.raises(ValueError, match="a Unix socket is unix:PATH") as caught:
        parse(text)
    assert repr(text) in str(caught.value)


def test_the_mode_of_a_unix_socket(opened: Open, tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        opened(f"unix:{tmp_path}/left", f"unix:{tmp_path}/given?mode=606")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(os.stat(tmp_path / "left").st_mode) == 0o750
    assert stat.S_IMODE(os.stat(tmp_path / "given").st_mode) == 0o606


@linux_only
def test_an_abstract_socket(opened: Open) -> None:
    name = f"greenworld-test-{os.getpid()}"
    (sock,) = opened(f"unix:@{name}")
    assert reaches(socket.AF_UNIX, f"\0{name}", sock)
    assert display(sock.family, sock.getsockname()) == f"unix:@{name}"
    with pytest.raises(OSError, match="in use"):
        opened(f"unix:@{name}")


def test_a_socket_that_was_open_before(opened: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        fd = listener.detach()
    os.set_inheritable(fd, True)
    (sock,) = opened(f"fd://{fd}")
    assert sock.fileno() == fd
    assert not os.get_inheritable(fd)
    assert reaches(socket.AF_INET, address, sock)


def test_what_is_no_listening_socket(opened: Open, tmp_path: Path) -> None:
    with socket.socket() as unbound, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        for sock in (unbound, datagrams):
            fd = sock.fileno()
            with pytest.raises(OSError, match="not a listening stream socket") as caught:
                opened(f"fd://{fd}")
            assert caught.value.filename == f"fd://{fd}"
            assert sock.getsockname()  # still open: it was none of ours
    with open(tmp_path / "file", "w") as file, pytest.raises(OSError, match="non-socket"):
        opened(f"fd://{file.fileno()}")
    free = os.dup(0)
    os.close(free)
    with pytest.raises(OSError, match="Bad file descriptor"):
        opened(f"fd://{free}")


def test_a_descriptor_given_twice(opened: Open) -> None:
    with pytest.raises(ValueError, match="fd://3 is given more than once"):
        opened("fd://3", "fd://3")


def test_all_or_none_and_the_culprit_is_named(opened: Open, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="in use") as caught:
            opened(f"unix:{tmp_path}/first", address)
    assert caught.value.filename == address
    assert not (tmp_path / "first").exists()


def test_a_directory_that_is_not_there(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        opened(f"unix:{tmp_path}/absent/socket")
    assert caught.value.filename == f"unix:{tmp_path}/absent/socket"


def test_a_path_that_is_too_long(opened: Open) -> None:
    with pytest.raises(OSError, match="too long"):
        opened(f"unix:/tmp/{'x' * 200}")


def test_only_the_own_file_is_removed(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    (sock,) = opened(f"unix:{path}")
    os.unlink(path)
    path.write_text("somebody else's")
    remove_file(sock)
    assert path.read_text() == "somebody else's"


def test_the_own_file_is_removed_after_a_change_of_directory(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (sock,) = opened("unix:socket")
    monkeypatch.chdir("/")
    remove_file(sock)
    remove_file(sock)
    assert not (tmp_path / "socket").exists()


def test_several_sockets_on_one_port(opened: Open) -> None:
    (first,) = opened("127.0.0.1:0", reuse_port=True)
    second = open_another(first, 5)
    try:
        assert second is not first
        assert second.getsockname() == first.getsockname()
        for sock in (first, second):
            sock.setblocking(False)
        found: set[BoundSocket] = set()
        while len(found) < 2:  # the kernel deals them out by their addresses
            with socket.create_connection(first.getsockname(), timeout=LIMIT):
                for sock in (first, second):
                    try:
                        fd, _ = sock._accept()  # type: ignore[attr-defined]
                    except BlockingIOError:
                        continue
                    os.close(fd)
                    found.add(sock)
    finally:
        second.close()


def test_what_cannot_share_an_address_is_shared(opened: Open, tmp_path: Path) -> None:
    for sock in opened(f"unix:{tmp_path}/socket", "127.0.0.1:0"):
        assert open_another(sock, 5) is sock


@pytest.mark.parametrize(
    ("family", "address", "text"),
    [
        (socket.AF_INET, ("0.0.0.0", 80), "http://0.0.0.0:80"),
        (socket.AF_INET6, ("::1", 80, 0, 0), "http://[::1]:80"),
        (socket.AF_UNIX, "/a", "unix:/a"),
        (socket.AF_UNIX, b"\0a", "unix:@a"),
    ],
)
def test_display(family: int, address: object, text: str) -> None:
    assert display(family, address) == text
