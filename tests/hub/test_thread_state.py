"""State that CPython keeps once per OS thread and that moves with the flow that set it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from greenlet import greenlet

from greenworld.hub import Event, GreenThread, getcurrent, kill, sleep, spawn, thread_state
from greenworld.hub.task import Guest, MainTask
from greenworld.hub.thread_state import Keeping, begin_keeping, end_keeping, has_state

LIMIT = 20.0
NONE = (None, None)


def hook(generator: object) -> None:
    """What a loop would do with an asynchronous generator."""


def set_hook() -> None:
    sys.set_asyncgen_hooks(hook, None)
    sys.set_coroutine_origin_tracking_depth(3)
    begin_keeping(getcurrent())


def reset_hook() -> None:
    sys.set_asyncgen_hooks(None, None)
    sys.set_coroutine_origin_tracking_depth(0)
    end_keeping(getcurrent())


def seen() -> tuple[Any, int]:
    return tuple(sys.get_asyncgen_hooks()), sys.get_coroutine_origin_tracking_depth()


OWN = ((hook, None), 3)
EMPTY = (NONE, 0)


@pytest.fixture(autouse=True)
def _leaves_no_state() -> Iterator[None]:
    assert not has_state()
    yield
    assert not has_state()
    assert type(getcurrent()) is MainTask


@pytest.mark.parametrize("wait", [lambda: sleep(0), lambda: sleep(0.001)], ids=["turn", "wait"])
def test_nobody_else_sees_it(wait: Callable[[], None]) -> None:
    log: list[Any] = []

    def owner() -> None:
        set_hook()
        for _ in range(3):
            assert seen() == OWN
            wait()
        assert seen() == OWN
        reset_hook()
        assert type(getcurrent()) is GreenThread

    def other() -> None:
        for _ in range(5):
            log.append(seen())
            wait()

    threads = [spawn(owner), spawn(other), spawn(owner)]
    for thread in threads:
        thread.wait(LIMIT)
    assert set(log) == {EMPTY}


def test_in_the_main_green_thread() -> None:
    set_hook()
    try:
        assert spawn(seen).wait(LIMIT) == EMPTY
        assert seen() == OWN
        assert isinstance(getcurrent(), MainTask)
    finally:
        reset_hook()


def test_a_time_out_brings_it_back() -> None:
    set_hook()
    try:
        assert not Event().wait(0.001)
        assert seen() == OWN
    finally:
        reset_hook()


def test_an_exception_brings_it_back() -> None:
    begun = Event()
    log: list[Any] = []

    def owner() -> None:
        set_hook()
        begun.send()
        try:
            Event().wait()
        finally:
            log.append(seen())
            reset_hook()

    thread = spawn(owner)
    begun.wait(LIMIT)
    kill(thread)
    thread.join(LIMIT)
    assert log == [OWN]


def test_what_is_left_set_ends_with_the_thread() -> None:
    spawn(set_hook).wait(LIMIT)
    assert seen() == EMPTY
    assert spawn(seen).wait(LIMIT) == EMPTY


def test_it_is_taken_along_only_while_it_is_set() -> None:
    def owner() -> list[bool]:
        kept = [isinstance(getcurrent(), Keeping)]
        set_hook()
        kept.append(isinstance(getcurrent(), Keeping))
        begin_keeping(getcurrent())  # as often as one likes
        reset_hook()
        kept.append(isinstance(getcurrent(), Keeping))
        return kept

    thread = spawn(owner)
    assert thread.wait(LIMIT) == [False, True, False]
    assert thread.waiters == []


def test_the_class_keeps_its_name_and_its_ancestors() -> None:
    class Named(GreenThread[None]):
        """A class of the program's own, with a dictionary."""

    thread: Any = Named.__new__(Named)
    thread.waiters = []
    begin_keeping(thread)
    assert isinstance(thread, Keeping)
    assert isinstance(thread, Named)
    assert type(thread).__qualname__ == Named.__qualname__
    end_keeping(thread)
    assert type(thread) is Named
    assert thread.waiters == []


def test_a_raw_greenlet_shares_it() -> None:
    """Code that a loop runs in a greenlet of its own, and that blocks there."""
    log: list[Any] = []
    free = Event()

    def inner() -> None:
        log.append(seen())
        free.wait(LIMIT)
        current: Any = greenlet.getcurrent()
        assert isinstance(current.task, Guest)
        log.append(seen())
        current.parent.switch()
        log.append(seen())

    def owner() -> None:
        set_hook()
        raw = greenlet(inner)
        raw.switch()
        log.append(seen())
        sleep(0)
        raw.switch()
        reset_hook()

    def other() -> None:
        sleep(0)
        log.append(seen())
        free.send()

    threads = [spawn(owner), spawn(other)]
    for thread in threads:
        thread.wait(LIMIT)
    assert log == [OWN, EMPTY, OWN, OWN, OWN]


def test_the_hubs_own_callbacks_see_none() -> None:
    log: list[Any] = []
    set_hook()
    try:
        getcurrent().hub.post(lambda: log.append(seen()))
        sleep(0.001)
    finally:
        reset_hook()
    assert log == [EMPTY]


def test_a_task_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the running task is the OS thread's as the loop is, it goes the same way."""
    slots: dict[str, Any] = {"loop": None, "task": None}

    def swap_task(loop: object, task: object) -> object:
        assert loop is not None
        assert loop is slots["loop"]
        previous, slots["task"] = slots["task"], task
        return previous

    for name in ("get", "set", "swap_task"):
        monkeypatch.setattr(thread_state._Slot, name, getattr(thread_state._Slot, name))
    thread_state.use_loop_slot(
        lambda: slots["loop"], lambda loop: slots.update(loop=loop), swap_task
    )
    log: list[Any] = []

    def owner(name: str) -> None:
        slots["loop"] = name
        begin_keeping(getcurrent())
        for task in (None, f"task of {name}"):
            swap_task(name, task)
            sleep(0)
            log.append((slots["loop"], slots["task"]))
        swap_task(name, None)
        slots["loop"] = None
        end_keeping(getcurrent())

    threads = [spawn(owner, "a"), spawn(owner, "b")]
    for thread in threads:
        thread.wait(LIMIT)
    assert log == [("a", None), ("b", None), ("a", "task of a"), ("b", "task of b")]
    assert slots == {"loop": None, "task": None}
