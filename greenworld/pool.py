"""Bounded groups of green threads.

Owns how many green threads of a pool run at once, who waits for a place, and
the order of results. Counts are the lengths of lists, whose `append` and
`pop` are atomic, so a pool may be used from several OS threads.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from greenlet import GreenletExit

from greenworld.hub.current import current_waiter, get_hub
from greenworld.hub.flow import current_greenlet
from greenworld.hub.greenthread import GreenThread
from greenworld.hub.queue import Queue
from greenworld.hub.spawning import getcurrent, spawn
from greenworld.hub.sync import Semaphore
from greenworld.hub.waiter import withdrawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

__all__ = ["GreenPile", "GreenPool"]

T = TypeVar("T")

_getframe = sys._getframe


class _Places:
    """The places of one pool. Each of its threads wakes it, like any waiter, when it ends."""

    __slots__ = ("busy", "free", "idlers", "owed", "waiting")

    def __init__(self, size: int) -> None:
        self.free = Semaphore(size)
        self.owed: list[None] = []
        """Places that a smaller size takes away, when their threads end."""
        self.busy: list[None] = []
        """One for each thread, and for each `spawn` that waits for a place."""
        self.waiting: list[None] = []
        self.idlers: deque[Any] = deque()
        """Who waits until nobody is busy."""

    def take(self) -> None:
        """Wait for a place, while `busy` counts the caller already."""
        self.waiting.append(None)
        try:
            self.free.acquire()
        except BaseException:
            self.leave()
            raise
        finally:
            self.waiting.pop()

    def wake(self) -> None:
        """A thread has ended."""
        if self.owed:
            self.give_back()
        else:
            self.free.release()
        self.leave()

    def give_back(self) -> None:
        """Free a place, unless it is owed."""
        try:
            self.owed.pop()
        except IndexError:
            self.free.release()

    def leave(self) -> None:
        """One less is busy."""
        self.busy.pop()
        if not self.busy:
            while self.idlers:
                try:
                    idler = self.idlers.popleft()
                except IndexError:
                    return
                idler.wake()


class _PoolThread(GreenThread[T]):
    """A green thread that has a place in a pool."""

    __slots__ = ("places",)

    places: _Places


class GreenPool:
    """At most `size` green threads at once. **Source**: `eventlet.greenpool.GreenPool`.

    TypeError if `size` is not a number, ValueError if it is negative.
    """

    __slots__ = ("__weakref__", "_places", "size")

    def __init__(self, size: int = 1000) -> None:
        self.size = _check_size(size)
        self._places = _Places(self.size)

    def spawn(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> GreenThread[T]:
        """Run `function(*args, **kwargs)` in a green thread of the pool.

        **Blocks** while the pool is full. Called by one of the pool's own
        threads while it is full, it runs the function right there, so that a
        pool cannot wait for itself; what is thrown into that thread meanwhile
        is raised here.
        """
        places = self._places
        places.busy.append(None)
        if not places.free.acquire(False):
            if self._is_own():
                places.leave()
                return _run_here(function, args, kwargs)
            places.take()
        try:
            hub = current_greenlet().task.hub
        except AttributeError:
            hub = get_hub()
        frame = _getframe(1)
        thread = _PoolThread(hub, function, args, kwargs, frame.f_code, frame.f_lasti)
        thread.places = places
        thread.waiters.append(places)
        hub.start(thread)
        return thread

    def spawn_n(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """`spawn` for a function whose result nobody asks for. **Blocks** as `spawn` does."""
        self.spawn(function, *args, **kwargs)

    def waitall(self) -> None:
        """Wait until no thread of the pool runs and nobody waits for a place. **Blocks**.

        AssertionError in one of the pool's own threads: it would wait for itself.
        """
        if self._is_own():
            raise AssertionError("a thread of the pool cannot wait until all of them have ended")
        places = self._places
        if places.busy:
            waiter = current_waiter()
            places.idlers.append(waiter)
            if places.busy or not withdrawn(places.idlers, waiter):
                waiter.park(self, places.idlers)

    def imap(self, function: Callable[..., T] | None, *iterables: Iterable[Any]) -> Iterator[T]:
        """`map` with the calls in threads of the pool; see `starmap`."""
        return self.starmap(function, zip(*iterables, strict=False))

    def starmap(
        self, function: Callable[..., T] | None, iterable: Iterable[Iterable[Any]]
    ) -> Iterator[T]:
        """`itertools.starmap` with the calls in threads of the pool; results come in order.

        Never blocks; iterating **blocks** until the next result is there, and
        raises what that call raised. A green thread of its own reads
        `iterable`. At most `size` results are kept for an iterator that lags
        behind; an iterator that is dropped stops the reading. In one of the
        pool's own threads, the calls run in a pool of the same size, because
        places that their caller holds will not become free.
        """
        pool = GreenPool(self.size) if self._is_own() else self
        queue: Queue[GreenThread[T] | _End] = Queue(max(1, self.size))
        return _Results(queue, spawn(_produce, pool, function or _collect, iterable, queue))

    def resize(self, new_size: int) -> None:
        """Change the number of places. Threads beyond it run on; `free()` is negative then."""
        change, self.size = _check_size(new_size) - self.size, new_size
        places = self._places
        for _ in range(change):
            places.give_back()
        for _ in range(-change):
            if not places.free.acquire(False):
                places.owed.append(None)

    def free(self) -> int:
        """How many places are free. With 0 or less, `spawn` has to wait."""
        return self._places.free.counter - len(self._places.owed)

    def running(self) -> int:
        """How many threads of the pool have not ended."""
        return len(self._places.busy) - len(self._places.waiting)

    def waiting(self) -> int:
        """How many wait in `spawn` for a place."""
        return len(self._places.waiting)

    def _is_own(self) -> bool:
        return getattr(getcurrent(), "places", None) is self._places

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it."""
        return f"the end of all threads of {self!r}"

    def __repr__(self) -> str:
        return f"<GreenPool at {id(self):#x}: {self.running()} of {self.size} running>"


class GreenPile:
    """Results of a pool's threads, in the order of their spawning.

    Made from a pool, or from the size of a new one. Results are kept until
    they are taken: for work without results use the pool. Take them in one
    thread only. **Source**: `eventlet.greenpool.GreenPile`.
    """

    __slots__ = ("_spawned", "_threads", "pool")

    def __init__(self, size_or_pool: int | GreenPool = 1000) -> None:
        self.pool = size_or_pool if isinstance(size_or_pool, GreenPool) else GreenPool(size_or_pool)
        self._threads: Queue[GreenThread[Any]] = Queue()
        self._spawned: list[None] = []

    def spawn(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run the function in the pool; its result comes by iterating.

        **Blocks** while the pool is full.
        """
        self._spawned.append(None)
        try:
            self._threads.put(self.pool.spawn(function, *args, **kwargs))
        except BaseException:
            self._spawned.pop()
            raise

    def next(self) -> Any:
        """The next result, or raises what that call raised. **Blocks** until it is there.

        StopIteration when every result has been taken.
        """
        if not self._spawned:
            raise StopIteration
        try:
            return self._threads.get().wait()
        finally:
            self._spawned.pop()

    __next__ = next

    def __iter__(self) -> GreenPile:
        return self


class _Results(Generic[T]):
    """The iterator of `starmap`. The producer does not refer to it, and ends with it."""

    __slots__ = ("producer", "queue")

    def __init__(self, queue: Queue[GreenThread[T] | _End], producer: GreenThread[None]) -> None:
        self.queue: Queue[GreenThread[T] | _End] | None = queue
        self.producer = producer

    def __iter__(self) -> _Results[T]:
        return self

    def __next__(self) -> T:
        if self.queue is None:
            raise StopIteration
        result = self.queue.get()
        if isinstance(result, GreenThread):
            value: T = result.wait()
            return value
        self.queue = None
        if result.error is not None:
            raise result.error
        raise StopIteration

    def __del__(self) -> None:
        producer = self.producer
        if not producer.ready():
            producer.hub.post(producer.kill)


class _End:
    """What follows the last result: the error, if any, of the iterable that was read."""

    __slots__ = ("error",)

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


def _produce(
    pool: GreenPool,
    function: Callable[..., T],
    iterable: Iterable[Iterable[Any]],
    queue: Queue[GreenThread[T] | _End],
) -> None:
    try:
        for args in iterable:
            queue.put(pool.spawn(function, *args))
    except GreenletExit as error:
        error.__traceback__ = None  # nobody iterates any more, so nothing is to keep the iterable
    except Exception as error:  # noqa: BLE001 - whoever iterates gets it
        queue.put(_End(error))
    else:
        queue.put(_End())


def _collect(*args: Any) -> Any:
    return args


def _run_here(
    function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> GreenThread[T]:
    """Run a green thread to its end without a switch, inside the present one."""
    thrown: list[BaseException] = []

    def run() -> Any:
        try:
            return function(*args, **kwargs)
        except Exception:
            raise
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread it is meant for
            thrown.append(error)

    frame = _getframe(2)
    thread: GreenThread[T] = GreenThread(get_hub(), run, (), {}, frame.f_code, frame.f_lasti)
    assert thread.context is not None
    thread.context.run(thread.execute)
    if thrown:
        raise thrown.pop()
    return thread


def _check_size(size: int) -> int:
    try:
        number = int(size)
    except ValueError as error:
        raise TypeError(f"the size of a pool must be a number, not {size!r}") from error
    if number < 0:
        raise ValueError(f"the size of a pool must be 0 or more, not {number}")
    return number
