"""Green threads for Python: plain blocking code, thousands of it side by side in one OS thread.

Owns the public names, and which of them are loaded only when they are used:
`import greenworld` is to cost little more than the standard modules it needs.
Importing it patches nothing and starts nothing.
"""

from __future__ import annotations

from greenworld.hub import (
    BoundedSemaphore,
    Condition,
    DeadlockError,
    Event,
    GreenThread,
    LifoQueue,
    Lock,
    PriorityQueue,
    Queue,
    RLock,
    Semaphore,
    getcurrent,
    kill,
    sleep,
    spawn,
    spawn_after,
    spawn_n,
)
from greenworld.hub.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenlet import GreenletExit

    from greenworld import native, tpool, wsgi
    from greenworld.convenience import StopServe, connect, listen, serve
    from greenworld.hub.local import local
    from greenworld.hub.timeout import Timeout, with_timeout
    from greenworld.patches import (
        PatchError,
        import_patched,
        is_monkey_patched,
        monkey_patch,
        original,
    )
    from greenworld.pool import GreenPile, GreenPool

__all__ = [
    "BoundedSemaphore",
    "Condition",
    "DeadlockError",
    "Event",
    "GreenPile",
    "GreenPool",
    "GreenThread",
    "GreenletExit",
    "LifoQueue",
    "Lock",
    "PatchError",
    "PriorityQueue",
    "Queue",
    "RLock",
    "Semaphore",
    "StopServe",
    "Timeout",
    "connect",
    "getcurrent",
    "import_patched",
    "is_monkey_patched",
    "kill",
    "listen",
    "local",
    "monkey_patch",
    "native",
    "original",
    "serve",
    "sleep",
    "spawn",
    "spawn_after",
    "spawn_n",
    "tpool",
    "with_timeout",
    "wsgi",
]

_HOMES = {
    "greenlet": ("GreenletExit",),
    "greenworld.convenience": ("StopServe", "connect", "listen", "serve"),
    "greenworld.hub.local": ("local",),
    "greenworld.hub.timeout": ("Timeout", "with_timeout"),
    "greenworld.patches": (
        *("PatchError", "import_patched", "is_monkey_patched"),
        *("monkey_patch", "original"),
    ),
    "greenworld.pool": ("GreenPile", "GreenPool"),
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("native", "tpool", "wsgi")


def __getattr__(name: str) -> Any:
    # Not through importlib, which would be another package to load.
    if name in _MODULES:
        __import__(f"greenworld.{name}")
        return globals()[name]
    if name not in _LAZY:
        raise AttributeError(f"module 'greenworld' has no attribute {name!r}")
    value = globals()[name] = getattr(__import__(_LAZY[name], fromlist=(name,)), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
