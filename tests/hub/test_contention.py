from __future__ import annotations

import threading
from typing import Any

from greenlet import GreenletExit

from greenworld.hub import Semaphore, get_hub, sleep, spawn
from greenworld.hub.contention import Contended
from greenworld.hub.waiter import wake_all, withdrawn

LIMIT = 20.0


class Token(Contended):
    """One token. May be told that another OS thread is just about to wake the next waiter."""

    __slots__ = ("waker_is_busy",)

    def __init__(self) -> None:
        super().__init__([])
        self.waker_is_busy = False

    def _take(self) -> bool:
        if self.waker_is_busy:
            self.waker_is_busy = False
            waiter = self._waiters.popleft()
            get_hub().timers.start(0, waiter.wake)
            return True
        return super()._take()


def from_elsewhere(release: Any) -> None:
    """Call it in another OS thread, while no green thread of this one can run."""
    thread = threading.Thread(target=release)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive()


def wait_for(token: Contended, log: list[object], name: str, timeout: float | None = LIMIT) -> None:
    log.append((name, token._wait_turn(timeout)))


def test_withdrawn() -> None:
    lot = [1, 2]
    assert withdrawn(lot, 2)
    assert not withdrawn(lot, 2)
    assert lot == [1]


def test_wake_all_in_order() -> None:
    woken: list[str] = []

    class Sleeper:
        def __init__(self, name: str) -> None:
            self.name = name

        def wake(self) -> None:
            woken.append(self.name)

    lot = [Sleeper(name) for name in "abc"]
    wake_all(lot)
    assert woken == ["a", "b", "c"]
    assert lot == []


def test_wake_all_when_the_last_one_has_just_gone() -> None:
    class Leaky(list[object]):
        def __bool__(self) -> bool:
            return True  # it was still there when it was looked for

    wake_all(Leaky())


def test_a_permit_is_there_once() -> None:
    permits = Contended([None])
    assert permits._take()
    assert not permits._take()
    permits._free()
    assert permits._take()


def test_taken_at_the_second_look() -> None:
    token = Token()
    token._permits.append(None)
    assert token._wait_turn(None)
    assert not token._permits
    assert not token._waiters


def test_taken_while_a_wake_up_is_on_its_way() -> None:
    token = Token()
    token.waker_is_busy = True
    assert token._wait_turn(None)
    assert not token._permits
    # That wake-up is used up: the next wait is not ended by it.
    assert token._wait_turn(0.01) is False


def test_the_wake_up_that_was_not_needed_is_passed_on() -> None:
    log: list[object] = []
    token = Token()

    def first() -> None:
        token.waker_is_busy = True
        wait_for(token, log, "first")
        token._free()

    threads = [spawn(first), spawn(wait_for, token, log, "second")]
    for thread in threads:
        thread.wait(LIMIT)
    assert log == [("first", True), ("second", True)]


def test_thrown_into_while_a_wake_up_is_on_its_way() -> None:
    token = Token()
    token.waker_is_busy = True
    thread = spawn(token._wait_turn, None)
    sleep(0)
    thread.kill()
    assert thread.join(LIMIT)
    assert isinstance(thread.exception, GreenletExit)
    assert token._permits, "what it had taken is lost"


def test_killed_after_an_announcement() -> None:
    semaphore = Semaphore(0)
    log: list[object] = []
    first = spawn(wait_for, semaphore, log, "first")
    second = spawn(wait_for, semaphore, log, "second")
    sleep(0)
    from_elsewhere(semaphore.release)
    first.kill()
    second.wait(LIMIT)
    assert log == [("second", True)]
    assert semaphore.counter == 0


def test_killed_after_an_announcement_when_nobody_else_waits() -> None:
    semaphore = Semaphore(0)
    thread = spawn(semaphore.acquire)
    sleep(0)
    from_elsewhere(semaphore.release)
    thread.kill()
    assert semaphore.counter == 1


def test_overtaken_after_an_announcement_it_is_still_the_first() -> None:
    semaphore = Semaphore(0)
    log: list[object] = []
    threads = [spawn(wait_for, semaphore, log, name) for name in ("first", "second")]
    sleep(0)
    from_elsewhere(semaphore.release)
    assert semaphore.acquire(False), "an announced permit is anybody's (rule 6.2)"
    sleep(0)
    assert log == []
    assert len(semaphore._waiters) == 2
    semaphore.release()
    semaphore.release()
    for thread in threads:
        thread.wait(LIMIT)
    assert log == [("first", True), ("second", True)]


def test_overtaken_after_an_announcement_it_still_times_out() -> None:
    semaphore = Semaphore(0)
    log: list[object] = []
    thread = spawn(wait_for, semaphore, log, "first", 0.01)
    sleep(0)
    from_elsewhere(semaphore.release)
    assert semaphore.acquire(False)
    thread.wait(LIMIT)
    assert log == [("first", False)]
    assert not semaphore._waiters
