"""Fresh OS threads with a hub of a chosen backend, and fresh interpreters for what may go wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeVar

import pytest

from greenworld.hub import Event, set_error_handler, sleep, spawn
from greenworld.hub.poller import available_backends

LIMIT = 20.0
HEADER = """\
import os, signal, socket, sys, threading, _thread
from greenlet import GreenletExit, greenlet
from greenworld.hub import *
from greenworld.hub.current import all_hubs, current_waiter, has_hub
from greenworld.hub.sync import Event, Lock, Semaphore
"""

T = TypeVar("T")


def run_in_os_thread(function: Callable[[], T]) -> T:
    """Run `function()` in a fresh OS thread; its result or exception is the caller's."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive(), "the OS thread hangs"
    value, error = outcome.pop()
    if error is not None:
        raise error
    result: T = value
    return result


@pytest.fixture
def in_os_thread() -> Callable[[Callable[[], Any]], Any]:
    return run_in_os_thread


@pytest.fixture(params=["epoll", "kqueue", "poll", "select"])
def backend(request: pytest.FixtureRequest) -> str:
    """The name of each backend in turn."""
    name: str = request.param
    if name not in available_backends():
        pytest.skip(f"this platform has no {name}")
    return name


@pytest.fixture
def on_hub(backend: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Runs a function in a fresh OS thread whose hub has the backend of this turn."""
    monkeypatch.setenv("GREENWORLD_HUB", backend)
    return run_in_os_thread


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected non-blocking stream sockets."""
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a non-blocking pipe."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass  # the test has closed it


@pytest.fixture
def reported() -> Iterator[list[tuple[str, BaseException]]]:
    """The uncaught errors of the test, instead of on stderr."""
    errors: list[tuple[str, BaseException]] = []
    previous = set_error_handler(lambda where, error: errors.append((where, error)))
    yield errors
    set_error_handler(previous)


class Program:
    """A running interpreter: `expect` a line it prints, signal it, `finish` it."""

    def __init__(self, code: str, environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", HEADER + textwrap.dedent(code)],
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def expect(self, line: str) -> None:
        """Wait for the next line of output, which must be `line`."""
        assert self.process.stdout is not None
        read = self.process.stdout.readline()
        assert read == f"{line}\n", f"{read!r} and then {self.finish()}"

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def finish(self) -> tuple[int, str, str]:
        """Exit status, the rest of the output, and the errors."""
        try:
            out, err = self.process.communicate(timeout=LIMIT)
        finally:
            self.kill()
        return self.process.returncode, out, err

    def kill(self) -> None:
        """End it with everything it has started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # the usual end


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    """Starts an interpreter that runs a piece of code, with the hub's names imported."""
    with _programs() as start:
        yield start


@contextmanager
def _programs() -> Iterator[Callable[..., Program]]:
    running: list[Program] = []

    def start(code: str, **environ: str) -> Program:
        running.append(Program(code, environ))
        return running[-1]

    def stop_all() -> None:
        for each in running:
            each.kill()

    watchdog = threading.Timer(LIMIT, stop_all)
    watchdog.daemon = True
    watchdog.start()
    yield start
    watchdog.cancel()
    for each in running:
        each.kill()
        each.process.communicate()


@pytest.fixture
def output(program: Callable[..., Program]) -> Callable[..., str]:
    """What a program prints that must end well and without a word on stderr."""

    def run(code: str, **environ: str) -> str:
        status, out, err = program(code, **environ).finish()
        assert (status, err) == (0, "")
        return out

    return run


class Crew:
    """Functions that run side by side: in green threads, native threads, and other hubs.

    Every wait is bounded, so that a lost wake-up fails a test instead of hanging it.
    """

    def __init__(self) -> None:
        self._ended: list[Event] = []

    def start(self, kind: str, function: Callable[..., object], *args: Any) -> Event:
        """Run it in a "green" or "native" thread, or in a green thread of a hub "apart"."""
        ended = Event()
        self._ended.append(ended)

        def run() -> None:
            try:
                result = function(*args)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
                ended.send_exception(error)
            else:
                ended.send(result)

        if kind == "green":
            spawn(run)
        elif kind == "native":
            threading.Thread(target=run, daemon=True).start()
        else:
            threading.Thread(target=lambda: spawn(run).join(), daemon=True).start()
        return ended

    def finish(self) -> list[Any]:
        """What each of them returned, in the order of `start`; raises what one has raised."""
        return [outcome(ended) for ended in self._ended]


def outcome(ended: Event) -> Any:
    """What was sent to the event, waiting for it if need be."""
    result = ended.wait(LIMIT)
    assert ended.ready(), "a thread of the crew hangs"
    return result


def until(condition: Callable[[], object]) -> None:
    """Let others run until the condition holds."""
    deadline = monotonic() + LIMIT
    while not condition():
        assert monotonic() < deadline, "it never came true"
        sleep(0.0002)


@pytest.fixture
def crew() -> Iterator[Crew]:
    """Starts functions side by side in threads of every kind."""
    started = Crew()
    yield started
    started.finish()


@pytest.fixture(name="until")
def _until() -> Callable[[Callable[[], object]], None]:
    return until
