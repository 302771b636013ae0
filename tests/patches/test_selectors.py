"""Selectors: every class is kept, waits cooperatively, and has a descriptor where it had one."""

from __future__ import annotations

import os
import selectors as stdlib_selectors
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.patches import select, selectors

NAMES = ("SelectSelector", "PollSelector", "EpollSelector", "DevpollSelector", "KqueueSelector")


@pytest.fixture(params=NAMES)
def selector(request: pytest.FixtureRequest) -> Iterator[Any]:
    if not hasattr(stdlib_selectors, request.param):
        pytest.skip(f"this system has no {request.param}")
    with getattr(selectors, request.param)() as selector:
        yield selector


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_offers_every_public_name_of_the_original() -> None:
    names = [name for name in dir(stdlib_selectors) if not name.startswith("_")]
    assert [name for name in names if not hasattr(selectors, name)] == []
    assert selectors.SelectorKey is stdlib_selectors.SelectorKey


def test_the_best_is_still_the_default() -> None:
    assert issubclass(selectors.DefaultSelector, stdlib_selectors.DefaultSelector)
    with selectors.DefaultSelector() as selector:
        assert isinstance(selector, stdlib_selectors.BaseSelector)
        assert selector.fileno() >= 0


def test_waits(selector: Any, pipe: Any, start: Any) -> None:
    reading, writing = pipe
    selector.register(reading, selectors.EVENT_READ, "data")
    selecting = start(selector.select)
    sleep(0)
    assert not selecting.ready()
    os.write(writing, b"x")
    [(key, events)] = selecting.wait(20)
    assert (key.fd, key.data, events) == (reading, "data", selectors.EVENT_READ)
    selector.register(writing, selectors.EVENT_WRITE)
    assert len(selector.select(20)) == 2


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_times_out(selector: Any, pipe: Any, timeout: float) -> None:
    assert selector.select(timeout) == []
    selector.register(pipe[0], selectors.EVENT_READ)
    assert selector.select(timeout) == []


def test_several_selectors_wait_at_once(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    threads = []
    made = []
    for name in NAMES:
        if hasattr(stdlib_selectors, name):
            made.append(getattr(selectors, name)())
            made[-1].register(reading, selectors.EVENT_READ)
            threads.append(start(made[-1].select, 20))
    sleep(0)
    os.write(writing, b"x")
    assert [len(thread.wait(20)) for thread in threads] == [1] * len(made)
    for selector in made:
        selector.close()


def test_the_original_wakes_nobody_of_ours() -> None:
    with stdlib_selectors.DefaultSelector() as selector:
        assert not isinstance(selector, selectors.DefaultSelector)
    assert select.select is not stdlib_selectors.select.select


PATCHED = """
import selectors, sys
from selectors import DefaultSelector
names = [n for n in %r if hasattr(selectors, n)]
before = [getattr(selectors, n)() for n in names]

class Own(selectors.DefaultSelector):
    def select(self, timeout=None):
        return super().select(timeout)

before.append(Own())
from greenworld.patches import monkey_patch
monkey_patch()
import os, threading, time

assert DefaultSelector is selectors.DefaultSelector
assert DefaultSelector().fileno() >= 0
reading, writing = os.pipe()
after = [getattr(selectors, n)() for n in names]
for number in range(20):
    results = []

    def wait(selector):
        results.append(selector.select(30)[0][0].fd)

    threads = []
    for selector in before + after:
        if number == 0:
            selector.register(reading, selectors.EVENT_READ)
        threads.append(threading.Thread(target=wait, args=(selector,)))
        threads[-1].start()
    assert results == []
    os.write(writing, b"x")
    for thread in threads:
        thread.join()
    assert results == [reading] * len(before + after), results
    os.read(reading, 1)
print("done")
"""


def test_selectors_from_before_the_patch(program: Callable[..., str]) -> None:
    """Complaint: both peers remove the better selectors, and `fileno` with them."""
    assert program(PATCHED % (NAMES,)) == "done\n"
