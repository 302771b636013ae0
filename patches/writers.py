"""Ways of putting one value in the place of another.

Each writer knows one place and is called with what is to be there. They are
objects with slots rather than closures, so that a search for an old value that
comes upon one knows it for ours (`patches/holders.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from functools import partial
    from types import FunctionType

__all__ = [
    "AttributeWriter",
    "DefaultWriter",
    "ItemWriter",
    "PartialWriter",
    "Restore",
    "SetWriter",
    "SlotWriter",
]


class Restore:
    """Writes the old value back when it is called."""

    __slots__ = ("old", "write")

    def __init__(self, write: Callable[[Any], None], old: Any) -> None:
        self.write = write
        self.old = old

    def __call__(self) -> None:
        """Write it."""
        self.write(self.old)


class AttributeWriter:
    """An attribute: of a class, of a closure's cell."""

    __slots__ = ("name", "owner")

    def __init__(self, owner: Any, name: str) -> None:
        self.owner = owner
        self.name = name

    def __call__(self, value: Any) -> None:
        """Set the attribute."""
        setattr(self.owner, self.name, value)


class ItemWriter:
    """An item of a list, an entry of a dict."""

    __slots__ = ("items", "key")

    def __init__(self, items: Any, key: Any) -> None:
        self.items = items
        self.key = key

    def __call__(self, value: Any) -> None:
        """Set the item."""
        self.items[self.key] = value


class SetWriter:
    """A member of a set."""

    __slots__ = ("items", "present")

    def __init__(self, items: set[Any], present: Any) -> None:
        self.items = items
        self.present = present

    def __call__(self, value: Any) -> None:
        """Put it where the present member is."""
        self.items.discard(self.present)
        self.items.add(value)
        self.present = value


class SlotWriter:
    """A slot of an instance, past a `__setattr__` that may refuse."""

    __slots__ = ("member", "owner")

    def __init__(self, member: Any, owner: Any) -> None:
        self.member = member
        self.owner = owner

    def __call__(self, value: Any) -> None:
        """Fill the slot."""
        self.member.__set__(self.owner, value)


class DefaultWriter:
    """A default argument, by its place."""

    __slots__ = ("function", "index")

    def __init__(self, function: FunctionType, index: int) -> None:
        self.function = function
        self.index = index

    def __call__(self, value: Any) -> None:
        """Make it the default."""
        defaults = list(self.function.__defaults__ or ())
        defaults[self.index] = value
        self.function.__defaults__ = tuple(defaults)


class PartialWriter:
    """What a `functools.partial` calls or passes on."""

    __slots__ = ("call", "present")

    def __init__(self, call: partial[Any], present: Any) -> None:
        self.call = call
        self.present = present

    def __call__(self, value: Any) -> None:
        """Put it wherever the present value is."""

        def change(each: Any) -> Any:
            return value if each is self.present else each

        call: Any = self.call
        keywords = {name: change(each) for name, each in call.keywords.items()}
        state = (change(call.func), tuple(map(change, call.args)), keywords, call.__dict__)
        call.__setstate__(state)
        self.present = value
