"""Whether the code that runs on the hub's greenlet is a finaliser.

Owns telling a callback of the hub, which must not wait, from a finaliser that
the garbage collector began there: that one would be no worse anywhere else,
so it cannot be asked to know better. Only asked by who is about to wait there.
"""

from __future__ import annotations

import sys

from greenworld.hub.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["in_finaliser"]

_FOLDER = __file__[: -len("finaliser.py")]
_NO_CALLBACKS = (f"{_FOLDER}loop.py", f"{_FOLDER}poller.py")
"""Files whose functions call nobody's callbacks, but for `Hub.call`."""


def in_finaliser() -> bool:
    """Whether the calling code descends from a `__del__`, or from what nobody has called."""
    struck: FrameType | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_back is not None:
        caller = frame.f_back.f_code.co_filename
        if caller.startswith(_FOLDER) and not frame.f_code.co_filename.startswith(_FOLDER):
            struck = frame  # the outermost counts: it is the one that began on the hub's greenlet
        frame = frame.f_back
    if struck is None or struck.f_back is None:
        return False
    if struck.f_code.co_name == "__del__" or struck.f_globals.get("__name__") == "weakref":
        return True
    caller_code = struck.f_back.f_code
    return caller_code.co_filename in _NO_CALLBACKS and caller_code.co_name != "call"
