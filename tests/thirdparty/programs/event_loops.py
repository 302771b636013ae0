"""trio and anyio side by side in one OS thread, called from twenty threads at once.

Three loops run: `trio.run`, and anyio's portals to an asyncio and to a trio loop.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import anyio
import anyio.from_thread
import trio
import trio.from_thread

from local_http import Server
from together import LIMIT, Service, measure

Call = Callable[..., Any]


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.0\r\n\r\n".encode()


class Trio:
    """A trio program in a thread, and the way into it from others."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.started = threading.Event()
        self.thread = threading.Thread(target=trio.run, args=(self.main,))
        self.thread.start()
        assert self.started.wait(LIMIT)

    async def main(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self.ended = trio.Event()
        self.started.set()
        await self.ended.wait()

    async def fetch(self, path: str, timeout: float) -> bytes:
        with trio.fail_after(timeout):
            async with await trio.open_tcp_stream("localhost", self.port) as stream:
                await stream.send_all(request(path))
                return b"".join([part async for part in stream])

    def call(self, path: str, timeout: float = LIMIT) -> Any:
        return trio.from_thread.run(self.fetch, path, timeout, trio_token=self.token)

    def close(self) -> None:
        self.token.run_sync_soon(self.ended.set)
        self.thread.join(LIMIT)


class AnyIO:
    """A portal to a loop in a thread."""

    def __init__(self, backend: str, port: int, stack: ExitStack) -> None:
        self.port = port
        self.portal = stack.enter_context(anyio.from_thread.start_blocking_portal(backend))

    async def fetch(self, path: str, timeout: float) -> bytes:
        answer = b""
        with anyio.fail_after(timeout):
            async with await anyio.connect_tcp("localhost", self.port) as stream:
                await stream.send(request(path))
                async for part in stream:
                    answer += part
        return answer

    def call(self, path: str, timeout: float = LIMIT) -> Any:
        return self.portal.call(self.fetch, path, timeout)


class Loops(Service):
    """The sessions are dealt to the loops in turn."""

    def __init__(self, stack: ExitStack) -> None:
        self.server = Server()
        self.gate = self.server.gate
        port = self.server.server_address[1]
        self.native = Trio(port)
        stack.callback(self.native.close)
        calls: list[Call] = [self.native.call]
        calls += [AnyIO(backend, port, stack).call for backend in ("asyncio", "trio")]
        self.calls = itertools.cycle(calls)

    def connect(self) -> Call:
        return next(self.calls)

    def wait(self, session: Call) -> None:
        assert session("/wait").endswith(b"/wait")

    def enter(self, session: Call) -> None:
        assert session("/enter").endswith(b"/enter")

    def time_out(self) -> list[str]:
        """The exceptions that the loops raise when an answer does not come in time."""
        names = []
        for _ in range(3):
            try:
                next(self.calls)("/never", 0.05)
            except Exception as error:
                names.append(type(error).__name__)
        return names


def main() -> None:
    with ExitStack() as stack:
        service = Loops(stack)
        measure(service, time_out=service.time_out())
