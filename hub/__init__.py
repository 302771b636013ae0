"""The runtime: run queue, green threads, primitives, timers, I/O, native threads.

Knows nothing of the standard library's blocking modules and nothing of WSGI.
"""

if __name__ != "greenworld.hub":
    raise ImportError(
        f"this folder is the package greenworld.hub, but it is being imported as {__name__!r}: "
        "use `import greenworld.hub`"
    )

from greenworld.hub.current import all_hubs, get_hub
from greenworld.hub.errors import DeadlockError, HubCallbackError, ShutDown
from greenworld.hub.greenthread import GreenThread
from greenworld.hub.loop import Hub
from greenworld.hub.queue import Empty, Full, LifoQueue, PriorityQueue, Queue
from greenworld.hub.readiness import wait_readable, wait_writable
from greenworld.hub.report import set_error_handler
from greenworld.hub.spawning import getcurrent, kill, sleep, spawn, spawn_after, spawn_n
from greenworld.hub.sync import BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

__all__ = [
    "BoundedSemaphore",
    "Condition",
    "DeadlockError",
    "Empty",
    "Event",
    "Full",
    "GreenThread",
    "Hub",
    "HubCallbackError",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "RLock",
    "Semaphore",
    "ShutDown",
    "all_hubs",
    "get_hub",
    "getcurrent",
    "kill",
    "set_error_handler",
    "sleep",
    "spawn",
    "spawn_after",
    "spawn_n",
    "wait_readable",
    "wait_writable",
]
