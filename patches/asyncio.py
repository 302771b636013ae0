"""asyncio beside green threads: a loop per thread, green or native, and native executors.

Owns what is asyncio's own; its selectors, sockets, locks and children wait
cooperatively because theirs do.

1. The running loop is its thread's: it moves with the flow (hub/thread_state.py).
2. The loop of a policy, too, is kept once per thread, green or native.
3. What a loop gives to its default executor runs on native threads.
4. A turn of a loop that has not waited gives way: a busy loop starves nobody.
"""

from __future__ import annotations

from asyncio import base_events, events, tasks
from typing import TYPE_CHECKING, Any

from greenworld.hub.flow import current_greenlet
from greenworld.hub.local import local
from greenworld.hub.thread_state import count_waits, has_state, use_loop_slot
from greenworld.patches.executors import NativeExecutor
from greenworld.patches.thread_state import follow

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PolicyLocal", "run_in_executor", "run_once", "set_running_loop", "settle"]

plain_set_running_loop: Any = events._set_running_loop
plain_run_in_executor: Any = base_events.BaseEventLoop.run_in_executor
plain_run_once: Any = base_events.BaseEventLoop._run_once  # type: ignore[attr-defined]


def _task_swapper() -> Callable[[Any, Any], Any] | None:
    """What exchanges the running task, where the OS thread has but one, whatever the loop."""
    if hasattr(tasks, "_current_tasks") or not hasattr(tasks, "_c_swap_current_task"):
        return None
    swap: Callable[[Any, Any], Any] = tasks._c_swap_current_task
    return swap


use_loop_slot(events._get_running_loop, plain_set_running_loop, _task_swapper())


def set_running_loop(loop: Any, /) -> None:
    """Set the loop that runs in the calling thread. **Source**: `asyncio._set_running_loop`."""
    plain_set_running_loop(loop)
    follow()


class PolicyLocal(local):
    """**Source**: `asyncio.events.BaseDefaultEventLoopPolicy._Local`."""

    _loop = None
    _set_called = False


def run_once(self: Any) -> None:
    """Wait for events and run what is ready. **Blocks.** **Source**: `BaseEventLoop._run_once`."""
    waits = count_waits()
    plain_run_once(self)
    if waits == count_waits():
        task = getattr(current_greenlet(), "task", None)
        if task is not None:
            task.give_way()


def run_in_executor(self: Any, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
    """A future of `func(*args)`, called by an executor, by default on a native thread.

    Never switches for long. **Source**: `asyncio.loop.run_in_executor`.
    """
    if executor is None and self._default_executor is None:
        self._check_default_executor()
        self._default_executor = NativeExecutor(thread_name_prefix="asyncio")
    return plain_run_in_executor(self, executor, func, *args)


def settle() -> Callable[[], None]:
    """A loop that runs already is the caller's, and so is that of the policy; returns the undo."""
    if has_state():
        follow()
    policy: Any = getattr(events, "_event_loop_policy", None)
    old: Any = getattr(policy, "_local", None)
    if old is None or isinstance(old, local):
        return lambda: None
    policy._local = PolicyLocal()
    vars(policy._local).update(vars(old))

    def undo() -> None:
        policy._local = old

    return undo
