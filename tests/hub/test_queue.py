from __future__ import annotations

import gc
import queue
import threading
import tracemalloc
import weakref
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from greenlet import GreenletExit
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greenworld.hub import GreenThread, HubCallbackError, ShutDown, get_hub, sleep, spawn
from greenworld.hub.queue import Empty, Full, LifoQueue, PriorityQueue, Queue
from greenworld.hub.timeout import Timeout

LIMIT = 20.0
KINDS = ("green", "native", "apart")
CLASSES: list[type[Queue[Any]]] = [Queue, LifoQueue, PriorityQueue]
every = pytest.mark.parametrize("make", CLASSES)
errors = pytest.mark.parametrize("error", [GreenletExit(), Timeout(None)])


class Boom(Exception):
    pass


def drained(items: Queue[Any]) -> list[Any]:
    return [items.get_nowait() for _ in range(items.qsize())]


def settle() -> None:
    for _ in range(4):
        sleep(0)


def filled(make: type[Queue[Any]], maxsize: int) -> Queue[Any]:
    items = make(maxsize)
    for item in range(maxsize):
        items.put_nowait(item)
    return items


# One thread


def test_the_exceptions_are_the_standard_ones() -> None:
    assert (Empty, Full) == (queue.Empty, queue.Full)
    assert getattr(queue, "ShutDown", ShutDown) is ShutDown


@pytest.mark.parametrize(
    ("make", "expected"),
    [(Queue, [3, 1, 2]), (LifoQueue, [2, 1, 3]), (PriorityQueue, [1, 2, 3])],
)
def test_the_order_of_items(make: type[Queue[int]], expected: list[int]) -> None:
    items = make()
    for item in (3, 1, 2):
        items.put(item)
    assert items.qsize() == 3
    assert [items.get(), items.get_nowait(), items.get(timeout=1)] == expected
    assert items.empty()


@every
@pytest.mark.parametrize("maxsize", [0, None, -1])
def test_no_bound(make: type[Queue[int]], maxsize: int | None) -> None:
    items = make(maxsize)
    for item in range(1000):
        items.put(item, False)
    assert items.qsize() == 1000
    assert not items.full()


@every
@pytest.mark.parametrize("maxsize", [1, 2, 63, 64, 65, 200])
def test_a_bound(make: type[Queue[int]], maxsize: int) -> None:
    items = filled(make, maxsize)
    for _ in range(2):
        assert items.full()
        for arguments in ((False,), (True, 0), (True, 0.0), (True, 0.001)):
            with pytest.raises(Full):
                items.put(0, *arguments)
        assert len(drained(items)) == maxsize
        assert not items.full()
        for item in range(maxsize):
            items.put(item, timeout=0)


def test_a_large_bound_costs_nothing() -> None:
    tracemalloc.start()
    try:
        items: Queue[int] = Queue(10**9)
        for item in range(100):
            items.put(item)
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()


@every
def test_nothing_to_get(make: type[Queue[int]]) -> None:
    items = make()
    ran: list[int] = []
    other = spawn(ran.append, 1)
    for arguments in ((False,), (False, -1), (True, 0)):
        with pytest.raises(Empty):
            items.get(*arguments)
    with pytest.raises(Empty):
        items.get_nowait()
    assert ran == []
    other.join()


@every
@pytest.mark.parametrize("timeout", [-1, -0.1, float("nan")])
def test_a_negative_time_out(make: type[Queue[int]], timeout: float) -> None:
    items = make(2)
    for expected in (0, 1):
        with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
            items.put(0, timeout=timeout)
        assert items.qsize() == expected
        with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
            items.get(timeout=timeout)
        assert items.qsize() == expected
        items.put(expected)


@every
@pytest.mark.parametrize("kind", KINDS)
def test_a_time_out_leaves_no_trace(make: type[Queue[int]], kind: str, crew: Any) -> None:
    items = make(1)

    def timed(function: Callable[..., object], *arguments: Any) -> tuple[object, bool]:
        start = monotonic()
        try:
            return function(*arguments), False
        except (Empty, Full) as error:
            return type(error), monotonic() - start >= 0.01

    crew.start(kind, lambda: timed(items.get, True, 0.01))
    assert crew.finish() == [(Empty, True)]
    items.put(1)
    crew.start(kind, lambda: timed(items.put, 2, True, 0.01))
    assert crew.finish()[1:] == [(Full, True)]
    assert (items.getting(), items.putting()) == (0, 0)
    assert items.get() == 1
    assert items.empty()


@every
def test_what_it_looks_like(make: type[Queue[int]]) -> None:
    items = make(3)
    items.put(1)
    assert repr(items) == f"<{make.__name__} at {id(items):#x}: 1 of 3 items>"
    assert repr(make()).endswith(": 0 items>")
    assert weakref.ref(items)() is items
    assert items.describe_wait(items._getters) == f"get from {items!r}"
    assert items.describe_wait(items._putters) == f"put into {items!r}"
    assert items.describe_wait(items._joiners) == f"join {items!r}"


@every
def test_none_is_an_item(make: type[Queue[None]]) -> None:
    items = make(1)
    items.put(None)
    assert items.get() is None
    getter = spawn(items.get)
    sleep(0)
    items.put(None)
    assert getter.wait(LIMIT) is None
    assert getter.successful()


# Green threads


@every
def test_getters_are_served_in_order(make: type[Queue[int]]) -> None:
    items = make()
    getters = [spawn(items.get) for _ in range(4)]
    sleep(0)
    assert items.getting() == 4
    for item in range(4):
        items.put(item)
    assert items.getting() == 0
    assert [getter.wait(LIMIT) for getter in getters] == [0, 1, 2, 3]


@pytest.mark.parametrize("make", [Queue, LifoQueue])
def test_an_item_handed_over_cannot_be_stolen(make: type[Queue[int]]) -> None:
    items = make()
    getter = spawn(items.get)
    sleep(0)
    items.put(1)
    with pytest.raises(Empty):
        items.get_nowait()
    assert getter.wait(LIMIT) == 1


@every
def test_putters_are_admitted_in_order(make: type[Queue[int]]) -> None:
    items = make(1)
    items.put(0)
    putters = [spawn(items.put, number) for number in (1, 2, 3)]
    sleep(0)
    assert items.putting() == 3
    got = []
    for _ in range(4):
        got.append(items.get(timeout=LIMIT))
        assert items.qsize() <= 1
    assert got == [0, 1, 2, 3]
    assert all(putter.join(LIMIT) and putter.successful() for putter in putters)


@every
def test_ping_pong(make: type[Queue[int]]) -> None:
    there, back = make(1), make(1)

    def play() -> None:
        for _ in range(50):
            back.put(there.get() + 1)

    thread = spawn(play)
    number = 0
    for _ in range(50):
        there.put(number)
        number = back.get(timeout=LIMIT)
    assert number == 50
    thread.wait(LIMIT)


@every
@errors
@pytest.mark.parametrize("maxsize", [0, 1, 2])
def test_a_getter_killed_in_the_turn_of_its_item(
    make: type[Queue[int]], error: BaseException, maxsize: int
) -> None:
    items = make(maxsize)
    victim, heir = spawn(items.get), spawn(items.get)
    sleep(0)
    items.put(1)
    victim.kill(error)
    assert victim.exception is error
    assert heir.wait(LIMIT) == 1
    assert items.empty()


@every
@errors
@pytest.mark.parametrize("others", [0, 1])
def test_an_item_that_comes_back_keeps_its_place(
    make: type[Queue[int]], error: BaseException, others: int
) -> None:
    items = make()
    getters = [spawn(items.get) for _ in range(2)]
    sleep(0)
    order = [1, 2, 3, 4] if make is not LifoQueue else [4, 3, 2, 1]
    for item in order:
        items.put(item)
    getters[0].kill(error)
    assert getters[1].wait(LIMIT) in (1, 2, 3, 4)
    left = [*drained(items), getters[1].value]
    assert sorted(left) == [1, 2, 3, 4]
    if make is Queue:
        assert left == [1, 3, 4, 2]


@every
def test_the_bound_after_items_came_back(make: type[Queue[int]]) -> None:
    items = make(2)
    for _ in range(3):
        victims = [spawn(items.get) for _ in range(2)]
        sleep(0)
        for item in range(2):
            items.put(item)
        for item in range(2, 4):
            if not items.full():
                items.put(item, timeout=LIMIT)
        for victim in victims:
            victim.throw(GreenletExit())
        putter = spawn(items.put, 9)
        settle()
        while items.qsize() > 2:
            items.get_nowait()
            settle()
        assert items.putting() == 1
        assert items.full()
        items.get_nowait()
        putter.wait(LIMIT)
        assert items.qsize() == 2
        drained(items)
    for item in range(2):
        items.put_nowait(item)
    with pytest.raises(Full):
        items.put_nowait(2)


@every
@errors
def test_a_getter_killed_while_waiting(make: type[Queue[int]], error: BaseException) -> None:
    items = make()
    victim, other = spawn(items.get), spawn(items.get)
    sleep(0)
    victim.kill(error)
    assert items.getting() == 1
    items.put(1)
    assert other.wait(LIMIT) == 1
    with pytest.raises(Timeout), Timeout(0.01):
        items.get()
    assert items.getting() == 0


@every
@errors
def test_a_putter_killed_while_waiting(make: type[Queue[int]], error: BaseException) -> None:
    items = make(1)
    items.put(0)
    victim, other = spawn(items.put, 1), spawn(items.put, 2)
    sleep(0)
    victim.kill(error)
    assert items.putting() == 1
    assert victim.given is None, "it holds on to the item"
    assert [items.get(timeout=LIMIT), items.get(timeout=LIMIT)] == [0, 2]
    other.wait(LIMIT)
    assert items.unfinished_tasks == 2
    with pytest.raises(Empty):
        items.get_nowait()


@every
@errors
def test_a_putter_killed_in_the_turn_of_its_admission(
    make: type[Queue[int]], error: BaseException
) -> None:
    items = make(1)
    items.put(0)
    victim, other = spawn(items.put, 1), spawn(items.put, 2)
    sleep(0)
    assert items.get() == 0
    victim.kill(error)
    # A priority queue's putter puts its item itself; for the others that had been done.
    expected = [2] if make is PriorityQueue else [1, 2]
    assert [items.get(timeout=LIMIT) for _ in expected] == expected
    other.wait(LIMIT)
    assert items.unfinished_tasks == 1 + len(expected)
    items.put_nowait(3)
    assert items.full()


@every
def test_a_hub_callback(make: type[Queue[int]]) -> None:
    items = make(1)
    seen: list[object] = []

    def callback() -> None:
        for function in (items.get, lambda: items.put(1), lambda: items.put(2)):
            try:
                seen.append(function())
            except HubCallbackError as error:
                seen.append(type(error))

    get_hub().post(callback)
    sleep(0)
    assert seen == [HubCallbackError, None, HubCallbackError]
    assert (items.getting(), items.putting()) == (0, 0)
    assert items.get(timeout=LIMIT) == 1
    assert items.empty()


# Keeping count


@every
def test_join(make: type[Queue[int]]) -> None:
    items = make()
    assert items.join() is True
    for item in range(3):
        items.put(item)
    joiners = [spawn(items.join) for _ in range(2)]
    sleep(0)
    for left in (2, 1, 0):
        assert not any(joiner.ready() for joiner in joiners)
        items.get()
        items.task_done()
        assert items.unfinished_tasks == left
    assert [joiner.wait(LIMIT) for joiner in joiners] == [True, True]
    with pytest.raises(ValueError, match=r"task_done\(\) called too many times"):
        items.task_done()
    assert items.unfinished_tasks == 0


@every
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timeout", [0, 0.01])
def test_join_for_a_time(make: type[Queue[int]], kind: str, timeout: float, crew: Any) -> None:
    items = make()
    items.put(1)
    crew.start(kind, items.join, timeout)
    assert crew.finish() == [False]
    assert items._joiners == []


@pytest.mark.parametrize("joiner", KINDS)
@pytest.mark.parametrize("worker", KINDS)
def test_join_between_threads(joiner: str, worker: str, crew: Any) -> None:
    items: Queue[int | None] = Queue(5)
    done: list[int] = []

    def work() -> None:
        while (item := items.get(timeout=LIMIT)) is not None:
            done.append(item)
            items.task_done()
        items.task_done()

    def feed() -> int:
        for item in range(100):
            items.put(item, timeout=LIMIT)
        assert items.join(LIMIT)
        count = len(done)
        for _ in range(3):
            items.put(None, timeout=LIMIT)
        assert items.join(LIMIT)
        return count

    for _ in range(3):
        crew.start(worker, work)
    crew.start(joiner, feed)
    assert crew.finish()[-1] == 100
    assert items.unfinished_tasks == 0


# Shutting down


@every
def test_shut_down(make: type[Queue[int]]) -> None:
    items = filled(make, 2)
    assert not items.is_shutdown
    items.shutdown()
    assert items.is_shutdown
    for arguments in ((True,), (False,), (True, 1)):
        with pytest.raises(ShutDown):
            items.put(3, *arguments)
    assert sorted([items.get(), items.get_nowait()]) == [0, 1]
    for arguments in ((True,), (False,), (True, 1), (True, 0)):
        with pytest.raises(ShutDown):
            items.get(*arguments)
    assert items.unfinished_tasks == 2
    for _ in range(2):
        items.task_done()
    assert items.join(0)
    items.shutdown()


@every
def test_shut_down_at_once(make: type[Queue[int]]) -> None:
    items = filled(make, 3)
    items.get()
    items.shutdown(immediate=True)
    assert items.empty()
    assert items.unfinished_tasks == 1
    with pytest.raises(ShutDown):
        items.get_nowait()
    assert items.join(0) is False
    items.task_done()
    assert items.join(0) is True
    items.shutdown(immediate=True)


@every
def test_shut_down_at_once_after_shut_down(make: type[Queue[int]]) -> None:
    items = filled(make, 3)
    joiner = spawn(items.join)
    sleep(0)
    items.shutdown()
    assert items.qsize() == 3
    items.shutdown(immediate=True)
    assert items.qsize() == 0
    assert joiner.wait(LIMIT) is True


@every
@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_shut_down_ends_every_wait(
    make: type[Queue[int]], immediate: bool, kind: str, crew: Any, until: Any
) -> None:
    empty, full = make(), filled(make, 2)

    def shut_out(function: Callable[..., object], *arguments: Any) -> bool:
        try:
            function(*arguments)
        except ShutDown:
            return True
        return False

    for _ in range(3):
        crew.start(kind, shut_out, empty.get)
        crew.start(kind, shut_out, empty.get, True, LIMIT)
        crew.start(kind, shut_out, full.put, 1)
        crew.start(kind, shut_out, full.put, 1, True, LIMIT)
    until(lambda: empty.getting() == full.putting() == 6)
    empty.shutdown(immediate)
    full.shutdown(immediate)
    assert crew.finish() == [True] * 12
    assert (empty.getting(), full.putting()) == (0, 0)
    assert full.qsize() == full.unfinished_tasks == (0 if immediate else 2)


@every
@pytest.mark.parametrize("immediate", [False, True])
def test_an_item_that_comes_back_after_the_shutdown(
    make: type[Queue[int]], immediate: bool
) -> None:
    items = make()
    getter = spawn(items.get)
    sleep(0)
    items.put(1)
    items.shutdown(immediate)
    getter.kill()
    assert items.qsize() == items.unfinished_tasks == (0 if immediate else 1)
    assert items.join(0) is immediate


@every
@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("maxsize", [0, 3])
def test_a_put_that_races_with_the_shutdown(
    make: type[Queue[int]], immediate: bool, maxsize: int
) -> None:
    items = make(maxsize)
    push = items._push

    def push_late(item: int) -> None:
        items.shutdown(immediate)
        push(item)

    items._push = push_late
    items.put(1)
    assert items.qsize() == (0 if immediate else 1)
    assert items.join(0) is immediate


def put_by_the_buffer(items: Queue[int], item: int) -> None:
    """Put as one who saw no getter when it looked, and sees one afterwards."""
    next(items._puts)
    items._push(item)
    items._settle()


@every
def test_getters_who_enter_during_the_shutdown(make: type[Queue[int]]) -> None:
    items = make()
    getters = [spawn(items.get) for _ in range(2)]
    sleep(0)
    buffer_push = items._push

    def push_while_it_shuts_down(item: int) -> None:
        buffer_push(item)
        items.shutdown()

    items._push = push_while_it_shuts_down
    put_by_the_buffer(items, 1)
    assert getters[0].wait(LIMIT) == 1
    with pytest.raises(ShutDown):
        getters[1].wait(LIMIT)


# Other OS threads that are faster


@pytest.mark.parametrize("make", [Queue, LifoQueue])
def test_the_item_was_gone_when_a_getter_was_to_have_it(make: type[Queue[int]]) -> None:
    items = make()
    order: list[tuple[str, int]] = []
    pop = items._pop

    def get(name: str) -> None:
        order.append((name, items.get(timeout=LIMIT)))

    def nothing_there() -> int:
        items._buffer.clear()  # another OS thread has it
        items._pop = pop
        raise IndexError

    getters = [spawn(get, name) for name in ("first", "second", "third")]
    sleep(0)
    items._pop = nothing_there
    put_by_the_buffer(items, 0)
    settle()
    assert items.getting() == 3
    for item in (1, 2, 3):
        items.put(item)
    for getter in getters:
        getter.wait(LIMIT)
    assert order == [("first", 1), ("second", 2), ("third", 3)]


@pytest.mark.parametrize("how", ["timeout", "kill"])
def test_a_getter_woken_with_nothing_can_still_give_up(how: str) -> None:
    items: Queue[int] = Queue()
    pop = items._pop

    def nothing_there() -> int:
        items._buffer.clear()  # another OS thread has it
        items._pop = pop
        raise IndexError

    getter = spawn(items.get, True, 0.01 if how == "timeout" else LIMIT)
    heir = spawn(items.get)
    sleep(0)
    items._pop = nothing_there
    put_by_the_buffer(items, 1)
    if how == "kill":
        getter.kill()
        assert isinstance(getter.exception, GreenletExit)
    else:
        sleep(0)
        assert items.getting() == 2
        assert items._getters[0] is getter
        with pytest.raises(Empty):
            getter.wait(LIMIT)
    assert items.getting() == 1
    items.put(2)
    assert heir.wait(LIMIT) == 2


def test_a_getter_killed_after_it_was_woken_with_nothing_passes_it_on() -> None:
    items: Queue[int] = Queue()
    pop = items._pop

    def nothing_there() -> int:
        items._pop = pop
        raise IndexError

    victim = spawn(items.get)
    sleep(0)
    items._pop = nothing_there
    put_by_the_buffer(items, 1)
    heir = spawn(items.get)
    victim.throw(GreenletExit())
    assert heir.wait(LIMIT) == 1


# Any mix of threads

MIXES = [(a, b) for a in KINDS for b in KINDS]


@every
@pytest.mark.parametrize("maxsize", [0, 1, 3])
@pytest.mark.parametrize(("putter", "getter"), MIXES, ids="+".join)
def test_every_item_once(
    make: type[Queue[int]], maxsize: int, putter: str, getter: str, crew: Any
) -> None:
    items = make(maxsize)
    count = 80

    def put(start: int) -> bool:
        strict = True
        for item in range(start, start + count):
            items.put(item, timeout=LIMIT)
            strict = strict and (not maxsize or items.qsize() <= maxsize)
        return strict

    def get() -> list[int]:
        return [items.get(timeout=LIMIT) for _ in range(count)]

    for number in range(2):
        crew.start(putter, put, number * count)
        crew.start(getter, get)
    first_put, first, second_put, second = crew.finish()
    assert (first_put, second_put) == (True, True), "there were more items in it than allowed"
    assert sorted(first + second) == list(range(2 * count))
    if make is Queue:
        for got in (first, second):
            for start in (0, count):
                own = [item for item in got if start <= item < start + count]
                assert own == sorted(own), "the items of one putter changed their order"
    assert items.empty()
    assert (items.getting(), items.putting()) == (0, 0)
    assert items.unfinished_tasks == 2 * count


@every
@pytest.mark.parametrize("maxsize", [0, 1])
@pytest.mark.parametrize(("putter", "getter"), MIXES, ids="+".join)
def test_every_item_once_among_those_who_give_up(
    make: type[Queue[int]], maxsize: int, putter: str, getter: str, crew: Any
) -> None:
    items = make(maxsize)
    count = 40
    patience = (0.0, 0.0001, 0.001)

    def put(start: int) -> None:
        for item in range(start, start + count):
            deadline, turn = monotonic() + LIMIT, item
            while True:
                try:
                    items.put(item, True, patience[turn % 3])
                    break
                except Full:
                    assert monotonic() < deadline
                    sleep(0)
                    turn += 1

    def get() -> list[int]:
        got: list[int] = []
        deadline, turn = monotonic() + LIMIT, 0
        while len(got) < count:
            try:
                got.append(items.get(True, patience[turn % 3]))
            except Empty:
                assert monotonic() < deadline
                sleep(0)
                turn += 1
        return got

    for number in range(2):
        crew.start(putter, put, number * count)
        crew.start(getter, get)
    _, first, _, second = crew.finish()
    assert sorted(first + second) == list(range(2 * count))
    assert (items.getting(), items.putting()) == (0, 0)
    if maxsize:
        items.put_nowait(1)
        assert items.full()


@pytest.mark.parametrize("maxsize", [0, 1, 2])
def test_getters_killed_while_another_hub_puts(maxsize: int, crew: Any) -> None:
    items: Queue[int] = Queue(maxsize)
    count = 200

    def put() -> None:
        for item in range(count):
            items.put(item, timeout=LIMIT)

    crew.start("native", put)
    got: list[int] = []
    while len(got) < count:
        getters = [spawn(items.get, True, LIMIT) for _ in range(3)]
        sleep(0)
        for getter in getters[1:]:
            getter.kill()
        got.append(getters[0].wait(LIMIT))
        got.extend(getter.wait() for getter in getters[1:] if getter.successful())
    assert sorted(got) == list(range(count))
    assert items.getting() == 0


# Finalisers


@pytest.mark.parametrize("make", [Queue, LifoQueue])
@pytest.mark.parametrize("maxsize", [0, 1])
def test_put_by_a_finaliser(make: type[Queue[str]], maxsize: int) -> None:
    items = make(maxsize)
    count = 300
    put = 0

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            nonlocal put
            try:
                items.put_nowait("finaliser")
            except Full:
                return
            put += 1

    def work() -> None:
        nonlocal put
        for _ in range(count):
            Cycle()
            items.put("thread", timeout=LIMIT)
            put += 1

    def count_items() -> int:
        got = 0
        while items.get(timeout=LIMIT) != "stop":
            got += 1
        return got

    threshold = gc.get_threshold()
    gc.set_threshold(3)
    try:
        getter = spawn(count_items)
        workers = [spawn(work) for _ in range(2)]
        for worker in workers:
            worker.wait(LIMIT)
    finally:
        gc.set_threshold(*threshold)
    items.put("stop", timeout=LIMIT)
    got = getter.wait(LIMIT)
    gc.collect()
    assert got + len(drained(items)) == put


def test_put_by_a_weakref_callback_wakes_the_getter() -> None:
    items: Queue[str] = Queue()

    class Thing:
        pass

    thing = Thing()
    kept = weakref.ref(thing, lambda dead: items.put("gone"))
    getter = spawn(items.get)
    sleep(0)
    del thing
    gc.collect()
    assert getter.wait(LIMIT) == "gone"
    assert kept() is None


# Priorities


class Prickly:
    """Compares by number, but lets others run meanwhile or fails."""

    def __init__(self, number: int, act: Callable[[], object] = lambda: None) -> None:
        self.number = number
        self.act = act

    def __lt__(self, other: Prickly) -> bool:
        self.act()
        other.act()
        return self.number < other.number


def test_items_whose_comparison_switches() -> None:
    items: PriorityQueue[Prickly] = PriorityQueue(4)

    def work(start: int) -> None:
        for number in range(start, start + 10):
            items.put(Prickly(number, sleep), timeout=LIMIT)

    workers = [spawn(work, start) for start in (0, 10, 20)]
    got = [items.get(timeout=LIMIT).number for _ in range(30)]
    for worker in workers:
        worker.wait(LIMIT)
    assert sorted(got) == list(range(30))


def fail() -> None:
    raise Boom


def test_a_comparison_that_fails_in_put() -> None:
    items: PriorityQueue[Prickly] = PriorityQueue(3)
    items.put(Prickly(1))
    with pytest.raises(Boom):
        items.put(Prickly(2, fail))
    assert items.qsize() == items.unfinished_tasks == 2
    assert [items.get().number, items.get().number] == [1, 2]
    for number in range(3):
        items.put_nowait(Prickly(number))
    assert items.full()


def test_a_comparison_that_fails_in_get_loses_no_item() -> None:
    items: PriorityQueue[Prickly] = PriorityQueue(3)
    things = [Prickly(number) for number in range(3)]
    for thing in things:
        items.put(thing)
    things[1].act = fail
    with pytest.raises(Boom):
        items.get()
    assert items.qsize() == 3
    things[1].act = lambda: None
    assert sorted(thing.number for thing in drained(items)) == [0, 1, 2]
    for thing in things:
        items.put_nowait(thing)
    assert items.full()


def test_a_comparison_that_fails_for_a_putter_who_waits() -> None:
    items: PriorityQueue[Prickly] = PriorityQueue(2)
    items.put(Prickly(1))
    items.put(Prickly(2))
    outcomes: list[str] = []

    def put() -> None:
        try:
            items.put(Prickly(3, fail), timeout=LIMIT)
        except Boom:
            outcomes.append("the putter's")

    putter = spawn(put)
    sleep(0)
    assert items.get().number == 1, "the getter has nothing to do with it"
    putter.wait(LIMIT)
    assert outcomes == ["the putter's"]


def test_thrown_into_while_it_waits_for_the_heap() -> None:
    items: PriorityQueue[Prickly] = PriorityQueue(2)
    items.put(Prickly(1))

    def busy() -> None:
        sleep(0)
        sleep(0)
        sleep(0)

    slow = spawn(items.put, Prickly(2, busy))
    sleep(0)
    assert items._heap_lock.locked()
    items.maxsize = 3
    assert items._slots is not None
    items._slots.append(None)
    victim = spawn(items.put, Prickly(3))
    getter = spawn(items.get)
    sleep(0)
    victim.kill()
    assert isinstance(victim.exception, GreenletExit)
    slow.wait(LIMIT)
    assert getter.wait(LIMIT).number == 1
    assert items.get().number == 2
    for _ in range(2):
        items.task_done()
    assert items.join(0), "the item of the victim still counts"
    for number in range(3):
        items.put_nowait(Prickly(number))


def test_the_heap_is_busy_when_a_getter_is_to_be_served() -> None:
    items: PriorityQueue[int] = PriorityQueue()
    getters = [spawn(items.get) for _ in range(2)]
    sleep(0)
    with items._heap_lock:
        items._buffer.append(1)
        items._settle()
    items.put(2)
    assert sorted([getter.wait(LIMIT) for getter in getters]) == [1, 2]


# Against the standard library, and against a model

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["put", "put", "put0", "get", "get", "get0", "bad put", "bad get", "done", "join"]
            + ["shutdown", "shutdown now"] * hasattr(queue, "ShutDown")
        ),
        st.integers(0, 9),
    ),
    max_size=30,
)


def step(items: Any, name: str, number: int) -> object:
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: items.put_nowait(number),
        "put0": lambda: items.put(number, timeout=0),
        "get": items.get_nowait,
        "get0": lambda: items.get(timeout=0),
        "bad put": lambda: items.put(number, timeout=-1) if items.maxsize > 0 else None,
        "bad get": lambda: items.get(timeout=-1),
        "done": items.task_done,
        "join": lambda: items.unfinished_tasks or bool(items.join()),
        "shutdown": items.shutdown if hasattr(items, "shutdown") else fail,
        "shutdown now": lambda: items.shutdown(immediate=True),
    }
    try:
        return calls[name]()
    except (Empty, Full, ShutDown, ValueError) as error:
        return type(error)


@pytest.mark.parametrize("make", CLASSES)
def test_an_item_worked_off_before_it_was_got_counts_once(make: Any) -> None:
    items = make()
    items.put(1)
    items.task_done()
    items.shutdown(immediate=True)
    assert items.unfinished_tasks == 0
    assert items.join(0)


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "PriorityQueue"])
@settings(deadline=None)
@given(maxsize=st.sampled_from([0, 1, 3]), steps=STEPS)
def test_does_what_the_standard_one_does(
    name: str, maxsize: int, steps: list[tuple[str, int]]
) -> None:
    ours: Any = {make.__name__: make for make in CLASSES}[name](maxsize)
    theirs: Any = getattr(queue, name)(maxsize)
    for action, number in steps:
        result = step(ours, action, number)
        expected = step(theirs, action, number)
        if action == "join":
            result, expected = bool(ours.unfinished_tasks), bool(theirs.unfinished_tasks)
        if {result, expected} != {ShutDown, ValueError}:  # which of two errors comes first
            assert result == expected
        assert ours.qsize() == theirs.qsize()
        assert ours.full() == theirs.full()
        assert ours.empty() == theirs.empty()
        assert ours.unfinished_tasks == theirs.unfinished_tasks


class Machine(RuleBasedStateMachine):
    """A queue of two, green threads that get and put, and what should be so."""

    def __init__(self) -> None:
        super().__init__()
        self.items: Queue[int] = Queue(2)
        self.number = 0
        self.buffer: deque[int] = deque()
        self.getters: deque[GreenThread[int]] = deque()
        self.putters: deque[tuple[GreenThread[None], int]] = deque()
        self.served: list[tuple[GreenThread[int], int]] = []
        self.admitted: list[GreenThread[None]] = []

    def next_item(self) -> int:
        self.number += 1
        return self.number

    def balance(self) -> None:
        while True:
            if self.buffer and self.getters:
                self.served.append((self.getters.popleft(), self.buffer.popleft()))
            elif self.putters and len(self.buffer) < 2:
                thread, item = self.putters.popleft()
                self.buffer.append(item)
                self.admitted.append(thread)
            else:
                return

    @rule()
    def get(self) -> None:
        self.getters.append(spawn(self.items.get))
        sleep(0)
        self.balance()

    @rule()
    def put(self) -> None:
        item = self.next_item()
        self.putters.append((spawn(self.items.put, item), item))
        sleep(0)
        self.balance()

    @rule()
    def try_get(self) -> None:
        try:
            assert self.items.get_nowait() == self.buffer.popleft()
        except Empty:
            assert not self.buffer
        self.balance()

    @rule()
    def try_put(self) -> None:
        item = self.next_item()
        try:
            self.items.put_nowait(item)
        except Full:
            assert len(self.buffer) >= 2
        else:
            self.buffer.append(item)
            self.balance()

    @precondition(lambda self: self.getters)
    @rule(data=st.data())
    def kill_a_getter(self, data: st.DataObject) -> None:
        victim = data.draw(st.sampled_from(list(self.getters)))
        self.getters.remove(victim)
        victim.kill()

    @precondition(lambda self: self.putters)
    @rule(data=st.data())
    def kill_a_putter(self, data: st.DataObject) -> None:
        victim = data.draw(st.sampled_from(list(self.putters)))
        self.putters.remove(victim)
        victim[0].kill()

    @precondition(lambda self: self.getters)
    @rule(more=st.integers(0, 2))
    def kill_the_getter_that_is_served(self, more: int) -> None:
        victim = self.getters.popleft()
        returned = self.next_item()
        self.items.put_nowait(returned)
        for _ in range(more):
            item = self.next_item()
            self.items.put_nowait(item)
            self.buffer.append(item)
            self.balance()
        victim.kill()
        assert isinstance(victim.exception, GreenletExit)
        self.buffer.appendleft(returned)
        self.balance()

    @invariant()
    def as_it_should_be(self) -> None:
        settle()
        assert list(self.items._buffer) == list(self.buffer)
        assert self.items.getting() == len(self.getters)
        assert self.items.putting() == len(self.putters)
        assert self.items.full() == (len(self.buffer) >= 2)
        for thread, item in self.served:
            assert thread.ready()
            assert thread.value == item
        assert all(thread.successful() for thread in self.admitted)
        assert not any(thread.ready() for thread in self.getters)
        assert not any(thread.ready() for thread, _ in self.putters)

    def teardown(self) -> None:
        for getter in self.getters:
            getter.kill()
        for putter, _ in self.putters:
            putter.kill()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_many_native_producers_respect_the_bound(crew: Any) -> None:
    items: Queue[int] = Queue(4)
    done = threading.Event()

    def watch() -> int:
        most = 0
        while not done.is_set():
            most = max(most, items.qsize())
        return most

    def put() -> None:
        for item in range(100):
            items.put(item, timeout=LIMIT)

    crew.start("native", watch)
    for _ in range(4):
        crew.start("native", put)
    for _ in range(400):
        items.get(timeout=LIMIT)
    done.set()
    assert crew.finish()[0] <= 4
