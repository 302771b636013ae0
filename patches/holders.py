"""Exchanging objects for others wherever they are held.

Owns finding the holders of an object: attributes, slots, dictionaries, lists,
sets, closures, default arguments, `functools.partial`, local variables, and
the bound methods of what is exchanged. What cannot be written is named, with
its holder (rule 8.5). Modules of this package, and private copies of standard
modules, are meant to hold originals and stay as they are.

The records here have slots and classes of this package: a search for an old
object that comes upon one of them knows it for ours.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from functools import partial
from threading import Thread
from types import (
    BuiltinMethodType,
    CellType,
    FrameType,
    FunctionType,
    MemberDescriptorType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any

from greenworld.patches.left import Left
from greenworld.patches.owners import (
    OURS,
    describe,
    dict_of,
    find_owners,
    is_meant,
    is_search,
    name_of,
)
from greenworld.patches.writers import (
    AttributeWriter,
    DefaultWriter,
    ItemWriter,
    PartialWriter,
    Restore,
    SetWriter,
    SlotWriter,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Write = Callable[[Any], None]

__all__ = ["Exchange", "Old"]


class Old:
    """An object to exchange: what for, or why it must stay."""

    __slots__ = ("kind", "new", "value", "why")

    def __init__(self, value: Any, new: Any, kind: str, why: str = "") -> None:
        self.value = value
        self.new = new
        self.kind = kind
        self.why = why


class Exchange:
    """One exchange: what is replaced by what, what is left, and how to take it back."""

    def __init__(self, olds: list[Old]) -> None:
        self.olds = {id(each.value): each for each in olds}
        self.count = 0
        self.left: list[Left] = []
        self._wrappers: list[Any] = []
        self._seen: set[int] = set()
        self._undo: list[Restore] = []
        self._owners: dict[int, Any] = {}

    def run(self) -> None:
        """Look for every holder, and write to it."""
        self._visit_holders_of([each.value for each in self.olds.values()])
        # Bound methods of the locks (a Condition keeps them), static methods of the functions.
        self._visit_holders_of(self._wrappers)
        self._look_into_frames()
        self.left = sorted(set(self.left))

    def _look_into_frames(self) -> None:
        """What has been found nowhere may be a local variable."""
        unseen = self.olds.keys() - self._seen
        frames = list(sys._current_frames().values()) if unseen else []
        while frames:
            frame = frames.pop()
            if frame.f_back is not None:
                frames.append(frame.f_back)
            module = frame.f_globals.get("__name__") or ""
            if frame.f_locals is not frame.f_globals and not module.startswith(OURS):
                self._visit_frame(frame, module)

    def _visit_frame(self, frame: FrameType, module: str) -> None:
        where = f"{module}.{frame.f_code.co_name}()"
        variables = frame.f_locals
        writable = type(variables) is not dict  # a snapshot, before 3.13
        for name, value in list(variables.items()):
            write = ItemWriter(variables, name) if writable else None
            self._exchange([(value, write)], f"{where}.{name}", module)

    def restore(self) -> None:
        """Take everything back."""
        while self._undo:
            self._undo.pop()()

    def _visit_holders_of(self, targets: list[Any]) -> None:
        # The arguments of a search refer to what is searched for, too.
        holders = [
            each
            for each in (gc.get_referrers(*targets) if targets else ())
            if not is_search(each, targets)
        ]
        self._owners = find_owners(holders)
        for holder in holders:
            self._visit(holder)

    def _visit(self, holder: Any) -> None:
        kind = type(holder)
        owner: Any = self._owners.get(id(holder))
        if kind is BuiltinMethodType or kind is staticmethod:
            self._wrappers.append(holder)
        elif kind is dict:
            self._visit_dict(holder, owner)
        elif kind is list or kind is deque:
            self._visit_items(holder, range(len(holder)), *describe("a list", owner, holder))
        elif kind is tuple:
            self._visit_tuple(holder, owner)
        elif kind is partial:
            self._visit_partial(holder, owner)
        elif kind is CellType:
            write = AttributeWriter(holder, "cell_contents")
            self._exchange([(holder.cell_contents, write)], *describe("the closure", owner))
        elif kind is set:
            if holder is not getattr(sys.modules["threading"], "_shutdown_locks", None):
                pairs = [(value, SetWriter(holder, value)) for value in holder]
                self._exchange(pairs, *describe("a set", owner, holder))
        elif kind is frozenset:
            self._exchange(
                [(value, None) for value in holder], *describe("a frozenset", owner, holder)
            )
        elif not (isinstance(holder, (FrameType, ModuleType, Thread, type)) or is_meant(kind)):
            self._visit_instance(holder, kind)

    def _visit_tuple(self, items: tuple[Any, ...], owner: Any) -> None:
        """Default arguments, arguments of a partial, or just a tuple."""
        if type(owner) is FunctionType and owner.__defaults__ is items:
            places = [(value, DefaultWriter(owner, at)) for at, value in enumerate(items)]
            self._exchange(places, *describe("the defaults", owner))
        elif type(owner) is partial:
            self._visit_partial(owner, None)
        else:
            self._exchange([(value, None) for value in items], *describe("a tuple", owner, items))

    def _visit_partial(self, call: Any, owner: Any) -> None:
        values = (call.func, *call.args, *call.keywords.values())
        places = [(value, PartialWriter(call, value)) for value in values]
        self._exchange(places, *describe("a functools.partial", owner, call))

    def _visit_dict(self, names: dict[Any, Any], owner: Any) -> None:
        """A dict whose owner has been found: a module, a class, an instance, or nobody."""
        if isinstance(owner, ModuleType) and vars(owner) is names:
            # Modules written in C have no builtins of their own; what they hold is the original.
            is_loaded = sys.modules.get(owner.__name__) is owner and "__builtins__" in names
            if is_loaded and not _is_native(owner.__name__):
                self._visit_items(names, list(names), owner.__name__, owner.__name__, named=True)
        elif isinstance(owner, type):
            if is_meant(owner):
                return
            # By setattr, or the interpreter's caches would go on answering with the old.
            for name, value in list(names.items()):
                path = f"{name_of(owner)}.{name}"
                write = AttributeWriter(owner, name)
                self._exchange([(value, write)], path, owner.__module__, in_class=True)
        elif owner is not None and type(owner) is not dict and dict_of(owner) is names:
            cls = type(owner)
            if not (isinstance(owner, Thread) or is_meant(cls)):
                self._visit_items(names, list(names), name_of(cls), cls.__module__, named=True)
        elif not names.keys() & {"__builtins__", "__spec__"}:  # else the globals of some copy
            self._visit_items(names, list(names), *describe("a dict", owner, names))

    def _visit_items(
        self, items: Any, keys: Iterable[Any], where: str, module: str, *, named: bool = False
    ) -> None:
        for key in keys:
            path = f"{where}.{key}" if named else where
            self._exchange([(items[key], ItemWriter(items, key))], path, module)

    def _visit_instance(self, holder: Any, cls: type) -> None:
        """An object with a dict, with slots, or of a class written in C."""
        where, module = name_of(cls), cls.__module__
        names = dict_of(holder)
        if names is not None:
            self._visit_items(names, list(names), where, module, named=True)
        slots = [
            (name, member)
            for base in cls.__mro__
            for name, member in list(vars(base).items())
            if type(member) is MemberDescriptorType
        ]
        for name, member in slots:
            try:
                value = member.__get__(holder)
            except AttributeError:
                continue
            self._exchange([(value, SlotWriter(member, holder))], f"{where}.{name}", module)
        if not slots and names is None:
            stuck = [(value, None) for value in gc.get_referents(holder)]
            self._exchange(stuck, where, module)

    def _exchange(
        self,
        places: Sequence[tuple[Any, Write | None]],
        where: str,
        module: str,
        *,
        in_class: bool = False,
    ) -> None:
        """Exchange what is to be exchanged, or say that it cannot be done."""
        if module.startswith(OURS):
            return
        for value, write in places:
            old, new = self._replacement(value)
            if old is None:
                continue
            self._seen.add(id(old.value))
            # A function deep in some structure may be kept on purpose: it is told, not replaced.
            is_deep = old.kind == "name" and not module
            if new is None or write is None or is_deep:
                why = old.why or "its holder cannot be written"
                self.left.append(Left(old.kind, where, module, why))
                continue
            if in_class and type(new) is FunctionType and type(value) is not FunctionType:
                new = staticmethod(new)  # a C function is no method, this would become one
            write(new)
            self.count += 1
            self._undo.append(Restore(write, value))

    def _replacement(self, value: Any) -> tuple[Old | None, Any]:
        old = self.olds.get(id(value))
        if old is not None and old.value is value:
            return old, old.new
        kind = type(value)
        if kind is BuiltinMethodType:
            old = self.olds.get(id(value.__self__))
            if old is not None and old.value is value.__self__ and old.new is not None:
                new = getattr(old.new, value.__name__, None)
                return (None, None) if new is None else (old, new)
        elif kind is staticmethod:
            old = self.olds.get(id(value.__func__))
            if old is not None and old.value is value.__func__:
                return old, staticmethod(old.new)
        return None, None


def _is_native(module: str) -> bool:
    """Whether the globals of the module are meant to be native.

    Those of `threading` are never held while anything waits, and they are
    still taken when the interpreter ends and nothing can switch any more.
    """
    return module.startswith(OURS) or module == "threading"
