"""Clients that never finish a request head, while others are served."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import quantiles

import pytest

from tests.load.clients import LIMIT, Client
from tests.load.servers import ServerProcess

pytestmark = pytest.mark.slow

TRICKLE = b"X-Slow: " + b"a" * 4000
PROMISED_P99 = 0.25


@contextmanager
def slow_clients(server: ServerProcess, count: int) -> Iterator[threading.Event]:
    """So many connections, each of which sends a byte about once a second.

    The event is set when every one has sent a byte more than its request line.
    """
    trickled, stop = threading.Event(), threading.Event()

    def trickle(clients: list[Client]) -> None:
        for byte in TRICKLE:
            for client in clients:
                client.send(bytes([byte]))
                if stop.wait(1 / count):
                    return
            trickled.set()

    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(count)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\n")
        thread = threading.Thread(target=trickle, args=(clients,))
        thread.start()
        stack.callback(thread.join, LIMIT)
        stack.callback(stop.set)
        yield trickled


def test_others_are_served_while_heads_trickle_in(
    serve: Callable[..., ServerProcess],
    size: Callable[[int, int], int],
    full: bool,
    figure: Callable[[str], None],
    descriptors: Callable[[int], None],
) -> None:
    slow, requests = size(300, 1500), size(100, 4000)
    descriptors(slow + 200)
    server = serve("--no-access-log")
    seconds = []
    with slow_clients(server, slow) as trickled, server.connect() as kept:
        assert trickled.wait(LIMIT)
        for number in range(requests):
            begun = time.perf_counter()
            if number % 2:
                assert kept.get() == b"hello\n"
            else:
                with server.connect() as fresh:
                    assert fresh.get() == b"hello\n"
            seconds.append(time.perf_counter() - begun)
    p99 = quantiles(seconds, n=100)[98]
    figure(f"{slow} slow heads: others answered with a p99 of {p99 * 1000:.1f} ms")
    assert server.log == ""
    if full:
        assert p99 < PROMISED_P99
