"""The cooperative counterpart of the standard module `selectors`: the same classes, waiting.

A selector that the kernel keeps (epoll, kqueue, /dev/poll) has a descriptor of
its own that says when to ask it; for `PollSelector` the descriptors themselves
are waited for. Each class is a subclass of the original with a `select` that
`monkey_patch` assigns onto the original, whose selectors from before the patch
then cooperate too.
"""

from __future__ import annotations

import selectors as _stdlib
from selectors import *  # noqa: F403 - the counterpart offers what the original offers
from time import monotonic as _monotonic
from typing import TYPE_CHECKING
from typing import Any as _Any

from greenworld.hub.current import current_waiter as _current_waiter
from greenworld.hub.poller import READ as _READ
from greenworld.hub.poller import WRITE as _WRITE
from greenworld.hub.readiness import wait_fd as _wait_fd
from greenworld.hub.task import Task as _Task
from greenworld.patches import select as _select
from greenworld.patches.epoll import KernelQueue as _KernelQueue
from greenworld.patches.epoll import give_way as _give_way

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [name for name in vars(_stdlib) if not name.startswith("_")]


def _cooperative(
    plain: Callable[..., list[_Any]], wait: Callable[..., object]
) -> Callable[..., list[_Any]]:
    """The `select` of a class of selectors, made of that which does not wait and of a wait."""

    def select(self: _Any, timeout: float | None = None) -> list[_Any]:
        """The ready keys, waiting up to `timeout` seconds for one. **Blocks** meanwhile."""
        if isinstance(getattr(self, "_selector", None), _KernelQueue):
            return plain(self, timeout)  # which waits cooperatively by itself
        if timeout is not None and timeout <= 0:
            _give_way()
            return plain(self, timeout)
        waiter = _current_waiter()
        if not isinstance(waiter, _Task):
            return plain(self, timeout)
        ready = plain(self, 0)
        if ready:
            _give_way()
            return ready
        deadline = None if timeout is None else _monotonic() + timeout
        while not ready:
            if deadline is not None and deadline <= _monotonic():
                break
            wait(self, waiter, deadline)
            ready = plain(self, 0)
        return ready

    return select


def _wait_for_queue(self: _Any, waiter: _Task, deadline: float | None) -> None:
    """Wait for the descriptor that the kernel reports on."""
    _wait_fd(self.fileno(), _READ, None if deadline is None else deadline - _monotonic())


def _wait_for_keys(self: _Any, waiter: _Task, deadline: float | None) -> None:
    """Wait for any of the descriptors themselves."""
    masks = {
        key.fd: (_READ if key.events & 1 else 0) | (_WRITE if key.events & 2 else 0)
        for key in self.get_map().values()
    }
    _select.wait_for_any(waiter, masks, deadline)


def _define(name: str, **methods: object) -> None:
    """A subclass of the original class of this name with these methods, if there is one."""
    plain = getattr(_stdlib, name, None)
    if plain is not None:
        doc = f"**Source**: `selectors.{name}`."
        globals()[name] = type(name, (plain,), {"__doc__": doc, "__module__": __name__, **methods})


_define("SelectSelector", _select=_select.as_method)
for _name, _wait in (
    ("PollSelector", _wait_for_keys),
    ("EpollSelector", _wait_for_queue),
    ("DevpollSelector", _wait_for_queue),
    ("KqueueSelector", _wait_for_queue),
):
    if hasattr(_stdlib, _name):
        _define(_name, select=_cooperative(getattr(_stdlib, _name).select, _wait))
globals()["DefaultSelector"] = globals()[_stdlib.DefaultSelector.__name__]
