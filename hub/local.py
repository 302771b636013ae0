"""`local`: attributes of which every green thread has values of its own.

Owns where the values are and when they go:

1. The values of a thread are in its *home*, the dict `task.locals`: from the
   key of a local to the dict of its attributes. They go when the thread ends.
2. A raw greenlet shares the home of the green thread that runs it. The main
   task of a hub shares the home that its OS thread had before the hub.
3. When a local goes, its `Record` takes its values out of every home. The
   key is the id of the local, so that no home keeps the local alive.
4. Reading is a few look-ups inside `__getattribute__`, the only Python call
   there is; whatever fails goes the long way. `id(self)` would be a fifth of
   the time, so the first `KEYED_CLASSES` plain locals each get a class of
   their own, which is the key and is known to its `__getattribute__`.
"""

from __future__ import annotations

from _thread import _local
from itertools import count, repeat
from weakref import ref

from greenworld.hub.flow import current_greenlet
from greenworld.hub.task import Guest, MainTask
from greenworld.hub.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Home = dict[object, dict[str, Any]]

__all__ = ["Record", "find_in_class", "find_owner", "local"]

FIRST_SWEEP = 16
KEYED_CLASSES = 64

_OWNER = object()
"""The key under which a home has the reference to its owner, which all records share.

One that only the record of a local in a garbage cycle had would be garbage too, and the
collector would clear it before the record could use it.
"""

_numbers = count()
_keyed_classes_left: Iterator[None] = repeat(None, KEYED_CLASSES)


class _NativeOwner:
    """Who owns the home of an OS thread's main flow, which a hub made later shares."""

    __slots__ = ("__weakref__", "locals")

    def __init__(self) -> None:
        self.locals: Home | None = {}


_native: Any = _local()


class Record:
    """What a local knows for itself: its key, its arguments and the owners of its values."""

    __slots__ = ("args", "finished", "key", "kwargs", "owners", "sweep_at")

    def __init__(self, key: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.key = key
        self.args = args
        self.kwargs = kwargs
        self.owners: dict[int, ref[Any]] = {}
        self.sweep_at = FIRST_SWEEP
        self.finished = False

    def settle(self, owner: Any) -> dict[str, Any]:
        """Make the values for the home of `owner`."""
        owners = self.owners
        if len(owners) >= self.sweep_at:
            for number, each in list(owners.items()):
                if getattr(each(), "locals", None) is None:
                    owners.pop(number, None)
            self.sweep_at = 2 * len(owners) + FIRST_SWEEP
        owners[next(_numbers)] = reference = ref(owner)
        home = owner.locals
        if _OWNER not in home:
            home[_OWNER] = {"": reference}
        values: dict[str, Any] = {}
        home[self.key] = values
        return values

    def __del__(self) -> None:
        self.finished = True
        for each in list(self.owners.values()):
            home: Home | None = getattr(each(), "locals", None)
            if home is not None:
                home.pop(self.key, None)


class local:
    """Each green thread, and each OS thread, sees attributes of its own.

    A subclass may have an `__init__`: it runs again, with the arguments of the
    first time, in each thread that uses the object. Never switches by itself.
    **Source**: `threading.local`.
    """

    __slots__ = ("__weakref__", "_local__record")

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Any:
        """Make it, with the values of the present thread, which `__init__` is to fill."""
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        key: object = None
        if cls is local:
            for _ in _keyed_classes_left:
                key = cls = _make_keyed_class()
                break
        self = super().__new__(cls)
        record = Record(id(self) if key is None else key, args, kwargs)
        _set_record(self, record)
        record.settle(find_owner())
        return self

    def __getattribute__(self, name: str) -> Any:
        try:
            return current_greenlet().task.locals[id(self)][name]
        except (AttributeError, KeyError, TypeError):
            return _get(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            values = current_greenlet().task.locals[id(self)]
        except (AttributeError, KeyError, TypeError):
            values = _values_of(self)
        if name in values:  # set before: not an attribute of the class
            values[name] = value
        else:
            _set(self, name, value)

    def __delattr__(self, name: str) -> None:
        values = _values_of(self)
        if name not in values:
            descriptor = find_in_class(self, name)
            if not hasattr(type(descriptor), "__delete__"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            descriptor.__delete__(self)
            return
        del values[name]


def _make_keyed_class() -> type[local]:
    """The class of one plain local (rule 4)."""

    class keyed(local):
        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            try:
                return current_greenlet().task.locals[keyed][name]
            except (AttributeError, KeyError, TypeError):
                return _get(self, name)

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                values = current_greenlet().task.locals[keyed]
            except (AttributeError, KeyError, TypeError):
                values = _values_of(self)
            if name in values:
                values[name] = value
            else:
                _set(self, name, value)

    keyed.__name__ = local.__name__
    keyed.__qualname__ = local.__qualname__
    keyed.__doc__ = local.__doc__
    return keyed


_generic_get = object.__getattribute__
_slot: Any = local.__dict__["_local__record"]
_get_record = _slot.__get__
_set_record = _slot.__set__


def _get(of: local, name: str) -> Any:
    """Read an attribute the long way."""
    values = _values_of(of)
    if name in values:
        return values[name]
    if name == "__dict__":
        return values
    return _generic_get(of, name)


def _set(of: local, name: str, value: Any) -> None:
    """Set an attribute that the present thread has not set yet."""
    descriptor = find_in_class(of, name)
    if hasattr(type(descriptor), "__set__"):
        descriptor.__set__(of, value)
    else:
        _values_of(of)[name] = value


def find_in_class(of: local, name: str) -> Any:
    """The descriptor, or whatever a class of the local has under that name."""
    if name == "__dict__":
        raise AttributeError(f"{type(of).__name__!r} object attribute '__dict__' is read-only")
    for cls in type(of).__mro__:
        if name in cls.__dict__:
            return cls.__dict__[name]
    return None


def _values_of(of: local) -> dict[str, Any]:
    """The present thread's values of a local; in a new thread, after its `__init__`."""
    record = _get_record(of)
    owner = find_owner()
    values: dict[str, Any] | None = owner.locals.get(record.key)
    if values is None:
        if record.finished:
            # The garbage collector has begun with it, yet some finaliser uses it once more.
            record = Record(record.key, record.args, record.kwargs)
            _set_record(of, record)
        values = record.settle(owner)
        cls = type(of)
        if cls.__init__ is not object.__init__:
            try:
                cls.__init__(of, *record.args, **record.kwargs)
            except BaseException:
                owner.locals.pop(record.key, None)  # so that the next use tries again
                raise
    return values


def find_owner() -> Any:
    """Whoever has the present home as its `locals`: a task, or this OS thread."""
    current = current_greenlet()
    task: Any = getattr(current, "task", None)
    while task is None:
        current = current.parent
        if current is None:
            return _native_owner()
        task = getattr(current, "task", None)
    host = task
    while isinstance(host, Guest):
        host = host.host
    if host.locals is None:
        host.locals = _native_owner().locals if isinstance(host, MainTask) else {}
    task.locals = host.locals
    return host


def _native_owner() -> _NativeOwner:
    try:
        owner: _NativeOwner = _native.owner
    except AttributeError:
        owner = _native.owner = _NativeOwner()
    return owner
