"""What CPython keeps once per OS thread, and a program expects once per thread.

Owns the moving of that state with the flow that set it: the running event loop of
asyncio (and, from 3.14, the running task), the hooks for asynchronous generators, the
depth of coroutine origin tracking.

1. While nobody has set any of it, no switch pays for it: a task that has set some has its
   class exchanged for one with `Keeping` mixed in, which puts it away while it waits.
2. The state of the OS thread is therefore empty whenever somebody else begins to run.
3. A raw greenlet runs within a flow whose state it shares: guests always look.
4. All of it happens in this folder's code, where no SIGINT handler raises.
"""

from __future__ import annotations

from sys import (
    get_asyncgen_hooks,
    get_coroutine_origin_tracking_depth,
    set_asyncgen_hooks,
    set_coroutine_origin_tracking_depth,
)

from greenworld.hub.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Keeping",
    "begin_keeping",
    "count_waits",
    "end_keeping",
    "has_state",
    "use_loop_slot",
]


class _Slot:
    """How asyncio's running loop is read and written; it must be loaded for that."""

    waits = 0
    get: Callable[[], Any] | None = None
    set: Callable[[Any], Any] | None = None
    swap_task: Callable[[Any, Any], Any] | None = None


def use_loop_slot(
    get: Callable[[], Any],
    set: Callable[[Any], Any],
    swap_task: Callable[[Any, Any], Any] | None,
) -> None:
    """Tell how the running loop is read and written, and, where it is kept beside, the task."""
    _Slot.get, _Slot.set, _Slot.swap_task = get, set, swap_task


def count_waits() -> int:
    """How often a flow with such state has waited."""
    return _Slot.waits


def has_state() -> bool:
    """Whether any of it is set in this OS thread."""
    get = _Slot.get
    return (
        (get is not None and get() is not None)
        or any(get_asyncgen_hooks())
        or get_coroutine_origin_tracking_depth() != 0
    )


def put_away() -> tuple[Any, ...] | None:
    """Empty the OS thread's state; returns what it was for `bring_back`, None if empty already."""
    get = _Slot.get
    loop = None if get is None else get()
    hooks = get_asyncgen_hooks()
    depth = get_coroutine_origin_tracking_depth()
    task = None
    if loop is not None:
        if _Slot.swap_task is not None:
            task = _Slot.swap_task(loop, None)
        _Slot.set(None)  # type: ignore[misc]
    elif not depth and hooks[0] is None and hooks[1] is None:
        return None
    set_asyncgen_hooks(None, None)
    if depth:
        set_coroutine_origin_tracking_depth(0)
    return loop, task, hooks, depth


def bring_back(state: tuple[Any, ...]) -> None:
    """Set what `put_away` has found."""
    loop, task, hooks, depth = state
    if loop is not None:
        _Slot.set(loop)  # type: ignore[misc]
        if task is not None:
            _Slot.swap_task(loop, task)  # type: ignore[misc]
    set_asyncgen_hooks(*hooks)
    if depth:
        set_coroutine_origin_tracking_depth(depth)


class Keeping:
    """Mixed into the class of a task: its flow's state is put away while others run."""

    __slots__ = ()

    def park(self, what: object, lot: Any, timeout: float | None = None) -> bool:
        """See `Task.park`. **Blocks** always."""
        _Slot.waits += 1
        state = put_away()
        if state is None:
            return super().park(what, lot, timeout)  # type: ignore[misc,no-any-return]
        try:
            return super().park(what, lot, timeout)  # type: ignore[misc,no-any-return]
        finally:
            bring_back(state)

    def give_way(self) -> None:
        """See `Task.give_way`. **Blocks** briefly."""
        hub: Any = self.hub  # type: ignore[attr-defined]
        if hub.credit > 1 and not hub.ready:
            hub.credit -= 1
            return
        _Slot.waits += 1
        state = put_away()
        try:
            super().give_way()  # type: ignore[misc]
        finally:
            if state is not None:
                bring_back(state)


class _Remainder:
    """A waiter for the end of a green thread: what it has left set ends with it."""

    __slots__ = ()

    def wake(self) -> None:
        put_away()


_remainder = _Remainder()
_keeping_class: dict[type, type] = {}


def begin_keeping(task: Any) -> None:
    """From now on the task's flow takes its state along. Only on its own OS thread."""
    plain = type(task)
    if issubclass(plain, Keeping):
        return
    keeping = _keeping_class.get(plain)
    if keeping is None:
        names = {
            "__slots__": (),
            "__module__": plain.__module__,
            "__qualname__": plain.__qualname__,
        }
        keeping = _keeping_class[plain] = type(plain.__name__, (Keeping, plain), names)
    task.__class__ = keeping
    if hasattr(task, "waiters"):
        task.waiters.append(_remainder)


def end_keeping(task: Any) -> None:
    """Its flow has no state any more: its switches cost what they did. On its own OS thread."""
    keeping = type(task)
    plain = keeping.__mro__[2]
    if _keeping_class.get(plain) is not keeping:
        return
    task.__class__ = plain
    if hasattr(task, "waiters") and _remainder in task.waiters:
        task.waiters.remove(_remainder)
