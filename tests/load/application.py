"""The application that the servers under load serve.

| path | answer |
|---|---|
| `/` | a few bytes |
| `/pid` | the number of the process |
| `/slow` | the same after 20 ms |
| `/whole/N`, `/list/N` | N bytes, as one object or as a hundred that are one and the same |
| `/pieces/N`, `/written/N`, `/file/N` | N bytes: a generator, the write callable, a file |
| `/upload` | how many bytes the body had, and their CRC |
| `/step/N` | a few bytes, after N was added to `steps` |
| `/fail` | 500, and a traceback in the log |
"""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

PIECE = 65536
LIST = 100

steps = [0]
"""Seconds by which the wall clock was stepped: see `tests.load.stepped`."""


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    _, name, *rest = environ["PATH_INFO"].split("/")
    if name == "step":
        steps.append(int(rest[0]))
    elif rest:
        return answer_large(name, int(rest[0]), environ, start_response)
    body = b"hello\n"
    if name in ("pid", "slow"):
        if name == "slow":
            time.sleep(0.02)
        body = str(os.getpid()).encode()
    elif name == "upload":
        body = consume(environ["wsgi.input"])
    elif name == "fail":
        raise ValueError("on purpose")
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def answer_large(
    kind: str, count: int, environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    write = start_response("200 OK", [("Content-Length", str(count))])
    if kind == "whole":
        return [zeros(count)]
    if kind == "list":
        return [zeros(count // LIST)] * LIST
    if kind == "pieces":
        return pieces(count)
    if kind == "file":
        return environ["wsgi.file_wrapper"](open_file(count))  # type: ignore[no-any-return]
    for piece in pieces(count):
        write(piece)
    return []


@cache
def zeros(count: int) -> bytes:
    return bytes(count)


def pieces(count: int) -> Iterator[bytes]:
    for left in range(count, 0, -PIECE):
        yield bytes(min(PIECE, left))


def open_file(count: int) -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
    file.truncate(count)
    return file


def consume(body: Any) -> bytes:
    count = checksum = 0
    while piece := body.read(PIECE):
        count += len(piece)
        checksum = zlib.crc32(piece, checksum)
    return f"{count} {checksum}".encode()
