"""Executors and threads that are native although green threads could run in their place.

Owns what asyncio, trio and anyio give blocking calls to: such a call may be
one that nothing makes cooperative, and the loop is to go on meanwhile.

1. The classes are the standard library's with one thing changed: `threading.Thread`.
2. Such a thread has no hub: what it calls waits natively (rule 2.1).
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import thread as stdlib
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NativeExecutor", "NativeThread", "settle_trio", "start_natively"]


class NativeThread(threading.Thread):
    """A `Thread` that is an OS thread of its own."""

    runs_natively = True


def start_natively(self: Any) -> None:
    """Start a `Thread` as an OS thread of its own. **Source**: `threading.Thread.start`."""
    self.runs_natively = True
    threading.Thread.start(self)


def settle_trio() -> Callable[[], None]:
    """Let the threads that trio keeps for blocking calls be native; returns the undo.

    No row of the table: the class is everybody's, only trio's name for it is to change.
    """
    cache: Any = sys.modules["trio._core._thread_cache"]
    old = cache.Thread
    cache.Thread = NativeThread

    def undo() -> None:
        cache.Thread = old

    return undo


class NativeExecutor(stdlib.ThreadPoolExecutor):
    """A `ThreadPoolExecutor` whose workers are native threads."""

    _adjust_thread_count: Any = FunctionType(
        stdlib.ThreadPoolExecutor._adjust_thread_count.__code__,
        {**vars(stdlib), "threading": SimpleNamespace(Thread=NativeThread)},
    )
