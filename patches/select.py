"""The cooperative counterpart of the standard module `select`: `select` and `poll`.

Both ask the kernel without waiting, park until one of their descriptors is
reported, and ask again. `epoll` and `kqueue` are the original's, but the
selectors made of them are cooperative when patched.
"""

from __future__ import annotations

import select as _stdlib
import selectors as _selectors
from collections import deque as _deque
from select import *  # noqa: F403 - the counterpart offers what the original offers
from time import monotonic as _monotonic
from typing import TYPE_CHECKING
from typing import Any as _Any

from greenworld.hub.current import current_waiter as _current_waiter
from greenworld.hub.poller import READ as _READ
from greenworld.hub.poller import WRITE as _WRITE
from greenworld.hub.readiness import wait_fd as _wait_fd
from greenworld.hub.task import Task as _Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [name for name in vars(_stdlib) if not name.startswith("_")]

_plain_select = _stdlib.select
_plain_poll: _Any = getattr(_stdlib, "poll", None)
_READ_EVENTS = getattr(_stdlib, "POLLIN", 0) | getattr(_stdlib, "POLLPRI", 0)
_WRITE_EVENTS = getattr(_stdlib, "POLLOUT", 0)


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


def _wait_for_any(task: _Task, name: str, masks: dict[int, int], deadline: float | None) -> bool:
    """Park until one of the descriptors is ready; False at the deadline."""
    hub = task.hub
    alarm = _Alarm(f"{name} of descriptors {', '.join(map(str, masks))}")
    entered: list[list[_Any]] = []
    try:
        for fd, mask in masks.items():
            io = hub.io(fd)
            hub.poller.rearm(io, mask)
            for bit, lot in ((_READ, io.read_watchers), (_WRITE, io.write_watchers)):
                if mask & bit:
                    lot.append(alarm)
                    entered.append(lot)
        alarm.lot.append(task)
        timeout = None if deadline is None else deadline - _monotonic()
        return task.park(alarm, alarm.lot, timeout)
    finally:
        for lot in entered:
            try:
                lot.remove(alarm)
            except ValueError:
                pass  # reported: the report took it out


def _number(fd: _Any) -> int:
    return fd if isinstance(fd, int) else fd.fileno()


def select(  # type: ignore[no-redef]
    rlist: Iterable[_Any],
    wlist: Iterable[_Any],
    xlist: Iterable[_Any],
    timeout: float | None = None,
    /,
) -> tuple[list[_Any], list[_Any], list[_Any]]:
    """Which descriptors are ready, waiting up to `timeout` seconds for one. **Blocks** meanwhile.

    **Differs:** exceptional conditions are reported, but do not end the wait.
    **Source**: `select.select`.
    """
    readers, writers, others = list(rlist), list(wlist), list(xlist)
    waiter = _current_waiter()
    if not isinstance(waiter, _Task) or (timeout is not None and timeout <= 0):
        return _plain_select(readers, writers, others, timeout)
    deadline = None if timeout is None else _monotonic() + timeout
    while True:
        ready = _plain_select(readers, writers, others, 0)
        if any(ready):
            return ready
        masks: dict[int, int] = {}
        for fds, bit in ((readers, _READ), (writers, _WRITE)):
            for fd in map(_number, fds):
                masks[fd] = masks.get(fd, 0) | bit
        if not _wait_for_any(waiter, "select", masks, deadline):
            return [], [], []


class _Poll:
    """**Source**: the objects that `select.poll()` returns."""

    __slots__ = ("_masks", "_plain")

    def __init__(self) -> None:
        self._plain = _plain_poll()
        self._masks: dict[int, int] = {}

    def register(self, fd: _Any, eventmask: int = _READ_EVENTS | _WRITE_EVENTS, /) -> None:
        """Watch a descriptor for `POLLIN`, `POLLPRI`, `POLLOUT`."""
        self._plain.register(fd, eventmask)
        self._masks[_number(fd)] = eventmask

    def modify(self, fd: _Any, eventmask: int, /) -> None:
        """Change what a descriptor is watched for."""
        self._plain.modify(fd, eventmask)
        self._masks[_number(fd)] = eventmask

    def unregister(self, fd: _Any, /) -> None:
        """Watch a descriptor no longer. KeyError if it is not watched."""
        self._plain.unregister(fd)
        del self._masks[_number(fd)]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """`[(descriptor, events), …]`, waiting up to `timeout` *milliseconds*. **Blocks**.

        **Differs:** `POLLPRI` alone does not end the wait.
        """
        waiter = _current_waiter()
        if not isinstance(waiter, _Task) or timeout == 0:
            ready: list[tuple[int, int]] = self._plain.poll(timeout)
            return ready
        deadline = None if timeout is None or timeout < 0 else _monotonic() + timeout / 1000
        while True:
            ready = self._plain.poll(0)
            if ready:
                return ready
            masks = {
                # A hang-up is reported also to who asked for nothing.
                fd: (_WRITE if events & _WRITE_EVENTS else 0)
                | (_READ if events & _READ_EVENTS or not events & _WRITE_EVENTS else 0)
                for fd, events in self._masks.items()
            }
            if not _wait_for_any(waiter, "poll", masks, deadline):
                return []


def _cooperative(plain: Callable[..., list[_Any]]) -> Callable[..., list[_Any]]:
    """The `select` of a selector that the kernel keeps: its descriptor says when to ask it."""

    def wait_and_select(self: _Any, timeout: float | None = None) -> list[_Any]:
        """The ready keys, waiting up to `timeout` seconds for one. **Blocks** meanwhile."""
        if not isinstance(_current_waiter(), _Task):
            return plain(self, timeout)
        ready = plain(self, 0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        _wait_fd(self.fileno(), _READ, timeout)
        return plain(self, 0)

    return wait_and_select


if hasattr(_selectors, "EpollSelector"):
    epoll_select = _cooperative(_selectors.EpollSelector.select)
if hasattr(_selectors, "KqueueSelector"):
    kqueue_select = _cooperative(_selectors.KqueueSelector.select)

poll = _Poll  # type: ignore[misc,assignment]
as_method = staticmethod(select)
"""For a class whose attribute was the C function, which is no method."""
