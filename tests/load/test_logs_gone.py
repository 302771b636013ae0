"""Nobody reads the logs any more."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.load.clients import Client, head
from tests.load.servers import ServerProcess

pytestmark = pytest.mark.slow

REQUESTS = 50


def ask_for_all(client: Client) -> None:
    for _ in range(REQUESTS):
        assert client.get() == b"hello\n"


def fail(server: ServerProcess) -> None:
    """Make the server write a traceback."""
    with server.connect() as client:
        client.send(head("/fail"))
        status, length = client.answer_head()
        assert status == 500
        client.skip_body(length)
        assert client.at_end()


@contextmanager
def pipe() -> Iterator[tuple[int, Callable[[], None]]]:
    """The writing end of a pipe, and what has its reader go away."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file:
        try:
            yield writer, file.close
        finally:
            os.close(writer)


@pytest.mark.parametrize("streams", [("stderr",), ("stdout",), ("stdout", "stderr")])
def test_server_goes_on_when_the_readers_of_its_logs_have_gone(
    serve: Callable[..., ServerProcess], streams: tuple[str, ...]
) -> None:
    with pipe() as (writer, reader_goes):
        server = serve(**dict.fromkeys(streams, writer))
        with server.connect() as client:
            ask_for_all(client)
        reader_goes()
        with server.connect() as client:
            ask_for_all(client)
            fail(server)
            fail(server)
            ask_for_all(client)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    if "stderr" not in streams:
        # Said once: the rest is the two tracebacks.
        assert server.log.count("cannot write the access log") == 1
        assert server.log.count("ValueError: on purpose") == 2
    if "stdout" not in streams:
        assert server.answered == 3 * REQUESTS
