"""The cooperative counterpart of the standard module `os`.

Every name of the original is here; those that `monkey_patch` replaces are the
replacements. Nothing has to be patched to use it:

    from greenworld.patches import os
"""

from __future__ import annotations

import os as _stdlib
from os import *  # noqa: F403 - the counterpart offers what the original offers
from pkgutil import resolve_name as _resolve_name
from typing import Any as _Any

from greenworld.patches.table import PATCHES as _PATCHES

__all__ = list(_stdlib.__all__)


def _counterparts() -> dict[str, _Any]:
    """The original's names, with the replacements that the table has for them."""
    found = {name: value for name, value in vars(_stdlib).items() if not name.startswith("__")}
    for patch in _PATCHES:
        if patch.module == "os" and hasattr(_stdlib, patch.attribute):
            found[patch.attribute] = _resolve_name(patch.replacement)
    return found


globals().update(_counterparts())
