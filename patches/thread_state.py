"""Setters of what CPython keeps once per OS thread, made to belong to the calling thread.

Owns who takes such state along: after each setting it looks whether the
running flow has any, and has it moved with that flow from then on.
"""

from __future__ import annotations

import sys
from typing import Any

from greenworld.hub.current import current_waiter
from greenworld.hub.task import HubTask, Task, host_of
from greenworld.hub.thread_state import begin_keeping, end_keeping, has_state

__all__ = ["follow", "set_asyncgen_hooks", "set_coroutine_origin_tracking_depth"]

c_set_asyncgen_hooks = sys.set_asyncgen_hooks
c_set_coroutine_origin_tracking_depth = sys.set_coroutine_origin_tracking_depth


def follow() -> None:
    """Have what is set in this OS thread belong to the calling thread, green or native."""
    waiter = current_waiter()
    if isinstance(waiter, Task) and not isinstance(waiter, HubTask):
        (begin_keeping if has_state() else end_keeping)(host_of(waiter))


def set_asyncgen_hooks(*args: Any, **kwargs: Any) -> None:
    """Set the calling thread's hooks. **Source**: `sys.set_asyncgen_hooks`."""
    c_set_asyncgen_hooks(*args, **kwargs)
    follow()


def set_coroutine_origin_tracking_depth(depth: int) -> None:
    """Set it for the calling thread. **Source**: `sys.set_coroutine_origin_tracking_depth`."""
    c_set_coroutine_origin_tracking_depth(depth)
    follow()
