"""The cooperative counterpart of the standard module `signal`.

Owns which green thread a handler runs in, and the waits for signals. The
hub's wake-up ends its sleep when one arrives (rule 2.10).

1. A handler runs in the main green thread, as it natively runs in the main
   thread. Where main is not the one that was struck, it runs on main's behalf
   as soon as the running green thread gives way: it may block, it holds the
   locks that main holds, and what it raises is raised in main.
2. A second signal of the same kind before that runs the handler where it
   strikes, so that a green thread that never gives way can be interrupted.
3. The interpreter's wake-up descriptor stays the hub's. The program's own
   gets the numbers of the signals from the hub, and is told by
   `set_wakeup_fd` what it set before.
4. A signal that a program waits for is blocked and pending: the kernel is
   asked at intervals that grow to `LONGEST_DELAY`.
"""

from __future__ import annotations

import signal as _stdlib
from _signal import getsignal as _c_getsignal  # type: ignore[import-not-found]
from _signal import signal as _c_signal
from signal import *  # noqa: F403 - the counterpart offers what the original offers
from typing import TYPE_CHECKING
from typing import Any as _Any

from greenlet import greenlet as _greenlet

from greenworld.hub.current import current_waiter as _current_waiter
from greenworld.hub.current import get_hub as _get_hub
from greenworld.hub.current import has_hub as _has_hub
from greenworld.hub.current import on_interrupt as _on_interrupt
from greenworld.hub.current import runs_in_main as _runs_in_main
from greenworld.hub.flow import current_greenlet as _current_greenlet
from greenworld.hub.task import Guest as _Guest
from greenworld.hub.task import HubTask as _HubTask
from greenworld.hub.task import Task as _Task
from greenworld.hub.task import host_of as _host_of
from greenworld.hub.waiter import wake_all as _wake_all
from greenworld.hub.wakeup import tap as _tap
from greenworld.patches.children import until as _until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from greenworld.hub.loop import Hub

__all__ = [name for name in vars(_stdlib) if not name.startswith("_")]

_plain_signal = _stdlib.signal
_plain_getsignal = _stdlib.getsignal
_plain_set_wakeup_fd = _stdlib.set_wakeup_fd
_plain_raise_signal = _stdlib.raise_signal
# Not on every platform.
_plain_pause: _Any = getattr(_stdlib, "pause", None)
_plain_sigwait: _Any = getattr(_stdlib, "sigwait", None)
_plain_sigwaitinfo: _Any = getattr(_stdlib, "sigwaitinfo", None)
_plain_sigtimedwait: _Any = getattr(_stdlib, "sigtimedwait", None)
_plain_sigpending: _Any = getattr(_stdlib, "sigpending", None)

_LONG = 86400.0
"""Seconds. Who waits for so long is not deadlocked: any signal may end the process."""

_pausing: list[_Task] = []
"""Who waits in `pause`."""


class _Handler:
    """What the interpreter calls in place of a program's handler, in the main OS thread."""

    __slots__ = ("function", "pending")

    def __init__(self, function: Callable[[int, FrameType | None], object]) -> None:
        self.function = function
        self.pending = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not _has_hub():
            self.function(number, frame)
            return
        hub = _get_hub()
        on_hub = _current_greenlet() is hub.greenlet
        if _main_was_struck(hub, frame) or (self.pending and not on_hub):
            self.pending = False
            try:
                self.function(number, frame)
            finally:
                _wake_all(_pausing)
        elif not self.pending:
            self.pending = True
            # Ahead of all others, as natively main is soon interrupted.
            hub.ready.appendleft(_Delivery(hub, self, number))
            if hub.polling:
                hub.interrupt()


def _main_was_struck(hub: Hub, frame: FrameType | None) -> bool:
    """Whether the handler may run where it was called, and raise."""
    if _runs_in_main(hub, frame):
        return True
    task = getattr(_current_greenlet(), "task", None)
    return type(task) is _Guest and _host_of(task) is hub.main and task.lot is None


class _Delivery:
    """An entry of the run queue: a handler that is to run on behalf of the main green thread."""

    __slots__ = ("_handler", "_number", "greenlet", "hub")

    def __init__(self, hub: Hub, handler: _Handler, number: int) -> None:
        self.hub = hub
        self.greenlet = hub.greenlet
        self._handler = handler
        self._number = number

    def switch(self) -> _Any:
        """Have the hub's greenlet begin it."""
        return self.hub.enter(self)

    def begin(self) -> _Any:
        """On the hub's greenlet: run the handler in a greenlet of its own, as main's guest."""
        hub = self.hub
        if not self._handler.pending:
            return None  # it has run where a second signal struck
        self._handler.pending = False
        raw: _Any = _greenlet(self._run, hub.greenlet)
        raw.task = guest = _Guest(hub, raw, hub.main)
        assert hub.main.greenlet is not None
        raw.gr_context = hub.main.greenlet.gr_context
        hub.guests.append(guest)
        return raw.switch(guest)

    def _run(self, guest: _Guest) -> None:
        hub = self.hub
        main = hub.main.greenlet
        try:
            self._handler.function(self._number, None if main is None else main.gr_frame)
        except BaseException as error:  # noqa: BLE001 - raised in main
            hub.raise_in_main(error)
        finally:
            if guest in hub.guests:
                hub.guests.remove(guest)
            _wake_all(_pausing)


def _wrapped(handler: _Any) -> _Any:
    if handler is _stdlib.default_int_handler:
        return _on_interrupt  # the same, but it spares the other green threads
    if not callable(handler) or isinstance(handler, _Handler) or handler is _on_interrupt:
        return handler
    return _Handler(handler)


def _unwrapped(handler: _Any) -> _Any:
    if handler is _on_interrupt:
        return _stdlib.default_int_handler
    return handler.function if isinstance(handler, _Handler) else handler


def _check_main(what: str) -> Hub | None:
    """The main hub; None in other OS threads, where the original refuses.

    ValueError in a green thread: as natively, signals are the main thread's business.
    """
    task = _current_waiter()
    if not isinstance(task, _Task) or not task.hub.is_main:
        return None
    hub = task.hub
    if not isinstance(task, _HubTask) and _host_of(task) is not hub.main:
        raise ValueError(f"{what} only works in main thread of the main interpreter")
    return hub


def signal(signalnum: int, handler: _Any) -> _Any:  # type: ignore[no-redef]
    """Let `handler(number, frame)` run on a signal, in the main thread; returns the previous one.

    Lets others run before it returns. ValueError outside the main thread.
    **Source**: `signal.signal`.
    """
    _check_main("signal")
    previous = _unwrapped(_plain_signal(signalnum, _wrapped(handler)))
    _give_way()
    return previous


def raise_signal(signalnum: int, /) -> None:  # type: ignore[no-redef]
    """Send a signal to this process. Outside the main thread it lets the handler run there.

    **Source**: `signal.raise_signal`.
    """
    _plain_raise_signal(signalnum)
    _give_way()


def _give_way() -> None:
    """Natively threads take turns here: one that sends or sets again and again starves nobody."""
    task = getattr(_current_greenlet(), "task", None)
    if task is not None and task.lot is None and not isinstance(task, _HubTask):
        task.give_way()


def getsignal(signalnum: int) -> _Any:  # type: ignore[no-redef]
    """The handler that the program has set. **Source**: `signal.getsignal`."""
    return _unwrapped(_plain_getsignal(signalnum))


def set_wakeup_fd(fd: int, /, *, warn_on_full_buffer: bool = True) -> int:  # type: ignore[no-redef]
    """Have the numbers of arriving signals written to `fd` (-1: to none); returns the last `fd`.

    The hub goes on hearing of signals, and writes their numbers to `fd`. Never
    switches. ValueError and OSError as of the original. **Source**: `signal.set_wakeup_fd`.
    """
    hub = _check_main("set_wakeup_fd")
    if hub is None:
        return _plain_set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)
    _claim(hub)
    hub.wakeup.drain()  # what has arrived concerns the last one
    previous = _tap.fd
    _plain_set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)  # whether it may be
    hub.wakeup.hear_signals()
    _tap.fd, _tap.warns = fd, warn_on_full_buffer
    return previous


def _claim(hub: Hub) -> None:
    """Let the hub take the interpreter's slot from whoever has it."""
    if not _tap.claimed:
        _tap.claimed = True
        hub.wakeup.hear_signals()


def pause() -> None:  # type: ignore[no-redef]
    """Wait until a signal handler has run. **Blocks**. **Source**: `signal.pause`."""
    waiter = _current_waiter()
    if not isinstance(waiter, _Task) or not waiter.hub.is_main:
        _plain_pause()
        return
    _pausing.append(waiter)
    while not waiter.park(_Pause, _pausing, _LONG):
        _pausing.append(waiter)


class _Pause:
    """What a report says of `pause`."""

    @staticmethod
    def describe_wait(lot: object) -> str:
        return "a signal"


def sigwait(sigset: Iterable[int]) -> _Any:  # type: ignore[no-redef]
    """Wait for one of these blocked signals. **Blocks**. **Source**: `signal.sigwait`."""
    if not isinstance(_current_waiter(), _Task):
        return _plain_sigwait(sigset)
    numbers = set(sigset)
    if _plain_sigtimedwait is not None:
        return _stdlib.Signals(sigwaitinfo(numbers).si_signo)

    def attempt() -> _Any:
        return _plain_sigwait(numbers) if numbers & _plain_sigpending() else None

    return _until(attempt, None)


def sigwaitinfo(sigset: Iterable[int], /) -> _Any:  # type: ignore[no-redef]
    """`sigwait` that returns a `struct_siginfo`. **Blocks**. **Source**: `signal.sigwaitinfo`."""
    if not isinstance(_current_waiter(), _Task):
        return _plain_sigwaitinfo(sigset)
    numbers = set(sigset)
    return _until(lambda: _plain_sigtimedwait(numbers, 0), None)


def sigtimedwait(sigset: Iterable[int], timeout: float, /) -> _Any:  # type: ignore[no-redef]
    """`sigwaitinfo` for at most `timeout` seconds, then None. **Source**: `signal.sigtimedwait`."""
    if not isinstance(_current_waiter(), _Task) or timeout <= 0:
        return _plain_sigtimedwait(sigset, timeout)
    numbers = set(sigset)
    return _until(lambda: _plain_sigtimedwait(numbers, 0), None, timeout)


for _name in (
    *("signal", "getsignal", "raise_signal", "set_wakeup_fd"),
    *("pause", "sigwait", "sigwaitinfo", "sigtimedwait"),
):
    globals()[_name].__module__ = "signal"  # as their originals say
del _name


def settle() -> Callable[[], None]:
    """Let handlers from before the patch spare other green threads; returns the undo.

    Does nothing outside the main OS thread, which alone may set handlers.
    """
    claimed, _tap.claimed = _tap.claimed, True
    _exchange(lambda handler: isinstance(handler, int), _wrapped)
    if _has_hub() and _get_hub().is_main:
        _get_hub().wakeup.hear_signals()

    def undo() -> None:
        _exchange(lambda handler: not isinstance(handler, _Handler), _unwrapped)
        _tap.claimed = claimed
        if _tap.fd >= 0:
            _plain_set_wakeup_fd(_tap.fd, warn_on_full_buffer=_tap.warns)
            _tap.fd = -1

    return undo


def _exchange(stays: Callable[[_Any], bool], new_of: Callable[[_Any], _Any]) -> None:
    """Put `new_of(handler)` in place of every handler but what is none, or `stays`."""
    for number in _stdlib.valid_signals():
        handler = _c_getsignal(number)
        if handler is None or handler is _stdlib.default_int_handler or stays(handler):
            continue
        try:
            _c_signal(number, new_of(handler))
        except ValueError:
            return  # not the main OS thread
