"""asyncio in a patched program."""

from __future__ import annotations

import greenworld

greenworld.monkey_patch()

import asyncio
import concurrent.futures
import contextvars
import os
import threading
import time
from typing import Any

LIMIT = 15.0
NATIVE_OS = greenworld.original("os")


def _start(function: Any, *args: Any) -> threading.Thread:
    """A thread that has begun and waits for something."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    for _ in range(10):
        time.sleep(0)
    return thread


def _finish(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_run_beside_other_threads() -> None:
    """`asyncio.run` in one green thread while others run: ok, both make progress."""
    turn = [0]
    turns = 20

    def alternate() -> None:
        while turn[0] < turns:
            if turn[0] % 2:
                turn[0] += 1
            time.sleep(0.0002)

    async def main() -> None:
        while turn[0] < turns:
            if turn[0] % 2 == 0:
                turn[0] += 1
            await asyncio.sleep(0.0002)

    thread = _start(alternate)
    asyncio.run(asyncio.wait_for(main(), LIMIT))
    _finish(thread)


def test_two_loops_at_once() -> None:
    """`asyncio.run` in two green threads at once: ok.

    The second is refused elsewhere: gevent#2026, #1656, asgiref#443, eventlet#929, #994,
    gunicorn#2468.
    """
    together = threading.Barrier(2)
    results = []

    async def main(number: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(5):
            together.wait(LIMIT)  # parks this loop's thread: the other one's loop runs
            assert asyncio.get_running_loop() is loop
            task = asyncio.current_task()
            await asyncio.sleep(0.0005)
            assert asyncio.current_task() is task
        results.append((number, asyncio.get_running_loop() is loop))

    threads = [_start(lambda number=number: asyncio.run(main(number))) for number in range(2)]
    _finish(*threads)
    assert sorted(results) == [(0, True), (1, True)]


def test_no_loop_is_seen_by_the_others() -> None:
    """A running loop is its own green thread's alone. temporal#59, #291."""
    seen: list[object] = []

    def look() -> None:
        try:
            seen.append(asyncio.get_running_loop())
        except RuntimeError:
            seen.append(None)

    async def main() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(LIMIT)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert seen == [None]


def test_a_nested_loop_is_refused() -> None:
    """A loop inside a running loop of the same thread is refused, as natively."""

    async def main() -> str:
        inner = asyncio.sleep(0)
        try:
            asyncio.run(inner)
        except RuntimeError as error:
            inner.close()
            return str(error)
        return "accepted"

    assert "cannot be called from a running event loop" in asyncio.run(main())


def test_loop_ticks_during_a_native_blocking_call() -> None:
    """Loop ticks during `to_thread(native blocking call)`: it never stops ticking.

    The call is ended by a tick of the loop: were the loop stopped, it would never end. gevent#1517.
    """
    reader, writer = os.pipe()

    async def main() -> bytes:
        call = asyncio.ensure_future(asyncio.to_thread(NATIVE_OS.read, reader, 1))
        for _ in range(14):
            await asyncio.sleep(0.0005)
            assert not call.done()
        NATIVE_OS.write(writer, b"x")
        return await asyncio.wait_for(call, LIMIT)

    assert asyncio.run(main()) == b"x"
    os.close(reader)
    os.close(writer)


def test_default_executor_blocks_nobody() -> None:
    """`run_in_executor(None, native blocking call)`: the loop and the green threads go on."""
    reader, writer = os.pipe()

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(None, NATIVE_OS.read, reader, 1)
        thread = threading.Thread(target=NATIVE_OS.write, args=(writer, b"y"))
        thread.start()
        return await asyncio.wait_for(call, LIMIT)

    assert asyncio.run(main()) == b"y"
    os.close(reader)
    os.close(writer)


def test_futures_of_executors_reach_the_loop() -> None:
    """A future of a green ThreadPoolExecutor wakes the loop that awaits it. gevent#2213."""
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        together = threading.Barrier(2)

        async def main() -> list[int]:
            loop = asyncio.get_running_loop()
            calls = [loop.run_in_executor(executor, together.wait, LIMIT) for _ in range(2)]
            return sorted(await asyncio.wait_for(asyncio.gather(*calls), LIMIT))

        assert asyncio.run(main()) == [0, 1]


def test_coroutines_from_other_threads() -> None:
    """`run_coroutine_threadsafe(...).result()` in a green and in a native thread. gevent#2213."""
    ready = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        stop = asyncio.Event()
        loops.append(asyncio.get_running_loop())
        stops.append(stop)
        ready.set()
        await stop.wait()

    async def answer(value: int) -> int:
        await asyncio.sleep(0.0005)
        return value

    stops: list[asyncio.Event] = []
    thread = _start(lambda: asyncio.run(main()))
    assert ready.wait(LIMIT)

    def ask(value: int) -> int:
        return asyncio.run_coroutine_threadsafe(answer(value), loops[0]).result(LIMIT)

    assert ask(1) == 1
    assert greenworld.native.run(ask, 2) == 2
    loops[0].call_soon_threadsafe(stops[0].set)
    _finish(thread)


def test_context_of_tasks() -> None:
    """Context variables of tasks do not mix when their loops' threads take turns. gevent#1407."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen = []

    async def child(name: str) -> None:
        variable.set(name)
        for _ in range(3):
            time.sleep(0)  # another loop's turn
            await asyncio.sleep(0)
            seen.append(variable.get() == name)

    async def main(name: str) -> None:
        await asyncio.gather(child(name + "1"), child(name + "2"))

    threads = [_start(lambda name=name: asyncio.run(main(name))) for name in "ab"]
    _finish(*threads)
    assert seen == [True] * 12
