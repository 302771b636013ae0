"""Imports, serialised per green thread: nobody sees a half-initialised module.

The import system is Python: its module locks are made of `_thread.RLock` and
`allocate_lock`, their owner and its detection of circular waits go by
`_thread.get_ident`, and it asks the module `_thread` for them each time. With
the group "thread" patched it therefore knows green threads, and an importer
that waits at module level holds up only those who import the same module.

Owns that it keeps asking this module. Another library's patch may have given
it a native one, in which all green threads of an OS thread are one importer.
Locks of imports that run just now are exchanged with all others
(`patches/old_locks.py`). Owns `import_patched`, too.
"""

from __future__ import annotations

import _thread
import importlib
import sys
from typing import TYPE_CHECKING, Any

from greenworld.patches.apply import monkey_patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["import_patched", "settle"]


def import_patched(name: str, *, strict: bool = False, **groups: bool | None) -> ModuleType:
    """Import a module with the standard library patched beneath it.

    Patches what `monkey_patch` with these keywords patches, for the whole process, and
    returns the one module that everybody has under that name. eventlet makes
    a second copy instead, whose classes and exceptions are not those that the
    rest of the program catches; because patches are in place here, the module
    may even have been imported before. Raises what `monkey_patch` and the
    import raise. **Blocks** as the import does. **Source**: eventlet.
    """
    monkey_patch(strict=strict, **groups)
    return importlib.import_module(name)


def settle() -> Callable[[], None]:
    """Let the import system know green threads; returns the undo."""
    importing: Any = sys.modules["_frozen_importlib"]
    before = importing._thread
    importing._thread = _thread

    def undo() -> None:
        importing._thread = before

    return undo
