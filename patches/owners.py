"""Who owns a container: the module, class, instance or function that it belongs to.

Owns the search for owners, and what they are called in reports. Attributes are
never read the ordinary way here: a proxy's `__dict__` may be any code.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from functools import partial
from operator import is_
from types import CellType, FrameType, FunctionType, GetSetDescriptorType, ModuleType
from typing import Any

__all__ = ["OURS", "describe", "dict_of", "find_owners", "is_meant", "is_search", "name_of"]

OURS = "greenworld."
_CONTAINERS = (dict, CellType, list, deque, set, frozenset, tuple, partial)


def dict_of(thing: Any) -> dict[Any, Any] | None:
    """The real attribute dict of an instance, whatever its class says; None if it has none."""
    for base in type(thing).__mro__:
        getter = vars(base).get("__dict__")
        if type(getter) is GetSetDescriptorType:
            names = getter.__get__(thing)
            return names if type(names) is dict else None
    return None


def is_search(holder: Any, targets: list[Any]) -> bool:
    """Whether a referrer is only the search's own list, or tuple of arguments."""
    return holder is targets or (
        type(holder) is tuple and len(holder) == len(targets) and all(map(is_, holder, targets))
    )


def find_owners(holders: list[Any]) -> dict[int, Any]:
    """Whose these dicts, cells, lists, … are, by their id."""
    wanted = [each for each in holders if type(each) in _CONTAINERS]
    ids = {id(each) for each in wanted}
    owners: dict[int, Any] = {}
    closures: list[Any] = []
    for referrer in gc.get_referrers(*wanted) if wanted else ():
        kind = type(referrer)
        if is_search(referrer, wanted) or referrer is holders:
            continue
        if kind is tuple and any(type(each) is CellType for each in referrer):
            closures.append(referrer)
        elif kind is dict:
            for each in referrer.values():
                if id(each) in ids:
                    owners.setdefault(id(each), referrer)
        elif (kind not in _CONTAINERS or kind is partial) and not isinstance(referrer, FrameType):
            # A function does not own the globals that it refers to.
            globals_of = referrer.__globals__ if kind is FunctionType else None
            for each in gc.get_referents(referrer):
                if id(each) in ids and each is not globals_of:
                    owners[id(each)] = referrer
    _find_functions(closures, owners)
    _find_attribute_dicts(holders, ids, owners)
    _find_modules(ids, owners)
    return owners


def _find_functions(closures: list[Any], owners: dict[int, Any]) -> None:
    """The functions of these closures own the cells in them."""
    for referrer in gc.get_referrers(*closures) if closures else ():
        if type(referrer) is FunctionType:
            for cell in referrer.__closure__ or ():
                owners[id(cell)] = referrer


def _find_attribute_dicts(holders: list[Any], ids: set[int], owners: dict[int, Any]) -> None:
    """An instance may refer to its attributes past its dict, which then refers to them too."""
    for holder in holders:
        if type(holder) not in _CONTAINERS:
            names = dict_of(holder)
            if names is not None and id(names) in ids:
                owners[id(names)] = holder


def _find_modules(ids: set[int], owners: dict[int, Any]) -> None:
    """The globals of a module are its own; what stands in them belongs to it, too."""
    loaded: list[Any] = list(sys.modules.values())
    modules = [each for each in loaded if isinstance(each, ModuleType)]
    module_of = {id(vars(module)): module for module in modules}
    owners.update((number, module_of[number]) for number in ids & module_of.keys())
    for number, owner in list(owners.items()):
        if type(owner) is dict and id(owner) in module_of:
            owners[number] = module_of[id(owner)]


def describe(what: str, owner: Any, holder: Any = None) -> tuple[str, str]:
    """A holder in words, and the module to look for it in."""
    if isinstance(owner, ModuleType):
        for name, value in list(vars(owner).items()):
            if value is holder:
                return f"{owner.__name__}.{name} ({what})", owner.__name__
        return f"{what} in {owner.__name__}", owner.__name__
    if type(owner) is FunctionType:
        return f"{what} of {name_of(owner)}()", owner.__module__ or ""
    if isinstance(owner, type):
        return f"{what} in {name_of(owner)}", owner.__module__
    if owner is None or type(owner) in _CONTAINERS:
        return what, ""
    return f"{what} in {name_of(type(owner))}", type(owner).__module__


def name_of(thing: Any) -> str:
    """The full name of a class or function."""
    return f"{thing.__module__}.{thing.__qualname__}"


def is_meant(cls: type) -> bool:
    """Whether instances of the class are meant to hold what is native.

    Those of this package are, and those of private copies of modules.
    """
    if (cls.__module__ or "").startswith(OURS):
        return True
    home: Any = sys.modules.get(cls.__module__)
    known = getattr(home, cls.__qualname__.partition(".")[0], cls)
    return "." not in cls.__qualname__ and known is not cls
