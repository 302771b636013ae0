"""The running greenlet, untyped: its `task` attribute is the hub's own addition.

A greenlet's `task` says on whose behalf it runs: a carrier's is its present
tenant, the main greenlet's is the main task, a guest's is the guest.

While the interpreter finalises, finalisers still take locks, but `getcurrent`
refuses to answer. One flow is left by then, so at exit the function is
replaced, in every module that has it, by one that names the exiting greenlet.
"""

from __future__ import annotations

import atexit
import sys

from greenlet import getcurrent

from greenworld.hub.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["current_greenlet"]

current_greenlet: Callable[[], Any] = getcurrent


def _outlive_greenlet() -> None:
    """Make every `current_greenlet` answer until the interpreter's end."""
    last = getcurrent()

    def current_or_last() -> Any:
        try:
            return getcurrent()
        except RuntimeError:
            return last

    for name, module in list(sys.modules.items()):
        if name.startswith("greenworld.") and hasattr(module, "current_greenlet"):
            vars(module)["current_greenlet"] = current_or_last


atexit.register(_outlive_greenlet)
