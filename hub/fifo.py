"""The queue between green threads and native threads in any mix.

Owns the hand-over of items. Every step is one atomic operation on a deque or
list, so no internal lock is held while other Python code can run:

1. An item is first put into the buffer, then `_settle` gives what is in the
   buffer to whoever waits: getters are served in order.
2. A bounded queue has one slot token per item it may still take; a putter
   that finds none waits with its item, and `_settle` admits it in order.
3. A getter or putter enters its lot, then settles once itself: rule 3.4.
4. A getter may be woken with nothing: the item was gone. It tries again, and
   waits again at the head.
5. After a shutdown `_settle` ends with `_close`, so that whoever raced with the
   shutdown leaves nobody waiting.
"""

from __future__ import annotations

from collections import deque
from itertools import repeat
from queue import Empty, Full
from time import monotonic

from greenworld.hub.current import current_waiter
from greenworld.hub.errors import ShutDown
from greenworld.hub.flow import current_greenlet
from greenworld.hub.tracked import Tracked
from greenworld.hub.typed import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["OWED", "SLOT", "Queue"]

T = TypeVar("T")

NOTHING: Any = object()
"""What a waiter is given when no item is meant."""

SHUT: Any = object()
"""What a waiter is given when the queue was shut down."""

SLOT: Any = object()
"""What a putter is given that shall put its item itself."""

OWED: Any = object()
"""In place of a putter: an item came back to the full queue, the next free slot is its own."""

LISTED = 64


class Queue(Tracked, Generic[T]):
    """First in, first out. `maxsize` 0, None or negative: no bound.

    **Source**: `queue.Queue` (3.13, with `shutdown`), and eventlet's `getting` and `putting`.
    """

    __slots__ = ("__weakref__", "_buffer", "_getters", "_immediate", "_pop", "_push", "_putters",
                 "_shut", "_slots", "_unused_slots", "maxsize")  # fmt: skip

    _buffer: Any  # changed by `_push` and `_pop` alone, each one atomic step
    _pop: Callable[[], T]
    _push: Callable[[T], object]

    def __init__(self, maxsize: int | None = 0) -> None:
        super().__init__()
        self.maxsize = max(0, maxsize or 0)
        self._getters: deque[Any] = deque()
        self._putters: deque[Any] = deque()
        self._slots: list[None] | None = None
        self._unused_slots: Iterable[None] = ()
        if self.maxsize:
            listed = min(self.maxsize, LISTED)
            self._slots = [None] * listed
            self._unused_slots = repeat(None, self.maxsize - listed)
        self._shut = self._immediate = False
        self._init()

    def _init(self) -> None:
        buffer: deque[T] = deque()
        self._buffer = buffer
        self._push = buffer.append
        self._pop = buffer.popleft

    # Putting

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put `item`, waiting up to `timeout` seconds for a free slot.

        **Blocks** only if the queue is full and `block` is true. Raises Full,
        or ShutDown after `shutdown()`. What is thrown into it while it waits
        does not take back an item that had been admitted already.
        """
        if self._shut:
            raise ShutDown
        if self._getters and not self._buffer:
            # The common case of a waiting getter: straight into its hands.
            try:
                getter = self._getters.popleft()
            except IndexError:
                pass  # another OS thread was faster
            else:
                next(self._puts)
                getter.given = item
                getter.wake()
                return
        if self._slots is not None:
            if timeout is not None and block:
                _check_timeout(timeout)
            # Asked first, caught second: an exception costs as much as all the rest.
            if not self._slots:
                return self._put_full(item, block, timeout)
            try:
                self._slots.pop()
            except IndexError:
                return self._put_full(item, block, timeout)
        next(self._puts)
        self._push(item)
        if self._getters or self._shut:
            self._settle()

    def put_nowait(self, item: T) -> None:
        """`put(item, block=False)`."""
        self.put(item, False)

    def _put_full(self, item: T, block: bool, timeout: float | None) -> None:
        if self._take_slot():
            return self._put_into_slot(item)
        if not block or timeout == 0:
            raise Full
        waiter = current_waiter()
        waiter.given = item
        self._putters.append(waiter)
        self._settle()
        try:
            woken = waiter.park(self, self._putters, timeout)
        except BaseException:
            if waiter.given is SLOT:
                self._free_slot()
                self._settle()
            waiter.given = None
            raise
        given, waiter.given = waiter.given, None
        if not woken:
            raise Full
        if given is SHUT:
            raise ShutDown
        return self._put_into_slot(item) if given is SLOT else None

    def _put_into_slot(self, item: T) -> None:
        if self._shut:
            self._free_slot()
            raise ShutDown
        next(self._puts)
        self._push(item)
        self._settle()

    # Getting

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the next item, waiting up to `timeout` seconds for one.

        **Blocks** only if the queue is empty and `block` is true. Raises
        Empty, or ShutDown when it is empty and was shut down.
        """
        if timeout is not None and block:
            _check_timeout(timeout)
        if self._buffer:
            try:
                item = self._pop()
            except IndexError:
                pass  # another OS thread was faster
            else:
                if self._slots is not None:
                    self._slots.append(None)
                    if self._putters:
                        self._settle()
                return item
        if self._shut:
            raise ShutDown
        if not block or timeout == 0:
            raise Empty
        return self._get_empty(timeout)

    def get_nowait(self) -> T:
        """`get(block=False)`."""
        return self.get(False)

    def _get_empty(self, timeout: float | None) -> T:
        try:
            waiter = current_greenlet().task
        except AttributeError:
            waiter = current_waiter()
        getters = self._getters
        deadline = None if timeout is None else monotonic() + timeout
        enter = getters.append
        while True:
            waiter.given = NOTHING
            enter(waiter)
            if self._buffer or self._putters or self._shut:
                self._settle()
            try:
                woken = waiter.park(self, getters, timeout)
            except BaseException:
                self._give_back(waiter)
                raise
            item: T
            item, waiter.given = waiter.given, None
            if not woken:
                raise Empty
            if item is SHUT:
                raise ShutDown
            if item is not NOTHING:
                return item
            try:
                item = self._pop()
            except IndexError:
                enter = getters.appendleft
                if deadline is not None:
                    timeout = deadline - monotonic()
                continue
            self._free_slot()
            self._settle()
            return item

    def _give_back(self, waiter: Any) -> None:
        """A getter was thrown into after it was woken: the item it has or would get goes on."""
        item, waiter.given = waiter.given, None
        if item is not NOTHING and item is not SHUT:
            if not self._take_slot():
                self._putters.appendleft(OWED)
            self._push_back(item)
        self._settle()

    def _push_back(self, item: T) -> None:
        self._buffer.appendleft(item)

    # The hand-over

    def _take_slot(self) -> bool:
        if self._slots is None:
            return True
        if self._slots:
            try:
                self._slots.pop()
            except IndexError:
                pass  # another OS thread was faster
            else:
                return True
        for _ in self._unused_slots:
            return True
        return False

    def _free_slot(self) -> None:
        if self._slots is not None:
            self._slots.append(None)

    def _settle(self) -> None:
        """Give buffered items to getters and free slots to putters, as long as there are both."""
        getters = self._getters
        buffer = self._buffer
        while True:
            if getters and buffer:
                self._serve()
            elif self._putters and self._take_slot():
                self._admit()
            else:
                break
        if self._shut:
            self._close()

    def _serve(self) -> None:
        """Hand one item to the first getter, or nothing (rule 3.3: it is out, so it is woken)."""
        try:
            getter = self._getters.popleft()
        except IndexError:
            return
        try:
            getter.given = self._pop()
        except IndexError:
            pass  # another OS thread was faster
        else:
            if self._slots is not None:
                self._slots.append(None)
        getter.wake()

    def _admit(self) -> None:
        """Put the item of the first putter into the slot just taken."""
        try:
            putter = self._putters.popleft()
        except IndexError:
            self._free_slot()
            return
        if putter is OWED:
            return
        item, putter.given = putter.given, None
        next(self._puts)
        self._push(item)
        putter.wake()

    # The end

    def shutdown(self, immediate: bool = False) -> None:
        """Refuse further items; `get` raises ShutDown once the queue is empty.

        With `immediate`, it is emptied at once and its items count as worked
        off. Blocked putters get ShutDown, and getters too. **Source**: `queue`, 3.13.
        """
        if immediate:
            self._immediate = True
        self._shut = True
        self._close()

    def _close(self) -> None:
        _send_away(self._putters)
        try:
            while self._immediate:
                self._pop()
                self._free_slot()
                if self.unfinished_tasks > 0:  # task_done() may have run ahead of get()
                    next(self._done)
        except IndexError:
            pass  # it is empty
        while self._getters and self._buffer:
            self._serve()
        if not self._buffer:
            _send_away(self._getters)
        self._wake_joiners()

    @property
    def is_shutdown(self) -> bool:
        """Whether `shutdown` was called."""
        return self._shut

    # Looking

    def qsize(self) -> int:
        """How many items are in it."""
        return len(self._buffer)

    def empty(self) -> bool:
        """Whether `get` would have to wait."""
        return not self._buffer

    def full(self) -> bool:
        """Whether `put` would have to wait."""
        return 0 < self.maxsize <= len(self._buffer)

    def getting(self) -> int:
        """How many wait in `get`."""
        return len(self._getters)

    def putting(self) -> int:
        """How many wait in `put`."""
        return len(self._putters) - self._putters.count(OWED)

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it."""
        verbs = ((self._getters, "get from"), (self._putters, "put into"))
        verb = next((verb for own, verb in verbs if own is lot), "join")
        return f"{verb} {self!r}"

    def __repr__(self) -> str:
        bound = f" of {self.maxsize}" if self.maxsize else ""
        return f"<{type(self).__name__} at {id(self):#x}: {self.qsize()}{bound} items>"


def _check_timeout(timeout: float) -> None:
    if not timeout >= 0:
        raise ValueError(f"'timeout' must be a non-negative number, not {timeout}")


def _send_away(lot: deque[Any]) -> None:
    while lot:
        try:
            waiter = lot.popleft()
        except IndexError:
            return
        if waiter is not OWED:
            waiter.given = SHUT
            waiter.wake()
