"""`multiprocessing.connection.wait`, which lets others run before it asks.

A pool's thread asks again and again whether its results are there; those are
for another thread to read. Natively that one is scheduled some time.
"""

from __future__ import annotations

from multiprocessing.connection import wait as plain_wait
from typing import TYPE_CHECKING, Any

from greenworld.hub.current import current_waiter
from greenworld.hub.task import HubTask, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["wait"]


def wait(object_list: Iterable[Any], timeout: float | None = None) -> list[Any]:
    """Which of the connections are ready, waiting up to `timeout` seconds for one. **Blocks**.

    **Source**: `multiprocessing.connection.wait`.
    """
    waiter = current_waiter()
    if isinstance(waiter, Task) and not isinstance(waiter, HubTask):
        waiter.give_way()
    return plain_wait(object_list, timeout)
