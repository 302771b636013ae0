"""Tasks: the entries of the run queue that stand for a flow of control.

Owns parking and resuming of one flow: the main greenlet of an OS thread, a
raw greenlet that user code made (a guest), and, as the base class, a green
thread. Knows its hub only as an attribute; imports nothing of it.

1. `switch` is the bound `switch` of the task's greenlet, so a hand-over is
   `ready.popleft().switch()` with no test of what the entry is.
2. `lot` is not None exactly while the task is parked or parking; one that only gives way has
   the run queue itself for a lot. A SIGINT handler may therefore raise only where `lot` is None.
3. To raise an exception in a task that will be resumed anyway, `switch` is
   replaced by a method that throws: the common path tests nothing.
"""

from __future__ import annotations

from greenworld.hub.errors import HubCallbackError
from greenworld.hub.finaliser import in_finaliser
from greenworld.hub.thread_state import Keeping
from greenworld.hub.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from greenlet import greenlet as Greenlet

    from greenworld.hub.loop import Hub
    from greenworld.hub.waiter import Lot

__all__ = ["Guest", "HubTask", "MainTask", "Task", "host_of"]


class Task:
    """One flow of control that can park, be woken, and be thrown into."""

    __slots__ = (
        "__weakref__",
        "expired",
        "failure",
        "given",
        "greenlet",
        "hub",
        "locals",
        "lot",
        "switch",
        "waiting_on",
    )

    hub: Hub
    greenlet: Greenlet | None
    switch: Callable[[], Any]
    waiting_on: Any
    lot: Lot | None
    failure: BaseException | None
    locals: dict[Any, Any] | None
    expired: bool
    given: Any

    def __init__(self, hub: Hub, carrier: Greenlet) -> None:
        self.hub = hub
        self.greenlet = carrier
        self.switch = carrier.switch
        self.waiting_on = self.lot = self.failure = self.locals = self.given = None

    @property
    def name(self) -> str:
        """What reports call it."""
        return type(self).__name__

    def wake(self) -> None:
        """Put this parked task into its hub's run queue. Callable from any OS thread.

        Only for whoever took it out of its lot (rule 3.3).
        """
        hub = self.hub
        hub.ready.append(self)
        if hub.polling:
            hub.interrupt()

    def park(self, what: object, lot: Lot, timeout: float | None = None) -> bool:
        """Leave until woken (True) or until `timeout` seconds have passed (False).

        The caller is the current task and already stands in `lot`. Raises
        what `throw` delivers. **Blocks** always.
        """
        if timeout is not None:
            return self._park_for(what, lot, timeout)
        hub = self.hub
        self.waiting_on = what
        self.lot = lot
        try:
            hub.credit = credit = hub.credit - 1
            if credit > 0 and hub.ready:
                hub.ready.popleft().switch()
            else:
                hub.enter()
        except BaseException:
            self._leave_lot()
            raise
        self.lot = self.waiting_on = None
        return True

    def _leave_lot(self) -> None:
        """Raised out of `park` by something else than `throw`: a signal handler of the user's."""
        lot, self.lot, self.waiting_on = self.lot, None, None
        if lot is not None:
            try:
                lot.remove(self)
            except ValueError:
                self.hub.discard(self)  # woken already

    def _park_for(self, what: object, lot: Lot, timeout: float) -> bool:
        self.expired = False
        try:
            timer = self.hub.timers.start(timeout, self._expire) if timeout > 0 else None
        except Exception:  # not a number of seconds
            self.lot = lot
            self._leave_lot()
            raise
        if timer is None:
            try:
                lot.remove(self)
            except ValueError:
                return self.park(what, lot)
            return False
        try:
            self.park(what, lot)
        finally:
            timer.cancel()
        return not self.expired

    def _expire(self) -> None:
        """The time-out of the present wait: wake up, unless somebody was faster (rule 3.3)."""
        if self.lot is None:
            return
        try:
            self.lot.remove(self)
        except ValueError:
            return
        self.expired = True
        self.hub.ready.append(self)

    def give_way(self) -> None:
        """Let every entry of the run queue go first. **Blocks** briefly."""
        hub = self.hub
        ready = hub.ready
        hub.credit = credit = hub.credit - 1
        if credit > 0 and not ready:
            return  # nobody else wants to run, and it is not yet time to poll
        self.lot = ready
        try:
            ready.append(self)
            if credit > 0:
                ready.popleft().switch()
            else:
                hub.enter()
        except BaseException:
            self._leave_lot()
            raise
        self.lot = None

    def throw(self, error: BaseException) -> None:
        """Raise `error` in this task the next time it runs.

        Only on the hub's own OS thread, and not for the current task.
        """
        if self.failure is not None:
            # One exception is on its way already: deliver this one after it.
            self.hub.post(lambda: self.throw(error))
            return
        lot = self.lot
        if lot is None:
            guest = self.hub.parked_guest_of(self)
            if guest is not None:
                guest.throw(error)
                return
        self.failure = error
        self.switch = self._raise
        if lot is not None and lot is not self.hub.ready:
            try:
                lot.remove(self)
            except ValueError:
                return  # woken already: its entry will find the new switch
            self.wake()

    def _raise(self) -> Any:
        error = self.failure
        assert error is not None and self.greenlet is not None
        self.failure = self.lot = self.waiting_on = None
        self.switch = self.greenlet.switch
        return self.greenlet.throw(error)


class MainTask(Task):
    """The flow that an OS thread began with."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """What reports call it."""
        return "main" if self.hub.is_main else f"main of thread {self.hub.thread_id}"


class Guest(Keeping, Task):
    """A raw greenlet of user code, running inside a green thread."""

    __slots__ = ("host",)

    def __init__(self, hub: Hub, raw: Greenlet, host: Task) -> None:
        super().__init__(hub, raw)
        self.host = host

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"greenlet inside {self.host.name}"


class HubTask(Task):
    """The hub's own greenlet: never an entry of the run queue, and its callbacks must not wait.

    A finaliser may: the garbage collector has begun it here, where anybody may be struck.
    """

    __slots__ = ("_hub", "woken")

    def __init__(self, hub: Hub, carrier: Greenlet) -> None:
        super().__init__(hub, carrier)
        self.expired = self.woken = False

    @property
    def hub(self) -> Hub:
        """The hub, awake: a signal handler that spawns in its sleep must not wait for its end."""
        if self._hub.polling:
            self._hub.interrupt()
        return self._hub

    @hub.setter
    def hub(self, hub: Hub) -> None:
        self._hub = hub

    @property
    def name(self) -> str:
        """What reports call it."""
        return "hub"

    def wake(self) -> None:
        """Let the waiting finaliser go on. Callable from any OS thread."""
        self.woken = True
        super().wake()

    def park(self, what: object, lot: Lot, timeout: float | None = None) -> bool:
        """Wait, in a finaliser; else refuse: HubCallbackError."""
        if not in_finaliser():
            lot.remove(self)
            raise HubCallbackError(
                f"blocking call ({type(what).__name__}) in a hub callback: "
                "spawn a green thread from the callback and block there"
            )
        if timeout is not None:
            return self._park_for(what, lot, timeout)
        self.waiting_on, self.lot = what, lot
        self.woken = False
        try:
            self._hub.wait_within(self)
        except BaseException:
            self._leave_lot()
            raise
        self.lot = self.waiting_on = None
        return True

    def _expire(self) -> None:
        super()._expire()
        if self.expired:
            self.woken = True

    def give_way(self) -> None:
        """Refuse: HubCallbackError. In a finaliser, nothing: there is no hurry."""
        if not in_finaliser():
            raise HubCallbackError("sleep(0) in a hub callback: spawn a green thread instead")


def host_of(task: Task) -> Task:
    """The green thread (or main) that a guest runs in; any other task is its own."""
    while isinstance(task, Guest):
        task = task.host
    return task
