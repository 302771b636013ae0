"""psycopg 3: its build in C waits in a way that no patch of the standard library reaches.

Its waiting functions in Python use the patched `select`. They serve both
builds: what the build in C does between two waits stays in C.

A time-out or a kill that ends a wait has the server told to cancel the query,
as Ctrl-C has: else the connection would stay in the midst of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit
from psycopg import connection, waiting

from greenworld.hub.timeout import Timeout

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["settle"]


def settle() -> Callable[[], None]:
    """Have psycopg wait in Python; returns the undo. **Source**: `psycopg.waiting`."""
    chosen: Any = waiting.wait
    if chosen is getattr(waiting, "wait_c", None):
        waiting.wait = getattr(waiting, "wait_poll", waiting.wait_selector)
    names = vars(connection)
    interrupting = names.get("_INTERRUPTED")  # from 3.2 on
    if interrupting is not None:
        names["_INTERRUPTED"] = (*interrupting, Timeout, GreenletExit)

    def undo() -> None:
        waiting.wait = chosen
        if interrupting is not None:
            names["_INTERRUPTED"] = interrupting

    return undo
