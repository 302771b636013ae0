"""Who runs when, who a thread is, and what it inherits, in a patched program."""

from __future__ import annotations

import greenworld

greenworld.monkey_patch()

import contextvars
import gc
import queue
import signal
import sys
import threading
import time
from typing import Any

LIMIT = 15.0


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


def _rounds_behind_a_hog(lock: Any) -> list[int]:
    """How many rounds of the hog each of ten acquisitions has waited for."""
    rounds = 0
    served: list[int] = []

    def wait() -> None:
        for _ in range(10):
            before = rounds
            with lock:
                served.append(rounds - before)

    waiter = threading.Thread(target=wait)
    waiter.start()
    while waiter.is_alive():
        with lock:
            rounds += 1
            time.sleep(0)
        time.sleep(0)
        assert rounds < 20_000
    return served


def test_waiter_behind_a_lock_hog() -> None:
    """Waiter behind a lock/sleep(0)/unlock hog: bounded, in rounds of the hog.

    Elsewhere it waits for all 20,000 rounds of the hog.
    """
    for make in (threading.Lock, threading.RLock, threading.Semaphore):
        assert max(_rounds_behind_a_hog(make())) <= 4, make


def test_event_wakes_in_the_order_of_waiting() -> None:
    """Event wakes in wait order: first in, first out."""
    event = threading.Event()
    woken: list[int] = []

    def wait(number: int) -> None:
        event.wait(LIMIT)
        woken.append(number)

    threads = [_start(wait, number) for number in range(10)]
    event.set()
    _finish(*threads)
    assert woken == list(range(10))


def _get(number: int, box: Any, got: list[tuple[int, int]]) -> None:
    got.append((number, box.get(timeout=LIMIT)))


def test_queue_serves_getters_in_order() -> None:
    """Queue getters in order: first in, first out."""
    for kind in (queue.Queue, queue.SimpleQueue):
        box: Any = kind()
        got: list[tuple[int, int]] = []
        threads = [_start(_get, number, box, got) for number in range(10)]
        for number in range(10):
            box.put(number)
        _finish(*threads)
        assert got == [(number, number) for number in range(10)], kind


def test_locks_are_served_in_order() -> None:
    """A lock goes to who has waited longest."""
    lock = threading.Lock()
    taken: list[int] = []

    def take(number: int) -> None:
        with lock:
            taken.append(number)

    with lock:
        threads = [_start(take, number) for number in range(10)]
    _finish(*threads)
    assert taken == list(range(10))


def test_main_thread_is_main() -> None:
    """`current_thread() is main_thread()` in main: True, and the idents agree."""
    main = threading.main_thread()
    assert threading.current_thread() is main
    assert (main.ident, main.name) == (threading.get_ident(), "MainThread")
    assert main.native_id == threading.get_native_id()
    seen: list[bool] = []
    _finish(_start(lambda: seen.append(threading.current_thread() is main)))
    assert seen == [False]


def test_spawn_inherits_context_variables() -> None:
    """Contextvar set by the parent is visible in `spawn`, and in a Thread as natively.

    Empty contexts elsewhere: gevent#1407, #1930, greenlet#196, opentelemetry-python#4379, #3897.
    """
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
    variable.set("parent's")
    seen: list[str] = []

    def look() -> None:
        seen.append(variable.get())
        variable.set("child's")

    greenworld.spawn(look).wait(LIMIT)
    _finish(_start(look))
    inherits = getattr(sys.flags, "thread_inherit_context", False)
    assert seen == ["parent's", "parent's" if inherits else "nothing"]
    assert variable.get() == "parent's"


def test_locals_are_each_threads_own() -> None:
    """`threading.local` keeps the values of green threads apart."""
    store = threading.local()
    store.value = "main"
    seen: list[tuple[bool, int]] = []

    def use(value: int) -> None:
        fresh = not hasattr(store, "value")
        store.value = value
        time.sleep(0.001)
        seen.append((fresh, store.value))

    _finish(*[_start(use, number) for number in range(3)])
    assert seen == [(True, 0), (True, 1), (True, 2)]
    assert store.value == "main"


def test_join_with_a_timeout_returns() -> None:
    """`Thread.join(timeout)` returns and never raises."""
    gate = threading.Event()
    thread = _start(gate.wait, LIMIT)
    thread.join(0.001)
    assert thread.is_alive()
    gate.set()
    _finish(thread)


def test_waits_never_end_early() -> None:
    """Short sleeps and time-outs last as long as they say. eventlet#30."""
    for seconds in (0.0001, 0.0015, 0.003):
        before = time.monotonic()
        time.sleep(seconds)
        assert time.monotonic() - before >= seconds
        before = time.monotonic()
        assert not threading.Event().wait(seconds)
        assert time.monotonic() - before >= seconds


def test_names_of_queue_stay_as_they_are() -> None:
    """`queue.Queue` is the standard class: subscripts, `maxsize` 0 is unbounded.

    Replaced elsewhere: gevent#2107, #2114, #2136, #2139.
    """
    original = greenworld.original("queue")
    assert repr(queue.Queue[int]) == repr(original.Queue[int])
    assert repr(queue.SimpleQueue[int]).endswith("SimpleQueue[int]")
    assert queue.Queue().maxsize == 0
    box: queue.Queue[int] = queue.Queue(0)
    for number in range(10):
        box.put_nowait(number)
    assert box.qsize() == 10
    assert issubclass(queue.Empty, Exception)
    assert queue.Empty is sys.modules["_queue"].Empty


def test_trace_function_belongs_to_its_thread() -> None:
    """A trace function that one green thread sets ends with it.

    debugpy#515, #1126, gevent#1783.
    """
    traced: set[str] = set()

    def tracer(frame: Any, event: str, arg: object) -> Any:
        traced.add(threading.current_thread().name)
        return tracer

    def step() -> None:
        time.sleep(0)

    def debugged() -> None:
        sys.settrace(tracer)
        step()
        time.sleep(0)
        step()

    def free() -> None:
        for _ in range(5):
            step()
            time.sleep(0)

    threads = [
        threading.Thread(target=debugged, name="debugged"),
        threading.Thread(target=free, name="free"),
    ]
    for thread in threads:
        thread.start()
    _finish(*threads)
    assert sys.gettrace() is None
    assert "debugged" in traced


def test_threads_leave_nothing() -> None:
    """Threads that have ended leave no objects.

    eventlet#748, #741, #173, #408, #524, gevent#1467, #981, #1946, #2149.
    """

    class Thing:
        pass

    def work(thing: Thing) -> None:
        local.value = thing
        try:
            raise ValueError(thing)
        except ValueError:
            time.sleep(0)

    local = threading.local()

    def batch() -> None:
        for _ in range(20):
            _start(work, Thing()).join(LIMIT)

    batch()
    gc.collect()
    left = sum(isinstance(each, Thing) for each in gc.get_objects())
    assert left == 0
    assert threading.active_count() == 1


def test_signal_handlers_run_while_all_sleep() -> None:
    """A handler runs promptly while every green thread sleeps, in the main thread. gevent#1815."""
    seen: list[bool] = []
    gate = threading.Event()

    def handle(number: int, frame: object) -> None:
        seen.append(threading.current_thread() is threading.main_thread())
        gate.set()

    previous = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    assert gate.wait(LIMIT)
    signal.signal(signal.SIGALRM, previous)
    assert seen == [True]
