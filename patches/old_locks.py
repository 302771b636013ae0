"""Locks that were made before the patch: a green thread waiting for one would stop them all.

Owns finding the native locks of the process; `patches/holders.py` exchanges
them for the hub's. One that is held just now is left and named: whoever holds
it will release that one. Those of the hub, of this package and of private
copies of modules are meant to be native.
"""

from __future__ import annotations

import _thread
from typing import TYPE_CHECKING, Any

from greenworld.hub.lock import Lock
from greenworld.patches.holders import Old
from greenworld.patches.rlock import RLock

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["find_locks"]

NATIVE_LOCK: Any = type(_thread.allocate_lock())
NATIVE_RLOCK: Any = _thread.RLock


def find_locks(objects: Iterable[Any]) -> list[Old]:
    """The native locks among all objects, with what is to replace them."""
    found = []
    for each in objects:
        kind = type(each)
        if kind is NATIVE_LOCK or kind is NATIVE_RLOCK:
            name = "Lock" if kind is NATIVE_LOCK else "RLock"
            if _is_held(each):
                found.append(Old(each, None, name, "it is held while monkey_patch() runs"))
            else:
                found.append(Old(each, Lock() if kind is NATIVE_LOCK else RLock(), name))
    return found


def _is_held(lock: Any) -> bool:
    """Whether anybody, also the caller, has it."""
    if type(lock) is NATIVE_LOCK:
        return bool(lock.locked())
    return not repr(lock).startswith("<unlocked")
