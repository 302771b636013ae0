"""Signal masks and signals for single threads: the part of `signal` that names a thread.

A mask belongs to an OS thread, and natively a thread that blocks signals for
itself leaves them to the others. Green threads share the OS thread with main,
which would be deaf with it: the resource sharer of `multiprocessing` blocks
every signal in its thread. So:

1. The mask that a green thread sets is its own and is only remembered; it
   begins as that of its OS thread. Main, and native threads, set the real one.
2. A signal for a green thread goes to its OS thread.
"""

from __future__ import annotations

import signal as _signal
from typing import TYPE_CHECKING, Any

from greenworld.hub.current import all_hubs
from greenworld.hub.flow import current_greenlet
from greenworld.hub.greenthread import GreenThread
from greenworld.hub.local import local
from greenworld.hub.task import Guest

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["pthread_kill", "pthread_sigmask"]

plain_pthread_kill: Any = getattr(_signal, "pthread_kill", None)
plain_pthread_sigmask: Any = getattr(_signal, "pthread_sigmask", None)

_own: Any = local()


def pthread_sigmask(how: int, mask: Iterable[int], /) -> set[int]:
    """Block or unblock signals in the calling thread; returns the mask it had. Never switches.

    **Source**: `signal.pthread_sigmask`.
    """
    changes = (_signal.SIG_BLOCK, _signal.SIG_UNBLOCK, _signal.SIG_SETMASK)
    if not _in_green_thread() or how not in changes:
        real: set[int] = plain_pthread_sigmask(how, mask)
        return real
    old: set[int] | None = getattr(_own, "mask", None)
    if old is None:
        old = plain_pthread_sigmask(_signal.SIG_BLOCK, ())
    numbers = {_checked(number) for number in mask}
    if how == _signal.SIG_BLOCK:
        _own.mask = old | numbers
    elif how == _signal.SIG_UNBLOCK:
        _own.mask = old - numbers
    else:
        _own.mask = numbers
    return set(old)


def _in_green_thread() -> bool:
    task = getattr(current_greenlet(), "task", None)
    while type(task) is Guest:
        task = task.host
    return isinstance(task, GreenThread)


def _checked(number: int) -> int:
    if not 0 < number < _signal.NSIG:
        raise ValueError(f"signal number {number} out of range [1; {_signal.NSIG - 1}]")
    try:
        return _signal.Signals(number)
    except ValueError:
        return number


def pthread_kill(thread_id: int, signalnum: int, /) -> None:
    """Send a signal to a thread; for a green thread, to its OS thread. Never switches.

    **Source**: `signal.pthread_kill`.
    """
    for hub in all_hubs():
        green = (task for task in (*hub.tasks(), *hub.fresh) if isinstance(task, GreenThread))
        if any(id(task) == thread_id for task in green):
            thread_id = hub.thread_id
            break
    plain_pthread_kill(thread_id, signalnum)


for _function in (pthread_kill, pthread_sigmask):
    _function.__module__ = "signal"  # as their originals say
