"""Carriers: one greenlet for many green threads, and nothing that goes from one to the next."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from greenlet import getcurrent as current_greenlet
from greenlet import greenlet

from greenworld.hub import get_hub, getcurrent, sleep, spawn
from greenworld.hub.sync import Event

InOsThread = Callable[[Callable[[], Any]], Any]
SOON = 5.0


def carrier() -> Any:
    return current_greenlet()


def test_one_after_another_they_share_a_carrier(in_os_thread: InOsThread) -> None:
    def run() -> tuple[int, int]:
        used = {spawn(carrier).wait(SOON) for _ in range(100)}
        used |= {thread.wait(SOON) for thread in [spawn(carrier) for _ in range(100)]}
        return len(used), len(get_hub().carriers)

    assert in_os_thread(run) == (1, 1)


def test_as_many_carriers_as_wait_together(in_os_thread: InOsThread) -> None:
    def run() -> int:
        for _ in range(3):
            for thread in [spawn(sleep) for _ in range(50)]:
                thread.join(SOON)
        return len(get_hub().carriers)

    assert in_os_thread(run) <= 51


def test_a_new_carrier_begins_at_the_hubs_depth() -> None:
    def parent_of_carrier() -> Any:
        return current_greenlet().parent

    def deep(level: int) -> Any:
        if level:
            return deep(level - 1)
        waiting = [spawn(sleep, 0.0001) for _ in range(3)]
        found = spawn(parent_of_carrier).wait(SOON)
        for thread in waiting:
            thread.join(SOON)
        return found

    assert spawn(deep, 50).wait(SOON) is get_hub().greenlet


def test_an_idle_carrier_has_no_tenant() -> None:
    spawn(sleep).join(SOON)
    sleep(0)
    hub = get_hub()
    assert hub.idle
    assert {each.task for each in hub.idle} == {None}


def test_the_running_green_thread_is_not_its_carrier() -> None:
    first, second = spawn(getcurrent), spawn(getcurrent)
    assert (first.wait(SOON), second.wait(SOON)) == (first, second)


# Trace and profile functions


def tracer(frame: Any, event: str, argument: object) -> None:
    """Traces nothing."""


@pytest.fixture
def untraced() -> Iterator[None]:
    """Whoever traces the tests goes on afterwards."""
    trace, profile = sys.gettrace(), sys.getprofile()
    sys.settrace(None)
    sys.setprofile(None)
    yield
    sys.settrace(trace)
    sys.setprofile(profile)


HOOKS = [(sys.settrace, sys.gettrace), (sys.setprofile, sys.getprofile)]


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(("install", "installed"), HOOKS)
def test_a_hook_ends_with_the_thread_that_set_it(install: Any, installed: Any) -> None:
    setter, other = spawn(install, tracer), spawn(installed)
    setter.join(SOON)
    assert other.wait(SOON) is None
    assert installed() is None


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(("install", "installed"), HOOKS)
def test_a_hook_of_the_whole_program_stays(install: Any, installed: Any) -> None:
    install(tracer)
    seen = [spawn(installed).wait(SOON), installed()]
    install(None)
    assert seen == [tracer, tracer]


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(("install", "installed"), HOOKS)
def test_a_hook_turned_off_meanwhile_stays_off(install: Any, installed: Any) -> None:
    gate = Event()
    install(tracer)
    thread = spawn(gate.wait)
    sleep(0)
    install(None)
    gate.send()
    thread.join(SOON)
    assert installed() is None


# Raw greenlets of user code (rule 2.7)


def test_a_raw_greenlet_may_block() -> None:
    order: list[str] = []

    def inner() -> str:
        for number in range(3):
            order.append(f"inner {number}")
            sleep(0.0001)
        return "result"

    def host() -> str:
        raw = greenlet(inner)
        result: str = raw.switch()
        assert raw.dead
        order.append("host")
        sleep(0)
        return result

    def beside() -> None:
        while "host" not in order:
            sleep(0)

    beside_it = spawn(beside)
    assert spawn(host).wait(SOON) == "result"
    assert beside_it.join(SOON)
    assert order == ["inner 0", "inner 1", "inner 2", "host"]


def test_raw_greenlets_may_nest_and_take_turns_with_their_host() -> None:
    def generator(count: int) -> None:
        for number in range(count):
            sleep(0.0001)
            carrier().parent.switch(number)

    def outer() -> list[int]:
        raw = greenlet(generator)
        numbers = [raw.switch(5)]
        while True:
            sleep(0)
            number = raw.switch()
            if raw.dead:
                return numbers
            numbers.append(number)

    def host() -> list[int]:
        result: list[int] = greenlet(outer).switch()
        return result

    threads = [spawn(host) for _ in range(10)]
    assert [thread.wait(SOON) for thread in threads] == [[0, 1, 2, 3, 4]] * 10


def test_a_raw_greenlet_in_main_may_block() -> None:
    raw = greenlet(sleep)
    raw.switch(0.0001)
    assert raw.dead


def test_a_raw_greenlet_waits_with_a_time_out() -> None:
    def host() -> list[bool]:
        gate = Event()

        def inner() -> list[bool]:
            outcomes = [spawn(gate.wait).join(0.0001)]
            spawn(gate.send)
            outcomes.append(spawn(gate.wait).join(SOON))
            return outcomes

        result: list[bool] = greenlet(inner).switch()
        return result

    assert spawn(host).wait(SOON) == [False, True]


@pytest.mark.usefixtures("reported")
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("seconds", [0, 1000])
def test_killing_the_host_unwinds_the_raw_greenlet_that_waits(depth: int, seconds: float) -> None:
    events: list[str] = []

    def inner(level: int) -> None:
        try:
            sleep(0)  # each has been a guest before it hosts the next
            if level > 1:
                greenlet(inner).switch(level - 1)
            while True:
                sleep(seconds)
        finally:
            events.append(f"inner {level}")

    def host() -> None:
        try:
            greenlet(inner).switch(depth)
        finally:
            events.append("host")

    thread = spawn(host)
    for _ in range(2 * depth + 2):
        sleep(0)
    thread.kill(LookupError("reason"))
    assert thread.join(SOON)
    assert events == [f"inner {level}" for level in range(1, depth + 1)] + ["host"]


def test_a_raw_greenlet_begun_in_one_thread_and_ended_in_another() -> None:
    """Its first host has ended, and its carrier serves somebody else by now."""
    kept: list[greenlet] = []
    gate = Event()

    def pausing() -> None:
        sleep(0)
        carrier().parent.switch("paused")

    def begin() -> Any:
        kept.append(greenlet(pausing))
        return kept[0].switch(), current_greenlet()

    def next_tenant() -> object:
        return current_greenlet(), gate.wait(SOON)

    def end() -> None:
        kept[0].switch()

    paused, first_carrier = spawn(begin).wait(SOON)
    assert paused == "paused"
    tenant = spawn(next_tenant)
    sleep(0)
    ender: Any = spawn(end)
    assert not ender.join(0.001)  # as with any greenlet whose parent has ended
    assert not tenant.dead
    gate.send("through the gate")
    assert tenant.wait(SOON) == (first_carrier, "through the gate")
    get_hub().post(ender.greenlet.throw)
    assert ender.join(SOON)


def test_raw_greenlets_that_ended_are_forgotten() -> None:
    for _ in range(100):
        spawn(lambda: greenlet(sleep).switch()).join(SOON)
    greenlet(sleep).switch()
    assert len(get_hub().guests) <= 2
