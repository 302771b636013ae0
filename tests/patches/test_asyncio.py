"""Event loops in green threads. Nothing here measures time: what does not run would hang."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

Run = Callable[..., str]


def test_several_loops_at_once(beside_loops: Run) -> None:
    """Every coroutine waits, blocking its thread, until all of them have come."""
    out = beside_loops("""
COUNT = 5
barrier = threading.Barrier(COUNT)
async def main():
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    for _ in range(10):
        barrier.wait(LIMIT)
        assert asyncio.get_running_loop() is loop and asyncio.current_task() is task
        await asyncio.sleep(0)
        await asyncio.sleep(0.0001)
    return loop
loops = []
in_threads(*[lambda: loops.append(asyncio.run(main()))] * COUNT)
print(len(set(loops)), no_loop())
""")
    assert out == "5 True\n"


def test_a_loop_in_main_and_others_in_threads(beside_loops: Run) -> None:
    out = beside_loops("""
barrier = threading.Barrier(3)
async def main():
    for _ in range(5):
        barrier.wait(LIMIT)
        await asyncio.sleep(0)
others = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
for thread in others: thread.start()
asyncio.run(main())
for thread in others: thread.join(LIMIT)
print(no_loop())
""")
    assert out == "True\n"


def test_a_loop_in_a_loop_is_refused(beside_loops: Run) -> None:
    out = beside_loops("""
async def main():
    with contextlib.closing(asyncio.sleep(0)) as inner:
        try:
            asyncio.run(inner)
        except RuntimeError as error:
            print(error)
    other = asyncio.new_event_loop()
    try:
        other.run_forever()
    except RuntimeError as error:
        print(error)
    other.close()
asyncio.run(main())
""")
    assert out.splitlines() == [
        "asyncio.run() cannot be called from a running event loop",
        "Cannot run the event loop while another loop is running",
    ]


def test_other_threads_see_no_loop(beside_loops: Run) -> None:
    out = beside_loops("""
seen = []
done = threading.Event()
def look():
    while not done.is_set():
        seen.append(no_loop())
        time.sleep(0)
async def main():
    for _ in range(10):
        await asyncio.sleep(0)  # a turn that does not wait
        await asyncio.sleep(0.0001)  # one that does
        time.sleep(0.0001)  # and one that blocks the loop
    done.set()
in_threads(look, lambda: asyncio.run(main()), lambda: asyncio.run(main()))
print(len(seen) > 5, set(seen), no_loop())
""")
    assert out == "True {True} True\n"


def test_a_busy_loop_starves_nobody(beside_loops: Run) -> None:
    out = beside_loops("""
told = []
async def main():
    while not told:
        await asyncio.sleep(0)
    return told
def tell():
    time.sleep(0.001)
    told.append("told")
thread = threading.Thread(target=tell)
thread.start()
print(asyncio.run(main()))
""")
    assert out == "['told']\n"


def test_blocking_in_a_coroutine_blocks_its_loop_only(beside_loops: Run) -> None:
    out = beside_loops("""
log = []
gate = threading.Event()
async def main():
    loop = asyncio.get_running_loop()
    loop.call_soon(log.append, "the loop goes on")
    gate.wait(LIMIT)
    log.append("the coroutine goes on")
    await asyncio.sleep(0)
def other():
    time.sleep(0.001)
    log.append("another thread runs")
    gate.set()
in_threads(lambda: asyncio.run(main()), other)
print(log)
""")
    assert out == "['another thread runs', 'the coroutine goes on', 'the loop goes on']\n"


def test_a_killed_loop_leaves_nothing(beside_loops: Run) -> None:
    out = beside_loops("""
begun = threading.Event()
async def main():
    begun.set()
    try:
        time.sleep(LIMIT)
    finally:
        assert asyncio.current_task() is not None
thread = greenworld.spawn(asyncio.run, main())
begun.wait(LIMIT)
thread.kill()
thread.join(LIMIT)
print(type(thread.exception).__name__, no_loop(), greenworld.spawn(no_loop).wait(LIMIT))
""")
    assert out == "GreenletExit True True\n"


def test_what_is_set_by_hand_ends_with_its_thread(beside_loops: Run) -> None:
    out = beside_loops("""
loop = asyncio.new_event_loop()
def careless():
    asyncio._set_running_loop(loop)
    time.sleep(0)
    assert asyncio.get_running_loop() is loop
def other():
    time.sleep(0)
    print(no_loop())
in_threads(careless, other)
in_threads(lambda: print(no_loop()))
loop.close()
""")
    assert out == "True\nTrue\n"


def test_asynchronous_generators_end_in_their_own_loop(beside_loops: Run) -> None:
    out = beside_loops("""
import gc
ended = []
async def numbers():
    try:
        yield 1
        yield 2
    finally:
        await asyncio.sleep(0)
        ended.append(asyncio.get_running_loop())
async def main():
    generator = numbers()
    await generator.__anext__()
    time.sleep(0)  # the other thread's loop has hooks of its own
    del generator
    gc.collect()
    while asyncio.get_running_loop() not in ended:
        await asyncio.sleep(0)
def collect():
    for _ in range(20):
        gc.collect()
        time.sleep(0)
in_threads(lambda: asyncio.run(main()), lambda: asyncio.run(main()), collect)
print(len(set(ended)))
""")
    assert out == "2\n"


def test_debug_mode_concerns_its_own_loop(beside_loops: Run) -> None:
    out = beside_loops("""
depths = set()
async def main():
    own = sys.get_coroutine_origin_tracking_depth()
    for _ in range(3):
        time.sleep(0)
        await asyncio.sleep(0.0001)
        assert sys.get_coroutine_origin_tracking_depth() == own
    depths.add(own)
def other():
    for _ in range(10):
        depths.add(sys.get_coroutine_origin_tracking_depth())
        time.sleep(0)
in_threads(lambda: asyncio.run(main(), debug=True), other)
print(len(depths), 0 in depths)
""")
    assert out == "2 True\n"


def test_each_thread_has_a_loop_of_the_policy(program: Run) -> None:
    """Also where asyncio, and a loop of its policy, were there before the patch."""
    code = """
import asyncio, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
early = asyncio.new_event_loop()
asyncio.set_event_loop(early)
import greenworld
greenworld.monkey_patch()
seen = []
def work():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    time.sleep(0)
    seen.append(asyncio.get_event_loop_policy().get_event_loop() is loop)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join(20)
print(seen, asyncio.get_event_loop_policy().get_event_loop() is early)
early.close()
"""
    assert program(code) == "[True, True, True] True\n"


@pytest.mark.parametrize("early", ["asyncio", "sys"])
def test_patched_within_a_running_loop(program: Run, early: str) -> None:
    out = program(f"""
import {early}, asyncio
async def main():
    import greenworld
    greenworld.monkey_patch()
    import threading, time
    seen = []
    def look():
        seen.append(asyncio._get_running_loop())
    thread = threading.Thread(target=look)
    thread.start()
    thread.join(20)
    asyncio.get_running_loop()
    await asyncio.to_thread(time.sleep, 0)
    print(seen)
asyncio.run(main())
import greenworld
print(type(greenworld.getcurrent()).__mro__[1].__name__)
""")
    assert out == "[None]\nTask\n"


def test_a_raw_greenlet_of_a_coroutine_blocks(beside_loops: Run) -> None:
    """As object mappers do that call blocking code from coroutines."""
    out = beside_loops("""
from greenlet import greenlet
log = []
free = threading.Event()
def blocking():
    free.wait(LIMIT)
    log.append(not no_loop())
async def main():
    greenlet(blocking).switch()
    log.append(not no_loop())
def other():
    time.sleep(0.001)
    log.append(no_loop())
    free.set()
in_threads(lambda: asyncio.run(main()), other)
print(log)
""")
    assert out == "[True, True, True]\n"


def test_a_loop_in_a_native_thread(beside_loops: Run) -> None:
    """A thread without a hub: everything is as natively."""
    out = beside_loops("""
done = threading.Event()
def work():
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.001)
        return loop is asyncio.get_running_loop() and await asyncio.to_thread(lambda: "ran")
    print(asyncio.run(main()), no_loop())
    done.set()
start_native(work, ())
print(done.wait(LIMIT))
""")
    assert out == "ran True\nTrue\n"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.Runner came with 3.11")
def test_runners_in_threads(beside_loops: Run) -> None:
    out = beside_loops("""
import contextvars
name = contextvars.ContextVar("name")
barrier = threading.Barrier(3)
async def begin(value):
    name.set(value)
async def go_on():
    barrier.wait(LIMIT)
    await asyncio.sleep(0)
    return name.get()
def work(value):
    with asyncio.Runner() as runner:
        runner.run(begin(value))
        results.append((value, runner.run(go_on())))
results = []
in_threads(*[lambda value=value: work(value) for value in "abc"])
print(sorted(results), name.get("none"))
""")
    assert out == "[('a', 'a'), ('b', 'b'), ('c', 'c')] none\n"
