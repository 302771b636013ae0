from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from greenlet import GreenletExit

from greenworld.hub import (
    Condition,
    GreenThread,
    HubCallbackError,
    Lock,
    RLock,
    Semaphore,
    get_hub,
    sleep,
    spawn,
)
from greenworld.hub.timeout import Timeout

LIMIT = 20.0
KINDS = ("green", "native", "apart")
locks = pytest.mark.parametrize("make_lock", [Lock, RLock, Semaphore])


class Boom(Exception):
    pass


def notified(condition: Condition, log: list[object], name: object) -> None:
    """Wait for a notification and write down how that ended."""
    with condition:
        try:
            log.append((name, condition.wait(LIMIT)))
        except (Boom, GreenletExit, Timeout) as error:
            log.append((name, type(error)))
            raise


def waiting(condition: Condition) -> int:
    return len(condition._waiters)


def ended(thread: GreenThread[Any]) -> bool:
    return thread.join(LIMIT)


@locks
def test_wait_gives_the_lock_up_and_takes_it_again(make_lock: Callable[[], Any]) -> None:
    lock = make_lock()
    condition = Condition(lock)
    log: list[object] = []
    thread = spawn(notified, condition, log, "it")
    sleep(0)
    assert waiting(condition) == 1
    assert lock.acquire(False)
    condition.notify()
    sleep(0)
    assert log == [], "it needs the lock to go on"
    lock.release()
    assert ended(thread)
    assert log == [("it", True)]
    assert lock.acquire(False)


@locks
def test_only_with_the_lock(make_lock: Callable[[], Any]) -> None:
    condition = Condition(make_lock())
    with pytest.raises(RuntimeError, match="cannot wait on a condition whose lock is not acq"):
        condition.wait()
    with pytest.raises(RuntimeError, match="cannot notify a condition"):
        condition.notify()
    with pytest.raises(RuntimeError, match="cannot notify a condition"):
        condition.notify_all()
    with pytest.raises(RuntimeError, match="cannot wait on"):
        condition.wait_for(lambda: False)
    assert waiting(condition) == 0


def test_only_the_owner_of_an_rlock() -> None:
    condition = Condition()
    spawn(condition.acquire).join()
    with pytest.raises(RuntimeError, match="cannot notify"):
        condition.notify()


def test_the_methods_of_the_lock() -> None:
    condition = Condition()
    assert condition.acquire()
    assert condition.acquire(False)
    condition.release()
    condition.release()
    with pytest.raises(RuntimeError, match="un-acquired"):
        condition.release()
    with condition as entered:
        assert entered is True
    with pytest.raises(Boom), condition:
        raise Boom
    assert condition.acquire(False)
    condition.release()


def test_notify_in_the_order_of_waiting() -> None:
    condition = Condition()
    log: list[object] = []
    threads = [spawn(notified, condition, log, number) for number in range(6)]
    sleep(0)
    for count, expected in ((1, 1), (0, 1), (-1, 1), (2, 3)):
        with condition:
            condition.notify(count)
        sleep(0)
        sleep(0)
        assert log == [(number, True) for number in range(expected)]
    with condition:
        condition.notify_all()
        condition.notify(10)
    assert all(map(ended, threads))
    assert log == [(number, True) for number in range(6)]


def test_a_notification_to_nobody_is_not_kept() -> None:
    condition = Condition()
    with condition:
        condition.notify()
        condition.notify_all()
        assert condition.wait(0) is False


@locks
@pytest.mark.parametrize("timeout", [0, -1, 0.01])
@pytest.mark.parametrize("kind", KINDS)
def test_a_time_out_leaves_no_trace(
    make_lock: Callable[[], Any], timeout: float, kind: str, crew: Any
) -> None:
    condition = Condition(make_lock())

    def wait() -> bool:
        with condition:
            return condition.wait(timeout)

    crew.start(kind, wait)
    assert crew.finish() == [False]
    assert waiting(condition) == 0
    assert condition.acquire(False)


def test_the_depth_of_an_rlock_is_restored() -> None:
    lock = RLock()
    condition = Condition(lock)
    with condition, condition, condition:
        assert condition.wait(0) is False
        assert lock._recursion_count() == 3
        assert condition.wait(0.01) is False
        assert lock._recursion_count() == 3
    assert not lock.locked()


def test_wait_for() -> None:
    condition = Condition()
    values: list[int] = []

    def wait() -> object:
        with condition:
            return condition.wait_for(lambda: values[2:], LIMIT)

    thread = spawn(wait)
    sleep(0)
    for value in range(3):
        assert not thread.ready()
        with condition:
            values.append(value)
            condition.notify()
        sleep(0)
    assert thread.wait(LIMIT) == [2]
    with condition:
        assert condition.wait_for(lambda: "at once") == "at once"
        assert condition.wait_for(lambda: (), 0) == ()
        assert condition.wait_for(lambda: None, 0.01) is None


def test_wait_for_raises_what_the_predicate_raises() -> None:
    def predicate() -> None:
        raise Boom

    condition = Condition()
    with pytest.raises(Boom), condition:
        condition.wait_for(predicate)
    assert waiting(condition) == 0


def test_a_lock_that_cannot_be_released() -> None:
    class Stuck(Semaphore):
        __slots__ = ()

        def release(self, n: int = 1) -> None:
            raise Boom

    lock = Stuck()
    condition = Condition(lock)  # type: ignore[arg-type]
    lock.acquire()
    with pytest.raises(Boom):
        condition.wait()
    assert waiting(condition) == 0


@locks
@pytest.mark.parametrize("error", [GreenletExit(), Boom(), Timeout(None)])
def test_killed_while_waiting(make_lock: Callable[[], Any], error: BaseException) -> None:
    lock = make_lock()
    condition = Condition(lock)
    log: list[object] = []
    first = spawn(notified, condition, log, 1)
    second = spawn(notified, condition, log, 2)
    sleep(0)
    first.kill(error)
    assert log == [(1, type(error))]
    assert first.exception is error
    with condition:
        condition.notify()
    assert ended(second)
    assert log[1:] == [(2, True)]
    assert lock.acquire(False)


@locks
@pytest.mark.parametrize("error", [GreenletExit(), Boom(), Timeout(None)])
def test_killed_in_the_turn_of_the_notification(
    make_lock: Callable[[], Any], error: BaseException
) -> None:
    lock = make_lock()
    condition = Condition(lock)
    log: list[object] = []
    threads = [spawn(notified, condition, log, number) for number in (1, 2, 3)]
    sleep(0)
    with condition:
        condition.notify()
    threads[0].kill(error)
    assert ended(threads[1])
    assert log == [(1, type(error)), (2, True)]
    assert threads[0].exception is error
    assert waiting(condition) == 1
    with condition:
        condition.notify()
    assert ended(threads[2])
    assert lock.acquire(False)


@locks
@pytest.mark.parametrize("error", [GreenletExit(), Boom(), Timeout(None)])
def test_killed_while_it_takes_the_lock_again(
    make_lock: Callable[[], Any], error: BaseException
) -> None:
    lock = make_lock()
    condition = Condition(lock)
    log: list[object] = []
    threads = [spawn(notified, condition, log, number) for number in (1, 2)]
    sleep(0)
    with condition:
        condition.notify()
        sleep(0)
        threads[0].kill(error)
        assert log == [], "it must not go on without the lock"
    assert all(map(ended, threads))
    assert log == [(1, type(error)), (2, True)], "the notification is the next one's"
    assert threads[0].exception is error
    assert lock.acquire(False)


@locks
def test_killed_twice(make_lock: Callable[[], Any]) -> None:
    lock = make_lock()
    condition = Condition(lock)
    log: list[object] = []
    thread = spawn(notified, condition, log, 1)
    sleep(0)
    with condition:
        thread.kill(Boom())
        sleep(0)
        thread.kill()
        sleep(0)
        assert log == []
    assert ended(thread)
    assert log == [(1, GreenletExit)]
    assert isinstance(thread.exception, GreenletExit)
    assert lock.acquire(False)


def test_a_timeout_block_around_it() -> None:
    condition = Condition()
    holder_may_go = Semaphore(0)

    def hold() -> None:
        with condition:
            condition.notify()
            holder_may_go.acquire()

    with condition:
        holder = spawn(hold)
        get_hub().timers.start(0.03, holder_may_go.release)
        with pytest.raises(Timeout), Timeout(0.01):
            condition.wait()
        assert condition._lock._is_owned()
    assert ended(holder)


def test_a_lock_that_cannot_be_had_again(output: Callable[..., str]) -> None:
    code = """
    condition = Condition()
    def hold():
        with condition:
            Event().wait()
    thread = spawn(hold)
    try:
        condition.acquire()
        condition.wait()
    except DeadlockError as error:
        print("deadlock:", "GreenThread-" in str(error))
    os._exit(0)
    """
    assert output(code) == "deadlock: True\n"


def test_a_hub_callback_must_not_wait() -> None:
    condition = Condition()
    errors: list[BaseException] = []

    def callback() -> None:
        with condition:
            try:
                condition.wait()
            except HubCallbackError as error:
                errors.append(error)
        with condition:
            condition.notify()

    with condition:
        get_hub().post(callback)
        assert condition.wait(LIMIT) is True
    assert len(errors) == 1
    assert waiting(condition) == 0


@locks
@pytest.mark.parametrize("notifier", KINDS)
@pytest.mark.parametrize("waiter", KINDS)
def test_nothing_is_lost_between_threads(
    make_lock: Callable[[], Any], waiter: str, notifier: str, crew: Any
) -> None:
    condition = Condition(make_lock())
    items: list[int] = []
    count = 60

    def consume() -> list[int]:
        got: list[int] = []
        while len(got) < count:
            with condition:
                assert condition.wait_for(lambda: items, LIMIT)
                got.append(items.pop(0))
        return got

    def produce() -> None:
        for item in range(count):
            with condition:
                items.append(item)
                condition.notify()
            if item % 7 == 0:
                sleep(0)

    for kind, function in (
        (waiter, consume),
        (notifier, produce),
        (waiter, consume),
        (notifier, produce),
    ):
        crew.start(kind, function)
    results = crew.finish()
    assert sorted(results[0] + results[2]) == sorted([*range(count), *range(count)])
    assert waiting(condition) == 0
    assert items == []


@pytest.mark.parametrize("mix", [("green",) * 4, ("native",) * 4, KINDS * 2], ids="+".join)
def test_a_barrier_of_them(mix: tuple[str, ...], crew: Any) -> None:
    condition = Condition()
    arrived = 0

    def work() -> list[int]:
        nonlocal arrived
        seen = []
        for goal in range(1, 21):
            with condition:
                arrived += 1
                if arrived == goal * len(mix):
                    condition.notify_all()
                else:
                    assert condition.wait_for(lambda: arrived >= goal * len(mix), LIMIT)  # noqa: B023
                seen.append(arrived // len(mix))
        return seen

    for kind in mix:
        crew.start(kind, work)
    assert crew.finish() == [list(range(1, 21))] * len(mix)


@pytest.mark.parametrize(
    "make",
    [
        Condition,
        threading.Condition,
        lambda: Condition(threading.RLock()),  # type: ignore[arg-type]
        lambda: Condition(threading.Lock()),  # type: ignore[arg-type]
        lambda: threading.Condition(Lock()),  # type: ignore[arg-type]
        lambda: threading.Condition(RLock()),  # type: ignore[arg-type]
    ],
    ids=["ours", "theirs", "their RLock", "their Lock", "our Lock", "our RLock"],
)
def test_does_what_the_standard_one_does(make: Callable[[], Any], crew: Any, until: Any) -> None:
    condition = make()
    log: list[int] = []

    def wait(number: int) -> bool:
        with condition:
            result: bool = condition.wait(LIMIT)
            log.append(number)
        return result

    for number in range(4):
        crew.start("native", wait, number)
        until(lambda number=number: len(condition._waiters) == number + 1)
    for count, served in ((1, 1), (2, 3), (9, 4)):
        with condition:
            condition.notify(count)
        until(lambda served=served: len(log) == served)
    assert sorted(log[1:3]) == [1, 2]
    assert (log[0], log[3]) == (0, 3)
    assert crew.finish() == [True] * 4
    with condition:
        assert condition.wait(0) is False
        assert condition.wait(0.001) is False
        assert condition.wait_for(lambda: 7) == 7
        assert condition.wait_for(lambda: 0, 0.001) == 0
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError):
            call()


def test_what_it_looks_like() -> None:
    lock = Lock()
    condition = Condition(lock)
    assert repr(condition) == f"<Condition({lock!r}, 0)>"
    assert condition.describe_wait(None) == f"a notification of Condition at {id(condition):#x}"
