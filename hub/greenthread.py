"""Green threads: a function that runs by turns with others of its OS thread.

Owns results, joining, killing; `hub/spawning.py` makes them. A green thread is this small object;
the greenlet that runs it is a carrier and serves others before and after.

States: fresh (`greenlet` is None) → started (`greenlet` is its carrier) →
done (`_value` is no longer PENDING). A fresh thread that is cancelled goes to
done at once, and in its place in the run queue it runs a function that does nothing.
"""

from __future__ import annotations

from _thread import get_ident
from contextvars import Context, copy_context
from itertools import count

from greenlet import GreenletExit

from greenworld.hub.carrier import Carrier
from greenworld.hub.current import current_task, current_waiter
from greenworld.hub.report import report_error
from greenworld.hub.task import Task, host_of
from greenworld.hub.typed import TYPE_CHECKING, Any, Generic, TypeVar
from greenworld.hub.waiter import wake_all, withdrawn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, TracebackType

    from greenworld.hub.loop import Hub

__all__ = ["GreenThread"]

T = TypeVar("T")

PENDING: Any = object()
_numbers = count(1)


class Link:
    """A waiter that, instead of waiting, calls back when the thread is done."""

    __slots__ = ("args", "function", "kwargs", "thread")

    def __init__(
        self, thread: GreenThread[Any], function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.thread = thread
        self.function = function
        self.args = args
        self.kwargs = kwargs

    def wake(self) -> None:
        try:
            self.function(self.thread, *self.args, **self.kwargs)
        except (KeyboardInterrupt, SystemExit) as error:
            self.thread.hub.raise_in_main(error)
        except BaseException as error:  # noqa: BLE001 - reported, and the next link is called
            report_error(f"a link of {self.thread.name}", error)


class GreenThread(Task, Generic[T]):
    """A spawned function. Made by `spawn`; joined, killed and asked for its result here."""

    __slots__ = ("_code", "_error", "_instruction", "_name", "_traceback", "_value", "args",
                 "context", "function", "kwargs", "waiters")  # fmt: skip

    context: Context | None
    waiters: list[Any]
    _error: BaseException | None
    _name: str | None
    _traceback: TracebackType | None
    _value: Any
    function: Callable[..., Any] | None
    args: tuple[Any, ...] | None
    kwargs: dict[str, Any] | None

    def __init__(
        self,
        hub: Hub,
        function: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        code: CodeType,
        instruction: int,
    ) -> None:
        self.hub = hub
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.context = copy_context()
        self.waiters = []
        self._value = PENDING
        self._code = code
        self._instruction = instruction
        self.greenlet = self.lot = self.failure = self.locals = self._error = self._name = None

    # Running

    def begin(self) -> Any:
        """On the hub's greenlet: run in a new carrier."""
        return Carrier().switch(self)

    def due(self) -> None:
        """The timer of `spawn_after` has fired."""
        self.lot = None
        self.hub.start(self)

    def execute(self) -> None:
        """On the carrier: run the function to its end and tell whoever waits."""
        function: Any = self.function
        args: Any = self.args
        kwargs: Any = self.kwargs
        self.function = self.args = self.kwargs = None
        try:
            # Not merging an empty dictionary saves as much as a short function costs.
            self._value = function(*args, **kwargs) if kwargs else function(*args)
        except BaseException as error:  # noqa: BLE001 - kept, reported and raised to who waits
            self._fail(error)
        function = args = kwargs = self.context = self.locals = None
        if self.waiters:
            wake_all(self.waiters)
        del self  # this frame may live on in the traceback of the error: a cycle

    def _fail(self, error: BaseException) -> None:
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next  # from the function on
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.hub.raise_in_main(error)
        elif isinstance(error, GreenletExit):
            error.__traceback__ = None  # where a kill struck is nobody's concern, its frames are
        else:
            report_error(self.name, error)
        self._error = error
        self._traceback = error.__traceback__
        self._value = None

    # Outcome

    def ready(self) -> bool:
        """Whether it has ended, by return, exception, kill or cancel."""
        return self._value is not PENDING

    dead = property(ready)

    def successful(self) -> bool:
        """Whether it has ended by returning."""
        return self._value is not PENDING and self._error is None

    @property
    def value(self) -> T | None:
        """What the function returned; None before that and after an exception."""
        return None if self._value is PENDING else self._value

    @property
    def exception(self) -> BaseException | None:
        """What ended it: the uncaught exception, `GreenletExit` after a kill, else None."""
        return self._error

    def wait(self, timeout: float | None = None) -> T:
        """Wait for the end and return the result, or raise what ended it.

        **Blocks** unless it has ended. Raises TimeoutError after `timeout`
        seconds. Works from any OS thread. **Source**: eventlet's `GreenThread.wait`.
        """
        if self._value is PENDING and not self.join(timeout):
            raise TimeoutError(f"{self.name} did not end in {timeout} seconds")
        if self._error is not None:
            try:
                raise self._error.with_traceback(self._traceback)
            finally:
                del self  # which the traceback would keep: a cycle
        value: T = self._value
        return value

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end, however it comes; False after `timeout` seconds.

        **Blocks** unless it has ended. Works from any OS thread.
        """
        if self._value is not PENDING:
            return True
        waiter = current_waiter()
        if waiter is self:
            raise RuntimeError(f"{self.name} cannot wait for its own end")
        lot = self.waiters
        lot.append(waiter)
        if self.ready() and withdrawn(lot, waiter):
            return True
        return waiter.park(self, lot, timeout) or self._value is not PENDING

    def link(self, function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        """Call `function(self, *args, **kwargs)` when it ends; at once if it has.

        The call happens in the ending thread; it should not block. **Source**: eventlet.
        """
        link = Link(self, function, args, kwargs)
        self.waiters.append(link)
        if self.ready() and withdrawn(self.waiters, link):
            link.wake()

    def unlink(self, function: Callable[..., object], /, *args: Any, **kwargs: Any) -> bool:
        """Take back the first such `link`; whether there was one."""
        for link in list(self.waiters):
            if isinstance(link, Link) and (link.function, link.args, link.kwargs) == (
                function,
                args,
                kwargs,
            ):
                return withdrawn(self.waiters, link)
        return False

    # Ending it from outside

    def kill(
        self,
        error: BaseException | type[BaseException] = GreenletExit,
        value: object = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Raise `error` in it and give it a turn to unwind.

        A thread that has not started never will. Never raises into the
        caller, unless the caller kills itself. From another OS thread it
        returns at once. **Blocks** briefly. **Source**: eventlet's `GreenThread.kill`.
        """
        exception = _exception_of(error, value, traceback)
        if not self._on_own_thread():
            self.hub.post(lambda: self._deliver(exception))
            return
        current = current_task()
        if host_of(current) is self:
            raise exception
        if self._deliver(exception) and current.greenlet is not self.hub.greenlet:
            current.give_way()

    def cancel(self, error: BaseException | type[BaseException] = GreenletExit) -> bool:
        """Keep it from starting; False (and nothing done) if it has started already.

        Never switches. Only on its own OS thread.
        """
        if self.greenlet is not None or self._value is not PENDING:
            return False
        self._abandon(_exception_of(error, None, None))
        return True

    def _deliver(self, error: BaseException) -> bool:
        """Throw, or cancel. Returns whether a turn of it is still to come."""
        if self._value is not PENDING:
            return False
        if self.greenlet is None:
            self._abandon(error)
            return False
        self.throw(error)
        return True

    def _abandon(self, error: BaseException) -> None:
        """Fresh → done. Its place in the run queue, if it has one, is kept, for nothing."""
        self.greenlet = self.hub.greenlet
        self._error, self._traceback, self._value = error, None, None
        lot, self.lot = self.lot, None
        if lot is not None:
            withdrawn(lot, self)  # the timer of spawn_after
        self.function, self.args, self.kwargs, self.context = _nothing, (), {}, None
        wake_all(self.waiters)

    def _on_own_thread(self) -> bool:
        return get_ident() == self.hub.thread_id

    # Naming it

    @property
    def name(self) -> str:
        """A name for reports: `GreenThread-N`, or what was assigned."""
        if self._name is None:
            self._name = f"GreenThread-{next(_numbers)}"
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    @property
    def spawned_at(self) -> str:
        """`file:line in function` of the spawn."""
        for start, end, number in self._code.co_lines():
            if start <= self._instruction < end:
                return f"{self._code.co_filename}:{number} in {self._code.co_name}"
        return f"{self._code.co_filename} in {self._code.co_name}"

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it."""
        return f"the end of {self.name}"

    def __repr__(self) -> str:
        state = "fresh" if self.greenlet is None else "started"
        if self._value is not PENDING:
            state = "done" if self._error is None else f"failed with {self._error!r}"
        return f"<{type(self).__name__} {self.name} {state}>"


def _nothing() -> None:
    """What a cancelled thread does in its place in the run queue."""


def _exception_of(
    error: BaseException | type[BaseException], value: object, traceback: TracebackType | None
) -> BaseException:
    """The exception meant by the arguments of `throw`: an instance, or a class and its value."""
    if isinstance(error, BaseException):
        exception = error
    elif isinstance(value, BaseException):
        exception = value
    else:
        exception = error() if value is None else error(value)
    return exception if traceback is None else exception.with_traceback(traceback)
