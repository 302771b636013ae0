"""Condition: wait until another thread says that something has changed."""

from __future__ import annotations

from collections import deque
from time import monotonic

from greenworld.hub.contention import TURN
from greenworld.hub.current import current_waiter
from greenworld.hub.errors import DeadlockError, HubCallbackError
from greenworld.hub.lock import Lock, RLock
from greenworld.hub.typed import TYPE_CHECKING, Any
from greenworld.hub.waiter import withdrawn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Condition"]


class Condition:
    """**Source**: `threading.Condition`. Wakes in the order of waiting.

    Right between green threads and native threads in any mix. A notification
    whose receiver is killed before it could run goes to the next one.
    """

    __slots__ = ("__weakref__", "_lock", "_waiters", "acquire", "release")

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock: Any = RLock() if lock is None else lock
        self._waiters: deque[Any] = deque()
        self.acquire: Callable[..., bool] = self._lock.acquire
        self.release: Callable[[], None] = self._lock.release

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait for a notification, take the lock again.

        **Blocks.** False if none came in `timeout` seconds (None: for ever).
        RuntimeError if the caller does not own the lock. Whatever is thrown
        into it meanwhile, it comes out owning the lock.
        """
        self._check_owned("wait on")
        waiter = current_waiter()
        waiter.given = None
        lot = self._waiters
        lot.append(waiter)
        try:
            state = self._release_save()
        except BaseException:
            withdrawn(lot, waiter)
            raise
        given = None
        try:
            try:
                notified = waiter.park(self, lot, timeout)
            finally:
                given = waiter.given  # the lock, too, leaves something there
                self._acquire_again(state)
        except BaseException:
            if given is TURN:
                self._wake(1)
            raise
        return notified

    def _acquire_again(self, state: Any) -> None:
        """After waiting: the lock must be owned before anything is raised."""
        try:
            self._acquire_restore(state)
        except (DeadlockError, HubCallbackError):
            raise  # it cannot be had
        except BaseException:
            self._acquire_again(state)
            raise

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until `predicate()` is true; its last value. **Blocks** unless it is true."""
        deadline = None if timeout is None else monotonic() + timeout
        result = predicate()
        while not result:
            remaining = None if deadline is None else deadline - monotonic()
            if remaining is not None and remaining <= 0:
                break
            self.wait(remaining)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake up to `n` waiters, the longest waiting first. The caller owns the lock."""
        self._check_owned("notify")
        self._wake(n)

    def _wake(self, n: int) -> None:
        while n > 0:
            try:
                waiter = self._waiters.popleft()
            except IndexError:
                return
            waiter.given = TURN
            waiter.wake()
            n -= 1

    def notify_all(self) -> None:
        """Wake every waiter. The caller owns the lock."""
        self.notify(len(self._waiters))

    def _check_owned(self, verb: str) -> None:
        is_owned = getattr(self._lock, "_is_owned", None) or self._lock.locked
        if not is_owned():
            raise RuntimeError(f"cannot {verb} a condition whose lock is not acquired")

    def _release_save(self) -> Any:
        release_save = getattr(self._lock, "_release_save", None)
        return self.release() if release_save is None else release_save()

    def _acquire_restore(self, state: Any) -> None:
        acquire_restore = getattr(self._lock, "_acquire_restore", None)
        if acquire_restore is None:
            self.acquire()
        else:
            acquire_restore(state)

    def describe_wait(self, lot: object) -> str:
        """What a report says of a wait for it."""
        return f"a notification of Condition at {id(self):#x}"

    def __repr__(self) -> str:
        return f"<Condition({self._lock!r}, {len(self._waiters)})>"
