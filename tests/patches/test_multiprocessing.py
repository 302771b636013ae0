"""`multiprocessing` in patched programs, with each way to start a process; and its semaphores.

The programs prove by barriers that processes and green threads run side by side.
"""

from __future__ import annotations

import importlib
import os
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenworld.hub import Event, GreenThread, native, sleep
from greenworld.hub.timeout import Timeout

multiprocessing = pytest.importorskip("greenworld.patches.multiprocessing")
sem_unlink = importlib.import_module("_multiprocessing").sem_unlink
RECURSIVE, SEMAPHORE = multiprocessing.RECURSIVE, multiprocessing.SEMAPHORE

Start = Callable[..., GreenThread[Any]]
Complete = Callable[..., Any]
LIMIT = 20.0

PATCH = """
import sys
from greenworld.patches import monkey_patch
monkey_patch()
import multiprocessing, os, threading, time
"""

TICKER = """
def tick():
    while True:
        turns.append(1)
        time.sleep(0.001)

turns = []
"""


@pytest.fixture(
    params=[
        "fork",
        pytest.param("spawn", marks=pytest.mark.slow),
        pytest.param("forkserver", marks=pytest.mark.slow),
    ]
)
def run(request: pytest.FixtureRequest, complete: Complete, tmp_path: Path) -> Callable[[str], str]:
    """What a program file prints whose last part, after `MAIN`, runs with a context `mp`."""

    def run(code: str) -> str:
        head, _, tail = textwrap.dedent(code).partition("MAIN\n")
        path = tmp_path / "program.py"
        path.write_text(
            PATCH
            + head
            + 'if __name__ == "__main__":\n'
            + f'    mp = multiprocessing.get_context("{request.param}")\n'
            + textwrap.indent(tail, "    ")
        )
        done = complete(str(path))
        assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
        out: str = done.stdout
        return out

    return run


Run = Callable[[str], str]


def test_pool(run: Run) -> None:
    """eventlet#147, gevent#936: `Pool.map` hangs under both."""
    out = run(
        """
def begin(*shared):
    global barrier, gate
    barrier, gate = shared

def square(number):
    return number * number

def meet(number):
    barrier.wait(30)
    return os.getpid()

def pass_gate():
    return gate.wait(30)

def fail(number):
    raise LookupError(number)

MAIN
gate = mp.Event()
with mp.Pool(3, begin, [mp.Barrier(3), gate]) as pool:
    print(pool.map(square, range(20)))
    print(len(set(pool.map(meet, range(3), chunksize=1))))
    threading.Thread(target=gate.set).start()  # runs when main waits
    print(pool.apply(pass_gate))
    print(list(pool.imap(square, range(5))), sorted(pool.imap_unordered(square, range(5))))
    print(pool.starmap(pow, [(2, 3), (3, 2)]), pool.apply(square, (7,)))
    many = [pool.apply_async(square, (number,)) for number in range(50)]
    print(sum(one.get(30) for one in many))
    try:
        pool.apply(fail, (5,))
    except LookupError as error:
        print(repr(error))
    late = pool.apply_async(time.sleep, (60,))
    try:
        late.get(0.01)
    except multiprocessing.TimeoutError:
        print("late")
print("terminated")
pool = mp.Pool(2)
print(pool.map(square, range(3)))
pool.close()
pool.join()
"""
    )
    squares = [number * number for number in range(20)]
    assert out.splitlines() == [
        str(squares),
        "3",
        "True",
        f"{squares[:5]} {squares[:5]}",
        "[8, 9] 49",
        str(sum(number * number for number in range(50))),
        "LookupError(5)",
        "late",
        "terminated",
        "[0, 1, 4]",
    ]


def test_pools_in_green_threads(run: Run) -> None:
    out = run(
        """
def square(number):
    return number * number

def use(number):
    with mp.Pool(1) as pool:
        gate.wait(30)
        results.append(pool.map(square, [number]))

MAIN
results, gate = [], threading.Barrier(3)
threads = [threading.Thread(target=use, args=(number,)) for number in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
print(sorted(results))
"""
    )
    assert out == "[[0], [1], [4]]\n"


def test_queues_and_pipes(run: Run) -> None:
    out = run(
        """
def echo(requests, answers):
    for item in iter(requests.get, None):
        answers.put(item * 2)

def consume(queue):
    while True:
        queue.get()
        queue.task_done()

def pump(connection):
    while True:
        data = connection.recv_bytes()
        connection.send_bytes(data)
        if not data:
            break

MAIN
for make in (mp.Queue, mp.SimpleQueue):
    requests, answers = make(), make()
    process = mp.Process(target=echo, args=(requests, answers))
    process.start()
    sizes = []
    def ask(number):
        requests.put(b"x" * number)
        sizes.append(len(answers.get()))
    threads = [threading.Thread(target=ask, args=(n,)) for n in (1, 1000, 300_000)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(30)
    requests.put(None)
    process.join(30)
    print(sorted(sizes), process.exitcode)
queue = mp.JoinableQueue()
process = mp.Process(target=consume, args=(queue,), daemon=True)
process.start()
for item in range(10):
    queue.put(item)
queue.join()
print(queue.empty(), queue.qsize())
process.terminate()
process.join(30)
print(process.exitcode)

here, there = mp.Pipe()
process = mp.Process(target=pump, args=(there,))
process.start()
there.close()
# More than fits: who sends must give way to who receives.
sent = threading.Thread(target=here.send_bytes, args=(b"y" * 3_000_000,))
sent.start()
print(len(here.recv_bytes()))
sent.join(30)
print(here.poll(0), here.poll(0.001))
here.send_bytes(b"")
process.join(30)
print(process.exitcode, here.recv_bytes())
try:
    here.recv_bytes()
except EOFError:
    print("end")
here.close()
"""
    )
    assert out.splitlines() == [
        "[2, 2000, 600000] 0",
        "[2, 2000, 600000] 0",
        "True 0",
        "-15",
        "3000000",
        "False False",
        "0 b''",
        "end",
    ]


def test_locks_and_their_relatives(run: Run) -> None:
    out = run(
        TICKER
        + """
def child(lock, rlock, semaphore, condition, event, barrier, results):
    event.wait(30)
    with lock:
        results.put("lock")
    with rlock, rlock:
        results.put("rlock")
    with semaphore:
        results.put("semaphore")
    with condition:
        condition.notify_all()
        results.put("notified")
    barrier.wait(30)

MAIN
threading.Thread(target=tick, daemon=True).start()
lock, rlock, semaphore = mp.Lock(), mp.RLock(), mp.BoundedSemaphore(2)
condition, event, barrier, results = mp.Condition(), mp.Event(), mp.Barrier(3), mp.Queue()
shared = (lock, rlock, semaphore, condition, event, barrier, results)
process = mp.Process(target=child, args=shared)
process.start()

def hold(what, say):
    with what:
        holding.wait(30)
        release.wait(30)

holding, release = threading.Barrier(3), threading.Event()
holders = [threading.Thread(target=hold, args=(lock, 1)),
           threading.Thread(target=hold, args=(rlock, 2))]
for thread in holders: thread.start()
holding.wait(30)
print(lock.acquire(False), rlock.acquire(timeout=0.001), semaphore.acquire())
event.set()
before = len(turns)
while len(turns) < before + 5:
    time.sleep(0.001)
print(results.empty())
with condition:
    release.set()
    print([results.get(timeout=30) for _ in range(3)])
    print(condition.wait(30))
print(results.get(timeout=30))
semaphore.release()
try:
    semaphore.release()
except ValueError:
    print("bounded")
waiting = threading.Thread(target=barrier.wait, args=(30,))
waiting.start()
barrier.wait(30)
waiting.join(30)
process.join(30)
print(process.exitcode, event.is_set(), barrier.broken)
with condition:
    print(condition.wait(0.001), event.wait(0.001), condition.wait_for(lambda: True))
"""
    )
    assert out.splitlines() == [
        "False False True",
        "True",
        "['lock', 'rlock', 'semaphore']",
        "True",
        "notified",
        "bounded",
        "0 True False",
        "False True True",
    ]


def test_managers_shared_memory_and_values(run: Run) -> None:
    out = run(
        """
from multiprocessing import shared_memory

def change(names, queue, name, value):
    names["child"] = queue.get()
    memory = shared_memory.SharedMemory(name)
    memory.buf[0] = 7
    memory.close()
    with value.get_lock():
        value.value += 1

MAIN
memory = shared_memory.SharedMemory(create=True, size=10)
value = mp.Value("i", 41)
with mp.Manager() as manager:
    names, queue, lock = manager.dict(), manager.Queue(), manager.Lock()
    process = mp.Process(target=change, args=(names, queue, memory.name, value))
    process.start()
    # A green thread each: the proxies have a connection for each thread.
    with lock:
        putting = threading.Thread(target=queue.put, args=("a word",))
        putting.start()
        putting.join(30)
    process.join(30)
    print(names.copy(), memory.buf[0], value.value, process.exitcode)
memory.close()
memory.unlink()
"""
    )
    assert out == "{'child': 'a word'} 7 42 0\n"


def test_processes_are_joined(run: Run) -> None:
    out = run(
        TICKER
        + """
def wait(event):
    event.wait(60)
    sys.exit(3)

MAIN
threading.Thread(target=tick, daemon=True).start()
event = mp.Event()
processes = [mp.Process(target=wait, args=(event,)) for _ in range(2)]
processes.append(mp.Process(target=time.sleep, args=(60,)))
for process in processes: process.start()
before = len(turns)
processes[0].join(0.02)
print(processes[0].is_alive(), processes[0].exitcode, len(turns) > before)
joined = []
def join(process):
    process.join()
    joined.append(process.exitcode)
threads = [threading.Thread(target=join, args=(process,)) for process in processes[:2]]
for thread in threads: thread.start()
processes[2].terminate()
join(processes[2])
event.set()
for thread in threads: thread.join(30)
print(joined, [process.is_alive() for process in processes])
for process in processes: process.close()
"""
    )
    assert out.splitlines() == ["True None True", "[-15, 3, 3] [False, False, False]"]


def test_process_pool_executors(run: Run) -> None:
    out = run(
        """
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

def begin(shared):
    global barrier
    barrier = shared

def meet(number):
    barrier.wait(30)
    return number

def end():
    os._exit(1)

MAIN
with ProcessPoolExecutor(2, mp, begin, (mp.Barrier(2),)) as executor:
    print(sorted(f.result(30) for f in as_completed([executor.submit(meet, n) for n in range(4)])))
    results = []  # each waits for the other, so that none may hold up all
    def use(number):
        results.append(executor.submit(meet, number).result(30))
    threads = [threading.Thread(target=use, args=(number,)) for number in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(30)
    print(sorted(results), list(executor.map(pow, [2, 3], [3, 2])))
with ProcessPoolExecutor(1, mp) as executor:
    try:
        executor.submit(end).result(30)
    except BrokenProcessPool:
        print("broken")
"""
    )
    assert out.splitlines() == ["[0, 1, 2, 3]", "[0, 1] [8, 9]", "broken"]


def test_locks_from_before_the_patch(complete: Complete, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(
        """
import multiprocessing, threading, time
mp = multiprocessing.get_context("fork")
lock, rlock, held, queue = mp.Lock(), mp.RLock(), mp.RLock(), mp.SimpleQueue()
held.acquire()
held.acquire()
from greenworld.patches import monkey_patch
monkey_patch()

def hold(what):
    with what:
        order.append("held")
        time.sleep(0.005)
        order.append("free")

order = []
for what in (lock, rlock):
    threads = [threading.Thread(target=hold, args=(what,)) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(30)
taker = threading.Thread(target=hold, args=(held,))
taker.start()
time.sleep(0.005)
order.append("ours")
held.release()
held.release()
taker.join(30)
print(order)
reader = threading.Thread(target=lambda: print(queue.get()))
reader.start()
time.sleep(0)
queue.put("item")
reader.join(30)
process = mp.Process(target=queue.put, args=("child",))
process.start()
print(queue.get())
process.join(30)
"""
    )
    done = complete(str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        str(["held", "free"] * 4 + ["ours", "held", "free"]),
        "item",
        "child",
    ]


# The semaphore itself, in this process


@pytest.fixture
def make() -> Callable[..., Any]:
    numbers = iter(range(100))

    def make(kind: int = SEMAPHORE, value: int = 1, maxvalue: int = 1) -> Any:
        name = f"/gw-{os.getpid()}-{next(numbers)}"
        return multiprocessing.SemLock(kind, value, maxvalue, name, True)

    return make


def test_a_semaphore_is_taken_in_turns(make: Any, start: Start) -> None:
    semaphore = make()
    assert semaphore.acquire()
    assert not semaphore.acquire(False)
    assert not semaphore.acquire(True, 0.001)
    assert not semaphore.acquire(True, -5)
    order: list[int] = []

    def take(number: int) -> None:
        with semaphore:
            order.append(number)
            sleep(0)

    for number in range(4):
        start(take, number)
    sleep(0.005)
    assert order == []
    assert semaphore._is_zero()
    semaphore.release()
    assert semaphore.acquire(True, LIMIT)
    semaphore.release()
    sleep(0.05)
    assert sorted(order) == [0, 1, 2, 3]
    assert semaphore._get_value() == 1
    with pytest.raises(ValueError, match="too many times"):
        semaphore.release()


def test_a_recursive_lock_belongs_to_a_green_thread(make: Any, start: Start) -> None:
    lock = make(RECURSIVE)
    assert (lock.kind, lock.maxvalue) == (RECURSIVE, 1)
    with lock, lock:
        assert lock._count() == 2
        assert lock._is_mine()
        other = start(lambda: (lock.acquire(False), lock._is_mine()))
        assert other.wait(LIMIT) == (False, False)
        thief = start(lock.release)
        with pytest.raises(AssertionError, match="not owned"):
            thief.wait(LIMIT)
        assert native.run(lock.acquire, False) is False
    assert lock._count() == 0
    assert start(lock.acquire).wait(LIMIT)
    assert not lock.acquire(True, 0.001)
    lock._after_fork()
    assert lock._count() == 0
    lock._inner.release()


def test_green_and_native_threads_share_a_semaphore(make: Any, start: Start) -> None:
    lock, counted = make(), [0]

    def count() -> None:
        for _ in range(50):
            with lock:
                seen = counted[0]
                sleep(0)
                counted[0] = seen + 1

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    green = [start(count) for _ in range(3)]
    for one in green:
        one.wait(LIMIT)
    for thread in threads:
        native.run(thread.join, LIMIT)
    assert counted == [250]


def test_a_wait_that_is_ended_takes_nothing(make: Any, start: Start) -> None:
    lock = make()
    lock.acquire()
    with pytest.raises(Timeout), Timeout(0.005):
        lock.acquire()
    waiting = start(lock.acquire)
    sleep(0.002)
    waiting.kill()
    lock.release()
    assert lock.acquire(True, LIMIT)
    # Killed when it has been woken already: the next in line is told.
    first, second = start(lock.acquire, True, LIMIT), start(lock.acquire, True, LIMIT)
    sleep(0)
    lock.release()
    first.kill()
    assert second.wait(LIMIT) or first.successful()
    lock.release()


def test_who_is_alone_waits_in_the_kernel(make: Any, start: Start) -> None:
    lock = make()
    lock.acquire()
    threading.Timer(0.1, lock.release).start()
    assert lock.acquire()
    assert not lock.acquire(True, 0.06)
    event = Event()
    waiting = start(event.wait)
    sleep(0)
    assert not lock.acquire(True, 0.001)
    event.send()
    waiting.wait(LIMIT)
    lock.release()


def test_another_process_opens_it_by_name() -> None:
    name = f"/gw-{os.getpid()}-named"
    lock = multiprocessing.SemLock(SEMAPHORE, 2, 3, name, False)
    twin = multiprocessing.SemLock._rebuild(lock.handle, SEMAPHORE, 3, name)
    twin.acquire()
    assert lock._get_value() == 1
    assert twin.name == name
    lock.release()
    assert twin._get_value() == 2
    assert name in lock.describe_wait(None)
    sem_unlink(name)
    with pytest.raises(ValueError, match="kind"):
        multiprocessing.SemLock(5, 1, 1, name, True)
