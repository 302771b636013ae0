"""The cooperative counterpart of the standard module `queue`.

It is the standard module's code once more, on the locks of
`greenworld.patches.threading`; `Empty`, `Full` and `ShutDown` are the standard ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenworld.patches.explicit import fill as _fill

if TYPE_CHECKING:
    from queue import *  # noqa: F403

_fill(globals(), "queue")
