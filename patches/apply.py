"""Applying patches, all or nothing, and undoing them.

Owns what is applied at present, and the originals. Knows the table; knows
nothing of what a replacement does.

1. Every row is resolved before the first is assigned: an error changes nothing.
2. Rows whose module or attribute this Python lacks are skipped (see the table).
3. Undo restores in reverse, and leaves every name as it was.
4. Rows of a late module are applied when it is loaded: at once if it is
   already, else at the end of its first import. A package's rows are applied
   together, once the package is complete, because replacements import it.
5. A patched module that is loaded once more is patched once more.
6. An error in rule 4 or 5 leaves the import statement as a RuntimeError: an
   ImportError might be taken for a module that is not there.
"""

from __future__ import annotations

import gc
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from greenworld.patches.holders import Exchange, Old
from greenworld.patches.late import LateFinder, is_being_imported
from greenworld.patches.left import Left, PatchError
from greenworld.patches.old_locals import adapt_subclasses, find_locals
from greenworld.patches.old_locks import find_locks
from greenworld.patches.rows import MISSING, find_object, resolve
from greenworld.patches.stale import rebind
from greenworld.patches.table import (
    GROUPS,
    LATE_SETTLERS,
    OPTIONAL,
    PATCHES,
    SETTLERS,
    Patch,
    is_late,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from greenworld.patches.rows import Assignment

__all__ = [
    "Applied",
    "is_monkey_patched",
    "monkey_patch",
    "originals_of",
    "patched_groups",
    "replaced_names",
    "undo",
]


class Applied(NamedTuple):
    """What one call of `monkey_patch` did."""

    patches: tuple[Patch, ...] = ()
    """The rows of the table that were applied, in order."""
    late: tuple[str, ...] = ()
    """Modules that will be patched when they are imported."""
    rebound: tuple[str, ...] = ()
    """Names elsewhere that held an original and hold its replacement now: `module.name`."""
    exchanged: int = 0
    """In how many places a lock, a local or a function from before was exchanged."""
    left: tuple[Left, ...] = ()
    """What stays native, where, and why: a lock or a function of these stops all who wait."""


class _Originals:
    """The replaced names of a module: its attributes."""


class _State:
    """What is applied at present."""

    def __init__(self) -> None:
        self.groups: set[str] = set()
        self.patches: list[Patch] = []
        self.originals: dict[str, _Originals] = {}
        """By module, its replaced top-level names with their originals."""
        self.undo: list[Callable[[], None]] = []
        self.waiting: set[str] = set()
        """Late modules whose code has run and whose package is not complete."""


_state = _State()


def monkey_patch(*, strict: bool = False, **groups: bool | None) -> Applied:
    """Make the standard library cooperative, in place.

    `monkey_patch()` patches everything but what is only patched when it is
    named; `monkey_patch(socket=True)` only what is named;
    `monkey_patch(thread=False)` all but that; `all=False` is the default for
    what is not named. The groups are time, socket (with ssl), select, thread,
    os, signal, subprocess, multiprocessing, asyncio and psycopg, and, only
    when named, builtins, stdin and fcntl. What is patched already stays as it
    is. Returns what this call did.

    Raises TypeError for an unknown keyword, and with `strict` a PatchError if
    anything would be left native that this call should have exchanged. If
    anything goes wrong, nothing is patched. Never switches. Call it early, and
    while no other thread runs. **Source**: eventlet's `monkey_patch`.
    """
    chosen = _choose(groups) - _state.groups
    rows = [patch for name in _ALL if name in chosen for patch in PATCHES if patch.group == name]
    late = _late_modules(rows, chosen)
    resolved, settlers, loaded = _resolve_loaded(rows, late, chosen)
    undo: list[Callable[[], None]] = []
    try:
        olds = _replaced(resolved)
        rebound = _assign(resolved, settlers, undo, olds)
        exchange = _exchange(olds, "thread" in chosen, undo) if chosen else Exchange([])
        if strict and exchange.left:
            raise PatchError(exchange.left)
    except BaseException:
        _run_backwards(undo)
        raise
    patches = [each.patch for each in resolved]
    _state.groups |= chosen
    _state.patches += patches
    _state.undo += undo
    _finder.watched |= late | {patch.module for patch in rows}
    _finder.watched |= {name.partition(".")[0] for name in late}
    if _finder.watched:
        _finder.install()
    return Applied(
        tuple(patches),
        tuple(sorted(late - loaded)),
        tuple(rebound),
        exchange.count,
        tuple(exchange.left),
    )


def _replaced(resolved: list[Assignment]) -> list[Old]:
    """The functions and classes of which copies may be about."""
    return [
        Old(each.old, each.new, "name", "it is held where it cannot be replaced")
        for each in resolved
        if each.of_module and callable(each.new) and each.old is not MISSING
    ]


def _exchange(olds: list[Old], threads: bool, undo: list[Callable[[], None]]) -> Exchange:
    """Exchange what was made before the patch; one search for all of it."""
    # A class stands in its subclasses' tuples of bases, which are none of our business.
    found = [each for each in olds if not isinstance(each.value, type)]
    if threads:
        objects = gc.get_objects()
        found += find_locks(objects)
        found += find_locals(objects)
        del objects
    exchange = Exchange(found)
    undo.append(exchange.restore)
    exchange.run()
    if threads:
        undo.append(adapt_subclasses(exchange.left))
    return exchange


_ALL = (*GROUPS, *OPTIONAL)
_REFUSED = {
    "MySQLdb": "the C library of MySQLdb does its own I/O: use PyMySQL instead "
    "(pymysql.install_as_MySQLdb()), or greenworld.tpool.Proxy round its connections"
}


def _choose(groups: dict[str, bool | None]) -> set[str]:
    unknown = groups.keys() - {"all", *_ALL, *_REFUSED}
    if unknown:
        raise TypeError(
            f"monkey_patch() has no group {', '.join(sorted(unknown))}: "
            f"choose among {', '.join(sorted(_ALL))}, or all"
        )
    for name, reason in _REFUSED.items():
        if groups.get(name):
            raise TypeError(f"monkey_patch({name}=True): {reason}")
    default = groups.get("all")
    if default is None:
        default = not any(groups.values())
    chosen = {name for name in GROUPS if groups.get(name, default)}
    return chosen | {name for name in OPTIONAL if groups.get(name)}


def _late_modules(rows: Iterable[Patch], chosen: set[str]) -> set[str]:
    """The late modules that these rows and the settlers of these groups are about."""
    late = {patch.module for patch in rows if is_late(patch.module)}
    late |= {module for module, (group, _) in LATE_SETTLERS.items() if group in chosen}
    return late | {group for group in chosen if group in SETTLERS and is_late(group)}


def _resolve_loaded(
    rows: list[Patch], late: set[str], chosen: set[str]
) -> tuple[list[Assignment], list[Any], set[str]]:
    """Assignments and settlers of what is loaded, or is not late; and the late that are loaded."""
    loaded: set[str] = set()
    while True:
        resolved = resolve(p for p in rows if p.module not in late or p.module in loaded)
        settlers = [
            find_object(SETTLERS[name])
            for name in _ALL
            if name in chosen and name in SETTLERS and (name not in late or name in loaded)
        ]
        settlers += [find_object(LATE_SETTLERS[name][1]) for name in sorted(late & loaded)
                     if name in LATE_SETTLERS and LATE_SETTLERS[name][0] in chosen]  # fmt: skip
        # A replacement may have imported one more.
        if late & sys.modules.keys() == loaded:
            return resolved, settlers, loaded
        loaded = late & sys.modules.keys()


def _assign(
    resolved: list[Assignment],
    settlers: list[Any],
    undo: list[Callable[[], None]],
    olds: list[Old],
    within: str | None = None,
) -> list[str]:
    """Assign, settle, rebind copies of names; what takes it back is appended to `undo`."""
    undo.extend(_remember(each) for each in resolved)
    for each in resolved:
        undo.append(each.apply())
    for settle in settlers:
        undo.append(settle())
    rebound, restore = rebind(olds, within)
    undo.append(restore)
    return rebound


def _remember(assignment: Assignment) -> Callable[[], None]:
    """Keep the original of a module's name for `original`; returns the undo."""
    module, name = assignment.patch.module, assignment.name
    is_first = module not in _state.originals
    names = vars(_state.originals.setdefault(module, _Originals()))
    if assignment.of_module:
        names[name] = assignment.old

    def undo() -> None:
        names.pop(name, None)
        if is_first:
            _state.originals.pop(module, None)

    return undo


def _run_backwards(actions: list[Callable[[], None]]) -> None:
    while actions:
        actions.pop()()


def _patch_loaded(name: str) -> None:
    """The code of a watched module has run: patch it, once its package is complete."""
    root = name.partition(".")[0]
    _state.waiting.add(name)
    if name != root and is_being_imported(root):
        return
    family = sorted(each for each in _state.waiting if each.partition(".")[0] == root)
    _state.waiting.difference_update(family)
    rows = [
        patch
        for group in _ALL
        if group in _state.groups
        for patch in PATCHES
        if patch.group == group and patch.module in family and patch.module in sys.modules
    ]
    paths = [SETTLERS[each] for each in family if each in SETTLERS and each in _state.groups]
    for each in family:
        group, path = LATE_SETTLERS.get(each, ("", ""))
        if group in _state.groups and each in sys.modules:
            paths.append(path)
    undo: list[Callable[[], None]] = []
    try:
        resolved = resolve(rows)
        settlers = [find_object(path) for path in paths]
        _assign(resolved, settlers, undo, _replaced(resolved), root)
    except Exception as error:
        _run_backwards(undo)
        _state.waiting.update(family)
        raise RuntimeError(
            f"greenworld cannot make module {root!r} cooperative: {error!r}. "
            "Leave its group out of monkey_patch(), or report this"
        ) from error
    _state.patches += [each.patch for each in resolved]
    _state.undo += undo


_finder = LateFinder(_patch_loaded)


def undo() -> None:
    """Take back every patch, in reverse order. Does nothing if nothing is patched.

    What was made meanwhile (locks, threads, sockets) stays cooperative. Call
    it while no other thread runs. Never switches.
    """
    _finder.remove()
    _run_backwards(_state.undo)
    _state.groups.clear()
    _state.patches.clear()
    _state.originals.clear()
    _state.waiting.clear()


def is_monkey_patched(name_or_module: str | ModuleType) -> bool:
    """Whether a group (`"thread"`) or a module (`"threading"`, or itself) is patched.

    A module that will be patched as soon as it is imported counts.
    """
    name = (
        name_or_module.__name__ if isinstance(name_or_module, ModuleType) else str(name_or_module)
    )
    return name in _state.groups or name in _state.originals or name in _finder.watched


def patched_groups() -> frozenset[str]:
    """The groups that are patched."""
    return frozenset(_state.groups)


def replaced_names() -> list[Any]:
    """The original functions and classes that modules have had replaced."""
    originals = [old for names in _state.originals.values() for old in vars(names).values()]
    return [old for old in originals if callable(old)]


def originals_of(module: str) -> dict[str, Any] | None:
    """The originals of a patched module's replaced names; None if it is not patched."""
    names = _state.originals.get(module)
    return None if names is None else vars(names)
