"""Pristine private copies of standard modules, for native use beside the patches.

Owns the copies. A module written in Python is executed once more, and what it
imports of patched modules is pristine as well; of one written in C the names
are copied and the replaced ones restored. Nothing enters `sys.modules`.
"""

from __future__ import annotations

import builtins
import importlib
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

from greenworld.patches.apply import originals_of
from greenworld.patches.table import PATCHES

__all__ = ["original"]

PATCHABLE = frozenset(patch.module for patch in PATCHES)

_copies: dict[str, ModuleType] = {}


def original(name: str) -> ModuleType:
    """A copy of the module `name` as if nothing had ever been patched; the same one each time.

    Its classes are its own: an `original("queue").Empty` is not `queue.Empty`.
    Never switches. Raises ImportError if there is no such module.
    **Source**: eventlet's `patcher.original`.
    """
    copy = _copies.get(name)
    if copy is None:
        copy = _copies[name] = _make(name)
    return copy


def _make(name: str) -> ModuleType:
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"no module named {name!r}", name=name)
    get_code: Any = getattr(spec.loader, "get_code", None)
    code = None if get_code is None else get_code(name)
    if code is None:
        copy = ModuleType(name, importlib.import_module(name).__doc__)
        vars(copy).update(vars(importlib.import_module(name)))
        vars(copy).update(originals_of(name) or {})
        return copy
    copy = module_from_spec(spec)
    vars(copy)["__builtins__"] = {**vars(builtins), "__import__": _import}
    _copies[name] = copy  # modules that import one another
    try:
        exec(code, vars(copy))
    except BaseException:
        del _copies[name]
        raise
    return copy


def _import(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> Any:
    """The import statement of the copies."""
    if level == 0 and name in PATCHABLE:
        return original(name)
    return builtins.__import__(name, globals, locals, fromlist, level)
