"""Connections that do nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.load.servers import ServerProcess, needs_proc

pytestmark = pytest.mark.slow

MOST_BYTES = 4096  # of memory a connection: four times what is usual


@needs_proc
def test_server_answers_beside_ten_thousand_idle_connections(
    serve: Callable[..., ServerProcess],
    size: Callable[[int, int], int],
    full: bool,
    figure: Callable[[str], None],
    descriptors: Callable[[int], None],
) -> None:
    count = size(500, 10_000)
    descriptors(count + 200)
    server = serve("--no-access-log", "--keep-alive", "300", "--head-timeout", "300")
    with ExitStack() as stack:
        with server.connect() as first:
            assert first.get() == b"hello\n"
        before = server.resident()
        idle = []
        for number in range(count):
            client = stack.enter_context(server.connect())
            idle.append(client)
            if number % 2:  # the others have never asked for anything
                assert client.get() == b"hello\n"
        with server.connect() as another:
            assert another.get() == b"hello\n"
        each = (server.resident() - before) / count
        figure(f"{count} idle connections: {each:.0f} bytes each")
        for client in idle:
            assert client.get() == b"hello\n"
    assert server.log == ""
    if full:
        assert each < MOST_BYTES
