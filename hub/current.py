"""The hub and the task of the running code.

Owns the OS thread's reference to its hub, the hubs of the process, the
SIGINT handler that spares green threads, the fresh start after `fork`, and the
halt of other OS threads' hubs at exit.
"""

from __future__ import annotations

import atexit
import os
import sys
from _thread import _count as count_threads
from _thread import _local, allocate_lock, get_ident
from collections import deque
from functools import partial
from os import getpid
from signal import SIGINT, default_int_handler, getsignal, signal
from sys import is_finalizing
from threading import main_thread

from greenlet import GreenletExit

from greenworld.hub.entries import HubCall
from greenworld.hub.flow import current_greenlet
from greenworld.hub.loop import Hub
from greenworld.hub.task import Guest, MainTask, Task
from greenworld.hub.typed import TYPE_CHECKING, Any, NoReturn
from greenworld.hub.waiter import NativeWaiter, native_waiters, pool_calls, pool_threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = [
    "all_hubs",
    "current_task",
    "current_waiter",
    "end_forked_process",
    "get_hub",
    "has_hub",
    "on_interrupt",
    "runs_in_main",
]


class _HubOwner:
    """Ends the hub when its OS thread ends and lets go of its locals."""

    __slots__ = ("hub",)

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def __del__(
        self, is_finalizing: Callable[[], bool] = is_finalizing, getpid: Callable[[], int] = getpid
    ) -> None:
        if is_finalizing():
            return  # the kernel closes what is open
        if getpid() != _Main.process:
            _abandoned.append(self)  # its OS thread has not ended, a fork has left it behind
            return
        hub = self.hub
        _hubs.discard(hub)
        if not (hub.closed or hub.is_main) and hub.thread_id == get_ident():
            hub.dismiss()
        hub.close()


class _Main:
    """The ident of the main OS thread; a fork may make another one main."""

    ident = main_thread().ident
    process = getpid()
    interrupted = False
    """Whether a SIGINT is on its way to the main green thread."""
    phantoms = 0
    """OS threads that the interpreter still counts, although a fork has left them behind."""


HALT_SECONDS = 1.0
HALT_PATIENCE = 0.5
LAST_CREDIT = 1 << 20

_FOLDER = __file__[: -len("current.py")]
_tls: Any = _local()
_hubs: set[Hub] = set()
_abandoned: list[object] = []
"""In a forked child: the parent's hubs. Dropping them would run the `finally` blocks of its
green threads here."""


def get_hub() -> Hub:
    """The hub of the calling OS thread, made on first use. Never switches."""
    try:
        hub: Hub = _tls.hub
    except AttributeError:
        return _make_hub()
    return hub


def has_hub() -> bool:
    """Whether the calling OS thread has a hub already."""
    return hasattr(_tls, "hub")


def all_hubs() -> list[Hub]:
    """Every hub of the process whose OS thread lives."""
    return list(_hubs)


def current_waiter() -> Task | NativeWaiter:
    """Who waits if the running code waits: its task, or its OS thread where no hub runs.

    The main OS thread makes its hub for this; the others do not (rule 2.1).
    """
    try:
        task: Task = current_greenlet().task
    except AttributeError:
        return _find_waiter()
    return task


def current_task() -> Task:
    """The task of the running code; makes a hub where there is none."""
    try:
        task: Task = current_greenlet().task
    except AttributeError:
        hub = get_hub()
        current = current_greenlet()
        task = hub.main if current is hub.main.greenlet else hub.adopt(current)
    return task


def _find_waiter() -> Task | NativeWaiter:
    if has_hub() or get_ident() == _Main.ident:
        return current_task()
    try:
        waiter: NativeWaiter = _tls.waiter
    except AttributeError:
        waiter = _tls.waiter = NativeWaiter()
    return waiter


def _make_hub(main: Task | None = None) -> Hub:
    is_main = get_ident() == _Main.ident
    hub = Hub(is_main=is_main, main=main)
    hub.phantom_threads = _Main.phantoms
    _tls.hub = hub
    _tls.owner = _HubOwner(hub)
    _hubs.add(hub)
    if is_main and getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, on_interrupt)
    if is_main:
        hub.wakeup.hear_signals()
    return hub


def on_interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt in the main green thread, whoever runs now.

    The default handler would raise it in whichever green thread is running,
    or inside the hub, between two steps that belong together. A second SIGINT
    before the first has arrived is raised where it strikes: a green thread
    that never gives way can be interrupted so.
    """
    hub = get_hub()
    if runs_in_main(hub, frame) or (_Main.interrupted and current_greenlet() is not hub.greenlet):
        _Main.interrupted = False
        raise KeyboardInterrupt
    _Main.interrupted = True
    # Ahead of all others: main may be next, and may not wait again for long.
    hub.ready.appendleft(HubCall(hub, _deliver_interrupt))
    if hub.polling:
        hub.interrupt()


def _deliver_interrupt() -> None:
    if _Main.interrupted:
        _Main.interrupted = False
        get_hub().raise_in_main(KeyboardInterrupt())


def runs_in_main(hub: Hub, frame: FrameType | None) -> bool:
    """Whether a signal has struck the main green thread in code that an exception may leave."""
    main = hub.main
    return current_greenlet() is main.greenlet and main.lot is None and not _of_hub(frame)


def _of_hub(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith(_FOLDER)


on_interrupt.only_interrupts = True  # type: ignore[attr-defined]


def _start_afresh() -> None:
    """In a forked child: the forking flow is main, nothing else of the parent runs (rule 5.7)."""
    _Main.ident = get_ident()
    _Main.process = getpid()
    _Main.phantoms = count_threads()
    _Main.interrupted = False
    pool_threads.clear()
    pool_calls.clear()
    old: Hub | None = getattr(_tls, "hub", None)
    flow = [] if old is None else _current_flow(old)
    _abandoned.append(_tls.__dict__.pop("owner", None))
    _empty_lots(flow)
    for hub in all_hubs():
        _abandoned.append((hub, list(hub.ready), list(hub.fresh)))
        hub.close()
        hub.ready.clear()
        hub.fresh.clear()
    _hubs.clear()
    if old is not None:
        del _tls.hub
        _move_flow(flow, old)


def _current_flow(hub: Hub) -> list[Task]:
    """The running task and those it runs in, the innermost first; empty on the hub's greenlet."""
    flow: list[Task] = []
    current = current_greenlet()
    while current is not None and current is not hub.greenlet:
        task: Task | None = getattr(current, "task", None)
        if task is not None:
            flow.append(task)
        current = current.parent
    return flow


def _empty_lots(flow: list[Task]) -> None:
    """Take whoever never runs again out of its lot: it would be given items, permits and locks."""
    living = {id(task) for task in flow}
    gone: dict[int, Any] = {
        id(task): task for hub in _hubs for task in hub.tasks() if id(task) not in living
    }
    gone.update((id(waiter), waiter) for waiter in native_waiters)
    lots = {id(waiter.lot): waiter.lot for waiter in gone.values()}
    for lot in lots.values():
        if isinstance(lot, (deque, list)):
            staying = [waiter for waiter in lot if id(waiter) not in gone]
            lot.clear()
            lot.extend(staying)


def _move_flow(flow: list[Task], old: Hub) -> None:
    """Make the forking flow, with the raw greenlets it runs in, the main task of a fresh hub."""
    if not flow:  # a callback of the hub has forked
        old.ready.append(ProcessEnd(None))
        return
    hub = _make_hub(main=flow[-1])
    for task in flow:
        task.hub = hub
        if isinstance(task, Guest):
            hub.guests.append(task)
    if not isinstance(flow[-1], MainTask):
        forker: Any = flow[-1]
        # Who waits for it, waits in the parent.
        _abandoned.append(list(forker.waiters))
        forker.waiters[:] = [ProcessEnd(forker)]


class ProcessEnd:
    """Ends a forked child with the green thread that forked: in this process it is main."""

    __slots__ = ("forker", "greenlet")

    def __init__(self, forker: Any) -> None:
        self.forker = forker
        self.greenlet = current_greenlet()

    def wake(self) -> None:
        """The flow has ended."""
        end_forked_process(None if self.forker is None else self.forker.exception)

    switch = wake


def end_forked_process(error: BaseException | None = None) -> NoReturn:
    """End a process in which there is nothing but the flow that `error`, if any, has ended.

    As the interpreter would: exit functions, flushed streams, status.
    """
    status = 1
    try:
        status = _exit_status(error)
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    finally:
        os._exit(status)


def _exit_status(error: BaseException | None) -> int:
    """What a process ends with whose main flow `error` has ended, if any."""
    if error is None or isinstance(error, GreenletExit):
        return 0
    if not isinstance(error, SystemExit):
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


class _Halt:
    """Keeps the hubs of other OS threads from running while the interpreter ends.

    An OS thread that wants the GIL then is ended on the spot, which unwinds its
    stack: a crash, if a greenlet runs on it. One that waits for a lock wants nothing.
    """

    def __init__(self, hubs: list[Hub]) -> None:
        self._running = reversed(range(len(hubs)))
        self._halted = allocate_lock()
        self._never = allocate_lock()
        self._halted.acquire()
        self._never.acquire()
        for hub in hubs:
            hub.post(partial(self._first_stop, hub))

    def wait(self) -> None:
        """Wait for all of them, but not for long: one may be busy."""
        self._halted.acquire(True, HALT_PATIENCE)

    def _first_stop(self, hub: Hub) -> None:
        if next(self._running) == 0:  # one atomic step
            self._halted.release()
        self._stop(hub)

    def _stop(self, hub: Hub) -> None:
        """On the hub's greenlet. Should the end take long, who waits for it gets on slowly.

        What runs then may be what the end has waited for: it must be back here, on the lock,
        before it lets go of the GIL. Therefore the kernel is asked first, and not in between.
        """
        self._never.acquire(True, HALT_SECONDS)
        hub.run_due()
        hub.post(partial(self._stop, hub))
        hub.credit = LAST_CREDIT


def _halt_others() -> None:
    own = getattr(_tls, "hub", None)
    others = [hub for hub in all_hubs() if hub is not own]
    if others:
        _Halt(others).wait()


os.register_at_fork(after_in_child=_start_afresh)
if sys.version_info < (3, 14):  # from then on such a thread hangs instead
    atexit.register(_halt_others)
