"""Lock and RLock: one owner at a time, known by name.

The state is a list with one permit (see `Contended`); a real lock would make an
uncontended turn half as slow again, because its `acquire` needs an argument.

The owner is recorded beside it, for the deadlock report and (RLock) for
re-entry. An OS thread without a hub owns by its main greenlet, so a lock taken
before its hub was made is still its own afterwards.
"""

from __future__ import annotations

import sys
from _thread import TIMEOUT_MAX
from time import sleep as native_sleep

from greenworld.hub.contention import NO_HUB, OVERTAKEN_LIMIT, TURN, Contended
from greenworld.hub.flow import current_greenlet
from greenworld.hub.task import Guest, host_of
from greenworld.hub.typed import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

__all__ = ["Lock", "RLock"]

FOREVER = -1
"""The default time-out, recognised by identity: the fast path asks for nothing else."""


def _check_timeout(blocking: bool, timeout: float | None) -> float | None:
    """The standard lock's rules for `acquire(blocking, timeout)`, where -1 means for ever."""
    if timeout is None:
        return None
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if not timeout >= 0:
        raise ValueError(f"timeout value must be -1 or a non-negative number, not {timeout}")
    if timeout > TIMEOUT_MAX:
        raise OverflowError(f"timeout value is too large: {timeout}, at most {TIMEOUT_MAX}")
    return timeout


class Lock(Contended):
    """**Source**: `threading.Lock`: not re-entrant, and any thread may release it.

    Right between green threads and native threads in any mix.
    """

    __slots__ = ("_owner",)

    def __init__(self) -> None:
        super().__init__([None])
        self._owner: Any = None

    def acquire(self, blocking: bool = True, timeout: float | None = FOREVER) -> bool:
        """Take it, waiting up to `timeout` seconds (-1 or None: for ever); whether it did.

        **Blocks** only if it is taken and `blocking` is true. ValueError or
        OverflowError for a time-out that the standard lock refuses.
        """
        if timeout is FOREVER and self._permits:
            try:
                self._permits.pop()
                self._owner = current_greenlet().task
            except IndexError:
                pass  # another OS thread was faster
            except AttributeError:  # not in a green thread
                self._owner = current_greenlet()
                return True
            else:
                return True
        return self._acquire_slowly(blocking, timeout)

    __enter__ = acquire

    def _acquire_slowly(self, blocking: bool, timeout: float | None) -> bool:
        seconds = None if timeout == FOREVER else _check_timeout(blocking, timeout)
        if self._wait_turn(seconds) if blocking else self._take():
            current = current_greenlet()
            self._owner = getattr(current, "task", None) or current
            return True
        return False

    def release(self) -> None:
        """Give it up and let the first waiter in. Callable from any thread.

        RuntimeError if it is not taken.
        """
        if self._permits:
            raise RuntimeError("release unlocked lock")
        self._owner = None
        self._permits.append(None)
        if self._waiters:
            self._wake_first()

    def __exit__(self, kind: object = None, error: object = None, trace: object = None, /) -> None:
        # `release`, spelled out: the call would cost a fifth of an uncontended `with`.
        if self._permits:
            raise RuntimeError("release unlocked lock")
        self._owner = None
        self._permits.append(None)
        if self._waiters:
            self._wake_first()

    acquire_lock = acquire
    release_lock = release

    def locked(self) -> bool:
        """Whether it is taken."""
        return not self._permits

    locked_lock = locked

    _free = release

    def _at_fork_reinit(self) -> None:
        """In a forked child: free, whoever of the parent held it."""
        self.__init__()  # type: ignore[misc]

    def holders(self) -> Iterable[Any]:
        """Who has it, for reports."""
        owner = self._owner
        return () if owner is None else (owner,)

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it."""
        return f"{type(self).__name__} at {id(self):#x}"

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {type(self).__module__}.{type(self).__name__} object at {id(self):#x}>"


class RLock(Lock):
    """**Source**: `threading.RLock`: its owner may take it again; only the owner releases it.

    The owner is a green thread (with the raw greenlets it runs), or a native
    thread.
    """

    __slots__ = ("_count",)

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float | None = FOREVER) -> bool:
        """Take it, or take it once more; see `Lock.acquire`."""
        if timeout is not FOREVER:
            return self._acquire_slowly(blocking, timeout)
        try:
            me = current_greenlet().task
        except AttributeError:  # not in a green thread
            return self._acquire_slowly(blocking, FOREVER)
        if me is None or type(me) is Guest:  # a finaliser between two tenants, a raw greenlet
            return self._acquire_slowly(blocking, FOREVER)
        if self._owner is me:
            self._count += 1
            return True
        if self._permits:
            try:
                self._permits.pop()
            except IndexError:
                pass  # another OS thread was faster
            else:
                self._owner = me
                self._count = 1
                return True
        return self._acquire_slowly(blocking, FOREVER)

    __enter__ = acquire

    def _acquire_slowly(self, blocking: bool, timeout: float | None) -> bool:
        seconds = None if timeout == FOREVER else _check_timeout(blocking, timeout)
        if self._is_owned():
            self._count += 1
            return True
        if self._owner is None and not self._permits and self._is_half_taken():
            # This finaliser has struck its own thread between two steps of taking it, which the
            # thread will end as if nothing had been: with a count of one.
            self._owner = _flow_of(current_greenlet())
            self._count = 2
            return True
        if self._wait_turn(seconds) if blocking else self._take():
            if self._owner is None:  # else whoever has handed it over has said so already
                self._owner = _flow_of(current_greenlet())
                self._count = 1
            return True
        return False

    def _wake_first(self) -> None:
        """As any lock does, but whom it is handed to owns it from then on."""
        try:
            waiter = self._waiters.popleft()
        except IndexError:
            return
        try:
            hub = current_greenlet().task.hub
        except AttributeError:
            hub = NO_HUB
        if waiter.hub is hub or self._overtaken >= OVERTAKEN_LIMIT:
            try:
                self._permits.pop()
            except IndexError:
                pass  # taken by another OS thread: announced only
            else:
                self._overtaken = 0
                if hub is not NO_HUB and waiter.hub is hub:
                    self._owner = host_of(waiter) if type(waiter) is Guest else waiter
                    self._count = 1
                waiter.given = TURN
        waiter.wake()

    def _is_half_taken(self) -> bool:
        """Whether the caller is a finaliser that has struck a thread that has just taken it.

        Only where it is taken and has no owner: another OS thread may be between the same two
        steps, but not for long. Never two by the garbage collector, which does one at a time.
        """
        frame: FrameType | None = sys._getframe(2).f_back  # below this very acquire
        while frame is not None and not (
            frame.f_code in _TAKING and frame.f_locals.get("self") is self
        ):
            frame = frame.f_back
        if frame is None:
            return False
        for _ in range(OTHERS_LOOKS):
            if self._owner is not None or self._permits:
                return False
            native_sleep(OTHERS_STEP)
        return True

    def release(self) -> None:
        """Give it up once. RuntimeError if the caller does not own it."""
        count = self._count
        try:
            mine = count and self._owner is current_greenlet().task
        except AttributeError:  # not in a green thread
            mine = False
        if not mine and not self._is_owned():
            self._refuse()
        self._count = count - 1
        if count == 1:
            self._owner = None
            self._permits.append(None)
            if self._waiters:
                self._wake_first()

    def __exit__(self, kind: object = None, error: object = None, trace: object = None, /) -> None:
        self.release()

    acquire_lock = acquire
    release_lock = release

    def _free(self) -> None:
        self._owner = None
        self._permits.append(None)
        if self._waiters:
            self._wake_first()

    def _refuse(self) -> NoReturn:
        owner = self._owner
        if owner is None:
            raise RuntimeError("cannot release un-acquired lock")
        name = getattr(owner, "name", None) or "another thread"
        raise RuntimeError(f"cannot release un-acquired lock: {name} holds it")

    # What the standard library's Condition asks of a re-entrant lock

    def _is_owned(self) -> bool:
        owner = self._owner
        current = current_greenlet()
        return owner is not None and (
            owner is getattr(current, "task", None) or _owns(owner, current)
        )

    def _recursion_count(self) -> int:
        return self._count if self._is_owned() else 0

    def _release_save(self) -> tuple[int, Any]:
        if not self._is_owned():
            self._refuse()
        state = (self._count, self._owner)
        self._count = 0
        self._free()
        return state

    def _acquire_restore(self, state: tuple[int, Any]) -> None:
        self.acquire()
        self._count = state[0]


_TAKING = (RLock.acquire.__code__, RLock._acquire_slowly.__code__)
OTHERS_LOOKS = 20
OTHERS_STEP = 0.0005
"""Seconds. Another OS thread gets the GIL meanwhile and ends what it has begun."""


def _flow_of(current: Any) -> Any:
    """Who owns what the greenlet `current` takes.

    The green thread in which it runs, however many raw greenlets lie between;
    where there is no hub, the OS thread's main greenlet.
    """
    while True:
        task = getattr(current, "task", None)
        while type(task) is Guest:
            task = task.host
        if task is not None:
            return task
        if current.parent is None:
            return current
        current = current.parent


def _owns(owner: Any, current: Any) -> bool:
    """Whether `owner` is the flow of `current`, perhaps from before its hub was made."""
    flow = _flow_of(current)
    return owner is flow or owner is getattr(flow, "greenlet", None)
