"""Native waiters: the waiter contract for an OS thread without a hub."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import pytest

from greenworld.hub.waiter import NativeWaiter

SOON = 5.0


def wake_first(lot: Any) -> None:
    lot.popleft().wake()


def test_parks_until_woken() -> None:
    lot: deque[NativeWaiter] = deque()
    waiter = NativeWaiter()
    lot.append(waiter)
    waker = threading.Thread(target=wake_first, args=(lot,))
    waker.start()
    assert waiter.park("test", lot, SOON)
    waker.join(SOON)
    assert not lot


def test_a_wake_up_before_parking_counts() -> None:
    lot: deque[NativeWaiter] = deque()
    waiter = NativeWaiter()
    for timeout in (None, SOON, 0, -1):
        lot.append(waiter)
        wake_first(lot)
        assert waiter.park("test", lot, timeout)


@pytest.mark.parametrize("timeout", [0, -1, 0.001])
def test_a_timeout_leaves_the_lot(timeout: float) -> None:
    lot: deque[NativeWaiter] = deque()
    waiter = NativeWaiter()
    lot.append(waiter)
    assert not waiter.park("test", lot, timeout)
    assert not lot


@pytest.mark.parametrize("timeout", [float("inf"), 1e18])
def test_any_length_of_time_will_do(timeout: float) -> None:
    lot: deque[NativeWaiter] = deque()
    waiter = NativeWaiter()
    lot.append(waiter)
    waker = threading.Thread(target=wake_first, args=(lot,))
    waker.start()
    assert waiter.park("test", lot, timeout)
    waker.join(SOON)


def test_a_timeout_that_is_no_number_leaves_the_lot() -> None:
    lot: deque[NativeWaiter] = deque()
    waiter = NativeWaiter()
    lot.append(waiter)
    bad: Any = "1"
    with pytest.raises(TypeError):
        waiter.park("test", lot, bad)
    assert not lot


class LateLot:
    """A lot whose waiter is taken out by somebody else the moment its time is over."""

    def __init__(self, waiter: NativeWaiter) -> None:
        self.waiter = waiter
        self.waker: threading.Thread | None = None

    def remove(self, waiter: object) -> None:
        self.waker = threading.Thread(target=self.waiter.wake)
        self.waker.start()
        raise ValueError("somebody was faster")


def test_a_timeout_that_lost_the_race_takes_the_wake_up() -> None:
    waiter = NativeWaiter()
    lot = LateLot(waiter)
    assert waiter.park("test", lot, 0.001)
    assert lot.waker is not None
    lot.waker.join(SOON)
    empty: deque[NativeWaiter] = deque([waiter])
    assert not waiter.park("test", empty, 0)  # no wake-up is left over


def test_has_a_name() -> None:
    assert str(threading.get_ident()) in NativeWaiter().name
