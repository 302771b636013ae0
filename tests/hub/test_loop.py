"""The scheduler: order, hand-off, fairness, callbacks, and errors in the hub itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from greenworld.hub import HubCallbackError, get_hub, sleep, spawn
from greenworld.hub.current import current_task
from greenworld.hub.loop import MAX_IDLE, POLL_AFTER_ENTRIES, Hub
from greenworld.hub.poller import Poller, make_poller
from greenworld.hub.readiness import close_fd, wait_readable
from greenworld.hub.sync import Event

OnHub = Callable[[Callable[[], Any]], Any]
Reported = list[tuple[str, BaseException]]
SOON = 5.0


class Watching:
    """A poller that notes when it is asked, and can be told what to do then."""

    def __init__(self) -> None:
        self.inner: Poller = make_poller()
        self.arm = self.inner.arm
        self.rearm = self.inner.rearm
        self.forget = self.inner.forget
        self.close = self.inner.close
        self.timeouts: list[float | None] = []
        self.before: Callable[[], object] = lambda: None

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        self.before()
        return self.inner.wait(timeout)


class SteppingClock:
    """Each look at it takes `step` seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def with_hub(function: Callable[[Hub, Watching, SteppingClock], Any]) -> Callable[[], Any]:
    """A function for a fresh OS thread, given a hub of observable parts."""

    def run() -> Any:
        poller, clock = Watching(), SteppingClock()
        hub = Hub(poller=poller, clock=clock)
        try:
            return function(hub, poller, clock)
        finally:
            hub.close()

    return run


# Order


def test_first_in_first_out(on_hub: OnHub) -> None:
    def run() -> list[int]:
        order: list[int] = []

        def work(number: int) -> None:
            for _ in range(3):
                order.append(number)
                sleep(0)

        threads = [spawn(work, number) for number in range(20)]
        for thread in threads:
            thread.join(SOON)
        return order

    assert on_hub(run) == list(range(20)) * 3


def test_woken_threads_run_in_the_order_of_their_wake_ups() -> None:
    gates = [Event() for _ in range(20)]
    order: list[int] = []

    def work(number: int) -> None:
        gates[number].wait()
        order.append(number)

    threads = [spawn(work, number) for number in range(20)]
    sleep(0)
    wanted = [*range(0, 20, 3), *range(1, 20, 3), *range(2, 20, 3)]
    for number in wanted:
        gates[number].send()
    for thread in threads:
        thread.join(SOON)
    assert order == wanted


def test_a_sleep_of_0_lets_every_ready_entry_go_first() -> None:
    order: list[str] = []
    spawn(order.append, "thread")
    get_hub().post(lambda: order.append("callback"))
    spawn(order.append, "second thread")
    sleep(0)
    order.append("main")
    assert order == ["thread", "callback", "second thread", "main"]


def test_control_is_handed_over_directly(in_os_thread: OnHub) -> None:
    """Two threads that take turns do not visit the hub's greenlet until the budget is spent."""

    def run(hub: Hub, poller: Watching, clock: SteppingClock) -> int:
        entered = 0
        enter = hub.greenlet.switch

        def counting(*message: Any) -> Any:
            nonlocal entered
            entered += 1
            return enter(*message)

        def take_turns() -> None:
            for _ in range(1000):
                sleep(0)

        threads = [spawn(take_turns) for _ in range(2)]
        sleep(0)
        hub.enter = counting
        for thread in threads:
            thread.join()
        hub.enter = enter
        return entered

    assert in_os_thread(with_hub(run)) < 2000 / 10


# Fairness (rule 2.8)


def test_io_is_polled_beside_a_busy_run_queue(in_os_thread: OnHub) -> None:
    def run(hub: Hub, poller: Watching, clock: SteppingClock) -> int:
        entries, most = 0, 0

        def polled() -> None:
            nonlocal entries, most
            most = max(most, entries)
            entries = 0

        def spin() -> None:
            nonlocal entries
            for _ in range(2000):
                entries += 1
                sleep(0)

        poller.before = polled
        threads = [spawn(spin) for _ in range(3)]
        for thread in threads:
            thread.join()
        return most

    assert in_os_thread(with_hub(run)) <= 2 * POLL_AFTER_ENTRIES


@pytest.mark.parametrize("step", [0.0004, 0.003])
def test_io_is_polled_at_each_turn_of_threads_that_run_long(
    in_os_thread: OnHub, step: float
) -> None:
    def run(hub: Hub, poller: Watching, clock: SteppingClock) -> float:
        longest, last = 0.0, 0.0

        def polled() -> None:
            nonlocal longest, last
            longest = max(longest, clock.now - last)
            last = clock.now

        def compute(turns: int) -> None:
            for _ in range(turns):
                clock.now += step
                sleep(0)

        for thread in [spawn(compute, 100) for _ in range(4)]:
            thread.join()  # the hub learns how long they run
        last = clock.now
        poller.before = polled
        for thread in [spawn(compute, 100) for _ in range(4)]:
            thread.join()
        return longest

    # The few entries before and after them are short.
    assert in_os_thread(with_hub(run)) <= 0.001 + 8 * step


def test_bursts_between_sleeps_teach_the_hub_its_pace(in_os_thread: OnHub) -> None:
    """A server that sleeps after each burst of long requests polls within the next burst."""

    def run(hub: Hub, poller: Watching, clock: SteppingClock) -> int:
        def compute() -> None:
            clock.now += 0.005

        def burst() -> int:
            poller.timeouts.clear()
            for _ in range(40):
                spawn(compute)
            sleep(0.001)
            return len(poller.timeouts)

        def tick() -> None:
            clock.now += 0.001

        poller.before = tick
        burst()
        return burst()

    assert in_os_thread(with_hub(run)) >= 20


def test_sockets_are_served_beside_a_thread_that_never_sleeps(
    on_hub: OnHub, pair: tuple[socket.socket, socket.socket]
) -> None:
    def run() -> int:
        left, right = pair
        served = 0

        def serve() -> None:
            nonlocal served
            for _ in range(20):
                wait_readable(left.fileno(), SOON)
                left.recv(1)
                served += 1

        def spin() -> None:
            while not server.dead:
                sleep(0)

        server = spawn(serve)
        spinners = [spawn(spin) for _ in range(3)]
        for expected in range(1, 21):
            right.send(b"x")
            while served < expected and not server.dead:
                sleep(0)
        for spinner in spinners:
            spinner.join(SOON)
        close_fd(left.fileno())
        return served

    assert on_hub(run) == 20


def test_spawning_without_end_does_not_starve_timers(on_hub: OnHub) -> None:
    def run() -> bool:
        over = Event()

        def breed() -> None:
            if not over.ready():
                spawn(breed)
                spawn(int)

        spawn(breed)
        sleep(0.002)
        over.send()
        return True

    assert on_hub(run)


# Callbacks


def test_callbacks_run_in_order_and_their_errors_are_reported(reported: Reported) -> None:
    order: list[int] = []

    def fail() -> None:
        raise LookupError("in a callback")

    hub = get_hub()
    hub.post(lambda: order.append(1))
    hub.post(fail)
    hub.post(lambda: order.append(2))
    sleep(0)
    assert order == [1, 2]
    ((where, error),) = reported
    assert "hub callback" in where
    assert str(error) == "in a callback"


@pytest.mark.parametrize("block", [lambda: sleep(0), lambda: sleep(1), lambda: Event().wait()])
def test_a_callback_must_not_block(block: Callable[[], object], reported: Reported) -> None:
    hub = get_hub()
    hub.post(block)
    hub.timers.start(0.0001, block)
    sleep(0.001)
    assert [type(error) for _, error in reported] == [HubCallbackError] * 2
    assert current_task() is hub.main


def test_a_callback_may_spawn() -> None:
    done: Event = Event()
    get_hub().post(lambda: spawn(done.send, "spawned"))
    assert done.wait(SOON) == "spawned"


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_an_exit_from_a_callback_is_raised_in_main(error: BaseException) -> None:
    def leave() -> None:
        raise error

    get_hub().post(leave)
    with pytest.raises(type(error)):
        Event().wait(SOON)
    get_hub().timers.start(0.0001, leave)
    with pytest.raises(type(error)):
        Event().wait(SOON)
    sleep(0.0001)


# Idle carriers


def test_idle_carriers_are_bounded(in_os_thread: OnHub) -> None:
    def run() -> tuple[int, int]:
        gate = Event()
        threads = [spawn(gate.wait) for _ in range(2 * MAX_IDLE)]
        sleep(0)
        hub = get_hub()
        carriers = len(hub.carriers)
        gate.send()
        for thread in threads:
            thread.join(SOON)
        while len(hub.idle) > MAX_IDLE:
            sleep(0.0001)
        return carriers, len(hub.carriers)

    assert in_os_thread(run) == (2 * MAX_IDLE, MAX_IDLE)


# Closing


def test_closing_twice_and_posting_afterwards_are_harmless(in_os_thread: OnHub) -> None:
    def run(hub: Hub, poller: Watching, clock: SteppingClock) -> bool:
        hub.close()
        hub.close()
        hub.post(int)
        return hub.closed

    assert in_os_thread(with_hub(run))


def test_a_native_thread_posts_to_a_hub_that_ends(in_os_thread: OnHub) -> None:
    hubs: list[Hub] = []
    begun, stop = threading.Event(), threading.Event()

    def flood() -> None:
        begun.wait(SOON)
        while not stop.wait(0.0001):
            hubs[0].post(int)

    native = threading.Thread(target=flood)
    native.start()

    def run() -> None:
        hubs.append(get_hub())
        begun.set()
        for _ in range(20):
            sleep(0.0001)

    in_os_thread(run)
    stop.set()
    native.join(SOON)
    assert hubs[0].closed
