"""Event: one value or exception, sent once to any number of waiters."""

from __future__ import annotations

from greenlet import GreenletExit

from greenworld.hub.current import current_waiter
from greenworld.hub.flow import current_greenlet
from greenworld.hub.typed import TYPE_CHECKING, Any
from greenworld.hub.waiter import withdrawn

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["NOT_USED", "Event"]

NOT_USED: Any = object()
"""What an event holds before it was sent."""


class _Raised:
    """What an event holds to which an exception was sent."""

    __slots__ = ("error", "traceback")

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.traceback = error.__traceback__

    def again(self) -> BaseException:
        """The exception, without the traceback of whoever was handed it before."""
        return self.error.with_traceback(self.traceback)


class Event:
    """**Source**: `eventlet.event.Event`. Wakes in the order of waiting.

    Right between green threads and native threads in any mix.
    """

    __slots__ = ("__weakref__", "_result", "_unsent", "_waiters")

    def __init__(self) -> None:
        self._waiters: list[Any] = []
        self._result = NOT_USED
        self._unsent = True  # who deletes it, one atomic step, may send

    def send(self, result: Any = None, exc: BaseException | tuple[Any, ...] | None = None) -> None:
        """Let every present and future `wait` return `result`, or raise `exc`.

        Callable from any OS thread; never switches. AssertionError if it was
        sent already. `exc` may be an exception or the arguments of `throw`;
        TypeError if it is neither.
        """
        if exc is not None:
            result = _Raised(_exception(*exc if isinstance(exc, tuple) else (exc,)))
        try:
            del self._unsent
        except AttributeError:
            raise AssertionError("the event was sent already: reset() it to send again") from None
        self._result = result
        waiters = self._waiters
        while waiters:
            try:
                waiter = waiters.pop(0)
            except IndexError:
                return  # it has just timed out
            waiter.given = result
            waiter.wake()

    def send_exception(self, *args: Any) -> None:
        """`send` an exception: an instance, or the arguments of `throw`."""
        self.send(None, args)

    def wait(self, timeout: float | None = None) -> Any:
        """The value that was sent, or raises the exception that was; None after `timeout` seconds.

        **Blocks** unless it was sent. Who was woken gets what was sent then,
        even if the event is reset before it can run.
        """
        result = self._result
        if result is NOT_USED:
            try:
                waiter = current_greenlet().task
            except AttributeError:
                waiter = current_waiter()
            waiters = self._waiters
            waiters.append(waiter)
            result = self._result
            if result is NOT_USED or not withdrawn(waiters, waiter):
                if not waiter.park(self, waiters, timeout):
                    return None
                result, waiter.given = waiter.given, None
        if type(result) is _Raised:
            raise result.again()
        return result

    def ready(self) -> bool:
        """Whether it was sent."""
        return self._result is not NOT_USED

    def has_result(self) -> bool:
        """Whether a value was sent."""
        return self._result is not NOT_USED and not self.has_exception()

    def has_exception(self) -> bool:
        """Whether an exception was sent."""
        return type(self._result) is _Raised

    def poll(self, notready: Any = None) -> Any:
        """What `wait` would return or raise if it was sent, else `notready`. Never blocks."""
        return self.wait() if self.ready() else notready

    def poll_result(self, notready: Any = None) -> Any:
        """The value if one was sent, else `notready`."""
        return self._result if self.has_result() else notready

    def poll_exception(self, notready: Any = None) -> Any:
        """Raises the exception if one was sent, else returns `notready`."""
        return self.wait() if self.has_exception() else notready

    def reset(self) -> None:
        """Make it sendable again. AssertionError if it was not sent."""
        if self._result is NOT_USED:
            raise AssertionError("only an event that was sent can be reset")
        self._result = NOT_USED
        self._unsent = True

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it."""
        return f"Event at {id(self):#x}"

    def __repr__(self) -> str:
        state = "sent" if self.ready() else f"{len(self._waiters)} waiting"
        return f"<Event at {id(self):#x}: {state}>"


def _exception(
    error: Any = GreenletExit, value: Any = None, traceback: TracebackType | None = None
) -> BaseException:
    """The instance meant by the arguments of `throw`: see `greenlet.throw`."""
    if isinstance(error, type) and issubclass(error, BaseException):
        if isinstance(value, error):
            error = value
        elif isinstance(value, tuple):
            error = error(*value)
        else:
            error = error() if value is None else error(value)
    elif not isinstance(error, BaseException):
        raise TypeError(f"exceptions must be classes or instances, not {type(error).__name__}")
    exception: BaseException = error
    return exception if traceback is None else exception.with_traceback(traceback)
