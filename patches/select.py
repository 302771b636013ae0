"""The cooperative counterpart of the standard module `select`: `select`, `poll`, `epoll`, `kqueue`.

`select` and `poll` ask the kernel without waiting, park until one of their
descriptors is reported, and ask again; what a call returns or raises is always
the kernel's word. `epoll` and `kqueue` are made in `patches/epoll.py`.
"""

from __future__ import annotations

import select as _stdlib
from collections import deque as _deque
from functools import partial as _partial
from select import *  # noqa: F403 - the counterpart offers what the original offers
from time import monotonic as _monotonic
from typing import TYPE_CHECKING
from typing import Any as _Any

from greenworld.hub.current import current_waiter as _current_waiter
from greenworld.hub.poller import READ as _READ
from greenworld.hub.poller import WRITE as _WRITE
from greenworld.hub.poller import EpollPoller as _EpollPoller
from greenworld.hub.task import Task as _Task
from greenworld.patches.epoll import epoll as _epoll
from greenworld.patches.epoll import give_way as _give_way
from greenworld.patches.epoll import kqueue as _kqueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [name for name in vars(_stdlib) if not name.startswith("_")]

_plain_select: Callable[..., tuple[list[_Any], list[_Any], list[_Any]]] = _stdlib.select
_plain_poll: _Any = getattr(_stdlib, "poll", None)
_ALL_EVENTS = 7
"""POLLIN | POLLPRI | POLLOUT, what `poll` objects watch for unless told."""
_READ_EVENTS = 0x41
"""POLLIN | POLLRDNORM."""
_WRITE_EVENTS = getattr(_stdlib, "POLLOUT", 0) | getattr(_stdlib, "POLLWRNORM", 0)
_OTHER = 2
"""Urgent data, hang-ups and the like: POLLPRI."""
_LONGEST_POLL = 0x7FFFFFFF
"""Milliseconds; the original refuses more."""
_PAUSE = 0.05
"""Seconds between questions where the hub hears nothing of urgent data."""


class _Alarm:
    """A waiter in several records at once: the first report wakes the one who parks."""

    __slots__ = ("lot", "names")

    def __init__(self, names: str) -> None:
        self.lot: _deque[_Task] = _deque()
        self.names = names

    def wake(self) -> None:
        try:
            task = self.lot.popleft()
        except IndexError:
            return
        task.wake()

    def describe_wait(self, lot: object) -> str:
        return self.names


def _ask_until(
    task: _Task, name: str, masks: dict[int, int], ask: Callable[[], _Any], deadline: float | None
) -> _Any:
    """What `ask()` finds, asked whenever one of the descriptors is reported; None at the deadline.

    The present state is reported too, once; after that every change. Asking
    again at each report without a change would never end for who waits for
    something else than what is there.
    """
    alarm = _Alarm(f"{name} of descriptors {', '.join(map(str, masks))}")
    found = None
    is_first = True
    while True:
        lots: list[list[_Any]] = []
        try:
            is_deaf = _enter(task, masks, alarm, lots, is_first)
            if not is_first or is_deaf:
                found = ask()
                if found:
                    return found
            is_first = False
            left = None if deadline is None else deadline - _monotonic()
            if left is not None and left <= 0:
                return None
            alarm.lot.append(task)
            wait = left if not is_deaf else _PAUSE if left is None else min(left, _PAUSE)
            if not task.park(alarm, alarm.lot, wait) and not is_deaf:
                return ask()
        finally:
            for lot in lots:
                try:
                    lot.remove(alarm)
                except ValueError:
                    pass  # reported: the report took it out


def _enter(
    task: _Task, masks: dict[int, int], alarm: _Alarm, lots: list[list[_Any]], is_first: bool
) -> bool:
    """Have the alarm woken by reports; whether some of what is waited for is never reported."""
    hub = task.hub
    knows_all = isinstance(hub.poller, _EpollPoller)
    is_deaf = False
    for fd, mask in masks.items():
        if mask & _OTHER:
            # epoll reports it to readers and writers alike, the others do not.
            mask = mask & ~_OTHER | (_READ if knows_all else 0)
            is_deaf = not knows_all
        io = hub.io(fd)
        try:
            if is_first and mask:
                hub.poller.rearm(io, mask)
            elif mask & ~io.armed:
                hub.poller.arm(io, mask)
        except PermissionError:
            continue  # a regular file: never anything else than what it is now
        except OSError:
            is_deaf = True  # closed meanwhile: to be asked for what that means
            continue
        for bit, lot in ((_READ, io.read_watchers), (_WRITE, io.write_watchers)):
            if mask & bit:
                lot.append(alarm)
                lots.append(lot)
    return is_deaf


def _number(fd: _Any) -> int:
    if isinstance(fd, int):
        return fd
    try:
        number = fd.fileno()
    except AttributeError:
        raise TypeError("argument must be an int, or have a fileno() method") from None
    if not isinstance(number, int):
        raise TypeError("fileno() returned a non-integer")
    return number


def select(  # type: ignore[no-redef]
    rlist: Iterable[_Any],
    wlist: Iterable[_Any],
    xlist: Iterable[_Any],
    timeout: float | None = None,
    /,
) -> tuple[list[_Any], list[_Any], list[_Any]]:
    """Which descriptors are ready, waiting up to `timeout` seconds for one. **Blocks** meanwhile.

    Raises what the original raises, and OSError(EBADF) if a descriptor is
    closed meanwhile. **Source**: `select.select`.
    """
    if timeout is not None and not timeout > 0:
        _give_way()
        return _plain_select(rlist, wlist, xlist, timeout)
    lists: _Any = [
        each if isinstance(each, (list, tuple)) else list(each) for each in (rlist, wlist, xlist)
    ]
    deadline = None if timeout is None else _monotonic() + timeout
    ready = _plain_select(*lists, 0)
    if any(ready):
        _give_way()
        return ready
    # A hub that is made here must not get a number that the caller has closed and asks about.
    waiter = _current_waiter()
    if not isinstance(waiter, _Task):
        return _plain_select(*lists, timeout)
    numbers = [[_number(fd) for fd in each] for each in lists]
    masks: dict[int, int] = {}
    for fds, bit in zip(numbers, (_READ, _WRITE, _OTHER), strict=True):
        for fd in fds:
            masks[fd] = masks.get(fd, 0) | bit
    found = _ask_until(waiter, "select", masks, _partial(_select_now, numbers), deadline)
    if not found:
        return [], [], []
    readers, writers, others = (
        [each for each, fd in zip(wanted, fds, strict=True) if fd in those]
        for wanted, fds, those in zip(lists, numbers, found, strict=True)
    )
    return readers, writers, others


def _select_now(numbers: list[list[int]]) -> tuple[list[int], ...] | None:
    readers, writers, others = numbers
    ready = _plain_select(readers, writers, others, 0)
    return ready if any(ready) else None


def _mask_of(events: int) -> int:
    """The hub's mask of what a `poll` object watches for; hang-ups and errors are always in it."""
    mask = _OTHER if events & ~_WRITE_EVENTS & ~_READ_EVENTS or not events else 0
    return (
        mask | (_READ if events & _READ_EVENTS else 0) | (_WRITE if events & _WRITE_EVENTS else 0)
    )


def wait_for_any(task: _Task, masks: dict[int, int], deadline: float | None) -> None:
    """Wait until one of the descriptors is ready for `{descriptor: mask}`. **Blocks**."""
    poll = _plain_poll()
    for fd, mask in masks.items():
        poll.register(fd, mask)
    _ask_until(task, "poll", masks, _partial(poll.poll, 0), deadline)


class _Poll:
    """**Source**: the objects that `select.poll()` returns."""

    __slots__ = ("_is_polling", "_masks", "_plain")

    _plain: _Any
    _masks: dict[int, int]
    _is_polling: bool

    def __new__(cls) -> _Poll:
        raise TypeError(f"cannot create '{cls.__module__}.{cls.__name__}' instances: use poll()")

    @classmethod
    def make(cls) -> _Poll:
        """An object that waits for descriptors to become ready. **Source**: `select.poll`."""
        self = object.__new__(cls)
        self._plain = _plain_poll()
        self._masks = {}
        self._is_polling = False
        return self

    def register(self, fd: _Any, eventmask: int = _ALL_EVENTS, /) -> None:
        """Watch a descriptor for `POLLIN`, `POLLPRI`, `POLLOUT`."""
        number = _number(fd)
        self._plain.register(number, eventmask)
        self._masks[number] = _mask_of(eventmask)

    def modify(self, fd: _Any, eventmask: int, /) -> None:
        """Change what a descriptor is watched for."""
        number = _number(fd)
        self._plain.modify(number, eventmask)
        self._masks[number] = _mask_of(eventmask)

    def unregister(self, fd: _Any, /) -> None:
        """Watch a descriptor no longer. KeyError if it is not watched."""
        number = _number(fd)
        self._plain.unregister(number)
        del self._masks[number]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """`[(descriptor, events), …]`, waiting up to `timeout` *milliseconds*. **Blocks**.

        None and negative numbers wait for ever. Raises RuntimeError while
        another thread polls the same object.
        """
        if self._is_polling:
            raise RuntimeError("concurrent poll() invocation")
        forever = timeout is None or timeout < 0
        ready: list[tuple[int, int]]
        if timeout is not None and not (forever or 0 < timeout <= _LONGEST_POLL):
            _give_way()
            ready = self._plain.poll(timeout)
            return ready
        deadline = None
        if timeout is not None and not forever:
            deadline = _monotonic() + timeout / 1000
        self._is_polling = True
        try:
            ready = self._plain.poll(0)
            if not ready:
                return self._wait(timeout, deadline)
        finally:
            self._is_polling = False
        _give_way()
        return ready

    def _wait(self, timeout: float | None, deadline: float | None) -> list[tuple[int, int]]:
        waiter = _current_waiter()
        if not isinstance(waiter, _Task):
            ready: list[tuple[int, int]] = self._plain.poll(timeout)
            return ready
        ask = _partial(self._plain.poll, 0)
        return _ask_until(waiter, "poll", dict(self._masks), ask, deadline) or []


if hasattr(_stdlib, "poll"):
    poll = _Poll.make  # type: ignore[misc,assignment]
if hasattr(_stdlib, "epoll"):
    epoll = _epoll  # type: ignore[misc,assignment]
if hasattr(_stdlib, "kqueue"):
    kqueue = _kqueue
as_method = staticmethod(select)
"""For a class whose attribute was the C function, which is no method."""
