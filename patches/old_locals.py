"""`threading.local` objects that were made before the patch: all green threads would share them.

Owns two ways of mending them:

1. A plain object is exchanged like a lock (`patches/holders.py`), with the
   values of the present thread copied.
2. A subclass stays the class it is, with all its instances: it gets methods
   that look into the running green thread's own values. Main threads and
   native threads go on using what the original keeps for their OS thread, so
   they lose nothing, and the undo has nothing to copy back.

The arguments with which `__init__` has to run in each new thread are read
where the original keeps them: it shows them to the garbage collector.
"""

from __future__ import annotations

import _thread
import gc
from typing import TYPE_CHECKING, Any
from weakref import ref

from greenworld.hub.flow import current_greenlet
from greenworld.hub.greenthread import GreenThread
from greenworld.hub.local import Record, find_in_class, local
from greenworld.hub.task import Guest
from greenworld.patches.holders import Old
from greenworld.patches.left import Left
from greenworld.patches.owners import OURS, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["adapt_subclasses", "find_locals"]

NATIVE: Any = _thread._local

records: dict[int, tuple[ref[Any], Record]] = {}
"""By the id of an instance: what goes with it, and what is known of it."""


def find_locals(objects: Iterable[Any]) -> list[Old]:
    """The plain native locals among all objects, with what is to replace them."""
    found = []
    for each in objects:
        if type(each) is NATIVE:
            new: Any = local()
            new.__dict__.update(each.__dict__)
            found.append(Old(each, new, "local"))
    return found


def adapt_subclasses(left: list[Left]) -> Callable[[], None]:
    """Give each subclass the methods below; returns the undo. What cannot be goes to `left`."""
    changed: list[tuple[type, str]] = []
    for cls in NATIVE.__subclasses__():
        if cls.__module__.startswith(OURS):
            continue
        own = [name for name in METHODS if name in vars(cls)]
        if own:
            why = f"the class has a method {own[0]} of its own"
            left.append(Left("local", name_of(cls), cls.__module__, why))
            continue
        methods = {**METHODS, "__new__": _make_new(cls)} if "__new__" not in vars(cls) else METHODS
        for name, method in methods.items():
            setattr(cls, name, method)
            changed.append((cls, name))

    def undo() -> None:
        while changed:
            delattr(*changed.pop())
        records.clear()

    return undo


def _running() -> GreenThread[Any] | None:
    """The running green thread; None in main and native threads."""
    task = getattr(current_greenlet(), "task", None)
    while isinstance(task, Guest):
        task = task.host
    return task if isinstance(task, GreenThread) else None


def _values_of(of: Any, thread: GreenThread[Any]) -> dict[str, Any]:
    """The green thread's values; new ones after `__init__`."""
    entry = records.get(id(of))
    record = _make_record(of) if entry is None else entry[1]
    if thread.locals is None:
        thread.locals = {}
    values: dict[str, Any] | None = thread.locals.get(record.key)
    if values is None:
        values = record.settle(thread)
        cls = type(of)
        if cls.__init__ is not object.__init__:
            try:
                cls.__init__(of, *record.args, **record.kwargs)
            except BaseException:
                thread.locals.pop(record.key, None)  # so that the next use tries again
                raise
    return values


def _make_record(of: Any) -> Record:
    number = id(of)
    _, *referents = gc.get_referents(of)
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if referents and type(referents[0]) is tuple:
        args, *referents = referents
        if referents and type(referents[0]) is dict and all(type(n) is str for n in referents[0]):
            kwargs = referents[0]
    record = Record(number, args, kwargs)
    records[number] = (ref(of, lambda _: records.pop(number, None)), record)
    return record


def _get(self: Any, name: str) -> Any:
    """An attribute, as the running thread sees it. **Source**: `threading.local`."""
    thread = _running()
    if thread is None:
        return NATIVE.__getattribute__(self, name)
    values = _values_of(self, thread)
    if name in values:
        return values[name]
    return values if name == "__dict__" else object.__getattribute__(self, name)


def _set(self: Any, name: str, value: Any) -> None:
    """Set it for the running thread alone. **Source**: `threading.local`."""
    thread = _running()
    if thread is None:
        NATIVE.__setattr__(self, name, value)
        return
    values = _values_of(self, thread)
    if name not in values:
        descriptor = find_in_class(self, name)
        if hasattr(type(descriptor), "__set__"):
            descriptor.__set__(self, value)
            return
    values[name] = value


def _delete(self: Any, name: str) -> None:
    """Delete it for the running thread alone. **Source**: `threading.local`."""
    thread = _running()
    if thread is None:
        NATIVE.__delattr__(self, name)
        return
    values = _values_of(self, thread)
    if name not in values:
        descriptor = find_in_class(self, name)
        if not hasattr(type(descriptor), "__delete__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        descriptor.__delete__(self)
        return
    del values[name]


def _make_new(owner: Any) -> Any:
    """`__new__` of a subclass: the thread that makes the object runs `__init__` by itself."""

    def __new__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        make: Any = super(owner, cls).__new__
        self = make(cls, *args, **kwargs)
        thread = _running()
        if thread is not None and isinstance(self, owner):
            if thread.locals is None:
                thread.locals = {}
            _make_record(self).settle(thread)
        return self

    return staticmethod(__new__)


METHODS: dict[str, Any] = {
    "__getattribute__": _get,
    "__setattr__": _set,
    "__delattr__": _delete,
}
