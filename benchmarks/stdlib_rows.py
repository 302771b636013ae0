"""The rows of the benchmark of the patched standard library, and the patches that it compares.

A row is a function of a count; it does the operation that its description names `count` times
(rounded down to whole rounds of five) and returns nanoseconds per operation. It names the standard
modules as any program would: what they do depends on the process in which it runs.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

NATIVE = "native"
PATCHES = {
    NATIVE: "",
    "greenworld": "import greenworld; greenworld.monkey_patch()",
    "gevent": "import gevent.monkey; gevent.monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
"""What is executed first of all, by the name of who does it."""


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    name: str
    operation: str
    count: int
    measure: Callable[[int], float]
    aim: float | None = None
    """How many times the native time greenworld means to take at most."""
    in_main: bool = False
    """Measured in the main thread instead of in one that is started for it."""


def acquire_release(make: Callable[[], Any]) -> Callable[[int], float]:
    """Take a free lock and give it up, by its methods."""

    def measure(count: int) -> float:
        lock, rounds = make(), max(1, count // 5)
        acquire, release = lock.acquire, lock.release
        start = perf_counter_ns()
        for _ in range(rounds):
            acquire()
            release()
            acquire()
            release()
            acquire()
            release()
            acquire()
            release()
            acquire()
            release()
        return (perf_counter_ns() - start) / (rounds * 5)

    return measure


def enter_exit(count: int) -> float:
    """Take a free lock and give it up, by the `with` statement."""
    lock, rounds = threading.Lock(), max(1, count // 5)
    start = perf_counter_ns()
    for _ in range(rounds):
        with lock:
            pass
        with lock:
            pass
        with lock:
            pass
        with lock:
            pass
        with lock:
            pass
    return (perf_counter_ns() - start) / (rounds * 5)


def local_read(count: int) -> float:
    """Read an attribute of a thread-local object."""
    store, rounds = threading.local(), max(1, count // 5)
    store.value = 1
    start = perf_counter_ns()
    for _ in range(rounds):
        _ = store.value
        _ = store.value
        _ = store.value
        _ = store.value
        _ = store.value
    return (perf_counter_ns() - start) / (rounds * 5)


def local_write(count: int) -> float:
    """Set an attribute of a thread-local object."""
    store, rounds = threading.local(), max(1, count // 5)
    start = perf_counter_ns()
    for _ in range(rounds):
        store.value = 1
        store.value = 2
        store.value = 3
        store.value = 4
        store.value = 5
    return (perf_counter_ns() - start) / (rounds * 5)


def put_get(make: Callable[[], Any]) -> Callable[[int], float]:
    """An item into a queue and out of it, without a wait."""

    def measure(count: int) -> float:
        box = make()
        put, get = box.put, box.get
        start = perf_counter_ns()
        for _ in range(count):
            put(1)
            get()
        return (perf_counter_ns() - start) / count

    return measure


def start_join(count: int) -> float:
    """Start a thread that does nothing, and join it."""
    make = threading.Thread
    start = perf_counter_ns()
    for _ in range(count):
        thread = make(target=int)
        thread.start()
        thread.join()
    return (perf_counter_ns() - start) / count


def make_lock() -> Any:
    """A lock of whatever `threading` has when it is called."""
    return threading.Lock()


def make_rlock() -> Any:
    """The same of a reentrant one."""
    return threading.RLock()


def make_queue() -> Any:
    """The same of a queue."""
    return queue.Queue()


def make_simple_queue() -> Any:
    """The same of a simple one."""
    return queue.SimpleQueue()


ROWS = (
    # The first one: later ones start threads, and so does the runtime whatever it needs for them.
    Row(
        "lock-first",
        "Lock, no thread started yet",
        200_000,
        acquire_release(make_lock),
        in_main=True,
    ),
    Row("lock", "Lock.acquire() and release()", 200_000, acquire_release(make_lock), aim=2.0),
    Row("lock-main", "Lock in the main thread", 200_000, acquire_release(make_lock), in_main=True),
    Row("lock-with", "with Lock", 200_000, enter_exit),
    Row("rlock", "RLock.acquire() and release()", 200_000, acquire_release(make_rlock)),
    Row("local-read", "attribute read of a local", 500_000, local_read, aim=2.0),
    Row("local-write", "attribute set of a local", 500_000, local_write),
    Row("queue", "Queue.put() and get()", 20_000, put_get(make_queue)),
    Row("simple-queue", "SimpleQueue.put() and get()", 50_000, put_get(make_simple_queue)),
    Row("thread", "Thread.start() and join()", 2_000, start_join),
)
