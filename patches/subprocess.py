"""The cooperative counterpart of the standard module `subprocess`.

Owns three seams of the standard `Popen`, which stays the class it is: the wait
for the child, the selector of `communicate`, and the files on the pipes. To
start a child blocks for as long as the child takes to begin its program.

`from greenworld.patches import subprocess` offers, without patching, a
subclass of that `Popen` with functions that use it. They are the standard
library's own code, seeing these seams in the place of the standard names;
exceptions and results are the standard library's.
"""

from __future__ import annotations

import io as _plain_io
import selectors as _selectors
import subprocess as _stdlib
from os import WNOHANG as _WNOHANG
from subprocess import *  # noqa: F403 - the counterpart offers what the original offers
from types import FunctionType as _FunctionType
from types import ModuleType as _ModuleType
from typing import Any as _Any

from greenworld.hub.current import current_waiter as _current_waiter
from greenworld.hub.task import Task as _Task
from greenworld.patches import os as _os
from greenworld.patches import select as _select
from greenworld.patches.buffers import TextIOWrapper as _TextIOWrapper
from greenworld.patches.children import until as _until
from greenworld.patches.fileio import open_file as _open_file

__all__ = list(_stdlib.__all__)

_plain_wait: _Any = vars(_stdlib.Popen)["_wait"]


def wait_for_end(self: _Any, timeout: float | None) -> int | None:
    """The return code of a Popen's child, waiting for its end. **Blocks** the green thread only.

    Raises TimeoutExpired after `timeout` seconds. Several threads may wait,
    green and native. **Source**: `Popen._wait`.
    """
    if not isinstance(_current_waiter(), _Task):
        code: int | None = _plain_wait(self, timeout)
        return code

    def attempt() -> int | None:
        lock = self._waitpid_lock
        # A native thread may hold it until the child has ended.
        if self.returncode is None and lock.acquire(False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(_WNOHANG)
                    if pid == self.pid:
                        self._handle_exitstatus(status)
            finally:
                lock.release()
        found: int | None = self.returncode
        return found

    if _until(attempt, self.pid, timeout) is None:
        assert timeout is not None
        raise _stdlib.TimeoutExpired(self.args, timeout)
    found: int | None = self.returncode
    return found


if hasattr(_selectors, "PollSelector"):

    class PopenSelector(_selectors.PollSelector):
        """What `communicate` waits with, whether or not selectors are patched."""

        _selector_cls = _select.poll

else:

    class PopenSelector(_selectors.SelectSelector):  # type: ignore[no-redef]
        """What `communicate` waits with, whether or not selectors are patched."""

        _select = _select.as_method


def _make_io() -> _ModuleType:
    """The module `io`, but that its files on pipes wait cooperatively."""
    module = _ModuleType("io", _plain_io.__doc__)
    vars(module).update(vars(_plain_io))
    vars(module)["open"] = _open_file
    vars(module)["TextIOWrapper"] = _TextIOWrapper
    return module


pipes_io = _make_io()
"""What `subprocess` sees as `io`."""


def _rebound(function: _Any) -> _Any:
    """The same function, seeing the names in `_names` for the globals of its module."""
    if not isinstance(function, _FunctionType) or function.__globals__ is not vars(_stdlib):
        return function
    twin = _FunctionType(
        function.__code__,
        _names,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__doc__ = function.__doc__
    twin.__qualname__ = function.__qualname__
    return twin


_names: dict[str, _Any] = {
    **vars(_stdlib),
    "__name__": __name__,
    "_PopenSelector": PopenSelector,
    "io": pipes_io,
    "os": _os,
}

Popen: _Any = type(  # type: ignore[no-redef]
    "Popen",
    (_stdlib.Popen,),
    {
        "__module__": __name__,
        "__doc__": _stdlib.Popen.__doc__,
        **{
            name: _rebound(method)
            for name, method in vars(_stdlib.Popen).items()
            if isinstance(method, _FunctionType)
        },
        "_wait": wait_for_end,
    },
)
_names["Popen"] = Popen
for _name, _value in list(_names.items()):
    if isinstance(_value, _FunctionType):
        _names[_name] = _rebound(_value)
globals().update((_name, _names[_name]) for _name in __all__)
del _name, _value
