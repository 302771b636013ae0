"""psycopg 3: its build in C waits in a way that no patch of the standard library reaches.

Its waiting functions in Python use the patched `select`. They serve both
builds: what the build in C does between two waits stays in C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import waiting

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["settle"]


def settle() -> Callable[[], None]:
    """Have psycopg wait in Python; returns the undo. **Source**: `psycopg.waiting`."""
    chosen: Any = waiting.wait
    if chosen is not getattr(waiting, "wait_c", None):
        return lambda: None
    waiting.wait = getattr(waiting, "wait_poll", waiting.wait_selector)

    def undo() -> None:
        waiting.wait = chosen

    return undo
