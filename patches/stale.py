"""Names that were copied before the patch: `from time import sleep`.

Owns finding and rebinding them in loaded modules: their globals, the
attributes of the classes in them, and the default arguments of functions.
The hub and this package are left alone: they need the originals (rule 1.3).
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from greenworld.patches.writers import AttributeWriter, Restore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from greenworld.patches.holders import Old

__all__ = ["rebind"]

KEEP_ORIGINALS = ("greenworld.hub", "greenworld.patches")


def rebind(
    replaced: Iterable[Old], within: str | None = None
) -> tuple[list[str], Callable[[], None]]:
    """Put the new wherever the old is; returns the names `module.name` and the undo.

    `within` is the package to look in; None: look everywhere.
    """
    new_of = {id(each.value): each for each in replaced if each.value is not each.new}
    undo: list[Callable[[], None]] = []
    names = []
    if not new_of:
        return [], lambda: None
    for module_name, module in _modules():
        if within is not None and module_name.partition(".")[0] != within:
            continue
        for name, value in list(vars(module).items()):
            if id(value) in new_of:
                undo.append(_assign(module, name, value, new_of[id(value)].new))
                names.append(f"{module_name}.{name}")
            elif isinstance(value, FunctionType) and value.__module__ == module_name:
                if _rebind_defaults(value, new_of, undo):
                    names.append(f"{module_name}.{name}()")
            elif isinstance(value, type) and value.__module__ == module_name:
                names += _rebind_class(f"{module_name}.{name}", value, new_of, undo)

    def restore() -> None:
        while undo:
            undo.pop()()

    return names, restore


def _modules() -> Iterator[tuple[str, ModuleType]]:
    modules: dict[str, Any] = dict(sys.modules)
    for name, module in modules.items():
        kept = any(name == keep or name.startswith(f"{keep}.") for keep in KEEP_ORIGINALS)
        # Modules written in C have no builtins of their own; what they hold is the original.
        if isinstance(module, ModuleType) and "__builtins__" in vars(module) and not kept:
            yield name, module


def _assign(owner: Any, name: str, old: Any, new: Any) -> Restore:
    write = AttributeWriter(owner, name)
    write(new)
    return Restore(write, old)


def _rebind_class(
    path: str, cls: type, new_of: dict[int, Old], undo: list[Callable[[], None]]
) -> list[str]:
    names = []
    for name, value in list(vars(cls).items()):
        if id(value) in new_of:
            new = new_of[id(value)].new
            # A C function is no method, a Python function would become one.
            is_method = not isinstance(new, FunctionType) or isinstance(value, FunctionType)
            plain = new if is_method else staticmethod(new)
            undo.append(_assign(cls, name, value, plain))
            names.append(f"{path}.{name}")
        elif isinstance(value, FunctionType) and _rebind_defaults(value, new_of, undo):
            names.append(f"{path}.{name}()")
    return names


def _rebind_defaults(
    function: FunctionType, new_of: dict[int, Old], undo: list[Callable[[], None]]
) -> bool:
    """Rebind default arguments; whether there were any to rebind."""
    before = len(undo)
    defaults = function.__defaults__
    if defaults and any(id(value) in new_of for value in defaults):
        fresh = tuple(new_of[id(value)].new if id(value) in new_of else value for value in defaults)
        undo.append(_assign(function, "__defaults__", defaults, fresh))
    keywords = function.__kwdefaults__
    if keywords and any(id(value) in new_of for value in keywords.values()):
        changed = {
            name: new_of[id(value)].new if id(value) in new_of else value
            for name, value in keywords.items()
        }
        undo.append(_assign(function, "__kwdefaults__", keywords, changed))
    return len(undo) > before
