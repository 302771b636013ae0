"""Timers against a list, lanes and their bounds, and real sleeps that never end early."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenworld.hub import get_hub, sleep, spawn
from greenworld.hub.timers import MAX_LANES, SWEEP_ABOVE, Timer, Timers

INFINITY = float("inf")
OnHub = Callable[[Callable[[], Any]], Any]
SOON = 5.0


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timers(clock: Clock) -> Timers:
    return Timers(clock)


def ignore() -> None:
    """A callback."""


# Starting, firing, cancelling


def test_fires_when_the_time_has_come_and_once(timers: Timers, clock: Clock) -> None:
    fired: list[str] = []
    timers.start(5, lambda: fired.append("timer"))
    clock.now += 4.999
    timers.fire()
    assert fired == []
    clock.now += 0.001
    timers.fire()
    timers.fire()
    assert fired == ["timer"]
    assert len(timers) == 0
    assert timers.timeout() is None


def test_fires_in_the_order_of_deadlines(timers: Timers, clock: Clock) -> None:
    fired: list[float] = []
    for seconds in (3.0, 1.0, 2.0, 1.0, 0.5):
        timers.start(seconds, lambda seconds=seconds: fired.append(seconds))  # type: ignore[misc]
    clock.now += 10
    timers.fire()
    assert fired == [0.5, 1.0, 1.0, 2.0, 3.0]


def test_equal_deadlines_fire_in_the_order_of_their_start(timers: Timers, clock: Clock) -> None:
    fired: list[int] = []
    for number in range(10):
        timers.start(1, lambda number=number: fired.append(number))  # type: ignore[misc]
    clock.now += 1
    timers.fire()
    assert fired == list(range(10))


def test_a_cancelled_timer_does_not_fire(timers: Timers, clock: Clock) -> None:
    fired: list[str] = []
    first = timers.start(1, lambda: fired.append("first"))
    second = timers.start(1, lambda: fired.append("second"))
    third = timers.start(1, lambda: fired.append("third"))
    for timer in (first, third, third):
        timer.cancel()
    assert len(timers) == 1
    clock.now += 1
    timers.fire()
    second.cancel()
    assert fired == ["second"]
    assert timers.timeout() is None


def test_a_callback_may_start_and_cancel_timers(timers: Timers, clock: Clock) -> None:
    fired: list[str] = []
    victim = timers.start(2, lambda: fired.append("victim"))

    def callback() -> None:
        fired.append("callback")
        victim.cancel()
        timers.start(0, lambda: fired.append("at once"))
        timers.start(1, lambda: fired.append("later"))

    timers.start(1, callback)
    clock.now += 5
    timers.fire()
    assert fired == ["callback"]
    clock.now += 0.001
    timers.fire()
    assert fired == ["callback", "at once"]
    clock.now += 1
    timers.fire()
    assert fired == ["callback", "at once", "later"]


def test_an_error_leaves_the_timers_behind_it_due(timers: Timers, clock: Clock) -> None:
    fired: list[str] = []

    def fail() -> None:
        raise LookupError("in a timer")

    timers.start(1, fail)
    timers.start(1, lambda: fired.append("second"))
    clock.now += 1
    with pytest.raises(LookupError):
        timers.fire()
    assert timers.timeout() == 0
    timers.fire()
    assert fired == ["second"]


def test_says_how_long_until_the_first(timers: Timers, clock: Clock) -> None:
    assert timers.timeout() is None
    timers.start(7, ignore)
    first = timers.start(3, ignore)
    assert timers.timeout() == 3
    clock.now += 1
    assert timers.timeout() == 2
    first.cancel()
    assert timers.timeout() == 6
    clock.now += 100
    assert timers.timeout() == 0


@pytest.mark.parametrize("seconds", [0, -1, -INFINITY, 1e-12])
def test_a_duration_of_nothing_is_due_next(timers: Timers, clock: Clock, seconds: float) -> None:
    fired: list[str] = []
    timers.start(seconds, lambda: fired.append("timer"))
    timers.start(1, ignore)
    clock.now += 1e-6
    timers.fire()
    assert fired == ["timer"]
    assert len(timers) == 1


def test_an_endless_duration_never_fires(timers: Timers, clock: Clock) -> None:
    timers.start(INFINITY, ignore)
    clock.now += 1e300
    timers.fire()
    assert len(timers) == 1
    assert timers.timeout() == INFINITY


@pytest.mark.parametrize("seconds", [float("nan"), "1", None, [], 10**400])
def test_what_is_no_duration_is_refused(timers: Timers, seconds: Any) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        timers.start(seconds, ignore)
    assert len(timers) == 0
    assert timers.timeout() is None


def test_a_lot_gives_up_its_sleeper_once(timers: Timers, clock: Clock) -> None:
    timer = timers.start(1, ignore)
    assert timer.describe_wait(timer) == "sleep(1)"
    timer.remove(object())
    with pytest.raises(ValueError, match="fired"):
        timer.remove(object())
    assert len(timers) == 0


# Lanes (rules 4.1 to 4.3)


def lanes_of(timers: Timers) -> int:
    return len(timers.heap)


def test_one_heap_entry_per_duration(timers: Timers, clock: Clock) -> None:
    for _ in range(100):
        timers.start(5, ignore)
        timers.start(10, ignore)
        clock.now += 0.01
    assert lanes_of(timers) == 2
    assert len(timers) == 200


def test_timers_that_are_all_cancelled_leave_nothing(timers: Timers, clock: Clock) -> None:
    for _ in range(1000):
        timers.start(5, ignore).cancel()
        clock.now += 0.01
    assert lanes_of(timers) == 1
    assert len(timers) == 0
    assert timers.timeout() is None
    assert lanes_of(timers) == 0


def test_cancelled_timers_are_swept_when_they_outnumber_the_living(timers: Timers) -> None:
    pending = [timers.start(5, ignore) for _ in range(10 * SWEEP_ABOVE)]
    lane = pending[0].lane
    for timer in pending[1:-1]:
        timer.cancel()
        assert len(lane.queue) <= 2 * max(SWEEP_ABOVE, len(timers)) + 2
    assert len(timers) == 2


def test_more_durations_than_lanes(timers: Timers, clock: Clock) -> None:
    fired: list[float] = []
    count = 2 * MAX_LANES
    for number in range(count, 0, -1):
        timers.start(number / 8, lambda number=number: fired.append(number))  # type: ignore[misc]
        timers.start(number / 8, lambda number=number: fired.append(number))  # type: ignore[misc]
    assert len(timers._lanes) == MAX_LANES
    for _ in range(count):
        clock.now += 1 / 8
        timers.fire()
    assert fired == [number for number in range(1, count + 1) for _ in range(2)]
    assert timers.timeout() is None
    assert not timers._lanes


# Against a list

actions = st.one_of(
    st.tuples(st.just("start"), st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.0, 3.0]) | st.floats(0, 9)),
    st.tuples(st.just("cancel"), st.integers(0, 1 << 16)),
    st.tuples(st.just("move"), st.sampled_from([0.0, 0.125, 0.25, 1.0, 5.0])),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(actions, max_size=150))
def test_behaves_like_a_sorted_list(history: list[tuple[str, Any]]) -> None:
    clock = Clock()
    timers = Timers(clock)
    started: list[Timer] = []
    model: dict[int, float] = {}
    fired: list[int] = []

    def expected_now() -> set[int]:
        return {number for number, deadline in model.items() if deadline <= clock.now}

    for action, value in history:
        if action == "start":
            number = len(started)
            timer = timers.start(value, lambda number=number: fired.append(number))  # type: ignore[misc]
            started.append(timer)
            model[number] = timer.deadline
            assert timer.deadline >= clock.now + value
        elif action == "cancel" and started:
            number = value % len(started)
            started[number].cancel()
            model.pop(number, None)
        elif action == "move":
            clock.now += value
        due = expected_now()
        fired.clear()
        timers.fire()
        assert set(fired) == due
        deadlines = [model.pop(number) for number in fired]
        assert deadlines == sorted(deadlines)
        assert len(timers) == len(model)
        timeout = timers.timeout()
        if model:
            assert timeout is not None
            assert timeout <= max(0.0, min(model.values()) - clock.now)
        else:
            assert timeout is None


# With the real clock


@pytest.mark.parametrize("seconds", [0.0001, 0.0005, 0.001, 0.0037, 0.021])
def test_a_sleep_never_ends_early(on_hub: OnHub, seconds: float) -> None:
    def nap() -> list[float]:
        early = []
        for _ in range(5):
            deadline = monotonic() + seconds
            sleep(seconds)
            early.append(deadline - monotonic())
        return early

    assert max(on_hub(nap)) <= 0


def test_timers_fire_beside_a_thread_that_never_sleeps(on_hub: OnHub) -> None:
    def spin_until_woken() -> bool:
        naps = [spawn(sleep, 0.002) for _ in range(5)]
        while not all(nap.dead for nap in naps):
            sleep(0)
        return True

    assert on_hub(spin_until_woken)


def test_a_failing_timer_is_reported(reported: list[tuple[str, BaseException]]) -> None:
    def fail() -> None:
        raise LookupError("in a timer")

    get_hub().timers.start(0.001, fail)
    sleep(0.002)
    assert [str(error) for _, error in reported] == ["in a timer"]


def test_a_lane_that_is_dropped_while_a_timer_starts_comes_back() -> None:
    class Struck(Clock):
        """Runs the hub's timers in the middle of a start, as a finaliser that waits there does."""

        timers: Timers
        armed = False

        def __call__(self) -> float:
            if self.armed:
                self.armed = False
                self.now += 10
                self.timers.fire()
            return self.now

    clock = Struck()
    clock.timers = timers = Timers(clock)
    fired: list[str] = []
    timers.start(1, lambda: fired.append("first"))
    clock.armed = True
    timers.start(1, lambda: fired.append("second"))
    assert fired == ["first"]
    assert timers.timeout() == 1
    clock.now += 1
    timers.fire()
    assert fired == ["first", "second"]
    assert timers.timeout() is None
