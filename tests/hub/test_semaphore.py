from __future__ import annotations

import threading
import tracemalloc
from collections import deque
from time import monotonic
from typing import Any
from weakref import ref

import pytest
from greenlet import GreenletExit
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greenworld.hub import (
    BoundedSemaphore,
    GreenThread,
    HubCallbackError,
    Semaphore,
    get_hub,
    sleep,
    spawn,
)
from greenworld.hub.timeout import Timeout

LIMIT = 20.0
MIXES = [
    ("green",) * 4,
    ("native",) * 4,
    ("apart",) * 3,
    ("green", "native", "green", "native"),
    ("green", "native", "apart", "green", "native", "apart"),
]
both = pytest.mark.parametrize("make", [Semaphore, BoundedSemaphore])


class Boom(Exception):
    pass


@both
def test_take_and_release(make: type[Semaphore]) -> None:
    semaphore = make(2)
    assert semaphore.acquire() is True
    assert semaphore.acquire(blocking=True, timeout=1) is True
    assert semaphore.acquire(False) is False
    assert semaphore.locked()
    semaphore.release()
    assert not semaphore.locked()
    assert semaphore.acquire(False) is True


@both
def test_one_permit_unless_told(make: type[Semaphore]) -> None:
    assert make().counter == 1


@both
@pytest.mark.parametrize("value", [-1, -100])
def test_a_negative_number_of_permits(make: type[Semaphore], value: int) -> None:
    with pytest.raises(ValueError, match=f"cannot start with {value} permits"):
        make(value)


@both
def test_a_block(make: type[Semaphore]) -> None:
    semaphore = make()
    with semaphore as entered:
        assert entered is True
        assert semaphore.counter == 0
    assert semaphore.counter == 1
    with pytest.raises(Boom), semaphore:
        raise Boom
    assert semaphore.counter == 1


@both
@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("timeout", [0, 1, -1])
def test_no_time_out_without_blocking(make: type[Semaphore], value: int, timeout: int) -> None:
    semaphore = make(value)
    with pytest.raises(ValueError, match="timeout for a non-blocking acquire"):
        semaphore.acquire(False, timeout)
    assert semaphore.counter == value


@both
@pytest.mark.parametrize("timeout", [0, 0.0, -1])
def test_a_time_out_of_nothing_is_one_try(make: type[Semaphore], timeout: float) -> None:
    semaphore = make()
    ran: list[int] = []
    other = spawn(ran.append, 1)
    assert semaphore.acquire(timeout=timeout) is True
    assert semaphore.acquire(timeout=timeout) is False
    assert ran == []
    assert semaphore.balance == 0
    other.join()


@both
@pytest.mark.parametrize("kind", ["green", "native", "apart"])
def test_a_time_out_leaves_no_trace(make: type[Semaphore], kind: str, crew: Any) -> None:
    semaphore = make(1)
    semaphore.acquire()

    def wait() -> tuple[bool, bool]:
        start = monotonic()
        return semaphore.acquire(timeout=0.01), monotonic() - start >= 0.01

    crew.start(kind, wait)
    assert crew.finish() == [(False, True)]
    assert semaphore.balance == 0
    semaphore.release()
    assert semaphore.counter == 1


@pytest.mark.parametrize("value", [0, 1, 15, 16, 17, 1000])
def test_every_permit_once(value: int) -> None:
    semaphore = Semaphore(value)
    for left in reversed(range(value)):
        assert semaphore.acquire()
        assert semaphore.counter == left
    assert semaphore.locked()
    assert semaphore.acquire(False) is False
    semaphore.release()
    assert semaphore.counter == 1


def test_a_milliard_permits_cost_nothing() -> None:
    tracemalloc.start()
    try:
        semaphore = Semaphore(10**9)
        for _ in range(100):
            semaphore.acquire()
        assert semaphore.counter == 10**9 - 100
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()


def test_balance_counts_the_waiters() -> None:
    semaphore = Semaphore(1)
    assert semaphore.balance == 1
    semaphore.acquire()
    threads = [spawn(semaphore.acquire) for _ in range(3)]
    sleep(0)
    assert semaphore.balance == -3
    assert semaphore.counter == 0
    semaphore.release(3)
    for thread in threads:
        assert thread.wait(LIMIT) is True
    assert semaphore.balance == 0


@both
@pytest.mark.parametrize("count", [0, -1])
def test_release_of_no_permits(make: type[Semaphore], count: int) -> None:
    semaphore = make(1)
    semaphore.acquire()
    with pytest.raises(ValueError, match=f"cannot release {count} permits"):
        semaphore.release(count)
    assert semaphore.counter == 0


def test_release_of_many() -> None:
    semaphore = Semaphore(0)
    order: list[int] = []

    def wait(number: int) -> None:
        semaphore.acquire()
        order.append(number)

    threads = [spawn(wait, number) for number in range(5)]
    sleep(0)
    semaphore.release(3)
    sleep(0)
    assert order == [0, 1, 2]
    semaphore.release(n=4)
    for thread in threads:
        thread.wait(LIMIT)
    assert order == [0, 1, 2, 3, 4]
    assert semaphore.counter == 2


def test_a_bounded_semaphore_refuses_too_many() -> None:
    semaphore = BoundedSemaphore(2)
    assert semaphore.bounded()
    assert not Semaphore().bounded()
    for count in (1, 2):
        with pytest.raises(ValueError, match="released too often: it started with 2"):
            semaphore.release(count)
    semaphore.acquire()
    with pytest.raises(ValueError, match="released too often"):
        semaphore.release(2)
    assert semaphore.counter == 1
    semaphore.release()
    assert semaphore.counter == 2
    with pytest.raises(ValueError, match="released too often"), semaphore:
        semaphore.release()
    assert semaphore.counter == 2


@both
def test_a_hog_lets_the_other_in_each_time(make: type[Semaphore]) -> None:
    semaphore = make(1)
    log: list[str] = []

    def hog(name: str) -> None:
        for _ in range(5):
            with semaphore:
                log.append(name)
                sleep(0)

    threads = [spawn(hog, name) for name in "abc"]
    for thread in threads:
        thread.wait(LIMIT)
    assert "".join(log) == "abc" * 5


@both
@pytest.mark.parametrize("error", [GreenletExit(), Boom(), Timeout(None)])
def test_killed_in_the_turn_of_the_grant(make: type[Semaphore], error: BaseException) -> None:
    semaphore = make(2)
    raised: list[BaseException] = []

    def victim() -> None:
        try:
            semaphore.acquire()
        except BaseException as caught:  # noqa: BLE001 - compared below
            raised.append(caught)

    semaphore.acquire()
    semaphore.acquire()
    victims = [spawn(victim), spawn(victim)]
    heir = spawn(semaphore.acquire)
    sleep(0)
    semaphore.release(2)
    for thread in victims:
        thread.throw(error)
    assert heir.wait(LIMIT) is True
    assert raised == [error, error]
    assert semaphore.balance == 1


@both
def test_killed_while_waiting(make: type[Semaphore]) -> None:
    semaphore = make(1)
    semaphore.acquire()
    thread = spawn(semaphore.acquire)
    sleep(0)
    thread.kill()
    assert semaphore.balance == 0
    with pytest.raises(Timeout), Timeout(0.01):
        semaphore.acquire()
    assert semaphore.balance == 0


@both
@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_never_more_inside_than_permits(
    make: type[Semaphore], mix: tuple[str, ...], crew: Any
) -> None:
    semaphore = make(2)
    inside: list[None] = []

    def work() -> int:
        most = 0
        for turn in range(60):
            if semaphore.acquire(timeout=(LIMIT, 0.0001, None)[turn % 3]):
                inside.append(None)
                sleep(0)
                most = max(most, len(inside))
                inside.pop()
                semaphore.release()
        return most

    for kind in mix:
        crew.start(kind, work)
    assert set(crew.finish()) <= {1, 2}
    assert semaphore.balance == 2


@pytest.mark.parametrize("waiter", ["green", "native", "apart"])
@pytest.mark.parametrize("releaser", ["green", "native", "apart"])
def test_every_release_lets_one_in(waiter: str, releaser: str, crew: Any) -> None:
    semaphore = Semaphore(0)

    def take() -> int:
        return sum(semaphore.acquire(timeout=LIMIT) for _ in range(100))

    def give() -> None:
        for turn in range(200):
            semaphore.release()
            if turn % 16 == 0:
                sleep(0)

    crew.start(waiter, take)
    crew.start(releaser, give)
    crew.start(waiter, take)
    assert crew.finish() == [100, None, 100]
    assert semaphore.balance == 0


@both
def test_a_hub_callback_may_release_but_not_wait(make: type[Semaphore]) -> None:
    semaphore = make(1)
    semaphore.acquire()
    seen: list[object] = []

    def callback() -> None:
        try:
            semaphore.acquire()
        except HubCallbackError as error:
            seen.append(error)
        semaphore.release()

    get_hub().post(callback)
    assert semaphore.acquire(timeout=LIMIT)
    assert isinstance(seen[0], HubCallbackError)
    assert semaphore.balance == 0


@both
def test_what_it_looks_like(make: type[Semaphore]) -> None:
    semaphore = make(3)
    assert repr(semaphore).startswith(f"<{make.__name__} at 0x")
    assert repr(semaphore).endswith(": 3 free, 0 waiting>")
    assert semaphore.describe_wait(None) == f"a permit of {semaphore!r}"
    assert ref(semaphore)() is semaphore


def step(semaphore: Any, name: str, number: int) -> object:
    try:
        if name == "release":
            return semaphore.release(number)
        if name == "try":
            return semaphore.acquire(False)
        if name == "poll":
            return semaphore.acquire(timeout=0)
        return semaphore.acquire(False, number)
    except ValueError as error:
        return type(error)


@settings(deadline=None)
@given(
    st.integers(0, 20),
    st.lists(
        st.tuples(st.sampled_from(["release", "try", "poll", "bad"]), st.integers(-1, 3)),
        max_size=30,
    ),
)
def test_does_what_the_standard_ones_do(value: int, steps: list[tuple[str, int]]) -> None:
    pairs: list[tuple[Any, Any]] = [
        (Semaphore(value), threading.Semaphore(value)),
        (BoundedSemaphore(value), threading.BoundedSemaphore(value)),
    ]
    for name, number in steps:
        for ours, theirs in pairs:
            assert step(ours, name, number) == step(theirs, name, number)
            assert ours.counter == theirs._value


class Machine(RuleBasedStateMachine):
    """A semaphore, green threads that wait for it, and what should be so."""

    def __init__(self) -> None:
        super().__init__()
        self.semaphore = Semaphore(2)
        self.free = 2
        self.waiting: deque[GreenThread[bool]] = deque()
        self.granted: list[GreenThread[bool]] = []

    @rule()
    def acquire(self) -> None:
        thread = spawn(self.semaphore.acquire)
        sleep(0)
        if self.free:
            self.free -= 1
            self.granted.append(thread)
        else:
            self.waiting.append(thread)

    @rule()
    def try_acquire(self) -> None:
        got = self.semaphore.acquire(False)
        assert got == (self.free > 0)
        self.free -= got

    @rule(count=st.integers(1, 3))
    def release(self, count: int) -> None:
        self.semaphore.release(count)
        for _ in range(count):
            if self.waiting:
                self.granted.append(self.waiting.popleft())
            else:
                self.free += 1
        sleep(0)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def kill_one_who_waits(self, data: st.DataObject) -> None:
        victim = data.draw(st.sampled_from(list(self.waiting)))
        self.waiting.remove(victim)
        victim.kill()
        assert isinstance(victim.exception, GreenletExit)

    @precondition(lambda self: self.waiting)
    @rule()
    def kill_the_one_who_is_let_in(self) -> None:
        victim = self.waiting.popleft()
        self.semaphore.release()
        victim.kill()
        assert isinstance(victim.exception, GreenletExit)
        if self.waiting:
            self.granted.append(self.waiting.popleft())
        else:
            self.free += 1
        sleep(0)

    @invariant()
    def as_it_should_be(self) -> None:
        assert self.semaphore.counter == self.free
        assert self.semaphore.balance == self.free - len(self.waiting)
        assert all(thread.ready() and thread.value is True for thread in self.granted)
        assert not any(thread.ready() for thread in self.waiting)

    def teardown(self) -> None:
        for thread in self.waiting:
            thread.kill()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
