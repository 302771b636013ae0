"""Finalisers that wait, wherever the garbage collector strikes; the hub's callbacks must not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenworld.hub import HubCallbackError, Lock, RLock, get_hub, sleep, spawn

if TYPE_CHECKING:
    import pytest

LIMIT = 20.0


class Finalised:
    """Calls a function when it goes."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __del__(self) -> None:
        self.function()


def in_finaliser_on_the_hub(function: Any) -> None:
    """Have `function()` run in a finaliser that strikes the hub's greenlet."""
    items = [Finalised(function)]
    get_hub().post(items.clear)


def test_one_on_the_hub_waits_and_the_others_run() -> None:
    lock, log = RLock(), list[str]()

    def hold() -> None:
        with lock:
            in_finaliser_on_the_hub(note)
            for _ in range(5):
                sleep(0.0001)
                log.append("held")

    def note() -> None:
        with lock:
            log.append("finalised")

    threads = [spawn(hold), spawn(sleep, 0.001)]
    for thread in threads:
        thread.wait(LIMIT)
    with lock:
        assert log == ["held"] * 5 + ["finalised"]


def test_one_on_the_hub_may_sleep_and_time_out() -> None:
    log: list[Any] = []
    lock = Lock()
    lock.acquire()

    def note() -> None:
        sleep(0)
        sleep(0.0001)
        log.append(lock.acquire(timeout=0.0001))

    in_finaliser_on_the_hub(note)
    for _ in range(1000):
        sleep(0.001)
        if log:
            break
    assert log == [False]


def test_a_callback_is_still_refused() -> None:
    lock, seen = Lock(), list[type[BaseException]]()
    lock.acquire()

    def wait() -> None:
        try:
            lock.acquire()
        except HubCallbackError as error:
            seen.append(type(error))

    get_hub().post(wait)
    sleep(0.001)
    assert seen == [HubCallbackError]


def test_one_that_strikes_its_own_thread_taking_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the step that takes a re-entrant lock and the one that notes its owner."""
    lock, log = RLock(), list[str]()

    class Permits(list[None]):
        def pop(self, index: Any = -1) -> None:
            super().pop(index)
            if not log:
                log.append("struck")
                with lock:
                    log.append("finalised")

    monkeypatch.setattr(lock, "_permits", Permits([None]))
    with lock:
        assert spawn(lock.acquire, False).wait(LIMIT) is False
        log.append("taken")
    assert log == ["struck", "finalised", "taken"]
    assert spawn(lock.acquire, False).wait(LIMIT) is True
