"""Rows of the table, resolved and assigned.

Owns how one row becomes one assignment with its undo. A row whose module or
attribute this Python lacks gives none: private names come and go.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from greenworld.patches.table import Patch

__all__ = ["Assignment", "find_object", "resolve"]

MISSING: Any = object()


class Assignment(NamedTuple):
    """One row, resolved."""

    patch: Patch
    owner: Any
    name: str
    new: Any

    @property
    def of_module(self) -> bool:
        """Whether a name of the module itself is replaced, and not one of a class."""
        return isinstance(self.owner, ModuleType)

    @property
    def old(self) -> Any:
        """What the name stands for at present."""
        return vars(self.owner).get(self.name, MISSING)

    def apply(self) -> Callable[[], None]:
        """Assign; returns the undo, which leaves alone what others have put there since."""
        undo = _Unassign(self.owner, self.name, self.old, self.new)
        setattr(self.owner, self.name, self.new)
        return undo


class _Unassign:
    """Takes one assignment back."""

    __slots__ = ("name", "new", "old", "owner")

    def __init__(self, owner: Any, name: str, old: Any, new: Any) -> None:
        self.owner = owner
        self.name = name
        self.old = old
        self.new = new

    def __call__(self) -> None:
        if vars(self.owner).get(self.name, MISSING) is not self.new:
            return
        if self.old is MISSING:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.old)


def resolve(patches: Iterable[Patch]) -> list[Assignment]:
    """The assignments that these rows ask for, in order; imports modules and replacements."""
    found = []
    for patch in patches:
        try:
            owner: Any = sys.modules.get(patch.module) or importlib.import_module(patch.module)
        except ImportError:
            continue  # not built into this Python
        *path, name = patch.attribute.split(".")
        for part in path:
            owner = getattr(owner, part, None)
        if owner is None or not hasattr(owner, name):
            continue
        found.append(Assignment(patch, owner, name, find_object(patch.replacement)))
    return found


def find_object(path: str) -> Any:
    """What `module:name.name` names. `pkgutil.resolve_name` would take longer to import."""
    module, _, names = path.partition(":")
    found: Any = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    return found
