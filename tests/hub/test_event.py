from __future__ import annotations

import sys
import traceback
from time import monotonic
from typing import Any
from weakref import ref

import pytest
from greenlet import GreenletExit

from greenworld.hub import Event, HubCallbackError, get_hub, sleep, spawn
from greenworld.hub.event import NOT_USED
from greenworld.hub.timeout import Timeout

LIMIT = 20.0
KINDS = ("green", "native", "apart")


class Boom(Exception):
    pass


def test_a_fresh_one() -> None:
    event = Event()
    assert not event.ready()
    assert not event.has_result()
    assert not event.has_exception()
    assert event.poll() is None
    assert event.poll("no") == "no"
    assert event.poll_result("no") == "no"
    assert event.poll_exception("no") == "no"
    with pytest.raises(AssertionError, match="only an event that was sent can be reset"):
        event.reset()


@pytest.mark.parametrize("value", [None, 0, "text", Boom(), Boom, NotImplemented])
def test_a_value(value: object) -> None:
    event = Event()
    waiting = spawn(event.wait)
    sleep(0)
    event.send(value)
    assert event.ready()
    assert event.has_result()
    assert not event.has_exception()
    assert event.wait() is value
    assert event.wait(0) is value
    assert event.poll("no") is value
    assert event.poll_result("no") is value
    assert event.poll_exception("no") == "no"
    assert waiting.wait(LIMIT) is value


def test_nothing_in_particular() -> None:
    event = Event()
    event.send()
    assert event.wait() is None
    assert event.has_result()


def assert_raises_everywhere(event: Event, kind: type[BaseException], text: str = "") -> None:
    assert event.ready()
    assert event.has_exception()
    assert not event.has_result()
    assert event.poll_result("no") == "no"
    for look in (event.wait, event.poll, event.poll_exception):
        with pytest.raises(kind) as caught:
            look()
        assert str(caught.value) == text


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((Boom("why"),), Boom, "why"),
        ((Boom,), Boom, ""),
        ((Boom, "why"), Boom, "why"),
        ((Boom, ("why", "not")), Boom, "('why', 'not')"),
        ((Boom, Boom("why")), Boom, "why"),
        ((Boom, None), Boom, ""),
        ((Boom, "why", None), Boom, "why"),
        ((Exception, Boom("why")), Boom, "why"),
        ((), GreenletExit, ""),
        ((KeyboardInterrupt,), KeyboardInterrupt, ""),
    ],
)
def test_an_exception(arguments: tuple[Any, ...], kind: type[BaseException], text: str) -> None:
    event = Event()
    event.send_exception(*arguments)
    assert_raises_everywhere(event, kind, text)
    event = Event()
    event.send(exc=arguments)
    assert_raises_everywhere(event, kind, text)


def test_an_exception_by_itself() -> None:
    event = Event()
    event.send(None, Boom("why"))
    assert_raises_everywhere(event, Boom, "why")


@pytest.mark.parametrize("wrong", ["text", 1, int, object()])
def test_not_an_exception(wrong: object) -> None:
    event = Event()
    with pytest.raises(TypeError, match="exceptions must be classes or instances, not"):
        event.send_exception(wrong)
    assert not event.ready()
    event.send(1)
    assert event.wait() == 1


def raise_deep_down() -> None:
    raise Boom("deep down")


def test_the_traceback_of_the_sender() -> None:
    event = Event()
    try:
        raise_deep_down()
    except Boom:
        event.send_exception(*sys.exc_info())
    lengths = set()
    for _ in range(3):
        with pytest.raises(Boom) as caught:
            event.wait()
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert frames[-1].name == "raise_deep_down"
        lengths.add(len(frames))
    assert len(lengths) == 1, "it grows with each wait"


@pytest.mark.parametrize("again", ["value", "exception"])
@pytest.mark.parametrize("first", ["value", "exception"])
def test_sent_twice(first: str, again: str) -> None:
    def send(what: str, number: int) -> None:
        if what == "value":
            event.send(number)
        else:
            event.send_exception(Boom(number))

    event = Event()
    send(first, 1)
    with pytest.raises(AssertionError, match=r"sent already: reset\(\) it to send again"):
        send(again, 2)
    if first == "value":
        assert event.wait() == 1
    else:
        assert_raises_everywhere(event, Boom, "1")


def test_reset() -> None:
    event = Event()
    for number in range(3):
        event.send(number)
        assert event.wait() == number
        event.reset()
        assert not event.ready()
        with pytest.raises(AssertionError):
            event.reset()
    event.send_exception(Boom)
    event.reset()
    assert not event.has_exception()
    event.send("after an exception")
    assert event.wait() == "after an exception"


def test_who_was_woken_gets_what_was_sent_before_a_reset() -> None:
    event = Event()
    first = spawn(event.wait)
    sleep(0)
    event.send(1)
    event.reset()
    second = spawn(event.wait)
    sleep(0)
    assert first.value == 1
    assert not second.ready()
    event.send(2)
    assert second.wait(LIMIT) == 2


def test_who_was_woken_gets_the_exception_that_was_sent_before_a_reset(
    reported: list[object],
) -> None:
    event = Event()
    thread = spawn(event.wait)
    sleep(0)
    event.send_exception(Boom)
    event.reset()
    sleep(0)
    assert isinstance(thread.exception, Boom)
    assert len(reported) == 1


def test_woken_in_the_order_of_waiting() -> None:
    event = Event()
    order: list[int] = []

    def wait(number: int) -> None:
        event.wait()
        order.append(number)

    threads = [spawn(wait, number) for number in range(5)]
    sleep(0)
    event.send()
    for thread in threads:
        thread.wait(LIMIT)
    assert order == [0, 1, 2, 3, 4]


def test_send_never_switches() -> None:
    event = Event()
    thread = spawn(event.wait)
    sleep(0)
    event.send(1)
    assert not thread.ready()
    assert thread.wait(LIMIT) == 1


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
@pytest.mark.parametrize("kind", KINDS)
def test_a_time_out_leaves_no_trace(timeout: float, kind: str, crew: Any) -> None:
    event = Event()

    def wait() -> tuple[object, bool]:
        start = monotonic()
        return event.wait(timeout), monotonic() - start >= timeout

    crew.start(kind, wait)
    assert crew.finish() == [(None, True)]
    assert event._waiters == []
    event.send(1)
    assert event.wait() == 1


@pytest.mark.parametrize("sent_first", [True, False])
def test_sent_at_the_time_of_the_time_out(sent_first: bool) -> None:
    event = Event()
    if sent_first:
        get_hub().timers.start(0.01, event.send)
    thread = spawn(event.wait, 0.01)
    sleep(0)
    if not sent_first:
        get_hub().timers.start(0.01, lambda: event.send("late"))
    thread.wait(LIMIT)
    assert event.wait(LIMIT) == (None if sent_first else "late")
    assert thread.value is None
    assert event._waiters == []


@pytest.mark.parametrize("sent", [True, False])
def test_killed_while_waiting(sent: bool) -> None:
    event = Event()
    victim, other = spawn(event.wait), spawn(event.wait)
    sleep(0)
    if sent:
        event.send(1)
    victim.kill()
    assert isinstance(victim.exception, GreenletExit)
    if not sent:
        assert len(event._waiters) == 1
        event.send(1)
    assert other.wait(LIMIT) == 1
    with pytest.raises(Timeout), Timeout(0.01):
        Event().wait()


def test_a_hub_callback_may_send_but_not_wait() -> None:
    event = Event()
    errors: list[BaseException] = []

    def callback() -> None:
        try:
            event.wait()
        except HubCallbackError as error:
            errors.append(error)
        event.send("from the hub")

    get_hub().post(callback)
    assert event.wait(LIMIT) == "from the hub"
    assert len(errors) == 1
    assert event._waiters == []


@pytest.mark.parametrize("sender", KINDS)
@pytest.mark.parametrize("waiter", KINDS)
def test_everybody_hears_of_it(waiter: str, sender: str, crew: Any) -> None:
    events = [Event() for _ in range(50)]

    def wait() -> list[object]:
        return [event.wait(LIMIT) for event in events]

    def send() -> None:
        for number, event in enumerate(events):
            event.send(number)
            if number % 5 == 0:
                sleep(0)

    crew.start(waiter, wait)
    crew.start(waiter, wait)
    crew.start(sender, send)
    assert crew.finish() == [list(range(50)), list(range(50)), None]
    assert not any(event._waiters for event in events)


@pytest.mark.parametrize("pair", [("native", "native"), ("native", "apart"), ("green", "native")])
def test_one_of_several_senders_wins(pair: tuple[str, str], crew: Any) -> None:
    events = [Event() for _ in range(200)]

    def send(name: str) -> set[int]:
        won = set()
        for number, event in enumerate(events):
            try:
                event.send(name)
            except AssertionError:
                continue
            won.add(number)
        return won

    crew.start(pair[0], send, "first")
    crew.start(pair[1], send, "second")
    first, second = crew.finish()
    assert not first & second
    assert first | second == set(range(200))
    assert {number for number, event in enumerate(events) if event.wait() == "first"} == first


@pytest.mark.parametrize("pair", [("native", "native"), ("native", "green"), ("apart", "native")])
def test_sending_to_those_who_are_about_to_give_up(pair: tuple[str, str], crew: Any) -> None:
    events = [Event() for _ in range(100)]

    def wait() -> list[object]:
        return [event.wait(0.0001) or event.wait(LIMIT) for event in events]

    def send() -> None:
        for number, event in enumerate(events):
            event.send(number + 1)
            sleep(0.0001)

    crew.start(pair[0], wait)
    crew.start(pair[1], send)
    assert crew.finish()[0] == list(range(1, 101))


def test_the_last_waiter_gives_up_while_it_is_being_sent() -> None:
    class Leaky(list[object]):
        def __bool__(self) -> bool:
            return True  # it was still there when it was looked for

    event = Event()
    event._waiters = Leaky()
    event.send(1)
    assert event.wait() == 1


def test_sent_by_a_finaliser() -> None:
    event = Event()

    class Finalised:
        def __del__(self) -> None:
            event.send("from a finaliser")

    def drop() -> None:
        Finalised()

    spawn(drop)
    assert event.wait(LIMIT) == "from a finaliser"


def test_what_it_looks_like() -> None:
    event = Event()
    thread = spawn(event.wait)
    sleep(0)
    assert repr(event) == f"<Event at {id(event):#x}: 1 waiting>"
    assert event.describe_wait(event._waiters) == f"Event at {id(event):#x}"
    event.send()
    assert repr(event) == f"<Event at {id(event):#x}: sent>"
    thread.wait(LIMIT)
    assert ref(event)() is event
    assert event.poll_result(NOT_USED) is None
