"""Hearing of the first import of a module, so that it is patched when it is there.

Owns the entry in `sys.meta_path`. Knows nothing of patches:

1. A watched module is found and loaded by whoever would do it without us; as
   soon as its code has run, and before its importer sees it, `loaded` is
   called with its name, in the importing thread. So it is again after a
   `reload`, and after it has been thrown out of `sys.modules`.
2. The loader that the module shows (`__loader__`, `__spec__.loader`) is its own.
3. What `loaded` raises leaves the import statement, and the module stays out
   of `sys.modules`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["LateFinder", "is_being_imported"]


class LateFinder:
    """A finder that finds nothing by itself and hears of what it watches."""

    def __init__(self, loaded: Callable[[str], None]) -> None:
        self.watched: set[str] = set()
        self.loaded = loaded

    def install(self) -> None:
        """Come first in `sys.meta_path`, unless it is there already."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Watch nothing any more."""
        self.watched.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any = None, target: Any = None, /) -> Any:
        """The spec that the other finders have, with a loader that reports. **Source**: PEP 451."""
        if name not in self.watched:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _ReportingLoader(spec.loader, self)
                return spec
        return None

    def invalidate_caches(self) -> None:
        """Nothing is kept. **Source**: PEP 451."""


class _ReportingLoader:
    """Stands in for a loader until the module's code runs."""

    def __init__(self, loader: Any, finder: LateFinder) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> ModuleType | None:
        create = getattr(self._loader, "create_module", None)
        module: ModuleType | None = None if create is None else create(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        loader = self._loader
        spec: Any = module.__spec__
        if spec is not None and spec.loader is self:
            spec.loader = loader
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = loader
        loader.exec_module(module)
        if module.__name__ in self._finder.watched:
            self._finder.loaded(module.__name__)


def is_being_imported(name: str) -> bool:
    """Whether the module is in `sys.modules` with its code still running."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))
