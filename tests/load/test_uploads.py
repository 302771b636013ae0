"""Large request bodies, of which only a little is in memory at a time."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import pytest

from tests.load.clients import Client, head
from tests.load.servers import ServerProcess, needs_proc

pytestmark = [pytest.mark.slow, needs_proc]

PIECE = bytes(range(256)) * 4096  # 1 MiB
MOST_BYTES = 20_000_000  # of memory for an upload of any size


def by_length(client: Client, count: int) -> Iterator[int]:
    client.send(head("/upload", f"Content-Length: {count * len(PIECE)}", method="POST"))
    for number in range(count):
        client.send(PIECE)
        yield number


def chunked(client: Client, count: int) -> Iterator[int]:
    client.send(head("/upload", "Transfer-Encoding: chunked", method="POST"))
    for number in range(count):
        client.send(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
        yield number
    client.send(b"0\r\n\r\n")


@pytest.mark.parametrize("send", [by_length, chunked])
def test_upload_takes_the_same_memory_whatever_its_size(
    serve: Callable[..., ServerProcess],
    size: Callable[[int, int], int],
    figure: Callable[[str], None],
    send: Callable[[Client, int], Iterator[int]],
) -> None:
    count = size(64, 1000)
    server = serve("--no-access-log")
    with server.connect() as client:
        assert client.get() == b"hello\n"
        before = server.resident()
        checksum = 0
        for _ in send(client, count):
            checksum = zlib.crc32(PIECE, checksum)
        answer = client.answer()
        growth = server.peak() - before
        assert client.get() == b"hello\n"  # the connection is in step
    assert answer == f"{count * len(PIECE)} {checksum}".encode()
    figure(f"upload of {count} MiB, {send.__name__}: {growth:,} bytes of memory")
    assert growth < MOST_BYTES
    assert server.log == ""
