"""The synchronisation primitives, under one name."""

from greenworld.hub.condition import Condition
from greenworld.hub.event import Event
from greenworld.hub.lock import Lock, RLock
from greenworld.hub.semaphore import BoundedSemaphore, Semaphore

__all__ = ["BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]
