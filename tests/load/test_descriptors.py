"""A server that has no descriptor left."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.load.clients import head
from tests.load.servers import ServerProcess, eventually, needs_proc

pytestmark = [pytest.mark.slow, needs_proc]

ROOM = 50
CLIENTS = 200
WATCH = 3.0  # seconds
MOST_CPU = 0.3  # of a core


def test_server_without_descriptors_waits_says_so_once_and_goes_on(
    serve: Callable[..., ServerProcess],
    full: bool,
    figure: Callable[[str], None],
    descriptors: Callable[[int], None],
) -> None:
    descriptors(CLIENTS + 200)
    server = serve("--no-access-log")
    with server.connect() as client:
        client.get()
        most = server.descriptors() - 1 + ROOM
        server.limit_descriptors(most)
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(CLIENTS)]
        eventually("no descriptor is left", lambda: server.descriptors() >= most)
        eventually("the log says so", lambda: "Too many open files" in server.log)
        served, waiting = clients[:ROOM], clients[ROOM:]
        for client in served[: ROOM // 2]:
            assert client.get() == b"hello\n"
        if full:
            used = server.cpu_seconds()
            time.sleep(WATCH)  # what is measured, not waited for
            share = (server.cpu_seconds() - used) / WATCH
            figure(f"no descriptor left: {100 * share:.1f} % of a core")
            assert share < MOST_CPU
        for client in waiting:
            client.send(head("/"))
        for client in served:
            client.close()
        for client in waiting:  # each takes the place of one that has gone
            assert client.answer() == b"hello\n"
            client.close()
    with server.connect() as client:
        assert client.get() == b"hello\n"
    assert server.log.count("\n") == 1, server.log
