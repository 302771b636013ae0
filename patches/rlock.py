"""`threading.RLock` as it looks from outside.

Libraries ask its type where it comes from: trio refuses to run with a lock
that is not from `_thread`, since the standard library's other one, written in
Python, is not to be used in signal handlers.
"""

from __future__ import annotations

from greenworld.hub import lock

__all__ = ["RLock"]


class RLock(lock.RLock):
    """**Source**: `_thread.RLock`."""

    __slots__ = ()
    __module__ = "_thread"
