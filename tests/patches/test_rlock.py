"""The re-entrant lock, as a library sees it that asks where it comes from."""

from __future__ import annotations

import _thread
from collections.abc import Callable

from greenworld.hub import RLock as OurRLock
from greenworld.patches.rlock import RLock


def test_it_says_that_it_comes_from_thread() -> None:
    lock = RLock()
    native = type(_thread.RLock())
    assert (RLock.__module__, RLock.__name__) == (native.__module__, native.__name__)
    assert repr(lock).startswith("<unlocked _thread.RLock object")
    assert isinstance(lock, OurRLock)


def test_threading_makes_it(program: Callable[..., str]) -> None:
    out = program(
        """
import threading
from greenworld.patches import monkey_patch
monkey_patch()
from greenworld.patches.rlock import RLock
lock = threading.RLock()
print(type(lock) is RLock, threading._PyRLock is not RLock)
with lock, lock:
    print(lock._is_owned())
print(lock._is_owned())
"""
    )
    assert out.splitlines() == ["True True", "True", "False"]
