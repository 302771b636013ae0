"""Connected cooperative sockets, and green threads that must end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from greenworld.hub import GreenThread, spawn
from greenworld.patches import socket

LIMIT = 20.0

Pair = tuple[Any, Any]


def connect_tcp(stack: ExitStack, family: int = socket.AF_INET) -> Pair:
    """Both ends of a TCP connection over loopback."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
    listener.bind((host, 0))
    listener.listen()
    client = stack.enter_context(socket.create_connection(listener.getsockname()[:2], LIMIT))
    server, _ = listener.accept()
    stack.enter_context(server)
    return client, server


def connect(kind: str, stack: ExitStack) -> Pair:
    if kind == "unix":
        left, right = socket.socketpair()
        pair = stack.enter_context(left), stack.enter_context(right)
    else:
        pair = connect_tcp(stack, socket.AF_INET if kind == "tcp" else socket.AF_INET6)
    for end in pair:
        end.settimeout(LIMIT)
    return pair


@pytest.fixture(params=["tcp", "tcp6", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two connected stream sockets of each kind, whose time-out ends a hanging test."""
    with ExitStack() as stack:
        try:
            yield connect(request.param, stack)
        except OSError:
            if request.param != "tcp6":
                raise
            pytest.skip("this machine has no IPv6")


@pytest.fixture
def tcp() -> Iterator[Pair]:
    """Two connected TCP sockets."""
    with ExitStack() as stack:
        yield connect("tcp", stack)


@pytest.fixture
def listener() -> Iterator[Any]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT)
        yield listener


def outcome(thread: GreenThread[Any]) -> Any:
    """What a green thread returns or raises."""
    return thread.wait(LIMIT)


class Started:
    """Green threads of a test; all must have ended when it ends."""

    def __init__(self) -> None:
        self.threads: list[GreenThread[Any]] = []

    def __call__(self, function: Callable[..., Any], *args: Any) -> GreenThread[Any]:
        self.threads.append(spawn(function, *args))
        return self.threads[-1]


@pytest.fixture
def start() -> Iterator[Started]:
    """Starts green threads."""
    started = Started()
    yield started
    for thread in started.threads:
        assert thread.join(LIMIT), f"{thread.name} hangs"


BESIDE_LOOPS = """
import greenworld
greenworld.monkey_patch()
import asyncio, contextlib, logging, os, signal, socket, sys, threading, time
logging.getLogger("asyncio").setLevel(logging.ERROR)  # debug mode complains of slow machines
LIMIT = 20
native_sleep = greenworld.original("time").sleep
native_lock = greenworld.original("_thread").allocate_lock
start_native = greenworld.original("_thread").start_new_thread

def no_loop():
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio._get_running_loop() is None and not any(sys.get_asyncgen_hooks())
    return False

def in_threads(*functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads: thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "hangs"
"""


@pytest.fixture
def beside_loops(program: Callable[..., str]) -> Callable[..., str]:
    """What a patched program prints that may use asyncio and the names above."""

    def run(code: str, *arguments: str) -> str:
        return program(BESIDE_LOOPS + code, *arguments)

    return run
