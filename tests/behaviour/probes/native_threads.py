"""Primitives, sockets and logging shared by green threads and native OS threads."""

from __future__ import annotations

import greenworld

greenworld.monkey_patch()

import gc
import io
import logging
import queue
import socket
import threading
import time
import weakref
from importlib import import_module
from typing import Any

LIMIT = 15.0
NATIVE = greenworld.original("_thread")


def _start(function: Any, *args: Any) -> threading.Thread:
    """A green thread that has begun and waits for something."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    for _ in range(10):
        time.sleep(0)
    return thread


def _finish(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()


def _natively(function: Any, *args: Any) -> None:
    """Call it in an OS thread that knows nothing of green threads."""
    NATIVE.start_new_thread(function, args)


def _get(box: Any, got: list[int]) -> None:
    got.append(box.get(timeout=LIMIT))


def test_native_thread_sets_an_event() -> None:
    """Native thread sets a patched Event: the green threads that wait wake. gevent#1437."""
    event = threading.Event()
    got: list[bool] = []
    threads = [_start(lambda: got.append(event.wait(LIMIT))) for _ in range(3)]
    _natively(event.set)
    _finish(*threads)
    assert got == [True] * 3


def test_native_thread_puts_to_a_queue() -> None:
    """Native thread puts to a patched Queue: the green thread that waits gets it."""
    for kind in (queue.Queue, queue.SimpleQueue, queue.LifoQueue, queue.PriorityQueue):
        box: Any = kind()
        got: list[int] = []
        thread = _start(_get, box, got)
        _natively(box.put, 3)
        _finish(thread)
        assert got == [3], kind


def test_green_thread_puts_to_a_native_getter() -> None:
    """The other way round: a native thread waits on patched primitives."""
    box: queue.Queue[int] = queue.Queue()
    back: queue.SimpleQueue[int] = queue.SimpleQueue()
    gate = threading.Event()

    def serve() -> None:
        gate.wait(LIMIT)
        for _ in range(3):
            back.put(2 * box.get(timeout=LIMIT))

    _natively(serve)
    gate.set()
    for number in range(3):
        box.put(number)
        assert back.get(timeout=LIMIT) == 2 * number


def test_native_thread_releases_a_lock() -> None:
    """Native thread releases a patched Lock: the green thread that waits gets it. openalgo#1402."""
    locks: list[Any] = [threading.Lock(), threading.Semaphore(), threading.BoundedSemaphore()]
    for lock in locks:
        lock.acquire()
        thread = _start(lock.acquire, True, LIMIT)
        _natively(lock.release)
        _finish(thread)


def test_native_and_green_take_turns_in_a_condition() -> None:
    """A Condition passed to and fro between a native and a green thread loses no turn."""
    condition = threading.Condition()
    turn = [0]

    def play(mine: int) -> None:
        for _ in range(100):
            with condition:
                assert condition.wait_for(lambda: turn[0] % 2 == mine, LIMIT)
                turn[0] += 1
                condition.notify_all()

    green = _start(play, 0)
    _natively(play, 1)
    _finish(green)
    with condition:
        assert condition.wait_for(lambda: turn[0] == 200, LIMIT)


def test_logging_from_native_and_green_threads() -> None:
    """Logging from native threads and green threads at once: ok. eventlet#742, #743, #647, #432."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    log = logging.getLogger("probe")
    log.propagate = False
    log.addHandler(handler)
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def work(kind: str) -> None:
        for number in range(100):
            log.warning("%s %d", kind, number)
            if kind == "green":
                time.sleep(0)
        ended.put(kind)

    threads = [_start(work, "green") for _ in range(3)]
    for _ in range(3):
        _natively(work, "native")
    for _ in range(6):
        ended.get(timeout=LIMIT)
    _finish(*threads)
    lines = stream.getvalue().splitlines()
    assert (lines.count("green 0"), lines.count("native 99"), len(lines)) == (3, 3, 600)
    log.removeHandler(handler)


def test_logging_in_a_finaliser_during_logging() -> None:
    """A finaliser logs while its own thread logs: no deadlock. loguru#711, greenlet#105, #425."""
    stream = io.StringIO()
    log = logging.getLogger("finaliser")
    log.propagate = False

    class Garbage:
        def __init__(self) -> None:
            self.me = self  # a cycle: the collector ends it

        def __del__(self) -> None:
            log.warning("gone")

    class Collecting(logging.StreamHandler):  # type: ignore[type-arg]
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() != "gone":
                Garbage()
                gc.collect()  # inside the handler's lock
            super().emit(record)

    handler = Collecting(stream)
    log.addHandler(handler)
    threads = [_start(log.warning, "said") for _ in range(3)]
    _finish(*threads)
    log.removeHandler(handler)
    assert sorted(stream.getvalue().splitlines()) == ["gone"] * 3 + ["said"] * 3


def test_finaliser_puts_into_a_queue() -> None:
    """A finaliser puts into the queue that its own thread is using: SimpleQueue is re-entrant.

    gevent#1957, urllib3#3061, #3289, eventlet#508, #598, boto3#1880.
    """
    box: queue.SimpleQueue[int] = queue.SimpleQueue()

    class Garbage:
        pass

    class Item:
        """What a getter or putter handles; the collector runs in the middle of it."""

        def __init__(self) -> None:
            thing = Garbage()
            thing.me = thing  # type: ignore[attr-defined]
            weakref.finalize(thing, box.put, 1).atexit = False

    got: list[int] = []
    thread = _start(lambda: got.extend(box.get(timeout=LIMIT) for _ in range(20)))
    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)  # collect at almost each allocation
    try:
        for _ in range(20):
            Item()
            box.put(0)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    _finish(thread)
    rest = [box.get(timeout=LIMIT) for _ in range(20)]
    assert sorted(got + rest) == [0] * 20 + [1] * 20


def test_socket_of_main_in_a_native_thread() -> None:
    """Socket made in main, `recv` in a native thread: ok.

    Elsewhere "cannot switch to a different thread": gevent#1437, openalgo#1405, #1569.
    """
    left, right = socket.socketpair()
    answers: queue.Queue[bytes] = queue.Queue()
    green = _start(lambda: answers.put(left.recv(1)))
    right.send(b"a")
    _finish(green)
    _natively(lambda: answers.put(left.recv(1)))
    assert answers.get(timeout=LIMIT) == b"a"
    right.send(b"b")
    assert answers.get(timeout=LIMIT) == b"b"
    left.close()
    right.close()


def test_lookups_go_on_when_the_native_pool_is_full() -> None:
    """DNS has threads of its own: a full pool does not hold up name resolution. gevent#1904."""
    reader, writer = socket.socketpair()
    receive, size = greenworld.original("_socket").socket.recv, 64
    calls = [_start(greenworld.native.run, receive, reader, 1) for _ in range(size)]
    assert socket.getaddrinfo("localhost", 80, socket.AF_INET)[0][4] == ("127.0.0.1", 80)
    writer.send(b"x" * size)
    _finish(*calls)
    reader.close()
    writer.close()


def test_datagram_to_a_name() -> None:
    """UDP `sendto` looks a host name up on a native thread: others run. eventlet#560, #511."""
    resolver: Any = import_module("greenworld.patches.resolver")

    held = threading.Event()
    lookup = resolver.c_getaddrinfo

    def slow(host: Any, *rest: Any) -> Any:
        assert held.wait(LIMIT)
        return lookup("127.0.0.1", *rest)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(LIMIT)
        resolver.c_getaddrinfo = slow
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                port = receiver.getsockname()[1]
                sending = _start(sender.sendto, b"hello", ("slow.test", port))
                assert sending.is_alive()
                held.set()
                _finish(sending)
        finally:
            resolver.c_getaddrinfo = lookup
        assert receiver.recv(100) == b"hello"


def test_errors_of_lookups_are_fresh() -> None:
    """Each failed lookup raises an exception of its own, whose traceback is short. eventlet#810."""
    depths = []
    for _ in range(5):
        try:
            socket.getaddrinfo("localhost", "no-such-service", socket.AF_INET)
        except socket.gaierror as error:
            traceback, depth = error.__traceback__, 0
            while traceback is not None:
                traceback, depth = traceback.tb_next, depth + 1
            depths.append(depth)
    assert len(depths) == 5
    assert len(set(depths[1:])) == 1, depths
