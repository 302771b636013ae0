"""Applying patches, all or nothing, and undoing them.

Owns what is applied at present, and the originals. Knows the table; knows
nothing of what a replacement does.

1. Every row is resolved before the first is assigned: an error changes nothing.
2. Rows whose module or attribute this Python lacks are skipped (see the table).
3. Undo restores in reverse, and leaves every name as it was.
"""

from __future__ import annotations

import importlib
from pkgutil import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from greenworld.patches.old_locks import exchange_locks
from greenworld.patches.stale import rebind
from greenworld.patches.table import GROUPS, PATCHES, SETTLERS, Patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Applied", "is_monkey_patched", "monkey_patch", "originals_of", "undo"]

MISSING: Any = object()


class Applied(NamedTuple):
    """What one call of `monkey_patch` did."""

    patches: tuple[Patch, ...] = ()
    """The rows of the table that were applied, in order."""
    rebound: tuple[str, ...] = ()
    """Names elsewhere that held an original and hold its replacement now: `module.name`."""
    exchanged_locks: int = 0
    """How often a lock that was made before was exchanged for a cooperative one."""
    left_locks: tuple[str, ...] = ()
    """Locks that stay native, and why: a green thread that waits for one stops all."""


class _State:
    """What is applied at present."""

    def __init__(self) -> None:
        self.groups: set[str] = set()
        self.patches: list[Patch] = []
        self.originals: dict[str, dict[str, Any]] = {}
        """By module, its replaced top-level names with their originals."""
        self.undo: list[Callable[[], None]] = []


_state = _State()


class _Assignment(NamedTuple):
    """One row, resolved."""

    patch: Patch
    owner: Any
    name: str
    new: Any

    def apply(self) -> Callable[[], None]:
        """Assign; returns the undo."""
        owner, name = self.owner, self.name
        old = vars(owner).get(name, MISSING)
        setattr(owner, name, self.new)

        def undo() -> None:
            if old is MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, old)

        return undo


def monkey_patch(**groups: bool | None) -> Applied:
    """Make the standard library cooperative, in place.

    `monkey_patch()` patches everything; `monkey_patch(socket=True)` only what
    is named; `monkey_patch(thread=False)` all but that; `all=False` is the
    default for what is not named. The groups are os, select, socket (with
    ssl), thread and time. What is patched already stays as it is. Returns what
    this call did.

    Raises TypeError for an unknown keyword. If anything else goes wrong,
    nothing is patched. Never switches. Call it early, and while no other
    thread runs. **Source**: eventlet's `monkey_patch`.
    """
    chosen = _choose(groups) - _state.groups
    resolved = [
        assignment
        for group in GROUPS
        if group in chosen
        for assignment in _resolve(patch for patch in PATCHES if patch.group == group)
    ]
    settlers: list[Callable[[], Callable[[], None]]] = [
        resolve_name(SETTLERS[group]) for group in GROUPS if group in chosen and group in SETTLERS
    ]
    replaced = [
        (vars(each.owner)[each.name], each.new)
        for each in resolved
        if isinstance(each.owner, ModuleType) and callable(each.new)
    ]
    undo: list[Callable[[], None]] = []
    try:
        undo.extend(_remember(each) for each in resolved)
        for each in resolved:
            undo.append(each.apply())
        for settle in settlers:
            undo.append(settle())
        rebound, restore = rebind(replaced)
        undo.append(restore)
        exchanged, left = 0, list[str]()
        if "thread" in chosen:
            exchanged, left, restore = exchange_locks()
            undo.append(restore)
    except BaseException:
        _run_backwards(undo)
        raise
    patches = [each.patch for each in resolved]
    _state.groups |= chosen
    _state.patches += patches
    _state.undo += undo
    return Applied(tuple(patches), tuple(rebound), exchanged, tuple(left))


def _choose(groups: dict[str, bool | None]) -> set[str]:
    unknown = groups.keys() - {"all", *GROUPS}
    if unknown:
        raise TypeError(
            f"monkey_patch() has no group {', '.join(sorted(unknown))}: "
            f"choose among {', '.join(sorted(GROUPS))}, or all"
        )
    default = groups.get("all")
    if default is None:
        default = not any(groups.values())
    return {name for name in GROUPS if groups.get(name, default)}


def _resolve(patches: Iterable[Patch]) -> list[_Assignment]:
    found = []
    for patch in patches:
        try:
            owner: Any = importlib.import_module(patch.module)
        except ImportError:
            continue  # not built into this Python
        *path, name = patch.attribute.split(".")
        for part in path:
            owner = getattr(owner, part, None)
        if owner is None or not hasattr(owner, name):
            continue
        found.append(_Assignment(patch, owner, name, resolve_name(patch.replacement)))
    return found


def _remember(assignment: _Assignment) -> Callable[[], None]:
    """Keep the original of a module's name for `original`; returns the undo."""
    names = _state.originals.setdefault(assignment.patch.module, {})
    if isinstance(assignment.owner, ModuleType):
        names[assignment.name] = vars(assignment.owner)[assignment.name]

    def undo() -> None:
        _state.originals.pop(assignment.patch.module, None)

    return undo


def _run_backwards(actions: list[Callable[[], None]]) -> None:
    while actions:
        actions.pop()()


def undo() -> None:
    """Take back every patch, in reverse order. Does nothing if nothing is patched.

    What was made meanwhile (locks, threads, sockets) stays cooperative. Call
    it while no other thread runs. Never switches.
    """
    _run_backwards(_state.undo)
    _state.groups.clear()
    _state.patches.clear()
    _state.originals.clear()


def is_monkey_patched(name_or_module: str | ModuleType) -> bool:
    """Whether a group (`"thread"`) or a module (`"threading"`, or itself) is patched."""
    name = (
        name_or_module.__name__ if isinstance(name_or_module, ModuleType) else str(name_or_module)
    )
    return name in _state.originals or any(patch.group == name for patch in _state.patches)


def originals_of(module: str) -> dict[str, Any] | None:
    """The originals of a patched module's replaced names; None if it is not patched."""
    return _state.originals.get(module)
