"""Imports, serialised per green thread: nobody sees a half-initialised module.

The import system is Python: its module locks are made of `_thread.RLock` and
`allocate_lock`, their owner and its detection of circular waits go by
`_thread.get_ident`, and it asks the module `_thread` for them each time. With
the group "thread" patched it therefore knows green threads, and an importer
that waits at module level holds up only those who import the same module.

Owns that it keeps asking this module. Another library's patch may have given
it a native one, in which all green threads of an OS thread are one importer.
Locks of imports that run just now are exchanged with all others
(`patches/old_locks.py`).
"""

from __future__ import annotations

import _thread
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["settle"]


def settle() -> Callable[[], None]:
    """Let the import system know green threads; returns the undo."""
    importing: Any = sys.modules["_frozen_importlib"]
    before = importing._thread
    importing._thread = _thread

    def undo() -> None:
        importing._thread = before

    return undo
