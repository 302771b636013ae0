"""Executors: the program's own on green threads, native ones on native threads."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., str]

PATCH = """
import greenworld
greenworld.monkey_patch()
import concurrent.futures, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
LIMIT = 20
native_lock = greenworld.original("_thread").allocate_lock
native_ident = greenworld.original("_thread").get_ident
"""


def test_workers_are_green_threads(program: Run) -> None:
    out = program(
        PATCH
        + """
barrier = threading.Barrier(4)
def work(number):
    barrier.wait(LIMIT)
    return number, native_ident(), threading.current_thread().name
with ThreadPoolExecutor(4, thread_name_prefix="mine") as pool:
    results = list(pool.map(work, range(4), timeout=LIMIT))
print([number for number, _, _ in results], {ident for _, ident, _ in results} == {native_ident()})
print(sorted(name for _, _, name in results), threading.active_count())
"""
    )
    assert out.splitlines() == [
        "[0, 1, 2, 3] True",
        "['mine_0', 'mine_1', 'mine_2', 'mine_3'] 1",
    ]


def test_waiting_for_futures(program: Run) -> None:
    out = program(
        PATCH
        + """
gates = [threading.Event() for _ in range(3)]
called = []
with ThreadPoolExecutor(3) as pool:
    futures = [pool.submit(gate.wait, LIMIT) for gate in gates]
    for future in futures:
        future.add_done_callback(called.append)
    done, pending = concurrent.futures.wait(futures, timeout=0.001)
    print(len(done), len(pending))
    gates[1].set()
    done, pending = concurrent.futures.wait(
        futures, timeout=LIMIT, return_when=concurrent.futures.FIRST_COMPLETED)
    print([futures.index(future) for future in done], len(pending))
    order = []
    for future in concurrent.futures.as_completed(futures, timeout=LIMIT):
        order.append(futures.index(future))
        if len(order) == 1:
            gates[2].set()
        elif len(order) == 2:
            gates[0].set()
    print(order, [futures.index(future) for future in called])
    try:
        pool.submit(threading.Event().wait, 0.05).result(timeout=0.001)
    except concurrent.futures.TimeoutError:
        print("timed out")
    failing = pool.submit(int, "none")
    print(type(failing.exception(LIMIT)).__name__)
    try:
        failing.result(LIMIT)
    except ValueError:
        print("raised")
"""
    )
    assert out.splitlines() == [
        "0 3",
        "[1] 2",
        "[1, 2, 0] [1, 2, 0]",
        "timed out",
        "ValueError",
        "raised",
    ]


def test_cancel_and_shutdown(program: Run) -> None:
    out = program(
        PATCH
        + """
pool = ThreadPoolExecutor(1)
gate = threading.Event()
running = pool.submit(gate.wait, LIMIT)
queued = [pool.submit(print, "never") for _ in range(2)]
print(queued[0].cancel(), queued[0].cancelled())
pool.shutdown(wait=False, cancel_futures=True)
print(queued[1].cancelled(), running.done())
try:
    pool.submit(print)
except RuntimeError as error:
    print(error)
gate.set()
print(running.result(LIMIT))
pool.shutdown()
"""
    )
    assert out.splitlines() == [
        "True True",
        "True False",
        "cannot schedule new futures after shutdown",
        "True",
    ]


def test_initializers(program: Run) -> None:
    out = program(
        PATCH
        + """
import logging
logging.disable()
local = threading.local()
def begin(value):
    local.value = value
barrier = threading.Barrier(3)
def work():
    barrier.wait(LIMIT)
    return local.value
with ThreadPoolExecutor(3, initializer=begin, initargs=("begun",)) as pool:
    print([future.result(LIMIT) for future in [pool.submit(work) for _ in range(3)]])
with ThreadPoolExecutor(1, initializer=int, initargs=("none",)) as pool:
    try:
        pool.submit(print).result(LIMIT)
    except concurrent.futures.BrokenExecutor as error:
        print(type(error).__name__)
"""
    )
    assert out == "['begun', 'begun', 'begun']\nBrokenThreadPool\n"


def test_work_is_finished_at_exit(program: Run) -> None:
    out = program(
        PATCH
        + """
import atexit
atexit.register(print, "exit")
pool = ThreadPoolExecutor(2)
def work(number):
    time.sleep(0.01)
    print("done", number, flush=True)
for number in range(4):
    pool.submit(work, number)
"""
    )
    lines = out.splitlines()
    assert lines[-1] == "exit"
    assert sorted(lines[:-1]) == [f"done {number}" for number in range(4)]


def test_native_executor(program: Run) -> None:
    """Its idle threads end with it; none of them is counted green."""
    out = program(
        PATCH
        + """
from greenworld.hub.current import has_hub
from greenworld.patches.executors import NativeExecutor, NativeThread
COUNT = 3
barrier, lock = threading.Barrier(COUNT), native_lock()
def work(number):
    barrier.wait(LIMIT)
    thread = threading.current_thread()
    return number, native_ident() != main, has_hub(), type(thread) is NativeThread
main = native_ident()
with NativeExecutor(COUNT) as pool:
    print(isinstance(pool, ThreadPoolExecutor))
    print(list(pool.map(work, range(COUNT), timeout=LIMIT)))
    # One of them blocks natively; green threads and the others go on.
    lock.acquire()
    blocked = pool.submit(lock.acquire)
    print(pool.submit(threading.active_count).result(LIMIT))
    threading.Timer(0.001, lock.release).start()
    print(blocked.result(LIMIT))
print(threading.active_count())
thread = NativeThread(target=barrier.wait, args=(LIMIT,), name="native", daemon=True)
thread.start()
green = threading.Thread(target=barrier.wait, args=(LIMIT,))
green.start()
barrier.wait(LIMIT)
thread.join(LIMIT)
print(thread.is_alive(), thread.ident != main)
"""
    )
    row = "True, False, True"
    assert out.splitlines() == [
        "True",
        f"[(0, {row}), (1, {row}), (2, {row})]",
        "4",
        "True",
        "1",
        "False True",
    ]


def test_a_process_pool_in_green_threads(program: Run) -> None:
    out = program(
        PATCH
        + """
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    results = []
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        def ask(base):
            results.append(pool.submit(pow, base, 2).result(LIMIT))
        threads = [threading.Thread(target=ask, args=(base,)) for base in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(LIMIT)
        try:
            pool.submit(int, "none").result(LIMIT)
        except ValueError as error:
            print(error)
        print(list(pool.map(abs, [-1, -2], timeout=LIMIT)))
    print(sorted(results))
"""
    )
    assert out.splitlines() == [
        "invalid literal for int() with base 10: 'none'",
        "[1, 2]",
        "[0, 1, 4, 9, 16, 25]",
    ]


def test_a_native_thread_that_has_not_begun_is_no_deadlock(program: Run) -> None:
    """It may be long in coming: meanwhile main waits for it, and nothing else runs."""
    out = program(
        PATCH
        + """
from greenworld.patches.executors import NativeThread
time.sleep(0.1)
for _ in range(50):
    NativeThread(target=int).start()
start_native = greenworld.original("_thread").start_new_thread
for _ in range(20):
    lock = threading.Lock()
    lock.acquire()
    start_native(lock.release, ())
    lock.acquire()
print("ended")
"""
    )
    assert out == "ended\n"
