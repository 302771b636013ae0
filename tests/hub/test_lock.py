from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any
from weakref import ref

import pytest
from greenlet import GreenletExit, greenlet
from hypothesis import given, settings
from hypothesis import strategies as st

from greenworld.hub import HubCallbackError, Lock, RLock, get_hub, sleep, spawn
from greenworld.hub.contention import OVERTAKEN_LIMIT
from greenworld.hub.timeout import Timeout

LIMIT = 20.0
MIXES = [
    ("green", "green", "green"),
    ("green", "native"),
    ("native", "native", "native"),
    ("green", "apart"),
    ("apart", "apart"),
    ("green", "native", "apart", "green", "native", "apart"),
]
both = pytest.mark.parametrize("make", [Lock, RLock])


class Boom(Exception):
    pass


def waiters(lock: Lock) -> int:
    return len(lock._waiters)


@pytest.fixture
def _few_switches_of_os_threads() -> Iterator[None]:
    """OS threads change only where one of them blocks."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(LIMIT)
    yield
    sys.setswitchinterval(before)


@both
def test_take_and_give_up(make: type[Lock]) -> None:
    lock = make()
    assert not lock.locked()
    assert lock.acquire() is True
    assert lock.locked()
    lock.release()
    assert not lock.locked()
    with lock as entered:
        assert entered is True
        assert lock.locked()
    assert not lock.locked()


@both
def test_the_old_names(make: type[Lock]) -> None:
    lock = make()
    assert lock.acquire_lock()
    assert lock.locked_lock()
    lock.release_lock()
    assert not lock.locked()


@both
def test_given_up_when_the_block_raises(make: type[Lock]) -> None:
    lock = make()
    with pytest.raises(Boom), lock:
        raise Boom
    assert not lock.locked()


@both
@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize(
    ("blocking", "timeout", "error"),
    [
        (False, 1, ValueError),
        (False, 0, ValueError),
        (True, -2, ValueError),
        (True, -0.5, ValueError),
        (True, float("nan"), ValueError),
        (True, 1e100, OverflowError),
        (True, threading.TIMEOUT_MAX + 1, OverflowError),
    ],
)
def test_refused_time_outs(
    make: type[Lock], taken: bool, blocking: bool, timeout: float, error: type[Exception]
) -> None:
    lock = make()
    if taken:
        spawn(lock.acquire).join()
    with pytest.raises(error, match="timeout"):
        lock.acquire(blocking, timeout)
    assert lock.locked() == taken
    assert waiters(lock) == 0


@both
@pytest.mark.parametrize("timeout", [-1, -1.0, None, threading.TIMEOUT_MAX])
def test_time_outs_that_never_come(make: type[Lock], timeout: float | None) -> None:
    lock = make()
    holder = spawn(lock.acquire)
    holder.join()
    waiter = spawn(lock.acquire, True, timeout)
    sleep(0)
    assert waiters(lock) == 1
    if isinstance(lock, RLock):
        lock._owner = get_hub().main  # as if the holder had released it
    lock.release()
    assert waiter.wait(LIMIT) is True


@both
@pytest.mark.parametrize("arguments", [(False,), (True, 0), (True, 0.0)])
def test_a_try_never_switches(make: type[Lock], arguments: tuple[Any, ...]) -> None:
    lock = make()
    spawn(lock.acquire).join()
    ran: list[int] = []
    other = spawn(ran.append, 1)
    assert lock.acquire(*arguments) is False
    assert ran == []
    assert waiters(lock) == 0
    other.join()


@both
@pytest.mark.parametrize("kind", ["green", "native", "apart"])
def test_a_time_out_leaves_no_trace(make: type[Lock], kind: str, crew: Any) -> None:
    lock = make()
    lock.acquire()

    def wait() -> tuple[bool, bool]:
        start = monotonic()
        return lock.acquire(timeout=0.01), monotonic() - start >= 0.01

    crew.start(kind, wait)
    assert crew.finish() == [(False, True)]
    assert waiters(lock) == 0
    assert lock.locked()
    lock.release()
    assert not lock.locked()


@both
def test_served_in_the_order_of_waiting(make: type[Lock]) -> None:
    lock = make()
    order: list[int] = []

    def wait(number: int) -> None:
        with lock:
            order.append(number)
            sleep(0)

    lock.acquire()
    threads = [spawn(wait, number) for number in range(5)]
    sleep(0)
    assert waiters(lock) == 5
    lock.release()
    for thread in threads:
        thread.wait(LIMIT)
    assert order == [0, 1, 2, 3, 4]


@both
def test_a_hog_lets_the_other_in_each_time(make: type[Lock]) -> None:
    lock = make()
    log: list[str] = []

    def hog(name: str) -> None:
        for _ in range(5):
            with lock:
                log.append(name)
                sleep(0)

    threads = [spawn(hog, name) for name in "ab"]
    for thread in threads:
        thread.wait(LIMIT)
    assert "".join(log) == "ababababab"


@both
def test_nobody_overtakes_a_waiter_of_the_same_hub(make: type[Lock]) -> None:
    lock = make()
    lock.acquire()

    def wait() -> None:
        with lock:
            pass

    waiter = spawn(wait)
    sleep(0)
    lock.release()
    assert not waiter.ready()
    assert lock.locked()
    assert lock.acquire(False) is False
    waiter.wait(LIMIT)
    assert lock.acquire(False) is True


@both
def test_a_released_lock_is_the_waiters_before_its_time_out(make: type[Lock]) -> None:
    lock = make()
    lock.acquire()
    get_hub().timers.start(0.01, lock._free)
    assert spawn(lock.acquire, timeout=0.01).wait(LIMIT) is True
    assert lock.locked()
    assert waiters(lock) == 0


@both
def test_a_lock_released_after_the_time_out_is_free(make: type[Lock]) -> None:
    lock = make()
    lock.acquire()
    waiter = spawn(lock.acquire, timeout=0.01)
    sleep(0)
    get_hub().timers.start(0.01, lock._free)
    assert waiter.wait(LIMIT) is False
    assert lock.acquire(timeout=LIMIT)
    assert waiters(lock) == 0


@both
@pytest.mark.parametrize("error", [GreenletExit(), Boom(), Timeout(None)])
@pytest.mark.parametrize("others", [0, 1, 2])
def test_killed_in_the_turn_of_the_grant(
    make: type[Lock], error: BaseException, others: int
) -> None:
    lock = make()
    raised: list[BaseException] = []
    got: list[int] = []

    def victim() -> None:
        try:
            lock.acquire()
        except BaseException as caught:  # noqa: BLE001 - compared below
            raised.append(caught)

    def wait(number: int) -> None:
        with lock:
            got.append(number)

    lock.acquire()
    thread = spawn(victim)
    threads = [spawn(wait, number) for number in range(others)]
    sleep(0)
    lock.release()
    thread.kill(error)
    for other in threads:
        other.wait(LIMIT)
    assert raised == [error]
    assert got == list(range(others))
    assert not lock.locked()
    assert waiters(lock) == 0


@both
def test_killed_while_waiting(make: type[Lock]) -> None:
    lock = make()
    lock.acquire()
    first, second = spawn(lock.acquire), spawn(lock.acquire)
    sleep(0)
    first.kill()
    assert waiters(lock) == 1
    lock.release()
    assert second.wait(LIMIT) is True
    assert isinstance(first.exception, GreenletExit)


@both
def test_timed_out_by_a_timeout_block(make: type[Lock]) -> None:
    lock = make()
    spawn(lock.acquire).join()
    with pytest.raises(Timeout), Timeout(0.01):
        lock.acquire()
    assert waiters(lock) == 0
    assert lock.locked()


@both
@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_one_at_a_time(make: type[Lock], mix: tuple[str, ...], crew: Any) -> None:
    lock = make()
    rounds = 60
    count = 0

    def work() -> None:
        nonlocal count
        for _ in range(rounds):
            assert lock.acquire(timeout=LIMIT)
            seen = count
            sleep(0)
            count = seen + 1
            lock.release()

    for kind in mix:
        crew.start(kind, work)
    crew.finish()
    assert count == rounds * len(mix)
    assert waiters(lock) == 0
    assert not lock.locked()


@both
@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_one_at_a_time_among_those_who_give_up(
    make: type[Lock], mix: tuple[str, ...], crew: Any
) -> None:
    lock = make()
    inside: list[None] = []

    def work() -> int:
        taken = 0
        for turn in range(60):
            if lock.acquire(timeout=(0, 0.0001, LIMIT)[turn % 3]):
                inside.append(None)
                assert len(inside) == 1
                sleep(0)
                inside.pop()
                lock.release()
                taken += 1
        return taken

    for kind in mix:
        crew.start(kind, work)
    assert all(taken >= 20 for taken in crew.finish())
    assert waiters(lock) == 0
    assert not lock.locked()


@pytest.mark.usefixtures("_few_switches_of_os_threads")
def test_handed_over_after_being_overtaken_often(
    crew: Any, until: Callable[[Callable[[], object]], None]
) -> None:
    lock = Lock()
    lock.acquire()
    crew.start("native", lock.acquire, True, LIMIT)
    for _ in range(OVERTAKEN_LIMIT):
        until(lambda: waiters(lock) == 1)
        lock.release()
        assert lock.acquire(False), "it was announced to the waiter, not handed over"
    until(lambda: waiters(lock) == 1)
    lock.release()
    assert not lock.acquire(False), "it was not handed over to the waiter"
    assert crew.finish() == [True]


@both
@pytest.mark.parametrize("waiter", ["green", "native", "apart"])
def test_a_native_hog_does_not_starve_anybody(make: type[Lock], waiter: str, crew: Any) -> None:
    lock = make()
    served = threading.Event()
    hogging = threading.Event()

    def hog() -> bool:
        deadline = monotonic() + LIMIT
        while not served.is_set() and monotonic() < deadline:
            with lock:
                hogging.set()
        return served.is_set()

    def wait() -> bool:
        with lock:
            served.set()
        return True

    crew.start("native", hog)
    assert hogging.wait(LIMIT)
    crew.start(waiter, wait)
    assert crew.finish() == [True, True]


def test_anybody_may_release_a_lock(crew: Any) -> None:
    lock = Lock()
    for kind in ("green", "native", "apart"):
        lock.acquire()
        crew.start(kind, lock.release)
        assert lock.acquire(timeout=LIMIT)
        lock.release()


@both
def test_releasing_a_free_lock(make: type[Lock]) -> None:
    lock = make()
    with pytest.raises(RuntimeError, match="release un"):
        lock.release()
    assert lock.acquire(False)


@pytest.mark.parametrize("kind", ["green", "native", "apart"])
def test_only_the_owner_releases_an_rlock(kind: str, crew: Any) -> None:
    lock = RLock()

    def own() -> None:
        lock.acquire()

    crew.start(kind, own)
    crew.finish()
    with pytest.raises(RuntimeError, match=r"cannot release un-acquired lock: .+ holds it"):
        lock.release()
    with pytest.raises(RuntimeError, match="holds it"):
        lock._release_save()
    assert lock.locked()
    assert not lock._is_owned()
    assert lock._recursion_count() == 0
    assert lock.acquire(False) is False


def test_the_owner_of_an_rlock_is_named() -> None:
    lock = RLock()
    owner = spawn(lock.acquire)
    owner.name = "the culprit"
    owner.join()
    with pytest.raises(RuntimeError, match="the culprit holds it"):
        lock.release()


def test_take_an_rlock_again() -> None:
    lock = RLock()
    for count in (1, 2, 3):
        assert lock.acquire(count % 2 == 0)
        assert lock._recursion_count() == count
    assert lock._is_owned()
    for count in (2, 1, 0):
        assert lock.locked()
        lock.release()
        assert lock._recursion_count() == count
    assert not lock._is_owned()
    assert not lock.locked()


def test_save_and_restore_an_rlock() -> None:
    lock = RLock()
    lock.acquire()
    lock.acquire()
    state = lock._release_save()
    assert not lock.locked()
    assert spawn(lock.acquire, False).wait(LIMIT) is True  # somebody else may have it
    lock._at_fork_reinit()
    lock._acquire_restore(state)
    assert lock._recursion_count() == 2
    lock.release()
    lock.release()
    with pytest.raises(RuntimeError):
        lock._release_save()


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("adopted", [False, True])
@pytest.mark.parametrize("kind", ["main", "green", "native", "apart"])
def test_raw_greenlets_are_their_thread(depth: int, adopted: bool, kind: str, crew: Any) -> None:
    lock = RLock()

    def nested(level: int) -> None:
        if adopted:
            sleep(0)
        if level:
            greenlet(nested).switch(level - 1)
        else:
            assert lock.acquire(timeout=0.01)
            assert lock._recursion_count() == 2
            lock.release()
            assert lock._is_owned()

    def own() -> None:
        with lock:
            greenlet(nested).switch(depth - 1)
        assert not lock.locked()
        greenlet(lock.acquire).switch()
        lock.release()

    if kind == "main":
        own()
    else:
        crew.start(kind, own)
        crew.finish()
    assert not lock.locked()


def test_a_raw_greenlet_of_another_thread_waits() -> None:
    lock = RLock()

    def own() -> None:
        with lock:
            sleep(0)

    owner = spawn(own)
    sleep(0)
    assert lock.locked()
    assert greenlet(lock.acquire).switch(False) is False
    assert greenlet(lock.acquire).switch(True, LIMIT) is True
    assert lock._is_owned()
    assert owner.successful()
    lock.release()


def test_owned_before_the_hub_was_made(in_os_thread: Callable[[Callable[[], Any]], Any]) -> None:
    def work() -> None:
        lock = RLock()
        lock.acquire()
        get_hub()
        sleep(0)
        assert lock._is_owned()
        assert lock.acquire(False)
        assert greenlet(lock.acquire).switch(False)
        assert lock._recursion_count() == 3
        other = spawn(lock.acquire, timeout=LIMIT)
        sleep(0)
        assert not other.ready()
        for _ in range(3):
            lock.release()
        assert other.wait(LIMIT) is True

    in_os_thread(work)


def test_waiting_makes_the_hub_of_the_owner(output: Callable[..., str]) -> None:
    code = """
    lock, ready = RLock(), _thread.allocate_lock()
    ready.acquire()
    def hold():
        with lock:
            ready.release()
            while not lock._waiters:
                pass
    threading.Thread(target=hold).start()
    ready.acquire()
    print(has_hub(), lock.acquire(timeout=20), has_hub(), lock._is_owned())
    lock.release()
    """
    assert output(code) == "False True True True\n"


def test_an_ended_owner_is_nobody_else(crew: Any) -> None:
    lock = RLock()
    crew.start("native", lock.acquire)
    crew.finish()
    crew.start("native", lambda: (lock._is_owned(), lock.acquire(False)))
    assert crew.finish()[1] == (False, False)


@both
def test_free_after_a_fork(make: type[Lock]) -> None:
    lock = make()
    spawn(lock.acquire).join()
    waiter = spawn(lock.acquire, timeout=0.01)
    sleep(0)
    lock._at_fork_reinit()
    assert not lock.locked()
    assert waiters(lock) == 0
    assert lock.acquire(False)
    lock.release()
    assert waiter.wait(LIMIT) is False


@both
def test_a_hub_callback_must_not_wait(make: type[Lock]) -> None:
    lock = make()
    lock.acquire()
    seen: list[object] = []

    def callback() -> None:
        seen.append(lock.acquire(False))
        try:
            lock.acquire()
        except HubCallbackError as error:
            seen.append(error)

    get_hub().post(callback)
    sleep(0)
    assert seen[0] is False
    assert isinstance(seen[1], HubCallbackError)
    assert waiters(lock) == 0
    lock.release()
    assert not lock.locked()


def test_a_hub_callback_may_release() -> None:
    lock = Lock()
    lock.acquire()
    get_hub().post(lock.release)
    assert lock.acquire(timeout=LIMIT)


def test_the_holder_is_told_to_reports() -> None:
    lock = Lock()
    assert list(lock.holders()) == []
    holder = spawn(lock.acquire)
    holder.join()
    assert list(lock.holders()) == [holder]
    lock.release()
    assert list(lock.holders()) == []
    assert "Lock at 0x" in lock.describe_wait(None)


@both
def test_what_it_looks_like(make: type[Lock]) -> None:
    lock = make()
    name = make.__name__
    assert repr(lock).startswith(f"<unlocked greenworld.hub.lock.{name} object at 0x")
    with lock:
        assert repr(lock).startswith(f"<locked greenworld.hub.lock.{name} object at 0x")
    assert ref(lock)() is lock


@both
@pytest.mark.parametrize("kind", ["native", "apart"])
def test_inside_the_standard_condition(make: type[Lock], kind: str, crew: Any) -> None:
    condition = threading.Condition(make())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        condition.notify()
    with condition:
        assert condition.wait(0) is False
        assert condition.wait_for(lambda: True)
    items: list[int] = []

    def consume() -> list[int]:
        got = []
        for _ in range(20):
            with condition:
                assert condition.wait_for(lambda: items, LIMIT)
                got.append(items.pop(0))
        return got

    def produce() -> None:
        for item in range(20):
            with condition:
                items.append(item)
                condition.notify()

    crew.start("native", consume)
    crew.start(kind, produce)
    assert crew.finish()[0] == list(range(20))


def test_finalisers_may_take_locks_until_the_very_end(output: Callable[..., str]) -> None:
    out = output("""
        import builtins, os
        class Last:
            def __del__(self, write=os.write, kinds=(Lock, RLock, Semaphore, Condition)):
                for kind in kinds:
                    with kind():
                        write(1, b"taken\\n")
        builtins.last = Last()
        sleep(0)
        """)
    assert out == "taken\n" * 4


STEPS = st.lists(st.sampled_from(["try", "poll", "release", "locked", "bad", "enter"]), max_size=20)


def step(lock: Any, name: str) -> object:
    try:
        if name == "try":
            return lock.acquire(False)
        if name == "poll":
            return lock.acquire(timeout=0)
        if name == "bad":
            return lock.acquire(False, 1)
        if name == "enter":
            return lock.acquire(False) and lock.__exit__(None, None, None)
        return lock.release() if name == "release" else None
    except (RuntimeError, ValueError) as error:
        return type(error)


@settings(deadline=None)
@given(STEPS)
def test_does_what_the_standard_lock_does(steps: list[str]) -> None:
    ours, theirs = Lock(), threading.Lock()
    for name in steps:
        assert step(ours, name) == step(theirs, name)
        assert ours.locked() == theirs.locked()


@settings(deadline=None)
@given(STEPS)
def test_does_what_the_standard_rlock_does(steps: list[str]) -> None:
    ours, theirs = RLock(), threading.RLock()
    for name in steps:
        assert step(ours, name) == step(theirs, name)
        assert ours._is_owned() == theirs._is_owned()  # type: ignore[attr-defined]
