"""Green threads under the standard library's own `threading`.

Owns the cooperative counterparts of `_thread`'s functions: starting, naming
and joining threads. `threading.Thread` stays the standard class; it runs on
what is replaced here. Locks and locals come from the hub.

1. A thread started where green threads can run is one; in an OS thread
   without a hub (of a library's own, or of the native pool) it is a native
   thread, because nobody there would ever run it otherwise. A `Thread` whose
   `runs_natively` is true is native everywhere.
2. A thread ends by giving free the lock that its joiners wait for: the
   sentinel (up to 3.12) or the lock of its handle (from 3.13).
3. The main thread keeps its native ident, so `current_thread()` stays
   `main_thread()` there; a green thread's ident is the id of its object.
4. As for native threads, the context variables of a new thread are empty.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from contextvars import Context
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit

from greenworld.hub.current import current_waiter
from greenworld.hub.flow import current_greenlet
from greenworld.hub.greenthread import GreenThread
from greenworld.hub.local import local
from greenworld.hub.lock import Lock
from greenworld.hub.task import Guest, Task
from greenworld.hub.waiter import pool_calls

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = [
    "ThreadHandle",
    "count_threads",
    "dummy_locals",
    "get_ident",
    "get_main_thread_ident",
    "initialize_dummy",
    "join_threads",
    "make_thread_handle",
    "set_sentinel",
    "settle",
    "start_joinable_thread",
    "start_new_thread",
]

c_get_ident = _thread.get_ident
c_get_main_thread_ident: Any = getattr(_thread, "_get_main_thread_ident", None)
c_shutdown: Any = getattr(_thread, "_shutdown", None)
c_start_new_thread = _thread.start_new_thread
plain_initialize_dummy: Any = threading._DummyThread.__init__

process_of_import = os.getpid()
HAS_HANDLES = hasattr(_thread, "_ThreadHandle")
UnraisableHookArgs: Any = next(
    each for each in tuple.__subclasses__() if each.__name__ == "UnraisableHookArgs"
)
"""What `sys.unraisablehook` takes; the interpreter gives its type no other name."""

running: set[int] = set()
"""Idents of the threads that run."""
sentinels: dict[int, Sentinel] = {}
"""What joiners of a running thread wait for, by its ident (up to 3.12)."""
unfinished: set[ThreadHandle] = set()
"""Handles of running threads that the process waits for at exit (from 3.13)."""
dummy_locals = local()


class Sentinel(Lock):
    """A lock that is given free once, for all who wait: it is never handed to one of them.

    `threading` looks at it right after and expects it free.
    """

    __slots__ = ()

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it; its holder is the thread that it stands for."""
        return "the end of a thread"

    def _wake_first(self) -> None:
        try:
            waiter = self._waiters.popleft()
        except IndexError:
            return
        waiter.wake()


def get_ident() -> int:
    """A number that no other running thread has, green or native."""
    try:
        task = current_greenlet().task
    except (AttributeError, RuntimeError):
        return c_get_ident()  # a native thread, or the end of the interpreter
    while type(task) is Guest:
        task = task.host
    return id(task) if isinstance(task, GreenThread) else c_get_ident()


def get_main_thread_ident() -> int:
    """The ident of the main thread; in a forked child, of the thread that forked."""
    if os.getpid() != process_of_import:
        return get_ident()
    ident: int = c_get_main_thread_ident()
    return ident


def start_new_thread(
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    /,
) -> int:
    """Run `function(*args, **kwargs)` in a new thread and return its ident. Never switches.

    SystemExit ends the thread without a word; any other exception goes to
    `sys.unraisablehook`. **Source**: `_thread.start_new_thread`.
    """
    if not callable(function):
        raise TypeError("first arg must be callable")
    if not isinstance(args, tuple):
        raise TypeError("2nd arg must be a tuple")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError("optional 3rd arg must be a dictionary")
    waiter = current_waiter()
    owner = getattr(function, "__self__", None)
    if not isinstance(waiter, Task) or getattr(owner, "runs_natively", False):
        return _start_natively(function, args, kwargs or {})
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _BETWEEN:
        frame = frame.f_back
    thread: GreenThread[None] = GreenThread(
        waiter.hub, _run, (function, args, kwargs or {}), {}, frame.f_code, frame.f_lasti
    )
    thread.context = Context()
    if isinstance(owner, threading.Thread):
        thread.name = owner.name
    waiter.hub.start(thread)
    return id(thread)


def _start_natively(*job: Any) -> int:
    birth = object()
    pool_calls.add(birth)  # until it is counted among the OS threads, there is no deadlock
    try:
        return c_start_new_thread(_run_natively, (birth, *job))
    except BaseException:
        pool_calls.discard(birth)
        raise


def _run_natively(birth: object, *job: Any) -> None:
    pool_calls.discard(birth)
    _run(*job)


_BETWEEN = ("threading", __name__)
"""Modules that stand between whoever starts a thread and this one."""


def _run(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    running.add(ident := get_ident())
    process = os.getpid()
    try:
        function(*args, **kwargs)
    except SystemExit:
        pass  # how a thread ends itself
    except (GreenletExit, KeyboardInterrupt):
        raise  # for the hub: a kill, or an interrupt that goes to the main thread
    except BaseException as error:  # noqa: BLE001 - there is nobody to raise it to
        _report_uncaught(function, error)
    finally:
        running.discard(ident)
        sentinel = sentinels.pop(ident, None)
        if sentinel is not None and sentinel.locked():
            sentinel.release()
    if os.getpid() != process:
        _end_child()


def _end_child() -> None:
    """In a forked child: the end of the thread that forked, which is all there was of the parent.

    As natively, the parent's exit functions do not run, what it has not flushed
    is not written twice, and the process lasts until the threads have ended
    that the child has started.
    """
    current = threading.current_thread()
    for thread in threading.enumerate():
        if thread is not current and not thread.daemon:
            thread.join()
    os._exit(0)


def _report_uncaught(function: Callable[..., object], error: BaseException) -> None:
    """Tell `sys.unraisablehook`, as the interpreter does of a thread started by `_thread`."""
    message = "Exception ignored in thread started by"
    subject: Any = function
    if HAS_HANDLES:
        message, subject = f"{message} {function!r}", None
    traceback = error.__traceback__
    below = traceback.tb_next if traceback is not None else None  # from the function on
    sys.unraisablehook(UnraisableHookArgs((type(error), error, below, message, subject)))


def count_threads() -> int:
    """How many threads `start_new_thread` has started that have not ended."""
    return len(running)


def set_sentinel() -> Sentinel:
    """A lock that is given free when the calling thread ends, if the caller takes it."""
    sentinel = sentinels[get_ident()] = Sentinel()
    return sentinel


class ThreadHandle:
    """What a joiner holds of a thread. **Source**: `_thread._ThreadHandle`, 3.13."""

    __slots__ = ("__weakref__", "_process", "_running", "ident")

    def __init__(self) -> None:
        self.ident = 0
        self._running: Sentinel | None = None
        self._process = 0

    def begin(self) -> None:
        """The thread starts."""
        if self._running is not None:
            raise RuntimeError("thread already started")
        self._running = Sentinel()
        self._running.acquire()
        self._process = os.getpid()

    def is_done(self) -> bool:
        """Whether the thread has ended; a forked child has none of its parent's."""
        running = self._running
        return running is not None and (not running.locked() or self._process != os.getpid())

    def _set_done(self) -> None:
        if self._running is None:
            raise RuntimeError("thread not started")
        unfinished.discard(self)
        if self._running.locked():
            self._running.release()

    def join(self, timeout: float | None = None, /) -> None:
        """Wait for the end, up to `timeout` seconds. **Blocks** unless it has ended."""
        running = self._running
        if running is None:
            raise RuntimeError("thread not started")
        if self.is_done():
            return
        if self.ident == get_ident():
            raise RuntimeError("Cannot join current thread")
        forever = timeout is None or timeout < 0
        if running.acquire(True, -1 if forever else timeout):
            running.release()

    def move_to_child(self) -> None:
        """In a forked child: this is the thread that lives on."""
        self._process = os.getpid()


def make_thread_handle(ident: int, /) -> ThreadHandle:
    """The handle of a thread that runs already."""
    handle = ThreadHandle()
    handle.begin()
    handle.ident = ident
    return handle


def start_joinable_thread(
    function: Callable[[], object], handle: ThreadHandle | None = None, daemon: bool = True
) -> ThreadHandle:
    """Run `function()` in a new thread; the process waits for it at exit unless `daemon`."""
    if not callable(function):
        raise TypeError("thread function must be callable")
    if handle is None:
        handle = ThreadHandle()
    elif not isinstance(handle, ThreadHandle):
        raise TypeError("'handle' must be a _ThreadHandle")
    handle.begin()
    if not daemon:
        unfinished.add(handle)
    try:
        # `function` may be a method of a Thread, whose name the new thread takes.
        handle.ident = start_new_thread(_Joinable(function, handle), ())
    except BaseException:
        handle._set_done()
        raise
    return handle


class _Joinable:
    """A thread's function that gives its joiners the news."""

    __slots__ = ("__self__", "function", "handle")

    def __init__(self, function: Callable[[], object], handle: ThreadHandle) -> None:
        self.function = function
        self.handle = handle
        self.__self__ = getattr(function, "__self__", None)

    def __call__(self) -> None:
        self.handle.ident = get_ident()
        try:
            self.function()
        finally:
            self.handle._set_done()


def join_threads() -> None:
    """At exit: wait for every thread that is not a daemon, green and native. **Blocks**."""
    while unfinished:
        handle = next(iter(unfinished))
        handle.join()
        unfinished.discard(handle)
    c_shutdown()


def initialize_dummy(self: Any) -> None:
    """The `Thread` object of a thread that `threading` did not start goes when that ends."""
    plain_initialize_dummy(self)
    task = getattr(current_greenlet(), "task", None)
    while type(task) is Guest:
        task = task.host
    if isinstance(task, GreenThread):
        task.link(_forget_dummy, self)


def _forget_dummy(ended: GreenThread[Any], dummy: Any) -> None:
    active: dict[int, Any] = threading._active  # type: ignore[attr-defined]
    ident = dummy.ident
    if active.get(ident) is dummy:
        del active[ident]


def settle() -> Callable[[], None]:
    """Let green threads join the main thread; returns the undo."""
    main: Any = threading.main_thread()
    shutdown_locks: set[Any] = getattr(threading, "_shutdown_locks", set())
    for name in HANDLE_NAMES:
        old = getattr(main, name, None)
        if old is not None and type(old) is not ThreadHandle:
            setattr(main, name, make_thread_handle(main.ident))
            return lambda: setattr(main, name, old)
    old = getattr(main, "_tstate_lock", None)
    if old is None or type(old) is Sentinel:
        return lambda: None
    new = Sentinel()
    new.acquire()

    def exchange(old: Any, new: Any) -> None:
        main._tstate_lock = new
        if old in shutdown_locks:
            shutdown_locks.discard(old)
            shutdown_locks.add(new)

    exchange(old, new)
    return lambda: exchange(new, old)


HANDLE_NAMES = ("_handle", "_os_thread_handle")
"""The attribute of a Thread that holds its handle: renamed within 3.13."""


def _start_afresh() -> None:
    """In a forked child: the thread that forked is the main one, and there is no other."""
    for name in HANDLE_NAMES:
        handle = getattr(threading.main_thread(), name, None)
        if isinstance(handle, ThreadHandle):
            handle.move_to_child()
    unfinished.clear()
    ident = get_ident()
    running.intersection_update({ident})
    for other in [number for number in sentinels if number != ident]:
        del sentinels[other]


os.register_at_fork(after_in_child=_start_afresh)
