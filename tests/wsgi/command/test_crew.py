"""What the supervisor knows of a worker, without one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from _socket import socket as RawSocket
from collections.abc import Iterator
from math import inf

import pytest

from greenworld.wsgi.command.crew import (
    BEAT,
    FAILED,
    READY,
    RETIRE,
    TIRED,
    Place,
    Worker,
    describe_end,
    make_line,
)

Pair = tuple[Worker, RawSocket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A worker, which is a process that sleeps, and its end of the line."""
    ours, theirs = make_line()
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    worker = Worker(Place(1, ()), 1, process.pid, ours, 10.0)
    yield worker, theirs
    process.kill()
    process.wait()
    ours.close()
    theirs.close()


def test_the_delay_doubles_up_to_a_bound() -> None:
    place = Place(1, ())
    assert [place.fail(100.0) for _ in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert place.not_before == 100.8
    assert [place.fail(0.0) for _ in range(100)][-1] == 30.0
    place.recover()
    assert place.not_before == -inf
    assert place.fail(0.0) == 0.1


def test_what_a_worker_says(pair: Pair) -> None:
    worker, theirs = pair
    assert worker.listen(11.0)
    assert (worker.state, worker.heard) == ("starting", 10.0)
    theirs.send(READY + BEAT)
    assert worker.listen(12.0)
    assert (worker.state, worker.since, worker.heard) == ("ready", 12.0, 12.0)
    assert not worker.tired
    assert not worker.lasted(21.9)
    assert worker.lasted(22.0)
    theirs.send(BEAT + TIRED)
    assert worker.listen(13.0)
    assert worker.tired
    theirs.close()
    assert not worker.listen(14.0)
    assert worker.heard == 13.0


def test_a_failure_may_hold_any_text(pair: Pair) -> None:
    worker, theirs = pair
    for piece in (FAILED + b"r.", b"t\xc3\xa9!"):
        theirs.send(piece)
        assert worker.listen(11.0)
    assert worker.failure == b"!r.t\xc3\xa9!"
    assert (worker.state, worker.tired) == ("starting", False)


def test_retiring(pair: Pair) -> None:
    worker, theirs = pair
    theirs.send(READY)
    worker.listen(11.0)
    worker.retire(20.0)
    assert (worker.state, worker.kill_at) == ("ending", 20.0)
    assert theirs.recv(10) == RETIRE
    theirs.send(READY)
    worker.listen(12.0)
    assert worker.state == "ending"


@pytest.mark.parametrize("said", [b"", READY])
def test_ending(pair: Pair, said: bytes) -> None:
    worker, theirs = pair
    if said:
        theirs.send(said)
        worker.listen(11.0)
        worker.end(signal.SIGTERM, 20.0)
    else:
        worker.retire(20.0)
    worker.end(signal.SIGTERM, 30.0)
    assert worker.kill_at == 20.0
    _, status = os.waitpid(worker.pid, 0)
    assert describe_end(status) == "was ended by SIGTERM"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "ended with exit code 0"),
        (3 << 8, "ended with exit code 3"),
        (9, "was ended by SIGKILL"),
        (6 | 0x80, "was ended by SIGABRT, leaving a core file"),
        (63, "was ended by signal 63"),
    ],
)
def test_how_it_ended(status: int, text: str) -> None:
    assert describe_end(status) == text
