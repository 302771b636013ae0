"""What a patch could not make cooperative, told so that somebody can mend it.

Owns the record of one such thing and the error of `monkey_patch(strict=True)`.
Looking up the line of the source costs time, so it is done when it is asked for.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Left", "PatchError"]


class Left(NamedTuple):
    """One thing that stays native."""

    kind: str
    """"Lock", "RLock", "local" (a `threading.local`) or "name" (of a function that blocks)."""
    holder: str
    """Where it is: `module.Class.attribute`, or in words."""
    module: str
    """The module to change; "" where it cannot be told."""
    why: str
    """Why it was not exchanged."""

    @property
    def line(self) -> tuple[str, int]:
        """File and line to change, as far as can be told; ("", 0) if not at all.

        The first line of the module that assigns the attribute.
        """
        home: Any = sys.modules.get(self.module)
        file = getattr(home, "__file__", None) or ""
        if not file.endswith(".py"):
            return "", 0
        # Imported here: only reports need it, and it takes as long as all the patches.
        re, linecache = __import__("re"), __import__("linecache")
        name = re.escape(self.holder.rpartition(".")[2].partition(" ")[0])
        pattern = re.compile(rf"(^|[\s.(,]){name}\s*(:[^=]*)?=[^=]|import\b.*\b{name}\b")
        for number, text in enumerate(linecache.getlines(file), 1):
            if pattern.search(text):
                return file, number
        return file, 1

    def __str__(self) -> str:
        file, number = self.line
        place = f" ({file}:{number})" if file else ""
        return f"{self.kind} {self.holder}{place}: {self.why}"


class PatchError(RuntimeError):
    """`monkey_patch(strict=True)` would have left something native; nothing is patched."""

    def __init__(self, left: Iterable[Left]) -> None:
        self.left = tuple(left)
        lines = "\n".join(f"  {each}" for each in self.left)
        super().__init__(
            f"monkey_patch(strict=True): {len(self.left)} would stay native, so nothing is "
            f"patched. Call it before these are made, or run `python -m greenworld`:\n{lines}"
        )
