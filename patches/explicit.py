"""How the explicit modules come by what they do not define themselves.

Two ways, for `from greenworld.patches import ssl, threading, …` without any
patch. Each explicit module chooses one:

1. `counterparts`: the original's functions on the explicit module's names, so
   that they make objects of its classes. Everything else is the original's:
   subclasses of the original classes stay what `isinstance` expects.
2. `fill`: the original's code, run once more in the explicit module with
   explicit modules in the place of what it imports. For modules whose classes
   use each other by name, such as `threading`. Exceptions stay the original's,
   so that `except` catches both.
"""

from __future__ import annotations

import _thread
import builtins
import importlib
import sys
from importlib.util import find_spec
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from greenworld.patches.apply import originals_of
from greenworld.patches.rows import find_object
from greenworld.patches.table import PATCHES

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["counterparts", "fill"]

PACKAGE = "greenworld.patches"
REPLACED = ("os", "queue", "select", "selectors", "socket", "ssl", "threading", "time")
"""Modules that `fill` hands out in their explicit form."""


def counterparts(
    original: ModuleType, names: dict[str, Any], own: Container[str]
) -> dict[str, Any]:
    """The original's names except `own`, with its functions on the global names `names`."""
    found: dict[str, Any] = {}
    for name, value in vars(original).items():
        if name.startswith("__") or name in own:
            continue
        if isinstance(value, FunctionType) and value.__module__ == original.__name__:
            function = FunctionType(
                value.__code__, names, value.__name__, value.__defaults__, value.__closure__
            )
            function.__kwdefaults__ = value.__kwdefaults__
            function.__doc__ = value.__doc__
            function.__annotations__ = value.__annotations__
            value = function
        found[name] = value
    return found


def fill(names: dict[str, Any], name: str, *left: str) -> bool:
    """Make the module with these global names the cooperative form of the standard module.

    The attributes `left` are left to the caller. If the standard module is
    patched, its names are taken as they are, and the answer is False.
    """
    original = importlib.import_module(name)
    if originals_of(name):
        names.update({k: v for k, v in vars(original).items() if not k.startswith("__")})
        return False
    spec = find_spec(name)
    loader: Any = None if spec is None else spec.loader
    names["__builtins__"] = {**vars(builtins), "__import__": _import}
    exec(loader.get_code(name), names)
    names["__builtins__"] = builtins
    for key, value in list(names.items()):
        plain = getattr(original, key, None)
        if isinstance(plain, type) and issubclass(plain, Exception) and plain is not value:
            names[key] = plain
    _replace(sys.modules[names["__name__"]], name, left)
    return True


def _replace(module: Any, name: str, left: Container[str] = ()) -> None:
    """Do to the explicit module what `monkey_patch` does to the standard one of that name."""
    for patch in PATCHES:
        if patch.module != name or patch.attribute in left:
            continue
        *path, attribute = patch.attribute.split(".")
        owner = module
        for part in path:
            owner = getattr(owner, part, None)
        if owner is not None and hasattr(owner, attribute):
            setattr(owner, attribute, find_object(patch.replacement))


def _import(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> Any:
    """The import statement of the code that `fill` runs."""
    if level == 0 and name in REPLACED:
        return importlib.import_module(f"{PACKAGE}.{name}")
    if level == 0 and name == "_thread":
        return _cooperative_thread_module()
    return builtins.__import__(name, globals, locals, fromlist, level)


def _cooperative_thread_module() -> ModuleType:
    module = ModuleType("_thread", _thread.__doc__)
    vars(module).update(vars(_thread))
    _replace(module, "_thread")
    return module
