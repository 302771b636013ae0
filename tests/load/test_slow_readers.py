"""Clients that read large answers slowly: writes wait for them, and nothing piles up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.load.clients import head
from tests.load.servers import ServerProcess, needs_proc

pytestmark = [pytest.mark.slow, needs_proc]

READERS = 20
ANSWER = 100_000_000
MOST_BYTES = 40_000_000  # of memory for all readers: less than half an answer
SIP = 1_000_000


@pytest.mark.parametrize("kind", ["whole", "list", "pieces", "written", "file"])
def test_twenty_slow_readers_of_large_answers_take_bounded_memory(
    serve: Callable[..., ServerProcess],
    size: Callable[[int, int], int],
    figure: Callable[[str], None],
    kind: str,
) -> None:
    server = serve("--no-access-log")
    request = head(f"/{kind}/{ANSWER}")
    with server.connect() as first:
        # What the application keeps for all readers is not the readers'.
        first.send(request)
        assert first.answer_head() == (200, ANSWER)
        first.reset()
    before = server.resident()
    with ExitStack() as stack:
        readers = [stack.enter_context(server.connect(buffer=65536)) for _ in range(READERS)]
        for reader in readers:
            reader.send(request)
        for reader in readers:
            assert reader.answer_head() == (200, ANSWER)
        for _ in range(size(2, ANSWER // SIP)):
            for reader in readers:
                reader.skip_body(SIP)
            with server.connect() as other:
                assert other.get() == b"hello\n"
        growth = server.peak() - before
    figure(f"{READERS} slow readers of {ANSWER:,} bytes, {kind}: {growth:,} bytes of memory")
    assert growth < MOST_BYTES
    assert server.log == ""
