"""A plain WSGI application that shows what reaches it, and waits where a test says so."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from typing import Any
from urllib.parse import parse_qs

Environ = dict[str, Any]
Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]

PIECE = bytes(range(256)) * 256
gate = threading.Event()
upload_begun = threading.Event()
reported = threading.Event()
report: list[bytes] = []


def text(body: str | bytes, status: str = "200 OK", *headers: tuple[str, str]) -> Answer:
    data = body if isinstance(body, bytes) else body.encode()
    kind = ("Content-Type", "text/plain; charset=utf-8")
    length = ("Content-Length", str(len(data)))
    return status, [kind, length, *headers], [data]


def hello(environ: Environ) -> Answer:
    return text("hello\n")


def pid(environ: Environ) -> Answer:
    return text(str(os.getpid()))


def show(environ: Environ) -> Answer:
    """The strings of the environment."""
    return text(json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}))


def digest(environ: Environ) -> Answer:
    """Length and digest of the body, which is read in pieces."""
    found, length = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(65536):
        upload_begun.set()
        found.update(piece)
        length += len(piece)
    announced = environ.get("CONTENT_LENGTH")
    answer = {"length": length, "digest": found.hexdigest(), "announced": announced}
    return text(json.dumps(answer))


def wait_for_upload(environ: Environ) -> Answer:
    """Answer when the first bytes of an upload have been read."""
    upload_begun.wait()
    upload_begun.clear()
    return text("begun")


def download(environ: Environ) -> Answer:
    """`?pieces=N`: N times 64 KiB, streamed."""
    count = int(parse_qs(environ["QUERY_STRING"])["pieces"][0])
    return "200 OK", [("Content-Type", "application/octet-stream")], (PIECE for _ in range(count))


def gated(environ: Environ) -> Answer:
    """A line, and when `/go-on` was asked for, another one."""

    def lines() -> Iterator[bytes]:
        yield b"first\n"
        gate.wait()
        gate.clear()
        yield b"second\n"

    return "200 OK", [("Content-Type", "text/plain")], lines()


def held(environ: Environ) -> Answer:
    """Answer when `/go-on` was asked for."""
    print("held", flush=True)
    gate.wait()
    gate.clear()
    return text("held\n")


def go_on(environ: Environ) -> Answer:
    gate.set()
    return text("")


def refuse(environ: Environ) -> Answer:
    """Answer without reading the body."""
    return text("not you\n", "403 Forbidden")


def zipped(environ: Environ) -> Answer:
    body = b"compressed " * 1000
    if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
        return text(gzip.compress(body), "200 OK", ("Content-Encoding", "gzip"))
    return text(body)


def unzip(environ: Environ) -> Answer:
    """The body, decompressed."""
    return text(gzip.decompress(environ["wsgi.input"].read()))


def file(environ: Environ) -> Answer:
    body: Iterable[bytes] = environ["wsgi.file_wrapper"](FileIO(os.environ["SITE_FILE"]))
    return "200 OK", [("Content-Type", "application/octet-stream")], body


def take_report(environ: Environ) -> Answer:
    """A browser says what it has seen."""
    report.append(environ["wsgi.input"].read())
    reported.set()
    return text("")


def wait_for_report(environ: Environ) -> Answer:
    reported.wait()
    reported.clear()
    return text(report.pop())


def echo(environ: Environ) -> Answer:
    """Switch to a protocol in which everything comes back."""
    if "greenworld.upgrade" not in environ:
        return text("an Upgrade is missing\n", "426 Upgrade Required", ("Upgrade", "echo"))
    taken = environ["greenworld.upgrade"]()
    taken.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
    )
    while data := taken.recv(65536):
        taken.sendall(data)
    return text("")


ROUTES: dict[str, Callable[[Environ], Answer]] = {
    "/": hello,
    "/pid": pid,
    "/environ": show,
    "/digest": digest,
    "/upload-begun": wait_for_upload,
    "/download": download,
    "/gated": gated,
    "/held": held,
    "/go-on": go_on,
    "/refuse": refuse,
    "/zipped": zipped,
    "/unzip": unzip,
    "/file": file,
    "/echo": echo,
    "/report": take_report,
    "/reported": wait_for_report,
}


def app(environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
    route = ROUTES.get(environ["PATH_INFO"])
    status, headers, body = route(environ) if route else text("nothing here\n", "404 Not Found")
    start_response(status, headers)
    return body
