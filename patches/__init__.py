"""The cooperative standard library: one file a module, the table of patches, apply and undo.

Importing this package patches nothing. `from greenworld.patches import socket,
time` gives cooperative counterparts of the standard modules.
"""

if __name__ != "greenworld.patches":
    raise ImportError(
        f"this folder is the package greenworld.patches, but it is being imported as {__name__!r}: "
        "use `import greenworld.patches`"
    )

from greenworld.patches.apply import Applied, is_monkey_patched, monkey_patch, undo
from greenworld.patches.importing import import_patched
from greenworld.patches.left import Left, PatchError
from greenworld.patches.pristine import original
from greenworld.patches.table import PATCHES, Patch

__all__ = [
    "PATCHES",
    "Applied",
    "Left",
    "Patch",
    "PatchError",
    "import_patched",
    "is_monkey_patched",
    "monkey_patch",
    "original",
    "undo",
]
