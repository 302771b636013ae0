"""The runtimes under test, each as the same small set of operations.

The operations are the runtime's own functions, never wrappers (but for one, which says why), and
the rows bind them to local names before the clock starts: the adapter costs nothing in a timed
loop. Methods are held unbound (`wait(thread)` instead of `thread.wait()`), at the same cost.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Operation = Callable[..., Any]

BASELINE = "greenworld"


@dataclass(frozen=True)
class Runtime:
    """One runtime's way to do what the rows ask for."""

    name: str
    spawn: Operation
    wait: Operation
    sleep: Operation
    queue: Operation
    semaphore: Operation
    events: Callable[[int], list[Any]]
    event_send: Operation
    event_wait: Operation
    timeout_start: Operation
    timeout_cancel: Operation
    pool: Operation
    pool_spawn: Operation
    pool_wait: Operation
    local: Operation
    socket: Any


def load_greenworld() -> Runtime:
    """Greenworld through its explicit modules, nothing patched."""
    greenworld = import_module("greenworld")
    return Runtime(
        name="greenworld",
        spawn=greenworld.spawn,
        wait=greenworld.GreenThread.wait,
        sleep=greenworld.sleep,
        queue=greenworld.Queue,
        semaphore=greenworld.Semaphore,
        events=lambda count: [greenworld.Event() for _ in range(count)],
        event_send=greenworld.Event.send,
        event_wait=greenworld.Event.wait,
        timeout_start=greenworld.Timeout,
        timeout_cancel=greenworld.Timeout.cancel,
        pool=greenworld.GreenPool,
        pool_spawn=greenworld.GreenPool.spawn,
        pool_wait=greenworld.GreenPool.waitall,
        local=greenworld.local,
        socket=import_module("greenworld.patches.socket"),
    )


def load_gevent() -> Runtime:
    """gevent as it ships: its compiled classes and its default loop."""
    gevent = import_module("gevent")
    event = import_module("gevent.event").Event
    pool = import_module("gevent.pool").Pool

    def wait_and_clear(event: Any) -> None:
        # gevent's event can be used again, and doing so beats a new one (or an AsyncResult) each
        # time by more than this call costs.
        event.wait()
        event.clear()

    return Runtime(
        name="gevent",
        spawn=gevent.spawn,
        wait=gevent.Greenlet.get,
        sleep=gevent.sleep,
        queue=import_module("gevent.queue").Queue,
        semaphore=import_module("gevent.lock").Semaphore,
        events=lambda count: [event()] * count,
        event_send=event.set,
        event_wait=wait_and_clear,
        timeout_start=gevent.Timeout.start_new,
        timeout_cancel=gevent.Timeout.close,
        pool=pool,
        pool_spawn=pool.spawn,
        pool_wait=pool.join,
        local=import_module("gevent.local").local,
        socket=import_module("gevent.socket"),
    )


def load_eventlet() -> Runtime:
    """eventlet with its default hub for the platform."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its own retirement on import
        eventlet = import_module("eventlet")
    event = import_module("eventlet.event").Event
    return Runtime(
        name="eventlet",
        spawn=eventlet.spawn,
        wait=import_module("eventlet.greenthread").GreenThread.wait,
        sleep=eventlet.sleep,
        queue=eventlet.Queue,
        semaphore=eventlet.Semaphore,
        events=lambda count: [event() for _ in range(count)],
        event_send=event.send,
        event_wait=event.wait,
        timeout_start=eventlet.Timeout,
        timeout_cancel=eventlet.Timeout.cancel,
        pool=eventlet.GreenPool,
        pool_spawn=eventlet.GreenPool.spawn,
        pool_wait=eventlet.GreenPool.waitall,
        local=import_module("eventlet.corolocal").local,
        socket=import_module("eventlet.green.socket"),
    )


LOADERS: dict[str, Callable[[], Runtime]] = {
    "greenworld": load_greenworld,
    "gevent": load_gevent,
    "eventlet": load_eventlet,
}
