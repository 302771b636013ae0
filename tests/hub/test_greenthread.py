"""Green threads: results, errors, joining, killing, links, context, and what they let go of."""

from __future__ import annotations

import contextvars
import gc
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from greenlet import GreenletExit

from greenworld.hub import (
    GreenThread,
    get_hub,
    getcurrent,
    kill,
    set_error_handler,
    sleep,
    spawn,
    spawn_after,
    spawn_n,
)
from greenworld.hub.queue import Queue
from greenworld.hub.sync import Event, Semaphore

InOsThread = Callable[[Callable[[], Any]], Any]
Reported = list[tuple[str, BaseException]]
Output = Callable[..., str]
SOON = 5.0
LONG = 1000.0


def fail(error: BaseException) -> None:
    raise error


def settle() -> None:
    """Let everybody run until they wait."""
    for _ in range(5):
        sleep(0)


# Spawning


def test_starts_when_the_caller_blocks_and_not_before() -> None:
    events: list[str] = []
    thread = spawn(events.append, "ran")
    assert events == []
    assert not thread.ready()
    sleep(0)
    assert events == ["ran"]
    assert thread.ready()
    assert thread.dead


def test_starts_in_order() -> None:
    order: list[int] = []
    threads = [spawn(order.append, number) for number in range(1000)]
    threads[-1].wait(SOON)
    assert order == list(range(1000))


def test_passes_arguments() -> None:
    assert spawn(dict, [("a", 1)], b=2).wait(SOON) == {"a": 1, "b": 2}
    thread = spawn_n(lambda *args, **kwargs: (args, kwargs), 1, seconds=2)
    assert thread.wait(SOON) == ((1,), {"seconds": 2})
    late = spawn_after(0.0001, lambda *args, **kwargs: (args, kwargs), 1, function=2)
    assert late.wait(SOON) == ((1,), {"function": 2})


def test_many_threads_at_once() -> None:
    gate = Event()
    threads = [spawn(gate.wait) for _ in range(10_000)]
    settle()
    gate.send("go")
    assert {thread.wait(SOON) for thread in threads} == {"go"}


def test_a_chain_in_which_each_spawns_the_next() -> None:
    def link(left: int) -> GreenThread[Any] | None:
        depth = len(traceback.extract_stack(limit=100))
        assert depth < 50, "green threads nest"
        return spawn(link, left - 1) if left else None

    thread: GreenThread[Any] | None = spawn(link, 5000)
    while thread is not None:
        thread = thread.wait(SOON)


def test_a_chain_in_which_each_waits_for_the_next() -> None:
    def link(left: int) -> int:
        return 1 + spawn(link, left - 1).wait(SOON) if left else 0

    assert spawn(link, 3000).wait(SOON) == 3000


def test_spawn_after_waits_first() -> None:
    clock = get_hub().clock
    deadline = clock() + 0.002
    assert spawn_after(0.002, clock).wait(SOON) >= deadline


def test_spawn_after_can_be_cancelled() -> None:
    thread = spawn_after(LONG, fail, LookupError())
    assert len(get_hub().timers) == 1
    assert thread.cancel()
    assert len(get_hub().timers) == 0
    assert thread.dead
    assert isinstance(thread.exception, GreenletExit)
    assert not thread.cancel()
    with pytest.raises(GreenletExit):
        thread.wait(SOON)


# Results


def test_a_result() -> None:
    thread = spawn(lambda: [1])
    assert (thread.value, thread.ready(), thread.successful()) == (None, False, False)
    result = thread.wait(SOON)
    assert thread.value is result
    assert thread.wait() is result
    assert (thread.ready(), thread.successful(), thread.exception) == (True, True, None)


def test_an_error_is_reported_once_and_raised_to_everybody(reported: Reported) -> None:
    error = LookupError("in the thread")
    thread = spawn(fail, error)
    waiters = [spawn(thread.wait) for _ in range(3)]
    for waiter in [thread, *waiters]:
        with pytest.raises(LookupError) as caught:
            waiter.wait(SOON)
        assert caught.value is error
    assert [(where, each) for where, each in reported if where == thread.name] == [
        (thread.name, error)
    ]
    assert (thread.successful(), thread.exception, thread.value) == (False, error, None)


def test_the_traceback_does_not_grow_from_wait_to_wait(reported: Reported) -> None:
    thread = spawn(fail, LookupError())
    lengths = set()
    for _ in range(5):
        with pytest.raises(LookupError) as caught:
            thread.wait(SOON)
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1
    names = [entry.name for entry in caught.traceback]
    assert names[-1] == "fail"
    assert "execute" not in names


def test_the_default_handler_prints_the_traceback(output: Output) -> None:
    out = output(
        """
        sys.stderr = sys.stdout
        def inner():
            raise LookupError("in the thread")
        def outer():
            inner()
        thread = spawn(outer)
        thread.name = "worker"
        thread.join()
        """
    )
    assert out.startswith("Exception in worker:\nTraceback (most recent call last):\n")
    assert "in outer" in out
    assert "in inner" in out
    assert out.endswith("LookupError: in the thread\n")


def test_the_handler_can_be_replaced_and_restored() -> None:
    first: Reported = []
    default = set_error_handler(lambda where, error: first.append((where, error)))
    mine = set_error_handler(None)
    assert set_error_handler(mine) is default
    spawn(fail, LookupError()).join(SOON)
    assert set_error_handler(default) is mine
    assert len(first) == 1


def test_a_handler_may_block() -> None:
    gate: Event = Event()
    handled: list[str] = []

    def handler(where: str, error: BaseException) -> None:
        gate.wait(SOON)
        handled.append(where)

    previous = set_error_handler(handler)
    thread = spawn(fail, LookupError())
    settle()
    assert not handled
    gate.send()
    assert thread.join(SOON)
    set_error_handler(previous)
    assert handled == [thread.name]


@pytest.mark.parametrize("second", [ValueError("handler"), SystemExit(1), GreenletExit()])
def test_a_failing_handler_is_printed_and_everybody_is_told(
    second: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    def handler(where: str, error: BaseException) -> None:
        raise second

    previous = set_error_handler(handler)
    thread = spawn(fail, LookupError("first"))
    waiter = spawn(thread.join)
    assert waiter.join(SOON)
    set_error_handler(previous)
    err = capsys.readouterr().err
    assert "LookupError: first" in err
    assert type(second).__name__ in err


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_an_exit_is_raised_in_main(error: BaseException, reported: Reported) -> None:
    event = Event()
    thread = spawn(fail, error)
    with pytest.raises(type(error)) as caught:
        event.wait(SOON)
    assert caught.value is error
    assert thread.exception is error
    assert not reported
    spawn(event.send, "main is well")
    assert event.wait(SOON) == "main is well"


def test_an_exit_reaches_a_main_that_waits_for_the_thread(program: Callable[..., Any]) -> None:
    run = program("spawn(sys.exit, 7).wait()")
    assert run.finish() == (7, "", "")


def test_greenletexit_is_a_quiet_end(reported: Reported) -> None:
    thread = spawn(fail, GreenletExit())
    assert thread.join(SOON)
    assert isinstance(thread.exception, GreenletExit)
    assert not reported


# Waiting


@pytest.mark.parametrize("timeout", [0, -1, 0.001])
def test_a_timeout(timeout: float) -> None:
    gate = Event()
    thread = spawn(gate.wait)
    assert not thread.join(timeout)
    with pytest.raises(TimeoutError, match="did not end"):
        thread.wait(timeout)
    assert thread.waiters == []
    gate.send(1)
    assert thread.wait(SOON) == 1
    assert thread.join(0)


@pytest.mark.usefixtures("reported")
def test_nobody_can_wait_for_himself() -> None:
    def join_self() -> None:
        thread: Any = getcurrent()
        thread.join()

    with pytest.raises(RuntimeError, match="its own end"):
        spawn(join_self).wait(SOON)


def test_waiters_are_woken_in_order() -> None:
    gate = Event()
    order: list[int] = []
    thread = spawn(gate.wait)

    def wait(number: int) -> None:
        thread.wait()
        order.append(number)

    waiters = [spawn(wait, number) for number in range(10)]
    settle()
    gate.send()
    for waiter in waiters:
        waiter.join(SOON)
    assert order == list(range(10))


def test_native_threads_wait_too(reported: Reported) -> None:
    gate = Event()
    threads: list[GreenThread[Any]] = [spawn(gate.wait), spawn(fail, LookupError("text"))]
    outcomes: Queue[Any] = Queue()

    def wait(thread: GreenThread[Any]) -> None:
        try:
            outcomes.put(thread.wait(SOON))
        except LookupError as error:
            outcomes.put(str(error))

    natives = [threading.Thread(target=wait, args=(thread,)) for thread in threads * 3]
    for native in natives:
        native.start()
    while len(threads[0].waiters) < 3:
        sleep(0.0001)
    gate.send("value")
    found = sorted(outcomes.get(timeout=SOON) for _ in natives)
    for native in natives:
        native.join(SOON)
    assert found == ["text"] * 3 + ["value"] * 3


# Links


def test_a_link_is_called_at_the_end() -> None:
    calls: list[Any] = []
    thread = spawn(lambda: 5)
    thread.link(lambda *args, **kwargs: calls.append((args, kwargs)), 1, key=2)
    assert not calls
    thread.wait(SOON)
    assert calls == [((thread, 1), {"key": 2})]
    thread.link(calls.append)
    assert calls[1:] == [thread]


def test_a_link_can_be_taken_back() -> None:
    calls: list[Any] = []
    thread = spawn(int)
    thread.link(calls.append)
    thread.link(calls.append)
    assert not thread.unlink(calls.append, 1)
    assert thread.unlink(calls.append)
    thread.join(SOON)
    assert calls == [thread]
    assert not thread.unlink(calls.append)


def test_links_are_called_when_cancelled_and_killed() -> None:
    calls: list[Any] = []
    fresh, parked = spawn(sleep, LONG), spawn(sleep, LONG)
    fresh.link(calls.append)
    parked.link(calls.append)
    fresh.kill()
    assert calls == [fresh]
    sleep(0)
    parked.kill()
    assert calls == [fresh, parked]


@pytest.mark.parametrize("error", [LookupError(), GreenletExit()])
def test_a_failing_link_is_reported_and_the_others_are_called(
    error: BaseException, reported: Reported
) -> None:
    calls: list[Any] = []
    thread = spawn(int)
    thread.link(lambda thread: fail(error))
    thread.link(calls.append)
    waiter = spawn(thread.wait)
    assert waiter.join(SOON)
    assert calls == [thread]
    assert [each for _, each in reported] == [error]


def test_an_exit_from_a_link_is_raised_in_main() -> None:
    calls: list[Any] = []
    thread = spawn(int)
    thread.link(lambda thread: sys.exit(1))
    thread.link(calls.append)
    with pytest.raises(SystemExit):
        Event().wait(SOON)
    assert calls == [thread]


# Killing


def test_killing_a_fresh_thread_keeps_it_from_starting() -> None:
    events: list[str] = []
    thread = spawn(events.append, "ran")
    thread.kill()
    assert thread.dead
    settle()
    assert events == []
    assert isinstance(thread.exception, GreenletExit)


def test_killing_a_parked_thread_unwinds_it_before_kill_returns(reported: Reported) -> None:
    events: list[str] = []

    def park() -> None:
        try:
            sleep(LONG)
        finally:
            events.append("unwound")

    thread = spawn(park)
    sleep(0)
    thread.kill()
    assert events == ["unwound"]
    assert thread.dead
    assert len(get_hub().timers) == 0
    assert not reported


def test_a_thread_may_survive_a_kill_and_wait_again() -> None:
    def survive() -> str:
        try:
            sleep(LONG)
        except GreenletExit:
            sleep(0.0001)
        return "survived"

    thread = spawn(survive)
    sleep(0)
    thread.kill()
    assert not thread.dead
    assert thread.wait(SOON) == "survived"


def test_killing_with_another_exception(reported: Reported) -> None:
    threads = [spawn(sleep, LONG) for _ in range(4)]
    sleep(0)
    instance = LookupError("instance")
    threads[0].kill(instance)
    threads[1].kill(LookupError, "value")
    threads[2].kill(LookupError, LookupError("its value"))
    kill(threads[3], LookupError)
    assert [str(thread.exception) for thread in threads] == ["instance", "value", "its value", ""]
    assert threads[0].exception is instance
    assert len(reported) == 4


def test_killing_a_ready_thread() -> None:
    """It was woken already; the kill comes before its turn."""
    gate = Event()
    events: list[str] = []

    def wait() -> None:
        gate.wait()
        events.append("went on")

    thread = spawn(wait)
    sleep(0)
    gate.send()
    thread.kill()
    assert thread.dead
    assert events == []
    assert isinstance(thread.exception, GreenletExit)


def test_killing_a_thread_that_gives_way() -> None:
    def spin() -> None:
        while True:
            sleep(0)

    thread = spawn(spin)
    sleep(0)
    thread.kill()
    assert thread.join(SOON)


def test_killing_a_dead_thread_does_nothing(reported: Reported) -> None:
    thread = spawn(int)
    thread.join(SOON)
    thread.kill()
    thread.kill(LookupError("too late"))
    settle()
    assert thread.successful()
    assert not reported


def test_killing_oneself() -> None:
    events: list[str] = []

    def end() -> None:
        thread: Any = getcurrent()
        thread.kill()
        events.append("still here")

    thread = spawn(end)
    assert thread.join(SOON)
    assert events == []
    assert isinstance(thread.exception, GreenletExit)


def test_killing_twice_at_once(reported: Reported) -> None:
    caught: list[str] = []

    def park() -> None:
        for _ in range(2):
            try:
                sleep(LONG)
            except LookupError as error:
                caught.append(str(error))

    def victim_and_killers() -> None:
        thread = spawn(park)
        sleep(0)
        killers = [spawn(thread.kill, LookupError(name)) for name in ("first", "second")]
        for killer in killers:
            assert killer.join(SOON)
        assert thread.join(SOON)

    victim_and_killers()
    assert caught == ["first", "second"]


def test_killing_from_a_native_thread() -> None:
    threads = [spawn(sleep, LONG) for _ in range(3)]
    sleep(0)
    every: list[GreenThread[Any]] = [*threads, spawn_after(LONG, int)]

    def kill_all() -> None:
        for thread in every:
            thread.kill()

    native = threading.Thread(target=kill_all)
    native.start()
    for thread in every:
        assert thread.join(SOON)
    native.join(SOON)
    assert len(get_hub().timers) == 0


def test_a_kill_that_arrives_with_a_wake_up_gives_the_permit_back() -> None:
    permits = Semaphore(0)
    first, second = spawn(permits.acquire), spawn(permits.acquire)
    sleep(0)
    permits.release()
    first.kill()
    assert second.wait(SOON)
    assert permits.counter == 0


def test_a_kill_that_arrives_with_a_time_out() -> None:
    """Whichever is first: the thread ends once, and nothing is left behind."""
    for rounds in range(20):
        gate = Event()
        thread = spawn(gate.wait, 0.0001)
        sleep(0)
        if rounds % 2:
            sleep(0.0001)
            while not (thread.dead or thread in get_hub().ready):
                sleep(0.0001)
        thread.kill()
        assert thread.join(SOON)
        assert gate.poll("nothing sent") == "nothing sent"
        assert len(get_hub().timers) == 0


def test_a_late_kill_does_not_hit_the_carriers_next_tenant() -> None:
    carriers = []

    def note() -> None:
        thread: Any = getcurrent()
        carriers.append(thread.greenlet)
        sleep(0.0001)

    first = spawn(note)
    first.join(SOON)
    second = spawn(note)
    sleep(0)
    assert carriers[0] is carriers[1]
    first.kill()
    kill(first, LookupError)
    native = threading.Thread(target=first.kill)
    native.start()
    native.join(SOON)
    assert second.join(SOON)
    assert second.successful()


def test_killing_from_a_callback() -> None:
    thread = spawn(sleep, LONG)
    sleep(0)
    get_hub().post(thread.kill)
    assert thread.join(SOON)


def test_cancelling(reported: Reported) -> None:
    fresh, started = spawn(int), spawn(sleep, 0.0001)
    assert fresh.cancel(LookupError("not wanted"))
    sleep(0)
    assert not started.cancel()
    assert started.join(SOON)
    assert not started.cancel()
    with pytest.raises(LookupError, match="not wanted"):
        fresh.wait()
    assert not reported


# Names


def test_names() -> None:
    first, second = spawn(int), spawn(int)
    assert first.name.startswith("GreenThread-")
    assert first.name != second.name
    first.name = "worker"
    assert first.name == "worker"
    assert repr(first) == "<GreenThread worker fresh>"
    sleep(0)
    assert repr(first) == "<GreenThread worker done>"


def test_the_repr_says_how_it_stands(reported: Reported) -> None:
    parked, failed = spawn(sleep, LONG), spawn(fail, LookupError("text"))
    parked.name = failed.name = "worker"
    sleep(0)
    assert repr(parked) == "<GreenThread worker started>"
    assert repr(failed) == "<GreenThread worker failed with LookupError('text')>"
    parked.kill()
    assert repr(parked) == "<GreenThread worker failed with GreenletExit()>"


@pytest.mark.parametrize("how", [spawn, spawn_n, lambda function: spawn_after(0, function)])
def test_knows_where_it_was_spawned(how: Any) -> None:
    def here() -> GreenThread[Any]:
        thread: GreenThread[Any] = spawn(int) if how is spawn else how(int)
        return thread

    thread = here()
    assert thread.spawned_at.startswith(f"{__file__}:")
    assert ("in here" in thread.spawned_at) == (how in (spawn, spawn_n))
    thread.join(SOON)


# Context variables

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_the_context_is_copied_at_spawn() -> None:
    def read_and_set(value: str) -> str:
        seen = variable.get()
        variable.set(value)
        sleep(0)
        assert variable.get() == value
        return seen

    token = variable.set("caller")
    threads = [spawn(read_and_set, str(number)) for number in range(3)]
    late = spawn_after(0.0001, variable.get)
    variable.set("changed after the spawn")
    assert [thread.wait(SOON) for thread in threads] == ["caller"] * 3
    assert late.wait(SOON) == "caller"
    assert variable.get() == "changed after the spawn"
    variable.reset(token)


def test_a_context_does_not_leak_to_the_carriers_next_tenant() -> None:
    spawn(variable.set, "tenant").wait(SOON)
    assert spawn(variable.get).wait(SOON) == "unset"
    hub_sees: list[str] = []
    get_hub().post(lambda: hub_sees.append(variable.get()))
    sleep(0)
    assert hub_sees == ["unset"]


# What a thread lets go of


class Thing:
    """Something that can be watched for its end."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is released here is released at once, not when the collector comes by."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_arguments_locals_and_context_end_with_the_thread() -> None:
    held: contextvars.ContextVar[Thing] = contextvars.ContextVar("held")

    def work(argument: Thing, *, keyword: Thing) -> None:
        local, in_context = Thing(), Thing()
        held.set(in_context)
        watched.extend(map(weakref.ref, (local, in_context)))
        sleep(0)

    watched: list[weakref.ref[Thing]] = []
    argument, keyword = Thing(), Thing()
    watched.extend(map(weakref.ref, (argument, keyword)))
    thread = spawn(work, argument, keyword=keyword)
    del argument, keyword
    thread.wait(SOON)
    assert [ref() for ref in watched] == [None] * 4


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("end", ["result", "error", "kill", "cancel"])
def test_a_thread_nobody_holds_is_freed_at_its_end(end: str, reported: Reported) -> None:
    def work(thing: Thing) -> Thing:
        sleep(0)
        if end == "error":
            raise LookupError
        return thing

    thing = Thing()
    thread = spawn(work, thing)
    watched: list[weakref.ref[Any]] = [weakref.ref(thing), weakref.ref(thread)]
    del thing
    if end == "cancel":
        thread.cancel()
    sleep(0)
    if end == "kill":
        thread.kill()
    thread.join(SOON)
    reported.clear()
    settle()
    del thread
    assert [ref() for ref in watched] == [None, None]


@pytest.mark.usefixtures("no_collector")
def test_waiting_for_an_error_makes_no_cycle(reported: Reported) -> None:
    def work() -> None:
        raise LookupError

    def wait() -> weakref.ref[Any]:
        thread = spawn(work)
        watched = weakref.ref(thread)
        waiting = thread.wait
        del thread
        try:
            waiting(SOON)
        except LookupError:
            del waiting
        reported.clear()
        return watched

    assert wait()() is None
