"""`epoll` objects: the original's interface, and others run while they wait."""

from __future__ import annotations

import os
import select as stdlib_select
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.patches import select, socket

pytestmark = pytest.mark.skipif(
    not hasattr(stdlib_select, "epoll"), reason="this system has no epoll"
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def epoll(pipe: Any) -> Iterator[Any]:
    """Watches the pipe's reading end."""
    with select.epoll() as epoll:
        epoll.register(pipe[0], select.EPOLLIN)
        yield epoll


def test_has_the_interface_of_the_original(epoll: Any) -> None:
    names = [name for name in dir(stdlib_select.epoll) if not name.startswith("__")]
    assert [name for name in names if not hasattr(epoll, name)] == []


def test_waits(epoll: Any, pipe: Any, start: Any) -> None:
    reading, writing = pipe
    polling = start(epoll.poll)
    sleep(0)
    assert not polling.ready()
    os.write(writing, b"x")
    assert polling.wait(20) == [(reading, select.EPOLLIN)]
    assert epoll.poll() == [(reading, select.EPOLLIN)]
    assert epoll.poll(timeout=20, maxevents=1) == [(reading, select.EPOLLIN)]


def test_registers_modifies_unregisters(epoll: Any, pipe: Any) -> None:
    writing = pipe[1]
    epoll.register(fd=writing, eventmask=select.EPOLLOUT)
    assert epoll.poll(20) == [(writing, select.EPOLLOUT)]
    epoll.modify(fd=writing, eventmask=0)
    assert epoll.poll(0.01) == []
    with pytest.raises(FileExistsError):
        epoll.register(writing)
    epoll.unregister(fd=writing)
    with pytest.raises(FileNotFoundError):
        epoll.unregister(writing)
    with pytest.raises(FileNotFoundError):
        epoll.modify(writing, 0)
    with pytest.raises(TypeError):
        epoll.register(object())
    epoll.register(writing)
    assert epoll.poll() == [(writing, select.EPOLLOUT)]


def test_what_is_registered_meanwhile_counts(epoll: Any, pipe: Any, start: Any) -> None:
    polling = start(epoll.poll, 20)
    sleep(0)
    epoll.register(pipe[1], select.EPOLLOUT)
    assert polling.wait(20) == [(pipe[1], select.EPOLLOUT)]


def test_time_outs(epoll: Any, pipe: Any, start: Any) -> None:
    assert epoll.poll(0) == []
    assert epoll.poll(0.01) == []
    for wrong in ("1", float("nan"), 1e12, 1j):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            epoll.poll(wrong)
    with pytest.raises(ValueError, match="maxevents"):
        epoll.poll(1, 0)
    for forever in (None, -1, -0.5):
        polling = start(epoll.poll, forever)
        sleep(0.01)
        assert not polling.ready()
        os.write(pipe[1], b"x")
        assert polling.wait(20)
        os.read(pipe[0], 1)


def test_several_wait_for_one(epoll: Any, pipe: Any, start: Any) -> None:
    reading, writing = pipe
    threads = [start(epoll.poll, 20) for _ in range(3)]
    sleep(0)
    os.write(writing, b"x")
    assert [thread.wait(20) for thread in threads] == [[(reading, select.EPOLLIN)]] * 3


def test_once_and_by_the_edge(epoll: Any, pipe: Any, start: Any) -> None:
    reading, writing = pipe
    for mask in (select.EPOLLIN | select.EPOLLET, select.EPOLLIN | select.EPOLLONESHOT):
        epoll.modify(reading, mask)
        os.write(writing, b"x")
        assert epoll.poll(20) == [(reading, select.EPOLLIN)]
        assert epoll.poll(0.01) == []
    polling = start(epoll.poll, 20)
    sleep(0)
    epoll.modify(reading, select.EPOLLIN | select.EPOLLET)
    assert polling.wait(20) == [(reading, select.EPOLLIN)]


def test_close_wakes(pipe: Any, start: Any) -> None:
    epoll = select.epoll()
    polling = start(epoll.poll)
    sleep(0)
    assert not epoll.closed
    epoll.close()
    assert epoll.closed
    epoll.close()
    with pytest.raises(ValueError, match="closed"):
        polling.wait(20)
    for call in (epoll.fileno, epoll.poll, lambda: epoll.poll(0), epoll.__enter__):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(ValueError, match="closed"):
        epoll.register(pipe[0])


def test_makes(epoll: Any, pipe: Any) -> None:
    assert select.epoll(sizehint=10, flags=0).poll(0) == []
    assert not os.get_inheritable(epoll.fileno())
    with pytest.raises(ValueError, match="sizehint"):
        select.epoll(0)
    with pytest.raises(TypeError):
        select.epoll("x")  # type: ignore[call-overload]
    copy = select.epoll.fromfd(os.dup(epoll.fileno()))
    with copy:
        os.write(pipe[1], b"x")
        assert copy.poll(20) == [(pipe[0], select.EPOLLIN)]
    assert copy.closed
    assert isinstance(copy, select.epoll)
    with stdlib_select.epoll() as plain:
        assert isinstance(plain, select.epoll)
    assert not isinstance(1, select.epoll)


def test_is_watched_itself(epoll: Any, pipe: Any, start: Any) -> None:
    selecting = start(select.select, [epoll], [], [], 20)
    sleep(0)
    os.write(pipe[1], b"x")
    assert selecting.wait(20) == ([epoll], [], [])


def test_many_sockets(start: Any) -> None:
    pairs = [socket.socketpair() for _ in range(100)]
    with select.epoll() as epoll:
        for left, _ in pairs:
            epoll.register(left, select.EPOLLIN | select.EPOLLET)
        got: set[int] = set()

        def collect() -> None:
            while len(got) < len(pairs):
                got.update(fd for fd, _ in epoll.poll(20, 7))

        collecting = start(collect)
        for _, right in pairs:
            right.sendall(b"x")
            sleep(0)
        collecting.wait(20)
        assert got == {left.fileno() for left, _ in pairs}
    for pair in pairs:
        for end in pair:
            end.close()


def test_in_a_native_thread(epoll: Any, pipe: Any) -> None:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(epoll.poll(20)), daemon=True)
    thread.start()
    os.write(pipe[1], b"x")
    thread.join(20)
    assert got == [[(pipe[0], select.EPOLLIN)]]


def test_asyncio_runs_on_it_beside_others(program: Callable[..., str]) -> None:
    """Complaint: both peers remove `epoll`, on which event loops are built."""
    out = program("""
        from select import epoll as before
        from greenworld.patches import monkey_patch
        monkey_patch()
        import asyncio, select, selectors, threading, time

        assert before is select.epoll
        running = True
        ticks = 0

        def tick():
            global ticks
            while running:
                time.sleep(0.001)
                ticks += 1

        ticker = threading.Thread(target=tick)
        ticker.start()

        async def echo(reader, writer):
            writer.write(await reader.readexactly(3))
            await writer.drain()
            writer.close()

        async def ask(port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"abc")
            assert await reader.readexactly(3) == b"abc"
            writer.close()

        async def main():
            assert isinstance(asyncio.get_running_loop()._selector, selectors.EpollSelector)
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            await asyncio.gather(*(ask(port) for _ in range(50)))
            seen = ticks
            while ticks < seen + 20:
                await asyncio.sleep(0.001)
            server.close()

        asyncio.run(main())
        running = False
        ticker.join()
        print(ticks >= 20)
        """)
    assert out == "True\n"
