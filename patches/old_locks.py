"""Locks that were made before the patch: a green thread waiting for one would stop them all.

Owns finding the native locks of the process and exchanging them for the
hub's, wherever their holder can be written: module globals, attributes, lists,
closures, and the bound methods that `threading.Condition` keeps of its lock.
A lock that is held just now, or whose holder cannot be written, is left and
named. Those of the hub, of this package and of private copies of modules are
meant to be native.
"""

from __future__ import annotations

import _thread
import gc
import sys
from operator import is_
from threading import Thread
from types import BuiltinMethodType, CellType, FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from greenworld.hub.lock import Lock, RLock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["exchange_locks"]

NATIVE_LOCK: Any = type(_thread.allocate_lock())
NATIVE_RLOCK: Any = _thread.RLock
OURS = "greenworld."


def exchange_locks() -> tuple[int, list[str], Callable[[], None]]:
    """Exchange old locks: how often one was, what was left where, and the undo."""
    found = [each for each in gc.get_objects() if type(each) in (NATIVE_LOCK, NATIVE_RLOCK)]
    exchange = _Exchange(found)
    exchange.visit_all(gc.get_referrers(*found) if found else [], found)
    # Bound methods of the locks: a Condition keeps them, so that its calls are short.
    methods = exchange.methods
    exchange.visit_all(gc.get_referrers(*methods) if methods else [], methods)
    return exchange.count, exchange.left, exchange.restore


class _Exchange:
    """One exchange: what is replaced by what, and how to take it back."""

    def __init__(self, found: list[Any]) -> None:
        self.new_of: dict[int, Any] = {}
        self.held: set[int] = set()
        self.methods: list[Any] = []
        self.owners: dict[int, Any] = {}
        self.count = 0
        self.left: list[str] = []
        self.undo: list[Callable[[], None]] = []
        for lock in found:
            if _is_held(lock):
                self.held.add(id(lock))
            else:
                self.new_of[id(lock)] = Lock() if type(lock) is NATIVE_LOCK else RLock()

    def visit_all(self, holders: list[Any], own: list[Any]) -> None:
        """Exchange what the holders hold, but for the list of this search."""
        self.owners = _owners_of([holder for holder in holders if type(holder) is dict])
        for holder in holders:
            # The arguments of a search refer to what is searched for, too.
            if holder is own or (
                type(holder) is tuple and len(holder) == len(own) and all(map(is_, holder, own))
            ):
                continue
            self.visit(holder)

    def visit(self, holder: Any) -> None:
        """Exchange what `holder` holds, or say that it cannot be done."""
        kind = type(holder)
        if kind is BuiltinMethodType:
            self.methods.append(holder)
        elif kind is dict:
            self._in_any_dict(holder)
        elif kind is CellType:
            new = self._new(holder.cell_contents, "a closure")
            if new is not None:
                self._assign(lambda value: setattr(holder, "cell_contents", value),
                             holder.cell_contents, new)  # fmt: skip
        elif kind is list:
            for index, value in enumerate(holder):
                new = self._new(value, "a list")
                if new is not None:
                    self._assign(lambda each, at=index: holder.__setitem__(at, each), value, new)  # type: ignore[misc]
        elif isinstance(holder, (FrameType, ModuleType, Thread, set)) or _is_meant(kind):
            return
        elif hasattr(holder, "__dict__") and isinstance(vars(holder), dict):
            self._in_dict(vars(holder), _name_of(kind))
        else:
            self.left.append(f"{_name_of(kind)}: its holder cannot be written")

    def _in_any_dict(self, names: dict[Any, Any]) -> None:
        """A dict whose owner has to be found: a module, an instance, or nobody."""
        owner = self.owners.get(id(names))
        if owner is None:
            if "__builtins__" not in names:  # else the globals of a private copy
                self._in_dict(names, "a dict")
        elif isinstance(owner, ModuleType):
            if sys.modules.get(owner.__name__) is owner and not _is_native(owner.__name__):
                self._in_dict(names, owner.__name__)
        elif not isinstance(owner, Thread) and not _is_meant(type(owner)):
            self._in_dict(names, _name_of(type(owner)))

    def restore(self) -> None:
        """Take everything back."""
        while self.undo:
            self.undo.pop()()

    def _in_dict(self, names: dict[Any, Any], where: str) -> None:
        for name, value in list(names.items()):
            new = self._new(value, f"{where}.{name}")
            if new is not None:
                self._assign(lambda each, at=name: names.__setitem__(at, each), value, new)  # type: ignore[misc]

    def _new(self, value: Any, where: str) -> Any:
        """What replaces `value`; None if it stays."""
        if type(value) is BuiltinMethodType:
            new = self.new_of.get(id(value.__self__))
            return None if new is None else getattr(new, value.__name__, None)
        if id(value) in self.held and type(value) in (NATIVE_LOCK, NATIVE_RLOCK):
            self.left.append(f"{where}: it is held")
        return self.new_of.get(id(value))

    def _assign(self, write: Callable[[Any], None], old: Any, new: Any) -> None:
        write(new)
        self.count += 1
        self.undo.append(lambda: write(old))


def _is_held(lock: Any) -> bool:
    """Whether anybody, also the caller, has it."""
    if type(lock) is NATIVE_LOCK:
        return bool(lock.locked())
    return not repr(lock).startswith("<unlocked")


def _owners_of(dicts: list[dict[Any, Any]]) -> dict[int, Any]:
    """Whose attributes these dicts are, by the id of the dict."""
    wanted = {id(names) for names in dicts}
    owners = {}
    for referrer in gc.get_referrers(*dicts) if dicts else []:
        if type(referrer).__dictoffset__:
            names = id(getattr(referrer, "__dict__", None))
            if names in wanted:
                owners[names] = referrer
    return owners


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _is_native(module: str) -> bool:
    """Whether the globals of the module are meant to be native locks.

    Those of `threading` are never held while anything waits, and they are
    still taken when the interpreter ends and nothing can switch any more.
    """
    return module.startswith(OURS) or module == "threading"


def _is_meant(cls: type) -> bool:
    """Whether instances of the class are meant to hold native locks."""
    if cls.__module__.startswith(OURS):
        return True
    home: Any = sys.modules.get(cls.__module__)
    known = getattr(home, cls.__qualname__.partition(".")[0], cls)
    return "." not in cls.__qualname__ and known is not cls
