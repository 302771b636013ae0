"""What is still native in a process that has been patched.

Owns the search that `python -m greenworld doctor` runs after a program's
import. It changes nothing.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from greenworld.patches.apply import patched_groups, replaced_names
from greenworld.patches.holders import Exchange, Old
from greenworld.patches.old_locals import find_locals
from greenworld.patches.old_locks import find_locks

if TYPE_CHECKING:
    from greenworld.patches.left import Left

__all__ = ["examine"]

WHY = {
    "Lock": "a native lock: a green thread that waits for it stops all others",
    "RLock": "a native lock: all green threads of an OS thread count as one owner",
    "local": "a native threading.local: all green threads of an OS thread share its values",
    "name": "a copy of the original function, which stops all green threads while it waits",
}


def examine() -> list[Left]:
    """Native locks and locals, and copies of replaced functions, wherever they are held."""
    olds = [
        Old(original, None, "name", WHY["name"])
        for original in replaced_names()
        if not isinstance(original, type)
    ]
    if "thread" in patched_groups():
        found = gc.get_objects()
        olds += [
            Old(each.value, None, each.kind, WHY[each.kind])
            for each in (*find_locks(found), *find_locals(found))
        ]
        del found
    search = Exchange(olds)
    search.run()
    return search.left
