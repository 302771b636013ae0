"""The hub: the run queue of one OS thread and the loop that fills it.

Owns scheduling: who runs next, when the kernel is asked, when timers fire.
Knows tasks, timers, the poller; knows no primitive, and green threads only
as entries that can `begin()`.

The hub's greenlet runs only when a task finds the queue empty or its credit
spent, or hands over a message (an object whose `begin()` only this greenlet
may call: the start of a new carrier, a callback). One turn of the loop:

1. a message: begin it;
2. the queue is empty: sleep in the poller until the next deadline;
   else, credit spent: if 128 entries or 1 ms have passed, poll without waiting;
3. wake the waiters of ready descriptors, then fire due timers;
4. switch to the first entry of the queue.
"""

from __future__ import annotations

from _thread import _count as count_threads
from _thread import get_ident
from collections import deque
from signal import NSIG, default_int_handler, getsignal
from time import monotonic

from greenlet import GreenletExit, greenlet

from greenworld.hub.entries import HubCall, Starter, WakeupReader
from greenworld.hub.errors import DeadlockError
from greenworld.hub.flow import current_greenlet
from greenworld.hub.io import Io
from greenworld.hub.poller import Poller, make_poller
from greenworld.hub.report import report_blocked, report_error
from greenworld.hub.task import Guest, HubTask, MainTask, Task
from greenworld.hub.timers import Timers
from greenworld.hub.typed import TYPE_CHECKING, Any, TypeVar
from greenworld.hub.waiter import pool_calls, pool_threads
from greenworld.hub.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Hub"]

T = TypeVar("T", bound=Task)

POLL_AFTER_ENTRIES = 128
POLL_AFTER_SECONDS = 0.001
MAX_STRIDE = 64
FEW_ENTRIES = 8
"""So many entries between two sleeps say nothing about the next burst of them."""
MAX_IDLE = 1024
TRIM_AT_ONCE = 64
LONGEST_SLEEP = 86400.0
QUIET_AFTER = 0.05
"""Seconds without an event after which the hub looks for a deadlock: not before each sleep."""


class Hub:
    """The scheduler of one OS thread. `get_hub()` makes it; tests may pass a clock and a poller."""

    __slots__ = (
        "__weakref__",
        "carriers",
        "clock",
        "closed",
        "credit",
        "enter",
        "fresh",
        "greenlet",
        "guests",
        "idle",
        "ios",
        "is_main",
        "main",
        "phantom_threads",
        "poller",
        "polling",
        "quiet",
        "ready",
        "since_poll",
        "starter",
        "stride",
        "thread_id",
        "ticked",
        "timers",
        "polled",
        "wakeup",
    )

    def __init__(
        self,
        *,
        is_main: bool = False,
        clock: Callable[[], float] = monotonic,
        poller: Poller | None = None,
        main: Task | None = None,
    ) -> None:
        self.is_main = is_main
        self.phantom_threads = 0
        self.closed = self.polling = self.quiet = False
        self.clock = clock
        self.thread_id = get_ident()
        self.ready: deque[Any] = deque()
        self.fresh: deque[Any] = deque()
        self.timers = Timers(clock)
        self.poller: Poller = poller or make_poller()
        self.ios: dict[int, Io] = {}
        self.carriers: set[Any] = set()
        self.idle: list[Any] = []
        self.guests: list[Guest] = []
        self.stride = self.credit = 1
        self.since_poll = 0
        self.ticked = self.polled = clock()
        self.main = self._root_task() if main is None else main
        self.main.hub = self
        self.greenlet = greenlet(self._run, self.main.greenlet)
        _attach(self.greenlet, HubTask(self, self.greenlet))
        self.enter: Callable[..., Any] = self.greenlet.switch
        self.starter = Starter(self)
        self.wakeup = Wakeup(for_signals=is_main)
        WakeupReader(self.io(self.wakeup.fd), self.wakeup).wake()

    def _root_task(self) -> Task:
        root = current_greenlet()
        while root.parent is not None:
            root = root.parent
        return _attach(root, MainTask(self, root))

    # What others ask of the hub

    def io(self, fd: int) -> Io:
        """This hub's record of the descriptor, made on first use."""
        io = self.ios.get(fd)
        if io is None:
            io = self.ios[fd] = Io(self, fd)
        return io

    def start(self, thread: Any) -> None:
        """Put a fresh green thread into the run queue. Only on the hub's own OS thread."""
        self.fresh.append(thread)
        self.ready.append(self.starter)

    def post(self, callback: Callable[[], Any]) -> None:
        """Run `callback()` on the hub's greenlet soon. Callable from any OS thread."""
        self.ready.append(HubCall(self, callback))
        if self.polling:
            self.interrupt()

    def discard(self, task: Task) -> None:
        """Take an entry out of the run queue, if it is there: its task runs already."""
        try:
            self.ready.remove(task)
        except ValueError:
            pass  # another OS thread is about to append it: then it runs for nothing, once

    def interrupt(self) -> None:
        """End the hub's sleep. Callable from any OS thread; one write per burst."""
        self.polling = False
        self.wakeup.signal()

    def call(self, callback: Callable[[], Any]) -> None:
        """Run a callback here and now, reporting what it raises."""
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - reported, whatever it is
            report_error(f"hub callback {callback!r}", error)

    def adopt(self, raw: greenlet) -> Task:
        """The task of a greenlet that has none yet: a raw one, made by user code."""
        host: Any = raw.parent
        while host is not None and not isinstance(getattr(host, "task", None), Task):
            host = host.parent
        self.guests = [guest for guest in self.guests if guest.greenlet]
        guest = Guest(self, raw, self.main if host is None else host.task)
        self.guests.append(guest)
        return _attach(raw, guest)

    def parked_guest_of(self, task: Task) -> Guest | None:
        """The guest on whose return `task` waits, directly or not, if that guest is parked."""
        for guest in self.guests:
            if guest.lot is not None:
                host = guest.host
                while isinstance(host, Guest):
                    host = host.host
                if host is task:
                    return guest
        return None

    def orphan_guests(self, carrier: greenlet) -> None:
        """A tenant has ended: what it left suspended must not return into the next one."""
        for guest in self.guests:
            if guest.greenlet and guest.greenlet.parent is carrier:
                guest.greenlet.parent = self.greenlet

    def tasks(self) -> Iterator[Task]:
        """Main, every started green thread, every guest."""
        yield self.main
        for carrier in sorted(self.carriers, key=id):
            if carrier.task is not None:
                yield carrier.task
        yield from self.guests

    def dismiss(self) -> None:
        """At the end of its OS thread: end its greenlets, which nothing could collect.

        Whatever is parked gets a GreenletExit, and another one if it tries to wait again; what
        has not begun never will, and who waits for it, elsewhere, is told so.
        """
        here = current_greenlet()
        for thread in list(self.fresh):
            thread.cancel()
        self.enter = _refuse_to_wait
        self.credit = 0
        for carrier in [*self.idle, *self.carriers, *(guest.greenlet for guest in self.guests)]:
            if carrier and carrier is not here:
                self.credit = 0
                carrier.parent = here
                carrier.throw()
        self.greenlet.parent = here
        self.greenlet.throw()

    def close(self) -> None:
        """Release the kernel's resources. The hub must never run again."""
        if self.closed:
            return
        self.closed = True
        self.polling = False
        self.wakeup.close()
        self.poller.close()

    # The loop

    def _run(self, message: Any = None) -> None:
        while True:
            try:
                self._loop(message)
            except GreenletExit:  # dismissed
                raise
            except BaseException as error:  # noqa: BLE001 - raised in main
                # Of a signal handler, as a rule: there it is expected.
                self.raise_in_main(error)
            message = None

    def _loop(self, message: Any) -> None:
        ready = self.ready
        while True:
            if message:
                if self.credit <= 0:
                    self._tick()
                message = message.begin()
                continue
            if not ready:
                self._sleep()
            elif self.credit <= 0:
                self._tick()
            if ready:
                self.credit -= 1
                # Not popleft(): a signal handler may raise after a call, and the entry be lost.
                entry = ready[0]
                del ready[0]
                message = entry.switch()
                del entry

    def wait_within(self, task: HubTask) -> None:
        """Run the loop inside a finaliser that has struck this greenlet and waits as `task`.

        The turn that was struck goes on afterwards, and finds its wake-up signalled: it must
        not sleep on what it knew before.
        """
        inner = _attach(self.greenlet, HubTask(self, self.greenlet))
        ready = self.ready
        message: Any = None
        try:
            while message or not task.woken:
                if message:
                    message = message.begin()
                    continue
                if not ready:
                    self._sleep()
                elif self.credit <= 0:
                    self._tick()
                if ready:
                    self.credit -= 1
                    entry = ready[0]
                    del ready[0]
                    message = entry.switch()
                    del entry
        finally:
            inner.woken = True
            _attach(self.greenlet, task)
            self.interrupt()

    def _tick(self) -> None:
        """The credit is spent: poll if it is time to, and set the next credit (rule 2.8)."""
        now = self.clock()
        self.since_poll += self._set_pace(now)
        if self.since_poll >= POLL_AFTER_ENTRIES or now - self.polled >= POLL_AFTER_SECONDS:
            self._poll(0)
            if self.timers.heap:
                self._fire()
            self.polled = now = self.clock()
            self.since_poll = 0
        self.credit = self.stride
        self.ticked = now

    def _set_pace(self, now: float) -> int:
        """Grant a quarter of the poll interval, at the pace of the last entries: their number.

        At most twice the last grant: a few short entries may come before long ones.
        """
        entries = self.stride - self.credit
        seconds = now - self.ticked
        affordable = POLL_AFTER_SECONDS / 4 * entries / seconds if seconds > 0 else MAX_STRIDE
        self.stride = max(1, min(MAX_STRIDE, 2 * self.stride, int(affordable)))
        return entries

    def _sleep(self) -> None:
        """Nothing is ready: wait for I/O, a deadline, or another OS thread."""
        if self.credit != self.stride:
            self.quiet = False  # somebody has run, and may have started an OS thread
        if self.stride - self.credit >= FEW_ENTRIES:
            self._set_pace(self.clock())
        timers = self.timers
        timeout = timers.timeout() if timers.heap else None
        if timeout is None:
            if not self.quiet:
                timeout = QUIET_AFTER
            elif self._hopeless():
                self._deadlock()
                return
        elif timeout > LONGEST_SLEEP:
            timeout = LONGEST_SLEEP
        if len(self.idle) > MAX_IDLE:
            self._trim_idle()
            timeout = 0.0
        self.polling = True
        try:
            # Another OS thread may have appended before it could see `polling`.
            self._poll(0 if self.ready else timeout)
        finally:
            self.polling = False
        self.ticked = self.polled = self.clock()
        if timers.heap:
            self._fire()
        self.since_poll = 0
        self.credit = self.stride

    def _poll(self, timeout: float | None) -> None:
        ios = self.ios
        events = self.poller.wait(timeout)
        self.polling = False
        self.quiet = not events
        for fd, mask in events:
            io = ios.get(fd)
            if io is None:
                continue
            try:
                io.ready(mask)
            except Exception as error:  # noqa: BLE001 - reported, and not at the others' cost
                report_error(f"a waiter for descriptor {fd}", error)

    def run_due(self) -> None:
        """Put whoever is ready by now into the run queue, without waiting."""
        self._poll(0)
        self._fire()

    def _fire(self) -> None:
        try:
            self.timers.fire()
        except Exception as error:  # noqa: BLE001 - reported; the timers behind it are still due
            report_error("a timer", error)

    def _trim_idle(self) -> None:
        """End some surplus carriers, the longest idle first: few at a time, it takes a while."""
        surplus = self.idle[: min(TRIM_AT_ONCE, len(self.idle) - MAX_IDLE)]
        del self.idle[: len(surplus)]
        for carrier in surplus:
            carrier.switch(None)

    # The end of the road

    def raise_in_main(self, error: BaseException) -> None:
        """Raise `error` in the main green thread when it next runs."""
        self.main.throw(error)

    def _deadlock(self) -> None:
        error = DeadlockError(
            "nothing can ever run again and the main thread waits; "
            f"blocked green threads:\n{report_blocked(self)}"
        )
        self.raise_in_main(error)

    def _hopeless(self) -> bool:
        """Whether nothing inside or outside this process could make an entry ready (rule 7.1)."""
        others = count_threads() - self.phantom_threads - len(pool_threads)
        if not self.is_main or pool_calls or others > 0:
            return False
        own = self.wakeup.fd
        if any(io.waited_for for fd, io in self.ios.items() if fd != own):
            return False
        if any(map(_handled_in_python, range(1, NSIG))):
            return False
        # Last: an OS thread may have woken somebody and ended before it could be counted.
        return not self.ready


def _attach(target: Any, task: T) -> T:
    """Make `task` what `getcurrent().task` finds in that greenlet."""
    target.task = task
    return task


def _refuse_to_wait(message: Any = None) -> None:
    raise GreenletExit("the OS thread of this green thread has ended")


def _handled_in_python(number: int) -> bool:
    """Whether a signal runs Python code that might wake somebody."""
    handler = getsignal(number)
    if not callable(handler) or handler is default_int_handler:
        return False
    return not getattr(handler, "only_interrupts", False)
