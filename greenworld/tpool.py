"""Native threads under eventlet's names. New code calls `greenworld.native.run`.

**Source**: `eventlet.tpool`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenworld.hub.native import end_threads as killall
from greenworld.hub.native import run as execute
from greenworld.hub.native import set_size as set_num_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Proxy", "execute", "killall", "set_num_threads"]


class Proxy:
    """An object whose methods are called on native threads.

    Each method call **blocks** the green thread only; with the argument
    `nonblocking=True` it is made right here. A result, or an attribute that
    is not callable, is wrapped in a Proxy if it is an instance of one of the
    classes `autowrap` or its name is in `autowrap_names`. Comparing, hashing,
    `len`, `bool`, `repr` and `str` are done right here as well.
    """

    def __init__(
        self,
        obj: Any,
        autowrap: tuple[type, ...] = (),
        autowrap_names: tuple[str, ...] = (),
    ) -> None:
        self._obj = obj
        self._autowrap = autowrap
        self._autowrap_names = autowrap_names

    def _wrap(self, value: Any, name: str) -> Any:
        if isinstance(value, self._autowrap) or name in self._autowrap_names:
            return Proxy(value, self._autowrap)
        return value

    def _call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if kwargs.pop("nonblocking", False):
            return self._wrap(function(*args, **kwargs), name)
        return self._wrap(execute(function, *args, **kwargs), name)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._obj, name)
        if not callable(value):
            return self._wrap(value, name)

        def method(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, value, *args, **kwargs)

        return method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the object itself."""
        return self._call("__call__", self._obj, *args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self._call("__getitem__", self._obj.__getitem__, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._call("__setitem__", self._obj.__setitem__, key, value)

    def __enter__(self) -> Any:
        return self._call("__enter__", self._obj.__enter__)

    def __exit__(self, *exc_info: Any) -> Any:
        return self._call("__exit__", self._obj.__exit__, *exc_info)

    def __iter__(self) -> Iterator[Any]:
        iterator = iter(self._obj)
        return self if iterator is self._obj else Proxy(iterator, self._autowrap)

    def __next__(self) -> Any:
        # A StopIteration is made here: it could not be passed on as an error of a call.
        value = self._call("__next__", next, self._obj, _END)
        if value is _END:
            raise StopIteration
        return value

    next = __next__

    def __eq__(self, other: object) -> bool:
        return bool(self._obj == other)

    def __hash__(self) -> int:
        return hash(self._obj)

    def __len__(self) -> int:
        return len(self._obj)

    def __bool__(self) -> bool:
        return bool(self._obj)

    def __repr__(self) -> str:
        return repr(self._obj)

    def __str__(self) -> str:
        return str(self._obj)


_END: Any = object()
