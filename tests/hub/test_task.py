"""Parking, waking, time-outs and throwing: the two ways in which a wait ends (rule 3.6)."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from greenworld.hub import get_hub, getcurrent, sleep, spawn
from greenworld.hub.current import current_waiter
from greenworld.hub.task import Task

OnHub = Callable[[Callable[[], Any]], Any]
Lot = deque[Any]
SOON = 5.0
LONG = 1000.0


class What:
    """Something to wait for."""


def park(lot: Lot, timeout: float | None = None) -> bool:
    waiter = current_waiter()
    lot.append(waiter)
    return waiter.park(What(), lot, timeout)


def wake_first(lot: Lot) -> None:
    lot.popleft().wake()


@pytest.fixture
def lot() -> Lot:
    return deque()


def test_parks_until_woken(lot: Lot) -> None:
    thread = spawn(park, lot)
    sleep(0)
    assert not thread.dead
    wake_first(lot)
    assert thread.wait(SOON) is True


@pytest.mark.parametrize("timeout", [SOON, 0, -1])
def test_a_wake_up_before_parking_counts(lot: Lot, timeout: float) -> None:
    main = current_waiter()
    lot.append(main)
    wake_first(lot)
    assert main.park(What(), lot, timeout)


@pytest.mark.parametrize("timeout", [0.0001, 0, -1])
def test_a_time_out_leaves_the_lot(on_hub: OnHub, lot: Lot, timeout: float) -> None:
    def wait() -> tuple[bool, int]:
        outcome = spawn(park, lot, timeout).wait(SOON)
        return outcome, len(get_hub().timers) - 1  # the one of this wait is cancelled by now

    outcome, timers = on_hub(wait)
    assert outcome is False
    assert timers <= 0
    assert not lot


def test_a_wake_up_cancels_the_time_out(lot: Lot) -> None:
    thread = spawn(park, lot, LONG)
    sleep(0)
    assert len(get_hub().timers) == 1
    wake_first(lot)
    assert thread.wait(SOON)
    assert len(get_hub().timers) == 0


def test_a_time_out_that_finds_the_waiter_gone_leaves_it_to_the_waker(lot: Lot) -> None:
    thread = spawn(park, lot, 0.0001)
    sleep(0)
    taken = lot.popleft()
    sleep(0.001)  # its time is over, but whoever took it out has yet to wake it
    assert not thread.dead
    taken.wake()
    assert thread.wait(SOON) is True


def test_a_throw_that_finds_the_waiter_gone_is_delivered_with_the_wake_up(lot: Lot) -> None:
    caught: list[str] = []

    def wait() -> None:
        try:
            park(lot)
        except LookupError as error:
            caught.append(str(error))
        park(lot)

    thread: Any = spawn(wait)
    sleep(0)
    taken = lot.popleft()
    thread.throw(LookupError("thrown"))
    sleep(0)
    assert caught == []
    taken.wake()
    sleep(0)
    assert caught == ["thrown"]
    wake_first(lot)
    assert thread.join(SOON)


def test_a_throw_takes_the_waiter_out(lot: Lot) -> None:
    thread: Any = spawn(park, lot, LONG)
    sleep(0)
    thread.kill()
    assert not lot
    assert thread.dead
    assert len(get_hub().timers) == 0


def test_a_waiter_woken_and_timed_out_in_one_poll_is_resumed_once(lot: Lot) -> None:
    resumed: list[bool] = []

    def wait() -> None:
        # Started first and shorter: however late the poll is, this one is due before the time-out.
        get_hub().timers.start(0.00005, lambda: wake_first(lot))
        resumed.append(park(lot, 0.0001))
        park(lot)
        resumed.append(True)

    thread = spawn(wait)
    sleep(0)
    both_due = monotonic() + 0.001
    while monotonic() < both_due:
        pass
    while not resumed:
        sleep(0.0001)
    sleep(0.001)
    assert resumed == [True]
    wake_first(lot)
    assert thread.join(SOON)


def test_what_is_waited_for_is_recorded(lot: Lot) -> None:
    what = What()

    def wait() -> None:
        waiter = current_waiter()
        lot.append(waiter)
        waiter.park(what, lot)

    thread = spawn(wait)
    sleep(0)
    assert (thread.waiting_on, thread.lot) == (what, lot)
    wake_first(lot)
    thread.join(SOON)
    assert (thread.waiting_on, thread.lot) == (None, None)


def test_native_threads_wake_green_threads(on_hub: OnHub) -> None:
    """Every wake-up from anywhere is one resumption, in any interleaving."""

    def run() -> tuple[int, int]:
        lot: Lot = deque()
        rounds, parkers = 300, 4
        woken = 0

        def wait() -> None:
            nonlocal woken
            for _ in range(rounds):
                assert park(lot, SOON)
                woken += 1

        def wake() -> None:
            left = rounds * parkers // 2
            while left:
                try:
                    waiter = lot.popleft()
                except IndexError:
                    stop.wait(0.00001)
                else:
                    waiter.wake()
                    left -= 1

        stop = threading.Event()
        threads = [spawn(wait) for _ in range(parkers)]
        natives = [threading.Thread(target=wake) for _ in range(2)]
        for native in natives:
            native.start()
        for thread in threads:
            thread.wait(SOON)
        for native in natives:
            native.join(SOON)
        return woken, len(lot)

    assert on_hub(run) == (1200, 0)


def test_time_outs_against_wake_ups_of_native_threads(on_hub: OnHub) -> None:
    """Woken and timed out together: the outcome says who took the waiter out."""

    def run() -> bool:
        lot: Lot = deque()
        stop = threading.Event()
        taken = 0

        def wake() -> None:
            nonlocal taken
            while not stop.wait(0.0001):
                try:
                    waiter = lot.popleft()
                except IndexError:
                    continue
                taken += 1
                waiter.wake()

        native = threading.Thread(target=wake)
        native.start()
        woken = 0
        for number in range(300):
            woken += spawn(park, lot, 0.0001 * (number % 4)).wait(SOON)
        stop.set()
        native.join(SOON)
        return woken == taken

    assert on_hub(run)


# Signal handlers of the user's that raise, whatever they interrupt


class Alarm(Exception):
    """What the handler raises."""


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    def handler(number: int, frame: object) -> None:
        raise Alarm

    previous = signal.signal(signal.SIGALRM, handler)

    def start(seconds: float) -> None:
        # Again later: what a handler raises inside a finaliser or a timer's callback ends there.
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.05)

    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def test_a_handler_that_raises_ends_mains_wait(alarm: Callable[[float], None], lot: Lot) -> None:
    def after(wait: Callable[[], object]) -> None:
        alarm(0.002)
        wait()

    for wait in (lambda: park(lot), lambda: park(lot, LONG), lambda: sleep(LONG)):
        with pytest.raises(Alarm):
            after(wait)
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert not lot
    assert len(get_hub().timers) == 0
    sleep(0)


def test_a_handler_that_raises_leaves_no_stale_entry(alarm: Callable[[float], None]) -> None:
    hub = get_hub()

    def spin() -> None:
        alarm(0.0005)
        while True:
            sleep(0)

    for _ in range(20):
        with pytest.raises(Alarm):
            spin()
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert hub.main not in hub.ready


def test_main_is_a_task_too() -> None:
    main = getcurrent()
    assert isinstance(main, Task)
    assert main is get_hub().main
    assert main.name == "main"
