"""Name lookups: numbers at once, names on native threads."""

from __future__ import annotations

import socket as stdlib_socket
import threading
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.patches import resolver, socket

ME = threading.get_ident


@pytest.mark.parametrize(
    "question",
    [
        ("127.0.0.1", 80),
        ("::1", 80),
        ("127.0.0.1", "80", socket.AF_INET, socket.SOCK_STREAM),
        (None, 0, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE),
        ("localhost", 80, socket.AF_INET),
        ("localhost", None),
        ("127.0.0.1", "http"),
        (b"127.0.0.1", 80),
    ],
)
def test_getaddrinfo_answers_as_the_original(question: Any) -> None:
    assert socket.getaddrinfo(*question) == stdlib_socket.getaddrinfo(*question)


def test_the_others_answer_as_the_original() -> None:
    for name in ("127.0.0.1", "localhost"):
        assert socket.gethostbyname(name) == "127.0.0.1"
        assert socket.gethostbyname_ex(name) == stdlib_socket.gethostbyname_ex(name)
    assert socket.gethostbyaddr("127.0.0.1") == stdlib_socket.gethostbyaddr("127.0.0.1")
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert socket.getnameinfo(("127.0.0.1", 80), numeric) == ("127.0.0.1", "80")
    assert socket.getnameinfo(("127.0.0.1", 80), 0) == stdlib_socket.getnameinfo(
        ("127.0.0.1", 80), 0
    )
    assert socket.getfqdn("127.0.0.1") == stdlib_socket.getfqdn("127.0.0.1")


def test_errors_are_the_originals() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("no such host", 80)
    with pytest.raises(socket.gaierror):
        socket.gethostbyname("no such host")
    with socket.socket() as sock, pytest.raises(socket.gaierror):
        sock.connect(("no such host", 80))
    with socket.socket() as sock, pytest.raises(socket.gaierror):
        sock.connect_ex(("no such host", 80))


def test_numbers_never_leave_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise AssertionError("on a native thread")

    monkeypatch.setattr(resolver, "resolve", refuse)
    assert socket.getaddrinfo("127.0.0.1", 80)
    assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        sock.sendto(b"", ("127.0.0.1", sock.getsockname()[1]))
        sock.connect(("127.0.0.1", 9))


@pytest.mark.parametrize(
    ("cooperative", "original", "arguments"),
    [
        (resolver.getaddrinfo, "plain_getaddrinfo", ("slow.test", 80)),
        (resolver.gethostbyname, "c_gethostbyname", ("slow.test",)),
        (resolver.gethostbyname_ex, "c_gethostbyname_ex", ("slow.test",)),
        (resolver.gethostbyaddr, "c_gethostbyaddr", ("127.0.0.1",)),
        (resolver.getnameinfo, "c_getnameinfo", (("127.0.0.1", 80), 0)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_others_run_while_a_lookup_is_held_up(
    monkeypatch: pytest.MonkeyPatch, start: Any, cooperative: Any, original: str, arguments: Any
) -> None:
    held = threading.Event()
    threads = []

    def slow(*args: Any) -> str:
        threads.append(ME())
        assert held.wait(20)
        return "the answer"

    monkeypatch.setattr(resolver, original, slow)
    asking = start(cooperative, *arguments)
    sleep(0)
    assert not asking.ready()
    start(held.set)
    assert asking.wait(20) == "the answer"
    assert threads != [ME()]


def test_others_run_while_a_connect_looks_up(
    monkeypatch: pytest.MonkeyPatch, start: Any, listener: Any
) -> None:
    held = threading.Event()
    host, port = listener.getsockname()

    def slow(*args: Any) -> Any:
        assert held.wait(20)
        return [(0, 0, 0, "", (host, 0))]

    monkeypatch.setattr(resolver, "c_getaddrinfo", slow)
    with socket.socket() as client:
        connecting = start(client.connect, ("slow.test", port))
        sleep(0)
        assert not connecting.ready()
        held.set()
        connecting.wait(20)
        assert client.getpeername() == (host, port)


def test_addresses_that_are_not_looked_up() -> None:
    for family, address in [
        (socket.AF_INET, ("", 80)),
        (socket.AF_INET, ("<broadcast>", 80)),
        (socket.AF_INET, (b"", 80)),
        (socket.AF_INET, ("127.0.0.1", 80)),
        (socket.AF_INET6, ("::1", 80, 0, 0)),
        (socket.AF_UNIX, "/path"),
        (socket.AF_INET, "wrong"),
        (socket.AF_INET, (5, 5)),
    ]:
        assert resolver.numeric_address(family, 0, 0, address) is address
    assert resolver.numeric_address(socket.AF_INET6, 0, 0, ("0::1", 1, 2, 3)) in [
        ("0::1", 1, 2, 3),
        ("::1", 1, 2, 3),
    ]
