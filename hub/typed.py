"""Names of `typing`, for type checkers; at run time, stand-ins that cost nothing.

Importing `typing` takes as long as importing the whole hub, and nothing here
asks about types while it runs. Type checkers see the real names.
"""

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, Generic, Literal, NoReturn, Protocol, TypeVar
else:

    class Generic:
        """A base that may be subscripted, to no effect."""

        __slots__ = ()

        def __class_getitem__(cls, item: object) -> type:
            """The class itself."""
            return cls

    class Protocol(Generic):
        """A base that says nothing."""

        __slots__ = ()

    class TypeVar:
        """A name between brackets."""

        __slots__ = ()

        def __init__(self, name: str, bound: object = None) -> None:
            """Remember nothing."""

    Any = NoReturn = Literal = Generic

__all__ = ["TYPE_CHECKING", "Any", "Generic", "Literal", "NoReturn", "Protocol", "TypeVar"]
