"""Clients that vanish with a reset, at every stage of a request."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.load.clients import Client, head
from tests.load.servers import ServerProcess, eventually, needs_proc

pytestmark = [pytest.mark.slow, needs_proc]


def after_connect(client: Client) -> None:
    """Nothing was sent."""


def within_the_head(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: te")


def within_the_body(client: Client) -> None:
    client.send(head("/upload", "Content-Length: 1000000", method="POST") + b"some of it")


def within_a_chunk(client: Client) -> None:
    client.send(head("/upload", "Transfer-Encoding: chunked", method="POST") + b"ff\r\nsome")


def before_the_answer(client: Client) -> None:
    client.send(head("/slow"))


def within_the_answer(client: Client) -> None:
    client.send(head("/pieces/10000000"))
    client.answer_head()


def within_a_file(client: Client) -> None:
    client.send(head("/file/10000000"))
    client.answer_head()


def within_a_pipeline(client: Client) -> None:
    client.send(head("/") * 20)
    client.answer()


def while_idle(client: Client) -> None:
    client.get()


STAGES = [
    after_connect,
    within_the_head,
    within_the_body,
    within_a_chunk,
    before_the_answer,
    within_the_answer,
    within_a_file,
    within_a_pipeline,
    while_idle,
]
AT_ONCE = 20


def test_resets_leak_no_descriptor_and_leave_no_word_in_the_log(
    serve: Callable[..., ServerProcess],
    size: Callable[[int, int], int],
    figure: Callable[[str], None],
) -> None:
    server = serve("--no-access-log")
    before = quiet_descriptors(server)
    memory = server.resident()
    rounds = size(3, 100)
    for _ in range(rounds):
        for stage in STAGES:
            clients = [server.connect(buffer=4096) for _ in range(AT_ONCE)]
            for client in clients:
                stage(client)
            for client in clients:
                client.reset()
    eventually("every connection is closed", lambda: server.descriptors() <= before)
    with server.connect() as client:
        assert client.get() == b"hello\n"
    assert server.log == ""
    count = rounds * len(STAGES) * AT_ONCE
    figure(f"{count} resets: {(server.resident() - memory) / 1024:.0f} KiB more memory")


def quiet_descriptors(server: ServerProcess) -> int:
    """How many descriptors a server has open that serves nobody."""
    with server.connect() as client:
        client.get()
        served = server.descriptors()
    eventually("the connection is closed", lambda: server.descriptors() < served)
    return server.descriptors()
