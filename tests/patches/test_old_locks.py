"""Locks from before the patch, in a fresh interpreter."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., str]


def test_locks_from_before_are_exchanged_or_named(program: Run) -> None:
    out = program(
        """
import logging, queue, threading
from greenworld.hub.lock import Lock
from greenworld.patches.rlock import RLock

class Holder:
    def __init__(self):
        self.lock = threading.Lock()
        self.held = threading.RLock()

def closure():
    lock = threading.Lock()
    return lambda: lock

module_lock, holder, in_closure = threading.Lock(), Holder(), closure()
in_list, in_tuple = [threading.RLock()], (threading.Lock(),)
condition, items = threading.Condition(), queue.Queue(1)
holder.held.acquire()
native = (type(module_lock),)

from greenworld.patches import monkey_patch, undo
applied = monkey_patch()
assert type(module_lock) is type(holder.lock) is type(in_closure()) is Lock
assert type(in_list[0]) is type(logging._lock) is RLock
assert type(items.mutex) is Lock and items.not_full._lock is items.mutex
for each in applied.left: print(each)

def work():
    for number in range(20):
        with module_lock, in_list[0], condition:
            items.put(number)
            condition.notify()

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
print(sum(items.get(timeout=20) for _ in range(60)))
for thread in threads: thread.join(20)
undo()
assert type(module_lock) is type(in_closure()) is type(items.mutex) is native[0]
items.put(1)
print(items.get(timeout=20))
"""
    )
    assert out.splitlines() == [
        "Lock __main__.in_tuple (a tuple): its holder cannot be written",
        "RLock __main__.Holder.held: it is held while monkey_patch() runs",
        "570",
        "1",
    ]


def test_the_hubs_own_locks_stay_native(program: Run) -> None:
    program(
        """
import _thread
native = (type(_thread.allocate_lock()),)
from greenworld.hub.waiter import NativeWaiter
from greenworld.patches import monkey_patch, original
copy = original("threading")
event = copy.Event()
waiter = NativeWaiter()
monkey_patch()
assert type(waiter._gate) is native[0]
assert type(event._cond._lock) is native[0]
assert type(copy._shutdown_locks_lock if hasattr(copy, "_shutdown_locks_lock")
            else copy.Lock()) is native[0]
"""
    )
