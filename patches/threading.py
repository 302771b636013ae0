"""The cooperative counterpart of the standard module `threading`.

Its threads are green threads, although nothing is patched. It is the standard
module's code once more, on green threads and their primitives: its classes are
its own, its exceptions the standard ones. At exit the interpreter waits for
its threads as for others. Once the standard module is patched, this is the same.
"""

from __future__ import annotations

import threading as _stdlib
from typing import TYPE_CHECKING
from typing import Any as _Any

from greenworld.hub.flow import current_greenlet as _current_greenlet
from greenworld.hub.greenthread import GreenThread as _GreenThread
from greenworld.patches.explicit import fill as _fill

if TYPE_CHECKING:
    from threading import *  # noqa: F403


def _initialize_dummy(self: _Any) -> None:
    """The `Thread` object of a thread that this module did not start goes when that ends."""
    _plain_initialize_dummy(self)
    task = getattr(_current_greenlet(), "task", None)
    if isinstance(task, _GreenThread):
        task.link(_forget_dummy, self)


def _forget_dummy(ended: _GreenThread[_Any], dummy: _Any) -> None:
    active: dict[int, _Any] = globals()["_active"]
    ident = dummy.ident
    if active.get(ident) is dummy:
        del active[ident]


_IS_OURS = _fill(globals(), "threading", "_DummyThread.__init__")
if _IS_OURS:
    _names: dict[str, _Any] = globals()
    _plain_initialize_dummy: _Any = _names["_DummyThread"].__init__
    _names["_DummyThread"].__init__ = _initialize_dummy
    _stdlib._register_atexit(_names["_shutdown"])  # type: ignore[attr-defined]
