"""What a program calls to make green threads and to wait: spawn, sleep, kill.

Owns the entries into the runtime; `hub/greenthread.py` owns what a green thread is.
"""

from __future__ import annotations

import sys
from time import sleep as native_sleep

from greenworld.hub.current import current_task, current_waiter, get_hub
from greenworld.hub.flow import current_greenlet
from greenworld.hub.greenthread import GreenThread
from greenworld.hub.task import Task, host_of
from greenworld.hub.typed import TYPE_CHECKING, Any, TypeVar
from greenworld.hub.waiter import NativeWaiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

__all__ = ["getcurrent", "kill", "sleep", "spawn", "spawn_after", "spawn_n"]

T = TypeVar("T")

_getframe = sys._getframe


def _new(level: int, function: Callable[..., T], args: Any, kwargs: Any) -> GreenThread[T]:
    try:
        hub = current_greenlet().task.hub
    except AttributeError:
        hub = get_hub()
    frame = _getframe(level)
    return GreenThread(hub, function, args, kwargs, frame.f_code, frame.f_lasti)


def spawn(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> GreenThread[T]:
    """Run `function(*args, **kwargs)` in a new green thread of this OS thread.

    It starts when the caller next blocks, after what is ready already, in a
    copy of the caller's context variables. Never switches.
    """
    # As _new does, without its call: the rate of spawning is a figure we are known by.
    try:
        hub = current_greenlet().task.hub
    except AttributeError:
        hub = get_hub()
    frame = _getframe(1)
    thread = GreenThread(hub, function, args, kwargs, frame.f_code, frame.f_lasti)
    hub.fresh.append(thread)
    hub.ready.append(hub.starter)
    return thread


def spawn_n(
    function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
) -> GreenThread[Any]:
    """`spawn` under eventlet's name for "I shall not ask for the result"."""
    thread = _new(2, function, args, kwargs)
    thread.hub.start(thread)
    return thread


def spawn_after(
    seconds: float, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> GreenThread[T]:
    """`spawn`, `seconds` from now. `cancel` it before that and it never starts."""
    thread = _new(2, function, args, kwargs)
    thread.lot = thread.hub.timers.start(seconds, thread.due)
    return thread


def sleep(seconds: float = 0) -> None:
    """Let others run for at least `seconds`; with 0 or less, for one round of the run queue.

    **Blocks.** In an OS thread without a hub it sleeps natively.
    """
    try:
        task = current_greenlet().task
    except AttributeError:
        task = current_waiter()
        if isinstance(task, NativeWaiter):
            native_sleep(max(0, seconds))
            return
    if seconds <= 0:
        task.give_way()
        return
    timer = task.hub.timers.start(seconds, task.wake)
    task.park(timer, timer)


def getcurrent() -> Task:
    """The green thread that is running, or the main one (never a raw greenlet)."""
    return host_of(current_task())


def kill(thread: GreenThread[Any], *throw_args: Any) -> None:
    """`thread.kill(*throw_args)`. **Source**: eventlet."""
    thread.kill(*throw_args)
