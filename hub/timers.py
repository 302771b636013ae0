"""Timers: deadlines of one hub, started and cancelled in constant time.

Socket time-outs dominate real programs and are nearly all cancelled, and
they come in a handful of durations. Timers of one duration, started one
after another, are already in order of their deadlines: they form a *lane*,
a deque where start is an append. A heap holds one entry per lane, keyed by
its first timer, so its size is the number of durations, not of timers.

1. A lane is in the heap from its first timer until it surfaces empty; a
   cancel never touches the heap.
2. Cancelled timers are dropped at the ends of the lane at once; inside it
   they are counted and swept when they outnumber the live ones.
3. With `MAX_LANES` durations alive, a new duration gets a lane of its own
   that is not remembered: then the heap is a plain timer heap.
4. Used by the hub's own OS thread only.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush, heapreplace
from time import monotonic

from greenworld.hub.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lane", "Timer", "Timers"]

MAX_LANES = 256
SWEEP_ABOVE = 64


class Lane:
    """Timers of one duration, oldest first."""

    __slots__ = ("dead", "dropped", "queue", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.queue: deque[Timer] = deque()
        self.dead = 0
        self.dropped = False
        """Whether it has left the heap, because it was empty."""

    def trim(self) -> None:
        """Drop cancelled timers from the front."""
        queue = self.queue
        while queue and queue[0].callback is None:
            queue.popleft()
            self.dead -= 1

    def sweep(self) -> None:
        """Drop every cancelled timer."""
        alive = [timer for timer in self.queue if timer.callback is not None]
        self.queue.clear()
        self.queue.extend(alive)
        self.dead = 0


class Timer:
    """One pending callback. Also the lot in which a sleeping thread waits."""

    __slots__ = ("callback", "deadline", "lane")

    callback: Callable[[], Any] | None
    deadline: float
    lane: Lane

    def cancel(self) -> None:
        """Never call the callback. Does nothing after it has fired or was cancelled."""
        if self.callback is None:
            return
        self.callback = None
        lane = self.lane
        queue = lane.queue
        if queue[-1] is self:
            queue.pop()
            return
        lane.dead += 1
        if queue[0] is self:
            lane.trim()
        elif lane.dead > SWEEP_ABOVE and lane.dead * 2 > len(queue):
            lane.sweep()

    def remove(self, waiter: object) -> None:
        """Take the sleeper out: the lot's side of the contract in rule 3.3."""
        if self.callback is None:
            raise ValueError("the timer has fired")
        self.cancel()

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it."""
        return f"sleep({self.lane.seconds:g})"


class Timers:
    """All timers of one hub."""

    __slots__ = ("_clock", "_lanes", "_sequence", "heap")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.heap: list[tuple[float, int, Lane]] = []
        self._lanes: dict[float, Lane] = {}
        self._sequence = 0

    def start(self, seconds: float, callback: Callable[[], Any]) -> Timer:
        """Call `callback` on the hub's greenlet once, `seconds` from now or a little later.

        The callback must not block. A duration below a nanosecond counts as one.
        Raises ValueError if `seconds` is not a number.
        """
        lane = self._lanes.get(seconds)
        timer = Timer()
        timer.callback = callback
        timer.deadline = self._clock() + seconds
        if lane is None:
            lane = self._open(seconds, timer)
        timer.lane = lane
        lane.queue.append(timer)
        if lane.dropped:  # since we looked: a finaliser that struck here has let others run
            self._raise_again(lane)
        return timer

    def _open(self, seconds: float, timer: Timer) -> Lane:
        if seconds != seconds:
            raise ValueError("a timer's duration must be a number of seconds, not NaN")
        if seconds < 1e-9:
            timer.deadline = self._clock() + 1e-9
            seconds = 1e-9
        lane = Lane(seconds)
        if len(self._lanes) < MAX_LANES and seconds not in self._lanes and seconds > 1e-9:
            self._lanes[seconds] = lane
        self._sequence += 1
        heappush(self.heap, (timer.deadline, self._sequence, lane))
        return lane

    def _raise_again(self, lane: Lane) -> None:
        """Bring back a lane that was dropped just before its next timer stood in it."""
        lane.dropped = False
        self._sequence += 1
        heappush(self.heap, (lane.queue[0].deadline, self._sequence, lane))

    def timeout(self) -> float | None:
        """Seconds until `fire` should be called, None without a live timer.

        May be too early: a lane whose first timer was cancelled keeps its
        place in the heap until that deadline, which spares a move per wait.
        """
        heap = self.heap
        while heap:
            deadline, _, lane = heap[0]
            lane.trim()
            if lane.queue:
                return max(0.0, deadline - self._clock())
            self._surface(lane)
        return None

    def _surface(self, lane: Lane) -> None:
        """Give the lane on top of the heap its proper place, or drop it when it is empty.

        A finaliser that strikes here may run the hub's loop, which does the same: hence the
        second look.
        """
        if lane.queue:
            self._sequence += 1
            entry = (lane.queue[0].deadline, self._sequence, lane)
            if self.heap and self.heap[0][2] is lane:
                heapreplace(self.heap, entry)
        elif self.heap and self.heap[0][2] is lane:
            heappop(self.heap)
            lane.dropped = True
            if self._lanes.get(lane.seconds) is lane:
                del self._lanes[lane.seconds]

    def fire(self) -> None:
        """Call back every timer that is due, in order of deadlines. An exception passes through;
        the timers behind it are still due at the next call."""
        heap = self.heap
        if not heap:
            return
        now = self._clock()
        while heap and heap[0][0] <= now:
            top = heap[0]
            lane = top[2]
            lane.trim()
            queue = lane.queue
            if queue and queue[0].deadline == top[0]:
                timer = queue.popleft()
                callback = timer.callback
                timer.callback = None
                if not queue or queue[0].deadline != top[0]:
                    self._surface(lane)
                if callback is not None:
                    callback()
            else:
                self._surface(lane)

    def __len__(self) -> int:
        """How many timers are live."""
        return sum(len(lane.queue) - lane.dead for _, _, lane in self.heap)
