"""Waking a hub from other OS threads: nothing is lost, and a burst costs one write."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import Any

import pytest

from greenworld.hub import get_hub, sleep, spawn
from greenworld.hub.current import current_waiter
from greenworld.hub.loop import Hub
from greenworld.hub.sync import Event
from greenworld.hub.wakeup import Wakeup

OnHub = Callable[[Callable[[], Any]], Any]
SOON = 5.0


def readable(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup.fd], [], [], 0)[0])


@pytest.fixture(params=["eventfd", "pipe"])
def wakeup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif not hasattr(os, "eventfd"):
        pytest.skip("this platform has no eventfd")
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()


def test_a_signal_is_there_until_drained(wakeup: Wakeup) -> None:
    assert not readable(wakeup)
    wakeup.signal()
    wakeup.signal()
    assert readable(wakeup)
    wakeup.drain()
    assert not readable(wakeup)
    wakeup.drain()


def test_a_full_descriptor_is_signalled_already(wakeup: Wakeup) -> None:
    for _ in range(10_000):
        wakeup.signal()
    assert readable(wakeup)
    wakeup.drain()
    assert not readable(wakeup)


def test_no_child_inherits_it(wakeup: Wakeup) -> None:
    assert not os.get_inheritable(wakeup.fd)
    assert not os.get_blocking(wakeup.fd)


def test_a_signal_after_the_end_does_nothing(wakeup: Wakeup) -> None:
    wakeup.close()
    wakeup.signal()
    wakeup.close()


# In a hub


def test_a_callback_posted_by_another_os_thread_runs_on_the_hubs_greenlet(on_hub: OnHub) -> None:
    def post() -> tuple[bool, bool]:
        hub = get_hub()
        done = Event()
        where: list[Any] = []

        def callback() -> None:
            where.append((threading.get_ident() == hub.thread_id, current_waiter()))
            done.send()

        native = threading.Thread(target=hub.post, args=(callback,))
        spawn(native.start)
        done.wait(SOON)
        native.join(SOON)
        same_thread, task = where.pop()
        return same_thread, task.greenlet is hub.greenlet

    assert on_hub(post) == (True, True)


def test_bursts_from_several_os_threads_lose_nothing(on_hub: OnHub) -> None:
    posts, natives = 2000, 4

    def receive() -> int:
        hub = get_hub()
        received: list[int] = []
        done = Event()

        def note() -> None:
            received.append(1)
            if len(received) == posts * natives:
                done.send()

        def burst() -> None:
            for _ in range(posts):
                hub.post(note)

        threads = [threading.Thread(target=burst) for _ in range(natives)]
        for thread in threads:
            thread.start()
        done.wait(SOON)
        for thread in threads:
            thread.join(SOON)
        return len(received)

    assert on_hub(receive) == posts * natives


def test_every_wake_up_ends_one_wait(on_hub: OnHub) -> None:
    """Ping-pong with a native thread: one lost wake-up would hang it."""

    def play() -> int:
        asked, answered = [Event()], [Event()]
        rounds = 500

        def answer() -> None:
            for _ in range(rounds):
                assert asked[0].wait(SOON) is not None
                asked[0] = Event()
                answered[0].send(True)

        native = threading.Thread(target=answer)
        native.start()
        played = 0
        for _ in range(rounds):
            asked[0].send(True)
            played += answered[0].wait(SOON)
            answered[0] = Event()
        native.join(SOON)
        return played

    # The answerer replaces `asked` before it answers, this side `answered` before it asks.
    assert on_hub(play) == 500


class CountingWakeup(Wakeup):
    """Counts its writes."""

    __slots__ = ("writes",)

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def signal(self) -> None:
        self.writes += 1
        super().signal()


def test_a_burst_is_one_write(in_os_thread: OnHub) -> None:
    def count() -> tuple[int, int]:
        hub = Hub()
        counting = CountingWakeup()
        hub.wakeup.close()
        hub.wakeup = counting
        calls: list[int] = []
        hub.polling = True  # as in its sleep
        for _ in range(100):
            hub.post(lambda: calls.append(1))
        sleep(0)
        hub.close()
        return counting.writes, len(calls)

    assert in_os_thread(count) == (1, 100)


def test_an_awake_hub_is_not_written_to(in_os_thread: OnHub) -> None:
    def count() -> tuple[int, list[int]]:
        hub = get_hub()  # of this thread alone: nobody else has a reason to wake it
        counting = CountingWakeup()
        hub.wakeup.close()
        hub.wakeup = counting
        calls: list[int] = []
        hub.post(lambda: calls.append(1))
        writes = counting.writes
        sleep(0)
        return writes, calls

    assert in_os_thread(count) == (0, [1])
