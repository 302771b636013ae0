"""Time-outs around any blocking code: an exception thrown into the green thread that asked.

Owns the rule that a time-out never hits after it was cancelled, even where it
had fired already and the exception was still on its way.
"""

from __future__ import annotations

from greenworld.hub.current import current_task
from greenworld.hub.flow import current_greenlet
from greenworld.hub.typed import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from greenworld.hub.task import Task
    from greenworld.hub.timers import Timer

__all__ = ["Timeout", "with_timeout"]

T = TypeVar("T")

_RAISE: Any = object()


class Timeout(BaseException):
    """Raise in the present green thread when `seconds` have passed; started when it is made.

    What is raised is the time-out itself, or `exception` (an instance or a
    class). Where `exception` is False, the time-out is raised and the `with`
    block that it guards swallows it. With `seconds` None it never comes.

    Use it in a `with` statement, or `cancel()` it in a `finally`. Only a wait
    can be interrupted: a computation goes on to its next blocking call.
    A BaseException, so that `except Exception` lets it pass. Started in an OS
    thread without a hub, it makes one. **Source**: `eventlet.timeout.Timeout`.
    """

    __slots__ = ("_error", "_task", "_timer", "exception", "seconds")

    is_timeout = True

    def __init__(
        self,
        seconds: float | None = None,
        exception: BaseException | type[BaseException] | bool | None = None,
    ) -> None:
        self.seconds = seconds
        self.exception = exception
        if seconds is None:
            self._timer: Timer | None = None
            return
        try:
            self._task: Task = current_greenlet().task
        except AttributeError:
            self._task = current_task()
        self._timer = self._task.hub.timers.start(seconds, self)

    def start(self) -> Timeout:
        """Start it again, in the present green thread. Never switches.

        AssertionError if it is pending: cancel it first.
        """
        if self.pending:
            raise AssertionError(f"{self!r} is pending: cancel it before you start it again")
        if self.seconds is not None:
            self._task = current_task()
            self._timer = self._task.hub.timers.start(self.seconds, self)
        return self

    @property
    def pending(self) -> bool:
        """Whether it is still to come."""
        return self._timer is not None and self._timer.callback is not None

    def cancel(self) -> None:
        """Never raise. Does nothing if it was raised or cancelled before. Never switches."""
        timer = self._timer
        if timer is not None:
            self._timer = None
            if timer.callback is None:
                self._take_back()
            else:
                timer.cancel()

    def __call__(self) -> None:
        """The timer's callback, which is not a bound method: those cost and make cycles."""
        task = self._task
        if task.failure is not None:
            # Another exception is on its way, and may lead out of the block: see then.
            self._timer = task.hub.timers.start(0, self)
            return
        self._error = error = self._exception()
        task.throw(error)

    def _exception(self) -> BaseException:
        error = self.exception
        if error is None or isinstance(error, bool):
            return self
        return error if isinstance(error, BaseException) else error()

    def _take_back(self) -> None:
        """It has fired, but a task that waited for a raw greenlet was not there to be hit."""
        task = self._task
        if task.failure is self._error and task.greenlet is not None and current_task() is task:
            task.failure = None
            task.switch = task.greenlet.switch

    def __enter__(self) -> Timeout:
        if self._timer is None:
            self.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self.cancel()
        return error is self and self.exception is False

    def __str__(self) -> str:
        if self.seconds is None:
            return ""
        unit = "second" if self.seconds == 1 else "seconds"
        if self.exception is None or self.exception is True:
            return f"{self.seconds} {unit}"
        return f"{self.seconds} {unit} ({self.exception or 'silent'})"

    def __repr__(self) -> str:
        exception = "" if self.exception is None else f" exception={self.exception!r}"
        pending = " pending" if self.pending else ""
        name = type(self).__name__
        return f"<{name} at {id(self):#x} seconds={self.seconds}{exception}{pending}>"


def with_timeout(
    seconds: float | None,
    function: Callable[..., T],
    *args: Any,
    timeout_value: Any = _RAISE,
    **kwargs: Any,
) -> T:
    """Call `function(*args, **kwargs)`, but raise Timeout in it after `seconds`.

    Returns what the function returns; after the time-out `timeout_value`, or
    raises Timeout if none was given. **Blocks** if the function does.
    **Source**: `eventlet.timeout.with_timeout`.
    """
    timeout = Timeout(seconds)
    try:
        return function(*args, **kwargs)
    except Timeout as error:
        if error is not timeout or timeout_value is _RAISE:
            raise
        value: T = timeout_value
        return value
    finally:
        timeout.cancel()
