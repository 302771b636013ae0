"""`time.sleep`: lets others run, and says no as the original does."""

from __future__ import annotations

import threading
import time as stdlib_time
from typing import Any

import pytest

from greenworld.patches import time


def test_offers_every_public_name_of_the_original() -> None:
    assert [n for n in dir(stdlib_time) if not n.startswith("_") and not hasattr(time, n)] == []
    assert time.monotonic is stdlib_time.monotonic


def test_others_run_meanwhile(start: Any) -> None:
    order: list[str] = []

    def work(seconds: float, name: str) -> None:
        time.sleep(seconds)
        order.append(name)

    start(work, 0.002, "slow")
    start(work, 0.001, "quick")
    start(work, 0, "at once")
    for thread in start.threads:
        thread.wait(20)
    assert order == ["at once", "quick", "slow"]


def test_never_too_short() -> None:
    for seconds in (0.0, 0.001, 0.0105, True):
        if seconds is not True:
            begin = stdlib_time.monotonic()
            time.sleep(seconds)
            assert stdlib_time.monotonic() - begin >= seconds


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf"), 1e300, "1", None, 1j])
def test_refuses_what_the_original_refuses(seconds: Any) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)) as original:
        stdlib_time.sleep(seconds)
    with pytest.raises(original.type):
        time.sleep(seconds)


def test_accepts_what_the_original_accepts() -> None:
    class Index:
        def __index__(self) -> int:
            return 0

    class Float(float):
        pass

    for seconds in (Index(), Float(0.0), False):
        stdlib_time.sleep(seconds)
        time.sleep(seconds)


def test_in_a_native_thread() -> None:
    done: list[int] = []

    def run() -> None:
        time.sleep(0.001)
        done.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert done == [1]
