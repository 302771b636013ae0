"""Native threads for calls that cannot be made cooperative.

Owns two bounded pools of OS threads: one for `run`, one for `resolve`, so that
slow name lookups never starve the rest (rule 5.8).

1. A call is in `pool_calls` from before its green thread parks until that
   green thread has the outcome, or, if it no longer waits, until the call is
   over. The deadlock detector therefore need not know which thread is idle:
   without a call no pool thread can wake anybody.
2. The outcome is in the call before its waiter is taken out of the lot (rule
   3.4). Whoever finds the lot empty knows that nobody waits any more.
3. A new thread gets its first call by hand and starts with every signal
   blocked: idle threads take no signal away from the hub's `epoll_wait`. A
   call runs with the signals of the thread that asked for the pool, because
   the processes that it may start inherit them.
4. Threads are kept: the next call costs no start. They end with the process,
   which does not wait for them.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # its wrapper makes enums of each mask
from _queue import SimpleQueue
from _thread import RLock, get_ident, start_new_thread
from contextvars import copy_context
from os import environ, getpid, register_at_fork
from sys import is_finalizing

from greenlet import GreenletExit

from greenworld.hub.current import current_waiter, end_forked_process
from greenworld.hub.report import report_error
from greenworld.hub.task import HubTask, Task
from greenworld.hub.typed import TYPE_CHECKING, Any, TypeVar
from greenworld.hub.waiter import pool_calls, pool_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

__all__ = ["NativePool", "ThreadLock", "end_threads", "resolve", "run", "set_size"]

ThreadLock = RLock
"""Keeps OS threads apart, and never green threads of the same one. For what never switches.

Bound here: the name may be patched later (rule 1.3).
"""

T = TypeVar("T")

DEFAULT_SIZE = 20
RESOLVER_SIZE = 8
SIZE_VARIABLE = "GREENWORLD_THREADS"

_set_mask: Any = getattr(_signal, "pthread_sigmask", None)
_EVERY_SIGNAL = _signal.valid_signals()
_BLOCK = getattr(_signal, "SIG_BLOCK", 0)
_SET = getattr(_signal, "SIG_SETMASK", 0)


class Call:
    """One call on its way through a pool, and the lot of the one who waits for it."""

    __slots__ = ("_job", "delivered", "error", "function", "lot", "waiter", "value")

    def __init__(
        self, waiter: Task, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.waiter = waiter
        self.function = function
        self._job: Any = (copy_context(), args, kwargs)
        self.lot: list[Any] = [waiter]
        self.delivered = False
        self.value: Any = None
        self.error: BaseException | None = None

    @property
    def name(self) -> str:
        function = self.function
        return f"native.run of {getattr(function, '__qualname__', None) or repr(function)}"

    def describe_wait(self, lot: object) -> str:
        return self.name

    def perform(self) -> None:
        """On a pool thread: make the call and tell whoever waits; nothing if nobody does."""
        (context, args, kwargs), self._job = self._job, None
        if self.lot:
            try:
                self.value = context.run(self.function, *args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - the one who waits gets it
                # Without the frame of this method, which refers to the call: a cycle.
                error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
                self.error = error
        del context, args, kwargs

    def deliver(self, pool: NativePool) -> None:
        """On a pool thread, after `perform`: wake whoever waits."""
        try:
            waiter = self.lot.pop()
        except IndexError:
            self.report()  # first: while it is in the books, there is no deadlock
            pool.forget(self)
            if self.waiter.hub.is_main:
                self.waiter.hub.post(_look_again)
        else:
            self.delivered = True
            waiter.wake()

    def abandon(self, pool: NativePool) -> None:
        """On the waiter's thread: it was thrown out of its wait and drops the outcome."""
        try:
            self.lot.remove(self.waiter)  # where the exception came before it had parked
        except ValueError:
            pass
        if self.delivered:
            pool.forget(self)
            self.report()

    def end_process(self) -> None:
        """The call has forked, and in the child it is the only thread there is."""
        error = self.error
        if not isinstance(error, SystemExit):
            self.report()
        end_forked_process(error)

    def report(self) -> None:
        """Hand an error that nobody waits for to the handler of uncaught errors."""
        error, self.error = self.error, None
        if error is not None and not isinstance(error, GreenletExit):
            report_error(f"{self.name}, for which nobody waits any more", error)


def _look_again() -> None:
    """Posted to the main hub when a call is over that kept it from seeing a deadlock."""


class NativePool:
    """At most `size` OS threads, started as calls need them. With size 0 it calls directly."""

    __slots__ = ("_calls", "_jobs", "_permits", "_started", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.reset()

    def reset(self) -> None:
        """Forget every thread and call: in a forked child they do not exist."""
        self._jobs: SimpleQueue[Call | None] = SimpleQueue()
        self._started: list[None] = []
        self._calls: set[Call] = set()
        self._permits: list[None] = [None] * self.size

    def end(self) -> None:
        """End the present threads, each when it has nothing left to do. Never blocks.

        Not while other OS threads use the pool. A later call starts new ones.
        """
        jobs, started = self._jobs, self._started
        self.reset()
        for _ in range(len(started)):
            jobs.put(None)

    def run(self, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        """See the function `run`."""
        waiter = current_waiter()
        if (
            not isinstance(waiter, Task)
            or get_ident() in pool_threads
            or not self.size
            or is_finalizing()
        ):
            return function(*args, **kwargs)
        call = Call(waiter, function, args, kwargs)
        if isinstance(waiter, HubTask):
            waiter.park(call, call.lot)  # raises: the hub must not wait
        try:
            self._submit(call)
            waiter.park(call, call.lot)
        except BaseException:
            call.abandon(self)
            raise
        self.forget(call)
        try:
            if call.error is not None:
                raise call.error
            value: T = call.value
            return value
        finally:
            del call  # its error's traceback refers to this frame

    def forget(self, call: Call) -> None:
        """The call is over and has been told."""
        self._calls.discard(call)
        pool_calls.discard(call)

    def _submit(self, call: Call) -> None:
        threads = len(self._started)  # first: it can only grow meanwhile
        self._calls.add(call)
        pool_calls.add(call)
        if len(self._calls) > threads and self._permits:
            try:
                self._permits.pop()
            except IndexError:  # another OS thread was faster
                pass
            else:
                self._start(call)
                return
        self._jobs.put(call)

    def _start(self, call: Call) -> None:
        """Start a thread with this as its first call."""
        mask = None if _set_mask is None else _set_mask(_BLOCK, _EVERY_SIGNAL)
        try:
            start_new_thread(self._work, (call, self._jobs, self._started, self._permits, mask))
            self._started.append(None)
        except RuntimeError as error:
            self._permits.append(None)
            if not self._started:
                self.forget(call)
                message = f"cannot start a native thread for {call.name}: {error}"
                raise RuntimeError(message) from error
            self._jobs.put(call)
        finally:
            if mask is not None:
                _set_mask(_SET, mask)

    def _work(
        self, call: Call | None, jobs: Any, started: list[None], permits: list[None], mask: Any
    ) -> None:
        """A pool thread: one call after another, until told to end (by a None)."""
        ident = get_ident()
        process = getpid()
        pool_threads.add(ident)
        try:
            while call is not None:
                if mask is not None:
                    _set_mask(_SET, mask)
                call.perform()
                if getpid() != process:
                    call.end_process()
                if mask is not None:
                    _set_mask(_BLOCK, _EVERY_SIGNAL)
                call.deliver(self)
                call = None
                call = jobs.get()
        finally:
            pool_threads.discard(ident)
            started.pop()
            permits.append(None)


def _size_from_environment() -> int:
    text = environ.get(SIZE_VARIABLE, "")
    if not text:
        return DEFAULT_SIZE
    if not text.isdecimal():
        raise ValueError(f"{SIZE_VARIABLE} must be a number of native threads, not {text!r}")
    return int(text)


_pool = NativePool(_size_from_environment())
_resolver = NativePool(RESOLVER_SIZE)


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function(*args, **kwargs)` on a native thread and wait for its outcome.

    **Blocks** the green thread only; returns what the function returns and
    raises what it raises, with its traceback. The function sees a copy of the
    caller's context variables and may use every primitive. Green threads that
    it spawns live on that native thread and run while it waits there.

    A green thread that is killed or timed out meanwhile leaves the call
    behind: what has not begun never does, a result is dropped, an exception
    goes to the handler of uncaught errors. The process does not wait for it
    at exit.

    At most 20 such threads (`GREENWORLD_THREADS`); more calls queue. Called on
    one of them, or in an OS thread without a hub, it calls the function right
    there. Raises RuntimeError if not one thread can be started.
    """
    return _pool.run(function, args, kwargs)


def resolve(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`run` on a small pool of its own, for name lookups. **Blocks** the green thread only."""
    return _resolver.run(function, args, kwargs)


def set_size(size: int) -> None:
    """Let `run` use at most `size` threads from now on; with 0 it calls directly.

    The present ones end when their calls are over. Never blocks. Not while
    other OS threads use `run`. Raises ValueError for a negative size.
    """
    if size < 0:
        raise ValueError(f"a pool has 0 or more native threads, not {size}")
    _pool.size = size
    _pool.end()


def end_threads() -> None:
    """End the threads of `run` when their calls are over; the next call starts new ones.

    Never blocks. Not while other OS threads use `run`.
    """
    _pool.end()


def _start_afresh() -> None:
    for pool in (_pool, _resolver):
        pool.reset()


register_at_fork(after_in_child=_start_afresh)
