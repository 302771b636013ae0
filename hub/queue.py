"""Queues by name: the simple one, and the two that give their items out in another order.

Owns the orders. `hub/fifo.py` owns the hand-over.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from queue import Empty, Full

from greenworld.hub.errors import ShutDown
from greenworld.hub.fifo import OWED, SLOT, Queue
from greenworld.hub.lock import Lock
from greenworld.hub.typed import TYPE_CHECKING, Any, TypeVar

__all__ = ["Empty", "Full", "LifoQueue", "PriorityQueue", "Queue", "ShutDown", "SimpleQueue"]

T = TypeVar("T")


class SimpleQueue(Queue[T]):
    """A queue without a bound. May be put to in a finaliser that strikes it, as every `Queue`.

    **Source**: `queue.SimpleQueue`, of which the arguments `block` and `timeout` of `put` mean
    nothing either.
    """

    __slots__ = ()

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(type(list[int]))

    def __init__(self) -> None:
        super().__init__()


class LifoQueue(Queue[T]):
    """Last in, first out."""

    __slots__ = ()

    def _init(self) -> None:
        buffer: deque[T] = deque()
        self._buffer = buffer
        self._push = buffer.append
        self._pop = buffer.pop

    def _push_back(self, item: T) -> None:
        self._buffer.append(item)


class PriorityQueue(Queue[T]):
    """The smallest first.

    Comparing items may run Python code, so the heap has a lock, and unlike
    the other queues it must not be used in a finaliser. What a comparison
    raises is raised in the `put` or `get` that needs it; no item is lost, but
    their order is undefined from then on.
    """

    __slots__ = ("_heap_lock",)

    def _init(self) -> None:
        self._buffer = []
        self._heap_lock = Lock()
        self._push = self._heap_push
        self._pop = self._heap_pop

    def _heap_push(self, item: T) -> None:
        try:
            self._heap_lock.acquire()
        except BaseException:
            # Thrown into while it waited: as if it had been put and was gone.
            self._free_slot()
            next(self._done)
            self._settle()
            self._wake_joiners()
            raise
        try:
            heappush(self._buffer, item)
        finally:
            self._heap_lock.release()

    def _heap_pop(self) -> T:
        with self._heap_lock:
            return self._take_smallest()

    def _take_smallest(self) -> T:
        heap: list[Any] = self._buffer
        smallest: T = heap[0]
        try:
            heappop(heap)
        except BaseException:
            heap.append(smallest)  # a comparison has failed half-way
            raise
        return smallest

    def _push_back(self, item: T) -> None:
        with self._heap_lock:
            heappush(self._buffer, item)

    # Nobody waits or fails on behalf of another: it is woken to do it itself.

    def _serve(self) -> None:
        try:
            getter = self._getters.popleft()
        except IndexError:
            return
        try:
            if self._heap_lock.acquire(False):
                try:
                    getter.given = self._take_smallest()
                    self._free_slot()
                finally:
                    self._heap_lock.release()
        except Exception:  # noqa: BLE001 - the getter will meet it
            pass
        finally:
            getter.wake()

    def _admit(self) -> None:
        try:
            putter = self._putters.popleft()
        except IndexError:
            self._free_slot()
            return
        if putter is not OWED:
            putter.given = SLOT
            putter.wake()
