"""A server under load is stopped, reloaded, and loses a worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from functools import partial

import pytest

from tests.load.callers import Caller, calling
from tests.load.servers import ServerProcess, eventually

pytestmark = pytest.mark.slow

KEPT = 8
FRESH = 8
SOCKETS = [(), ("--reuse-port",)]  # the workers' listening sockets: shared, or one for each


def processes(callers: Iterable[Caller]) -> set[int]:
    """Who has answered so far."""
    return {pid for caller in callers for pid in caller.answers}


def spared(callers: Iterable[Caller], pids: set[int]) -> bool:
    """Whether each was answered last by a process that is none of these."""
    return all(caller.answers[-1] not in pids for caller in callers)


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_stop_loses_no_request_that_it_has_taken(
    serve: Callable[..., ServerProcess], figure: Callable[[str], None], workers: tuple[str, ...]
) -> None:
    server = serve(*workers)
    with calling(server, KEPT, FRESH) as callers:
        server.signal(signal.SIGTERM)
        eventually("nobody listens", lambda: all(caller.over for caller in callers))
        assert server.wait() == 0
    answers = sum(len(caller.answers) for caller in callers)
    # One that was never taken is reset when the listener closes; none is cut short.
    late = [why for caller in callers for why in caller.lost]
    assert [why for why in late if "within" in why] == []
    assert server.answered == answers
    assert "finished" not in server.log
    assert "Traceback" not in server.log
    figure(f"stopped under load: {answers} answered, {len(late)} not taken any more")


@pytest.mark.parametrize("sockets", SOCKETS)
def test_reload_loses_no_request_and_refuses_none(
    serve: Callable[..., ServerProcess],
    size: Callable[[int, int], int],
    figure: Callable[[str], None],
    sockets: tuple[str, ...],
) -> None:
    server = serve("--workers", "2", *sockets)
    rounds = size(1, 10)
    with calling(server, KEPT, FRESH) as callers:
        for _ in range(rounds):
            old = processes(callers)
            server.signal(signal.SIGHUP)
            eventually("all are served by new workers", partial(spared, callers, old))
    assert [caller.lost for caller in callers] == [[] for _ in callers]
    assert not any(caller.refused for caller in callers)
    answers = sum(len(caller.answers) for caller in callers)
    again = sum(caller.again for caller in callers)
    figure(f"{rounds} reloads under load: {answers} answered, {again} after a closed connection")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert server.answered == answers


@pytest.mark.parametrize("sockets", SOCKETS)
def test_killed_worker_loses_only_what_it_was_answering(
    serve: Callable[..., ServerProcess], figure: Callable[[str], None], sockets: tuple[str, ...]
) -> None:
    server = serve("--workers", "2", *sockets)
    with calling(server, KEPT, FRESH) as callers:
        kept = [caller for caller in callers if caller.keep_alive]
        fresh = [caller for caller in callers if not caller.keep_alive]
        old = processes(callers)
        served_by = {caller: caller.answers[-1] for caller in kept}
        victim = served_by[kept[0]]
        os.kill(victim, signal.SIGKILL)
        eventually(
            "the replacement serves",
            lambda: any(caller.answers[-1] not in old for caller in fresh),
        )
        eventually("whose worker was killed are served by others", partial(spared, kept, {victim}))
    for caller in kept:
        assert len(caller.lost) == 0
        assert caller.again == (1 if served_by[caller] == victim else 0)
    for caller in fresh:
        assert len(caller.lost) <= 1
    lost = sum(len(caller.lost) + caller.again for caller in callers)
    figure(f"a worker killed under load: {lost} of {len(callers)} requests in flight lost")
    assert not any(caller.refused for caller in callers)
