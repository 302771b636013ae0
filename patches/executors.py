"""Executors and threads that are native although green threads could run in their place.

Owns what asyncio gives blocking calls to: such a call may be one that nothing
makes cooperative, and the loop is to go on meanwhile.

1. The classes are the standard library's with one thing changed: `threading.Thread`.
2. Such a thread has no hub: what it calls waits natively (rule 2.1).
"""

from __future__ import annotations

import threading
from concurrent.futures import thread as stdlib
from types import FunctionType, SimpleNamespace
from typing import Any

__all__ = ["NativeExecutor", "NativeThread"]


class NativeThread(threading.Thread):
    """A `Thread` that is an OS thread of its own."""

    runs_natively = True


class NativeExecutor(stdlib.ThreadPoolExecutor):
    """A `ThreadPoolExecutor` whose workers are native threads."""

    _adjust_thread_count: Any = FunctionType(
        stdlib.ThreadPoolExecutor._adjust_thread_count.__code__,
        {**vars(stdlib), "threading": SimpleNamespace(Thread=NativeThread)},
    )
