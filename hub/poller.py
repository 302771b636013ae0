"""Pollers: one interface over epoll, kqueue, poll and select.

Owns the kernel's list of watched descriptors. Knows nothing of green threads.
What a poller must supply:

- `arm(io, mask)`: from now on, report when `io.fd` becomes ready for `mask`.
- `rearm(io, mask)`: the same, and report the present state too, even if it was reported before.
- `forget(io)`: stop watching; the descriptor is about to be closed.
- `wait(timeout)`: block up to `timeout` seconds (None: for ever, 0: not at all) and
  return `[(fd, mask), …]`. May return early and empty.
- `close()`.

`io.armed` is the poller's own: the mask it watches for that record. epoll
keeps it set (edge-triggered, registered once, both directions); the others
clear what they have reported (one-shot), so that a level-triggered kernel
interface looks like an edge to the hub. A descriptor that cannot be polled
(a regular file on epoll) raises PermissionError when armed.
"""

from __future__ import annotations

import os
import select
from errno import EMFILE
from math import inf
from select import select as select_now
from types import ModuleType

from greenworld.hub.typed import Any, Protocol

__all__ = ["HANGUP", "READ", "WRITE", "Poller", "available_backends", "make_poller"]

READ = 0x01
WRITE = 0x04
HANGUP = 0x201A
"""EPOLLERR | EPOLLHUP | EPOLLRDHUP: end of file or error, which stays until close; and EPOLLPRI:
a read ends before urgent data, so that from then on a short read does not mean drained."""

EDGE_BOTH = READ | WRITE | 0x2002 | (1 << 31)
"""EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET."""

# Bound here, as `select_now` is: the names may be patched later (rule 1.3).
plain_epoll: Any = getattr(select, "epoll", None)
plain_kqueue: Any = getattr(select, "kqueue", None)
plain_poll = getattr(select, "poll", None)

FINE_SLEEP = 0.02
"""Below this many seconds epoll's millisecond steps are too coarse: `select` waits for it."""

FD_SETSIZE = 1024
"""`select` takes no descriptor from here on."""


class Watched(Protocol):
    """What a poller needs of a record."""

    fd: int
    armed: int


class Poller(Protocol):
    """What the hub asks of a poller; see the module's contract."""

    def arm(self, io: Watched, mask: int) -> None:
        """Report when `io.fd` becomes ready for `mask`."""

    def rearm(self, io: Watched, mask: int) -> None:
        """The same, and report the present state too."""

    def forget(self, io: Watched) -> None:
        """Stop watching."""

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Block up to `timeout` seconds for `[(fd, mask), …]`."""
        ...

    def close(self) -> None:
        """Release what the kernel holds."""


class EpollPoller:
    """epoll, edge-triggered: a descriptor is registered once and stays until close."""

    __slots__ = ("_epoll", "_fd", "_poll")

    def __init__(self) -> None:
        self._epoll = plain_epoll()
        self._fd = self._epoll.fileno()
        self._poll = self._epoll.poll

    def arm(self, io: Watched, mask: int) -> None:
        try:
            self._epoll.register(io.fd, EDGE_BOTH)
        except FileExistsError:
            # The number is registered from an earlier life that a dup keeps open.
            self._epoll.modify(io.fd, EDGE_BOTH)
        io.armed = READ | WRITE

    def rearm(self, io: Watched, mask: int) -> None:
        try:
            self._epoll.modify(io.fd, EDGE_BOTH)
            io.armed = READ | WRITE
        except FileNotFoundError:
            self.arm(io, mask)

    def forget(self, io: Watched) -> None:
        io.armed = 0
        try:
            self._epoll.unregister(io.fd)
        except OSError:
            pass  # closed before its record was, which took it out of the epoll

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        if timeout is not None and 0 < timeout < FINE_SLEEP and self._fd < FD_SETSIZE:
            select_now([self._fd], (), (), timeout)
            timeout = 0
        events: list[tuple[int, int]] = self._poll(timeout, 256)
        return events

    def close(self) -> None:
        self._epoll.close()


class SelectorPoller:
    """Any class of the standard `selectors` module, as one-shot interest."""

    __slots__ = ("_limit", "_selector")

    def __init__(self, selector: Any, limit: float = inf) -> None:
        self._selector = selector
        self._limit = limit

    def arm(self, io: Watched, mask: int) -> None:
        if io.fd >= self._limit:
            raise OSError(EMFILE, f"select() cannot watch descriptor {io.fd}: use another backend")
        events = _to_events(io.armed | mask)
        if io.armed:
            self._selector.modify(io.fd, events, io)
        else:
            try:
                self._selector.register(io.fd, events, io)
            except KeyError:
                # Left from an earlier life of the number, closed without a word.
                self._selector.unregister(io.fd)
                self._selector.register(io.fd, events, io)
        io.armed |= mask

    def rearm(self, io: Watched, mask: int) -> None:
        self.arm(io, mask)

    def forget(self, io: Watched) -> None:
        if io.armed:
            io.armed = 0
            self._unregister(io.fd)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        try:
            reported = self._selector.select(timeout)
        except OSError:
            reported = self._closed()
            if not reported:
                raise
        events = []
        for key, ready in reported:
            mask = (READ if ready & 1 else 0) | (WRITE if ready & 2 else 0)
            io: Watched = key.data
            if io.armed & mask:  # not closed by another OS thread since
                self._disarm(io, mask)
                events.append((key.fd, mask))
        return events

    def _disarm(self, io: Watched, mask: int) -> None:
        rest = io.armed & ~mask
        if rest:
            self._selector.modify(io.fd, _to_events(rest), io)
        else:
            self._unregister(io.fd)
        io.armed = rest

    def _unregister(self, fd: int) -> None:
        try:
            self._selector.unregister(fd)
        except KeyError:
            pass  # another OS thread closes the record at this moment

    def _closed(self) -> list[tuple[Any, int]]:
        """Descriptors closed without a word, which fail `select` for all: ready, to fail alone."""
        closed = []
        for key in list(self._selector.get_map().values()):
            try:
                os.fstat(key.fd)
            except OSError:
                closed.append((key, key.events))
        return closed

    def close(self) -> None:
        self._selector.close()


def _to_events(mask: int) -> int:
    """The hub's mask in `selectors.EVENT_READ | EVENT_WRITE`."""
    return (1 if mask & READ else 0) | (2 if mask & WRITE else 0)


def _pristine_selectors() -> ModuleType:
    """A private copy of `selectors`, so that patching the public one never reaches the hub."""
    import importlib.util  # here, because few platforms need it and it takes its time

    spec = importlib.util.find_spec("selectors")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # `select` may have been patched since this module was imported (rule 1.3).
    module.SelectSelector._select = staticmethod(select_now)
    if plain_poll is not None:
        module.PollSelector._selector_cls = plain_poll
    if plain_kqueue is not None:
        pristine = ModuleType("select")  # `KqueueSelector` asks it for `kqueue` when it is made
        vars(pristine).update(vars(select), kqueue=plain_kqueue)
        vars(module)["select"] = pristine
    return module


_SELECTOR_CLASSES = {
    "kqueue": "KqueueSelector",
    "poll": "PollSelector",
    "select": "SelectSelector",
}


def available_backends() -> list[str]:
    """Names of the backends this platform has, best first."""
    return [name for name in ("epoll", "kqueue", "poll", "select") if hasattr(select, name)]


def make_poller(backend: str | None = None) -> Poller:
    """The poller named `backend`, or by `GREENWORLD_HUB`, or the platform's best.

    Raises ValueError for a name that this platform does not have.
    """
    backends = available_backends()
    chosen = backend or os.environ.get("GREENWORLD_HUB") or backends[0]
    if chosen not in backends:
        raise ValueError(
            f"hub backend {chosen!r} (from GREENWORLD_HUB) is not available here: "
            f"choose one of {', '.join(backends)}"
        )
    if chosen == "epoll":
        return EpollPoller()
    limit = FD_SETSIZE if chosen == "select" else inf
    return SelectorPoller(getattr(_pristine_selectors(), _SELECTOR_CLASSES[chosen])(), limit)
