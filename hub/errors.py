"""Every exception that the hub defines."""

from __future__ import annotations

import queue

__all__ = ["DeadlockError", "HubCallbackError", "ShutDown"]


class DeadlockError(RuntimeError):
    """Nothing can ever run again, and the main thread waits.

    The message names every blocked green thread, what it waits on, who holds
    that, where it was spawned and where it stands.
    """


class HubCallbackError(RuntimeError):
    """A timer or hub callback tried to block.

    Callbacks run on the hub's own greenlet, which must never wait: spawn a
    green thread from the callback and block there.
    """


if hasattr(queue, "ShutDown"):
    ShutDown = queue.ShutDown
else:

    class ShutDown(Exception):  # type: ignore[no-redef]
        """The queue was shut down. **Source**: `queue.ShutDown`, 3.13."""
