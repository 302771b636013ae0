"""The explicit modules that are the standard modules' code on green threads: nothing is patched."""

from __future__ import annotations

import queue as stdlib_queue
import sys
import threading as stdlib_threading
from collections.abc import Callable
from typing import Any

import pytest

from greenworld.hub import getcurrent, sleep, spawn
from greenworld.patches import explicit, queue, threading

LIMIT = 20


@pytest.mark.parametrize(
    ("module", "original"), [(threading, stdlib_threading), (queue, stdlib_queue)]
)
def test_offers_every_public_name_of_the_original(module: Any, original: Any) -> None:
    assert [n for n in dir(original) if not n.startswith("_") and not hasattr(module, n)] == []
    assert module.__name__ == f"greenworld.patches.{original.__name__}"
    assert sys.modules[original.__name__] is original


def test_counterparts_use_the_names_they_are_given() -> None:
    names: dict[str, Any] = {"Empty": KeyError}
    found = explicit.counterparts(stdlib_queue, names, ("deque",))
    assert "deque" not in found
    assert found["Queue"] is stdlib_queue.Queue


def test_threads_are_green() -> None:
    seen: list[Any] = []
    main = stdlib_threading.current_thread()

    def run() -> None:
        seen.append(getcurrent())
        seen.append(threading.current_thread())
        seen.append(stdlib_threading.current_thread())

    thread = threading.Thread(target=run, name="ours")
    thread.start()
    thread.join(LIMIT)
    assert seen[0] is not getcurrent()
    assert seen[1] is thread
    assert seen[2] is main  # one native thread
    assert thread not in threading.enumerate()
    assert threading.current_thread() is threading.main_thread()
    assert type(stdlib_threading.Lock()) is not type(threading.Lock())


def test_threads_wait_for_each_other() -> None:
    barrier = threading.Barrier(3)
    local = threading.local()
    passed = []

    def run(number: int) -> None:
        local.number = number
        barrier.wait(LIMIT)
        passed.append(local.number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert sorted(passed) == [0, 1, 2]
    with pytest.raises(threading.BrokenBarrierError):
        threading.Barrier(2).wait(0.01)
    assert threading.BrokenBarrierError is stdlib_threading.BrokenBarrierError


def test_timer_and_condition() -> None:
    condition = threading.Condition()
    done = []

    def fire() -> None:
        with condition:
            done.append(1)
            condition.notify()

    with condition:
        threading.Timer(0.001, fire).start()
        assert condition.wait_for(lambda: done, LIMIT)


def test_who_is_no_thread_of_it_is_forgotten() -> None:
    def ask() -> str:
        name: str = threading.current_thread().name
        return name

    count = len(threading.enumerate())
    for _ in range(3):
        assert "Dummy" in spawn(ask).wait(LIMIT)
        sleep(0)
        assert len(threading.enumerate()) == count


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"])
def test_queues_wait(kind: str, start: Any) -> None:
    made = getattr(queue, kind)()
    getting = start(made.get)
    sleep(0)
    assert not getting.ready()
    made.put(1)
    assert getting.wait(LIMIT) == 1
    with pytest.raises(stdlib_queue.Empty):
        made.get(timeout=0.01)
    if kind != "SimpleQueue":
        made = getattr(queue, kind)(1)
        assert made.maxsize == 1
        made.put(1)
        with pytest.raises(stdlib_queue.Full):
            made.put(2, timeout=0.01)
        putting = start(made.put, 2)
        sleep(0)
        assert made.get() == 1
        putting.wait(LIMIT)


def test_interpreter_waits_for_its_threads(program: Callable[..., str]) -> None:
    out = program("""
        from greenworld.patches import threading, time

        def late():
            time.sleep(0.1)
            print("late")

        def never():
            time.sleep(1000)

        threading.Thread(target=never, daemon=True).start()
        threading.Thread(target=late).start()
        print("end of main")
        """)
    assert out == "end of main\nlate\n"


def test_after_the_patch_they_are_the_same(program: Callable[..., str]) -> None:
    out = program("""
        from greenworld.patches import monkey_patch
        monkey_patch()
        import queue, ssl, threading
        from greenworld.patches import queue as our_queue, threading as our_threading
        from greenworld.patches import ssl as our_ssl
        print(our_threading.Thread is threading.Thread, our_queue.Queue is queue.Queue)
        print(issubclass(our_ssl.SSLSocket, ssl.SSLSocket))
        """)
    assert out == "True True\nTrue\n"
